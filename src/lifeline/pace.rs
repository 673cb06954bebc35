//! How often something may happen: the wait between attempts, and a budget that time refills. Knows only times.

use std::time::Duration;

use crate::time::Instant;

/// The wait after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// The wait until the next attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    /// An attempt failed. Returns the wait until the next one.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = self.0.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.0 = Some(wait);
        wait
    }

    /// An attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

/// So many at once, then one a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u32,
    most: u32,
    refilled: Instant,
}

impl Budget {
    pub(super) const fn new(most: u32, now: Instant) -> Self {
        Self { left: most, most, refilled: now }
    }

    /// Takes one, if one is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let more = now.since(self.refilled).as_secs();
        if more > 0 {
            self.refilled = self.refilled + Duration::from_secs(more);
            self.left = u32::try_from(more).unwrap_or(u32::MAX).saturating_add(self.left).min(self.most);
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }

    /// When one is left again, at the latest.
    pub(super) fn next(&self) -> Instant {
        if self.left > 0 { self.refilled } else { self.refilled + Duration::from_secs(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_begins_again_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.failed().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.failed().as_secs(), 1);
    }

    #[test]
    fn a_budget_is_refilled_once_a_second_and_no_further_than_its_size() {
        let mut budget = Budget::new(3, Instant::START);
        let mut taken = |ms| (0..9).filter(|_| budget.take(Instant::from_millis(ms))).count();
        assert_eq!([taken(0), taken(999), taken(1_000), taken(3_500), taken(60_000)], [3, 0, 1, 2, 3]);
        assert_eq!(budget.next(), Instant::from_millis(61_000));
    }
}
