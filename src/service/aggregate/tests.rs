//! Aggregates of a service over a core: work that is cut and shared, time, callers that go, what is kept, what fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::Threads;
use crate::error::{Kind, Result};
use crate::limits;
use crate::model::aggregate::{self, Texts};
use crate::service::Service;
use crate::service::cache::{Answer, Question};
use crate::service::fixture::{begin, block_on, define, hold, put, start, superuser};
use crate::service::writes::{Ask, Deed};

const RECORDS: usize = 4_000;

/// A service with records in it: `n` counts up, `x` is a float, `g` one of seven texts.
fn filled(records: usize) -> (Service, Threads) {
    let (service, threads) = start(limits::CACHE_BYTES);
    define(
        &service,
        r#"{"name":"a","fields":[{"name":"n","type":"number","integer":true},{"name":"x","type":"number"},
        {"name":"g","type":"text"}],"indexes":[{"name":"by_g","fields":["g","x"]}],"listRule":""}"#,
    );
    let asker = superuser(&service);
    for first in (0..records).step_by(500) {
        let bodies: Vec<String> = (first..records.min(first + 500))
            .map(|n| format!(r#"{{"id":"r{n:06}","n":{n},"x":{}.1,"g":"g{}"}}"#, n * 7_919 % 1_000, n % 7))
            .collect();
        let asks = bodies.iter().map(|body| Ask {
            asker: &asker,
            collection: "a",
            wanted: Default::default(),
            deed: Deed::Create { body: body.as_bytes() },
        });
        let asks: Vec<Ask<'_>> = asks.collect();
        block_on(service.batch(&asks, None)).unwrap();
    }
    (service, threads)
}

async fn asked(service: &Service, body: &str) -> Result<Answer> {
    let asker = superuser(service);
    let request = Arc::new(aggregate::read(body.as_bytes()).unwrap());
    service.aggregate(&asker, &Question::of(&asker, body), request, None).await
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.found.as_ref().unwrap().body).unwrap()
}

fn one(values: &str, more: &str) -> String {
    format!(r#"{{"sources":{{"s":{{"collection":"a","group":{{"g":"g"}},"values":{{{values}}}}}}}{more}}}"#)
}

const ALL: &str = r#""c":"count()","s":"sum(x)","a":"avg(x + n)","d":"stddev(x)","p":"percentile(x, 90)","u":"countDistinct(x)","f":"first(n)","l":"last(x)""#;

#[test]
fn however_the_work_is_cut_the_answer_is_the_same() {
    let (service, threads) = filled(RECORDS);
    let body = one(ALL, r#","explain":true"#);
    let items = |answer: &Answer| json(answer)["items"].to_string();
    // Nobody to share it with.
    let alone = {
        let _held = hold(&service.0.pool, limits::SCAN_THREADS - 1);
        let answer = block_on(asked(&service, &body)).unwrap();
        assert_eq!(json(&answer)["explain"]["s"]["pieces"], 1);
        items(&answer)
    };
    let mut most = 0;
    for _ in 0..50 {
        let answer = block_on(asked(&service, &body)).unwrap();
        assert_eq!(items(&answer), alone);
        assert_eq!(json(&answer)["explain"]["s"]["rowsRead"], RECORDS);
        most = most.max(json(&answer)["explain"]["s"]["pieces"].as_u64().unwrap());
        if most > 1 {
            break;
        }
    }
    assert!(most > 1, "a free thread takes a part");
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn an_index_that_holds_all_is_read_alone_and_gives_the_same() {
    let (service, threads) = filled(1_000);
    let values = r#""c":"count()","s":"sum(x)","m":"max(x * 2)""#;
    let covered = json(&block_on(asked(&service, &one(values, r#","explain":true"#))).unwrap());
    assert_eq!(
        (&covered["explain"]["s"]["index"], &covered["explain"]["s"]["indexOnly"]),
        (&"by_g".into(), &true.into())
    );
    let more = format!(r#"{values},"n":"max(n)""#);
    let by_rows = json(&block_on(asked(&service, &one(&more, r#","explain":true"#))).unwrap());
    assert_eq!(by_rows["explain"]["s"]["indexOnly"], false);
    for (covered, by_rows) in covered["items"].as_array().unwrap().iter().zip(by_rows["items"].as_array().unwrap()) {
        let mut by_rows = by_rows.clone();
        by_rows.as_object_mut().unwrap().remove("n");
        assert_eq!(*covered, by_rows);
    }
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn what_is_kept_is_given_again_until_a_record_changes() {
    let (service, threads) = filled(10);
    let body = one(r#""c":"count()""#, "");
    let hit = |service: &Service| block_on(asked(service, &body)).unwrap().is_hit();
    assert_eq!((hit(&service), hit(&service)), (false, true));
    put(&service, "a", "r000003", r#"{"n":1,"g":"other"}"#);
    assert!(!hit(&service));
    let clock = one(r#""c":"sum(if(@now > '2001-01-01', 1, 0))""#, "");
    for _ in 0..2 {
        assert!(!block_on(asked(&service, &clock)).unwrap().is_hit(), "what asks for the clock is not kept");
    }
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn a_deadline_is_504_and_with_partial_an_error_beside_the_rest() {
    let (service, threads) = filled(RECORDS);
    let late = one(r#""c":"max(n)""#, r#","timeout":"1ms""#);
    {
        let _held = hold(&service.0.pool, limits::SCAN_THREADS);
        let error = block_on(asked(&service, &late)).expect_err("no thread in time");
        assert_eq!(error.kind(), Kind::Timeout);
    }
    // As many groups as records, of which there may be so many and no more.
    let body = |partial: bool| {
        format!(
            r#"{{"sources":{{"bad":{{"collection":"a","group":{{"n":"n"}},"values":{{"x":"sum(n / 0 + lookup('a', id).n)"}}}},
            "far":{{"url":"http://127.0.0.1:9","collection":"a","group":{{"n":"n"}}}},
            "good":{{"collection":"a","filter":"n < 2","group":{{"n":"n"}},"values":{{"c":"count()"}}}}}},
            "merge":{{"join":["n"],"kind":"inner"}},"select":{{"n":"n","c":"good.c"}},"sort":"n","limit":2,"partial":{partial}}}"#
        )
    };
    let error = block_on(asked(&service, &body(false))).expect_err("a source fails");
    assert_eq!((error.kind(), error.code_str()), (Kind::Timeout, "source_failed"));
    let answer = json(&block_on(asked(&service, &body(true))).unwrap());
    assert_eq!(answer["errors"]["far"]["code"], "source_failed");
    assert_eq!(answer["errors"].as_object().unwrap().len(), 1);
    assert_eq!(answer["items"].to_string(), r#"[{"n":0,"c":1},{"n":1,"c":1}]"#);
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn a_caller_that_goes_ends_the_work() {
    let (service, threads) = filled(10);
    let held = hold(&service.0.pool, limits::SCAN_THREADS);
    let body = one(r#""c":"count()""#, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Calls that are only begun have a clock all the same.
    let entered = runtime.enter();
    let waiting: Vec<_> = (0..limits::AGGREGATES_MAX).map(|_| begin(asked(&service, &body))).collect();
    let error = runtime.block_on(asked(&service, &body)).expect_err("as many as may");
    assert_eq!((error.kind(), error.code_str()), (Kind::Unavailable, "queue_full"));
    drop(waiting);
    drop(entered);
    drop(held);
    // Their places are free again, as soon as a thread has seen that nobody waits.
    let mut tries = 0;
    while let Err(error) = block_on(asked(&service, &body)) {
        assert_eq!(error.code_str(), "queue_full");
        tries += 1;
        assert!(tries < 10_000);
        std::thread::sleep(Duration::from_millis(1));
    }
    let (caller, over) = super::run::Caller::new();
    drop(caller);
    assert!(over.load(Ordering::Relaxed), "those at work see it");
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn of_one_source_texts_say_the_same_as_json() {
    let (service, threads) = filled(50);
    let texts = Texts { group: Some("g"), values: Some("c:count(),s:sum(x)"), limit: usize::MAX, ..Texts::default() };
    let asker = superuser(&service);
    let request = Arc::new(aggregate::of_texts("a", texts).unwrap());
    let by_texts = block_on(service.aggregate(&asker, &Question::of(&asker, "texts"), request, None)).unwrap();
    let by_json = block_on(asked(&service, &one(r#""c":"count()","s":"sum(x)""#, ""))).unwrap();
    assert_eq!(json(&by_texts), json(&by_json));
    drop(service);
    threads.stop().unwrap();
}
