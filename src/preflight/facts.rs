//! The facts that the preflight judges, gathered from this machine: capabilities, interfaces, routes, neighbors and
//! processes. Judges nothing.

use std::net::IpAddr;

use crate::config::{Config, InterfaceChoice};
use crate::interfaces::Interfaces;
use crate::sys::capabilities::{self, Capability};
use crate::sys::netlink::Netlink;
use crate::sys::process::ProcFs;
use crate::sys::{Error, route};
use crate::vrrp::Family;

/// The machine at this moment.
#[derive(Debug, Default)]
pub struct Facts {
    /// Capabilities that the daemon needs and the process lacks.
    pub missing: Vec<Capability>,
    pub(crate) interfaces: Interfaces,
    /// The interfaces of the IPv4 and the IPv6 default route.
    pub default_routes: [Option<String>; 2],
    /// The neighbor table: IPv4 addresses with the hardware address that last answered for them. Only for `check`.
    pub neighbors: Vec<(IpAddr, String)>,
    /// `None` if `/proc` was not read.
    pub processes: Option<Processes>,
}

/// What `/proc` shows.
#[derive(Debug, Default)]
pub struct Processes {
    /// Every service of the configuration, with its pids.
    pub services: Vec<(String, Vec<i32>)>,
    /// vrrp-init sees only its own processes.
    pub alone: bool,
    /// `/proc` is mounted with hidepid.
    pub hidden: bool,
    /// Services in this network namespace, as far as the kernel permits reading it.
    pub same_network: Vec<String>,
    /// `net.ipv4.ip_nonlocal_bind` and `net.ipv6.ip_nonlocal_bind`.
    pub nonlocal_bind: [bool; 2],
}

impl Facts {
    /// Gathers everything but neighbors and processes, whose cost grows with the machine.
    ///
    /// # Errors
    /// The kernel answers no netlink request, or `/proc` cannot be read.
    pub(crate) fn gather(config: &Config) -> Result<Self, Error> {
        let mut netlink = Netlink::open()?;
        let auto = config.routers.iter().any(|router| router.interface == InterfaceChoice::Auto);
        let route = |family| if auto { route::default_route_interface(family) } else { None };
        Ok(Self {
            missing: missing_capabilities(&[Capability::NetAdmin, Capability::NetRaw])?,
            interfaces: Interfaces::new(netlink.links()?, netlink.addresses()?),
            default_routes: [route(Family::V4), route(Family::V6)],
            neighbors: vec![],
            processes: None,
        })
    }
}

/// The capabilities among `needed` that the process lacks.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn missing_capabilities(needed: &[Capability]) -> Result<Vec<Capability>, Error> {
    let held = capabilities::effective()?;
    Ok(needed.iter().copied().filter(|capability| !held.has(*capability)).collect())
}

impl Processes {
    /// Scans `/proc` for the services of the configuration.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn scan(config: &Config) -> Result<Self, Error> {
        let mut names: Vec<String> = vec![];
        let checks = config.routers.iter().filter_map(|router| router.check.as_ref());
        for service in checks.flat_map(|check| &check.services) {
            if !names.contains(service) {
                names.push(service.clone());
            }
        }
        let mut procfs = ProcFs::new("/proc")?;
        let found = procfs.scan(&names)?;
        let (mut services, mut same_network) = (vec![], vec![]);
        for (name, processes) in names.into_iter().zip(found) {
            if processes.iter().any(|process| procfs.shares_network(process.pid)) {
                same_network.push(name.clone());
            }
            services.push((name, processes.iter().map(|process| process.pid).collect()));
        }
        Ok(Self {
            services,
            alone: procfs.is_alone()?,
            hidden: procfs.hides_processes()?,
            same_network,
            nonlocal_bind: [Family::V4, Family::V6].map(route::nonlocal_bind),
        })
    }
}
