//! The state machine of one virtual router (RFC 3768 §6.4, RFC 9568 §6.4): events and the time in, actions out. Knows no
//! clock, socket, kernel or log.
//!
//! Deadlines are absolute and part of the state. Each is derived from the time of an event, so a packet that is dropped or
//! discarded moves no timer.

mod leave;
mod reconfigure;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;

use super::advert::Advert;
use super::backup::Backup;
use super::event::{Action, Cause, Event, Peer, Report, Role, Why};
use super::master::{Leaving, Master};
use super::retries::Retries;
use super::second_speaker::SecondSpeaker;
use super::settings::Settings;
use super::takeover_budget::TakeoverBudget;
use super::units::{Interval, Priority};
use crate::time::Instant;

#[derive(Clone, Debug, Hash)]
enum State {
    Initialize,
    Fault,
    Backup(Backup),
    Master(Master),
    Leaving(Leaving),
}

/// One virtual router.
#[derive(Clone, Debug)]
pub struct Instance {
    settings: Rc<Settings>,
    priority: Priority,
    source: Option<IpAddr>,
    faults: Vec<Cause>,
    /// It takes no part: as backup it follows any master and waits for none.
    drained: bool,
    state: State,
    fast_takeovers: TakeoverBudget,
    /// In FAULT.
    retries: Retries,
    /// When the first of the adverts was due that could not be sent.
    unsent_since: Option<Instant>,
    /// The last address that was heard.
    heard: Option<SecondSpeaker>,
    /// The addresses before the last change of them, until an advert lists the new ones: the other routers may still be
    /// about to change.
    former: Vec<IpAddr>,
}

/// Everything but the settings, which only [`Event::Reconfigure`] changes.
impl Hash for Instance {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            settings: _,
            priority,
            source,
            faults,
            drained,
            state,
            fast_takeovers,
            retries,
            unsent_since,
            heard,
            former,
        } = self;
        (priority, source, faults, drained, state, fast_takeovers, retries, unsent_since, heard, former)
            .hash(hasher);
    }
}

impl Instance {
    /// A router in Initialize, with its configured priority and no source address.
    pub fn new(settings: impl Into<Rc<Settings>>) -> Self {
        let settings = settings.into();
        let priority = settings.priority;
        Self {
            settings,
            priority,
            source: None,
            faults: vec![Cause::Source],
            drained: false,
            state: State::Initialize,
            fast_takeovers: TakeoverBudget::default(),
            retries: Retries::default(),
            unsent_since: None,
            heard: None,
            former: vec![],
        }
    }

    /// The settings of this router.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The priority after weights.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The state under keepalived's name. A master that leaves is still MASTER.
    pub fn role(&self) -> Role {
        match self.state {
            State::Initialize => Role::Init,
            State::Fault => Role::Fault,
            State::Backup(_) => Role::Backup,
            State::Master(_) | State::Leaving(_) => Role::Master,
        }
    }

    /// The causes that keep the router in FAULT; empty in other states.
    pub fn faults(&self) -> &[Cause] {
        &self.faults
    }

    /// The master that a backup follows, once it has received its advert.
    pub fn master(&self) -> Option<Peer> {
        if let State::Backup(backup) = &self.state { backup.master } else { None }
    }

    /// Whether it takes over without a skew, since the master that it follows has named it.
    pub fn is_successor(&self, now: Instant) -> bool {
        let State::Backup(backup) = &self.state else { return false };
        self.settings.fast && !self.drained && backup.is_successor(now, self.priority)
    }

    /// The time between two adverts of that master.
    pub fn master_interval(&self) -> Interval {
        let backup = if let State::Backup(backup) = &self.state { Some(backup) } else { None };
        backup.map_or(self.settings.interval, |backup| backup.interval)
    }

    /// When [`Event::Timer`] is due. Every call of [`Instance::handle`] can change it.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Initialize => None,
            State::Fault => self.retries.next(),
            State::Backup(_) if self.drained => None,
            State::Backup(backup) => Some(backup.master_down_at(&self.settings, self.priority)),
            State::Master(master) => Some(master.deadline()),
            State::Leaving(leaving) => Some(leaving.deadline()),
        }
    }

    /// Handles one event at the time `now`, which never goes back. Returns the actions to perform.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) -> Vec<Action> {
        let mut actions = self.check_lateness(now);
        let more = match event {
            Event::Startup => self.startup(now),
            Event::Shutdown => self.shutdown(now),
            Event::Source(source) => self.set_source(now, source),
            Event::Fault(cause) => self.fault(cause),
            Event::Clear(cause) => self.clear(now, cause),
            Event::Reconfigure { settings, acquire } => self.reconfigure(now, settings, acquire),
            Event::Priority(priority) => self.set_priority(priority),
            Event::Timer => self.timer(now),
            Event::Advert { from, advert } => self.advert(now, from, advert),
            Event::Died { from } => self.died(now, from),
            Event::Successor { from, named } => self.name(now, from, named),
            Event::Refused => self.refused(now),
            Event::Unsent => self.unsent(now),
            Event::Sent => self.sent(now),
            Event::AddressLost => self.address_lost(now),
            Event::HardwareAddress => self.hardware_address(now),
            Event::Contested => self.contested(now),
            Event::Drain { force } => self.drain(now, force),
            Event::Undrain => self.undrain(now),
        };
        if actions.is_empty() {
            return more;
        }
        actions.extend(more);
        actions
    }

    /// RFC 3768 §6.4.1.
    fn startup(&mut self, now: Instant) -> Vec<Action> {
        match (&self.state, self.faults.iter().min()) {
            (State::Initialize, None) => self.run(now, Why::Startup),
            (State::Initialize, Some(&cause)) => {
                let from = self.role();
                self.state = State::Fault;
                vec![transition(from, Role::Fault, Why::Fault(cause))]
            }
            (State::Fault | State::Backup(_) | State::Master(_) | State::Leaving(_), _) => vec![],
        }
    }

    /// Leaves Initialize or FAULT. The owner becomes master at once, any other router first waits a Master_Down_Interval
    /// (RFC 3768 §6.4.1).
    fn run(&mut self, now: Instant, why: Why) -> Vec<Action> {
        if self.priority == Priority::OWNER && !self.drained {
            return self.become_master(now, why);
        }
        let from = self.role();
        self.state = State::Backup(Backup::waiting(now, &self.settings));
        vec![transition(from, Role::Backup, why)]
    }

    fn set_source(&mut self, now: Instant, source: Option<IpAddr>) -> Vec<Action> {
        self.source = source;
        match source {
            Some(_) => self.clear(now, Cause::Source),
            None => self.fault(Cause::Source),
        }
    }

    fn fault(&mut self, cause: Cause) -> Vec<Action> {
        let known = self.faults.contains(&cause);
        if !known {
            self.faults.push(cause);
        }
        match &self.state {
            State::Initialize => vec![],
            State::Fault if known => vec![],
            State::Fault => vec![Action::Report(Report::Cause { cause, raised: true })],
            State::Backup(_) | State::Master(_) => self.leave(State::Fault, Why::Fault(cause)),
            State::Leaving(leaving) => {
                let purpose = leaving.purpose;
                self.fault_while_leaving(purpose, cause)
            }
        }
    }

    fn clear(&mut self, now: Instant, cause: Cause) -> Vec<Action> {
        let before = self.faults.len();
        self.faults.retain(|c| *c != cause);
        match (&self.state, self.faults.len()) {
            (State::Fault, 0) => self.run(now, Why::Recovered(cause)),
            (State::Fault, left) if left < before => {
                vec![Action::Report(Report::Cause { cause, raised: false })]
            }
            _ => vec![],
        }
    }

    /// After a Master_Down_Interval without an advert of ours, another router has the addresses.
    fn unsent(&mut self, now: Instant) -> Vec<Action> {
        let since = *self.unsent_since.get_or_insert(now);
        let given_up = now.since(since) >= self.settings.master_down(self.priority, self.settings.interval);
        if !given_up || !matches!(self.state, State::Master(_)) {
            return vec![];
        }
        let actions = self.fault(Cause::Send);
        self.retries.unsent(now, self.settings.interval.duration());
        actions
    }

    fn sent(&mut self, now: Instant) -> Vec<Action> {
        self.unsent_since = None;
        self.retries.sent();
        self.clear(now, Cause::Send)
    }

    fn refused(&mut self, now: Instant) -> Vec<Action> {
        let actions = self.fault(Cause::Address);
        self.retries.refused(now);
        actions
    }

    /// Retries in FAULT. The priority 0 that was not sent is still owed, so it shows whether sending works again: the new
    /// master answers it.
    fn retry(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = vec![];
        if self.retries.take_send(now, self.settings.interval.duration()) {
            actions.push(Action::Send(self.settings.advert(Priority::RELEASE)));
        }
        if self.retries.take_address(now) {
            actions.extend(self.clear(now, Cause::Address));
        }
        actions
    }

    /// A master whose priority falls yields: priority 0 starts the skew of every backup, and the advert after it stops those
    /// that are not better. That advert is sent twice: if it were lost, priority 0 alone would be a release. The schedule
    /// does not change.
    fn set_priority(&mut self, to: Priority) -> Vec<Action> {
        let from = std::mem::replace(&mut self.priority, to);
        if from == to {
            return vec![];
        }
        let mut actions = vec![Action::Report(Report::Priority { from, to })];
        if to < from && self.settings.fast && matches!(self.state, State::Master(_)) {
            let send = |priority| Action::Send(self.settings.advert(priority));
            actions.splice(..0, [send(Priority::RELEASE), send(to), send(to)]);
            actions.push(Action::Report(Report::Yield));
        }
        actions
    }

    fn timer(&mut self, now: Instant) -> Vec<Action> {
        if self.deadline().is_none_or(|at| now < at) {
            return vec![];
        }
        match &mut self.state {
            State::Initialize => vec![],
            State::Fault => self.retry(now),
            // RFC 3768 §6.4.2: the Master_Down_Timer fires.
            State::Backup(backup) => {
                let why = backup.why();
                if let Some(from) = backup.takes_over_fast_from() {
                    self.fast_takeovers.spend(now, from);
                }
                self.become_master(now, why)
            }
            State::Master(master) => master.timer(now, &self.settings, self.priority),
            State::Leaving(leaving) => {
                let purpose = leaving.purpose;
                leaving.timer(now, &self.settings).unwrap_or_else(|| self.left_alone(now, purpose))
            }
        }
    }

    /// Adds the addresses first: without them there is nothing to advertise.
    fn become_master(&mut self, now: Instant, why: Why) -> Vec<Action> {
        let from = self.role();
        self.claim(now, transition(from, Role::Master, why))
    }

    fn claim(&mut self, now: Instant, report: Action) -> Vec<Action> {
        self.unsent_since = None;
        self.state = State::Master(Master::started(now, &self.settings));
        let advert = self.settings.advert(self.priority);
        vec![Action::Acquire, Action::Send(advert), Action::Announce, report]
    }

    fn address_lost(&mut self, now: Instant) -> Vec<Action> {
        let State::Master(master) = &mut self.state else { return vec![] };
        vec![Action::Acquire, master.restart_announcements(now), Action::Report(Report::AddressRestored)]
    }

    fn hardware_address(&mut self, now: Instant) -> Vec<Action> {
        let State::Master(master) = &mut self.state else { return vec![] };
        vec![master.restart_announcements(now)]
    }

    fn contested(&mut self, now: Instant) -> Vec<Action> {
        let State::Master(master) = &mut self.state else { return vec![] };
        master.contested(now, &self.settings).into_iter().collect()
    }

    fn advert(&mut self, now: Instant, from: IpAddr, advert: &Advert) -> Vec<Action> {
        if matches!(self.state, State::Initialize | State::Fault) {
            return vec![];
        }
        if let Err(reason) = self.settings.admit_also(self.source, from, advert, &self.former) {
            return vec![Action::Report(Report::Dropped { from, reason })];
        }
        if self.settings.same_addresses(&advert.addresses) {
            self.former = vec![];
        }
        let peer = Peer { address: from, priority: advert.priority };
        let mut actions = match &mut self.state {
            State::Initialize | State::Fault => vec![],
            State::Backup(backup) => {
                let advert = (peer, advert.interval);
                let budget = &mut self.fast_takeovers;
                // Drained, it replaces no master, however low.
                let own = if self.drained { Priority::LOWEST } else { self.priority };
                let report = backup.advert(now, &self.settings, own, advert, budget);
                report.map(Action::Report).into_iter().collect()
            }
            State::Master(_) => self.advert_as_master(now, peer, advert.interval),
            State::Leaving(_) if peer.priority == Priority::RELEASE => vec![],
            State::Leaving(leaving) => {
                let purpose = leaving.purpose;
                self.succeeded(now, purpose, peer, advert.interval)
            }
        };
        let interval = advert.interval.duration();
        if let Some(priorities) = SecondSpeaker::hear(&mut self.heard, now, peer, interval) {
            actions.push(Action::Report(Report::SecondSpeaker { address: from, priorities }));
        }
        if !self.settings.same_addresses(&advert.addresses) {
            actions.push(Action::Report(Report::OtherAddresses(from)));
        }
        if self.settings.interval != advert.interval {
            actions.push(Action::Report(Report::OtherInterval(from)));
        }
        actions
    }

    /// Only a backup has a master whose death matters.
    fn died(&mut self, now: Instant, from: IpAddr) -> Vec<Action> {
        let State::Backup(backup) = &mut self.state else { return vec![] };
        let report = backup.died(now, &self.settings, self.priority, from, &mut self.fast_takeovers);
        report.map(Action::Report).into_iter().collect()
    }

    fn name(&mut self, now: Instant, from: IpAddr, named: Option<Priority>) -> Vec<Action> {
        if let State::Backup(backup) = &mut self.state {
            backup.name(now, from, named);
        }
        vec![]
    }

    /// RFC 3768 §6.4.3, RFC 9568 §6.4.3.
    fn advert_as_master(&mut self, now: Instant, peer: Peer, interval: Interval) -> Vec<Action> {
        let (own, source) = (self.priority, self.source);
        let State::Master(master) = &mut self.state else { return vec![] };
        if peer.priority == Priority::RELEASE {
            return master.released(now, &self.settings, own);
        }
        let tie = peer.priority == own && source.is_some_and(|source| peer.address > source);
        if peer.priority <= own && !tie {
            return master.answer(now, &self.settings, own, peer);
        }
        self.fast_takeovers.outranked(now, peer.address, self.settings.interval.duration());
        self.state = State::Backup(Backup::following(now, &self.settings, peer, interval));
        let mut actions = vec![Action::Release, transition(Role::Master, Role::Backup, Why::Outranked(peer))];
        if self.settings.fast {
            // After a network split the better router may have been master all along, with no reason to announce its
            // addresses. Our advert makes it do so.
            actions.insert(0, Action::Send(self.settings.advert(own)));
        }
        actions
    }
}

fn transition(from: Role, to: Role, why: Why) -> Action {
    Action::Report(Report::Transition { from, to, why })
}
