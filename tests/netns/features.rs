//! Features around the protocol, end to end: notify programs, probes, tracked interfaces, excluded addresses, several
//! routers, preemption, floods.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::capture::{Capture, Captured};
use crate::support::lab::{Host, Lab};
use crate::support::pair::{Pair, QUIET, START, master_down};
use crate::support::process::children_of;
use crate::support::router::{Kind, Node, Router};
use crate::support::service::Haproxy;
use crate::support::wire::{Message, with_checksum};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

/// Where haproxy listens, or another server in its place.
const SERVICE: &str = "127.0.0.1:8080";
const PAGE: &str = "http://127.0.0.1:8080/health";

/// The longest time between two adverts of `source`, of which there are at least `least`.
fn longest_gap(captured: &Captured, source: Ipv4Addr, least: usize) -> Duration {
    let adverts = captured.adverts(Some(source));
    assert!(adverts.len() >= least, "only {} adverts", adverts.len());
    let gaps = adverts.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at));
    gaps.max().expect("at least two adverts")
}

fn script(host: &Host, text: &str) -> PathBuf {
    let path = host.file("notify.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a temporary file can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    path
}

fn has(host: &Host, address: &str) -> bool {
    host.ip("-o address show").contains(&format!(" {address}/"))
}

#[test]
fn a_notify_program_runs_for_each_transition_in_order_with_keepalived_arguments() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let runs = host.file("runs");
    let text =
        format!("sleep 0.2\necho \"$#: $*\" >> {}\n[ \"$3\" = MASTER ] && exit 3\nexit 0", runs.display());
    let program = script(&host, &text);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200).with("NOTIFY", &program));
    router.wait_master(0, START);
    router.run.log.wait_for("notify.sh INSTANCE VI_1 BACKUP 200 … 0", seconds(1));
    router.run.log.wait_for("warn … notify.sh INSTANCE VI_1 MASTER 200 … 3", seconds(2));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert_eq!(
        fs::read_to_string(&runs).expect("the program was run"),
        "4: INSTANCE VI_1 BACKUP 200\n4: INSTANCE VI_1 MASTER 200\n4: INSTANCE VI_1 STOP 200\n"
    );
}

#[test]
fn a_notify_program_that_hangs_or_is_missing_delays_no_advert_and_no_stop() {
    let lab = Lab::new();
    let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let program = script(&host_a, "exec sleep 60");
    let mut hanging = Router::start(Kind::Ours, &host_a, &Node::plain(200).with("NOTIFY", &program));
    let other = Node { vrid: 52, vip: [10, 77, 0, 101].into(), ..Node::plain(200) };
    let missing = Router::start(Kind::Ours, &host_b, &other.with("NOTIFY", "/nowhere/notify.sh"));
    hanging.wait_master(0, START);
    missing.wait_master(0, START);
    let capture = Capture::start(&client, "hanging", "proto 112");
    std::thread::sleep(millis(5_300));
    let captured = capture.finish();
    for host in [&host_a, &host_b] {
        let gap = longest_gap(&captured, host.address, 5);
        assert!(gap < millis(1_100), "adverts {gap:?} apart");
    }
    missing.run.log.wait_for("warn … /nowhere/notify.sh", seconds(1));
    hanging.run.signal(Signal::SIGTERM);
    assert_eq!(hanging.run.wait_exit(seconds(3)), 0);
    assert!(!hanging.holds_vip());
}

#[test]
fn a_notify_program_is_killed_at_its_limit_and_later_runs_keep_their_order() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let runs = host.file("runs");
    let hangs = "[ \"$3\" = MASTER ] && [ ! -e HUNG ] && : > HUNG && trap '' TERM && sleep 300";
    let text = format!("echo \"$3\" >> {}\n{hangs}\nexit 0", runs.display());
    let program = script(&host, &text.replace("HUNG", &host.file("hung").display().to_string()));
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("NOTIFY", &program));
    router.run.log.wait_for("INSTANCE VI_1 BACKUP 200: exited with 0", seconds(2));
    let hung = router.wait_master(0, START);
    host.pull_cable();
    router.run.log.wait_for("Entering FAULT STATE", seconds(2));
    host.plug_cable();
    let mark = router.run.log.mark();
    router.wait_master(mark, START);

    let capture = Capture::start(&client, "killed", "proto 112");
    let overdue = "warn … notify.sh INSTANCE VI_1 MASTER 200 … still running after 30 s";
    let stopped = router.run.log.wait_for(overdue, seconds(32)).at - hung;
    assert!((millis(29_500)..millis(31_000)).contains(&stopped), "stopped after {stopped:?}");
    let killed = router.run.log.wait_for("warn … MASTER 200 … was killed by SIGKILL", seconds(4)).at - hung;
    assert!((millis(31_500)..millis(33_500)).contains(&killed), "killed after {killed:?}");
    for state in ["FAULT", "BACKUP", "MASTER"] {
        router.run.log.wait_for(&format!("INSTANCE VI_1 {state} 200: exited with 0"), seconds(2));
    }
    let left = children_of(router.run.pid());
    assert_eq!(left, [0; 0], "its children are killed with it");
    std::thread::sleep(seconds(1));
    let gap = longest_gap(&capture.finish(), host.address, 20);
    assert!(gap < millis(1_100), "adverts {gap:?} apart");
    let runs = fs::read_to_string(&runs).expect("the program was run");
    assert_eq!(runs.lines().collect::<Vec<_>>(), ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"]);
}

/// A router that probes haproxy by `variable`, and falls and rises with it.
fn follows_a_probe(variable: &str, value: &str) {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node =
        Node::plain(100).with(variable, value).with("CHECK_INTERVAL", "0.3").with("CHECK_WEIGHT", "20");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_backup(0, seconds(1));
    for _ in 0..2 {
        let mark = router.run.log.mark();
        let haproxy = Haproxy::start(&host, &router.run);
        router.run.log.wait_for_after(mark, "priority from 100 to 120", seconds(2));
        let mark = router.run.log.mark();
        std::thread::sleep(millis(900));
        assert_eq!(
            router.run.log.since(mark, "priority from"),
            Vec::<String>::new(),
            "steady while it answers"
        );
        haproxy.kill();
        router.run.log.wait_for_after(mark, "priority from 120 to 100", seconds(2));
    }
}

#[test]
fn a_port_that_accepts_raises_the_priority_until_it_is_closed() {
    follows_a_probe("CHECK_TCP", SERVICE);
}

#[test]
fn a_page_that_answers_raises_the_priority_until_it_does_not() {
    follows_a_probe("CHECK_HTTP", PAGE);
}

#[test]
fn with_weight_0_status_500_is_a_fault_even_if_port_and_process_are_healthy() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    let node = Node::plain(200).with("CHECK_INTERVAL", "0.3").with("CHECK_WEIGHT", "0");
    let node = node.with("SERVICE", "haproxy").with("CHECK_TCP", SERVICE).with("CHECK_HTTP", PAGE);
    let router = Router::start(Kind::Ours, &host, &node);
    let backup = Router::start(Kind::Ours, &other, &Node::plain(100));
    router.run.log.wait_for("Entering FAULT STATE", seconds(1));
    let well = Haproxy::start(&host, &router.run);
    router.wait_master(0, START);
    let marks = [router.run.log.mark(), backup.run.log.mark()];
    well.kill();
    let unwell = Haproxy::start_unhealthy(&host, &router.run);
    router.run.log.wait_for_after(marks[0], "Entering FAULT STATE", seconds(2));
    wait_until("the address is gone", seconds(1), || !router.holds_vip());
    backup.wait_master(marks[1], seconds(2));
    std::thread::sleep(seconds(1));
    assert_eq!(
        router.run.log.since(marks[0], "Entering BACKUP"),
        Vec::<String>::new(),
        "500 is not a success"
    );
    let mark = router.run.log.mark();
    router.run.signal(Signal::SIGUSR1);
    router.run.log.wait_for_after(mark, "(VI_1) state: … FAULT for", seconds(1));
    router.run.log.wait_for_after(mark, "(VI_1) haproxy runs (pid", seconds(1));
    router.run.log.wait_for_after(mark, "(VI_1) http://… FAILED", seconds(1));
    unwell.kill();
    let _well = Haproxy::start(&host, &router.run);
    router.wait_master(mark, START);
}

#[test]
fn a_server_that_accepts_and_is_silent_fails_after_the_timeout_and_delays_no_advert() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let node = Node::plain(100).with("CHECK_HTTP", PAGE).with("CHECK_INTERVAL", "0.5");
    let node = node.with("CHECK_TIMEOUT", "2").with("CHECK_WEIGHT", "20");
    let router = Router::start(Kind::Ours, &host, &node);
    let haproxy = Haproxy::start(&host, &router.run);
    router.wait_master(0, START);
    router.run.log.wait_for("priority from 100 to 120", seconds(1));
    let capture = Capture::start(&client, "silent", "proto 112");
    let mark = router.run.log.mark();
    let killed = haproxy.kill();
    // The kernel accepts but the program never does, like a server that is stuck.
    let stuck = host.inside(|| TcpListener::bind(SERVICE).expect("haproxy has left the port"));
    let opened = Instant::now();
    let fell = router.run.log.wait_for_after(mark, "priority from 120 to 100", seconds(4)).at;
    // If a probe met the closed port in between, the test did not probe a silent server.
    assert!(opened.saturating_duration_since(killed) < millis(400), "the machine is too busy for this test");
    std::thread::sleep(seconds(3));
    drop(stuck);
    let gap = longest_gap(&capture.finish(), host.address, 3);
    assert!(gap < millis(1_100), "adverts {gap:?} apart");
    let took = fell.saturating_duration_since(opened);
    assert!((millis(1_900)..millis(3_000)).contains(&took), "failed after {took:?}");
}

#[test]
fn a_tracked_interface_must_exist_and_be_up() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("TRACK_INTERFACE", "eth9"));
    router.run.log.wait_for("Entering FAULT STATE … tracked interface", seconds(1));
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    std::thread::sleep(millis(500));
    assert_eq!(router.run.log.since(0, "Entering BACKUP"), Vec::<String>::new(), "it exists but is down");
    for _ in 0..2 {
        let mark = router.run.log.mark();
        host.ip("link set eth9 up");
        router.run.log.wait_for_after(mark, "Entering BACKUP STATE … tracked interfaces are up", seconds(1));
        router.wait_master(mark, START);
        let mark = router.run.log.mark();
        host.ip("link set eth9 down");
        router.run.log.wait_for_after(mark, "Entering FAULT STATE … tracked interface", seconds(1));
        wait_until("the address is gone", seconds(1), || !router.holds_vip());
    }
    host.ip("link set eth9 up");
    let mark = router.run.log.mark();
    router.wait_master(mark, START);
    host.ip("link delete eth9");
    router.run.log.wait_for_after(mark, "Entering FAULT STATE … tracked interface", seconds(1));
    wait_until("the address is gone", seconds(1), || !router.holds_vip());
}

#[test]
fn excluded_addresses_of_both_families_move_with_the_virtual_one_and_are_in_no_advert() {
    const EXCLUDED: [&str; 2] = ["10.77.0.150", "fd00:77::150"];
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("VIP_EXCLUDED", EXCLUDED.join(", ")));
    let capture_at_start =
        |pair: &Pair| Capture::start(&pair.client, "excluded", "proto 112 or arp or icmp6");
    let mut pair = Pair::start([Kind::Ours; 2], &nodes);
    let all = |host: &Host| EXCLUDED.iter().filter(|address| has(host, address)).count();
    assert_eq!((all(&pair.a.host), all(&pair.b.host)), (2, 0));
    let capture = capture_at_start(&pair);
    let marks = pair.marks();
    pair.a.run.signal(Signal::SIGTERM);
    pair.b.wait_master(marks[1], seconds(3));
    assert_eq!(pair.a.run.wait_exit(seconds(3)), 0);
    assert_eq!((all(&pair.a.host), all(&pair.b.host)), (0, 2));
    std::thread::sleep(seconds(1));
    let captured = capture.finish();
    let rows = captured.tshark("vrrp", &["ip.src", "vrrp.ip_addr"]);
    assert!(rows.iter().any(|row| row[0] == "10.77.0.2"), "b advertises");
    assert!(rows.iter().all(|row| row[1] == "10.77.0.100"), "{rows:?}");
    let announced = captured.frames.iter().any(|f| f.gratuitous_arp([10, 77, 0, 150].into()).is_some());
    assert!(announced, "the excluded IPv4 address is announced to the neighbors");
    let neighbor = captured.tshark("icmpv6.type == 136", &["icmpv6.nd.na.target_address"]);
    assert!(neighbor.iter().any(|row| row[0] == EXCLUDED[1]), "and the IPv6 address: {neighbor:?}");
}

/// Routers 1 to `count` by suffix, VRIDs from [`Node::VRID`] and addresses from [`Node::VIP`] on.
fn several(priority: u8, count: u8) -> Node {
    (2..=count).fold(Node::plain(priority).with("LOG_LEVEL", "info"), |node, n| {
        let vrid = Node::VRID + n - 1;
        node.with(&format!("VIP_{n}"), format!("10.77.0.{}", 99 + n))
            .with(&format!("VIRTUAL_ROUTER_{n}"), vrid.to_string())
    })
}

fn held(host: &Host, count: u8) -> usize {
    let text = host.ip("-o -4 address show dev enp0s3");
    (1..=count).filter(|n| text.contains(&format!(" 10.77.0.{}/", 99 + n))).count()
}

#[test]
fn two_routers_on_one_interface_are_masters_on_different_hosts() {
    let lab = Lab::new();
    let (host_a, host_b) = (lab.host("a", 1), lab.host("b", 2));
    let a = Router::start(Kind::Ours, &host_a, &several(200, 2).with("PRIORITY_2", "50"));
    let b = Router::start(Kind::Ours, &host_b, &several(100, 2));
    a.wait_master(0, START);
    b.run.log.wait_for("(VI_2) Entering MASTER STATE", START);
    let holds = |host: &Host| [100, 101].map(|n| host.holds(Ipv4Addr::new(10, 77, 0, n)));
    wait_until("each holds its own address", seconds(1), || {
        (holds(&host_a), holds(&host_b)) == ([true, false], [false, true])
    });
    let marks = [a.run.log.mark(), b.run.log.mark()];
    std::thread::sleep(QUIET);
    assert_eq!(a.run.log.since(marks[0], "Entering"), Vec::<String>::new());
    assert_eq!(b.run.log.since(marks[1], "Entering"), Vec::<String>::new());
    let mark = a.run.log.mark();
    a.run.signal(Signal::SIGUSR1);
    a.run.log.wait_for_after(mark, "VI_1 … 51 … MASTER … 200 … this host", seconds(1));
    a.run.log.wait_for_after(mark, "VI_2 … 52 … BACKUP … 50 … 10.77.0.2 (", seconds(1));
}

#[test]
fn twenty_routers_converge_and_all_move_when_the_master_stops() {
    const COUNT: u8 = 20;
    let lab = Lab::new();
    let (host_a, host_b) = (lab.host("a", 1), lab.host("b", 2));
    let mut a = Router::start(Kind::Ours, &host_a, &several(200, COUNT));
    let b = Router::start(Kind::Ours, &host_b, &several(100, COUNT));
    wait_until("a holds all", START, || held(&host_a, COUNT) == usize::from(COUNT));
    std::thread::sleep(QUIET);
    assert_eq!(held(&host_b, COUNT), 0);
    assert_eq!(b.run.log.since(0, "Entering MASTER"), Vec::<String>::new(), "b never was master");
    let start = Instant::now();
    a.run.signal(Signal::SIGTERM);
    wait_until("b holds all", millis(1_200), || held(&host_b, COUNT) == usize::from(COUNT));
    eprintln!("{COUNT} routers moved in {:?}", start.elapsed());
    assert_eq!(a.run.wait_exit(seconds(3)), 0);
    assert_eq!(held(&host_a, COUNT), 0);
}

/// ST-11.
#[test]
fn without_preemption_a_lower_master_stays_until_it_falls_silent() {
    let lab = Lab::new();
    let (host_a, host_b) = (lab.host("a", 1), lab.host("b", 2));
    let mut low = Router::start(Kind::Ours, &host_b, &Node::plain(100));
    low.wait_master(0, START);
    let high = Router::start(Kind::Ours, &host_a, &Node::plain(200).with("PREEMPT", "false"));
    high.wait_backup(0, seconds(1));
    // With preemption it would be master by now.
    std::thread::sleep(master_down(200) + millis(300));
    assert!(low.holds_vip() && !high.holds_vip());
    assert_eq!(high.run.log.since(0, "Entering MASTER"), Vec::<String>::new());
    low.run.kill();
    high.wait_master(0, START);
}

#[test]
fn a_better_router_waits_for_its_preemption_delay() {
    let lab = Lab::new();
    let (host_a, host_b) = (lab.host("a", 1), lab.host("b", 2));
    let low = Router::start(Kind::Ours, &host_b, &Node::plain(100));
    low.wait_master(0, START);
    let high = Router::start(Kind::Ours, &host_a, &Node::plain(200).with("PREEMPT_DELAY", "8"));
    let started = high.wait_backup(0, seconds(1));
    let took = high.wait_master(0, seconds(15)).saturating_duration_since(started);
    assert!((millis(7_900)..millis(12_500)).contains(&took), "took over after {took:?}");
    wait_until("the lower router releases the address", seconds(1), || !low.holds_vip());
}

#[test]
fn announcements_are_repeated_at_garp_refresh() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("GARP_REFRESH", "2"));
    router.wait_master(0, START);
    // The last of the usual announcements is made after five.
    std::thread::sleep(millis(5_500));
    let capture = Capture::start(&client, "refresh", "arp");
    std::thread::sleep(millis(6_500));
    let captured = capture.finish();
    let requests = captured.frames.iter().filter(|f| f.gratuitous_arp(Node::VIP) == Some(1)).count();
    assert!((3..=4).contains(&requests), "{requests} announcements in 6.5 s");
}

/// OP-01: adverts of a router that is not on the list are dropped, whatever its address and TTL. A listed peer may be
/// behind a router.
#[test]
fn with_unicast_peers_unlisted_senders_are_dropped_and_a_peer_behind_a_router_is_heard() {
    const ROUNDS: usize = 5;
    let nodes = [200, 100].map(|priority| {
        let node = Node::plain(priority).with("UNICAST_PEERS", "10.77.0.1, 10.77.0.2, 10.66.0.3");
        node.with("LOG_LEVEL", "info")
    });
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    let (stranger, marks, sampler) = (&pair.client, pair.marks(), pair.sample());
    let forged = Ipv4Addr::new(10, 77, 0, 77);
    for _ in 0..ROUNDS {
        for router in [&pair.a, &pair.b] {
            for (source, ttl) in [(stranger.address, 255), (stranger.address, 60), (forged, 255)] {
                for priority in [250, 0] {
                    let message = Message { priority, ..Message::default() }.bytes();
                    stranger.send_to(router.host.address, source, ttl, &message);
                }
            }
        }
        // A peer does not send to the group, so a multicast sender is not a peer.
        stranger.send_as([10, 66, 0, 3].into(), 255, &[], &Message::default().bytes());
        std::thread::sleep(millis(300));
    }
    let seen = sampler.finish();
    assert_eq!(pair.entered_since(marks), "", "no router changes its state");
    assert!(seen.changes == 0 && seen.none.is_zero() && seen.several.is_zero(), "{seen:?}");
    for (router, mark) in [&pair.a, &pair.b].into_iter().zip(marks) {
        for source in [stranger.address, forged] {
            let lines = router.run.log.since(mark, &format!("adverts from {source} (not_a_peer)"));
            assert_eq!(lines.len(), 1, "logged once: {lines:?}");
        }
        router.run.signal(Signal::SIGUSR1);
        let counted = format!("(VI_1) … dropped: … not_a_peer={}", 6 * ROUNDS);
        router.run.log.wait_for_after(mark, &counted, seconds(1));
    }

    // A peer in another subnet.
    let peer = Message::default().bytes();
    stranger.send_to(pair.a.host.address, [10, 66, 0, 3].into(), 60, &peer);
    let better = "Entering BACKUP STATE … 10.66.0.3 (priority 250) ranks higher";
    pair.a.run.log.wait_for_after(marks[0], better, seconds(1));
}

/// The generalized TTL security mechanism (RFC 5082): no router is between us and a peer in our subnet.
#[test]
fn a_unicast_peer_on_the_link_must_send_a_ttl_of_255() {
    let nodes = [200, 100]
        .map(|priority| Node::plain(priority).with("UNICAST_PEERS", "10.77.0.1, 10.77.0.2, 10.77.0.3"));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    let marks = pair.marks();
    for ttl in [1, 3, 60, 254] {
        for priority in [250, 0] {
            let message = Message { priority, ..Message::default() }.bytes();
            for router in [&pair.a, &pair.b] {
                // One of them "from" the other router.
                for source in [[10, 77, 0, 3].into(), pair.a.host.address, pair.b.host.address] {
                    if source != router.host.address {
                        pair.client.send_to(router.host.address, source, ttl, &message);
                    }
                }
            }
        }
    }
    std::thread::sleep(millis(500));
    assert_eq!(pair.entered_since(marks), "", "no router changes its state");
    for router in [&pair.a, &pair.b] {
        assert_eq!(router.dropped().get("ttl"), Some(&16));
    }
    pair.client.send_to(pair.a.host.address, [10, 77, 0, 3].into(), 255, &Message::default().bytes());
    pair.a.run.log.wait_for_after(marks[0], "Entering BACKUP STATE … 10.77.0.3 (priority 250)", seconds(1));
}

/// Wrong checksum, wrong interval, wrong authentication, and noise; all claim a higher priority.
fn bad_adverts() -> Vec<Vec<u8>> {
    let mut wrong_sum = Message::default().bytes();
    wrong_sum[6] ^= 0x10;
    let wrong_interval = Message { interval: 3, ..Message::default() }.bytes();
    let wrong_auth = Message { auth_type: 1, auth_data: *b"password", ..Message::default() }.bytes();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        let octet = |seed: &mut u64| {
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            seed.to_be_bytes()[0]
        };
        (0..20).map(|_| octet(&mut seed)).collect::<Vec<u8>>()
    };
    let mut all = Vec::new();
    for _ in 0..64 {
        let almost = with_checksum([&[0x21, Node::VRID][..], &noise()[2..]].concat());
        all.extend([wrong_sum.clone(), wrong_interval.clone(), wrong_auth.clone(), noise(), almost]);
    }
    all
}

/// RX-21, RX-17.
#[test]
fn a_flood_of_bad_adverts_moves_nothing_and_fills_neither_log_nor_memory() {
    const PER_MILLI: usize = 20;
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("LOG_LEVEL", "info"));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    let routers = [&pair.a, &pair.b];
    let memory = |router: &Router| {
        router.run.status("VmRSS").trim_end_matches(" kB").parse::<i64>().expect("a number of kB")
    };
    let quiet = pair.marks();
    // One-time allocations are done by now.
    pair.client.flood(&[pair.client.address], &bad_adverts(), 1, millis(500));
    std::thread::sleep(seconds(6));
    let (marks, before) = (pair.marks(), routers.map(memory));
    let sampler = pair.sample();
    let others = format!("proto 112 and not src host {}", pair.client.address);
    let capture = Capture::start(&pair.client, "flood", &others);
    let start = Instant::now();
    let sent = pair.client.flood(&[pair.client.address], &bad_adverts(), PER_MILLI, seconds(10));
    let took = start.elapsed();
    std::thread::sleep(seconds(2));
    let captured = capture.finish();
    let seen = sampler.finish();
    let after = routers.map(memory);

    assert_eq!(sent, PER_MILLI * 10_000);
    assert!(took < seconds(12), "{sent} packets took {took:?}: no flood");
    assert_eq!(pair.entered_since(marks), "", "no router changes its state");
    assert!(seen.changes == 0 && seen.none.is_zero() && seen.several.is_zero(), "{seen:?}");
    let gap = longest_gap(&captured, pair.a.host.address, 11);
    assert!(gap < millis(1_200), "adverts {gap:?} apart");
    assert_eq!(captured.adverts(Some(pair.b.host.address)).len(), 0, "the backup stays silent");
    for (n, router) in routers.into_iter().enumerate() {
        let name = &router.host.name;
        let lines = router.run.log.mark() - quiet[n];
        assert!((1..80).contains(&lines), "{lines} lines of {name}: logged, but not every time");
        let grown = (after[n] - before[n]).abs();
        assert!(grown <= 200, "{name} went from {} to {} kB", before[n], after[n]);
        let mark = router.run.log.mark();
        router.run.signal(Signal::SIGUSR1);
        router.run.log.wait_for_after(mark, "enp0s3: … dropped:", seconds(1));
        let counts = router.run.log.since(mark, "dropped:").join("\n");
        eprintln!("{name}: gap {gap:?}, {lines} lines, {} to {} kB\n{counts}", before[n], after[n]);
        for reason in ["checksum", "interval", "auth_mismatch"] {
            let count = counts.split_once("(VI_1)").and_then(|(_, rest)| {
                let (_, rest) = rest.split_once(&format!("{reason}="))?;
                rest.split_whitespace().next()?.parse::<usize>().ok()
            });
            assert!(count.is_some_and(|count| count > 10_000), "{reason} in {counts}");
        }
    }
}

#[test]
fn a_flood_from_hundreds_of_forged_addresses_does_not_fill_the_log() {
    let nodes = [200, 100].map(|priority| Node::plain(priority).with("LOG_LEVEL", "info"));
    let pair = Pair::start([Kind::Ours; 2], &nodes);
    let marks = pair.marks();
    let forged: Vec<Ipv4Addr> = (3..250).filter(|n| *n != 100).map(|n| [10, 77, 0, n].into()).collect();
    let capture = Capture::start(&pair.client, "forged", "proto 112 and src host 10.77.0.1");
    let sent = pair.client.flood(&forged, &bad_adverts(), 20, seconds(4));
    assert_eq!(sent, 80_000);
    let gap = longest_gap(&capture.finish(), pair.a.host.address, 4);
    assert!(gap < millis(1_200), "adverts {gap:?} apart");
    assert_eq!(pair.entered_since(marks), "", "no router changes its state");
    for (router, mark) in [&pair.a, &pair.b].into_iter().zip(marks) {
        let lines = router.run.log.mark() - mark;
        eprintln!("{}: gap {gap:?}, {lines} lines", router.host.name);
        assert!((10..80).contains(&lines), "{lines} lines of {}", router.host.name);
    }
}
