//! The Master state (RFC 3768 §6.4.3, RFC 9568 §6.4.3): its timers, and the leave of a master that waits for its
//! successor. Knows no faults and no transitions.

use std::net::IpAddr;
use std::time::Duration;

use super::announcements::Announcements;
use super::event::{Action, Peer, Report, Timing};
use super::settings::Settings;
use super::units::Priority;
use crate::time::Instant;

/// The time between two adverts of priority 0 of a master that leaves. They are repeated because otherwise one lost packet
/// would cost a Master_Down_Interval.
const RELEASE_GAP: Duration = Duration::from_millis(4);
/// How many adverts of priority 0 it sends.
const RELEASES: u8 = 3;
/// How long it keeps its addresses while no successor advertises. Longer than the longest skew of VRRPv2.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(1_100);

/// A lower router that still advertises after this many answers does not receive them. One that does stops after the first
/// answer, or the second if one was lost.
const UNHEARD_ANSWERS: u32 = 3;

/// How many adverts of lower routers are answered at once in [`ANSWER_PERIOD`], or in one advertisement interval if that
/// is shorter. The next advert of the schedule answers the rest.
const ANSWERS: u32 = 3;
const ANSWER_PERIOD: Duration = Duration::from_secs(1);

/// The minimum time between an advert and the next one that answers a priority 0.
const RELEASE_ANSWER_GAP: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, Hash)]
pub(super) struct Master {
    /// Adver_Timer.
    advertise_at: Instant,
    /// When the last advert was sent.
    advertised: Instant,
    /// When to renew the lease of the addresses.
    renew_at: Option<Instant>,
    announcements: Announcements,
    /// Most masters never see one.
    loser: Option<Box<Loser>>,
    /// The start of a period, and how many lower routers were answered at once in it.
    answers: (Instant, u32),
}

/// A lower router that advertises as master, and how many of its adverts in a row we answered at once.
#[derive(Clone, Copy, Debug, Hash)]
struct Loser {
    address: IpAddr,
    answered: u32,
    /// Whether it was reported that it does not receive our answers.
    reported: bool,
    last: Instant,
}

impl Master {
    /// A master that acquires its addresses, advertises and announces `now`.
    pub(super) fn started(now: Instant, settings: &Settings) -> Self {
        Self {
            advertise_at: now + settings.interval.duration(),
            advertised: now,
            renew_at: renew_at(now, settings),
            announcements: Announcements::started(now, settings.refresh),
            loser: None,
            answers: (now, 0),
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
            self.advertised = now;
            self.announcements.asked(now);
            actions.extend([Action::Solicit, Action::Send(settings.advert(own))]);
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

    /// Follows other settings.
    pub(super) fn reconfigure(&mut self, now: Instant, before: &Settings, settings: &Settings) {
        if before.refresh != settings.refresh {
            self.announcements.set_refresh(now, settings.refresh);
        }
        if before.lease != settings.lease {
            self.renew_at = settings.lease.map(|_| now);
        }
    }

    /// Restarts the schedule of announcements, because the neighbors may have wrong entries.
    pub(super) fn restart_announcements(&mut self, now: Instant) -> Action {
        self.announcements.restart(now);
        Action::Announce
    }

    /// Another host has the addresses too: a router that did not hear us until now, and will not say so when it does, or
    /// what is left of one that died. Its announcements may have misled the neighbors.
    pub(super) fn contested(&mut self, now: Instant, settings: &Settings) -> Option<Action> {
        let announcement = self.announcements.answered(now, settings.interval.duration());
        (announcement == Timing::Now).then_some(Action::Announce)
    }

    /// A renewal that is due soon is made together with what is due now, to save a wake-up.
    fn renewal_is_near(&self, now: Instant, settings: &Settings) -> bool {
        let slack = settings.lease.map_or(Duration::ZERO, |lease| lease.renew_after() / 8);
        self.renew_at.is_some_and(|at| at <= now + slack)
    }

    /// Sends an advert now. The Adver_Timer restarts because we sent an advert, not because we received one.
    fn advertise(&mut self, now: Instant, settings: &Settings, own: Priority) -> Action {
        self.advertise_at = now + settings.interval.duration();
        self.advertised = now;
        Action::Send(settings.advert(own))
    }

    /// Answers priority 0 of another router at once (RFC 3768 §6.4.3): the skew of every backup has started. A flood of
    /// them is answered before the shortest skew has passed. The other router may have announced the addresses.
    pub(super) fn released(&mut self, now: Instant, settings: &Settings, own: Priority) -> Vec<Action> {
        let gap = settings.skew(Priority::OWNER, settings.interval).max(RELEASE_ANSWER_GAP);
        let due = self.advertised + gap;
        let mut actions = vec![];
        if due <= now {
            actions.push(self.advertise(now, settings, own));
        } else {
            self.advertise_at = self.advertise_at.min(due);
        }
        if self.announcements.repeat(now) == Timing::Now {
            actions.push(Action::Announce);
        }
        actions
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
        let mut actions = vec![];
        let answer = self.admit_answer(now, settings);
        if answer == Timing::Now {
            actions.push(self.advertise(now, settings, own));
        }
        let announcement = self.announcements.heard_lower(now, settings.interval.duration());
        if announcement == Timing::Now {
            actions.push(Action::Announce);
        }
        // If it was silent for a while, it received our answer then, and this is a new election.
        let silence = settings.interval.duration() * 3;
        let known = self
            .loser
            .as_deref()
            .copied()
            .filter(|l| l.address == loser.address && now.since(l.last) <= silence);
        let before =
            known.unwrap_or(Loser { address: loser.address, answered: 0, reported: false, last: now });
        let unheard = before.answered >= UNHEARD_ANSWERS && !before.reported;
        if known.is_none() {
            actions.push(Action::Report(Report::Loser { peer: loser, answer, announcement }));
        } else if unheard {
            actions.push(Action::Report(Report::TwoMasters(loser)));
        }
        let answered = before.answered.saturating_add(u32::from(answer == Timing::Now));
        let reported = before.reported || unheard;
        self.loser = Some(Box::new(Loser { answered, reported, last: now, ..before }));
        actions
    }

    /// Whether to answer a lower router at once.
    fn admit_answer(&mut self, now: Instant, settings: &Settings) -> Timing {
        let (since, answers) = &mut self.answers;
        if now.since(*since) >= settings.interval.duration().min(ANSWER_PERIOD) {
            (*since, *answers) = (now, 0);
        }
        if *answers == ANSWERS {
            return Timing::Later;
        }
        *answers += 1;
        Timing::Now
    }
}

fn renew_at(now: Instant, settings: &Settings) -> Option<Instant> {
    settings.lease.map(|lease| now + lease.renew_after())
}

/// Why a master leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Stop,
    Drain { force: bool },
}

/// A master that leaves. It has sent priority 0, and keeps its addresses until a successor advertises, or for
/// [`SUCCESSOR_WAIT`].
#[derive(Clone, Debug, Hash)]
pub(super) struct Leaving {
    pub(super) purpose: Purpose,
    until: Instant,
    /// How many adverts of priority 0 were sent.
    sent: u8,
    /// When to send the next one.
    send_at: Instant,
    renew_at: Option<Instant>,
}

impl Leaving {
    /// A master that sends the first advert of priority 0 `now`.
    pub(super) fn started(now: Instant, settings: &Settings, purpose: Purpose) -> Self {
        let renew_at = renew_at(now, settings);
        Self { purpose, until: now + SUCCESSOR_WAIT, sent: 1, send_at: now + RELEASE_GAP, renew_at }
    }

    pub(super) fn deadline(&self) -> Instant {
        let send_at = (self.sent < RELEASES).then_some(self.send_at);
        [send_at, self.renew_at].into_iter().flatten().fold(self.until, Instant::min)
    }

    /// How late the end of the wait is, if by more than a Master_Down_Interval.
    pub(super) fn lateness(&self, now: Instant, settings: &Settings, own: Priority) -> Option<Duration> {
        let late = now.since(self.until);
        (late > settings.master_down(own, settings.interval)).then_some(late)
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
