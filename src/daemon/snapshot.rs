//! The state of all routers as one value, the source of status, metrics, healthcheck and SIGUSR1. Changes nothing.

use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::draining::Drain;
use super::families::is_missing;
use super::guard::GuardState;
use super::lifelines::{self, Lifelines};
use super::messages::{self, Subject};
use super::network::Network;
use super::notifications::Notifications;
use super::pace::Stall;
use super::port::Port;
use super::reload::Reload;
use super::router::Router;
use super::routers::Routers;
use super::routers::drain::not_with;
use crate::checks::Checks;
use crate::config::VirtualAddress;
use crate::drain::Order;
use crate::ids::RouterId;
use crate::sandbox::Sandbox;
use crate::status::{
    self, AddressStatus, Brief, BriefRouter, CheckStatus, DRAINED, Dropped, Facts, FaultStatus, GuardStatus,
    Health, HeardStatus, InterfaceStatus, LEAVING, NOT_DRAINED, PeerStatus, REFUSED, RouterDrain,
    RouterStatus, Serving, Status,
};
use crate::sys::netlink::Address;
use crate::sys::poller::wall_clock;
use crate::time::{Instant, millis};
use crate::vrrp::{Cause, Drops, Instance, Peer, Role};

/// A crash loop is in the present tense for so long after the last end.
const CRASH_LOOP: Duration = Duration::from_secs(30);

/// The part that a healthcheck needs.
pub(super) fn brief(routers: &mut Routers, checks: &Checks, now: Instant) -> Brief {
    let (present, mut problems) = present(routers);
    let mut all = vec![];
    for (id, router) in routers.iter() {
        let addresses = addresses(router, routers.network(), &present);
        let mut own = disagreements(router, &addresses, routers.network());
        own.extend(elsewhere(router, routers.network(), &present));
        if routers.left_out(id).is_none() {
            let check = router.check().and_then(|check| checks.status(check, now));
            let serving = serving(router, now, false, &own, check.as_ref());
            all.push(BriefRouter { name: router.name().to_owned(), state: router.role(), serving });
        }
        problems.extend(own);
    }
    Brief { health: Health { healthy: problems.is_empty(), problems }, routers: all }
}

/// Whether the addresses of a router serve. `problems`: how it disagrees with the kernel.
fn serving(
    router: &Router,
    now: Instant,
    left_out: bool,
    problems: &[String],
    check: Option<&CheckStatus>,
) -> Serving {
    let (instance, subject, telemetry) = (router.instance(), router.subject(), router.telemetry());
    let settings = instance.settings();
    let recent = settings.master_down(instance.priority(), settings.interval);
    let master = heard_master(router, now);
    let faults = faults(instance, &subject, Some(Cause::Service));
    status::judge(&Facts {
        state: router.role(),
        addresses: &status::names(settings.addresses.iter().copied()),
        left_out,
        drained: instance.is_drained(),
        problem: problems.first().map(String::as_str),
        faults: &faults,
        check,
        master: master.map(|master| master.address),
        no_spare: telemetry.failover_possible(router.role()) == Some(false),
        conflicts: telemetry.current_conflicts(now, recent),
    })
}

/// What belongs to no router.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessStatus<'a> {
    lifelines: &'a Lifelines,
    notifications: &'a Notifications,
    longest_turn: Duration,
    sandbox: &'a Sandbox,
    reload: &'a Reload,
    drain: Option<Order>,
}

impl<'a> ProcessStatus<'a> {
    pub(super) fn new(
        notifications: &'a Notifications,
        stall: &Stall,
        lifelines: &'a Lifelines,
        (sandbox, reload): (&'a Sandbox, &'a Reload),
        drain: Option<Order>,
    ) -> Self {
        Self { lifelines, notifications, longest_turn: stall.longest(), sandbox, reload, drain }
    }
}

/// Everything at the time `now`.
pub(super) fn status(
    routers: &mut Routers,
    checks: &Checks,
    now: Instant,
    process: ProcessStatus<'_>,
) -> Status {
    let (present, mut problems) = present(routers);
    let (network, mut statuses) = (routers.network(), vec![]);
    for (id, router) in routers.iter() {
        let mut status = router_status(router, now, network, &present);
        let others = router.outside_all_subnets(network).into_iter();
        let others = others.chain(routers.left_out(id).map(str::to_owned));
        status.warnings.extend(others.chain(check_warnings(router, checks, now)));
        status.lifeline = process.lifelines.status(router, now);
        status.left_out = routers.left_out(id).is_some();
        status.check = router.check().and_then(|check| checks.status(check, now));
        drain_status(routers, id, router, &mut status);
        let mut own = disagreements(router, &status.addresses, network);
        own.extend(elsewhere(router, network, &present));
        status.serving = serving(router, now, status.left_out, &own, status.check.as_ref());
        problems.extend(own);
        statuses.push(status);
    }
    let serving = overall(&statuses);
    Status {
        version: env!("CARGO_PKG_VERSION"),
        time: wall_clock(),
        uptime_ms: millis(now.since_start()),
        health: Health { healthy: problems.is_empty(), problems },
        serving,
        drain: process.drain,
        notify_failures: process.notifications.failures(),
        receivers: process.notifications.receivers(now),
        loop_stall_max_us: u64::try_from(process.longest_turn.as_micros()).unwrap_or(u64::MAX),
        sandbox: process.sandbox.status(),
        configuration: process.reload.status(now),
        routers: statuses,
        interfaces: interfaces(network),
    }
}

fn overall(routers: &[RouterStatus]) -> Serving {
    let counted = routers.iter().filter(|router| !router.left_out);
    status::overall(counted.map(|router| (&*router.name, router.state, &router.serving)))
}

fn interfaces(network: &Network) -> Vec<InterfaceStatus> {
    let of = |port: &Port| InterfaceStatus {
        interface: port.interface().to_owned(),
        dropped: dropped(port.drops()),
    };
    network.ports().iter().map(of).collect()
}

/// What has become of the order to take no part.
fn drain_status(routers: &Routers, id: RouterId, router: &Router, status: &mut RouterStatus) {
    let is_drained = router.instance().is_drained();
    (status.drain.state, status.drain.refused) = match routers.drain_state() {
        Drain::On => (if is_drained { DRAINED } else { LEAVING }, None),
        Drain::Refused { by, why } if by == id => (REFUSED, Some(why)),
        Drain::Off | Drain::Refused { .. } => (NOT_DRAINED, None),
    };
    if let Drain::Refused { by, why } = routers.drain_state() {
        let own = || format!("Not drained: {why}");
        let other = routers.iter().find(|(id, _)| *id == by).map(|(_, router)| not_with(router));
        status.warnings.extend(if by == id { Some(own()) } else { other });
    }
}

/// What its check has to say, with its age.
fn check_warnings(router: &Router, checks: &Checks, now: Instant) -> Vec<String> {
    let warnings = router.check().into_iter().flat_map(|check| checks.warnings(check, now));
    warnings.map(|(text, [first, last])| messages::aged(&text, [first, last], now, CRASH_LOOP)).collect()
}

/// Writes the status to the log, as people read it: JSON of many routers would exceed what a pipe holds.
pub(super) fn log_status(routers: &Routers, status: &Status) {
    for line in status::table(status).lines().filter(|line| !line.is_empty()) {
        log::info!(event = "status"; "{line}");
    }
    let few = status.routers.len() <= status::MAX_DETAILS;
    for ((_, router), status) in routers.iter().zip(&status.routers).filter(|_| few) {
        for line in status::details(status).lines().skip(1) {
            router.log_event(Level::Info, "status", line.trim_start());
        }
    }
    for port in routers.network().ports() {
        let (interface, drops) = (port.interface(), port.drops());
        log::info!(event = "status"; "{interface}: for none of our routers, dropped: {drops}");
    }
}

/// The addresses that the kernel really has, and the problem if it does not answer.
fn present(routers: &mut Routers) -> (Present, Vec<String>) {
    match routers.kernel_addresses() {
        Ok(addresses) => (Present::new(&addresses), vec![]),
        Err(e) => (Present::new(routers.network().interfaces().addresses()), vec![e.into()]),
    }
}

/// The kernel's addresses, each with its link, prefix and lifetime; sorted, since there may be a thousand.
struct Present(Vec<(Key, Option<u32>)>);

type Key = (IpAddr, u32, u8);

impl Present {
    fn new(addresses: &[Address]) -> Self {
        let keyed = addresses.iter().map(|a| ((a.address, a.index, a.prefix), a.lifetime));
        let mut sorted: Vec<_> = keyed.collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// Every entry of an address, whatever its link and prefix.
    fn of(&self, address: IpAddr) -> impl Iterator<Item = &(Key, Option<u32>)> {
        let from = self.0.partition_point(|((known, ..), _)| *known < address);
        self.0[from..].iter().take_while(move |((known, ..), _)| *known == address)
    }

    /// The address on a link: with the prefix of `vip` if it is there, otherwise with any.
    fn find(&self, index: u32, vip: &VirtualAddress) -> Option<&(Key, Option<u32>)> {
        let on_link = || self.of(vip.address).filter(|((_, on, _), _)| *on == index);
        on_link().find(|((.., prefix), _)| *prefix == vip.prefix).or_else(|| on_link().next())
    }
}

fn router_status(router: &Router, now: Instant, network: &Network, present: &Present) -> RouterStatus {
    let (instance, telemetry) = (router.instance(), router.telemetry());
    let settings = &router.config().protocol;
    let (subject, role, priority) = (router.subject(), router.role(), instance.priority().octet());
    let in_state = now.since(telemetry.since());
    let source = router.binding().and_then(|binding| binding.source);
    RouterStatus {
        name: router.name().to_owned(),
        vrid: settings.vrid.octet(),
        family: if settings.addresses.first().is_none_or(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" },
        protocol: settings.version.number(),
        interface: subject.interface.to_owned(),
        source,
        peers: settings.peers.clone(),
        interval_ms: millis(settings.interval.duration()),
        state: role,
        serving: Serving::default(),
        since: wall_clock().before(in_state),
        state_ms: millis(in_state),
        why: telemetry.cause().to_owned(),
        base_priority: settings.priority.octet(),
        priority,
        preempt: settings.preempt,
        master: master(router, source, now),
        heard: telemetry.last_heard().map(|(at, peer)| heard(peer, now.since(at))),
        deadline_ms: instance.deadline().map(|at| millis(at.since(now))),
        addresses: addresses(router, network, present),
        guard: guard(router, network),
        faults: faults(instance, &subject, None),
        left_out: false,
        fault_causes: instance.faults().iter().map(|cause| fault(*cause, &subject)).collect(),
        lifeline: lifelines::off(),
        check: None,
        counters: telemetry.counters(),
        dropped: dropped(telemetry.drops()),
        failover_possible: telemetry.failover_possible(role).filter(|_| !instance.is_drained()),
        drain: RouterDrain::default(),
        warnings: warnings(router, network, now),
    }
}

/// The master that is heard. A router that takes part forgets a silent one by its timer; for the others, it is one that was
/// heard lately.
fn heard_master(router: &Router, now: Instant) -> Option<Peer> {
    let (instance, settings) = (router.instance(), router.instance().settings());
    if matches!(router.role(), Role::Backup | Role::Master) && !instance.is_drained() {
        return instance.master();
    }
    router.telemetry().heard_master(now, settings.master_down(instance.priority(), settings.interval))
}

fn master(router: &Router, source: Option<IpAddr>, now: Instant) -> Option<PeerStatus> {
    let own = source.filter(|_| router.role() == Role::Master);
    let ours = own.map(|address| Peer { address, priority: router.instance().priority() });
    ours.or_else(|| router.instance().master().and_then(|_| heard_master(router, now))).map(peer)
}

fn guard(router: &Router, network: &Network) -> GuardStatus {
    let GuardState { kind, why } = network.guard().state(router.config());
    GuardStatus { kind: kind.as_str(), why }
}

fn warnings(router: &Router, network: &Network, now: Instant) -> Vec<String> {
    let mut warnings = router.warnings(now);
    if network.guard().is_taken() {
        warnings
            .push("another vrrp-init on this host has the same first address: stop one of the two, and restart the one that stays".into());
    }
    warnings
}

/// The causes of FAULT except `excluded`, as half sentences. That an interface has no address goes without saying if there is none.
fn faults(instance: &Instance, subject: &Subject<'_>, excluded: Option<Cause>) -> Vec<String> {
    let causes = instance.faults().iter().copied();
    let is_implied = |cause| {
        cause == Cause::Source
            && subject.culprits.get(Cause::Source).is_none()
            && instance.faults().contains(&Cause::Interface)
    };
    let causes = causes.filter(|cause| Some(*cause) != excluded && !is_implied(*cause));
    causes.map(|cause| messages::fault(cause, subject)).collect()
}

fn fault(cause: Cause, subject: &Subject<'_>) -> FaultStatus {
    let culprit = subject.culprits.get(cause);
    FaultStatus {
        cause: cause.as_str(),
        culprit: culprit.and_then(|culprit| culprit.interface.clone()),
        problem: culprit.map(|culprit| culprit.problem.as_str()),
    }
}

fn peer(peer: Peer) -> PeerStatus {
    PeerStatus { address: peer.address, priority: peer.priority.octet() }
}

fn heard(peer: Peer, ago: Duration) -> HeardStatus {
    HeardStatus { address: peer.address, priority: peer.priority.octet(), ago_ms: millis(ago) }
}

fn addresses(router: &Router, network: &Network, present: &Present) -> Vec<AddressStatus> {
    let (config, role) = (router.config(), router.role());
    let status = |vip: &VirtualAddress, excluded| {
        let index = router.binding().and_then(|binding| network.device(binding.index, vip).ok());
        let found = index.and_then(|index| present.find(index, vip));
        // The host's own address is there in every state.
        let stays = found.is_some() && index.is_some_and(|index| router.host().stays(index, vip.address));
        let missing = |index| is_missing(network.interfaces(), config.family(), index, vip.address);
        let left_out = found.is_none() && index.is_some_and(missing);
        AddressStatus {
            address: vip.address,
            prefix: vip.prefix,
            interface: vip.device.as_deref().unwrap_or(router.subject().interface).to_owned(),
            excluded,
            wanted: if role == Role::Master { !left_out } else { stays },
            present: found.is_some(),
            lease_s: found.and_then(|(_, lifetime)| *lifetime),
        }
    };
    let advertised = config.addresses.iter().map(|vip| status(vip, false));
    advertised.chain(config.excluded.iter().map(|vip| status(vip, true))).collect()
}

/// Differences between the state and the kernel, which a restart would repair. A FAULT is not such a difference.
fn disagreements(router: &Router, addresses: &[AddressStatus], network: &Network) -> Vec<String> {
    let (name, role) = (router.name(), router.role());
    let state = role.as_str();
    let mut problems = vec![];
    for AddressStatus { address, interface, wanted, present, .. } in addresses {
        match (wanted, present) {
            (true, false) => problems.push(format!("{name} is {state}, but {address} is not on {interface}")),
            (false, true) => problems.push(format!("{name} is {state}, but {address} is on {interface}")),
            (true, true) | (false, false) => {}
        }
    }
    let takes_part = matches!(role, Role::Backup | Role::Master);
    let open = router.binding().is_some_and(|binding| {
        router.channel(binding.source).is_some_and(|channel| network.is_open(binding.port, channel))
    });
    if takes_part && !open {
        let interface = router.subject().interface;
        problems.push(format!("{name} is {state}, but its socket on {interface} is not open"));
    }
    problems
}

/// Virtual addresses on other links than the router's, while it is not master: clients reach them there as well.
fn elsewhere(router: &Router, network: &Network, present: &Present) -> Vec<String> {
    let mut problems = vec![];
    if router.role() == Role::Master {
        return problems;
    }
    for vip in router.config().all_addresses() {
        let home = router.binding().and_then(|binding| network.device(binding.index, vip).ok());
        for ((address, index, _), _) in present.of(vip.address).filter(|((_, on, _), _)| Some(*on) != home) {
            let link = network.interfaces().link(*index);
            if let Some(link) =
                link.filter(|link| !link.loopback && !router.host().stays(*index, vip.address))
            {
                let (name, state) = (router.name(), router.role().as_str());
                problems.push(format!("{name} is {state}, but {address} is on {}", link.name));
            }
        }
    }
    problems
}

fn dropped(drops: &Drops) -> Dropped {
    Dropped(drops.iter().map(|(reason, count)| (reason.as_str(), count)).collect())
}
