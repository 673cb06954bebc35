//! A FAULT names the interface that caused it and what is wrong with it: in the log, `status`, `why` and the metrics.

use std::path::Path;

use crate::support::lab::Lab;
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::{millis, seconds, wait_until};

fn json(router: &Router) -> serde_json::Value {
    let status = || command(router, &["status", "--json"]);
    wait_until("it answers", seconds(2), || status().0 == 0);
    serde_json::from_str(&status().1).expect("one line of JSON")
}

/// Every source names `culprit` with `problem`; the log, `status` and `why` have `text`.
fn names(router: &Router, cause: &str, culprit: &str, problem: &str, text: &str) {
    router.run.log.wait_for(&format!("Entering FAULT STATE: {text}"), START);
    let router_json = json(router)["routers"][0].clone();
    let culprit = Some(culprit).filter(|name| !name.is_empty());
    let expected = serde_json::json!({ "cause": cause, "culprit": culprit, "problem": problem });
    assert!(router_json["fault_causes"].as_array().expect("a list").contains(&expected), "{router_json}");
    assert!(router_json["faults"].as_array().expect("a list").contains(&text.into()), "{router_json}");
    let (code, why) = command(router, &["why"]);
    assert!(code == 0 && why.contains(text), "{why}");
}

#[test]
fn the_link_of_a_virtual_address_is_named_and_not_interface() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    host.ip(&format!("link add eth1 type veth peer name eth1 netns {}", other.netns()));
    host.ip("link set eth1 up");
    let node = with_metrics(Node::plain(100).with("VIP", "10.77.0.100 dev eth1"));
    let router = Router::start(Kind::Ours, &host, &node);
    names(&router, "interface", "eth1", "no_carrier", "interface eth1 of 10.77.0.100 has no carrier");
    let page = body(&host, "/metrics");
    let sample = "cause=\"interface\",culprit=\"eth1\",problem=\"no_carrier\"} 1";
    assert!(page.contains("keepalived_vrrp_fault{") && page.contains(sample), "{page}");
    other.ip("link set eth1 up");
    router.run.log.wait_for("Entering BACKUP STATE: interface eth1 is up", seconds(2));
}

/// What arrives at a port of a bridge or bond is the bridge's: the router would hear nobody and become a second master.
#[test]
fn an_interface_that_becomes_a_port_of_a_bridge_is_a_fault_until_it_is_none() {
    let lab = Lab::new();
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, n)| lab.host(name, n));
    let a = Router::start(Kind::Ours, &a, &Node::plain(200));
    let b = Router::start(Kind::Ours, &b, &Node::plain(100));
    a.run.log.wait_for("Entering MASTER STATE", START);
    b.run.log.wait_for("Master is 10.77.0.1 ", START);
    b.host.batch("link add br0 type bridge mcast_snooping 0\nlink set br0 up\nlink set enp0s3 master br0\n");
    let text = "interface enp0s3 is a port of br0, which gets what arrives there: set INTERFACE=br0";
    names(&b, "interface", "enp0s3", "port", text);
    let environment = Node::plain(100).environment(&b.host);
    let mut check = Running::start(&b.host, Launch::NotPidOne, Path::new(OURS), &["check"], &environment);
    check.log.wait_for(&format!("(VI_1) {text}"), START);
    assert_eq!(check.wait_exit(START), 0);
    let mark = b.run.log.mark();
    b.host.ip("link set enp0s3 nomaster");
    b.run.log.wait_for_after(mark, "Entering BACKUP STATE", START);
    b.run.log.wait_for_after(mark, "Master is 10.77.0.1 ", START);
    // A port may be a tracked interface.
    b.host.ip("link add eth1 type veth peer name eth2");
    b.host.batch("link set eth2 up\nlink set eth1 master br0 up\n");
    let tracking = Router::start(Kind::Ours, &b.host, &Node::plain(100).with("TRACK_INTERFACE", "eth1"));
    tracking.run.log.wait_for("Entering BACKUP STATE", START);
}

/// A broken cable must not fill the log: with both families, each time is six lines.
#[test]
fn a_flapping_interface_does_not_fill_the_log() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(100).with("VIP", "10.77.0.100 fd00::100"));
    router.run.log.wait_for("(VI_1_v6) Entering BACKUP STATE", START);
    for _ in 0..20 {
        host.ip("link set enp0s3 down");
        host.ip("link set enp0s3 up");
        std::thread::sleep(millis(50));
    }
    router.run.log.wait_for("(VI_1) Entering FAULT STATE", START);
    let of_causes = ["Another cause of", "Still in"].map(|text| router.run.log.since(0, text).len());
    assert!((2..=40).contains(&of_causes.iter().sum::<usize>()), "{of_causes:?}");
}

/// The master keeps it, and says so a few times.
#[test]
fn a_program_that_removes_the_address_all_the_time_does_not_fill_the_log() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(100));
    router.run.log.wait_for("Entering MASTER STATE", START);
    for _ in 0..30 {
        wait_until("it is here", seconds(2), || host.holds(Node::VIP));
        host.ip("address del 10.77.0.100/32 dev enp0s3");
    }
    wait_until("it is here", seconds(2), || host.holds(Node::VIP));
    let lines = router.run.log.since(0, "Another program removed a virtual address").len();
    assert!((1..=6).contains(&lines), "{lines}");
}

#[test]
fn a_tracked_interface_is_named() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("link add eth2 type veth peer name eth3");
    host.ip("link set eth3 up");
    host.ip("link set eth2 up");
    let node = Node::plain(100).with("TRACK_INTERFACE", "lo eth2");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_backup(0, START);
    host.ip("link set eth2 down");
    names(&router, "tracked", "eth2", "down", "tracked interface eth2 is down");
    host.ip("link del eth2");
    let gone = || json(&router)["routers"][0]["fault_causes"][0]["problem"] == "gone";
    wait_until("the status has the present problem", seconds(2), gone);
}

#[test]
fn interface_is_named_with_what_is_wrong() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let start = || Router::start(Kind::Ours, &host, &Node::plain(100));
    host.ip("link set enp0s3 down");
    names(&start(), "interface", "enp0s3", "down", "interface enp0s3 is down");
    host.ip("link set enp0s3 up");
    host.pull_cable();
    names(&start(), "interface", "enp0s3", "no_carrier", "interface enp0s3 has no carrier");
    host.plug_cable();
    host.ip("address flush dev enp0s3");
    names(&start(), "source", "enp0s3", "no_address", "interface enp0s3 has no IPv4 address to send from");
    host.ip("link del enp0s3");
    names(&start(), "interface", "enp0s3", "gone", "interface enp0s3 does not exist");
}

#[test]
fn where_auto_finds_no_interface_nothing_is_said_of_its_address() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(
        Kind::Ours,
        &host,
        &Node::plain(100).with("INTERFACE", "auto").with("VIP", "10.99.0.1"),
    );
    let fault = "there is no interface with the subnet of the address, and no default route";
    names(&router, "interface", "", "gone", fault);
    let (_, status) = command(&router, &["status"]);
    assert!(
        status.lines().next().unwrap().ends_with(&format!(": FAULT: {fault}; no master is heard")),
        "{status}"
    );
    assert!(!status.contains("to send from"), "{status}");
    let warning = "no interface has the subnet of 10.99.0.1 (there are: enp0s3 10.77.0.1/24), and there is no default route; set INTERFACE";
    assert!(status.contains(warning), "{status}");
}
