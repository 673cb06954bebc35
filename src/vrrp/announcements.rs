//! The times at which a master announces its virtual addresses to the neighbors (gratuitous ARP, unsolicited neighbor
//! advertisements). Knows only times.

use std::time::Duration;

use crate::time::Instant;

/// The announcements after becoming master. A single burst could be lost completely while a switch port learns or a
/// spanning tree converges, so they are spread over several seconds.
const SCHEDULE: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// The minimum time between two restarts of the schedule because of a lower router. Its announcements may have misled the
/// neighbors, but one that does not receive our adverts continues forever.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);

/// The schedule of a master. It ends with the state that holds it, so that nothing is announced after that.
#[derive(Clone, Debug)]
pub(super) struct Announcements {
    since: Instant,
    /// How many announcements were made.
    made: usize,
    /// When an advert of a lower router last restarted the schedule.
    restarted: Option<Instant>,
    /// The time between announcements after the end of [`SCHEDULE`].
    refresh: Option<Duration>,
}

impl Announcements {
    /// Starts a schedule whose first announcement is made `now`.
    pub(super) fn started(now: Instant, refresh: Option<Duration>) -> Self {
        Self { since: now, made: 1, restarted: None, refresh }
    }

    /// When the next announcement is due.
    pub(super) fn next(&self) -> Option<Instant> {
        if let Some(wait) = SCHEDULE.get(self.made) {
            return Some(self.since + *wait);
        }
        let times = u32::try_from(self.made - SCHEDULE.len() + 1).unwrap_or(u32::MAX);
        let last = self.since + SCHEDULE[SCHEDULE.len() - 1];
        self.refresh.map(|every| last + every.saturating_mul(times))
    }

    /// Whether an announcement is due. Those that were missed are skipped.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let before = self.made;
        while self.next().is_some_and(|at| at <= now) {
            self.made += 1;
        }
        self.made > before
    }

    /// Restarts the schedule because of an advert from a lower router, unless that happened recently. Returns whether to
    /// announce now.
    pub(super) fn restart(&mut self, now: Instant) -> bool {
        if self.restarted.is_some_and(|last| now.since(last) < RESTART_INTERVAL) {
            return false;
        }
        *self = Self { restarted: Some(now), ..Self::started(now, self.refresh) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_announcements_in_five_seconds_and_then_no_more() {
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
    fn after_a_pause_one_announcement_replaces_all_missed() {
        let mut announcements = Announcements::started(Instant::START, None);
        assert!(announcements.take(Instant::from_millis(2_500)));
        assert_eq!(announcements.next(), Some(Instant::from_millis(5_000)));
    }

    #[test]
    fn a_lower_router_restarts_them_at_most_every_ten_seconds() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(0), None);
        assert!(announcements.restart(at(7_000)));
        assert_eq!(announcements.next(), Some(at(7_100)));
        assert!(!announcements.restart(at(16_999)));
        assert!(announcements.restart(at(17_000)));
    }

    #[test]
    fn a_refresh_continues_after_the_schedule() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(0), Some(Duration::from_mins(1)));
        assert!(announcements.take(at(5_000)));
        assert_eq!(announcements.next(), Some(at(65_000)));
        assert!(announcements.take(at(65_000)));
        assert_eq!(announcements.next(), Some(at(125_000)));
    }
}
