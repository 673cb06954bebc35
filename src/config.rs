//! The configuration, valid by construction, and what may be wrong with it; the environment and the files it
//! names come in as arguments, so this knows neither.

mod address;
mod aliases;
mod changes;
mod endpoint;
mod env;
mod nearest;
mod origins;
mod value;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::health::Weight;
use crate::vrrp::{self, Family};

pub use aliases::{ALIASES, Alias, Means};
pub use origins::Setting;
pub use variables::{Default, Reach, VARIABLES, Variable, as_help, as_markdown};

/// Everything the operator decided. Defaults are filled in: an `Option` in here never means "the default".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The virtual routers, at least one.
    pub routers: Vec<RouterConfig>,
    pub serve: ServeConfig,
    pub log: LogConfig,
}

/// Where the state can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// The unix socket's absolute path, at most 100 octets; `None`: there is none.
    pub socket: Option<PathBuf>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

/// One virtual router, of one address family: the protocol's settings and what surrounds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// The variables it comes from: 1 for those without a suffix, 2 for `VIP_2` and so on. Routers of the same
    /// number move together, and a fault of one is a fault of all: the IPv4 and the IPv6 router of a mixed
    /// `VIP`, in this order, are the only such case. They have the same `check`, so that one run serves both.
    pub number: u16,
    /// The name in logs, unique: one word, `VI_1`. The IPv6 router of a mixed `VIP` is `VI_1_v6`.
    pub name: String,
    pub interface: InterfaceChoice,
    /// Whose subnet `Auto` looks for: the first of `addresses` that is not link-local, since every interface has that
    /// subnet; for the IPv6 router of a mixed `VIP` the first IPv4 one, so that both speak on one interface.
    pub home: IpAddr,
    pub state_hint: StateHint,
    pub protocol: Rc<vrrp::Settings>,
    /// What to put on the interface, in configured order; the same addresses as in `protocol`.
    pub addresses: Vec<VirtualAddress>,
    /// What goes on the interface with them and is in no advert; either family, none of it in `addresses`.
    pub excluded: Vec<VirtualAddress>,
    /// Further interfaces that must be up, each once.
    pub track: Vec<String>,
    /// Where unicast adverts come from, of the family of `addresses`; `None`: the interface's own address.
    pub unicast_source: Option<IpAddr>,
    /// Run on each transition: the program's absolute path, then its first arguments.
    pub notify: Option<Vec<String>>,
    /// `None`: nothing is watched.
    pub check: Option<Rc<CheckConfig>>,
}

impl RouterConfig {
    /// The family of its addresses.
    pub fn family(&self) -> Family {
        self.protocol.addresses.first().map_or(Family::V4, family)
    }
}

fn family(address: &IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Which interface the router speaks on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceChoice {
    /// The one whose subnet holds the router's `home`, else that of the default route.
    Auto,
    /// A name the kernel would accept; it need not exist yet.
    Named(String),
}

/// What the operator expects this node to be. As in keepalived only a hint: the election decides.
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
    pub device: Option<String>,
    /// The label `ip addr` shows, at most 15 bytes; IPv6 has none.
    pub label: Option<String>,
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

/// What must run and answer, and what follows when it does not; at least one of the three lists holds something,
/// and every item of each must pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// Names of processes that must run, each once.
    pub services: Vec<String>,
    /// Ports that must accept a connection, each once.
    pub tcp: Vec<SocketAddr>,
    /// Pages that must answer with 2xx or 3xx, each once.
    pub http: Vec<HttpTarget>,
    /// Time between two looks, 1 ms to one day.
    pub interval: Duration,
    /// How long a connection may take to pass, 1 ms to one day; it may be longer than `interval`.
    pub timeout: Duration,
    pub weight: Weight,
    /// Passes in a row that make the check healthy.
    pub rise: NonZeroU32,
    /// Failures in a row that make it failed.
    pub fall: NonZeroU32,
}

/// A page to ask for by plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The `Host` field, as it was written: `127.0.0.1:8080`, `localhost`, `[::1]`. Plain ASCII.
    pub host: String,
    /// What to ask for, `/` at least, with the query if there is one. Plain ASCII without space or control
    /// character.
    pub path: String,
}

/// Where the status socket is when nothing says otherwise.
pub fn default_status_socket() -> PathBuf {
    PathBuf::from(variables::STATUS_SOCKET)
}

/// Where a healthcheck asks, beside the status socket: it comes every few seconds and needs little.
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
    /// Each line begins with the time: where nobody else adds it, as a container runtime or journald does.
    pub time: bool,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// keepalived's sentences, for people and their grep.
    Text,
    /// One object a line.
    Json,
}

impl Config {
    /// Checks the environment `vars`; `read_file` gives the content of the files that `NAME_FILE` variables name.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn from_environment(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        env::read(vars, read_file, None)
    }

    /// The same, and beside it every effective value with its origin.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn explained(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Self, Vec<Warning>, Vec<Setting>), ConfigError> {
        let mut settings = vec![];
        let (config, warnings) = env::read(vars, read_file, Some(&mut settings))?;
        Ok((config, warnings, settings))
    }
}

/// Something that works, though perhaps not as meant. Displays as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// [`log::Level::Info`] where it is merely good to know.
    pub level: log::Level,
    /// The variable's whole name.
    pub variable: String,
    /// The rest of the sentence.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stranger's name may hold anything.
        write!(f, "{} {}", one_line(&self.variable), one_line(&self.why))
    }
}

/// One thing that must be put right before anything can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's whole name.
    pub variable: String,
    /// The text refused; `None` where there is none, or where it is nobody's business.
    pub value: Option<String>,
    /// What would be right.
    pub why: String,
}

impl Problem {
    /// `NAME=value` on one line: a list over many lines or a file given by mistake must not flood the log.
    fn subject(&self) -> String {
        const LONGEST: usize = 60;
        let variable = one_line(&self.variable);
        let Some(value) = &self.value else { return variable };
        // A URL may hold a name and a password. The character alone is looked for: the search for words is 4 KB.
        let mark = value.match_indices(':').find(|(at, _)| value[*at..].starts_with("://"));
        let bare = mark.and_then(|(at, _)| {
            let (scheme, rest) = value.split_at(at + 3);
            let (_, host) = rest.rsplit_once('@')?;
            Some(format!("{scheme}(not shown)@{host}"))
        });
        let value = bare.as_ref().unwrap_or(value);
        match value.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{variable}={}...", one_line(&value[..end])),
            None => format!("{variable}={}", one_line(value)),
        }
    }
}

/// The characters with an escape in place of each that would end the line or move the cursor.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Every problem in the environment. Displays as the whole report, program name included, one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "vrrp-init: {} problem{plural} in the environment", self.0.len())?;
        let subjects: Vec<String> = self.0.iter().map(Problem::subject).collect();
        let width = subjects.iter().map(|s| s.chars().count()).max().unwrap_or(0);
        for (subject, problem) in subjects.iter().zip(&self.0) {
            write!(f, "\n  {subject:width$}  {}", one_line(&problem.why))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(variable: &str, value: Option<&str>, why: &str) -> Problem {
        Problem { variable: variable.into(), value: value.map(Into::into), why: why.into() }
    }

    #[test]
    fn all_problems_are_printed_at_once_in_two_columns() {
        let error = ConfigError(vec![
            problem("VIRTUAL_ROUTER", Some("300"), "must be 1 to 255"),
            problem("VIP", None, "is required: the virtual addresses, such as 10.0.0.2/24"),
            problem("PRIORTY", None, "is not a variable of vrrp-init; did you mean PRIORITY?"),
        ]);
        assert_eq!(
            error.to_string(),
            "vrrp-init: 3 problems in the environment\n  \
               VIRTUAL_ROUTER=300  must be 1 to 255\n  \
               VIP                 is required: the virtual addresses, such as 10.0.0.2/24\n  \
               PRIORTY             is not a variable of vrrp-init; did you mean PRIORITY?"
        );
    }

    #[test]
    fn a_value_stays_on_its_line_and_is_cut_when_long() {
        let error = ConfigError(vec![problem("VIP", Some("a\nb\u{1b}[2J"), "is wrong (read from \n)")]);
        assert_eq!(
            error.to_string(),
            "vrrp-init: 1 problem in the environment\n  VIP=a\\nb\\u{1b}[2J  is wrong (read from \\n)"
        );
        assert_eq!(
            problem("PRIORTY\n", None, "is wrong").subject(),
            "PRIORTY\\n",
            "a name may hold anything too"
        );
        let url = problem("CHECK_HTTP", Some("http://u:hunter2@web/"), "is wrong").subject();
        assert_eq!(url, "CHECK_HTTP=http://(not shown)@web/");
        let long = problem("VIP", Some(&"é".repeat(61)), "is wrong").subject();
        assert_eq!(long, format!("VIP={}...", "é".repeat(60)));
    }

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
