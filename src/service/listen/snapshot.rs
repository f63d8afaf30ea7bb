//! The records that a stream begins with, all of one view, read in turns: so many at a time on the threads that scan, among
//! all else that waits for those, so no one's snapshot holds them up.
//!
//! Whoever takes them as fast as they are read has them from memory. For whom does not, what is left is written down at
//! the speed of the disk, so the view is let go whatever its client does. Invariant: a record that was read is given
//! once, in the order in which they were read, whichever way it goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::lens::Outlook;
use super::registry::Turn;
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::live::Lens;
use crate::model::guard::Action;
use crate::model::json::write_i64;
use crate::model::query::Query;
use crate::model::record::Record;
use crate::service::Service;
use crate::service::spool::Spool;
use crate::state::{self, query as queries};

/// What is said inside where a turn has read enough.
const ENOUGH: &str = "snapshot_turn";
/// Pause before a turn is asked for again where too much waits for one.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Records as they are seen at one position.
#[derive(Debug)]
pub struct Snapshot {
    /// Behind this everything is told as it changes.
    pub mark: Mark,
    /// Of its listener, when it was taken.
    pub(super) turn: u64,
    /// The lines that were read and not given yet: of each record the number of what it is listened to by, and its JSON.
    lines: BytesMut,
    pieces: Receiver<Piece>,
    written: Option<Written>,
}

/// What comes next of one.
#[derive(Debug)]
enum Piece {
    Lines(Vec<u8>),
    /// All that is left.
    Written(Arc<Mutex<Spool>>),
    Failed(Error),
}

#[derive(Debug)]
struct Written {
    spool: Arc<Mutex<Spool>>,
    at: u64,
    /// What is being read, so that it is not lost when nobody waits for it any more.
    reading: Option<oneshot::Receiver<Result<Bytes>>>,
}

/// Where a turn begins.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Of the outlooks.
    number: usize,
    /// The last record that was looked at.
    after: Option<RecordId>,
    /// Whether an index was tried, and it took too long.
    is_long: bool,
}

impl Snapshot {
    /// Begins to read one, of a view.
    pub(super) fn begin(
        service: &Service,
        view: Arc<Published>,
        outlooks: Vec<Arc<Outlook>>,
        turn: u64,
        held: Turn,
    ) -> Snapshot {
        let mark = Mark::from(view.position);
        let (sender, pieces) = channel(limits::STREAM_SNAPSHOT_BYTES / limits::LIVE_TURN_BYTES);
        let reader = Reader { service: service.clone(), view, outlooks: outlooks.into(), sender, _held: held };
        tokio::spawn(reader.run());
        Snapshot { mark, turn, lines: BytesMut::new(), pieces, written: None }
    }

    /// The next records, each with the number of the subscription that it is of; none at the end. Nothing is lost when it
    /// is dropped.
    ///
    /// # Errors
    /// Of the state, as an export; `Unprocessable` with code `snapshot_too_large` where it takes too long.
    pub async fn next(&mut self) -> Result<Vec<(usize, Bytes)>> {
        loop {
            let records = self.take();
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(written) = &mut self.written {
                let bytes = written.next().await?;
                if bytes.is_empty() {
                    return Ok(records);
                }
                self.lines.extend_from_slice(&bytes);
                continue;
            }
            match self.pieces.recv().await {
                Some(Piece::Lines(lines)) => self.lines.extend_from_slice(&lines),
                Some(Piece::Written(spool)) => self.written = Some(Written { spool, at: 0, reading: None }),
                Some(Piece::Failed(error)) => return Err(error),
                None => return Ok(records),
            }
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

impl Written {
    async fn next(&mut self) -> Result<Bytes> {
        let reading = self.reading.get_or_insert_with(|| {
            let (spool, at) = (self.spool.clone(), self.at);
            let (answer, reading) = oneshot::channel();
            tokio::task::spawn_blocking(move || {
                // A client that went is no fault.
                let _ = answer.send(spool.lock().read(at));
            });
            reading
        });
        let read = reading.await;
        self.reading = None;
        let bytes = read.map_err(|error| Error::internal("a snapshot was not read").source(error))??;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Reads one, for as long as somebody is there who takes it.
struct Reader {
    service: Service,
    view: Arc<Published>,
    outlooks: Arc<[Arc<Outlook>]>,
    sender: Sender<Piece>,
    _held: Turn,
}

impl Reader {
    async fn run(self) {
        let spool = self.read().await;
        // Who is slow pins no view.
        let Reader { service, view, outlooks, sender, _held } = self;
        drop((service, view, outlooks, _held));
        let last = match spool {
            Ok(None) => return,
            Ok(Some(spool)) => Piece::Written(spool),
            Err(error) => Piece::Failed(error),
        };
        // A client that went is no fault.
        let _ = sender.send(last).await;
    }

    /// All of it, what there was no room for into a file.
    async fn read(&self) -> Result<Option<Arc<Mutex<Spool>>>> {
        let deadline = Instant::now() + limits::SPOOL_TIME_MAX;
        let mut place = Place::default();
        let mut spool: Option<Arc<Mutex<Spool>>> = None;
        while !self.sender.is_closed() {
            if Instant::now() >= deadline {
                let seconds = limits::SPOOL_TIME_MAX.as_secs();
                let message = format!("the snapshot takes longer than {seconds} s: narrow it by a filter");
                return Err(Error::new(Kind::Unprocessable, message).code("snapshot_too_large"));
            }
            let (lines, next) = self.turn(&place, spool.as_ref()).await?;
            if spool.is_none() {
                match self.sender.try_send(Piece::Lines(lines)) {
                    Err(TrySendError::Full(Piece::Lines(mut lines))) => {
                        let mut new = self.service.0.spools.create()?;
                        new.buffer().append(&mut lines);
                        spool = Some(Arc::new(Mutex::new(new)));
                    }
                    Err(TrySendError::Closed(_)) => return Ok(None),
                    Ok(()) | Err(TrySendError::Full(_)) => {}
                }
            }
            match next {
                Some(next) => place = next,
                None => return self.flushed(spool).await,
            }
        }
        Ok(None)
    }

    async fn turn(&self, place: &Place, spool: Option<&Arc<Mutex<Spool>>>) -> Result<(Vec<u8>, Option<Place>)> {
        loop {
            let (view, outlooks, place, spool) =
                (self.view.clone(), self.outlooks.clone(), place.clone(), spool.cloned());
            let work = move || {
                let mut lines = Vec::new();
                let next = read_some(&view, &outlooks, place, &mut lines)?;
                if let Some(spool) = spool {
                    let mut spool = spool.lock();
                    spool.buffer().append(&mut lines);
                    spool.flush(false)?;
                }
                Ok((lines, next))
            };
            match self.service.0.pool.run(Instant::now() + limits::QUERY_TIME_MAX, work).await {
                Err(error) if error.kind() == Kind::Unavailable && error.code_str() == "queue_full" => {
                    sleep(BUSY_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn flushed(&self, spool: Option<Arc<Mutex<Spool>>>) -> Result<Option<Arc<Mutex<Spool>>>> {
        let Some(spool) = spool else { return Ok(None) };
        let done = tokio::task::spawn_blocking(move || {
            spool.lock().flush(true)?;
            Ok(Some(spool))
        });
        done.await.map_err(|error| Error::internal("a snapshot was not written").source(error))?
    }
}

/// Reads what one turn may, in time and in bytes; where the next begins, if there is one.
fn read_some(
    view: &Published,
    outlooks: &[Arc<Outlook>],
    mut place: Place,
    lines: &mut Vec<u8>,
) -> Result<Option<Place>> {
    let until = Instant::now() + limits::LIVE_TURN_TIME;
    while let Some(outlook) = outlooks.get(place.number) {
        debug_assert_eq!(outlook.schema(), view.schema.version(), "a snapshot is of the view that it was asked for by");
        let number = place.number;
        let next = match outlook.of().id {
            Some(id) => {
                if let Some(record) = state::record(&view.stack, outlook.collection(), &id)?
                    && outlook.shows(view, &record)?
                {
                    line(view, outlook, number, &record, lines)?;
                }
                None
            }
            None if outlook.guard().allow(Action::List).is_err() => None,
            None if !place.is_long && by_index(view, outlook, number, until, lines)? => None,
            None => {
                let query = query(outlook);
                let all =
                    queries::each_behind(&view.stack, &view.schema, &query, place.after.as_ref(), |_, record| {
                        if let Some(record) = record {
                            line(view, outlook, number, record, lines)?;
                        }
                        Ok(Instant::now() < until && lines.len() < limits::LIVE_TURN_BYTES)
                    })?;
                all.map(|after| Place { number, after: Some(after), is_long: true })
            }
        };
        place = next.unwrap_or(Place { number: number + 1, ..Place::default() });
        if Instant::now() >= until || lines.len() >= limits::LIVE_TURN_BYTES {
            break;
        }
    }
    Ok((place.number < outlooks.len()).then_some(place))
}

/// All of one, the quickest way there is, if that is done within a turn; else nothing.
fn by_index(view: &Published, outlook: &Outlook, number: usize, until: Instant, lines: &mut Vec<u8>) -> Result<bool> {
    let before = lines.len();
    let each = |record: &Record| {
        line(view, outlook, number, record, lines)?;
        if lines.len() >= limits::LIVE_TURN_BYTES {
            return Err(Error::new(Kind::Unprocessable, "a turn has read enough").code(ENOUGH));
        }
        Ok(())
    };
    match queries::each(&view.stack, &view.schema, &query(outlook), until, each) {
        Ok(_) => Ok(true),
        Err(error) if [ENOUGH, "query_too_large"].contains(&error.code_str()) => {
            lines.truncate(before);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn query(outlook: &Outlook) -> Query {
    Query {
        collection: outlook.collection().id,
        schema: outlook.collection().version,
        guard: outlook.guard().clone(),
        filter: outlook.filter().cloned(),
        sort: Vec::new(),
        after: None,
        offset: 0,
        limit: usize::MAX,
        count: false,
    }
}

fn line(view: &Published, outlook: &Outlook, number: usize, record: &Record, lines: &mut Vec<u8>) -> Result<()> {
    write_i64(lines, number as i64);
    lines.push(b' ');
    outlook.show(view, record, lines)?;
    lines.push(b'\n');
    Ok(())
}
