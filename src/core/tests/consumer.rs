//! The consumer loop: every entry once and in order whatever happens meanwhile, and an end that says why.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{DIR, NOW, Stepped, id, settings};
use super::gate::PATIENCE;
use super::threads::{block_on, create, notes, start, template};
use crate::core::{self, Core, Ended, Keeps, Threads, What, changes};
use crate::id::{Epoch, NodeId, Position, Seq};
use crate::log;
use crate::model::command::Op;
use crate::time::Clock;

fn write(core: &Core, record: &str, text: &str) -> Position {
    block_on(core.submit(create(&notes(core), record, text))).unwrap().position
}

/// A core whose log keeps little, and only what it must.
fn small(log_max_bytes: u64) -> (Core, Threads) {
    let settings = core::Settings {
        log: log::Settings {
            segment_bytes: 8 << 10,
            first_segment_bytes: 4 << 10,
            ring_bytes: 4 << 10,
            ..log::Settings::default()
        },
        keep: core::Keep { log_keep: Duration::ZERO, log_max_bytes },
        ..settings()
    };
    core::start(Arc::new(template()), Path::new(DIR), &settings, Clock::manual(NOW)).unwrap()
}

/// Writes until the log begins behind a seq.
fn trim_past(core: &Core, seq: Seq) {
    let began = Instant::now();
    let text = "x".repeat(1_000);
    for n in 0.. {
        if core.log().first_seq() > seq {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the log is never trimmed");
        write(core, &format!("t{n}"), &text);
    }
}

#[test]
fn every_entry_comes_once_and_in_order_while_writes_go_on() {
    const WRITERS: usize = 4;
    const EACH: usize = 300;
    let (core, threads) = small(64 << 20);
    let from = core.view().position;
    let last = from.seq.0 + (WRITERS * EACH) as u64;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let core = &core;
            scope.spawn(move || {
                for n in 0..EACH {
                    write(core, &format!("w{writer}-{n}"), "some text");
                }
            });
        }
        // One on a thread with small batches, one in a task that falls behind what is in memory.
        scope.spawn(|| {
            let mut consumer = core.consumer(from, Keeps::Nothing).unwrap();
            let mut seen = from.seq;
            while seen.0 < last {
                for logged in consumer.next_batch(500).unwrap() {
                    assert_eq!(logged.position.seq, seen.next());
                    assert!(core.view().position.seq >= logged.position.seq, "a view holds what is told");
                    seen = logged.position.seq;
                }
                if seen.0 < last {
                    assert!(consumer.wait(PATIENCE).unwrap());
                }
            }
            assert!(!consumer.wait(Duration::ZERO).unwrap());
        });
        scope.spawn(|| {
            let mut consumer = core.consumer(from, Keeps::Log).unwrap();
            let mut seen = from.seq;
            while seen.0 < last {
                block_on(consumer.woken()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                for logged in consumer.next_batch(usize::MAX).unwrap() {
                    assert_eq!(logged.position.seq, seen.next());
                    seen = logged.position.seq;
                }
                consumer.done(seen);
            }
        });
    });
    threads.stop().unwrap();
}

#[test]
fn the_log_is_kept_for_who_asks_for_it_and_others_are_told_that_it_went() {
    let (core, threads) = small(1 << 20);
    let from = core.view().position;
    let mut keeping = core.consumer(from, Keeps::Log).unwrap();
    let mut loose = core.consumer(from, Keeps::Nothing).unwrap();
    let first = write(&core, "first", "x");
    assert_eq!(loose.next_batch(1).unwrap()[0].position, first);
    let text = "x".repeat(1_000);
    for n in 0..300 {
        write(&core, &format!("n{n}"), &text);
    }
    assert!(core.log().first_seq() <= first.seq, "a lease keeps it");
    assert_eq!(keeping.next_batch(1).unwrap()[0].position, first);
    keeping.done(first.seq);
    keeping.done(Seq::ZERO);
    keeping.done(core.view().position.seq);
    trim_past(&core, loose.at().next());
    for _ in 0..2 {
        let ended = loose.next_batch(1).unwrap_err();
        assert!(matches!(ended, Ended::Trimmed(first) if first > loose.at().next()), "{ended:?}");
    }
    assert!(matches!(core.consumer(from, Keeps::Log), Err(Ended::Trimmed(_))));
    threads.stop().unwrap();
}

#[test]
fn a_lease_holds_no_more_than_the_logs_bytes() {
    let (core, threads) = small(64 << 10);
    let from = core.view().position;
    let mut slow = core.consumer(from, Keeps::Log).unwrap();
    trim_past(&core, from.seq.next());
    assert!(matches!(slow.next_batch(1), Err(Ended::Trimmed(_))));
    threads.stop().unwrap();
}

#[test]
fn a_position_of_another_history_is_refused() {
    let (core, threads) = start(Arc::new(template())).unwrap();
    let now = core.view().position;
    let foreign = Position { epoch: Epoch { counter: 9, node: NodeId(9) }, ..now };
    let ahead = Position { seq: now.seq.next(), ..now };
    for position in [foreign, ahead] {
        assert!(matches!(core.consumer(position, Keeps::Nothing), Err(Ended::Reset)), "{position}");
    }
    let mut all = core.consumer(Position::default(), Keeps::Nothing).unwrap();
    assert_eq!(all.next_batch(usize::MAX).unwrap().len() as u64, now.seq.0);
    threads.stop().unwrap();
}

#[test]
fn a_stop_ends_those_that_wait() {
    let (core, threads) = start(Arc::new(template())).unwrap();
    let now = core.view().position;
    let waiting: Vec<_> = (0..2)
        .map(|n| {
            let mut consumer = core.consumer(now, Keeps::Log).unwrap();
            std::thread::spawn(move || {
                let woken = if n == 0 { consumer.wait(PATIENCE).map(drop) } else { block_on(consumer.woken()) };
                (woken, consumer.next_batch(1).map(drop))
            })
        })
        .collect();
    core.end_consumers();
    for thread in waiting {
        let (woken, next) = thread.join().unwrap();
        assert!(matches!((woken, next), (Err(Ended::Stopping), Err(Ended::Stopping))));
    }
    threads.stop().unwrap();
}

#[test]
fn a_change_has_its_mark_and_both_images() {
    let mut core = Stepped::with(&[r#"{"name":"notes","fields":[{"name":"text","type":"text"}]}"#]);
    core.fill(&[("notes", r#"{"id":"a","text":"one"}"#), ("notes", r#"{"id":"b","text":"gone"}"#)]);
    let from = core.view().position.seq;
    let merge = core.merge("notes", "a", r#"{"text":"two"}"#, None);
    let new = core.create("notes", r#"{"id":"c","text":"new"}"#);
    core.write(&[("notes", merge), ("notes", Op::Delete { id: id("b"), if_match: None }), ("notes", new)]).unwrap();
    core.redefine("notes", |next| next.name = "others".into()).unwrap();
    let text = core.collection("others").fields[0].id;
    let told: Vec<String> = core
        .reader
        .read_from(from, usize::MAX)
        .unwrap()
        .iter()
        .flat_map(|logged| {
            changes(logged)
                .map(|changed| {
                    let mark = changed.mark.change.map_or("whole".to_owned(), |change| change.to_string());
                    let what = match changed.what {
                        What::Record(change) => {
                            let of =
                                |value: &crate::model::value::Fields| value.get(text).as_text().unwrap().to_owned();
                            let before = change.before().map(|fields| of(&fields));
                            let moved = change.moved().map(<[_]>::len);
                            format!("{} {before:?} {:?} {moved:?}", change.id, change.after().map(of))
                        }
                        What::Defined(..) => "defined".to_owned(),
                        What::Dropped(_) => "dropped".to_owned(),
                    };
                    format!("{mark}: {what}")
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let expected = [
        r#"0: a Some("one") Some("two") Some(1)"#,
        r#"1: b Some("gone") None None"#,
        r#"whole: c None Some("new") None"#,
        "whole: defined",
    ];
    assert_eq!(told, expected);
}
