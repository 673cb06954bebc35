//! One virtual router with all that surrounds it: configuration, health, where it stands in the kernel,
//! counters; performs the state machine's answers.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::check::{Check, Eyes, Outcome};
use super::kernel::Kernel;
use super::said::{News, Said};
use super::wording::{self, Conflict};
use crate::config::{InterfaceChoice, RouterConfig, VirtualAddress};
use crate::health::{Standing, Verdict, Weight, effective, would_replace};
use crate::sys::Error;
use crate::vrrp::{
    Action, Advert, DropReason, Drops, GROUP_V4, Instance, Instant, Lease, Priority, Report, Role, Settings,
};

/// How long nobody is heard before that is worth a warning.
const DEAF_AFTER: Duration = Duration::from_secs(10);

/// The kernel refused a virtual address; it was said in the log.
#[derive(Debug)]
pub(super) struct Refused;

#[derive(Debug)]
pub(super) struct Router {
    pub(super) config: RouterConfig,
    pub(super) instance: Instance,
    pub(super) check: Option<Check>,
    /// The link in use and its name; `None` while there is none.
    pub(super) place: Option<Place>,
    /// The virtual addresses that are ours to add and remove: an owner's real ones are not.
    pub(super) managed: Vec<VirtualAddress>,
    /// Those that may be in the kernel: where each was added.
    holding: Vec<(u32, IpAddr, u8)>,
    /// When all of them were last added or renewed.
    renewed: Instant,
    pub(super) since: Instant,
    pub(super) drops: Drops,
    pub(super) received: u64,
    pub(super) sent: u64,
    said: Said,
    /// That there is no place to speak was said.
    pub(super) waits: bool,
    send_failed: bool,
    /// When to say that nobody was heard; `None` once somebody was, or it was said.
    deaf_at: Option<Instant>,
    /// Whether it was said that we are no spare for the master.
    no_spare: bool,
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
    /// Tokens of watched processes are `token` and their pid together.
    pub(super) fn new(config: RouterConfig, token: u64) -> Self {
        let check = config.check.clone().map(|check| Check::new(check, token));
        let deaf_after = DEAF_AFTER.max(config.protocol.interval.duration() * 4);
        Self {
            instance: Instance::new(config.protocol.clone()),
            managed: config.addresses.clone(),
            config,
            check,
            place: None,
            holding: vec![],
            renewed: Instant::START,
            since: Instant::START,
            drops: Drops::default(),
            received: 0,
            sent: 0,
            said: Said::default(),
            waits: false,
            send_failed: false,
            deaf_at: Some(Instant::START + deaf_after),
            no_spare: false,
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

    pub(super) fn services(&self) -> &[String] {
        self.check.as_ref().map_or(&[], Check::services)
    }

    /// One line of the log about this router.
    pub(super) fn say(&self, level: Level, event: &str, text: impl fmt::Display) {
        let name = self.name();
        log::log!(level, event, instance = name; "({name}) {text}");
    }

    /// When [`Event::Timer`] or a look at the services is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let check = self.check.as_ref().map(Check::due);
        self.instance.deadline().into_iter().chain(check).chain(self.deaf_at).min()
    }

    /// Performs one answer of the state machine.
    pub(super) fn perform(
        &mut self,
        now: Instant,
        kernel: &mut Kernel,
        action: Action,
    ) -> Result<(), Refused> {
        match action {
            Action::Acquire => return self.acquire(now, kernel),
            Action::Renew => return self.renew(now, kernel),
            Action::Release => self.release(kernel),
            Action::Send(advert) => self.send(kernel, &advert),
            Action::Announce => self.announce(kernel),
            Action::Report(report) => self.report(now, &report),
        }
        Ok(())
    }

    fn acquire(&mut self, now: Instant, kernel: &mut Kernel) -> Result<(), Refused> {
        self.add_all(now, kernel).map_err(|e| {
            self.say(Level::Error, "address_refused", e);
            Refused
        })
    }

    /// One refusal that may pass is no reason to give everything up: the lease lasts for several renewals.
    fn renew(&mut self, now: Instant, kernel: &mut Kernel) -> Result<(), Refused> {
        let Err(e) = self.add_all(now, kernel) else { return Ok(()) };
        let lease = self.config.protocol.lease.map_or(0, Lease::seconds);
        let nearly_over = now.since(self.renewed) * 4 > Duration::from_secs(lease.into()) * 3;
        if nearly_over || e.is_permission() || e.source.kind() == io::ErrorKind::InvalidInput {
            self.say(Level::Error, "address_refused", e);
            return Err(Refused);
        }
        self.say(Level::Warn, "renewal_failed", e);
        Ok(())
    }

    fn add_all(&mut self, now: Instant, kernel: &mut Kernel) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        for vip in &self.managed {
            let index = kernel.device(place.index, vip)?;
            let held = (index, vip.address, vip.prefix);
            // Even a refused one: it may be there half.
            if !self.holding.contains(&held) {
                self.holding.push(held);
            }
            kernel.add(index, vip, self.config.protocol.lease)?;
        }
        self.renewed = now;
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
    pub(super) fn abandon(&mut self, kernel: &mut Kernel) {
        if !self.holding.is_empty() {
            self.release(kernel);
            let farewell = self.config.protocol.advert(Priority::RELEASE);
            self.send(kernel, &farewell);
        }
    }

    /// An address owner's real addresses are not ours to add and remove, and may be sent from; they can come
    /// after us, as from DHCP (RFC 3768 §5.3.4).
    pub(super) fn adopt(&mut self, kernel: &Kernel, index: u32) {
        if self.config.protocol.priority == Priority::OWNER && self.holding.is_empty() {
            let real = |vip: &&VirtualAddress| kernel.interfaces.has_unmarked(index, vip.address);
            self.managed = self.config.addresses.iter().filter(|vip| !real(vip)).cloned().collect();
        }
    }

    /// An address with a link of its own is out of reach while that link is.
    pub(super) fn devices_are_up(&self, kernel: &Kernel) -> bool {
        let devices = self.managed.iter().filter_map(|vip| vip.device.as_deref());
        devices.into_iter().all(|name| kernel.interfaces.named(name).is_some_and(|link| link.up))
    }

    /// Takes the place found; which one is said when it is another.
    pub(super) fn settle(&mut self, place: Option<Place>) {
        let before = std::mem::replace(&mut self.place, place).map(|place| place.index);
        if let Some(place) = self.place.as_ref().filter(|place| Some(place.index) != before) {
            let Settings { vrid, priority, .. } = self.config.protocol;
            let addresses: Vec<_> = self.config.addresses.iter().map(ToString::to_string).collect();
            let (interface, addresses) = (&place.interface, addresses.join(", "));
            let text = format!("VRID {vrid} on {interface}, priority {priority}, for {addresses}");
            self.say(Level::Info, "interface", text);
        }
    }

    /// Whether one of `gone` was ours to hold.
    pub(super) fn lost(&self, gone: &[(u32, IpAddr)]) -> bool {
        self.holding.iter().any(|(index, address, _)| gone.contains(&(*index, *address)))
    }

    fn send(&mut self, kernel: &Kernel, advert: &Advert) {
        let Some(Place { index, source: Some(IpAddr::V4(source)), .. }) = &self.place else { return };
        let message = advert.emit((*source).into(), GROUP_V4.into());
        match kernel.send(*index, *source, &message) {
            Ok(()) => {
                self.sent += 1;
                self.send_failed = false;
            }
            // Once per series: a link that just went down says so by itself.
            Err(e) if !self.send_failed => {
                self.send_failed = true;
                self.say(Level::Warn, "send_failed", wording::mute(&e));
            }
            Err(_) => {}
        }
    }

    fn announce(&self, kernel: &mut Kernel) {
        let Some(place) = &self.place else { return };
        for vip in &self.config.addresses {
            if let Err(e) = kernel.announce(place.index, vip) {
                self.say(Level::Warn, "announce_failed", e);
            }
        }
    }

    fn report(&mut self, now: Instant, report: &Report) {
        let (level, event) = match report {
            Report::Transition { to, .. } => {
                self.since = now;
                (if *to == Role::Fault { Level::Warn } else { Level::Info }, "transition")
            }
            Report::Cause { .. } => (Level::Warn, "fault"),
            Report::Priority { .. } => (Level::Info, "priority"),
            Report::Yield | Report::Leaving => (Level::Info, "yield"),
            Report::Master(peer) if self.is_news(now, "master", peer.address) => (Level::Info, "master"),
            Report::Released(from) if self.is_news(now, "released", *from) => (Level::Info, "master"),
            Report::Lower(peer) if self.is_news(now, "lower", peer.address) => (Level::Info, "lower"),
            Report::Loser(peer) if self.is_news(now, "loser", peer.address) => (Level::Info, "lower"),
            Report::TwoMasters(peer) if self.is_news(now, "two_masters", peer.address) => {
                (Level::Warn, "two_masters")
            }
            Report::PutBack => return self.put_back(now),
            Report::Master(_) | Report::Released(_) | Report::Lower(_) | Report::Loser(_) => {
                return self.judge_spare();
            }
            // The other two are said with both values by `complain`, which has the advert.
            Report::TwoMasters(_) | Report::Dropped { .. } | Report::OtherAddresses(_) => return,
        };
        self.say(level, event, wording::report(report, self.interface(), self.services()));
        self.judge_spare();
    }

    /// A few times a minute: two masters that do not hear each other but both reach us would fill the log.
    fn is_news(&mut self, now: Instant, what: &'static str, whom: IpAddr) -> bool {
        const LIMIT: u32 = 6;
        self.said.again(now, what, whom, LIMIT) != News::Old
    }

    fn put_back(&self, now: Instant) {
        let lease = self.config.protocol.lease.map_or(u32::MAX, Lease::seconds);
        if now.since(self.renewed) >= Duration::from_secs(lease.into()) {
            let text = "The lease of a virtual address ended while this process was held up: put back";
            self.say(Level::Warn, "put_back", text);
        } else {
            let report = wording::report(&Report::PutBack, self.interface(), self.services());
            self.say(Level::Warn, "put_back", report);
        }
    }

    /// A backup hears its master's priority: it can tell before the outage that it would not take over.
    fn judge_spare(&mut self) {
        let (Some(master), Some(check)) = (self.instance.master(), &self.check) else { return };
        let (own, (weight, verdict)) = (self.instance.priority(), check.standing());
        // Until its first result ours counts for nothing.
        if verdict == Verdict::Unknown {
            return;
        }
        let preempts = self.config.protocol.preempt || weight == Weight::FAULT;
        let no_spare = !preempts || !would_replace(own, master.priority, weight);
        if no_spare && !self.no_spare {
            let healthy = verdict == Verdict::Healthy;
            self.say(Level::Warn, "no_spare", wording::no_spare(own, &master, weight, healthy, preempts));
        }
        self.no_spare = no_spare;
    }

    /// Says once that nobody was heard, when it is time and we could have heard.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.deaf_at.is_none_or(|at| now < at) {
            return;
        }
        if self.instance.role() == Role::Fault {
            self.deaf_at = Some(now + DEAF_AFTER);
            return;
        }
        self.deaf_at = None;
        self.say(Level::Info, "never_heard", wording::never_heard(self.config.protocol.vrid));
    }

    /// Counts a packet for this router that was dropped, and says so once per sender and reason.
    pub(super) fn dropped(
        &mut self,
        now: Instant,
        from: IpAddr,
        reason: DropReason,
        theirs: Option<&Advert>,
    ) {
        self.drops.count(reason);
        self.complain(now, from, reason, false, theirs);
    }

    /// An advert that is obeyed and yet not as ours: said once.
    pub(super) fn differs(&mut self, now: Instant, from: IpAddr, theirs: &Advert) {
        self.complain(now, from, DropReason::Addresses, true, Some(theirs));
    }

    fn complain(
        &mut self,
        now: Instant,
        from: IpAddr,
        reason: DropReason,
        obeyed: bool,
        theirs: Option<&Advert>,
    ) {
        if self.said.again(now, reason.as_str(), from, 1) != News::Old {
            let conflict = Conflict { from, reason, obeyed, ours: &self.config.protocol, theirs };
            self.say(Level::Warn, "dropped", conflict);
        }
    }

    /// An advert for our VRID came, which may yet be dropped.
    pub(super) fn heard(&mut self) {
        self.received += 1;
        self.deaf_at = None;
    }

    /// Looks at the services when it is time; answers whether the verdict changed.
    pub(super) fn look(&mut self, now: Instant, eyes: &mut Eyes<'_>) -> bool {
        let outcome =
            self.check.as_mut().filter(|check| check.due() <= now).map(|check| check.look(now, eyes));
        outcome.is_some_and(|outcome| self.judge(outcome))
    }

    /// A watched process ended; answers whether the verdict changed.
    pub(super) fn exited(&mut self, token: u64, eyes: &mut Eyes<'_>) -> bool {
        let outcome = self.check.as_mut().map(|check| check.exited(token, eyes));
        outcome.is_some_and(|outcome| self.judge(outcome))
    }

    fn judge(&self, outcome: Outcome) -> bool {
        for e in outcome.errors {
            self.say(Level::Error, "check_hampered", e);
        }
        for news in outcome.news {
            self.say(Level::Info, "service", news);
        }
        let services = self.services().join(", ");
        match outcome.verdict {
            Some(Verdict::Healthy) => {
                self.say(Level::Info, "check", format_args!("Check of {services} succeeded"));
            }
            Some(_) => self.say(Level::Warn, "check", format_args!("Check of {services} failed")),
            None => {}
        }
        outcome.verdict.is_some()
    }

    /// What the check amounts to now; `None` without one.
    pub(super) fn standing(&self) -> Option<Standing> {
        let check = self.check.as_ref()?;
        Some(effective(self.config.protocol.priority, [check.standing()]))
    }

    /// One paragraph for the log on SIGUSR1.
    pub(super) fn summary(&self, now: Instant) -> String {
        let master = self
            .instance
            .master()
            .map_or(String::new(), |m| format!(", master {} (priority {})", m.address, m.priority));
        let faults: Vec<_> = self
            .instance
            .faults()
            .iter()
            .map(|c| wording::fault(*c, self.interface(), self.services()))
            .collect();
        let faults = if faults.is_empty() { String::new() } else { format!(", {}", faults.join(", ")) };
        let check = self.check.as_ref().map_or(String::new(), |check| format!(", {}", check.summary()));
        format!(
            "{} for {} s on {}, VRID {}, priority {} (base {}){master}{faults}{check}; adverts sent {}, received {}; dropped: {}",
            wording::state(self.instance.role()),
            now.since(self.since).as_secs(),
            self.interface(),
            self.config.protocol.vrid,
            self.instance.priority(),
            self.config.protocol.priority,
            self.sent,
            self.received,
            self.drops,
        )
    }
}
