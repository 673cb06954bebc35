//! One host: its router and service, and its addresses.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use super::faults::{Configuration, LOWERED, PRIORITIES, Program, WEIGHT};
use crate::support::lab::{Host, Lab, to_pid};
use crate::support::process::{Launch, Running, children_of};
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::service::PORT;
use crate::support::{query, seconds, wait_until};

/// The names of the hosts, the best one first.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(crate) const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
/// More descriptors, or kilobytes of memory, than at the first check are a leak.
const SPARE_DESCRIPTORS: usize = 6;
const SPARE_MEMORY: usize = 1_024;

/// One host with its router and service.
pub(super) struct Site {
    number: u8,
    /// Whether it has IPv6 addresses.
    v6: bool,
    pub(super) host: Host,
    node: Node,
    program: Program,
    router: Option<Router>,
    service: Option<Running>,
    /// The signal that ends the router.
    ended_by: Option<Signal>,
    /// Descriptors and memory of the running process at its first check.
    first: Option<(usize, usize)>,
}

impl Site {
    /// The host of this number, the first the best, without its router.
    pub(super) fn new(lab: &Lab, configuration: &Configuration, program: Program, number: u8) -> Self {
        let place = usize::from(number) - 1;
        let host = lab.host(NAMES[place], number);
        prepare(&host, configuration, number);
        let node = node(configuration, &host, PRIORITIES[place]);
        let v6 = configuration.v6;
        Self { number, v6, node, host, program, router: None, service: None, ended_by: None, first: None }
    }

    pub(super) fn drain(&self) {
        fs::write(drain_file(&self.host), "force\n").expect("a temporary file can be written");
    }

    pub(super) fn undrain(&self) {
        fs::remove_file(drain_file(&self.host)).expect("it is drained");
    }

    pub(super) fn lower_priority(&self) {
        let priority = self.node.priority - LOWERED;
        fs::write(settings(&self.host), format!("PRIORITY={priority}\n")).expect("it can be written");
    }

    pub(super) fn restore_priority(&self) {
        fs::write(settings(&self.host), "").expect("it can be written");
        self.signal(Signal::SIGHUP);
    }

    pub(super) fn link_up(&self) {
        self.host.ip("link set enp0s3 up");
        // The kernel removes the IPv6 addresses of a link that goes down.
        if self.v6 {
            self.try_ip(&format!("-6 address add fd00::{}/64 dev enp0s3 nodad", self.number));
        }
    }

    pub(super) fn delete_vips(&self, vips: &[IpAddr]) {
        for vip in vips {
            self.try_ip(&format!("address del {vip}/{} dev enp0s3", whole(*vip)));
        }
    }

    pub(super) fn shorten_vips(&self, vips: &[IpAddr]) {
        // `ip address change` would make an address that is not there.
        for vip in vips.iter().filter(|vip| self.host.holds(**vip)) {
            let lifetime = "valid_lft 1 preferred_lft 0";
            self.try_ip(&format!("address change {vip}/{} dev enp0s3 {lifetime}", whole(*vip)));
        }
    }

    pub(super) fn change_prefix(&self) {
        let vip = Node::VIP;
        if self.try_ip(&format!("address del {vip}/32 dev enp0s3")) {
            self.try_ip(&format!("address add {vip}/24 dev enp0s3"));
        }
    }

    pub(super) fn restore_prefix(&self) {
        self.try_ip(&format!("address del {}/24 dev enp0s3", Node::VIP));
    }

    pub(super) fn delete_own_address(&self) {
        self.try_ip(&format!("address del {}/24 dev enp0s3", self.host.address));
    }

    pub(super) fn restore_own_address(&self) {
        self.try_ip(&format!("address add {}/24 brd + dev enp0s3", self.host.address));
    }

    pub(super) fn start(&mut self) {
        let kind = match self.program {
            Program::Ours => Kind::Ours,
            Program::ByTheRfc => Kind::OursByTheRfc,
            Program::Keepalived => Kind::Keepalived,
        };
        let router = Router::start(kind, &self.host, &self.node);
        router.run.pid();
        self.router = Some(router);
        self.start_service();
    }

    pub(super) fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        self.ended_by = Some(signal);
    }

    /// Waits for the end of a killed or stopped router; how it ended if not as it must.
    pub(super) fn bury(&mut self) -> Option<String> {
        (self.first, self.service) = (None, None);
        let mut router = self.router.take()?;
        let code = router.run.wait_exit(seconds(5));
        let panicked = !router.run.log.since(0, "panicked at").is_empty();
        let failed = self.ended_by == Some(Signal::SIGTERM) && code != 0;
        (panicked || failed).then(|| format!("host {}: the router ended with {code}", self.host.name))
    }

    /// The process of its router.
    pub(super) fn pid(&self) -> Option<u32> {
        self.router.as_ref().map(|router| router.run.pid())
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(router) = &self.router {
            router.run.signal(signal);
        }
    }

    fn try_ip(&self, arguments: &str) -> bool {
        let netns = self.host.netns();
        let mut command = Command::new("ip");
        command.args(["-n", &netns]).args(arguments.split_whitespace()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// A haproxy that reloads without a gap and answers with the name of its host.
    pub(super) fn start_service(&mut self) {
        let Some(router) = &self.router else { return };
        let name = &self.host.name;
        let conf = self.host.file("haproxy.cfg");
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode http\n timeout connect 1s\n timeout client 2s\n timeout server 2s\n\
             frontend web\n bind :::{PORT} v4v6\n http-request return status 200 content-type text/plain string \"{name}\"\n"
        );
        fs::write(&conf, text).expect("a temporary file can be written");
        let args: [OsString; 3] = ["-W".into(), "-f".into(), conf.into_os_string()];
        let haproxy = Path::new("/usr/sbin/haproxy");
        let run = Running::start(&self.host, Launch::Joining(&router.run), haproxy, &args, &[]);
        run.pid();
        self.service = Some(run);
    }

    /// Kills the master process and its workers.
    pub(super) fn kill_service(&mut self) {
        let Some(run) = self.service.take() else { return };
        let pid = run.pid();
        for pid in children_of(pid).into_iter().chain([pid]) {
            let _ = kill(to_pid(pid), Signal::SIGKILL);
        }
    }

    pub(super) fn reload_service(&self) {
        if let Some(run) = &self.service {
            run.signal(Signal::SIGUSR2);
        }
    }

    pub(super) fn check(&mut self, vips: &[IpAddr]) -> Option<String> {
        let router = self.router.as_mut()?;
        if !router.run.is_running() {
            return Some("the router has exited".into());
        }
        if self.program == Program::Keepalived {
            return None;
        }
        if !router.run.log.since(0, "panicked at").is_empty() {
            return Some("it panicked".into());
        }
        let descriptors = fs::read_dir(format!("/proc/{}/fd", router.run.pid())).map_or(0, Iterator::count);
        let memory = router.run.status("RssAnon");
        let memory = memory.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
        let (first, memory_then) = *self.first.get_or_insert((descriptors, memory));
        if descriptors > first + SPARE_DESCRIPTORS || memory > memory_then + SPARE_MEMORY {
            return Some(format!(
                "{descriptors} descriptors and {memory} kB of memory, {first} and {memory_then} kB before"
            ));
        }
        disagreement(router, vips)
    }
}

/// In what `status --json` and the kernel disagree.
fn disagreement(router: &Router, vips: &[IpAddr]) -> Option<String> {
    let (code, text) = query::command(router, &["status", "--json"]);
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&text) else {
        return Some(format!("status --json exits with {code}: {text}"));
    };
    for (vip, router_status) in vips.iter().zip(status["routers"].as_array()?) {
        let holds = router.host.holds(*vip);
        let address = &router_status["addresses"][0];
        let agrees = address["address"] == vip.to_string()
            && (router_status["state"] == "MASTER") == holds
            && address["wanted"] == holds
            && address["present"] == holds;
        if !agrees {
            return Some(format!("the kernel has {vip}: {holds}, but its status is {router_status}"));
        }
    }
    let healthy = status["health"]["healthy"] == true;
    (!healthy).then(|| format!("its health is {}", status["health"]))
}

/// The prefix length of an address alone.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Gives a host its settings and, with IPv6, its address.
pub(super) fn prepare(host: &Host, configuration: &Configuration, number: u8) {
    let set = |file: &str, value: &str| {
        host.inside(|| fs::write(format!("/proc/sys/net/{file}"), value).expect("the host's own setting"));
    };
    // Otherwise a host that has lost the address passes on what still comes to it, and no client notices.
    set("ipv4/ip_forward", "0");
    if !configuration.v6 {
        return;
    }
    // A link that comes up is usable at once.
    set("ipv6/conf/enp0s3/accept_dad", "0");
    set("ipv6/conf/enp0s3/dad_transmits", "0");
    host.ip(&format!("-6 address add fd00::{number}/64 dev enp0s3 nodad"));
    wait_until("the link-local address is no longer tentative", seconds(10), || {
        let text = host.ip("-o -6 address show dev enp0s3 scope link");
        text.contains("fe80::") && !text.contains("tentative")
    });
}

fn drain_file(host: &Host) -> PathBuf {
    host.file("drain")
}

/// The file of variables.
fn settings(host: &Host) -> PathBuf {
    host.file("settings")
}

fn node(configuration: &Configuration, host: &Host, priority: u8) -> Node {
    let fast = configuration.advert_ms < 1_000;
    let check = Check::each_second("haproxy", WEIGHT.into());
    let advert_int = if fast { "0.1" } else { "1" };
    let node = Node { advert_int, check: Some(check), ..Node::plain(priority) };
    fs::write(settings(host), "").expect("a temporary file can be written");
    let node = node.with("DRAIN_FILE", drain_file(host)).with("ENV_FILE", settings(host));
    let mut node = query::with_metrics(node.with("LOG_LEVEL", "info"));
    if fast {
        node = node.with("CHECK_INTERVAL", "0.2");
    }
    if configuration.v6 {
        node = node.with("VIP", format!("{} {VIP_V6}", Node::VIP));
    }
    node
}
