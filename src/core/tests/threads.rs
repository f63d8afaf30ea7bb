//! The core on its threads: every command is answered once, by what is true after a restart, whatever stops or fails.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use super::fixture::{DIR, NOW, Stepped, add_index, id, judge, keys, rounds, settings};
use super::gate::{GatedDisk, PATIENCE};
use crate::core::decide::Pieces;
use crate::core::{self, Core, Outcome, Threads};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::error::{Error, Kind};
use crate::id::{Epoch, NodeId, Position, Seq};
use crate::limits;
use crate::log;
use crate::model::command::{Command, Op, Write};
use crate::model::guard::Guard;
use crate::model::schema::Collection;
use crate::model::value::{Fields, Value};
use crate::state;
use crate::time::Clock;

const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text","max":2000000}]}"#;

pub(super) fn template() -> SimDisk {
    Stepped::with(&[NOTES]).close()
}

pub(super) fn start(disk: Arc<dyn Disk>) -> crate::error::Result<(Core, Threads)> {
    let settings = core::Settings { log: log::Settings::default(), ..settings() };
    core::start(disk, Path::new(DIR), &settings, Clock::manual(NOW))
}

pub(super) fn notes(core: &Core) -> Arc<Collection> {
    core.view().schema.find("notes").unwrap().clone()
}

pub(super) fn create(notes: &Collection, record: &str, text: &str) -> Command {
    let fields: Fields = [(notes.fields[0].id, Value::text(text))].into_iter().collect();
    let op = Op::Create { id: id(record), fields };
    Command::Write(vec![Write { collection: notes.id, schema: notes.version, guard: Guard::for_server(), op }])
}

fn delete(notes: &Collection, record: &str) -> Command {
    let op = Op::Delete { id: id(record), if_match: None };
    Command::Write(vec![Write { collection: notes.id, schema: notes.version, guard: Guard::for_server(), op }])
}

/// Waits, but not for ever.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("an answer")
}

type Waiting = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Submits without waiting: the command is queued, or the outcome is there at once.
pub(super) fn submit(core: &Core, command: Command) -> Result<Waiting, Outcome> {
    let core = core.clone();
    let mut future: Waiting = Box::pin(async move { core.submit(command).await });
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Err(outcome),
        Poll::Pending => Ok(future),
    }
}

pub(super) fn queued(core: &Core, command: Command) -> Waiting {
    submit(core, command).unwrap_or_else(|outcome| panic!("answered at once: {outcome:?}"))
}

pub(super) fn told(error: &Error) -> (Kind, &'static str) {
    (error.kind(), error.code_str())
}

/// The ids that a restart finds.
pub(super) fn found(disk: &SimDisk) -> BTreeSet<String> {
    let core = Stepped::open(disk).unwrap();
    judge(&core.view());
    let all = keys(&core.view().stack);
    let notes = core.collection("notes");
    all.keys()
        .filter(|key| key[0] == 2 && key[1..5] == notes.id.0.to_be_bytes())
        .map(|key| String::from_utf8(key[9..].to_vec()).unwrap())
        .collect()
}

#[test]
fn all_that_is_now_can_be_written_down_at_any_moment_of_writes() {
    let disk = template();
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let (notes, over) = (notes(&core), AtomicBool::new(false));
    let failed = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (core, notes, over) = (&core, &notes, &over);
            // One record that comes and goes: what is written down stays small, however fast this machine writes.
            let name = format!("w{writer}");
            let (come, go) = (create(notes, &name, "x"), delete(notes, &name));
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for command in [&come, &go] {
                        if block_on(core.submit(command.clone())).is_err() {
                            return;
                        }
                    }
                }
            });
        }
        let path = Path::new(DIR).join("dump");
        let failed = (0..rounds(300, 1_000)).find_map(|_| {
            let dumped = core.dump(&path, &|| false).map(drop);
            // A failed one has left nothing.
            dumped.and_then(|()| disk.remove(&path).map_err(|error| Error::io("the dump", error))).err()
        });
        over.store(true, Ordering::Relaxed);
        failed
    });
    assert!(failed.is_none(), "{failed:?}");
    threads.stop().unwrap();
}

#[test]
fn what_is_queued_shares_one_sync_and_is_answered_in_order() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    disk.gate.close();
    let first = queued(&core, create(&notes, "first", "x"));
    disk.gate.wait_for_writer();
    let before = core.view().position.seq;
    let rest: Vec<Waiting> = (0..100).map(|n| queued(&core, create(&notes, &format!("n{n}"), "x"))).collect();
    disk.gate.let_one_pass();
    assert_eq!(block_on(first).unwrap().position.seq, before.next());
    assert_eq!(core.view().position.seq, before.next(), "nothing is seen before its own sync");
    disk.gate.let_one_pass();
    for (n, waiting) in rest.into_iter().enumerate() {
        let committed = block_on(waiting).unwrap();
        assert_eq!(committed.position.seq.0, before.0 + 2 + n as u64);
        assert!(core.view().position >= committed.position, "what is answered can be read");
    }
    disk.gate.open();
    let end = threads.stop().unwrap();
    assert_eq!(end.seq.0, before.0 + 101);
    assert_eq!(found(&disk.sim.crash(1)).len(), 101);
}

#[test]
fn many_callers_at_once_are_all_answered() {
    let sim = template();
    let (core, threads) = start(Arc::new(sim.clone())).unwrap();
    let notes = notes(&core);
    let each = rounds(100, 1_000);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (core, notes) = (&core, &notes);
            scope.spawn(move || {
                for n in 0..each {
                    // Every second one is meant for the same record as another caller's.
                    let record = if n % 2 == 0 { format!("c{caller}-{n}") } else { format!("all-{n}") };
                    match block_on(core.submit(create(notes, &record, "x"))) {
                        Ok(_) => {}
                        Err(error) => assert_eq!(told(&error), (Kind::Conflict, "exists"), "{record}"),
                    }
                    let view = core.view();
                    assert!(state::exists(&view.stack, notes, &id(&record)).unwrap(), "one's own write is read");
                }
            });
        }
    });
    threads.stop().unwrap();
    assert_eq!(found(&sim).len() as u64, 8 * each / 2 + each / 2);
}

#[test]
fn a_full_queue_refuses_and_changes_nothing() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    disk.gate.close();
    let mut waiting = vec![queued(&core, create(&notes, "first", "x"))];
    disk.gate.wait_for_writer();
    waiting.extend((0..limits::WRITER_QUEUE).map(|n| queued(&core, create(&notes, &format!("n{n}"), "x"))));
    for n in 0..3 {
        let Err(Err(error)) = submit(&core, create(&notes, &format!("over{n}"), "x")) else {
            panic!("refused at once")
        };
        assert_eq!(told(&error), (Kind::Unavailable, "queue_full"));
    }
    disk.gate.open();
    for one in waiting {
        block_on(one).unwrap();
    }
    // There is room again.
    block_on(core.submit(create(&notes, "after", "x"))).unwrap();
    threads.stop().unwrap();
    let found = found(&disk.sim);
    assert_eq!(found.len(), limits::WRITER_QUEUE + 2);
    assert!(!found.iter().any(|id| id.starts_with("over")));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    // Of another definition, so that they wait like all others but are not logged.
    let mut stale = (*notes).clone();
    stale.version = Seq(99);
    let text = "x".repeat(1 << 20);
    let mut taken = Vec::new();
    for round in 0..2 {
        disk.gate.close();
        let first = queued(&core, create(&notes, &format!("first{round}"), "x"));
        disk.gate.wait_for_writer();
        let mut waiting = Vec::new();
        let refusal = loop {
            match submit(&core, create(&stale, "big", &text)) {
                Ok(one) => waiting.push(one),
                Err(outcome) => break outcome.unwrap_err(),
            }
            assert!(waiting.len() < 200, "it is bounded");
        };
        assert_eq!(told(&refusal), (Kind::Unavailable, "queue_full"));
        taken.push(waiting.len());
        disk.gate.open();
        block_on(first).unwrap();
        for one in waiting {
            assert_eq!(block_on(one).unwrap_err().code_str(), "stale_schema");
        }
        // A mark of the log's end may be on its way to the gate: only the next write's sync is waited for.
        block_on(core.submit(create(&notes, &format!("between{round}"), "x"))).unwrap();
    }
    assert!(taken[0] << 20 >= limits::WRITER_QUEUE_BYTES - (2 << 20), "only {} MiB", taken[0]);
    assert_eq!(taken[0], taken[1], "all of it is given back");
    threads.stop().unwrap();
}

#[test]
fn a_stop_answers_what_is_queued_and_loses_none_of_it() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    disk.gate.close();
    let mut waiting = vec![queued(&core, create(&notes, "first", "x"))];
    disk.gate.wait_for_writer();
    waiting.extend((0..600).map(|n| queued(&core, create(&notes, &format!("n{n}"), "x"))));
    let stop = std::thread::spawn(move || threads.stop());
    disk.gate.open();
    let answers: Vec<Outcome> = waiting.into_iter().map(block_on).collect();
    let end = stop.join().unwrap().unwrap();
    let acked = answers.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(acked, 601, "what was queued before the stop is carried out");
    assert_eq!(end.seq, answers.last().unwrap().as_ref().unwrap().position.seq);
    let error = block_on(core.submit(create(&notes, "late", "x"))).unwrap_err();
    assert_eq!(told(&error), (Kind::Unavailable, "stopping"));
    assert_eq!(found(&disk.sim.crash(1)).len(), 601, "durable, not only closed");
}

#[test]
fn a_stop_among_submits_leaves_no_command_without_a_true_answer() {
    let template = template();
    let seed = rounds(1, 17);
    eprintln!("stops among submits: seed {seed}");
    // A stop waits for a thread that sleeps; so many at once.
    std::thread::scope(|scope| {
        for lane in 0..10 {
            let template = &template;
            scope.spawn(move || {
                for round in 0..20 {
                    stop_among_submits(template, &mut Rng::new(seed + lane * 1_000 + round));
                }
            });
        }
    });
}

fn stop_among_submits(template: &SimDisk, rng: &mut Rng) {
    let sim = template.fork(rng.u64());
    let (core, threads) = start(Arc::new(sim.clone())).unwrap();
    let notes = notes(&core);
    let callers: Vec<_> = (0..3)
        .map(|caller| {
            let (core, notes) = (core.clone(), notes.clone());
            std::thread::spawn(move || {
                let mut acked = Vec::new();
                for n in 0.. {
                    let record = format!("c{caller}-{n}");
                    match block_on(core.submit(create(&notes, &record, "x"))) {
                        Ok(_) => acked.push(record),
                        Err(error) => {
                            assert_eq!(told(&error), (Kind::Unavailable, "stopping"));
                            return acked;
                        }
                    }
                }
                unreachable!("a stop comes")
            })
        })
        .collect();
    for _ in 0..rng.below(2_000) {
        std::thread::yield_now();
    }
    threads.stop().unwrap();
    let acked: BTreeSet<String> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    assert_eq!(found(&sim.crash(rng.u64())), acked, "what was answered with stopping is not there, all else is");
}

#[test]
fn threads_that_are_dropped_end_and_free_the_folder() {
    let sim = template();
    let (core, threads) = start(Arc::new(sim.clone())).unwrap();
    let second = start(Arc::new(sim.clone())).unwrap_err();
    assert_eq!(told(&second), (Kind::Unavailable, "folder_in_use"));
    block_on(core.submit(create(&notes(&core), "one", "x"))).unwrap();
    drop(threads);
    let began = std::time::Instant::now();
    let (core, threads) = loop {
        match start(Arc::new(sim.clone())) {
            Ok(started) => break started,
            Err(error) => assert_eq!(error.code_str(), "folder_in_use"),
        }
        assert!(began.elapsed() < PATIENCE, "the folder is never free");
        std::thread::yield_now();
    };
    assert!(state::exists(&core.view().stack, &notes(&core), &id("one")).unwrap());
    threads.stop().unwrap();
    start(Arc::new(sim)).unwrap().1.stop().unwrap();
}

#[test]
fn a_read_waits_for_the_position_it_names() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    let now = core.view().position;
    assert_eq!(block_on(core.reached(now)).unwrap().position, now, "what is there is answered at once");
    disk.gate.close();
    let write = queued(&core, create(&notes, "one", "x"));
    disk.gate.wait_for_writer();
    let wanted = Position { seq: now.seq.next(), ..now };
    let mut read = Box::pin(core.reached(wanted));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let early = runtime
        .block_on(async { std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready())).await });
    assert!(!early, "it is not there yet");
    disk.gate.open();
    let view = runtime.block_on(read).unwrap();
    assert!(view.position.seq >= wanted.seq && state::exists(&view.stack, &notes, &id("one")).unwrap());
    block_on(write).unwrap();
    let foreign = Position { epoch: Epoch { counter: 9, node: NodeId(9) }, ..now };
    assert_eq!(block_on(core.reached(foreign)).unwrap_err().kind(), Kind::Precondition);
    let far = Position { seq: Seq(1_000_000), ..now };
    assert_eq!(told(&block_on(core.reached(far)).unwrap_err()), (Kind::Unavailable, "min_seq_not_reached"));
    threads.stop().unwrap();
}

#[test]
fn a_dropped_collection_is_cleared_away_without_being_asked() {
    let sim = template();
    let (core, threads) = start(Arc::new(sim.clone())).unwrap();
    let notes = notes(&core);
    let many = 3 * limits::WORK_ROWS_PIECE as u64 / 2;
    for piece in 0..many / 100 {
        let writes: Vec<Write> = (0..100)
            .flat_map(|n| match create(&notes, &format!("n{piece}-{n}"), "x") {
                Command::Write(writes) => writes,
                _ => unreachable!("a write"),
            })
            .collect();
        block_on(core.submit(Command::Write(writes))).unwrap();
    }
    block_on(core.submit(Command::Drop(notes.id))).unwrap();
    let began = std::time::Instant::now();
    while state::garbage(&core.view().stack).unwrap().is_some() {
        assert!(began.elapsed() < PATIENCE, "it is never cleared away");
        std::thread::yield_now();
    }
    threads.stop().unwrap();
    let core = Stepped::open(&sim).unwrap();
    judge(&core.view());
    assert!(!core.keys().keys().any(|key| (2..=5).contains(&key[0])), "nothing is left of it");
}

#[test]
fn an_index_is_built_and_another_removed_among_writes_without_being_asked() {
    let sim = template();
    let pieces = Pieces { at_once: 10, rows: 20, bytes: 1 << 20 };
    let settings = core::Settings { log: log::Settings::default(), pieces, ..settings() };
    let (core, threads) = core::start(Arc::new(sim.clone()), Path::new(DIR), &settings, Clock::manual(NOW)).unwrap();
    let write = |records: std::ops::Range<u32>| {
        for record in records {
            // The server moves the definition when it is done.
            let create = || create(&notes(&core), &format!("n{record}"), &format!("{}", record % 7));
            while let Err(error) = block_on(core.submit(create())) {
                assert_eq!(told(&error), (Kind::Conflict, "stale_schema"));
            }
        }
    };
    let redefine = |change: &dyn Fn(&mut Collection)| {
        let mut next = Collection::clone(&notes(&core));
        change(&mut next);
        block_on(core.submit(Command::Redefine(Box::new(next)))).unwrap();
    };
    write(0..300);
    redefine(&|next| add_index(next, "one", &["text"], false));
    write(300..400);
    let began = std::time::Instant::now();
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(began.elapsed() < PATIENCE, "it is never done");
            std::thread::yield_now();
        }
    };
    wait(&|| notes(&core).indexes[0].is_ready());
    redefine(&|next| {
        next.indexes.clear();
        add_index(next, "two", &["-text"], false);
    });
    write(400..500);
    wait(&|| notes(&core).indexes[0].is_ready() && state::garbage(&core.view().stack).unwrap().is_none());
    threads.stop().unwrap();
    let core = Stepped::open(&sim).unwrap();
    judge(&core.view());
    assert_eq!(core.keys().keys().filter(|key| key[0] == 3).count(), 500, "one entry for each record");
}
