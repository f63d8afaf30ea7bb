//! Batches at their bounds, under load and made of broken parts.

use crate::support::http::{Answer, Client};
use crate::support::results::size;
use crate::support::rng::Rng;
use crate::support::server::Running;

const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text","max":2000000},{"name":"n","type":"number","integer":true},{"name":"tags","type":"select","values":["a","b"],"maxSelect":2}],"indexes":[{"name":"text","fields":["n"]}],"listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":""}"#;
const RECORDS: &str = "/api/collections/notes/records";

fn with_notes() -> (Running, Client) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    assert_eq!(client.json("POST", "/api/collections", NOTES).expect("an answer").status, 201);
    (server, client)
}

fn batch(requests: &[String]) -> String {
    format!(r#"{{"requests":[{}]}}"#, requests.join(","))
}

fn put(id: &str, text: &str) -> String {
    format!(r#"{{"method":"PUT","url":"{RECORDS}/{id}?fields=id","body":{{"text":"{text}"}}}}"#)
}

fn send(client: &mut Client, body: &str) -> Answer {
    client.json("POST", "/api/batch", body).expect("an answer")
}

fn count(client: &mut Client) -> u64 {
    let list = client.get(&format!("{RECORDS}?perPage=1&fields=id")).expect("an answer");
    list.json()["totalItems"].as_u64().expect("a count")
}

/// A JSON payload as the JavaScript client sends it.
fn form(boundary: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"@jsonPayload\"\r\n\r\n");
    [head.as_bytes(), payload, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}

#[test]
fn a_batch_is_bounded_in_requests_and_bytes() {
    let (_server, mut client) = with_notes();
    let most: Vec<String> = (0..1_000).map(|n| put(&format!("r{n}"), "x")).collect();
    let more = [&most[..], &[put("more", "x")]].concat();
    let refused = send(&mut client, &batch(&more));
    assert_eq!((refused.status, &refused.json()["code"]), (413, &"too_many_requests".into()), "{}", refused.text());
    assert_eq!(count(&mut client), 0);
    let taken = send(&mut client, &batch(&most));
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(taken.json().as_array().map(Vec::len), Some(1_000));
    assert_eq!(count(&mut client), 1_000);

    let long = "x".repeat(1_900_000);
    let big: Vec<String> = (0..9).map(|n| put(&format!("big{n}"), &long)).collect();
    assert_eq!(send(&mut client, &batch(&big[..8])).status, 200, "a batch may be larger than a body alone");
    let refused = send(&mut client, &batch(&big));
    assert_eq!((refused.status, &refused.json()["code"]), (413, &"body_too_large".into()));
    assert_eq!(count(&mut client), 1_008);
}

#[test]
fn requests_may_be_hostile_in_number_and_in_shape() {
    let (_server, mut client) = with_notes();
    let numbers = format!(r#"{{"requests":[{}]}}"#, vec!["0"; 1_000_000].join(","));
    assert_eq!(send(&mut client, &numbers).status, 413);
    // Each of a thousand is faulty: the answer names as many as it names faults of one body.
    let faulty = batch(&vec![r#"{"method":"PUT"}"#.to_owned(); 1_000]);
    let refused = send(&mut client, &faulty);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["data"]["requests"].as_object().map(serde_json::Map::len), Some(100));
    let unknown: String = (0..100).map(|n| format!(r#""f{n}":1,"#)).collect();
    let faulty = format!(r#"{{"method":"POST","url":"{RECORDS}","body":{{{unknown}"n":1}}}}"#);
    let refused = send(&mut client, &batch(&vec![faulty; 1_000]));
    assert_eq!(refused.json()["data"]["requests"].as_object().map(serde_json::Map::len), Some(1));
    // A text of ten megabytes is no record's, and so is one of a kind that is no text.
    let refused = send(&mut client, &batch(&[put("a", &"x".repeat(10 << 20))]));
    assert_eq!(refused.json()["data"]["requests"]["0"]["response"]["status"], 400, "{}", refused.status);
    let deep = format!(r#"{{"requests":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(send(&mut client, &deep).json()["code"], "too_deep");
    assert_eq!(count(&mut client), 0);
}

#[test]
fn no_increment_of_many_clients_is_lost() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 25;
    let (server, mut client) = with_notes();
    assert_eq!(send(&mut client, &batch(&[put("n", "x")])).status, 200);
    let address = server.address;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                for number in 0..EACH {
                    let patch = format!(r#"{{"method":"PATCH","url":"{RECORDS}/n","body":{{"n+":2}}}}"#);
                    let other = put(&format!("w{writer}-{number}"), "x");
                    let sent = send(&mut client, &batch(&[patch, other]));
                    assert_eq!(sent.status, 200, "{}", sent.text());
                    let taken = client.json("PATCH", &format!("{RECORDS}/n"), r#"{"n-":1}"#).expect("an answer");
                    assert_eq!(taken.status, 200, "{}", taken.text());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer does not panic");
    }
    let left = client.get(&format!("{RECORDS}/n")).expect("an answer").json();
    assert_eq!(left["n"], WRITERS * EACH);
    assert_eq!(count(&mut client), 1 + WRITERS * EACH);
}

/// Parts of requests, right and wrong.
const METHODS: &[&str] = &["\"POST\"", "\"PUT\"", "\"PATCH\"", "\"DELETE\"", "\"GET\"", "\"\"", "1", "null"];
const URLS: &[&str] = &[
    "\"/api/collections/notes/records\"",
    "\"/api/collections/notes/records/a\"",
    "\"api/collections/notes/records/b?fields=id\"",
    "\"/api/collections/notes/records/%ff\"",
    "\"/api/collections/notes/records/a%2Fb\"",
    "\"/api/collections/notes/records/a?expand=x&%zz\"",
    "\"/api/collections/notes/records/a#b\"",
    "\"/api/collections/nowhere/records\"",
    "\"/api/batch\"",
    "\"?\"",
    "\"\\ud800\"",
    "[]",
];
const BODIES: &[&str] = &[
    r#"{}"#,
    r#"{"id":"a","text":"x","n":1}"#,
    r#"{"n+":1,"tags+":["a"]}"#,
    r#"{"n-":9223372036854775807,"+tags":"b"}"#,
    r#"{"tags-":["a","b","a"]}"#,
    r#"{"n+":1,"n":1,"text+":"x","+":0}"#,
    r#"null"#,
    r#"[1]"#,
    r#""x""#,
];
const HEADERS: &[&str] = &[
    r#"{}"#,
    r#"null"#,
    r#"{"If-Match":"*"}"#,
    r#"{"If-None-Match":"*"}"#,
    r#"{"If-Match":"*","if-match":"*"}"#,
    r#"{"If-Match":"\n"}"#,
    r#"{"Accept":[1]}"#,
    r#"[]"#,
];

fn one_of<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.below(of.len() as u64) as usize]
}

fn request(rng: &mut Rng) -> String {
    // Mostly such as can be done, so that some batches are.
    let [methods, urls, bodies, headers] = if rng.once_in(6) {
        [METHODS, URLS, BODIES, HEADERS]
    } else {
        [&METHODS[1..3], &URLS[1..3], &BODIES[..5], &HEADERS[..3]]
    };
    let mut request = format!(r#"{{"method":{},"url":{}"#, one_of(rng, methods), one_of(rng, urls));
    if !rng.once_in(8) {
        request.push_str(&format!(r#","body":{}"#, one_of(rng, bodies)));
    }
    if rng.once_in(3) {
        request.push_str(&format!(r#","headers":{}"#, one_of(rng, headers)));
    }
    request + "}"
}

/// Some of its bytes changed, cut out or doubled.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.below(bytes.len() as u64) as usize;
    match rng.below(4) {
        0 => bytes[at] = rng.next() as u8,
        1 => bytes.truncate(at),
        2 => drop(bytes.remove(at)),
        _ => bytes.extend_from_within(at..),
    }
}

#[test]
fn no_batch_makes_the_server_fail_or_is_done_by_half() {
    let seed = 0x5eed_ba7c;
    let batches = size(1_500, 10_000, 100_000);
    let mut rng = Rng::new(seed);
    let (_server, mut client) = with_notes();
    let mut done = 0;
    for number in 0..batches {
        let requests: Vec<String> = (0..rng.below(5)).map(|_| request(&mut rng)).collect();
        let text = format!("of {number}");
        let marker = put(&format!("m{number}"), &text);
        let mut body = batch(&[&[marker], &requests[..]].concat()).into_bytes();
        let mut media = "application/json";
        if rng.once_in(2) {
            media = "multipart/form-data; boundary=\"a b\"";
            body = form("a b", &body);
        }
        if rng.once_in(4) {
            damage(&mut rng, &mut body);
        }
        let told = || format!("seed {seed:#x}, batch {number}: {media} {}", String::from_utf8_lossy(&body));
        let answer = client.request("POST", "/api/batch", &[("content-type", media)], Some(&body));
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", told()));
        let json = answer.json();
        assert!(answer.status < 500, "{}: {}", told(), answer.text());
        match answer.status {
            200 => assert!(json.as_array().is_some_and(|all| all.iter().all(|one| one["status"].as_u64() < Some(300)))),
            status => assert_eq!(json["status"], status, "{}", told()),
        }
        // A batch that was damaged may be another one: done without its marker, or with one whose id is a later one's.
        let found = client.get(&format!("{RECORDS}/m{number}")).expect("an answer");
        let marked = found.status == 200 && found.json()["text"] == text.as_str();
        assert!(answer.status == 200 || !marked, "{}: refused and yet there is something of it", told());
        done += u64::from(marked);
    }
    assert!(done > batches as u64 / 10, "seed {seed:#x}: hardly any could be done: {done}");
}
