//! `vrrp-init hold` as PID 1 of the namespace that our daemon and others join, without variables and capabilities.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::pid1::{HARMLESS, orphans, script, state_of};
use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running, children_of};
use crate::support::router::{Node, OURS, Router};
use crate::support::sampler::Sampler;
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

/// Longer than a stop takes when no other process is left, on a busy machine.
const AT_ONCE: Duration = seconds(2);

fn hold(host: &Host) -> Running {
    let run = Running::start(host, Launch::Without("all"), Path::new(OURS), &["hold"], &[]);
    run.log.wait_for("Holding this process namespace", seconds(2));
    run
}

/// A shell in the namespace, the first process of another container.
fn guest(host: &Host, init: &Running, text: &str) -> Running {
    Running::start(host, Launch::Joining(init), Path::new("/bin/dash"), &["-c", text], &[])
}

#[test]
fn it_reaps_a_thousand_orphans_without_any_capability() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let init = hold(&host);
    assert_eq!((init.own_pid(), init.status("CapEff").as_str()), (1, "0000000000000000"));
    script(&host, &init, &orphans(1000, "0.01"));
    wait_until("nothing is left of them", seconds(5), || children_of(init.pid()).is_empty());
    // Many at the same instant: their signals coalesce.
    script(&host, &init, &orphans(200, "600"));
    wait_until("PID 1 has adopted them", seconds(5), || children_of(init.pid()).len() == 200);
    script(&host, &init, "kill -9 -1");
    wait_until("nothing is left of them either", seconds(5), || children_of(init.pid()).is_empty());
}

/// Sends it every signal that it must ignore, then `stop`.
fn survives_then_stops(mut run: Running, stop: Signal, ignored: &[Signal]) {
    for signal in ignored {
        run.signal(*signal);
        std::thread::sleep(millis(50));
        assert!(run.is_running(), "{signal} ended it");
        assert_ne!(state_of(run.pid()), Some('T'), "{signal} stopped it");
    }
    run.signal(stop);
    assert_eq!(run.wait_exit(AT_ONCE), 0, "exit code after {stop}");
    let output = run.log.whole(seconds(1));
    assert!(output.ends_with(&format!("\nStopped by {stop}")) && output.lines().count() == 2, "{output}");
}

#[test]
fn as_pid_1_only_a_signal_to_stop_ends_it() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for stop in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        survives_then_stops(hold(&host), stop, &HARMLESS);
    }
}

#[test]
fn elsewhere_it_prints_that_it_holds_nothing_and_waits_for_no_other_process() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let run = Running::start(&host, Launch::NotPidOne, Path::new(OURS), &["hold"], &[]);
    run.log.wait_for("Not PID 1 … holds no process namespace", seconds(2));
    survives_then_stops(run, Signal::SIGTERM, &[Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD]);

    let init = hold(&host);
    let run = Running::start(&host, Launch::Joining(&init), Path::new(OURS), &["hold"], &[]);
    run.log.wait_for("Not PID 1 … holds no process namespace", seconds(2));
    survives_then_stops(run, Signal::SIGINT, &[]);
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut run = Running::start(&host, Launch::PidOne, Path::new(OURS), &["hold", "haproxy"], &[]);
    assert_eq!(run.wait_exit(seconds(2)), 64);
}

/// A master in the namespace of `hold`, and a backup on another host.
struct Holder {
    init: Running,
    master: Router,
    hosts: [Host; 2],
    _backup: Router,
    _lab: Lab,
}

impl Holder {
    fn new() -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        let init = hold(&hosts[0]);
        let master = Router::ours(&hosts[0], &Node::plain(200), Launch::Joining(&init));
        master.wait_master(0, seconds(8));
        let backup = Router::ours(&hosts[1], &Node::plain(100), Launch::PidOne);
        backup.wait_backup(0, seconds(3));
        backup.run.log.wait_for("10.77.0.1 (priority 200)", seconds(3));
        Self { init, master, hosts, _backup: backup, _lab: lab }
    }
}

/// As an engine does that shuts down with its host.
#[test]
fn stopped_together_with_a_master_it_leaves_it_the_time_to_hand_over() {
    let mut holder = Holder::new();
    let [a, b] = &holder.hosts;
    let sampler = Sampler::start(&[a, b], Node::VIP);
    holder.init.signal(Signal::SIGTERM);
    holder.master.run.signal(Signal::SIGTERM);
    assert_eq!(holder.master.run.wait_exit(seconds(2)), 0, "it was not killed");
    assert_eq!(holder.init.wait_exit(AT_ONCE), 0);
    let seen = sampler.finish();
    assert_eq!(seen.none, Duration::ZERO, "one of the hosts had the address at all times: {seen:?}");
    assert_eq!(seen.history.last().unwrap().1, [false, true]);
}

#[test]
fn stopped_alone_it_asks_a_master_to_hand_over_before_it_ends() {
    let mut holder = Holder::new();
    let [a, b] = &holder.hosts;
    let sampler = Sampler::start(&[a, b], Node::VIP);
    let stopped = Instant::now();
    holder.init.signal(Signal::SIGTERM);
    assert_eq!(holder.master.run.wait_exit(seconds(8)), 0, "it was not killed");
    assert!(stopped.elapsed() > seconds(4), "another container may need its time");
    assert_eq!(holder.init.wait_exit(AT_ONCE), 0);
    let seen = sampler.finish();
    assert_eq!(seen.none, Duration::ZERO, "one of the hosts had the address at all times: {seen:?}");
    assert_eq!(seen.history.last().unwrap().1, [false, true]);
}

const DEAF: &str = "trap '' TERM; echo deaf; while :; do sleep 60; done";

#[test]
fn a_process_that_ignores_sigterm_delays_its_end_for_less_than_ten_seconds() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut init = hold(&host);
    let mut deaf = guest(&host, &init, DEAF);
    deaf.log.wait_for("deaf", seconds(2));
    let stopped = Instant::now();
    init.signal(Signal::SIGTERM);
    assert_eq!(init.wait_exit(seconds(10)), 0, "before Docker's SIGKILL after 10 s");
    assert!(stopped.elapsed() > seconds(7), "it waited");
    init.log.wait_for("Stopped by SIGTERM; the processes left in this namespace end as well", seconds(1));
    assert_eq!(deaf.wait_exit(seconds(2)), 128 + 9, "the kernel killed it with PID 1");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut init = hold(&host);
    let deaf = guest(&host, &init, DEAF);
    deaf.log.wait_for("deaf", seconds(2));
    init.signal(Signal::SIGTERM);
    std::thread::sleep(millis(200));
    assert!(init.is_running());
    init.signal(Signal::SIGINT);
    assert_eq!(init.wait_exit(AT_ONCE), 0);
}

/// While it waits for others, it still is the parent of orphans.
#[test]
fn it_reaps_while_it_stops() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut init = hold(&host);
    let text = "echo here; sleep 0.5; i=0; while [ $i -lt 300 ]; do (setsid sleep 0.01 &); i=$((i+1)); done; echo done; sleep 1";
    let mut busy = guest(&host, &init, text);
    busy.log.wait_for("here", seconds(2));
    init.signal(Signal::SIGTERM);
    busy.log.wait_for("done", seconds(4));
    assert_eq!(busy.wait_exit(seconds(4)), 0);
    assert_eq!(init.wait_exit(AT_ONCE), 0, "no zombie keeps it");
    assert!(init.log.whole(seconds(1)).ends_with("\nStopped by SIGTERM"));
}
