//! Jobs as their superusers see them: what is done with a collection's records, and what a run's record says of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::Running;
use crate::support::stream::Events;
use crate::support::until::until;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const ITEMS: &str = "/api/collections/items/records";
const JOBS: &str = "/api/collections/_jobs/records";
const RUNS: &str = "/api/collections/_runs/records";

/// A server that may send to this machine, with so many items.
fn started(items: usize) -> (Running, Client) {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), |settings| {
        settings.webhook_private_addresses = true;
    });
    let mut client = Client::new(server.address);
    let collections = [
        json!({"name": "items", "fields": [{"name": "n", "type": "number", "integer": true, "max": 1_000_000},
            {"name": "kind", "type": "text"}, {"name": "inner", "type": "text", "hidden": true}],
            "indexes": [{"name": "kind", "fields": ["kind"]}]}),
        json!({"name": "report", "fields": [{"name": "kind", "type": "text"}, {"name": "total", "type": "number"},
            {"name": "count", "type": "number", "integer": true}],
            "indexes": [{"name": "kind", "fields": ["kind"], "unique": true}]}),
    ];
    for collection in collections {
        let made = ask(&mut client, "POST", "/api/collections", &collection);
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let line = |n: usize| format!(r#"{{"id":"i{n:06}","n":{n},"kind":"k{}","inner":"sesame"}}"#, n % 7) + "\n";
    let lines: String = (0..items).map(line).collect();
    let target = "/api/collections/items/import";
    let headers = [("content-type", "application/x-ndjson")];
    let imported = client.request("POST", target, &headers, Some(lines.as_bytes())).expect("an answer");
    assert_eq!(imported.status, 200, "{}", imported.text());
    (server, client)
}

fn ask(client: &mut Client, method: &str, target: &str, body: &Value) -> Answer {
    client.json(method, target, &body.to_string()).expect("an answer")
}

fn define(client: &mut Client, name: &str, more: Value) -> Answer {
    let mut job = json!({"id": name, "name": name, "source": {"collection": "items"}});
    for (name, value) in more.as_object().expect("an object") {
        job[name] = value.clone();
    }
    ask(client, "POST", JOBS, &job)
}

#[track_caller]
fn made(client: &mut Client, name: &str, more: Value) {
    let answer = define(client, name, more);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn begin(client: &mut Client, name: &str) -> String {
    let begun = ask(client, "POST", &format!("/api/jobs/{name}/run"), &json!({}));
    assert_eq!((begun.status, begun.json()["state"].as_str()), (202, Some("queued")), "{}", begun.text());
    begun.json()["id"].as_str().expect("an id").to_owned()
}

fn run(client: &mut Client, id: &str) -> Value {
    client.get(&format!("{RUNS}/{id}")).expect("an answer").json()
}

/// The run when it is over.
#[track_caller]
fn ended(client: &mut Client, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let run = run(client, id);
        if run["active"].is_null() {
            return run;
        }
        assert!(began.elapsed() < PATIENCE, "it never ends: {run}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn carried_out(client: &mut Client, name: &str) -> Value {
    let id = begin(client, name);
    ended(client, &id)
}

fn count(client: &mut Client, filter: &str) -> u64 {
    let target = format!(
        "{ITEMS}?perPage=1&fields=id&filter={}",
        filter.replace('%', "%25").replace(' ', "%20").replace('\'', "%27")
    );
    client.get(&target).expect("an answer").json()["totalItems"].as_u64().expect("a number")
}

#[test]
fn a_job_with_faults_is_refused_with_all_of_them() {
    let (_server, mut client) = started(1);
    let cases = [
        (json!({"task": {}}), "task:invalid"),
        (json!({"task": {"update": {"n": "n + 1"}, "delete": {}}}), "task:invalid"),
        (json!({"task": {"sing": {}}}), "task.sing:unknown_field"),
        (json!({"task": {"update": {}}}), "task.update:required"),
        (json!({"task": {"update": {"n": "x + 1"}}}), "task.update.n:bad_expression"),
        (
            json!({"task": {"update": {"nn": "1", "n": "kind"}}}),
            "task.update.nn:unknown_field task.update.n:bad_expression",
        ),
        (json!({"task": {"delete": {"all": true}}}), "task.delete.all:unknown_field"),
        (json!({"task": {"delete": {}}, "schedule": "61 * * * *"}), "schedule:bad_cron"),
        (json!({"task": {"delete": {}}, "schedule": "* * * * *", "timeZone": "Mars/Olympus"}), "timeZone:unknown_zone"),
        (json!({"task": {"delete": {}}, "timeZone": "UTC"}), "timeZone:not_here"),
        (json!({"task": {"delete": {}}, "source": {"collection": "nowhere"}}), "source.collection:unknown_collection"),
        (json!({"task": {"delete": {}}, "source": {"collection": "_runs"}}), "source.collection:not_here"),
        (
            json!({"task": {"delete": {}}, "source": {"collection": "items", "filter": "n >"}}),
            "source.filter:bad_expression",
        ),
        (
            json!({"task": {"delete": {}}, "source": {"collection": "items", "filter": "@request.query.a = 1"}}),
            "source.filter:bad_expression",
        ),
        (json!({"task": {"webhook": {"url": "ftp://example.com"}}}), "task.webhook.url:invalid secret:required"),
        (json!({"task": {"aggregate": {"group": {"kind": "nothing"}}}}), "task.aggregate.group.kind:bad_expression"),
        (json!({"task": {"export": {"format": "pdf"}}}), "task.export.format:invalid"),
        (json!({"task": {"delete": {}}, "store": {"collection": "report"}}), "store:not_here"),
        (json!({"task": {"aggregate": {}}, "store": {"collection": "report", "key": "total"}}), "store.key:not_unique"),
        (json!({"task": {"aggregate": {}}, "notify": {"webhook": {}}}), "notify.webhook.url:required secret:required"),
    ];
    for (more, faults) in cases {
        let answer = define(&mut client, "bad", more.clone());
        let told = answer.json()["data"].as_object().cloned().unwrap_or_default();
        let told: Vec<String> =
            told.iter().map(|(field, fault)| format!("{field}:{}", fault["code"].as_str().unwrap_or("?"))).collect();
        assert_eq!((answer.status, told.join(" ")), (400, faults.to_owned()), "{more}: {}", answer.text());
    }
    made(&mut client, "good", json!({"task": {"delete": {}}}));
    assert_eq!(
        define(&mut client, "good", json!({"task": {"delete": {}}, "id": "other"})).status,
        409,
        "a name is one job's"
    );
}

#[test]
fn an_update_reaches_each_record_once_and_tells_of_those_that_were_refused() {
    let (_server, mut client) = started(2_500);
    ask(&mut client, "PATCH", &format!("{ITEMS}/i000100"), &json!({"n": 1_000_000}));
    made(
        &mut client,
        "up",
        json!({"task": {"update": {"n+": "1", "kind": "'done-' + kind"}}, "chunk": 300, "parallel": 3}),
    );
    let run = carried_out(&mut client, "up");
    assert_eq!(
        (&run["state"], &run["total"], &run["done"], &run["failed"]),
        (&json!("done"), &json!(2_500), &json!(2_499), &json!(1)),
        "{run}"
    );
    assert_eq!(run["chunks"], json!(9));
    assert_eq!(
        (&run["faults"][0]["id"], run["faults"].as_array().map(Vec::len)),
        (&json!("i000100"), Some(1)),
        "{run}"
    );
    assert_eq!(count(&mut client, "kind ~ 'done-k%'"), 2_499);
    let one = client.get(&format!("{ITEMS}/i000007")).expect("an answer").json();
    assert_eq!((&one["n"], &one["kind"]), (&json!(8), &json!("done-k0")));
}

#[test]
fn only_what_the_filter_means_is_deleted() {
    let (_server, mut client) = started(1_000);
    made(
        &mut client,
        "down",
        json!({"source": {"collection": "items", "filter": "kind = 'k3'"}, "task": {"delete": {}}}),
    );
    let run = carried_out(&mut client, "down");
    assert_eq!((&run["state"], &run["total"], &run["done"]), (&json!("done"), &json!(143), &json!(143)), "{run}");
    assert_eq!((count(&mut client, "kind = 'k3'"), count(&mut client, "")), (0, 857));
}

#[test]
fn the_first_refusal_ends_a_run_that_is_told_to_stop() {
    let (_server, mut client) = started(50);
    ask(&mut client, "PATCH", &format!("{ITEMS}/i000010"), &json!({"n": 1_000_000}));
    made(&mut client, "up", json!({"task": {"update": {"n": "n + 1"}}, "stopOnError": true}));
    let run = carried_out(&mut client, "up");
    assert_eq!((&run["state"], &run["done"], &run["failed"]), (&json!("failed"), &json!(10), &json!(1)), "{run}");
    assert!(run["error"].as_str().is_some_and(|error| error.starts_with("i000010: ")), "{run}");
}

#[test]
fn a_report_is_what_an_aggregate_is_and_replaces_the_one_before() {
    let (_server, mut client) = started(2_000);
    let values = json!({"total": "sum(n)", "count": "count()"});
    made(
        &mut client,
        "report",
        json!({"source": {"collection": "items", "filter": "n >= 100"}, "store": {"collection": "report", "key": "kind"},
            "task": {"aggregate": {"group": {"kind": "kind"}, "values": values, "sort": "kind"}}}),
    );
    let asked = json!({"sources": {"s": {"collection": "items", "filter": "n >= 100", "group": {"kind": "kind"}, "values": values}}, "sort": "kind"});
    for _ in 0..2 {
        let run = carried_out(&mut client, "report");
        let should = ask(&mut client, "POST", "/api/aggregate", &asked).json()["items"].clone();
        assert_eq!((&run["state"], &run["result"]["stored"]), (&json!("done"), &json!(7)), "{run}");
        assert_eq!(run["result"]["items"], should);
        let target = "/api/collections/report/records?sort=kind&fields=kind,total,count";
        assert_eq!(client.get(target).expect("an answer").json()["items"], should);
        // Another report another day.
        ask(&mut client, "PATCH", &format!("{ITEMS}/i000150"), &json!({"n": 5_000}));
    }
}

#[test]
fn a_row_that_does_not_go_into_its_collection_fails_the_run_and_leaves_nothing() {
    let (_server, mut client) = started(20);
    let task = json!({"aggregate": {"group": {"kind": "kind"}, "values": {"amount": "sum(n)"}}});
    made(&mut client, "report", json!({"task": task, "store": {"collection": "report"}}));
    let run = carried_out(&mut client, "report");
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["error"].as_str().is_some_and(|error| error.contains("row 0") && error.contains("amount")), "{run}");
    let reported = client.get("/api/collections/report/records").expect("an answer").json();
    assert_eq!(reported["totalItems"], 0);
}

#[test]
fn an_export_is_a_file_of_its_run_and_goes_with_it() {
    let (server, mut client) = started(700);
    for (form, lines) in [("ndjson", 100), ("csv", 101)] {
        let source = json!({"collection": "items", "filter": "kind = 'k1'"});
        made(&mut client, form, json!({"source": source, "task": {"export": {"format": form}}}));
        let run = carried_out(&mut client, form);
        assert_eq!((&run["state"], &run["result"]["records"]), (&json!("done"), &json!(100)), "{run}");
        let target = format!("/api/runs/{}/file", run["id"].as_str().expect("an id"));
        let file = client.get(&target).expect("an answer");
        assert_eq!((file.status, file.text().lines().count()), (200, lines), "{}", file.text());
        assert_eq!(json!(file.body.len()), run["result"]["bytes"]);
        assert!(!file.text().contains("sesame"), "a hidden field");
        let gone = client.request("DELETE", &format!("{RUNS}/{}", run["id"].as_str().expect("an id")), &[], None);
        assert_eq!(gone.expect("an answer").status, 204);
    }
    made(&mut client, "last", json!({"task": {"export": {}}}));
    carried_out(&mut client, "last");
    until("those of runs that are gone went", || {
        std::fs::read_dir(server.folder.path().join("data/exports")).expect("a folder").count() == 1
    });
}

#[test]
fn each_chunk_is_sent_and_who_wants_to_know_is_told_of_the_end() {
    let (_server, mut client) = started(1_050);
    let tried = std::sync::Mutex::new(std::collections::BTreeSet::new());
    // Each is taken only when it comes the second time.
    let receiver = Receiver::start(move |told| {
        let is_new = tried.lock().expect("no panic").insert(told.id().to_owned());
        Reply::Status(if is_new && told.target.starts_with("/in") { 503 } else { 200 })
    });
    let webhook = json!({"url": receiver.url()});
    made(
        &mut client,
        "send",
        json!({"task": {"webhook": webhook}, "notify": {"webhook": webhook}, "secret": SECRET, "chunk": 100, "parallel": 4}),
    );
    let run = carried_out(&mut client, "send");
    assert_eq!((&run["state"], &run["done"], &run["chunks"]), (&json!("done"), &json!(1_050), &json!(11)), "{run}");
    assert_eq!(run["notified"], "sent");
    let told: Vec<_> = receiver.told().into_iter().filter(|told| told.status == Some(200)).collect();
    let mut seen = std::collections::BTreeMap::new();
    for one in &told {
        let message = one.json();
        if message["type"] == "job.chunk" {
            let records = message["data"]["records"].as_array().expect("records").clone();
            assert!(records.len() <= 100 && records.iter().all(|record| record.get("inner").is_none()));
            for record in records {
                let before =
                    seen.insert(record["id"].as_str().expect("an id").to_owned(), message["data"]["chunk"].clone());
                assert_eq!(before, None, "{record}");
            }
        }
    }
    assert_eq!(seen.len(), 1_050);
    let last = told.last().expect("messages").json();
    assert_eq!((&last["type"], &last["data"]["id"]), (&json!("job.done"), &run["id"]));
    assert!(last["data"].get("secret").is_none());
}

#[test]
fn a_job_has_one_run_at_once_and_a_cancelled_one_ends_where_it_is() {
    let (_server, mut client) = started(200);
    let receiver = Receiver::start(|_| Reply::Hang);
    made(&mut client, "slow", json!({"task": {"webhook": {"url": receiver.url(), "timeout": 15}}, "secret": SECRET}));
    let id = begin(&mut client, "slow");
    let again = ask(&mut client, "POST", "/api/jobs/slow/run", &json!({}));
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("run_active")), "{}", again.text());
    let gone = client.request("DELETE", &format!("{JOBS}/slow"), &[], None).expect("an answer");
    assert_eq!((gone.status, &gone.json()["code"]), (409, &json!("run_active")));
    for (method, target, body) in [
        ("PATCH", format!("{RUNS}/{id}"), json!({"state": "done"})),
        ("POST", RUNS.to_owned(), json!({"job": "slow", "name": "slow", "state": "done"})),
    ] {
        assert_eq!(ask(&mut client, method, &target, &body).status, 403, "runs are the server's to change");
    }
    let gone = client.request("DELETE", &format!("{RUNS}/{id}"), &[], None).expect("an answer");
    assert_eq!(gone.status, 409);
    let cancelled = ask(&mut client, "POST", &format!("/api/runs/{id}/cancel"), &json!({}));
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")), "{}", cancelled.text());
    let run = run(&mut client, &id);
    assert_eq!((&run["state"], &run["done"]), (&json!("cancelled"), &json!(0)), "{run}");
    assert!(run["active"].is_null(), "nobody waits for its end: the job is free");
    let twice = ask(&mut client, "POST", &format!("/api/runs/{id}/cancel"), &json!({}));
    assert_eq!((twice.status, &twice.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(ask(&mut client, "POST", "/api/runs/none/cancel", &json!({})).status, 404);
    let gone = client.request("DELETE", &format!("{JOBS}/slow"), &[], None).expect("an answer");
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(client.get(&format!("{RUNS}/{id}")).expect("an answer").status, 404, "its runs go with it");
    assert_eq!(ask(&mut client, "POST", "/api/jobs/none/run", &json!({})).status, 404);
}

#[test]
fn a_run_that_takes_too_long_fails_and_old_ones_go() {
    let (_server, mut client) = started(10);
    let receiver = Receiver::start(|_| Reply::Status(503));
    let webhook = json!({"webhook": {"url": receiver.url()}});
    made(&mut client, "late", json!({"task": webhook, "secret": SECRET, "timeout": 1}));
    let run = carried_out(&mut client, "late");
    assert_eq!((&run["state"], run["error"].as_str()), (&json!("failed"), Some("it took longer than it may")), "{run}");
    made(&mut client, "often", json!({"task": {"update": {"n": "n"}}, "keep": 2}));
    let ids: Vec<String> =
        (0..4).map(|_| carried_out(&mut client, "often")["id"].as_str().expect("an id").to_owned()).collect();
    let mut kept: Vec<&str> = ids[2..].iter().map(String::as_str).collect();
    kept.sort_unstable();
    // The oldest goes when the last one has ended, a moment behind that.
    until("two are left", || {
        let target = format!("{RUNS}?fields=id&filter=name=%27often%27");
        let left = client.get(&target).expect("an answer").json()["items"].clone();
        let left = left.as_array().expect("items").iter().filter_map(|run| run["id"].as_str());
        let mut left: Vec<&str> = left.collect();
        left.sort_unstable();
        left == kept
    });
}

#[test]
fn a_schedule_makes_runs_and_crons_are_listed_as_pocketbase_does() {
    let (_server, mut client) = started(10);
    made(
        &mut client,
        "ticks",
        json!({"task": {"update": {"n+": "1"}}, "schedule": "* * * * * *", "timeZone": "Europe/Berlin"}),
    );
    made(&mut client, "never", json!({"task": {"delete": {}}, "schedule": "* * * * * *", "enabled": false}));
    let began = Instant::now();
    let runs = loop {
        let runs = client.get(&format!("{RUNS}?filter=state=%27done%27&sort=slot")).expect("an answer").json()["items"]
            .clone();
        if runs.as_array().is_some_and(|runs| runs.len() >= 3) {
            break runs.as_array().expect("items").clone();
        }
        assert!(began.elapsed() < PATIENCE, "{runs}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let slots: Vec<&str> = runs.iter().map(|run| run["slot"].as_str().expect("a slot")).collect();
    assert!(slots.is_sorted_by(|a, b| a < b), "{slots:?}");
    assert!(runs.iter().all(|run| run["name"] == "ticks"));
    let own = json!([
        {"id": "__millpondScrub__", "expression": "@every 24h"},
        {"id": "__millpondTrimLog__", "expression": "@every 250ms"},
        {"id": "__millpondExpiredKeys__", "expression": "@every 60s"},
    ]);
    let mut all = own.clone();
    all.as_array_mut().expect("a list").insert(0, json!({"id": "ticks", "expression": "* * * * * *"}));
    assert_eq!(client.get("/api/crons").expect("an answer").json(), all);
    ask(&mut client, "PATCH", &format!("{JOBS}/ticks"), &json!({"enabled": false}));
    assert_eq!(client.get("/api/crons").expect("an answer").json(), own);
    // By hand it runs whatever its schedule says, as soon as none is under way.
    let began = Instant::now();
    while ask(&mut client, "POST", "/api/crons/ticks", &json!({})).status != 204 {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_the_server_does_by_the_clock_is_done_when_it_is_asked_for() {
    let (server, mut client) = started(10);
    let snapshot = server.folder.path().join("data/snapshot");
    assert!(!snapshot.exists(), "so little is worth none");
    until("the log is trimmed to what a snapshot has not", || {
        assert_eq!(ask(&mut client, "POST", "/api/crons/__millpondTrimLog__", &json!({})).status, 204);
        snapshot.exists()
    });
    for name in ["__millpondScrub__", "__millpondExpiredKeys__", "__millpondBackups__"] {
        assert_eq!(ask(&mut client, "POST", &format!("/api/crons/{name}"), &json!({})).status, 204, "{name}");
    }
    until("a backup is there", || client.get("/api/backups").expect("an answer").json()[0].is_object());
}

#[test]
fn who_listens_to_a_run_sees_it_come_along() {
    let (server, mut client) = started(1_500);
    made(&mut client, "up", json!({"task": {"update": {"n+": "1"}}, "chunk": 500}));
    let mut events = Events::open(server.address, "/api/realtime?subscribe=_runs/*", &[]);
    assert_eq!(events.status, 200);
    let id = begin(&mut client, "up");
    let (mut last, mut states) = (0, Vec::new());
    loop {
        let event = events.next().expect("an event");
        let record = &event.data["record"];
        if record["id"] != id.as_str() {
            continue;
        }
        let done = record["done"].as_u64().expect("a number");
        assert!(done >= last, "{record}");
        last = done;
        let state = record["state"].as_str().expect("a state").to_owned();
        if states.last() != Some(&state) {
            states.push(state);
        }
        if record["state"] == "done" {
            break;
        }
    }
    assert_eq!((last, states.join(" ")), (1_500, "queued running done".to_owned()));
}
