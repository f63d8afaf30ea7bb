//! `/api/logs`: which requests make a line, what stands in it, and how lines are found again.

use serde_json::Value;

use crate::accounts::{login, root, send, start};
use crate::support::http::Client;
use crate::support::server::Running;

/// A server of that least level, with one superuser.
fn start_at(level: millpond::config::Level, change: impl FnOnce(&mut millpond::config::Settings)) -> (Running, Client) {
    let set = |settings: &mut millpond::config::Settings| {
        settings.dev = false;
        settings.request_log_level = level;
        change(settings);
    };
    let server =
        Running::start_for(tempfile::tempdir().expect("a folder"), set, Some(("root@example.com", "an open secret")));
    let client = Client::new(server.address);
    (server, client)
}

fn lines(client: &mut Client, token: &str, query: &str) -> Vec<Value> {
    let answer = send(client, token, "GET", &format!("/api/logs?{query}"), "");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["items"].as_array().expect("items").clone()
}

fn urls(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["data"]["url"].as_str().expect("a text")).collect()
}

#[test]
fn a_refused_request_makes_a_line_with_its_id_and_an_answered_one_does_not() {
    let (_server, mut client) = start();
    let root = root(&mut client);
    assert_eq!(send(&mut client, &root, "GET", "/api/health", "").status, 200);
    let headers = [
        ("x-request-id", "mine-1"),
        ("user-agent", "tests/1"),
        ("referer", "https://app.example/page?token=hidden#x"),
        ("authorization", &*root),
    ];
    let missing = client.request("GET", "/api/collections/nope?page=1&token=hidden", &headers, None);
    assert_eq!(missing.expect("an answer").status, 400);
    let found = lines(&mut client, &root, "filter=data.requestId%3D'mine-1'");
    let [line] = &found[..] else { panic!("{found:?}") };
    let data = &line["data"];
    assert_eq!((line["level"].as_i64(), &line["message"]), (Some(0), &Value::from("GET /api/collections/nope")));
    for (name, expected) in [
        ("type", "request"),
        ("method", "GET"),
        ("url", "/api/collections/nope?page=1&…"),
        ("route", "/api/collections/{collection}"),
        ("auth", "_superusers"),
        ("remoteIP", "127.0.0.1"),
        ("userIP", "127.0.0.1"),
        ("userAgent", "tests/1"),
        ("referer", "https://app.example/page"),
    ] {
        assert_eq!(data[name], expected, "{name}: {data}");
    }
    assert_eq!((&data["status"], &data["details"]["code"]), (&400.into(), &"unknown_parameter".into()));
    assert!(data["execTime"].as_f64().is_some_and(|ms| ms > 0.0) && data["error"].is_string(), "{data}");
    assert!(!line.to_string().contains("hidden"), "{line}");
    let id = line["id"].as_str().expect("an id");
    assert_eq!((id.len(), send(&mut client, &root, "GET", &format!("/api/logs/{id}"), "").json()), (15, line.clone()));
    let created = line["created"].as_str().expect("a time");
    assert!(created.len() == 24 && created.ends_with('Z'), "{created}");
    for other in ["000000000000000", "zzzzzzzzzzzzzzz", "x", "%2E"] {
        assert_eq!(send(&mut client, &root, "GET", &format!("/api/logs/{other}"), "").status, 404, "{other}");
    }
}

#[test]
fn lines_are_filtered_sorted_paged_and_counted() {
    let (_server, mut client) = start_at(millpond::config::Level::Debug, |_| {});
    let root = login(&mut client, "_superusers", "root@example.com", "an open secret");
    for n in 0..7 {
        send(&mut client, "", "GET", if n % 2 == 0 { "/api/health" } else { "/nowhere" }, "");
    }
    let health = "filter=data.url%3D'/api/health'";
    let answer = send(&mut client, &root, "GET", &format!("/api/logs?{health}&perPage=3&page=2"), "").json();
    let shape = ["page", "perPage", "totalItems", "totalPages"].map(|name| answer[name].as_i64());
    assert_eq!((shape, answer["items"].as_array().map(Vec::len)), ([2, 3, 4, 2].map(Some), Some(1)));
    let answer = send(&mut client, &root, "GET", &format!("/api/logs?{health}&perPage=3&skipTotal=1"), "").json();
    assert_eq!((answer["totalItems"].as_i64(), answer["items"].as_array().map(Vec::len)), (Some(-1), Some(3)));
    let some = "filter=data.status%3D404%7C%7Cdata.url%3D'/api/health'&skipTotal=1";
    let newest = lines(&mut client, &root, some);
    let (oldest, all) = (lines(&mut client, &root, &format!("{some}&sort=created,id")), newest.len());
    assert_eq!((all, oldest.iter().rev().cloned().collect::<Vec<_>>()), (7, newest.clone()));
    assert_eq!(lines(&mut client, &root, &format!("{some}&sort=-@rowid")), newest);
    let by_url = lines(&mut client, &root, &format!("{some}&sort=-level,data.url"));
    assert_eq!(urls(&by_url), [["/nowhere"; 3].as_slice(), &["/api/health"; 4]].concat());
    assert_eq!(lines(&mut client, &root, &format!("{some}&sort=-level,data.url&perPage=2&page=2"))[..], by_url[2..4]);
    assert_eq!(lines(&mut client, &root, "filter=level%3C0%26%26message~'health'").len(), 4);
    assert_eq!(lines(&mut client, &root, "filter=created%3E%3D@tomorrow").len(), 0);
    let narrow = lines(&mut client, &root, &format!("{some}&perPage=1&fields=level,data.url"));
    assert_eq!(narrow, [serde_json::json!({"level": newest[0]["level"], "data": {"url": newest[0]["data"]["url"]}})]);
    let one = format!("/api/logs/{}?fields=id", newest[0]["id"].as_str().expect("an id"));
    assert_eq!(send(&mut client, &root, "GET", &one, "").json(), serde_json::json!({"id": newest[0]["id"]}));

    let stats = send(&mut client, &root, "GET", "/api/logs/stats?filter=data.status%3D404", "").json();
    let hours = stats.as_array().expect("a list");
    assert_eq!(hours.iter().filter_map(|hour| hour["total"].as_u64()).sum::<u64>(), 3, "{stats}");
    assert!(
        hours.iter().all(|hour| hour["date"].as_str().is_some_and(|date| date.ends_with(":00:00.000Z"))),
        "{stats}"
    );
    assert_eq!(send(&mut client, &root, "GET", "/api/logs/stats?filter=level%3E8", "").text(), "[]");

    for (query, code) in [
        ("filter=level%3E", "bad_filter"),
        ("filter=nope%3D1", "bad_filter"),
        ("filter=level", "bad_filter"),
        ("filter=hash%3D'x'", "bad_filter"),
        ("sort=nope", "bad_sort"),
        ("sort=data", "bad_sort"),
        ("sort=id,", "bad_sort"),
        ("sort=len(message)", "bad_sort"),
        ("fields=id,nope", "bad_fields"),
        ("page=0", "bad_parameter"),
        ("page=1000000&perPage=1000", "page_too_far"),
        ("perpage=1", "unknown_parameter"),
    ] {
        let refused = send(&mut client, &root, "GET", &format!("/api/logs?{query}"), "");
        assert_eq!((refused.status, &refused.json()["code"]), (400, &code.into()), "{query}: {}", refused.text());
    }
}

#[test]
fn lines_outlive_a_restart_and_end_with_the_setting() {
    let (server, mut client) = start();
    let token = root(&mut client);
    send(&mut client, "", "GET", "/nowhere", "");
    let before = lines(&mut client, &token, "filter=data.status%3D404");
    assert_eq!(urls(&before), ["/nowhere"]);
    let (_, folder) = server.stop();
    let server = Running::start_with(folder, |settings| settings.dev = false);
    let mut client = Client::new(server.address);
    assert_eq!(lines(&mut client, &token, "filter=data.status%3D404"), before);
    let (_, folder) = server.stop();
    let server = Running::start_with(folder, |settings| (settings.dev, settings.request_log_lines) = (false, 0));
    let mut client = Client::new(server.address);
    assert_eq!(lines(&mut client, &token, ""), Vec::<Value>::new());
    assert_eq!(send(&mut client, &token, "GET", "/api/logs/stats", "").text(), "[]");
}

#[test]
fn a_damaged_journal_stops_no_start_and_a_line_on_it_is_counted() {
    let (server, mut client) = start();
    let token = root(&mut client);
    send(&mut client, "", "GET", "/nowhere", "");
    assert_eq!(lines(&mut client, &token, "filter=data.status%3D404").len(), 1);
    let (_, folder) = server.stop();
    let journal = folder.path().join("data/journal");
    for file in std::fs::read_dir(&journal).expect("a folder") {
        std::fs::write(file.expect("a file").path(), b"what is this").expect("writable");
    }
    let server = Running::start_with(folder, |settings| settings.dev = false);
    let mut client = Client::new(server.address);
    send(&mut client, "", "GET", "/nowhere/else", "");
    assert_eq!(urls(&lines(&mut client, &token, "filter=data.status%3D404")), ["/nowhere/else"]);
    let metrics = send(&mut client, &token, "GET", "/metrics", "");
    for line in ["lines_total 1", "dropped_total 0", "damaged_total 1"] {
        let line = format!("millpond_request_log_{line}");
        assert!(metrics.text().lines().any(|found| found == line), "{line}: {}", metrics.text());
    }
}

#[test]
fn no_secret_that_a_request_bears_is_in_the_journal() {
    let (server, mut client) = start_at(millpond::config::Level::Debug, |settings| settings.slow_ms = 0);
    let root = login(&mut client, "_superusers", "root@example.com", "an open secret");
    let made = send(&mut client, &root, "POST", "/api/collections/_apiKeys/records", r#"{"name":"k"}"#);
    let key = made.json()["key"].as_str().expect("shown once").to_owned();
    let people = r#"{"name":"people","type":"auth"}"#;
    assert_eq!(send(&mut client, &root, "POST", "/api/collections", people).status, 201);
    let body = r#"{"email":"a@example.com","password":"correct horse","nope":"correct horse"}"#;
    for secret in [&root, &key] {
        for target in [
            format!("/api/health?token={secret}"),
            format!("/api/health?{secret}"),
            format!("/{secret}"),
            format!("/api/logs?filter=message='{secret}'"),
            format!("/api/collections/people/records?sort={secret}"),
        ] {
            send(&mut client, secret, "GET", &target, "");
            let headers = [("referer", &*target), ("user-agent", &**secret)];
            client.request("GET", &target, &headers, None).expect("an answer");
        }
        send(&mut client, secret, "POST", "/api/collections/people/records", body);
        send(&mut client, &format!("{secret}x"), "GET", "/api/collections", "");
    }
    let wrong = r#"{"identity":"root@example.com","password":"correct horse"}"#;
    send(&mut client, "", "POST", "/api/collections/_superusers/auth-with-password", wrong);
    assert!(lines(&mut client, &root, "perPage=1000").len() > 20);
    let (_, folder) = server.stop();
    for file in std::fs::read_dir(folder.path().join("data/journal")).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        let text = String::from_utf8_lossy(&bytes);
        for secret in [&*root, &key, "correct horse", "an open secret"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}
