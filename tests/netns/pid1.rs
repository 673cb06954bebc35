//! Our daemon as PID 1 of a PID namespace, and in the namespace of another PID 1: orphans, signals, exit codes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running, children_of};
use crate::support::router::{Check, Kind, Node, OURS, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

/// Runs a shell script to its end in the PID namespace of `init`.
pub(crate) fn script(host: &Host, init: &Running, text: &str) {
    let mut shell = Running::start(host, Launch::Joining(init), Path::new("/bin/dash"), &["-c", text], &[]);
    assert_eq!(shell.wait_exit(seconds(60)), 0, "the script succeeds");
}

/// A script that leaves `count` processes to PID 1, each in its own session, each for `time`.
pub(crate) fn orphans(count: usize, time: &str) -> String {
    format!("i=0; while [ $i -lt {count} ]; do (setsid sleep {time} &); i=$((i+1)); done")
}

pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn idle(host: &Host) -> Running {
    Running::start(host, Launch::PidOne, Path::new("/usr/bin/sleep"), &["600"], &[])
}

/// The control for the next test: without reaping by PID 1, the zombies remain.
#[test]
fn a_pid_1_that_reaps_nothing_keeps_every_orphan_as_a_zombie() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let init = idle(&host);
    script(&host, &init, &orphans(50, "0.01"));
    let zombies = || children_of(init.pid()).into_iter().filter(|pid| state_of(*pid) == Some('Z')).count();
    wait_until("all are zombies", seconds(5), || zombies() == 50);
}

#[test]
fn a_thousand_orphans_are_reaped() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    let init = &router.run;
    // One after the other, while adverts are sent.
    script(&host, init, &orphans(1000, "0.01"));
    wait_until("nothing is left of them", seconds(5), || children_of(init.pid()).is_empty());
    // Many at the same instant: their signals coalesce.
    script(&host, init, &orphans(200, "600"));
    wait_until("PID 1 has adopted them", seconds(5), || children_of(init.pid()).len() == 200);
    script(&host, init, "kill -9 -1");
    wait_until("nothing is left of them either", seconds(5), || children_of(init.pid()).is_empty());
    router.wait_master(0, seconds(8));
}

/// Sends `signals` to a master, which must ignore them, then `stop`, which must end it cleanly.
fn survives_then_stops(router: &mut Router, signals: &[Signal], stop: Signal) {
    router.wait_master(0, seconds(8));
    let mark = router.run.log.mark();
    for signal in signals {
        router.run.signal(*signal);
        std::thread::sleep(millis(150));
        assert!(router.run.is_running(), "{signal} ended it");
        assert_ne!(state_of(router.run.pid()), Some('T'), "{signal} stopped it");
    }
    assert!(router.holds_vip());
    assert_eq!(router.run.log.since(mark, "Entering"), Vec::<String>::new(), "no signal changes the state");
    router.run.signal(stop);
    assert_eq!(router.run.wait_exit(seconds(2)), 0, "exit code after {stop}");
    assert!(!router.holds_vip(), "the address is gone after {stop}");
}

/// All signals that must not end PID 1, whether it handles them or not.
pub(crate) const HARMLESS: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGPIPE,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// OP-02.
#[test]
fn as_pid_1_only_sigterm_ends_it_cleanly() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    survives_then_stops(&mut router, &HARMLESS, Signal::SIGTERM);
    assert_eq!(
        router.run.log.since(0, "(VI_1) … dropped:").len(),
        2,
        "SIGUSR1 and SIGUSR2 logged its status"
    );
}

#[test]
fn as_pid_1_only_sigint_ends_it_cleanly() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    survives_then_stops(&mut router, &HARMLESS, Signal::SIGINT);
}

#[test]
fn not_being_pid_1_makes_no_difference() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for stop in [Signal::SIGTERM, Signal::SIGINT] {
        let mut router = Router::ours(&host, &Node::plain(200), Launch::NotPidOne);
        survives_then_stops(&mut router, &[Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD], stop);
    }
}

#[test]
fn sigterm_before_the_interface_exists_ends_it_cleanly() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.run.log.wait_for("enp0s3 … wait", seconds(1));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(millis(500)), 0);
}

/// As with Kubernetes' `shareProcessNamespace`, where PID 1 is the pause container.
#[test]
fn in_the_pid_namespace_of_another_pid_1_it_still_finds_the_service() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let pause = idle(&host);
    let node = Node { check: Some(Check::each_second("haproxy", 0)), ..Node::plain(200) };
    let router = Router::ours(&host, &node, Launch::Joining(&pause));
    router.run.log.wait_for("(VI_1) Entering FAULT STATE", seconds(3));
    let haproxy = Haproxy::start(&host, &pause);
    router.wait_master(0, seconds(10));
    let mark = router.run.log.mark();
    haproxy.kill();
    router.run.log.wait_for_after(mark, "(VI_1) Entering FAULT STATE", seconds(3));
    wait_until("the address is gone", seconds(1), || !router.holds_vip());
}

#[test]
fn every_problem_of_the_environment_is_named_and_the_code_is_78() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let wrong = [
        ("VIRTUAL_ROUTER", "0"),
        ("PRIORITY", "256"),
        ("VIP", "10.0.0.300"),
        ("STATE", "LEADER"),
        ("CHECK_WEIGHT", "300"),
        ("CHECK_INTERVAL", "-1"),
    ];
    let node = wrong.iter().fold(Node::plain(100), |node, (name, value)| node.with(name, *value));
    let mut router = Router::ours(&host, &node, Launch::PidOne);
    assert_eq!(router.run.wait_exit(seconds(2)), 78);
    for (name, value) in wrong {
        router.run.log.wait_for(&format!("{name} … {value}"), seconds(1));
    }
}

#[test]
fn a_value_that_is_not_text_is_refused_and_unrelated_variables_are_ignored() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let noise = || OsString::from_vec(vec![0x66, 0xff, 0x6f]);
    let mut router = Router::ours(&host, &Node::plain(100).with("SERVICE", noise()), Launch::PidOne);
    assert_eq!(router.run.wait_exit(seconds(2)), 78);
    router.run.log.wait_for("SERVICE", seconds(1));
    let router = Router::ours(&host, &Node::plain(200).with("SOMETHING_ELSE", noise()), Launch::PidOne);
    router.wait_backup(0, seconds(2));
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for word in ["frobnicate", "--frobnicate"] {
        let env = Node::plain(100).environment(&host);
        let mut run = Running::start(&host, Launch::PidOne, Path::new(OURS), &[word], &env);
        assert_eq!(run.wait_exit(seconds(2)), 64);
        run.log.wait_for("frobnicate", seconds(1));
    }
}
