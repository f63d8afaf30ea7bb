//! What an import has done: counts, and why lines were refused, the first of them.

use serde_json::{Map, Value, json};

use crate::id::Position;
use crate::limits;
use crate::model::command::{Committed, Refusal, Written};
use crate::service::once::Commit;

/// What an import has done so far.
#[derive(Clone, Debug)]
pub struct Report {
    /// Records that came to be.
    pub created: u64,
    /// Records that were replaced, or were as their line says already.
    pub updated: u64,
    /// Lines that were not taken.
    pub refused: u64,
    /// Lines that were decided; blank ones and a table's first row are none.
    pub lines: u64,
    /// Of the refused lines the first ones.
    pub faults: Vec<LineFault>,
    /// The last commit; before there is one, what was read.
    pub position: Position,
    /// Whether all of it had been done before under its key, and was not done again.
    pub replayed: bool,
    /// Bytes of the reasons.
    fault_bytes: usize,
}

/// A line that was not taken.
#[derive(Clone, Debug)]
pub struct LineFault {
    /// Its number in the body, from 1.
    pub line: u64,
    /// Why.
    pub refusal: Refusal,
}

impl Report {
    pub(super) fn new(position: Position) -> Report {
        let (replayed, fault_bytes) = (false, 0);
        Report { created: 0, updated: 0, refused: 0, lines: 0, faults: Vec::new(), position, replayed, fault_bytes }
    }

    /// All lines were taken, in one transaction.
    pub(super) fn done(&mut self, committed: &Committed) {
        let (created, updated) = match &committed.loaded {
            Some(before) => (before.created, before.updated),
            None => {
                let created = committed.writes.iter().filter(|one| matches!(one, Written::Created(_))).count();
                (created, committed.writes.len() - created)
            }
        };
        (self.created, self.updated, self.lines) = (created as u64, updated as u64, (created + updated) as u64);
        let Commit { position, replayed } = Commit::of(committed);
        (self.position, self.replayed) = (position, replayed);
    }

    /// A line was refused, the next one in their order.
    pub(super) fn refuse(&mut self, line: u64, refusal: Refusal) {
        self.refused += 1;
        let names = |fault: &crate::error::FieldFault| fault.field.len() + fault.message.len();
        self.fault_bytes += refusal.message.len() + refusal.faults.iter().map(names).sum::<usize>();
        let room = self.fault_bytes <= limits::LINE_FAULTS_BYTES_MAX || self.faults.is_empty();
        if room && self.faults.len() < limits::LINE_FAULTS_MAX {
            self.faults.push(LineFault { line, refusal });
        }
    }

    /// Whether no further line's refusal would be named.
    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= limits::LINE_FAULTS_MAX
    }

    /// As it is answered.
    pub fn to_json(&self) -> Value {
        let errors: Vec<Value> = self.faults.iter().map(LineFault::to_json).collect();
        json!({
            "created": self.created,
            "updated": self.updated,
            "refused": self.refused,
            "lines": self.lines,
            "errors": errors,
            "truncated": (self.faults.len() as u64) < self.refused,
        })
    }
}

impl LineFault {
    fn to_json(&self) -> Value {
        let mut data = Map::new();
        for fault in &self.refusal.faults {
            let said = || json!({"code": fault.code, "message": fault.message});
            data.entry(fault.field.clone()).or_insert_with(said);
        }
        json!({"line": self.line, "code": self.refusal.code, "message": self.refusal.message, "data": data})
    }
}
