//! A VRRP router on a host: our daemon or Debian's keepalived, from the same settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::lab::Host;
use super::process::{Launch, Running};

/// The program under test.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_vrrp-init");
pub(crate) const KEEPALIVED: &str = "/usr/sbin/keepalived";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// Ours with `FAST_FAILOVER=false`: only the RFC's timing.
    OursByTheRfc,
    Keepalived,
}

/// A process to watch.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) service: &'static str,
    pub(crate) weight: i16,
    /// Seconds between two checks.
    pub(crate) interval: u8,
    /// keepalived's check command; the name of the service is appended.
    pub(crate) command: &'static str,
}

impl Check {
    pub(crate) const fn each_second(service: &'static str, weight: i16) -> Self {
        Self { service, weight, interval: 1, command: "/usr/bin/pgrep -x" }
    }
}

/// Settings for both programs, and variables for ours alone.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) priority: u8,
    pub(crate) vip: Ipv4Addr,
    pub(crate) vrid: u8,
    pub(crate) state: &'static str,
    /// Seconds between two adverts, in the format of both programs.
    pub(crate) advert_int: &'static str,
    pub(crate) check: Option<Check>,
    /// More lines for keepalived's instance block; `extra` has the same for our daemon.
    pub(crate) instance: String,
    /// keepalived's list of virtual addresses, if it is not just `vip`; `extra` has the same for our daemon.
    pub(crate) vips: Option<String>,
    /// Variables that override, for our daemon only; an empty value unsets one.
    pub(crate) extra: Vec<(OsString, OsString)>,
}

impl Node {
    pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    pub(crate) const VRID: u8 = 51;

    /// A router without a check.
    pub(crate) fn plain(priority: u8) -> Self {
        Self {
            priority,
            vip: Self::VIP,
            vrid: Self::VRID,
            state: "BACKUP",
            advert_int: "1",
            check: None,
            instance: String::new(),
            vips: None,
            extra: Vec::new(),
        }
    }

    /// A router that adds 2 to its priority while haproxy runs.
    pub(crate) fn watching_haproxy(priority: u8) -> Self {
        Self { check: Some(Check::each_second("haproxy", 2)), ..Self::plain(priority) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// The environment of our daemon on `host`.
    pub(crate) fn environment(&self, host: &Host) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![
            ("INTERFACE".into(), host.interface.clone().into()),
            ("STATE".into(), self.state.into()),
            ("VIRTUAL_ROUTER".into(), self.vrid.to_string().into()),
            ("PRIORITY".into(), self.priority.to_string().into()),
            ("VIP".into(), self.vip.to_string().into()),
            ("ADVERT_INT".into(), self.advert_int.into()),
            ("LOG_LEVEL".into(), "debug".into()),
        ];
        if let Some(Check { service, weight, interval, .. }) = self.check {
            env.push(("SERVICE".into(), service.into()));
            env.push(("CHECK_INTERVAL".into(), interval.to_string().into()));
            env.push(("CHECK_WEIGHT".into(), weight.to_string().into()));
        }
        env.extend(self.extra.iter().cloned());
        env
    }

    /// Writes keepalived's configuration file for `host` and returns its path.
    pub(crate) fn keepalived_file(&self, host: &Host) -> OsString {
        let path = host.file("keepalived.conf");
        fs::write(&path, self.keepalived_conf(host)).expect("a temporary file can be written");
        path.into_os_string()
    }

    fn keepalived_conf(&self, host: &Host) -> String {
        let Self { priority, vip, vrid, state, advert_int, instance, .. } = self;
        let vips = self.vips.clone().unwrap_or_else(|| vip.to_string());
        let interface = &host.interface;
        // Fractions of a second need VRRPv3; our daemon switches by itself.
        let fraction = advert_int.contains('.') && !instance.contains("version");
        let version = if fraction { "\n version 3" } else { "" };
        let (script, track) = match self.check {
            Some(Check { service, weight, interval, command }) => (
                format!(
                    "vrrp_script chk {{\n script \"{command} {service}\"\n interval {interval}\n weight {weight}\n}}\n"
                ),
                "\n track_script {\n  chk\n }",
            ),
            None => (String::new(), ""),
        };
        format!(
            "global_defs {{\n script_user root\n}}\n{script}vrrp_instance VI_1 {{\n interface {interface}{version}\n \
             state {state}\n virtual_router_id {vrid}\n priority {priority}\n advert_int {advert_int}\n {instance}\n virtual_ipaddress {{\n  {vips}\n }}{track}\n}}\n"
        )
    }
}

/// A running router, alone as PID 1 of its PID namespace.
pub(crate) struct Router {
    pub(crate) host: Host,
    pub(crate) run: Running,
    pub(crate) node: Node,
}

impl Router {
    pub(crate) fn start(kind: Kind, host: &Host, node: &Node) -> Self {
        match kind {
            Kind::Ours => Self::ours(host, node, Launch::PidOne),
            Kind::OursByTheRfc => {
                Self::ours(host, &node.clone().with("FAST_FAILOVER", "false"), Launch::PidOne)
            }
            // Pid files in the private /run: 2.2.7 takes a stale one with PID 1 for its own and exits.
            Kind::Keepalived => {
                Self::keepalived(host, node, Launch::PidOne, "-n -l -D -G -p /run/k.pid -r /run/kv.pid")
            }
        }
    }

    /// Like a container: it keeps its /run over a restart. keepalived runs with the usual options.
    pub(crate) fn in_container(kind: Kind, host: &Host, node: &Node) -> Self {
        match kind {
            Kind::Ours => Self::ours(host, node, Launch::Container),
            Kind::OursByTheRfc => {
                Self::ours(host, &node.clone().with("FAST_FAILOVER", "false"), Launch::Container)
            }
            // Without -G it would also write to the machine's syslog.
            Kind::Keepalived => Self::keepalived(host, node, Launch::Container, "-n -l -G"),
        }
    }

    fn keepalived(host: &Host, node: &Node, launch: Launch<'_>, options: &str) -> Self {
        let args: Vec<_> =
            options.split(' ').map(OsString::from).chain(["-f".into(), node.keepalived_file(host)]).collect();
        let run = Running::start(host, launch, Path::new(KEEPALIVED), &args, &[]);
        Self { host: host.clone(), run, node: node.clone() }
    }

    pub(crate) fn ours(host: &Host, node: &Node, launch: Launch<'_>) -> Self {
        let run = Running::start::<&str>(host, launch, Path::new(OURS), &[], &node.environment(host));
        Self { host: host.clone(), run, node: node.clone() }
    }

    pub(crate) fn holds_vip(&self) -> bool {
        self.host.holds(self.node.vip)
    }

    /// Waits until the router logs that it is master and holds its address; returns the time of the log line.
    pub(crate) fn wait_master(&self, mark: usize, timeout: Duration) -> Instant {
        let line = self.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE", timeout);
        super::wait_until(&format!("{} holds the address", self.host.name), super::seconds(1), || {
            self.holds_vip()
        });
        line.at
    }

    /// Waits until the router is backup, and so ready to receive adverts; returns the time of the log line.
    pub(crate) fn wait_backup(&self, mark: usize, timeout: Duration) -> Instant {
        self.run.log.wait_for_after(mark, "(VI_1) Entering BACKUP STATE", timeout).at
    }

    /// The dropped packets by reason, of virtual routers and interface: SIGUSR1 logs `… dropped: checksum=3 ttl=3`.
    pub(crate) fn dropped(&self) -> BTreeMap<String, usize> {
        let first = "(VI_1) … dropped:";
        let mark = self.run.log.mark();
        // When the second report begins, the first is complete.
        for reports in 1..=2 {
            self.run.signal(Signal::SIGUSR1);
            super::wait_until("it logs its status", super::seconds(2), || {
                self.run.log.since(mark, first).len() == reports
            });
        }
        let lines = self.run.log.since(mark, "dropped:");
        let second = lines.iter().rposition(|line| line.contains("(VI_1)")).expect("there are two");
        let mut counts = BTreeMap::new();
        for line in &lines[..second] {
            let (_, pairs) = line.split_once("dropped:").expect("the line has it");
            for (reason, count) in pairs.split_whitespace().filter_map(|pair| pair.split_once('=')) {
                *counts.entry(reason.to_owned()).or_insert(0) += count.parse::<usize>().expect("a count");
            }
        }
        counts
    }
}
