//! The clock as a value, and the one text form of a moment.
//!
//! Nothing below `core::writer` and the edge reads the time; it is handed down, so that decide and effects stay pure.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// 0001-01-01 00:00:00.000Z, the earliest moment a record may hold.
    pub const MIN: Millis = Millis(-62_135_596_800_000);
    /// 9999-12-30 21:59:59.999Z, the latest (where `jiff` ends, to be formatted anywhere).
    pub const MAX: Millis = Millis(253_402_207_199_999);

    /// Reads RFC 3339 and its common relatives: `2001-01-01`, `2001-01-01 00:47`, with seconds, fractions (cut to
    /// milliseconds), `T` or a space, `Z` or an offset; no offset means UTC. `None` for anything else and for dates
    /// that do not exist.
    pub fn parse(text: &str) -> Option<Millis> {
        let text = text.trim();
        if text.len() > 40 || !text.is_ascii() {
            return None;
        }
        let at = match text.parse::<jiff::Timestamp>() {
            Ok(at) => at,
            Err(_) => {
                // Without an offset jiff reads a civil time; what bears one has been read above.
                let at: jiff::civil::DateTime = text.parse().ok()?;
                let plain =
                    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b' ' | b'T' | b't'));
                if !plain {
                    return None;
                }
                at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
            }
        };
        let millis = Millis(at.as_nanosecond().div_euclid(1_000_000) as i64);
        (Millis::MIN..=Millis::MAX).contains(&millis).then_some(millis)
    }
}

impl fmt::Display for Millis {
    /// `2001-01-01 00:47:00.000Z`, as PocketBase writes dates; sortable as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at =
            jiff::Timestamp::from_millisecond(self.0.clamp(Millis::MIN.0, Millis::MAX.0)).map_err(|_| fmt::Error)?;
        let civil = jiff::tz::TimeZone::UTC.to_datetime(at);
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}Z",
            civil.year(),
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second(),
            civil.millisecond()
        )
    }
}

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// A test's: stands still until moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until its number is changed.
    pub fn manual(at: Millis) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(at.0)))
    }

    /// The time now.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Millis(since.as_millis() as i64)
            }
            Clock::Manual(at) => Millis(at.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_or_refused() {
        let table = [
            ("2001-01-01", Some("2001-01-01 00:00:00.000Z")),
            ("2001-01-01 00:47", Some("2001-01-01 00:47:00.000Z")),
            ("2001-01-01T00:47:05Z", Some("2001-01-01 00:47:05.000Z")),
            ("2001-01-01 00:47:05.123456Z", Some("2001-01-01 00:47:05.123Z")),
            ("2001-01-01T00:47:05+02:00", Some("2000-12-31 22:47:05.000Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01 00:00:00.000Z")),
            ("1969-12-31T23:59:59.9999Z", Some("1969-12-31 23:59:59.999Z")),
            ("2001-02-29", None),
            ("2001-13-01", None),
            ("2001-01-01T25:00", None),
            ("-000001-01-01T00:00:00Z", None),
            ("2001-01-01T00:00:00[Europe/Paris]", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Millis::parse(text).map(|at| at.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_text_of_a_moment_reads_back() {
        for at in [Millis::MIN, Millis::MAX, Millis(0), Millis(-1), Millis(1_700_000_000_123)] {
            assert_eq!(Millis::parse(&at.to_string()), Some(at));
        }
    }
}
