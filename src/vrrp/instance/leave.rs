//! How a router leaves the election: it stops, or an operator drains it. A master first sends priority 0 and keeps its
//! addresses until another router advertises, so that clients notice nothing. Knows no signal, file or command.

use super::{Instance, State, transition};
use crate::time::Instant;
use crate::vrrp::backup::Backup;
use crate::vrrp::event::{Action, Cause, Drain, Peer, Report, Role, Why};
use crate::vrrp::master::{Leaving, Purpose};
use crate::vrrp::retries::Retries;
use crate::vrrp::units::{Interval, Priority};

impl Instance {
    /// Whether it takes no part, in whatever state.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Whether it is a master that another router must replace before it is drained.
    pub fn is_draining(&self) -> bool {
        matches!(&self.state, State::Leaving(leaving) if leaving.purpose != Purpose::Stop)
    }

    /// RFC 3768 §6.4.2, §6.4.3. Without `fast`, a master stops at once; so does any after a second shutdown.
    pub(super) fn shutdown(&mut self, now: Instant) -> Vec<Action> {
        match &mut self.state {
            State::Master(_) if self.settings.fast => {
                self.start_to_leave(now, Purpose::Stop, Report::Stopping)
            }
            State::Leaving(leaving) if self.settings.fast && leaving.purpose != Purpose::Stop => {
                leaving.purpose = Purpose::Stop;
                vec![Action::Report(Report::Stopping)]
            }
            State::Initialize | State::Fault | State::Backup(_) | State::Master(_) | State::Leaving(_) => {
                self.leave(State::Initialize, Why::Shutdown)
            }
        }
    }

    /// A master leaves as on a stop, also without `fast`: only so it learns whether another router takes over.
    pub(super) fn drain(&mut self, now: Instant, force: bool) -> Vec<Action> {
        let purpose = Purpose::Drain { force };
        match &mut self.state {
            State::Master(_) => self.start_to_leave(now, purpose, Report::Drain(Drain::Leaving)),
            State::Leaving(leaving) => {
                if leaving.purpose != Purpose::Stop {
                    leaving.purpose = purpose;
                }
                vec![]
            }
            State::Initialize | State::Fault | State::Backup(_) => {
                let known = std::mem::replace(&mut self.drained, true);
                if known { vec![] } else { vec![Action::Report(Report::Drain(Drain::Done))] }
            }
        }
    }

    /// A backup then waits a Master_Down_Interval, like one that starts.
    pub(super) fn undrain(&mut self, now: Instant) -> Vec<Action> {
        let ended = Action::Report(Report::Drain(Drain::Ended));
        if self.is_draining() {
            return self.claim(now, ended);
        }
        if !std::mem::take(&mut self.drained) {
            return vec![];
        }
        if let State::Backup(_) = self.state {
            self.state = State::Backup(Backup::waiting(now, &self.settings));
        }
        vec![ended]
    }

    /// Enters Initialize or FAULT. A master first removes its addresses and then sends priority 0 (RFC 3768 §6.4.3), so
    /// that no other router adds an address that we still have. It sends it twice: if it were lost, the others would wait
    /// a Master_Down_Interval.
    pub(super) fn leave(&mut self, next: State, why: Why) -> Vec<Action> {
        let from = self.role();
        let mut actions = vec![];
        if from == Role::Master {
            let release = Action::Send(self.settings.advert(Priority::RELEASE));
            actions.extend([Action::Release, release.clone(), release]);
        }
        self.state = next;
        self.retries = Retries::default();
        if from != self.role() {
            actions.push(transition(from, self.role(), why));
        }
        actions
    }

    fn start_to_leave(&mut self, now: Instant, purpose: Purpose, report: Report) -> Vec<Action> {
        self.state = State::Leaving(Leaving::started(now, &self.settings, purpose));
        vec![Action::Send(self.settings.advert(Priority::RELEASE)), Action::Report(report)]
    }

    /// Another router has taken over.
    pub(super) fn succeeded(
        &mut self,
        now: Instant,
        purpose: Purpose,
        peer: Peer,
        interval: Interval,
    ) -> Vec<Action> {
        match purpose {
            Purpose::Stop => self.give_up(State::Initialize, Why::Succeeded(peer)),
            Purpose::Drain { .. } => {
                self.drained = true;
                let backup = Backup::following(now, &self.settings, peer, interval);
                self.give_up(State::Backup(backup), Why::Drained(Some(peer)))
            }
        }
    }

    /// No router took over while it was time. A drained master claims its addresses again: one may have been removed
    /// meanwhile, and another router may be about to take over.
    pub(super) fn left_alone(&mut self, now: Instant, purpose: Purpose) -> Vec<Action> {
        match purpose {
            Purpose::Stop => self.give_up(State::Initialize, Why::Shutdown),
            Purpose::Drain { force: true } => {
                self.drained = true;
                self.give_up(State::Backup(Backup::waiting(now, &self.settings)), Why::Drained(None))
            }
            Purpose::Drain { force: false } => self.claim(now, Action::Report(Report::Drain(Drain::Refused))),
        }
    }

    pub(super) fn fault_while_leaving(&mut self, purpose: Purpose, cause: Cause) -> Vec<Action> {
        match purpose {
            Purpose::Stop => self.leave(State::Initialize, Why::Shutdown),
            Purpose::Drain { .. } => {
                self.drained = true;
                self.leave(State::Fault, Why::Fault(cause))
            }
        }
    }

    /// A master that was paused or suspended must not continue as if nothing had happened. Before anything else, it
    /// releases the addresses and lets the protocol decide. If it was to be drained, it is not, unless by force: there may be no
    /// other.
    pub(super) fn check_lateness(&mut self, now: Instant) -> Vec<Action> {
        let late = match &self.state {
            State::Master(master) => master.lateness(now, &self.settings, self.priority),
            State::Leaving(leaving) if leaving.purpose != Purpose::Stop => {
                leaving.lateness(now, &self.settings, self.priority)
            }
            State::Initialize | State::Fault | State::Backup(_) | State::Leaving(_) => None,
        };
        let Some(late) = late else { return vec![] };
        if let State::Leaving(Leaving { purpose: purpose @ Purpose::Drain { force: true }, .. }) = self.state
        {
            return self.left_alone(now, purpose);
        }
        let refused = self.is_draining().then_some(Action::Report(Report::Drain(Drain::Refused)));
        let mut actions = self.give_up(State::Backup(Backup::waiting(now, &self.settings)), Why::Late(late));
        actions.extend(refused);
        actions
    }

    /// The end of a master that needs no further priority 0.
    fn give_up(&mut self, next: State, why: Why) -> Vec<Action> {
        self.state = next;
        vec![Action::Release, transition(Role::Master, self.role(), why)]
    }
}
