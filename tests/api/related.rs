//! Related records in answers at their bounds: how many are shown, how many are read, how large an answer gets.

use millpond::id::RecordId;
use millpond::limits;
use millpond::model::command::{Command, Op, Write};
use millpond::model::pipeline;
use millpond::service::access;
use serde_json::{Value, json};

use crate::support::http::Client;
use crate::support::server::Running;

struct Shop {
    server: Running,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Shop {
    /// `users` have a boss, `orders` a user and items, `products` a text that may be long.
    fn new() -> Shop {
        let server = Running::start();
        let client = Client::new(server.address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut shop = Shop { server, client, runtime };
        for definition in [
            r#"{"name":"users","fields":[{"name":"boss","type":"relation","collection":"users"}],"listRule":"","viewRule":""}"#,
            r#"{"name":"products","fields":[{"name":"text","type":"text","max":1000000}],"listRule":"","viewRule":""}"#,
            r#"{"name":"orders","fields":[{"name":"user","type":"relation","collection":"users"},{"name":"open","type":"bool"},{"name":"items","type":"relation","collection":"products","maxSelect":20}],"listRule":"","viewRule":"open = true"}"#,
        ] {
            assert_eq!(shop.client.json("POST", "/api/collections", definition).expect("an answer").status, 201);
        }
        shop
    }

    /// Creates records in transactions of a thousand.
    fn fill(&self, collection: &str, records: impl Iterator<Item = Value>) {
        let view = self.server.core.view();
        let collection = view.schema.find(collection).expect("defined");
        let writes: Vec<Write> = records
            .map(|record| {
                let spare = RecordId::new("spare").expect("an id");
                let op = pipeline::create(collection, record.to_string().as_bytes(), spare, true).expect("sound");
                assert!(matches!(op, Op::Create { .. }));
                Write { collection: collection.id, schema: collection.version, guard: access::for_server(), op }
            })
            .collect();
        for piece in writes.chunks(1_000) {
            self.runtime.block_on(self.server.core.submit(Command::Write(piece.to_vec()))).expect("written");
        }
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        let answer = self.client.get(target).expect("an answer");
        (answer.status, answer.json())
    }

    fn get_as_nobody(&mut self, target: &str) -> (u16, Value) {
        let answer = self.client.request("GET", target, &[("host", "nobody.example")], None).expect("an answer");
        (answer.status, answer.json())
    }
}

fn orders(of: &str, from: usize, count: usize) -> impl Iterator<Item = Value> {
    (from..from + count).map(move |at| json!({"id": format!("{of}-{at:05}"), "user": of, "open": at.is_multiple_of(2)}))
}

fn ids(records: &Value) -> Vec<&str> {
    records.as_array().expect("a list").iter().map(|record| record["id"].as_str().expect("an id")).collect()
}

#[test]
fn the_first_thousand_that_point_at_a_record_are_shown_by_id() {
    let mut shop = Shop::new();
    shop.fill("users", [json!({"id": "ann"})].into_iter());
    shop.fill("orders", orders("ann", 0, 2_500));
    let target = "/api/collections/users/records/ann?expand=orders_via_user&fields=expand.orders_via_user.id";
    let expected: Vec<String> = (0..limits::REFERRERS_MAX).map(|at| format!("ann-{at:05}")).collect();
    let (status, body) = shop.get(target);
    assert_eq!((status, ids(&body["expand"]["orders_via_user"])), (200, expected.iter().map(String::as_str).collect()));
    // Those that a rule hides take no one's place.
    let expected: Vec<String> = (0..limits::REFERRERS_MAX).map(|at| format!("ann-{:05}", 2 * at)).collect();
    let (status, body) = shop.get_as_nobody(target);
    assert_eq!((status, ids(&body["expand"]["orders_via_user"])), (200, expected.iter().map(String::as_str).collect()));
}

#[test]
fn an_answer_reads_a_bounded_number_of_related_records_and_a_write_is_answered_all_the_same() {
    let mut shop = Shop::new();
    let users: Vec<String> = (0..=limits::RELATED_READS_MAX / 1_000).map(|at| format!("u{at:02}")).collect();
    shop.fill("users", [json!({"id": "top"})].into_iter());
    shop.fill("users", users.iter().map(|id| json!({"id": id, "boss": "top"})));
    for user in &users {
        shop.fill("orders", orders(user, 0, 1_000));
    }
    let (status, body) = shop.get("/api/collections/users/records?expand=orders_via_user");
    assert_eq!((status, body["code"].as_str()), (422, Some("query_too_large")), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("10000 related records")), "{body}");
    let (status, body) = shop.get("/api/collections/users/records?expand=orders_via_user&perPage=9&fields=expand.*.id");
    assert_eq!(status, 200);
    let shown: usize = body["items"]
        .as_array()
        .expect("a page")
        .iter()
        .map(|user| user["expand"]["orders_via_user"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(shown, 8_000, "one of the nine has none");
    let deep = "/api/collections/users/records/top?expand=users_via_boss.orders_via_user";
    let (status, body) = shop.get(deep);
    assert_eq!((status, body["code"].as_str()), (422, Some("query_too_large")), "{body}");
    // It is on disk by then: relations stay ids.
    let answer = shop.client.json("PATCH", &format!("{deep}&embed=boss(id)"), r#"{"boss":"u00"}"#).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["boss"], body.get("expand")), (&json!("u00"), None), "{body}");
    // What is many but within the bound is shown after a write too.
    let target = "/api/collections/users/records/u01?expand=orders_via_user&embed=boss(id)";
    let answer = shop.client.json("PATCH", target, r#"{"boss":"u00"}"#).expect("an answer");
    let body = answer.json();
    assert_eq!((&body["boss"], ids(&body["expand"]["orders_via_user"]).len()), (&json!({"id": "u00"}), 1_000));
}

#[test]
fn a_record_that_comes_again_is_read_once_and_an_answer_has_a_bounded_size() {
    let mut shop = Shop::new();
    let products: Vec<String> = (0..15).map(|at| format!("p{at}")).collect();
    let long = "x".repeat(200_000);
    shop.fill("products", products.iter().map(|id| json!({"id": id, "text": "short"})));
    shop.fill("products", [json!({"id": "long", "text": long})].into_iter());
    shop.fill("orders", (0..1_000).map(|at| json!({"id": format!("o{at}"), "items": products})));
    let records = "/api/collections/orders/records?perPage=1000";
    let (status, body) = shop.get(&format!("{records}&embed=items(text)&fields=items"));
    assert_eq!(status, 200);
    let pages = body["items"].as_array().expect("a page");
    assert!(pages.iter().all(|order| order["items"].as_array().is_some_and(|items| items.len() == 15)));
    assert!(15 * pages.len() > limits::RELATED_READS_MAX, "more are shown than may be read");

    shop.fill("orders", (0..1_000).map(|at| json!({"id": format!("w{at}"), "items": ["long"]})));
    let (status, body) = shop.get(&format!("{records}&filter=id%3E='w'&embed=items(text)"));
    assert_eq!((status, body["code"].as_str()), (422, Some("query_too_large")), "{}", body["detail"]);
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("bytes")), "{body}");
    let (status, _) = shop.get("/api/collections/orders/records?filter=id%3E='w'&embed=items(text)&perPage=100");
    assert_eq!(status, 200);
}
