//! What was measured, as lines of a table when they come in, and as JSON at the end.
#![expect(clippy::print_stdout, reason = "the table is what the benches are for")]

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// Where the JSON goes, beside the table.
const FILE: &str = "bench-results.json";

/// A limit of the design: what is held against it, and in which direction.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Limit {
    /// The measure itself is at most this.
    AtMost(f64),
    /// The measure itself is at least this.
    AtLeast(f64),
    /// The ratio to the reference is at least this.
    Ratio(f64),
}

/// One line.
#[derive(Serialize)]
pub(crate) struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    reference: Option<(&'static str, f64)>,
    ratio: Option<f64>,
    limit: Option<Limit>,
    /// Whether the limit is kept, if there is one.
    ok: Option<bool>,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Row {
        Row { what: what.into(), measured, unit, reference: None, ratio: None, limit: None, ok: None }
    }

    /// Held against `value` of another thing.
    pub(crate) fn against(self, name: &'static str, value: f64) -> Row {
        let ratio = self.measured / value;
        self.paired(name, value, ratio)
    }

    /// As `against`, with a ratio that was taken pair by pair.
    pub(crate) fn paired(mut self, name: &'static str, value: f64, ratio: f64) -> Row {
        (self.reference, self.ratio) = (Some((name, value)), Some(ratio));
        self
    }

    pub(crate) fn limit(mut self, limit: Limit) -> Row {
        self.ok = Some(match limit {
            Limit::AtMost(most) => self.measured <= most,
            Limit::AtLeast(least) => self.measured >= least,
            Limit::Ratio(least) => self.ratio.is_some_and(|ratio| ratio >= least),
        });
        self.limit = Some(limit);
        self
    }

    fn print(&self) {
        let reference = self.reference.map_or(String::new(), |(name, value)| format!("{name} {}", short(value)));
        let ratio = self.ratio.map_or(String::new(), |ratio| format!("{:.0} %", ratio * 100.0));
        let limit = match self.limit {
            None => String::new(),
            Some(Limit::AtMost(most)) => format!("≤ {}", short(most)),
            Some(Limit::AtLeast(least)) => format!("≥ {}", short(least)),
            Some(Limit::Ratio(least)) => format!("≥ {:.0} %", least * 100.0),
        };
        let ok = self.ok.map_or("", |ok| if ok { "ok" } else { "short" });
        line(&self.what, &short(self.measured), self.unit, &reference, &ratio, &limit, ok);
    }
}

/// All lines so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new() -> Report {
        line("what", "measured", "unit", "reference", "ratio", "limit", "");
        Report::default()
    }

    pub(crate) fn add(&mut self, row: Row) {
        row.print();
        self.rows.push(row);
    }

    /// What a reader has to know to read the lines.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        println!("  ({note})");
        self.notes.push(note);
    }

    /// Writes the JSON into the folder `target`; says how many limits were not kept.
    pub(crate) fn close(self, target: &Path, quick: bool) -> Outcome<()> {
        let short = self.rows.iter().filter(|row| row.ok == Some(false)).count();
        let limits = self.rows.iter().filter(|row| row.ok.is_some()).count();
        println!("{} of {limits} limits kept", limits - short);
        let path = target.join(FILE);
        let all = serde_json::json!({"quick": quick, "rows": self.rows, "notes": self.notes});
        fs::write(&path, serde_json::to_vec_pretty(&all)?)?;
        println!("{}", path.display());
        Ok(())
    }
}

fn line(what: &str, measured: &str, unit: &str, reference: &str, ratio: &str, limit: &str, ok: &str) {
    println!("{what:<58} {measured:>9} {unit:<9} {reference:<26} {ratio:>7} {limit:>8} {ok}");
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A number of records, in words short enough for a line.
pub(crate) fn thousands(records: u64) -> String {
    match records {
        1_000_000.. => format!("{:.1} M", records as f64 / 1e6),
        _ => format!("{} k", records / 1_000),
    }
}
