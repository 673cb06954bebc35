//! The times at which a master announces its virtual addresses to the neighbors (gratuitous ARP, unsolicited neighbor
//! advertisements). Knows only times.

use std::time::Duration;

use super::event::Timing;
use crate::time::Instant;

/// The announcements after becoming master. A single burst could be lost completely while a switch port learns or a
/// spanning tree converges, so they are spread over several seconds.
const SCHEDULE: &[Duration] = &[
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// The announcements after the advert of a lower router that came soon after another one.
const REPEATED: &[Duration] = &[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

/// The minimum time between two restarts of [`SCHEDULE`] because of a lower router. Its announcements may have misled the
/// neighbors, but one that does not receive our adverts continues forever.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);

/// Until [`RESTART_INTERVAL`] has passed, the advert of a lower router is followed by an announcement no sooner than this
/// after the last one, and so no later than this after the advert: the last announcement on the wire must be ours.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The schedule of a master. It ends with the state that holds it, so that nothing is announced after that.
#[derive(Clone, Debug, Hash)]
pub(super) struct Announcements {
    /// The times of the announcements after `since`.
    schedule: &'static [Duration],
    since: Instant,
    /// How many announcements of the schedule were made.
    made: usize,
    /// When the last announcement was made.
    last: Instant,
    /// When an advert of a lower router last restarted the schedule.
    restarted: Option<Instant>,
    /// The time between announcements after the end of the schedule.
    refresh: Option<Duration>,
}

impl Announcements {
    /// Starts a schedule whose first announcement is made `now`.
    pub(super) fn started(now: Instant, refresh: Option<Duration>) -> Self {
        Self { schedule: SCHEDULE, since: now, made: 1, last: now, restarted: None, refresh }
    }

    /// When the next announcement is due.
    pub(super) fn next(&self) -> Option<Instant> {
        if let Some(wait) = self.schedule.get(self.made) {
            return Some(self.since + *wait);
        }
        let times = u32::try_from(self.made - self.schedule.len() + 1).unwrap_or(u32::MAX);
        let last = self.since + self.schedule[self.schedule.len() - 1];
        self.refresh.map(|every| last + every.saturating_mul(times))
    }

    /// Whether an announcement is due. Those that were missed are skipped.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let before = self.made;
        while self.next().is_some_and(|at| at <= now) {
            self.made += 1;
        }
        let due = self.made > before;
        if due {
            self.last = now;
        }
        due
    }

    /// A lower router advertised: its announcements may have misled the neighbors. Restarts the schedule, or, if that
    /// happened recently, ensures that an announcement follows within [`REPEAT_INTERVAL`].
    pub(super) fn restart(&mut self, now: Instant) -> Timing {
        if self.restarted.is_some_and(|last| now.since(last) < RESTART_INTERVAL) {
            return self.repeat(now);
        }
        *self = Self { restarted: Some(now), ..Self::started(now, self.refresh) };
        Timing::Now
    }

    /// Ensures that an announcement follows within [`REPEAT_INTERVAL`], because another router may have announced the
    /// addresses.
    pub(super) fn repeat(&mut self, now: Instant) -> Timing {
        let due = now.max(self.last + REPEAT_INTERVAL);
        if self.next().is_none_or(|at| at > due) {
            (self.schedule, self.since, self.made) = (REPEATED, due, 0);
        }
        if self.take(now) { Timing::Now } else { Timing::Later }
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
        assert_eq!(announcements.restart(at(7_000)), Timing::Now);
        assert_eq!(announcements.next(), Some(at(7_100)));
        assert_eq!(announcements.restart(at(7_050)), Timing::Later);
        assert_eq!(announcements.next(), Some(at(7_100)), "soon enough");
        assert_eq!(announcements.restart(at(17_000)), Timing::Now);
        assert_eq!(announcements.next(), Some(at(17_100)));
    }

    #[test]
    fn one_that_continues_gets_one_a_second_and_the_last_word_is_ours() {
        let at = Instant::from_millis;
        let mut announcements = Announcements::started(at(0), None);
        announcements.take(at(5_000));
        let mut made = vec![];
        let last_advert = 19_990;
        for now in (6_000..30_000).step_by(10) {
            if announcements.take(at(now)) {
                made.push(now);
            }
            if now <= last_advert && announcements.restart(at(now)) == Timing::Now {
                made.push(now);
            }
        }
        for start in (6_000..19_000).step_by(1_000) {
            let in_a_second = made.iter().filter(|at| (start..start + 1_000).contains(*at)).count();
            assert!((1..=4).contains(&in_a_second), "{in_a_second} announcements after {start}: {made:?}");
        }
        let after: Vec<_> = made.into_iter().filter(|at| *at > last_advert).collect();
        assert_eq!(after.len(), 2, "{after:?}");
        assert!(after[0] <= last_advert + 1_000, "{after:?}");
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
