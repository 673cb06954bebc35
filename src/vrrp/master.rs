//! The Master state (RFC 3768 §6.4.3, RFC 9568 §6.4.3): its timers, and the leave-taking that ends it;
//! knows no faults and no transitions.

use std::net::IpAddr;
use std::time::Duration;

use super::announcements::Announcements;
use super::event::{Action, Peer, Report};
use super::{Priority, Settings};
use crate::time::Instant;

/// Between the repetitions of priority 0 on a stop: one lost packet must not cost a Master_Down_Interval.
const FAREWELL_GAP: Duration = Duration::from_millis(4);
/// How often priority 0 is sent on a stop.
const FAREWELLS: u8 = 3;
/// How long a stopping master answers while no successor is heard: above the longest v2 skew.
const FAREWELL_WAIT: Duration = Duration::from_millis(1_100);

/// A router that hears us is silent after our first answer, or the second if one was lost.
const DEAF: u32 = 3;

#[derive(Clone, Debug)]
pub(super) struct Master {
    /// Adver_Timer.
    advertise_at: Instant,
    /// When the addresses' lease is renewed.
    renew_at: Option<Instant>,
    announcements: Announcements,
    loser: Option<Loser>,
}

/// A router that loses against us, and how many of its adverts in a row were answered.
#[derive(Clone, Copy, Debug)]
struct Loser {
    address: IpAddr,
    answered: u32,
    last: Instant,
}

impl Master {
    /// Has just acquired, advertised and announced.
    pub(super) fn started(now: Instant, settings: &Settings) -> Self {
        Self {
            advertise_at: now + settings.interval.duration(),
            renew_at: renew_at(now, settings),
            announcements: Announcements::started(now, settings.refresh),
            loser: None,
        }
    }

    /// The next timer of all.
    pub(super) fn deadline(&self) -> Instant {
        [self.renew_at, self.announcements.next()].into_iter().flatten().fold(self.advertise_at, Instant::min)
    }

    /// By how much a master that should have advertised is late, once that is more than a whole
    /// Master_Down_Interval: by then another may have been elected.
    pub(super) fn lateness(&self, now: Instant, settings: &Settings, own: Priority) -> Option<Duration> {
        let late = now.since(self.advertise_at);
        (late > settings.master_down(own, settings.interval)).then_some(late)
    }

    /// The advert first: a renewal may have to wait for the kernel, and a refused one is followed by
    /// priority 0 at once.
    pub(super) fn timer(&mut self, now: Instant, settings: &Settings, own: Priority) -> Vec<Action> {
        let mut actions = vec![];
        if self.advertise_at <= now {
            // From the last deadline, not from now: the schedule does not drift. Unless a whole interval
            // was missed: then from now, or a burst would follow.
            let interval = settings.interval.duration();
            let next = self.advertise_at + interval;
            self.advertise_at = if next <= now { now + interval } else { next };
            actions.push(Action::Send(settings.advert(own)));
        }
        if self.renewal_is_near(now, settings) {
            self.renew_at = renew_at(now, settings);
            actions.push(Action::Renew);
        }
        if self.announcements.take(now) {
            actions.push(Action::Announce);
        }
        actions
    }

    /// What the neighbours know is wrong: they are told anew, now and on the whole schedule.
    pub(super) fn announce_anew(&mut self, now: Instant, settings: &Settings) -> Action {
        self.announcements = Announcements::started(now, settings.refresh);
        Action::Announce
    }

    /// A renewal that is due soon is made with what is due now: it costs no wake-up of its own.
    fn renewal_is_near(&self, now: Instant, settings: &Settings) -> bool {
        let slack = settings.lease.map_or(Duration::ZERO, |lease| lease.renew_after() / 8);
        self.renew_at.is_some_and(|at| at <= now + slack)
    }

    /// An advert out of turn; the Adver_Timer restarts because we sent one, not because we heard one.
    pub(super) fn advertise(&mut self, now: Instant, settings: &Settings, own: Priority) -> Action {
        self.advertise_at = now + settings.interval.duration();
        Action::Send(settings.advert(own))
    }

    /// Another router that loses against us: RFC 9568 §6.4.3 answers at once, which also teaches the
    /// bridges; what it may have told the neighbours is put right.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        loser: Peer,
    ) -> Vec<Action> {
        let mut actions = vec![self.advertise(now, settings, own)];
        if self.announcements.again(now) {
            actions.push(Action::Announce);
        }
        // One that was silent for a while had heard us then: this is another election.
        let silence = settings.interval.duration() * 3;
        let known = self.loser.filter(|l| l.address == loser.address && now.since(l.last) <= silence);
        let answered = known.map_or(0, |l| l.answered);
        self.loser = Some(Loser { address: loser.address, answered: answered.saturating_add(1), last: now });
        match answered {
            0 => actions.push(Action::Report(Report::Loser(loser))),
            DEAF => actions.push(Action::Report(Report::TwoMasters(loser))),
            _ => {}
        }
        actions
    }
}

fn renew_at(now: Instant, settings: &Settings) -> Option<Instant> {
    settings.lease.map(|lease| now + lease.renew_after())
}

/// A master that was told to stop: it has said so and still answers, until a successor does or for
/// [`FAREWELL_WAIT`].
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    until: Instant,
    /// How many times priority 0 was sent, and when again.
    sent: u8,
    again_at: Instant,
    renew_at: Option<Instant>,
}

impl Leaving {
    /// The first priority 0 is being sent `now`.
    pub(super) fn started(now: Instant, settings: &Settings) -> Self {
        let renew_at = renew_at(now, settings);
        Self { until: now + FAREWELL_WAIT, sent: 1, again_at: now + FAREWELL_GAP, renew_at }
    }

    pub(super) fn deadline(&self) -> Instant {
        let again = (self.sent < FAREWELLS).then_some(self.again_at);
        [again, self.renew_at].into_iter().flatten().fold(self.until, Instant::min)
    }

    /// `None` when the wait is over.
    pub(super) fn timer(&mut self, now: Instant, settings: &Settings) -> Option<Vec<Action>> {
        if self.until <= now {
            return None;
        }
        let mut actions = vec![];
        if self.sent < FAREWELLS && self.again_at <= now {
            self.sent += 1;
            self.again_at = now + FAREWELL_GAP;
            actions.push(Action::Send(settings.advert(Priority::RELEASE)));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = renew_at(now, settings);
            actions.push(Action::Renew);
        }
        Some(actions)
    }
}
