//! Two hosts and a client in network namespaces: our daemon against itself and against Debian's keepalived, with
//! real haproxy; knows the product only from outside.
#![expect(clippy::disallowed_methods, reason = "a test of a running program waits on the real clock")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::capture::{Capture, Frame};
use support::lab::{Host, Lab};
use support::process::Launch;
use support::router::{Kind, Node, Router};
use support::service::Haproxy;
use support::watch::Sampler;
use support::wire::{Message, sealed};
use support::{millis, seconds, wait_until};

const VIP: std::net::Ipv4Addr = Node::VIP;

/// Longest start of a router alone: the master-down interval of the lowest priority used here, and slack.
const START: Duration = seconds(8);
/// Longest move of the address by weight: one check, two or three adverts, the skew, and slack.
const MOVE: Duration = seconds(10);
/// How long two routers may both hold the address while it moves: the time of one packet and of a busy machine.
const OVERLAP: Duration = millis(100);

/// Skew time of VRRPv2: (256 - priority) / 256 seconds (RFC 3768 §6.1).
fn skew(priority: u8) -> Duration {
    seconds(1) * (256 - u32::from(priority)) / 256
}

struct Pair {
    a: Router,
    b: Router,
    client: Host,
    /// Last: it prints the logs of what was dropped before it.
    _lab: Lab,
}

impl Pair {
    /// Starts both routers and waits until `a`, the better one, is master and `b` its backup.
    fn start(kinds: [Kind; 2], nodes: &[Node; 2]) -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        let client = lab.host("client", 250);
        let a = Router::start(kinds[0], &hosts[0], &nodes[0]);
        let b = Router::start(kinds[1], &hosts[1], &nodes[1]);
        Self { a, b, client, _lab: lab }.settled()
    }

    fn settled(self) -> Self {
        self.a.wait_master(0, START);
        assert!(!self.b.holds_vip(), "only the better router holds the address");
        assert!(
            self.b.run.log.since(0, "Entering MASTER STATE").is_empty(),
            "the worse one never was master"
        );
        self
    }

    fn sample(&self) -> Sampler {
        Sampler::start(&[&self.a.host, &self.b.host], VIP)
    }

    /// Nothing moves for `time`: one holder, one sender of adverts, who answers the client.
    fn stays_with(&self, master: &Router, time: Duration) {
        let (marks, sampler) = (self.marks(), self.sample());
        let capture = Capture::start(&self.client, "steady", "proto 112");
        std::thread::sleep(time);
        let captured = capture.finish();
        let seen = sampler.finish();
        assert_eq!(self.entered_since(marks), "", "no router changes its state");
        assert!(seen.blind < millis(500), "the sampler was kept from looking: {seen:?}");
        assert_eq!(seen.changes, 0, "{seen:?}");
        assert!(seen.none.is_zero() && seen.several.is_zero(), "{seen:?}");
        let all = captured.adverts(None).len();
        assert_eq!(
            captured.adverts(Some(master.host.address)).len(),
            all,
            "adverts come from the master alone"
        );
        assert!(Duration::from_secs(all as u64 + 1) >= time, "{all} adverts in {time:?}");
        assert_eq!(captured.complaints(), Vec::<Vec<String>>::new());
    }

    fn marks(&self) -> [usize; 2] {
        [self.a.run.log.mark(), self.b.run.log.mark()]
    }

    fn entered_since(&self, [a, b]: [usize; 2]) -> String {
        let mut lines = self.a.run.log.since(a, "Entering … STATE");
        lines.extend(self.b.run.log.since(b, "Entering … STATE"));
        lines.join("\n")
    }
}

/// Takes over at start, follows haproxy there and back, stays when both are dead, hands over when told to stop.
fn life_of_a_pair(kinds: [Kind; 2], steady: Duration) {
    let lab = Lab::new();
    let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let nodes = [Node { state: "MASTER", ..Node::watching_haproxy(11) }, Node::watching_haproxy(10)];
    let a = Router::start(kinds[0], &host_a, &nodes[0]);
    let web_a = Haproxy::start(&host_a, &a.run);
    // Two of priority 11 and 12 are 4 ms apart in skew: started together, either may be first for a moment.
    std::thread::sleep(millis(500));
    let b = Router::start(kinds[1], &host_b, &nodes[1]);
    let web_b = Haproxy::start(&host_b, &b.run);
    let mut pair = Pair { a, b, client, _lab: lab }.settled();
    let answers = |pair: &Pair, name: &str| assert_eq!(pair.client.http_get(VIP).as_deref(), Some(name));
    answers(&pair, "a");
    pair.stays_with(&pair.a, steady);

    // 11 against 10 + 2.
    let (marks, sampler) = (pair.marks(), pair.sample());
    web_a.kill();
    pair.b.wait_master(marks[1], MOVE);
    pair.a.wait_backup(marks[0], seconds(1));
    wait_until("a gives the address up", seconds(1), || !pair.a.holds_vip());
    answers(&pair, "b");
    let seen = sampler.finish();
    assert!(seen.several < OVERLAP && seen.none < OVERLAP, "{seen:?}");
    pair.stays_with(&pair.b, steady);

    // 11 + 2 against 10 + 2.
    let (marks, sampler) = (pair.marks(), pair.sample());
    let web_a = Haproxy::start(&pair.a.host, &pair.a.run);
    pair.a.wait_master(marks[0], MOVE);
    wait_until("b gives the address up", seconds(1), || !pair.b.holds_vip());
    answers(&pair, "a");
    let seen = sampler.finish();
    assert!(seen.several < OVERLAP && seen.none < OVERLAP, "{seen:?}");

    // 11 against 10, longer than a check and a master-down interval.
    web_b.kill();
    wait_until("b has lost 2", seconds(3), || !pair.b.run.log.since(marks[1], "priority … to 10").is_empty());
    web_a.kill();
    pair.stays_with(&pair.a, seconds(6));

    hands_over_on_sigterm(&mut pair);
}

/// `a` is master and told to stop: exit 0, its address gone, `b` master after its skew.
fn hands_over_on_sigterm(pair: &mut Pair) {
    let capture = Capture::start(&pair.client, "stop", "proto 112");
    let mark = pair.b.run.log.mark();
    let told = Instant::now();
    pair.a.run.signal(Signal::SIGTERM);
    let took_over = pair.b.wait_master(mark, seconds(3)) - told;
    assert_eq!(pair.a.run.wait_exit(seconds(3)), 0);
    assert!(!pair.a.holds_vip(), "no address is left behind");
    // Of the lowest priority it can have here: without its haproxy.
    let (least, most) =
        (skew(pair.b.node.priority + 2).saturating_sub(millis(20)), skew(pair.b.node.priority));
    assert!((least..most + millis(200)).contains(&took_over), "b took over after {took_over:?}");
    let captured = capture.finish();
    let farewell = captured.adverts(Some(pair.a.host.address)).last().map(|frame| frame.priority());
    assert_eq!(farewell, Some(0), "the last advert of a router that leaves has priority 0");
}

#[test]
fn the_address_follows_haproxy_between_two_of_ours() {
    life_of_a_pair([Kind::Ours, Kind::Ours], seconds(3));
}

#[test]
fn debian_keepalived_as_backup_takes_over_from_ours_and_gives_back() {
    life_of_a_pair([Kind::Ours, Kind::Keepalived], seconds(10));
}

#[test]
fn ours_as_backup_takes_over_from_debian_keepalived_and_gives_back() {
    life_of_a_pair([Kind::Keepalived, Kind::Ours], seconds(10));
}

/// The control: what is asked of our daemon above is what keepalived does.
#[test]
fn a_pair_of_debian_keepalived_passes_the_same_checks() {
    life_of_a_pair([Kind::Keepalived, Kind::Keepalived], seconds(3));
}

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

/// Adverts one second apart, give or take what a busy machine needs.
fn every_second(adverts: &[&Frame]) {
    assert!(adverts.len() >= 3, "only {} adverts", adverts.len());
    for pair in adverts.windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        assert!((millis(900)..millis(1_100)).contains(&gap), "adverts {gap:?} apart");
    }
}

#[test]
fn a_stopped_master_hands_over_and_the_client_learns_the_new_one_from_gratuitous_arp() {
    let mut pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    pair.client.http_get(VIP);
    wait_until("the client knows a", seconds(1), || pair.client.neighbour(VIP) == Some(pair.a.host.mac()));
    let capture = Capture::start(&pair.client, "arp", "arp");
    hands_over_on_sigterm(&mut pair);
    let learned = || pair.client.neighbour(VIP) == Some(pair.b.host.mac());
    wait_until("the client knows b without having asked", seconds(1), learned);
    std::thread::sleep(millis(2_300));
    let captured = capture.finish();
    let announced = |operation| {
        let by_b = |frame: &&Frame| frame.sender() == pair.b.host.mac();
        captured
            .frames
            .iter()
            .filter(by_b)
            .filter(|frame| frame.gratuitous_arp(VIP) == Some(operation))
            .count()
    };
    // At 0, 0.1, 0.5, 1 and 2 seconds.
    assert_eq!((announced(1), announced(2)), (5, 5), "gratuitous requests and replies");
}

#[test]
fn a_stopped_backup_leaves_at_once_and_in_silence() {
    let mut pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    let capture = Capture::start(&pair.client, "leave", "proto 112");
    pair.b.run.signal(Signal::SIGTERM);
    assert_eq!(pair.b.run.wait_exit(millis(300)), 0);
    assert_eq!(capture.finish().adverts(Some(pair.b.host.address)).len(), 0);
    assert!(pair.a.holds_vip());
}

#[test]
fn an_address_deleted_by_hand_comes_back_to_the_same_master() {
    let pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
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

#[test]
fn an_interface_that_goes_down_is_a_fault_and_comes_back() {
    let pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
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
    wait_until("b gives the address up", seconds(1), || !pair.b.holds_vip());
}

#[test]
fn an_interface_that_appears_after_the_start_is_waited_for() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.run.log.wait_for("enp0s3 … wait", seconds(1));
    std::thread::sleep(millis(700));
    assert!(router.run.is_running(), "a missing interface is no reason to leave");
    host.plug_in();
    router.wait_master(0, START);
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert!(!router.holds_vip());
}

#[test]
fn an_interface_that_is_deleted_and_made_again_works_again() {
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
fn what_a_killed_predecessor_left_is_removed_at_the_next_start() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut first = Router::start(Kind::Ours, &host, &Node::plain(200));
    first.wait_master(0, START);
    first.run.kill();
    assert!(host.holds(VIP), "SIGKILL leaves the address: the case to be tested");
    let second = Router::start(Kind::Ours, &host, &Node::plain(200));
    wait_until("the leftover is removed", seconds(1), || !host.holds(VIP));
    assert_eq!(
        second.run.log.since(0, "Entering MASTER"),
        Vec::<String>::new(),
        "it was removed by a backup"
    );
    assert_eq!(
        second.run.log.since(0, "warn … 10.77.0.100"),
        Vec::<String>::new(),
        "our own needs no warning"
    );
    second.wait_master(0, START);
}

#[test]
fn an_equal_address_of_somebody_else_is_removed_with_a_warning() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip(&format!("address add {VIP}/32 dev enp0s3"));
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    wait_until("the address is removed", seconds(1), || !host.holds(VIP));
    router.run.log.wait_for("warn … 10.77.0.100", seconds(1));
    router.wait_master(0, START);
}

#[test]
fn interface_auto_is_the_one_whose_subnet_has_the_address() {
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

/// Each is right in all but one thing, so that only one rule can refuse it.
fn bad_packets() -> Vec<Bad> {
    let good = Message::default;
    let bad = |reason, message: Message| Bad::message(reason, message.bytes());
    let mut wrong_sum = good().bytes();
    wrong_sum[6] ^= 0x10;
    let largest: Vec<u8> = good().bytes().into_iter().chain(std::iter::repeat(0)).take(65_515).collect();
    vec![
        Bad::message("truncated", good().bytes()[..4].to_vec()),
        Bad::message("truncated", sealed(good().bytes()[..16].to_vec())),
        bad("truncated", Message { count: Some(20), ..good() }),
        bad("version", Message { version: 1, ..good() }),
        Bad::message(
            "version_mismatch",
            sealed(vec![0x31, Node::VRID, 250, 1, 0, 100, 0, 0, 10, 77, 0, 100]),
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
    assert_ne!(captured.complaints(), Vec::<Vec<String>>::new(), "tshark does see what is wrong");

    let mut expected = BTreeMap::new();
    for packet in &bad {
        *expected.entry(packet.reason.to_owned()).or_insert(0) += ROUNDS;
    }
    for (router, mark) in [(&pair.a, marks[0]), (&pair.b, marks[1])] {
        let lines = router.run.log.mark() - mark;
        assert!(lines <= 2 * bad.len(), "{lines} lines for {} packets: once per cause", ROUNDS * bad.len());
        assert_eq!(dropped(router), expected, "dropped by {}", router.host.name);
    }

    // The control: the same sender with a good packet does depose the master.
    let mark = pair.a.run.log.mark();
    pair.client.send(255, &[], &Message::default().bytes());
    pair.a.wait_backup(mark, seconds(1));
    wait_until("a gives the address up", seconds(1), || !pair.a.holds_vip());
}

/// What a router says on SIGUSR1, `… dropped: checksum=3 ttl=3`, of its virtual router and then of the interface.
fn dropped(router: &Router) -> BTreeMap<String, usize> {
    let mark = router.run.log.mark();
    router.run.signal(Signal::SIGUSR1);
    router.run.log.wait_for_after(mark, "enp0s3: … dropped:", seconds(1));
    let mut counts = BTreeMap::new();
    for line in router.run.log.since(mark, "dropped:") {
        let (_, pairs) = line.split_once("dropped:").expect("it was looked for");
        for (reason, count) in pairs.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            *counts.entry(reason.to_owned()).or_insert(0) += count.parse::<usize>().expect("a count");
        }
    }
    counts
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
