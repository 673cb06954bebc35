//! Hands events to the state machines and performs their actions, in order and without recursion; decides nothing and
//! knows no descriptor.

mod membership;

use std::time::Duration;
use std::vec::IntoIter;

use log::Level;

use super::culprits::Culprit;
use super::families::{Families, Missing};
use super::messages;
use super::network::Network;
use super::queue::{Next, Queue, Renewal};
use super::receivers::Message;
use super::router::{Performed, Refused, Router};
use super::timers::{BatchClock, Timers};
use crate::config::RouterConfig;
use crate::ids::RouterId;
use crate::status::{History, Transition};
use crate::sys::netlink::{Address, Removed};
use crate::sys::poller::{Clock, wall_clock};
use crate::time::Instant;
use crate::vrrp::{Action, Advert, Cause, Event, Report, Role, Why};

/// What reports a transition of a router: a program, or a message to a receiver.
#[derive(Debug)]
pub(super) enum Notification {
    /// A program runs.
    Run {
        /// Its absolute path and its first arguments.
        program: Box<[String]>,
        /// `INSTANCE`, name, state, priority.
        arguments: [String; 4],
    },
    Send(Message),
}

/// The routers, and everything that their actions need. Dropping it removes every virtual address.
#[derive(Debug)]
pub(super) struct Dispatcher {
    clock: BatchClock,
    routers: Vec<Router>,
    timers: Timers,
    families: Families,
    queue: Queue,
    network: Network,
    history: History,
    notifications: Vec<Notification>,
    /// A router has another role or priority, or follows another master.
    roles_changed: bool,
    /// Routers whose last advert could not be sent, and the number of it.
    unsent: Vec<(RouterId, u64)>,
}

impl Dispatcher {
    pub(super) fn new(configs: Vec<RouterConfig>, network: Network, clock: Clock) -> Self {
        Self {
            clock: BatchClock::new(clock),
            timers: Timers::new(configs.len()),
            families: Families::new(configs.iter().map(|config| config.number)),
            routers: configs.into_iter().map(|config| Router::new(config, Instant::START)).collect(),
            queue: Queue::default(),
            network,
            history: History::default(),
            notifications: vec![],
            roles_changed: false,
            unsent: vec![],
        }
    }

    /// Of the routers that have not left.
    pub(super) fn ids(&self) -> impl Iterator<Item = RouterId> + use<> {
        let ids: Vec<_> = self.present().map(|(id, _)| id).collect();
        ids.into_iter()
    }

    /// The routers that have not left.
    pub(super) fn present(&self) -> impl Iterator<Item = (RouterId, &Router)> {
        let all = self.routers.iter().enumerate().map(|(at, router)| (RouterId(at), router));
        all.filter(|(_, router)| !router.is_gone())
    }

    pub(super) fn routers(&self) -> &[Router] {
        &self.routers
    }

    pub(super) fn router(&self, id: RouterId) -> &Router {
        &self.routers[id.0]
    }

    pub(super) fn router_mut(&mut self, id: RouterId) -> &mut Router {
        &mut self.routers[id.0]
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The routers and the network, to be used together.
    pub(super) fn parts(&mut self) -> (&mut [Router], &mut Network) {
        (&mut self.routers, &mut self.network)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn clock(&mut self) -> &mut BatchClock {
        &mut self.clock
    }

    /// Adds a fact that may explain the router's next transition.
    pub(super) fn note(&mut self, id: RouterId, fact: String) {
        let now = self.clock.now();
        self.history.add_evidence(id.0, now, fact);
    }

    /// Whether a router has another role or priority, or follows another master, since the last call.
    pub(super) fn take_roles_changed(&mut self) -> bool {
        std::mem::take(&mut self.roles_changed)
    }

    /// When the next timer fires.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.timers.next(|id| self.routers[id.0].deadline())
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self) {
        let now = self.clock.now();
        for id in self.timers.due(now, |id| self.routers[id.0].deadline()) {
            self.queue.push(id, Event::Timer);
        }
        self.drain();
    }

    /// Hands one event to a router, and handles everything that follows from it.
    pub(super) fn dispatch(&mut self, id: RouterId, event: Event<'_>) {
        self.handle(id, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(next) = self.queue.next() {
            match next {
                Next::Handle(id, event) => self.handle(id, event),
                Next::Renew(renewals) => self.renew(renewals),
            }
        }
    }

    fn handle(&mut self, id: RouterId, event: Event<'_>) {
        let now = self.clock.now();
        let advert = if let Event::Advert { from, advert } = event { Some((from, advert)) } else { None };
        let actions = self.routers[id.0].handle(now, event);
        if let Some((from, advert)) = advert {
            self.routers[id.0].heard(now, from, advert);
        }
        self.perform(now, id, actions.into_iter(), advert.map(|(_, advert)| advert));
    }

    /// Performs the actions in order, until the end, a refusal, or a lease renewal.
    fn perform(
        &mut self,
        now: Instant,
        id: RouterId,
        mut actions: IntoIter<Action>,
        advert: Option<&Advert>,
    ) {
        let mut refused = false;
        while let Some(action) = actions.next() {
            if let Action::Report(report) = &action {
                self.record(now, id, report);
            }
            let acquires = matches!(action, Action::Acquire);
            match self.routers[id.0].perform(now, id, &mut self.network, action, advert) {
                Performed::Done if acquires => self.families.held(id),
                Performed::Done => {}
                Performed::AwaitsRenewal => {
                    self.queue.await_renewal(id, actions);
                    break;
                }
                Performed::Refused => {
                    refused = true;
                    break;
                }
            }
        }
        self.timers.set(id, self.router(id).deadline());
        self.update_partner(id);
        if refused {
            self.report_refusal(id);
            self.queue.push_next(id, Event::Refused);
        }
    }

    /// Renews the leases in one netlink call, and performs what each router does afterwards.
    fn renew(&mut self, renewals: Vec<Renewal>) {
        let now = self.clock.exact();
        let mut assignments = vec![];
        // Each router's error, if any, and the end of its assignments.
        let mut results = vec![];
        for renewal in &renewals {
            let assigned = self.routers[renewal.router.0].assign(&self.network, &mut assignments);
            results.push((assigned.err(), assignments.len()));
        }
        for (at, refusal) in self.network.add(now, &assignments) {
            let of = results.partition_point(|(_, end)| *end <= at);
            let router = &mut self.routers[renewals[of].router.0];
            if !router.leaves_out(&self.network, &assignments[at], false) {
                results[of].0.get_or_insert(refusal);
            }
        }
        for (Renewal { router: id, rest }, (refusal, _)) in renewals.into_iter().zip(results) {
            match self.routers[id.0].renewed(now, refusal) {
                Ok(()) => self.perform(now, id, rest, None),
                Err(Refused) => self.queue.push_next(id, Event::Refused),
            }
        }
    }

    /// Records the facts for `why` and the program to run. The router is still in its previous state.
    fn record(&mut self, now: Instant, id: RouterId, report: &Report) {
        self.roles_changed |= matches!(
            report,
            Report::Transition { .. } | Report::Master(_) | Report::Drain(_) | Report::Priority { .. }
        );
        match report {
            Report::Priority { from, to } => {
                self.history.add_evidence(id.0, now, format!("priority {from} to {to}"));
            }
            Report::Released(from) => self.history.add_evidence(id.0, now, format!("{from} sent priority 0")),
            Report::Died(from) => {
                self.history.add_evidence(id.0, now, format!("the kernel of {from} closed the lifeline"));
            }
            Report::Transition { from, to, why } => self.record_transition(now, id, (*from, *to), why),
            Report::Master(_)
            | Report::Lower(_)
            | Report::Loser { .. }
            | Report::TwoMasters(_)
            | Report::SecondSpeaker { .. }
            | Report::OtherAddresses(_)
            | Report::OtherInterval(_)
            | Report::Yield
            | Report::Stopping
            | Report::Dropped { .. }
            | Report::AddressRestored
            | Report::Drain(_)
            | Report::Cause { .. } => {}
        }
    }

    fn record_transition(&mut self, now: Instant, id: RouterId, (from, to): (Role, Role), why: &Why) {
        let router = &self.routers[id.0];
        if let (Why::Silence(Some(_)), Some((heard, _))) = (why, router.telemetry().last_heard()) {
            self.history.add_evidence(id.0, heard, "its last advert arrived".into());
        }
        if let (Why::Silence(None), Some(dropped)) = (why, router.telemetry().only_dropped(now)) {
            self.history.add_evidence(id.0, now, dropped);
        }
        let transition = Transition {
            time: wall_clock(),
            router: router.name().to_owned(),
            from,
            to,
            lasted: now.since(router.telemetry().since()),
            evidence: vec![],
            cause: messages::cause(why, &router.subject()),
            delay: Duration::ZERO,
        };
        let notify = &router.config().notify;
        for program in notify.on(to).cloned() {
            self.notifications.push(Notification::Run { program, arguments: router.notify_arguments(to) });
        }
        let message = notify.url.as_ref().map(|url| router.message(url, &transition));
        self.notifications.extend(message.map(Notification::Send));
        self.history.record(id.0, now, transition);
    }

    /// The IPv4 and the IPv6 router of one `VIP` move together: a fault of one stops the other, unless this host never had
    /// the family.
    fn update_partner(&mut self, id: RouterId) {
        let Some(partner) = self.families.partner(id) else { return };
        let stopped =
            self.router(id).instance().faults().iter().any(|cause| self.families.shares(id, *cause));
        let known = self.router(partner).instance().faults().contains(&Cause::Partner);
        match (stopped, known) {
            (true, false) => {
                let router = self.router(id);
                let first = router.instance().faults().iter().min();
                let fault = first.map(|cause| messages::fault(*cause, &router.subject()));
                let culprit = first.and_then(|cause| router.subject().culprits.get(*cause)).cloned();
                let text = format!("({}) is in FAULT: {}", router.name(), fault.unwrap_or_default());
                let culprit = culprit.map(|culprit| Culprit { text, ..culprit });
                self.router_mut(partner).set_culprit(Cause::Partner, culprit);
                self.queue.push_next(partner, Event::Fault(Cause::Partner));
            }
            (false, true) => self.queue.push_next(partner, Event::Clear(Cause::Partner)),
            (true, true) | (false, false) => {}
        }
    }

    /// The router has an address to send from, on a link that is up: from now on it stops its partner when it loses that.
    pub(super) fn family_came(&mut self, id: RouterId) {
        self.families.came(id, self.clock.now());
        self.update_partner(id);
        self.drain();
    }

    /// Logs once which families are left out. Returns whether one may still come.
    pub(super) fn report_left_out(&mut self) -> bool {
        let now = self.clock.exact();
        let mut maybe = false;
        for id in self.families.ids() {
            let Some(partner) = self.families.partner(id) else { continue };
            match self.families.missing(id, now) {
                Missing::No => {}
                Missing::Maybe => maybe = true,
                Missing::Yes => {
                    let text =
                        messages::left_out(&self.router(id).subject(), self.router(partner).name(), false);
                    self.router(id).log_event(Level::Warn, "left_out", &text);
                    self.families.leave_out(id, text);
                }
            }
        }
        maybe
    }

    /// Logs once that a family is left out whose addresses the kernel has always refused.
    fn report_refusal(&mut self, id: RouterId) {
        if let Some(partner) = self.families.partner(id).filter(|_| self.families.refused(id)) {
            let text = messages::left_out(&self.router(id).subject(), self.router(partner).name(), true);
            self.router(id).log_event(Level::Warn, "left_out", &text);
            self.families.leave_out(id, text);
        }
    }

    /// The warning that the router's family is left out.
    pub(super) fn left_out(&self, id: RouterId) -> Option<&str> {
        self.families.left_out(id)
    }

    /// Adds again what the kernel removed because the lease of a virtual address ran out: this process was held up.
    /// What another program removed stays away.
    pub(super) fn put_back_after_expiry(&mut self, removed_with: &[(Address, Removed)]) {
        let now = self.clock.exact();
        for (vip, removed) in removed_with {
            let expired = |router: &Router| {
                router.held().contains(vip.index, vip.address, vip.prefix) && router.held().has_expired(now)
            };
            if self.routers.iter().any(expired) {
                self.network.put_back(vip, removed);
            }
        }
    }

    /// Looks for virtual addresses on this host that should not be here.
    pub(super) fn update_host_addresses(&mut self) {
        for router in &mut self.routers {
            router.update_host_addresses(&self.network);
        }
    }

    /// Sends the queued messages.
    pub(super) fn flush(&mut self) {
        // A router that gives up because it cannot send has something to send once more.
        while self.send_waiting() {}
    }

    /// Sends the waiting messages and tells the routers that cannot send, or can again. Returns whether more may wait.
    fn send_waiting(&mut self) -> bool {
        self.network.flush();
        let mut unsent = vec![];
        let now = self.clock.now();
        for (id, e) in self.network.take_send_errors() {
            if self.routers[id.0].send_failed(now, &e) && !unsent.contains(&id) {
                unsent.push(id);
            }
        }
        let sends_again = |(id, adverts): &(RouterId, u64)| {
            !unsent.contains(id) && self.routers[id.0].telemetry().adverts() > *adverts
        };
        let again: Vec<_> =
            self.unsent.extract_if(.., |router| sends_again(router)).map(|(id, _)| id).collect();
        for id in &unsent {
            self.unsent.retain(|(known, _)| known != id);
            self.unsent.push((*id, self.routers[id.0].telemetry().adverts()));
            self.dispatch(*id, Event::Unsent);
        }
        for id in &again {
            self.dispatch(*id, Event::Sent);
        }
        !(unsent.is_empty() && again.is_empty())
    }

    /// The NOTIFY programs to run, in the order of the transitions, since the last call.
    pub(super) fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }
}

/// However the daemon ends, no virtual address is left behind. A panic of the program does not get here: `commands/panic.rs`.
impl Drop for Dispatcher {
    fn drop(&mut self) {
        for id in self.ids() {
            self.routers[id.0].release_all(id, &mut self.network);
        }
        self.network.flush();
        self.network.guard_mut().end();
    }
}
