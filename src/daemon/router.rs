//! One virtual router with all that surrounds it: configuration, health, where it stands in the kernel,
//! counters; performs the state machine's answers.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::check::{Check, Eyes, Outcome};
use super::kernel::Kernel;
use super::wording::{self, Conflict};
use crate::config::{InterfaceChoice, RouterConfig, VirtualAddress};
use crate::health::{Standing, Verdict, effective, would_replace};
use crate::vrrp::{Action, Advert, DropReason, Drops, GROUP_V4, Instance, Instant, Report, Role};

/// How many senders and reasons are complained about by name, so that a flood of forged senders is
/// bounded in the log and in memory.
const COMPLAINTS: usize = 64;

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
    /// Whether [`Action::Acquire`] was last performed, not [`Action::Release`].
    holds: bool,
    pub(super) since: Instant,
    pub(super) drops: Drops,
    pub(super) received: u64,
    pub(super) sent: u64,
    complained: Vec<(DropReason, IpAddr)>,
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
        Self {
            instance: Instance::new(config.protocol.clone()),
            managed: config.addresses.clone(),
            config,
            check,
            place: None,
            holds: false,
            since: Instant::START,
            drops: Drops::default(),
            received: 0,
            sent: 0,
            complained: vec![],
            send_failed: false,
            deaf_at: Some(Instant::START + DEAF_AFTER),
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
            // To add an address that is there renews it.
            Action::Acquire | Action::Renew => return self.acquire(kernel),
            Action::Release => self.release(kernel),
            Action::Send(advert) => self.send(kernel, &advert),
            Action::Announce => self.announce(kernel),
            Action::Report(report) => self.report(now, &report),
        }
        Ok(())
    }

    fn acquire(&mut self, kernel: &mut Kernel) -> Result<(), Refused> {
        let Some(place) = &self.place else { return Err(Refused) };
        // From here on there may be something to remove, even if one of them is refused.
        self.holds = true;
        for vip in &self.managed {
            if let Err(e) = kernel.add(place.index, vip, self.config.protocol.lease) {
                self.say(Level::Error, "address_refused", e);
                return Err(Refused);
            }
        }
        Ok(())
    }

    /// In reverse order of [`Router::acquire`]; an error stops nothing, the rest must still go.
    fn release(&mut self, kernel: &mut Kernel) {
        self.holds = false;
        let Some(place) = &self.place else { return };
        for vip in self.managed.iter().rev() {
            if let Err(e) = kernel.remove(place.index, vip) {
                self.say(Level::Error, "address_kept", e);
            }
        }
    }

    /// Whatever happens, nothing of ours stays: the last resort when the state machine cannot be asked.
    pub(super) fn abandon(&mut self, kernel: &mut Kernel) {
        if self.holds {
            self.release(kernel);
        }
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
                self.say(Level::Warn, "send_failed", e);
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
            Report::Priority { .. } => (Level::Info, "priority"),
            Report::Master(_) | Report::Released(_) => (Level::Info, "master"),
            Report::Yield | Report::Leaving => (Level::Info, "yield"),
            Report::Lower(_) | Report::Loser(_) => (Level::Info, "lower"),
            Report::TwoMasters(_) => (Level::Warn, "two_masters"),
            Report::PutBack => (Level::Warn, "put_back"),
            // Said with both values by `dropped` and `differs`, which have the advert.
            Report::Dropped { .. } | Report::OtherAddresses(_) => return,
        };
        self.say(level, event, wording::report(report, self.interface(), self.services()));
        self.judge_spare();
    }

    /// A backup hears its master's priority: it can tell before the outage that it would not take over.
    fn judge_spare(&mut self) {
        let (Some(master), Some(check)) = (self.instance.master(), &self.check) else { return };
        let (own, (weight, verdict)) = (self.instance.priority(), check.standing());
        // Until its first result ours counts for nothing.
        if verdict == Verdict::Unknown {
            return;
        }
        let no_spare = !would_replace(own, master.priority, weight);
        if no_spare && !self.no_spare {
            let healthy = verdict == Verdict::Healthy;
            self.say(Level::Warn, "no_spare", wording::no_spare(own, &master, weight, healthy));
        }
        self.no_spare = no_spare;
    }

    /// Says once that nobody was heard, when it is time.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.deaf_at.take_if(|at| *at <= now).is_some() {
            self.say(Level::Warn, "never_heard", wording::never_heard(self.config.protocol.vrid));
        }
    }

    /// Counts a packet for this router that was dropped, and says so once per sender and reason.
    pub(super) fn dropped(&mut self, from: IpAddr, reason: DropReason, theirs: Option<&Advert>) {
        self.drops.count(reason);
        self.complain(from, reason, false, theirs);
    }

    /// An advert that is obeyed and yet not as ours: said once.
    pub(super) fn differs(&mut self, from: IpAddr, theirs: &Advert) {
        self.complain(from, DropReason::Addresses, true, Some(theirs));
    }

    fn complain(&mut self, from: IpAddr, reason: DropReason, obeyed: bool, theirs: Option<&Advert>) {
        self.deaf_at = None;
        if self.complained.len() >= COMPLAINTS || self.complained.contains(&(reason, from)) {
            return;
        }
        self.complained.push((reason, from));
        let conflict = Conflict { from, reason, obeyed, ours: &self.config.protocol, theirs };
        self.say(Level::Warn, "dropped", conflict);
        if self.complained.len() == COMPLAINTS {
            self.say(Level::Warn, "dropped", "Dropped adverts are only counted from now on");
        }
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

    /// A sender that is obeyed again may be complained about anew.
    pub(super) fn obeyed(&mut self, from: IpAddr, theirs: &Advert) {
        self.received += 1;
        self.deaf_at = None;
        let differs = !self.config.protocol.same_addresses(&theirs.addresses);
        let keep = |reason| differs && reason == DropReason::Addresses;
        self.complained.retain(|(reason, sender)| *sender != from || keep(*reason));
    }
}
