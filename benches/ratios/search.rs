//! Search: how fast short texts come into an index, how soon one is found, and queries of three words against bare tantivy
//! over the very files, asked for the same.
//!
//! `MILLPOND_BENCH_TEXTS` says how many texts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tantivy::collector::{Count, TopDocs};
use tantivy::query::{BooleanQuery, FuzzyTermQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::tokenizer::{AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer};
use tantivy::{Index, Searcher, Term};

use crate::histogram::Histogram;
use crate::millpond::Millpond;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, Outcome, answer, imports};

const DEFINITION: &str = r#"{"name":"texts","fields":[{"name":"text","type":"text"}],
    "search":{"fields":{"text":{}}},"listRule":"","viewRule":"","createRule":""}"#;
const RECORDS: &str = "/api/collections/texts/records";
/// Different words of all texts.
const WORDS: u64 = 50_000;
/// Words of one text.
const LENGTH: u64 = 10;
/// Queries of each kind.
const QUERIES: u64 = 500;
/// Time in which an index has to come.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let asked = std::env::var("MILLPOND_BENCH_TEXTS").ok().and_then(|text| text.parse().ok());
    let count = asked.unwrap_or(if bench.quick { 100_000 } else { 1_000_000 });
    let server = Millpond::empty()?;
    let address = server.process.address;
    answer::must(address, "POST", "/api/collections", DEFINITION)?;
    let (began, mut bytes) = (Instant::now(), 0);
    let write = |number: u64, out: &mut Vec<u8>| {
        out.clear();
        let text = text(number);
        bytes += text.len() as u64;
        out.extend_from_slice(format!(r#"{{"id":"t{number}","text":"{text}"}}"#).as_bytes());
    };
    let imported = imports::lines(address, "texts", count, write, || Ok(()))?;
    if imported["created"] != count {
        return Err(format!("not all were taken: {imported}").into());
    }
    let writing = began.elapsed().as_secs_f64();
    found(&server, &format!("%22n{}%22", count - 1))?;
    let following = began.elapsed().as_secs_f64();
    let name = format!("index {} short texts while they are imported", thousands(count));
    bench.report.add(Row::new(name, count as f64 / following, "1/s").against("import", count as f64 / writing));
    queries(bench, &server, count)?;
    freshness(bench, &server, count)?;
    let folder = server.dir().join("search");
    let (each, letters) = (size(&folder)? as f64 / count as f64, bytes as f64 / count as f64);
    bench.report.add(Row::new("  bytes of the index for each", each, "B").against("its letters", letters));
    // Another language is another index, filled from the tables.
    let change = r#"{"search":{"fields":{"text":{"language":"en"}}}}"#;
    let began = Instant::now();
    answer::must(address, "PATCH", "/api/collections/texts", change)?;
    loop {
        let shown = answer::must(address, "GET", "/api/collections/texts", "")?;
        let shown: serde_json::Value = serde_json::from_slice(&shown)?;
        if shown["search"]["state"].is_null() {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err("the index never comes".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let name = format!("fill an index of {} short texts anew, with stems", thousands(count));
    bench.report.add(Row::new(name, count as f64 / began.elapsed().as_secs_f64(), "1/s"));
    Ok(())
}

/// A number that looks random and is not.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A word: the first ones are common, the last ones rare.
fn word(random: u64) -> String {
    const SOUNDS: [&str; 16] =
        ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "ve"];
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    let mut rank = mixed((WORDS as f64).powf(share) as u64);
    let mut word = String::new();
    for _ in 0..2 + rank % 3 {
        rank /= 3;
        word.push_str(SOUNDS[(rank % 16) as usize]);
        rank /= 16;
    }
    word
}

fn words(of: u64) -> impl Iterator<Item = String> {
    (0..LENGTH).map(move |at| word(mixed(of * LENGTH + at)))
}

fn text(number: u64) -> String {
    let words: Vec<String> = words(number).collect();
    format!("{} n{number}", words.join(" "))
}

/// Three words of one text, the last one cut.
fn query(number: u64, count: u64) -> [String; 3] {
    let all: Vec<String> = words(mixed(number) % count).collect();
    let mut last = all[7].clone();
    last.truncate(last.len().max(4) - 1);
    [all[1].clone(), all[4].clone(), last]
}

fn queries(bench: &mut Bench, server: &Millpond, count: u64) -> Outcome<()> {
    let (mut ours, mut theirs) = (Histogram::default(), Histogram::default());
    let bare = Bare::open(&server.dir().join("search"))?;
    let (mut hits, mut bare_hits) = (0, 0);
    // Everything has been read once.
    for number in 0..QUERIES + 50 {
        let words = query(number, count);
        let began = Instant::now();
        let path = format!("{RECORDS}?search={}&perPage=20&fields=id", words.join("%20"));
        let page: serde_json::Value = serde_json::from_slice(&answer::must(server.process.address, "GET", &path, "")?)?;
        let our_time = began.elapsed();
        let began = Instant::now();
        let found = bare.ask(&words)?;
        let their_time = began.elapsed();
        if number >= 50 {
            ours.record(our_time);
            theirs.record(their_time);
            hits += page["totalItems"].as_u64().unwrap_or(10_000);
            bare_hits += found.min(10_000) as u64;
        }
    }
    if hits != bare_hits {
        return Err(format!("{hits} hits, and of bare tantivy {bare_hits}").into());
    }
    let name = format!("search of three words in {} texts, one client, over HTTP: p50", thousands(count));
    let row = Row::new(name, ours.within_ms(0.5), "ms").against("bare tantivy", theirs.within_ms(0.5));
    bench.report.add(row);
    let row = Row::new("  p99", ours.within_ms(0.99), "ms").against("bare tantivy", theirs.within_ms(0.99));
    bench.report.add(row.limit(Limit::AtMost(20.0)));
    bench.report.add(Row::new("  hits each", hits as f64 / QUERIES as f64, ""));
    Ok(())
}

/// The files of the server's index, read by tantivy alone.
struct Bare {
    searcher: Searcher,
    field: tantivy::schema::Field,
}

impl Bare {
    fn open(folder: &Path) -> Outcome<Bare> {
        let folders: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|one| one.path()).collect();
        let [folder] = folders.as_slice() else { return Err("not one index".into()) };
        let index = Index::open_in_dir(folder)?;
        let plain = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(65))
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .build();
        index.tokenizers().register("plain", plain);
        let field = index.schema().get_field("1")?;
        Ok(Bare { searcher: index.reader()?.searcher(), field })
    }

    /// The same words: each as it is or with as many letters wrong, the last one also as a beginning.
    fn ask(&self, words: &[String; 3]) -> Outcome<usize> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let term = Term::from_field_text(self.field, word);
            let typos = match word.len() {
                0..5 => 0,
                5..9 => 1,
                _ => 2,
            };
            let mut ways: Vec<Box<dyn Query>> =
                vec![Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs))];
            match at {
                2 => ways.push(Box::new(FuzzyTermQuery::new_prefix(term, typos, true))),
                _ if typos > 0 => ways.push(Box::new(FuzzyTermQuery::new(term, typos, true))),
                _ => {}
            }
            clauses.push((Occur::Must, Box::new(BooleanQuery::union(ways))));
        }
        let query = BooleanQuery::new(clauses);
        let (count, _) = self.searcher.search(&query, &(Count, TopDocs::with_limit(20).order_by_score()))?;
        Ok(count)
    }
}

/// How soon a new text is found: by whoever asks again and again, and by whoever waits for it.
fn freshness(bench: &mut Bench, server: &Millpond, count: u64) -> Outcome<()> {
    let (mut polled, mut waited) = (Histogram::default(), Histogram::default());
    for number in 0..if bench.quick { 10 } else { 40 } {
        for (histogram, waits) in [(&mut polled, false), (&mut waited, true)] {
            let mark = format!("f{number}{waits}");
            let body = format!(r#"{{"text":"{mark} {}"}}"#, text(count + number));
            let began = Instant::now();
            answer::must(server.process.address, "POST", RECORDS, &body)?;
            if waits {
                let path = format!("{RECORDS}?search=%22{mark}%22");
                let position = position(server)?;
                let page = answer::at_least(server.process.address, &path, &position)?;
                let page: serde_json::Value = serde_json::from_slice(&page)?;
                if page["totalItems"] != 1 {
                    return Err(format!("what was waited for is not there: {page}").into());
                }
            } else {
                found(server, &format!("%22{mark}%22"))?;
            }
            histogram.record(began.elapsed());
        }
    }
    let row = Row::new("  from a write to where it is found, p99", polled.within_ms(0.99), "ms");
    bench.report.add(row.limit(Limit::AtMost(300.0)));
    bench.report.add(Row::new("  the same with min-seq, p50", waited.within_ms(0.5), "ms"));
    Ok(())
}

/// Where the log is.
fn position(server: &Millpond) -> Outcome<String> {
    let health = answer::must(server.process.address, "GET", "/api/health", "")?;
    let health: serde_json::Value = serde_json::from_slice(&health)?;
    Ok(health["data"]["position"].as_str().ok_or("no position")?.to_owned())
}

/// Asks until there is a hit.
fn found(server: &Millpond, search: &str) -> Outcome<()> {
    let began = Instant::now();
    loop {
        let path = format!("{RECORDS}?search={search}&perPage=1&fields=id");
        let (status, body) = answer::call(server.process.address, "GET", &path, "")?;
        if status == 200 {
            let page: serde_json::Value = serde_json::from_slice(&body)?;
            if page["totalItems"] == 1 {
                return Ok(());
            }
        }
        if began.elapsed() > PATIENCE {
            return Err("it is never found".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn size(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for index in std::fs::read_dir(folder)?.flatten() {
        for file in std::fs::read_dir(index.path())?.flatten() {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}
