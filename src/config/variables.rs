//! The table of environment variables as data: what is read, what `help` prints and what README lists; knows no
//! values.

use std::fmt::{self, Write as _};

/// One variable an operator may set; `NAME_FILE` names a file that holds its value instead.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub default: Default,
    pub reach: Reach,
    /// The value is nobody's business: it is in no report, log or status.
    pub secret: bool,
    /// Meaning and range, for `help` and README.
    pub help: &'static str,
}

/// What holds when a variable is unset or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Nothing can run without it; what it is, for the problem report.
    Required(&'static str),
    /// What it asks for does not happen.
    None,
    /// As if this had been set.
    Value(&'static str),
    /// What another variable says.
    Same(&'static str),
}

/// What a variable is for, when there are several virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole process: it takes no suffix.
    Process,
    /// Every router: `NAME_2` is the second one's, which else has what `NAME` says.
    Inherited,
    /// One router: `NAME` is the first one's, `NAME_2` the second one's.
    Own,
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required(_) => "required",
            Self::None => "none",
            Self::Value(value) | Self::Same(value) => value,
        })
    }
}

const fn variable(name: &'static str, default: Default, help: &'static str) -> Variable {
    Variable { name, default, reach: Reach::Inherited, secret: false, help }
}

const fn own(name: &'static str, default: Default, help: &'static str) -> Variable {
    Variable { reach: Reach::Own, ..variable(name, default, help) }
}

const fn process(name: &'static str, default: Default, help: &'static str) -> Variable {
    Variable { reach: Reach::Process, ..variable(name, default, help) }
}

const fn secret(name: &'static str, default: Default, help: &'static str) -> Variable {
    Variable { secret: true, ..variable(name, default, help) }
}

/// The highest suffix. A container's environment is full of numbers that are no virtual router's.
pub(super) const MOST_ROUTERS: u16 = 9_999;

/// In a container's own /run, where nobody else is.
pub(super) const STATUS_SOCKET: &str = "/run/vrrp-init.sock";

/// Every variable, in the order of the documentation.
pub const VARIABLES: &[Variable] = &[
    own(
        "VIP",
        Default::Required("the virtual addresses, such as 10.0.0.2/24"),
        "the virtual addresses, separated by comma, space or newline; each may say `/24` (else /32 \
         or /128), `dev eth0` and `label eth0:1` as in keepalived; IPv6 addresses among them form a second \
         router of the same number that moves with the first",
    ),
    own(
        "VIRTUAL_ROUTER",
        Default::Required("the number that all nodes of one virtual router share, 1 to 255"),
        "virtual router identifier, 1 to 255, the same on all nodes",
    ),
    variable(
        "INTERFACE",
        Default::Value("auto"),
        "interface to speak on; `auto`: the one whose subnet holds the first VIP, else that of the default route",
    ),
    variable(
        "STATE",
        Default::Value("BACKUP"),
        "MASTER or BACKUP; a hint as in keepalived: the election decides",
    ),
    variable(
        "PRIORITY",
        Default::Value("100"),
        "1 to 254, the highest becomes master; 255 is the address owner",
    ),
    variable(
        "SERVICE",
        Default::None,
        "names of the processes to watch, separated by comma, space or newline; every one must run",
    ),
    variable(
        "CHECK_TCP",
        Default::None,
        "ports that must accept a connection, such as `127.0.0.1:80 [::1]:443 localhost:8080`; no other names",
    ),
    variable(
        "CHECK_HTTP",
        Default::None,
        "pages that must answer with 2xx or 3xx, such as `http://localhost:8080/health`; no https, no other names",
    ),
    variable("CHECK_INTERVAL", Default::Value("1"), "seconds between two checks, 0.001 to 86400"),
    variable(
        "CHECK_WEIGHT",
        Default::Value("0"),
        "-253 to 253: added to PRIORITY while healthy if above 0, taken from it while failed if below 0; \
         0: a failure is a FAULT, the address is given up at once",
    ),
    variable(
        "CHECK_TIMEOUT",
        Default::Same("CHECK_INTERVAL"),
        "seconds that CHECK_TCP and CHECK_HTTP wait for an answer, 0.001 to 86400",
    ),
    variable("CHECK_RISE", Default::Value("1"), "checks that must pass in a row to be healthy"),
    variable("CHECK_FALL", Default::Value("1"), "checks that must fail in a row to be failed"),
    variable(
        "ADVERT_INT",
        Default::Value("1"),
        "seconds between two advertisements, the same on all nodes: whole, 1 to 255, or with VRRPv3 0.01 to \
         40.95 in steps of 0.01",
    ),
    variable(
        "VRRP_VERSION",
        Default::Value("auto"),
        "2 or 3, the same on all nodes; `auto`: 3 for IPv6 and for an ADVERT_INT that is not whole, else 2",
    ),
    variable(
        "V3_CHECKSUM",
        Default::Value("pseudo-header"),
        "in VRRPv3 over IPv4: `pseudo-header` as keepalived and FRR send it, or `rfc9568`, without; both are \
         accepted",
    ),
    variable("PREEMPT", Default::Value("true"), "whether to replace a live master of lower priority"),
    variable("PREEMPT_DELAY", Default::Value("0"), "seconds to leave such a master alone first, 0 to 1000"),
    secret(
        "AUTH_PASS",
        Default::None,
        "simple password of VRRPv2, 1 to 8 bytes, the same on all nodes; it travels in the clear",
    ),
    variable(
        "UNICAST_PEERS",
        Default::None,
        "addresses of the other nodes, to send to instead of the multicast group; only they are believed, at any \
         TTL, since a peer may be behind a router; our own may be among them, so that all nodes have the same list",
    ),
    variable(
        "UNICAST_SRC_IP",
        Default::Value("auto"),
        "address to send from with UNICAST_PEERS, one of each family at most; `auto`: the interface's",
    ),
    variable("TRACK_INTERFACE", Default::None, "further interfaces that must be up, a list"),
    own(
        "VIP_EXCLUDED",
        Default::None,
        "addresses that move with VIP and are not advertised, written like VIP, of either family",
    ),
    variable(
        "FAST_FAILOVER",
        Default::Value("true"),
        "hand over in milliseconds where vrrp-init hears it can; false: the RFC's timing alone",
    ),
    variable(
        "VIP_LEASE",
        Default::Value("auto"),
        "whole seconds after which the kernel itself removes an address that is no longer renewed, to 86400; \
         0: never; `auto`: the time to miss a master, rounded up, at least 3",
    ),
    variable(
        "GARP_REFRESH",
        Default::Value("0"),
        "seconds between two announcements of a master's addresses, 1 to 86400; 0: only after a change",
    ),
    own(
        "INSTANCE_NAME",
        Default::Value("VI_1"),
        "name in the log and for NOTIFY; `VI_2` for the suffix `_2`",
    ),
    variable(
        "NOTIFY",
        Default::None,
        "program, by absolute path, and first arguments, run without a shell on each transition; \
         `INSTANCE name STATE priority` are added, as keepalived does",
    ),
    process(
        "COMPAT",
        Default::Value("auto"),
        "while nodes of another image take part: whose defaults hold for what is unset, osixia, arcts, neoassist, \
         shawly, ednxzu, rmartin16, alterway or none; `auto`: told by the names in use, and said in the log",
    ),
    process(
        "STATUS_SOCKET",
        Default::Value(STATUS_SOCKET),
        "absolute path of the unix socket that status, why and healthcheck ask, or `off`",
    ),
    process(
        "METRICS_LISTEN",
        Default::Value("off"),
        "address and port of the Prometheus metrics, such as `127.0.0.1:9165`, or `:9165` for all addresses",
    ),
    process("LOG_LEVEL", Default::Value("info"), "error, warn, info, debug or trace"),
    process(
        "LOG_FORMAT",
        Default::Value("text"),
        "text, or json: one object a line; `text+time` and `json+time` \
         begin with the time, where neither a container runtime nor journald adds it",
    ),
];

/// The variable of this name, in its plain form.
pub(super) fn named(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// A variable's name with the suffix of a router's number.
pub(super) fn whole_name(name: &str, number: u16) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}_{number}") }
}

/// The table as aligned plain text, two lines a variable, each line ended.
pub fn as_help() -> String {
    let mut text = String::new();
    for Variable { name, default, help, .. } in VARIABLES {
        _ = writeln!(text, "  {name} ({default})");
        for line in wrapped(&help.replace('`', ""), 92) {
            _ = writeln!(text, "      {line}");
        }
    }
    text + &super::aliases::as_help()
}

/// The table in Markdown, each line ended.
pub fn as_markdown() -> String {
    let mut text = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Variable { name, default, help, .. } in VARIABLES {
        let default = match default {
            Default::Value(value) | Default::Same(value) => format!("`{value}`"),
            Default::Required(_) | Default::None => default.to_string(),
        };
        _ = writeln!(text, "| `{name}` | {default} | {help} |");
    }
    text
}

/// `text` in lines of at most `width` bytes, broken at spaces.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn readme_holds_exactly_this_table() {
        document_holds("README.md", "variables", &as_markdown());
    }

    /// Exactly `table`, between its markers.
    pub(in crate::config) fn document_holds(document: &str, name: &str, table: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        let markers = ["begin", "end"].map(|end| format!("<!-- {name}:{end} -->\n"));
        let (before, rest) = text.split_once(&markers[0]).expect("the begin marker");
        let (section, after) = rest.split_once(&markers[1]).expect("the end marker");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, format!("{before}{}{table}{}{after}", markers[0], markers[1])).unwrap();
        } else {
            assert_eq!(section, table, "UPDATE=1 writes the table into {document}");
        }
    }

    #[test]
    fn help_names_every_variable_with_its_default_in_lines_for_a_terminal() {
        let help = as_help();
        for Variable { name, default, .. } in VARIABLES {
            assert!(help.contains(&format!("  {name} ({default})\n")), "{name} is missing:\n{help}");
        }
        assert_eq!(help.lines().find(|line| line.len() > 98), None);
        assert!(!help.contains('`'));
    }

    #[test]
    fn names_are_unique_and_none_is_another_ones_file() {
        for (i, variable) in VARIABLES.iter().enumerate() {
            for other in &VARIABLES[..i] {
                assert_ne!(variable.name, other.name);
            }
            assert!(!variable.name.ends_with("_FILE"), "{}", variable.name);
        }
    }

    #[test]
    fn no_help_breaks_the_markdown_table() {
        for variable in VARIABLES {
            assert!(!variable.help.contains(['|', '\n']), "{}", variable.name);
        }
    }
}
