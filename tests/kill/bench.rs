//! `millpond bench` and `millpond ready` on a running server: what they say, what they leave, and how they end.

use serde_json::Value;

use crate::server::{Folder, Server, run};

fn bench(url: &str, more: &[&str]) -> Value {
    let told = run(&[&["bench", url, "--duration", "1", "--connections", "4", "--records", "300"], more].concat());
    assert_eq!(told.code, Some(0), "{told:#?}");
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:#?}"))
}

fn number(result: &Value, name: &str) -> f64 {
    result.pointer(name).and_then(Value::as_f64).unwrap_or_else(|| panic!("{name}: {result}"))
}

#[test]
fn a_load_is_measured_and_leaves_nothing_behind() {
    let folder = Folder::new("bench");
    let server = Server::start(&folder);
    let url = format!("http://{}", server.address);
    let told = bench(&url, &["--json"]);
    assert_eq!(told["closedLoop"], true);
    let results = told["results"].as_array().expect("a list");
    let kinds: Vec<&str> = results.iter().filter_map(|result| result["kind"].as_str()).collect();
    assert_eq!(kinds, ["creates", "reads", "lists", "updates"]);
    for result in results {
        assert!(number(result, "/requests") > 0.0 && result["errors"] == 0, "{result}");
        let times = ["p50", "p90", "p99", "p999", "max"].map(|name| number(result, &format!("/us/{name}")));
        assert!(times[0] > 0.0 && times.is_sorted(), "{result}");
        let rate = number(result, "/requests") / number(result, "/seconds");
        assert!((rate / number(result, "/perSecond") - 1.0).abs() < 0.01, "{result}");
    }
    let list = server.client().get("/api/collections?filter=system=false").expect("an answer").json();
    assert_eq!(list["totalItems"], 0, "{list}");
    server.stop();
}

#[test]
fn at_a_rate_so_many_are_asked_and_what_is_not_answered_is_an_error() {
    let folder = Folder::new("bench-rate");
    let server = Server::try_start_with(&folder, &["--body-bytes-max", "1024"]).expect("it starts");
    let url = format!("http://{}", server.address);
    // What a record has fits, the lines that are imported are no body.
    let told = bench(&url, &["--json", "--rate", "50", "--kinds", "reads,creates"]);
    assert_eq!((&told["closedLoop"], &told["rate"]), (&false.into(), &50.into()));
    for result in told["results"].as_array().expect("a list") {
        assert_eq!(number(result, "/requests") + number(result, "/errors"), 50.0, "{result}");
    }
    let lines = run(&["bench", &url, "--duration", "1", "--kinds", "reads"]);
    assert_eq!(lines.code, Some(0), "{lines:#?}");
    for word in ["p99.9", "reads", "closed loop", "--rate"] {
        assert!(lines.stdout.contains(word), "{word}: {lines:#?}");
    }
    server.stop();
    let gone = run(&["bench", &url, "--duration", "1"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("can't be reached"), "{gone:#?}");
    for wrong in [&["bench"][..], &["bench", "ftp://x"], &["bench", &url, "--kinds", "deletes"]] {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn whether_a_server_is_ready_is_an_exit_code() {
    let folder = Folder::new("ready");
    let server = Server::start(&folder);
    let url = format!("http://{}", server.address);
    assert_eq!(run(&["ready", "--url", &url]).code, Some(0));
    server.stop();
    let gone = run(&["ready", "--url", &url]);
    assert!(gone.code == Some(1) && gone.stderr.contains("can't be reached"), "{gone:#?}");
}
