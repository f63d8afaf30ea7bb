//! Aggregates over servers of several processes' kind: each with its own records, one asking the others.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::server::Running;

/// A server that may connect to this machine, with these orders.
fn started(orders: &[(&str, &str, i64)]) -> (Running, Client) {
    let allow = |settings: &mut millpond::config::Settings| settings.webhook_private_addresses = true;
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), allow);
    let mut client = Client::new(server.address);
    let definition = r#"{"name":"orders","fields":[{"name":"user","type":"text"},{"name":"total","type":"number","integer":true},
        {"name":"at","type":"date"}],"listRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", definition).expect("an answer").status, 201);
    for (id, user, total) in orders {
        let body = json!({"id": id, "user": user, "total": total, "at": format!("2001-01-0{total}")}).to_string();
        let made = client.json("POST", "/api/collections/orders/records", &body).expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text());
    }
    (server, client)
}

fn ask(client: &mut Client, body: &Value) -> Answer {
    client.json("POST", "/api/aggregate", &body.to_string()).expect("an answer")
}

/// Orders by user here, and there.
fn both(url: &str, key: &str, kind: &str) -> Value {
    json!({"sources": {
        "here": {"collection": "orders", "group": {"k": key}, "values": {"here": "sum(total)"}},
        "there": {"url": url, "collection": "orders", "filter": "total < 9", "group": {"k": key}, "values": {"there": "sum(total)"}},
    }, "merge": {"join": ["k"], "kind": kind}})
}

#[test]
fn another_server_is_a_source_as_any() {
    let (there, _) = started(&[("a", "ann", 1), ("b", "bob", 2), ("c", "bob", 3), ("d", "dan", 9)]);
    let (_here, mut client) = started(&[("x", "bob", 5), ("y", "cid", 7)]);
    let url = format!("http://{}/", there.address);
    let answer = ask(&mut client, &both(&url, "user", "full"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!([
        {"k": "bob", "here": 5, "there": 5}, {"k": "cid", "here": 7, "there": null}, {"k": "ann", "here": null, "there": 1}
    ]);
    assert_eq!(answer.json()["items"], expected);
    assert!(answer.header("cache-status").is_some_and(|status| status.contains("miss")));
    let again = ask(&mut client, &both(&url, "user", "full"));
    assert!(
        again.header("cache-status").is_some_and(|status| status.contains("miss")),
        "nobody tells of changes there"
    );
    // Dates come as texts, and meet dates.
    let (_other, mut client) = started(&[("x", "bob", 2)]);
    let answer = ask(&mut client, &both(&url, "at", "inner"));
    assert_eq!(answer.json()["items"], json!([{"k": "2001-01-02 00:00:00.000Z", "here": 2, "there": 2}]));
}

#[test]
fn only_superusers_name_servers_and_one_that_is_asked_asks_no_further() {
    let (there, _) = started(&[]);
    let (here, mut client) = started(&[]);
    let body = both(&format!("http://{}", there.address), "user", "left").to_string();
    let json_body: [(&str, &str); 2] = [("content-type", "application/json"), ("host", "nobody.example")];
    let nobody = client.request("POST", "/api/aggregate", &json_body, Some(body.as_bytes())).expect("an answer");
    assert_eq!(nobody.status, 401, "{}", nobody.text());
    let asked: [(&str, &str); 2] = [("content-type", "application/json"), ("millpond-hops", "1")];
    let refused = client.request("POST", "/api/aggregate", &asked, Some(body.as_bytes())).expect("an answer");
    assert_eq!((refused.status, refused.json()["code"].clone()), (400, json!("too_many_hops")));
    // A server may be asked for what it has itself; it is one hop.
    let answer = ask(&mut client, &both(&format!("http://{}", here.address), "user", "left"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_server_that_fails_is_504_or_an_error_beside_the_rest() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    let (there, _) = started(&[]);
    let (_here, mut client) = started(&[("x", "bob", 5)]);
    let mut wrong = both(&format!("http://{}", there.address), "user", "inner");
    wrong["sources"]["there"]["collection"] = json!("nope");
    let mut slow = both(&silent, "user", "inner");
    slow["timeout"] = json!("200ms");
    for (mut body, code, says) in [(wrong, "source_failed", "404 Not Found"), (slow, "timeout", "longer than it may")] {
        let answer = ask(&mut client, &body);
        assert_eq!((answer.status, answer.json()["code"].clone()), (504, json!(code)), "{}", answer.text());
        body["partial"] = json!(true);
        let answer = ask(&mut client, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["items"], json!([{"k": "bob", "here": 5, "there": null}]));
        assert_eq!(answer["errors"]["there"]["code"], code);
        assert!(
            answer["errors"]["there"]["message"].as_str().is_some_and(|message| message.contains(says)),
            "{answer}"
        );
    }
    let server = Running::start();
    let mut client = Client::new(server.address);
    let body = json!({"sources": {"s": {"url": "http://127.0.0.1:1", "collection": "c", "values": {"n": "count()"}}}});
    let answer = ask(&mut client, &body);
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("no address of the open net"), "{}", answer.text());
}
