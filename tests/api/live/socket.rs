//! The WebSocket: requests as over HTTP, streams as over SSE.

use serde_json::json;

use super::{OWNED, known, open, owned, put};
use crate::accounts::send;
use crate::support::stream::WebSocket;

#[test]
fn requests_are_answered_as_over_http() {
    let (server, mut client) = open();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.status, 101);
    let made = socket.ask(r#"{"id":1,"op":"create","collection":"items","body":{"id":"a","n":1}}"#);
    assert_eq!((&made["status"], &made["body"]["n"]), (&json!(201), &json!(1)), "{made}");
    assert!(made["seq"].is_string() && made["etag"].is_string(), "{made}");
    let put = socket.ask(r#"{"id":"two","op":"update","collection":"items","record":"a","body":{"n+":4}}"#);
    assert_eq!((&put["status"], &put["body"]["n"]), (&json!(200), &json!(5)), "{put}");
    let stale = json!({"id": 3, "op": "update", "collection": "items", "record": "a", "body": {},
        "headers": {"If-Match": made["etag"]}});
    assert_eq!(socket.ask(&stale.to_string())["status"], 412);
    let list = socket.ask(r#"{"id":4,"op":"list","collection":"items","query":{"filter":"n > 4","skipTotal":1}}"#);
    assert_eq!((&list["body"]["totalItems"], &list["body"]["items"][0]["id"]), (&json!(-1), &json!("a")), "{list}");
    let get = socket.ask(r#"{"id":5,"op":"get","collection":"items","record":"a","query":{"fields":"n"}}"#);
    assert_eq!(get["body"], json!({"n": 5}));
    let batch = socket.ask(
        r#"{"id":6,"op":"batch","body":{"requests":[{"method":"POST","url":"/api/collections/items/records","body":{"id":"b"}}]}}"#,
    );
    assert_eq!((&batch["status"], &batch["body"][0]["status"]), (&json!(200), &json!(201)), "{batch}");
    assert_eq!(socket.ask(r#"{"id":7,"op":"delete","collection":"items","record":"b"}"#)["status"], 204);
    let refused = [
        (r#"{"id":8,"op":"get","collection":"items","record":"none"}"#, 404, "not_found"),
        (r#"{"id":8,"op":"list","collection":"items","query":{"filter":"nowhere = 1"}}"#, 400, "bad_filter"),
        (r#"{"id":8,"op":"list","collection":"nowhere"}"#, 404, "not_found"),
        (r#"{"id":8,"op":"create","collection":"items","body":{"nowhere":1}}"#, 400, "unknown_field"),
        (r#"{"id":8,"op":"fly"}"#, 400, "bad_op"),
    ];
    for (text, status, code) in refused {
        let answer = socket.ask(text);
        let over_http = answer["body"]["code"] == code
            || answer["body"]["data"]["op"]["code"] == code
            || answer["body"]["data"]["nowhere"]["code"] == code;
        assert!(answer["status"] == status && over_http && answer["body"]["requestId"].is_string(), "{text}: {answer}");
    }
    socket.send("no JSON");
    assert_eq!(socket.next().expect("an answer")["status"], 400);
    assert_eq!(socket.ask(r#"{"id":9,"op":"ping"}"#)["status"], 204);
    let plain = client.get("/api/ws").expect("an answer");
    assert_eq!((plain.status, &plain.json()["code"]), (400, &json!("not_a_websocket")));
}

#[test]
fn many_requests_in_flight_are_each_answered_by_their_id() {
    let (server, _client) = open();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    for n in 0..200 {
        socket.send(
            &json!({"id": n, "op": "create", "collection": "items", "body": {"id": format!("r{n}"), "n": n}})
                .to_string(),
        );
    }
    let mut answered: Vec<i64> = (0..200)
        .map(|_| {
            let answer = socket.next().expect("an answer");
            assert_eq!((&answer["status"], &answer["body"]["n"]), (&json!(201), &answer["id"]), "{answer}");
            answer["id"].as_i64().expect("a number")
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..200).collect::<Vec<_>>());
}

#[test]
fn what_is_listened_to_comes_by_its_name() {
    let (server, mut client) = open();
    let first = put(&mut client, "old", r#"{"n":9}"#);
    put(&mut client, "old", r#"{"n":10}"#);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let all = socket.ask(r#"{"id":1,"op":"subscribe","collection":"items","filter":"n > 5","snapshot":true}"#);
    assert_eq!((&all["status"], &all["body"]), (&json!(200), &json!({"sub": "1"})), "{all}");
    let told = |socket: &mut WebSocket| {
        let event = socket.next().expect("an event");
        assert!(event["seq"].is_string(), "{event}");
        [&event["sub"], &event["action"], &event["record"]["id"]]
            .map(|word| word.as_str().unwrap_or("-").to_owned())
            .join(" ")
    };
    assert_eq!([told(&mut socket), told(&mut socket)], ["1 enter old", "1 ready -"]);
    let since =
        json!({"id": 2, "op": "subscribe", "sub": "past", "collection": "items", "record": "old", "since": first});
    assert_eq!(socket.ask(&since.to_string())["body"], json!({"sub": "past"}));
    assert_eq!(told(&mut socket), "past update old");
    put(&mut client, "a", r#"{"n":7}"#);
    put(&mut client, "old", r#"{"n":1}"#);
    assert_eq!([0, 1, 2].map(|_| told(&mut socket)), ["1 create a", "1 leave old", "past update old"]);
    assert_eq!(socket.ask(r#"{"id":3,"op":"unsubscribe","sub":"1"}"#)["status"], 204);
    assert_eq!(socket.ask(r#"{"id":4,"op":"unsubscribe","sub":"1"}"#)["status"], 404);
    put(&mut client, "a", r#"{"n":8}"#);
    put(&mut client, "old", r#"{"n":2}"#);
    assert_eq!(told(&mut socket), "past update old");
    let lost = r#"{"id":5,"op":"subscribe","collection":"items","since":"9-00000009-5"}"#;
    assert_eq!(socket.ask(lost)["status"], 410);
    server.stop();
    assert_eq!(socket.closed(), (1001, "stopping".to_owned()));
}

#[test]
fn a_caller_shows_itself_by_a_header_or_by_the_first_message() {
    let (server, mut client, root, [ada, bob]) = known();
    assert!(OWNED.contains("@request.auth.id"));
    let list = r#"{"id":1,"op":"list","collection":"owned"}"#;
    owned(&mut client, &root, "a", r#"{"owner":"ada"}"#);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.ask(list)["body"]["totalItems"], 0);
    assert_eq!(socket.ask(r#"{"id":2,"op":"auth","token":"bad"}"#)["status"], 401);
    let auth = |token: &str| json!({"id": 3, "op": "auth", "token": token}).to_string();
    assert_eq!(socket.ask(&auth(&ada))["status"], 204);
    assert_eq!(socket.ask(list)["body"]["totalItems"], 1);
    assert_eq!(socket.ask(&auth(&bob))["status"], 403, "it is ada's");
    assert_eq!(socket.ask(r#"{"id":4,"op":"subscribe","collection":"owned"}"#)["status"], 200);
    owned(&mut client, &root, "b", r#"{"owner":"bob"}"#);
    owned(&mut client, &root, "c", r#"{"owner":"ada"}"#);
    assert_eq!(socket.next().expect("an event")["record"]["id"], "c");
    let mut by_header = WebSocket::open(server.address, "/api/ws", &[("authorization", &ada)]);
    assert_eq!(by_header.ask(list)["body"]["totalItems"], 2);
    assert_eq!(WebSocket::open(server.address, "/api/ws", &[("authorization", "bad")]).status, 401);
    let gone = send(&mut client, &root, "DELETE", "/api/collections/people/records/ada", "");
    assert_eq!(gone.status, 204);
    for mut socket in [socket, by_header] {
        assert_eq!(socket.closed(), (1008, "token_ended".to_owned()));
    }
}

#[test]
fn what_was_listened_to_before_is_the_callers_who_shows_itself_then() {
    let (server, mut client, root, [ada, _]) = known();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.ask(r#"{"id":1,"op":"subscribe","collection":"owned"}"#)["status"], 200);
    // Both at once, so that nothing is sent between them.
    socket.send(&json!({"id": 2, "op": "auth", "token": ada}).to_string());
    socket.send(r#"{"id":3,"op":"subscribe","sub":"one","collection":"owned","record":"none"}"#);
    assert_eq!([socket.next(), socket.next()].map(|answer| answer.expect("an answer")["status"].clone()), [204, 200]);
    owned(&mut client, &root, "a", r#"{"owner":"ada"}"#);
    let event = socket.next().expect("an event");
    assert_eq!((&event["sub"], &event["record"]["id"]), (&json!("1"), &json!("a")), "{event}");
}

#[test]
fn a_foreign_page_gets_no_socket() {
    let (server, _client) = open();
    let own = format!("http://{}", server.address);
    let table = [(own.as_str(), 101), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1", 403)];
    for (origin, status) in table {
        assert_eq!(WebSocket::open(server.address, "/api/ws", &[("origin", origin)]).status, status, "{origin}");
    }
}
