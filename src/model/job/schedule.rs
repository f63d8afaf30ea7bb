//! When a job is due: a cron expression of five parts, or of six with seconds, in a time zone. Pure: the zones are those of
//! the IANA database that is built in.
//!
//! Where the clock springs forward, a time that does not exist is due when the clock has sprung; where it falls back, a
//! time that comes twice is due the first time, and what is due every so many minutes is due all along.

use croner::parser::{CronParser, Seconds};
use croner::{Cron, Direction};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::time::Millis;

/// A schedule, ready to be asked.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Box<Cron>,
    zone: TimeZone,
}

/// What is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The expression, and why.
    Cron(String),
    /// There is no such zone.
    Zone,
}

impl Schedule {
    /// Reads an expression; without a zone its times are UTC.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Schedule, Flaw> {
        let cron = CronParser::builder().seconds(Seconds::Optional).build().parse(text);
        let cron = Box::new(cron.map_err(|error| Flaw::Cron(error.to_string()))?);
        let zone = zone.map_or(Ok(TimeZone::UTC), TimeZone::get).map_err(|_| Flaw::Zone)?;
        let schedule = Schedule { cron, zone };
        // The thirtieth of February never comes.
        match schedule.next(Millis(0)) {
            Some(_) => Ok(schedule),
            None => Err(Flaw::Cron("it is never due".to_owned())),
        }
    }

    /// The last time behind `after`, and not behind `now`, that it was due: of several that were missed the last stands for
    /// all. `None` where it was not.
    pub fn due(&self, after: Millis, now: Millis) -> Option<Millis> {
        let last = millis(self.cron.find_previous_occurrence(&self.at(now)?, true).ok()?);
        (last > after).then_some(last)
    }

    /// The first time behind `after` that it is due.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let next = self.cron.iter_from(self.at(after)?, Direction::Forward).map(millis);
        next.take(2).find(|next| *next > after)
    }

    fn at(&self, time: Millis) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(time.0).ok()?.to_zoned(self.zone.clone()))
    }
}

fn millis(at: Zoned) -> Millis {
    Millis(at.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        Millis::parse(text).unwrap()
    }

    fn all(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let (mut last, to) = (at(from), at(to));
        let next = || {
            last = schedule.next(last).filter(|next| *next <= to)?;
            Some(String::from_utf8_lossy(&last.text()[..19]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    fn schedule(text: &str, zone: &str) -> Schedule {
        Schedule::parse(text, Some(zone)).unwrap()
    }

    #[test]
    fn expressions_have_five_parts_or_six_and_faults_are_told() {
        let ever_15_s = Schedule::parse("*/15 * * * * *", None).unwrap();
        assert_eq!(ever_15_s.next(at("2026-01-01 00:00:01.000Z")), Some(at("2026-01-01 00:00:15.000Z")));
        let mondays = Schedule::parse("30 6 * * MON", None).unwrap();
        assert_eq!(mondays.next(at("2026-01-01 00:00:00.000Z")), Some(at("2026-01-05 06:30:00.000Z")));
        assert!(Schedule::parse("@daily", None).is_ok());
        for bad in ["", "* * *", "61 * * * *", "* * * * * * * *", "x * * * *", "0 0 30 2 *"] {
            assert!(matches!(Schedule::parse(bad, None), Err(Flaw::Cron(_))), "{bad}");
        }
        assert_eq!(Schedule::parse("* * * * *", Some("Mars/Olympus")).err(), Some(Flaw::Zone));
    }

    /// Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
    #[test]
    fn a_time_that_does_not_exist_is_due_once_and_one_that_comes_twice_too() {
        let daily = schedule("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            all(&daily, "2026-03-28 00:00:00.000Z", "2026-03-31 00:00:00.000Z"),
            ["2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"]
        );
        assert_eq!(
            all(&daily, "2026-10-24 00:00:00.000Z", "2026-10-27 00:00:00.000Z"),
            ["2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00"]
        );
        let half_hourly = schedule("*/30 * * * *", "Europe/Berlin");
        assert_eq!(all(&half_hourly, "2026-10-24 22:00:00.000Z", "2026-10-25 03:00:00.000Z").len(), 10);
        assert_eq!(all(&half_hourly, "2026-03-28 23:00:00.000Z", "2026-03-29 03:00:00.000Z").len(), 8);
    }

    /// Whatever the clock does: each time behind the last that was given is given at most once, and none twice.
    #[test]
    fn a_clock_that_jumps_about_gives_no_time_twice() {
        let mut rng = crate::disk::sim::Rng::new(7);
        for (text, zone) in [("*/5 * * * *", "UTC"), ("30 2 * * *", "Europe/Berlin"), ("0 */3 * * *", "Asia/Kathmandu")]
        {
            let schedule = schedule(text, zone);
            let start = at("2026-03-28 00:00:00.000Z");
            let (mut now, mut last, mut given) = (start.0, start, Vec::new());
            for _ in 0..2_000 {
                now += match rng.below(10) {
                    0 => -(rng.below(3 * 86_400_000) as i64),
                    1 => rng.below(3 * 86_400_000) as i64,
                    _ => rng.below(600_000) as i64,
                };
                if let Some(slot) = schedule.due(last, Millis(now)) {
                    assert!(slot.0 <= now && slot > last);
                    assert_eq!(schedule.due(slot, Millis(now)), None, "{text}: twice");
                    given.push(slot);
                    last = slot;
                }
            }
            assert!(given.len() > 10 && given.is_sorted_by(|a, b| a < b), "{text}");
        }
    }
}
