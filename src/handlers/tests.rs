//! What handlers promise: each change is written for once whatever ends them meanwhile, and nothing holds up the others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Handlers, Invalidate, Means};
use crate::core::{self, Core, Threads};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::error::Result;
use crate::id::{Position, RecordId};
use crate::limits;
use crate::model::command::{Command, Op, Write};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::handler::{self, DEAD_LETTERS, HANDLERS};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::outbound::Dialer;
use crate::outbound::webhook::backoff::Pauses;
use crate::state;
use crate::time::{Clock, Millis};

const PATIENCE: Duration = Duration::from_secs(30);
const ORDERS: &str =
    r#"{"name":"orders","fields":[{"name":"total","type":"number","integer":true},{"name":"customer","type":"text"}]}"#;
const SUMS: &str = r#"{"name":"sums","fields":[{"name":"total","type":"number","integer":true,"max":1000},{"name":"last","type":"text"}]}"#;
const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text"}]}"#;
const SUMMING: &str = r#"{"id":"summing","name":"summing","kind":"collection","collections":["orders"],"actions":["create"],
    "target":"sums","key":"customer","set":{"total+":"total","last":"id"}}"#;

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
        invalidate: Invalidate(Arc::new(|_| ())),
        dialer: Arc::new(Dialer::new(true)),
        pauses: Pauses::default(),
        letters_max: limits::DEAD_LETTERS_MAX,
    }
}

fn start() -> (Core, Threads) {
    start_with(core::Settings { ballast_bytes: 4_096, ..core::Settings::default() })
}

fn start_with(settings: core::Settings) -> (Core, Threads) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    let (core, threads) = core::start(Arc::new(disk), Path::new("/data"), &settings, Clock::manual(Millis(1))).unwrap();
    let own = handler::definitions();
    for (text, is_own) in
        [ORDERS, SUMS, NOTES].map(|text| (text, false)).into_iter().chain(own.iter().map(|text| (&**text, true)))
    {
        let parse = if is_own { definition::parse_own } else { definition::parse };
        let made = parse(&core.view().schema, text.as_bytes(), Millis(1)).unwrap();
        submit(&core, Command::Define(Box::new(made)));
    }
    (core, threads)
}

/// Its log is trimmed as soon as nobody needs it, and past `log_max_bytes` whoever needs it.
fn start_over_a_small_log(log_max_bytes: u64) -> (Core, Threads) {
    let log = crate::log::Settings {
        segment_bytes: 8 << 10,
        first_segment_bytes: 4 << 10,
        ring_bytes: 4 << 10,
        ..crate::log::Settings::default()
    };
    let keep = core::Keep { log_keep: Duration::ZERO, log_max_bytes };
    start_with(core::Settings { log, keep, ballast_bytes: 4_096, ..core::Settings::default() })
}

fn submit(core: &Core, command: Command) {
    core.send_when_room(command).unwrap().wait().unwrap();
}

fn create(core: &Core, collection: &str, body: &str) {
    let view = core.view();
    let of = view.schema.find(collection).unwrap();
    let op = pipeline::create(of, body.as_bytes(), id("made"), true).unwrap();
    submit(core, write(core, collection, op));
}

fn merge(core: &Core, collection: &str, record: &str, body: &str) {
    let view = core.view();
    let of = view.schema.find(collection).unwrap();
    let op = pipeline::merge(of, &id(record), body.as_bytes(), None, true).unwrap();
    submit(core, write(core, collection, op));
}

fn write(core: &Core, collection: &str, op: Op) -> Command {
    let of = core.view().schema.find(collection).unwrap().clone();
    Command::Write(vec![Write { collection: of.id, schema: of.version, guard: Guard::for_server(), op }])
}

fn records(core: &Core, collection: &str) -> Vec<Record> {
    let view = core.view();
    let of = view.schema.find(collection).unwrap();
    state::next_records(&view.stack, of, None, usize::MAX, usize::MAX).unwrap().0
}

/// A record's fields as JSON, in the order of the definition.
fn shown(core: &Core, collection: &str, record: &Record) -> String {
    let of = core.view().schema.find(collection).unwrap().clone();
    let shown = of.fields.iter().map(|field| {
        let mut out = Vec::new();
        pipeline::write_value(record.fields.get(field.id), &mut out);
        String::from_utf8(out).unwrap()
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn all(core: &Core, collection: &str) -> String {
    let all = records(core, collection)
        .into_iter()
        .map(|record| format!("{} {}", record.id, shown(core, collection, &record)));
    all.collect::<Vec<_>>().join("; ")
}

/// Waits until all that was written so far was dealt with: a last order says so.
fn settle(core: &Core, name: &str) {
    create(core, "orders", &format!(r#"{{"id":"{name}","customer":"{name}","total":0}}"#));
    let began = Instant::now();
    while !records(core, "sums").iter().any(|record| *record.id.as_str() == *name) {
        assert!(began.elapsed() < PATIENCE, "it never comes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn each_change_is_written_for_once_however_often_handlers_begin_anew() {
    let seed = 7;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let (core, threads) = start();
    create(&core, HANDLERS, SUMMING);
    let mut expected = 0;
    for round in 0..20 {
        let handlers = Handlers::start(core.clone(), means()).unwrap();
        for n in 0..rng.below(30) {
            create(&core, "orders", &format!(r#"{{"id":"o{round}-{n}","customer":"ada","total":1}}"#));
            expected += 1;
        }
        // Cut off wherever it is.
        drop(handlers);
    }
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    settle(&core, "last");
    let ada = records(&core, "sums").into_iter().find(|record| record.id.as_str() == "ada").unwrap();
    assert!(shown(&core, "sums", &ada).starts_with(&format!("{expected} ")), "{expected}: {}", all(&core, "sums"));
    assert_eq!(all(&core, DEAD_LETTERS), "");
    drop(handlers);
    core.end_consumers();
    drop(core);
    threads.stop().unwrap();
}

#[test]
fn what_is_refused_is_a_dead_letter_and_holds_up_nothing() {
    let (core, threads) = start();
    create(&core, HANDLERS, SUMMING);
    let bodies = [
        r#"{"id":"a","customer":"ada","total":900}"#,
        // No id of a record; past the bound of the sum; fits again.
        r#"{"id":"b","customer":"no id","total":1}"#,
        r#"{"id":"c","customer":"ada","total":200}"#,
        r#"{"id":"d","customer":"ada","total":100}"#,
    ];
    for body in bodies {
        create(&core, "orders", body);
    }
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    settle(&core, "last");
    assert_eq!(all(&core, "sums"), r#"ada 1000 "d"; last 0 "last""#);
    let letters: Vec<String> = records(&core, DEAD_LETTERS).iter().map(|one| shown(&core, DEAD_LETTERS, one)).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    for (letter, record) in letters.iter().zip(["b", "c"]) {
        assert!(letter.starts_with(r#""summing" "event" "#), "{letter}");
        assert!(
            letter.contains(&format!(r#"{{"action":"create","collection":"orders","id":"{record}"}}"#)),
            "{letter}"
        );
    }
    let (cursor, counts) = handlers.status(&id("summing")).unwrap().unwrap();
    assert!(cursor.position.seq <= core.view().position.seq);
    assert_eq!(counts.failed, 2, "{counts:?}");
    assert_eq!(handlers.status(&id("other")).unwrap(), None);
    drop(handlers);
    core.end_consumers();
    drop(core);
    threads.stop().unwrap();
}

#[test]
fn what_is_there_is_changed_though_it_could_not_be_made() {
    let (core, threads) = start();
    let stocks = r#"{"name":"stocks","fields":[{"name":"left","type":"number","min":0},{"name":"of","type":"text","required":true}]}"#;
    let made = definition::parse(&core.view().schema, stocks.as_bytes(), Millis(1)).unwrap();
    submit(&core, Command::Define(Box::new(made)));
    create(
        &core,
        HANDLERS,
        r#"{"id":"taking","name":"taking","kind":"collection","collections":["orders"],"target":"stocks",
        "key":"customer","set":{"left-":"total"}}"#,
    );
    create(&core, "stocks", r#"{"id":"ada","left":10,"of":"tea"}"#);
    for body in [r#"{"id":"a","customer":"ada","total":3}"#, r#"{"id":"b","customer":"bob","total":3}"#] {
        create(&core, "orders", body);
    }
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    wait_for("both are dealt with", || records(&core, DEAD_LETTERS).len() == 1);
    assert_eq!(all(&core, "stocks"), r#"ada 7 "tea""#);
    let letter = all(&core, DEAD_LETTERS);
    assert!(letter.contains(r#""id":"b""#) && letter.contains("of: is required"), "{letter}");
    end(core, threads, handlers);
}

#[test]
fn one_that_panics_begins_again_after_growing_pauses_and_holds_up_no_other() {
    let (core, threads) = start();
    create(
        &core,
        HANDLERS,
        r#"{"id":"dropping","name":"dropping","kind":"cache","collections":["orders"],"patterns":["*"]}"#,
    );
    create(&core, HANDLERS, SUMMING);
    let begun = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = begun.clone();
    let invalidate = move |_: &[Box<str>]| {
        let mut noted = noted.lock();
        noted.push(Instant::now());
        assert!(noted.len() > 2, "as it is meant to");
    };
    let invalidate = Invalidate(Arc::new(invalidate));
    let handlers = Handlers::start(core.clone(), Means { invalidate, ..means() }).unwrap();
    settle(&core, "first");
    wait_for("the third try", || handlers.status(&id("dropping")).unwrap().unwrap().1.acknowledged == 1);
    let (_, counts) = handlers.status(&id("dropping")).unwrap().unwrap();
    assert_eq!((counts.failed, counts.last_error.as_deref()), (2, Some("the handler panicked")));
    let begun = begun.lock().clone();
    let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= Duration::from_secs(1) && pauses[1] >= Duration::from_secs(2), "{pauses:?}");
    end(core, threads, handlers);
}

#[test]
fn what_a_batch_derives_is_committed_piece_by_piece() {
    let (core, threads) = start();
    for text in [
        r#"{"name":"long","fields":[{"name":"text","type":"text","max":1000000}]}"#,
        r#"{"name":"links","fields":[{"name":"of","type":"relation","collection":"long"}]}"#,
        r#"{"name":"copies","fields":[{"name":"text","type":"text","max":1000000}]}"#,
    ] {
        let made = definition::parse(&core.view().schema, text.as_bytes(), Millis(1)).unwrap();
        submit(&core, Command::Define(Box::new(made)));
    }
    let text = "x".repeat(900_000);
    create(&core, "long", &format!(r#"{{"id":"it","text":"{text}"}}"#));
    create(
        &core,
        HANDLERS,
        r#"{"id":"copying","name":"copying","kind":"collection","collections":["links"],"target":"copies",
        "set":{"text":"of.text"}}"#,
    );
    for n in 0..12 {
        create(&core, "links", &format!(r#"{{"id":"l{n}","of":"it"}}"#));
    }
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    wait_for("all are written", || records(&core, "copies").len() == 12);
    let mut entries = std::collections::BTreeMap::new();
    for record in records(&core, "copies") {
        *entries.entry(record.version).or_insert(0) += 1;
    }
    let most = limits::HANDLER_DERIVED_BYTES / text.len() + 1;
    assert!(entries.values().all(|count| *count <= most), "{entries:?}");
    assert_eq!(all(&core, DEAD_LETTERS), "");
    end(core, threads, handlers);
}

#[test]
fn where_there_are_many_dead_letters_one_of_each_handler_counts_the_others() {
    let (core, threads) = start();
    create(&core, HANDLERS, SUMMING);
    let handlers = Handlers::start(core.clone(), Means { letters_max: 3, ..means() }).unwrap();
    for n in 1..=10 {
        create(&core, "orders", &format!(r#"{{"id":"o{n}","customer":"no id","total":1}}"#));
        wait_for("it is given up", || handlers.status(&id("summing")).unwrap().unwrap().1.failed == n);
    }
    settle(&core, "last");
    let letters = records(&core, DEAD_LETTERS);
    let (counting, others): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| letter.id.as_str() == "summing");
    assert_eq!((counting.len(), others.len()), (1, 3), "{}", all(&core, DEAD_LETTERS));
    let of = core.view().schema.find(DEAD_LETTERS).unwrap().clone();
    let attempts = counting[0].fields.get(of.field("attempts").unwrap().id);
    assert_eq!(*attempts, crate::model::value::Value::Int(7));
    end(core, threads, handlers);
}

#[test]
fn a_disabled_handler_stays_where_it_is_and_goes_on_from_there() {
    let (core, threads) = start();
    create(&core, HANDLERS, SUMMING);
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    settle(&core, "first");
    merge(&core, HANDLERS, "summing", r#"{"enabled":false}"#);
    create(&core, "orders", r#"{"id":"a","customer":"ada","total":5}"#);
    // Another handler shows that changes flow meanwhile.
    create(
        &core,
        HANDLERS,
        r#"{"id":"other","name":"other","kind":"collection","collections":["orders"],"target":"notes",
        "filter":"customer = 'bob'","set":{"text":"id"}}"#,
    );
    create(&core, "orders", r#"{"id":"b","customer":"bob","total":5}"#);
    let began = Instant::now();
    while records(&core, "notes").is_empty() {
        assert!(began.elapsed() < PATIENCE, "it never comes");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(all(&core, "sums"), r#"first 0 "first""#);
    merge(&core, HANDLERS, "summing", r#"{"enabled":true}"#);
    settle(&core, "last");
    assert_eq!(all(&core, "sums"), r#"ada 5 "a"; bob 5 "b"; first 0 "first"; last 0 "last""#);
    drop(handlers);
    core.end_consumers();
    drop(core);
    threads.stop().unwrap();
}

/// A webhook to a port of this machine that nobody listens at.
fn nowhere(id: &str) -> String {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    format!(
        r#"{{"id":"{id}","name":"{id}","kind":"webhook","collections":["orders"],"url":"http://127.0.0.1:{port}/",
        "secret":"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}}"#
    )
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: it never comes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn end(core: Core, threads: Threads, handlers: Handlers) {
    drop(handlers);
    core.end_consumers();
    drop(core);
    threads.stop().unwrap();
}

#[test]
fn what_is_never_taken_becomes_a_dead_letter_that_holds_the_message() {
    let (core, threads) = start();
    create(&core, HANDLERS, &nowhere("hook"));
    let ms = Duration::from_millis;
    let pauses = Pauses { first: ms(2), longest: ms(10), tries_for: ms(60) };
    let handlers = Handlers::start(core.clone(), Means { pauses, ..means() }).unwrap();
    for n in 0..40 {
        create(&core, "orders", &format!(r#"{{"id":"o{n}","customer":"ada","total":{n}}}"#));
        merge(&core, "orders", &format!("o{n}"), r#"{"customer":"bob"}"#);
    }
    let hook = id("hook");
    wait_for("all given up", || records(&core, DEAD_LETTERS).len() == 80);
    let letters: Vec<String> = records(&core, DEAD_LETTERS).iter().map(|one| shown(&core, DEAD_LETTERS, one)).collect();
    let of = |text: &str| letters.iter().filter(|letter| letter.contains(text)).count();
    assert_eq!(of(r#""hook" "event" "#), 80, "{letters:?}");
    assert_eq!((of("orders.create"), of("orders.update"), of("can't be connected to")), (40, 40, 80), "{}", letters[0]);
    let (cursor, counts) = handlers.status(&hook).unwrap().unwrap();
    assert!(counts.failed > 160, "tried more than once: {counts:?}");
    assert_eq!((counts.acknowledged, counts.lost), (0, None));
    wait_for("nothing is left", || handlers.status(&hook).unwrap().unwrap().1.waiting == 0);
    let (again, _) = handlers.status(&hook).unwrap().unwrap();
    assert!(again >= cursor);
    // Deleted, it ends with what it had under way.
    create(&core, "orders", r#"{"id":"x","customer":"ada","total":1}"#);
    let of = core.view().schema.find(HANDLERS).unwrap().clone();
    submit(&core, write(&core, &of.name, Op::Delete { id: hook.clone(), if_match: None }));
    wait_for("it is gone", || handlers.all().unwrap().is_empty());
    end(core, threads, handlers);
}

#[test]
fn the_log_is_kept_for_enabled_handlers_and_what_it_loses_is_told() {
    let (core, threads) = start_over_a_small_log(1 << 20);
    create(&core, HANDLERS, &nowhere("hook"));
    let made = core.view().position.seq;
    let text = "x".repeat(1_000);
    let mut count = 0;
    let mut fill = |bytes: usize| {
        for _ in 0..bytes / 1_000 {
            count += 1;
            create(&core, "notes", &format!(r#"{{"id":"n{count}","text":"{text}"}}"#));
        }
    };
    // Twice what was enough to trim, were it not for the handler; nobody carries it out, and it holds the log all the same.
    fill(800_000);
    assert!(core.log().first_seq() <= made.next(), "the log is kept from {}", core.log().first_seq().0);
    // Past its bytes it is not.
    while core.log().first_seq() <= made.next() {
        fill(100_000);
    }
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    let hook = id("hook");
    // The log may still be going while the handler begins: then there is a further gap behind the first. All that is lost
    // is told, each part once.
    let gaps = || -> Vec<(u64, u64)> {
        let letters = records(&core, DEAD_LETTERS);
        let mut gaps: Vec<(u64, u64)> = letters
            .iter()
            .map(|letter| {
                let letter = shown(&core, DEAD_LETTERS, letter);
                assert!(letter.contains(r#""hook" "gap" "#), "{letter}");
                let told = letter.split("the changes from ").nth(1).and_then(|told| told.split(" are not").next());
                let (from, to) = told.and_then(|told| told.split_once(" up to ")).unwrap_or_else(|| panic!("{letter}"));
                let seq = |position: &str| position.parse::<Position>().unwrap().seq.0;
                (seq(from), seq(to))
            })
            .collect();
        gaps.sort_unstable();
        gaps
    };
    // A letter is there a moment before its handler's count of what is lost.
    wait_for("the loss is told and counted", || {
        let (cursor, counts) = handlers.status(&hook).unwrap().unwrap();
        counts.lost.is_some_and(|(_, to)| {
            assert!(cursor >= to, "{counts:?}");
            gaps().last().map(|gap| gap.1) == Some(to.position.seq.0)
        })
    });
    let told = gaps();
    assert_eq!(told.first().map(|gap| gap.0), Some(made.0), "{told:?}");
    assert!(told.iter().all(|gap| gap.0 < gap.1) && told.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{told:?}");
    end(core, threads, handlers);
}

/// Answers 200 to each request whose body `takes` has nothing against, and 500 to the others, until the test ends.
fn receiver(takes: impl Fn(&str) -> bool + Send + 'static) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut asked, mut part) = (String::new(), [0; 4096]);
            // A message ends as JSON does.
            while !asked.ends_with("}}") {
                match stream.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => asked.push_str(&String::from_utf8_lossy(&part[..count])),
                }
            }
            let status = if takes(&asked) { "200 OK" } else { "500 No" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn what_the_log_loses_is_told_while_a_message_is_still_tried_again() {
    let (core, threads) = start_over_a_small_log(1 << 20);
    let is_open = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let open = is_open.clone();
    let port = receiver(move |asked| open.load(Ordering::SeqCst) && !asked.contains("poison"));
    create(
        &core,
        HANDLERS,
        &format!(
            r#"{{"id":"hook","name":"hook","kind":"webhook","collections":["orders"],"url":"http://127.0.0.1:{port}/",
            "secret":"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}}"#
        ),
    );
    let pauses = Pauses { longest: Duration::from_millis(200), ..Pauses::default() };
    let handlers = Handlers::start(core.clone(), Means { pauses, ..means() }).unwrap();
    let hook = id("hook");
    let counts = || handlers.status(&hook).unwrap().unwrap().1;
    create(&core, "orders", r#"{"id":"o","customer":"poison","total":0}"#);
    for n in 1..limits::HANDLER_WINDOW_MAX {
        create(&core, "orders", &format!(r#"{{"id":"o{n}","customer":"ada","total":0}}"#));
    }
    wait_for("the window is full", || counts().waiting == limits::HANDLER_WINDOW_MAX as u64);
    let read = core.view().position.seq;
    let text = "x".repeat(5_000);
    let mut count = 0;
    wait_for("the log is trimmed", || {
        count += 1;
        create(&core, "notes", &format!(r#"{{"id":"n{count}","text":"{text}"}}"#));
        core.log().first_seq() > read.next()
    });
    is_open.store(true, Ordering::SeqCst);
    wait_for("the loss is told", || counts().lost.is_some());
    wait_for("one is left", || counts().waiting == 1);
    create(&core, "orders", r#"{"id":"last","customer":"ada","total":0}"#);
    wait_for("what comes is sent", || counts().acknowledged == limits::HANDLER_WINDOW_MAX as u64);
    assert_eq!(counts().waiting, 1, "{:?}", counts());
    end(core, threads, handlers);
}

#[test]
fn a_handler_that_wants_little_does_not_keep_the_log() {
    let (core, threads) = start();
    create(&core, HANDLERS, SUMMING);
    create(&core, HANDLERS, &nowhere("hook"));
    create(
        &core,
        HANDLERS,
        r#"{"id":"dropping","name":"dropping","kind":"cache","collections":["orders"],"patterns":["*"]}"#,
    );
    let made = core.view().position.seq;
    let handlers = Handlers::start(core.clone(), means()).unwrap();
    // Far fewer entries than the cursor is logged for, and none of them wanted.
    let text = "x".repeat(limits::TEXT_CHARS_DEFAULT_MAX);
    let count = limits::HANDLER_PASSED_BYTES / text.len() + 10;
    assert!(count < limits::HANDLER_PASSED_MAX, "{count}");
    for n in 0..count {
        create(&core, "notes", &format!(r#"{{"id":"n{n}","text":"{text}"}}"#));
    }
    for handler in ["summing", "hook", "dropping"] {
        wait_for(handler, || handlers.status(&id(handler)).unwrap().unwrap().0.position.seq > made);
    }
    end(core, threads, handlers);
}

#[test]
fn a_disabled_handler_holds_nothing_of_the_log() {
    let (core, threads) = start_over_a_small_log(4 << 20);
    create(&core, HANDLERS, &nowhere("hook"));
    let made = core.view().position.seq;
    merge(&core, HANDLERS, "hook", r#"{"enabled":false}"#);
    let text = "x".repeat(5_000);
    let mut count = 0;
    wait_for("the log is trimmed", || {
        count += 1;
        create(&core, "notes", &format!(r#"{{"id":"n{count}","text":"{text}"}}"#));
        core.log().first_seq() > made.next()
    });
    assert!(count * 5_000 < 4 << 20, "before it had to be");
    core.end_consumers();
    drop(core);
    threads.stop().unwrap();
}
