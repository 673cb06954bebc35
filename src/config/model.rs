//! The configuration as the rest of the program uses it, valid by construction; knows no variable and no text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::health::Weight;
use crate::vrrp::{self, Family, Priority, Role};

/// Everything the operator decided. Defaults are filled in: an `Option` in here never means "the default".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The virtual routers, at least one.
    pub routers: Vec<RouterConfig>,
    pub guard: GuardChoice,
    /// The TCP port of the lifelines; `None`: there are none.
    pub lifeline: Option<NonZeroU16>,
    pub serve: ServeConfig,
    /// The absolute path of the file that drains this node; `None`: there is none.
    pub drain_file: Option<PathBuf>,
    pub log: LogConfig,
    pub programs: ProgramConfig,
    /// Whether the process gives up what it does not need.
    pub sandbox: bool,
    /// The file of variables, which is read again when it changes.
    pub env_file: Option<PathBuf>,
    /// The files that were read for it.
    pub files: Box<[PathBuf]>,
}

impl Config {
    /// The programs of the operator, with the names of their variables.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        self.routers.iter().flat_map(|router| {
            let script = router.check.iter().filter_map(|check| check.script.as_ref());
            router.notify.all().chain(script.map(|program| ("CHECK_SCRIPT", program)))
        })
    }
}

/// A program by absolute path, and its first arguments.
pub(super) type Command = Box<[String]>;

/// The programs that run on transitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// On each.
    pub any: Option<Command>,
    pub master: Option<Command>,
    pub backup: Option<Command>,
    pub fault: Option<Command>,
    pub stop: Option<Command>,
    /// The page that each transition is sent to.
    pub url: Option<Rc<HttpTarget>>,
}

impl NotifyConfig {
    /// Those that run when a router takes this role, in this order: as in keepalived, the one of all transitions is last.
    pub fn on(&self, role: Role) -> impl Iterator<Item = &Command> {
        let own = match role {
            Role::Master => &self.master,
            Role::Backup => &self.backup,
            Role::Fault => &self.fault,
            Role::Init => &self.stop,
        };
        own.iter().chain(&self.any)
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let all = [
            ("NOTIFY", &self.any),
            ("NOTIFY_MASTER", &self.master),
            ("NOTIFY_BACKUP", &self.backup),
            ("NOTIFY_FAULT", &self.fault),
            ("NOTIFY_STOP", &self.stop),
        ];
        all.into_iter().filter_map(|(name, program)| Some((name, program.as_ref()?)))
    }
}

/// How the programs of the operator run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramConfig {
    /// `None`: the user of this process.
    pub user: Option<ProgramUser>,
    /// The names of the variables that they get besides the usual ones and ours.
    pub environment: Box<[String]>,
}

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramUser {
    pub uid: u32,
    pub gid: u32,
}

/// How the kernel silences this host for its virtual addresses when this process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardChoice {
    /// The best that works here, while a backup has a lifeline to this host.
    Auto,
    /// The same without lifelines: not at all.
    Unneeded,
    /// Tables of nf_tables, one of which belongs to a socket.
    Nft,
    /// Not at all.
    Off,
}

/// Where the status and the metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// The absolute path of the status socket, at most 100 octets; `None`: there is none.
    pub socket: Option<PathBuf>,
    /// The address of the metrics server; `None`: there is none.
    pub metrics: Option<SocketAddr>,
}

/// One virtual router of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// The suffix of its variables: 1 for those without one, 2 for `VIP_2` and so on. The IPv4 and the IPv6 router
    /// of a mixed `VIP` share a number, in this order: they move together, a fault of one is a fault of both
    /// unless this host never had the family, and they share one `check`.
    pub number: u16,
    /// The name in logs: unique, one word, such as `VI_1`. The IPv6 router of a mixed `VIP` is `VI_1_v6`.
    pub name: Box<str>,
    pub interface: InterfaceChoice,
    /// `Auto` picks the interface whose subnet holds this address: the first of `addresses` that is not link-local,
    /// since every interface has a link-local subnet. The IPv6 router of a mixed `VIP` has the first IPv4 address, so
    /// that both routers use the same interface.
    pub subnet_hint: IpAddr,
    pub state_hint: StateHint,
    pub protocol: Rc<vrrp::Settings>,
    /// The addresses to put on the interface, in configured order; the same as in `protocol`.
    pub addresses: Box<[VirtualAddress]>,
    /// Addresses that move with them but are not advertised; of either family, none of them in `addresses`.
    pub excluded: Box<[VirtualAddress]>,
    /// Further interfaces that must be up, each once.
    pub track: Box<[String]>,
    /// The source address of unicast adverts, of the family of `addresses`; `None`: the interface's own address.
    pub unicast_source: Option<IpAddr>,
    pub notify: NotifyConfig,
    /// `None`: nothing is checked.
    pub check: Option<Rc<CheckConfig>>,
}

impl RouterConfig {
    /// The addresses to put on the interface, advertised or not.
    pub fn all_addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.excluded)
    }

    /// Why its addresses get no guard, whatever the kernel can do.
    pub fn unguarded(&self, choice: GuardChoice) -> Option<String> {
        let name = &self.name;
        if choice == GuardChoice::Off {
            Some("ADDRESS_GUARD=off".into())
        } else if choice == GuardChoice::Unneeded {
            Some("with LIFELINE=false, no backup takes over at once".into())
        } else if !self.protocol.fast {
            Some("with FAST_FAILOVER=false, no backup takes over at once".into())
        } else if self.protocol.priority == Priority::OWNER {
            Some(format!("{name} has PRIORITY=255, so its addresses are the host's own"))
        } else if self.protocol.lease.is_none() {
            Some(format!("{name} has VIP_LEASE=0, so nothing would end the silence"))
        } else {
            None
        }
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        self.protocol.addresses.first().map_or(Family::V4, |address| Family::of(*address))
    }
}

/// The name of a router without `INSTANCE_NAME`, as in keepalived's examples.
pub(super) fn default_name(number: u16) -> String {
    format!("VI_{number}")
}

/// The interface a router sends and receives on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceChoice {
    /// The one whose subnet holds the router's `subnet_hint`, else that of the default route.
    Auto,
    /// A name the kernel would accept; it need not exist yet.
    Named(Box<str>),
}

/// The value of `STATE`. It has no effect at run time: it only selects another image's default priority under `COMPAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateHint {
    Master,
    Backup,
}

/// One virtual address as it goes on an interface. Displays as the operator may write it:
/// `10.0.0.2/32 dev eth0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    pub address: IpAddr,
    /// Prefix length, 1 to 32 for IPv4, 1 to 128 for IPv6.
    pub prefix: u8,
    /// An interface of its own; `None`: the router's.
    pub device: Option<Box<str>>,
    /// The label `ip addr` shows, at most 15 bytes; IPv6 has none.
    pub label: Option<Box<str>>,
}

impl VirtualAddress {
    /// Whether other hosts reach it only if its interface has its subnet: an address with a prefix length adds its own.
    pub fn needs_subnet(&self) -> bool {
        let link_local = matches!(self.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_host = self.prefix == if self.address.is_ipv4() { 32 } else { 128 };
        is_host && !link_local && self.device.is_none()
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        if let Some(device) = &self.device {
            write!(f, " dev {device}")?;
        }
        if let Some(label) = &self.label {
            write!(f, " label {label}")?;
        }
        Ok(())
    }
}

/// What is checked, how often, and what follows a failure. At least one of the lists is not empty, or there is a program;
/// all of it must pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// Names of processes that must run, each once.
    pub services: Vec<String>,
    /// Ports that must accept a connection, each once.
    pub tcp: Vec<SocketAddr>,
    /// Pages that must answer with one of `statuses`, each once.
    pub http: Vec<HttpTarget>,
    pub statuses: Vec<StatusRange>,
    /// Queries that resolvers must answer, each once.
    pub dns: Vec<DnsTarget>,
    /// A program that must exit with 0, by absolute path, and its arguments.
    pub script: Option<Command>,
    /// Time between two checks, 1 ms to one day.
    pub interval: Duration,
    /// How long a connection or the program may take, 1 ms to one day; it may be longer than `interval`.
    pub timeout: Duration,
    pub weight: Weight,
    /// Consecutive passes that make the check healthy.
    pub rise: NonZeroU32,
    /// Consecutive failures that make it failed.
    pub fall: NonZeroU32,
}

/// Some statuses of HTTP, 100 to 599.
pub(super) type StatusRange = RangeInclusive<u16>;

/// A page to request over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// The server's address.
    pub address: SocketAddr,
    /// The `Host` header: `CHECK_HTTP_HOST`, or as in the URL: `127.0.0.1:8080`, `localhost`, `[::1]`, `hook`. Plain ASCII.
    pub host: String,
    /// The request target: at least `/`, with the query if there is one. ASCII without spaces and control
    /// characters.
    pub path: String,
}

/// A query to a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsTarget {
    /// The resolver's address.
    pub address: SocketAddr,
    /// Labels of 1 to 63 octets with dots between them, at most 253 octets together, or `.`, the root.
    pub name: String,
    /// The type of the record, by name and number.
    pub record: (&'static str, u16),
}

/// The socket for health checks, next to the status socket: a health check runs every few seconds and needs little.
pub fn health_socket(status_socket: &Path) -> PathBuf {
    let mut path = status_socket.as_os_str().to_owned();
    path.push(".health");
    path.into()
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: log::LevelFilter,
    pub format: LogFormat,
    /// Each line begins with the time, for where neither a container runtime nor journald adds it.
    pub time: bool,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// keepalived's sentences, for people and for grep.
    Text,
    /// One object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_address_reads_as_it_is_written() {
        let mut vip = VirtualAddress {
            address: IpAddr::from([10, 0, 0, 2]),
            prefix: 32,
            device: Some("eth0".into()),
            label: None,
        };
        assert_eq!(vip.to_string(), "10.0.0.2/32 dev eth0");
        vip.label = Some("eth0:1".into());
        assert_eq!(vip.to_string(), "10.0.0.2/32 dev eth0 label eth0:1");
    }
}
