//! What comes over HTTP, at a running server: query strings, cursors, bodies, headers. Its answer is a success or the
//! client's fault, never silence and never its own.

use serde_json::Value as Json;

use crate::fuzz;
use crate::mutate::Corpus;
use crate::support::http::{Answer, Client};
use crate::support::server::Running;

const THINGS: &str = r#"{"name":"things","fields":[{"name":"text","type":"text","max":90},{"name":"total","type":"number"},{"name":"count","type":"number","integer":true},{"name":"flag","type":"bool"},{"name":"at","type":"date"},{"name":"one","type":"select","values":["x","y"]},{"name":"many","type":"select","values":["x","y"],"maxSelect":2},{"name":"data","type":"json"},{"name":"to","type":"relation","collection":"things","onDelete":"setNull"},{"name":"mail","type":"email"},{"name":"link","type":"url"}],"indexes":[{"name":"t","fields":["total","-text"]},{"name":"o","fields":["one"]},{"name":"u","fields":["count"],"unique":true}]}"#;
const RECORDS: &str = "/api/collections/things/records";

fn server() -> (Running, Client) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let made = client.json("POST", "/api/collections", THINGS).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    for at in 0..40 {
        let body = format!(
            r#"{{"id":"r{at}","text":"t{}","total":{},"count":{at},"flag":{},"at":"2001-01-0{}","one":"x","many":["y"],"data":{{"a":[{at}]}},"to":{}}}"#,
            at % 3,
            at % 5,
            at % 2 == 0,
            1 + at % 9,
            if at == 0 { "null".to_owned() } else { format!("\"r{}\"", at / 2) }
        );
        let answer = client.json("POST", RECORDS, &body).expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    (server, client)
}

/// Whether it was taken. What is the server's own fault, or no answer, ends the test.
fn judged(answer: std::io::Result<Answer>) -> bool {
    let answer = answer.expect("an answer");
    assert!(answer.status < 500, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    answer.status < 400
}

/// Bytes as they may stand in a request's line: what may not is escaped, an escape stays as it is.
fn in_line(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}#".contains(byte) => out.push(char::from(*byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Every byte but letters and digits escaped.
fn escaped(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(one).collect()
}

const QUERIES: &[&str] = &[
    "filter=total>1%26%26text='t1'&sort=-total,text&page=1&perPage=10",
    "filter=text~'t%25'||to.to.count>3&skipTotal=1&fields=id,text",
    "sort=-id&page=2&perPage=7&explain=1",
    "expand=to.to,things_via_to&perPage=5",
    "embed=to(id,text)&fields=id,to",
    "filter=data.a.0=1&sort=at",
    "filter=one+in+['x','y']&perPage=1000",
    "",
];
const QUERY_WORDS: &[&str] = &[
    "&",
    "=",
    "%",
    "%25",
    "%26",
    "%00",
    "%ff",
    "+",
    "filter=",
    "sort=",
    "page=",
    "perPage=",
    "skipTotal=",
    "fields=",
    "expand=",
    "embed=",
    "cursor=",
    "explain=1",
    "search=",
    "things_via_to",
    "to.",
    "count",
    "-",
    ",",
    "(",
    ")",
    "'",
    ">",
    "~",
    "?=",
    "!=",
    "||",
    "null",
    "[",
    "]",
    "@now",
    "@random",
    "*",
];

#[test]
fn no_query_string_makes_the_server_fail() {
    let (_server, mut client) = server();
    fuzz("a query string", Corpus::new(QUERIES, QUERY_WORDS), |bytes| {
        judged(client.get(&format!("{RECORDS}?{}", in_line(bytes))))
    });
}

#[test]
fn no_filter_makes_the_server_fail() {
    let (_server, mut client) = server();
    let filters: &[&str] = &[
        "total > 1 && text = 't1'",
        "text ~ 't%' || to.to.count > 3",
        "count in [1, 2, 3] && !(flag)",
        "one = 'x' && (total = 1 || total = 2 || at > '2001-01-03')",
        "many ?= 'y' and things_via_to.count ?> 3",
        "data.a.0 = 1 or len(text) > 1",
        "id >= 'r1' && id < 'r2'",
        "total != null && text != null",
    ];
    fuzz("a filter", Corpus::new(filters, QUERY_WORDS), |bytes| {
        judged(client.get(&format!("{RECORDS}?perPage=5&sort=one,-total&filter={}", escaped(bytes))))
    });
}

const SORTS: [&str; 4] = ["", "total,-text", "-at", "one,id"];

#[test]
fn no_cursor_makes_the_server_fail() {
    let (_server, mut client) = server();
    let mut inputs = Vec::new();
    for sort in SORTS {
        let answer = client.get(&format!("{RECORDS}?perPage=3&sort={sort}")).expect("an answer");
        inputs.extend(answer.json()["nextCursor"].as_str().map(|cursor| cursor.as_bytes().to_vec()));
    }
    if inputs.is_empty() {
        return;
    }
    let words: &[&str] = &["A", "AA", "=", "==", "-", "_", "+", "/", "null", "{", "}", "\""];
    let mut turn = 0;
    fuzz("a cursor", Corpus { inputs, words }, |bytes| {
        // One in four times with the sort that it was made for.
        turn = (turn + 1) % SORTS.len();
        judged(client.get(&format!("{RECORDS}?perPage=3&sort={}&cursor={}", SORTS[turn], escaped(bytes))))
    });
}

const BODIES: &[&str] = &[
    r#"{"text":"a","total":1.5,"count":700,"flag":true,"at":"2001-02-03","one":"x","many":["x","y"],"data":{"a":[1,{"b":null}]},"to":"r1"}"#,
    r#"{"text":"é𝄞\u0000\n","many":[],"data":null,"mail":"a@b.example","link":"https://a.example/b?c#d"}"#,
    r#"{"text":null,"count":-9223372036854775808}"#,
    r#"{"many+":"x","total-":1,"count+":9223372036854775807}"#,
    r#"{"data":{"a":{"b":null}}}"#,
];
const BODY_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "\"text\":",
    "\"count\":",
    "\"count+\":",
    "\"many-\":",
    "\"data\":",
    "\"to\":\"r1\"",
    "\"id\":\"r1\"",
    "\"2001-02-30\"",
    "\"@now\"",
    "1e999",
];

#[test]
fn no_body_makes_the_server_fail() {
    let (_server, mut client) = server();
    let mut turn = 0;
    fuzz("a body", Corpus::new(BODIES, BODY_WORDS), |bytes| {
        turn += 1;
        let json = [("content-type", "application/json")];
        match turn % 4 {
            0 => judged(client.request("PUT", &format!("{RECORDS}/p{}", turn % 16), &json, Some(bytes))),
            1 => judged(client.request("POST", RECORDS, &json, Some(bytes))),
            _ => judged(client.request("PATCH", &format!("{RECORDS}/r{}", turn % 40), &json, Some(bytes))),
        }
    });
}

const BATCHES: &[&str] = &[
    r#"{"requests":[{"method":"POST","url":"/api/collections/things/records","body":{"text":"a"}},{"method":"PATCH","url":"/api/collections/things/records/r1?fields=id","body":{"total+":1},"headers":{"if-match":"*"}},{"method":"DELETE","url":"/api/collections/things/records/r39"},{"method":"PUT","url":"/api/collections/things/records","body":{"id":"q","text":"b"}}]}"#,
    r#"{"requests":[]}"#,
];
const MULTIPART: &str = "--XX\r\nContent-Disposition: form-data; name=\"@jsonPayload\"\r\n\r\n{\"requests\":[{\"method\":\"PATCH\",\"url\":\"/api/collections/things/records/r1\",\"body\":{\"text\":\"m\"}}]}\r\n--XX--\r\n";
const BATCH_WORDS: &[&str] = &[
    "--XX\r\n",
    "--XX--\r\n",
    "\r\n",
    "Content-Disposition: form-data; name=\"",
    "@jsonPayload",
    "filename=\"",
    ";",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"requests\":",
    "\"method\":",
    "\"url\":",
    "\"body\":",
    "\"headers\":",
    "/api/batch",
    "/api/collections",
    "?fields=id",
    "%2F",
    "DELETE",
    "null",
];

#[test]
fn no_batch_makes_the_server_fail() {
    let (_server, mut client) = server();
    let json = [("content-type", "application/json")];
    let parts = [("content-type", "multipart/form-data; boundary=XX")];
    if client.request("POST", "/api/batch", &json, Some(BATCHES[1].as_bytes())).expect("an answer").status == 404 {
        return;
    }
    let mut corpus = Corpus::new(BATCHES, BATCH_WORDS);
    corpus.inputs.push(MULTIPART.as_bytes().to_vec());
    fuzz("a batch", corpus, |bytes| {
        let headers = if bytes.starts_with(b"--") { &parts } else { &json };
        judged(client.request("POST", "/api/batch", headers, Some(bytes)))
    });
}

const HEADERS: &[&str] = &[
    "if-match: \"1-00000001-7\"",
    "if-none-match: W/\"1-00000001-7\", \"x\", *",
    "millpond-min-seq: 1-00000000-1",
    "accept: text/html, application/json;q=0.9, */*;q=0",
    "content-type: application/json; charset=utf-8",
    "authorization: Bearer a.b.c",
    "idempotency-key: abc",
    "host: localhost:8090",
    "x-request-id: abc",
    "range: bytes=0-1",
    "expect: 100-continue",
];

#[test]
fn no_header_makes_the_server_fail() {
    let (_server, mut client) = server();
    let words: &[&str] = &["\"", ",", ";", "*", "W/", "-", ":", "q=", "1-00000001-", "localhost", "[::1]", "Bearer "];
    fuzz("a header", Corpus::new(HEADERS, words), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some((name, value)) = text.split_once(": ") else { return false };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        // A length of its own would only make the client wait.
        let own = ["content-length", "transfer-encoding", "connection", "upgrade", "expect"];
        if name.is_empty() || !name.bytes().all(is_name) || own.contains(&name.to_ascii_lowercase().as_str()) {
            return false;
        }
        let value: String = value.chars().filter(|c| !c.is_control()).take(2_000).collect();
        // A position to come is waited for.
        if name.eq_ignore_ascii_case("millpond-min-seq") && value.parse::<millpond::id::Position>().is_ok() {
            return true;
        }
        let got = client.request("GET", &format!("{RECORDS}/r1"), &[(name, &value)], None);
        let merged = client.request("PATCH", &format!("{RECORDS}/r1"), &[(name, &value)], Some(b"{}"));
        judged(got) | judged(merged)
    });
}

#[test]
fn an_answer_is_json_with_its_status() {
    let (_server, mut client) = server();
    let answer = client.get(&format!("{RECORDS}?filter=%5B")).expect("an answer");
    assert_eq!((answer.status, &answer.json()["status"]), (400, &Json::from(400)));
}
