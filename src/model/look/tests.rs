//! Looks as their callers see them: what a request asks for in, a record with its related ones as JSON out.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::id::{FieldId, Position, RecordId};
use crate::model::definition;
use crate::model::record::Record;
use crate::model::schema::{Embed, Index, IndexField, IndexState, Output};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// `users` (1) have a boss and a secret; `products` (2) a maker; `orders` (3) a user, items, a reader that is hidden;
/// `badges` (4) belong to one user each.
fn schema() -> Schema {
    let mut schema = Schema::default();
    let definitions = [
        r#"{"name": "users", "fields": [
            {"name": "name", "type": "text"},
            {"name": "secret", "type": "text", "hidden": true},
            {"name": "boss", "type": "relation", "collection": "users"}]}"#,
        r#"{"name": "products", "fields": [
            {"name": "title", "type": "text"},
            {"name": "maker", "type": "relation", "collection": "users"}]}"#,
        r#"{"name": "orders", "fields": [
            {"name": "user", "type": "relation", "collection": "users"},
            {"name": "items", "type": "relation", "collection": "products", "maxSelect": 9},
            {"name": "note", "type": "text"},
            {"name": "meta", "type": "json"},
            {"name": "reader", "type": "relation", "collection": "users", "hidden": true}]}"#,
        r#"{"name": "badges", "fields": [{"name": "user", "type": "relation", "collection": "users"}]}"#,
    ];
    for (at, body) in definitions.iter().enumerate() {
        let mut made = definition::parse(&schema, body.as_bytes(), Millis(0)).expect("a sound definition");
        made.id = CollectionId(at as u32 + 1);
        for field in &mut made.fields {
            if let FieldKind::Relation { collection, .. } = &mut field.kind
                && collection.0 == 0
            {
                *collection = made.id;
            }
        }
        if &*made.name == "badges" {
            let fields = vec![IndexField { field: FieldId(1), descending: false }];
            made.indexes.push(Index {
                id: crate::id::IndexId(90),
                name: "one".into(),
                fields,
                unique: true,
                system: false,
                state: IndexState::Ready,
            });
        }
        schema.put(made);
    }
    schema
}

/// Records by collection and id; those whose id ends with `x` are not for the caller.
struct Shelf {
    schema: Schema,
    records: BTreeMap<(u32, String), Arc<Record>>,
    asked: usize,
}

impl Shelf {
    fn new() -> Shelf {
        let mut shelf = Shelf { schema: schema(), records: BTreeMap::new(), asked: 0 };
        let text = |text: &str| Value::text(text);
        let ids = |ids: &[&str]| Value::List(ids.iter().map(|id| Value::text(*id)).collect());
        shelf.put("users", "ann", vec![text("Ann"), text("s1"), text("bob")]);
        shelf.put("users", "bob", vec![text("Bob"), text("s2"), text("eve-x")]);
        shelf.put("users", "eve-x", vec![text("Eve"), text("s3"), Value::Null]);
        shelf.put("products", "pen", vec![text("Pen"), text("bob")]);
        shelf.put("products", "cup", vec![text("Cup"), text("eve-x")]);
        shelf.put("products", "gun-x", vec![text("Gun"), text("bob")]);
        let meta = Value::Json(r#"{"a":{"b":1.50,"c":2},"list":[{"a":1,"b":2},{"a":3},4],"z":null}"#.into());
        let note = text("<p>Hello <b>there</b></p>");
        shelf.put("orders", "o1", vec![text("ann"), ids(&["pen", "gun-x", "cup"]), note, meta, text("bob")]);
        shelf.put("orders", "o2", vec![text("eve-x"), ids(&["gun-x"]), Value::Null, Value::Null, Value::Null]);
        shelf.put("orders", "o3", vec![Value::Null, ids(&[]), Value::Null, Value::Null, Value::Null]);
        shelf.put("badges", "b1", vec![text("ann")]);
        shelf
    }

    fn put(&mut self, collection: &str, id: &str, values: Vec<Value>) {
        let collection = self.schema.find(collection).expect("a collection").id;
        let fields: Fields = (1..).map(FieldId).zip(values).collect();
        let version: Position = "1-0000000a-7".parse().expect("a position");
        let record = Record { id: RecordId::new(id).expect("an id"), version, fields };
        self.records.insert((collection.0, id.to_owned()), Arc::new(record));
    }

    fn show(&mut self, collection: &str, id: &str, look: &Look) -> String {
        let collection = self.schema.find(collection).expect("a collection").clone();
        let record = self.records[&(collection.id.0, id.to_owned())].clone();
        let mut out = Vec::new();
        look.write(&collection, &record, self, &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        text
    }

    /// What a caller without rights gets of an order.
    fn order(&mut self, id: &str, wanted: Wanted<'_>) -> String {
        let look = self.look(wanted, false).expect("a look");
        self.show("orders", id, &look)
    }

    fn look(&self, wanted: Wanted<'_>, hidden: bool) -> Result<Look> {
        Look::new(&self.schema, self.schema.find("orders").expect("orders"), wanted, hidden)
    }
}

impl Targets for Shelf {
    fn record(&mut self, collection: CollectionId, id: &str) -> Result<Option<Found>> {
        self.asked += 1;
        let found = self.records.get(&(collection.0, id.to_owned())).filter(|_| !id.ends_with('x'));
        Ok(found.map(|record| (self.schema.get(collection).expect("known").clone(), record.clone())))
    }

    fn referrers(&mut self, collection: CollectionId, field: FieldId, id: &str) -> Result<Vec<Found>> {
        let of = self.schema.get(collection).expect("known");
        let points =
            |record: &&Arc<Record>| record.fields.get(field).each().iter().any(|one| one.as_text() == Some(id));
        let rows = self.records.iter().filter(|((of, id), _)| *of == collection.0 && !id.ends_with('x'));
        Ok(rows.map(|(_, record)| record).filter(points).map(|record| (of.clone(), record.clone())).collect())
    }

    fn has_grown(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}

fn fields(text: &str) -> Wanted<'_> {
    Wanted { fields: Some(text), ..Wanted::default() }
}

fn expand(text: &str) -> Wanted<'_> {
    Wanted { expand: Some(text), ..Wanted::default() }
}

fn embed(text: &str) -> Wanted<'_> {
    Wanted { embed: Some(text), ..Wanted::default() }
}

const ANN: &str = r#""id":"ann","collectionId":"1","collectionName":"users","name":"Ann","boss":"bob""#;
const BOB: &str = r#""id":"bob","collectionId":"1","collectionName":"users","name":"Bob","boss":"eve-x""#;
const PEN: &str = r#""id":"pen","collectionId":"2","collectionName":"products","title":"Pen","maker":"bob""#;
const CUP: &str = r#""id":"cup","collectionId":"2","collectionName":"products","title":"Cup","maker":"eve-x""#;

#[test]
fn expand_shows_whole_related_records_that_the_caller_may_view() {
    let table = [
        ("o1", "user", format!(r#"{{"user":{{{ANN}}}}}"#)),
        ("o1", "user.boss", format!(r#"{{"user":{{{ANN},"expand":{{"boss":{{{BOB}}}}}}}}}"#)),
        ("o1", "user.boss.boss", format!(r#"{{"user":{{{ANN},"expand":{{"boss":{{{BOB}}}}}}}}}"#)),
        ("o1", "items", format!(r#"{{"items":[{{{PEN}}},{{{CUP}}}]}}"#)),
        ("o1", " user , items.maker, ", {
            let pen = format!(r#"{{{PEN},"expand":{{"maker":{{{BOB}}}}}}}"#);
            format!(r#"{{"user":{{{ANN}}},"items":[{pen},{{{CUP}}}]}}"#)
        }),
        ("o2", "user,items", String::new()),
        ("o3", "user,items.maker", String::new()),
        ("o1", "user.badges_via_user", {
            let badge = r#"{"id":"b1","collectionId":"4","collectionName":"badges","user":"ann"}"#;
            format!(r#"{{"user":{{{ANN},"expand":{{"badges_via_user":{badge}}}}}}}"#)
        }),
        ("o1", "user.boss.products_via_maker", {
            let bob = format!(r#"{{{BOB},"expand":{{"products_via_maker":[{{{PEN}}}]}}}}"#);
            format!(r#"{{"user":{{{ANN},"expand":{{"boss":{bob}}}}}}}"#)
        }),
    ];
    let mut shelf = Shelf::new();
    for (id, text, expected) in table {
        let wanted = Wanted { fields: Some("id,expand"), expand: Some(text), embed: None };
        let expected = match expected.as_str() {
            "" => format!(r#"{{"id":"{id}"}}"#),
            some => format!(r#"{{"id":"{id}","expand":{some}}}"#),
        };
        assert_eq!(shelf.order(id, wanted), expected, "{text}");
    }
}

#[test]
fn embed_puts_parts_of_records_in_the_place_of_their_ids() {
    let table = [
        ("o1", "user(id,name)", r#"{"id":"o1","user":{"id":"ann","name":"Ann"},"items":["pen","gun-x","cup"]}"#),
        (
            "o1",
            "user( name ,id,), items ( title )",
            r#"{"id":"o1","user":{"id":"ann","name":"Ann"},"items":[{"title":"Pen"},{"title":"Cup"}]}"#,
        ),
        (
            "o1",
            "user(name,boss(name,boss(name)))",
            r#"{"id":"o1","user":{"name":"Ann","boss":{"name":"Bob","boss":null}},"items":["pen","gun-x","cup"]}"#,
        ),
        ("o1", "user(name),user(id)", r#"{"id":"o1","user":{"id":"ann"},"items":["pen","gun-x","cup"]}"#),
        ("o2", "user(id),items(id)", r#"{"id":"o2","user":null,"items":[]}"#),
        ("o3", "user(id),items(id)", r#"{"id":"o3","user":null,"items":[]}"#),
        ("o3", "", r#"{"id":"o3","user":null,"items":[]}"#),
    ];
    let mut shelf = Shelf::new();
    for (id, text, expected) in table {
        let wanted = Wanted { fields: Some("id,user,items"), embed: Some(text), expand: None };
        assert_eq!(shelf.order(id, wanted), expected, "{text}");
    }
    let whole = format!(r#""user":{{{ANN}}}"#);
    for text in ["user", "user(*)", "user(id,*)"] {
        assert!(shelf.order("o1", embed(text)).contains(&whole), "{text}");
    }
}

#[test]
fn fields_name_parts_at_every_level() {
    let both = |fields| Wanted { fields: Some(fields), expand: Some("user.boss,items"), embed: Some("user(id,name)") };
    let table = [
        ("id,user.name", r#"{"id":"o1","user":{"name":"Ann"}}"#),
        ("id,user.boss", r#"{"id":"o1","user":{}}"#),
        ("id,user,user.name", r#"{"id":"o1","user":{"id":"ann","name":"Ann"}}"#),
        ("id,user.*", r#"{"id":"o1","user":{"id":"ann","name":"Ann"}}"#),
        ("expand.user.name", r#"{"expand":{"user":{"name":"Ann"}}}"#),
        ("expand.user.expand.boss.id", r#"{"expand":{"user":{"expand":{"boss":{"id":"bob"}}}}}"#),
        ("expand.items.title", r#"{"expand":{"items":[{"title":"Pen"},{"title":"Cup"}]}}"#),
        ("expand.*.id", r#"{"expand":{"user":{"id":"ann"},"items":[{"id":"pen"},{"id":"cup"}]}}"#),
        (
            "id,expand.items.id,expand.items.title",
            r#"{"id":"o1","expand":{"items":[{"id":"pen","title":"Pen"},{"id":"cup","title":"Cup"}]}}"#,
        ),
        ("note:excerpt(7,true)", r#"{"note":"Hello t..."}"#),
        ("note:excerpt(5),id", r#"{"id":"o1","note":"Hello"}"#),
        ("expand.user.name:excerpt(1)", r#"{"expand":{"user":{"name":"A"}}}"#),
        ("meta.a.b", r#"{"meta":{"a":{"b":1.50}}}"#),
        ("meta.a.b,meta.z", r#"{"meta":{"a":{"b":1.50},"z":null}}"#),
        ("meta.list.a", r#"{"meta":{"list":[{"a":1},{"a":3},4]}}"#),
        ("meta.*.b", r#"{"meta":{"a":{"b":1.50},"list":[{"b":2},{},4],"z":null}}"#),
        (",", "{}"),
    ];
    let mut shelf = Shelf::new();
    for (text, expected) in table {
        assert_eq!(shelf.order("o1", both(text)), expected, "{text}");
    }
    let all = shelf.order("o1", both(""));
    assert_eq!(shelf.order("o1", both("*")), all);
    assert_eq!(shelf.order("o1", both("*,expand")), all);
    assert_eq!(shelf.order("o1", both("*,expand.*")), all);
    let narrowed = shelf.order("o1", both("*,user.id,expand.user.id"));
    assert!(narrowed.contains(r#""user":{"id":"ann"},"items":["pen","gun-x","cup"],"note""#), "{narrowed}");
    assert!(narrowed.ends_with(r#","expand":{"user":{"id":"ann"}}}"#), "{narrowed}");
}

#[test]
fn a_collection_has_a_look_of_its_own() {
    let mut shelf = Shelf::new();
    let mut orders = (**shelf.schema.find("orders").expect("orders")).clone();
    orders.output = Output {
        embed: vec![
            Embed { field: FieldId(1), parts: vec![Part::Field(FieldId(1)), Part::Field(FieldId(2))] },
            Embed { field: FieldId(2), parts: vec![Part::Id] },
        ],
        fields: Some(vec![Part::Id, Part::Field(FieldId(1))]),
    };
    orders.fields[4].hidden = false;
    shelf.schema.put(orders);
    let plain = r#"{"id":"o1","user":{"name":"Ann"}"#;
    assert_eq!(shelf.order("o1", Wanted::default()), format!("{plain}}}"));
    assert_eq!(shelf.order("o1", embed("")), r#"{"id":"o1","user":"ann"}"#);
    assert_eq!(shelf.order("o1", embed("user(id)")), r#"{"id":"o1","user":{"id":"ann"}}"#);
    assert_eq!(shelf.order("o1", embed("reader(id)")), format!(r#"{plain},"reader":{{"id":"bob"}}}}"#));
    assert_eq!(shelf.order("o1", expand("user")), format!(r#"{plain},"expand":{{"user":{{{ANN}}}}}}}"#));
    assert_eq!(shelf.order("o1", fields("items")), r#"{"items":[{"id":"pen"},{"id":"cup"}]}"#);
    assert!(shelf.order("o1", fields("*")).starts_with(r#"{"id":"o1","collectionId":"3","collectionName":"orders","#));
    // A hidden part of the default is shown to those who see hidden fields alone.
    let all = shelf.look(Wanted::default(), true).expect("a look");
    assert_eq!(shelf.show("orders", "o1", &all), r#"{"id":"o1","user":{"name":"Ann","secret":"s1"}}"#);
    // In another's answer an order looks as it is.
    let users = shelf.schema.find("users").expect("users");
    let look = Look::new(&shelf.schema, users, expand("orders_via_user"), false).expect("a look");
    let text = shelf.show("users", "ann", &look);
    assert!(text.contains(r#"{"id":"o1","collectionId":"3","collectionName":"orders","user":"ann","#), "{text}");
}

#[test]
fn what_is_not_shown_is_not_read() {
    let mut shelf = Shelf::new();
    let wanted = Wanted { fields: Some("id,note"), expand: Some("items"), embed: Some("user(id)") };
    shelf.order("o1", wanted);
    assert_eq!(shelf.asked, 0);
    assert!(shelf.look(fields("id"), false).expect("a look").is_plain());
    assert!(shelf.look(Wanted::default(), false).expect("a look").is_plain());
}

#[test]
fn a_hidden_name_looks_like_an_unknown_one_and_both_are_refused() {
    let long = ["user"; limits::EXPAND_LEVELS_MAX + 1].join(".");
    let deep = ["boss"; limits::EXPAND_LEVELS_MAX + 1].join(".");
    let deep = format!("user.{deep}");
    let nested =
        format!("user({}id{}", "boss(".repeat(limits::EXPAND_LEVELS_MAX), ")".repeat(limits::EXPAND_LEVELS_MAX + 1));
    let huge = "id,".repeat(limits::LOOK_BYTES_MAX);
    let levels = format!("meta{}", ".a".repeat(limits::FIELDS_LEVELS_MAX));
    let many: Vec<String> = (0..=limits::LINKS_MAX).map(|at| format!("a{at}")).collect();
    let many = many.join(",");
    let table: Vec<(Wanted<'_>, &str)> = vec![
        (expand("nope"), "bad_expand"),
        (expand("reader"), "bad_expand"),
        (expand("note"), "bad_expand"),
        (expand("user.secret"), "bad_expand"),
        (expand("user.orders_via_reader"), "bad_expand"),
        (expand("orders_via_user"), "bad_expand"),
        (expand("user..boss"), "bad_expand"),
        (expand(&long), "bad_expand"),
        (expand(&deep), "bad_expand"),
        (expand(&many), "bad_expand"),
        (expand(&huge), "bad_expand"),
        (embed("nope(id)"), "bad_embed"),
        (embed("reader(id)"), "bad_embed"),
        (embed("note(id)"), "bad_embed"),
        (embed("user(nope)"), "bad_embed"),
        (embed("user(secret)"), "bad_embed"),
        (embed("user(name(id))"), "bad_embed"),
        (embed("user(boss(secret))"), "bad_embed"),
        (embed("user()"), "bad_embed"),
        (embed("user(id"), "bad_embed"),
        (embed("user(id))"), "bad_embed"),
        (embed("user(id)items(id)"), "bad_embed"),
        (embed("user(id;name)"), "bad_embed"),
        (embed("*"), "bad_embed"),
        (embed("(id)"), "bad_embed"),
        (embed(&nested), "bad_embed"),
        (embed(&huge), "bad_embed"),
        (fields("nope"), "bad_fields"),
        (fields("reader"), "bad_fields"),
        (fields("id.a"), "bad_fields"),
        (fields("note.a"), "bad_fields"),
        (fields("user.name"), "bad_fields"),
        (fields("expand.user"), "bad_fields"),
        (fields("id:excerpt(3)"), "bad_fields"),
        (fields("meta:excerpt(3)"), "bad_fields"),
        (fields("note:lower"), "bad_fields"),
        (fields("note:excerpt(0)"), "bad_fields"),
        (fields("meta.a:excerpt(3)"), "bad_fields"),
        (fields("*.name"), "bad_fields"),
        (fields(".id"), "bad_fields"),
        (fields(&levels), "bad_fields"),
        (fields(&huge), "bad_fields"),
        (Wanted { fields: Some("expand.user.secret"), ..expand("user") }, "bad_fields"),
        (Wanted { fields: Some("expand.items"), ..expand("user") }, "bad_fields"),
        (Wanted { fields: Some("user.secret"), ..embed("user") }, "bad_fields"),
        (Wanted { fields: Some("user,user.secret"), ..embed("user") }, "bad_fields"),
    ];
    let shelf = Shelf::new();
    for (wanted, code) in table {
        let error = shelf.look(wanted, false).expect_err("refused");
        assert_eq!((error.kind(), error.code_str()), (Kind::Invalid, code), "{wanted:?}");
    }
    for (hidden, unknown) in [
        (expand("reader"), expand("nope")),
        (expand("user.orders_via_reader"), expand("user.nope_via_nope")),
        (embed("reader(id)"), embed("nope(id)")),
        (embed("user(secret)"), embed("user(nope)")),
        (fields("reader"), fields("nope")),
        (fields("reader.id"), fields("nope.id")),
    ] {
        let told = |wanted: Wanted<'_>| shelf.look(wanted, false).expect_err("refused").message().to_owned();
        let neutral = |text: String| {
            ["orders_via_reader", "nope_via_nope", "reader", "secret", "nope"]
                .iter()
                .fold(text, |text, name| text.replace(name, "…"))
        };
        assert_eq!(neutral(told(hidden)), neutral(told(unknown)), "{hidden:?}");
        assert!(shelf.look(hidden, true).is_ok() || hidden.fields == Some("reader.id"), "a superuser sees it");
    }
}

proptest! {
    #[test]
    fn random_texts_never_panic_and_never_show_what_is_hidden(
        wild in any::<String>(),
        text in "[a-z_*.,:() ]{0,80}",
        words in proptest::collection::vec("(user|boss|secret|reader|items|maker|expand|id|name|\\*|\\.|,|\\(|\\)|orders_via_user|orders_via_reader|meta|note|:excerpt\\(2\\))", 0..30),
    ) {
        let mut shelf = Shelf::new();
        let words = words.concat();
        for one in [wild.as_str(), &text, &words] {
            for other in [None, Some("user.boss,items")] {
                for wanted in [
                    Wanted { fields: Some(one), expand: other, embed: Some("user") },
                    Wanted { fields: None, expand: Some(one), embed: other.map(|_| "items(title)") },
                    Wanted { fields: None, expand: other, embed: Some(one) },
                ] {
                    if let Ok(look) = shelf.look(wanted, false) {
                        let text = shelf.show("orders", "o1", &look);
                        for hidden in ["secret", "reader", "s1", "s2", "\"Eve\"", "\"Gun\""] {
                            prop_assert!(!text.contains(hidden), "{:?} shows {}: {}", wanted, hidden, text);
                        }
                    }
                }
            }
        }
    }
}
