//! Requests made of parts that are right, wrong and broken: whatever comes, the answer is the client's fault or a
//! success, well-formed, and the server goes on.

use crate::support::http::{Answer, Client};
use crate::support::results::size;
use crate::support::rng::Rng;
use crate::support::server::Running;

const METHODS: &[&str] = &["GET", "GET", "POST", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"];
const PATHS: &[&str] = &["/", "*", "/livez", "/readyz", "/api/health", "/api", "//", "/api/collections/a/b/c/d"];
const NAMES: &[&str] =
    &["things", "things", "things", "1", "2", "99", "others", "things%20", "%74hings", "%ff", "%", "..", "-"];
const IDS: &[&str] = &["a", "b", "c", "a%2Fb", "%00", "%2e%2e", "a.b-c_D", "%zz", "ä", "a;b", "~"];
const PARAMS: &[&str] = &[
    "filter=total%3E1",
    "filter=text='a'",
    "filter=text=",
    "filter=(((",
    "filter=id%3E='a'%26%26flag=true",
    "filter=%00",
    "filter=total%3C-1e308",
    "filter=at%3E'2001-01-01'",
    "filter=data='x'",
    "filter=many='x'",
    "filter=9999999999999999999=1",
    "sort=-total,text",
    "sort=id",
    "sort=,,",
    "sort=-",
    "sort=%2Btext",
    "sort=data",
    "page=1",
    "page=2",
    "page=0",
    "page=-1",
    "page=18446744073709551616",
    "perPage=1",
    "perPage=1000000000000000000",
    "perPage=x",
    "skipTotal=1",
    "skipTotal=maybe",
    "fields=id",
    "fields=*",
    "fields=,",
    "fields=nope",
    "explain=1",
    "expand=x",
    "expand=one,many",
    "expand=things_via_one.many",
    "embed=one(id,text)",
    "embed=many(",
    "fields=*,expand.one.text:excerpt(3)",
    "%ff=1",
    "a=b",
    "=",
    "&",
    "page",
    "filter=%F0%9F",
];
const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("content-type", "text/plain"),
    ("content-type", ""),
    ("accept", "*/*"),
    ("accept", "text/html"),
    ("accept", ";;;"),
    ("if-match", "*"),
    ("if-match", "\"x\""),
    ("if-match", "x"),
    ("if-match", ""),
    ("if-none-match", "*"),
    ("if-none-match", "W/\"1-00000000-1\""),
    ("if-none-match", "\"\"\""),
    ("millpond-min-seq", "x"),
    ("millpond-min-seq", "1-00000000-0"),
    ("millpond-min-seq", "4294967296-0-0"),
    ("x-request-id", "sane_1"),
    ("x-request-id", "not sane"),
    ("host", "nobody.example"),
    ("host", "[::1]:1"),
    ("host", "["),
    ("expect", "100-continue"),
    ("authorization", "Bearer x"),
    ("range", "bytes=0-1"),
];
const BODIES: &[&str] = &[
    r#"{}"#,
    r#"{"text":"a","total":1.5,"count":7,"flag":true,"at":"2001-02-03","one":"x","many":["x","y"],"data":{"a":[1,{"b":null}]},"to":"a"}"#,
    r#"{"id":"b","text":"é𝄞\u0000\n","many":[],"data":null}"#,
    r#"{"id":"c","text":null,"count":-9223372036854775808}"#,
    r#"{"id":"a","many+":"x","total-":1}"#,
    r#"[]"#,
    r#"null"#,
    r#""#,
    r#"{"text":"\ud800"}"#,
    r#"{"data":1e400}"#,
    r#"{"name":"others","fields":[{"name":"t","type":"text"}],"indexes":[{"name":"i","fields":["-t"]}],"listRule":""}"#,
    r#"{"name":"loop","fields":[{"name":"r","type":"relation","collection":"loop","onDelete":"cascade"}]}"#,
];

fn one_of<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.below(of.len() as u64) as usize]
}

fn target(rng: &mut Rng) -> String {
    let mut target = match rng.below(12) {
        0 => "/api/collections".to_owned(),
        1 => format!("/api/collections/{}", one_of(rng, NAMES)),
        2 => (*one_of(rng, PATHS)).to_owned(),
        3..6 => format!("/api/collections/{}/records", one_of(rng, NAMES)),
        _ => format!("/api/collections/{}/records/{}", one_of(rng, NAMES), one_of(rng, IDS)),
    };
    for at in 0..rng.below(4) {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(one_of::<&str>(rng, PARAMS));
    }
    target
}

/// A body as it should be, or with some of its bytes changed, cut out or doubled.
fn body(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = one_of::<&str>(rng, BODIES).as_bytes().to_vec();
    if rng.once_in(2) {
        for _ in 0..=rng.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] = rng.next() as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
    }
    bytes
}

/// What is wrong with an answer, if anything.
fn complaint(method: &str, answer: &Answer) -> Option<String> {
    if answer.status >= 500 {
        return Some("the server blames itself".to_owned());
    }
    // hyper's own answer to what is no HTTP.
    let not_http = answer.status == 400 && answer.body.is_empty();
    if not_http {
        return None;
    }
    if answer.header("x-request-id").is_none() {
        return Some("no request id".to_owned());
    }
    if method == "HEAD" || matches!(answer.status, 204 | 304) {
        return (!answer.body.is_empty()).then(|| "a body where none may be".to_owned());
    }
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
        return Some("no JSON".to_owned());
    };
    let problem = answer.status >= 400;
    (problem && json["status"] != answer.status).then(|| "the problem's status is another".to_owned())
}

#[test]
fn no_request_makes_the_server_fail() {
    let seed = 0x5eed_0006;
    let requests = size(3_000, 20_000, 200_000);
    let mut rng = Rng::new(seed);
    let server = Running::start();
    let mut client = Client::new(server.address);
    let things = r#"{"name":"things","fields":[{"name":"text","type":"text","max":90},{"name":"total","type":"number"},{"name":"count","type":"number","integer":true},{"name":"flag","type":"bool"},{"name":"at","type":"date"},{"name":"one","type":"select","values":["x","y"]},{"name":"many","type":"select","values":["x","y"],"maxSelect":2},{"name":"data","type":"json"},{"name":"to","type":"relation","collection":"things","onDelete":"setNull"}],"indexes":[{"name":"t","fields":["total","-text"]},{"name":"o","fields":["one"]},{"name":"u","fields":["count"],"unique":true}],"listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", things).expect("an answer").status, 201);
    for number in 0..requests {
        let method = *one_of(&mut rng, METHODS);
        let target = target(&mut rng);
        // The collection stays, or nothing is left to ask for.
        if method == "DELETE" && !target.contains("/records/") {
            continue;
        }
        let mut headers: Vec<(&str, &str)> = (0..rng.below(3)).map(|_| *one_of(&mut rng, HEADERS)).collect();
        headers.dedup_by_key(|(name, _)| *name);
        if !rng.once_in(8) {
            headers.retain(|(name, _)| *name != "content-type");
            headers.push(("content-type", "application/json"));
        }
        let body = (!["GET", "HEAD"].contains(&method)).then(|| body(&mut rng));
        let told = || format!("seed {seed:#x}, request {number}: {method} {target} {headers:?} {body:?}");
        let answer = client.request(method, &target, &headers, body.as_deref());
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", told()));
        if let Some(complaint) = complaint(method, &answer) {
            panic!("{complaint}: {}\n{} {}", told(), answer.status, String::from_utf8_lossy(&answer.body));
        }
    }
    let left = client.get("/api/collections/things/records?fields=id").expect("an answer");
    assert_eq!(left.status, 200);
}
