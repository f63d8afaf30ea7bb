//! How fast a round of reading goes: so that it takes a set time, in small steps. Pure but for the clock it is given.

use std::time::{Duration, Instant};

/// The pace of one kind of scrub.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that a round shall take; `None` is never.
    round: Option<Duration>,
    last: Instant,
}

impl Pace {
    /// A round in `round`; zero is never.
    pub(super) fn new(round: Duration) -> Pace {
        Pace { round: (round > Duration::ZERO).then_some(round), last: Instant::now() }
    }

    /// How much of a round of `all` is due at `now`, at least `least` and at most `most`; `None` when it is less. What is
    /// not done then is not made up for.
    pub(super) fn due(&mut self, all: u64, least: u64, most: u64, now: Instant) -> Option<u64> {
        let round = self.round?;
        let gone = now.saturating_duration_since(self.last);
        let due = (u128::from(all) * gone.as_millis()).checked_div(round.as_millis())?;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        if due < least {
            return None;
        }
        self.last = now;
        Some(due.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_its_time_in_steps_that_are_bounded() {
        let mut pace = Pace::new(Duration::from_secs(100));
        let began = pace.last;
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(pace.due(1_000, 50, 200, after(4)), None, "less than is worth a step");
        assert_eq!(pace.due(1_000, 50, 200, after(10)), Some(100));
        assert_eq!(pace.due(1_000, 50, 200, after(10)), None);
        assert_eq!(pace.due(1_000, 50, 200, after(90)), Some(200), "a long pause is not made up for at once");
        assert_eq!(pace.due(1_000, 50, 200, after(91)), None);
        assert_eq!(Pace::new(Duration::ZERO).due(1_000, 0, 200, after(99)), None, "never");
    }
}
