//! Jobs as they are defined: on which records of a collection, when, and what is done with them. A record of `_jobs` is one;
//! each time that it is carried out is a record of `_runs`.
//!
//! Pure: reading a record against a schema and compiling its expressions ([`Job::read`]), and when it is due
//! ([`Schedule`]). `core::decide` judges by it what is saved; who carries jobs out reads them by it again, as a collection may
//! have changed since.
//!
//! Invariant: an expression of a job is its superuser's, who sees every record, and knows no request.

mod faults;
mod own;
mod read;
mod schedule;

pub use faults::{cut, with_faults};
pub use own::{ACTIVE, JOBS, RUNS, definitions};
pub use read::is_enabled;
pub use schedule::{Flaw, Schedule};

use std::sync::Arc;
use std::time::Duration;

use crate::id::{CollectionId, FieldId, IndexId};
use crate::model::aggregate::Aggregation;
use crate::model::expr::Program;
use crate::model::handler::{Setting, Webhook};

/// A job, ready to be carried out by the schema that it was read with.
#[derive(Clone, Debug)]
pub struct Job {
    /// What calls name it by.
    pub name: Box<str>,
    /// Whether its schedule holds.
    pub enabled: bool,
    /// When it is due; `None` for one that is begun by hand only.
    pub schedule: Option<Schedule>,
    /// Whose records.
    pub source: CollectionId,
    /// Which of them; `None` for all.
    pub filter: Option<Arc<Program>>,
    /// Records of a chunk.
    pub chunk: usize,
    /// Chunks that are worked on at once.
    pub parallel: usize,
    /// What is done with them.
    pub task: Task,
    /// Whether the first record that is refused ends a run.
    pub stop_on_error: bool,
    /// Where the result goes; only of [`Task::Aggregate`].
    pub store: Option<Store>,
    /// Who is told of the end of a run.
    pub notify: Option<Box<Webhook>>,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// Runs that are kept.
    pub keep: usize,
}

/// What a job does.
#[derive(Clone, Debug)]
pub enum Task {
    /// Writes into each record.
    Update(Vec<Setting>),
    /// Deletes each.
    Delete,
    /// Sends each chunk as a message.
    Webhook(Box<Webhook>),
    /// Adds them up.
    Aggregate(Arc<Aggregation>),
    /// Writes them into a file.
    Export(Form),
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line of JSON for each record.
    Ndjson,
    /// A table.
    Csv,
}

impl Form {
    /// How a file's name ends.
    pub fn ending(self) -> &'static str {
        match self {
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
        }
    }
}

/// Where the rows of a result go.
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// Into which collection.
    pub collection: CollectionId,
    /// The field, and the unique index over it, by which a row replaces the one that is there; `None`: each row is new.
    pub key: Option<(FieldId, IndexId)>,
}
