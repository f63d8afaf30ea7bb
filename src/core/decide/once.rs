//! Decisions about answers that are kept: what one counts for, and which older ones go when it comes.
//!
//! Invariant: what is kept takes `limits::ANSWERS_BYTES_MAX` at most. It is bounded here and nowhere else: whoever keeps
//! an answer makes the room for it.

use super::collections::to_json;
use super::{Draft, text_bytes};
use crate::error::{Error, Kind, Result};
use crate::id::Seq;
use crate::limits;
use crate::model::change::Change;
use crate::model::command::Written;
use crate::model::once::{Fingerprint, Keep, Kept, Once, Remembered};
use crate::state::{self, Answers, Line};
use crate::time::Millis;

/// What a write of an answer takes beside its record's texts, bytes; and each field of the record.
const PART_BYTES: usize = 64;
const FIELD_BYTES: usize = 16;

/// Has the answer kept, as the last change of its entry.
pub(super) fn remember(draft: &mut Draft<'_>, once: Once, keep: &Keep) -> Result<()> {
    let mut kept = draft.kept.take().unwrap_or_default();
    match keep {
        Keep::All => {}
        Keep::Counts => kept.push(counts(&draft.committed.writes)),
        Keep::Told(text) => kept.push(Kept::Told(text.clone().into())),
    }
    kept.extend(definition(draft)?);
    let bytes = answer_bytes(draft, keep, &kept);
    if bytes > limits::ANSWER_KEPT_BYTES_MAX {
        let max = limits::ANSWER_KEPT_BYTES_MAX >> 20;
        let message =
            format!("the answer to a write with an Idempotency-Key has at most {max} MiB: write less at once");
        return Err(Error::new(Kind::TooLarge, message).code("answer_too_large"));
    }
    let (bytes, now) = (bytes as u64, draft.now);
    // No change of an entry touches answers but its last.
    let state = draft.state.below();
    let all = state::answers(state)?;
    let mut room = make_room(state::lines(state, all.oldest)?, all, once.key, bytes, now)?;
    // One that is over its age and not among the oldest looked at.
    if let Some(stale) = state::answer(state, once.key)? {
        let stale = (stale.position.seq, once.key);
        if !room.forgotten.contains(&stale) {
            room.forgotten.push(stale);
        }
    }
    draft.push(Change::Remembered(Remembered {
        key: once.key,
        body: once.body,
        time: now,
        kept,
        bytes,
        before: all.bytes,
        forgotten: room.forgotten,
        oldest: room.oldest.unwrap_or(draft.position.seq),
    }))
}

fn counts(writes: &[Written]) -> Kept {
    let created = writes.iter().filter(|one| matches!(one, Written::Created(_))).count();
    Kept::Counts(created as u64, (writes.len() - created) as u64)
}

/// The definition that the command was about, as the entry leaves it.
fn definition(draft: &Draft<'_>) -> Result<Option<Kept>> {
    let Some(defined) = &draft.committed.collection else { return Ok(None) };
    let of_it = |change: &Change| matches!(change, Change::Defined { collection, .. } if *collection == defined.id);
    if let Some(at) = draft.changes.iter().rposition(of_it) {
        return Ok(Some(Kept::Change(at as u32)));
    }
    Ok(Some(Kept::Definition(defined.id, defined.version, to_json(defined)?)))
}

/// Which answers go.
#[derive(Debug, Default, PartialEq)]
struct Room {
    forgotten: Vec<(Seq, Fingerprint)>,
    /// The oldest one that stays, if one does.
    oldest: Option<Seq>,
}

/// Forgets a few answers past their age, and where there is too little room for `bytes` more, as many of the oldest as
/// it takes. What is under `own` goes in any case: something else is kept there now.
fn make_room(
    lines: impl Iterator<Item = Result<Line>>,
    all: Answers,
    own: Fingerprint,
    bytes: u64,
    now: Millis,
) -> Result<Room> {
    let mut room = Room::default();
    for line in lines {
        let line = line?;
        // What there is when this is the oldest of it.
        let crowded = all.bytes.saturating_sub(line.before).saturating_add(bytes) > limits::ANSWERS_BYTES_MAX;
        let old = state::is_over_age(line.time, now) && room.forgotten.len() < limits::ANSWERS_FORGOTTEN;
        if !(old || crowded || line.key == own) {
            room.oldest = Some(line.entry);
            break;
        }
        if crowded && line.key != own && state::age_ms(line.time, now) < limits::ANSWERS_AGE_MIN.as_millis() {
            let message = "more Idempotency-Keys are in use than are kept: ask again later, or without one";
            return Err(Error::new(Kind::Unavailable, message).code("too_many_idempotency_keys"));
        }
        room.forgotten.push((line.entry, line.key));
    }
    Ok(room)
}

/// Forgets a bounded number of answers past their age, the oldest first.
pub(super) fn forget(draft: &mut Draft<'_>) -> Result<()> {
    let (state, now) = (draft.state.below(), draft.now);
    let all = state::answers(state)?;
    let (mut answers, mut oldest) = (Vec::new(), draft.position.seq);
    for line in state::lines(state, all.oldest)? {
        let line = line?;
        if !state::is_over_age(line.time, now) || answers.len() == limits::ANSWERS_FORGOTTEN_PIECE {
            oldest = line.entry;
            break;
        }
        answers.push((line.entry, line.key));
    }
    if answers.is_empty() { Ok(()) } else { draft.push(Change::Forgotten { answers, bytes: all.bytes, oldest }) }
}

/// What an answer counts for.
fn answer_bytes(draft: &Draft<'_>, keep: &Keep, kept: &[Kept]) -> usize {
    let writes = if *keep == Keep::All { &draft.committed.writes[..] } else { &[] };
    let records = writes.iter().map(|written| match written {
        Written::Created(record) | Written::Updated(record) => {
            text_bytes(&record.fields) + FIELD_BYTES * record.fields.iter().count()
        }
        Written::Deleted => 0,
    });
    let definitions = kept.iter().map(|kept| match kept {
        Kept::Definition(_, _, text) | Kept::Told(text) => text.len(),
        Kept::Change(at) => match draft.changes.get(*at as usize) {
            Some(Change::Defined { definition, .. }) => definition.len(),
            _ => 0,
        },
        Kept::Record(..) | Kept::Gone(_) | Kept::Counts(..) => 0,
    });
    limits::ANSWER_BYTES_MIN + PART_BYTES * kept.len() + records.sum::<usize>() + definitions.sum::<usize>()
}

/// What a kept answer takes in an entry, at least: texts and keys.
pub(super) fn bytes_at_least(remembered: &Remembered) -> usize {
    let kept = remembered.kept.iter().map(|kept| match kept {
        Kept::Record(_, record) => text_bytes(&record.fields),
        Kept::Definition(_, _, text) | Kept::Told(text) => text.len(),
        Kept::Change(_) | Kept::Gone(_) | Kept::Counts(..) => 0,
    });
    kept.sum::<usize>() + forgotten_bytes(&remembered.forgotten)
}

/// What answers that go take in an entry, at least.
pub(super) fn forgotten_bytes(answers: &[(Seq, Fingerprint)]) -> usize {
    size_of::<Fingerprint>() * answers.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);
    const OWN: Fingerprint = Fingerprint([0xff; 16]);

    fn key(entry: u64) -> Fingerprint {
        Fingerprint(u128::from(entry).to_be_bytes())
    }

    /// Answers by their ages in minutes and their bytes, kept by the entries 1, 2, …; what comes takes `bytes`.
    fn room(kept: &[(i64, u64)], bytes: u64) -> Result<Room, &'static str> {
        let mut all = Answers { bytes: 0, oldest: Seq(1) };
        let mut lines = Vec::new();
        for (entry, (minutes, bytes)) in (1..).zip(kept) {
            lines.push(Line {
                entry: Seq(entry),
                key: key(entry),
                time: Millis(NOW.0 - minutes * 60_000),
                before: all.bytes,
            });
            all.bytes += bytes;
        }
        make_room(lines.into_iter().map(Ok), all, OWN, bytes, NOW).map_err(|error| error.code_str())
    }

    fn gone(room: Result<Room, &'static str>) -> Result<(usize, Option<u64>), &'static str> {
        room.map(|room| (room.forgotten.len(), room.oldest.map(|oldest| oldest.0)))
    }

    #[test]
    fn a_few_that_are_over_age_go_with_each_that_comes() {
        const DAY: i64 = 24 * 60;
        assert_eq!(gone(room(&[], 600)), Ok((0, None)));
        assert_eq!(gone(room(&[(DAY - 1, 600), (5, 600)], 600)), Ok((0, Some(1))));
        assert_eq!(gone(room(&[(DAY, 600), (DAY - 1, 600)], 600)), Ok((1, Some(2))));
        assert_eq!(gone(room(&[(DAY, 600); 3], 600)), Ok((3, None)));
        assert_eq!(gone(room(&[(DAY + 7, 600); 20], 600)), Ok((8, Some(9))));
    }

    #[test]
    fn what_is_kept_never_takes_more_than_its_bound() {
        let max = limits::ANSWERS_BYTES_MAX;
        let third = max / 3;
        // To the last byte.
        assert_eq!(gone(room(&[(60, third), (50, third)], max - 2 * third)), Ok((0, Some(1))));
        assert_eq!(gone(room(&[(60, third), (50, third)], max - 2 * third + 1)), Ok((1, Some(2))));
        assert_eq!(gone(room(&[(60, third), (50, third)], max - third + 1)), Ok((2, None)));
        // Those that are young stay, and who comes waits.
        let refused = Err("too_many_idempotency_keys");
        assert_eq!(gone(room(&[(10, third), (9, third)], max - 2 * third + 1)), Ok((1, Some(2))));
        assert_eq!(gone(room(&[(9, third), (9, third)], max - 2 * third + 1)), refused);
        assert_eq!(gone(room(&[(60, third), (9, third)], max - third + 1)), refused);
    }

    #[test]
    fn room_for_the_largest_answer_is_made_by_some_thousand_small_ones() {
        let (least, most) = (limits::ANSWER_BYTES_MIN as u64, limits::ANSWER_KEPT_BYTES_MAX as u64);
        let mut kept = vec![(60, least); 10_000];
        kept.push((50, limits::ANSWERS_BYTES_MAX - 10_000 * least));
        assert_eq!(gone(room(&kept, most)), Ok((8_192, Some(8_193))));
    }
}
