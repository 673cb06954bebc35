//! The lifeline between real processes: what counts as a death, and what a hostile or broken network makes of it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::pair::{FAST, Pair, SLACK};
use crate::support::query::command;
use crate::support::router::Router;
use crate::support::{seconds, wait_until};

/// The line about the lifeline in the status.
fn lifeline(router: &Router) -> String {
    let status = command(router, &["status"]).1;
    let line = status.lines().find_map(|line| line.trim_start().strip_prefix("lifeline:"));
    line.unwrap_or_else(|| panic!("no lifeline in {status}")).trim().to_owned()
}

fn wait_for_lifeline(router: &Router, text: &str) {
    wait_until(&format!("{} has the lifeline {text}", router.host.name), seconds(5), || {
        lifeline(router).starts_with(text)
    });
}

/// Kills the master; how long after that the backup is master.
fn kill(pair: &mut Pair) -> Duration {
    let mark = pair.b.run.log.mark();
    let killed = Instant::now();
    pair.a.run.signal(Signal::SIGKILL);
    let line = pair.b.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE", seconds(5));
    pair.a.run.wait_exit(seconds(1));
    println!("{}", pair.b.run.log.since(mark, "").join("\n"));
    line.at - killed
}

#[test]
fn a_killed_master_is_replaced_in_milliseconds() {
    let mut pair = Pair::plain();
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
    let taken = kill(&mut pair);
    pair.b.run.log.wait_for("Entering MASTER STATE: 10.77.0.1 (priority 200) died", seconds(1));
    assert!(taken < FAST + SLACK, "taken over after {taken:?}");
}
