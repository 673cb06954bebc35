//! Multicast groups that the kernel forgets, and address families that a host does not have.

use std::fs;
use std::net::IpAddr;

use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const VIP6: &str = "fd00::100";

fn vip6() -> IpAddr {
    VIP6.parse().unwrap()
}

fn set_disable_ipv6(host: &Host, value: &str) {
    host.inside(|| fs::write("/proc/sys/net/ipv6/conf/enp0s3/disable_ipv6", value).unwrap());
}

/// Two routers with `vip`, whose names begin with VI_1; the first one is master.
fn pair(lab: &Lab, vip: &str) -> [Router; 2] {
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let routers = [(200, 0), (100, 1)]
        .map(|(priority, n)| Router::start(Kind::Ours, &hosts[n], &Node::plain(priority).with("VIP", vip)));
    routers[0].run.log.wait_for("Entering MASTER STATE", START);
    routers[1].run.log.wait_for("Entering BACKUP STATE", START);
    routers
}

/// After `disturb` on the backup it must be a backup again that hears its master: no second holder.
fn stays_backup([a, b]: &[Router; 2], vip: IpAddr, disturb: impl Fn(&Host)) {
    for _ in 0..2 {
        disturb(&b.host);
        // The address may have to pass duplicate detection before the router starts again.
        wait_until("b is BACKUP again", seconds(6), || command(b, &["healthcheck", "--ready"]).0 == 0);
        let mark = b.run.log.mark();
        std::thread::sleep(seconds(5));
        assert_eq!(b.run.log.since(mark, "Entering MASTER"), Vec::<String>::new());
        assert!(a.host.holds(vip) && !b.host.holds(vip));
    }
}

#[test]
fn a_backup_hears_again_after_its_mtu_was_too_small_for_ipv6() {
    let lab = Lab::new();
    let pair = pair(&lab, VIP6);
    stays_backup(&pair, vip6(), |host| {
        host.ip("link set enp0s3 mtu 1000");
        std::thread::sleep(millis(300));
        host.ip("link set enp0s3 mtu 1500");
    });
}

#[test]
fn a_backup_hears_again_after_ipv6_was_disabled() {
    let lab = Lab::new();
    let pair = pair(&lab, VIP6);
    stays_backup(&pair, vip6(), |host| {
        set_disable_ipv6(host, "1");
        std::thread::sleep(millis(300));
        set_disable_ipv6(host, "0");
    });
}

#[test]
fn a_backup_hears_again_after_its_link_was_down_and_its_mtu_small() {
    let lab = Lab::new();
    let pair = pair(&lab, VIP6);
    stays_backup(&pair, vip6(), |host| {
        host.ip("link set enp0s3 down");
        host.ip("link set enp0s3 mtu 1000");
        host.ip("link set enp0s3 mtu 1500");
        host.ip("link set enp0s3 up");
    });
}

#[test]
fn a_backup_hears_again_after_its_link_was_down_or_its_ipv4_address_replaced() {
    let lab = Lab::new();
    let pair = pair(&lab, "10.77.0.100");
    stays_backup(&pair, Node::VIP.into(), |host| {
        host.ip("link set enp0s3 down");
        host.ip("link set enp0s3 up");
    });
    stays_backup(&pair, Node::VIP.into(), |host| {
        let own = if host.holds([10, 77, 0, 2]) { ["2", "3"] } else { ["3", "2"] };
        host.ip(&format!("address del 10.77.0.{}/24 dev enp0s3", own[0]));
        host.ip(&format!("address add 10.77.0.{}/24 brd + dev enp0s3", own[1]));
    });
}

#[test]
fn a_backup_hears_again_after_its_link_local_address_was_replaced() {
    let lab = Lab::new();
    let pair = pair(&lab, VIP6);
    stays_backup(&pair, vip6(), |host| {
        host.ip("address flush dev enp0s3 scope link");
        host.ip("address add fe80::77/64 dev enp0s3");
    });
}

#[test]
fn a_master_hears_its_better_again_after_its_mtu_was_too_small_for_ipv6() {
    let lab = Lab::new();
    let [a, b] = pair(&lab, VIP6);
    for _ in 0..2 {
        let marks = [a.run.log.mark(), b.run.log.mark()];
        a.host.ip("link set enp0s3 mtu 1000");
        b.run.log.wait_for_after(marks[1], "Entering MASTER STATE", seconds(6));
        a.host.ip("link set enp0s3 mtu 1500");
        a.run.log.wait_for_after(marks[0], "Entering MASTER STATE … preempting", seconds(8));
        b.run.log.wait_for_after(marks[1], "Entering BACKUP STATE", seconds(1));
    }
}

/// The kernel's membership of the second must not depend on the first's.
#[test]
fn two_routers_of_one_host_hear_again_each_for_itself() {
    let lab = Lab::new();
    let [a, first] = pair(&lab, VIP6);
    let node = |priority| Node::plain(priority).with("VIP", "fd00::101").with("VIRTUAL_ROUTER", "52");
    let other = Router::start(Kind::Ours, &a.host, &node(200));
    other.run.log.wait_for("Entering MASTER STATE", START);
    let second = Router::start(Kind::Ours, &first.host, &node(100));
    second.run.log.wait_for("Entering BACKUP STATE", START);
    let marks = [first.run.log.mark(), second.run.log.mark()];
    first.host.ip("link set enp0s3 mtu 1000");
    std::thread::sleep(millis(300));
    first.host.ip("link set enp0s3 mtu 1500");
    first.run.log.wait_for_after(marks[0], "Entering BACKUP STATE", seconds(6));
    second.run.log.wait_for_after(marks[1], "Entering BACKUP STATE", seconds(6));
    drop(first);
    std::thread::sleep(seconds(5));
    assert_eq!(second.run.log.since(marks[1], "Entering MASTER"), Vec::<String>::new());
}

/// A host that has only one family serves that one, and says so.
fn serves_only(prepare: impl Fn(&Host), served: (&str, IpAddr), left_out: (&str, &str)) {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    prepare(&host);
    let router =
        Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP", format!("10.77.0.100 {VIP6}")));
    let (name, family) = left_out;
    router.run.log.wait_for(&format!("warn … ({name}) … {family} … left out"), seconds(6));
    router.run.log.wait_for(&format!("({}) Entering MASTER STATE", served.0), START);
    wait_until("it holds the address", seconds(1), || host.holds(served.1));
    let (_, json) = command(&router, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let entry = json["routers"].as_array().unwrap().iter().find(|router| router["name"] == name).unwrap();
    assert!(entry["warnings"].to_string().contains("left out") && entry["left_out"] == true, "{entry}");
    let (code, text) = command(&router, &["healthcheck", "--master"]);
    assert_eq!((code, text), (0, format!("healthy, {} MASTER", served.0)), "it does not count");
    assert_eq!(router.run.log.since(0, "left out").len(), 1, "once");
}

#[test]
fn a_host_with_ipv6_disabled_serves_ipv4() {
    serves_only(|host| set_disable_ipv6(host, "1"), ("VI_1", Node::VIP.into()), ("VI_1_v6", "IPv6"));
}

#[test]
fn a_host_without_a_link_local_address_serves_ipv4() {
    serves_only(
        |host| {
            host.ip("link set enp0s3 addrgenmode none");
            host.ip("address flush dev enp0s3 scope link");
        },
        ("VI_1", Node::VIP.into()),
        ("VI_1_v6", "IPv6"),
    );
}

#[test]
fn a_host_with_an_mtu_too_small_for_ipv6_serves_ipv4() {
    serves_only(
        |host| {
            host.ip("link set enp0s3 mtu 1200");
        },
        ("VI_1", Node::VIP.into()),
        ("VI_1_v6", "IPv6"),
    );
}

#[test]
fn a_host_without_an_ipv4_address_serves_ipv6() {
    serves_only(
        |host| {
            host.ip("-4 address flush dev enp0s3");
        },
        ("VI_1_v6", vip6()),
        ("VI_1", "IPv4"),
    );
}

/// The host has the family, but not on the link of the virtual address.
#[test]
fn a_host_that_refuses_the_virtual_addresses_of_one_family_serves_the_other() {
    for (prepare, reason) in [
        (&["addrgenmode none", "mtu 1200"], "MTU of at least 1280"),
        (&["addrgenmode none", "disable_ipv6"], "sysctl net.ipv6.conf.eth1.disable_ipv6=0"),
    ] {
        let lab = Lab::new();
        let host = lab.host("a", 1);
        host.ip("link add eth1 type veth peer name eth1p");
        host.ip("link set eth1p up");
        for setting in prepare {
            if *setting == "disable_ipv6" {
                host.inside(|| fs::write("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "1").unwrap());
            } else {
                host.ip(&format!("link set eth1 {setting}"));
            }
        }
        host.ip("link set eth1 up");
        let node = Node::plain(200).with("VIP", format!("10.77.0.100, fe80::100, {VIP6} dev eth1"));
        let router = Router::start(Kind::Ours, &host, &node);
        let line =
            router.run.log.wait_for(&format!("(VI_1_v6) cannot add address {VIP6}/128 on eth1"), START).text;
        assert!(line.contains(reason) && !line.contains("NET_ADMIN"), "{line}");
        router
            .run
            .log
            .wait_for("warning: (VI_1_v6) This host has refused an IPv6 virtual address", seconds(1));
        router.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
        std::thread::sleep(seconds(1));
        assert!(host.holds(Node::VIP));
        assert_eq!(router.run.log.since(0, "(VI_1) Entering FAULT STATE"), [""; 0]);
        assert_eq!(command(&router, &["healthcheck", "--master"]).0, 0);
    }
}

/// Another host may have what this one lost.
#[test]
fn a_virtual_address_that_is_refused_after_it_was_accepted_takes_the_other_family_with_it() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("link add eth1 type veth peer name eth1p");
    host.ip("link set eth1p up");
    host.ip("link set eth1 up");
    let node = Node::plain(200).with("VIP", format!("10.77.0.100, fe80::100, {VIP6} dev eth1"));
    let router = Router::start(Kind::Ours, &host, &node);
    for name in ["VI_1", "VI_1_v6"] {
        router.run.log.wait_for(&format!("({name}) Entering MASTER STATE"), START);
    }
    host.inside(|| fs::write("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "1").unwrap());
    router.run.log.wait_for("(VI_1) Entering FAULT STATE", seconds(3));
    assert_eq!(router.run.log.since(0, "left out"), [""; 0]);
    assert!(!host.holds(Node::VIP));
}

#[test]
fn an_excluded_address_of_a_family_that_the_host_lacks_is_left_out_until_it_comes() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    set_disable_ipv6(&host, "1");
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP_EXCLUDED", VIP6));
    router.wait_master(0, START);
    router.run.log.wait_for(&format!("warn … {VIP6} is left out"), seconds(1));
    std::thread::sleep(seconds(3));
    assert_eq!(command(&router, &["healthcheck", "--master"]).0, 0);
    assert_eq!(router.run.log.since(0, "FAULT"), Vec::<String>::new());
    let mark = router.run.log.mark();
    set_disable_ipv6(&host, "0");
    wait_until("it is added", seconds(4), || host.holds(vip6()));
    wait_until("it is healthy", seconds(1), || command(&router, &["healthcheck", "--master"]).0 == 0);
    assert_eq!(router.run.log.since(mark, "error"), Vec::<String>::new());
}

#[test]
fn a_family_that_comes_later_takes_part_and_its_faults_are_shared_from_then_on() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    set_disable_ipv6(&hosts[0], "1");
    let node = |priority| Node::plain(priority).with("VIP", format!("10.77.0.100 {VIP6}"));
    let a = Router::start(Kind::Ours, &hosts[0], &node(200));
    let b = Router::start(Kind::Ours, &hosts[1], &node(100));
    a.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    b.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", START);
    set_disable_ipv6(&hosts[0], "0");
    a.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", START);
    b.run.log.wait_for("(VI_1_v6) Entering BACKUP STATE … ranks higher", seconds(2));
    let marks = [a.run.log.mark(), b.run.log.mark()];
    set_disable_ipv6(&hosts[0], "1");
    a.run.log.wait_for_after(marks[0], "(VI_1_v6) Entering FAULT STATE", seconds(2));
    a.run.log.wait_for_after(marks[0], "(VI_1) Entering FAULT STATE", seconds(2));
    b.run.log.wait_for_after(marks[1], "(VI_1) Entering MASTER STATE", seconds(6));
    assert_eq!(a.run.log.since(marks[0], "left out"), Vec::<String>::new(), "it was there");
}
