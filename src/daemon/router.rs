//! One virtual router with all that surrounds it: configuration, health, where it stands in the kernel,
//! counters; performs the state machine's answers.

use std::net::IpAddr;
use std::time::Duration;

use super::kernel::Kernel;
use super::wording::{self, Conflict};
use crate::config::{CheckConfig, RouterConfig, VirtualAddress};
use crate::health::{Health, Standing, Verdict, effective};
use crate::sys::process::{ProcFs, Process};
use crate::vrrp::{Action, Advert, DropReason, Drops, Instance, Instant, Report, Role};

/// How many senders and reasons are complained about by name, so that a flood of forged senders is
/// bounded in the log and in memory.
const COMPLAINTS: usize = 64;

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
}

/// Where a router speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u32,
    pub(super) interface: String,
    pub(super) up: bool,
    pub(super) source: Option<IpAddr>,
}

#[derive(Debug)]
pub(super) struct Check {
    config: CheckConfig,
    health: Health,
    pub(super) due: Instant,
    /// By service, the processes last found.
    found: Vec<Vec<Process>>,
}

impl Router {
    pub(super) fn new(config: RouterConfig) -> Self {
        let check = config.check.clone().map(|config| Check {
            health: Health::new(config.weight, config.rise, config.fall),
            due: Instant::START,
            found: vec![vec![]; config.services.len()],
            config,
        });
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
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// The interface as the operator knows it: the one in use, else the one asked for.
    pub(super) fn interface(&self) -> &str {
        match (&self.place, &self.config.interface) {
            (Some(place), _) => &place.interface,
            (None, crate::config::InterfaceChoice::Named(name)) => name,
            (None, crate::config::InterfaceChoice::Auto) => "auto",
        }
    }

    pub(super) fn services(&self) -> &[String] {
        self.check.as_ref().map_or(&[], |check| &check.config.services)
    }

    /// When [`Event::Timer`] or a look at the services is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let check = self.check.as_ref().map(|check| check.due);
        self.instance.deadline().into_iter().chain(check).min()
    }

    /// Performs one answer of the state machine.
    pub(super) fn perform(
        &mut self,
        now: Instant,
        kernel: &mut Kernel,
        action: Action,
    ) -> Result<(), Refused> {
        match action {
            Action::Acquire => return self.acquire(kernel),
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
            if let Err(e) = kernel.add(place.index, vip) {
                log::error!(event = "address_refused", instance = self.name(); "({}) {e}", self.name());
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
                log::error!(event = "address_kept", instance = self.name(); "({}) {e}", self.name());
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
        let message = advert.emit((*source).into(), crate::vrrp::GROUP_V4.into());
        match kernel.send(*index, *source, &message) {
            Ok(()) => {
                self.sent += 1;
                self.send_failed = false;
            }
            // Once per series: a link that just went down says so by itself.
            Err(e) if !self.send_failed => {
                self.send_failed = true;
                log::warn!(event = "send_failed", instance = self.name(); "({}) {e}", self.name());
            }
            Err(_) => {}
        }
    }

    fn announce(&self, kernel: &mut Kernel) {
        let Some(place) = &self.place else { return };
        for vip in &self.config.addresses {
            if let Err(e) = kernel.announce(place.index, vip) {
                log::warn!(event = "announce_failed", instance = self.name(); "({}) {e}", self.name());
            }
        }
    }

    fn report(&mut self, now: Instant, report: &Report) {
        let text = wording::report(report, self.interface(), self.services());
        let name = self.name();
        match report {
            Report::Transition { to, .. } => {
                self.since = now;
                let state = wording::state(*to);
                let name = self.name();
                if *to == Role::Fault {
                    log::warn!(event = "transition", instance = name, state; "({name}) {text}");
                } else {
                    log::info!(event = "transition", instance = name, state; "({name}) {text}");
                }
            }
            Report::Priority { .. } => log::info!(event = "priority", instance = name; "({name}) {text}"),
            Report::Master(_) | Report::Released(_) => {
                log::info!(event = "master", instance = name; "({name}) {text}");
            }
            Report::Lower(_) | Report::Loser(_) => {
                log::info!(event = "lower", instance = name; "({name}) {text}");
            }
            Report::PutBack => log::warn!(event = "put_back", instance = name; "({name}) {text}"),
            // Said with both values by `dropped`, which has the advert.
            Report::Dropped { .. } => {}
        }
    }

    /// Counts a packet for this router that was dropped, and says so once per sender and reason.
    pub(super) fn dropped(&mut self, from: IpAddr, reason: DropReason, theirs: Option<&Advert>) {
        self.drops.count(reason);
        if self.complained.len() >= COMPLAINTS || self.complained.contains(&(reason, from)) {
            return;
        }
        self.complained.push((reason, from));
        let conflict = Conflict { from, reason, ours: &self.config.protocol, theirs };
        log::warn!(event = "dropped", instance = self.name(), reason = reason.as_str(); "({}) {conflict}", self.name());
        if self.complained.len() == COMPLAINTS {
            log::warn!(event = "dropped", instance = self.name(); "({}) Dropped adverts are only counted from now on", self.name());
        }
    }

    /// Looks at the services when it is time; answers what that means for the state machine.
    pub(super) fn look(&mut self, now: Instant, procfs: &mut ProcFs) -> Option<Standing> {
        let check = self.check.as_mut().filter(|check| check.due <= now)?;
        check.due = next_look(check.due, check.config.interval, now);
        let found = match procfs.scan(&check.config.services) {
            Ok(found) => found,
            // Nobody may take a scan that failed for a service that died.
            Err(e) => {
                log::error!(event = "scan_failed", instance = self.config.name.as_str(); "({}) {e}", self.config.name);
                return None;
            }
        };
        let verdict = check.observe(&self.config.name, found)?;
        let (name, services) = (self.name(), self.services().join(", "));
        match verdict {
            Verdict::Healthy => {
                log::info!(event = "check", instance = name; "({name}) Check of {services} succeeded");
            }
            Verdict::Failed | Verdict::Unknown => {
                log::warn!(event = "check", instance = name; "({name}) Check of {services} failed");
            }
        }
        self.standing()
    }

    /// What the check amounts to now; `None` without one.
    pub(super) fn standing(&self) -> Option<Standing> {
        let health = &self.check.as_ref()?.health;
        Some(effective(self.config.protocol.priority, [(health.weight(), health.verdict())]))
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
    pub(super) fn obeyed(&mut self, from: IpAddr) {
        self.received += 1;
        self.complained.retain(|(_, sender)| *sender != from);
    }
}

impl Check {
    /// Says which process came and went, and counts the result.
    fn observe(&mut self, router: &str, found: Vec<Vec<Process>>) -> Option<Verdict> {
        for ((service, before), after) in self.config.services.iter().zip(&self.found).zip(&found) {
            if before.is_empty() != after.is_empty() {
                let pids: Vec<_> = before.iter().chain(after).map(|p| p.pid.to_string()).collect();
                let pids = pids.join(" ");
                if after.is_empty() {
                    log::info!(event = "service", instance = router; "({router}) {service} (pid {pids}) is gone");
                } else {
                    log::info!(event = "service", instance = router; "({router}) {service} runs (pid {pids})");
                }
            }
        }
        let passed = found.iter().all(|processes| !processes.is_empty());
        self.found = found;
        self.health.observe(passed)
    }

    fn summary(&self) -> String {
        let services = self.config.services.iter().zip(&self.found).map(|(service, processes)| {
            let pids: Vec<_> = processes.iter().map(|p| p.pid.to_string()).collect();
            if pids.is_empty() {
                format!("{service} not running")
            } else {
                format!("{service} pid {}", pids.join(" "))
            }
        });
        services.collect::<Vec<_>>().join(", ")
    }
}

/// The next look after one that was due at `due`: the schedule does not drift, nor catch up after a pause.
fn next_look(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next <= now { now + interval } else { next }
}
