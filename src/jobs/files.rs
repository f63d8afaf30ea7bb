//! Files that runs export, in a folder beside the tables: each has the name of its run, and goes with it.
//!
//! Invariant: a file has its name only when it is whole and synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::core::{Core, Published};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::job::{ACTIVE, Form, Job, RUNS};
use crate::model::mask::Mask;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::state;

/// What is written, and has no name yet.
const PART: &str = ".part";

/// The folder of the files; cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// What was written.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) records: u64,
}

impl Files {
    /// In the core's folder.
    pub fn of(core: &Core) -> Files {
        let (disk, dir) = core.folder();
        Files { disk: disk.clone(), dir: dir.join("exports") }
    }

    /// The file of a run, with its name.
    ///
    /// # Errors
    /// `NotFound`; the disk's.
    pub fn open(&self, run: &RecordId) -> Result<(String, Arc<dyn DiskFile>)> {
        for form in [Form::Ndjson, Form::Csv] {
            let name = name(run, form);
            match self.disk.open(&self.dir.join(&name), Open::Read) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
        Err(Error::new(Kind::NotFound, "the run has no file"))
    }

    /// Writes the records of a view down. `came` is told now and then how many there are so far, and ends it by an error.
    pub(super) fn write(
        &self,
        run: &RecordId,
        (view, job, form): (&Published, &Job, Form),
        query: &crate::model::query::Query,
        deadline: Instant,
        mut came: impl FnMut(u64) -> Result<()>,
    ) -> Result<Written> {
        let missing = || Error::new(Kind::NotFound, "the source is gone");
        let collection = view.schema.get(job.source).ok_or_else(missing)?;
        self.disk.create_dir_all(&self.dir).map_err(io)?;
        let name = name(run, form);
        let part = self.dir.join(format!("{name}{PART}"));
        self.remove(&part)?;
        let file = self.disk.open(&part, Open::CreateNew).map_err(io)?;
        let mask = Mask::all(false);
        let (mut out, mut at, mut records) = (Vec::with_capacity(limits::SPOOL_PIECE_BYTES), 0u64, 0u64);
        if form == Form::Csv {
            pipeline::format_header(collection, &mask, &mut out);
        }
        let mut flush = |out: &mut Vec<u8>| {
            file.write_at(at, out).map_err(io)?;
            at += out.len() as u64;
            out.clear();
            Ok(at)
        };
        // In stretches of one view, so that it can be ended where little is found.
        let mut after = None;
        loop {
            let (until, mut looked) = (Instant::now() + limits::JOB_TICK, 0u32);
            let went = |_: &RecordId, found: Option<&Record>| {
                if let Some(record) = found {
                    match form {
                        Form::Csv => pipeline::format_row(collection, record, &mask, &mut out),
                        Form::Ndjson => {
                            pipeline::format_record(collection, record, &mask, &mut out);
                            out.push(b'\n');
                        }
                    }
                    records += 1;
                    if out.len() >= limits::SPOOL_PIECE_BYTES {
                        flush(&mut out)?;
                    }
                }
                looked += 1;
                Ok(!looked.is_multiple_of(256) || Instant::now() < until)
            };
            after = state::query::each_behind(&view.stack, &view.schema, query, after.as_ref(), went)?;
            came(records)?;
            if after.is_none() {
                break;
            }
            if Instant::now() > deadline {
                return Err(Error::new(Kind::Timeout, "it took longer than it may").code("timeout"));
            }
        }
        let bytes: Result<u64> = flush(&mut out);
        let bytes = bytes?;
        file.sync_data().map_err(io)?;
        self.disk.rename(&part, &self.dir.join(&name)).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(io)?;
        Ok(Written { name, bytes, records })
    }

    /// Removes those whose run is gone, and what was not finished of runs that have ended.
    pub(super) fn tidy(&self, view: &Published) -> Result<()> {
        let Some(runs) = view.schema.find(RUNS) else { return Ok(()) };
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(io)?,
        };
        for name in names {
            let run = name.split('.').next().and_then(|run| RecordId::new(run).ok());
            let run = run.map(|run| state::record(&view.stack, runs, &run)).transpose()?.flatten();
            let is_under_way =
                |run: &Record| runs.field(ACTIVE).is_some_and(|field| !run.fields.get(field.id).is_null());
            let stays = run.is_some_and(|run| !name.ends_with(PART) || is_under_way(&run));
            if !stays {
                self.remove(&self.dir.join(&name))?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }
}

fn name(run: &RecordId, form: Form) -> String {
    format!("{run}.{}", form.ending())
}

fn io(error: std::io::Error) -> Error {
    Error::io("a file of a run", error)
}
