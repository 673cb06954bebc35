//! Several and many virtual routers in one process.

use std::path::Path;
use std::time::Instant;

use crate::support::lab::{Host, Lab};
use crate::support::many::Many;
use crate::support::pair::{QUIET, START};
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

#[test]
fn hundreds_of_routers_converge_stay_and_all_move_when_the_master_stops() {
    const MANY: Many = Many(400);
    let lab = Lab::new();
    let hosts = MANY.hosts(&lab);
    let start = |host: &Host, priority| {
        Running::start::<&str>(host, Launch::PidOne, Path::new(OURS), &[], &MANY.environment(priority))
    };
    let mut a = start(&hosts[0], 200);
    let b = start(&hosts[1], 100);
    let masters = |run: &Running| run.log.since(0, "Entering MASTER STATE").len();
    wait_until("a is master of all", 2 * START, || masters(&a) == MANY.0);
    assert_eq!((MANY.held(&hosts[0]), MANY.held(&hosts[1]), masters(&b)), (MANY.0, 0, 0));
    let marks = [a.log.mark(), b.log.mark()];
    // Longer than a lease.
    std::thread::sleep(seconds(6));
    for (run, mark) in [&a, &b].into_iter().zip(marks) {
        assert_eq!(run.log.since(mark, "Entering"), Vec::<String>::new(), "nothing moves by itself");
    }
    assert_eq!(MANY.held(&hosts[0]), MANY.0);
    let stopped = Instant::now();
    a.signal(Signal::SIGTERM);
    wait_until("b is master of all", seconds(5), || masters(&b) == MANY.0);
    eprintln!("{} routers moved in {:?}", MANY.0, stopped.elapsed());
    assert_eq!(a.wait_exit(seconds(5)), 0);
    assert_eq!((MANY.held(&hosts[0]), MANY.held(&hosts[1])), (0, MANY.0));
    let mark = b.log.mark();
    std::thread::sleep(QUIET);
    assert_eq!(b.log.since(mark, "Entering"), Vec::<String>::new(), "nothing moves back");
}

#[test]
fn the_second_router_of_a_vrid_on_one_interface_is_in_fault() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200).with("INTERFACE", "auto").with("INTERFACE_2", "enp0s3");
    let node = node.with("VIP_2", "10.77.0.101").with("VIRTUAL_ROUTER_2", Node::VRID.to_string());
    let router = Router::start(Kind::Ours, &host, &node);
    router
        .run
        .log
        .wait_for("(VI_2) VRID 51 on enp0s3 is already used by (VI_1) … VIRTUAL_ROUTER", seconds(1));
    router.run.log.wait_for("(VI_2) Entering FAULT STATE … VRID", seconds(1));
    router.wait_master(0, START);
    // Every kernel notification makes it retry.
    let mark = router.run.log.mark();
    for n in 0..3 {
        host.ip(&format!("address add 10.99.0.{n}/32 dev lo"));
    }
    std::thread::sleep(seconds(2));
    assert_eq!(router.run.log.since(mark, "(VI_2)"), Vec::<String>::new(), "it was logged once");
    assert!(router.holds_vip() && !host.holds([10, 77, 0, 101]), "the first is not disturbed");
    // The first router moves to another subnet's interface, and the second gets the VRID.
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
    host.ip("address add 10.77.0.2/25 dev eth9");
    router.run.log.wait_for_after(mark, "(VI_2) Entering BACKUP STATE … VRID is free", seconds(2));
    router.run.log.wait_for_after(mark, "(VI_2) Entering MASTER STATE", START);
    wait_until("both hold their addresses", START, || {
        router.host.ip("address show dev eth9").contains("10.77.0.100/")
    });
    assert!(host.holds([10, 77, 0, 101]));
}

#[test]
fn both_families_of_a_list_use_the_interface_whose_subnet_contains_the_ipv4_address() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    // It also has a link-local subnet, and is listed first.
    host.ip("link add eth0 type veth peer name eth0p");
    host.ip("link set eth0p up");
    host.ip("link set eth0 up");
    host.plug_in();
    let node = Node::plain(200).with("INTERFACE", "auto").with("VIP", "10.77.0.100 fe80::100");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", START);
    wait_until("both are on it", START, || {
        host.holds([10, 77, 0, 100]) && host.ip("address show dev enp0s3").contains("fe80::100/")
    });
}

#[test]
fn waiting_for_a_named_interface_causes_no_wake_ups() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.run.log.wait_for("enp0s3 … wait", seconds(1));
    // The line that no router was heard is logged after ten seconds, but not in FAULT.
    let wake_ups = || router.run.status("voluntary_ctxt_switches").parse::<u64>().expect("a count");
    std::thread::sleep(millis(500));
    let before = wake_ups();
    std::thread::sleep(seconds(5));
    let count = wake_ups() - before;
    assert!(count <= 1, "{count} wake-ups in 5 s with nothing to do");
    host.plug_in();
    router.wait_master(0, START);
}

#[test]
fn other_routers_send_from_an_owners_real_address_even_if_it_appears_late() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(100).with("VIP_2", "10.77.0.1").with("VIRTUAL_ROUTER_2", "52");
    let router = Router::start(Kind::Ours, &host, &node.with("PRIORITY_2", "255"));
    router.run.log.wait_for("(VI_2) Entering MASTER STATE", seconds(1));
    router.wait_master(0, START);
    assert_eq!(router.run.log.since(0, "FAULT"), Vec::<String>::new());
    host.ip("address del 10.77.0.1/24 dev enp0s3");
    router.run.log.wait_for("(VI_1) Entering FAULT STATE … no IPv4 address", seconds(1));
    router.run.log.wait_for("(VI_2) Entering FAULT STATE … no IPv4 address", seconds(1));
    let mark = router.run.log.mark();
    host.ip("address add 10.77.0.1/24 dev enp0s3");
    router.run.log.wait_for_after(mark, "(VI_2) Entering MASTER STATE", seconds(1));
    router.wait_master(mark, START);
}

#[test]
fn an_owner_that_loses_a_real_address_restores_it() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.77.0.7/32 dev enp0s3");
    let node = Node::plain(255).with("VIP", "10.77.0.7, 10.77.0.100").with("VIP_LEASE", "0");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, START);
    assert!(host.holds([10, 77, 0, 100]), "an address that is not real is added");
    host.ip("address del 10.77.0.7/32 dev enp0s3");
    wait_until("it is added again", seconds(1), || host.holds([10, 77, 0, 7]));
    router.run.signal(Signal::SIGTERM);
    wait_until("it is removed with the router", seconds(2), || !host.holds([10, 77, 0, 7]));
}

#[test]
fn an_owners_real_address_on_another_link_is_left_unchanged() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
    host.ip("address add 10.99.0.1/24 dev eth9");
    let node = Node::plain(255).with("VIP", "10.77.0.1, 10.99.0.1/24 dev eth9");
    let mut router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("Entering MASTER STATE", seconds(1));
    assert!(host.ip("address show dev eth9").contains("10.99.0.1/24 scope global eth9"), "permanent");
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert!(host.ip("address show dev eth9").contains("10.99.0.1/24"));
}

#[test]
fn delayed_backups_read_all_queued_adverts_before_they_act() {
    const MANY: Many = Many(200);
    let lab = Lab::new();
    let hosts = MANY.hosts(&lab);
    let start = |host: &Host, priority| {
        Running::start::<&str>(host, Launch::PidOne, Path::new(OURS), &[], &MANY.environment(priority))
    };
    let (a, b) = (start(&hosts[0], 200), start(&hosts[1], 100));
    let masters = |run: &Running| run.log.since(0, "Entering MASTER STATE").len();
    wait_until("a is master of all", 2 * START, || masters(&a) == MANY.0);
    let mark = b.log.mark();
    b.signal(Signal::SIGSTOP);
    std::thread::sleep(seconds(5));
    b.signal(Signal::SIGCONT);
    std::thread::sleep(seconds(2));
    assert_eq!(b.log.since(mark, "Entering").len(), 0, "the master was there all the time");
}
