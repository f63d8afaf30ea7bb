//! What holds for every route: methods, codings, origins, and the two versions of HTTP.

use std::io::{Read, Write};

use millpond::config::Settings;

use crate::accounts::{ROOT, login, root, send};
use crate::support::http::{Answer, Client};
use crate::support::server::Running;

const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text"}],"viewRule":"","listRule":""}"#;
const NOTE: &str = "/api/collections/notes/records/n";

/// A server with one long note.
fn with_note(change: impl FnOnce(&mut Settings)) -> (Running, Client, Answer) {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), change);
    let mut client = Client::new(server.address);
    assert_eq!(client.json("POST", "/api/collections", NOTES).expect("an answer").status, 201);
    let body = format!(r#"{{"text":"{}"}}"#, "a long text ".repeat(200));
    let put = client.json("PUT", NOTE, &body).expect("an answer");
    assert_eq!(put.status, 201, "{}", put.text());
    (server, client, put)
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn a_long_answer_comes_in_the_coding_that_is_liked_and_has_a_tag_of_its_own() {
    let (_server, mut client, put) = with_note(|_| {});
    let plain = client.get(NOTE).expect("an answer");
    let tag = put.header("etag").expect("a tag").trim_matches('"').to_owned();
    assert_eq!(plain.header("etag"), Some(format!("\"{tag}\"").as_str()));
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
    for (accept, coding) in [("gzip, deflate", "gzip"), ("gzip, br, zstd", "zstd"), ("zstd;q=0.5, gzip", "gzip")] {
        let answer = client.request("GET", NOTE, &[("accept-encoding", accept)], None).expect("an answer");
        assert_eq!(answer.header("content-encoding"), Some(coding), "{accept}");
        assert_eq!(answer.header("etag"), Some(format!("\"{tag}+{coding}\"").as_str()));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert!(answer.body.len() * 4 < plain.body.len(), "{} of {}", answer.body.len(), plain.body.len());
        let decoded =
            if coding == "gzip" { gunzip(&answer.body) } else { zstd::decode_all(&*answer.body).expect("zstd") };
        assert_eq!(decoded, plain.body);
        let head = client.request("HEAD", NOTE, &[("accept-encoding", accept)], None).expect("an answer");
        assert_eq!(head.header("content-encoding"), Some(coding));
        assert_eq!(head.header("etag"), answer.header("etag"));
        assert_eq!(head.header("content-length"), None);

        let kept = answer.header("etag").expect("a tag");
        let again = client.request("GET", NOTE, &[("accept-encoding", accept), ("if-none-match", kept)], None);
        let again = again.expect("an answer");
        assert_eq!((again.status, again.header("etag")), (304, Some(kept)));
    }
}

#[test]
fn a_write_may_be_guarded_by_the_tag_of_an_encoded_answer() {
    let (_server, mut client, _) = with_note(|_| {});
    let seen = client.request("GET", NOTE, &[("accept-encoding", "gzip")], None).expect("an answer");
    let tag = seen.header("etag").expect("a tag").to_owned();
    assert!(tag.ends_with("+gzip\""), "{tag}");
    let headers = [("content-type", "application/json"), ("if-match", &*tag)];
    let patched = client.request("PATCH", NOTE, &headers, Some(br#"{"text":"new"}"#)).expect("an answer");
    assert_eq!(patched.status, 200, "{}", patched.text());
    let stale = client.request("PATCH", NOTE, &headers, Some(br#"{"text":"newer"}"#)).expect("an answer");
    assert_eq!(stale.status, 412, "{}", stale.text());
}

#[test]
fn what_is_short_or_not_asked_for_is_sent_as_it_is() {
    let (_server, mut client, _) = with_note(|_| {});
    for (path, accept) in [("/api/health", "gzip"), (NOTE, "br"), (NOTE, "gzip;q=0"), (NOTE, "identity")] {
        let answer = client.request("GET", path, &[("accept-encoding", accept)], None).expect("an answer");
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{path} {accept}");
        assert!(answer.json().is_object());
    }
}

#[test]
fn a_very_long_answer_is_encoded_as_it_is_sent() {
    let (_server, mut client, _) = with_note(|_| {});
    for number in 0..100 {
        let body = format!(r#"{{"text":"{}"}}"#, format!("note {number} ").repeat(400));
        let path = format!("/api/collections/notes/records/l{number}");
        assert_eq!(client.json("PUT", &path, &body).expect("an answer").status, 201);
    }
    let path = "/api/collections/notes/records?perPage=1000";
    let plain = client.get(path).expect("an answer");
    assert!(plain.body.len() > 2 * millpond::limits::ENCODED_WHOLE_BYTES_MAX);
    for (coding, decode) in
        [("gzip", gunzip as fn(&[u8]) -> Vec<u8>), ("zstd", |bytes| zstd::decode_all(bytes).expect("zstd"))]
    {
        let answer = client.request("GET", path, &[("accept-encoding", coding)], None).expect("an answer");
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(decode(&answer.body), plain.body);
    }
}

#[test]
fn a_body_may_come_encoded_and_its_bound_is_that_of_the_plain_one() {
    const MAX: usize = 10_000;
    let (_server, mut client, _) = with_note(|settings| settings.body_bytes_max = MAX);
    let mut put = |coding: &str, body: &[u8]| {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        client.request("PUT", NOTE, &headers, Some(body)).expect("an answer")
    };
    let body = br#"{"text":"encoded"}"#;
    for (coding, bytes) in [("gzip", gzip(body)), ("zstd", zstd::encode_all(&body[..], 1).expect("memory"))] {
        let answer = put(coding, &bytes);
        assert_eq!((answer.status, &answer.json()["text"]), (200, &"encoded".into()), "{coding}");
    }
    let bomb = vec![b' '; 1 << 20];
    for (coding, bytes) in [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 1).expect("memory"))] {
        assert!(bytes.len() < MAX);
        let answer = put(coding, &bytes);
        assert_eq!((answer.status, &answer.json()["code"]), (413, &"body_too_large".into()), "{coding}");
    }
    let broken = put("gzip", body);
    assert_eq!((broken.status, &broken.json()["code"]), (400, &"bad_coding".into()));
    let unknown = put("br", body);
    assert_eq!((unknown.status, &unknown.json()["code"]), (415, &"unknown_coding".into()));
    assert_eq!(unknown.header("accept-encoding"), Some("gzip, zstd"));
}

/// Every path of the table, and what it says in `Allow`.
const ROUTES: &[(&str, &str)] = &[
    ("/livez", "GET,HEAD"),
    ("/readyz", "GET,HEAD"),
    ("/api/health", "GET,HEAD"),
    ("/metrics", "GET,HEAD"),
    ("/api/collections", "GET,HEAD,POST"),
    ("/api/collections/notes", "GET,HEAD,PATCH,DELETE"),
    ("/api/collections/notes/schema", "GET,HEAD"),
    ("/api/collections/notes/records", "GET,HEAD,POST,PUT"),
    (NOTE, "GET,HEAD,PATCH,PUT,DELETE"),
    ("/api/collections/import", "PUT"),
    ("/api/collections/notes/truncate", "DELETE"),
    ("/api/collections/notes/import", "POST"),
    ("/api/collections/notes/export", "GET,HEAD"),
    ("/api/batch", "POST"),
    ("/api/handlers/h/status", "GET,HEAD"),
    ("/api/handlers/h/redeliver", "POST"),
    ("/api/cache", "GET,HEAD"),
    ("/api/cache/invalidate", "POST"),
];

#[test]
fn head_is_get_without_its_body_and_options_tells_the_methods() {
    let (_server, mut client, _) = with_note(|_| {});
    for (path, methods) in ROUTES {
        let options = client.request("OPTIONS", path, &[], None).expect("an answer");
        assert_eq!((options.status, options.header("allow")), (204, Some(*methods)), "{path}");
        assert!(options.header("x-request-id").is_some() && options.header("access-control-allow-origin").is_none());
        let head = client.request("HEAD", path, &[], None).expect("an answer");
        let get = client.get(path).expect("an answer");
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["content-type", "content-length", "etag", "vary", "allow"] {
            let varies = name == "content-length" && (get.status == 405 || *path == "/metrics");
            assert!(varies || head.header(name) == get.header(name), "{path}: {name} of HEAD is another");
        }
    }
    let server_wide = client.request("OPTIONS", "*", &[], None).expect("an answer");
    assert_eq!(server_wide.status, 204);
    assert_eq!(client.request("OPTIONS", "/nowhere", &[], None).expect("an answer").status, 404);
}

const PREFLIGHT: [(&str, &str); 2] =
    [("access-control-request-method", "PATCH"), ("access-control-request-headers", "content-type, if-match")];

#[test]
fn pages_of_other_origins_are_let_in_only_where_they_are_named() {
    let page = "https://app.example";
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (&[], page, None),
        (&["https://other.example"], page, None),
        (&["https://app.example:8443"], page, None),
        (&["https://app.example"], "http://app.example", None),
        (&["https://app.example"], "null", None),
        (&["https://other.example", "https://app.example"], page, Some(page)),
        (&["*"], page, Some("*")),
    ];
    for (set, origin, allowed) in cases {
        let server = Running::start_with(tempfile::tempdir().expect("a folder"), |settings| {
            settings.dev = false;
            settings.cors_origins = set.iter().map(|origin| (*origin).to_owned()).collect();
        });
        let mut client = Client::new(server.address);
        let asked = [&[("origin", *origin)][..], &PREFLIGHT].concat();
        let preflight = client.request("OPTIONS", NOTE, &asked, None).expect("an answer");
        let name = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
        assert_eq!((preflight.status, name(&preflight).as_deref()), (204, *allowed), "{set:?} {origin}");
        let tells = |name: &str, word: &str| preflight.header(name).is_some_and(|list| list.contains(word));
        assert_eq!(tells("access-control-allow-methods", "PATCH"), allowed.is_some());
        assert_eq!(tells("access-control-allow-headers", "If-Match"), allowed.is_some());
        assert_eq!(tells("access-control-max-age", "3600"), allowed.is_some());

        for path in ["/api/health", "/nowhere"] {
            let answer = client.request("GET", path, &[("origin", origin)], None).expect("an answer");
            assert_eq!(name(&answer).as_deref(), *allowed, "{set:?} {origin} {path}");
            let shown = answer.header("access-control-expose-headers").unwrap_or_default();
            assert_eq!(shown.contains("ETag") && shown.contains("Millpond-Seq"), allowed.is_some());
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            let named = !set.is_empty() && *allowed != Some("*");
            assert_eq!(answer.header("vary"), named.then_some("Origin"), "{set:?}: a cache has to know");
        }
    }
}

#[test]
fn http_2_gives_the_answers_of_http_1() {
    let (server, mut client, _) = with_note(|_| {});
    let over_1 = client.get(NOTE).expect("an answer");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("connects");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut client = client.ready().await.expect("ready");
        let mut ask = |method: &str, host: &str, path: &str| {
            let uri = format!("http://{host}{path}");
            let request = axum::http::Request::builder().method(method).uri(uri).body(()).expect("a request");
            client.send_request(request, true).expect("sent").0
        };
        for method in ["GET", "HEAD"] {
            let answer = ask(method, &server.address.to_string(), NOTE).await.expect("an answer");
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("ASCII"));
            assert_eq!(answer.status(), over_1.status);
            for name in ["etag", "content-type", "content-length", "vary"] {
                assert_eq!(header(name), over_1.header(name), "{method} {name}");
            }
            let mut body = answer.into_body();
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                bytes.extend_from_slice(&data.expect("a part"));
            }
            assert!(if method == "GET" { bytes == over_1.body } else { bytes.is_empty() }, "{method}");
        }
        // Whom a page of a foreign name reaches here is nobody, by `:authority` as by `Host`.
        let here = ask("GET", "localhost", "/api/collections").await.expect("an answer");
        let foreign = ask("GET", "evil.example", "/api/collections").await.expect("an answer");
        let hidden = ask("GET", "localhost:x@evil.example", "/api/collections").await.map(|answer| answer.status());
        assert_eq!((here.status().as_u16(), foreign.status().as_u16()), (200, 401));
        assert!(hidden.is_err() || hidden.is_ok_and(|status| status == 401 || status == 400));
    });
    let absolute = format!("GET http://evil.example/api/collections HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    assert_eq!(client.exchange(absolute.as_bytes(), false).expect("an answer").status, 401);
}

#[test]
fn metrics_are_for_superusers_or_for_all_where_that_is_set() {
    for open in [false, true] {
        let (_server, mut client, _) = with_note(|settings| settings.metrics_open = open);
        for (host, may) in [("localhost", true), ("nobody.example", open)] {
            let answer = client.request("GET", "/metrics", &[("host", host)], None).expect("an answer");
            assert_eq!(answer.status, if may { 200 } else { 401 }, "{host}, open: {open}");
            assert_eq!(may, answer.header("content-type") == Some("text/plain; version=0.0.4; charset=utf-8"));
        }
    }
}

/// The value of one line of the metrics.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

#[test]
fn metrics_tell_what_was_done() {
    let (server, mut client, _) = with_note(|_| {});
    for _ in 0..3 {
        assert_eq!(client.get(NOTE).expect("an answer").status, 200);
    }
    assert_eq!(client.get("/api/nowhere").expect("an answer").status, 404);
    let refused = client.request("DELETE", NOTE, &[("if-match", "\"1-00000000-1\"")], None).expect("an answer");
    assert_eq!(refused.status, 412);
    let answer = client.get("/metrics").expect("an answer");
    let text = answer.text();
    let record = "/api/collections/{collection}/records/{id}";
    let count = |route: &str, class: &str| {
        metric(text, &format!("millpond_http_request_seconds_count{{route=\"{route}\",status=\"{class}\"}}"))
    };
    assert_eq!((count(record, "2xx"), count(record, "4xx"), count("other", "4xx")), (4.0, 1.0, 1.0));
    assert_eq!(metric(text, "millpond_http_in_flight"), 1.0, "this one");
    assert_eq!((metric(text, "millpond_connections"), metric(text, "millpond_connections_total")), (1.0, 1.0));
    assert!(
        metric(text, "millpond_read_bytes_total") > 500.0 && metric(text, "millpond_written_bytes_total") > 5_000.0
    );
    assert_eq!(
        (metric(text, "millpond_commands_committed_total"), metric(text, "millpond_commands_refused_total")),
        // The first six define the server's own collections.
        (8.0, 1.0)
    );
    assert!(
        metric(text, "millpond_log_sync_seconds_count") >= 2.0 && metric(text, "millpond_log_sync_seconds_sum") > 0.0
    );
    assert_eq!(metric(text, "millpond_batch_commands_sum"), 9.0);
    assert_eq!(metric(text, "millpond_position"), server.core.view().position.seq.0 as f64);
    for name in ["log_bytes", "base_bytes", "collections"] {
        assert!(metric(text, &format!("millpond_{name}")) > 0.0, "{name}");
    }
    assert!(metric(text, "process_resident_memory_bytes") > 1e6 && metric(text, "process_start_time_seconds") > 1e9);
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("millpond_") || name.starts_with("process_"), "{line}");
        value.parse::<f64>().expect("a number");
    }
}

/// A server with rate limits behind a proxy on this machine, a note that all may read, and a superuser's token.
fn limited(requests: u32, logins: u32) -> (Running, Client, String) {
    let change = |settings: &mut Settings| {
        settings.dev = false;
        settings.rate_limits = true;
        settings.rate_limit_requests = requests;
        settings.rate_limit_logins = logins;
        settings.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    };
    let server = Running::start_for(tempfile::tempdir().expect("a folder"), change, Some(ROOT));
    let mut client = Client::new(server.address);
    let root = root(&mut client);
    assert_eq!(send(&mut client, &root, "POST", "/api/collections", NOTES).status, 201);
    assert_eq!(send(&mut client, &root, "PUT", NOTE, r#"{"text":"x"}"#).status, 201);
    (server, client, root)
}

#[test]
fn callers_behind_one_address_are_counted_each_by_itself() {
    let (_server, mut client, root) = limited(3, 100);
    let people = r#"{"name":"people","type":"auth","viewRule":""}"#;
    assert_eq!(send(&mut client, &root, "POST", "/api/collections", people).status, 201);
    let mut token = |name: &str| {
        let body = format!(r#"{{"id":"{name}","email":"{name}@example.com","password":"correct horse"}}"#);
        assert_eq!(send(&mut client, &root, "POST", "/api/collections/people/records", &body).status, 201);
        login(&mut client, "people", &format!("{name}@example.com"), "correct horse")
    };
    let (ada, bob) = (token("ada"), token("bob"));
    let body = r#"{"name":"k","ownerCollection":"people","owner":"ada"}"#;
    let made = send(&mut client, &root, "POST", "/api/collections/_apiKeys/records", body).json();
    let key = made["key"].as_str().expect("shown once").to_owned();
    let mut spend = |token: &str, from: &str| -> Vec<u16> {
        let mut headers = vec![("x-forwarded-for", from)];
        if !token.is_empty() {
            headers.push(("authorization", token));
        }
        (0..4).map(|_| client.request("GET", NOTE, &headers, None).expect("an answer").status).collect()
    };
    let spent = [200, 200, 200, 429];
    assert_eq!(spend(&ada, "198.51.100.1"), spent);
    assert_eq!(spend(&bob, "198.51.100.1"), spent, "another caller behind the same address");
    assert_eq!(spend(&key, "198.51.100.1"), spent, "a key is a caller of its own");
    assert_eq!(spend("", "198.51.100.1"), spent, "nobody is counted by address");
    assert_eq!(spend(&ada, "198.51.100.2"), [429; 4], "whoever has spent it has from everywhere");
    let bad = format!("{ada}x");
    assert_eq!(spend(&bad, "198.51.100.3"), [401, 401, 401, 429], "guesses are counted by address");
    assert_eq!(spend(&bad, "198.51.100.3"), [429; 4]);
}

#[test]
fn who_asks_too_often_is_told_how_long_to_wait_and_others_are_served() {
    let (_server, mut client, root) = limited(3, 1);
    let mut ask = |method: &str, path: &str, from: &str| {
        client.request(method, path, &[("x-forwarded-for", from)], None).expect("an answer")
    };
    for left in (0..3).rev() {
        let answer = ask("GET", NOTE, "198.51.100.1");
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some("\"requests\";q=3;w=10")));
        let state = answer.header("ratelimit").expect("how it stands");
        assert!(state.starts_with(&format!("\"requests\";r={left};t=")), "{state}");
    }
    let refused = ask("GET", NOTE, "203.0.113.9, 198.51.100.1");
    assert_eq!((refused.status, &refused.json()["code"]), (429, &"rate_limited".into()));
    let wait: u64 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a time");
    assert!((1..=4).contains(&wait), "{wait}");
    assert!(refused.header("x-request-id").is_some() && refused.header("ratelimit").is_some());
    assert_eq!(ask("GET", "/livez", "198.51.100.1").status, 200, "whether the server is well may always be asked");
    assert_eq!(ask("GET", NOTE, "198.51.100.2").status, 200);

    let login = "/api/collections/users/auth-with-password";
    assert_ne!(ask("POST", login, "198.51.100.3").status, 429);
    let second = ask("POST", login, "198.51.100.3");
    assert_eq!((second.status, second.header("ratelimit-policy")), (429, Some("\"logins\";q=1;w=60")));
    assert_eq!(ask("GET", NOTE, "198.51.100.3").status, 200, "other requests are counted apart");

    // A superuser is not counted.
    for _ in 0..10 {
        assert_eq!(send(&mut client, &root, "GET", "/api/collections", "").status, 200);
    }
    let limited = send(&mut client, &root, "GET", "/metrics", "");
    assert_eq!(metric(limited.text(), "millpond_http_limited_total"), 2.0);
}
