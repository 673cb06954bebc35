//! When a master tells the neighbours where the virtual addresses are; knows only times.

use std::time::Duration;

use crate::time::Instant;

/// Announcements after becoming master. One burst is lost as a whole while a switch port learns or a
/// spanning tree settles, so they are spread over seconds.
const SCHEDULE: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A router that loses against us may have misled the neighbours; but a deaf one goes on for ever, so
/// the schedule starts anew for it at most this often.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A master's schedule; gone with the state that holds it, so nothing is announced after leaving.
#[derive(Clone, Debug)]
pub(super) struct Announcements {
    since: Instant,
    /// How many of [`SCHEDULE`] were made.
    made: usize,
    /// When a loser last started the schedule anew.
    again: Option<Instant>,
    /// From the end of [`SCHEDULE`] on.
    refresh: Option<Duration>,
}

impl Announcements {
    /// The first announcement is being made `now`.
    pub(super) fn started(now: Instant, refresh: Option<Duration>) -> Self {
        Self { since: now, made: 1, again: None, refresh }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        if let Some(wait) = SCHEDULE.get(self.made) {
            return Some(self.since + *wait);
        }
        let times = u32::try_from(self.made - SCHEDULE.len() + 1).unwrap_or(u32::MAX);
        let last = self.since + SCHEDULE[SCHEDULE.len() - 1];
        self.refresh.map(|every| last + every.saturating_mul(times))
    }

    /// Whether one is due; those that were missed count as made with it.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let before = self.made;
        while self.next().is_some_and(|at| at <= now) {
            self.made += 1;
        }
        self.made > before
    }

    /// Whether to announce at once because a loser was heard; the schedule then starts anew.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        if self.again.is_some_and(|last| now.since(last) < AGAIN_AFTER) {
            return false;
        }
        *self = Self { again: Some(now), ..Self::started(now, self.refresh) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_announcements_in_five_seconds_and_then_none() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(1_000), None);
        let mut made = vec![];
        while let Some(next) = announcements.next() {
            assert!(!announcements.take(at(0)), "not before it is due");
            assert!(announcements.take(next));
            made.push(next);
        }
        assert_eq!(made, [1_100, 1_500, 2_000, 3_000, 6_000].map(at));
    }

    #[test]
    fn after_a_pause_one_announcement_stands_for_all_missed() {
        let mut announcements = Announcements::started(Instant::START, None);
        assert!(announcements.take(Instant::from_millis(2_500)));
        assert_eq!(announcements.next(), Some(Instant::from_millis(5_000)));
    }

    #[test]
    fn a_loser_starts_them_anew_at_most_every_ten_seconds() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(0), None);
        assert!(announcements.again(at(7_000)));
        assert_eq!(announcements.next(), Some(at(7_100)));
        assert!(!announcements.again(at(16_999)));
        assert!(announcements.again(at(17_000)));
    }

    #[test]
    fn a_refresh_goes_on_after_the_schedule() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(0), Some(Duration::from_mins(1)));
        assert!(announcements.take(at(5_000)));
        assert_eq!(announcements.next(), Some(at(65_000)));
        assert!(announcements.take(at(65_000)));
        assert_eq!(announcements.next(), Some(at(125_000)));
    }
}
