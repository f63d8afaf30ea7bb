//! What the bus promises: each change to whom it is for, once and in order, at nobody's cost but the listener's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Bell, Bus, Event, Gathered, Happened, Lens, Of, Read, Reading, SeatId, Step, Tail, Tell, Told};
use crate::core::{self, Core, Published, RecordChange, Slot, Threads};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::id::{CollectionId, Mark, RecordId, Seq};
use crate::limits;
use crate::model::command::{Command, Op, Write};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::value::{Fields, Value};
use crate::time::{Clock, Millis};

const PATIENCE: Duration = Duration::from_secs(30);

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn start(names: &[&str]) -> (Core, Threads) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    let settings = core::Settings { ballast_bytes: 4_096, ..core::Settings::default() };
    let (core, threads) = core::start(Arc::new(disk), Path::new("/data"), &settings, Clock::manual(Millis(1))).unwrap();
    for name in names {
        let text = format!(r#"{{"name":"{name}","fields":[{{"name":"n","type":"number","integer":true}}]}}"#);
        let made = definition::parse(&core.view().schema, text.as_bytes(), Millis(1)).unwrap();
        block_on(core.submit(Command::Define(Box::new(made)))).unwrap();
    }
    (core, threads)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("in time")
}

fn put(core: &Core, collection: &str, record: &str, n: i64) -> Mark {
    puts(core, &[(collection, record, n)])
}

fn puts(core: &Core, records: &[(&str, &str, i64)]) -> Mark {
    let view = core.view();
    let write = |(collection, record, n): &(&str, &str, i64)| {
        let of = view.schema.find(collection).unwrap();
        let fields: Fields = [(of.fields[0].id, Value::Int(*n))].into_iter().collect();
        let op = Op::Put { id: id(record), fields, if_match: None, create_only: false };
        Write { collection: of.id, schema: of.version, guard: Guard::for_server(), op }
    };
    let command = Command::Write(records.iter().map(write).collect());
    block_on(core.submit(command)).unwrap().position.into()
}

/// A listener of the test with what it listens to from where, and what it was given.
type Listening = (Tail, Bell, BTreeMap<SeatId, (Of, Mark)>, Vec<(SeatId, Arc<Event>)>);

/// Tells of everything, and counts how often it is asked.
#[derive(Debug)]
struct All {
    schema: Seq,
    asked: Arc<AtomicUsize>,
    takes: Duration,
    needs: Vec<Slot>,
}

impl All {
    fn of(core: &Core) -> All {
        let schema = core.view().schema.version();
        All { schema, asked: Arc::default(), takes: Duration::ZERO, needs: Vec::new() }
    }
}

impl Lens for All {
    fn schema(&self) -> Seq {
        self.schema
    }

    fn needs(&self) -> &[Slot] {
        &self.needs
    }

    fn tell(&self, view: &Published, change: &RecordChange<'_>) -> Option<Told> {
        assert_eq!(view.schema.version(), self.schema, "it is asked about views of its own schema");
        assert!(view.position.seq >= change.position.seq, "by a view that holds the change");
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.takes);
        let n = change.after().and_then(|fields| fields.iter().next().map(|(_, value)| value.clone()));
        let Some(Value::Int(n)) = n else { return None };
        Some(Told { action: Happened::Update, record: format!("{}={n}", change.id).into() })
    }
}

fn of(core: &Core, collection: &str, record: Option<&str>) -> Of {
    Of { collection: core.view().schema.find(collection).unwrap().id, id: record.map(id) }
}

fn now(core: &Core) -> Mark {
    core.view().position.into()
}

/// Takes until all up to a mark was taken.
fn take(tail: &mut Tail, bell: &Bell, until: Mark, bytes_max: usize) -> Vec<(SeatId, Arc<Event>)> {
    let began = Instant::now();
    let mut all = Vec::new();
    while tail.at().is_some_and(|at| at < until) {
        assert!(began.elapsed() < PATIENCE, "it never comes");
        let events = match tail.gather(bytes_max) {
            Gathered::Events(events) if events.is_empty() => {
                // A bell rings only for what may be there; what is not for this tail moves it on without.
                let _ = block_on(async { tokio::time::timeout(Duration::from_millis(5), bell.notified()).await });
                continue;
            }
            Gathered::Events(events) => events,
            Gathered::Behind(reading) => tail.adopt(read(reading)),
            Gathered::Stale => panic!("no definition moved"),
        };
        all.extend(events);
    }
    all
}

/// Reads in as many turns as it takes.
fn read(mut reading: Reading) -> Read {
    loop {
        match reading.step().unwrap() {
            Step::Done(read) => return read,
            Step::Begun(begun) => reading = begun,
        }
    }
}

fn texts(events: &[(SeatId, Arc<Event>)]) -> Vec<String> {
    let text = |(seat, event): &(SeatId, Arc<Event>)| match &event.what {
        Tell::Record(told) => format!("{seat}:{}", String::from_utf8_lossy(&told.record)),
        Tell::Emptied => format!("{seat}:emptied"),
    };
    events.iter().map(text).collect()
}

#[test]
fn a_change_is_judged_once_for_all_who_listen_alike_and_not_at_all_for_others() {
    const LISTENERS: usize = 50;
    let (core, threads) = start(&["a", "b"]);
    let bus = Bus::start(core.clone()).unwrap();
    let (shared, other) = (Arc::new(All::of(&core)), Arc::new(All::of(&core)));
    let mut tails: Vec<(Tail, Bell)> = (0..LISTENERS)
        .map(|_| {
            let bell: Bell = Arc::new(Notify::new());
            let mut tail = Tail::new(bus.clone(), bell.clone());
            tail.seat(0, of(&core, "a", None), Bytes::from_static(b"same"), shared.clone(), now(&core), None);
            (tail, bell)
        })
        .collect();
    // Many that listen to a single record each: what is written to others costs them nothing.
    let singles: Vec<Tail> = (0..2_000)
        .map(|n| {
            let mut tail = Tail::new(bus.clone(), Arc::new(Notify::new()));
            let name = Bytes::from_static(b"one");
            tail.seat(0, of(&core, "b", Some(&format!("r{n}"))), name, other.clone(), now(&core), None);
            tail
        })
        .collect();
    let mut last = now(&core);
    for n in 0..20 {
        put(&core, "b", "x", n);
        last = put(&core, "a", "r", n);
    }
    put(&core, "b", "r7", 7);
    for (tail, bell) in &mut tails {
        let expected: Vec<String> = (0..20).map(|n| format!("0:r={n}")).collect();
        assert_eq!(texts(&take(tail, bell, last, usize::MAX)), expected);
    }
    assert_eq!(shared.asked.load(Ordering::Relaxed), 20, "once for all");
    let began = Instant::now();
    while other.asked.load(Ordering::Relaxed) == 0 {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(other.asked.load(Ordering::Relaxed), 1, "only for the one that listens to r7");
    drop((tails, singles));
    assert_eq!(bus.figures(), (0, 0), "nothing is left of topics that nobody listens to");
    drop(bus);
    threads.stop().unwrap();
}

#[test]
fn a_listener_that_does_not_take_goes_on_from_the_log_where_it_was() {
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let (bell, lens): (Bell, _) = (Arc::new(Notify::new()), Arc::new(All::of(&core)));
    let mut tail = Tail::new(bus.clone(), bell.clone());
    tail.seat(0, of(&core, "a", None), Bytes::from_static(b"a"), lens.clone(), now(&core), None);
    let many = 2 * limits::LIVE_RING_EVENTS as i64;
    let mut last = now(&core);
    for n in 0..many / 100 {
        let ids: Vec<String> = (0..100).map(|m| format!("r{m}")).collect();
        let records: Vec<_> = ids.iter().map(|record| ("a", record.as_str(), n)).collect();
        last = puts(&core, &records);
    }
    let began = Instant::now();
    while bus.routed() < last {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(matches!(tail.gather(usize::MAX), Gathered::Behind(_)), "more than a ring holds");
    let taken = take(&mut tail, &bell, last, 1_000);
    let marks: Vec<Mark> = taken.iter().map(|(_, event)| event.mark).collect();
    assert_eq!(taken.len() as i64, many / 100 * 100);
    assert!(marks.is_sorted_by(|a, b| a < b), "each once and in order");
    drop((tail, bus));
    threads.stop().unwrap();
}

#[test]
fn random_listeners_get_every_change_of_theirs_once_and_in_order() {
    for seed in 0..6 {
        eprintln!("live: seed {seed}");
        let mut rng = Rng::new(seed);
        let (core, threads) = start(&["a", "b"]);
        let bus = Bus::start(core.clone()).unwrap();
        let lens = Arc::new(All::of(&core));
        let mut history: Vec<(Mark, CollectionId, String, i64)> = Vec::new();
        let mut tails: Vec<Listening> = Vec::new();
        for step in 0..400 {
            match rng.below(4) {
                0 | 1 => {
                    let count = 1 + rng.below(4);
                    let records: Vec<(&str, String, i64)> = (0..count)
                        .map(|n| (["a", "b"][rng.below(2) as usize], format!("r{n}{}", rng.below(3)), step))
                        .collect();
                    let borrowed: Vec<_> = records.iter().map(|(of, id, n)| (*of, id.as_str(), *n)).collect();
                    let mark = puts(&core, &borrowed);
                    for (at, (name, record, n)) in records.into_iter().enumerate() {
                        let change = (at as u64 + 1 < count).then_some(at as u32);
                        let of = core.view().schema.find(name).unwrap().id;
                        history.push((Mark { change, ..mark }, of, record, n));
                    }
                }
                2 if tails.len() < 12 => {
                    let bell: Bell = Arc::new(Notify::new());
                    let mut tail = Tail::new(bus.clone(), bell.clone());
                    let mut seats = BTreeMap::new();
                    // From now, or from within what was written before, where some other stream may have been cut off.
                    let at = match history.len() {
                        0 => now(&core),
                        _ if rng.chance(50) => now(&core),
                        all => history[rng.below(all as u64) as usize].0,
                    };
                    for seat in 0..1 + rng.below(3) {
                        let record = rng.chance(40).then(|| format!("r{}{}", rng.below(4), rng.below(3)));
                        let of = of(&core, ["a", "b"][rng.below(2) as usize], record.as_deref());
                        tail.seat(seat, of.clone(), Bytes::from_static(b"all"), lens.clone(), at, None);
                        seats.insert(seat, (of, at));
                    }
                    tails.push((tail, bell, seats, Vec::new()));
                }
                _ => {
                    if let Some((tail, _, _, taken)) = tails.last_mut() {
                        let events = match tail.gather(1 + rng.below(2_000) as usize) {
                            Gathered::Events(events) => events,
                            Gathered::Behind(reading) => tail.adopt(read(reading)),
                            Gathered::Stale => panic!("no definition moved"),
                        };
                        taken.extend(events);
                    }
                    let count = tails.len();
                    if count > 1 {
                        tails.swap(rng.below(count as u64) as usize, count - 1);
                    }
                }
            }
        }
        let end = now(&core);
        for (tail, bell, seats, taken) in &mut tails {
            taken.extend(take(tail, bell, end, 500));
            let mut expected = Vec::new();
            for (mark, collection, record, n) in &history {
                for (seat, (of, at)) in &*seats {
                    let wanted = of.collection == *collection && of.id.as_ref().is_none_or(|id| id.as_str() == record);
                    if wanted && mark > at {
                        expected.push(format!("{seat}:{record}={n}"));
                    }
                }
            }
            assert_eq!(texts(taken), expected, "seed {seed}");
        }
        drop((tails, bus));
        threads.stop().unwrap();
    }
}

#[test]
fn a_lens_that_takes_long_holds_up_nobody_but_its_own_listeners() {
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let slow = Arc::new(All { takes: 3 * limits::LIVE_JUDGE_TIME_MAX, ..All::of(&core) });
    let quick = Arc::new(All::of(&core));
    let seat = |lens: &Arc<All>, name: &'static [u8]| {
        let bell: Bell = Arc::new(Notify::new());
        let mut tail = Tail::new(bus.clone(), bell.clone());
        tail.seat(0, of(&core, "a", None), Bytes::from_static(name), lens.clone(), now(&core), None);
        (tail, bell)
    };
    let (mut slow_tail, slow_bell) = seat(&slow, b"slow");
    let (mut quick_tail, quick_bell) = seat(&quick, b"quick");
    let mut last = now(&core);
    for n in 0..30 {
        last = put(&core, "a", "r", n);
    }
    assert_eq!(take(&mut quick_tail, &quick_bell, last, usize::MAX).len(), 30);
    let asked = slow.asked.load(Ordering::Relaxed);
    assert_eq!(asked, limits::LIVE_SLOW_MAX as usize, "then the bus asks it no more");
    assert_eq!(take(&mut slow_tail, &slow_bell, last, usize::MAX).len(), 30);
    drop((slow_tail, quick_tail, bus));
    threads.stop().unwrap();
}

#[test]
fn what_was_judged_before_what_it_needs_moved_is_judged_again() {
    let (core, threads) = start(&["a", "b"]);
    let bus = Bus::start(core.clone()).unwrap();
    let needs = vec![Slot::of_collection(of(&core, "b", None).collection)];
    let lens = Arc::new(All { needs, ..All::of(&core) });
    let bell: Bell = Arc::new(Notify::new());
    let mut tail = Tail::new(bus.clone(), bell.clone());
    tail.seat(0, of(&core, "a", None), Bytes::from_static(b"a"), lens.clone(), now(&core), None);
    let mark = put(&core, "a", "r", 1);
    let began = Instant::now();
    while bus.routed() < mark {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    put(&core, "b", "other", 1);
    assert!(matches!(tail.gather(usize::MAX), Gathered::Behind(_)));
    assert_eq!(texts(&take(&mut tail, &bell, mark, usize::MAX)), ["0:r=1"]);
    assert_eq!(lens.asked.load(Ordering::Relaxed), 2);
    drop((tail, bus));
    threads.stop().unwrap();
}

#[test]
fn a_definition_that_moves_has_listeners_come_anew_and_lose_nothing() {
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let bell: Bell = Arc::new(Notify::new());
    let mut tail = Tail::new(bus.clone(), bell.clone());
    let name = Bytes::from_static(b"a");
    let old = Arc::new(All::of(&core));
    tail.seat(0, of(&core, "a", None), name.clone(), old.clone(), now(&core), None);
    put(&core, "a", "r", 1);
    let text = r#"{"name":"b","fields":[]}"#;
    let made = definition::parse(&core.view().schema, text.as_bytes(), Millis(1)).unwrap();
    block_on(core.submit(Command::Define(Box::new(made)))).unwrap();
    let last = put(&core, "a", "r", 2);
    let began = Instant::now();
    while bus.routed() < last {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(matches!(tail.gather(usize::MAX), Gathered::Stale));
    // One that is of the older schema gets nothing, and says so.
    tail.seat(0, of(&core, "a", None), name.clone(), old, now(&core), None);
    assert!(matches!(tail.gather(usize::MAX), Gathered::Stale));
    tail.seat(0, of(&core, "a", None), name, Arc::new(All::of(&core)), now(&core), None);
    assert_eq!(texts(&take(&mut tail, &bell, last, usize::MAX)), ["0:r=1", "0:r=2"]);
    drop((tail, bus));
    threads.stop().unwrap();
}

#[test]
fn rings_hold_no_more_than_their_bounds() {
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let tails: Vec<Tail> = (0..50)
        .map(|n| {
            let mut tail = Tail::new(bus.clone(), Arc::new(Notify::new()));
            let name = Bytes::from(vec![n]);
            tail.seat(0, of(&core, "a", None), name, Arc::new(All::of(&core)), now(&core), None);
            tail
        })
        .collect();
    let ids: Vec<String> = (0..500).map(|m| format!("r{m}")).collect();
    let records: Vec<_> = ids.iter().map(|record| ("a", record.as_str(), 1)).collect();
    for _ in 0..6 {
        let last = puts(&core, &records);
        let began = Instant::now();
        while bus.routed() < last {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        let (topics, bytes) = bus.figures();
        assert_eq!(topics, 50);
        // An event of these takes fewer bytes than that, and three times as many came.
        assert!(bytes <= 50 * limits::LIVE_RING_EVENTS * 250, "{bytes}");
    }
    // What nobody takes is forgotten by itself.
    let began = Instant::now();
    while bus.figures().1 > 0 {
        assert!(began.elapsed() < PATIENCE, "{} bytes stay", bus.figures().1);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop((tails, bus));
    threads.stop().unwrap();
}

#[test]
fn what_the_bus_passes_by_each_listener_has_from_the_log() {
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let (bell, lens): (Bell, _) = (Arc::new(Notify::new()), Arc::new(All::of(&core)));
    let mut tail = Tail::new(bus.clone(), bell.clone());
    let name = Bytes::from_static(b"a");
    tail.seat(0, of(&core, "a", None), name.clone(), lens.clone(), now(&core), None);
    let mut last = now(&core);
    for n in 0..10 {
        last = put(&core, "a", "r", n);
    }
    let began = Instant::now();
    while bus.routed() < last {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    bus.pass_by();
    assert_eq!(bus.routed(), last);
    assert!(matches!(tail.gather(usize::MAX), Gathered::Stale), "its topic gets nothing any more");
    tail.seat(0, of(&core, "a", None), name, lens, now(&core), None);
    last = put(&core, "a", "r", 10);
    let expected: Vec<String> = (0..=10).map(|n| format!("0:r={n}")).collect();
    assert_eq!(texts(&take(&mut tail, &bell, last, usize::MAX)), expected);
    drop((tail, bus));
    threads.stop().unwrap();
}

#[test]
fn what_takes_long_to_judge_for_few_holds_up_nobody_and_comes_from_the_log() {
    const FEW: usize = 20;
    const CHANGES: usize = 100;
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let slow = Arc::new(All { takes: Duration::from_millis(1), ..All::of(&core) });
    let quick = Arc::new(All::of(&core));
    let listen = |name: String, lens: &Arc<All>| {
        let bell: Bell = Arc::new(Notify::new());
        let mut tail = Tail::new(bus.clone(), bell.clone());
        tail.seat(0, of(&core, "a", None), name.into(), lens.clone(), now(&core), None);
        (tail, bell)
    };
    let mut few: Vec<_> = (0..FEW).map(|n| listen(format!("slow{n}"), &slow)).collect();
    let mut many: Vec<_> = (0..limits::LIVE_SHARED_MIN).map(|_| listen("quick".to_owned(), &quick)).collect();
    let ids: Vec<String> = (0..CHANGES).map(|n| format!("r{n}")).collect();
    let records: Vec<_> = ids.iter().map(|record| ("a", record.as_str(), 1)).collect();
    let last = puts(&core, &records);
    let began = Instant::now();
    while bus.routed() < last {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    let (of_slow, of_quick) = (slow.asked.load(Ordering::Relaxed), quick.asked.load(Ordering::Relaxed));
    assert_eq!(of_quick, CHANGES, "once for all");
    assert!(of_slow < FEW * CHANGES / 2, "{of_slow}: most of it is left to its listeners");
    let expected: Vec<String> = ids.iter().map(|id| format!("0:{id}=1")).collect();
    for (tail, bell) in many.iter_mut().chain(&mut few) {
        assert_eq!(texts(&take(tail, bell, last, usize::MAX)), expected);
    }
    drop((few, many, bus));
    threads.stop().unwrap();
}

#[test]
fn a_change_that_takes_longer_than_a_turn_is_told_to_all_once() {
    const SEATS: u64 = 40;
    let (core, threads) = start(&["a"]);
    let bus = Bus::start(core.clone()).unwrap();
    let slow = Arc::new(All { takes: Duration::from_millis(4), ..All::of(&core) });
    let bell: Bell = Arc::new(Notify::new());
    let begin = now(&core);
    let mut last = begin;
    for n in 0..3 {
        last = put(&core, "a", "r", n);
    }
    let mut tail = Tail::new(bus.clone(), bell.clone());
    for seat in 0..SEATS {
        tail.seat(seat, of(&core, "a", None), format!("slow{seat}").into(), slow.clone(), begin, None);
    }
    assert!(matches!(tail.read_ahead().step().unwrap(), Step::Begun(_)), "all seats take longer than a turn");
    let told = texts(&take(&mut tail, &bell, last, usize::MAX));
    let expected: Vec<String> = (0..3).flat_map(|n| (0..SEATS).map(move |seat| format!("{seat}:r={n}"))).collect();
    assert_eq!(told, expected);
    drop((tail, bus));
    threads.stop().unwrap();
}
