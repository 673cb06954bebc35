//! The table of environment variables, one row each: name, aliases, scope, default, secrecy, parser and help; reads
//! no environment.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use serde::Deserialize;

use super::model::{
    DnsTarget, GuardChoice, HttpTarget, InterfaceChoice, LogFormat, StateHint, StatusRange, VirtualAddress,
};
use super::user::{self, UserName};
use super::value::{self, LeaseChoice, Parsed};
pub use super::variable::{Default, OnChange, Scope, Variable};
use super::{address, endpoint};
use crate::health::Weight;
use crate::vrrp::{Interval, Password, Priority, V3Checksum, Version, Vrid};

/// A variable together with its type: how its text is parsed.
pub(super) struct Row<T> {
    pub(super) variable: Variable,
    parse: fn(&str) -> Parsed<T>,
}

impl<T> Row<T> {
    /// The value when the variable is unset.
    pub(super) fn default_value(&self) -> Option<T> {
        self.parse(self.variable.default.text()?).value
    }

    pub(super) fn parse(&self, text: &str) -> Parsed<T> {
        (self.parse)(text)
    }
}

impl<T> Deref for Row<T> {
    type Target = Variable;

    fn deref(&self) -> &Variable {
        &self.variable
    }
}

fn same<T: PartialEq>(parse: fn(&str) -> Parsed<T>, a: &str, b: &str) -> bool {
    a == b || parse(a).value.is_some_and(|value| Some(value) == parse(b).value)
}

/// `single PARSER` for one value, `list "item name" PARSER` for a list of them, `list PARSER` for a list with a syntax
/// of its own, `whole PARSER` for one value with warnings.
macro_rules! parser {
    (single $parse:path) => {
        |text| value::single(text, $parse(text))
    };
    (list $what:literal $parse:path) => {
        |text| value::list(text, $what, $parse)
    };
    ($kind:ident $parse:path) => {
        $parse
    };
}

macro_rules! is_list {
    (list) => {
        true
    };
    ($other:ident) => {
        false
    };
}

macro_rules! variables {
    ($($name:ident $field:ident: $type:ty {
        parse: $kind:ident $($what:literal)? $parse:path,
        $(aliases: $aliases:literal,)?
        scope: $scope:ident,
        default: $default:ident $(($value:expr))?,
        on_change: $change:ident,
        $(secret: $secret:literal,)?
        help: $help:literal,
    })*) => {
        $(pub(super) static $name: Row<$type> = Row {
            variable: Variable {
                name: stringify!($name),
                aliases: concat!($($aliases)?),
                scope: Scope::$scope,
                default: Default::$default $(($value))?,
                on_change: OnChange::$change,
                secret: false $(|| $secret)?,
                help: $help,
                field: stringify!($field),
                is_list: is_list!($kind),
                same: |a, b| same(parser!($kind $($what)? $parse), a, b),
            },
            parse: parser!($kind $($what)? $parse),
        };)*

        /// Every variable, in the order of the documentation.
        pub static VARIABLES: &[&Variable] = &[$(&$name.variable,)*];

        #[cfg(test)]
        pub(super) const FIELDS: &[&str] = &[$(stringify!($field),)*];
    };
}

/// The texts of one router's variables by field, as envy reads them. All are text: serde would stop at the first value
/// that it cannot parse, without the name it was set under. A password is among them, so this is never displayed.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Raw(BTreeMap<String, String>);

impl Raw {
    /// The text of the variable, or of its default, if there is any.
    pub(super) fn text(&self, variable: &Variable) -> Option<&str> {
        self.0.get(variable.field).map(String::as_str).or(variable.default.text())
    }

    /// From the names and texts of what is set.
    pub(super) fn from_texts(
        texts: impl Iterator<Item = (&'static str, String)>,
    ) -> Result<Self, envy::Error> {
        envy::from_iter(texts.map(|(name, text)| (name.to_owned(), text)))
    }
}

variables! {
    VIP vip: Vec<VirtualAddress> {
        parse: list address::virtual_addresses,
        aliases: "VIPS VIRTUAL_IP VIRTUAL_IPS VRRP_VIRTUAL_IP APISERVER_VIP OPENSHIFT_HA_VIRTUAL_IPS",
        scope: Own, default: Required("the virtual addresses, such as 10.0.0.2/24"), on_change: Live,
        help: "virtual addresses, separated by commas, spaces or newlines; each may have a prefix length such as \
               `/24` (default /32 or /128), `dev eth0` and `label eth0:1`, as in keepalived; if the list has \
               both IPv4 and IPv6 addresses, the IPv6 addresses form a second router with the same VRID, \
               which moves together with the first",
    }
    VIRTUAL_ROUTER virtual_router: Vrid {
        parse: single value::vrid,
        aliases: "VRID VIRTUAL_ROUTER_ID",
        scope: Own,
        default: Required("the number that all nodes of one virtual router share, 1 to 255"), on_change: Restart,
        help: "virtual router identifier (VRID), 1 to 255, the same on all nodes",
    }
    INTERFACE interface: InterfaceChoice {
        parse: single value::interface,
        aliases: "IFACE VRRP_INTERFACE OPENSHIFT_HA_NETWORK_INTERFACE vip_interface",
        scope: Inherited, default: Value("auto"), on_change: Restart,
        help: "interface to use for VRRP, by name or altname; `auto`: of those that are up, the one whose \
               subnet contains the first VIP, else that of the default route",
    }
    STATE state: StateHint {
        parse: single value::state,
        aliases: "VRRP_STATE",
        scope: Inherited, default: Value("BACKUP"), on_change: Live,
        help: "MASTER or BACKUP, accepted for compatibility; the election ignores it, and it only selects the \
               default PRIORITY of another image (COMPAT)",
    }
    PRIORITY priority: Priority {
        parse: single value::priority,
        aliases: "VRRP_PRIORITY NODE_PRIORITY",
        scope: Inherited, default: Value("100"), on_change: Live,
        help: "1 to 254; the node with the highest priority becomes master; 255 is for the address owner",
    }
    SERVICE service: Vec<String> {
        parse: list "process name" user::service,
        aliases: "CHECK_PROCESS",
        scope: Inherited, default: None, on_change: Live,
        help: "names of the processes to check, separated by commas, spaces or newlines, or `/usr/sbin/nginx` for the \
               program itself, or `user:33` or `user:name` for any process of a user; all of them must be running. It \
               sees a death, not a hang: set CHECK_HTTP or CHECK_TCP beside it",
    }
    CHECK_TCP check_tcp: Vec<SocketAddr> {
        parse: list "host:port" endpoint::tcp,
        scope: Inherited, default: None, on_change: Live,
        help: "ports that must accept a connection, such as `127.0.0.1:80 [::1]:443 localhost:8080`; names \
               other than localhost are not resolved",
    }
    CHECK_HTTP check_http: Vec<HttpTarget> {
        parse: list "URL" endpoint::http,
        scope: Inherited, default: None, on_change: Live,
        help: "pages that must answer with a status of CHECK_HTTP_STATUS, such as `http://localhost:8080/health`; no https, \
               and names other than localhost are not resolved",
    }
    CHECK_HTTP_HOST check_http_host: String {
        parse: single endpoint::host,
        scope: Inherited, default: None, on_change: Live,
        help: "`Host` header of CHECK_HTTP, such as `www.example.org`; unset: the host of the URL",
    }
    CHECK_HTTP_STATUS check_http_status: Vec<StatusRange> {
        parse: list "status" endpoint::status,
        scope: Inherited, default: Value("200-399"), on_change: Live,
        help: "statuses with which CHECK_HTTP passes, such as `200-299,301`",
    }
    CHECK_DNS check_dns: Vec<DnsTarget> {
        parse: list "query" endpoint::dns,
        scope: Inherited, default: None, on_change: Live,
        help: "names for which a resolver must have a record, such as `example.com@127.0.0.1:53` or \
               `example.com/AAAA@localhost`; NXDOMAIN is a failure, so choose a name that exists",
    }
    CHECK_SCRIPT check_script: Vec<String> {
        parse: single value::script,
        aliases: "OPENSHIFT_HA_CHECK_SCRIPT CHECK_SCRIPT_PATH",
        scope: Inherited, default: None, on_change: Live,
        help: "program that must exit with 0, by absolute path, with its arguments; it runs without a shell and without \
               any capability, and its output is discarded",
    }
    CHECK_INTERVAL check_interval: Duration {
        parse: single value::check_interval,
        aliases: "KUBE_APISERVER_CHK_INTERVAL OPENSHIFT_HA_CHECK_INTERVAL",
        scope: Inherited, default: Value("1"), on_change: Live,
        help: "seconds between two checks, 0.001 to 86400",
    }
    CHECK_WEIGHT check_weight: Weight {
        parse: single value::weight,
        aliases: "KUBE_APISERVER_CHK_WEIGHT",
        scope: Inherited, default: Value("0"), on_change: Live,
        help: "-253 to 253: above 0, it raises PRIORITY while the check passes; below 0, it lowers PRIORITY \
               while the check fails; 0: a failure is a FAULT, which releases the addresses at once",
    }
    CHECK_TIMEOUT check_timeout: Duration {
        parse: single value::check_interval,
        scope: Inherited, default: Same(CHECK_INTERVAL.variable.name), on_change: Live,
        help: "seconds that CHECK_TCP, CHECK_HTTP and CHECK_DNS wait for an answer, and that CHECK_SCRIPT may run, 0.001 to 86400",
    }
    CHECK_RISE check_rise: NonZeroU32 {
        parse: single value::count,
        aliases: "KUBE_APISERVER_CHK_RISE",
        scope: Inherited, default: Value("1"), on_change: Live,
        help: "consecutive passes after which the check counts as healthy",
    }
    CHECK_FALL check_fall: NonZeroU32 {
        parse: single value::count,
        aliases: "KUBE_APISERVER_CHK_FALL",
        scope: Inherited, default: Value("1"), on_change: Live,
        help: "consecutive failures after which the check counts as failed",
    }
    ADVERT_INT advert_int: Interval {
        parse: single value::advert_interval,
        aliases: "ADVERTISE_INTERVAL VRRP_ADVERT_INT",
        scope: Inherited, default: Value("1"), on_change: Restart,
        help: "seconds between two advertisements, the same on all nodes: 1 to 255 in whole seconds, or \
               with VRRPv3 0.01 to 40.95 in steps of 0.01",
    }
    VRRP_VERSION vrrp_version: Option<Version> {
        parse: single value::version,
        scope: Inherited, default: Value("auto"), on_change: Restart,
        help: "2 or 3, the same on all nodes; `auto`: 3 for IPv6 and for a fractional ADVERT_INT, else 2",
    }
    V3_CHECKSUM v3_checksum: V3Checksum {
        parse: single value::v3_checksum,
        scope: Inherited, default: Value("pseudo-header"), on_change: Live,
        help: "checksum of VRRPv3 over IPv4: `pseudo-header`, as keepalived and FRR send it, or `rfc9568`, \
               without a pseudo-header; both are accepted",
    }
    PREEMPT preempt: bool {
        parse: single value::boolean,
        scope: Inherited, default: Value("true"), on_change: Live,
        help: "whether to replace a live master of lower priority",
    }
    PREEMPT_DELAY preempt_delay: Duration {
        parse: single value::preempt_delay,
        scope: Inherited, default: Value("0"), on_change: Live,
        help: "seconds to wait before replacing such a master, 0 to 1000",
    }
    AUTH_PASS auth_pass: Password {
        parse: whole value::password,
        aliases: "AUTH_PASSWORD VRRP_AUTH_PASS KEEPALIVED_PASSWORD",
        scope: Inherited, default: None, on_change: Restart,
        secret: true,
        help: "plain-text password of VRRPv2, the same on all nodes; the first 8 bytes count, and it is sent \
               unencrypted",
    }
    UNICAST_PEERS unicast_peers: Vec<IpAddr> {
        parse: list "address" address::host_address,
        aliases: "OPENSHIFT_HA_UNICAST_PEERS",
        scope: Inherited, default: None, on_change: Live,
        help: "addresses of the other nodes, to send to instead of the multicast group; adverts from other \
               addresses are dropped, and so are adverts of a peer in a subnet of this node with a TTL below \
               255; a peer behind a router may have any; this node's own address may be in the list, so that all \
               nodes can share one list",
    }
    UNICAST_SRC_IP unicast_src_ip: Vec<IpAddr> {
        parse: list address::sources,
        scope: Inherited, default: Value("auto"), on_change: Live,
        help: "source address to use with UNICAST_PEERS, at most one of each family; `auto`: this node's \
               address in UNICAST_PEERS, otherwise the source address of the route to the first peer",
    }
    TRACK_INTERFACE track_interface: Vec<String> {
        parse: list "interface" value::interface_name,
        scope: Inherited, default: None, on_change: Live,
        help: "further interfaces that must be up, separated by commas, spaces or newlines",
    }
    VIP_EXCLUDED vip_excluded: Vec<VirtualAddress> {
        parse: list address::virtual_addresses,
        scope: Own, default: None, on_change: Live,
        help: "addresses of either family that move with VIP but are not advertised, in the format of VIP",
    }
    FAST_FAILOVER fast_failover: bool {
        parse: single value::boolean,
        scope: Inherited, default: Value("true"), on_change: Restart,
        help: "fast handover between vrrp-init nodes, in milliseconds; false: only the timing of the RFC",
    }
    LIFELINE lifeline: bool {
        parse: single value::boolean,
        scope: Process, default: Value("true"), on_change: Restart,
        help: "a TCP connection from each backup to its master, which shows at once that vrrp-init was killed \
               there; only for routers with FAST_FAILOVER",
    }
    LIFELINE_PORT lifeline_port: NonZeroU16 {
        parse: single value::port,
        scope: Process, default: Value("9112"), on_change: Restart,
        help: "TCP port of LIFELINE, the same on all nodes; their firewalls must let it through",
    }
    VIP_LEASE vip_lease: LeaseChoice {
        parse: single value::lease,
        scope: Inherited, default: Value("auto"), on_change: Restart,
        help: "lifetime of an address in whole seconds, up to 86400: the kernel removes it if it is not renewed \
               in time; 0: no limit; `auto`: the time after which a backup takes over, rounded up, at least 3",
    }
    ADDRESS_GUARD address_guard: GuardChoice {
        parse: single value::guard,
        scope: Process, default: Value("auto"), on_change: Restart,
        help: "what silences this host for its virtual addresses at the moment when vrrp-init dies: `nft` \
               (nf_tables), `off`, or `auto`: the best that works here, while another vrrp-init is ready to take over",
    }
    GARP_REFRESH garp_refresh: Option<Duration> {
        parse: single value::refresh,
        scope: Inherited, default: Value("0"), on_change: Live,
        help: "seconds between two announcements (gratuitous ARP, neighbor advertisement) of a master's \
               addresses, 1 to 86400; 0: only after a change",
    }
    INSTANCE_NAME instance_name: String {
        parse: single value::one_word,
        aliases: "VRRP_INSTANCE VRRP_INSTANCE_NAME",
        scope: Own, default: Value("VI_1"), on_change: Restart,
        help: "name in the log and for NOTIFY; the default is `VI_2` for the suffix `_2`",
    }
    NOTIFY notify: Vec<String> {
        parse: single value::command,
        aliases: "NOTIFY_SCRIPT_PATH KEEPALIVED_NOTIFY_SCRIPT OPENSHIFT_HA_NOTIFY_SCRIPT",
        scope: Inherited, default: None, on_change: Live,
        help: "program to run on each transition, by absolute path, with its first arguments; it runs \
               without a shell and gets `INSTANCE name STATE priority` as further arguments, as in \
               keepalived",
    }
    NOTIFY_MASTER notify_master: Vec<String> {
        parse: single value::command,
        scope: Inherited, default: None, on_change: Live,
        help: "the same for transitions to MASTER only; it runs before that of NOTIFY",
    }
    NOTIFY_BACKUP notify_backup: Vec<String> {
        parse: single value::command,
        scope: Inherited, default: None, on_change: Live,
        help: "the same for transitions to BACKUP only; it runs before that of NOTIFY",
    }
    NOTIFY_FAULT notify_fault: Vec<String> {
        parse: single value::command,
        scope: Inherited, default: None, on_change: Live,
        help: "the same for transitions to FAULT only; it runs before that of NOTIFY",
    }
    NOTIFY_STOP notify_stop: Vec<String> {
        parse: single value::command,
        scope: Inherited, default: None, on_change: Live,
        help: "the same for the end of vrrp-init only; it must end within a second",
    }
    NOTIFY_URL notify_url: String {
        parse: single endpoint::receiver,
        scope: Inherited, default: None, on_change: Live,
        secret: true,
        help: "URL of a receiver that gets each transition as a JSON object by POST, such as `http://10.0.0.5:9093/hook`; \
               no https, and a name must be in /etc/hosts: see docs/notify-url.md",
    }
    PROGRAM_USER program_user: UserName {
        parse: single user::user,
        scope: Process, default: None, on_change: Restart,
        help: "user that the programs of CHECK_SCRIPT and NOTIFY run as: `1000`, `1000:1000` or a name in /etc/passwd; unset: the user \
               of vrrp-init, without any capability",
    }
    PROGRAM_ENV program_env: Vec<String> {
        parse: list "name" user::name,
        scope: Process, default: None, on_change: Restart,
        help: "further environment variables that programs get, by name; secrets of vrrp-init are never passed on",
    }
    SANDBOX sandbox: bool {
        parse: single value::boolean,
        scope: Process, default: Value("true"), on_change: Restart,
        help: "whether vrrp-init gives up, after the start, what it does not need: see docs/sandbox.md",
    }
    COMPAT compat: String {
        parse: single value::one_word,
        scope: Process, default: Value("auto"), on_change: Restart,
        help: "the image whose defaults apply to unset variables while nodes with that image still run: \
               osixia, arcts, neoassist, shawly, ednxzu, rmartin16, alterway, angelnu or none; `auto`: detected from \
               the names in use, and logged",
    }
    ENV_FILE env_file: PathBuf {
        parse: single value::env_file,
        scope: Process, default: None, on_change: Restart,
        help: "absolute path of a file with a line NAME=VALUE for each variable, which wins over the environment; a \
               change of the file is applied while the daemon runs",
    }
    DRAIN_FILE drain_file: Option<PathBuf> {
        parse: single value::drain_file,
        scope: Process, default: Value("/run/vrrp-init.drain"), on_change: Restart,
        help: "absolute path of the file that drains this node while it exists: the commands drain and undrain write and \
               remove it, or `off`",
    }
    STATUS_SOCKET status_socket: Option<PathBuf> {
        parse: single value::status_socket,
        scope: Process, default: Value("/run/vrrp-init.sock"), on_change: Restart,
        help: "absolute path of the unix socket that status, why and healthcheck connect to, or `off`",
    }
    METRICS_LISTEN metrics_listen: Option<SocketAddr> {
        parse: single value::metrics_listen,
        scope: Process, default: Value("off"), on_change: Restart,
        help: "address and port of the Prometheus metrics, such as `127.0.0.1:9165`, or `:9165` for all addresses",
    }
    LOG_LEVEL log_level: LevelFilter {
        parse: single value::log_level,
        scope: Process, default: Value("info"), on_change: Live,
        help: "error, warn, info, debug or trace",
    }
    LOG_FORMAT log_format: (LogFormat, bool) {
        parse: single value::log_format,
        scope: Process, default: Value("text"), on_change: Live,
        help: "text, or json with one object per line; `text+time` and `json+time` start each line with the \
               time, if neither the container runtime nor journald adds it",
    }
}

/// The highest suffix. A container's environment is full of numbers that belong to no virtual router.
pub(super) const MOST_ROUTERS: u16 = 9_999;

/// A variable's name with the suffix of a router's number.
pub(super) fn full_name(name: &str, number: u16) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}_{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_none_is_another_ones_file() {
        for (i, variable) in VARIABLES.iter().enumerate() {
            for other in &VARIABLES[..i] {
                assert_ne!(variable.name, other.name);
            }
            let of = variable.name.strip_suffix("_FILE");
            assert!(!VARIABLES.iter().any(|other| Some(other.name) == of), "{}", variable.name);
        }
    }

    #[test]
    fn every_field_has_its_variables_name_in_lower_case_as_envy_needs_it() {
        let names: Vec<_> = VARIABLES.iter().map(|variable| variable.name.to_ascii_lowercase()).collect();
        assert_eq!(FIELDS, names);
    }
}
