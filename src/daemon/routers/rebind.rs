//! Binds the routers to links, and passes what changed to their state machines as causes of FAULT and source addresses.

use log::Level;

use super::{RETRY, Routers};
use crate::daemon::binding::{Binding, Unbound};
use crate::daemon::culprits::Culprit;
use crate::daemon::messages;
use crate::ids::RouterId;
use crate::sys::Error;
use crate::time::Instant;
use crate::token::Poller;
use crate::vrrp::{Cause, Event};

impl Routers {
    /// Follows what the kernel changes without a notification that we read, whenever this process is awake anyway.
    pub(super) fn follow_unreported(&mut self, now: Instant, poller: &Poller) {
        self.dispatcher.network_mut().keep_secondaries(now);
        self.follow_routes(now, poller);
    }

    /// Binds unicast routers again whose route changed. Routes and rules change without a notification about a link or an
    /// address. The kernel reports them too, but a host with many routes would wake this process for those of others, so
    /// they are looked up when it is awake anyway, as for each advert.
    fn follow_routes(&mut self, now: Instant, poller: &Poller) {
        let count = self.dispatcher.routers().len();
        for id in self.route_round.take(now, count).map(RouterId) {
            let router = self.dispatcher.router(id);
            if router.binding().is_some() && !router.config().protocol.peers.is_empty() {
                // An error has been logged, and a retry is scheduled if it can help.
                let _ = self.rebind(id, poller);
            }
        }
    }

    /// Resolves the router's link and source address again and passes the difference to its state machine.
    pub(super) fn rebind(&mut self, id: RouterId, poller: &Poller) -> Result<(), Error> {
        let down = self.dispatcher.router(id).tracked_down(self.dispatcher.network().interfaces());
        let tracked =
            if down.is_some() { Event::Fault(Cause::Tracked) } else { Event::Clear(Cause::Tracked) };
        if down.is_some() {
            self.dispatcher.router_mut(id).set_culprit(Cause::Tracked, down);
        }
        self.dispatcher.dispatch(id, tracked);
        let (routers, network) = self.dispatcher.parts();
        let router = &mut routers[id.0];
        let (binding, result) = match router.resolve_binding(network, &self.virtual_addresses, poller) {
            Ok(binding) => {
                router.clear_unbound();
                network.prepare_announcements(binding.index, router.managed());
                if binding.awaits_route {
                    self.retry_at = Some(self.dispatcher.clock().exact() + RETRY);
                }
                (Some(binding), Ok(()))
            }
            Err(unbound) => (None, self.unbound(id, unbound)),
        };
        self.claim_vrid(id, binding.as_ref());
        self.set_binding(id, binding);
        result
    }

    /// Returns the error if a capability is missing.
    fn unbound(&mut self, id: RouterId, unbound: Unbound) -> Result<(), Error> {
        if unbound.needs_retry(&self.dispatcher.router(id).config().interface) {
            self.retry_later();
        }
        let now = self.dispatcher.clock().now();
        let router = self.dispatcher.router_mut(id);
        router.set_unbound(now, &unbound);
        router.set_culprit(Cause::Interface, unbound.culprit(&router.config().interface));
        match unbound {
            Unbound::Refused(e) if e.is_permission() => Err(e),
            Unbound::Refused(_) | Unbound::NoLink(_) => Ok(()),
        }
    }

    fn set_binding(&mut self, id: RouterId, binding: Option<Binding>) {
        let before = self.dispatcher.router(id).binding();
        if binding.is_some() && before == binding.as_ref() {
            return;
        }
        self.rebound = true;
        let up = binding.as_ref().is_some_and(|binding| binding.down.is_none());
        let moved = before.map(|b| b.index) != binding.as_ref().map(|b| b.index);
        if !up || moved {
            if let Some(binding) = &binding {
                self.dispatcher
                    .router_mut(id)
                    .set_culprit(Cause::Interface, binding.down.as_deref().cloned());
            }
            // With the old binding still in place: the addresses are removed from its link.
            self.dispatcher.dispatch(id, Event::Fault(Cause::Interface));
        }
        let source = binding.as_ref().and_then(|binding| binding.source);
        if source.is_none() {
            let router = self.dispatcher.router_mut(id);
            let config = router.config();
            let none =
                |on: &Binding| Culprit::no_source(&on.interface, config.family(), config.unicast_source);
            let culprit = binding.as_ref().map(none);
            router.set_culprit(Cause::Source, culprit);
            self.dispatcher.dispatch(id, Event::Source(None));
        }
        self.dispatcher.router_mut(id).set_binding(binding);
        if source.is_some() {
            self.dispatcher.dispatch(id, Event::Source(source));
        }
        if up {
            self.dispatcher.dispatch(id, Event::Clear(Cause::Interface));
        }
        if up && source.is_some() {
            self.dispatcher.family_came(id);
        }
    }

    /// Two of our routers with the same VRID may resolve to one link, one by its name and one by its subnet. The first
    /// one keeps the VRID.
    fn claim_vrid(&mut self, id: RouterId, binding: Option<&Binding>) {
        let router = self.dispatcher.router(id);
        let Some(binding) = binding else { return self.vrids.release(id) };
        let vrid = router.config().protocol.vrid;
        let conflicting = router.instance().faults().contains(&Cause::Vrid);
        match self.vrids.claim((binding.port, router.config().family(), vrid), id) {
            Err(holder) if !conflicting => {
                let holder = self.dispatcher.router(holder).name();
                let text = messages::vrid_taken(vrid, &binding.interface, holder);
                router.log_event(Level::Error, "vrid_taken", text);
                self.dispatcher.dispatch(id, Event::Fault(Cause::Vrid));
            }
            Ok(()) if conflicting => self.dispatcher.dispatch(id, Event::Clear(Cause::Vrid)),
            Ok(()) | Err(_) => {}
        }
    }

    /// Lets routers whose VRID was taken claim it again: its holder may have moved.
    pub(super) fn retry_conflicts(&mut self, poller: &Poller) {
        for id in self.dispatcher.ids() {
            if self.dispatcher.router(id).instance().faults().contains(&Cause::Vrid) {
                // An error has been logged, and a retry is scheduled if it can help.
                let _ = self.rebind(id, poller);
            }
        }
    }
}
