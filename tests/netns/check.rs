//! The command `check`: its output and exit code beside a running daemon, alone, and with faults.

use std::path::Path;

use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::service::Haproxy;
use crate::support::{seconds, wait_until};

/// Runs the command to its end. Returns its lines, with whitespace reduced to one space, and its exit code.
fn check(host: &Host, launch: Launch<'_>, node: &Node) -> (Vec<String>, i32) {
    let mut run = Running::start(host, launch, Path::new(OURS), &["check"], &node.environment(host));
    let code = run.wait_exit(seconds(5));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (run.log.whole(seconds(1)).lines().map(words).collect(), code)
}

fn has(lines: &[String], line: &str) {
    assert!(lines.iter().any(|known| known == line), "no line {line:?} in {lines:#?}");
}

#[test]
fn next_to_a_running_daemon_check_finds_everything_and_changes_nothing() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::watching_haproxy(11).with("KEEPALIVED_PASSWORD", "hunter2").with("CHECK_RISE", "2");
    let mut router = Router::start(Kind::Ours, &host, &node);
    let haproxy = Haproxy::start(&host, &router.run);
    router.wait_master(0, seconds(8));
    let (lines, code) = check(&host, Launch::Joining(&router.run), &node);
    assert_eq!(code, 0);
    for line in [
        "VI_1",
        "VIP 10.77.0.100 set",
        "CHECK_RISE 2 set",
        "CHECK_FALL 1 default",
        "CHECK_HTTP_STATUS 200-399 default",
        "CHECK_TIMEOUT 1 default",
        "VIP_LEASE auto (4) default",
        "AUTH_PASS (set, not shown) set as KEEPALIVED_PASSWORD",
        "info the capabilities NET_ADMIN and NET_RAW are present",
        "info (VI_1) interface enp0s3 is up; adverts are sent from 10.77.0.1",
        "info (VI_1) 10.77.0.100 is on enp0s3, added by vrrp-init",
        "info (VI_1) priority 13 while healthy, 11 while failed: a backup needs 12 to take over",
        "info address guard: if vrrp-init dies, nf_tables silences this host for the virtual addresses",
    ] {
        has(&lines, line);
    }
    has(&lines, &format!("info haproxy runs: pid {}", haproxy.run.own_pid()));
    assert!(lines.iter().any(|line| line.contains("net.ipv4.ip_nonlocal_bind=1")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2") || line.starts_with("warn")), "{lines:#?}");
    assert!(router.holds_vip() && router.run.is_running());
}

#[test]
fn at_its_start_the_daemon_logs_only_the_facts_it_would_not_log_later() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::watching_haproxy(11).with("VIP", "192.0.2.1"));
    router.run.log.wait_for(
        "(VI_1) priority 13 while healthy, 11 while failed: a backup needs 12 to take over",
        seconds(2),
    );
    router.run.log.wait_for("(VI_1) 192.0.2.1 is in no subnet of enp0s3", seconds(2));
    router.wait_backup(0, seconds(2));
    assert_eq!(router.run.log.since(0, "the capabilities").len(), 0);
    assert_eq!(router.run.log.since(0, "is not seen").len(), 0);
}

#[test]
fn an_empty_pid_namespace_is_reported_with_the_way_to_share_one() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::watching_haproxy(11);
    let alone = "warn haproxy is not seen, nor any process but vrrp-init";
    let shown = |launch: Launch<'_>| {
        let (lines, code) = check(&host, launch, &node);
        assert_eq!(code, 0);
        lines.iter().any(|line| line.starts_with(alone))
    };
    assert!(shown(Launch::PidOne), "as by docker run");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_backup(0, seconds(2));
    assert!(shown(Launch::Joining(&router.run)), "as by docker exec");
    let sleep = Path::new("/usr/bin/sleep");
    let neighbour = Running::start(&host, Launch::Joining(&router.run), sleep, &["600"], &[]);
    neighbour.pid();
    assert!(!shown(Launch::Joining(&router.run)), "there is another container");

    let holder = Running::start(&host, Launch::PidOne, Path::new(OURS), &["hold"], &[]);
    let guest = Router::ours(&host, &Node { vrid: 52, ..node.clone() }, Launch::Joining(&holder));
    guest.run.log.wait_for("Entering BACKUP STATE", seconds(2));
    assert!(shown(Launch::Joining(&holder)), "vrrp-init hold and the daemon, but no haproxy");
    let neighbour = Running::start(&host, Launch::Joining(&holder), sleep, &["600"], &[]);
    neighbour.pid();
    assert!(!shown(Launch::Joining(&holder)), "there is another container in the holder layout");
}

#[test]
fn a_check_asks_who_has_the_address_and_knows_the_master() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    let node = Node::plain(11).with("VIP", "10.77.0.100 fd00::100");
    let answered = |lines: &[String]| {
        let lines = lines.iter().filter(|line| line.contains(" is answered by "));
        lines.cloned().collect::<Vec<_>>()
    };
    let (lines, code) = check(&host, Launch::PidOne, &node);
    assert_eq!((answered(&lines), code), (vec![], 0), "nobody has it");
    other.ip("address add 10.77.0.100/32 dev enp0s3");
    other.ip("address add fd00::100/128 dev enp0s3 nodad");
    let by = format!(
        "is answered by {}: another host has it, which sends no adverts of VRID 51: remove it there",
        other.mac()
    );
    let both = [format!("warn (VI_1) 10.77.0.100 {by}"), format!("warn (VI_1_v6) fd00::100 {by}")];
    // It asks twice in a second; on a busy machine the answer may be late.
    wait_until("both are answered", seconds(10), || {
        let (lines, code) = check(&host, Launch::PidOne, &node);
        assert_eq!(code, 0, "a warning fails no check");
        answered(&lines) == both
    });
    other.ip("address flush dev enp0s3 to 10.77.0.100");
    other.ip("-6 address delete fd00::100/128 dev enp0s3");
    let master = Router::start(Kind::Ours, &other, &Node { vrid: 51, ..node.clone() });
    master.run.log.wait_for("(VI_1) Entering MASTER STATE", seconds(8));
    master.run.log.wait_for("(VI_1_v6) Entering MASTER STATE", seconds(8));
    let (lines, _) = check(&host, Launch::PidOne, &node);
    let known = answered(&lines);
    assert!(
        known[0].starts_with("info (VI_1) 10.77.0.100 ") && known[1].starts_with("info (VI_1_v6) fd00::100 ")
    );
    assert!(
        known[0].ends_with(": the master 10.77.0.2 has it") && known[1].contains(": the master fe80::"),
        "{known:?}"
    );
    host.nft("add table inet t");
    host.nft("add chain inet t in { type filter hook input priority 0 ; }");
    host.nft("add rule inet t in meta l4proto 112 drop");
    let (lines, _) = check(&host, Launch::PidOne, &node);
    let dropped = "and are dropped by this host's firewall (accept IP protocol 112)";
    let route = "or by rp_filter if the route to 10.77.0.2 is not over enp0s3";
    has(&lines, &format!("warn (VI_1) adverts of 10.77.0.2 reach enp0s3 {dropped}, {route}"));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("warn (VI_1_v6) adverts of fe80::") && line.ends_with(dropped))
    );
    assert_eq!(answered(&lines), known, "it is known from before the firewall");
}

#[test]
fn a_missing_interface_is_a_warning() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(11).with("INTERFACE", "eth9");
    let (lines, code) = check(&host, Launch::PidOne, &node);
    assert_eq!(code, 0);
    has(&lines, "warn (VI_1) interface eth9 does not exist: the daemon waits for it");
    host.pull_cable();
    let (lines, code) = check(&host, Launch::PidOne, &Node::plain(11));
    assert_eq!(code, 0);
    has(&lines, "warn (VI_1) interface enp0s3 is down or has no carrier: the daemon waits for it");
}

#[test]
fn a_missing_capability_is_reported_with_everything_else() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for (capability, name) in [("net_admin", "NET_ADMIN"), ("net_raw", "NET_RAW")] {
        let (lines, code) = check(&host, Launch::Without(capability), &Node::plain(11));
        assert_eq!(code, 77);
        has(
            &lines,
            &format!(
                "error the capability {name} is missing; add to the compose file: cap_add: [NET_ADMIN, NET_RAW]"
            ),
        );
        has(&lines, "PRIORITY 11 set");
    }
}

#[test]
fn every_problem_of_the_environment_is_one_report() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(11).with("KEEPALIVED_PRIORITY", "12").with("AUTH_PASS", "hunter2-and-more");
    let (lines, code) =
        check(&host, Launch::PidOne, &node.with("SERVICE", "haproxy").with("CHECK_RISE", "0"));
    assert_eq!(code, 78);
    assert_eq!(
        lines,
        [
            "vrrp-init: 2 problems in the environment",
            "KEEPALIVED_PRIORITY=12 PRIORITY is also set, to another value; keep one of them",
            "CHECK_RISE=0 must be a whole number from 1 to 4294967295",
            "vrrp-init: 1 warning in the environment",
            "AUTH_PASS is longer than 8 bytes: as in keepalived, only the first 8 are used",
        ]
    );
}
