//! The times at which a master announces its virtual addresses to the neighbors (gratuitous ARP, unsolicited neighbor
//! advertisements). Knows only times.

use std::time::Duration;

use super::event::Timing;
use crate::time::Instant;

/// When announcements are made.
#[derive(Clone, Copy, Debug, Hash)]
enum Schedule {
    /// After becoming master.
    Start,
    /// After the advert of a lower router that came soon after another one.
    Repeated,
}

impl Schedule {
    /// The times after the start of the schedule.
    const fn times(self) -> &'static [Duration] {
        match self {
            Self::Start => START,
            Self::Repeated => REPEATED,
        }
    }
}

/// A single burst could be lost completely while a switch port learns or a spanning tree converges, so they are spread over
/// several seconds.
const START: &[Duration] = &[
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
const REPEATED: &[Duration] = &[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

/// The minimum time between two starts of the schedule because of a lower router. Its announcements may have misled the
/// neighbors, but one that does not receive our adverts continues forever.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);

/// Until [`RESTART_INTERVAL`] has passed, the advert of a lower router is followed by an announcement no sooner than this
/// after the last one, and so no later than this after the advert: the last announcement on the wire must be ours.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the answer of another holder may take, and how late a router that advertises may be.
const PATIENCE: Duration = Duration::from_millis(20);

/// The schedule of a master. It ends with the state that holds it, so that nothing is announced after that.
#[derive(Clone, Debug, Hash)]
pub(super) struct Announcements {
    schedule: Schedule,
    /// The start of the schedule.
    since: Instant,
    /// When the refreshes began to be counted, if not at the end of the schedule.
    ended: Option<Instant>,
    /// How many announcements of the schedule were made, and after its end.
    made: u32,
    /// When the last announcement was made.
    last: Instant,
    /// When an advert of a lower router last restarted the schedule.
    restarted: Option<Instant>,
    /// The time between announcements after the end of the schedule.
    refresh: Option<Duration>,
    /// Another router that had the addresses when there was last a sign of it.
    rival: Option<Rival>,
}

/// It may have announced the addresses, so an announcement must follow once it is gone.
#[derive(Clone, Copy, Debug, Hash)]
struct Rival {
    /// Then it is gone, if there is no further sign of it.
    gone: Instant,
    /// It was asked whether it still has the addresses.
    asked: bool,
}

impl Announcements {
    /// Starts a schedule whose first announcement is made `now`.
    pub(super) fn started(now: Instant, refresh: Option<Duration>) -> Self {
        let schedule = Schedule::Start;
        Self { schedule, since: now, ended: None, made: 1, last: now, restarted: None, refresh, rival: None }
    }

    /// When the next announcement is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.scheduled().into_iter().chain(self.last_word()).min()
    }

    /// When to announce after another router has lost the addresses.
    fn last_word(&self) -> Option<Instant> {
        self.rival.map(|rival| rival.gone.max(self.last + REPEAT_INTERVAL))
    }

    fn scheduled(&self) -> Option<Instant> {
        let (times, made) = (self.schedule.times(), self.made as usize);
        if let Some(wait) = times.get(made) {
            return Some(self.since + *wait);
        }
        let last = self.ended.unwrap_or(self.since + *times.last()?);
        let after = u32::try_from(made - times.len() + 1).unwrap_or(u32::MAX);
        self.refresh.map(|every| last + every.saturating_mul(after))
    }

    /// Whether an announcement is due. Those that were missed are skipped.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let before = self.made;
        while self.scheduled().is_some_and(|at| at <= now) {
            self.made += 1;
        }
        let last_word = self.last_word().is_some_and(|at| at <= now);
        if last_word && self.made as usize >= self.schedule.times().len() {
            self.begin(Schedule::Repeated, now, 1);
        }
        let due = last_word || self.made > before;
        if due {
            self.last = now;
            self.rival.take_if(|rival| rival.gone <= now);
        }
        due
    }

    /// The next refresh comes so long after `now`, or after the end of the schedule.
    pub(super) fn set_refresh(&mut self, now: Instant, refresh: Option<Duration>) {
        let times = self.schedule.times().len();
        if self.made as usize >= times {
            (self.ended, self.made) = (Some(now), u32::try_from(times).unwrap_or(u32::MAX));
        }
        self.refresh = refresh;
    }

    /// The neighbors may have wrong entries. The first announcement is made `now`.
    pub(super) fn restart(&mut self, now: Instant) {
        self.begin(Schedule::Start, now, 1);
        self.last = now;
    }

    fn begin(&mut self, schedule: Schedule, since: Instant, made: u32) {
        (self.schedule, self.since, self.ended, self.made) = (schedule, since, None, made);
    }

    /// A lower router advertised: its announcements may have misled the neighbors. Restarts the schedule, or, if that
    /// happened recently, ensures that an announcement follows within [`REPEAT_INTERVAL`].
    pub(super) fn heard_lower(&mut self, now: Instant, interval: Duration) -> Timing {
        self.see_rival(now, interval);
        if self.restarted.is_some_and(|last| now.since(last) < RESTART_INTERVAL) {
            return self.repeat(now);
        }
        self.restarted = Some(now);
        self.restart(now);
        Timing::Now
    }

    /// Another host answered that it has the addresses. One that never learns of us answers again and again, and causes
    /// no further announcement until it stops.
    pub(super) fn answered(&mut self, now: Instant, interval: Duration) -> Timing {
        if self.see_rival(now, interval) { self.repeat(now) } else { Timing::Later }
    }

    /// Another router has the addresses. It learns of us with our next advert, within `interval`. Returns whether it is
    /// the first sign of it.
    fn see_rival(&mut self, now: Instant, interval: Duration) -> bool {
        self.rival.replace(Rival { gone: now + interval + PATIENCE, asked: false }).is_none()
    }

    /// Other hosts were asked whether they have the addresses: waits for the answer to the first question since the last
    /// sign of one.
    pub(super) fn asked(&mut self, now: Instant) {
        if let Some(rival) = self.rival.as_mut().filter(|rival| !rival.asked) {
            *rival = Rival { gone: rival.gone.max(now + PATIENCE), asked: true };
        }
    }

    /// Ensures that an announcement follows within [`REPEAT_INTERVAL`], because another router may have announced the
    /// addresses.
    pub(super) fn repeat(&mut self, now: Instant) -> Timing {
        let due = now.max(self.last + REPEAT_INTERVAL);
        if self.next().is_none_or(|at| at > due) {
            self.begin(Schedule::Repeated, due, 0);
        }
        if self.take(now) { Timing::Now } else { Timing::Later }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

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
        assert_eq!(announcements.heard_lower(at(7_000), SECOND), Timing::Now);
        assert_eq!(announcements.next(), Some(at(7_100)));
        assert_eq!(announcements.heard_lower(at(7_050), SECOND), Timing::Later);
        assert_eq!(announcements.next(), Some(at(7_100)), "soon enough");
        assert_eq!(announcements.heard_lower(at(17_000), SECOND), Timing::Now);
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
            if now <= last_advert && announcements.heard_lower(at(now), SECOND) == Timing::Now {
                made.push(now);
            }
        }
        for start in (6_000..19_000).step_by(1_000) {
            let in_a_second = made.iter().filter(|at| (start..start + 1_000).contains(*at)).count();
            assert!((1..=4).contains(&in_a_second), "{in_a_second} announcements after {start}: {made:?}");
        }
        let after: Vec<_> = made.into_iter().filter(|at| *at > last_advert).collect();
        assert_eq!(
            after,
            [20_000, 21_010, 23_000],
            "at most a second after the advert, and when it can announce no more"
        );
    }

    proptest! {
        /// Whatever the signs of another router, and whatever it was asked in between.
        #[test]
        fn an_announcement_follows_soon_after_the_last_sign_of_another_router(
            interval in 1..10_000_u64,
            signs in prop::collection::vec((0..3_000_u64, any::<bool>(), any::<bool>()), 1..20),
        ) {
            let at = Instant::from_millis;
            let interval = Duration::from_millis(interval);
            let mut announcements = Announcements::started(at(0), None);
            let (mut now, mut made) = (at(0), vec![]);
            let run = |announcements: &mut Announcements, made: &mut Vec<_>, until: Instant| {
                while let Some(due) = announcements.next().filter(|due| *due <= until) {
                    assert!(announcements.take(due), "its deadline would spin");
                    made.push(due);
                }
            };
            for (wait, is_answer, asked) in signs {
                now = now + Duration::from_millis(wait);
                run(&mut announcements, &mut made, now);
                let timing = if is_answer {
                    announcements.answered(now, interval)
                } else {
                    announcements.heard_lower(now, interval)
                };
                made.extend((timing == Timing::Now).then_some(now));
                if asked {
                    announcements.asked(now + interval / 2);
                }
            }
            let gone = now + interval + PATIENCE;
            run(&mut announcements, &mut made, gone + Duration::from_mins(1));
            let last_word = made.iter().find(|at| **at >= gone).expect("the last word");
            prop_assert!(*last_word <= gone + REPEAT_INTERVAL, "{:?}, gone at {:?}", last_word, gone);
            prop_assert!(announcements.next().is_none());
        }
    }

    #[test]
    fn one_that_answers_each_question_causes_no_more_announcements_until_it_stops() {
        for interval in [10, 100, 1_000] {
            let at = Instant::from_millis;
            let mut announcements = Announcements::started(at(0), None);
            announcements.take(at(5_000));
            let mut made = vec![];
            for now in 10_000..30_000 {
                if announcements.take(at(now)) {
                    made.push(now);
                }
                if now % interval == 0 {
                    announcements.asked(at(now));
                }
                if now % interval == 1 && now < 20_000 {
                    let timing = announcements.answered(at(now), Duration::from_millis(interval));
                    made.extend((timing == Timing::Now).then_some(now));
                }
            }
            assert_eq!(made[..3], [10_001, 11_001, 14_001], "{made:?}");
            let gone = 20_001 + 20;
            assert!((20_000..=gone + 1_000).contains(&made[3]), "{made:?}");
            assert_eq!(made[4..], [made[3] + 1_000, made[3] + 4_000], "{made:?}");
        }
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
