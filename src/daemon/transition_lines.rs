//! Limits how often one router's transitions are logged, so that a flood of forged adverts cannot fill the log. The last
//! transition always gets its line. Knows no message.

use std::time::Duration;

use crate::time::Instant;
use crate::vrrp::{Role, Why};

/// Transitions that are logged one by one.
const BURST: u32 = 10;
/// After a burst, one more transition is logged in this time.
const REFILL: Duration = Duration::from_secs(1);

/// A change of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: Role,
    pub(super) to: Role,
    pub(super) why: Why,
}

/// The lines that may still be logged, and the transitions without one.
#[derive(Debug)]
pub(super) struct TransitionLines {
    left: u32,
    /// When `left` last grew.
    refilled: Instant,
    /// How many transitions have no line, and the last of them.
    held: Option<Box<(u32, Transition)>>,
}

impl TransitionLines {
    pub(super) fn new() -> Self {
        Self { left: BURST, refilled: Instant::START, held: None }
    }

    /// When [`TransitionLines::take`] has a line to log.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.is_some().then(|| self.refilled + REFILL)
    }

    /// A transition `now`. It counts as without a line until [`TransitionLines::take`] returns it.
    pub(super) fn push(&mut self, transition: Transition) {
        let skipped = self.held.as_ref().map_or(0, |held| held.0);
        self.held = Some(Box::new((skipped.saturating_add(1), transition)));
    }

    /// The next line may be the last: it is logged in any case.
    pub(super) fn admit_one(&mut self) {
        self.left = self.left.max(1);
    }

    /// The last transition, if it may be logged now, and how many before it have no line.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Transition, u32)> {
        self.refill(now);
        self.left = self.left.checked_sub(u32::from(self.held.is_some()))?;
        let (count, transition) = *self.held.take()?;
        Some((transition, count - 1))
    }

    fn refill(&mut self, now: Instant) {
        let times = now.since(self.refilled).as_nanos() / REFILL.as_nanos();
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        if times == 0 {
            return;
        }
        self.left = self.left.saturating_add(times).min(BURST);
        self.refilled = if self.left == BURST { now } else { self.refilled + REFILL * times };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Transition = Transition { from: Role::Master, to: Role::Backup, why: Why::Startup };
    const UP: Transition = Transition { from: Role::Backup, to: Role::Master, why: Why::Startup };

    #[test]
    fn a_flood_is_summarized_and_its_last_transition_is_logged() {
        let at = Instant::from_millis;
        let mut lines = TransitionLines::new();
        let mut logged = vec![];
        for n in 0..101 {
            lines.push(if n % 2 == 0 { DOWN } else { UP });
            logged.extend(lines.take(at(10_000 + n)));
        }
        assert_eq!(logged.len(), 10, "one by one at first");
        assert!(logged.iter().all(|(_, skipped)| *skipped == 0));
        let due = lines.deadline().unwrap();
        assert!(due <= at(11_100), "within a second after the last: {due:?}");
        assert_eq!(lines.take(due), Some((DOWN, 90)));
        assert_eq!((lines.take(due), lines.deadline()), (None, None));
    }

    #[test]
    fn transitions_at_the_pace_of_failures_are_all_logged() {
        let mut lines = TransitionLines::new();
        for n in 0..1_000 {
            lines.push(DOWN);
            assert_eq!(lines.take(Instant::from_millis(n * 1_000)), Some((DOWN, 0)), "{n}");
        }
    }
}
