//! The records that a stream begins with, all of one view: few of them are held in memory, many are written down first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::oneshot;

use super::lens::Outlook;
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::Mark;
use crate::limits;
use crate::live::Lens;
use crate::model::guard::Action;
use crate::model::json::write_i64;
use crate::model::query::Query;
use crate::model::record::Record;
use crate::service::Service;
use crate::service::import::busy;
use crate::service::spool::Spool;
use crate::state::{self, query as queries};

/// What is said inside of one that does not fit into memory.
const LARGE: &str = "snapshot_large";

/// Records as they are seen at one position.
#[derive(Debug)]
pub struct Snapshot {
    /// Behind this everything is told as it changes.
    pub mark: Mark,
    /// Of its listener, when it was taken.
    pub(super) turn: u64,
    /// The lines that were read and not given yet: of each record the number of what it is listened to by, and its JSON.
    lines: BytesMut,
    rest: Option<(Arc<Spool>, u64)>,
}

/// Where lines are written.
enum Out {
    Memory(Vec<u8>),
    Disk(Spool),
}

impl Snapshot {
    /// The next records, each with the number of the subscription that it is of; none at the end. Nothing is lost when it
    /// is dropped.
    ///
    /// # Errors
    /// The disk's.
    pub async fn next(&mut self) -> Result<Vec<(usize, Bytes)>> {
        loop {
            let records = self.take();
            if !records.is_empty() {
                return Ok(records);
            }
            let Some((spool, at)) = self.rest.clone() else { return Ok(records) };
            let bytes = tokio::task::spawn_blocking({
                let spool = spool.clone();
                move || spool.read(at)
            });
            let bytes = bytes.await.map_err(|error| Error::internal("a snapshot was not read").source(error))??;
            self.rest = (!bytes.is_empty()).then(|| (spool, at + bytes.len() as u64));
            self.lines.extend_from_slice(&bytes);
        }
    }

    /// The whole lines that are there.
    fn take(&mut self) -> Vec<(usize, Bytes)> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < limits::LIVE_WRITE_BYTES {
            let Some(end) = memchr::memchr(b'\n', &self.lines) else { break };
            let mut line = self.lines.split_to(end);
            self.lines.advance(1);
            let number = memchr::memchr(b' ', &line).unwrap_or(0);
            let text = line.split_to(number);
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            line.advance(1);
            bytes += line.len();
            records.push((number, line.freeze()));
        }
        records
    }
}

/// Takes one, of a view.
///
/// # Errors
/// As of an export.
pub(super) async fn take(
    service: &Service,
    view: Arc<Published>,
    outlooks: Vec<Arc<Outlook>>,
    turn: u64,
) -> Result<Snapshot> {
    let mark = Mark::from(view.position);
    let deadline = Instant::now() + limits::QUERY_TIME_MAX;
    let work = {
        let (view, outlooks) = (view.clone(), outlooks.clone());
        move || write(&view, &outlooks, Out::Memory(Vec::new()), deadline, || false)
    };
    let out = match service.0.pool.run(deadline, work).await {
        Err(error) if error.code_str() == LARGE => write_down(service, view, outlooks).await?,
        done => done?,
    };
    Ok(match out {
        Out::Memory(lines) => Snapshot { mark, turn, lines: Bytes::from(lines).into(), rest: None },
        Out::Disk(spool) => Snapshot { mark, turn, lines: BytesMut::new(), rest: Some((Arc::new(spool), 0)) },
    })
}

/// Writes it to a file, on a thread of its own.
async fn write_down(service: &Service, view: Arc<Published>, outlooks: Vec<Arc<Outlook>>) -> Result<Out> {
    let place = service.0.exports.take().ok_or_else(|| busy("exports", limits::EXPORTS_MAX))?;
    let spool = service.0.spools.create()?;
    let (answer, outcome) = oneshot::channel();
    let work = move || {
        let deadline = Instant::now() + limits::SPOOL_TIME_MAX;
        let gone = || answer.is_closed();
        let done = catch_unwind(AssertUnwindSafe(|| write(&view, &outlooks, Out::Disk(spool), deadline, gone)));
        drop((place, view));
        // A caller that hung up is no fault.
        let _ = answer.send(done.unwrap_or_else(|_| Err(Error::internal("a snapshot panicked"))));
    };
    let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(work);
    thread.map_err(|error| Error::internal("no thread for a snapshot").source(error))?;
    outcome.await.unwrap_or_else(|_| Err(Error::internal("a snapshot's thread is gone")))
}

fn write(
    view: &Published,
    outlooks: &[Arc<Outlook>],
    mut out: Out,
    deadline: Instant,
    gone: impl Fn() -> bool,
) -> Result<Out> {
    for (number, outlook) in outlooks.iter().enumerate() {
        let mut each = |record: &Record| {
            let buffer = out.buffer();
            write_i64(buffer, number as i64);
            buffer.push(b' ');
            outlook.show(view, record, buffer)?;
            buffer.push(b'\n');
            if gone() {
                return Err(Error::internal("nobody waits for the snapshot"));
            }
            out.written()
        };
        match outlook.of().id {
            Some(id) => {
                if let Some(record) = state::record(&view.stack, outlook.collection(), &id)?
                    && outlook.shows(view, &record)?
                {
                    each(&record)?;
                }
            }
            None if outlook.guard().allow(Action::List).is_ok() => {
                let query = Query {
                    collection: outlook.collection().id,
                    schema: outlook.collection().version,
                    guard: outlook.guard().clone(),
                    filter: outlook.filter().cloned(),
                    sort: Vec::new(),
                    after: None,
                    offset: 0,
                    limit: usize::MAX,
                    count: false,
                };
                queries::each(&view.stack, &view.schema, &query, deadline, &mut each)?;
            }
            None => {}
        }
        debug_assert_eq!(outlook.schema(), view.schema.version(), "a snapshot is of the view that it was asked for by");
    }
    if let Out::Disk(spool) = &mut out {
        spool.flush(true)?;
    }
    Ok(out)
}

impl Out {
    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Out::Memory(lines) => lines,
            Out::Disk(spool) => spool.buffer(),
        }
    }

    fn written(&mut self) -> Result<()> {
        match self {
            Out::Memory(lines) if lines.len() > limits::STREAM_SNAPSHOT_BYTES => {
                Err(Error::new(Kind::Unprocessable, "the snapshot is written down first").code(LARGE))
            }
            Out::Memory(_) => Ok(()),
            Out::Disk(spool) => match spool.buffer().len() < limits::SPOOL_PIECE_BYTES {
                true => Ok(()),
                false => spool.flush(false),
            },
        }
    }
}
