//! `vrrp-init scan` in a network of correct and faulty routers.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::wire::{Message, with_checksum};
use crate::support::{millis, seconds};
use nix::sys::signal::Signal;

fn scan(host: &Host, launch: Launch<'_>, args: &[&str], env: &[(&str, &str)]) -> Running {
    let args: Vec<_> = ["scan"].iter().chain(args).collect();
    let env: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Running::start(host, launch, Path::new(OURS), &args, &env as &[(OsString, OsString)])
}

/// The lines of the table, with one space between words.
fn rows(scan: &Running) -> Vec<String> {
    let text = scan.log.whole(seconds(1));
    let lines = text.lines().filter(|line| line.starts_with("enp0s3"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What is wrong.
fn problems(scan: &Running) -> Vec<String> {
    let text = scan.log.whole(seconds(1));
    text.lines().filter_map(|line| line.strip_prefix("  ").map(str::to_owned)).collect()
}

/// Sends faulty adverts, and adverts of another version, until the time is over.
fn misbehave(client: &Host) {
    let stranger = Ipv4Addr::new(10, 77, 0, 77);
    let good = Message::default();
    let mut wrong_sum = good.bytes();
    wrong_sum[7] ^= 1;
    let cisco = Message { vrid: 70, auth_type: 254, ..good.clone() };
    let still = Message { vrid: 71, interval: 0, ..good.clone() };
    let empty = Message { vrid: 72, vips: vec![], ..good.clone() };
    let other = Message { vrid: 60, ..good.clone() };
    for round in 0..4 {
        client.send(254, &[], &good.bytes());
        client.send(255, &[], &wrong_sum);
        for message in [&cisco, &still, &empty] {
            client.send(255, &[], &message.bytes());
        }
        client.send(255, &[], &with_checksum([&[0x2f][..], &good.bytes()[1..]].concat()));
        if round == 0 {
            client.send(255, &[1, 1, 1, 0], &good.bytes());
            client.send_as(stranger, 255, &[], &Message { priority: 0, ..other.clone() }.bytes());
        }
        client.send_as(stranger, 255, &[], &other.bytes());
        std::thread::sleep(millis(1_000));
    }
}

#[test]
fn a_scan_lists_every_sender_and_every_conflict() {
    let lab = Lab::new();
    let [a, b, client, third] =
        [("a", 1), ("b", 2), ("client", 250), ("third", 251)].map(|(name, number)| lab.host(name, number));
    let ours =
        Router::start(Kind::Ours, &a, &Node::plain(200).with("VIP", "10.77.0.100 fe80::100 fd00::100"));
    let keepalived = Node {
        vrid: 60,
        instance: "version 3\n".into(),
        vips: Some("10.77.0.110\n 10.77.0.111".into()),
        ..Node::plain(150)
    };
    let theirs = Router::start(Kind::Keepalived, &b, &keepalived);
    ours.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    ours.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", START);
    theirs.run.log.wait_for("(VI_1) Entering MASTER STATE", START);

    let mut scan = scan(&third, Launch::NotPidOne, &[], &[]);
    let began = scan.log.wait_for("Listening for VRRP on enp0s3 for 5 s", seconds(2)).at;
    misbehave(&client);
    assert_eq!(scan.wait_exit(seconds(3)), 0);
    let took = scan.log.wait_for("Free VRID", seconds(1)).at - began;
    assert!((millis(4_950)..millis(5_500)).contains(&took), "it took {took:?}");

    let link_local = a.ip("-o -6 address show dev enp0s3 scope link");
    let link_local =
        link_local.split_whitespace().find_map(|word| word.strip_suffix("/64")).expect("an address");
    assert_eq!(
        rows(&scan),
        [
            "enp0s3 IPv4 51 2 10.77.0.1 200 1 s none right 10.77.0.100",
            "enp0s3 IPv4 51 2 10.77.0.250 250 1 s none wrong 10.77.0.100",
            "enp0s3 IPv4 60 3 10.77.0.2 150 1 s - pseudo-header 10.77.0.110 10.77.0.111",
            "enp0s3 IPv4 60 2 10.77.0.77 250 1 s none right 10.77.0.100",
            "enp0s3 IPv4 70 2 10.77.0.250 250 1 s type 254 - 10.77.0.100",
            "enp0s3 IPv4 71 2 10.77.0.250 250 0 s none - 10.77.0.100",
            "enp0s3 IPv4 72 2 10.77.0.250 250 1 s none - -",
            &format!("enp0s3 IPv6 51 3 {link_local} 200 1 s - right fe80::100 fd00::100"),
        ]
    );
    let place = "enp0s3 IPv4 VRID";
    let expected = [
        format!("{place} 51, 10.77.0.250: TTL 254 instead of 255: it was forwarded by a router (4 of 12)"),
        format!("{place} 51, 10.77.0.250: type 15: not an advertisement (4 of 12)"),
        format!("{place} 51, 10.77.0.250: wrong checksum (4 of 12)"),
        format!(
            "{place} 60: two masters: 10.77.0.2 (priority 150), 10.77.0.77 (priority 250); they do not hear each \
             other, or drop each other's adverts"
        ),
        format!("{place} 60: versions differ: 10.77.0.2 VRRPv3, 10.77.0.77 VRRPv2"),
        format!(
            "{place} 60: addresses differ: 10.77.0.2 [10.77.0.110 10.77.0.111], 10.77.0.77 [10.77.0.100]"
        ),
        format!("{place} 60, 10.77.0.77: released the addresses (priority 0) (1 of 5)"),
        format!("{place} 70, 10.77.0.250: unknown authentication type 254 (4 of 4)"),
        format!("{place} 71, 10.77.0.250: interval 0 (4 of 4)"),
        format!("{place} 72, 10.77.0.250: no address (count 0) (4 of 4)"),
        "enp0s3, 10.77.0.250: the packet carries IP options (1)".to_owned(),
    ];
    assert_eq!(problems(&scan), expected);
    scan.log.wait_for("Free VRID: 1", seconds(1));
    scan.log.wait_for(
        "A scan does not hear backups … unicast adverts to other hosts … adverts of this host.",
        seconds(1),
    );
}

#[test]
fn beside_a_running_daemon_a_scan_disturbs_nothing_and_names_what_it_cannot_receive() {
    let lab = Lab::new();
    let (host, other, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let node = Node { vrid: 1, ..Node::plain(200) };
    let ours = Router::start(Kind::Ours, &host, &node);
    let second = Node { vrid: 2, vip: [10, 77, 0, 101].into(), ..Node::plain(100) };
    let theirs = Router::start(Kind::Ours, &other, &second);
    ours.wait_master(0, START);
    theirs.wait_master(0, START);
    let (mark, capture) =
        (ours.run.log.mark(), Capture::start(&client, "beside", "proto 112 and src host 10.77.0.1"));
    let args: [OsString; 2] = ["scan".into(), "3".into()];
    let env = ours.node.environment(&host);
    let mut scan = Running::start(&host, Launch::Joining(&ours.run), Path::new(OURS), &args, &env);
    assert_eq!(scan.wait_exit(seconds(6)), 0);
    assert_eq!(rows(&scan), ["enp0s3 IPv4 2 2 10.77.0.2 100 1 s none right 10.77.0.101"]);
    assert_eq!(problems(&scan), [""; 0]);
    scan.log.wait_for("Free VRID: 3", seconds(1));
    scan.log.wait_for("adverts of this host (this container: VRID 1).", seconds(1));
    scan.log.wait_for("This host is a master: it holds 10.77.0.100.", seconds(1));
    let captured = capture.finish();
    let adverts = captured.adverts(None);
    assert!(adverts.len() >= 3, "{} adverts", adverts.len());
    for pair in adverts.windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        assert!(gap < millis(1_100), "adverts {gap:?} apart");
    }
    assert_eq!(ours.run.log.since(mark, "Entering"), Vec::<String>::new());
}

#[test]
fn adverts_that_this_hosts_firewall_drops_are_heard_all_the_same() {
    let lab = Lab::new();
    let (master, third) = (lab.host("a", 1), lab.host("third", 251));
    let ours = Router::start(Kind::Ours, &master, &Node::plain(200).with("VIP", "10.77.0.100 fd00::100"));
    ours.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    ours.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", START);
    third.nft("add table inet t");
    third.nft("add chain inet t in { type filter hook input priority 0 ; }");
    third.nft("add rule inet t in meta l4proto 112 ip saddr 10.77.0.1 drop");
    let client = lab.host("client", 250);
    let [multicast, unicast] = [60, 61].map(|vrid| Message { vrid, ..Message::default() }.bytes());
    let stranger = Ipv4Addr::new(10, 77, 0, 77);
    let listen = |args: &[&str]| {
        let mut scan = scan(&third, Launch::NotPidOne, args, &[]);
        scan.log.wait_for("Listening for VRRP", seconds(2));
        std::thread::sleep(millis(200));
        client.send(255, &[], &multicast);
        client.send_to(third.address, stranger, 64, &unicast);
        assert_eq!(scan.wait_exit(seconds(4)), 0);
        scan
    };
    let sentence = "reach enp0s3 and are dropped by this host's firewall (accept IP protocol 112)";
    let some = listen(&["2"]);
    let dropped = format!(
        "enp0s3 IPv4 VRID 51: adverts of 10.77.0.1 {sentence}, or by rp_filter if the route to 10.77.0.1 is not over enp0s3"
    );
    assert_eq!(problems(&some), [dropped]);
    assert_eq!(rows(&some).len(), 3, "{:?}", rows(&some));
    assert!(rows(&some).contains(&"enp0s3 IPv4 61 2 10.77.0.77 250 1 s none right 10.77.0.100".to_owned()));
    third.nft("add rule inet t in meta l4proto 112 drop");
    let all = listen(&["2"]);
    all.log.wait_for("No adverts passed this host's firewall.", seconds(1));
    let lines = problems(&all);
    assert!(lines.len() == 4 && lines.iter().all(|line| line.contains(sentence)), "{lines:#?}");
    for (family, vrid) in [("IPv4", 51), ("IPv6", 51), ("IPv4", 60), ("IPv4", 61)] {
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("enp0s3 {family} VRID {vrid}: "))),
            "{lines:#?}"
        );
    }
    all.log.wait_for("Free VRID: 1", seconds(1));
}

#[test]
fn a_stopped_scan_prints_its_results_so_far() {
    let lab = Lab::new();
    let (host, third) = (lab.host("a", 1), lab.host("third", 251));
    let ours = Router::start(Kind::Ours, &host, &Node::plain(200));
    ours.wait_master(0, START);
    for (launch, signal) in [(Launch::PidOne, Signal::SIGTERM), (Launch::NotPidOne, Signal::SIGINT)] {
        let mut scan = scan(&third, launch, &["3600"], &[("INTERFACE", "enp0s3")]);
        scan.log.wait_for("Listening for VRRP on enp0s3 for 3600 s", seconds(2));
        std::thread::sleep(millis(1_200));
        scan.signal(signal);
        assert_eq!(scan.wait_exit(seconds(2)), 0);
        scan.log.wait_for("Stopped after 1.", seconds(1));
        assert_eq!(rows(&scan), ["enp0s3 IPv4 51 2 10.77.0.1 200 1 s none right 10.77.0.100"]);
    }
}

#[test]
fn a_scan_needs_net_raw_alone() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut without = scan(&host, Launch::Without("net_raw"), &["1"], &[]);
    assert_eq!(without.wait_exit(seconds(3)), 77);
    without.log.wait_for("the capability NET_RAW is missing", seconds(1));
    without.log.wait_for("cap_add: [NET_ADMIN, NET_RAW]", seconds(1));
    let mut enough = scan(&host, Launch::Without("net_admin"), &["1"], &[]);
    assert_eq!(enough.wait_exit(seconds(3)), 0);
    enough.log.wait_for("No adverts were heard", seconds(1));
}

#[test]
fn a_scan_checks_its_interface_and_duration_first() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    for args in [&["0"][..], &["abc"], &["3601"], &["5", "5"]] {
        let mut scan = scan(&host, Launch::NotPidOne, args, &[]);
        assert_eq!(scan.wait_exit(seconds(2)), 64, "{args:?}");
        scan.log.wait_for("usage: vrrp-init", seconds(1));
    }
    let refused = |env: &[(&str, &str)], why| {
        let mut scan = scan(&host, Launch::NotPidOne, &["1"], env);
        assert_eq!(scan.wait_exit(seconds(2)), 78, "{env:?}");
        scan.log.wait_for(why, seconds(1));
    };
    refused(&[], "vrrp-init: no interface is up and supports multicast");
    refused(&[("INTERFACE", "eth7")], "vrrp-init: interface eth7 does not exist");
    // Also under other names, and while another variable is invalid.
    let file = host.file("interface");
    std::fs::write(&file, "eth7\n").unwrap();
    for (name, value) in [("KEEPALIVED_IFACE", "eth7"), ("INTERFACE_FILE", file.to_str().unwrap())] {
        refused(&[(name, value), ("PRIORITY", "high")], "vrrp-init: interface eth7 does not exist");
    }
    host.plug_in();
    host.ip("link add eth7 type veth peer name eth8");
    let mut all = scan(&host, Launch::NotPidOne, &["1"], &[("INTERFACE", "auto")]);
    all.log.wait_for("Listening for VRRP on enp0s3 for 1 s", seconds(2));
    let mut down = scan(&host, Launch::NotPidOne, &["1"], &[("INTERFACE", "eth7")]);
    assert_eq!((all.wait_exit(seconds(3)), down.wait_exit(seconds(3))), (0, 0));
    down.log.wait_for("  eth7 is down", seconds(1));
}

#[test]
fn an_interface_that_has_no_ipv6_or_goes_away_ends_no_scan() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("link add eth7 type veth peer name eth8");
    host.ip("link set eth7 up");
    host.ip("link set eth8 up");
    host.inside(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/eth7/disable_ipv6", "1").expect("the host's own");
    });
    let mut scan = scan(&host, Launch::NotPidOne, &["2"], &[]);
    scan.log.wait_for("Listening for VRRP on enp0s3, eth7, eth8 for 2 s", seconds(2));
    host.ip("link delete eth7");
    assert_eq!(scan.wait_exit(seconds(4)), 0);
    scan.log.wait_for("No adverts were heard", seconds(1));
}
