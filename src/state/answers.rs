//! Answers that are kept for their idempotency keys.
//!
//! ```text
//! answer     01 | postcard of the answer
//! kept       fingerprint | time i64 | bytes kept before it u64      of an entry
//! in all     bytes ever kept u64 | entry with the oldest u64
//! ```
//!
//! Numbers are big-endian. Invariant: each answer has the line of the entry that kept it, and each line its answer. The
//! oldest line is found by its number: before it lie only lines that went, and nobody walks over those.

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Position, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Committed, Loaded, Written};
use crate::model::once::{Answer, Fingerprint, Kept, Once, Part, Remembered};
use crate::model::record::Record;
use crate::state::stack::Read;
use crate::state::{key, lookup};
use crate::time::Millis;

const FORMAT: u8 = 0x01;

/// What an entry kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The entry.
    pub entry: Seq,
    /// Under which key.
    pub key: Fingerprint,
    /// When.
    pub time: Millis,
    /// All that was ever kept before it, bytes.
    pub before: u64,
}

/// What is kept in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// All that was ever kept, bytes.
    pub bytes: u64,
    /// The entry with the oldest answer that is still kept.
    pub oldest: Seq,
}

/// The outcome of a command that was done before under its key; `None` where it is still to be done.
///
/// # Errors
/// `Unprocessable` with code `idempotency_mismatch` where something else was done under the key; `Damaged`, or the base's.
pub fn answered(read: &dyn Read, once: Once, now: Millis) -> Result<Option<Committed>> {
    let Some(answer) = answer(read, once.key)? else { return Ok(None) };
    if is_over_age(answer.time, now) {
        return Ok(None);
    }
    if answer.body != once.body {
        let message = "this Idempotency-Key was used for another request: take a new one for each";
        return Err(Error::new(Kind::Unprocessable, message).code("idempotency_mismatch"));
    }
    committed(answer).map(Some)
}

/// Whether an answer has been kept for as long as any is.
pub fn is_over_age(time: Millis, now: Millis) -> bool {
    age_ms(time, now) >= limits::ANSWERS_AGE_MAX.as_millis()
}

/// How old an answer is, ms.
pub fn age_ms(time: Millis, now: Millis) -> u128 {
    now.0.saturating_sub(time.0).max(0).unsigned_abs().into()
}

/// What is kept for a key, of whatever age.
///
/// # Errors
/// `Damaged`, or the base's.
pub fn answer(read: &dyn Read, key: Fingerprint) -> Result<Option<Answer>> {
    read.get(&key::answer(key))?.map(|bytes| decode(&bytes)).transpose()
}

/// What is kept in all.
///
/// # Errors
/// As [`answer`].
pub fn answers(read: &dyn Read) -> Result<Answers> {
    let Some(bytes) = read.get(key::ANSWERS)? else { return Ok(Answers::default()) };
    match bytes[..].split_first_chunk::<8>() {
        Some((bytes, oldest)) if oldest.len() == 8 => Ok(Answers { bytes: number(bytes), oldest: Seq(number(oldest)) }),
        _ => Err(malformed("the number of answers")),
    }
}

/// What entries kept, from `oldest` on.
///
/// # Errors
/// As [`answer`].
pub fn lines(read: &dyn Read, oldest: Seq) -> Result<impl Iterator<Item = Result<Line>> + '_> {
    let (from, to) = key::kept_from(oldest);
    Ok(read.scan(&from, &to, false)?.map(|pair| {
        let pair = pair?;
        line(key::split_kept(pair.key())?, pair.value())
    }))
}

/// The answer that an entry at `position` keeps, whose changes so far are `earlier`; `None` where those don't have what
/// it names.
pub(super) fn made(position: Position, this: &Remembered, earlier: &[Change]) -> Option<Answer> {
    let parts = this.kept.iter().map(|kept| match kept {
        Kept::Change(at) => part(position, earlier.get(*at as usize)?),
        Kept::Record(collection, record) => Some(Part::Updated(*collection, record.clone())),
        Kept::Gone(collection) => Some(Part::Gone(*collection)),
        Kept::Definition(collection, version, text) => Some(Part::Defined(*collection, *version, text.clone())),
        Kept::Counts(created, updated) => Some(Part::Counts(*created, *updated)),
        Kept::Told(text) => Some(Part::Told(text.clone())),
    });
    Some(Answer { time: this.time, body: this.body, position, parts: parts.collect::<Option<_>>()? })
}

fn part(version: Position, change: &Change) -> Option<Part> {
    match change {
        Change::Created { collection, id, after, .. } => {
            Some(Part::Created(*collection, Record { id: id.clone(), version, fields: after.clone() }))
        }
        Change::Updated { collection, id, after, .. } => {
            Some(Part::Updated(*collection, Record { id: id.clone(), version, fields: after.clone() }))
        }
        Change::Defined { collection, definition } => Some(Part::Defined(*collection, version.seq, definition.clone())),
        Change::Deleted { .. }
        | Change::Dropped { .. }
        | Change::Reclaimed { .. }
        | Change::Backfilled { .. }
        | Change::Unindexed { .. }
        | Change::Rewritten { .. }
        | Change::Progressed { .. }
        | Change::Advanced { .. }
        | Change::Began { .. }
        | Change::Forgotten { .. }
        | Change::Remembered(_) => None,
    }
}

/// An answer as it was first given.
fn committed(answer: Answer) -> Result<Committed> {
    let mut collections: Vec<CollectionId> = Vec::with_capacity(answer.parts.len());
    let (mut writes, mut defined) = (Vec::with_capacity(answer.parts.len()), None);
    let (mut loaded, mut told) = (None, None);
    for part in answer.parts {
        let (collection, written) = match part {
            Part::Created(collection, record) => (collection, Written::Created(record)),
            Part::Updated(collection, record) => (collection, Written::Updated(record)),
            Part::Gone(collection) => (collection, Written::Deleted),
            Part::Defined(id, version, text) => {
                let mut definition = lookup::definition(id, &text)?;
                definition.version = version;
                defined = Some(Box::new(definition));
                continue;
            }
            Part::Counts(created, updated) => {
                loaded = Some(Box::new(counted(created, updated)?));
                continue;
            }
            Part::Told(text) => {
                told = Some(text.into());
                continue;
            }
        };
        collections.push(collection);
        writes.push(written);
    }
    Ok(Committed { position: answer.position, writes, collection: defined, replayed: Some(collections), loaded, told })
}

fn counted(created: u64, updated: u64) -> Result<Loaded> {
    let number = |count: u64| usize::try_from(count).map_err(|_| malformed("a count"));
    let (created, updated) = (number(created)?, number(updated)?);
    Ok(Loaded { decided: created.saturating_add(updated), created, updated, refused: Vec::new() })
}

pub(super) fn encode(answer: &Answer) -> Result<Bytes> {
    let bytes = postcard::to_extend(answer, vec![FORMAT])
        .map_err(|error| Error::internal("an answer can't be encoded").source(error))?;
    Ok(bytes.into())
}

/// # Errors
/// `Damaged` for bytes that [`encode`] did not make.
pub(super) fn decode(bytes: &[u8]) -> Result<Answer> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes::<Answer>(rest) {
            Ok((answer, [])) => Ok(answer),
            _ => Err(malformed("an answer")),
        },
        _ => Err(malformed("an answer")),
    }
}

/// The value of an entry's line.
pub(super) fn line_value(this: &Remembered) -> Bytes {
    let mut bytes = this.key.0.to_vec();
    bytes.extend_from_slice(&this.time.0.to_be_bytes());
    bytes.extend_from_slice(&this.before.to_be_bytes());
    bytes.into()
}

fn line(entry: Seq, value: &[u8]) -> Result<Line> {
    let cut = value.split_first_chunk::<16>().and_then(|(key, rest)| {
        let (time, before) = rest.split_first_chunk::<8>()?;
        (before.len() == 8).then(|| (Fingerprint(*key), Millis(i64::from_be_bytes(*time)), number(before)))
    });
    let (key, time, before) = cut.ok_or_else(|| malformed("the line of an answer"))?;
    Ok(Line { entry, key, time, before })
}

/// The value of what is kept in all.
pub(super) fn answers_value(answers: Answers) -> Bytes {
    [answers.bytes.to_be_bytes(), answers.oldest.0.to_be_bytes()].concat().into()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn malformed(what: &str) -> Error {
    Error::damaged(format!("{what} that is kept can't be read"))
}
