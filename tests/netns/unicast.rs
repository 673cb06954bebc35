//! Unicast: which address the adverts come from, and over which link they go.

use std::net::IpAddr;

use crate::support::frame::{MessageV3, Wire, ip};
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds};

/// Two routers that are started together: the first must become master, and the second must follow it.
fn one_master(hosts: [&Host; 2], nodes: &[Node; 2]) -> [Router; 2] {
    let b = Router::start(Kind::Ours, hosts[1], &nodes[1]);
    let a = Router::start(Kind::Ours, hosts[0], &nodes[0]);
    a.wait_master(0, START);
    b.run.log.wait_for("Master is … (priority 200)", seconds(3));
    std::thread::sleep(millis(4_500));
    assert!(a.holds_vip() && !b.holds_vip(), "one of the two is master");
    [a, b]
}

fn nodes(variables: &[(&str, &str)]) -> [Node; 2] {
    [200, 100].map(|priority| {
        let node = Node::plain(priority);
        variables.iter().fold(node, |node, (name, value)| node.with(name, *value))
    })
}

/// A second cable between two hosts, with 10.88.0.1 and 10.88.0.2.
fn second_link(a: &Host, b: &Host) {
    a.ip(&format!("link add eth1 type veth peer name eth1 netns {}", b.netns()));
    for (host, number) in [(a, 1), (b, 2)] {
        host.ip("link set eth1 up");
        host.ip(&format!("address add 10.88.0.{number}/24 dev eth1"));
    }
}

#[test]
fn the_source_is_our_address_in_the_list_of_peers_though_another_one_is_first() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    for (host, number) in [(&a, 1), (&b, 2)] {
        host.ip(&format!("address add 10.66.0.{number}/24 dev enp0s3"));
    }
    let [a, b] = one_master([&a, &b], &nodes(&[("UNICAST_PEERS", "10.66.0.1 10.66.0.2")]));
    for (router, number) in [(&a, 1), (&b, 2)] {
        let line = format!("(VI_1) Unicast adverts go from 10.66.0.{number}");
        router.run.log.wait_for(&line, seconds(1));
        assert_eq!(router.run.log.since(0, "warning: … unicast"), [""; 0]);
    }
}

#[test]
fn without_our_address_in_the_list_the_source_is_that_of_the_route_to_the_first_peer() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    for (host, number) in [(&a, 1), (&b, 2)] {
        host.ip(&format!("address add 10.66.0.{number}/24 dev enp0s3"));
    }
    let [first, second] = nodes(&[]);
    let nodes = [first.with("UNICAST_PEERS", "10.66.0.2"), second.with("UNICAST_PEERS", "10.66.0.1")];
    let [a, _b] = one_master([&a, &b], &nodes);
    a.run.log.wait_for("(VI_1) Unicast adverts go from 10.66.0.1 to 10.66.0.2", seconds(1));
}

#[test]
fn peers_behind_another_link_are_reached_over_it_with_a_warning() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    second_link(&a, &b);
    let [a, b] = one_master([&a, &b], &nodes(&[("UNICAST_PEERS", "10.88.0.1 10.88.0.2")]));
    for router in [&a, &b] {
        router.run.log.wait_for("warning: (VI_1) … 10.88.0 … eth1 … INTERFACE … enp0s3", seconds(1));
    }
    // The cable in use is cut, and then plugged in again.
    let mark = b.run.log.mark();
    a.host.ip("link set eth1 down");
    b.wait_master(mark, START);
    let mark = b.run.log.mark();
    a.host.ip("link set eth1 up");
    b.wait_backup(mark, START);
    a.wait_master(0, START);
}

/// A host reaches its peer over the first cable and then, by `commands` alone, over the second: no link and no address
/// changes.
fn follows_the_route(family: &str, net: [&str; 2], far: &str, commands: &[&str]) {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    second_link(&a, &b);
    if family == "-6" {
        for (host, number) in [(&a, 1), (&b, 2)] {
            for (net, device) in [(net[0], "enp0s3"), (net[1], "eth1")] {
                host.ip(&format!("address add {net}{number}/64 dev {device} nodad"));
            }
        }
    }
    b.ip(&format!("{family} address add {far} dev lo"));
    a.ip(&format!("{family} route add {far} via {}2", net[0]));
    let vip = if family == "-6" { "fe80::100" } else { "10.77.0.100" };
    let node = |priority| Node::plain(priority).with("VIP", vip);
    let [first, second] = net.map(|net| format!("{net}1"));
    let b_node = node(100).with("UNICAST_PEERS", format!("{first} {second}")).with("UNICAST_SRC_IP", far);
    let b = Router::start(Kind::Ours, &b, &b_node);
    let a = Router::start(Kind::Ours, &a, &node(200).with("UNICAST_PEERS", far));
    a.run.log.wait_for("Entering MASTER STATE", START);
    b.run.log.wait_for(&format!("{first} (priority 200)"), START);
    a.run.log.wait_for(&format!("(VI_1) Unicast adverts go from {first} to {far}"), seconds(1));
    let (mark, b_mark) = (a.run.log.mark(), b.run.log.mark());
    for command in commands {
        a.host.ip(&format!("{family} {command}"));
    }
    b.run.log.wait_for(&format!("Master is {second} (priority 200)"), seconds(3));
    a.run.log.wait_for(&format!("(VI_1) Unicast adverts go from {second} to {far} over eth1"), seconds(1));
    std::thread::sleep(millis(4_500));
    assert_eq!(b.run.log.since(b_mark, "Entering MASTER STATE"), [""; 0]);
    assert_eq!(a.run.log.since(mark, "warning: … unicast").len(), 1, "said once");
}

#[test]
fn a_replaced_route_to_the_peer_is_followed() {
    follows_the_route(
        "-4",
        ["10.77.0.", "10.88.0."],
        "10.99.0.2",
        &["route replace 10.99.0.2 via 10.88.0.2"],
    );
}

#[test]
fn a_replaced_ipv6_route_to_the_peer_is_followed() {
    follows_the_route("-6", ["fd77::", "fd88::"], "fd99::2", &["route replace fd99::2 via fd88::2"]);
}

#[test]
fn a_rule_that_leads_to_the_peer_is_followed() {
    follows_the_route(
        "-4",
        ["10.77.0.", "10.88.0."],
        "10.99.0.2",
        &["route add 10.99.0.2 via 10.88.0.2 table 100", "rule add to 10.99.0.2 lookup 100"],
    );
}

#[test]
fn an_ipv6_rule_that_leads_to_the_peer_is_followed() {
    follows_the_route(
        "-6",
        ["fd77::", "fd88::"],
        "fd99::2",
        &["route add fd99::2 via fd88::2 table 100", "rule add to fd99::2 lookup 100"],
    );
}

#[test]
fn one_peer_behind_another_link_and_one_on_interface_are_both_reached() {
    let lab = Lab::new();
    let (a, b, c) = (lab.host("a", 1), lab.host("b", 2), lab.host("c", 3));
    second_link(&a, &b);
    // B is reached over the second cable only, C over the first.
    b.ip("address del 10.77.0.2/24 dev enp0s3");
    a.ip("route add 10.99.0.2 via 10.88.0.2");
    b.ip("address add 10.99.0.2/32 dev lo");
    b.ip("link set enp0s3 arp off");
    b.ip("route add 10.77.0.1 via 10.88.0.1");
    let plain = |priority| Node::plain(priority);
    let a_node = plain(200).with("UNICAST_PEERS", "10.77.0.3 10.99.0.2").with("UNICAST_SRC_IP", "10.77.0.1");
    let b_node = plain(100).with("UNICAST_PEERS", "10.77.0.1").with("UNICAST_SRC_IP", "10.99.0.2");
    let c_node = plain(100).with("UNICAST_PEERS", "10.77.0.1");
    let routers = [(&b, b_node), (&c, c_node)].map(|(host, node)| Router::start(Kind::Ours, host, &node));
    let a = Router::start(Kind::Ours, &a, &a_node);
    a.wait_master(0, START);
    for router in &routers {
        router.run.log.wait_for("Master is 10.77.0.1 (priority 200)", seconds(3));
    }
    std::thread::sleep(millis(4_500));
    assert!(routers.iter().all(|router| !router.holds_vip()), "one master");
}

#[test]
fn over_ipv6_the_source_is_the_listed_address_and_not_the_link_local_one() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    for (host, number) in [(&a, 1), (&b, 2)] {
        host.ip(&format!("address add fd77::{number}/64 dev enp0s3 nodad"));
    }
    let variables = [("VIP", "fe80::100 fd77::100"), ("UNICAST_PEERS", "fd77::1 fd77::2")];
    let nodes = nodes(&variables);
    let b = Router::start(Kind::Ours, &b, &nodes[1]);
    let a = Router::start(Kind::Ours, &a, &nodes[0]);
    a.run.log.wait_for("Entering MASTER STATE", START);
    b.run.log.wait_for("Master is fd77::1 (priority 200)", seconds(3));
    std::thread::sleep(millis(4_500));
    assert_eq!(b.run.log.since(0, "Entering MASTER STATE"), [""; 0]);
}

#[test]
fn a_peer_that_is_not_heard_has_a_text_of_its_own() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200).with("UNICAST_PEERS", "10.77.0.1 10.77.0.2");
    let router = Router::start(Kind::Ours, &host, &node);
    let line = router.run.log.wait_for("No unicast peer of VRID 51 has been heard yet", seconds(12)).text;
    for part in ["10.77.0.2", "UNICAST_PEERS", "10.77.0.1"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("nft insert"), "{line}");
}

/// RFC 5082, as for IPv4 in `features.rs`.
#[test]
fn over_ipv6_a_peer_on_the_link_must_send_a_hop_limit_of_255_and_a_routed_one_need_not() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    host.ip("address add fd77::1/64 dev enp0s3 nodad");
    host.ip("-6 route add fd99::/64 via fd77::2 dev enp0s3");
    let node = Node::plain(100)
        .with("VIP", "fe80::100")
        .with("UNICAST_PEERS", "fd77::1 fd77::2 fd99::2")
        .with("UNICAST_SRC_IP", "fd77::1");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_backup(0, START);
    let wire = Wire::open(&other, "enp0s3");
    let mac: Vec<u8> =
        host.mac().split(':').map(|octet| u8::from_str_radix(octet, 16).expect("hex")).collect();
    let send = |from: &str, hops| {
        let ends: (IpAddr, IpAddr) = (from.parse().expect("valid"), "fd77::1".parse().expect("valid"));
        let message = MessageV3::new(Node::VRID, 100, &["fe80::100".parse().expect("valid")]);
        let macs = (mac[..].try_into().expect("six octets"), wire.mac);
        wire.send(&ip(macs, ends, hops, 112, &message.bytes(ends)));
    };
    for hops in [1, 64, 254] {
        send("fd77::2", hops);
    }
    router.run.log.wait_for("Dropping adverts from fd77::2 (ttl)", seconds(1));
    assert_eq!(router.run.log.since(0, "Master is"), [""; 0]);
    send("fd99::2", 64);
    router.run.log.wait_for("Master is fd99::2 (priority 250)", seconds(1));
    send("fd77::2", 255);
    router.run.log.wait_for("Master is fd77::2 (priority 250)", seconds(1));
    assert_eq!(router.dropped().get("ttl"), Some(&3));
}
