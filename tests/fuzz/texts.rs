//! Texts that clients and owners write: expressions, definitions, JSON, sort orders, ids, dates, patterns.

use millpond::id::{Position, RecordId};
use millpond::limits;
use millpond::model::expr::{Input, Program, Row, parse};
use millpond::model::look::{Look, Wanted};
use millpond::model::pattern::Pattern;
use millpond::model::schema::{Collection, Schema};
use millpond::model::{aggregate, definition, json, sort};
use millpond::time::Millis;

use crate::mutate::Corpus;
use crate::support::results;
use crate::support::rng::Rng;
use crate::world::{self, World};
use crate::{fuzz, random};

const EXPRESSION_WORDS: &[&str] = &[
    "status",
    "total",
    "n",
    "active",
    "at",
    "tags",
    "user",
    "items",
    "meta",
    ".",
    "name",
    "boss",
    "price",
    "maker",
    "products_via_maker",
    "orders_via_user",
    "id",
    "@now",
    "@request.auth.id",
    "@request.body.n",
    "@old.n",
    "@request.query.min",
    "@todayStart",
    ":lower",
    ":each",
    ":length",
    ":isset",
    ":changed",
    "(",
    ")",
    "[",
    "]",
    ",",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "~",
    "!~",
    "?=",
    "?~",
    "&&",
    "||",
    "and",
    "or",
    "not ",
    "!",
    " in ",
    "+",
    "-",
    "*",
    "/",
    "%",
    "'",
    "\"",
    "\\",
    "null",
    "true",
    "matches(note, '(a+)+$')",
    "if(",
    "min(",
    "lookup('users', user).name",
    "addDays(",
    "round(",
    "sum(",
    "coalesce(",
    "lower(",
    "date(",
    "//",
    "geoDistance(",
];

#[test]
fn no_expression_panics_or_hangs() {
    let mut rng = Rng::new(results::seed());
    let world = World::random(&mut rng);
    let inputs: Vec<String> = (0..300).map(|_| random::expression(&mut rng)).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    fuzz("an expression", Corpus::new(&inputs, EXPRESSION_WORDS), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(tree) = parse(&text) else { return false };
        let row = Row { id: "o1", fields: &world.order };
        let Ok(program) = Program::from_tree(world.scope(), &tree) else { return false };
        let _ = program.value(row, &world.input(), &world);
        let _ = program.holds(row, &Input::at(world::NOW), &world);
        if let Ok(condition) = Program::condition_from_tree(world.scope(), &tree) {
            let _ = condition.holds(row, &world.input(), &world);
        }
        true
    });
}

const AGGREGATES: &[&str] = &[
    r#"{"sources":{"a":{"collection":"orders","filter":"status = 'paid'","group":{"day":"date(at)","user":"user"},"values":{"revenue":"sum(total)","n":"count()"},"having":"n > 1"},"b":{"collection":"users","values":{"name":"any(name)"},"group":{"user":"id"}}},"merge":{"join":["user"],"kind":"left"},"having":"n > 2","select":{"name":"b.name","day":"a.day","share":"a.revenue / n"},"sort":"-share,day","limit":100,"timeout":"2s","partial":true,"explain":true}"#,
    r#"{"sources":{"s":{"collection":"orders","group":{"t":"tags:each"},"values":{"p":"percentile(total, 95)","d":"countDistinct(user)","x":"stddev(n) + first(n) * 2"}}},"merge":"union"}"#,
];
const AGGREGATE_WORDS: &[&str] = &[
    "sources",
    "collection",
    "filter",
    "group",
    "values",
    "having",
    "merge",
    "join",
    "kind",
    "inner",
    "full",
    "union",
    "select",
    "sort",
    "limit",
    "timeout",
    "500ms",
    "count()",
    "sum(",
    "avg(",
    "min(",
    "max(",
    "any(",
    "first(",
    "last(",
    "countDistinct(",
    "percentile(",
    "stddev(",
    "tags:each",
    "a.",
    ":",
    ",",
    "{",
    "}",
    "\"",
    "null",
    "#0",
    "@now",
];

#[test]
fn no_aggregate_panics_when_it_is_read_and_checked() {
    let mut rng = Rng::new(results::seed());
    let world = World::random(&mut rng);
    fuzz("an aggregate", Corpus::new(AGGREGATES, AGGREGATE_WORDS), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let texts =
            aggregate::Texts { group: Some(&text), values: Some(&text), limit: 1, ..aggregate::Texts::default() };
        let listed = aggregate::of_texts("orders", texts).is_ok();
        let Ok(read) = aggregate::read(bytes) else { return listed };
        let checked = read.sources.iter().map(|source| aggregate::Grouping::new(world.scope(), source, ""));
        let Ok(groupings) = checked.collect::<Result<Vec<_>, _>>() else { return true };
        let columns: Vec<_> = groupings.iter().map(|grouping| grouping.finishing.columns()).collect();
        let Ok(selection) = aggregate::Selection::new(&read, &columns) else { return true };
        let tables: Vec<_> = groupings.iter().map(|grouping| Some(grouping.finishing.table(Vec::new()))).collect();
        let _ = selection.answer(&tables, &Input::at(world::NOW));
        true
    });
}

const DEFINITIONS: &[&str] = &[
    r#"{"name":"orders","type":"base","fields":[{"name":"user","type":"relation","collection":"orders","required":true,"onDelete":"restrict","aliases":["user_id"]},{"name":"items","type":"relation","collection":"orders","maxSelect":50,"minSelect":1},{"name":"status","type":"select","values":["new","paid"],"default":"new"},{"name":"note","type":"text","max":2000,"sanitize":["trim","nfc"]},{"name":"total","type":"number","min":0},{"name":"ref","type":"text","pattern":"^[A-Z]{2}-[0-9]+$"},{"name":"created","type":"date","default":"@now"},{"name":"updated","type":"autodate","onCreate":true,"onUpdate":true}],"indexes":[{"name":"by_user","fields":["user","-created"]},{"name":"ref","fields":["ref"],"unique":true}],"listRule":"","viewRule":null}"#,
    r#"{"name":"notes","fields":[{"name":"text","type":"text","hidden":true},{"name":"mail","type":"email"},{"name":"link","type":"url"},{"name":"data","type":"json","maxSize":100},{"name":"flag","type":"bool","default":true},{"name":"count","type":"number","integer":true,"default":9007199254740993}]}"#,
    r#"{"name":"a","fields":[]}"#,
    r#"{"name":"b","fields":[{"name":"sum","type":"number","computed":"total * 0.25"}],"checks":[{"name":"c","expr":"sum > 0","message":"no","field":"sum"}],"output":{"embed":{"to":["id"]},"fields":["id"]}}"#,
    r#"{"name":"c","fields":[{"name":"x","type":"text"}],"listRule":"x = 'a' && @request.auth.id != ''","createRule":"@request.body.x:isset"}"#,
];
const DEFINITION_WORDS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "\"fields\":",
    "\"name\":\"a\"",
    "\"type\":",
    "\"text\"",
    "\"number\"",
    "\"relation\"",
    "\"select\"",
    "\"json\"",
    "\"geoPoint\"",
    "\"editor\"",
    "\"auth\"",
    "\"indexes\":",
    "\"unique\":true",
    "\"pattern\":\"(\"",
    "\"pattern\":\"(a{1000}){1000}\"",
    "\"maxSelect\":",
    "\"default\":",
    "\"computed\":\"",
    "\"checks\":",
    "\"listRule\":\"",
    "\"min\":",
    "\"max\":",
    "\"aliases\":[",
    "\\u0000",
    "\\ud800",
];

#[test]
fn no_definition_panics_or_hangs() {
    let mut schema = Schema::default();
    for (at, body) in DEFINITIONS[..3].iter().enumerate() {
        let mut made = definition::parse(&schema, body.as_bytes(), Millis(0)).expect("a sound definition");
        definition::number(&mut made, millpond::id::CollectionId(at as u32 + 1));
        schema.put(made);
    }
    fuzz("a definition", Corpus::new(DEFINITIONS, DEFINITION_WORDS), |bytes| {
        let Ok(made) = definition::parse(&schema, bytes, Millis(0)) else { return false };
        // What the log keeps of it is what it was.
        let text = serde_json::to_string(&made).expect("a definition has a text");
        let read: Collection = serde_json::from_str(&text).expect("which is one");
        assert_eq!(read, made, "{text}");
        definition::format(&schema, &made, &Default::default(), &mut Vec::new());
        true
    });
}

const JSONS: &[&str] = &[
    r#"{"a":1,"b":[true,false,null],"c":{"d":"é𝄞\u0041\ud834\udd1e\n","e":-1.5e10},"f":""}"#,
    r#"{"a":[1,2.50,-0,1e400,9223372036854775808]}"#,
    r#"{"a":"\"\\\/\b\f\n\r\t"}"#,
    r#"{"n":-0.0,"m":1e3,"o":100000000000000000000.0e-2}"#,
    " { \"x\" : { } } ",
    "{}",
];
const JSON_WORDS: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\"a\":", "null", "true", " ", "\t", "1e5", "{\"a\":",
];

#[test]
fn no_json_panics_or_hangs() {
    fuzz("a JSON text", Corpus::new(JSONS, JSON_WORDS), |bytes| {
        let Ok(text) = json::checked_text(bytes) else { return false };
        let Ok(members) = json::members(text) else { return false };
        for (_, value) in members {
            let _ = (json::elements(value), json::text_of(value));
            if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                let _ = json::whole(value);
            }
            let mut compact = String::new();
            if json::compact(value, &mut compact).is_err() {
                continue;
            }
            // It is the same JSON, and can be a patch.
            if let Ok(known) = serde_json::from_str::<serde_json::Value>(value) {
                let again: serde_json::Value = serde_json::from_str(&compact).expect("compact JSON is JSON");
                assert_eq!(again, known, "{compact}");
            }
            let _ = json::merge_json(Some(&compact), &compact);
            let _ = json::merge_json(None, &compact);
        }
        true
    });
}

const WORDS: &[&str] = &[
    "01hzy3v4e8q6k8m2n4p6r8t0v2",
    "1-0000000a-7",
    "2001-02-28 12:30:00.123Z",
    "2001-02-28T12:30:00+02:00",
    "-status,total,id",
    "id,status,collectionName",
    "*",
    "^[A-Z]{2}-[0-9]+$",
    "(a+)+$",
    "a.b-c_D",
    "user(id,name),items",
];

#[test]
fn no_word_panics_or_hangs() {
    let world = World::random(&mut Rng::new(results::seed()));
    let orders = &world.orders;
    fuzz("a word", Corpus::new(WORDS, &["-", ",", "*", ":", ".", "(", ")", "{9999}", "[", "]", "Z", "id"]), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let id = RecordId::new(&text).is_ok_and(|id| id.as_str() == text);
        let position = text.parse::<Position>().is_ok_and(|at| at.to_string().parse::<Position>().is_ok());
        let date = Millis::parse(&text).is_some_and(|at| Millis::parse(&at.to_string()) == Some(at));
        let sort = sort::parse(orders, &text, false).is_ok();
        let look = (0..3).any(|which| {
            let of = |one: usize| (one == which).then_some(&*text);
            let wanted = Wanted { fields: of(0), expand: of(1), embed: of(2) };
            Look::new(&world.schema, orders, wanted, which == 0).is_ok()
        });
        let pattern = Pattern::new(&text).is_ok_and(|pattern| {
            let matches = |text| pattern.matches(text, &mut { limits::PATTERN_STEPS_MAX }).is_ok_and(|matches| matches);
            matches("AB-12") || !matches(&text)
        });
        id || position || date || sort || look || pattern
    });
}
