//! What is shipped to watch and to run a server names only what there is: the dashboard metrics, image and compose file
//! settings.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use millpond::config::Settings;
use serde_json::{Value, json};

use crate::support::http::Client;
use crate::support::server::Running;

/// Time after which a follower that is not known to its primary fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a file that is shipped")
}

/// The names in a text that begin so.
fn names(text: &str, beginnings: &[&str]) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| beginnings.iter().any(|begin| word.starts_with(begin))).map(str::to_owned).collect()
}

fn metrics(text: &str) -> BTreeSet<String> {
    names(text, &["millpond_", "process_"])
}

/// All that a dashboard asks for, and what it asks for its lists of servers.
fn asked(dashboard: &Value) -> BTreeSet<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.map(|target| target["expr"].as_str().expect("an expression").to_owned());
    let lists = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let lists = lists.filter_map(|list| list["query"]["query"].as_str()).map(str::to_owned);
    expressions.chain(lists).flat_map(|text| metrics(&text)).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let primary = Running::start();
    let mut client = Client::new(primary.address);
    let mut post = |path: &str, body: Value| {
        let answer = client.json("POST", path, &body.to_string()).expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    post("/api/collections", json!({"name": "notes", "fields": []}));
    post("/api/collections", json!({"name": "copies", "fields": [{"name": "of", "type": "text"}]}));
    let copy = json!({"name": "copy", "kind": "collection", "collections": ["notes"], "target": "copies",
        "set": {"of": "id"}});
    post("/api/collections/_handlers/records", copy);
    post("/api/collections/notes/records", json!({}));
    let follower = Running::start_with(tempfile::tempdir().expect("a folder"), |settings| {
        settings.follow = Some(format!("http://{}", primary.address));
    });
    let mut other = Client::new(follower.address);
    let began = Instant::now();
    let there = loop {
        let told = [&mut client, &mut other].map(|client| client.get("/metrics").expect("an answer"));
        let there: BTreeSet<String> = told.iter().flat_map(|answer| metrics(answer.text())).collect();
        // Each of the two tells of the other once it knows it.
        if there.contains("millpond_follower_lag_entries") && there.contains("millpond_replication_lag_seconds") {
            break there;
        }
        assert!(began.elapsed() < PATIENCE, "the two do not find each other: {there:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let dashboard = serde_json::from_str(&shipped("data/deploy/grafana.json")).expect("JSON");
    let asked = asked(&dashboard);
    assert!(asked.len() > 30, "{asked:?}");
    let absent: Vec<_> = asked.difference(&there).collect();
    assert!(absent.is_empty(), "no such metrics: {absent:?}");
}

#[test]
fn image_and_compose_file_set_what_can_be_set() {
    let settings = serde_json::to_value(Settings::default()).expect("plain data");
    let mut known: BTreeSet<String> = settings.as_object().expect("a struct").keys().cloned().collect();
    known.extend(["superuser_email", "superuser_password"].map(str::to_owned));
    for file in ["Dockerfile", "compose.yaml"] {
        for name in names(&shipped(file), &["MILLPOND_"]) {
            let setting = name.trim_start_matches("MILLPOND_").to_lowercase();
            assert!(known.contains(&setting), "{file} sets {name}");
        }
    }
}
