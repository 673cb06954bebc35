//! All virtual routers: binds them to links, and turns packets, kernel notifications and check results into events for
//! their state machines; performs no action itself.

mod deaths;
pub(super) mod drain;
mod rebind;
mod reconfigure;

use std::net::IpAddr;
use std::time::Duration;

use super::claims::ClaimWatch;
use super::dispatcher::{Dispatcher, Notification};
use super::draining::Drain;
use super::incoming::Incoming;
use super::messages;
use super::network::Network;
use super::pace::RouteRound;
use super::reconfiguration::Reconfiguration;
use super::router::Router;
use super::sweep::sweep;
use super::vrid_table::VridTable;
use crate::checks::{Checks, Outcome};
use crate::config::RouterConfig;
use crate::health::{Verdict, Weight};
use crate::ids::{CheckId, PortId, RouterId};
use crate::status::History;
use crate::sys::Error;
use crate::sys::limits::Descriptors;
use crate::sys::netlink::Address;
use crate::sys::socket::Inbox;
use crate::time::Instant;
use crate::token::Poller;
use crate::vrrp::{DropReason, Event, Role, TTL};

/// What is due so much earlier was not handled, because this process did not run for a while.
const LATE: Duration = Duration::from_millis(10);
/// Packets taken from one port before timers are checked again: a flood must not delay an advert.
const PACKETS: usize = 64;
/// More packets than a port's queue holds.
const ALL_PACKETS: usize = 4096;
/// The time between retries of something whose success no notification would announce.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Routers {
    /// Dropped first, because dropping the dispatcher waits for the kernel.
    claims: ClaimWatch,
    dispatcher: Dispatcher,
    vrids: VridTable,
    /// Every managed virtual address, sorted: adverts are never sent from one.
    virtual_addresses: Vec<IpAddr>,
    inbox: Option<Inbox>,
    retry_at: Option<Instant>,
    route_round: RouteRound,
    /// A link or a source address may be another one.
    rebound: bool,
    /// The kernel's notifications could not be read; it is in the log.
    netlink_failed: bool,
    reconfiguration: Reconfiguration,
    drain: Drain,
}

impl Routers {
    /// Removes what a killed predecessor left, and binds each router to its link. The state machines are not started.
    ///
    /// # Errors
    /// A capability is missing. A missing interface is not an error: it is waited for.
    pub(super) fn new(
        configs: Vec<RouterConfig>,
        network: Network,
        checks: &mut Checks,
        poller: &Poller,
        descriptors: Descriptors,
    ) -> Result<Self, Error> {
        let mut routers = Self {
            dispatcher: Dispatcher::new(configs, network, poller.clock()),
            vrids: VridTable::default(),
            claims: ClaimWatch::new(descriptors),
            virtual_addresses: vec![],
            inbox: None,
            retry_at: None,
            route_round: RouteRound::new(),
            rebound: false,
            netlink_failed: false,
            reconfiguration: Reconfiguration::default(),
            drain: Drain::Off,
        };
        let (all, network) = routers.dispatcher.parts();
        for router in all {
            router.share_check(checks);
            sweep(network, router);
        }
        routers.update_virtual_addresses();
        // The removed addresses must be out of the table before a source address is chosen.
        routers.network_changed(poller);
        routers.dispatcher.network_mut().forget_virtual_addresses();
        let mut forbidden = Ok(());
        for id in routers.dispatcher.ids() {
            forbidden = forbidden.and(routers.rebind(id, poller));
            routers.apply_first_health(id, checks);
        }
        routers.watch_claims(poller);
        // What a killed predecessor left is gone.
        routers.start_guard(descriptors, poller);
        forbidden.map(|()| routers)
    }

    /// Starts the state machines.
    pub(super) fn startup(&mut self) {
        self.dispatch_to_all(&Event::Startup);
        if self.dispatcher.report_left_out() {
            self.retry_later();
        }
    }

    /// Stops every router as on SIGTERM: a master may first wait for its successor. A second call does not wait.
    pub(super) fn stop(&mut self) {
        (self.reconfiguration, self.drain) = (Reconfiguration::default(), Drain::Off);
        self.dispatch_to_all(&Event::Shutdown);
    }

    /// Whether every state machine has stopped.
    pub(super) fn are_stopped(&self) -> bool {
        self.dispatcher.routers().iter().all(|router| router.role() == Role::Init)
    }

    /// In the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RouterId, &Router)> {
        let mut sorted: Vec<(RouterId, &Router)> = vec![];
        for (id, router) in self.dispatcher.present() {
            // Nearly always at the end.
            let at = sorted.partition_point(|(_, known)| known.key() <= router.key());
            sorted.insert(at, (id, router));
        }
        sorted.into_iter()
    }

    /// The warning that the family of the router is left out.
    pub(super) fn left_out(&self, id: RouterId) -> Option<&str> {
        self.dispatcher.left_out(id)
    }

    pub(super) fn network(&self) -> &Network {
        self.dispatcher.network()
    }

    pub(super) fn network_mut(&mut self) -> &mut Network {
        self.dispatcher.network_mut()
    }

    pub(super) fn history(&self) -> &History {
        self.dispatcher.history()
    }

    /// Every address of the host, as the kernel has it now.
    pub(super) fn kernel_addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.dispatcher.network_mut().addresses()
    }

    /// When [`Routers::retry`] or [`Routers::fire_timers`] has something to do.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let timer = self.dispatcher.deadline();
        let others = [self.retry_at, self.claims.deadline(), self.reconfiguration.deadline()];
        timer.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Starts a turn of the loop. Returns the time.
    pub(super) fn start_turn(&mut self) -> Instant {
        self.dispatcher.network_mut().start_turn();
        self.dispatcher.clock().start_turn()
    }

    /// Retries whatever no notification would announce, and reports the claims that turned out to be conflicts.
    pub(super) fn retry(&mut self, poller: &Poller) {
        let now = self.dispatcher.clock().exact();
        let (routers, network) = self.dispatcher.parts();
        for (id, claim, count) in self.claims.conflicts(now, routers, network) {
            routers[id.0].claimed(now, claim, count);
        }
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.network_changed(poller);
        }
        self.follow_unreported(now, poller);
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self) {
        self.dispatcher.fire_timers();
    }

    /// Other hosts claimed virtual addresses.
    pub(super) fn read_claims(&mut self, number: u32) {
        let now = self.dispatcher.clock().exact();
        let (routers, network) = self.dispatcher.parts();
        for id in self.claims.read(number, now, routers, network) {
            self.dispatcher.dispatch(id, Event::Contested);
        }
    }

    /// Has the kernel report claims of the present addresses.
    fn watch_claims(&mut self, poller: &Poller) {
        self.claims.update(self.dispatcher.routers(), self.dispatcher.network(), poller);
    }

    /// Follows changes of masters, whose claims are normal.
    pub(super) fn follow_masters(&mut self) {
        let now = self.dispatcher.clock().exact();
        self.claims.follow_masters(now, self.dispatcher.routers());
    }

    /// Sends the queued messages.
    pub(super) fn flush(&mut self) {
        self.dispatcher.flush();
    }

    /// The NOTIFY programs to run, in the order of the transitions, since the last call.
    pub(super) fn take_notifications(&mut self) -> Vec<Notification> {
        self.dispatcher.take_notifications()
    }

    /// Follows a change that we made ourselves, whose notification is already waiting.
    pub(super) fn follow_own_changes(&mut self, poller: &Poller) {
        if self.dispatcher.network_mut().take_own_change() {
            self.network_changed(poller);
        }
    }

    /// Applies the outcome of a check to its routers.
    pub(super) fn apply_outcome(&mut self, check: CheckId, outcome: Outcome, result: (Weight, Verdict)) {
        let ids: Vec<_> =
            self.dispatcher.ids().filter(|id| self.dispatcher.router(*id).check() == Some(check)).collect();
        let Some(first) = ids.first().map(|id| self.dispatcher.router(*id)) else { return };
        messages::log_outcome(&first.subject(), &outcome);
        for change in outcome.changes {
            for id in &ids {
                self.dispatcher.note(*id, change.clone());
            }
        }
        let told = if outcome.is_early { Verdict::Unknown } else { result.1 };
        let now = self.dispatcher.clock().now();
        for id in &ids {
            self.dispatcher.router_mut(*id).note_health(now, (result.0, told));
        }
        if outcome.verdict.is_some() {
            for id in ids {
                self.apply_health(id, result);
            }
            // Polling other checks may take longer than a backup waits.
            self.dispatcher.flush();
        }
    }

    /// A service with weight 0 counts as failed until its first check.
    fn apply_first_health(&mut self, id: RouterId, checks: &Checks) {
        if let Some(check) = self.dispatcher.router(id).check() {
            self.apply_health(id, checks.result(check));
        }
    }

    fn apply_health(&mut self, id: RouterId, result: (Weight, Verdict)) {
        for event in self.dispatcher.router_mut(id).apply_health(result) {
            self.dispatcher.dispatch(id, event);
        }
    }

    /// Packets came in at a port.
    pub(super) fn receive(&mut self, port: PortId) {
        self.receive_at_most(port, PACKETS);
    }

    /// [`Routers::catch_up`], if it is [`LATE`] for what was `due`.
    pub(super) fn catch_up_if_late(&mut self, due: Instant) {
        if self.dispatcher.clock().exact().since(due) > LATE {
            self.catch_up();
        }
    }

    /// Receives everything that is queued: if this process did not run for a while, a master's adverts may be waiting,
    /// and that master is not silent.
    pub(super) fn catch_up(&mut self) {
        for port in self.dispatcher.network().port_ids() {
            self.receive_at_most(port, ALL_PACKETS);
        }
    }

    fn receive_at_most(&mut self, port: PortId, limit: usize) {
        let mut inbox = self.inbox.take().unwrap_or_default();
        let mut count = 0;
        while count < limit {
            let (packets, more) = self.dispatcher.network().receive(port, &mut inbox);
            count += packets.len();
            for packet in &packets {
                self.packet(port, Incoming::parse(packet));
            }
            if !more {
                break;
            }
        }
        self.inbox = Some(inbox);
    }

    fn packet(&mut self, port: PortId, incoming: Incoming) {
        let Some((index, channel)) = self.dispatcher.network().location(port) else { return };
        let slot = incoming.vrid.map(|vrid| (index, incoming.family(), vrid));
        let router = slot.and_then(|slot| self.vrids.holder(slot));
        let router = router.filter(|id| self.dispatcher.router(*id).listens(index, channel));
        let from = incoming.from;
        let forwarded = |id: RouterId| incoming.ttl != TTL && self.is_peer_on_link(id, from);
        let advert = match router {
            Some(id) if incoming.advert.is_ok() && forwarded(id) => Err(DropReason::Ttl),
            Some(_) | None => incoming.advert,
        };
        match (router, advert) {
            (Some(id), Ok(advert)) => {
                self.dispatcher.router_mut(id).count_advert(&advert);
                self.dispatcher.dispatch(id, Event::Advert { from, advert: &advert });
            }
            (Some(id), Err(reason)) => {
                let now = self.dispatcher.clock().exact();
                self.dispatcher.router_mut(id).drop_packet(now, from, reason);
            }
            (None, advert) => {
                self.dispatcher.network_mut().count_drop(port, advert.err().unwrap_or(DropReason::Vrid));
            }
        }
    }

    /// Whether it is a unicast peer of the router in a subnet of this host: its adverts come through no router, which
    /// would lower their TTL (RFC 5082).
    fn is_peer_on_link(&self, id: RouterId, from: IpAddr) -> bool {
        let is_peer = self.dispatcher.router(id).config().protocol.peers.contains(&from);
        is_peer && self.dispatcher.network().interfaces().is_on_link(from)
    }

    /// Links or addresses changed. After an error, everything is listed again soon.
    pub(super) fn network_changed(&mut self, poller: &Poller) {
        let changes = match self.dispatcher.network_mut().changes() {
            Ok(changes) => changes,
            Err(e) => {
                if !std::mem::replace(&mut self.netlink_failed, true) {
                    log::error!(event = "kernel"; "{e}; will retry");
                }
                return self.retry_later();
            }
        };
        self.netlink_failed = false;
        self.dispatcher.put_back_after_expiry(&changes.removed_with);
        let held = || self.dispatcher.routers().iter().flat_map(|router| router.held().iter());
        let removed = if changes.lost { held().collect() } else { changes.removed };
        let removed = self.still_missing(removed);
        let owners = self.update_owned();
        for id in self.dispatcher.ids() {
            if changes.rebind || self.dispatcher.router(id).awaits_route() {
                // An error has been logged, and a retry is scheduled if it can help.
                let _ = self.rebind(id, poller);
            }
            let router = self.dispatcher.router(id);
            let other_mac = router.binding().is_some_and(|b| changes.other_mac.contains(&b.index));
            if router.held().lost_any(&removed) || owners.contains(&id) {
                self.dispatcher.dispatch(id, Event::AddressLost);
            }
            if other_mac {
                self.dispatcher.dispatch(id, Event::HardwareAddress);
            }
        }
        self.dispatcher.update_host_addresses();
        if changes.rebind {
            self.retry_conflicts(poller);
            self.watch_claims(poller);
        }
        if self.dispatcher.report_left_out() || changes.retry {
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.retry_at = Some(self.dispatcher.clock().exact() + RETRY);
    }

    /// Which of the removed addresses are missing now. A notification may be an old one about our own removal of an
    /// address that we have added again since, so the kernel is asked.
    fn still_missing(&mut self, mut removed: Vec<(u32, IpAddr)>) -> Vec<(u32, IpAddr)> {
        if !self.dispatcher.routers().iter().any(|router| router.held().lost_any(&removed)) {
            return vec![];
        }
        match self.dispatcher.network_mut().addresses() {
            Ok(present) => removed.retain(|held| !present.iter().any(|a| (a.index, a.address) == *held)),
            // Then all of them are added again.
            Err(e) => log::warn!(event = "kernel"; "{e}"),
        }
        removed
    }

    /// Determines which addresses the owners really have, before a source address is chosen. Returns the owners that lost
    /// a real address, and must add it as a virtual one.
    fn update_owned(&mut self) -> Vec<RouterId> {
        let ids = self.dispatcher.ids();
        let (routers, network) = self.dispatcher.parts();
        let (mut changed, mut lost) = (false, vec![]);
        for id in ids {
            let router = &mut routers[id.0];
            let before = router.managed().count();
            changed |= router.update_owned(network);
            if router.managed().count() > before {
                lost.push(id);
            }
        }
        if changed {
            self.update_virtual_addresses();
        }
        lost
    }

    fn update_virtual_addresses(&mut self) {
        let managed = self.dispatcher.routers().iter().flat_map(Router::managed).map(|vip| vip.address);
        self.virtual_addresses = managed.collect();
        self.virtual_addresses.sort_unstable();
    }

    fn dispatch_to_all(&mut self, event: &Event<'static>) {
        for id in self.dispatcher.ids() {
            self.dispatcher.dispatch(id, *event);
        }
        self.dispatcher.flush();
    }
}
