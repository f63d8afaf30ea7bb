//! What a WebSocket listens to under one name is one thing: asked for again, it goes on; and where it begins.

use serde_json::{Value, json};

use super::{open, put};
use crate::support::http::Client;
use crate::support::stream::{Events, WebSocket, told};

fn create(client: &mut Client, n: i64) -> String {
    let body = json!({"id": format!("r{n}"), "n": n}).to_string();
    let answer = client.json("POST", "/api/collections/items/records", &body).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("millpond-seq").expect("a position").to_owned()
}

fn short(event: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    [&event["sub"], &event["action"], &event["record"]["id"]].map(word).join(" ")
}

#[test]
fn a_subscription_takes_the_place_of_the_one_before_without_loss_or_double() {
    let (server, _client) = open();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let ask = |n: i64, least: i64| {
        let filter = format!("n >= {least}");
        json!({"id": n, "op": "subscribe", "sub": "s", "collection": "items", "filter": filter}).to_string()
    };
    assert_eq!(socket.ask(&ask(0, 0))["status"], 200);
    let address = server.address;
    let writer = std::thread::spawn(move || {
        let mut client = Client::new(address);
        for n in 0..300 {
            create(&mut client, n);
        }
    });
    let mut asked = 0;
    while !writer.is_finished() {
        asked += 1;
        // Another filter that lets all pass: another topic.
        assert_eq!(socket.ask(&ask(asked, -(asked % 5)))["status"], 200);
    }
    writer.join().expect("no panic");
    let told: Vec<i64> =
        (0..300).map(|_| socket.next().expect("an event")["record"]["n"].as_i64().expect("n")).collect();
    assert_eq!(told, (0..300).collect::<Vec<_>>(), "asked for {asked} times");
}

#[test]
fn a_subscription_that_is_refused_leaves_the_one_before() {
    let (server, mut client) = open();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let mut ask = |more: Value| {
        let mut message = json!({"id": 1, "op": "subscribe", "sub": "s", "collection": "items"});
        message.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let status = socket.ask(&message.to_string())["status"].as_i64().expect("a status");
        (status, socket.next_within_reach())
    };
    assert_eq!(ask(json!({})).0, 200);
    let refused = [
        (json!({"filter": "nowhere = 1"}), 400),
        (json!({"collection": "nowhere"}), 404),
        (json!({"since": "9-00000009-5"}), 410),
    ];
    for (more, status) in refused {
        assert_eq!(ask(more.clone()), (status, None), "{more}");
    }
    put(&mut client, "a", "{}");
    assert_eq!(short(&socket.next().expect("an event")), "s create a");
}

#[test]
fn since_goes_before_a_snapshot_as_far_as_the_log_reaches_back() {
    let (server, mut client) = open();
    let first = create(&mut client, 1);
    create(&mut client, 2);
    let unknown = "9-00000009-5";
    for (since, expected) in [
        (first.as_str(), vec!["s ready -", "s create r2"]),
        (unknown, vec!["s reset -", "s enter r1", "s enter r2", "s ready -"]),
    ] {
        let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
        let ask =
            json!({"id": 1, "op": "subscribe", "sub": "s", "collection": "items", "since": since, "snapshot": true});
        assert_eq!(socket.ask(&ask.to_string())["status"], 200, "{since}");
        let came: Vec<_> = expected.iter().map(|_| short(&socket.next().expect("an event"))).collect();
        assert_eq!(came, expected, "{since}");
        let target = format!("/api/realtime?subscribe=items/*&snapshot=1&since={since}");
        let mut events = Events::open(server.address, &target, &[]);
        let told: Vec<_> = expected.iter().map(|_| told(&events.next().expect("an event"))).collect();
        let expected: Vec<_> = expected.iter().map(|it| it[2..].trim_end_matches(" -")).collect();
        assert_eq!(told, expected, "{since}");
    }
}

#[test]
fn of_two_snapshots_by_one_name_the_second_is_sent_and_both_are_answered() {
    let (server, mut client) = open();
    create(&mut client, 1);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let ask = |id: i64| json!({"id": id, "op": "subscribe", "sub": "s", "collection": "items", "snapshot": true});
    let both = [1, 2].map(|id| WebSocket::framed(1, ask(id).to_string().as_bytes())).concat();
    socket.send_raw(&both);
    let (mut first, mut second) = (None, None);
    loop {
        let message = socket.next().expect("a message");
        match (message["id"].as_i64(), message["action"].as_str()) {
            (Some(1), _) => first = message["status"].as_i64(),
            (Some(2), _) => second = message["status"].as_i64(),
            (None, Some("ready")) if second.is_some() => break,
            _ => {}
        }
    }
    assert!(matches!(first, Some(200 | 409)) && second == Some(200), "{first:?} {second:?}");
    create(&mut client, 2);
    assert_eq!(short(&socket.next().expect("an event")), "s create r2");
}

#[test]
fn a_client_of_pocketbase_that_comes_again_has_a_new_id_and_goes_on_where_it_was() {
    let (server, mut client) = open();
    let listen = |last: &str| {
        let mut events = Events::open(server.address, "/api/realtime", &[("last-event-id", last)]);
        let connect = events.next().expect("the first event");
        assert_eq!(
            (connect.name.as_str(), connect.data["clientId"].as_str()),
            ("PB_CONNECT", Some(connect.id.as_str()))
        );
        let body = json!({"clientId": connect.id, "subscriptions": ["items/*"]}).to_string();
        let answer = Client::new(server.address).json("POST", "/api/realtime", &body).expect("an answer");
        assert_eq!(answer.status, 204);
        (events, connect.id)
    };
    let (mut events, id) = listen("");
    create(&mut client, 1);
    assert_eq!(events.told(1), ["create r1"]);
    create(&mut client, 2);
    // What it was given last is a place; what it was called is none, nor is what another kind of server gave out.
    let (mut again, other) = listen(&events.id);
    assert_eq!(again.told(1), ["create r2"]);
    let (mut anew, _) = listen(&id);
    let (mut strange, _) = listen("42");
    create(&mut client, 3);
    for events in [&mut again, &mut anew, &mut strange] {
        assert_eq!(events.told(1), ["create r3"]);
    }
    assert_ne!(id, other);
    // Cut off before anything happened it goes on from there too.
    let mut idle = Events::open(server.address, "/api/realtime", &[]);
    idle.next().expect("the first event");
    let place = idle.beat();
    create(&mut client, 4);
    assert_eq!(listen(&place).0.told(1), ["create r4"]);
}
