//! Another host that answers for a virtual address is reported; the master itself is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::frame::{Wire, ethernet, ip};
use crate::support::lab::Host;
use crate::support::lab::Lab;
use crate::support::pair::{Pair, START};
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds};

/// Sends an ARP packet of `operation` in which this host claims `address`.
pub(super) fn claim(host: &Host, address: Ipv4Addr, operation: u8) {
    claim_through(host, &host.interface, address, operation);
}

fn claim_through(host: &Host, interface: &str, address: Ipv4Addr, operation: u8) {
    let wire = Wire::open(host, interface);
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, operation];
    arp.extend(wire.mac);
    arp.extend(address.octets());
    arp.extend([0; 6]);
    arp.extend([10, 77, 0, 9]);
    wire.send(&ethernet([0xff; 6], wire.mac, 0x0806, &arp));
}

/// The same by an unsolicited neighbor advertisement; the receivers do not check its sum.
fn claim_v6(host: &Host, address: Ipv6Addr) {
    let wire = Wire::open(host, &host.interface);
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(wire.mac);
    let group: IpAddr = "ff02::1".parse().expect("an address");
    wire.send(&ip(([0x33, 0x33, 0, 0, 0, 1], wire.mac), (address.into(), group), 255, 58, &message));
}

fn conflicts(router: &Router) -> u64 {
    let (_, text) = command(router, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
    status["routers"][0]["counters"]["address_conflicts"].as_u64().expect("a count")
}

#[test]
fn a_third_host_that_claims_the_address_is_reported_by_master_and_backup() {
    let nodes = [200, 100].map(|priority| with_metrics(Node::plain(priority)));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    std::thread::sleep(millis(500));
    for router in [&pair.a, &pair.b] {
        assert_eq!(conflicts(router), 0, "the master's own announcements are none");
    }
    // It does not have it any more when it is asked.
    claim(&pair.client, Node::VIP, 1);
    std::thread::sleep(seconds(5));
    for router in [&pair.a, &pair.b] {
        assert_eq!((conflicts(router), router.run.log.since(0, "Another host").len()), (0, 0));
    }
    pair.client.ip("address add 10.77.0.100/32 dev enp0s3");
    claim(&pair.client, Node::VIP, 1);
    claim(&pair.client, Node::VIP, 2);
    claim(&pair.client, [10, 77, 0, 99].into(), 1);
    let who = format!("warning: (VI_1) Another host ({}) answers for 10.77.0.100", pair.client.mac());
    for router in [&pair.a, &pair.b] {
        router.run.log.wait_for(&who, seconds(2));
        // A master goes on asking.
        assert!(conflicts(router) >= 2, "{}", conflicts(router));
        assert_eq!(router.run.log.since(0, "Another host").len(), 1, "logged once");
        let (_, status) = command(router, &["status", "--json"]);
        assert!(status.contains("answers for 10.77.0.100"), "{status}");
        assert!(body(&router.host, "/metrics").contains("keepalived_vrrp_address_conflicts_total{"));
    }
}

/// As long as a host has the address, it answers on every interface where it is asked.
#[test]
fn another_interface_of_this_host_in_the_same_network_is_no_other_host() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    host.ip("link add enp0s3 type veth peer name enp0s4");
    host.ip("link set enp0s4 up");
    host.ip("link set enp0s3 up");
    host.ip("address add 10.77.0.1/24 dev enp0s3");
    let router = Router::start(Kind::Ours, &host, &Node { advert_int: "0.1", ..Node::plain(200) });
    router.run.log.wait_for("Entering MASTER STATE", START);
    std::thread::sleep(seconds(1));
    assert_eq!(router.run.log.since(0, "Another host"), [""; 0]);
    assert_eq!(conflicts(&router), 0);
}

#[test]
fn an_ipv6_address_on_another_host_is_reported() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP", "fe80::100 fd77::100"));
    router.run.log.wait_for("Entering MASTER STATE", START);
    std::thread::sleep(millis(500));
    other.ip("-6 address add fd77::100/128 dev enp0s3 nodad");
    claim_v6(&other, "fd77::101".parse().expect("an address"));
    claim_v6(&other, "fd77::100".parse().expect("an address"));
    router.run.log.wait_for(&format!("Another host ({}) answers for fd77::100", other.mac()), seconds(2));
    assert_eq!(conflicts(&router), 1);
}

#[test]
fn an_excluded_address_on_another_host_is_reported_and_a_change_of_master_is_not() {
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("VIP_EXCLUDED", "10.77.0.101"));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    for _ in 0..2 {
        pair.a.host.pull_cable();
        pair.b.wait_master(pair.b.run.log.mark(), START);
        pair.a.host.plug_cable();
        let mark = pair.a.run.log.mark();
        pair.a.wait_master(mark, START);
        std::thread::sleep(millis(700));
    }
    for router in [&pair.a, &pair.b] {
        assert_eq!(router.run.log.since(0, "Another host"), [""; 0]);
    }
    pair.client.ip("address add 10.77.0.101/32 dev enp0s3");
    claim(&pair.client, [10, 77, 0, 101].into(), 2);
    pair.a.run.log.wait_for("Another host … answers for 10.77.0.101", seconds(2));
}

#[test]
fn other_arp_the_masters_own_and_other_interfaces_do_not_wake_the_backup() {
    let pair = Pair::start([Kind::Ours; 2], &[200, 100].map(Node::plain));
    pair.b.host.ip("link add enp0s4 type veth peer name enp0s5");
    pair.b.host.ip("link set enp0s4 up");
    pair.b.host.ip("link set enp0s5 up");
    std::thread::sleep(millis(6_500));
    let waits = || -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", pair.b.run.pid())).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).expect("a field");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a count")
    };
    let before = waits();
    for n in 0..200 {
        claim(&pair.client, [10, 77, 0, 110 + n % 100].into(), 1);
        claim(&pair.a.host, Node::VIP, 1);
        claim_through(&pair.b.host, "enp0s5", Node::VIP, 1);
    }
    std::thread::sleep(millis(200));
    let woken = waits() - before;
    assert!(woken < 20, "{woken} times");
    assert_eq!(conflicts(&pair.b), 0);
}
