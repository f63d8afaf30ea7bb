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

impl Millis {
    /// Its year, month and day in UTC; those of the nearer of [`Millis::MIN`] and [`Millis::MAX`] outside them.
    pub fn civil(self) -> (i64, i64, i64) {
        let (year, month, day) = civil(self.0.clamp(Millis::MIN.0, Millis::MAX.0).div_euclid(86_400_000));
        (i64::from(year), i64::from(month), i64::from(day))
    }

    /// `2001-01-01 00:47:00.000Z`, as PocketBase writes dates; sortable as text. Always ASCII. What lies outside
    /// [`Millis::MIN`] and [`Millis::MAX`] is written as the nearer of them.
    pub fn text(self) -> [u8; 24] {
        let millis = self.0.clamp(Millis::MIN.0, Millis::MAX.0);
        let (year, month, day) = civil(millis.div_euclid(86_400_000));
        let of_day = millis.rem_euclid(86_400_000) as u32;
        let mut text = *b"0000-00-00 00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], of_day / 3_600_000);
        digits(&mut text[14..16], of_day / 60_000 % 60);
        digits(&mut text[17..19], of_day / 1_000 % 60);
        digits(&mut text[20..23], of_day % 1_000);
        text
    }

    /// Whole seconds since 1970; 0 before.
    pub fn seconds(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }
}

/// Year, month and day of a number of days since 1970-01-01, in years 1 to 9999: the algorithm `civil_from_days` of
/// Howard Hinnant, over eras of 400 years that begin on the first of March.
fn civil(days: i64) -> (u32, u32, u32) {
    let days = (days + 719_468) as u32;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

fn digits(into: &mut [u8], mut number: u32) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Display for Millis {
    /// As [`Millis::text`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
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

/// The time of day as HTTP writes it (RFC 9110, section 5.6.7).
pub fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
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

    #[test]
    fn every_day_has_the_text_that_jiff_gives_it() {
        let day = 86_400_000;
        for days in Millis::MIN.0.div_euclid(day)..=Millis::MAX.0.div_euclid(day) {
            let at = Millis((days * day + 12_345_678).clamp(Millis::MIN.0, Millis::MAX.0));
            let jiff = jiff::Timestamp::from_millisecond(at.0).expect("in range");
            let expected = jiff::tz::TimeZone::UTC.to_datetime(jiff).date();
            let (year, month, day) = civil(days);
            assert_eq!(
                (year as i16, month as i8, day as i8),
                (expected.year(), expected.month(), expected.day()),
                "day {days}"
            );
        }
    }
}
