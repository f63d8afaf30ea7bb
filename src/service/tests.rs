//! The service over a core on a simulated disk: lists as they are answered, writes with a key.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::core::Threads;
use crate::disk::sim::Rng;
use crate::error::Result;
use crate::limits;
use crate::model::lines::Form;
use crate::model::look::Wanted;
use crate::service::cache::Question;
use crate::service::fixture::{self, block_on, nobody, page, superuser};
use crate::service::import::{Source, Terms};
use crate::service::lists::ListRequest;
use crate::service::once::{Begun, Keyed};
use crate::service::writes::{Ask, Deed};
use crate::service::{Asker, Caller, Paging, Service};

const ITEMS: &str = r#"{"name":"items","fields":[{"name":"n","type":"number","integer":true},{"name":"t","type":"text"}],
    "indexes":[{"name":"by_n","fields":["n"]}],"listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":""}"#;

/// Without a cache, or what is kept below it would not be asked.
fn start() -> (Service, Threads) {
    fixture::start(0)
}

fn request(filter: Option<&'static str>, count: bool) -> ListRequest<'static> {
    ListRequest { filter, paging: Paging { page: 1, per_page: 1, count }, ..page("") }
}

fn list(service: &Service, asker: &Asker, collection: &str, request: ListRequest<'_>) -> serde_json::Value {
    let question = Question::of(asker, "");
    let answer = block_on(service.list_records(asker, &question, collection, request)).unwrap();
    serde_json::from_slice(&answer.found.unwrap().body).unwrap()
}

fn total(service: &Service, filter: &'static str) -> i64 {
    let asker = superuser(service);
    let page = list(service, &asker, "items", request(Some(filter), true));
    page["totalItems"].as_i64().unwrap()
}

#[test]
fn a_kept_total_is_right_after_every_write() {
    type Holds = fn(i64, &str) -> bool;
    const FILTERS: [(&str, Holds); 4] = [
        ("n > 3", |n, _| n > 3),
        ("n = 2 || t = 'b'", |n, t| n == 2 || t == "b"),
        ("t ~ 'a'", |_, t| t.contains('a')),
        ("!(n < 5)", |n, _| n >= 5),
    ];
    for seed in 0..4 {
        eprintln!("totals: seed {seed}");
        let mut rng = Rng::new(seed);
        let (service, threads) = start();
        block_on(service.create_collection(Caller::Superuser, ITEMS.as_bytes(), None)).unwrap();
        let asker = superuser(&service);
        let mut records: BTreeMap<String, (i64, &str)> = BTreeMap::new();
        for _ in 0..150 {
            let id = format!("r{}", rng.below(20));
            let (n, t) = (rng.below(8) as i64, ["a", "b", "ab"][rng.below(3) as usize]);
            if records.contains_key(&id) && rng.below(3) == 0 {
                block_on(service.delete_record(&asker, "items", &id, None, None)).unwrap();
                records.remove(&id);
            } else {
                let body = format!(r#"{{"n":{n},"t":"{t}"}}"#);
                fixture::put(&service, "items", &id, &body);
                records.insert(id, (n, t));
            }
            if rng.below(3) > 0 {
                for (filter, holds) in FILTERS {
                    let expected = records.values().filter(|(n, t)| holds(*n, t)).count();
                    assert_eq!(total(&service, filter), expected as i64, "seed {seed}: {filter}");
                }
            }
        }
        drop(service);
        threads.stop().unwrap();
    }
}

#[test]
fn a_total_is_carried_over_changes_and_counted_again_behind_too_many() {
    let (service, threads) = start();
    block_on(service.create_collection(Caller::Superuser, ITEMS.as_bytes(), None)).unwrap();
    let asker = superuser(&service);
    let put = |n: usize| {
        let (id, body) = (format!("r{n}"), format!(r#"{{"n":{n}}}"#));
        fixture::put(&service, "items", &id, &body);
    };
    let read = |filter: &'static str| {
        let soon = Instant::now() + limits::QUERY_TIME_MAX;
        let kept = service.kept_total(&asker, "items", request(Some(filter), true), soon);
        (total(&service, filter), kept)
    };
    (0..20).for_each(put);
    assert_eq!(read("n >= 5"), (15, None), "nothing is kept before it was asked");
    assert_eq!(read("n >= 5"), (15, Some(15)));
    (20..30).for_each(put);
    let past = Instant::now() - Duration::from_millis(1);
    assert_eq!(service.kept_total(&asker, "items", request(Some("n >= 5"), true), past), None, "no time to carry it");
    assert_eq!(read("n >= 5"), (25, Some(25)));
    assert_eq!(read("n >= 5").1, Some(25));
    for _ in 0..2 {
        assert_eq!(read("n >= 5 && n < @year"), (25, None), "what asks the clock is not kept");
    }
    (30..31 + limits::TOTALS_CHANGES_MAX).for_each(put);
    let all = 26 + limits::TOTALS_CHANGES_MAX;
    assert_eq!(read("n >= 5"), (all as i64, None), "too many changes lie between");
    assert_eq!(read("n >= 5").1, Some(all));
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn kept_totals_are_bounded() {
    use crate::id::{CollectionId, Generation, Seq};
    use crate::service::totals::{Key, Totals};
    let totals = Totals::default();
    let key = |n: usize| Key {
        collection: CollectionId(1),
        generation: Generation(0),
        schema: Seq(1),
        ruled: false,
        sees_hidden: false,
        filter: format!("n = {n:01000}").into(),
    };
    for n in 0..10_000 {
        totals.put(key(n), Seq(1), n);
    }
    let kept = totals.bytes();
    assert!(kept > limits::TOTALS_BYTES_MAX / 4 && kept <= limits::TOTALS_BYTES_MAX, "{kept}");
}

#[test]
fn referrers_that_come_again_are_all_shown_again() {
    const ORDERS: usize = 200;
    let (service, threads) = start();
    let users = r#"{"name":"users","fields":[],"viewRule":""}"#;
    let orders = r#"{"name":"orders","fields":[{"name":"n","type":"number"},
        {"name":"user","type":"relation","collection":"users"}],"listRule":"","viewRule":"n >= 0"}"#;
    for body in [users, orders] {
        block_on(service.create_collection(Caller::Superuser, body.as_bytes(), None)).unwrap();
    }
    let asker = superuser(&service);
    let put = |collection: &str, id: String, body: &str| {
        let deed = Deed::Put { id: Some(&id), body: body.as_bytes(), if_match: None, create_only: false };
        block_on(service.store_record(Ask { asker: &asker, collection, wanted: Wanted::default(), deed }, None))
            .unwrap();
    };
    put("users", "u".to_owned(), "{}");
    (0..ORDERS).for_each(|at| put("orders", format!("o{at}"), r#"{"n":1,"user":"u"}"#));
    // More than are read on the request's own thread, if each were read again.
    let nobody = nobody(&service);
    let wanted = Wanted { expand: Some("user.orders_via_user"), ..Wanted::default() };
    let paging = Paging { page: 1, per_page: 5, count: false };
    let page = list(&service, &nobody, "orders", ListRequest { wanted, paging, ..request(None, false) });
    let shown = |item: &serde_json::Value| item["expand"]["user"]["expand"]["orders_via_user"].as_array().map(Vec::len);
    let counts: Vec<_> = page["items"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(counts, [Some(ORDERS); 5]);
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn while_one_is_at_it_another_with_its_key_is_sent_away() {
    let (service, threads) = start();
    let body = ITEMS.as_bytes();
    let keyed = Keyed { method: "POST", path: "/api/collections", key: b"key", parts: &[body] };
    let once = service.once(&Caller::Superuser, keyed);
    assert_ne!(service.once(&Caller::Anonymous, keyed).key, once.key, "no two callers share a key");
    assert_ne!(service.once(&Caller::Superuser, Keyed { method: "PUT", ..keyed }).key, once.key);
    let create = || block_on(service.create_collection(Caller::Superuser, body, Some(once)));
    let turn = service.begin(Some(once)).unwrap();
    assert!(matches!(turn, Begun::Now(_)));
    assert_eq!(create().unwrap_err().code_str(), "idempotency_running");
    drop(turn);
    let first = create().unwrap();
    assert!(!first.commit.replayed);
    // Two that are answered again are in nobody's way.
    let before = service.begin(Some(once)).unwrap();
    let again = create().unwrap();
    assert!(matches!(before, Begun::Before(_)) && again.commit.replayed);
    assert_eq!((again.commit.position, again.body), (first.commit.position, first.body));
    let other = service.once(&Caller::Superuser, Keyed { parts: &[b"{}"], ..keyed });
    assert_eq!(other.key, once.key);
    let refused = block_on(service.create_collection(Caller::Superuser, b"{}", Some(other)));
    assert_eq!(refused.unwrap_err().code_str(), "idempotency_mismatch");
    drop(before);
    drop(service);
    threads.stop().unwrap();
}

/// A body in pieces.
struct Chunks(VecDeque<&'static str>);

impl Source for Chunks {
    fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.pop_front().map(Bytes::from))
    }
}

#[test]
fn an_import_holds_its_key_while_its_body_comes_and_is_known_by_all_of_it() {
    let (service, threads) = start();
    fixture::define(&service, ITEMS);
    let asker = superuser(&service);
    let terms = Terms { form: Form::Ndjson, upsert: false, atomic: true };
    let keyed = Keyed { method: "POST", path: "/api/collections/items/import", key: b"key", parts: &[b"ndjson"] };
    let begin = || service.import(&asker, "items", terms, Some(service.claim(&Caller::Superuser, keyed)?));
    let run = |chunks: &[&'static str]| begin().unwrap().run(&mut Chunks(chunks.iter().copied().collect()));
    let broken = begin().unwrap();
    assert_eq!(begin().unwrap_err().code_str(), "idempotency_running");
    drop(broken);
    assert_eq!(run(&["{\"n\":"]).unwrap_err().report.refused, 1, "a refusal is not kept");
    let first = run(&["{\"id\":\"a\"}\n{\"id\"", ":\"b\"}"]).unwrap();
    assert_eq!((first.created, first.lines, first.replayed), (2, 2, false));
    // Two that are answered again are in nobody's way, and where a piece ends says nothing.
    let before = begin().unwrap();
    let again = run(&["{\"id\":\"a\"}", "\n{\"id\":\"b\"}"]).unwrap();
    assert_eq!((again.position, again.created, again.lines, again.replayed), (first.position, 2, 2, true));
    drop(before);
    assert_eq!(run(&["{\"id\":\"a\"}\n"]).unwrap_err().error.code_str(), "idempotency_mismatch");
    block_on(service.drop_collection(Caller::Superuser, "items", None)).unwrap();
    let again = run(&["{\"id\":\"a\"}\n", "{\"id\":\"b\"}"]).unwrap();
    assert!(again.replayed, "what was done is told also when it could not be done any more");
    let other = Keyed { key: b"other", ..keyed };
    let claim = service.claim(&Caller::Superuser, other).unwrap();
    assert_eq!(service.import(&asker, "items", terms, Some(claim)).unwrap_err().code_str(), "not_found");
    drop(service);
    threads.stop().unwrap();
}
