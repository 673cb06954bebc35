//! The death of a process and its successor: what the routers do when their master's is reported, and what the lifelines and
//! the guard need so that others may rely on ours.

use super::Routers;
use crate::daemon::lifelines::needs::{Death, Needs, followed};
use crate::daemon::router::Router;
use crate::lifeline::{Endpoint, Guarded};
use crate::sys::limits::Descriptors;
use crate::time::Instant;
use crate::token::Poller;
use crate::vrrp::{Event, Family, Peer, Priority};

impl Routers {
    pub(super) fn start_guard(&mut self, descriptors: Descriptors, poller: &Poller) {
        let (all, network) = self.dispatcher.parts();
        network.guard_mut().start(all.iter().map(Router::config), descriptors, poller);
    }

    /// Has the guard follow the leases. Not before the messages are sent: a takeover does not wait for it. `needed`: whether
    /// a backup would take over at once if this process died. Returns the families that are silent then.
    pub(in crate::daemon) fn renew_guard(&mut self, needed: bool) -> Guarded {
        let now = self.dispatcher.clock().exact();
        let guard = self.dispatcher.network_mut().guard_mut();
        guard.need(needed);
        guard.follow(now);
        let guards = |family| needed && guard.guards(family);
        Guarded { v4: guards(Family::V4), v6: guards(Family::V6) }
    }

    /// A process of another host died: its adverts that are still waiting come first. One that came in with the death is later
    /// than it if the master has been restarted. That takes at least three of its intervals; if both may be older, silence
    /// decides.
    /// Without a guard, that host answers for the addresses until their lease ends, so the address must not move before.
    pub(in crate::daemon) fn died(&mut self, death: &Death) {
        self.catch_up();
        let (turn, turn_before) = (self.dispatcher.clock().turn(), self.dispatcher.clock().turn_before());
        for id in self.dispatcher.ids() {
            let router = self.dispatcher.router(id);
            let restarted = router.instance().master_interval().duration() * 3;
            let is_silent = |master: &Endpoint| {
                let heard = router.telemetry().last_heard();
                let is_heard = |(at, peer): (Instant, Peer)| at >= turn && peer.address == master.address;
                turn.since(turn_before) < restarted || !heard.is_some_and(is_heard)
            };
            if let Some(master) = death.master_of(router).filter(is_silent) {
                self.dispatcher.dispatch(id, Event::Died { from: master.address });
            }
        }
    }

    /// The master at this address names us its successor, or no longer does: then the adverts it sent before are read first.
    pub(in crate::daemon) fn named(&mut self, from: Endpoint, vrid: u8, priority: u8) {
        if priority == 0 {
            self.catch_up();
        }
        for id in self.dispatcher.ids() {
            let router = self.dispatcher.router(id);
            if router.config().protocol.vrid.octet() == vrid && followed(router) == Some(from) {
                let named = Priority::new(priority);
                self.dispatcher.dispatch(id, Event::Successor { from: from.address, named });
            }
        }
    }

    /// What the lifelines need, if it may have changed since the last call.
    pub(in crate::daemon) fn take_lifeline_needs(&mut self) -> Option<Needs> {
        let changed = self.dispatcher.take_roles_changed() | std::mem::take(&mut self.rebound);
        changed.then(|| Needs::of(self.dispatcher.routers(), self.dispatcher.network()))
    }
}
