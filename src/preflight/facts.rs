//! The facts that the preflight judges, gathered from this machine: capabilities, interfaces, routes, neighbors,
//! processes, programs and files. Judges nothing.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::wire::Wire;
use crate::config::{Config, InterfaceChoice};
use crate::interfaces::Interfaces;
use crate::sandbox::Sandbox;
use crate::sorted;
use crate::sys::capabilities::{self, Capability};
use crate::sys::netlink::{Netlink, Route};
use crate::sys::process::ProcFs;
use crate::sys::{Error, program, route};
use crate::vrrp::Family;

/// So many processes are looked at for the names of programs, and so many names reported.
const EXAMINED: usize = 256;
const NAMED: usize = 5;

/// The machine at this moment.
#[derive(Debug, Default)]
pub struct Facts {
    /// Capabilities that the daemon needs and the process lacks.
    pub missing: Vec<Capability>,
    pub(crate) interfaces: Interfaces,
    /// The interfaces of the IPv4 and the IPv6 default route.
    pub default_routes: [Option<String>; 2],
    /// The way to every unicast peer that is not link-local.
    pub(crate) routes: Vec<(IpAddr, Option<Route>)>,
    /// The neighbor table: IPv4 addresses with the hardware address that last answered for them. Only for `check`.
    pub neighbors: Vec<(IpAddr, String)>,
    /// The sentences that say why a program of NOTIFY or CHECK_SCRIPT could not be run.
    pub programs: Vec<String>,
    /// Configuration files of other images, which vrrp-init does not read.
    pub mounted: Vec<PathBuf>,
    /// Why the kernel would refuse the address guard, if it would. Only for `check`.
    pub guard: Option<Result<(), Error>>,
    /// What was heard on the wire, which takes a second. Only for `check`.
    pub wire: Option<Wire>,
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
    /// Some of the programs that run here.
    pub programs: Vec<String>,
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
        let interfaces = Interfaces::new(netlink.links()?, netlink.addresses()?);
        let route = |family| {
            let name = || route::default_route_interface(family, &|name| interfaces.is_up(name));
            if auto { name() } else { None }
        };
        let peers = config.routers.iter().flat_map(|router| &router.protocol.peers);
        let mut peers: Vec<_> = peers.copied().collect();
        peers.sort_unstable();
        peers.dedup();
        let mut routes = vec![];
        for peer in peers {
            routes.push((peer, netlink.route(peer, None)?));
        }
        Ok(Self {
            missing: missing_capabilities(&[Capability::NetAdmin, Capability::NetRaw])?,
            default_routes: [route(Family::V4), route(Family::V6)],
            interfaces,
            routes,
            neighbors: vec![],
            guard: None,
            programs: broken_programs(config),
            mounted: mounted_files(Path::new("/")),
            wire: None,
            processes: None,
        })
    }
}

/// One sentence for each program that could not be run.
fn broken_programs(config: &Config) -> Vec<String> {
    let mut broken: Vec<String> = vec![];
    let rights = Sandbox::new(config).rights();
    for (variable, program) in config.programs() {
        let path = Path::new(program.first().map_or("", String::as_str));
        let why = program::check(path, rights).err().map(|e| format!("{variable}: {e}"));
        broken.extend(why.filter(|why| !broken.contains(why)));
    }
    broken
}

/// The configuration files under `root` that other images would read, where their users mount them.
pub(crate) fn mounted_files(root: &Path) -> Vec<PathBuf> {
    const CONFIGURATIONS: [&str; 4] = [
        "etc/keepalived",
        "usr/local/etc/keepalived",
        "container/service/keepalived/assets",
        "config/keepalived",
    ];
    let directories =
        CONFIGURATIONS.iter().flat_map(|directory| files(&root.join(directory), &["conf", "tmpl"]));
    let environment = root.join("container/environment");
    let environments = [environment.clone()].into_iter().chain(entries(&environment));
    let environments = environments.flat_map(|directory| files(&directory, &["yaml", "yml", "json"]));
    directories.chain(environments).collect()
}

/// The regular files in a directory with one of these extensions.
fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| extensions.contains(&extension)) && path.is_file()
    };
    entries(directory).into_iter().filter(wanted).collect()
}

/// What is in a directory, sorted; empty if it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths = vec![];
    for entry in entries.flatten() {
        sorted::insert(&mut paths, entry.path());
    }
    paths
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
        let procfs = ProcFs::new("/proc")?;
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
            programs: procfs
                .program_names(procfs.list()?.flatten().map(|listed| listed.pid).take(EXAMINED), NAMED),
            hidden: procfs.hides_processes()?,
            same_network,
            nonlocal_bind: [Family::V4, Family::V6].map(route::nonlocal_bind),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_files_of_other_images_are_found_where_they_are_mounted() {
        let root = std::env::temp_dir().join(format!("vrrp-init-mounted-{}", std::process::id()));
        let names = [
            "etc/keepalived/keepalived.conf",
            "etc/keepalived/vip.conf",
            "usr/local/etc/keepalived/keepalived.conf",
            "container/service/keepalived/assets/keepalived.conf",
            "container/environment/default.yaml",
            "container/environment/01-custom/env.yaml",
        ];
        for name in names.iter().chain(&["etc/keepalived/notify.sh", "container/environment/env.txt"]) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir_all(root.join("etc/keepalived/directory.conf")).unwrap();
        assert_eq!(mounted_files(&root), names.map(|name| root.join(name)));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(mounted_files(&root), Vec::<PathBuf>::new());
    }
}
