//! What a settled master costs while nothing happens, and how fast a router starts and stops.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::Plan;
use crate::figures::{Spread, decimal, table, time};
use crate::pair::SEED;
use crate::report;
use crate::support::lab::{Host, Lab, to_pid};
use crate::support::process::Running;
use crate::support::router::{KEEPALIVED, Kind, OURS, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds};

const KINDS: [Kind; 2] = [Kind::Ours, Kind::Keepalived];

pub(crate) fn run(plan: &Plan) {
    let duration = if plan.quick { seconds(10) } else { seconds(60) };
    let starts = if plan.quick { [5, 2] } else { [30, 10] };
    let idle = idle(duration);
    let started = [0, 1].map(|n| starts_and_stops(KINDS[n], starts[n]));
    let row = |name: &str, cell: &dyn Fn(usize) -> String, goal: &str| {
        vec![name.to_owned(), cell(0), cell(1), goal.to_owned()]
    };
    let met = |met: bool, goal: &str| format!("{goal}: {}", if met { "met" } else { "**missed**" });
    let size = [OURS, KEEPALIVED].map(|path| fs::metadata(path).map_or(0, |m| m.len()));
    let wakes = u128::from(idle[0].switches) * 1_000 <= 5 * idle[0].over.as_millis();
    let rows = [
        row(
            "CPU time over 60 s",
            &|n| time(idle[n].cpu_per_minute()),
            &met(idle[0].cpu <= idle[1].cpu, "not above keepalived's"),
        ),
        row("wake-ups per second", &|n| idle[n].wakes(), &met(wakes, "at most 5")),
        row(
            "memory (PSS)",
            &|n| format!("{} KB", idle[n].pss_kb),
            &met(idle[0].pss_kb <= 1_024, "at most 1 MB"),
        ),
        row("processes", &|n| idle[n].processes.to_string(), ""),
        row(
            "exec to sockets open",
            &|n| started[n].0.text(),
            &met(started[0].0.most <= millis(50), "at most 50 ms"),
        ),
        row("SIGTERM to exit, as backup", &|n| started[n].1.text(), ""),
        row("binary, cargo build --release", &|n| format!("{} KB", size[n] / 1_000), ""),
        row("shared libraries", &|n| format!("{} KB", idle[n].libraries / 1_000), ""),
    ];
    let text = table(&["figure", "vrrp-init", "keepalived", "goal"], &rows);
    let text = format!(
        "{text}\nA pair of vrrp-init, with and without what notices a crash:\n\n{}",
        crash_cover(duration)
    );
    println!("{text}");
    report::write(plan, "idle", &text);
}

/// What a settled master used.
struct Idle {
    over: Duration,
    cpu: Duration,
    switches: u64,
    pss_kb: u64,
    processes: usize,
    /// Octets of the shared libraries that it maps.
    libraries: u64,
}

impl Idle {
    fn cpu_per_minute(&self) -> Duration {
        let micros = self.cpu.as_micros() * 60_000 / self.over.as_millis();
        Duration::from_micros(u64::try_from(micros).expect("below a minute for each core"))
    }

    fn wakes(&self) -> String {
        decimal(u128::from(self.switches) * 1_000, self.over.as_millis())
    }
}

/// Measures both programs at the same time, each alone in its network, as a master with haproxy.
fn idle(duration: Duration) -> [Idle; 2] {
    let labs = [Lab::new(), Lab::new()];
    let hosts = labs.each_ref().map(|lab| lab.host("a", 1));
    let routers = [0, 1].map(|n| Router::in_container(KINDS[n], &hosts[n], &SEED.node(0)));
    let _web = [0, 1].map(|n| Haproxy::start(&hosts[n], &routers[n].run));
    for router in &routers {
        router.wait_master(0, seconds(10));
    }
    // A new master's announcements end after 5 s, keepalived's a little later.
    std::thread::sleep(seconds(8));
    let groups = routers.each_ref().map(|router| Group::of(&router.run.pids()));
    let before = routers.each_ref().map(|router| switches(&router.run.pids()));
    let cpu = groups.each_ref().map(Group::cpu);
    let start = Instant::now();
    std::thread::sleep(duration);
    let over = start.elapsed();
    [0, 1].map(|n| {
        let pids = routers[n].run.pids();
        Idle {
            over,
            cpu: groups[n].cpu().saturating_sub(cpu[n]),
            switches: increase(&before[n], &switches(&pids)),
            pss_kb: pids.iter().map(|pid| pss_kb(*pid)).sum(),
            processes: pids.len(),
            libraries: libraries(&pids),
        }
    })
}

/// What the lifeline and the guard cost a settled pair.
fn crash_cover(duration: Duration) -> String {
    const VARIANTS: [(&str, &str, &str); 3] = [
        ("LIFELINE=false", "LIFELINE", "false"),
        ("ADDRESS_GUARD=off", "ADDRESS_GUARD", "off"),
        ("lifeline and guard, the default", "LIFELINE", "true"),
    ];
    let labs = VARIANTS.each_ref().map(|_| Lab::new());
    let start = |lab: &Lab, (_, name, value): (&str, &str, &str)| {
        [0, 1].map(|n| {
            let host = lab.host(["a", "b"][n], if n == 0 { 1 } else { 2 });
            Router::in_container(Kind::Ours, &host, &SEED.node(n).with(name, value))
        })
    };
    let pairs = [0, 1, 2].map(|n: usize| start(&labs[n], VARIANTS[n]));
    // A new master's announcements end after 5 s, and it is one after 4.
    std::thread::sleep(seconds(10));
    let routers: Vec<&Router> = pairs.iter().flatten().collect();
    let groups: Vec<_> = routers.iter().map(|router| Group::of(&router.run.pids())).collect();
    let cpu = || groups.iter().map(Group::cpu).collect::<Vec<_>>();
    let count = || routers.iter().map(|router| switches(&router.run.pids())).collect::<Vec<_>>();
    let (cpu_before, before, start) = (cpu(), count(), Instant::now());
    std::thread::sleep(duration);
    let (cpu_after, after, over) = (cpu(), count(), start.elapsed());
    let memory: Vec<u64> = routers.iter().map(|router| rss_kb(&router.run)).collect();
    let idle = |n: usize| Idle {
        over,
        cpu: cpu_after[n].saturating_sub(cpu_before[n]),
        switches: increase(&before[n], &after[n]),
        pss_kb: 0,
        processes: 1,
        libraries: 0,
    };
    let more = |n: usize| {
        (idle(n).switches.saturating_sub(idle(n - 4).switches), memory[n].saturating_sub(memory[n - 4]))
    };
    let met = [4, 5]
        .map(more)
        .iter()
        .all(|(wakes, kb)| u128::from(*wakes) * 1_000 <= over.as_millis() && *kb <= 64);
    let row = |(variant, (name, ..)): (usize, &(&str, &str, &str))| {
        let mut row = vec![(*name).to_owned()];
        for n in [2 * variant, 2 * variant + 1] {
            let idle = idle(n);
            row.extend([idle.wakes(), time(idle.cpu_per_minute()), format!("{} KB", memory[n])]);
        }
        let goal = "at most 1 wake-up per second and 64 KB more than without";
        let verdict = format!("{goal}: {}", if met { "met" } else { "**missed**" });
        row.push(if variant == 2 { verdict } else { String::new() });
        row
    };
    let rows: Vec<_> = VARIANTS.iter().enumerate().map(row).collect();
    let head = ["", "master: wake-ups per second", "CPU time over 60 s", "memory (RSS)"];
    let head =
        head.into_iter().chain(["backup: wake-ups per second", "CPU time over 60 s", "memory (RSS)", "goal"]);
    table(&head.collect::<Vec<_>>(), &rows)
}

fn rss_kb(run: &Running) -> u64 {
    let text = run.status("VmRSS");
    text.split_whitespace().next().and_then(|kb| kb.parse().ok()).expect("a number")
}

/// A control group of the unified hierarchy: it counts the CPU time of short-lived processes too.
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    pub(crate) fn of(pids: &[u32]) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
        let unified = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|words| words[2] == "cgroup2");
        let unified = unified.expect("cgroup2 is mounted")[1].to_owned();
        let path = Path::new(&unified).join(format!("vrrp-init-bench-{}", pids[0]));
        fs::create_dir(&path).expect("root may make a control group");
        for pid in pids {
            // A short-lived check may have ended.
            let _ = fs::write(path.join("cgroup.procs"), pid.to_string());
        }
        Self { path }
    }

    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).expect("each group has it");
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
        Duration::from_micros(usage.expect("the first line of cpu.stat"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only an empty group can be removed: the processes go to the parent.
        for pid in fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(self.path.with_file_name("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Context switches of each thread so far. Each one, voluntary or not, is followed by a wake-up.
fn switches(pids: &[u32]) -> BTreeMap<PathBuf, u64> {
    let tasks =
        pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten());
    let count = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let of = |line: &str| line.split_once("_ctxt_switches:")?.1.trim().parse::<u64>().ok();
        Some((task.path(), status.lines().filter_map(of).sum()))
    };
    tasks.filter_map(count).collect()
}

/// Of the threads that existed before and after.
fn increase(before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>) -> u64 {
    after.iter().filter_map(|(task, count)| Some(count - before.get(task)?)).sum()
}

pub(crate) fn pss_kb(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss =
        rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok());
    pss.unwrap_or_default()
}

fn libraries(pids: &[u32]) -> u64 {
    let maps = pids.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default());
    let maps: String = maps.collect();
    let mut files: Vec<_> = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    files.retain(|file| file.contains(".so"));
    files.sort_unstable();
    files.dedup();
    files.into_iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
}

/// From exec to the VRRP socket in the kernel's table, and from SIGTERM to exit while still a backup.
fn starts_and_stops(kind: Kind, times: usize) -> (Spread<Duration>, Spread<Duration>) {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let (opened, stopped): (Vec<_>, Vec<_>) = (0..times).map(|_| start_and_stop(kind, &host)).unzip();
    (Spread::of(opened).expect("at least one start"), Spread::of(stopped).expect("at least one start"))
}

/// Started directly, without the wrappers that make a container: this measures the program alone.
fn start_and_stop(kind: Kind, host: &Host) -> (Duration, Duration) {
    let node = SEED.node(0);
    let mut command;
    if kind == Kind::Keepalived {
        let run = host.kept_run();
        command = Command::new(KEEPALIVED);
        command.args(["-n", "-l", "-G", "-p"]).arg(run.join("k.pid")).arg("-r").arg(run.join("kv.pid"));
        command.arg("-f").arg(node.keepalived_file(host));
    } else {
        command = Command::new(OURS);
        command.env_clear().envs(node.environment(host));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    host.inside(|| {
        let start = Instant::now();
        let mut child = command.spawn().expect("setup installs the program");
        let table = format!("/proc/{}/net/raw", child.id());
        let is_open = || fs::read_to_string(&table).is_ok_and(|text| text.contains(":0070 "));
        spin_until("a raw socket of protocol 112", is_open, &mut child);
        let opened = start.elapsed();
        // Let it enter BACKUP, then stop.
        std::thread::sleep(millis(500));
        let stopped = Instant::now();
        kill(to_pid(child.id()), Signal::SIGTERM).expect("the child is running");
        let status = child.wait().expect("the child is ours");
        assert!(status.success(), "{kind:?} ended with {status}");
        (opened, stopped.elapsed())
    })
}

fn spin_until(what: &str, condition: impl Fn() -> bool, child: &mut Child) {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > seconds(5) {
            let _ = child.kill();
            panic!("not within 5 s: {what}");
        }
        std::thread::yield_now();
    }
}
