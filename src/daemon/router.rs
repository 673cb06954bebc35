//! One virtual router with all that surrounds it: configuration, health, where it stands in the kernel,
//! counters; performs the state machine's answers.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use log::{Level, Record};

use super::messages;
use super::network::{Channel, Kernel};
use super::rate_limiter::Said;
use crate::columns::listed;
use crate::config::{InterfaceChoice, RouterConfig, VirtualAddress};
use crate::health::{Effective, Verdict, Weight, effective};
use crate::ids::CheckId;
use crate::status::Counters;
use crate::sys::Error;
use crate::sys::netlink::Assignment;
use crate::time::Instant;
use crate::vrrp::{Action, Advert, Drops, Instance, Lease, Peer, Priority, Report, Role, Settings};

/// How long nobody is heard before that is worth a warning.
pub(super) const DEAF_AFTER: Duration = Duration::from_secs(10);

/// The kernel refused a virtual address; it was said in the log.
#[derive(Debug)]
pub(super) struct Refused;

#[derive(Debug)]
pub(super) struct Router {
    pub(super) config: RouterConfig,
    pub(super) instance: Instance,
    /// The number of its check.
    pub(super) check: Option<CheckId>,
    /// The router of the other family that moves with this one.
    pub(super) partner: Option<usize>,
    /// What the check looks at, in words, and what it amounts to.
    pub(super) watches: Vec<String>,
    pub(super) health: Option<(Weight, Verdict)>,
    /// The link in use and its name; `None` while there is none.
    pub(super) place: Option<Place>,
    /// Addresses among the virtual ones that are not ours to add and remove: an address owner's real ones.
    pub(super) real: Vec<IpAddr>,
    /// Those that may be in the kernel: where each was added.
    holding: Vec<(u32, IpAddr, u8)>,
    /// When all of them were last added or renewed, and how long after the time before.
    renewed_at: Instant,
    renewed_after: Duration,
    pub(super) since: Instant,
    pub(super) drops: Drops,
    pub(super) counters: Counters,
    /// The last advert that was not dropped.
    pub(super) heard: Option<(Instant, Peer)>,
    /// The cause of the last transition.
    pub(super) why: Box<str>,
    pub(super) said: Said,
    /// A memory of its own: a flood of what is dropped must not hide the rest.
    pub(super) complained: Said,
    /// Why there is no place to speak, as it was said.
    pub(super) waits: Option<Box<str>>,
    /// The count of adverts sent when the last one that could not be sent was in it, and why it could not.
    unsent: Option<Box<(u64, String)>>,
    /// How many of the adverts counted as sent the kernel refused.
    pub(super) refused: u64,
    /// When to say that nobody was heard; `None` once somebody was, or it was said.
    pub(super) deaf_at: Option<Instant>,
    /// That nobody was heard was said, and still nobody was.
    pub(super) unheard: bool,
    pub(super) spare: Spare,
}

/// Whether we would take over if the master's service died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// No master was heard whose service could die, or nothing is checked.
    Unknown,
    Ready,
    /// Why not, in a sentence.
    None(String),
}

/// Where a router speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u32,
    pub(super) interface: String,
    pub(super) up: bool,
    pub(super) source: Option<IpAddr>,
}

impl Router {
    pub(super) fn new(config: RouterConfig) -> Self {
        let deaf_after = DEAF_AFTER.max(config.protocol.interval.duration() * 4);
        Self {
            instance: Instance::new(Rc::clone(&config.protocol)),
            real: vec![],
            config,
            check: None,
            partner: None,
            watches: vec![],
            health: None,
            place: None,
            holding: vec![],
            renewed_at: Instant::START,
            renewed_after: Duration::ZERO,
            since: Instant::START,
            drops: Drops::default(),
            counters: Counters::default(),
            heard: None,
            why: Box::default(),
            said: Said::default(),
            complained: Said::default(),
            waits: None,
            unsent: None,
            refused: 0,
            deaf_at: Some(Instant::START + deaf_after),
            unheard: false,
            spare: Spare::Unknown,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// The interface as the operator knows it: the one in use, else the one asked for.
    pub(super) fn interface(&self) -> &str {
        match (&self.place, &self.config.interface) {
            (Some(place), _) => &place.interface,
            (None, InterfaceChoice::Named(name)) => name,
            (None, InterfaceChoice::Auto) => "auto",
        }
    }

    /// Its check, which looks at `watches`.
    pub(super) fn attach(&mut self, check: CheckId, watches: Vec<String>) {
        self.check = Some(check);
        self.watches = watches;
    }

    /// By which way it speaks, once it has the address to speak from.
    pub(super) fn channel(&self, source: Option<IpAddr>) -> Option<Channel> {
        if self.config.protocol.peers.is_empty() {
            Some(Channel::Multicast(self.config.family()))
        } else {
            source.map(Channel::Unicast)
        }
    }

    /// One line of the log about this router.
    pub(super) fn say(&self, level: Level, event: &str, text: impl fmt::Display) {
        self.say_with(level, event, &[], &text);
    }

    /// The same with further keys, for programs that read the log.
    pub(super) fn say_with(&self, level: Level, event: &str, more: &[(&str, &str)], text: &dyn fmt::Display) {
        let name = self.name();
        let keys = [&[("event", event), ("instance", name)], more].concat();
        let args = format_args!("({name}) {text}");
        log::logger().log(&Record::builder().level(level).key_values(&keys).args(args).build());
    }

    /// When [`Event::Timer`](crate::vrrp::Event::Timer) or [`Router::listen`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.instance.deadline().into_iter().chain(self.deaf_at).min()
    }

    /// Performs one answer of the state machine.
    pub(super) fn perform(
        &mut self,
        now: Instant,
        id: usize,
        kernel: &mut Kernel,
        action: Action,
    ) -> Result<(), Refused> {
        match action {
            Action::Acquire => return self.acquire(now, kernel),
            // Left to `Daemon::renew`, which does all that are due in one go.
            Action::Renew => {}
            Action::Release => self.release(kernel),
            Action::Send(advert) => self.send(id, kernel, &advert),
            Action::Announce => self.announce(now, kernel),
            Action::Report(report) => self.report(now, &report),
        }
        Ok(())
    }

    fn acquire(&mut self, now: Instant, kernel: &mut Kernel) -> Result<(), Refused> {
        let mut assignments = vec![];
        let claimed = self.claim(kernel, &mut assignments);
        let refused =
            claimed.and_then(|()| kernel.add(&assignments).into_iter().try_for_each(|(_, e)| Err(e)));
        if let Err(e) = refused {
            self.say(Level::Error, "address_refused", e);
            return Err(Refused);
        }
        self.held_anew(now);
        Ok(())
    }

    /// What became of the renewal at `now`. One refusal that may pass is no reason to give everything up: the lease
    /// lasts for several renewals.
    pub(super) fn renewed(&mut self, now: Instant, refusal: Option<Error>) -> Result<(), Refused> {
        let Some(e) = refusal else {
            self.held_anew(now);
            return Ok(());
        };
        let lease = self.config.protocol.lease.map_or(0, Lease::seconds);
        let nearly_over = now.since(self.renewed_at) * 4 > Duration::from_secs(lease.into()) * 3;
        if nearly_over || e.is_permission() || e.source.kind() == io::ErrorKind::InvalidInput {
            self.say(Level::Error, "address_refused", e);
            return Err(Refused);
        }
        self.say(Level::Warn, "renewal_failed", e);
        Ok(())
    }

    fn held_anew(&mut self, now: Instant) {
        self.renewed_after = now.since(self.renewed_at);
        self.renewed_at = now;
    }

    /// All that a master has in the kernel, with a new lease; noted as held.
    pub(super) fn claim(&mut self, kernel: &Kernel, assignments: &mut Vec<Assignment>) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        let lifetime = self.config.protocol.lease.map(Lease::seconds);
        for vip in managed(&self.config, &self.real) {
            let VirtualAddress { address, prefix, ref label, .. } = *vip;
            let index = kernel.device(place.index, vip)?;
            let held = (index, address, prefix);
            // Even one that will be refused: it may be there half.
            if !self.holding.contains(&held) {
                self.holding.reserve_exact(1);
                self.holding.push(held);
            }
            assignments.push(Assignment { index, address, prefix, label: label.clone(), lifetime });
        }
        Ok(())
    }

    /// In reverse order of [`Router::acquire`]; an error stops nothing, the rest must still go.
    fn release(&mut self, kernel: &mut Kernel) {
        while let Some((index, address, prefix)) = self.holding.pop() {
            if let Err(e) = kernel.remove(index, address, prefix) {
                self.say(Level::Error, "address_kept", e);
            }
        }
    }

    /// Whatever happens, nothing of ours stays and the others are told: the last resort when the state
    /// machine cannot be asked.
    pub(super) fn abandon(&mut self, id: usize, kernel: &mut Kernel) {
        if !self.holding.is_empty() {
            self.release(kernel);
            let farewell = self.config.protocol.advert(Priority::RELEASE);
            self.send(id, kernel, &farewell);
        }
    }

    /// What an address owner really has: not ours to add and remove, and it may be sent from; it can come after us, as
    /// from DHCP (RFC 3768 §5.3.4). Answers whether that is another list now.
    pub(super) fn adopt(&mut self, kernel: &Kernel, index: u32) -> bool {
        let added = |vip: &VirtualAddress| self.held().any(|(_, held)| held == vip.address);
        let real = |vip: &&VirtualAddress| {
            let there = |index| kernel.interfaces.has_unmarked(index, vip.address);
            kernel.device(index, vip).is_ok_and(there) && !added(vip)
        };
        let real: Vec<_> = all(&self.config).filter(real).map(|vip| vip.address).collect();
        let changed = real != self.real;
        self.real = real;
        changed
    }

    /// Where adverts come from on the link `index`.
    pub(super) fn source(&self, kernel: &Kernel, index: u32, virtual_addresses: &[IpAddr]) -> Option<IpAddr> {
        match self.config.unicast_source {
            Some(source) => Some(source).filter(|source| kernel.interfaces.has_ready(*source)),
            None => kernel.interfaces.source(self.config.family(), index, virtual_addresses),
        }
    }

    /// The virtual addresses that are ours to add and remove.
    pub(super) fn managed(&self) -> impl Iterator<Item = &VirtualAddress> {
        managed(&self.config, &self.real)
    }

    /// Whether every tracked interface is up.
    pub(super) fn tracked_are_up(&self, kernel: &Kernel) -> bool {
        self.config.track.iter().all(|name| kernel.interfaces.named(name).is_some_and(|link| link.up))
    }

    /// An address with a link of its own is out of reach while that link is.
    pub(super) fn devices_are_up(&self, kernel: &Kernel) -> bool {
        let devices = self.managed().filter_map(|vip| vip.device.as_deref());
        devices.into_iter().all(|name| kernel.interfaces.named(name).is_some_and(|link| link.up))
    }

    /// Takes the place found; which one is said when it is another.
    pub(super) fn settle(&mut self, place: Option<Place>) {
        let before = std::mem::replace(&mut self.place, place).map(|place| place.index);
        if let Some(place) = self.place.as_ref().filter(|place| Some(place.index) != before) {
            let Settings { vrid, priority, .. } = *self.config.protocol;
            let (interface, addresses) = (&place.interface, listed(&self.config.addresses, ", "));
            let text = format!("VRID {vrid} on {interface}, priority {priority}, for {addresses}");
            self.say(Level::Info, "interface", text);
        }
    }

    /// The addresses that should be in the kernel, with the indices of their links.
    pub(super) fn held(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.holding.iter().map(|(index, address, _)| (*index, *address))
    }

    /// Whether one of `gone` was ours to hold.
    pub(super) fn lost(&self, gone: &[(u32, IpAddr)]) -> bool {
        self.held().any(|held| gone.contains(&held))
    }

    fn send(&mut self, id: usize, kernel: &mut Kernel, advert: &Advert) {
        let Some(Place { index, source: Some(source), .. }) = self.place else { return };
        let Some(channel) = self.channel(Some(source)) else { return };
        let group = channel.group();
        let peers = &self.config.protocol.peers;
        let everybody = if peers.is_empty() { std::slice::from_ref(&group) } else { peers };
        for to in everybody.iter().filter(|to| **to != source) {
            kernel.send(id, index, channel, (source, *to), &advert.emit(source, *to));
        }
        self.counters.adverts_sent += 1;
        self.counters.priority_zero_sent += u64::from(advert.priority == Priority::RELEASE);
    }

    /// The last advert, or one of the last, could not be sent. Said once per series: a link that just went down says
    /// so by itself.
    pub(super) fn unsent(&mut self, e: &Error) {
        let sent = self.counters.adverts_sent;
        let text = messages::mute(e);
        // Once for all peers of an advert.
        self.refused += u64::from(self.unsent.as_ref().is_none_or(|last| last.0 != sent));
        if self.mute().is_none() {
            self.say(Level::Warn, "send_failed", &text);
        }
        self.unsent = Some(Box::new((sent, text)));
    }

    /// Why the last advert could not be sent.
    pub(super) fn mute(&self) -> Option<&str> {
        let (at, why) = self.unsent.as_deref()?;
        (at + 1 >= self.counters.adverts_sent).then_some(why)
    }

    fn announce(&mut self, now: Instant, kernel: &mut Kernel) {
        let Some(place) = &self.place else { return };
        let failure = |vip: &VirtualAddress| Some((vip.address, kernel.announce(place.index, vip).err()?));
        let failures: Vec<_> = all(&self.config).filter_map(failure).collect();
        for (address, e) in failures {
            if self.is_news(now, "announce_failed", address) {
                self.say(Level::Warn, "announce_failed", e);
            }
        }
    }

    fn report(&mut self, now: Instant, report: &Report) {
        let (level, event) = match report {
            Report::Transition { from, to, why } => {
                self.since = now;
                self.why = messages::cause(why, &self.subject()).into();
                self.counters.became_master += u64::from(*to == Role::Master);
                self.counters.released_master += u64::from(*from == Role::Master);
                (if *to == Role::Fault { Level::Warn } else { Level::Info }, "transition")
            }
            Report::Cause { .. } => (Level::Warn, "fault"),
            Report::Priority { .. } => (Level::Info, "priority"),
            Report::Yield | Report::Leaving => (Level::Info, "yield"),
            Report::Master(peer) if self.is_news(now, "master", peer.address) => (Level::Info, "master"),
            Report::Released(from) if self.is_news(now, "released", *from) => (Level::Info, "master"),
            Report::Lower(peer) if self.is_news(now, "lower", peer.address) => (Level::Info, "lower"),
            Report::Loser(peer) if self.is_news(now, "loser", peer.address) => (Level::Info, "lower"),
            Report::TwoMasters(peer) => {
                self.counters.two_masters += 1;
                if !self.is_news(now, "two_masters", peer.address) {
                    return;
                }
                let sentence = messages::report(report, &self.subject());
                self.said.stands("two_masters", peer.address, sentence);
                (Level::Warn, "two_masters")
            }
            Report::PutBack => return self.put_back(),
            Report::Master(_) | Report::Released(_) | Report::Lower(_) | Report::Loser(_) => {
                return self.judge_spare();
            }
            // The others are said with both values by `complain`, which has the advert.
            Report::Dropped { .. } | Report::OtherAddresses(_) | Report::OtherInterval(_) => return,
        };
        let from = messages::speaker(report).map(|address| address.to_string());
        let mut keys = vec![];
        if let Report::Transition { from, to, .. } = report {
            keys.extend([("state", to.as_str()), ("from", from.as_str()), ("cause", &self.why)]);
        }
        keys.extend(from.iter().map(|address| ("peer", address.as_str())));
        self.say_with(level, event, &keys, &messages::report(report, &self.subject()));
        self.judge_spare();
    }

    fn put_back(&self) {
        let lease = self.config.protocol.lease.map_or(u32::MAX, Lease::seconds);
        if self.renewed_after >= Duration::from_secs(lease.into()) {
            let text = "The lease of a virtual address ended while this process was held up: put back";
            self.say(Level::Warn, "put_back", text);
        } else {
            let report = messages::report(&Report::PutBack, &self.subject());
            self.say(Level::Warn, "put_back", report);
        }
    }

    /// An advert for our VRID came, which may yet be dropped.
    pub(super) fn received(&mut self, advert: &Advert) {
        self.counters.adverts_received += 1;
        self.counters.other_checksums += u64::from(advert.checksum != self.config.protocol.checksum);
        self.counters.priority_zero_received += u64::from(advert.priority == Priority::RELEASE);
        self.deaf_at = None;
        self.unheard = false;
    }

    /// Takes what its check amounts to now; answers what that means for the state machine.
    pub(super) fn apply_health(&mut self, health: (Weight, Verdict)) -> Effective {
        self.health = Some(health);
        effective(self.config.protocol.priority, [health])
    }

    /// The arguments for NOTIFY, as keepalived has them.
    pub(super) fn notice(&self, role: Role) -> [String; 4] {
        let state = if role == Role::Init { "STOP" } else { role.as_str() };
        ["INSTANCE".into(), self.name().into(), state.into(), self.instance.priority().to_string()]
    }
}

fn all(config: &RouterConfig) -> impl Iterator<Item = &VirtualAddress> {
    config.addresses.iter().chain(&config.excluded)
}

fn managed<'a>(config: &'a RouterConfig, real: &'a [IpAddr]) -> impl Iterator<Item = &'a VirtualAddress> {
    all(config).filter(|vip| !real.contains(&vip.address))
}
