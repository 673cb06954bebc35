//! The hosts: runs their routers and services, and does to them what the schedule says.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::faults::{Act, Configuration, World};
use super::site::{NAMES, Site, VIP_V6, prepare};
use crate::support::lab::{Host, Lab};
use crate::support::router::Node;
use crate::support::wire::Message;
use crate::support::{frame, seconds};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

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
        let programs = configuration.programs.iter().zip(1..);
        let sites =
            programs.map(|(program, number)| Site::new(&lab, &configuration, *program, number)).collect();
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

    /// The process of each host's router, if it runs.
    pub(crate) fn pids(&self) -> Vec<Option<u32>> {
        self.sites.iter().map(Site::pid).collect()
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
            Act::Drain(h) => self.sites[h].drain(),
            Act::Undrain(h) => self.sites[h].undrain(),
            Act::LowerPriority(h) => self.sites[h].lower_priority(),
            Act::RestorePriority(h) => self.sites[h].restore_priority(),
            Act::Unplug(h) => self.sites[h].host.pull_cable(),
            Act::PlugIn(h) => self.sites[h].host.plug_cable(),
            Act::LinkDown(h) => _ = self.sites[h].host.ip("link set enp0s3 down"),
            Act::LinkUp(h) => self.sites[h].link_up(),
            Act::Cut(..) | Act::Heal(..) | Act::Lose(..) | Act::EndLoss(_) => self.filter(),
            Act::DeleteVip(h) => self.sites[h].delete_vips(&self.vips()),
            Act::ChangePrefix(h) => self.sites[h].change_prefix(),
            Act::RestorePrefix(h) => self.sites[h].restore_prefix(),
            Act::ShortenVip(h) => self.sites[h].shorten_vips(&self.vips()),
            Act::DeleteOwnAddress(h) => self.sites[h].delete_own_address(),
            Act::RestoreOwnAddress(h) => self.sites[h].restore_own_address(),
            Act::KillService(h) => self.sites[h].kill_service(),
            Act::StartService(h) => self.sites[h].start_service(),
            Act::ReloadService(h) => self.sites[h].reload_service(),
            Act::Flood(one, other) => self.start_flood([one, other]),
            Act::EndFlood => self.flood.take().into_iter().for_each(|thread| _ = thread.join()),
            Act::Hog(count) => self.hogs.extend((0..count).map(|_| Hog::start())),
            Act::EndHog => self.hogs.clear(),
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

impl Hog {
    fn start() -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"]);
        Self(command.spawn().expect("setpriv runs"))
    }
}
