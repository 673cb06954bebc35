//! Many virtual routers in one process on each of two hosts: their cost while nothing happens, and the time until all
//! have moved. Knows one generated configuration, in the format of either program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::Plan;
use crate::figures::{table, time};
use crate::idle::{Group, pss_kb};
use crate::report;
use crate::support::lab::{Host, Lab, lock};
use crate::support::many::{Many, One};
use crate::support::process::{Launch, Running};
use crate::support::router::{KEEPALIVED, OURS};
use crate::support::{millis, seconds};

/// The number of virtual routers, and their advertisement interval: VRRPv3 if it is below a second.
struct Size {
    routers: Many,
    advert_int: &'static str,
    every: Duration,
}

const SIZES: [Size; 4] = [
    Size { routers: Many(1), advert_int: "1", every: seconds(1) },
    Size { routers: Many(200), advert_int: "1", every: seconds(1) },
    Size { routers: Many(1_000), advert_int: "1", every: seconds(1) },
    Size { routers: Many(20), advert_int: "0.01", every: millis(10) },
];

/// Longest time for a program to become master of all, or to hand over all.
const LIMIT: Duration = seconds(60);
/// Until the announcements of a new master have ended.
const SETTLE: Duration = seconds(8);

impl Size {
    fn name(&self) -> String {
        format!("{} at {}", self.routers.0, time(self.every))
    }

    fn keepalived_conf(&self, priority: u8) -> String {
        let version = if self.every < seconds(1) { 3 } else { 2 };
        let mut text = String::from("global_defs {\n}\n");
        let advert_int = self.advert_int;
        for One { number, interface, vrid, vip } in self.routers.each() {
            let _ = write!(
                text,
                "vrrp_instance VI_{number} {{\n interface {interface}\n version {version}\n state BACKUP\n \
                 virtual_router_id {vrid}\n priority {priority}\n advert_int {advert_int}\n \
                 virtual_ipaddress {{\n  {vip}\n }}\n}}\n"
            );
        }
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Ours,
    OursWithoutLease,
    Keepalived,
}

impl Program {
    const ALL: [Self; 3] = [Self::Ours, Self::OursWithoutLease, Self::Keepalived];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "vrrp-init",
            Self::OursWithoutLease => "vrrp-init, VIP_LEASE=0",
            Self::Keepalived => "keepalived",
        }
    }

    fn start(self, host: &Host, size: &Size, priority: u8) -> Running {
        if self == Self::Keepalived {
            let file = host.file("keepalived.conf");
            fs::write(&file, size.keepalived_conf(priority)).expect("a temporary file can be written");
            let args: Vec<OsString> = ["-n", "-l", "-G", "-f"].map(Into::into).into();
            let args: Vec<OsString> = args.into_iter().chain([file.into_os_string()]).collect();
            return Running::start(host, Launch::Container, Path::new(KEEPALIVED), &args, &[]);
        }
        let mut env = size.routers.environment(priority);
        env.push(("ADVERT_INT".into(), size.advert_int.into()));
        if self == Self::OursWithoutLease {
            env.push(("VIP_LEASE".into(), "0".into()));
        }
        Running::start::<&str>(host, Launch::Container, Path::new(OURS), &[], &env)
    }
}

/// The cost of one program at one size. An `Option` is `None` if it did not happen within [`LIMIT`].
struct Figures {
    program: Program,
    /// Of master and backup, over `quiet`.
    cpu: [Duration; 2],
    quiet: Duration,
    pss_kb: [u64; 2],
    started: Option<Duration>,
    moved: Option<Duration>,
    changes: usize,
}

impl Figures {
    fn cpu_percent(&self, side: usize) -> String {
        let thousandths = self.cpu[side].as_nanos() * 100_000 / self.quiet.as_nanos();
        format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    fn row(&self, size: &Size) -> Vec<String> {
        let took = |time_taken: Option<Duration>| {
            time_taken.map_or_else(|| format!("not within {}", time(LIMIT)), time)
        };
        vec![
            size.name(),
            self.program.name().to_owned(),
            format!("{} %", self.cpu_percent(0)),
            format!("{} %", self.cpu_percent(1)),
            self.pss_kb[0].to_string(),
            self.pss_kb[1].to_string(),
            took(self.started),
            took(self.moved),
            self.changes.to_string(),
        ]
    }
}

pub(crate) fn run(plan: &Plan) {
    let quiet = if plan.quick { seconds(5) } else { seconds(30) };
    let (mut rows, mut goals) = (vec![], vec![]);
    for size in &SIZES {
        let figures = measure(size, quiet);
        rows.extend(figures.iter().map(|figures| figures.row(size)));
        goals.extend(judge(size, &figures));
    }
    let head = [
        "routers",
        "program",
        "CPU of the master",
        "CPU of the backup",
        "PSS of the master, KB",
        "PSS of the backup, KB",
        "start until all have a master",
        "SIGTERM until all have moved",
        "state changes while idle",
    ];
    let text = format!("{}\nGoals:\n\n{}", table(&head, &rows), table(&["goal", "measured", ""], &goals));
    println!("{text}");
    report::write(plan, "scale", &text);
}

fn judge(size: &Size, [ours, _, keepalived]: &[Figures; 3]) -> Vec<Vec<String>> {
    let name = size.name();
    let goal = |what: String, measured: String, met: bool| {
        vec![format!("{name}: {what}"), measured, if met { "met" } else { "**missed**" }.to_owned()]
    };
    let mut goals = vec![];
    for (side, role) in ["master", "backup"].into_iter().enumerate() {
        goals.push(goal(
            format!("at most half of keepalived's CPU, {role}"),
            format!("{} % against {} %", ours.cpu_percent(side), keepalived.cpu_percent(side)),
            ours.cpu[side] * 2 <= keepalived.cpu[side],
        ));
        goals.push(goal(
            format!("at most a third of its memory, {role}"),
            format!("{} KB against {} KB", ours.pss_kb[side], keepalived.pss_kb[side]),
            ours.pss_kb[side] * 3 <= keepalived.pss_kb[side],
        ));
    }
    let all_within = millis(1_200);
    goals.push(goal(
        format!("all moved within {} of SIGTERM", time(all_within)),
        ours.moved.map_or_else(|| "never".to_owned(), time),
        ours.moved.is_some_and(|moved| moved <= all_within),
    ));
    goals.push(goal("no state change".to_owned(), ours.changes.to_string(), ours.changes == 0));
    goals
}

/// Measures all programs at the same time, each between two hosts of its own; they start and stop in turn.
fn measure(size: &Size, quiet: Duration) -> [Figures; 3] {
    eprintln!("bench: {}", size.name());
    let teams = Program::ALL.map(|program| Team::start(program, size));
    std::thread::sleep(SETTLE);
    let marks = teams.each_ref().map(|team| team.runs.each_ref().map(|run| run.log.mark()));
    let groups = teams.each_ref().map(|team| team.runs.each_ref().map(|run| Group::of(&run.pids())));
    let cpu = || groups.each_ref().map(|pair| pair.each_ref().map(Group::cpu));
    let (before, start) = (cpu(), Instant::now());
    std::thread::sleep(quiet);
    let (after, quiet) = (cpu(), start.elapsed());
    // While all run: memory that the two hosts of a program share counts half for each.
    let pss = |run: &Running| run.pids().into_iter().map(pss_kb).sum::<u64>();
    let pss = teams.each_ref().map(|team| team.runs.each_ref().map(pss));
    let mut n = 0..;
    teams.map(|team| {
        let n = n.next().expect("three teams");
        let changes = team.runs.iter().zip(marks[n]).map(|(run, mark)| run.log.since(mark, "Entering").len());
        Figures {
            program: team.program,
            cpu: [0, 1].map(|side: usize| after[n][side].saturating_sub(before[n][side])),
            quiet,
            pss_kb: pss[n],
            started: team.started,
            changes: changes.sum(),
            moved: team.stop_master(size),
        }
    })
}

/// One program on two hosts; `a` has the higher priority.
struct Team {
    program: Program,
    runs: [Running; 2],
    hosts: [Host; 2],
    started: Option<Duration>,
    /// Last, because the others live in it.
    _lab: Lab,
}

impl Team {
    /// Waits until `a` is master of all.
    fn start(program: Program, size: &Size) -> Self {
        let lab = Lab::new();
        let hosts = size.routers.hosts(&lab);
        let listener = Listener::start(&hosts[1], size.routers, 1);
        let start = Instant::now();
        let a = program.start(&hosts[0], size, 200);
        std::thread::sleep(millis(500));
        let b = program.start(&hosts[1], size, 100);
        let started = listener.all_heard(size.routers.0).map(|at| at - start);
        Self { program, runs: [a, b], hosts, started, _lab: lab }
    }

    /// The time from SIGTERM to `a` until `b` has advertised every router; `b` then holds all addresses.
    fn stop_master(mut self, size: &Size) -> Option<Duration> {
        let listener = Listener::start(&self.hosts[0], size.routers, 2);
        let start = Instant::now();
        self.runs[0].signal(Signal::SIGTERM);
        let moved = listener.all_heard(size.routers.0).map(|at| at - start);
        self.runs[0].wait_exit(LIMIT);
        let held = self.hosts.each_ref().map(|host| size.routers.held(host));
        assert!(moved.is_none() || held == [0, size.routers.0], "{:?}: {held:?} held", self.program);
        moved
    }
}

/// Receives adverts in the network of a host until it is dropped.
struct Listener {
    heard: Arc<Heard>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    /// The first advert of each source address and VRID.
    first: Mutex<BTreeMap<(Ipv4Addr, u8), Instant>>,
    ended: AtomicBool,
}

impl Listener {
    /// Listens for adverts of the host whose addresses end in `sender`.
    fn start(host: &Host, routers: Many, sender: u8) -> Self {
        let heard = Arc::new(Heard::default());
        let socket = host.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW.cloexec(), Some(Protocol::from(112)))?;
            for interface in routers.interfaces() {
                let index = if_nametoindex(interface.as_str())?;
                let group = Ipv4Addr::new(224, 0, 0, 18);
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
            }
            setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20))?;
            socket.set_read_timeout(Some(millis(100)))?;
            Ok::<_, std::io::Error>(socket)
        });
        let socket = socket.expect("root may open a raw socket");
        let of_thread = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 256];
            while !of_thread.ended.load(Relaxed) {
                let Ok(length) = (&socket).read(&mut packet) else { continue };
                let at = Instant::now();
                // A raw socket delivers the IP header too.
                let [.., a, b, c, d] = packet[..16] else { continue };
                let (source, vrid, priority) = (Ipv4Addr::new(a, b, c, d), packet[21], packet[22]);
                if length > 22 && d == sender && priority > 0 {
                    lock(&of_thread.first).entry((source, vrid)).or_insert(at);
                }
            }
        });
        Self { heard, thread: Some(thread) }
    }

    /// When the last of `count` virtual routers was first advertised.
    fn all_heard(&self, count: usize) -> Option<Instant> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let first = lock(&self.heard.first);
            if first.len() >= count {
                return first.values().max().copied();
            }
            drop(first);
            std::thread::sleep(millis(10));
        }
        None
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.heard.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
