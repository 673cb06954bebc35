//! Adverts that do not fit the MTU, and masters that cannot send.

use crate::support::capture::Capture;
use crate::support::lab::Lab;
use crate::support::pair::{Pair, START};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

/// `number` addresses, in the format of VIP.
fn addresses(number: u16, prefix: &str) -> String {
    let list: Vec<_> = (1..=number).map(|n| format!("{prefix}{n}")).collect();
    list.join(" ")
}

fn node(priority: u8, vips: &str) -> Node {
    Node::plain(priority).with("VIP", vips).with("LOG_LEVEL", "info")
}

/// Starts both, the backup first. The master's adverts are longer than the MTU and keep the backup quiet.
fn one_master(mtu: u16, nodes: &[Node; 2]) {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    for host in &hosts {
        host.ip(&format!("link set enp0s3 mtu {mtu}"));
        // Below 1,280 there is no IPv6. Otherwise its address is ready after a random time.
        let ready = || host.ip("-6 -o address show dev enp0s3 -tentative").contains("fe80");
        if mtu >= 1_280 {
            wait_until("the link-local address is ready", seconds(4), ready);
        }
    }
    let b = Router::start(Kind::Ours, &hosts[1], &nodes[1]);
    std::thread::sleep(millis(100));
    let a = Router::start(Kind::Ours, &hosts[0], &nodes[0]);
    a.run.log.wait_for("Entering MASTER STATE", START);
    std::thread::sleep(millis(4_500));
    assert_eq!(b.run.log.since(0, "Entering MASTER STATE"), [""; 0], "the backup hears the master");
    assert_eq!(a.run.log.since(0, "too long"), [""; 0]);
}

#[test]
fn an_advert_with_150_addresses_is_fragmented_at_an_mtu_of_576() {
    let vips = addresses(150, "10.77.1.");
    one_master(576, &[200, 100].map(|priority| node(priority, &vips)));
}

#[test]
fn an_advert_with_90_addresses_is_fragmented_at_the_smallest_mtu() {
    let vips = addresses(90, "10.77.1.");
    one_master(68, &[200, 100].map(|priority| node(priority, &vips)));
}

#[test]
fn an_ipv6_advert_with_90_addresses_is_fragmented_at_an_mtu_of_1280() {
    let vips = format!("fe80::100 {}", addresses(89, "fd77::"));
    one_master(1280, &[200, 100].map(|priority| node(priority, &vips)));
}

#[test]
fn a_unicast_advert_is_fragmented() {
    let vips = addresses(200, "10.77.1.");
    let nodes = [200, 100].map(|priority| {
        node(priority, &vips).with("UNICAST_PEERS", "10.77.0.1 10.77.0.2").with("VRRP_VERSION", "3")
    });
    one_master(576, &nodes);
}

#[test]
fn a_master_fragments_its_adverts_when_the_mtu_falls() {
    let vips = addresses(150, "10.77.1.");
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let [a, b] = [0, 1].map(|n| Router::start(Kind::Ours, &hosts[n], &node([200, 100][n], &vips)));
    a.run.log.wait_for("Entering MASTER STATE", START);
    b.run.log.wait_for("Master is 10.77.0.1", seconds(2));
    for mtu in [576, 256, 1_000] {
        for host in &hosts {
            host.ip(&format!("link set enp0s3 mtu {mtu}"));
        }
        std::thread::sleep(millis(4_500));
    }
    assert_eq!(b.run.log.since(0, "Entering MASTER STATE"), [""; 0]);
    assert_eq!(a.run.log.since(0, "Entering FAULT STATE"), [""; 0]);
}

#[test]
fn fragments_have_the_ttl_and_the_class_of_other_adverts() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    host.ip("link set enp0s3 mtu 576");
    let capture = Capture::start(&client, "fragments", "proto 112");
    let router = Router::start(Kind::Ours, &host, &node(200, &addresses(150, "10.77.1.")));
    router.run.log.wait_for("Entering MASTER STATE", START);
    std::thread::sleep(millis(1_500));
    let captured = capture.finish();
    let rows = captured.tshark("ip.proto == 112", &["ip.src", "ip.dst", "ip.ttl", "ip.dsfield"]);
    assert!(rows.len() >= 4, "two adverts, in two fragments each: {rows:?}");
    for row in rows {
        assert_eq!(row, ["10.77.0.1", "224.0.0.18", "255", "0xc0"]);
    }
}

/// An output rule drops the adverts of the master.
#[test]
fn a_master_that_cannot_send_gives_up_and_returns_when_it_can() {
    let pair = Pair::start([Kind::Ours; 2], &[200, 100].map(Node::plain));
    let (a, b, marks) = (&pair.a, &pair.b, pair.marks());
    a.host.nft("add table ip t");
    a.host.nft("add chain ip t o { type filter hook output priority 0 ; }");
    a.host.nft("add rule ip t o ip protocol 112 drop");
    b.wait_master(marks[1], START);
    let cause = "Entering FAULT STATE … no advert could be sent … cannot send VRRP from 10.77.0.1 … Operation not permitted";
    a.run.log.wait_for_after(marks[0], cause, seconds(2));
    assert!(!a.holds_vip() && b.holds_vip());
    // It stays there, and does not flap.
    let mark = a.run.log.mark();
    std::thread::sleep(millis(4_500));
    assert_eq!(a.run.log.since(mark, "STATE"), [""; 0]);
    assert!(b.holds_vip());
    a.host.nft("delete table ip t");
    a.run.log.wait_for_after(mark, "Entering BACKUP STATE … adverts can be sent again", seconds(2));
    a.wait_master(mark, START);
    b.wait_backup(marks[1], seconds(1));
    assert!(!b.holds_vip());
}

/// The only route to the unicast peers goes away while the link stays up.
#[test]
fn a_unicast_master_without_a_route_to_any_peer_gives_up() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    for (host, own, other) in [(&a, 1, 2), (&b, 2, 1)] {
        host.ip(&format!("address add 10.99.0.{own}/32 dev lo"));
        host.ip(&format!("route add 10.99.0.{other}/32 via 10.77.0.{other}"));
    }
    let nodes = [200, 100].map(|priority| {
        Node::plain(priority).with("UNICAST_PEERS", "10.99.0.1 10.99.0.2").with("ADVERT_INT", "0.2")
    });
    let b = Router::start(Kind::Ours, &b, &nodes[1]);
    let a = Router::start(Kind::Ours, &a, &nodes[0]);
    a.wait_master(0, START);
    b.run.log.wait_for("Master is 10.99.0.1", seconds(2));
    a.host.ip("route add unreachable 10.99.0.2/32 metric 1");
    a.host.ip("route del 10.99.0.2/32 via 10.77.0.2");
    a.run.log.wait_for("Entering FAULT STATE: no advert could be sent", seconds(3));
    b.wait_master(0, seconds(2));
    assert!(!a.holds_vip());
    let mark = a.run.log.mark();
    a.host.ip("route replace 10.99.0.2/32 via 10.77.0.2");
    a.host.ip("route del unreachable 10.99.0.2/32 metric 1");
    a.wait_master(mark, START);
}

/// One of two peers has no route: the other one still hears us.
#[test]
fn a_unicast_master_that_reaches_one_peer_goes_on() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    a.ip("route add unreachable 10.99.0.9/32");
    let nodes = [200, 100].map(|priority| {
        Node::plain(priority).with("UNICAST_PEERS", "10.77.0.1 10.77.0.2 10.99.0.9").with("ADVERT_INT", "0.2")
    });
    let b = Router::start(Kind::Ours, &b, &nodes[1]);
    let a = Router::start(Kind::Ours, &a, &nodes[0]);
    a.wait_master(0, START);
    b.run.log.wait_for("Master is 10.77.0.1", seconds(2));
    std::thread::sleep(millis(2_500));
    assert!(a.holds_vip() && !b.holds_vip());
}
