//! A definition is changed over more records than one entry holds, while others read and write: who reads sees one
//! definition or the other, and what is written is there afterwards, in the form that holds then.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millpond::limits;
use serde_json::{Value, json};

use crate::support::ends::Ends;
use crate::support::http::{Answer, Client};
use crate::support::server::Running;

const COLLECTION: &str = "/api/collections/things";
const RECORDS: &str = "/api/collections/things/records";
/// Several pieces.
const COUNT: usize = 2 * limits::INDEX_AT_ONCE_ROWS + 500;

fn n(kind: &str) -> Value {
    match kind {
        "int" => json!({"name": "n", "type": "number", "integer": true}),
        _ => json!({"name": "n", "type": "text"}),
    }
}

/// A server with so many records: `n` counts, `t` is its square in words.
fn filled() -> (Running, Client) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let definition = json!({"name": "things", "fields": [n("int"), {"name": "t", "type": "text"}],
        "indexes": [{"name": "n", "fields": ["n"]}]});
    let made = client.json("POST", "/api/collections", &definition.to_string()).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let lines: String =
        (0..COUNT).map(|n| format!("{{\"id\":\"r{n:05}\",\"n\":{n},\"t\":\"t{}\"}}\n", n * n)).collect();
    let kind = [("content-type", "application/x-ndjson")];
    let import = format!("{COLLECTION}/import");
    let done = client.request("POST", &import, &kind, Some(lines.as_bytes())).expect("an answer");
    assert_eq!(done.status, 200, "{}", done.text());
    (server, client)
}

/// Changes the fields; the answer comes once all is done, or refused.
fn change(client: &mut Client, fields: &Value) -> Answer {
    client.json("PATCH", COLLECTION, &json!({"fields": fields}).to_string()).expect("an answer")
}

fn changed(client: &mut Client, fields: &Value) -> Value {
    let answer = change(client, fields);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let definition = answer.json();
    assert!(definition.get("changing").is_none() && definition.get("refused").is_none(), "{definition}");
    definition
}

fn get(client: &mut Client, target: &str) -> Value {
    let answer = client.get(target).expect("an answer");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

/// All records, by id.
fn all(client: &mut Client) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let answer = get(client, &format!("{RECORDS}?sort=id&perPage=200&page={page}"));
        let items = answer["items"].as_array().expect("items").clone();
        if items.is_empty() {
            return all;
        }
        all.extend(items);
    }
    unreachable!("it ends")
}

/// What goes on while definitions change.
struct Others {
    stop: AtomicBool,
    /// Answers in which `n` was a number, and in which it was a text.
    seen: [AtomicU64; 2],
}

impl Others {
    fn seen(&self, text: bool) -> u64 {
        self.seen[usize::from(text)].load(Ordering::Acquire)
    }

    /// Waits until the other form has been seen again.
    fn await_seen(&self, text: bool) {
        let before = self.seen(text);
        while self.seen(text) == before {
            std::thread::yield_now();
        }
    }

    /// Lists and filters; every answer is of one definition.
    fn read(&self, address: SocketAddr) {
        let mut client = Client::new(address);
        while !self.stop.load(Ordering::Acquire) {
            let page = get(&mut client, &format!("{RECORDS}?sort=n&perPage=200&fields=id,n"));
            let items = page["items"].as_array().expect("items");
            let text = items[0]["n"].is_string();
            let of_one = |item: &Value| if text { item["n"].is_string() } else { item["n"].is_i64() };
            assert!(items.len() == 200 && items.iter().all(of_one), "{page}");
            let order = |pair: &[Value]| match text {
                true => pair[0]["n"].as_str() <= pair[1]["n"].as_str(),
                false => pair[0]["n"].as_i64() <= pair[1]["n"].as_i64(),
            };
            assert!(items.windows(2).all(order), "in another definition's order: {page}");
            // By a number, and by a text: under one of the definitions each is right, under the other it is refused.
            for (filter, value) in [("n%3D77", json!(77)), ("n%3D%2277%22", json!("77"))] {
                let answer = client.get(&format!("{RECORDS}?filter={filter}")).expect("an answer");
                match answer.status {
                    200 => {
                        assert_eq!((&answer.json()["items"][0]["n"], &answer.json()["totalItems"]), (&value, &json!(1)))
                    }
                    status => assert_eq!(status, 400, "{}", answer.text()),
                }
            }
            self.seen[usize::from(text)].fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Creates records, in whichever form is taken; how many were.
    fn write(&self, address: SocketAddr) -> usize {
        let mut client = Client::new(address);
        let mut made = 0;
        while !self.stop.load(Ordering::Acquire) {
            let n = COUNT + made;
            let mut put = |n: Value| {
                let body = json!({"n": n, "t": "new"}).to_string();
                client.json("PUT", &format!("{RECORDS}/w{made:06}"), &body).expect("an answer")
            };
            let mut answer = put(json!(n));
            if answer.status == 400 {
                answer = put(json!(n.to_string()));
            }
            match answer.status {
                201 => made += 1,
                // It became the other form between the two.
                400 => {}
                _ => panic!("{}", answer.text()),
            }
        }
        made
    }
}

/// Does some changes while others read and write; how many records were written meanwhile.
fn amid_others(server: &Running, changes: impl FnOnce(&Others)) -> usize {
    let others = Others { stop: AtomicBool::new(false), seen: [AtomicU64::new(0), AtomicU64::new(0)] };
    let address = server.address;
    std::thread::scope(|scope| {
        let readers = [0, 1].map(|_| scope.spawn(|| others.read(address)));
        let writer = scope.spawn(|| others.write(address));
        let ends = Ends(&others.stop);
        changes(&others);
        drop(ends);
        readers.into_iter().for_each(|reader| reader.join().expect("each answer is of one definition"));
        writer.join().expect("each write is taken")
    })
}

#[test]
fn a_type_is_converted_there_and_back_while_others_read_and_write() {
    let (server, mut client) = filled();
    let fields = |kind| json!([n(kind), {"name": "t", "type": "text"}]);
    let made = amid_others(&server, |others| {
        others.await_seen(false);
        for _ in 0..3 {
            let text = changed(&mut client, &fields("text"));
            assert_eq!(text["fields"][0]["type"], "text");
            others.await_seen(true);
            changed(&mut client, &fields("int"));
            others.await_seen(false);
        }
    });
    let all = all(&mut client);
    assert_eq!(all.len(), COUNT + made);
    for (at, record) in all.iter().enumerate() {
        assert_eq!(record["n"], json!(at), "{record}");
    }
    assert_eq!(all[100]["t"], "t10000");
}

#[test]
fn a_text_that_is_no_number_is_named_and_everything_is_as_before() {
    let (_server, mut client) = filled();
    let fields = |kind| json!([n(kind), {"name": "t", "type": "text"}]);
    changed(&mut client, &fields("text"));
    let bad = COUNT - 100;
    for at in [bad, COUNT - 1] {
        let merged = client.json("PATCH", &format!("{RECORDS}/r{at:05}"), r#"{"n":"many"}"#).expect("an answer");
        assert_eq!(merged.status, 200, "{}", merged.text());
    }
    let before = get(&mut client, COLLECTION);
    let refused = change(&mut client, &fields("int"));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let told = refused.json();
    assert_eq!(told["code"], "refused", "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains(&format!("r{bad:05}"))), "the first: {told}");
    let mut after = get(&mut client, COLLECTION);
    assert_eq!((&after["refused"]["record"], &after["refused"]["field"]), (&json!(format!("r{bad:05}")), &json!("n")));
    after.as_object_mut().expect("an object").remove("refused");
    assert_eq!(after["fields"], before["fields"]);
    assert_eq!(after["indexes"], before["indexes"]);
    let all = all(&mut client);
    assert_eq!((all.len(), &all[7]["n"], &all[bad]["n"]), (COUNT, &json!("7"), &json!("many")));
    // Once it is one, it goes.
    for at in [bad, COUNT - 1] {
        let merged = client.json("PATCH", &format!("{RECORDS}/r{at:05}"), r#"{"n":"1"}"#).expect("an answer");
        assert_eq!(merged.status, 200, "{}", merged.text());
    }
    changed(&mut client, &fields("int"));
    let one = get(&mut client, &format!("{RECORDS}?filter=n%3D1&sort=id"));
    let ids: Vec<&str> =
        one["items"].as_array().expect("items").iter().filter_map(|item| item["id"].as_str()).collect();
    assert_eq!(ids, ["r00001".to_owned(), format!("r{bad:05}"), format!("r{:05}", COUNT - 1)]);
}

#[test]
fn a_stricter_rule_a_rename_and_a_removal_amid_reads_and_writes() {
    let (server, mut client) = filled();
    let made = amid_others(&server, |_| {
        let too_strict = json!([{"name": "n", "type": "number", "integer": true, "max": COUNT - 11},
            {"name": "t", "type": "text"}]);
        let refused = change(&mut client, &too_strict);
        assert_eq!(refused.status, 422, "{}", refused.text());
        // A write may have come first, of which each stands against it too.
        let record = get(&mut client, COLLECTION)["refused"]["record"].clone();
        let is_in_the_way =
            record.as_str().is_some_and(|id| id == format!("r{:05}", COUNT - 10) || id.starts_with('w'));
        assert!(is_in_the_way, "{record}");
        let stricter = json!([{"name": "n", "type": "number", "integer": true, "min": 0},
            {"name": "t", "type": "text", "pattern": "^(t[0-9]+|new)$"}]);
        let definition = changed(&mut client, &stricter);
        let id = definition["fields"][1]["id"].clone();
        assert_eq!(client.json("PUT", &format!("{RECORDS}/bad"), r#"{"n":-1}"#).expect("an answer").status, 400);
        // The name alone: writers go on under the old one and the new one, as they are refused by either.
        let renamed = json!([{"name": "n", "type": "number", "integer": true, "min": 0},
            {"id": id, "name": "t", "type": "text", "max": 20}]);
        changed(&mut client, &renamed);
    });
    let t = get(&mut client, COLLECTION)["fields"][1]["id"].clone();
    let whole = json!({"name": "n", "type": "number", "integer": true, "min": 0});
    let renamed = changed(&mut client, &json!([whole, {"id": t, "name": "word", "type": "text", "max": 10}]));
    assert_eq!(renamed["fields"][1]["name"], "word");
    let all_of_them = all(&mut client);
    assert_eq!(all_of_them.len(), COUNT + made);
    assert!(all_of_them[10].get("t").is_none() && all_of_them[10]["word"] == "t100", "{}", all_of_them[10]);
    assert!(all_of_them.iter().skip(COUNT).all(|record| record["word"] == "new"));

    changed(&mut client, &json!([{"name": "n", "type": "number", "integer": true, "min": 0, "max": 10_000_000}]));
    let all_of_them = all(&mut client);
    assert_eq!(all_of_them.len(), COUNT + made);
    assert!(all_of_them.iter().all(|record| record.get("word").is_none()));
    // What comes again under the name is another field.
    changed(&mut client, &json!([whole, {"name": "word", "type": "text", "default": "none"}]));
    assert!(all(&mut client).iter().all(|record| record["word"] == "none"));
}
