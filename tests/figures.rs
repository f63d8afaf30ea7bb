//! The figures of a run of `tests/run`: each was measured, at the size it has to have, and held. Printed as the
//! README's table and, when asked, written into it.

mod support;

use std::fmt::Write;

use support::results;

/// A figure of the README: what fails to happen, and how often it is tried at least: quick, in CI, in a release run.
struct Figure {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    sizes: [u64; 3],
}

const FIGURES: &[Figure] = &[
    Figure {
        name: "F1",
        what: "simulated power loss (writes dropped, torn, reordered, renames lost, also during recovery): acknowledged writes lost, phantoms, refusals to open",
        unit: "crashes",
        sizes: [10_000, 100_000, 1_000_000],
    },
    Figure { name: "F2", what: "every crash point of every short workload", unit: "crash points", sizes: [1, 1, 1] },
    Figure {
        name: "F3",
        what: "`kill -9` of the real binary under load: acknowledged writes lost, refused ones kept, phantoms",
        unit: "kills",
        sizes: [20, 200, 1_000],
    },
    Figure {
        name: "F4",
        what: "every truncation and every flipped bit of a log's tail: less than what was marked durable, silently",
        unit: "damaged logs",
        sizes: [1, 64 << 10, 1 << 20],
    },
    Figure {
        name: "F5",
        what: "no space, I/O error, short write at each operation, once and for good: acknowledged writes lost, hangs",
        unit: "faults",
        sizes: [1_000, 10_000, 10_000],
    },
    Figure {
        name: "F6",
        what: "flipped bits in the tables' file: wrong answers",
        unit: "flips",
        sizes: [200, 2_000, 50_000],
    },
    Figure {
        name: "F8",
        what: "a primary and two followers, connections cut at any byte, ways closed, each killed with `kill -9`, under load: followers that don't come to hold the same, answered writes that are missing anywhere",
        unit: "rounds",
        sizes: [10, 50, 500],
    },
    Figure {
        name: "F9",
        what: "the primary killed under load and a follower promoted: answered writes lost (all with `sync_followers`, else those that the primary showed as acknowledged), an old primary that doesn't come to hold the same",
        unit: "promotions",
        sizes: [4, 20, 1_000],
    },
    Figure {
        name: "F7",
        what: "listeners cut off at random, anywhere, that go on by another way (SSE, PocketBase's, WebSocket, pages): changes missed, repeated or out of order",
        unit: "cuts",
        sizes: [60, 500, 5_000],
    },
    Figure {
        name: "F10",
        what: "`kill -9` while webhooks are sent to receivers that take, fail and hang: changes that were not sent, sent under two ids or out of order, or written by a handler not just once",
        unit: "webhooks",
        sizes: [1_000, 10_000, 1_000_000],
    },
    Figure {
        name: "F11",
        what: "idle SSE clients: more memory than 100 MB for 10,000 of them (30 MB in a release run)",
        unit: "clients",
        sizes: [1_000, 10_000, 10_000],
    },
    Figure {
        name: "F12",
        what: "SSE clients and WebSockets that never read through 100,000 events: more than 1 MB for each, changes that others or they themselves missed",
        unit: "clients",
        sizes: [20, 20, 1_000],
    },
    Figure {
        name: "F14",
        what: "schemathesis on the OpenAPI document, as nobody, as a user and as a superuser: answers of 5xx, answers that are not as the document says",
        unit: "inputs",
        sizes: [0, 3_000, 100_000],
    },
    Figure {
        name: "F15",
        what: "fuzz (expressions, aggregates, definitions, JSON, words, entries, segments, snapshots, answers of a primary; over HTTP: filters, query strings, cursors, bodies, batches, headers): panics, hangs, answers of 5xx",
        unit: "inputs",
        sizes: [50_000, 1_000_000, 100_000_000],
    },
    Figure {
        name: "F16",
        what: "two databases that differ only in what a caller may not see: answers that differ by a byte",
        unit: "pairs of answers",
        sizes: [2_000, 20_000, 1_000_000],
    },
    Figure {
        name: "F17",
        what: "planted secrets (passwords, their hashes, token keys, hidden fields) in an answer or a log line",
        unit: "answers",
        sizes: [2_000, 20_000, 1_000_000],
    },
    Figure {
        name: "F19",
        what: "backups under load, and folders restored from them and the archived log to random entries: a record that is not what its client was told it was then, derived keys or digests that don't fit",
        unit: "restores",
        sizes: [10, 50, 1_000],
    },
    Figure {
        name: "A1",
        what: "aggregates of one source and of two, of random records, definitions, filters, keys, values and rules: another answer than a naive loop's",
        unit: "aggregates",
        sizes: [1_000, 10_000, 100_000],
    },
    Figure {
        name: "C1",
        what: "a primary and a follower that share a Redis which dies, hangs and is filled with garbage, among racing writers and readers: reads without an answer, values older than what was answered or shown before",
        unit: "reads",
        sizes: [2_000, 20_000, 200_000],
    },
    Figure {
        name: "L1",
        what: "lists by pages, by cursor and among writes, of random definitions, filters, sorts and rules: another answer than a full scan's",
        unit: "lists",
        sizes: [10_000, 100_000, 1_000_000],
    },
    Figure {
        name: "L2",
        what: "random expressions over random records: another value than a naive interpreter's",
        unit: "expressions",
        sizes: [10_000, 30_000, 100_000],
    },
    Figure {
        name: "L3",
        what: "`kill -9` during imports, index builds, truncates and changes of a definition: another state than what was answered, with the one in doubt done or not",
        unit: "kills",
        sizes: [10, 100, 500],
    },
    Figure {
        name: "S1",
        what: "`kill -9` while records are written and indexed for search, while an index is filled anew, and while the server starts: something else found than the records say, or than by an index made from nothing",
        unit: "kills",
        sizes: [10, 100, 500],
    },
    Figure {
        name: "J1",
        what: "`kill -9` while runs of jobs write and send, and clients write to the same records: a record that a run wrote to twice or not at all, a chunk that was not sent, or came as another",
        unit: "kills",
        sizes: [8, 40, 200],
    },
];

const BEGIN: &str = "<!-- figures: written by `bash tests/run --write-readme` -->\n";
const END: &str = "<!-- end of figures -->";

/// What the run's tests recorded of one figure, together.
#[derive(Default)]
struct Shown {
    n: u64,
    failures: u64,
    seconds: f64,
    seeds: Vec<String>,
}

fn shown(figure: &Figure) -> Shown {
    let path = results::folder().join(format!("{}.json", figure.name));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().fold(Shown::default(), |mut sum, line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        sum.n += line["n"].as_u64().expect("n");
        sum.failures += line["failures"].as_u64().expect("failures");
        sum.seconds += line["seconds"].as_f64().expect("seconds");
        sum.seeds.push(line["seed"].to_string());
        sum
    })
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
#[ignore = "reads what the other tests recorded: tests/run calls it last"]
fn every_figure_was_measured_and_holds() {
    let at = results::size(0, 1, 2);
    let mut table =
        String::from("| | what must not happen | tried | happened | seconds | seeds |\n|---|---|---|---|---|---|\n");
    let mut wrong = Vec::new();
    for figure in FIGURES {
        // In CI there is one.
        if figure.name == "C1" && !support::redis::present() {
            continue;
        }
        let Shown { n, failures, seconds, seeds } = shown(figure);
        let Figure { name, what, unit, sizes } = figure;
        let seeds = seeds.join(" ");
        writeln!(table, "| {name} | {what} | {} {unit} | {failures} | {seconds:.0} | {seeds} |", thousands(n))
            .expect("a string takes text");
        if failures > 0 {
            wrong.push(format!("{name}: {failures} failures"));
        }
        if n < sizes[at] {
            wrong.push(format!("{name}: {n} {unit} of at least {}", sizes[at]));
        }
    }
    println!("\n{table}");
    assert!(wrong.is_empty(), "figures that are not there or do not hold:\n{}", wrong.join("\n"));
    if std::env::var_os("MILLPOND_WRITE_README").is_some() {
        write_readme(&format!("{table}\nSizes: {}.\n", ["quick", "CI", "release run"][at]));
    }
}

fn write_readme(block: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the mark before the figures");
    let (_, after) = rest.split_once(END).expect("the mark after the figures");
    std::fs::write(path, format!("{before}{BEGIN}{block}{END}{after}")).expect("README.md can be written");
}
