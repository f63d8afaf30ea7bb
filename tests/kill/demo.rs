//! The demo, as the README's first command starts it: its data, its report, and the same again at the next start.

use serde_json::json;

use crate::server::{Folder, Server};
use crate::support::until::until;

const FLIGHTS: &str = "/api/collections/flights/records";
const DELAYS: &str = "/api/collections/delays/records";

#[test]
fn the_demo_has_its_data_and_makes_its_report() {
    let folder = Folder::new("demo");
    for _ in 0..2 {
        let demo = Server::try_start_as("demo", &folder, &[]).unwrap_or_else(|ended| panic!("{ended:#?}"));
        let mut client = demo.client();
        let late = client.get(&format!("{FLIGHTS}?filter=origin=%27HNL%27%26%26delay%3E60")).expect("an answer").json();
        assert_eq!(late["totalItems"], 3, "{late}");
        let begun = client.json("POST", "/api/jobs/delays/run", "{}").expect("an answer");
        assert_eq!(begun.status, 202, "{}", begun.text());
        let run = format!("/api/collections/_runs/records/{}", begun.json()["id"].as_str().expect("an id"));
        until("the report is made", || client.get(&run).expect("an answer").json()["active"].is_null());
        let run = client.get(&run).expect("an answer").json();
        assert_eq!((&run["state"], &run["failed"]), (&json!("done"), &json!(0)), "{run}");
        // Each airport has what an aggregate of its flights gives.
        let asked = "group=origin&values=flights:count(),late:sum(if(delay%3E15,1,0)),worst:max(delay)&sort=origin\
                     &filter=status!=%27cancelled%27&limit=500";
        let wanted = client.get(&format!("{FLIGHTS}/aggregate?{asked}")).expect("an answer");
        assert_eq!(wanted.status, 200, "{}", wanted.text());
        let wanted = wanted.json();
        let report = client.get(&format!("{DELAYS}?sort=airport&perPage=500")).expect("an answer").json();
        let wanted = wanted["items"].as_array().expect("groups");
        let told =
            |row: &serde_json::Value, airport: &str| json!([row[airport], row["flights"], row["late"], row["worst"]]);
        let wanted: Vec<_> = wanted.iter().map(|row| told(row, "origin")).collect();
        let report: Vec<_> = report["items"].as_array().expect("rows").iter().map(|row| told(row, "airport")).collect();
        assert!(wanted.len() > 100 && wanted == report, "{} airports, {} in the report", wanted.len(), report.len());
        demo.stop();
    }
}
