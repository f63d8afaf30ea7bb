//! What the journal keeps, what it loses and says so, and that nothing that befalls its files is more than lost lines.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::config::Level;
use crate::disk::sim::{Fault, Rng, SimDisk};
use crate::disk::{RealDisk, read_all};

const DIR: &str = "/data";
const NOW: Millis = Millis(1_800_000_000_000);

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).expect("a folder");
    disk
}

fn keep(lines: u64) -> Keep {
    Keep { lines, age: Duration::from_secs(3_600) }
}

fn start(disk: &SimDisk, keep: Keep, clock: &Clock) -> Journal {
    Journal::start(Arc::new(disk.clone()), Path::new(DIR), keep, clock.clone()).expect("a thread")
}

fn put(journal: &Journal, at: Millis, number: usize) {
    let data = format!("{{\"n\":{number}}}").into();
    journal.put(Entry { at, level: Level::Warn, message: "GET /".into(), data });
}

/// Puts lines one by one, so that no queue is full.
fn fill(journal: &Journal, numbers: std::ops::Range<usize>) {
    for number in numbers {
        put(journal, NOW, number);
        if number % 100 == 0 {
            journal.settle();
        }
    }
}

fn all(journal: &Journal) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut visit = |line| {
        lines.push(line);
        Ok(ControlFlow::Continue(()))
    };
    journal.visit(&mut visit).expect("nothing fails");
    lines
}

/// The numbers that lines were put with.
fn numbers(journal: &Journal) -> Vec<usize> {
    let number = |line: Line| line.data.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    all(journal).into_iter().map(number).collect()
}

fn files(disk: &SimDisk) -> Vec<String> {
    disk.list(&Path::new(DIR).join("journal")).expect("a folder")
}

fn newest_first(numbers: std::ops::Range<usize>) -> Vec<usize> {
    numbers.rev().collect()
}

#[test]
fn lines_come_back_newest_first_and_over_a_restart() {
    let (disk, clock) = (disk(1), Clock::manual(NOW));
    let journal = start(&disk, keep(1_000), &clock);
    assert_eq!(all(&journal), []);
    fill(&journal, 0..200);
    let before = all(&journal);
    assert_eq!(numbers(&journal), newest_first(0..200));
    assert_eq!((before[0].at, before[0].level, &*before[0].message), (NOW, 4, "GET /"));
    assert!(before.windows(2).all(|pair| pair[0].id > pair[1].id));
    drop(journal);
    let journal = start(&disk, keep(1_000), &clock);
    put(&journal, NOW, 200);
    assert_eq!(numbers(&journal), newest_first(0..201));
    assert_eq!(all(&journal)[1..], before);
    assert_eq!(
        (journal.meters().lines.get(), journal.meters().dropped.get(), journal.meters().damaged.get()),
        (1, 0, 0)
    );
}

#[test]
fn only_the_newest_are_kept_and_only_as_long_as_they_are_to_be() {
    let (disk, clock) = (disk(2), Clock::manual(NOW));
    let journal = start(&disk, keep(500), &clock);
    fill(&journal, 0..2_000);
    assert_eq!(numbers(&journal), newest_first(1_500..2_000));
    let held: u64 = journal.shared.files.lock().iter().map(|held| held.lines).sum();
    assert!(held < 1_000 && files(&disk).len() as u64 <= 2 * limits::JOURNAL_FILES, "{held} lines, {:?}", files(&disk));
    let Clock::Manual(time) = &clock else { panic!("manual") };
    time.store(NOW.0 + 1_800_000, Ordering::Relaxed);
    put(&journal, clock.now(), 2_000);
    assert_eq!(numbers(&journal).len(), 500);
    time.store(NOW.0 + 3_600_001, Ordering::Relaxed);
    assert_eq!(numbers(&journal), [2_000]);
    time.store(NOW.0 + 10_000_000, Ordering::Relaxed);
    assert_eq!(numbers(&journal), Vec::<usize>::new());
    journal.settle();
    assert_eq!(files(&disk), Vec::<String>::new(), "nothing of them is left");
    put(&journal, clock.now(), 2_001);
    assert_eq!(numbers(&journal), [2_001], "and it goes on");
}

#[test]
fn a_full_queue_and_a_long_line_are_counted() {
    let (disk, clock) = (disk(3), Clock::manual(NOW));
    let journal = start(&disk, keep(1_000_000), &clock);
    let long = "x".repeat(limits::JOURNAL_LINE_BYTES_MAX);
    journal.put(Entry { at: NOW, level: Level::Info, message: "m".into(), data: long.into() });
    assert_eq!(journal.meters().dropped.get(), 1);
    const PUT: usize = 20_000;
    (0..PUT).for_each(|number| put(&journal, NOW, number));
    let kept = numbers(&journal).len();
    assert_eq!(kept as u64 + journal.meters().dropped.get(), PUT as u64 + 1);
    assert!(kept >= limits::JOURNAL_QUEUE, "{kept}");
}

#[test]
fn a_full_disk_drops_lines_and_nothing_else() {
    let (disk, clock) = (disk(4), Clock::manual(NOW));
    let journal = start(&disk, keep(1_000), &clock);
    fill(&journal, 0..10);
    journal.settle();
    disk.set_capacity(Some(disk.used() + limits::DISK_HEADROOM_BYTES / 2));
    (10..20).for_each(|number| put(&journal, NOW, number));
    assert_eq!(numbers(&journal), newest_first(0..10));
    assert_eq!(journal.meters().dropped.get(), 10);
    drop(journal);
    disk.set_capacity(None);
    let journal = start(&disk, keep(1_000), &clock);
    fill(&journal, 20..30);
    assert_eq!(numbers(&journal)[..10], newest_first(20..30));
}

#[test]
fn a_fault_of_the_disk_at_any_operation_costs_lines_and_nothing_else() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
        for op in 0..60 {
            for once in [true, false] {
                let (disk, clock) = (disk(op), Clock::manual(NOW));
                disk.fail_at(op, fault, once);
                let journal = start(&disk, keep(40), &clock);
                fill(&journal, 0..100);
                journal.settle();
                let found = numbers(&journal);
                assert!(found.is_sorted_by(|a, b| a > b), "{fault:?} at {op}: {found:?}");
                let meters = journal.meters();
                assert_eq!(meters.lines.get() + meters.dropped.get(), 100, "{fault:?} at {op}");
                drop(journal);
                disk.heal();
                let journal = start(&disk, keep(40), &clock);
                put(&journal, NOW, 100);
                assert_eq!(numbers(&journal)[0], 100, "{fault:?} at {op}: it goes on after a restart");
            }
        }
    }
}

#[test]
fn a_power_loss_and_flipped_bits_leave_what_was_put_and_no_start_fails() {
    for seed in 0..200 {
        eprintln!("journal: seed {seed}");
        let mut rng = Rng::new(seed);
        let (disk, clock) = (disk(seed), Clock::manual(NOW));
        let journal = start(&disk, keep(1_000), &clock);
        fill(&journal, 0..150);
        let before = all(&journal);
        drop(journal);
        let after = disk.crash(seed);
        for name in files(&after) {
            let path = Path::new(DIR).join("journal").join(name);
            let bytes = read_all(&after, &path).expect("readable").len() as u64;
            if bytes > 0 && rng.below(2) == 0 {
                after.flip_bit(&path, rng.below(8 * bytes));
            }
        }
        let journal = start(&after, keep(1_000), &clock);
        let found = all(&journal);
        assert!(found.iter().all(|line| before.contains(line)), "seed {seed}: a line that nobody put");
        put(&journal, NOW, 150);
        assert_eq!(numbers(&journal)[0], 150, "seed {seed}");
        assert_eq!(all(&journal)[1..], found, "seed {seed}");
    }
}

#[test]
fn what_is_no_file_of_lines_goes_and_strangers_stay() {
    let (disk, clock) = (disk(5), Clock::manual(NOW));
    let dir = Path::new(DIR).join("journal");
    disk.create_dir_all(&dir).expect("a folder");
    for name in ["00000000000000000007.lines", "notes.txt", "7.lines"] {
        disk.open(&dir.join(name), Open::CreateNew).expect("a file").write_at(0, b"MPLINES2 and more").expect("room");
    }
    let journal = start(&disk, keep(1_000), &clock);
    assert_eq!(all(&journal), []);
    assert_eq!(files(&disk), ["7.lines", "notes.txt"]);
    assert_eq!(journal.meters().damaged.get(), 1);
}

/// As it was once written: two lines.
const GOLDEN: &str = "data/golden/journal-1";

fn golden_lines() -> Vec<Line> {
    let line = |id, level: Level, data: &str| Line {
        id: LineId(id),
        at: Millis(1_700_000_000_123),
        level: level.number(),
        message: "GET /api/health".into(),
        data: data.into(),
    };
    vec![line(1 << 50, Level::Debug, "{}"), line(u64::MAX >> 1, Level::Error, r#"{"status":500,"error":"ä"}"#)]
}

#[test]
fn a_file_of_format_1_opens() {
    let bytes = read_all(&RealDisk, &Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN)).expect("the golden file");
    assert_eq!(file::lines(&bytes), (golden_lines(), bytes.len()));
}

#[test]
#[ignore = "writes the golden file of a new format; that of an old one stays"]
fn write_golden_file() {
    let mut bytes = file::MAGIC.to_vec();
    golden_lines().iter().for_each(|line| file::push(&mut bytes, line));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    crate::disk::replace_file(&RealDisk, &path, &bytes).expect("room");
}
