//! When what a webhook could not send is tried again, and when no more.

use std::time::Duration;

/// How long is waited between tries, and for how long it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Before the second try.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// How long after the first try the last one may begin.
    pub tries_for: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15 * 60),
            tries_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Pauses {
    /// The pause after so many failed tries, from 1: twice the one before up to the longest, and of that a part between a
    /// half and all of it, as `random` (0 to 1) has it, so that those that failed together do not come back together.
    /// `asked` is what the receiver asked for in `Retry-After`: no less, up to the longest. `None` where `since` the first
    /// try too long has passed.
    pub fn pause(&self, failed: u32, random: f64, asked: Option<Duration>, since: Duration) -> Option<Duration> {
        let times = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        let doubled = self.first.saturating_mul(times).min(self.longest);
        let part = doubled.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        let pause = part.max(asked.unwrap_or_default().min(self.longest));
        (since + pause <= self.tries_for).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_after_a_day() {
        let pauses = Pauses::default();
        let seconds = |failed, random| pauses.pause(failed, random, None, Duration::ZERO).unwrap().as_secs_f64();
        assert_eq!([1, 2, 3, 10, 11, 40].map(|failed| seconds(failed, 1.0)), [1.0, 2.0, 4.0, 512.0, 900.0, 900.0]);
        assert_eq!((seconds(3, 0.0), seconds(u32::MAX, 0.0)), (2.0, 450.0));
        let asked = |asked| pauses.pause(1, 0.0, Some(Duration::from_secs(asked)), Duration::ZERO).unwrap().as_secs();
        assert_eq!((asked(60), asked(1_000_000)), (60, 900));
        let (mut since, mut tries) = (Duration::ZERO, 1_u32);
        while let Some(pause) = pauses.pause(tries, 1.0, None, since) {
            since += pause;
            tries += 1;
        }
        assert!(since > pauses.tries_for - pauses.longest && since <= pauses.tries_for, "the last try after {since:?}");
        assert_eq!(tries, 105);
    }
}
