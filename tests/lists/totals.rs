//! Aggregates against a naive loop: of the records that a full scan lists, in the order of their ids, keys and values by
//! the naive interpreter, groups in a plain map, each measure worked out from all of its values at once.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use millpond::model::expr::parse;
use millpond::time::Millis;
use serde_json::{Map, Value as Json, json};

use crate::ask::{Check, encoded, get};
use crate::model::{Model, Question, pick};
use crate::naive::{self, Case, V};
use crate::support::http::Client;
use crate::support::rng::Rng;

/// A source as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    keys: Vec<&'static str>,
    values: Vec<(&'static str, &'static str)>,
    /// At least so many in a group.
    least: Option<i64>,
}

/// What records of a collection may be grouped by.
fn keys_of(collection: &str) -> &'static [&'static str] {
    match collection {
        "teams" => &["name", "size", "open", "tags", "tags:each", "size % 3", "len(name)", "users_via_team.name"],
        "users" => &[
            "name",
            "age",
            "rank",
            "active",
            "born",
            "team",
            "roles:each",
            "year(born)",
            "team.name",
            "boss.age",
            "lower(name)",
            "age > 2",
            "if(active = true, name, 'none')",
        ],
        _ => &[
            "status",
            "total",
            "n",
            "at",
            "flag",
            "note",
            "tags",
            "tags:each",
            "user",
            "team",
            "date(at)",
            "user.name",
            "user.team.name",
            "watchers:each",
            "n % 2",
            "round(total, 1)",
            "made",
        ],
    }
}

/// What may be measured: numbers, and what has an order.
fn measured(collection: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match collection {
        "teams" => (&["size", "size * 2", "len(tags)"], &["name", "id", "open", "tags"]),
        "users" => (&["age", "rank", "age + rank", "team.size"], &["name", "born", "id", "team.name", "roles"]),
        _ => (
            &["total", "n", "total * 2 - n", "n / 2", "user.age", "meta.num"],
            &["status", "at", "note", "id", "tags", "user.name", "watchers"],
        ),
    }
}

const OF_NUMBERS: [&str; 3] = ["sum", "avg", "stddev"];
const OF_ANY: [&str; 7] = ["min", "max", "any", "first", "last", "countDistinct", "count"];
const PERCENTS: [&str; 5] = ["0", "25", "50", "95.5", "100"];

impl Asked {
    pub(crate) fn random(rng: &mut Rng, question: Question) -> Asked {
        let mut keys: Vec<&'static str> = Vec::new();
        for _ in 0..rng.below(4) {
            let key = *pick(rng, keys_of(question.collection));
            let is_each = |key: &str| key.ends_with(":each") || key.starts_with("users_via");
            if !(keys.contains(&key) || is_each(key) && keys.iter().any(|known| is_each(known))) {
                keys.push(key);
            }
        }
        let (numbers, others) = measured(question.collection);
        let mut values = vec![("count", "")];
        for _ in 0..rng.below(4) {
            let number = rng.once_in(2);
            let of = *pick(rng, if number { numbers } else { others });
            values.push(match (rng.below(3), number) {
                (0, true) => (*pick(rng, &OF_NUMBERS), of),
                (1, _) if of != "tags" && of != "roles" && of != "watchers" => ("percentile", of),
                _ => (*pick(rng, &OF_ANY), of),
            });
        }
        let least = rng.once_in(5).then(|| 1 + rng.below(3) as i64);
        Asked { question, keys, values, least }
    }

    fn texts(&self, rng: &mut Rng) -> (Vec<String>, Vec<(String, f64)>) {
        let keys = self.keys.iter().map(|key| (*key).to_owned()).collect();
        let value = |(what, of): &(&str, &str)| match *what {
            "percentile" => {
                let percent = *pick(rng, &PERCENTS);
                (format!("percentile({of}, {percent})"), percent.parse().expect("a number"))
            }
            what => (format!("{what}({of})"), 0.0),
        };
        (keys, self.values.iter().map(value).collect())
    }

    /// What a loop over all records gives: the rows in the order of their keys; `None` where the caller may not list.
    fn naive(&self, model: &mut Model, percents: &[f64]) -> Option<Vec<Vec<V>>> {
        let all = Question { sort: Vec::new(), ..self.question.clone() };
        let found = model.answer(&all)?;
        let records = model.sight(self.question.anonymous).clone();
        let mut groups: BTreeMap<Keys, Vec<Vec<(String, V)>>> = BTreeMap::new();
        for (id, _) in found.iter() {
            let row = &model.rows(self.question.collection)[id];
            let mut case = Case::of(&records, self.question.collection, id, row);
            case.method = "GET";
            let value = |text: &str| naive::value(&case, &parse(text).expect("an expression"));
            let mut keys = vec![Vec::new()];
            for key in &self.keys {
                let value = value(key);
                let is_each = key.ends_with(":each") || key.starts_with("users_via");
                let choices = if is_each { different(&value) } else { vec![value] };
                keys = keys
                    .iter()
                    .flat_map(|before| choices.iter().map(move |one| [&before[..], std::slice::from_ref(one)].concat()))
                    .collect();
            }
            for key in keys {
                let of = groups.entry(Keys(key)).or_insert_with(|| vec![Vec::new(); self.values.len()]);
                for ((what, text), values) in self.values.iter().zip(of) {
                    let value = if text.is_empty() { V::Int(1) } else { value(text) };
                    let whole = matches!(*what, "any" | "first" | "last");
                    let each = if whole { vec![value] } else { naive::each(&value) };
                    values.extend(each.into_iter().filter(|one| *one != V::Null).map(|one| (id.clone(), one)));
                }
            }
        }
        if self.keys.is_empty() {
            groups.entry(Keys(Vec::new())).or_insert_with(|| vec![Vec::new(); self.values.len()]);
        }
        let rows = groups.into_iter().filter_map(|(Keys(mut row), values)| {
            for (((what, _), percent), values) in self.values.iter().zip(percents).zip(values) {
                row.push(reduced(what, *percent, &values));
            }
            let keeps = self.least.is_none_or(|least| matches!(row[self.keys.len()], V::Int(count) if count >= least));
            keeps.then_some(row)
        });
        Some(rows.collect())
    }
}

/// The different elements of a list; null where there is none.
fn different(value: &V) -> Vec<V> {
    let mut found: Vec<V> = Vec::new();
    for one in naive::each(value).into_iter().filter(|one| *one != V::Null) {
        if !found.iter().any(|known| order(known, &one).is_eq()) {
            found.push(one);
        }
    }
    if found.is_empty() { vec![V::Null] } else { found }
}

fn reduced(what: &str, percent: f64, values: &[(String, V)]) -> V {
    let numbers = || values.iter().filter_map(|(_, value)| number(value)).collect::<Vec<f64>>();
    let mut sorted: Vec<V> = values.iter().map(|(_, value)| value.clone()).collect();
    sorted.sort_by(order);
    let nth = |at: usize| sorted.get(at).cloned().unwrap_or(V::Null);
    let finite = |number: f64| if number.is_finite() { V::Number(number) } else { V::Null };
    match what {
        "count" => V::Int(values.len() as i64),
        "countDistinct" => {
            sorted.dedup_by(|a, b| order(a, b).is_eq());
            V::Int(sorted.len() as i64)
        }
        "sum" | "avg" => {
            let numbers: Vec<&V> = values.iter().map(|(_, value)| value).filter(|one| number(one).is_some()).collect();
            let whole: Option<i128> =
                numbers.iter().map(|one| if let V::Int(int) = one { Some(i128::from(*int)) } else { None }).sum();
            let exact = exact_sum(&numbers);
            match (what, whole.and_then(|whole| i64::try_from(whole).ok())) {
                ("sum", Some(whole)) => V::Int(whole),
                ("sum", None) => finite(exact),
                _ if numbers.is_empty() => V::Null,
                _ => finite(exact / numbers.len() as f64),
            }
        }
        "stddev" => {
            let numbers = numbers();
            if numbers.len() < 2 {
                return V::Null;
            }
            // Scaled down, so that no square leaves the floats.
            let most = numbers.iter().fold(0.0f64, |most, one| most.max(one.abs()));
            if most == 0.0 {
                return V::Number(0.0);
            }
            let numbers: Vec<f64> = numbers.iter().map(|one| one / most).collect();
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let squares: f64 = numbers.iter().map(|one| (one - mean).powi(2)).sum();
            finite((squares / (numbers.len() - 1) as f64).sqrt() * most)
        }
        "min" | "any" => nth(0),
        "max" => nth(sorted.len().wrapping_sub(1)),
        // They come in the order of their ids.
        "first" => values.first().map_or(V::Null, |(_, value)| value.clone()),
        "last" => values.last().map_or(V::Null, |(_, value)| value.clone()),
        _ => {
            let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
            nth(rank.max(1) - 1)
        }
    }
}

/// Shewchuk's sum: what does not fit one float is kept in others.
fn exact_sum(numbers: &[&V]) -> f64 {
    let mut parts: Vec<f64> = Vec::new();
    let mut add = |mut x: f64| {
        let mut kept = Vec::new();
        for y in &parts {
            let (big, small) = if x.abs() < y.abs() { (*y, x) } else { (x, *y) };
            let sum = big + small;
            let rest = small - (sum - big);
            if rest != 0.0 {
                kept.push(rest);
            }
            x = sum;
        }
        kept.push(x);
        parts = kept;
    };
    for one in numbers {
        match one {
            V::Int(int) => {
                // In halves that floats hold.
                add((int >> 32) as f64 * 4_294_967_296.0);
                add((int & 0xFFFF_FFFF) as f64);
            }
            V::Number(number) => add(*number),
            _ => {}
        }
    }
    parts.iter().rev().sum()
}

fn number(value: &V) -> Option<f64> {
    match value {
        V::Int(int) => Some(*int as f64),
        V::Number(number) => Some(*number),
        _ => None,
    }
}

/// Keys in the order that they are told in.
#[derive(Clone, Debug)]
struct Keys(Vec<V>);

impl Ord for Keys {
    fn cmp(&self, other: &Keys) -> Ordering {
        self.0.iter().zip(&other.0).map(|(a, b)| order(a, b)).fold(Ordering::Equal, Ordering::then)
    }
}

impl PartialOrd for Keys {
    fn partial_cmp(&self, other: &Keys) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Keys {}

/// By kind, then by value.
fn order(a: &V, b: &V) -> Ordering {
    let rank = |value: &V| match value {
        V::Null => 0,
        V::Bool(_) => 1,
        V::Int(_) | V::Number(_) => 2,
        V::Date(_) => 3,
        V::Text(_) => 4,
        V::List(_) => 5,
        V::Object(_) => 6,
    };
    match (a, b) {
        (V::Bool(a), V::Bool(b)) => a.cmp(b),
        (V::Int(a), V::Int(b)) => a.cmp(b),
        (V::Number(a), V::Number(b)) => a.partial_cmp(b).expect("finite"),
        // None of the wholes that are no float stands beside floats here, but for the greatest.
        (V::Int(a), V::Number(b)) => (*a as f64).partial_cmp(b).expect("finite"),
        (V::Number(a), V::Int(b)) => a.partial_cmp(&(*b as f64)).expect("finite"),
        (V::Date(a), V::Date(b)) => a.cmp(b),
        (V::Text(a), V::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (V::List(a), V::List(b)) => {
            let each = a.iter().zip(b).map(|(a, b)| order(a, b));
            each.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (V::Object(a), V::Object(b)) => a.to_string().cmp(&b.to_string()),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn shown(value: &V) -> Json {
    match value {
        V::Null => Json::Null,
        V::Bool(flag) => json!(flag),
        V::Int(int) => json!(int),
        V::Number(number) if number.fract() == 0.0 && number.abs() < 9e18 => json!(*number as i64),
        V::Number(number) => json!(number),
        V::Text(text) => json!(text),
        V::Date(at) => json!(Millis(*at).to_string()),
        V::List(items) => items.iter().map(shown).collect(),
        V::Object(object) => object.clone(),
    }
}

/// The same, but for the last bits of a number that was read from text, or worked out in another way.
fn is_same(expected: &Json, got: &Json) -> bool {
    match (expected.as_f64(), got.as_f64()) {
        (Some(a), Some(b)) => expected == got || (a - b).abs() <= 1e-9 * a.abs() || (a - b).abs() < 1e-9,
        (None, None) => match (expected, got) {
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
            _ => expected == got,
        },
        _ => false,
    }
}

fn compare(what: &str, answer: &Json, names: &[String], expected: &[Vec<V>]) -> Check {
    let item = |row: &Vec<V>| -> Map<String, Json> { names.iter().cloned().zip(row.iter().map(shown)).collect() };
    let expected: Vec<Map<String, Json>> = expected.iter().map(item).collect();
    let got = answer["items"].as_array().cloned().unwrap_or_default();
    let same = |expected: &Map<String, Json>, got: &Json| {
        let Json::Object(got) = got else { return false };
        expected.len() == got.len()
            && expected.iter().zip(got).all(|((name, a), (other, b))| name == other && is_same(a, b))
    };
    let wrong = expected.len() != got.len() || !expected.iter().zip(&got).all(|(a, b)| same(a, b));
    if wrong || answer["totalItems"] != json!(expected.len()) {
        let at = expected.iter().zip(&got).position(|(a, b)| !same(a, b));
        return Err(format!("{what}\nmust give {expected:#?}\nand gives {answer:#}\nfirst at {at:?}"));
    }
    Ok(())
}

/// One source, by its query string.
pub(crate) fn one(client: &mut Client, model: &mut Model, asked: &Asked, rng: &mut Rng) -> Check {
    let (keys, values) = asked.texts(rng);
    let named = |letter: char, texts: &mut dyn Iterator<Item = &String>| -> (Vec<String>, String) {
        let names: Vec<(String, String)> =
            texts.enumerate().map(|(at, text)| (format!("{letter}{at}"), format!("{letter}{at}:{text}"))).collect();
        (
            names.iter().map(|(name, _)| name.clone()).collect(),
            names.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>().join(","),
        )
    };
    let (key_names, group) = named('k', &mut keys.iter());
    let texts: Vec<String> = values.iter().map(|(text, _)| text.clone()).collect();
    let (value_names, list) = named('v', &mut texts.iter());
    let mut path = format!(
        "/api/collections/{}/records/aggregate?group={}&values={}&filter={}",
        asked.question.collection,
        encoded(&group),
        encoded(&list),
        encoded(&asked.question.filter)
    );
    if let Some(least) = asked.least {
        path.push_str(&format!("&having={}", encoded(&format!("v0 >= {least}"))));
    }
    let answer = get(client, &asked.question, &path)?;
    let percents: Vec<f64> = values.iter().map(|(_, percent)| *percent).collect();
    let Some(expected) = asked.naive(model, &percents) else {
        return if answer.status == 401 { Ok(()) } else { Err(format!("{path}\nis answered by {}", answer.status)) };
    };
    if answer.status != 200 {
        return Err(format!("GET {path}\nis answered by {} {}", answer.status, answer.text()));
    }
    compare(&path, &answer.json(), &[key_names, value_names].concat(), &expected)
}

/// Two sources of one collection, joined by a key or put together, as a superuser.
pub(crate) fn two(client: &mut Client, model: &mut Model, pair: [&Asked; 2], rng: &mut Rng) -> Check {
    let key = *pick(rng, keys_of(pair[0].question.collection));
    let kind = *pick(rng, &["inner", "left", "full", "union"]);
    let mut tables = Vec::new();
    let mut sources = Map::new();
    for (name, asked) in ["a", "b"].into_iter().zip(pair) {
        let mut asked = Asked { keys: vec![key], ..asked.clone() };
        asked.values.truncate(2);
        asked.question.anonymous = false;
        let (_, values) = asked.texts(rng);
        let of = |(at, (text, _)): (usize, &(String, f64))| (format!("{name}{at}"), json!(text));
        let mut source = json!({
            "collection": asked.question.collection, "filter": asked.question.filter, "group": {"k": key},
            "values": values.iter().enumerate().map(of).collect::<Map<_, _>>(),
        });
        if let Some(least) = asked.least {
            source["having"] = json!(format!("{name}0 >= {least}"));
        }
        sources.insert(name.to_owned(), source);
        let percents: Vec<f64> = values.iter().map(|(_, percent)| *percent).collect();
        tables.push(asked.naive(model, &percents).expect("a superuser may list"));
    }
    let merge = if kind == "union" { json!("union") } else { json!({"join": ["k"], "kind": kind}) };
    let body = json!({"sources": sources, "merge": merge}).to_string();
    let answer = client.json("POST", "/api/aggregate", &body).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("{body}\nis answered by {} {}", answer.status, answer.text()));
    }
    let names: Vec<String> = ["a", "b"]
        .iter()
        .zip(pair)
        .flat_map(|(name, asked)| (0..asked.values.len().min(2)).map(move |at| format!("{name}{at}")))
        .collect();
    let names: Vec<String> = std::iter::once("k".to_owned()).chain(names).collect();
    let counts = pair.map(|asked| asked.values.len().min(2));
    compare(&body, &answer.json(), &names, &merged(kind, &tables, counts))
}

/// Every pair of rows is looked at.
fn merged(kind: &str, tables: &[Vec<Vec<V>>], counts: [usize; 2]) -> Vec<Vec<V>> {
    let nulls = counts.map(|count| vec![V::Null; count]);
    let mut rows = Vec::new();
    if kind == "union" {
        rows.extend(tables[0].iter().map(|a| [&a[..], &nulls[1]].concat()));
        rows.extend(tables[1].iter().map(|b| [&b[..1], &nulls[0], &b[1..]].concat()));
        return rows;
    }
    let meets = |a: &[V], b: &[V]| order(&a[0], &b[0]).is_eq();
    for a in &tables[0] {
        let others: Vec<&Vec<V>> = tables[1].iter().filter(|b| meets(a, b)).collect();
        rows.extend(others.iter().map(|b| [&a[..], &b[1..]].concat()));
        if others.is_empty() && kind != "inner" {
            rows.push([&a[..], &nulls[1]].concat());
        }
    }
    if kind == "full" {
        let lonely = tables[1].iter().filter(|b| !tables[0].iter().any(|a| meets(a, b)));
        rows.extend(lonely.map(|b| [&b[..1], &nulls[0], &b[1..]].concat()));
    }
    rows
}
