//! Asking the server for a list, by pages and by cursor, and what is wrong with its answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::definitions::Holds;
use crate::filters::sort_text;
use crate::model::{Model, Place, Question, Write, typed};
use crate::naive::V;
use crate::support::http::{Answer, Client};

/// A difference between what the server does and what it must.
pub(crate) type Check = Result<(), String>;

/// How a list is taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) per_page: usize,
    /// Whole records, and not their ids alone.
    pub(crate) whole: bool,
    pub(crate) count: bool,
}

/// One page.
pub(crate) struct Page {
    pub(crate) items: Vec<Map<String, Json>>,
    pub(crate) total: i64,
    pub(crate) pages: i64,
    pub(crate) cursor: Option<String>,
}

impl Page {
    fn ids(&self) -> Vec<&str> {
        self.items.iter().map(id_of).collect()
    }
}

fn id_of(item: &Map<String, Json>) -> &str {
    item.get("id").and_then(Json::as_str).unwrap_or("(no id)")
}

pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

pub(crate) fn path(asked: &Question, reading: Reading, more: &str) -> String {
    let mut path = format!("/api/collections/{}/records?perPage={}", asked.collection, reading.per_page);
    if !asked.filter.is_empty() {
        path.push_str("&filter=");
        path.push_str(&encoded(&asked.filter));
    }
    if !asked.sort.is_empty() {
        path.push_str("&sort=");
        path.push_str(&sort_text(&asked.sort));
    }
    if !reading.whole {
        path.push_str("&fields=id");
    }
    if !reading.count {
        path.push_str("&skipTotal=1");
    }
    path.push_str(more);
    path
}

pub(crate) fn get(client: &mut Client, asked: &Question, path: &str) -> Result<Answer, String> {
    // On a server in `dev` mode who comes by a foreign name is nobody.
    let headers: &[(&str, &str)] = if asked.anonymous { &[("host", "nobody.example")] } else { &[] };
    client.request("GET", path, headers, None).map_err(|error| format!("GET {path}\nno answer: {error}"))
}

pub(crate) fn page(client: &mut Client, asked: &Question, path: &str) -> Result<Page, String> {
    page_of(path, &get(client, asked, path)?)
}

pub(crate) fn page_of(path: &str, answer: &Answer) -> Result<Page, String> {
    if answer.status != 200 {
        return Err(format!("GET {path}\nis answered by {} {}", answer.status, answer.text()));
    }
    let Json::Object(mut json) = answer.json() else { return Err(format!("GET {path}\nanswers with no object")) };
    let Some(Json::Array(items)) = json.remove("items") else { return Err(format!("GET {path}\nhas no items")) };
    let items = items.into_iter().map(|item| match item {
        Json::Object(item) => item,
        other => panic!("{other} is no record"),
    });
    let number = |name: &str| json.get(name).and_then(Json::as_i64).unwrap_or(-2);
    let cursor = json.get("nextCursor").and_then(Json::as_str).map(str::to_owned);
    Ok(Page { items: items.collect(), total: number("totalItems"), pages: number("totalPages"), cursor })
}

/// Whether the list, taken in by pages, is the expected one.
pub(crate) fn by_pages(client: &mut Client, model: &mut Model, asked: &Question, reading: Reading) -> Check {
    let Some(expected) = model.answer(asked) else { return refused(client, asked, reading) };
    let pages = expected.len().div_ceil(reading.per_page);
    // One page too many is empty.
    let empty = usize::from(reading.whole || expected.is_empty());
    for number in 1..=pages + empty {
        let path = path(asked, reading, &format!("&page={number}"));
        let got = page(client, asked, &path)?;
        let from = expected.len().min((number - 1) * reading.per_page);
        let wanted = &expected[from..expected.len().min(from + reading.per_page)];
        compare(&path, model, asked, reading, &got, wanted)?;
        check_total(&path, reading, &got, expected.len())?;
    }
    Ok(())
}

/// Whether the list, taken in by cursor, is the expected one. Between two pages `between` may write.
pub(crate) fn by_cursor(
    client: &mut Client,
    model: &mut Model,
    asked: &Question,
    reading: Reading,
    mut between: impl FnMut(&mut Client, &mut Model) -> Check,
) -> Check {
    let mut last: Option<Place> = None;
    let mut cursor: Option<String> = None;
    let mut walked = Walked::default();
    loop {
        let Some(expected) = model.answer(asked) else { return refused(client, asked, reading) };
        let behind = |place: &Place| last.as_ref().is_none_or(|last| place.order(last).is_gt());
        let left: Vec<(String, Place)> = expected.iter().filter(|(_, place)| behind(place)).cloned().collect();
        let page_of_it = &left[..left.len().min(reading.per_page)];
        let more = cursor.map_or(String::new(), |cursor| format!("&cursor={}", encoded(&cursor)));
        let path = path(asked, reading, &more);
        let got = page(client, asked, &path)?;
        compare(&path, model, asked, reading, &got, page_of_it)?;
        check_total(&path, reading, &got, expected.len())?;
        let more = left.len() > reading.per_page;
        if more != got.cursor.is_some() {
            return Err(format!("GET {path}\n{} are left, and nextCursor is {:?}", left.len(), got.cursor));
        }
        walked.page(&expected, page_of_it);
        cursor = got.cursor;
        if cursor.is_none() {
            return walked.check();
        }
        last = left.get(reading.per_page - 1).map(|(_, place)| place.clone());
        between(client, model)?;
    }
}

/// What a walk by cursor has shown, and what it has to: the records that matched all the time in one place.
#[derive(Default)]
struct Walked {
    shown: Vec<(String, Place)>,
    throughout: Option<BTreeMap<String, Place>>,
}

impl Walked {
    fn page(&mut self, matches: &[(String, Place)], shown: &[(String, Place)]) {
        self.shown.extend_from_slice(shown);
        match &mut self.throughout {
            None => self.throughout = Some(matches.iter().cloned().collect()),
            Some(kept) => {
                let now: BTreeMap<&str, &Place> = matches.iter().map(|(id, place)| (id.as_str(), place)).collect();
                kept.retain(|id, place| now.get(id.as_str()) == Some(&&*place));
            }
        }
    }

    /// Each of those once, and all that was shown in order.
    fn check(&self) -> Check {
        if let Some(pair) = self.shown.windows(2).find(|pair| !pair[0].1.order(&pair[1].1).is_lt()) {
            return Err(format!("by cursor {} is shown before {}", pair[0].0, pair[1].0));
        }
        for (id, place) in self.throughout.iter().flatten() {
            let times = self.shown.iter().filter(|(shown, at)| shown == id && at == place).count();
            if times != 1 {
                return Err(format!("by cursor {id} is shown {times} times; it was there all the time"));
            }
        }
        Ok(())
    }
}

fn compare(
    path: &str,
    model: &Model,
    asked: &Question,
    reading: Reading,
    got: &Page,
    wanted: &[(String, Place)],
) -> Check {
    let ids: Vec<&str> = wanted.iter().map(|(id, _)| id.as_str()).collect();
    if got.ids() != ids {
        let known = |id: &&str| model.rows(asked.collection).get(*id).map(|row| format!("\n    {id}: {row:?}"));
        let differ = |a: &[&str], b: &[&str]| -> String {
            a.iter().filter(|id| !b.contains(id)).map(|id| known(id).unwrap_or(format!("\n    {id}"))).collect()
        };
        return Err(format!(
            "GET {path}\ngives {:?}\nand must {ids:?}\ntoo many:{}\nmissing:{}",
            got.ids(),
            differ(&got.ids(), &ids),
            differ(&ids, &got.ids()),
        ));
    }
    if !reading.whole {
        return Ok(());
    }
    for item in &got.items {
        let expected = &model.rows(asked.collection)[id_of(item)];
        let mut found = model.row(asked.collection, item);
        let mut expected = expected.clone();
        if asked.anonymous {
            expected.remove(crate::definitions::HIDDEN);
        }
        if found != expected {
            let same = found.clone();
            found.retain(|name, value| expected.get(name) != Some(value));
            expected.retain(|name, value| same.get(name) != Some(value));
            return Err(format!("GET {path}\n{} has {found:?}\nand must {expected:?}", id_of(item)));
        }
    }
    Ok(())
}

fn check_total(path: &str, reading: Reading, got: &Page, total: usize) -> Check {
    let wanted = if reading.count { (total as i64, total.div_ceil(reading.per_page) as i64) } else { (-1, -1) };
    if (got.total, got.pages) != wanted {
        return Err(format!("GET {path}\ntotals are {:?} and must be {wanted:?}", (got.total, got.pages)));
    }
    Ok(())
}

/// The total alone.
pub(crate) fn total(client: &mut Client, model: &mut Model, asked: &Question) -> Check {
    let Some(expected) = model.answer(asked) else { return Ok(()) };
    let reading = Reading { per_page: 1, whole: false, count: true };
    let path = path(asked, reading, "");
    check_total(&path, reading, &page(client, asked, &path)?, expected.len())
}

/// Nobody may list what only superusers may.
fn refused(client: &mut Client, asked: &Question, reading: Reading) -> Check {
    let path = path(asked, reading, "");
    let answer = get(client, asked, &path)?;
    if answer.status != 401 {
        return Err(format!("GET {path}\nis answered by {} and must be refused\n{}", answer.status, answer.text()));
    }
    Ok(())
}

/// A write that was accepted, and what the server set by it.
pub(crate) type Written = (Write, Option<V>);

pub(crate) fn send(client: &mut Client, write: &Write) -> Result<Answer, String> {
    let records = format!("/api/collections/{}/records", write.collection);
    let path = if write.method == "POST" { records } else { format!("{records}/{}", write.id) };
    let body = Json::Object(write.body.clone()).to_string();
    let answer = match write.method {
        "DELETE" => client.request("DELETE", &path, &[], None),
        method => client.json(method, &path, &body),
    };
    answer.map_err(|error| format!("{write:?}: {error}"))
}

/// Sends a write and carries it out on the model.
pub(crate) fn write(client: &mut Client, model: &mut Model, write: &Write) -> Check {
    let answer = send(client, write)?;
    let accepted = model.is_accepted(write);
    let wanted = match write.method {
        _ if !accepted => 409,
        "POST" => 201,
        "DELETE" => 204,
        _ => 200,
    };
    if answer.status != wanted {
        return Err(format!("{write:?}\nis answered by {} and must by {wanted}\n{}", answer.status, answer.text()));
    }
    if accepted {
        model.apply(write, made(&answer));
    }
    Ok(())
}

/// What the server set, as an answer to a write says it.
pub(crate) fn made(answer: &Answer) -> Option<V> {
    let json: Json = serde_json::from_slice(&answer.body).ok()?;
    json.get("made").filter(|made| !made.is_null()).map(|made| typed(Holds::Made, made))
}

/// A caller who must not know of a field is told what he is told of one that is not there, wherever he names it.
pub(crate) fn hidden_is_unknown(client: &mut Client, asked: &Question, field: &str) -> Check {
    // Of the same length, so that columns are the same.
    let other: String = field.chars().rev().collect();
    let ways = |name: &str| {
        let filter =
            encoded(&format!("({}) && {name} != 'x'", if asked.filter.is_empty() { "1 = 1" } else { &asked.filter }));
        [
            format!("filter={filter}"),
            format!("filter=boss.{name}%20=%20'a'"),
            format!("filter=users_via_boss.{name}:isset"),
            format!("sort=name,-{name}"),
            format!("fields=id,{name}"),
            format!("fields=id,boss.{name}"),
            format!("expand={name}"),
            format!("embed=boss(id,{name})"),
        ]
    };
    for (hidden, unknown) in ways(field).iter().zip(ways(&other)) {
        let mut told = |query: &str, name: &str| -> Result<(u16, String), String> {
            let answer = get(client, asked, &format!("/api/collections/users/records?{query}"))?;
            let mut json = answer.json();
            json.as_object_mut().map(|json| json.remove("requestId"));
            Ok((answer.status, json.to_string().replace(name, "NAME")))
        };
        let (hidden_told, unknown_told) = (told(hidden, field)?, told(&unknown, &other)?);
        if hidden_told != unknown_told || hidden_told.0 == 200 {
            return Err(format!("{hidden} is told from {unknown}\n{hidden_told:?}\n{unknown_told:?}"));
        }
    }
    Ok(())
}
