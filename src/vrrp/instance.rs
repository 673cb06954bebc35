//! One virtual router's state machine (RFC 3768 §6.4, RFC 9568 §6.4): events and the time in, actions
//! out; knows no clock, socket, kernel or log.
//!
//! Deadlines are absolute and live in the state. Each is derived from when something happened, and is
//! set only in the branch that means to: a packet that is dropped or discarded moves no timer.

use std::net::IpAddr;
use std::time::Duration;

use super::announcements::Announcements;
use super::event::{Action, Cause, Event, Peer, Report, Role, Why};
use super::{Advert, DropReason, Instant, Interval, Priority, Settings, Version};

/// How long a router stays in FAULT after the kernel refused an address, before it tries again.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum State {
    Initialize,
    Fault { retry_at: Option<Instant> },
    Backup(Backup),
    Master(Master),
}

#[derive(Clone, Debug)]
struct Backup {
    wait: Wait,
    /// Master_Adver_Interval: learned in v3, our own in v2 (RFC 9568 §6.1).
    interval: Interval,
    master: Option<Peer>,
    /// The lower master already reported, so that each is reported once.
    lower: Option<Peer>,
}

/// What the Master_Down_Timer runs for. The deadline is derived, so a change of our priority moves it
/// by itself and exactly.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// The Master_Down_Interval since the last accepted advert.
    MasterDown { since: Instant },
    /// The Skew_Time since a priority 0, but never later than what remained.
    Skew { since: Instant, at_most: Instant, from: IpAddr },
}

#[derive(Clone, Debug)]
struct Master {
    /// Adver_Timer.
    advertise_at: Instant,
    announcements: Announcements,
    /// The loser already reported.
    loser: Option<Peer>,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub struct Instance {
    settings: Settings,
    priority: Priority,
    source: Option<IpAddr>,
    faults: Vec<Cause>,
    state: State,
}

impl Instance {
    /// A router in Initialize, with its configured priority and no source address.
    pub fn new(settings: Settings) -> Self {
        let priority = settings.priority;
        Self { settings, priority, source: None, faults: vec![Cause::Source], state: State::Initialize }
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The priority after weights.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The state, as operators name it.
    pub fn role(&self) -> Role {
        match self.state {
            State::Initialize => Role::Init,
            State::Fault { .. } => Role::Fault,
            State::Backup(_) => Role::Backup,
            State::Master(_) => Role::Master,
        }
    }

    /// What keeps the router in FAULT; empty otherwise.
    pub fn faults(&self) -> &[Cause] {
        &self.faults
    }

    /// The master we follow, while backup and once heard.
    pub fn master(&self) -> Option<Peer> {
        match &self.state {
            State::Backup(backup) => backup.master,
            State::Initialize | State::Fault { .. } | State::Master(_) => None,
        }
    }

    /// When [`Event::Timer`] is due; changes with every call of [`Instance::handle`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Initialize => None,
            State::Fault { retry_at } => *retry_at,
            State::Backup(backup) => Some(backup.master_down_at(self.settings.version, self.priority)),
            State::Master(master) => Some(
                master.announcements.next().map_or(master.advertise_at, |at| at.min(master.advertise_at)),
            ),
        }
    }

    /// Takes one event at the time `now`, which never goes back, and answers what to do.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) -> Vec<Action> {
        match event {
            Event::Startup => self.startup(now),
            Event::Shutdown => self.leave(State::Initialize, Why::Shutdown),
            Event::Source(source) => self.set_source(now, source),
            Event::Fault(cause) => self.fault(cause, None),
            Event::Clear(cause) => self.clear(now, cause),
            Event::Priority(priority) => self.set_priority(priority),
            Event::Timer => self.timer(now),
            Event::Advert { from, advert } => self.advert(now, from, advert),
            Event::Refused => self.fault(Cause::Address, Some(now + REFUSED_RETRY)),
            Event::AddressLost => self.address_lost(),
        }
    }

    /// RFC 3768 §6.4.1.
    fn startup(&mut self, now: Instant) -> Vec<Action> {
        match (&self.state, self.faults.first()) {
            (State::Initialize, None) => self.run(now, Why::Startup),
            (State::Initialize, Some(&cause)) => {
                let from = self.role();
                self.state = State::Fault { retry_at: None };
                vec![transition(from, Role::Fault, Why::Fault(cause))]
            }
            (State::Fault { .. } | State::Backup(_) | State::Master(_), _) => vec![],
        }
    }

    /// Leaves Initialize or FAULT: the owner is master at once, everybody else waits a whole
    /// Master_Down_Interval first (RFC 3768 §6.4.1).
    fn run(&mut self, now: Instant, why: Why) -> Vec<Action> {
        if self.priority == Priority::OWNER {
            return self.become_master(now, why);
        }
        let from = self.role();
        self.state = State::Backup(Backup {
            wait: Wait::MasterDown { since: now },
            interval: self.settings.interval,
            master: None,
            lower: None,
        });
        vec![transition(from, Role::Backup, why)]
    }

    fn set_source(&mut self, now: Instant, source: Option<IpAddr>) -> Vec<Action> {
        self.source = source;
        match source {
            Some(_) => self.clear(now, Cause::Source),
            None => self.fault(Cause::Source, None),
        }
    }

    fn fault(&mut self, cause: Cause, retry_at: Option<Instant>) -> Vec<Action> {
        if !self.faults.contains(&cause) {
            self.faults.push(cause);
        }
        match &mut self.state {
            State::Initialize => vec![],
            State::Fault { retry_at: at } => {
                *at = retry_at.or(*at);
                vec![]
            }
            State::Backup(_) | State::Master(_) => self.leave(State::Fault { retry_at }, Why::Fault(cause)),
        }
    }

    fn clear(&mut self, now: Instant, cause: Cause) -> Vec<Action> {
        self.faults.retain(|c| *c != cause);
        match &self.state {
            State::Fault { .. } if self.faults.is_empty() => self.run(now, Why::Recovered(cause)),
            State::Initialize | State::Fault { .. } | State::Backup(_) | State::Master(_) => vec![],
        }
    }

    /// To Initialize or FAULT. A master first gives its addresses up and then says so, so that nobody
    /// takes over what we still hold (RFC 3768 §6.4.3: priority 0).
    fn leave(&mut self, next: State, why: Why) -> Vec<Action> {
        let from = self.role();
        let mut actions = vec![];
        if from == Role::Master {
            actions.extend([Action::Release, Action::Send(self.advertise(Priority::RELEASE))]);
        }
        self.state = next;
        if from != self.role() {
            actions.push(transition(from, self.role(), why));
        }
        actions
    }

    fn set_priority(&mut self, to: Priority) -> Vec<Action> {
        let from = std::mem::replace(&mut self.priority, to);
        if from == to { vec![] } else { vec![Action::Report(Report::Priority { from, to })] }
    }

    fn timer(&mut self, now: Instant) -> Vec<Action> {
        if self.deadline().is_none_or(|at| now < at) {
            return vec![];
        }
        match &self.state {
            State::Initialize => vec![],
            State::Fault { .. } => {
                self.state = State::Fault { retry_at: None };
                self.clear(now, Cause::Address)
            }
            // RFC 3768 §6.4.2: the Master_Down_Timer fires.
            State::Backup(backup) => {
                let why = match (backup.wait, backup.lower) {
                    (Wait::Skew { from, .. }, _) => Why::Released(from),
                    (Wait::MasterDown { .. }, Some(lower)) => Why::Preempt(lower),
                    (Wait::MasterDown { .. }, None) => Why::Silence(backup.master),
                };
                self.become_master(now, why)
            }
            State::Master(_) => self.master_timer(now),
        }
    }

    /// RFC 3768 §6.4.3: the Adver_Timer fires; beside it the announcements that are due.
    fn master_timer(&mut self, now: Instant) -> Vec<Action> {
        let interval = self.settings.interval.duration();
        let advert = self.advertise(self.priority);
        let State::Master(master) = &mut self.state else { return vec![] };
        let mut actions = vec![];
        if master.advertise_at <= now {
            // From the last deadline, not from now: the schedule does not drift. Unless a whole interval
            // was missed: then from now, or a burst would follow.
            let next = master.advertise_at + interval;
            master.advertise_at = if next <= now { now + interval } else { next };
            actions.push(Action::Send(advert));
        }
        if master.announcements.take(now) {
            actions.push(Action::Announce);
        }
        actions
    }

    /// The addresses come first: without them there is nothing to advertise.
    fn become_master(&mut self, now: Instant, why: Why) -> Vec<Action> {
        let from = self.role();
        self.state = State::Master(Master {
            advertise_at: now + self.settings.interval.duration(),
            announcements: Announcements::started(now),
            loser: None,
        });
        vec![
            Action::Acquire,
            Action::Send(self.advertise(self.priority)),
            Action::Announce,
            transition(from, Role::Master, why),
        ]
    }

    fn address_lost(&mut self) -> Vec<Action> {
        match self.state {
            State::Master(_) => vec![Action::Acquire, Action::Announce, Action::Report(Report::PutBack)],
            State::Initialize | State::Fault { .. } | State::Backup(_) => vec![],
        }
    }

    fn advert(&mut self, now: Instant, from: IpAddr, advert: &Advert) -> Vec<Action> {
        if matches!(self.state, State::Initialize | State::Fault { .. }) {
            return vec![];
        }
        if let Err(reason) = self.admit(from, advert) {
            return vec![Action::Report(Report::Dropped { from, reason })];
        }
        let peer = Peer { address: from, priority: advert.priority };
        match self.state {
            State::Initialize | State::Fault { .. } => vec![],
            State::Backup(_) => self.advert_as_backup(now, peer, advert.interval),
            State::Master(_) => self.advert_as_master(now, peer, advert.interval),
        }
    }

    /// The receive checks that need the router's own settings (RFC 3768 §7.1, RFC 9568 §7.1).
    fn admit(&self, from: IpAddr, advert: &Advert) -> Result<(), DropReason> {
        let ours = &self.settings;
        if Some(from) == self.source {
            return Err(DropReason::OwnAddress);
        }
        if advert.version != ours.version {
            return Err(DropReason::VersionMismatch);
        }
        if advert.password.is_some() {
            return Err(DropReason::AuthMismatch);
        }
        // v3 learns another interval and only notes another list; v2 drops both, except the owner's list.
        if advert.version == Version::V2 {
            if advert.interval != ours.interval {
                return Err(DropReason::Interval);
            }
            if advert.priority != Priority::OWNER && !ours.same_addresses(&advert.addresses) {
                return Err(DropReason::Addresses);
            }
        }
        Ok(())
    }

    /// RFC 3768 §6.4.2, RFC 9568 §6.4.2.
    fn advert_as_backup(&mut self, now: Instant, peer: Peer, interval: Interval) -> Vec<Action> {
        let (version, own, preempt) = (self.settings.version, self.priority, self.settings.preempt);
        let State::Backup(backup) = &mut self.state else { return vec![] };
        if peer.priority == Priority::RELEASE {
            let at_most = backup.master_down_at(version, own);
            backup.wait = Wait::Skew { since: now, at_most, from: peer.address };
            backup.master = None;
            return vec![Action::Report(Report::Released(peer.address))];
        }
        if preempt && peer.priority < own {
            // Discarded: the timer runs on.
            let known = backup.lower.replace(peer) == Some(peer);
            return if known { vec![] } else { vec![Action::Report(Report::Lower(peer))] };
        }
        backup.wait = Wait::MasterDown { since: now };
        backup.lower = None;
        if version == Version::V3 {
            backup.interval = interval;
        }
        let known = backup.master.replace(peer) == Some(peer);
        if known { vec![] } else { vec![Action::Report(Report::Master(peer))] }
    }

    /// RFC 3768 §6.4.3, RFC 9568 §6.4.3.
    fn advert_as_master(&mut self, now: Instant, peer: Peer, interval: Interval) -> Vec<Action> {
        if peer.priority == Priority::RELEASE {
            return vec![self.advertise_now(now)];
        }
        let better = peer.priority > self.priority
            || (peer.priority == self.priority && self.source.is_some_and(|own| peer.address > own));
        if better {
            let interval =
                if self.settings.version == Version::V3 { interval } else { self.settings.interval };
            self.state = State::Backup(Backup {
                wait: Wait::MasterDown { since: now },
                interval,
                master: Some(peer),
                lower: None,
            });
            return vec![Action::Release, transition(Role::Master, Role::Backup, Why::Outranked(peer))];
        }
        // RFC 9568 §6.4.3: answered at once, which also teaches the bridges.
        let mut actions = vec![self.advertise_now(now)];
        let State::Master(master) = &mut self.state else { return actions };
        if master.announcements.again(now) {
            actions.push(Action::Announce);
        }
        if master.loser.replace(peer) != Some(peer) {
            actions.push(Action::Report(Report::Loser(peer)));
        }
        actions
    }

    /// An advert out of turn; the Adver_Timer restarts because we sent one, not because we heard one.
    fn advertise_now(&mut self, now: Instant) -> Action {
        if let State::Master(master) = &mut self.state {
            master.advertise_at = now + self.settings.interval.duration();
        }
        Action::Send(self.advertise(self.priority))
    }

    fn advertise(&self, priority: Priority) -> Advert {
        let Settings { vrid, version, interval, ref addresses, .. } = self.settings;
        Advert { version, vrid, priority, interval, password: None, addresses: addresses.clone() }
    }
}

impl Backup {
    fn master_down_at(&self, version: Version, own: Priority) -> Instant {
        let skew = match version {
            // A second, whatever the interval (RFC 3768 §6.1).
            Version::V2 => own.skew_of(Duration::from_secs(1)),
            Version::V3 => own.skew_of(self.interval.duration()),
        };
        match self.wait {
            Wait::MasterDown { since } => since + self.interval.duration() * 3 + skew,
            Wait::Skew { since, at_most, .. } => at_most.min(since + skew),
        }
    }
}

fn transition(from: Role, to: Role, why: Why) -> Action {
    Action::Report(Report::Transition { from, to, why })
}
