//! The hosts: runs their routers and services, and does to them what the schedule says.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::faults::{Act, Configuration, PRIORITIES, Program, WEIGHT, World};
use crate::support::lab::{Host, Lab, to_pid};
use crate::support::process::{Launch, Running, children_of};
use crate::support::query;
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::service::PORT;
use crate::support::wire::Message;
use crate::support::{frame, seconds, wait_until};

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(crate) const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// More descriptors, or kilobytes of memory, than at the first check are a leak.
const SPARE_DESCRIPTORS: usize = 6;
const SPARE_MEMORY: usize = 1_024;

pub(crate) struct Hosts {
    configuration: Configuration,
    sites: Vec<Site>,
    /// What the network does to frames follows from it.
    world: World,
    forger: Host,
    flood: Option<JoinHandle<()>>,
    hogs: Vec<Hog>,
    /// What was wrong with a process.
    pub(crate) faults: Vec<String>,
    pub(crate) clients: [Host; 2],
    /// The last field: when dropped it prints the logs of the others.
    lab: Lab,
}

/// One host with its router and service.
struct Site {
    number: u8,
    host: Host,
    node: Node,
    program: Program,
    router: Option<Router>,
    service: Option<Running>,
    /// The signal that ends the router.
    ended_by: Option<Signal>,
    /// Descriptors and memory of the running process at its first check.
    first: Option<(usize, usize)>,
}

/// A process that never sleeps.
struct Hog(Child);

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hosts {
    pub(crate) fn new(configuration: Configuration) -> Self {
        let lab = Lab::new();
        let sites = configuration.programs.iter().zip(1..).map(|(program, number)| {
            let host = lab.host(NAMES[usize::from(number) - 1], number);
            prepare(&host, &configuration, number);
            Site {
                number,
                node: node(&configuration, PRIORITIES[usize::from(number) - 1]),
                host,
                program: *program,
                router: None,
                service: None,
                ended_by: None,
                first: None,
            }
        });
        let sites = sites.collect();
        let clients = [lab.host("fresh", 250), lab.host("cached", 251)];
        for (client, number) in clients.iter().zip(250..) {
            prepare(client, &configuration, number);
        }
        Self {
            sites,
            world: World::new(configuration),
            forger: lab.host("forger", 252),
            flood: None,
            hogs: vec![],
            faults: vec![],
            clients,
            configuration,
            lab,
        }
    }

    pub(crate) fn vips(&self) -> Vec<IpAddr> {
        let v6 = self.configuration.v6.then_some(IpAddr::V6(VIP_V6));
        [IpAddr::V4(Node::VIP)].into_iter().chain(v6).collect()
    }

    pub(crate) fn routers(&self) -> Vec<Host> {
        self.sites.iter().map(|site| site.host.clone()).collect()
    }

    pub(crate) fn apply(&mut self, act: Act) {
        self.world.apply(Duration::ZERO, act);
        match act {
            Act::Start(h) => {
                let site = &mut self.sites[h];
                self.faults.extend(site.bury());
                site.start();
            }
            Act::Kill(h) => self.sites[h].end_by(Signal::SIGKILL),
            Act::Stop(h) => self.sites[h].end_by(Signal::SIGTERM),
            Act::Pause(h) => self.sites[h].signal(Signal::SIGSTOP),
            Act::Resume(h) => self.sites[h].signal(Signal::SIGCONT),
            Act::Unplug(h) => self.sites[h].host.pull_cable(),
            Act::PlugIn(h) => self.sites[h].host.plug_cable(),
            Act::LinkDown(h) => _ = self.sites[h].host.ip("link set enp0s3 down"),
            Act::LinkUp(h) => {
                let site = &self.sites[h];
                site.host.ip("link set enp0s3 up");
                // The kernel removes the IPv6 addresses of a link that goes down.
                if self.configuration.v6 {
                    site.try_ip(&format!("-6 address add fd00::{}/64 dev enp0s3 nodad", site.number));
                }
            }
            Act::Cut(..) | Act::Heal(..) | Act::Lose(..) | Act::EndLoss(_) => self.filter(),
            Act::DeleteVip(h) => {
                for vip in self.vips() {
                    let prefix = if vip.is_ipv4() { 32 } else { 128 };
                    self.sites[h].try_ip(&format!("address del {vip}/{prefix} dev enp0s3"));
                }
            }
            Act::ChangePrefix(h) => {
                let vip = Node::VIP;
                if self.sites[h].try_ip(&format!("address del {vip}/32 dev enp0s3")) {
                    self.sites[h].try_ip(&format!("address add {vip}/24 dev enp0s3"));
                }
            }
            Act::RestorePrefix(h) => {
                self.sites[h].try_ip(&format!("address del {}/24 dev enp0s3", Node::VIP));
            }
            Act::ShortenVip(h) => self.shorten(h),
            Act::DeleteOwnAddress(h) => {
                let own = self.sites[h].host.address;
                self.sites[h].try_ip(&format!("address del {own}/24 dev enp0s3"));
            }
            Act::RestoreOwnAddress(h) => {
                let own = self.sites[h].host.address;
                self.sites[h].try_ip(&format!("address add {own}/24 brd + dev enp0s3"));
            }
            Act::KillService(h) => self.sites[h].kill_service(),
            Act::StartService(h) => self.sites[h].start_service(),
            Act::ReloadService(h) => self.sites[h].reload_service(),
            Act::Flood(one, other) => self.start_flood([one, other]),
            Act::EndFlood => self.flood.take().into_iter().for_each(|thread| _ = thread.join()),
            Act::Hog(count) => self.hogs.extend((0..count).map(|_| Hog::start())),
            Act::EndHog => self.hogs.clear(),
        }
    }

    /// `ip address change` would make an address that is not there.
    fn shorten(&self, h: usize) {
        let site = &self.sites[h];
        for vip in self.vips().into_iter().filter(|vip| site.host.holds(*vip)) {
            let prefix = if vip.is_ipv4() { 32 } else { 128 };
            site.try_ip(&format!("address change {vip}/{prefix} dev enp0s3 valid_lft 1 preferred_lft 0"));
        }
    }

    /// What the switch forwards: follows from the cuts and losses.
    fn filter(&self) {
        let mut rules = String::from(
            "add table bridge chaos\ndelete table bridge chaos\ntable bridge chaos {\n\
             chain forward {\ntype filter hook forward priority 0;\n",
        );
        for (from, to) in &self.world.cuts {
            let _ = writeln!(rules, "iifname p-{} oifname p-{} drop", NAMES[*from], NAMES[*to]);
        }
        for (h, percent) in &self.world.losses {
            for direction in ["iifname", "oifname"] {
                let _ = writeln!(rules, "{direction} p-{} numgen random mod 100 < {percent} drop", NAMES[*h]);
            }
        }
        rules += "}\n}\n";
        let switch = self.lab.switch();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &switch, "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut child = command.spawn().expect("ip runs");
        let mut input = child.stdin.take().expect("stdin is piped");
        std::io::Write::write_all(&mut input, rules.as_bytes()).expect("nft reads its rules");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "nft: {rules}");
    }

    fn start_flood(&mut self, priorities: [u8; 2]) {
        let from = self.forger.address;
        let message = |priority| {
            if self.configuration.advert_ms == 1_000 && !self.configuration.v6 {
                return Message { priority, ..Message::default() }.bytes();
            }
            let interval = u16::try_from(self.configuration.advert_ms / 10).expect("a short interval");
            let message = frame::MessageV3::new(Node::VRID, interval, &[Node::VIP.into()]);
            frame::MessageV3 { priority, ..message }.bytes((from.into(), GROUP.into()))
        };
        let messages = priorities.map(message);
        let forger = self.forger.clone();
        // Ends by itself; `EndFlood` comes at most 2.5 s later.
        let thread = std::thread::spawn(move || _ = forger.flood(&[from], &messages, 1, seconds(1)));
        self.flood = Some(thread);
    }

    /// Asks each daemon of ours for its status and looks at its process.
    pub(crate) fn check(&mut self) {
        let vips = self.vips();
        for (h, name) in NAMES.iter().enumerate().take(self.sites.len()) {
            if self.world.hosts[h].runs() {
                let found = self.sites[h].check(&vips);
                self.faults.extend(found.into_iter().map(|text| format!("host {name}: {text}")));
            }
        }
    }

    /// Prints what was wrong with processes, and all logs with the time since `origin`.
    pub(crate) fn print(&self, origin: Instant) {
        self.faults.iter().for_each(|fault| eprintln!("{fault}"));
        self.lab.print_logs(origin);
    }
}

impl Site {
    fn start(&mut self) {
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

    fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        self.ended_by = Some(signal);
    }

    /// Waits for the end of a killed or stopped router; how it ended if not as it must.
    fn bury(&mut self) -> Option<String> {
        (self.first, self.service) = (None, None);
        let mut router = self.router.take()?;
        let code = router.run.wait_exit(seconds(5));
        let panicked = !router.run.log.since(0, "panicked at").is_empty();
        let failed = self.ended_by == Some(Signal::SIGTERM) && code != 0;
        (panicked || failed).then(|| format!("host {}: the router ended with {code}", self.host.name))
    }

    fn signal(&self, signal: Signal) {
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
    fn start_service(&mut self) {
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
    fn kill_service(&mut self) {
        let Some(run) = self.service.take() else { return };
        let pid = run.pid();
        for pid in children_of(pid).into_iter().chain([pid]) {
            let _ = kill(to_pid(pid), Signal::SIGKILL);
        }
    }

    fn reload_service(&self) {
        if let Some(run) = &self.service {
            run.signal(Signal::SIGUSR2);
        }
    }

    fn check(&mut self, vips: &[IpAddr]) -> Option<String> {
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

impl Hog {
    fn start() -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"]);
        Self(command.spawn().expect("setpriv runs"))
    }
}

fn prepare(host: &Host, configuration: &Configuration, number: u8) {
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

fn node(configuration: &Configuration, priority: u8) -> Node {
    let fast = configuration.advert_ms < 1_000;
    let check = Check::each_second("haproxy", WEIGHT.into());
    let advert_int = if fast { "0.1" } else { "1" };
    let node = Node { advert_int, check: Some(check), ..Node::plain(priority) };
    let mut node = node.with("LOG_LEVEL", "info");
    if fast {
        node = node.with("CHECK_INTERVAL", "0.2");
    }
    if configuration.v6 {
        node = node.with("VIP", format!("{} {VIP_V6}", Node::VIP));
    }
    node
}
