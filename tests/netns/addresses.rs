//! Virtual addresses beside the host's own: what is removed, what is never touched, and what is reported.

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::lab::{Host, Lab};
use crate::support::pair::{LEASE, LEASE_SLACK, Pair, START};
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

/// The interface's lines in `ip address` that have `address`.
fn shown(host: &Host, address: &str) -> String {
    let text = host.ip("-o address show dev enp0s3");
    text.lines().filter(|line| line.contains(&format!(" {address}"))).collect::<Vec<_>>().join("\n")
}

fn set_promote_secondaries(host: &Host, value: &str) {
    host.inside(|| fs::write("/proc/sys/net/ipv4/conf/enp0s3/promote_secondaries", value).unwrap());
}

fn promote_secondaries(host: &Host) -> String {
    let text =
        host.inside(|| fs::read_to_string("/proc/sys/net/ipv4/conf/enp0s3/promote_secondaries").unwrap());
    text.trim().to_owned()
}

fn stop(router: &mut Router) {
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
}

fn add_eth9(host: &Host) {
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
}

/// Runs a router alone until it is master and stopped again. The host's `own` address must be the same all the time.
fn keeps(host: &Host, own: &str, vip: &str, state: &str) {
    let before = shown(host, own);
    assert!(before.contains(own), "{own} is there: {before}");
    let same = |when: &str| assert_eq!(shown(host, own), before, "{own} for VIP={vip}, {when}");
    let mut router = Router::start(Kind::Ours, host, &Node::plain(200).with("VIP", vip));
    let address = own.split(['/', ' ']).next().unwrap();
    router.run.log.wait_for(&format!("warn … {address}/ … is this host's own address"), seconds(2));
    router.run.log.wait_for(&format!("Entering {state} STATE"), START);
    same("while it runs");
    let (code, text) = command(&router, &["status"]);
    assert!(code == 0 && text.contains("is this host's own address"), "{text}");
    assert_eq!(command(&router, &["healthcheck"]).0, 0, "a restart would not help");
    // Longer than the first renewals.
    std::thread::sleep(millis(1_500));
    same("after renewals");
    stop(&mut router);
    same("after the stop");
    let mut router = Router::start(Kind::Ours, host, &Node::plain(200).with("VIP", vip));
    router.run.log.wait_for(&format!("Entering {state} STATE"), START);
    router.run.kill();
    std::thread::sleep(LEASE + LEASE_SLACK);
    same("after a crash");
}

#[test]
fn the_hosts_only_address_is_never_removed() {
    let lab = Lab::new();
    keeps(&lab.host("a", 1), "10.77.0.1/24", "10.77.0.1/24", "MASTER");
}

#[test]
fn the_hosts_address_is_its_own_whatever_prefix_the_virtual_one_has() {
    let lab = Lab::new();
    keeps(&lab.host("a", 1), "10.77.0.1/24", "10.77.0.1", "MASTER");
}

#[test]
fn a_host_address_without_a_subnet_is_kept_if_the_host_has_no_other() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address flush dev enp0s3 scope global");
    host.ip("address add 10.77.0.1/32 dev enp0s3");
    keeps(&host, "10.77.0.1/32", "10.77.0.1", "MASTER");
}

#[test]
fn the_leftover_of_another_program_is_removed_from_a_link_without_an_address_of_the_host() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    add_eth9(&host);
    host.ip("address add 10.99.0.1/32 dev eth9");
    let router =
        Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP", "10.77.0.100, 10.99.0.1 dev eth9"));
    router.run.log.wait_for("warn … (VI_1) Removed 10.99.0.1/32", seconds(2));
    assert!(!host.ip("address show dev eth9").contains("10.99.0.1/"));
    router.wait_master(0, START);
    assert!(host.ip("address show dev eth9").contains("10.99.0.1/"));
}

#[test]
fn the_local_end_of_a_point_to_point_address_is_kept() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.99.0.1 peer 10.99.0.2/32 dev enp0s3");
    keeps(&host, "10.99.0.1 peer 10.99.0.2/32", "10.99.0.1", "MASTER");
}

#[test]
fn a_second_address_of_the_host_is_kept_in_both_families() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.77.0.7/24 dev enp0s3");
    keeps(&host, "10.77.0.7/24", "10.77.0.7/24", "MASTER");
    host.ip("address add fd00::7/64 nodad dev enp0s3");
    keeps(&host, "fd00::7/64", "fd00::7/64", "MASTER");
}

#[test]
fn a_host_address_that_goes_and_comes_back_is_the_hosts_again() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.77.0.7/24 dev enp0s3");
    let before = shown(&host, "10.77.0.7/24");
    let node = Node::plain(200).with("VIP", "10.77.0.7/24");
    let mut router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("Entering MASTER STATE", START);
    host.ip("address del 10.77.0.7/24 dev enp0s3");
    wait_until("the router has it", seconds(1), || host.holds([10, 77, 0, 7]));
    router.run.log.wait_for("Another program removed a virtual address: added it again", seconds(1));
    let mark = router.run.log.mark();
    // As networkd does after a restart.
    host.ip("address replace 10.77.0.7/24 dev enp0s3");
    std::thread::sleep(LEASE + LEASE_SLACK);
    assert_eq!(router.run.log.since(mark, "Another program removed"), Vec::<String>::new());
    assert_eq!(shown(&host, "10.77.0.7/24"), before, "no lease is left on it");
    stop(&mut router);
    assert_eq!(shown(&host, "10.77.0.7/24"), before);
}

/// The VIP is the first address of its subnet; the admin adds another one of the same subnet.
fn subnet_master(host: &Host) -> Router {
    let router = Router::start(Kind::Ours, host, &Node::plain(200).with("VIP", "192.168.7.1/24"));
    router.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    wait_until("it has the address", seconds(1), || host.holds([192, 168, 7, 1]));
    router
}

#[test]
fn addresses_that_the_host_gets_in_the_subnet_of_a_virtual_one_survive_it() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    set_promote_secondaries(&host, "0");
    let mut router = subnet_master(&host);
    router.run.log.wait_for("(VI_1) … promote_secondaries … enp0s3", seconds(1));
    assert_eq!(promote_secondaries(&host), "1");
    host.ip("address add 192.168.7.50/24 dev enp0s3");
    stop(&mut router);
    assert!(host.holds([192, 168, 7, 50]) && !host.holds([192, 168, 7, 1]));

    host.ip("address del 192.168.7.50/24 dev enp0s3");
    set_promote_secondaries(&host, "0");
    let mut router = subnet_master(&host);
    host.ip("address add 192.168.7.50/24 dev enp0s3");
    router.run.kill();
    wait_until("the lease ends", LEASE + LEASE_SLACK, || !host.holds([192, 168, 7, 1]));
    assert!(host.holds([192, 168, 7, 50]), "also where the kernel removed the virtual address");
}

/// As networkd and `sysctl -p` do.
#[test]
fn promote_secondaries_that_another_program_resets_is_set_again() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    set_promote_secondaries(&host, "0");
    for lease in ["2", "0"] {
        let node = Node::plain(200).with("VIP", "192.168.7.1/24").with("VIP_LEASE", lease);
        let mut router = Router::start(Kind::Ours, &host, &node);
        router.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
        for _ in 0..2 {
            wait_until("it is set", seconds(3), || promote_secondaries(&host) == "1");
            set_promote_secondaries(&host, "0");
            // The virtual address stays the primary one.
            host.ip("address replace 192.168.7.50/24 dev enp0s3");
        }
        wait_until("it is set again", seconds(3), || promote_secondaries(&host) == "1");
        assert_eq!(router.run.log.since(0, "warning: Set promote_secondaries=1 on enp0s3 again").len(), 1);
        stop(&mut router);
        assert!(host.holds([192, 168, 7, 50]) && !host.holds([192, 168, 7, 1]));
        host.ip("address del 192.168.7.50/24 dev enp0s3");
        set_promote_secondaries(&host, "0");
    }
}

#[test]
fn promote_secondaries_is_set_on_a_link_that_is_made_again_and_kept_on_a_renamed_one() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let setting = |name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/promote_secondaries");
        host.inside(|| fs::read_to_string(path).unwrap_or_default()).trim().to_owned()
    };
    let set = |name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/promote_secondaries");
        host.inside(|| fs::write(path, "0").unwrap());
    };
    let new_link = || {
        add_eth9(&host);
        set("eth9");
    };
    new_link();
    let node = Node::plain(200).with("VIP", "10.77.0.100, 192.168.7.1/24 dev eth9");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, START);
    wait_until("it is set", seconds(1), || setting("eth9") == "1");
    host.ip("link del eth9");
    router.run.log.wait_for("Entering FAULT STATE", seconds(3));
    let mark = router.run.log.mark();
    new_link();
    router.run.log.wait_for_after(mark, "Entering MASTER STATE", START);
    wait_until("it is set on the new link", seconds(2), || setting("eth9") == "1");
    // The name of the setting changes, the address stays until the renaming is noticed.
    host.ip("link set eth9 name eth8");
    set("eth8");
    host.ip("link set eth8 name eth9");
    wait_until("it is set again", START, || setting("eth9") == "1");
}

#[test]
fn promote_secondaries_is_left_alone_where_the_virtual_address_is_no_primary() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    set_promote_secondaries(&host, "0");
    for vip in ["10.77.0.100/24", "10.77.0.100", "10.99.0.1/32"] {
        let mut router = Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP", vip));
        router.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
        std::thread::sleep(millis(2_200));
        assert_eq!(promote_secondaries(&host), "0", "{vip}");
        stop(&mut router);
    }
}

#[test]
fn what_the_kernel_removes_with_a_virtual_address_is_put_back_as_it_was() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = subnet_master(&host);
    host.ip("address add 192.168.7.50/24 brd 192.168.7.255 dev enp0s3 label enp0s3:x");
    host.ip("address add 192.168.7.51/24 dev enp0s3 noprefixroute metric 7");
    host.ip("address add 192.168.8.1/24 dev enp0s3");
    let text = |n: &str| shown(&host, n).replace(" secondary", "");
    let before = [text("192.168.7.50"), text("192.168.7.51"), text("192.168.8.1")];
    // The router sets it again if there is time.
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped.load(Relaxed) {
                set_promote_secondaries(&host, "0");
            }
        });
        stop(&mut router);
        stopped.store(true, Relaxed);
    });
    assert!(!host.holds([192, 168, 7, 1]));
    assert_eq!([text("192.168.7.50"), text("192.168.7.51"), text("192.168.8.1")], before);
    router.run.log.wait_for("warn … 192.168.7.50/24 … added it again", seconds(1));
}

#[test]
fn what_the_kernel_removes_with_the_leftover_of_a_killed_router_is_put_back() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200).with("VIP", "192.168.7.1/24").with("VIP_LEASE", "60");
    let mut router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    router.run.kill();
    set_promote_secondaries(&host, "0");
    host.ip("address add 192.168.7.50/24 dev enp0s3");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("(VI_1) Removed 192.168.7.1/24", seconds(2));
    assert!(host.holds([192, 168, 7, 50]) && !host.holds([192, 168, 7, 1]));
}

#[test]
fn what_went_with_an_expired_lease_is_put_back_and_what_an_admin_removes_is_not() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = subnet_master(&host);
    router.run.signal(Signal::SIGSTOP);
    set_promote_secondaries(&host, "0");
    host.ip("address add 192.168.7.50/24 dev enp0s3");
    host.ip("address add 192.168.7.51/24 dev enp0s3");
    host.ip("address del 192.168.7.51/24 dev enp0s3");
    wait_until("the lease ends", LEASE + LEASE_SLACK, || !host.holds([192, 168, 7, 1]));
    assert!(!host.holds([192, 168, 7, 50]), "the kernel removed it: the case to be tested");
    router.run.signal(Signal::SIGCONT);
    wait_until("it is put back", seconds(2), || host.holds([192, 168, 7, 50]));
    stop(&mut router);
    assert!(host.holds([192, 168, 7, 50]) && !host.holds([192, 168, 7, 51]));
}

/// Puts the address on the backup by hand and checks that log, status and health report it until it is gone.
fn is_reported(pair: &Pair, address: &str, device: &str) {
    let host = &pair.b.host;
    let mark = pair.b.run.log.mark();
    host.ip(&format!("address add {address} dev {device}"));
    pair.b.run.log.wait_for_after(mark, &format!("warn … {address} is on {device}"), seconds(1));
    let (code, text) = command(&pair.b, &["healthcheck"]);
    let (vip, _) = address.split_once('/').unwrap();
    assert_eq!(
        (code, text.contains(&format!("VI_1 is BACKUP, but {vip} is on {device}"))),
        (1, true),
        "{text}"
    );
    let (_, json) = command(&pair.b, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let warnings = json["routers"][0]["warnings"].to_string();
    assert!(warnings.contains(&format!("{address} is on {device}")), "{warnings}");
    host.ip(&format!("address del {address} dev {device}"));
    wait_until("it is healthy again", seconds(1), || command(&pair.b, &["healthcheck"]).0 == 0);
    let (_, text) = command(&pair.b, &["status"]);
    assert!(!text.contains(&format!("{address} is on {device}")), "{text}");
}

#[test]
fn an_address_put_on_the_backup_by_hand_is_reported_whatever_its_prefix_and_link() {
    let pair = Pair::plain();
    add_eth9(&pair.b.host);
    is_reported(&pair, "10.77.0.100/24", "enp0s3");
    is_reported(&pair, "10.77.0.100/32", "enp0s3");
    is_reported(&pair, "10.77.0.100/16", "enp0s3");
    is_reported(&pair, "10.77.0.100/32", "eth9");
    assert!(pair.a.holds_vip() && command(&pair.a, &["healthcheck"]).0 == 0);
}

#[test]
fn an_ipv6_address_put_on_the_backup_by_hand_is_reported() {
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("VIP", "fd00::100"));
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let [a, b] = [0, 1].map(|n| Router::start(Kind::Ours, &hosts[n], &nodes[n]));
    a.run.log.wait_for("Entering MASTER STATE", START);
    hosts[1].ip("address add fd00::100/64 nodad dev enp0s3");
    b.run.log.wait_for("warn … fd00::100/64 is on enp0s3", seconds(1));
    let (code, text) = command(&b, &["healthcheck"]);
    assert_eq!((code, text.contains("VI_1 is BACKUP, but fd00::100 is on enp0s3")), (1, true), "{text}");
}

#[test]
fn an_address_put_on_the_backup_by_hand_is_the_hosts_and_survives_a_turn_as_master() {
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("VIP", "10.77.0.100/24"));
    let mut pair = Pair::start([Kind::Ours; 2], &nodes);
    let host = pair.b.host.clone();
    host.ip("address add 10.77.0.100/24 dev enp0s3");
    let marks = pair.marks();
    pair.a.run.kill();
    pair.b.run.log.wait_for_after(marks[1], "Entering MASTER STATE", seconds(6));
    assert_eq!(command(&pair.b, &["healthcheck"]).0, 0);
    let (_, status) = command(&pair.b, &["status"]);
    assert!(!status.contains("although this router is"), "a master may have it: {status}");
    stop(&mut pair.b);
    assert!(shown(&host, "10.77.0.100/24").contains("valid_lft forever"), "{}", shown(&host, "10.77.0.100"));
}

/// The address that `host` would send from to `to`.
fn source_to(host: &Host, to: &str) -> IpAddr {
    let text = host.ip(&format!("route get {to}"));
    text.split_whitespace().skip_while(|word| *word != "src").nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_ipv6_virtual_address_never_becomes_the_hosts_source() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add fd00:0:0:1::5/64 nodad dev enp0s3");
    for vip in
        ["fd00:0:0:1::100/64", "fd00:0:0:1::100/112", "fd00:0:0:1::100", "fd00:0:0:1::100/64 preferred_lft 0"]
    {
        let mut router = Router::start(Kind::Ours, &host, &Node::plain(200).with("VIP", vip));
        router.run.log.wait_for("Entering MASTER STATE", START);
        let text = shown(&host, "fd00:0:0:1::100");
        assert!(text.contains("deprecated") && text.contains("preferred_lft 0sec"), "{vip}: {text}");
        // The longest common prefix would win otherwise.
        assert_eq!(source_to(&host, "fd00:0:0:1::101"), "fd00:0:0:1::5".parse::<IpAddr>().unwrap(), "{vip}");
        assert_eq!(router.run.log.since(0, "is ignored"), Vec::<String>::new(), "{vip}");
        stop(&mut router);
    }
}
