//! Streams: what is listened to comes once and in order, from where it was left, to whom it may be shown and as long as
//! that holds.

#[path = "live/beats.rs"]
mod beats;
#[path = "live/cuts.rs"]
mod cuts;
#[path = "live/places.rs"]
mod places;
#[path = "live/replaced.rs"]
mod replaced;
#[path = "live/socket.rs"]
mod socket;
#[path = "live/trimmed.rs"]
mod trimmed;
#[path = "live/within.rs"]
mod within;

use serde_json::json;

use crate::accounts::{login, root, send, start};
use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket, told};

pub(crate) const ITEMS: &str = r#"{"name":"items","fields":[{"name":"n","type":"number","integer":true},
    {"name":"t","type":"text","max":5000},{"name":"secret","type":"text","hidden":true}],
    "listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":""}"#;

/// A server in `dev` mode with a collection that all may do all with.
pub(crate) fn open() -> (Running, Client) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    assert_eq!(client.json("POST", "/api/collections", ITEMS).expect("an answer").status, 201);
    (server, client)
}

pub(crate) fn put(client: &mut Client, id: &str, body: &str) -> String {
    let answer = client.json("PUT", &format!("/api/collections/items/records/{id}"), body).expect("an answer");
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.header("millpond-seq").expect("a position").to_owned()
}

fn delete(client: &mut Client, id: &str) {
    let answer = client.request("DELETE", &format!("/api/collections/items/records/{id}"), &[], None);
    assert_eq!(answer.expect("an answer").status, 204);
}

#[test]
fn a_filter_makes_records_enter_and_leave() {
    let (server, mut client) = open();
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*&filter=n%3E5", &[]);
    for n in [1, 7, 8, 2, 9] {
        put(&mut client, "a", &format!(r#"{{"n":{n}}}"#));
    }
    delete(&mut client, "a");
    put(&mut client, "b", r#"{"n":6}"#);
    let told = events.told(6);
    assert_eq!(told, ["enter a", "update a", "leave a", "enter a", "delete a", "create b"]);
}

#[test]
fn what_went_out_of_sight_is_named_and_nothing_more() {
    let (server, mut client) = open();
    let target = "/api/realtime?subscribe=items/*&filter=n%3E5&fields=n";
    let mut events = Events::open(server.address, target, &[]);
    put(&mut client, "a", r#"{"n":7,"t":"x"}"#);
    put(&mut client, "a", r#"{"n":1,"t":"y"}"#);
    let (came, left) = (events.next().expect("an event"), events.next().expect("an event"));
    assert_eq!(came.data["record"], json!({"n": 7}));
    assert_eq!((&left.data["action"], &left.data["record"]), (&json!("leave"), &json!({"id": "a"})));
    assert_eq!(left.data["seq"].as_str(), Some(left.id.as_str()), "the id is the place to go on from");
}

#[test]
fn the_way_of_pocketbases_client_has_its_names_and_actions() {
    let (server, mut client) = open();
    let mut events = Events::open(server.address, "/api/realtime", &[]);
    let connect = events.next().expect("the first event");
    assert_eq!(connect.name, "PB_CONNECT");
    assert_eq!(connect.data["clientId"].as_str(), Some(connect.id.as_str()));
    let options = r#"items/*?options=%7B%22query%22%3A%7B%22filter%22%3A%22n%20%3E%205%22%7D%7D"#;
    let mut listen = |subscriptions: serde_json::Value| {
        let body = json!({"clientId": connect.id, "subscriptions": subscriptions}).to_string();
        let answer = client.json("POST", "/api/realtime", &body).expect("an answer");
        (answer.status, answer.json_or_null())
    };
    assert_eq!(listen(json!([options, "items/b"])).0, 204);
    put(&mut Client::new(server.address), "a", r#"{"n":7}"#);
    put(&mut Client::new(server.address), "a", r#"{"n":1}"#);
    put(&mut Client::new(server.address), "b", r#"{"n":1}"#);
    let names: Vec<_> =
        (0..3).map(|_| events.next().expect("an event")).map(|it| (it.name.clone(), told(&it))).collect();
    let expected = [(options, "create a"), (options, "delete a"), ("items/b", "create b")];
    assert_eq!(names, expected.map(|(name, told)| (name.to_owned(), told.to_owned())));
    // What is not named any more is not listened to.
    assert_eq!(listen(json!(["items/b"])).0, 204);
    put(&mut Client::new(server.address), "a", r#"{"n":70}"#);
    put(&mut Client::new(server.address), "b", r#"{"n":70}"#);
    assert_eq!(told(&events.next().expect("an event")), "update b");
    for (bad, code) in [(json!(["items"]), 204), (json!(["nowhere/*"]), 404), (json!(["/x"]), 400), (json!([5]), 400)] {
        assert_eq!(listen(bad.clone()).0, code, "{bad}");
    }
    let many: Vec<String> = (0..=millpond::limits::SUBSCRIPTIONS_MAX).map(|n| format!("items/r{n}")).collect();
    let (status, body) = listen(json!(many));
    assert_eq!((status, &body["data"]["subscriptions"]["code"]), (400, &json!("too_many_subscriptions")));
}

#[test]
fn a_stream_goes_on_from_where_it_was_left_or_says_that_it_can_not() {
    let (server, mut client) = open();
    let first = put(&mut client, "a", r#"{"n":1}"#);
    for n in 2..6 {
        put(&mut client, "a", &format!(r#"{{"n":{n}}}"#));
    }
    let numbers = |events: &mut Events, count: usize| -> Vec<i64> {
        (0..count).map(|_| events.next().expect("an event").data["record"]["n"].as_i64().expect("a number")).collect()
    };
    let target = format!("/api/realtime?subscribe=items/*&since={first}");
    let mut events = Events::open(server.address, &target, &[]);
    assert_eq!(numbers(&mut events, 2), [2, 3]);
    // A browser comes again with the same address and what it was given last.
    let mut again = Events::open(server.address, &target, &[("last-event-id", &events.id)]);
    put(&mut client, "a", r#"{"n":6}"#);
    assert_eq!(numbers(&mut again, 3), [4, 5, 6]);
    let mut other = Events::open(server.address, "/api/realtime?subscribe=items/*", &[("last-event-id", "not ours")]);
    put(&mut client, "a", r#"{"n":7}"#);
    assert_eq!(numbers(&mut other, 1), [7], "what is no position of ours is ignored");
    for (n, lost) in ["9-00000009-5".to_owned(), format!("{first}999")].into_iter().enumerate() {
        let target = format!("/api/realtime?subscribe=items/*&since={lost}");
        let mut events = Events::open(server.address, &target, &[]);
        let reset = events.next().expect("an event");
        assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("log_trimmed")));
        put(&mut client, "b", &format!(r#"{{"n":{n}}}"#));
        assert_eq!(numbers(&mut events, 1), [n as i64], "it goes on from now");
    }
    let bad = Events::open(server.address, "/api/realtime?subscribe=items/*&since=yesterday", &[]);
    assert_eq!(bad.status, 400);
}

#[test]
fn an_emptied_collection_resets_and_a_dropped_one_ends() {
    let (server, mut client) = open();
    let start = put(&mut client, "a", "{}");
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let truncate = client.request("DELETE", "/api/collections/items/truncate", &[], None).expect("an answer");
    assert_eq!(truncate.status, 204);
    put(&mut client, "b", "{}");
    let mut later = Events::open(server.address, &format!("/api/realtime?subscribe=items/*&since={start}"), &[]);
    for events in [&mut events, &mut later] {
        let reset = events.next().expect("an event");
        assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("truncated")));
        assert_eq!(events.told(1), ["create b"]);
    }
    // What a definition becomes holds for what comes next.
    let change = r#"{"fields":[{"name":"n","type":"number","integer":true},{"name":"more","type":"text"}]}"#;
    assert_eq!(client.json("PATCH", "/api/collections/items", change).expect("an answer").status, 200);
    put(&mut client, "b", r#"{"more":"x"}"#);
    assert_eq!(events.next().expect("an event").data["record"]["more"], "x");
    assert_eq!(client.request("DELETE", "/api/collections/items", &[], None).expect("an answer").status, 204);
    assert_eq!(events.next().expect("an event").data["reason"], "dropped");
}

const OWNED: &str = r#"{"name":"owned","fields":[{"name":"owner","type":"text"},{"name":"n","type":"number"},
    {"name":"secret","type":"text","hidden":true}],
    "listRule":"owner = @request.auth.id","viewRule":"owner = @request.auth.id"}"#;
const PEOPLE: &str = r#"{"name":"people","type":"auth","fields":[{"name":"role","type":"text"}],
    "listRule":"","viewRule":"","updateRule":"id = @request.auth.id"}"#;
const PASSWORD: &str = "correct horse";

/// A server that knows who asks, with two people; the root's token and theirs.
fn known() -> (Running, Client, String, [String; 2]) {
    let (server, mut client) = start();
    let root = root(&mut client);
    for body in [PEOPLE, OWNED] {
        assert_eq!(send(&mut client, &root, "POST", "/api/collections", body).status, 201);
    }
    let tokens = ["ada", "bob"].map(|name| {
        let body = format!(r#"{{"id":"{name}","email":"{name}@example.com","password":"{PASSWORD}"}}"#);
        let made = send(&mut client, &root, "POST", "/api/collections/people/records", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        login(&mut client, "people", &format!("{name}@example.com"), PASSWORD)
    });
    (server, client, root, tokens)
}

fn owned(client: &mut Client, root: &str, id: &str, body: &str) {
    let answer = send(client, root, "PUT", &format!("/api/collections/owned/records/{id}"), body);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

#[test]
fn rules_hold_for_every_event_on_the_record_before_and_after() {
    let (server, mut client, root, [ada, bob]) = known();
    let listen = |token: &str, target: &str| Events::open(server.address, target, &[("authorization", token)]);
    let all = "/api/realtime?subscribe=owned/*";
    let (mut adas, mut bobs, mut roots) = (listen(&ada, all), listen(&bob, all), listen(&root, all));
    let mut one = listen(&bob, "/api/realtime?subscribe=owned/a");
    owned(&mut client, &root, "a", r#"{"owner":"ada","n":1,"secret":"s1"}"#);
    owned(&mut client, &root, "a", r#"{"owner":"ada","n":1,"secret":"s2"}"#);
    owned(&mut client, &root, "a", r#"{"owner":"bob","n":2,"secret":"s2"}"#);
    owned(&mut client, &root, "a", r#"{"owner":"bob","n":3,"secret":"s3"}"#);
    let gone = send(&mut client, &root, "DELETE", "/api/collections/owned/records/a", "");
    assert_eq!(gone.status, 204);
    owned(&mut client, &root, "end", r#"{"owner":"ada"}"#);
    owned(&mut client, &root, "end2", r#"{"owner":"bob"}"#);
    assert_eq!(adas.told(3), ["create a", "leave a", "create end"], "a hidden field's change is told to nobody");
    assert_eq!(bobs.told(4), ["enter a", "update a", "delete a", "create end2"]);
    assert_eq!(one.told(3), ["enter a", "update a", "delete a"]);
    let told = roots.told(5);
    assert_eq!(told, ["create a", "update a", "update a", "update a", "delete a"]);
    let (refused, nobody) = (listen("", "/api/realtime?subscribe=people/*"), listen("bad", all));
    assert_eq!((refused.status, nobody.status), (200, 401));
}

#[test]
fn a_rule_that_changes_holds_for_what_is_sent_from_then_on() {
    let (server, mut client, root, [ada, _]) = known();
    let mut events = Events::open(server.address, "/api/realtime?subscribe=owned/*", &[("authorization", &ada)]);
    owned(&mut client, &root, "a", r#"{"owner":"ada"}"#);
    assert_eq!(events.told(1), ["create a"]);
    let rule = |client: &mut Client, text: &str| {
        let body = json!({"listRule": text}).to_string();
        assert_eq!(send(client, &root, "PATCH", "/api/collections/owned", &body).status, 200);
    };
    rule(&mut client, "n > 5");
    owned(&mut client, &root, "a", r#"{"owner":"ada","n":1}"#);
    owned(&mut client, &root, "b", r#"{"owner":"bob","n":6}"#);
    assert_eq!(events.told(1), ["create b"]);
    // And the caller's own record, for rules that ask for it.
    rule(&mut client, "@request.auth.role = 'chief'");
    owned(&mut client, &root, "c", r#"{"n":6}"#);
    let chief = send(&mut client, &ada, "PATCH", "/api/collections/people/records/ada", r#"{"role":"chief"}"#);
    assert_eq!(chief.status, 200, "{}", chief.text());
    owned(&mut client, &root, "d", r#"{"n":6}"#);
    // Whether the one before is told depends on when it is judged.
    let told = events.told(1).pop().expect("one");
    assert!(told == "create d" || (told == "create c" && events.told(1) == ["create d"]), "{told}");
    // Of nobody's any more, then of everybody's.
    let null = send(&mut client, &root, "PATCH", "/api/collections/owned", r#"{"listRule":null}"#);
    assert_eq!(null.status, 200);
    rule(&mut client, "");
    owned(&mut client, &root, "f", r#"{"n":6}"#);
    assert_eq!(events.told(1), ["create f"]);
}

#[test]
fn a_stream_ends_with_what_its_caller_showed() {
    let (server, mut client, root, [ada, bob]) = known();
    let listen = |token: &str| {
        let events = Events::open(server.address, "/api/realtime?subscribe=owned/*", &[("authorization", token)]);
        assert_eq!(events.status, 200);
        events
    };
    let mut by_password = listen(&ada);
    let body =
        format!(r#"{{"oldPassword":"{PASSWORD}","password":"another horse","passwordConfirm":"another horse"}}"#);
    let changed = send(&mut client, &ada, "PATCH", "/api/collections/people/records/ada", &body);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert!(by_password.next().is_none(), "a new password ends it");
    let mut by_deletion = listen(&bob);
    assert_eq!(send(&mut client, &root, "DELETE", "/api/collections/people/records/bob", "").status, 204);
    assert!(by_deletion.next().is_none(), "an account that went ends it");
    let key = send(&mut client, &root, "POST", "/api/collections/_apiKeys/records", r#"{"name":"k"}"#).json();
    let mut by_key = listen(key["key"].as_str().expect("shown once"));
    let path = format!("/api/collections/_apiKeys/records/{}", key["id"].as_str().expect("an id"));
    assert_eq!(send(&mut client, &root, "DELETE", &path, "").status, 204);
    assert!(by_key.next().is_none(), "a key that was taken back ends it");
    let path = "/api/collections/people/impersonate/ada";
    let short = send(&mut client, &root, "POST", path, r#"{"duration":1}"#).json();
    let mut by_time = listen(short["token"].as_str().expect("a token"));
    assert!(by_time.next().is_none(), "its time ends it");
    assert_eq!(server.core.leases().floor(), None, "streams keep nothing of the log");
}

#[test]
fn a_token_in_the_address_opens_a_stream_and_nothing_else() {
    let (server, mut client, root, [ada, _]) = known();
    let made = send(&mut client, &ada, "POST", "/api/realtime/token", "");
    assert_eq!(made.status, 200, "{}", made.text());
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let mut events = Events::open(server.address, &format!("/api/realtime?subscribe=owned/*&token={token}"), &[]);
    owned(&mut client, &root, "b", r#"{"owner":"bob"}"#);
    owned(&mut client, &root, "a", r#"{"owner":"ada"}"#);
    assert_eq!(events.told(1), ["create a"]);
    assert_eq!(send(&mut client, &token, "GET", "/api/collections/owned/records", "").status, 401);
    let usual = Events::open(server.address, &format!("/api/realtime?subscribe=owned/*&token={ada}"), &[]);
    assert_eq!(usual.status, 401, "a token for everything does not belong into an address");
    let body =
        format!(r#"{{"oldPassword":"{PASSWORD}","password":"another horse","passwordConfirm":"another horse"}}"#);
    assert_eq!(send(&mut client, &ada, "PATCH", "/api/collections/people/records/ada", &body).status, 200);
    assert!(events.next().is_none());
}

#[test]
fn a_stream_that_is_somebodys_stays_theirs() {
    let (server, mut client, root, [ada, bob]) = known();
    let mut events = Events::open(server.address, "/api/realtime", &[]);
    let connect = events.next().expect("the first event");
    let body = json!({"clientId": connect.id, "subscriptions": ["owned/*"]}).to_string();
    let mut listen = |token: &str| send(&mut client, token, "POST", "/api/realtime", &body).status;
    assert_eq!([listen(&ada), listen(&bob), listen(""), listen(&ada)], [204, 403, 403, 204]);
    owned(&mut client, &root, "b", r#"{"owner":"bob"}"#);
    owned(&mut client, &root, "a", r#"{"owner":"ada"}"#);
    assert_eq!(events.told(1), ["create a"]);
}

#[test]
fn a_stop_ends_streams_at_once() {
    let (server, _client) = open();
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let began = std::time::Instant::now();
    server.stop();
    assert!(events.next().is_none());
    assert_eq!(events.comments, ["the server is stopping"]);
    assert_eq!(socket.closed(), (1001, "stopping".to_owned()));
    assert!(began.elapsed() < millpond::limits::STOP_TIME_MAX, "it waited for the deadline");
}

#[test]
fn a_stop_does_not_wait_for_who_does_not_read() {
    let (server, mut client) = open();
    let _events = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.ask(r#"{"id":1,"op":"subscribe","collection":"items"}"#)["status"], 200);
    // More than sockets hold.
    for round in 0..60 {
        crate::live::cuts::put_many(&mut client, round, 100);
    }
    let began = std::time::Instant::now();
    server.stop();
    assert!(began.elapsed() < millpond::limits::STOP_TIME_MAX, "it waited for the deadline");
}

#[test]
fn changes_come_as_pages_that_lead_on() {
    let (_server, mut client) = open();
    let start = put(&mut client, "a", r#"{"n":0}"#);
    for n in 1..10 {
        put(&mut client, "a", &format!(r#"{{"n":{n}}}"#));
    }
    let mut page = |query: &str| {
        let answer = client.get(&format!("/api/changes?{query}")).expect("an answer");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let lines: Vec<serde_json::Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (lines, answer.header("millpond-seq").expect("a position").to_owned())
    };
    let numbers = |lines: &[serde_json::Value]| -> Vec<i64> {
        lines.iter().filter_map(|line| line["record"]["n"].as_i64()).collect()
    };
    let (mut since, mut seen) = (start, Vec::new());
    for _ in 0..4 {
        let (lines, next) = page(&format!("since={since}&limit=3&collections=items"));
        seen.extend(numbers(&lines));
        since = next;
    }
    assert_eq!(seen, (1..10).collect::<Vec<_>>());
    let (lines, _) = page("filter=n%3E6&collections=items");
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().expect("an action")).collect();
    assert_eq!((numbers(&lines), actions), (vec![7, 8, 9], vec!["enter", "update", "update"]));
    assert_eq!(lines[0]["collection"], "items");
    assert_eq!(page("since=now").0.len(), 0);
    assert_eq!(page("").0.len(), 10, "from the oldest that is kept");
    let status =
        |client: &mut Client, query: &str| client.get(&format!("/api/changes?{query}")).expect("an answer").status;
    let table = [
        ("since=9-00000009-5", 410),
        ("since=x", 400),
        ("limit=0", 400),
        ("wait=61s", 400),
        ("wait=x", 400),
        ("collections=nowhere", 404),
        ("collections=items&filter=nowhere%3D1", 400),
    ];
    for (query, expected) in table {
        assert_eq!(status(&mut client, query), expected, "{query}");
    }
}

#[test]
fn a_page_is_waited_for_until_there_is_something() {
    let (server, mut client) = open();
    let address = server.address;
    let waiting = std::thread::spawn(move || {
        let answer = Client::new(address).get("/api/changes?since=now&wait=30s").expect("an answer");
        answer.text().to_owned()
    });
    let mut n = 0;
    while !waiting.is_finished() {
        n += 1;
        put(&mut client, "a", &format!(r#"{{"n":{n}}}"#));
    }
    assert!(waiting.join().expect("no panic").contains(r#""action":"#));
    let none = client.get("/api/changes?since=now&wait=1s").expect("an answer");
    assert_eq!((none.status, none.text()), (200, ""));
}
