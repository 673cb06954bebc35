//! Whether a master keeps its schedule of adverts while something else goes on. For this, routers run in real time: other
//! programs of a busy machine do not delay them, and what delays an advert is the router itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::capture::{Capture, Captured};
use super::lab::{Host, Lab};
use super::pair::{Pair, START};
use super::process::Running;
use super::query::command;
use super::router::{Kind, Node, Router};
use super::{seconds, wait_until};

/// [`Pair::start`] for nodes that do not wait long for each other: one after the other, and in real time.
pub(crate) fn fast_pair(nodes: &[Node; 2]) -> Pair {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    fast_pair_on(lab, &hosts, nodes)
}

/// [`fast_pair`] on hosts that are prepared.
pub(crate) fn fast_pair_on(lab: Lab, hosts: &[Host; 2], nodes: &[Node; 2]) -> Pair {
    let client = lab.host("client", 250);
    let a = Router::start(Kind::Ours, &hosts[0], &nodes[0]);
    a.wait_master(0, START);
    let b = Router::start(Kind::Ours, &hosts[1], &nodes[1]);
    b.run.log.wait_for("Master is 10.77.0.1", START);
    for router in [&a, &b] {
        in_real_time(&router.run);
    }
    Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab }
}

/// Gives the program's first thread real-time priority. Threads and programs that it starts do not have it.
pub(crate) fn in_real_time(run: &Running) {
    let pid = run.pid().to_string();
    let status = Command::new("chrt").args(["--reset-on-fork", "--fifo", "--pid", "10", &pid]).status();
    assert!(status.expect("chrt runs").success(), "real-time priority for {pid}");
}

/// Does `work` while the first router advertises every `interval`. Nothing moves, and no advert is late by `limit` or more.
pub(crate) fn keeps_its_schedule(pair: &Pair, interval: Duration, limit: Duration, work: impl FnOnce()) {
    wait_until("the better one is master", seconds(5), || pair.a.holds_vip() && !pair.b.holds_vip());
    let (marks, waited) = (pair.marks(), waited(&pair.a.run));
    let capture = Capture::start(&pair.client, "schedule", "proto 112");
    work();
    let captured = capture.finish();
    let moved = pair.entered_since(marks);
    let gap = longest_gap(&captured, &pair.a.host);
    let waited = self::waited(&pair.a.run).saturating_sub(waited);
    let turn = longest_turn(&pair.a);
    let found = format!(
        "{gap:?} at most between two adverts; so far the longest turn took {turn:?}; {waited:?} without a processor; {moved}"
    );
    println!("{found}");
    // Little, in real time: what the kernel does for others without giving way.
    assert!(gap < interval + limit + waited, "{found}");
    assert!(moved.is_empty() || waited > interval * 2, "{found}");
}

/// The longest time between two adverts of the master.
fn longest_gap(captured: &Captured, master: &Host) -> Duration {
    let adverts = captured.adverts(Some(master.address));
    assert!(adverts.len() > 8, "it advertises: {}", adverts.len());
    adverts.windows(2).map(|two| two[1].at.saturating_sub(two[0].at)).max().expect("several")
}

/// The longest turn of the router's event loop so far, if it answers.
pub(crate) fn longest_turn(router: &Router) -> Option<Duration> {
    let (_, text) = command(router, &["status", "--json"]);
    let (_, rest) = text.split_once("\"loop_stall_max_us\":")?;
    let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
    Some(Duration::from_micros(digits.parse().ok()?))
}

/// How long the program's first thread has been ready without a processor.
fn waited(run: &Running) -> Duration {
    let path = format!("/proc/{}/schedstat", run.pid());
    let text = fs::read_to_string(path).expect("it runs");
    Duration::from_nanos(text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).expect("a number"))
}
