//! What jobs promise: each record is dealt with once whatever ends a run meanwhile, and no time is given twice whatever the
//! clock does.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Adding, Jobs, Means};
use crate::core::{self, Core, Threads};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::model::command::{Command, Op, Write};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::job::{self, JOBS, RUNS};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::value::Value;
use crate::outbound::Dialer;
use crate::state;
use crate::time::{Clock, Millis};

const PATIENCE: Duration = Duration::from_secs(60);
const ITEMS: &str = r#"{"name":"items","fields":[{"name":"n","type":"number","integer":true}]}"#;
const ADD_ONE: &str =
    r#"{"id":"j","name":"j","source":{"collection":"items"},"chunk":7,"task":{"update":{"n":"n + 1"}}"#;

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn means() -> Means {
    fn new_id(_: Millis) -> Result<RecordId> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        RecordId::new(&format!("made{:06}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }
    Means {
        guard: Guard::for_server(),
        new_id,
        adding: Adding(Arc::new(|_, _| Err(Error::internal("nobody adds up here")))),
        dialer: Arc::new(Dialer::new(true)),
    }
}

fn open(disk: &SimDisk, clock: &Clock) -> (Core, Threads) {
    disk.create_dir_all(Path::new("/data")).unwrap();
    let settings = core::Settings { ballast_bytes: 4_096, ..core::Settings::default() };
    core::start(Arc::new(disk.clone()), Path::new("/data"), &settings, clock.clone()).unwrap()
}

fn begin(disk: &SimDisk, clock: &Clock, items: usize) -> (Core, Threads) {
    let (core, threads) = open(disk, clock);
    for (text, is_own) in [(ITEMS.to_owned(), false)].into_iter().chain(job::definitions().map(|text| (text, true))) {
        let parse = if is_own { definition::parse_own } else { definition::parse };
        let made = parse(&core.view().schema, text.as_bytes(), Millis(1)).unwrap();
        submit(&core, Command::Define(Box::new(made)));
    }
    for n in 0..items {
        create(&core, "items", &format!(r#"{{"id":"i{n:04}","n":0}}"#));
    }
    (core, threads)
}

fn submit(core: &Core, command: Command) {
    core.send_when_room(command).unwrap().wait().unwrap();
}

fn create(core: &Core, collection: &str, body: &str) {
    let of = core.view().schema.find(collection).unwrap().clone();
    let op = pipeline::create(&of, body.as_bytes(), id("made"), true).unwrap();
    let write = Write { collection: of.id, schema: of.version, guard: Guard::for_server(), op };
    submit(core, Command::Write(vec![write]));
}

fn records(core: &Core, collection: &str) -> Vec<Record> {
    let view = core.view();
    let of = view.schema.find(collection).unwrap();
    state::next_records(&view.stack, of, None, usize::MAX, usize::MAX).unwrap().0
}

fn value(core: &Core, collection: &str, record: &Record, name: &str) -> Value {
    let of = core.view().schema.find(collection).unwrap().clone();
    record.fields.get(of.field(name).unwrap().id).clone()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never comes: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_that_is_cut_off_again_and_again_deals_with_each_record_once() {
    const ITEMS: usize = 400;
    let (disk, clock) = (SimDisk::new(1), Clock::manual(Millis(1_000)));
    let (core, threads) = begin(&disk, &clock, ITEMS);
    create(&core, JOBS, &format!("{ADD_ONE}}}"));
    let runs = core.view().schema.find(RUNS).unwrap().clone();
    let op = Op::Create { id: id("run"), fields: super::new_run(&runs, &id("j"), "j", None) };
    let write = Write { collection: runs.id, schema: runs.version, guard: Guard::for_server(), op };
    submit(&core, Command::Write(vec![write]));
    let mut now = Some((core, threads));
    let mut rng = Rng::new(3);
    let (mut cuts, mut done) = (0, false);
    while !done {
        let (core, threads) = now.take().unwrap_or_else(|| open(&disk, &clock));
        let jobs = Jobs::start(core.clone(), means()).unwrap();
        let after = core.view().position.seq.0 + 1 + rng.below(12);
        let is_done = || value(&core, RUNS, &records(&core, RUNS)[0], "state") == Value::text("done");
        // Somebody writes to what is still to come.
        let own = format!("i{:04}", rng.below(ITEMS as u64));
        let of = core.view().schema.find("items").unwrap().clone();
        let op = pipeline::merge(&of, &id(&own), br#"{"n+":1000}"#, None, true).unwrap();
        submit(
            &core,
            Command::Write(vec![Write { collection: of.id, schema: of.version, guard: Guard::for_server(), op }]),
        );
        until("the run comes along", || core.view().position.seq.0 >= after || is_done());
        done = is_done();
        drop(jobs);
        threads.stop().unwrap();
        cuts += 1;
    }
    let (core, threads) = open(&disk, &clock);
    for record in records(&core, "items") {
        let Value::Int(n) = value(&core, "items", &record, "n") else { panic!("{record:?}") };
        assert_eq!(n % 1_000, 1, "{} was dealt with {} times in {cuts} turns", record.id, n % 1_000);
    }
    let run = &records(&core, RUNS)[0];
    assert_eq!(value(&core, RUNS, run, "done"), Value::Int(ITEMS as i64));
    assert!(cuts > 3, "it was cut off: {cuts}");
    threads.stop().unwrap();
}

#[test]
fn a_clock_that_jumps_about_gives_no_time_twice() {
    let (disk, clock) = (SimDisk::new(1), Clock::manual(Millis(1_000_000_000_000)));
    let (core, threads) = begin(&disk, &clock, 1);
    create(&core, JOBS, &format!(r#"{ADD_ONE},"schedule":"*/10 * * * * *","keep":1000}}"#));
    let jobs = Jobs::start(core.clone(), means()).unwrap();
    let mut rng = Rng::new(5);
    for _ in 0..40 {
        let now = clock.now().0;
        let jump = match rng.below(4) {
            0 => -(rng.below(60_000) as i64),
            1 => rng.below(120_000) as i64,
            _ => 10_000,
        };
        set(&clock, now + jump);
        std::thread::sleep(Duration::from_millis(rng.below(60)));
    }
    set(&clock, clock.now().0 + 1_000_000);
    until("the last run has ended", || {
        let runs = records(&core, RUNS);
        let ended = |run: &Record| value(&core, RUNS, run, "state") == Value::text("done");
        runs.len() > 2 && runs.iter().all(ended) && {
            let last = runs.iter().map(|run| slot(&core, run)).max().unwrap();
            last.0 + 10_000 > clock.now().0
        }
    });
    drop(jobs);
    let runs = records(&core, RUNS);
    let slots: BTreeSet<i64> = runs.iter().map(|run| slot(&core, run).0).collect();
    assert_eq!(slots.len(), runs.len(), "each has a time of its own");
    assert!(slots.iter().all(|slot| slot % 10_000 == 0));
    let item = &records(&core, "items")[0];
    assert_eq!(value(&core, "items", item, "n"), Value::Int(runs.len() as i64));
    threads.stop().unwrap();
}

fn set(clock: &Clock, at: i64) {
    let Clock::Manual(now) = clock else { panic!("a clock of a test's") };
    now.store(at, Ordering::Relaxed);
}

fn slot(core: &Core, run: &Record) -> Millis {
    match value(core, RUNS, run, "slot") {
        Value::Date(at) => at,
        other => panic!("{other:?}"),
    }
}
