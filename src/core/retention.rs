//! What of the log must be kept, and when a new snapshot is worth its work. Pure.
//!
//! Invariant: nothing goes that a start may need: the tables' last durable commit and the snapshot both reach past it.

use std::time::Duration;

use super::local::Snapshot;
use crate::id::Seq;
use crate::limits;
use crate::log::Segment;
use crate::time::Millis;

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// An entry younger than this is kept, as long as the log is within its bytes.
    pub log_keep: Duration,
    /// Bytes of the log's files past which neither age nor a lease protects an entry.
    pub log_max_bytes: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        let log_keep = Duration::from_secs(3_600 * u64::from(limits::LOG_KEEP_HOURS));
        Keep { log_keep, log_max_bytes: limits::LOG_MAX_BYTES }
    }
}

impl Keep {
    /// Log after which the tables have to follow it and be made durable, bytes: it can't be trimmed before.
    pub(super) fn checkpoint_log_bytes(&self) -> u64 {
        limits::CHECKPOINT_LOG_BYTES.min(self.log_max_bytes / 4)
    }
}

/// What stands against a trim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// The last entry that both the tables and the snapshot hold durably.
    pub(super) safe: Seq,
    /// The first entry that a lease needs.
    pub(super) leased: Option<Seq>,
    pub(super) now: Millis,
}

/// The first entry to be kept: the begin of one of the segments.
pub(super) fn keep_from(segments: &[Segment], keep: &Keep, needs: &Needs) -> Seq {
    let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut from = segments.first().map_or(Seq::ZERO, |segment| segment.first);
    for pair in segments.windows(2) {
        let (oldest, next) = (&pair[0], &pair[1]);
        let within = bytes <= keep.log_max_bytes;
        // Whatever is in the oldest is no younger than what the next begins with.
        let young = next.time.is_none_or(|time| age(time, needs.now) < keep.log_keep);
        let leased = needs.leased.is_some_and(|leased| leased < next.first);
        if next.first > needs.safe.next() || (within && (young || leased)) {
            break;
        }
        from = next.first;
        bytes -= oldest.bytes;
    }
    from
}

/// Whether so much was logged since the last snapshot that a new one costs less than what it lets go: its work stays
/// proportional to that of the writes. At once, where there is none and the log alone can't rebuild the tables.
pub(super) fn snapshot_due(segments: &[Segment], keep: &Keep, snapshot: Option<&Snapshot>) -> bool {
    let trimmed = segments.first().is_some_and(|segment| segment.first > Seq(1));
    let Some(snapshot) = snapshot else { return trimmed || bytes_after(segments, Seq::ZERO) > keep.log_max_bytes / 2 };
    bytes_after(segments, snapshot.seq) > snapshot.bytes.max(keep.log_max_bytes / 2)
}

fn bytes_after(segments: &[Segment], seq: Seq) -> u64 {
    segments.iter().filter(|segment| segment.first > seq).map(|segment| segment.bytes).sum()
}

fn age(time: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(time.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 10 bytes that begin at 1, 11, 21, …, each a second after the one before.
    fn segments(count: u64) -> Vec<Segment> {
        let segment = |n: u64| Segment { first: Seq(n * 10 + 1), bytes: 10, time: Some(Millis(n as i64 * 1_000)) };
        (0..count).map(segment).collect()
    }

    fn keep(seconds: u64, log_max_bytes: u64) -> Keep {
        Keep { log_keep: Duration::from_secs(seconds), log_max_bytes }
    }

    #[test]
    fn an_entry_goes_only_when_nothing_needs_it() {
        // Five segments, at 10 s: the fifth begins at seq 41 and was begun at 4 s.
        let cases = [
            ("old and safe: all but the newest", keep(1, 1_000), 100, None, 41),
            ("the tables or the snapshot don't reach past it", keep(1, 1_000), 25, None, 21),
            ("they end just before a segment", keep(1, 1_000), 30, None, 31),
            ("nothing is safe", keep(1, 1_000), 0, None, 1),
            ("nothing is safe, and it is far too much", keep(1, 5), 0, None, 1),
            ("young", keep(100, 1_000), 100, None, 1),
            ("some are young", keep(8, 1_000), 100, None, 21),
            ("young, but too much: as few as needed go", keep(100, 30), 100, None, 21),
            ("young, and just as much as may be", keep(100, 50), 100, None, 1),
            ("too much even for the newest", keep(100, 5), 100, None, 41),
            ("too much, but not safe", keep(100, 5), 15, None, 11),
            ("leased", keep(1, 1_000), 100, Some(25), 21),
            ("leased from a segment's begin", keep(1, 1_000), 100, Some(21), 21),
            ("leased, but too much", keep(1, 20), 100, Some(1), 31),
        ];
        for (what, keep, safe, leased, expected) in cases {
            let needs = Needs { safe: Seq(safe), leased: leased.map(Seq), now: Millis(10_000) };
            assert_eq!(keep_from(&segments(5), &keep, &needs), Seq(expected), "{what}");
        }
    }

    #[test]
    fn a_segment_of_unknown_age_is_young_and_a_clock_set_back_makes_nothing_old() {
        let mut unknown = segments(3);
        unknown[1].time = None;
        let needs = Needs { safe: Seq(100), leased: None, now: Millis(10_000) };
        assert_eq!(keep_from(&unknown, &keep(1, 1_000), &needs), Seq(1));
        assert_eq!(keep_from(&unknown, &keep(1, 5), &needs), Seq(21), "its bytes count all the same");
        let back = Needs { now: Millis(-10_000), ..needs };
        assert_eq!(keep_from(&segments(3), &keep(1, 1_000), &back), Seq(1));
    }

    #[test]
    fn a_snapshot_is_taken_when_as_much_was_logged_as_it_is_worth() {
        let snapshot = |seq, bytes| Some(Snapshot { seq: Seq(seq), bytes });
        let cases = [
            ("none, and little logged", 5, None, 100, false),
            ("none, and more than half of what may be", 5, None, 98, true),
            ("little since the last", 5, snapshot(25, 1), 40, false),
            ("more than half of what may be since the last", 5, snapshot(20, 1), 40, true),
            ("much, but the last was larger", 9, snapshot(20, 80), 40, false),
            ("more than the last", 9, snapshot(20, 60), 40, true),
        ];
        for (what, count, snapshot, log_max_bytes, expected) in cases {
            let due = snapshot_due(&segments(count), &keep(1, log_max_bytes), snapshot.as_ref());
            assert_eq!(due, expected, "{what}");
        }
        assert!(snapshot_due(&segments(5)[1..], &keep(1, 1_000), None), "the log alone rebuilds nothing");
    }
}
