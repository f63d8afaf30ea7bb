//! Whatever the plan: a list is what asking every record and sorting them all yields. Random collections with indexes of
//! all shapes, random rules, filters, orders and pages, cursors with writes between the pages.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::{CollectionId, FieldId, Generation, RecordId, Seq};
use crate::model::change::Change;
use crate::model::definition;
use crate::model::expr::{Program, Relations, Row, Scope};
use crate::model::guard::{Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::{Operand, Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Field, FieldKind, Index};
use crate::model::sort;
use crate::model::value::{Fields, Value};
use crate::state::query::{Budget, Order, Page, list};
use crate::state::tests::fixture::{Dice, History, defined, rounds};
use crate::time::Millis;

const NOW: Millis = Millis(1_000_000);
const USERS: CollectionId = CollectionId(2);
const ORDERS: CollectionId = CollectionId(3);

/// Two collections that point at each other and themselves, also as plain maps.
struct World {
    history: History,
    records: BTreeMap<CollectionId, BTreeMap<RecordId, (Seq, Fields)>>,
    request: Arc<Request>,
}

fn indexes(dice: &mut Dice, fields: &[&str], lists: &[&str]) -> String {
    let mut texts = Vec::new();
    for at in 0..dice.roll(6) {
        let mut names: Vec<String> = Vec::new();
        if dice.roll(4) == 0 {
            names.push((*dice.pick(lists)).to_owned());
        } else {
            for _ in 0..=dice.roll(3) {
                let name = *dice.pick(fields);
                if !names.iter().any(|other| other.trim_start_matches('-') == name) {
                    names.push(if dice.roll(2) == 0 { format!("-{name}") } else { name.to_owned() });
                }
            }
        }
        texts.push(format!("{{\"name\": \"i{at}\", \"fields\": {names:?}}}"));
    }
    texts.join(", ")
}

impl World {
    fn random(dice: &mut Dice, seed: u64) -> World {
        let mut history = History::new(seed);
        let users = indexes(dice, &["name", "age"], &["roles"]);
        let orders = indexes(dice, &["status", "total", "n", "active", "at", "user"], &["tags", "friends"]);
        let bodies = [
            format!(
                r#"{{"name": "users", "fields": [
                {{"name": "name", "type": "text"}}, {{"name": "age", "type": "number", "integer": true}},
                {{"name": "boss", "type": "relation", "collection": "users"}},
                {{"name": "roles", "type": "select", "values": ["a", "b", "c"], "maxSelect": 3}}], "indexes": [{users}]}}"#
            ),
            format!(
                r#"{{"name": "orders", "fields": [
                {{"name": "status", "type": "text"}}, {{"name": "total", "type": "number"}},
                {{"name": "n", "type": "number", "integer": true}}, {{"name": "active", "type": "bool"}},
                {{"name": "at", "type": "date"}}, {{"name": "note", "type": "text"}},
                {{"name": "tags", "type": "select", "values": ["a", "b", "c"], "maxSelect": 3}},
                {{"name": "user", "type": "relation", "collection": "users"}},
                {{"name": "friends", "type": "relation", "collection": "users", "maxSelect": 3}},
                {{"name": "meta", "type": "json"}}],
                "indexes": [{orders}]}}"#
            ),
        ];
        for (body, id) in bodies.iter().zip([USERS, ORDERS]) {
            let mut collection = definition::parse(&history.schema, body.as_bytes(), Millis(1)).unwrap();
            if id == ORDERS {
                let number = collection.last_field.0 + 1;
                let place = Field {
                    id: FieldId(number),
                    name: "place".into(),
                    kind: FieldKind::GeoPoint {},
                    ..note(&collection)
                };
                collection.fields.push(place);
                collection.last_field = FieldId(number);
            }
            definition::number(&mut collection, id);
            let change = defined(&collection);
            history.commit(vec![change]);
        }
        let records = BTreeMap::from([(USERS, BTreeMap::new()), (ORDERS, BTreeMap::new())]);
        let principal = Record { id: RecordId::new("u1").unwrap(), version: Default::default(), fields: Fields::new() };
        let request = Request {
            principal: Some((USERS, Arc::new(principal))),
            query: vec![("s".into(), "b".into()), ("n".into(), "2".into())].into(),
            ..Request::at(NOW)
        };
        let mut world = World { history, records, request: Arc::new(request) };
        for _ in 0..10 + dice.roll(40) {
            world.write(dice);
            world.history.churn(dice);
        }
        world
    }

    fn collection(&self, id: CollectionId) -> &Arc<Collection> {
        self.history.schema.get(id).unwrap()
    }

    /// An entry of some creates, updates and deletions.
    fn write(&mut self, dice: &mut Dice) {
        let seq = Seq(self.history.seq + 1);
        let mut changes = Vec::new();
        for _ in 0..=dice.roll(6) {
            let collection = if dice.roll(4) == 0 { USERS } else { ORDERS };
            let id = random_id(dice, collection);
            let fields = random_fields(dice, self.collection(collection));
            let generation = Generation(self.collection(collection).generation.0);
            let records = self.records.get_mut(&collection).unwrap();
            changes.push(match records.get(&id).cloned() {
                Some((since, before)) if dice.roll(3) == 0 => {
                    records.remove(&id);
                    Change::Deleted { collection, generation, id, before, since }
                }
                Some((since, was)) => {
                    let mut after = was.clone();
                    for (field, value) in fields.iter() {
                        if dice.roll(3) == 0 {
                            after.set(field, value.clone());
                        }
                    }
                    records.insert(id.clone(), (seq, after.clone()));
                    let before = after.before_image(&was);
                    Change::Updated { collection, generation, id, after, before, since }
                }
                None => {
                    records.insert(id.clone(), (seq, fields.clone()));
                    Change::Created { collection, generation, id, after: fields }
                }
            });
        }
        self.history.commit(changes);
    }

    fn predicate(&self, collection: CollectionId, text: &str, sight: Sight) -> Predicate {
        let callers = [self.collection(USERS).clone()];
        let collection = self.collection(collection);
        let scope = Scope { schema: &self.history.schema, collection, callers: &callers, sees_hidden: true };
        let program = Program::condition(scope, text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        Predicate { program: Arc::new(program), request: self.request.clone(), sight }
    }

    fn guard(&self, collection: CollectionId, rule: Option<&str>) -> Guard {
        let rows = || match rule {
            None => Rows::All,
            Some(rule) => Rows::Where(Box::new(self.predicate(collection, rule, Sight::All))),
        };
        Guard::for_caller(true, [rows(), rows(), rows(), rows(), rows()])
    }

    fn holds(&self, predicate: &Predicate, id: &RecordId, fields: &Fields) -> bool {
        let others = Others { world: self, sight: &predicate.sight };
        predicate.program.holds(Row { id: id.as_str(), fields }, &predicate.input(), &others).unwrap()
    }

    /// Every record asked, and sorted.
    fn naive(&self, query: &Query) -> Vec<(RecordId, Fields)> {
        let rule = match query.guard.rows(crate::model::guard::Action::List) {
            Rows::Where(rule) => Some(&**rule),
            _ => None,
        };
        let asked: Vec<&Predicate> = rule.into_iter().chain(&query.filter).collect();
        let records = self.records[&query.collection].iter().map(|(id, (_, fields))| (id.clone(), fields.clone()));
        let mut matches: Vec<_> =
            records.filter(|(id, fields)| asked.iter().all(|one| self.holds(one, id, fields))).collect();
        matches.sort_by(|a, b| order(&query.sort, a, b));
        matches
    }

    fn list(&self, query: &Query) -> Page {
        let mut budget = Budget::new(1_000_000, Instant::now() + Duration::from_secs(60));
        list(&self.history.stack, &self.history.schema, query, &mut budget).unwrap()
    }
}

fn note(collection: &Collection) -> Field {
    collection.field("note").unwrap().clone()
}

fn order(sort: &[SortKey], a: &(RecordId, Fields), b: &(RecordId, Fields)) -> Ordering {
    let turn = |order: Ordering, descending: bool| if descending { order.reverse() } else { order };
    for part in sort {
        let order = match part.operand {
            Operand::Id => a.0.cmp(&b.0),
            Operand::Field(field) => a.1.get(field).order(b.1.get(field)),
        };
        // No two records have the same id: what stands behind it orders nothing.
        if order.is_ne() || part.operand == Operand::Id {
            return turn(order, part.descending);
        }
    }
    turn(a.0.cmp(&b.0), sort.last().is_some_and(|last| last.descending))
}

/// Other records from the plain maps, those that the sight lets be seen.
struct Others<'a> {
    world: &'a World,
    sight: &'a Sight,
}

impl Others<'_> {
    fn sees(&self, collection: CollectionId, id: &RecordId, fields: &Fields) -> bool {
        match self.sight {
            Sight::All => true,
            Sight::Guarded(guards) => guards.iter().any(|(of, guard)| {
                *of == collection
                    && match guard.rows(crate::model::guard::Action::View) {
                        Rows::All => true,
                        Rows::None => false,
                        Rows::Where(rule) => self.world.holds(rule, id, fields),
                    }
            }),
        }
    }
}

impl Relations for Others<'_> {
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>> {
        let id = RecordId::new(id).ok()?;
        let (_, fields) = self.world.records[&collection].get(&id)?;
        self.sees(collection, &id, fields).then(|| Arc::new(fields.clone()))
    }

    fn referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Vec<(RecordId, Arc<Fields>)> {
        let points = |fields: &Fields| fields.get(field).each().iter().any(|item| item.as_text() == Some(id));
        let records = self.world.records[&collection].iter().map(|(id, (_, fields))| (id, fields));
        let found = records.filter(|(id, fields)| points(fields) && self.sees(collection, id, fields));
        found.take(max).map(|(id, fields)| (id.clone(), Arc::new(fields.clone()))).collect()
    }
}

fn random_id(dice: &mut Dice, collection: CollectionId) -> RecordId {
    let (letter, many) = if collection == USERS { ("u", 12) } else { ("o", 70) };
    RecordId::new(&format!("{letter}{}", dice.roll(many))).unwrap()
}

fn random_fields(dice: &mut Dice, collection: &Collection) -> Fields {
    collection.fields.iter().map(|field| (field.id, random_value(dice, &field.kind, &field.name))).collect()
}

fn random_value(dice: &mut Dice, kind: &FieldKind, name: &str) -> Value {
    if dice.roll(5) == 0 {
        return Value::Null;
    }
    let texts = ["", "a", "ab", "b", "ä", "a\u{10FFFF}"];
    match kind {
        FieldKind::Number { integer: true, .. } => Value::Int(*dice.pick(&[-1, 0, 1, 2, 3, (1 << 53) + 1])),
        FieldKind::Number { .. } => Value::Number(*dice.pick(&[-1.5, 0.0, 0.5, 1.0, 2.0, 9e15])),
        FieldKind::Bool {} => Value::Bool(dice.roll(2) == 0),
        FieldKind::Date { .. } => Value::Date(Millis(*dice.pick(&[-1, 0, NOW.0, NOW.0 + 1]))),
        FieldKind::Json { .. } => Value::Json("{\"a\":1}".into()),
        FieldKind::GeoPoint {} => Value::Point(dice.roll(3) as f64, dice.roll(3) as f64),
        FieldKind::Relation { max_select: 1, .. } => Value::text(random_id(dice, USERS).as_str()),
        kind if kind.is_list() => {
            let mut items: Vec<Value> = Vec::new();
            for _ in 0..dice.roll(4) {
                let item = match name {
                    "friends" => Value::text(random_id(dice, USERS).as_str()),
                    _ => Value::text(*dice.pick(&["a", "b", "c"])),
                };
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            Value::List(items)
        }
        // Long ones too, whose place a cursor can't hold.
        _ if name == "note" && dice.roll(3) == 0 => Value::text("x".repeat(5_000) + ["", "y"][dice.roll(2) as usize]),
        _ => Value::text(*dice.pick(&texts)),
    }
}

/// A condition on orders, or on users.
fn condition(dice: &mut Dice, of: CollectionId, depth: u64) -> String {
    if depth > 0 {
        let parts = |dice: &mut Dice, sign: &str| {
            let count = 2 + dice.roll(2);
            (0..count).map(|_| condition(dice, of, depth - 1)).collect::<Vec<_>>().join(sign)
        };
        match dice.roll(5) {
            0 | 1 => return format!("({})", parts(dice, " && ")),
            2 | 3 => return format!("({})", parts(dice, " || ")),
            _ if dice.roll(2) == 0 => return format!("!({})", condition(dice, of, depth - 1)),
            _ => {}
        }
    }
    let sign = *dice.pick(&["=", "=", "=", "!=", "<", "<=", ">", ">="]);
    let any = if dice.roll(2) == 0 { "?" } else { "" };
    let text = *dice.pick(&["''", "'a'", "'ab'", "'b'", "'ä'", "@request.query.s"]);
    let number = *dice.pick(&["-1", "0", "0.5", "1", "2", "3", "1.5", "9007199254740993", "9e15", "1e30"]);
    let user = format!("'{}'", random_id(dice, USERS));
    let date = *dice.pick(&["'1970-01-01'", "@now", "'1970-01-01 00:16:40.001Z'"]);
    let letters = *dice.pick(&["'a'", "'b'", "'c'", "'d'"]);
    if of == USERS {
        return match dice.roll(9) {
            0 => format!("name {sign} {text}"),
            1 => format!("age {sign} {number}"),
            2 => format!("boss = {user}"),
            3 => format!("roles {any}= {letters}"),
            4 => format!("boss.name = {text}"),
            5 => format!("orders_via_user.total {any}{sign} {number}"),
            6 => format!("orders_via_friends.status {any}= {text}"),
            7 => format!("id {sign} {user}"),
            _ => format!("orders_via_user.friends.age {any}{sign} {number}"),
        };
    }
    match dice.roll(34) {
        0 | 1 => format!("status {sign} {text}"),
        2 => format!("total {sign} {number}"),
        3 => format!("{number} {sign} n"),
        4 => (*dice.pick(&["active = true", "active", "!active", "active != false"])).to_owned(),
        5 => format!("at {sign} {date}"),
        6 => format!("tags {any}{sign} {letters}"),
        7 => format!("{letters} in tags"),
        8 => format!("tags in ['a', {letters}]"),
        9 => format!("contains(tags, {letters})"),
        10 => format!("status in [{text}, 'b', {text}]"),
        11 => format!("startsWith(status, {text})"),
        12 => (*dice.pick(&["status = null", "user != null", "tags = null", "n = null", "active = null"])).to_owned(),
        13 => format!("user = {user}"),
        14 => format!("user in [{user}, 'u1', 'u2']"),
        15 => format!("user.name {sign} {text}"),
        16 => format!("user.age {any}{sign} {number}"),
        17 => format!("user.boss.name = {text}"),
        18 => format!("user.roles {any}= {letters}"),
        19 => format!("friends.name {any}{sign} {text}"),
        20 => format!("friends {any}= {user}"),
        21 => format!("friends.age {any}{sign} {number}"),
        22 => format!("user.orders_via_user.total {any}{sign} {number}"),
        23 => format!("id {sign} '{}'", random_id(dice, ORDERS)),
        24 => format!("id in ['{}', '{}', 'nope']", random_id(dice, ORDERS), random_id(dice, ORDERS)),
        25 => "user = @request.auth.id".to_owned(),
        26 => "@request.auth.id != '' && @request.query.s = 'b'".to_owned(),
        27 => "@request.method = 'POST' || n > @request.query.n".to_owned(),
        28 => "total > n".to_owned(),
        29 => format!("status ~ {letters}"),
        30 => "note ~ 'y'".to_owned(),
        31 => format!("user.name in [{text}, 'b']"),
        32 => format!("!(status = {text})"),
        _ => "meta.a = 1".to_owned(),
    }
}

fn random_sort(dice: &mut Dice) -> String {
    let mut names: Vec<&str> = Vec::new();
    for _ in 0..dice.roll(4) {
        let name = *dice.pick(&["status", "total", "n", "active", "at", "user", "id", "note", "place"]);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let signed = |name: &&str| if dice.roll(2) == 0 { format!("-{name}") } else { (*name).to_owned() };
    names.iter().map(signed).collect::<Vec<_>>().join(",")
}

fn random_query(world: &World, dice: &mut Dice) -> (Query, String) {
    let depth = dice.roll(4);
    let filter = if dice.roll(8) == 0 { String::new() } else { condition(dice, ORDERS, depth) };
    let depth = dice.roll(2);
    let rule = (dice.roll(3) == 0).then(|| condition(dice, ORDERS, depth));
    let sight = if dice.roll(2) == 0 {
        Sight::All
    } else {
        let views = [USERS, ORDERS].map(|id| {
            let rule = (dice.roll(2) == 0).then(|| condition(dice, id, 0));
            (id, world.guard(id, rule.as_deref()))
        });
        Sight::Guarded(Arc::from(views))
    };
    let sort_text = random_sort(dice);
    let collection = world.collection(ORDERS);
    let most = *dice.pick(&[8, 80]);
    let query = Query {
        collection: ORDERS,
        schema: collection.version,
        guard: world.guard(ORDERS, rule.as_deref()),
        filter: (!filter.is_empty()).then(|| world.predicate(ORDERS, &filter, sight)),
        sort: sort::parse(collection, &sort_text, true).unwrap(),
        after: None,
        offset: if dice.roll(3) == 0 { dice.roll(6) as usize } else { 0 },
        limit: 1 + dice.roll(most) as usize,
        count: dice.roll(2) == 0,
    };
    let shapes = |index: &Index| {
        let name = |field| collection.field_by_id(field).map_or("?", |field| &field.name);
        let parts =
            index.fields.iter().map(|part| if part.descending { "-" } else { "" }.to_owned() + name(part.field));
        format!("{}({})", index.name, parts.collect::<Vec<_>>().join(","))
    };
    let shown = format!(
        "{filter:?} rule {rule:?} sort {sort_text:?} offset {} limit {} count {} indexes {:?}",
        query.offset,
        query.limit,
        query.count,
        collection.indexes.iter().map(shapes).collect::<Vec<_>>()
    );
    (query, shown)
}

fn ids<'a>(records: impl Iterator<Item = &'a RecordId>) -> Vec<&'a str> {
    records.map(RecordId::as_str).collect()
}

#[test]
fn a_list_is_what_asking_and_sorting_everything_yields() {
    let mut ways = BTreeSet::new();
    for seed in 0..rounds(40, 1_000) {
        let mut dice = Dice::new("lists", seed);
        let world = World::random(&mut dice, seed);
        for _ in 0..120 {
            let (query, shown) = random_query(&world, &mut dice);
            let all = world.naive(&query);
            let page = world.list(&query);
            let got = ids(page.records.iter().map(|record| &record.id));
            let expected = ids(all.iter().map(|(id, _)| id).skip(query.offset).take(query.limit));
            assert_eq!(got, expected, "seed {seed}: {shown} by {:?}", page.plan);
            assert_eq!(page.total, query.count.then_some(all.len()), "seed {seed}: {shown} by {:?}", page.plan);
            let more = all.len() > query.offset + query.limit;
            assert_eq!(page.more.is_some(), more, "seed {seed}: {shown} by {:?}", page.plan);
            for record in &page.records {
                assert_eq!(record.fields, world.records[&ORDERS][&record.id].1);
            }
            let plan = &page.plan;
            let indexed = plan.walks.iter().filter(|walk| walk.index.is_some()).count();
            ways.insert((indexed.min(3), plan.order, plan.covered, plan.repeats, plan.steps.len().min(2)));
        }
    }
    assert!(ways.len() > 30, "only {} ways of walking were met: {ways:?}", ways.len());
}

#[test]
fn pages_by_cursor_go_on_behind_the_last_record_whatever_is_written_between() {
    let (mut pages, mut orders) = (0, BTreeSet::new());
    for seed in 0..rounds(40, 1_000) {
        let mut dice = Dice::new("cursors", 10_000 + seed);
        let mut world = World::random(&mut dice, seed);
        for _ in 0..25 {
            let (mut query, shown) = random_query(&world, &mut dice);
            query.limit = 1 + dice.roll(6) as usize;
            let writes = dice.roll(2) == 0;
            let mut page = world.list(&query);
            while let Some(more) = page.more.take() {
                let last = page.records.last().map(|last| (last.id.clone(), last.fields.clone())).unwrap();
                let mut kept = true;
                if writes && dice.roll(3) > 0 {
                    world.write(&mut dice);
                    world.history.churn(&mut dice);
                    kept = world.records[&ORDERS].get(&last.0).is_some_and(|(_, fields)| *fields == last.1);
                }
                if let Rows::Where(rule) = query.guard.rows(crate::model::guard::Action::List) {
                    kept &= world.holds(rule, &last.0, &last.1);
                }
                query.after = Some(more);
                query.offset = 0;
                let all = world.naive(&query);
                page = world.list(&query);
                let expected: Vec<_> = all.iter().filter(|one| order(&query.sort, one, &last).is_gt()).collect();
                let got = ids(page.records.iter().map(|record| &record.id));
                let long = |fields: &Fields| {
                    query.sort.iter().any(|part| match part.operand {
                        Operand::Field(field) => fields.get(field).text_bytes() > 4_000,
                        Operand::Id => false,
                    })
                };
                pages += 1;
                orders.insert(page.plan.order);
                assert_eq!(page.total, query.count.then_some(all.len()), "seed {seed}: {shown} by {:?}", page.plan);
                if !kept && long(&last.1) {
                    // What begins like a place that is gone may come again, but nothing is left out.
                    let first = expected.first().map(|(id, _)| id.as_str());
                    let met = first.is_none_or(|first| got.contains(&first) || page.more.is_some());
                    assert!(met, "seed {seed}: {shown} by {:?}", page.plan);
                    break;
                }
                let wanted = ids(expected.iter().map(|(id, _)| id).take(query.limit));
                assert_eq!(got, wanted, "seed {seed}: {shown} behind {} by {:?}", last.0, page.plan);
                assert_eq!(page.more.is_some(), expected.len() > query.limit, "seed {seed}: {shown}");
            }
        }
    }
    assert!(pages > 1_000, "only {pages} pages");
    assert_eq!(orders.into_iter().collect::<Vec<_>>(), [Order::Sorted, Order::Merged, Order::Walked]);
}

#[test]
fn a_place_that_no_list_gave_is_refused() {
    let mut dice = Dice::new("places", 1);
    let world = World::random(&mut dice, 1);
    for round in 0..rounds(2_000, 100_000) {
        let (mut query, _) = random_query(&world, &mut dice);
        let mut bytes: Vec<u8> = match world.list(&query).more {
            Some(mark) if round % 2 == 0 => mark.into_vec(),
            _ => (0..dice.roll(40)).map(|_| dice.roll(256) as u8).collect(),
        };
        if let Some(at) = (dice.roll(bytes.len() as u64 + 1) as usize).checked_sub(1) {
            bytes[at] = dice.roll(256) as u8;
        }
        query.after = Some(bytes.into());
        let mut budget = Budget::new(1_000_000, Instant::now() + Duration::from_secs(60));
        if let Err(error) = list(&world.history.stack, &world.history.schema, &query, &mut budget) {
            assert_eq!(error.code_str(), "bad_cursor");
        }
    }
}
