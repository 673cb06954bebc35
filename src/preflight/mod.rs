//! Compares the configuration with the facts of this machine before the election, and returns findings as sentences for
//! the operator. Reads and changes nothing on the machine.

pub mod facts;
mod holders;
mod link;
mod listen;
mod wire;

use std::net::IpAddr;
use std::path::Path;

use log::Level;

use crate::columns::join;
use crate::config::{CheckConfig, Config, GuardChoice, InterfaceChoice, RouterConfig, VirtualAddress};
use crate::health::{Effective, Verdict, Weight, effective};
use crate::interfaces::Interfaces;
use crate::sys::netlink::{Link, MARK, Route};
use crate::unicast::{self, Unicast};
use crate::vrrp::{Family, Priority};
pub use facts::{Facts, Processes};
pub use holders::dropped_here;
use holders::holders;
use link::chosen_link;
pub(crate) use listen::listen;
pub use wire::Wire;

/// One fact that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// The router's name; `None`: all of them.
    pub router: Option<String>,
    pub text: String,
    /// The daemon logs this itself, at the start and when it changes.
    pub logged_by_daemon: bool,
}

struct Findings {
    list: Vec<Finding>,
    router: Option<String>,
}

impl Findings {
    fn add(&mut self, level: Level, logged_by_daemon: bool, text: String) {
        self.list.push(Finding { level, router: self.router.clone(), text, logged_by_daemon });
    }
}

/// All findings, in the order of the routers.
pub fn findings(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut found = Findings { list: vec![], router: None };
    capabilities(facts, &mut found);
    if let Some(processes) = &facts.processes {
        for (service, pids) in &processes.services {
            self::service(service, pids, processes, &mut found);
        }
    }
    for why in &facts.programs {
        found.add(Level::Warn, false, why.clone());
    }
    for path in &facts.mounted {
        found.add(Level::Warn, false, unread(path));
    }
    for router in &config.routers {
        found.router = Some(router.name.to_string());
        interface(router, facts, &mut found);
        if let Some(check) = &router.check {
            // The routers of both families share one check.
            if router.family() == Family::V4
                || !config.routers.iter().any(|other| is_other_family(router, other))
            {
                check_weight(router, check, &mut found);
            }
            checked_hosts(router, check, &facts.interfaces, &mut found);
        }
    }
    found.router = None;
    guard(config, facts, &mut found);
    found.list
}

fn guard(config: &Config, facts: &Facts, found: &mut Findings) {
    let Some(answer) = &facts.guard else { return };
    let unfit = config.routers.iter().find_map(|router| router.unguarded(config.guard));
    let refused = answer.as_ref().err().map(ToString::to_string);
    match unfit.or(refused) {
        None => {
            let text =
                "address guard: if vrrp-init dies, nf_tables silences this host for the virtual addresses";
            found.add(Level::Info, true, text.into());
        }
        Some(why) => {
            let level = if config.guard == GuardChoice::Nft { Level::Warn } else { Level::Info };
            found.add(level, true, format!("no address guard: {why}"));
        }
    }
}

fn is_other_family(router: &RouterConfig, other: &RouterConfig) -> bool {
    other.number == router.number && other.family() != router.family()
}

fn capabilities(facts: &Facts, found: &mut Findings) {
    for missing in &facts.missing {
        let why = format!(
            "the capability {missing} is missing; add to the compose file: cap_add: [NET_ADMIN, NET_RAW]"
        );
        found.add(Level::Error, true, why);
    }
    if facts.missing.is_empty() {
        found.add(Level::Info, true, "the capabilities NET_ADMIN and NET_RAW are present".into());
    }
    if facts.processes.as_ref().is_some_and(|processes| processes.hidden) {
        let why =
            "/proc is mounted with hidepid: services of other users look dead; remount it without hidepid";
        found.add(Level::Warn, true, why.into());
    }
}

/// The router's interface, its addresses and neighbors.
fn interface(router: &RouterConfig, facts: &Facts, found: &mut Findings) {
    let interfaces = &facts.interfaces;
    let hint = router.subnet_hint;
    let (link, how) = chosen_link(router, facts);
    let Some(link) = link else {
        let text = match &router.interface {
            InterfaceChoice::Named(name) => {
                format!("interface {name} does not exist: the daemon waits for it")
            }
            InterfaceChoice::Auto => format!(
                "no interface is in the subnet of {hint}, and there is no default route: the daemon waits for one"
            ),
        };
        return found.add(Level::Warn, true, text);
    };
    let name = &link.name;
    if !link.up {
        let text = format!("interface {name}{how} is down or has no carrier: the daemon waits for it");
        return found.add(Level::Warn, true, text);
    }
    if let Some(text) = interfaces.as_port(link) {
        return found.add(Level::Warn, true, text);
    }
    if link.loopback {
        found.add(Level::Warn, false, format!("interface {name} reaches no other host: correct INTERFACE"));
    }
    source(router, link, &how, facts, found);
    other_interfaces(router, interfaces, found);
    for vip in &router.addresses {
        virtual_address(router, vip, link, interfaces, found);
        let asked = facts.wire.as_ref().is_some_and(|wire| wire.asked.contains(&(link.index, vip.address)));
        for (_, mac) in facts.neighbors.iter().filter(|(address, _)| !asked && *address == vip.address) {
            let text = format!("{} is answered by {mac}, according to the neighbor table", vip.address);
            found.add(Level::Info, true, text);
        }
    }
    for (level, text) in facts.wire.iter().flat_map(|wire| holders(router, link, wire)) {
        found.add(level, false, text);
    }
}

fn source(router: &RouterConfig, link: &Link, how: &str, facts: &Facts, found: &mut Findings) {
    let (name, family, interfaces) = (&link.name, router.family(), &facts.interfaces);
    // An address that the host has as its own is a valid source.
    let own = |address| interfaces.unmarked(address).any(|found| interfaces.is_hosts_own(found, link.index));
    let is_virtual = |vip: &&VirtualAddress| router.protocol.priority != Priority::OWNER && !own(vip.address);
    let mut virtual_ones: Vec<_> =
        router.addresses.iter().filter(is_virtual).map(|vip| vip.address).collect();
    virtual_ones.sort_unstable();
    let source = if router.protocol.peers.is_empty() {
        interfaces.source(family, link.index, &virtual_ones)
    } else {
        let path = unicast(router, link, &virtual_ones, facts);
        if let (None, Some(source)) = (path.source, router.unicast_source) {
            let text = format!("UNICAST_SRC_IP {source} is not on this machine: the daemon waits for it");
            return found.add(Level::Warn, true, text);
        }
        if let Some(unfit) = path.unfit {
            found.add(Level::Warn, true, unfit);
        }
        path.source
    };
    if let Some(source) = source {
        let text = format!("interface {name}{how} is up; adverts are sent from {source}");
        found.add(Level::Info, true, text);
    } else {
        let kind = if family == Family::V4 { "IPv4" } else { "link-local IPv6" };
        let text =
            format!("interface {name}{how} has no {kind} address to send from: the daemon waits for one");
        found.add(Level::Warn, true, text);
    }
}

fn unicast(router: &RouterConfig, link: &Link, virtual_addresses: &[IpAddr], facts: &Facts) -> unicast::Path {
    let (configured, peers) = (router.unicast_source, &*router.protocol.peers);
    let unicast = Unicast { link, configured, peers, virtual_addresses };
    let way = |(peer, scope): (IpAddr, Option<u32>)| {
        let known = facts.routes.iter().find(|(to, _)| *to == peer).and_then(|(_, route)| *route);
        (peer, scope.map(|index| Route { index, source: None }).or(known))
    };
    let paths: Vec<_> = unicast.others(&facts.interfaces).into_iter().map(way).collect();
    unicast.path(&facts.interfaces, &paths)
}

/// The other interfaces that must be up, else the router is in FAULT.
fn other_interfaces(router: &RouterConfig, interfaces: &Interfaces, found: &mut Findings) {
    let devices = |list: &[VirtualAddress]| {
        list.iter().filter_map(|vip| vip.device.as_deref().map(str::to_owned)).collect()
    };
    let named = [
        ("VIP", devices(&router.addresses)),
        ("VIP_EXCLUDED", devices(&router.excluded)),
        ("TRACK_INTERFACE", router.track.to_vec()),
    ];
    for (variable, names) in named {
        for name in names.iter().filter(|name| !interfaces.named(name).is_some_and(|link| link.up)) {
            let text = format!("interface {name} of {variable} is missing or down: the daemon waits for it");
            found.add(Level::Warn, true, text);
        }
    }
}

/// Whether the address is in a subnet of the link, and whether it is configured already.
fn virtual_address(
    router: &RouterConfig,
    vip: &VirtualAddress,
    link: &Link,
    interfaces: &Interfaces,
    found: &mut Findings,
) {
    let address = vip.address;
    let subnet_link = interfaces.on_subnet_of(address, Some(&link.name));
    let on_link = subnet_link.is_some_and(|other| other.index == link.index);
    if vip.needs_subnet() && subnet_link.is_none() && router.interface == InterfaceChoice::Auto {
        found.add(Level::Warn, false, interfaces.outside_all_subnets(address, &link.name));
    } else if vip.needs_subnet() && !on_link {
        let other = subnet_link.map_or(String::new(), |other| format!(" (but in one of {})", other.name));
        let text = format!(
            "{address} is in no subnet of {}{other}: other hosts need a route to reach it",
            link.name
        );
        found.add(Level::Info, false, text);
    }
    already_here(router, vip, link, interfaces, found);
}

/// What becomes of a virtual address that is on this host now.
fn already_here(
    router: &RouterConfig,
    vip: &VirtualAddress,
    link: &Link,
    interfaces: &Interfaces,
    found: &mut Findings,
) {
    let (address, device) = (vip.address, vip.device.as_deref().unwrap_or(&link.name));
    let is_owner = router.protocol.priority == Priority::OWNER;
    if is_owner && interfaces.unmarked(address).next().is_none() {
        let text = format!(
            "PRIORITY=255 is for the host whose own address {address} is, and this one does not have it: a router of 255 \
             becomes master as soon as it starts, whoever is; use 1 to 254"
        );
        found.add(Level::Warn, false, text);
    }
    for present in interfaces.addresses().iter().filter(|present| present.address == address) {
        let on = interfaces.link(present.index).map_or("another interface", |link| &link.name);
        if present.mark == Some(MARK) {
            found.add(Level::Info, true, format!("{address} is on {on}, added by vrrp-init"));
        } else if !is_owner {
            let is_device = interfaces.named(device).is_some_and(|device| device.index == present.index);
            let text = if is_device && !interfaces.is_hosts_own(present, link.index) {
                format!(
                    "{address} is already on {on} and was not added by vrrp-init, which removes it at the start; if it is \
                     this host's own address, remove it from VIP or set PRIORITY=255"
                )
            } else {
                format!(
                    "{address}/{} is this host's own address on {on} and stays there in every state: use an address that \
                     no host has, or PRIORITY=255 on the host that has it",
                    present.prefix
                )
            };
            found.add(Level::Warn, true, text);
        }
    }
}

fn service(name: &str, pids: &[i32], processes: &Processes, found: &mut Findings) {
    match pids {
        [first, more @ ..] => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            found.add(Level::Info, true, format!("{name} runs: pid {first}{more}"));
        }
        [] if processes.alone => {
            let text = format!(
                "{name} is not seen, nor any process but vrrp-init: if its container is running, it lacks \
                 pid: \"service:keepalived\", or pid: \"service:namespace\" where vrrp-init hold is PID 1 (with docker \
                 run, check sees only its own container: use docker exec)"
            );
            found.add(Level::Warn, true, text);
        }
        [] => {
            let programs = join(&processes.programs, ", ");
            let here = if programs.is_empty() { String::new() } else { format!(" (here run: {programs})") };
            found.add(Level::Warn, true, format!("{name} is not seen among the processes here{here}"));
        }
    }
    if processes.same_network.iter().any(|known| known == name) {
        nonlocal_bind(name, processes, found);
    }
}

/// Only if the service is in this network namespace: published ports do not need it.
fn nonlocal_bind(service: &str, processes: &Processes, found: &mut Findings) {
    if processes.nonlocal_bind.contains(&false) {
        let text = format!(
            "{service} is on this host's network: to bind a virtual address that another node holds, set \
             net.ipv4.ip_nonlocal_bind=1 (and net.ipv6); to bind all addresses, this is not needed"
        );
        found.add(Level::Info, false, text);
    }
}

/// A check should ask this host: on a backup, a check of a virtual address reaches the master.
fn checked_hosts(router: &RouterConfig, check: &CheckConfig, interfaces: &Interfaces, found: &mut Findings) {
    let targets = check.tcp.iter().chain(check.http.iter().map(|page| &page.address));
    let targets = targets.chain(check.dns.iter().map(|query| &query.address));
    let vips = router.addresses.iter().chain(&router.excluded);
    let vips: Vec<_> = vips.map(|vip| vip.address).collect();
    for target in targets {
        let host = target.ip();
        let own = || interfaces.addresses().iter().any(|own| own.address == host);
        let text = if vips.contains(&host) {
            format!(
                "{target} is a virtual address: on a backup, the master answers the check; check 127.0.0.1 instead"
            )
        } else if host.is_loopback() || host.is_unspecified() || own() {
            continue;
        } else {
            let loss =
                if check.weight == Weight::FAULT { "releases the address" } else { "changes its priority" };
            format!(
                "the check of {target} asks another host: when that one fails, this node {loss}, although its own \
                 service runs; check 127.0.0.1 instead"
            )
        };
        found.add(Level::Warn, false, text);
    }
}

/// What is said about a configuration file of another image.
pub(crate) fn unread(path: &Path) -> String {
    let is_keepalived = path.extension().is_some_and(|extension| extension == "conf");
    let path = path.display();
    let cure = if is_keepalived {
        format!("`vrrp-init import {path}` prints its values as variables")
    } else {
        "set its values as variables".into()
    };
    format!("{path} is there, but vrrp-init does not read it: {cure}")
}

/// The effect of a failed check on this node's priority.
fn check_weight(router: &RouterConfig, check: &CheckConfig, found: &mut Findings) {
    let (base, weight) = (router.protocol.priority, check.weight);
    if weight == Weight::FAULT {
        let text = "CHECK_WEIGHT is 0: a failed check is a FAULT, and any backup takes over";
        return found.add(Level::Info, false, text.into());
    }
    // The configuration has a warning for these already.
    if base == Priority::OWNER || !router.protocol.preempt {
        return;
    }
    let with = |verdict| match effective(base, [(weight, verdict)]) {
        Effective::Priority(priority) => priority.octet(),
        Effective::Fault => 0,
    };
    let (healthy, failed) = (with(Verdict::Healthy), with(Verdict::Failed));
    if healthy == failed {
        let direction = if weight > Weight::FAULT { "lower" } else { "raise" };
        let text = format!(
            "PRIORITY {base} and CHECK_WEIGHT {weight} can never move the address: the priority is {healthy} while \
             healthy and {failed} while failed, because it is limited to 1 to 254; {direction} PRIORITY, or set CHECK_WEIGHT=0"
        );
        return found.add(Level::Warn, false, text);
    }
    let (level, text) = takeover(base, weight, healthy, failed);
    found.add(level, false, text);
}

/// The priority that a backup needs to take over after a failed check, and whether that is unambiguous.
fn takeover(base: Priority, weight: Weight, healthy: u8, failed: u8) -> (Level, String) {
    let (direction, enough) =
        if weight > Weight::FAULT { ("lower", "2 or more") } else { ("raise", "-2 or less") };
    let sum = i16::from(base.octet()) + weight.get();
    let needed = failed + 1;
    let mut text = format!(
        "priority {healthy} while healthy, {failed} while failed: a backup needs {needed} to take over"
    );
    if needed == healthy {
        text += ", but then ties with this node while it is healthy";
    }
    let mut level = Level::Info;
    if !(1..=254).contains(&sum) {
        let limited = sum.clamp(1, 254);
        text = format!("{text}; {base} and {weight} make {sum}, limited to {limited}: {direction} PRIORITY");
        level = Level::Warn;
    } else if needed == healthy {
        text = format!("{text}; a weight of {enough} avoids the tie");
    }
    (level, text)
}

#[cfg(test)]
mod tests;
