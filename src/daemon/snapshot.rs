//! The daemon's state as the one value that status, metrics, healthcheck and SIGUSR1 tell from, with what the kernel
//! really has; changes nothing.

use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::Daemon;
use super::messages::{self, Subject};
use super::network::Kernel;
use super::router::{Router, Spare};
use crate::config::VirtualAddress;
use crate::status::{
    self, AddressStatus, Brief, Counters, Dropped, Health, HeardStatus, InterfaceStatus, PeerStatus,
    RouterStatus, Status, Transition,
};
use crate::sys::netlink::Address;
use crate::sys::poller::wall_clock;
use crate::time::{Instant, millis};
use crate::vrrp::{Drops, Report, Role, Why};

fn dropped(drops: &Drops) -> Dropped {
    Dropped(drops.iter().map(|(reason, count)| (reason.as_str(), count)).collect())
}

impl Daemon {
    /// The kernel is asked, not what was heard of it; what it does not tell is a problem.
    fn present(&mut self) -> (Present, Vec<String>) {
        match self.kernel.addresses() {
            Ok(addresses) => (Present::new(&addresses), vec![]),
            Err(e) => (Present::new(self.kernel.interfaces.addresses()), vec![e.into()]),
        }
    }

    /// As much as a healthcheck needs.
    pub(super) fn brief(&mut self) -> Brief {
        let (present, mut problems) = self.present();
        let mut states = Vec::with_capacity(self.routers.len());
        for router in &self.routers {
            let role = router.instance.role();
            problems
                .extend(router.disagreements(&router.addresses(role, &self.kernel, &present), &self.kernel));
            states.push((router.name().to_owned(), role));
        }
        Brief { health: Health { healthy: problems.is_empty(), problems }, states }
    }

    /// Everything now.
    pub(super) fn status(&mut self) -> Status {
        let now = self.poller.now();
        let (present, mut problems) = self.present();
        let mut routers = Vec::with_capacity(self.routers.len());
        for router in &self.routers {
            let mut status = router.status(now, &self.kernel, &present);
            status.check = router.check.map(|number| self.checks.status(number, now));
            problems.extend(router.disagreements(&status.addresses, &self.kernel));
            routers.push(status);
        }
        let interfaces = self
            .kernel
            .ports
            .iter()
            .map(|port| InterfaceStatus { interface: port.interface.clone(), dropped: dropped(&port.drops) });
        Status {
            version: env!("CARGO_PKG_VERSION"),
            time: wall_clock(),
            uptime_ms: millis(now.since_start()),
            health: Health { healthy: problems.is_empty(), problems },
            notify_failures: self.notify_failures,
            routers,
            interfaces: interfaces.collect(),
        }
    }

    /// Remembers what `why` tells of; answers the role that is entered.
    pub(super) fn note(&mut self, now: Instant, id: usize, report: &Report) -> Option<Role> {
        if let Report::Priority { from, to } = report {
            self.history.add_evidence(id, now, format!("priority {from} to {to}"));
        } else if let Report::Released(from) = report {
            self.history.add_evidence(id, now, format!("{from} said priority 0"));
        }
        let Report::Transition { from, to, why } = report else { return None };
        self.remember(now, id, *from, *to, why);
        Some(*to)
    }

    /// For the log, on SIGUSR1; as for people, since more than a pipe holds would be lost.
    pub(super) fn dump(&mut self) {
        let status = self.status();
        for line in status::table(&status).lines().filter(|line| !line.is_empty()) {
            log::info!(event = "status"; "{line}");
        }
        let few = self.routers.len() <= status::FEW;
        for (router, status) in self.routers.iter().zip(&status.routers).filter(|_| few) {
            for line in status::details(status).lines().skip(1) {
                router.say(Level::Info, "status", line.trim_start());
            }
        }
        for port in &self.kernel.ports {
            log::info!(event = "status"; "{}: for no router here, dropped: {}", port.interface, port.drops);
        }
    }

    /// Remembers a transition of a router that is still as it was before.
    fn remember(&mut self, now: Instant, id: usize, from: Role, to: Role, why: &Why) {
        let router = &self.routers[id];
        if let (Why::Silence(Some(_)), Some((heard, _))) = (why, router.heard) {
            self.history.add_evidence(id, heard, "its last advert came".into());
        }
        let transition = Transition {
            time: wall_clock(),
            router: router.name().to_owned(),
            from,
            to,
            lasted: now.since(router.since),
            evidence: vec![],
            cause: messages::cause(why, &router.subject()),
            delay: Duration::ZERO,
        };
        self.history.record(id, now, transition);
    }
}

/// The kernel's addresses by link, address and prefix, with their lifetimes, sorted: there may be a thousand, and each is asked for.
struct Present(Vec<(Key, Option<u32>)>);

type Key = (u32, IpAddr, u8);

impl Present {
    fn new(addresses: &[Address]) -> Self {
        let keyed = addresses.iter().map(|a| ((a.index, a.address, a.prefix), a.lifetime));
        Self(keyed.collect::<BinaryHeap<_>>().into_sorted_vec())
    }

    fn find(&self, index: u32, vip: &VirtualAddress) -> Option<&(Key, Option<u32>)> {
        let at = self.0.binary_search_by_key(&(index, vip.address, vip.prefix), |(key, _)| *key).ok()?;
        Some(&self.0[at])
    }
}

impl Router {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { interface: self.interface(), watches: &self.watches, family: self.config.family() }
    }

    fn status(&self, now: Instant, kernel: &Kernel, present: &Present) -> RouterStatus {
        let settings = &self.config.protocol;
        let role = self.instance.role();
        let in_state = now.since(self.since);
        let source = self.place.as_ref().and_then(|place| place.source);
        let ourselves = source.filter(|_| role == Role::Master);
        let priority = self.instance.priority().octet();
        let followed =
            self.instance.master().map(|m| PeerStatus { address: m.address, priority: m.priority.octet() });
        RouterStatus {
            name: self.name().to_owned(),
            vrid: settings.vrid.octet(),
            family: if settings.addresses.first().is_none_or(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" },
            protocol: settings.version.number(),
            interface: self.interface().to_owned(),
            source,
            peers: settings.peers.clone(),
            interval_ms: millis(settings.interval.duration()),
            state: role,
            since: wall_clock().before(in_state),
            state_ms: millis(in_state),
            why: self.why.to_string(),
            base_priority: settings.priority.octet(),
            priority,
            preempt: settings.preempt,
            master: ourselves.map(|address| PeerStatus { address, priority }).or(followed),
            heard: self.heard.map(|(at, peer)| HeardStatus {
                address: peer.address,
                priority: peer.priority.octet(),
                ago_ms: millis(now.since(at)),
            }),
            deadline_ms: self.instance.deadline().map(|at| millis(at.since(now))),
            addresses: self.addresses(role, kernel, present),
            faults: self
                .instance
                .faults()
                .iter()
                .map(|cause| messages::fault(*cause, &self.subject()))
                .collect(),
            check: None,
            counters: self.counters(),
            dropped: dropped(&self.drops),
            failover_possible: match (role, &self.spare) {
                (Role::Backup, Spare::Ready) => Some(true),
                (Role::Backup, Spare::None(_)) => Some(false),
                _ => None,
            },
            warnings: self.warnings(now),
        }
    }

    fn addresses(&self, role: Role, kernel: &Kernel, present: &Present) -> Vec<AddressStatus> {
        let status = |vip: &VirtualAddress, excluded| {
            let index = self.place.as_ref().and_then(|place| kernel.device(place.index, vip).ok());
            let found = index.and_then(|index| present.find(index, vip));
            // What an owner really has is there in every state.
            let real = self.real.contains(&vip.address);
            AddressStatus {
                address: vip.address,
                prefix: vip.prefix,
                interface: vip.device.clone().unwrap_or_else(|| self.interface().to_owned()),
                excluded,
                wanted: role == Role::Master || (real && found.is_some()),
                present: found.is_some(),
                lease_s: found.and_then(|(_, lifetime)| *lifetime),
            }
        };
        let mut addresses = vec![];
        for (list, excluded) in [(&self.config.addresses, false), (&self.config.excluded, true)] {
            for vip in list {
                addresses.push(status(vip, excluded));
            }
        }
        addresses
    }

    /// What happened so far; what the kernel refused was not sent.
    fn counters(&self) -> Counters {
        Counters { adverts_sent: self.counters.adverts_sent.saturating_sub(self.refused), ..self.counters }
    }

    /// What a restart would put right. A FAULT is none of it.
    fn disagreements(&self, addresses: &[AddressStatus], kernel: &Kernel) -> Vec<String> {
        let (name, role) = (self.name(), self.instance.role());
        let state = role.as_str();
        let mut problems = vec![];
        for AddressStatus { address, interface, wanted, present, .. } in addresses {
            match (wanted, present) {
                (true, false) => {
                    problems.push(format!("{name} is {state}, but {address} is not on {interface}"));
                }
                (false, true) => problems.push(format!("{name} is {state}, but {address} is on {interface}")),
                (true, true) | (false, false) => {}
            }
        }
        let takes_part = matches!(role, Role::Backup | Role::Master);
        let open = self.place.as_ref().is_some_and(|place| {
            self.channel(place.source).is_some_and(|channel| kernel.port(place.index, channel).is_some())
        });
        if takes_part && !open {
            problems.push(format!("{name} is {state}, but its socket on {} is not open", self.interface()));
        }
        problems
    }
}
