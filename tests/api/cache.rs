//! The cache as clients see it: the same answers, and a header that says where they came from.

use millpond::config::Settings;

use crate::support::http::{Answer, Client};
use crate::support::server::Running;

const RECORD: &str = "/api/collections/notes/records/n";
const LIST: &str = "/api/collections/notes/records?filter=t!=%27%27";
const FOREIGN: (&str, &str) = ("host", "elsewhere.example");

fn started(change: impl FnOnce(&mut Settings)) -> (Running, Client) {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), change);
    let mut client = Client::new(server.address);
    let notes = r#"{"name":"notes","fields":[{"name":"t","type":"text"}],"listRule":"","viewRule":"","updateRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", notes).expect("an answer").status, 201);
    (server, client)
}

fn cache_status(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or("none")
}

/// Two equal requests: the first is read, the second is kept, and nothing else differs.
fn twice(client: &mut Client, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut get = || client.request("GET", target, headers, None).expect("an answer");
    let (first, second) = (get(), get());
    assert_eq!((cache_status(&first), cache_status(&second)), ("millpond; fwd=miss", "millpond; hit"), "{target}");
    let rest = |answer: &Answer| {
        let passing = ["cache-status", "x-request-id", "date"];
        let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| !passing.contains(&name.as_str())).collect();
        let body = String::from_utf8_lossy(&answer.body);
        let body = body.replace(answer.header("x-request-id").expect("an id"), "REQUEST");
        format!("{} {headers:?} {body}", answer.status)
    };
    assert_eq!(rest(&first), rest(&second), "{target}");
    second
}

#[test]
fn a_kept_answer_is_the_read_one_and_a_write_ends_it() {
    let (_server, mut client) = started(|_| {});
    assert_eq!(twice(&mut client, RECORD, &[]).status, 404);
    client.json("PUT", RECORD, r#"{"t":"a"}"#).expect("an answer");
    let read = twice(&mut client, RECORD, &[]);
    assert_eq!(read.json()["t"], "a");
    assert_eq!(twice(&mut client, LIST, &[]).json()["totalItems"], 1);
    assert_eq!(twice(&mut client, &format!("{RECORD}?fields=t"), &[]).text(), r#"{"t":"a"}"#);
    assert_eq!(twice(&mut client, RECORD, &[FOREIGN]).json()["t"], "a", "anybody's own");

    let tag = read.header("etag").expect("a tag").to_owned();
    let fresh = client.request("GET", RECORD, &[("if-none-match", &tag)], None).expect("an answer");
    assert_eq!((fresh.status, cache_status(&fresh), fresh.header("etag")), (304, "millpond; hit", Some(&*tag)));
    let other = client.request("GET", RECORD, &[("if-none-match", "\"1-00000000-1\"")], None).expect("an answer");
    assert_eq!((other.status, cache_status(&other)), (200, "millpond; hit"));
    let bad = client.request("GET", RECORD, &[("if-none-match", "garbage")], None).expect("an answer");
    assert_eq!(bad.status, 400, "{}", bad.text());
    let unacceptable = client.request("GET", RECORD, &[("accept", "text/html")], None).expect("an answer");
    assert_eq!(unacceptable.status, 406);
    let head = client.request("HEAD", RECORD, &[], None).expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, read.header("content-length")));

    let patched = client.json("PATCH", RECORD, r#"{"t":"b"}"#).expect("an answer");
    let seq = patched.header("millpond-seq").expect("a position").to_owned();
    let after = twice(&mut client, RECORD, &[("millpond-min-seq", &seq)]);
    assert_eq!((&after.json()["t"], after.header("etag")), (&"b".into(), patched.header("etag")));
    assert_eq!(twice(&mut client, LIST, &[]).json()["items"][0]["t"], "b");
    client.request("DELETE", RECORD, &[], None).expect("an answer");
    assert_eq!(twice(&mut client, RECORD, &[]).status, 404);
    assert_eq!(twice(&mut client, LIST, &[]).json()["totalItems"], 0);
    client.request("DELETE", "/api/collections/notes", &[], None).expect("an answer");
    assert_eq!(client.get(LIST).expect("an answer").status, 404);
    for _ in 0..2 {
        assert_eq!(client.get(RECORD).expect("an answer").json()["code"], "not_found");
    }
}

#[test]
fn superusers_see_how_it_is_used_and_empty_it() {
    let (_server, mut client) = started(|_| {});
    client.json("PUT", RECORD, r#"{"t":"a"}"#).expect("an answer");
    twice(&mut client, RECORD, &[]);
    twice(&mut client, LIST, &[]);
    let explained = format!("{LIST}&explain=1");
    for _ in 0..2 {
        assert_eq!(cache_status(&client.get(&explained).expect("an answer")), "millpond; fwd=miss");
    }
    let figures = |client: &mut Client, tier: usize| {
        let figures = client.get("/api/cache").expect("an answer").json()["tiers"][tier].clone();
        ["name", "entries", "hits", "misses"].map(|key| figures[key].to_string()).join(" ")
    };
    assert_eq!(figures(&mut client, 0), r#""answers" 2 2 4"#);
    assert_eq!(figures(&mut client, 1), r#""records" 1 2 1"#);
    let dropped = client.json("POST", "/api/cache/invalidate", r#"{"keys":["notes/n"]}"#).expect("an answer");
    assert_eq!((dropped.status, dropped.text()), (200, r#"{"entries":3}"#));
    assert_eq!(figures(&mut client, 0), r#""answers" 0 2 4"#);
    twice(&mut client, RECORD, &[]);

    let faulty = client.json("POST", "/api/cache/invalidate", r#"{"keys":["notes"]}"#).expect("an answer");
    assert_eq!((faulty.status, &faulty.json()["data"]["keys.0"]["code"]), (400, &"bad_key".into()));
    for (method, path) in [("GET", "/api/cache"), ("POST", "/api/cache/invalidate")] {
        let headers = [FOREIGN, ("content-type", "application/json")];
        let refused = client.request(method, path, &headers, Some(b"{}")).expect("an answer");
        assert_eq!(refused.status, 401, "{method} {path}");
    }
}

#[test]
fn without_room_nothing_is_kept() {
    let (_server, mut client) = started(|settings| settings.cache_bytes = 0);
    client.json("PUT", RECORD, r#"{"t":"a"}"#).expect("an answer");
    for target in [RECORD, RECORD, LIST, LIST] {
        assert_eq!(cache_status(&client.get(target).expect("an answer")), "millpond; fwd=miss");
    }
    assert_eq!(client.get("/api/cache").expect("an answer").text(), r#"{"tiers":[]}"#);
    let dropped = client.json("POST", "/api/cache/invalidate", r#"{"patterns":["*"]}"#).expect("an answer");
    assert_eq!(dropped.text(), r#"{"entries":0}"#);
}
