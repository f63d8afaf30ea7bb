//! Webhooks as their receivers see them, and as nobody else does: what is sent, to whom, and who waits for it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use millpond::config::Settings;
use millpond::model::handler::Secret;
use millpond::outbound::webhook::sign::signature;
use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::receiver::{Receiver, Reply, Told};
use crate::support::server::Running;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const PATIENCE: Duration = Duration::from_secs(60);
const ORDERS: &str = "/api/collections/orders/records";
const HANDLERS: &str = "/api/collections/_handlers/records";

/// A server that may send to this machine, with a collection of orders.
fn started() -> (Running, Client) {
    started_with(|settings| settings.webhook_private_addresses = true)
}

fn started_with(change: impl FnOnce(&mut Settings)) -> (Running, Client) {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), change);
    let mut client = Client::new(server.address);
    let orders = r#"{"name":"orders","fields":[{"name":"total","type":"number"},{"name":"note","type":"text"},
        {"name":"inner","type":"text","hidden":true}]}"#;
    assert_eq!(ask(&mut client, "POST", "/api/collections", orders).status, 201);
    (server, client)
}

fn ask(client: &mut Client, method: &str, target: &str, body: &str) -> Answer {
    client.json(method, target, body).expect("an answer")
}

/// Makes a handler of that id.
fn hook(client: &mut Client, id: &str, url: &str, more: Value) {
    let mut hook = json!({"id": id, "name": id, "kind": "webhook", "collections": ["orders"], "url": url,
        "secret": SECRET, "timeout": 1});
    for (name, value) in more.as_object().expect("an object") {
        hook[name] = value.clone();
    }
    let made = ask(client, "POST", HANDLERS, &hook.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
}

fn order(client: &mut Client, id: &str, total: i64) {
    let made = ask(client, "POST", ORDERS, &format!(r#"{{"id":"{id}","total":{total}}}"#));
    assert_eq!(made.status, 201, "{}", made.text());
}

fn status(client: &mut Client, id: &str) -> Value {
    client.get(&format!("/api/handlers/{id}/status")).expect("an answer").json()
}

/// Waits for something; what it is then.
#[track_caller]
fn until<T: std::fmt::Debug>(mut look: impl FnMut() -> T, is_it: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let now = look();
        if is_it(&now) {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "it never comes: {now:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn id_of(told: &Told) -> String {
    told.json()["data"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_change_is_told_as_standard_webhooks_have_it() {
    let receiver = Receiver::good();
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({"headers": {"X-Key": "k", "User-Agent": "mine"}}));
    ask(&mut client, "POST", ORDERS, r#"{"id":"o1","total":5,"inner":"sesame"}"#);
    ask(&mut client, "PATCH", &format!("{ORDERS}/o1"), r#"{"total":7,"inner":"open sesame"}"#);
    ask(&mut client, "DELETE", &format!("{ORDERS}/o1"), "");
    let told = until(|| receiver.told(), |told| told.len() == 3);
    let secret = Secret::read(SECRET).expect("a secret");
    for one in &told {
        let (id, at) = (one.id(), one.header("webhook-timestamp").expect("a time"));
        let at: u64 = at.parse().expect("seconds");
        let expected = signature(&secret, id, at, &one.body).expect("a signature");
        assert_eq!(one.header("webhook-signature"), Some(&*expected));
        assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
        assert_eq!((one.header("x-key"), one.header("user-agent")), (Some("k"), Some("mine")));
        assert_eq!(one.header("content-type"), Some("application/json"));
        assert_eq!(one.header("host"), Some(&*receiver.address.to_string()));
        assert_eq!(one.target, "/in?from=millpond");
        assert!(!String::from_utf8_lossy(&one.body).contains("sesame"), "a hidden field");
    }
    let shown: Vec<Value> = told.iter().map(Told::json).collect();
    let types: Vec<&str> = shown.iter().map(|one| one["type"].as_str().expect("a type")).collect();
    assert_eq!(types, ["orders.create", "orders.update", "orders.delete"]);
    let data = &shown[1]["data"];
    assert_eq!((&data["record"]["total"], &data["before"]), (&json!(7), &json!({"total": 5})));
    assert_eq!((&data["action"], &data["collection"], &data["id"]), (&json!("update"), &json!("orders"), &json!("o1")));
    assert!(data["seq"].as_u64() < shown[2]["data"]["seq"].as_u64());
    assert_eq!((&shown[2]["data"]["record"]["total"], shown[2]["data"].get("before")), (&json!(7), None));
    assert_eq!(shown[0]["timestamp"].as_str().map(|at| (at.len(), &at[10..11], &at[23..])), Some((24, "T", "Z")));
    let status = until(|| status(&mut client, "hook"), |status| status["lag"] == 0);
    let shown = ["acknowledged", "failed", "waiting", "inFlight", "retrying", "deadLetters", "lost", "lagSeconds"];
    let shown = shown.map(|name| status[name].to_string()).join(" ");
    assert_eq!(shown, "3 0 0 0 0 0 null 0.0");
}

#[test]
fn receivers_that_hang_fail_or_flood_cost_the_others_nothing() {
    let (elsewhere, good) = (Receiver::good(), Receiver::good());
    let away = elsewhere.url();
    let bad: Vec<(&str, Receiver, &str)> = vec![
        ("hangs", Receiver::start(|_| Reply::Hang), "no answer within 1 s"),
        ("fails", Receiver::start(|_| Reply::Status(500)), "500"),
        ("leads-away", Receiver::start(move |_| Reply::Redirect(away.clone())), "no redirect is followed"),
        ("closes", Receiver::start(|_| Reply::Close), "broke off"),
        ("drips", Receiver::start(|_| Reply::Drip), ""),
    ];
    let flood = Receiver::start(|_| Reply::Flood);
    let (_server, mut client) = started();
    for (id, receiver, _) in &bad {
        hook(&mut client, id, &receiver.url(), json!({}));
    }
    hook(&mut client, "floods", &flood.url(), json!({}));
    hook(&mut client, "good", &good.url(), json!({}));
    for n in 0..200 {
        order(&mut client, &format!("o{n}"), n);
    }
    let told = until(|| good.told(), |told| told.len() == 200);
    assert!(told.iter().all(|told| told.status == Some(200)));
    let floods = until(|| status(&mut client, "floods"), |status| status["acknowledged"] == 200);
    assert_eq!(floods["failed"], 0, "the status counts: {floods}");
    for (id, receiver, why) in &bad {
        let status = until(|| status(&mut client, id), |status| status["failed"].as_u64() >= Some(16));
        assert!(status["lastError"].as_str().expect("a text").contains(why), "{id}: {status}");
        assert_eq!((&status["acknowledged"], &status["waiting"]), (&json!(0), &json!(200)), "{id}");
        assert!(status["inFlight"].as_u64() <= Some(16) && status["lagSeconds"].as_f64() > Some(0.0), "{status}");
        assert!(receiver.told().len() >= 16);
    }
    assert_eq!(elsewhere.told().len(), 0);
}

#[test]
fn a_record_is_told_of_in_order_and_repeats_bear_the_same_id() {
    let failed = Mutex::new(std::collections::BTreeSet::new());
    // Of each message the first try fails, but for those about one record in three.
    let receiver = Receiver::start(move |told| match failed.lock().expect("no panic").insert(told.id().to_owned()) {
        true if !id_of(told).ends_with(['0', '3', '6', '9']) => Reply::Status(503),
        _ => Reply::Status(204),
    });
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({}));
    for n in 0..20 {
        order(&mut client, &format!("o{n}"), 0);
    }
    for round in 1..3 {
        for n in 0..20 {
            let target = format!("{ORDERS}/o{n}");
            assert_eq!(ask(&mut client, "PATCH", &target, &format!(r#"{{"total":{round}}}"#)).status, 200);
        }
    }
    let done = |status: &Value| status["acknowledged"] == 60 && status["retrying"] == 0;
    let status = until(|| status(&mut client, "hook"), done);
    assert_eq!(status["failed"], 36);
    let told = receiver.told();
    for n in 0..20 {
        let id = format!("o{n}");
        let of: Vec<&Told> = told.iter().filter(|told| id_of(told) == id).collect();
        let taken: Vec<i64> = of
            .iter()
            .filter(|told| told.status == Some(204))
            .map(|told| told.json()["data"]["record"]["total"].as_i64().expect("a number"))
            .collect();
        assert_eq!(taken, [0, 1, 2], "{id}");
        for pair in of.windows(2).filter(|pair| pair[0].status == Some(503)) {
            assert_eq!((pair[0].id(), &pair[0].body), (pair[1].id(), &pair[1].body), "{id}");
        }
    }
    let ids: std::collections::BTreeSet<&str> = told.iter().map(Told::id).collect();
    assert_eq!((ids.len(), told.len()), (60, 96));
}

#[test]
fn private_addresses_are_connected_to_only_where_that_is_allowed() {
    let receiver = Receiver::good();
    let (_server, mut client) = started_with(|_| {});
    let port = receiver.address.port();
    let hosts = ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost"];
    for (n, host) in hosts.iter().enumerate() {
        hook(&mut client, &format!("h{n}"), &format!("http://{host}:{port}/"), json!({}));
    }
    order(&mut client, "o1", 1);
    for (n, host) in hosts.iter().enumerate() {
        let status = until(|| status(&mut client, &format!("h{n}")), |status| status["failed"].as_u64() >= Some(1));
        let error = status["lastError"].as_str().expect("a text");
        assert!(error.contains("webhook_private_addresses"), "{host}: {error}");
    }
    assert_eq!(receiver.told().len(), 0);
}

#[test]
fn a_receiver_that_is_gone_disables_its_handler_and_enabled_again_it_misses_nothing() {
    let is_back = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let back = is_back.clone();
    let receiver =
        Receiver::start(move |_| Reply::Status(if back.load(std::sync::atomic::Ordering::SeqCst) { 200 } else { 410 }));
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({}));
    order(&mut client, "o1", 1);
    let target = format!("{HANDLERS}/hook");
    let enabled = |client: &mut Client| client.get(&target).expect("an answer").json()["enabled"].clone();
    until(|| enabled(&mut client), |enabled| *enabled == false);
    assert!(status(&mut client, "hook")["lastError"].as_str().expect("a text").contains("410"));
    order(&mut client, "o2", 1);
    is_back.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(ask(&mut client, "PATCH", &target, r#"{"enabled":true}"#).status, 200);
    let took = |told: &[Told]| {
        let mut ids: Vec<String> = told.iter().filter(|told| told.status == Some(200)).map(id_of).collect();
        ids.sort();
        ids
    };
    until(|| took(&receiver.told()), |took| took == &["o1", "o2"]);
}

#[test]
fn a_field_that_is_hidden_while_its_message_waits_is_not_sent() {
    let is_open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let open = is_open.clone();
    let receiver =
        Receiver::start(move |_| Reply::Status(if open.load(std::sync::atomic::Ordering::SeqCst) { 200 } else { 503 }));
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({}));
    ask(&mut client, "POST", ORDERS, r#"{"id":"o1","total":5,"note":"sesame"}"#);
    let told = until(|| receiver.told(), |told| !told.is_empty());
    let mut orders = client.get("/api/collections/orders").expect("an answer").json();
    let fields = orders["fields"].as_array_mut().expect("fields");
    fields.iter_mut().filter(|field| field["name"] == "note").for_each(|field| field["hidden"] = json!(true));
    let hidden = ask(&mut client, "PATCH", "/api/collections/orders", &json!({"fields": fields}).to_string());
    assert_eq!(hidden.status, 200, "{}", hidden.text());
    is_open.store(true, std::sync::atomic::Ordering::SeqCst);
    let taken = |told: &[Told]| told.iter().find(|told| told.status == Some(200)).map(|told| told.body.clone());
    let body = until(|| taken(&receiver.told()), Option::is_some).expect("a body");
    let before = String::from_utf8_lossy(&told[0].body).into_owned();
    assert!(before.contains("sesame"), "{before}");
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(!body.contains("sesame") && body.contains(r#""total":5"#), "{body}");
    let all = receiver.told();
    assert!(all.iter().all(|one| one.id() == told[0].id()), "it is the same message");
}

#[test]
fn what_was_sent_is_sent_again_when_asked_for() {
    let receiver = Receiver::start(|told| Reply::Status(if id_of(told) == "bad" { 500 } else { 200 }));
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({}));
    let begun = status(&mut client, "hook")["cursor"].as_str().expect("a cursor").to_owned();
    order(&mut client, "o1", 1);
    order(&mut client, "o2", 1);
    until(|| status(&mut client, "hook"), |status| status["acknowledged"] == 2 && status["cursor"] != *begun);
    let again = ask(&mut client, "POST", "/api/handlers/hook/redeliver", &json!({"since": begun}).to_string());
    assert_eq!((again.status, again.json()["cursor"].as_str()), (200, Some(&*begun)), "{}", again.text());
    let told = until(|| receiver.told(), |told| told.len() == 4);
    // Those of different records come in any order.
    let sorted = |range: std::ops::Range<usize>| {
        let mut sent: Vec<_> = told[range].iter().map(|one| (one.id(), one.body.clone())).collect();
        sent.sort();
        sent
    };
    assert_eq!(sorted(0..2), sorted(2..4));

    let letters = "/api/collections/_deadLetters/records";
    for (letter, record) in [("l1", "good"), ("l2", "bad")] {
        let body = format!(r#"{{"data": {{"id":"{record}"}}}}"#);
        let made = json!({"id": letter, "handler": "hook", "kind": "event", "position": begun, "error": "500",
            "attempts": 9, "event": {"message": format!("msg_{record}"), "body": body}});
        assert_eq!(ask(&mut client, "POST", letters, &made.to_string()).status, 201);
    }
    assert_eq!(status(&mut client, "hook")["deadLetters"], 2);
    let mut redeliver = |handler: &str, body: &str| {
        let answer = ask(&mut client, "POST", &format!("/api/handlers/{handler}/redeliver"), body);
        (answer.status, answer.json())
    };
    assert_eq!(redeliver("hook", r#"{"deadLetter":"l1"}"#), (200, json!({"delivered": "msg_good"})));
    let (code, refused) = redeliver("hook", r#"{"deadLetter":"l2"}"#);
    assert_eq!((code, &refused["code"]), (503, &json!("not_delivered")), "{refused}");
    assert_eq!(redeliver("hook", r#"{"deadLetter":"l1"}"#).0, 404, "it is gone");
    for (body, expected) in [
        ("{}", 400),
        (r#"{"since":"x"}"#, 400),
        (r#"{"since":"1-00000000-999999"}"#, 400),
        (r#"{"since":"1-00000000-1","deadLetter":"l2"}"#, 400),
        (r#"{"until":"x"}"#, 400),
        ("[", 400),
    ] {
        assert_eq!(redeliver("hook", body).0, expected, "{body}");
    }
    assert_eq!(redeliver("nobody", r#"{"since":"1-00000000-1"}"#).0, 404);
    assert_eq!(status(&mut client, "hook")["deadLetters"], 1);
    let told = receiver.told();
    assert_eq!(told[4].id(), "msg_good");
    assert_eq!(String::from_utf8_lossy(&told[4].body), r#"{"data": {"id":"good"}}"#, "byte for byte");
}

#[test]
fn what_was_delivered_ahead_of_the_cursor_is_sent_again_when_asked_for() {
    let receiver = Receiver::start(|told| Reply::Status(if id_of(told) == "bad" { 500 } else { 200 }));
    let (_server, mut client) = started();
    hook(&mut client, "hook", &receiver.url(), json!({}));
    order(&mut client, "bad", 1);
    order(&mut client, "o1", 1);
    let now = until(|| status(&mut client, "hook"), |status| status["acknowledged"] == 1);
    let since = json!({"since": now["cursor"]}).to_string();
    let again = ask(&mut client, "POST", "/api/handlers/hook/redeliver", &since);
    assert_eq!((again.status, &again.json()["cursor"]), (200, &now["cursor"]), "{}", again.text());
    let taken = |told: Vec<Told>| -> Vec<String> {
        let taken = told.iter().filter(|told| told.status == Some(200));
        taken.map(|told| told.id().to_owned()).collect()
    };
    let taken = until(|| taken(receiver.told()), |taken| taken.len() == 2);
    assert_eq!(taken[0], taken[1]);
}

#[test]
fn a_cache_handler_drops_what_its_patterns_name() {
    let (_server, mut client) = started();
    let notes = r#"{"name":"notes","fields":[{"name":"t","type":"text"}],"listRule":""}"#;
    assert_eq!(ask(&mut client, "POST", "/api/collections", notes).status, 201);
    let made = json!({"id": "drops", "name": "drops", "kind": "cache", "collections": ["orders"],
        "actions": ["create"], "filter": "total > 10", "patterns": ["notes/*"]});
    assert_eq!(ask(&mut client, "POST", HANDLERS, &made.to_string()).status, 201);
    let cached = |client: &mut Client| {
        let answer = client.get("/api/collections/notes/records").expect("an answer");
        answer.header("cache-status").expect("it says").to_owned()
    };
    assert!(cached(&mut client).contains("miss"));
    assert!(cached(&mut client).contains("hit"));
    order(&mut client, "o1", 1);
    until(|| status(&mut client, "drops"), |status| status["lag"] == 0);
    assert!(cached(&mut client).contains("hit"), "it was not wanted");
    order(&mut client, "o2", 11);
    until(|| status(&mut client, "drops"), |status| status["acknowledged"] == 1);
    assert!(cached(&mut client).contains("miss"));
}
