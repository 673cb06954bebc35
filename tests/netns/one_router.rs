//! One router and its kernel: packets, interfaces, addresses, system calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::capture::{Capture, Frame};
use crate::support::lab::{Host, Lab};
use crate::support::pair::{Pair, START};
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, Router};
use crate::support::sampler::Sampler;
use crate::support::service::Haproxy;
use crate::support::wire::{Message, with_checksum};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

const VIP: std::net::Ipv4Addr = Node::VIP;

#[test]
fn adverts_are_exactly_those_of_rfc_3768() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let capture = Capture::start(&client, "adverts", "proto 112");
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    std::thread::sleep(millis(3_500));
    let captured = capture.finish();
    let adverts = captured.adverts(None);
    assert!((4..=5).contains(&adverts.len()), "{} adverts in 3.5 s", adverts.len());
    assert_eq!(captured.complaints(), Vec::<Vec<String>>::new());
    let fields = [
        ("ip.src", "10.77.0.1"),
        ("ip.dst", "224.0.0.18"),
        ("ip.ttl", "255"),
        ("ip.dsfield", "0xc0"),
        ("ip.len", "40"),
        ("eth.dst", "01:00:5e:00:00:12"),
        ("vrrp.version", "2"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.prio", "200"),
        ("vrrp.addr_count", "1"),
        ("vrrp.auth_type", "0"),
        ("vrrp.adver_int", "1"),
        ("vrrp.ip_addr", "10.77.0.100"),
    ];
    let (names, values): (Vec<&str>, Vec<&str>) = fields.into_iter().unzip();
    for row in captured.tshark("vrrp", &names) {
        assert_eq!(row, values);
    }
    let expected = Message { priority: 200, ..Message::default() }.bytes();
    for frame in &adverts {
        assert_eq!(&frame.packet()[20..], expected, "eight zero octets of authentication data end it");
        assert_eq!(frame.sender(), host.mac());
    }
    every_second(&adverts);
}

/// Checks that the adverts are one second apart, with slack for a busy machine.
fn every_second(adverts: &[&Frame]) {
    assert!(adverts.len() >= 3, "only {} adverts", adverts.len());
    for pair in adverts.windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        assert!((millis(900)..millis(1_100)).contains(&gap), "adverts {gap:?} apart");
    }
}

#[test]
fn an_address_deleted_by_hand_comes_back_to_the_same_master() {
    let pair = Pair::plain();
    for _ in 0..3 {
        let (marks, sampler) = (pair.marks(), pair.sample());
        pair.a.host.ip(&format!("address delete {VIP}/32 dev enp0s3"));
        wait_until("the address is back", seconds(1), || pair.a.holds_vip());
        std::thread::sleep(millis(1_200));
        let seen = sampler.finish();
        assert!(seen.several.is_zero() && seen.none < millis(500), "{seen:?}");
        assert_eq!(
            pair.b.run.log.since(marks[1], "Entering"),
            Vec::<String>::new(),
            "the backup noticed nothing"
        );
        assert!(pair.a.holds_vip());
    }
}

/// ST-14.
#[test]
fn an_interface_that_goes_down_is_a_fault_and_comes_back() {
    let pair = Pair::plain();
    let marks = pair.marks();
    pair.a.host.ip("link set enp0s3 down");
    pair.a.run.log.wait_for_after(marks[0], "(VI_1) Entering FAULT STATE", seconds(1));
    wait_until("the address is gone", seconds(1), || !pair.a.holds_vip());
    pair.b.wait_master(marks[1], seconds(5));
    let marks = pair.marks();
    pair.a.host.ip("link set enp0s3 up");
    pair.a.wait_backup(marks[0], seconds(3));
    pair.a.wait_master(marks[0], seconds(5));
    pair.b.wait_backup(marks[1], seconds(1));
    wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
}

#[test]
fn an_interface_that_appears_after_the_start_is_waited_for() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.run.log.wait_for("enp0s3 … wait", seconds(1));
    std::thread::sleep(millis(700));
    assert!(router.run.is_running(), "a missing interface is not a reason to exit");
    host.plug_in();
    router.wait_master(0, START);
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert!(!router.holds_vip());
}

#[test]
fn an_interface_that_is_deleted_and_created_again_works_again() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    let mark = router.run.log.mark();
    host.ip("link delete enp0s3");
    router.run.log.wait_for_after(mark, "(VI_1) Entering FAULT STATE", seconds(1));
    std::thread::sleep(millis(300));
    assert!(router.run.is_running());
    host.plug_in();
    router.wait_master(mark, START);
}

#[test]
fn an_interface_without_its_own_address_is_a_fault_until_it_has_one_again() {
    let pair = Pair::plain();
    let (marks, host) = (pair.marks(), &pair.a.host);
    host.ip(&format!("address delete {}/24 dev enp0s3", host.address));
    pair.a.run.log.wait_for_after(marks[0], "(VI_1) Entering FAULT STATE … IPv4 address", seconds(1));
    wait_until("the address is gone", seconds(1), || !pair.a.holds_vip());
    pair.b.wait_master(marks[1], seconds(5));
    let marks = pair.marks();
    host.ip(&format!("address add {}/24 brd + dev enp0s3", host.address));
    pair.a.wait_backup(marks[0], seconds(1));
    pair.a.wait_master(marks[0], START);
    pair.b.wait_backup(marks[1], seconds(1));
    wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
}

#[test]
fn by_default_the_address_is_leased_and_renewed_and_with_a_lease_of_0_it_is_permanent() {
    let lab = Lab::new();
    let (host_a, host_b) = (lab.host("a", 1), lab.host("b", 2));
    let lent = Router::start(Kind::Ours, &host_a, &Node::plain(200));
    let other = Node { vrid: 52, vip: [10, 77, 0, 101].into(), ..Node::plain(200) };
    let lasting = Router::start(Kind::Ours, &host_b, &other.with("VIP_LEASE", "0"));
    lent.wait_master(0, START);
    lasting.wait_master(0, START);
    let shown = |router: &Router| router.host.ip(&format!("address show to {}/32", router.node.vip));
    let sampler = Sampler::start(&[&host_a], VIP);
    for _ in 0..100 {
        let text = shown(&lent);
        let remaining =
            text.split_once("valid_lft ").and_then(|(_, rest)| rest.split_once("sec")?.0.parse().ok());
        assert!(remaining.is_some_and(|n: u32| (1..=4).contains(&n)) && text.contains("dynamic"), "{text}");
        std::thread::sleep(millis(100));
    }
    let seen = sampler.finish();
    assert!(seen.none.is_zero() && seen.changes == 0, "{seen:?}");
    let text = shown(&lasting);
    assert!(text.contains("valid_lft forever") && !text.contains("dynamic"), "{text}");
}

#[test]
fn a_steady_master_wakes_up_at_most_five_times_a_second() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::watching_haproxy(11).with("CHECK_INTERVAL", "2"));
    let _haproxy = Haproxy::start(&host, &router.run);
    router.wait_master(0, START);
    // The last announcement is made after five seconds.
    std::thread::sleep(millis(5_500));
    let wake_ups = || router.run.status("voluntary_ctxt_switches").parse::<u64>().expect("a count");
    let before = wake_ups();
    std::thread::sleep(seconds(10));
    let count = wake_ups() - before;
    assert!((10..=50).contains(&count), "{count} wake-ups in 10 s");
}

#[test]
fn between_two_checks_nothing_is_read_from_proc_until_a_process_ends() {
    const BYSTANDERS: u64 = 50;
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let idle = Running::start(&host, Launch::PidOne, Path::new("/usr/bin/sleep"), &["600"], &[]);
    let text = format!("for i in $(seq {BYSTANDERS}); do sleep 600 & done; wait");
    let _bystanders =
        Running::start(&host, Launch::Joining(&idle), Path::new("/bin/dash"), &["-c", &text], &[]);
    let haproxy = Haproxy::start(&host, &idle);
    let node = Node::watching_haproxy(11).with("CHECK_INTERVAL", "60");
    let router = Router::ours(&host, &node, Launch::Joining(&idle));
    router.wait_master(0, START);
    let before = router.run.reads();
    std::thread::sleep(seconds(4));
    let quiet = router.run.reads() - before;
    assert!(quiet < BYSTANDERS / 2, "{quiet} reads while nothing happened");
    let mark = router.run.log.mark();
    haproxy.kill();
    router.run.log.wait_for_after(mark, "haproxy … is gone", seconds(1));
    let looked = router.run.reads() - before - quiet;
    assert!(looked >= BYSTANDERS, "the control: {looked} reads for a scan");
}

/// OP-04.
#[test]
fn an_address_left_by_a_killed_predecessor_is_removed_at_the_next_start() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut first = Router::in_container(Kind::Ours, &host, &Node::plain(200));
    first.wait_master(0, START);
    first.run.kill();
    assert!(host.holds(VIP), "SIGKILL leaves the address: the case to be tested");
    let second = Router::in_container(Kind::Ours, &host, &Node::plain(200));
    wait_until("the leftover address is removed", seconds(1), || !host.holds(VIP));
    assert_eq!(
        second.run.log.since(0, "Entering MASTER"),
        Vec::<String>::new(),
        "it was removed by a backup"
    );
    assert_eq!(
        second.run.log.since(0, "warn … 10.77.0.100"),
        Vec::<String>::new(),
        "our own address needs no warning"
    );
    second.wait_master(0, START);
}

#[test]
fn an_equal_address_of_another_program_is_removed_with_a_warning() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip(&format!("address add {VIP}/32 dev enp0s3"));
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    wait_until("the address is removed", seconds(1), || !host.holds(VIP));
    router.run.log.wait_for("warn … 10.77.0.100", seconds(1));
    router.wait_master(0, START);
}

#[test]
fn interface_auto_is_the_interface_whose_subnet_contains_the_address() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
    host.ip("address add 10.88.0.1/24 dev eth9");
    host.ip("route add default via 10.88.0.254 dev eth9");
    for (value, setting) in [("auto", "auto"), ("", "unset")] {
        let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("INTERFACE", value));
        router.wait_master(0, START);
        assert!(host.holds(VIP), "INTERFACE {setting}: the address is on enp0s3");
        drop(router);
        host.ip("address flush dev enp0s3 to 10.77.0.100/32");
    }
}

/// One kind of packet that must change nothing, and the reason it is counted under.
struct Bad {
    reason: &'static str,
    ttl: u8,
    options: &'static [u8],
    message: Vec<u8>,
}

impl Bad {
    fn message(reason: &'static str, message: Vec<u8>) -> Self {
        Self { reason, ttl: 255, options: &[], message }
    }

    fn send(&self, from: &Host) {
        if self.message.len() > 1400 {
            from.send_fragmented(&self.message);
        } else {
            from.send(self.ttl, self.options, &self.message);
        }
    }
}

/// Each packet has exactly one fault, so that only one rule can drop it.
fn bad_packets() -> Vec<Bad> {
    let good = Message::default;
    let bad = |reason, message: Message| Bad::message(reason, message.bytes());
    let mut wrong_sum = good().bytes();
    wrong_sum[6] ^= 0x10;
    let largest: Vec<u8> = good().bytes().into_iter().chain(std::iter::repeat(0)).take(65_515).collect();
    vec![
        Bad::message("truncated", good().bytes()[..4].to_vec()),
        Bad::message("truncated", with_checksum(good().bytes()[..16].to_vec())),
        bad("truncated", Message { count: Some(20), ..good() }),
        bad("version", Message { version: 1, ..good() }),
        Bad::message(
            "version_mismatch",
            with_checksum(vec![0x31, Node::VRID, 250, 1, 0, 100, 0, 0, 10, 77, 0, 100]),
        ),
        bad("type", Message { kind: 2, ..good() }),
        Bad::message("checksum", wrong_sum),
        Bad { ttl: 254, ..Bad::message("ttl", good().bytes()) },
        bad("vrid", Message { vrid: Node::VRID + 1, ..good() }),
        bad("auth_mismatch", Message { auth_type: 1, auth_data: *b"password", ..good() }),
        bad("auth_type", Message { auth_type: 9, ..good() }),
        bad("interval", Message { interval: 3, ..good() }),
        bad("addresses", Message { vips: vec!["10.77.0.101".parse().expect("an address")], ..good() }),
        // The router alert option.
        Bad { options: &[0x94, 4, 0, 0], ..Bad::message("ip_options", good().bytes()) },
        Bad::message("too_long", good().bytes().into_iter().chain([0; 4]).collect()),
        Bad::message("too_long", largest),
    ]
}

/// RX-20: the schedule of the adverts; RX-21: each cause is logged, but not every time.
#[test]
fn bad_packets_of_a_higher_priority_change_neither_state_nor_schedule_and_are_counted() {
    const ROUNDS: usize = 4;
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("LOG_LEVEL", "info"));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    let (marks, sampler) = (pair.marks(), pair.sample());
    let capture = Capture::start(&pair.client, "bad", "proto 112");
    let bad = bad_packets();
    for _ in 0..ROUNDS {
        for packet in &bad {
            packet.send(&pair.client);
            std::thread::sleep(millis(80));
        }
    }
    let captured = capture.finish();
    let seen = sampler.finish();

    assert_eq!(pair.entered_since(marks), "");
    assert!(seen.changes == 0 && seen.none.is_zero(), "{seen:?}");
    every_second(&captured.adverts(Some(pair.a.host.address)));
    assert_eq!(captured.adverts(Some(pair.b.host.address)).len(), 0, "the backup stays silent");
    assert_ne!(captured.complaints(), Vec::<Vec<String>>::new(), "tshark sees the faults");

    let mut expected = BTreeMap::new();
    for packet in &bad {
        *expected.entry(packet.reason.to_owned()).or_insert(0) += ROUNDS;
    }
    for (router, mark) in [(&pair.a, marks[0]), (&pair.b, marks[1])] {
        let lines = router.run.log.mark() - mark;
        assert!(lines <= 2 * bad.len(), "{lines} lines for {} packets: once per cause", ROUNDS * bad.len());
        assert_eq!(router.dropped(), expected, "dropped by {}", router.host.name);
    }

    // The control: the same sender with a good packet does depose the master.
    let mark = pair.a.run.log.mark();
    pair.client.send(255, &[], &Message::default().bytes());
    pair.a.wait_backup(mark, seconds(1));
    wait_until("a releases the address", seconds(1), || !pair.a.holds_vip());
}

/// RX-18.
#[test]
fn an_advert_that_comes_from_our_own_address_is_dropped() {
    let pair = Pair::plain();
    let marks = pair.marks();
    for router in [&pair.a, &pair.b] {
        // Without this the kernel drops packets from its own address.
        let file = "/proc/sys/net/ipv4/conf/enp0s3/accept_local";
        router.host.inside(|| fs::write(file, "1").expect("the host's own setting"));
    }
    for _ in 0..3 {
        pair.client.send_as(pair.a.host.address, 255, &[], &Message::default().bytes());
    }
    std::thread::sleep(millis(300));
    let lines = pair.a.run.log.since(marks[0], "10.77.0.1 … own address");
    assert_eq!(lines.len(), 1, "logged once");
    assert_eq!(pair.a.dropped(), BTreeMap::from([("own_address".to_owned(), 3)]));
    pair.a.run.log.wait_for_after(marks[0], "(VI_1) warning: … 10.77.0.1 … own address", seconds(1));
    assert_eq!(pair.a.run.log.since(marks[0], "Entering"), Vec::<String>::new());
    assert_eq!(pair.b.dropped(), BTreeMap::new(), "the control: others accept the advert");
    pair.b.run.log.wait_for_after(marks[1], "Master is 10.77.0.1 (priority 250)", seconds(1));
}

#[test]
fn a_missing_capability_is_named_with_the_compose_line() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for capability in ["net_admin", "net_raw"] {
        let mut router = Router::ours(&host, &Node::plain(200), Launch::Without(capability));
        assert_eq!(router.run.wait_exit(seconds(2)), 77, "without {capability}");
        router.run.log.wait_for(&format!("{capability} … cap_add"), seconds(1));
        assert!(!router.holds_vip());
    }
}
