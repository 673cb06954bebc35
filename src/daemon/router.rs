//! One virtual router: its configuration and state machine, its binding to a link, the addresses it holds, and its
//! telemetry. Performs the actions of its state machine; knows no other router.

mod addresses;
mod adverts;
mod notify;
mod reconfigure;

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use log::Level;

use super::binding::{self, Binding, Unbound, subject};
use super::culprits::{Culprit, Culprits};
use super::families;
use super::held::HeldAddresses;
use super::host_addresses::HostAddresses;
use super::messages::{self, Subject};
use super::network::Network;
use super::port::Channel;
use super::rate_limiter::HERE;
use super::telemetry::Telemetry;
use crate::config::{RouterConfig, VirtualAddress};
use crate::health::{Verdict, Weight};
use crate::ids::{CheckId, RouterId};
use crate::interfaces::Interfaces;
use crate::sys::Error;
use crate::sys::netlink::{Assignment, Link};
use crate::time::Instant;
use crate::token::Poller;
use crate::vrrp::{Action, Advert, Cause, Event, Instance, Priority, Report, Role};

/// The result of an action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Performed {
    Done,
    /// The lease must be renewed before the next action.
    AwaitsRenewal,
    /// The kernel refused a virtual address; the error has been logged.
    Refused,
}

/// The kernel refused a virtual address; the error has been logged.
#[derive(Debug)]
pub(super) struct Refused;

#[derive(Debug)]
pub(super) struct Router {
    config: RouterConfig,
    instance: Instance,
    check: Option<CheckId>,
    /// The result of a check that is in effect, until there is another one.
    result: Option<(Weight, Verdict)>,
    /// What the check watches, in the operator's words.
    watched: Vec<String>,
    /// `None` while it has no link or no sockets.
    binding: Option<Binding>,
    host: HostAddresses,
    held: HeldAddresses,
    culprits: Culprits,
    /// The kernel took the last unicast advert for one peer at least.
    reached: bool,
    /// When the last advert came from a router that it does not follow.
    rival_heard: Option<Instant>,
    telemetry: Telemetry,
    place: Place,
}

/// Whether a router is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Configured,
    /// No longer; it is stopping.
    Leaving,
    /// No longer; another router may take its id.
    Gone,
}

impl Router {
    /// A router that is configured `now`.
    pub(super) fn new(config: RouterConfig, now: Instant) -> Self {
        Self {
            instance: Instance::new(Rc::clone(&config.protocol)),
            check: None,
            result: None,
            watched: vec![],
            binding: None,
            host: HostAddresses::new(config.protocol.priority == Priority::OWNER),
            held: HeldAddresses::new(config.protocol.lease),
            culprits: Culprits::default(),
            reached: false,
            rival_heard: None,
            telemetry: Telemetry::new(now, config.protocol.interval),
            place: Place::Configured,
            config,
        }
    }

    pub(super) fn config(&self) -> &RouterConfig {
        &self.config
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(super) fn check(&self) -> Option<CheckId> {
        self.check
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn role(&self) -> Role {
        self.instance.role()
    }

    /// The router as messages name it.
    pub(super) fn subject(&self) -> Subject<'_> {
        subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits)
    }

    /// Writes one line about this router to the log.
    pub(super) fn log_event(&self, level: Level, event: &str, text: impl fmt::Display) {
        self.subject().log_event(level, event, text);
    }

    /// When [`Event::Timer`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.instance.deadline().into_iter().chain(self.telemetry.deadline()).min()
    }

    /// Hands an event to the state machine.
    pub(super) fn handle(&mut self, now: Instant, event: Event<'_>) -> Vec<Action> {
        if matches!(event, Event::Timer) && self.telemetry.deadline().is_some_and(|at| at <= now) {
            let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
            self.telemetry.timer(now, &subject, &self.instance);
        }
        self.instance.handle(now, event)
    }

    /// Performs one action. `advert` is the advert that caused it, if one did.
    pub(super) fn perform(
        &mut self,
        now: Instant,
        id: RouterId,
        network: &mut Network,
        action: Action,
        advert: Option<&Advert>,
    ) -> Performed {
        match action {
            Action::Renew => return Performed::AwaitsRenewal,
            Action::Acquire => {
                if self.acquire(now, network).is_err() {
                    return Performed::Refused;
                }
            }
            Action::Release => self.release(network),
            Action::Send(advert) => self.send(id, network, &advert),
            Action::Announce => self.announce(now, network),
            Action::Solicit => self.solicit(network),
            Action::Report(report) => {
                self.report(now, &report, advert);
                if matches!(report, Report::Transition { .. }) {
                    // What is in the wrong place depends on the state.
                    self.update_host_addresses(network);
                }
            }
        }
        Performed::Done
    }

    fn report(&mut self, now: Instant, report: &Report, advert: Option<&Advert>) {
        let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
        if *report == Report::AddressRestored {
            // Another program may remove an address all the time.
            if self.telemetry.admits(now, "restored", HERE) {
                messages::log_restored(&subject, self.held.expired_before_renewal());
            }
        } else {
            self.telemetry.report(now, &subject, &self.instance, report, advert);
        }
        let is_over = matches!(report, Report::Transition { to, .. } if *to != Role::Fault);
        if is_over && !self.telemetry.owes_transition() {
            self.culprits.clear();
        }
    }

    fn acquire(&mut self, now: Instant, network: &mut Network) -> Result<(), Refused> {
        let mut assignments = vec![];
        let assigned = self.assign(network, &mut assignments);
        for (level, text) in network.protect_secondaries(&assignments) {
            self.log_event(level, "promote_secondaries", text);
        }
        let refused = assigned.and_then(|()| {
            let mut refused = network.add(now, &assignments).into_iter();
            refused.try_for_each(|(at, e)| {
                if self.leaves_out(network, &assignments[at], true) { Ok(()) } else { Err(e) }
            })
        });
        self.added(now, refused.err())?;
        network.adopt(&assignments);
        Ok(())
    }

    /// Whether a refused address is left out: it moves with the others, but this host does not have its family.
    pub(super) fn leaves_out(&mut self, network: &Network, refused: &Assignment, is_new: bool) -> bool {
        let interfaces = network.interfaces();
        let missing = families::is_missing(interfaces, self.config.family(), refused.index, refused.address);
        if missing {
            self.held.forget(refused);
        }
        if missing && is_new {
            let name = interfaces.link(refused.index).map_or("its interface", |link| &link.name);
            self.log_event(Level::Warn, "left_out", families::address_left_out(refused.address, name));
        }
        missing
    }

    fn added(&mut self, now: Instant, refusal: Option<Error>) -> Result<(), Refused> {
        if let Some(e) = refusal {
            self.log_event(Level::Error, "address_refused", &e);
            self.culprits.set(Cause::Address, Culprit::refusal("the kernel refused a virtual address", &e));
            return Err(Refused);
        }
        self.held.renewed(now);
        Ok(())
    }

    /// Appends the requests that add every virtual address, or renew its lease.
    pub(super) fn assign(
        &mut self,
        network: &Network,
        assignments: &mut Vec<Assignment>,
    ) -> Result<(), Error> {
        let Some(binding) = &self.binding else { return Ok(()) };
        for vip in managed(&self.config, self.host.owned()) {
            let index = network.device(binding.index, vip)?;
            assignments.push(self.held.assign(index, vip));
        }
        Ok(())
    }

    /// Handles the result of the renewal at `now`. A temporary error is only logged.
    pub(super) fn renewed(&mut self, now: Instant, refusal: Option<Error>) -> Result<(), Refused> {
        match refusal {
            Some(e) if !self.held.is_final(&e, now) => {
                self.log_event(Level::Warn, "renewal_failed", e);
                Ok(())
            }
            refusal => self.added(now, refusal),
        }
    }

    fn release(&mut self, network: &mut Network) {
        for e in self.held.release(network) {
            self.log_event(Level::Error, "address_remove_failed", e);
        }
        self.update_host_addresses(network);
    }

    /// The last resort, without the state machine: removes every address and sends priority 0.
    pub(super) fn release_all(&mut self, id: RouterId, network: &mut Network) {
        if !self.held.is_empty() {
            self.release(network);
            let release_advert = self.config.protocol.advert(Priority::RELEASE);
            self.send(id, network, &release_advert);
        }
    }

    fn send(&mut self, id: RouterId, network: &mut Network, advert: &Advert) {
        let Some(Binding { port, source: Some(source), .. }) = self.binding else { return };
        let Some(channel) = self.channel(Some(source)) else { return };
        let settings = &self.config.protocol;
        let group = settings.peers.is_empty().then(|| channel.group());
        self.reached = false;
        for to in settings.destinations(source).chain(group) {
            self.reached |= network.send(id, port, channel, (source, to), &advert.emit(source, to));
        }
        self.telemetry.sent(advert.priority);
    }

    /// The kernel refused to send the last advert, or one of the last. Returns whether no peer can have received it.
    pub(super) fn send_failed(&mut self, now: Instant, error: &Error) -> bool {
        let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
        self.telemetry.send_failed(now, error, &subject);
        let text = "no advert could be sent for a master-down interval";
        self.culprits.set(Cause::Send, Culprit::refusal(text, error));
        self.config.protocol.peers.is_empty() || !self.reached
    }

    fn announce(&mut self, now: Instant, network: &mut Network) {
        let Some(binding) = &self.binding else { return };
        for vip in self.config.all_addresses() {
            if let Err(e) = network.announce(binding.index, vip)
                && self.telemetry.admits(now, "announce_failed", vip.address)
            {
                self.subject().log_event(Level::Warn, "announce_failed", e);
            }
        }
    }

    /// Asks for one of the addresses: who has one has all. Of unicast peers, those that this link reaches.
    fn solicit(&self, network: &mut Network) {
        let Some(Binding { index, source: Some(source), .. }) = self.binding else { return };
        let on_link = |vip: &&VirtualAddress| network.device(index, vip).is_ok_and(|i| i == index);
        let vip = self.config.addresses.iter().find(on_link);
        if let Some(vip) = vip.filter(|_| network.interfaces().has(index, source)) {
            network.solicit(index, source, vip.address, &self.config.protocol.peers);
        }
    }

    pub(super) fn host(&self) -> &HostAddresses {
        &self.host
    }

    pub(super) fn host_mut(&mut self) -> &mut HostAddresses {
        &mut self.host
    }

    /// The virtual addresses that we add and remove.
    pub(super) fn managed(&self) -> impl Iterator<Item = &VirtualAddress> {
        managed(&self.config, self.host.owned())
    }

    pub(super) fn held(&self) -> &HeldAddresses {
        &self.held
    }

    /// The tracked interfaces that are not up.
    pub(super) fn tracked_down(&self, interfaces: &Interfaces) -> Option<Culprit> {
        let links = self.config.track.iter().map(|name| (&**name, format!("tracked interface {name}")));
        Culprit::of_links(interfaces, links)
    }

    /// Names what is behind a cause, before it is raised.
    pub(super) fn set_culprit(&mut self, cause: Cause, culprit: impl Into<Option<Culprit>>) {
        self.culprits.set(cause, culprit);
    }

    /// The router's link, while it exists.
    pub(super) fn link<'a>(&self, network: &'a Network) -> Option<&'a Link> {
        let known = self.binding.as_ref().map(|binding| &*binding.interface);
        network.resolve(&self.config.interface, self.config.subnet_hint, known)
    }

    /// How it sends, once it has a source address.
    pub(super) fn channel(&self, source: Option<IpAddr>) -> Option<Channel> {
        binding::channel(&self.config, source)
    }

    /// Whether packets of this channel on this link are for it.
    pub(super) fn listens(&self, index: u32, channel: Channel) -> bool {
        self.binding.as_ref().is_some_and(|b| b.port == index && self.channel(b.source) == Some(channel))
    }

    /// Finds the link and the source address, and opens the sockets.
    pub(super) fn resolve_binding(
        &self,
        network: &mut Network,
        virtual_addresses: &[IpAddr],
        poller: &Poller,
    ) -> Result<Binding, Unbound> {
        let Some(link) = self.link(network).cloned() else {
            let (choice, hint) = (&self.config.interface, self.config.subnet_hint);
            return Err(Unbound::NoLink(messages::no_link(choice, hint, network.interfaces())));
        };
        binding::resolve(&self.config, network, &link, self.managed(), virtual_addresses, poller)
    }

    /// Records why there is no binding. Logged once until there is one.
    pub(super) fn set_unbound(&mut self, now: Instant, unbound: &Unbound) {
        let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
        self.telemetry.unbound(now, &subject, unbound.level(), unbound.text());
    }

    /// There is a binding again, though not yet in use.
    pub(super) fn clear_unbound(&mut self) {
        self.telemetry.bound();
    }

    /// Uses this binding from now on. Logged if the link changed.
    pub(super) fn set_binding(&mut self, binding: Option<Binding>) {
        let before = std::mem::replace(&mut self.binding, binding);
        if let Some(binding) = &self.binding {
            binding.log_change(before.as_ref(), &self.config, &self.subject());
        }
    }

    /// Whether its binding must be looked up again without a notification.
    pub(super) fn awaits_route(&self) -> bool {
        self.binding.as_ref().is_none_or(|binding| binding.awaits_route)
    }

    /// The current warnings, a sentence each.
    pub(super) fn warnings(&self, now: Instant) -> Vec<String> {
        let unfit = self.binding.as_ref().and_then(|binding| binding.unfit.clone()).map(String::from);
        let mut warnings = self.telemetry.warnings(now, &self.subject(), &self.instance);
        warnings.extend(self.host.warnings().cloned());
        warnings.extend(unfit);
        warnings
    }
}

fn managed<'a>(config: &'a RouterConfig, owned: &'a [IpAddr]) -> impl Iterator<Item = &'a VirtualAddress> {
    config.all_addresses().filter(|vip| !owned.contains(&vip.address))
}
