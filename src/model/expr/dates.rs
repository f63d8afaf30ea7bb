//! Parts of a moment and moments made of parts, all in UTC.

use crate::time::Millis;

use super::node::Moment;
use super::operand::Operand;

pub(super) const DAY: i64 = 86_400_000;

/// `2001-02-28`
pub(super) fn day_text(at: Millis) -> String {
    let text = at.text();
    String::from_utf8_lossy(&text[..10]).into_owned()
}

/// Days since 1970-01-01 of a date of the civil calendar: `days_from_civil` of Howard Hinnant.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The moment some days later; null where no date is.
pub(super) fn add_days(at: Millis, count: f64) -> Option<Millis> {
    let millis = at.0 as f64 + (count * DAY as f64).round();
    let inside = millis >= Millis::MIN.0 as f64 && millis <= Millis::MAX.0 as f64;
    inside.then_some(Millis(millis as i64))
}

pub(super) fn hour(at: Millis) -> i64 {
    at.0.rem_euclid(DAY) / 3_600_000
}

/// What a name of the clock means at `now`.
pub(super) fn moment(which: Moment, now: Millis) -> Operand<'static> {
    let (year, month, day) = now.civil();
    let today = now.0 - now.0.rem_euclid(DAY);
    let first = |year: i64, month: i64| days(year + (month - 1) / 12, (month - 1) % 12 + 1, 1) * DAY;
    let date = |millis: i64| Operand::Date(Millis(millis.clamp(Millis::MIN.0, Millis::MAX.0)));
    match which {
        Moment::Now => date(now.0),
        Moment::Yesterday => date(now.0 - DAY),
        Moment::Tomorrow => date(now.0 + DAY),
        Moment::Second => Operand::Int(now.0.rem_euclid(60_000) / 1_000),
        Moment::Minute => Operand::Int(now.0.rem_euclid(3_600_000) / 60_000),
        Moment::Hour => Operand::Int(hour(now)),
        // 1970-01-01 was a Thursday; Sunday is 0.
        Moment::Weekday => Operand::Int((now.0.div_euclid(DAY) + 4).rem_euclid(7)),
        Moment::Day => Operand::Int(day),
        Moment::Month => Operand::Int(month),
        Moment::Year => Operand::Int(year),
        Moment::TodayStart => date(today),
        Moment::TodayEnd => date(today + DAY - 1),
        Moment::MonthStart => date(first(year, month)),
        Moment::MonthEnd => date(first(year, month + 1) - 1),
        Moment::YearStart => date(first(year, 1)),
        Moment::YearEnd => date(first(year + 1, 1) - 1),
    }
}
