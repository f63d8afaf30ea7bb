//! Imports and exports beyond what a script can say: long ones, broken ones, slow ones, and both together.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::results;
use crate::support::rng::Rng;
use crate::support::server::Running;

const IMPORT: &str = "/api/collections/things/import";
const EXPORT: &str = "/api/collections/things/export";
const RECORDS: &str = "/api/collections/things/records";
const THINGS: &str = r#"{"name":"things","fields":[{"name":"n","type":"number","integer":true},
    {"name":"t","type":"text","max":1000000}],"indexes":[{"name":"n","fields":["n"],"unique":true}],"createRule":""}"#;
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const PATIENCE: Duration = Duration::from_secs(60);

fn started(definition: &str) -> (Running, Client) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let made = client.json("POST", "/api/collections", definition).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    (server, client)
}

fn send(client: &mut Client, path: &str, kind: &str, body: &[u8]) -> Answer {
    client.request("POST", path, &[("content-type", kind)], Some(body)).expect("an answer")
}

fn total(client: &mut Client) -> Value {
    client.get(&format!("{RECORDS}?perPage=1")).expect("an answer").json()["totalItems"].clone()
}

/// An import that goes on as long as the test likes.
struct Sending(TcpStream);

impl Sending {
    fn begin(server: &Running, path: &str, kind: &str) -> Sending {
        let mut stream = TcpStream::connect(server.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sends");
        Sending(stream)
    }

    /// False once the server takes no more.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0.write_all(&chunk).is_ok()
    }

    /// Status and body of the answer.
    fn answer(mut self) -> (u16, Value) {
        let mut bytes = Vec::new();
        // What was sent behind the answer may end the connection with a reset.
        let _ = self.0.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("text");
        let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text:?}"));
        let body = text.split_once("\r\n\r\n").expect("a head").1;
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}")))
    }

    fn end(mut self) -> (u16, Value) {
        let _ = self.0.write_all(b"0\r\n\r\n");
        self.answer()
    }
}

fn lines(from: u64, to: u64) -> String {
    (from..to).map(|n| format!("{{\"id\":\"r{n}\",\"n\":{n}}}\n")).collect()
}

#[test]
fn many_lines_go_in_as_they_come_and_come_out_in_order() {
    let (server, mut client) = started(THINGS);
    let count = results::size(5_000, 50_000, 200_000);
    let mut sending = Sending::begin(&server, IMPORT, NDJSON);
    for from in (0..count).step_by(777) {
        assert!(sending.send(lines(from, count.min(from + 777)).as_bytes()));
        if from == 777 * 3 {
            // What is committed is there, while the rest is still to come.
            wait(|| total(&mut client) != 0);
        }
    }
    assert!(sending.send(b"{\"n\":0}\n{\"n\":-1}"), "the last line needs no end");
    let (status, report) = sending.end();
    let expected = json!({"created": count + 1, "updated": 0, "refused": 1, "lines": count + 2, "truncated": false});
    assert_eq!(status, 200, "{report}");
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(report[name], *value, "{report}");
    }
    assert_eq!((&report["errors"][0]["line"], &report["errors"][0]["code"]), (&json!(count + 1), &json!("unique")));
    let out = client.get(&format!("{EXPORT}?filter=n%3E%3D0&fields=id,n")).expect("an answer");
    let mut out: Vec<&str> = out.text().lines().collect();
    let mut all = lines(0, count);
    let mut expected: Vec<&str> = all.lines().collect();
    out.sort_unstable();
    expected.sort_unstable();
    assert!(out == expected, "{} lines, expected {}", out.len(), expected.len());
    all.clear();
    drop(server);
}

/// Waits until something holds.
fn wait(mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never held");
}

#[test]
fn only_the_first_refused_lines_are_named() {
    let (_server, mut client) = started(THINGS);
    let body = "{\"n\":true}\n".repeat(1_234);
    let report = send(&mut client, IMPORT, NDJSON, body.as_bytes()).json();
    assert_eq!((&report["refused"], &report["truncated"]), (&json!(1_234), &json!(true)));
    assert_eq!(report["errors"].as_array().expect("errors").len(), millpond::limits::LINE_FAULTS_MAX);
    let wide: String = (0..100).map(|n| format!("\"{}{n}\":1,", "x".repeat(60))).collect();
    let body = format!("{{{}\"n\":1}}\n", wide).repeat(200);
    let answer = send(&mut client, IMPORT, NDJSON, body.as_bytes());
    assert!(answer.body.len() < 2 * millpond::limits::LINE_FAULTS_BYTES_MAX, "{}", answer.body.len());
    assert_eq!((&answer.json()["refused"], &answer.json()["truncated"]), (&json!(200), &json!(true)));
}

#[test]
fn an_atomic_import_is_bounded_and_leaves_nothing_behind_a_fault() {
    let (server, mut client) = started(THINGS);
    let atomic = format!("{IMPORT}?atomic=true");
    let over = send(&mut client, &atomic, NDJSON, lines(0, 10_001).as_bytes());
    assert_eq!((over.status, over.json()["code"].as_str()), (413, Some("import_too_large")), "{}", over.text());
    let mut sending = Sending::begin(&server, &atomic, NDJSON);
    let long = format!("{{\"t\":\"{}\"}}\n", "x".repeat(900_000));
    while sending.send(long.as_bytes()) {}
    assert_eq!(sending.answer().0, 413, "without end");
    let fault = format!("{}{{\"id\":\"r7\"}}\n{}", lines(0, 50), lines(50, 60));
    let refused = send(&mut client, &atomic, NDJSON, fault.as_bytes());
    assert_eq!((refused.status, &refused.json()["data"]["errors"][0]["line"]), (409, &json!(51)));
    assert_eq!(total(&mut client), 0);
    assert_eq!(send(&mut client, &atomic, NDJSON, lines(0, 10_000).as_bytes()).json()["created"], 10_000);
}

#[test]
fn what_was_committed_stays_when_a_client_breaks_off() {
    let (server, mut client) = started(THINGS);
    for cut in 0..millpond::limits::IMPORTS_MAX as u64 + 2 {
        let mut sending = Sending::begin(&server, IMPORT, NDJSON);
        assert!(sending.send(lines(cut * 3_000, cut * 3_000 + 2_500).as_bytes()));
        wait(|| total(&mut client).as_u64() >= Some(cut * 2_000 + 2_000));
        // Gone in the middle: the places of those before are free again, or the last ones would find none.
        drop(sending);
        wait(|| total(&mut client) == (cut + 1) * 2_000);
    }
    // An end that is none: the chunks are cut, and the client waits for its answer.
    let mut sending = Sending::begin(&server, IMPORT, NDJSON);
    assert!(sending.send(lines(100_000, 101_500).as_bytes()));
    sending.0.write_all(b"100000\r\n{\"n\"").expect("sends");
    sending.0.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut rest = Vec::new();
    let _ = sending.0.read_to_end(&mut rest);
    wait(|| send(&mut client, IMPORT, NDJSON, b"{\"n\":-5}").json()["lines"] == 1);
}

#[test]
fn so_many_imports_run_at_once_and_no_more() {
    let (server, mut client) = started(THINGS);
    let begun: Vec<Sending> = (0..millpond::limits::IMPORTS_MAX as u64)
        .map(|n| {
            let mut sending = Sending::begin(&server, IMPORT, NDJSON);
            assert!(sending.send(lines(n * 2_000, n * 2_000 + 1_500).as_bytes()));
            wait(|| total(&mut client) == (n + 1) * 1_000);
            sending
        })
        .collect();
    let refused = send(&mut client, IMPORT, NDJSON, b"{}");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    for sending in begun {
        assert_eq!(sending.end().1["created"], 1_500);
    }
    assert_eq!(send(&mut client, IMPORT, NDJSON, b"{}").status, 200);
}

#[test]
fn a_stop_ends_an_import_and_says_how_far_it_came() {
    let (server, mut client) = started(THINGS);
    let mut sending = Sending::begin(&server, IMPORT, NDJSON);
    assert!(sending.send(lines(0, 1_700).as_bytes()));
    wait(|| total(&mut client) == 1_000);
    drop(client);
    let (_, folder) = server.stop();
    let (status, problem) = sending.answer();
    assert_eq!((status, problem["code"].as_str()), (503, Some("stopping")), "{problem}");
    assert_eq!((&problem["data"]["created"], &problem["data"]["lines"]), (&json!(1_000), &json!(1_000)));
    let server = Running::start_in(folder);
    assert_eq!(total(&mut Client::new(server.address)), 1_000);
}

#[test]
fn hostile_lines_are_refused_one_by_one() {
    let (_server, mut client) = started(THINGS);
    let mut body = Vec::new();
    let mut codes = Vec::new();
    let mut add = |line: &[u8], code: &'static str| {
        body.extend_from_slice(line);
        body.push(b'\n');
        codes.push(code);
    };
    add(b"{\"n\":1}", "");
    add(b"\xff\xfe", "bad_json");
    add(b"{\"t\":\"\xf0\x9f\"}", "bad_json");
    add(b"{\"t\":\"\\ud800\"}", "invalid");
    add(b"{\"n\":2}{\"n\":3}", "bad_json");
    add(&[b"[".repeat(100), b"]".repeat(100)].concat(), "too_deep");
    add(&[&b"{\"t\":\""[..], &b"x".repeat(millpond::limits::LINE_BYTES_MAX), b"\"}"].concat(), "line_too_long");
    add(&[&b"{\"t\":\""[..], &b"x".repeat(1_000_001), b"\"}"].concat(), "invalid");
    add(b"\0", "bad_json");
    add(b"null", "not_an_object");
    add(b"{\"n\":9007199254740993}", "");
    add(b"{\"n\":1e400}", "invalid");
    add(b"{\"id\":\"a/b\"}", "invalid");
    add(b"{\"n\":5,\"n\":6}", "invalid");
    add(b"{\"n+\":5}", "invalid");
    let report = send(&mut client, IMPORT, NDJSON, &body).json();
    let refused: Vec<_> = report["errors"].as_array().expect("errors").iter().collect();
    let expected: Vec<_> = codes.iter().enumerate().filter(|(_, code)| !code.is_empty()).collect();
    assert_eq!(refused.len(), expected.len(), "{report}");
    for (error, (at, code)) in refused.iter().zip(expected) {
        assert_eq!((&error["line"], &error["code"]), (&json!(at + 1), &json!(code)));
    }
    assert_eq!((&report["created"], total(&mut client)), (&json!(2), json!(2)));
    // A quote that is never closed takes all that follows, and is not held.
    let endless = [&b"n,t\r\n-1,a\r\n-2,\""[..], &b"b,c\r\n".repeat(2 << 20)].concat();
    let report = send(&mut client, IMPORT, CSV, &endless).json();
    assert_eq!((&report["created"], &report["errors"][0]["code"]), (&json!(1), &json!("bad_csv")));
    let cut = send(&mut client, IMPORT, CSV, b"n,t\r\n-3,\"b").json();
    assert_eq!(cut["errors"][0]["code"], "bad_csv");
    for header in [&b"n,\xff\r\n"[..], b"n,\"t", b"n,,t\r\n", b"n,n\r\n", b"\"\"\r\n", &b"n,".repeat(1_001)] {
        let answer = send(&mut client, IMPORT, CSV, header);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_columns")), "{}", answer.text());
    }
}

#[test]
fn an_export_is_the_whole_of_one_position_and_leaves_no_file() {
    let (server, mut client) = started(THINGS);
    let long = "x".repeat(900);
    let body: String = (0..4_000).map(|n| format!("{{\"id\":\"r{n:05}\",\"n\":{n},\"t\":\"{long}\"}}\n")).collect();
    send(&mut client, IMPORT, NDJSON, body.as_bytes());
    let spools = || std::fs::read_dir(server.folder.path().join("data/spool")).expect("the folder").count();
    // A reader that takes its time, while everything changes.
    let mut slow = TcpStream::connect(server.address).expect("connects");
    slow.write_all(format!("GET {EXPORT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
        .expect("sends");
    let mut head = [0; 512];
    slow.read_exact(&mut head).expect("it begins");
    assert_eq!(spools(), 1);
    let replaced: String = (0..4_000).map(|n| format!("{{\"id\":\"r{n:05}\",\"n\":{n}}}\n")).collect();
    assert_eq!(
        send(&mut client, &format!("{IMPORT}?mode=upsert"), NDJSON, replaced.as_bytes()).json()["updated"],
        4_000
    );
    let mut rest = head.to_vec();
    slow.read_to_end(&mut rest).expect("all of it");
    let text = String::from_utf8(rest).expect("text");
    let (head, text) = text.split_once("\r\n\r\n").expect("a head");
    assert_eq!(text, body, "as it was");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    wait(|| spools() == 0);
    // One who goes away in the middle.
    send(&mut client, &format!("{IMPORT}?mode=upsert"), NDJSON, body.as_bytes());
    let mut gone = TcpStream::connect(server.address).expect("connects");
    gone.write_all(format!("GET {EXPORT} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).expect("sends");
    gone.read_exact(&mut [0; 100]).expect("it begins");
    drop(gone);
    wait(|| spools() == 0);
    // What a crash left goes at the next start.
    let (_, folder) = server.stop();
    let left = folder.path().join("data/spool/7");
    std::fs::write(&left, "left").expect("written");
    let _server = Running::start_in(folder);
    assert!(!left.exists());
}

/// A value of each type, of random content.
fn random_record(rng: &mut Rng, ids: &[String]) -> Value {
    const WORDS: [&str; 12] = ["a", "", " b ", "c,d", "\"q\"", "e\r\nf", "ä𝄞", ";", "[1]", "null", "1.0", "\u{feff}"];
    const CHOICES: [&str; 3] = ["x", "y;z", "[w]"];
    let text = |rng: &mut Rng| -> String {
        (0..rng.below(4)).map(|_| WORDS[rng.below(WORDS.len() as u64) as usize]).collect()
    };
    let some = |rng: &mut Rng, value: Value| if rng.once_in(4) { Value::Null } else { value };
    let float = (rng.below(2_000_001) as f64 - 1e6) / 7.0;
    let subset = |rng: &mut Rng, of: &[&str]| -> Vec<String> {
        of.iter().filter(|_| rng.once_in(2)).map(|one| (*one).to_owned()).collect()
    };
    let data = match rng.below(6) {
        0 => json!({"a": [1, null, {"b": text(rng)}], "n": 12.5}),
        1 => json!([]),
        2 => json!(text(rng)),
        3 => json!(-7),
        4 => json!(true),
        _ => Value::Null,
    };
    let known: Vec<&str> = ids.iter().rev().take(3).map(String::as_str).collect();
    let mut record = json!({
        "text": text(rng),
        "count": rng.below(1 << 62) as i64 - (1 << 61),
        "number": float,
        "flag": rng.once_in(2),
        "at": format!("20{:02}-03-04 05:06:07.{:03}Z", rng.below(26), rng.below(1_000)),
        "one": CHOICES[rng.below(3) as usize],
        "many": subset(rng, &CHOICES),
        "mail": "ann@example.org",
        "link": "https://example.org/a,b?c=\"d\"",
        "rich": format!("<p>{}</p>", rng.below(100)),
        "to": known.first(),
        "tos": subset(rng, &known),
        "data": data,
        "place": {"lon": rng.below(360) as f64 - 180.0, "lat": float / 1e5},
        "secret": text(rng),
    });
    for (_, value) in record.as_object_mut().expect("an object") {
        let old = value.take();
        *value = some(rng, old);
    }
    record
}

const EVERY_TYPE: &str = r#"{"name":"things","fields":[{"name":"text","type":"text"},
    {"name":"count","type":"number","integer":true},{"name":"number","type":"number"},{"name":"flag","type":"bool"},
    {"name":"at","type":"date"},{"name":"one","type":"select","values":["x","y;z","[w]"]},
    {"name":"many","type":"select","values":["x","y;z","[w]"],"maxSelect":3},{"name":"mail","type":"email"},
    {"name":"link","type":"url"},{"name":"rich","type":"editor"},{"name":"to","type":"relation","collection":"things"},
    {"name":"tos","type":"relation","collection":"things","maxSelect":5},{"name":"data","type":"json"},
    {"name":"place","type":"geoPoint"},{"name":"secret","type":"text","hidden":true},
    {"name":"sum","type":"number","computed":"count + 1"},{"name":"made","type":"autodate","onCreate":true}]}"#;

#[test]
fn an_export_imported_elsewhere_is_the_same_records() {
    let seed = results::seed();
    let mut rng = Rng::new(seed);
    let (_server, mut client) = started(EVERY_TYPE);
    let mut ids = Vec::new();
    let mut body = String::new();
    for number in 0..results::size(300, 2_000, 10_000) {
        let mut record = random_record(&mut rng, &ids);
        let id = format!("r{number:06}");
        record["id"] = json!(id);
        ids.push(id);
        body += &format!("{record}\n");
    }
    let report = send(&mut client, IMPORT, NDJSON, body.as_bytes()).json();
    assert_eq!((&report["refused"], &report["created"]), (&json!(0), &json!(ids.len())), "seed {seed}: {report}");
    let without_made = |text: &str| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("JSON");
        let forget = |mut record: Value| {
            record.as_object_mut().expect("an object").remove("made").expect("exported");
            record
        };
        text.lines().map(parse).map(forget).collect()
    };
    let first = without_made(client.get(EXPORT).expect("an answer").text());
    for (format, kind) in [("ndjson", NDJSON), ("csv", CSV)] {
        let file = client.get(&format!("{EXPORT}?format={format}")).expect("an answer");
        let (_other, mut other) = started(EVERY_TYPE);
        let report = send(&mut other, IMPORT, kind, &file.body).json();
        assert_eq!(report["created"], ids.len(), "seed {seed}, {format}: {report}");
        let again = without_made(other.get(EXPORT).expect("an answer").text());
        for (is, was) in again.iter().zip(&first) {
            assert_eq!(is, was, "seed {seed}, {format}");
        }
        assert_eq!(again.len(), first.len());
        // And over itself nothing changes.
        let position = other.get(EXPORT).expect("an answer").header("millpond-seq").map(str::to_owned);
        let report = send(&mut other, &format!("{IMPORT}?mode=upsert"), kind, &file.body);
        assert_eq!(report.json()["updated"], ids.len(), "{}", report.text());
        assert_eq!(report.header("millpond-seq").map(str::to_owned), position, "nothing was written");
    }
}
