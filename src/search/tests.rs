//! What search promises: an index and the records' own words agree, whatever happened to the index meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Hits, Search, Serving, Sought};
use crate::core::{self, Core, Threads};
use crate::disk::RealDisk;
use crate::disk::sim::Rng;
use crate::id::{Position, RecordId, Seq};
use crate::model::command::{Command, Op, Write};
use crate::model::definition::{self, Redefinition};
use crate::model::guard::Guard;
use crate::model::pipeline;
use crate::model::schema::Collection;
use crate::state;
use crate::time::{Clock, Millis};

const PATIENCE: Duration = Duration::from_secs(60);
const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text"},{"name":"title","type":"text"},
    {"name":"body","type":"editor"},{"name":"n","type":"number","integer":true}],
    "search":{"fields":{"text":{"language":"en"},"title":{"boost":3},"body":{"language":"de","boost":0.5}}}}"#;

struct Bench {
    core: Core,
    threads: Threads,
    search: Search,
}

impl Bench {
    fn open(dir: &Path) -> Bench {
        let settings = core::Settings { ballast_bytes: 4_096, ..core::Settings::default() };
        let (core, threads) = core::start(Arc::new(RealDisk), dir, &settings, Clock::manual(Millis(1))).unwrap();
        let search = Search::start(core.clone()).unwrap();
        Bench { core, threads, search }
    }

    fn new(dir: &Path, text: &str) -> Bench {
        let bench = Bench::open(dir);
        let made = definition::parse(&bench.core.view().schema, text.as_bytes(), Millis(1)).unwrap();
        bench.submit(Command::Define(Box::new(made)));
        bench
    }

    fn close(self) {
        self.core.end_consumers();
        drop((self.core, self.search));
        self.threads.stop().unwrap();
    }

    fn submit(&self, command: Command) -> Position {
        self.core.send_when_room(command).unwrap().wait().unwrap().position
    }

    fn of(&self) -> Arc<Collection> {
        self.core.view().schema.find("notes").unwrap().clone()
    }

    fn write(&self, op: impl FnOnce(&Collection) -> Op) -> Position {
        let of = self.of();
        let write = Write { collection: of.id, schema: of.version, guard: Guard::for_server(), op: op(&of) };
        self.submit(Command::Write(vec![write]))
    }

    fn create(&self, body: &str) -> Position {
        self.write(|of| pipeline::create(of, body.as_bytes(), id("made"), true).unwrap())
    }

    fn merge(&self, record: &str, body: &str) -> Position {
        self.write(|of| pipeline::merge(of, &id(record), body.as_bytes(), None, true).unwrap())
    }

    fn delete(&self, record: &str) -> Position {
        self.write(|_| Op::Delete { id: id(record), if_match: None })
    }

    fn redefine(&self, change: &str) {
        let of = self.of();
        let Redefinition { collection, .. } =
            definition::change(&self.core.view().schema, &of, change.as_bytes(), Millis(2)).unwrap();
        self.submit(Command::Redefine(Box::new(collection)));
    }

    /// The index when it has all that was written so far, and is of the newest definition.
    fn settled(&self) -> Arc<Serving> {
        let (of, seq) = (self.of(), self.core.view().position.seq);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the index never comes");
            match runtime.block_on(self.search.index(&of, Some(seq))) {
                Ok(serving) if self.search.is_ready(&of) => return serving,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn sought(&self, serving: &Serving, text: &str) -> Sought {
        serving.read().sought(&self.of(), text, true).unwrap().unwrap()
    }

    /// Ids of the hits, best first.
    fn found(&self, text: &str) -> String {
        let serving = self.settled();
        let ids: Vec<String> = drain(serving.read().all(&self.sought(&serving, text)).unwrap())
            .into_iter()
            .map(|(id, _)| id.to_string())
            .collect();
        ids.join(" ")
    }

    /// The hits by asking each record.
    fn naive(&self, sought: &Sought) -> Vec<(RecordId, f32)> {
        let (view, of) = (self.core.view(), self.of());
        let records = state::next_records(&view.stack, &of, None, usize::MAX, usize::MAX).unwrap().0;
        let mut hits: Vec<(RecordId, f32)> =
            records.into_iter().filter_map(|one| Some((one.id, sought.judge(&one.fields)?))).collect();
        hits.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        hits
    }
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn drain(mut hits: Hits) -> Vec<(RecordId, f32)> {
    std::iter::from_fn(|| hits.take().unwrap()).collect()
}

const WORDS: [&str; 40] = [
    "house",
    "houses",
    "hause",
    "huose",
    "housekeeper",
    "hous",
    "ho",
    "the",
    "of",
    "running",
    "runner",
    "run",
    "runs",
    "elephant",
    "elephants",
    "elefant",
    "lephant",
    "Straße",
    "strasse",
    "Haus",
    "Häuser",
    "die",
    "und",
    "café",
    "cafe",
    "12345",
    "12346",
    "e-mail",
    "mail",
    "a",
    "b",
    "fox",
    "foxes",
    "red",
    "quick",
    "quickly",
    "jumps",
    "jumped",
    "dog",
    "dogs",
];

fn words(rng: &mut Rng, most: u64) -> String {
    let count = rng.below(most);
    (0..count).map(|_| WORDS[rng.below(WORDS.len() as u64) as usize]).collect::<Vec<_>>().join(" ")
}

fn asked(rng: &mut Rng) -> String {
    let parts = (0..1 + rng.below(3)).map(|_| {
        let mut part = String::new();
        if rng.below(6) == 0 {
            part.push('-');
        }
        if rng.below(4) == 0 {
            part.push_str(["text:", "title:", "body:"][rng.below(3) as usize]);
        }
        match rng.below(5) {
            0 => part.push_str(&format!("\"{}\"", words(rng, 4))),
            _ => {
                let word = WORDS[rng.below(WORDS.len() as u64) as usize];
                let cut = word.chars().count() - rng.below(3).min(word.chars().count() as u64 - 1) as usize;
                part.extend(word.chars().take(cut));
            }
        }
        part
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[test]
fn an_index_finds_what_the_records_own_words_say_with_the_same_scores() {
    let seed = 11;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    for round in 0..4 {
        for n in 0..60 {
            let (text, title, body) = (words(&mut rng, 12), words(&mut rng, 4), words(&mut rng, 30));
            let body = format!(r#"{{"text":"{text}","title":"{title}","body":"<p>{body}</p>"}}"#);
            let before = format!("r{}-{n}", i32::max(round - 1, 0));
            let is_there = state::exists(&bench.core.view().stack, &bench.of(), &id(&before)).unwrap();
            match rng.below(4) {
                0 if round > 0 && is_there => {
                    bench.merge(&before, &body);
                }
                _ => {
                    bench.create(&format!(r#"{{"id":"r{round}-{n}",{}"#, &body[1..]));
                }
            }
        }
        if round > 0 {
            let gone: Vec<String> = (0..5).map(|n| format!("r{round}-{}", n * 7)).collect();
            let there = |id: &&String| {
                let view = bench.core.view();
                state::exists(&view.stack, &bench.of(), &self::id(id)).unwrap()
            };
            gone.iter().filter(there).for_each(|id| {
                bench.delete(id);
            });
        }
        let serving = bench.settled();
        let mut hits = 0;
        for _ in 0..250 {
            let text = asked(&mut rng);
            let sought = bench.sought(&serving, &text);
            let (found, expected) = (drain(serving.read().all(&sought).unwrap()), bench.naive(&sought));
            assert_eq!(found, expected, "{text:?}");
            hits += found.len();
            let best = serving.read().best(&sought, 5, None, &BTreeSet::new()).unwrap();
            assert_eq!(best.count, expected.len(), "{text:?}");
            let best = drain(best);
            assert_eq!(best[..], expected[..best.len()], "{text:?}");
            assert!(best.len() >= expected.len().min(5), "{text:?}");
            if let Some((id, score)) = expected.get(3).cloned() {
                let behind = drain(
                    serving.read().best(&sought, 5, Some(&super::Place { score, id }), &BTreeSet::new()).unwrap(),
                );
                assert_eq!(behind[..], expected[4..4 + behind.len()], "{text:?}");
            }
        }
        assert!(hits > 1_000, "{hits}: too few to tell anything");
    }
    bench.close();
}

#[test]
fn what_was_written_is_found_once_it_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    bench.create(r#"{"id":"a","text":"red fox","title":"x"}"#);
    assert_eq!(bench.found("fox"), "a");
    bench.create(r#"{"id":"b","text":"the fox is a red fox","title":"x"}"#);
    assert_eq!(bench.found("fox red"), "b a");
    bench.merge("a", r#"{"title":"fox"}"#);
    assert_eq!(bench.found("fox"), "a b");
    bench.delete("b");
    assert_eq!(bench.found("fox"), "a");
    bench.merge("a", r#"{"n":5}"#);
    assert_eq!(bench.found("fox"), "a");
    bench.merge("a", r#"{"title":"den","text":null}"#);
    assert_eq!((bench.found("fox"), bench.found("den")), (String::new(), "a".to_owned()));
    bench.close();
}

#[test]
fn an_index_goes_on_after_a_restart_and_is_made_anew_where_it_can_not() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    bench.create(r#"{"id":"a","text":"fox"}"#);
    assert_eq!(bench.found("fox"), "a");
    bench.close();
    let bench = Bench::open(dir.path());
    bench.create(r#"{"id":"b","text":"fox"}"#);
    assert_eq!(bench.found("fox"), "a b");
    assert_eq!(bench.search.figures().fillings, 0, "it was there");
    bench.close();
    let spoil = |how: fn(&mut Vec<u8>)| {
        let folder = std::fs::read_dir(dir.path().join("search")).unwrap().next().unwrap().unwrap().path();
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            if file.path().extension().is_some_and(|end| end == "idx" || end == "pos") {
                let mut bytes = std::fs::read(file.path()).unwrap();
                how(&mut bytes);
                std::fs::write(file.path(), bytes).unwrap();
            }
        }
    };
    let ways: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[3] ^= 1, |bytes| bytes.truncate(bytes.len() / 2), |bytes| bytes.clear()];
    for way in ways {
        spoil(way);
        let bench = Bench::open(dir.path());
        assert_eq!(bench.found("fox"), "a b");
        assert_eq!(bench.search.figures().fillings, 1);
        bench.close();
    }
    std::fs::remove_dir_all(dir.path().join("search")).unwrap();
    let bench = Bench::open(dir.path());
    assert_eq!(bench.found("fox"), "a b");
    bench.search.damaged(bench.of().id);
    assert_eq!(bench.found("fox"), "a b");
    assert_eq!(bench.search.figures().fillings, 2);
    assert_eq!(std::fs::read_dir(dir.path().join("search")).unwrap().count(), 1, "what it was before has gone");
    bench.close();
}

#[test]
fn another_definition_is_another_index_and_the_one_before_serves_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    for n in 0..3_000 {
        bench.create(&format!(r#"{{"id":"r{n}","text":"fox {n}","title":"den"}}"#));
    }
    let before = bench.settled();
    bench.redefine(r#"{"search":{"fields":{"title":{}}}}"#);
    let of = bench.of();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let at_once = runtime.block_on(bench.search.index(&of, None)).unwrap();
    assert_eq!(at_once.key(), before.key(), "there is always one");
    // The words of a field that is searched no more are not asked for.
    assert_eq!(drain(at_once.read().all(&bench.sought(&at_once, "fox")).unwrap()).len(), 0);
    let behind = bench.create(r#"{"id":"x","text":"fox","title":"den"}"#);
    let after = bench.settled();
    assert!(after.key() != before.key() && after.reflects() >= behind.seq);
    assert_eq!(drain(after.read().all(&bench.sought(&after, "den")).unwrap()).len(), 3_001);
    bench.redefine(r#"{"search":null}"#);
    let began = Instant::now();
    while bench.search.figures().indexes > 0 || dir.path().join("search").read_dir().unwrap().count() > 0 {
        assert!(began.elapsed() < PATIENCE, "it never goes");
        std::thread::sleep(Duration::from_millis(5));
    }
    bench.close();
}

#[test]
fn an_index_that_is_filled_while_others_write_misses_nothing_and_has_nothing_twice() {
    let seed = 5;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    for n in 0..2_500 {
        bench.create(&format!(r#"{{"id":"r{n}","text":"fox {n}"}}"#));
    }
    for round in 0..5 {
        bench.search.damaged(bench.of().id);
        for n in 0..300 {
            match rng.below(3) {
                0 => bench.create(&format!(r#"{{"id":"s{round}-{n}","text":"fox"}}"#)),
                1 => bench.merge(&format!("r{}", rng.below(2_500)), r#"{"text":"den"}"#),
                _ => bench.merge(&format!("r{}", rng.below(2_500)), r#"{"text":"fox den"}"#),
            };
        }
        let serving = bench.settled();
        for text in ["fox", "den", "fox den", "-fox"] {
            let sought = bench.sought(&serving, text);
            assert_eq!(drain(serving.read().all(&sought).unwrap()), bench.naive(&sought), "{text}");
        }
    }
    assert!(bench.search.figures().fillings >= 5);
    bench.close();
}

#[test]
fn nobody_waits_for_what_is_not_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), NOTES);
    bench.settled();
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let of = bench.of();
        let ahead = bench.search.index(&of, Some(Seq(u64::MAX)));
        let waits = tokio::time::timeout(Duration::from_millis(50), ahead).await;
        assert!(waits.is_err(), "it is not there");
    });
    assert_eq!(bench.search.shared.awaited(), None, "who hangs up waits no more");
    bench.close();
}
