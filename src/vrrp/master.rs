//! The Master state (RFC 3768 §6.4.3, RFC 9568 §6.4.3): its timers, and the stop of a master that waits for its
//! successor. Knows no faults and no transitions.

use std::net::IpAddr;
use std::time::Duration;

use super::announcements::Announcements;
use super::event::{Action, Peer, Report};
use super::settings::Settings;
use super::units::Priority;
use crate::time::Instant;

/// The time between two adverts of priority 0 on a stop. They are repeated because otherwise one lost packet would cost a
/// Master_Down_Interval.
const RELEASE_GAP: Duration = Duration::from_millis(4);
/// How many adverts of priority 0 are sent on a stop.
const RELEASES: u8 = 3;
/// How long a stopping master keeps its addresses while no successor advertises. Longer than the longest skew of VRRPv2.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(1_100);

/// A lower router that still advertises after this many answers does not receive them. One that does stops after the first
/// answer, or the second if one was lost.
const UNHEARD_ANSWERS: u32 = 3;

#[derive(Clone, Debug)]
pub(super) struct Master {
    /// Adver_Timer.
    advertise_at: Instant,
    /// When to renew the lease of the addresses.
    renew_at: Option<Instant>,
    announcements: Announcements,
    loser: Option<Loser>,
}

/// A lower router that advertises as master, and how many of its adverts in a row we answered.
#[derive(Clone, Copy, Debug)]
struct Loser {
    address: IpAddr,
    answered: u32,
    last: Instant,
}

impl Master {
    /// A master that acquires its addresses, advertises and announces `now`.
    pub(super) fn started(now: Instant, settings: &Settings) -> Self {
        Self {
            advertise_at: now + settings.interval.duration(),
            renew_at: renew_at(now, settings),
            announcements: Announcements::started(now, settings.refresh),
            loser: None,
        }
    }

    /// When the next timer fires.
    pub(super) fn deadline(&self) -> Instant {
        [self.renew_at, self.announcements.next()].into_iter().flatten().fold(self.advertise_at, Instant::min)
    }

    /// How late the next advert is, if by more than a Master_Down_Interval: another master may have been elected by now.
    pub(super) fn lateness(&self, now: Instant, settings: &Settings, own: Priority) -> Option<Duration> {
        let late = now.since(self.advertise_at);
        (late > settings.master_down(own, settings.interval)).then_some(late)
    }

    /// The advert comes first: a renewal may have to wait for the kernel, and if it is refused, priority 0 follows at once.
    pub(super) fn timer(&mut self, now: Instant, settings: &Settings, own: Priority) -> Vec<Action> {
        let mut actions = vec![];
        if self.advertise_at <= now {
            // From the last deadline, not from now, so that the schedule does not drift. But if a whole interval was
            // missed, from now, so that no burst follows.
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

    /// Restarts the schedule of announcements, because the neighbors may have wrong entries.
    pub(super) fn restart_announcements(&mut self, now: Instant, settings: &Settings) -> Action {
        self.announcements = Announcements::started(now, settings.refresh);
        Action::Announce
    }

    /// A renewal that is due soon is made together with what is due now, to save a wake-up.
    fn renewal_is_near(&self, now: Instant, settings: &Settings) -> bool {
        let slack = settings.lease.map_or(Duration::ZERO, |lease| lease.renew_after() / 8);
        self.renew_at.is_some_and(|at| at <= now + slack)
    }

    /// Sends an advert now. The Adver_Timer restarts because we sent an advert, not because we received one.
    pub(super) fn advertise(&mut self, now: Instant, settings: &Settings, own: Priority) -> Action {
        self.advertise_at = now + settings.interval.duration();
        Action::Send(settings.advert(own))
    }

    /// Answers an advert of a lower router at once, as RFC 9568 §6.4.3 requires; bridges learn from the answer too.
    /// Announces the addresses again, since the other router may have announced them.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        loser: Peer,
    ) -> Vec<Action> {
        let mut actions = vec![self.advertise(now, settings, own)];
        if self.announcements.restart(now) {
            actions.push(Action::Announce);
        }
        // If it was silent for a while, it received our answer then, and this is a new election.
        let silence = settings.interval.duration() * 3;
        let known = self.loser.filter(|l| l.address == loser.address && now.since(l.last) <= silence);
        let answered = known.map_or(0, |l| l.answered);
        self.loser = Some(Loser { address: loser.address, answered: answered.saturating_add(1), last: now });
        match answered {
            0 => actions.push(Action::Report(Report::Loser(loser))),
            UNHEARD_ANSWERS => actions.push(Action::Report(Report::TwoMasters(loser))),
            _ => {}
        }
        actions
    }
}

fn renew_at(now: Instant, settings: &Settings) -> Option<Instant> {
    settings.lease.map(|lease| now + lease.renew_after())
}

/// A master that is stopping. It has sent priority 0, and keeps its addresses until a successor advertises, or for
/// [`SUCCESSOR_WAIT`].
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    until: Instant,
    /// How many adverts of priority 0 were sent.
    sent: u8,
    /// When to send the next one.
    send_at: Instant,
    renew_at: Option<Instant>,
}

impl Leaving {
    /// A master that sends the first advert of priority 0 `now`.
    pub(super) fn started(now: Instant, settings: &Settings) -> Self {
        let renew_at = renew_at(now, settings);
        Self { until: now + SUCCESSOR_WAIT, sent: 1, send_at: now + RELEASE_GAP, renew_at }
    }

    pub(super) fn deadline(&self) -> Instant {
        let send_at = (self.sent < RELEASES).then_some(self.send_at);
        [send_at, self.renew_at].into_iter().flatten().fold(self.until, Instant::min)
    }

    /// The actions that are due; `None` when the wait is over.
    pub(super) fn timer(&mut self, now: Instant, settings: &Settings) -> Option<Vec<Action>> {
        if self.until <= now {
            return None;
        }
        let mut actions = vec![];
        if self.sent < RELEASES && self.send_at <= now {
            self.sent += 1;
            self.send_at = now + RELEASE_GAP;
            actions.push(Action::Send(settings.advert(Priority::RELEASE)));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = renew_at(now, settings);
            actions.push(Action::Renew);
        }
        Some(actions)
    }
}
