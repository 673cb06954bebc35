//! The guard of the addresses: a host whose vrrp-init was killed answers neither ARP nor neighbor solicitations for them,
//! and nothing of it is left. `nft` is the independent judge of what is in the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::asker::Asker;
use crate::support::lab::{Host, Lab};
use crate::support::pair::{Pair, START};
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const VIP: Ipv4Addr = Node::VIP;
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
/// The lease of a router with a short interval.
const LEASE: Duration = seconds(3);
/// The kernel silences for so much longer than the lease: it removes addresses late, and not every renewal of the lease
/// renews the silence.
const LATE: Duration = millis(2_050);

/// A router that is alone and becomes master at once.
fn quick() -> Node {
    Node { advert_int: "0.1", ..Node::plain(200) }.with("ADDRESS_GUARD", "nft")
}

fn start(host: &Host, node: &Node) -> Router {
    let router = Router::start(Kind::Ours, host, node);
    router.run.log.wait_for("Entering MASTER STATE", START);
    router
}

/// What `nft list ruleset` shows on the host.
fn ruleset(host: &Host) -> String {
    host.nft("list ruleset")
}

/// A host that asks.
fn asker(lab: &Lab) -> Asker {
    let host = lab.host("client", 250);
    host.ip("address add fd00::250/64 nodad dev enp0s3");
    Asker::new(&host)
}

/// Kills the router while asking all the time. Returns how long after the kill the last answer came.
fn answered_after_kill(asker: &Asker, router: &mut Router, of: impl Into<IpAddr>) -> Duration {
    let of = of.into();
    let pid = Pid::from_raw(i32::try_from(router.run.pid()).expect("a pid"));
    let question = asker.question(of);
    let before = asker.last_answer(&question, of, Instant::now() + millis(50));
    assert!(before.is_some(), "{of} is answered before the kill");
    let killed = Instant::now();
    kill(pid, Signal::SIGKILL).expect("it runs");
    let last = asker.last_answer(&question, of, killed + millis(500));
    router.run.wait_exit(seconds(1));
    last.map_or(Duration::ZERO, |last| last - killed)
}

/// Kills a router of `node` several times, and has each silent at once although the address stays.
fn is_silent_after_a_kill(vip: impl Into<IpAddr>) {
    let (vip, lab) = (vip.into(), Lab::new());
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let node = quick().with("VIP", vip.to_string());
    let mut times = vec![];
    for _ in 0..5 {
        let mut router = start(&host, &node);
        times.push(answered_after_kill(&client, &mut router, vip));
        assert!(host.holds(vip), "the address is still there");
        assert!(!client.is_answered(vip, millis(50)));
    }
    times.sort_unstable();
    println!("silent after {times:?}");
    // A busy machine may take a while to end the process.
    assert!(times[0] < millis(5) && times[4] < millis(400), "{times:?}");
}

#[test]
fn a_host_whose_router_was_killed_answers_no_arp() {
    is_silent_after_a_kill(VIP);
}

#[test]
fn a_host_whose_router_was_killed_answers_no_neighbor_solicitation() {
    is_silent_after_a_kill(VIP_V6);
}

#[test]
fn without_a_guard_the_host_answers_until_its_lease_ends() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    for (name, value) in [
        ("ADDRESS_GUARD", "off"),
        ("LIFELINE", "false"),
        ("FAST_FAILOVER", "false"),
        ("VIP_LEASE", "0"),
        ("PRIORITY", "255"),
    ] {
        let node = if name == "LIFELINE" { quick().with("ADDRESS_GUARD", "auto") } else { quick() };
        let mut router = start(&host, &node.with(name, value));
        assert_eq!(ruleset(&host), "", "{name}={value}");
        router.run.kill();
        std::thread::sleep(millis(20));
        assert!(client.is_answered(VIP, millis(200)), "{name}={value}");
    }
}

#[test]
fn auto_creates_the_guard_but_does_not_silence_a_host_that_no_backup_would_replace_at_once() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let mut router = start(&host, &quick().with("ADDRESS_GUARD", "auto"));
    assert!(ruleset(&host).contains("flags owner"));
    let (_, text) = command(&router, &["status"]);
    assert!(text.contains("guard:     nft: not in use"), "{text}");
    router.run.kill();
    std::thread::sleep(millis(20));
    assert!(client.is_answered(VIP, millis(200)));
}

#[test]
fn auto_silences_a_host_while_a_backup_is_there() {
    let mut pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    let client = Asker::new(&pair.client);
    let silences = |host: &Host| host.nft("list set arp vrrp-init-10.77.0.100 addresses").contains("expires");
    wait_until("the master is guarded", seconds(2), || silences(&pair.a.host));
    assert!(!silences(&pair.b.host));
    let (_, text) = command(&pair.a, &["status"]);
    assert!(text.contains("guard:     nft\n"), "{text}");
    pair.b.run.signal(Signal::SIGTERM);
    assert_eq!(pair.b.run.wait_exit(seconds(3)), 0);
    wait_until("it is not any more", crate::support::pair::LEASE + LATE * 2, || !silences(&pair.a.host));
    let (_, text) = command(&pair.a, &["status"]);
    assert!(text.contains("guard:     nft: not in use"), "{text}");
    pair.a.run.kill();
    std::thread::sleep(millis(20));
    assert!(client.is_answered(VIP, millis(200)));
}

#[test]
fn the_silence_ends_with_the_lease_and_whoever_has_the_address_then_is_heard() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    host.ip("address add fd00::1/64 nodad dev enp0s3");
    let mut router = start(&host, &quick().with("VIP", format!("{VIP} {VIP_V6}")));
    wait_until("it holds both", seconds(2), || host.holds(VIP_V6));
    router.run.kill();
    let killed = Instant::now();
    // Without a lease, as another program adds them.
    host.ip(&format!("address replace {VIP}/32 dev enp0s3"));
    host.ip(&format!("address replace {VIP_V6}/128 nodad dev enp0s3"));
    assert!(!client.is_answered(VIP, millis(50)) && !client.is_answered(VIP_V6, millis(50)));
    wait_until("it is heard again", LEASE + LATE, || {
        client.is_answered(VIP, millis(20)) && client.is_answered(VIP_V6, millis(20))
    });
    assert!(killed.elapsed() > LEASE * 2 / 3, "the lease was fresh: {:?}", killed.elapsed());
}

#[test]
fn a_restarted_router_answers_again_and_replaces_what_the_killed_one_left() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let node = quick().with("VIP_LEASE", "60");
    start(&host, &node).run.kill();
    assert!(ruleset(&host).contains(&VIP.to_string()) && !ruleset(&host).contains("owner"));
    let mut router = start(&host, &node);
    assert!(client.is_answered(VIP, millis(200)));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert_eq!(ruleset(&host), "");
}

#[test]
fn a_leftover_of_another_configuration_is_removed_once_it_silences_nothing() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for (lease, stays) in [("60", true), ("1", false)] {
        let mut killed = start(&host, &quick().with("VIP", "10.77.0.9").with("VIP_LEASE", lease));
        wait_until("its address is guarded", seconds(5), || {
            ruleset(&host).contains("elements = { 10.77.0.9 timeout")
        });
        killed.run.kill();
        std::thread::sleep(seconds(1) + LATE);
        let mut router = start(&host, &quick());
        let text = ruleset(&host);
        assert_eq!(text.contains("vrrp-init-10.77.0.9"), stays, "{text}");
        router.run.signal(Signal::SIGTERM);
        assert_eq!(router.run.wait_exit(seconds(3)), 0);
    }
    assert_eq!(ruleset(&host), "");
}

#[test]
fn a_clean_exit_leaves_the_ruleset_as_it_was() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.nft("add table arp filter { chain input { type filter hook input priority 0 ; } ; }");
    host.nft("add rule arp filter input arp operation request counter");
    host.nft("add table ip6 vrrp { set addresses { type ipv6_addr ; } ; }");
    let before = ruleset(&host);
    let mut router = start(&host, &quick().with("VIP", format!("{VIP} {VIP_V6}")));
    for table in ["arp vrrp-init-10.77.0.100", "ip6 vrrp-init-10.77.0.100"] {
        assert!(ruleset(&host).contains(&format!("table {table} {{")), "{}", ruleset(&host));
        assert!(ruleset(&host).contains(&format!("table {table}-alive {{")), "{}", ruleset(&host));
    }
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert_eq!(ruleset(&host), before);
}

#[test]
fn a_flushed_ruleset_is_repaired_and_logged_once() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let mut router = start(&host, &quick().with("VIP", format!("{VIP} {VIP_V6}")));
    for _ in 0..2 {
        host.nft("flush ruleset");
        assert!(client.is_answered(VIP, millis(200)), "the living host is not silent");
        wait_until("it is there again", LEASE, || {
            ["table arp vrrp-init-10.77.0.100 {", "table ip6 vrrp-init-10.77.0.100 {"]
                .iter()
                .all(|table| ruleset(&host).contains(table))
        });
    }
    assert_eq!(router.run.log.since(0, "Another program removed the address guard").len(), 1);
    let last = answered_after_kill(&client, &mut router, VIP);
    assert!(last < millis(400), "{last:?}");
}

/// What somebody can do to the tables without removing them.
#[test]
fn partial_damage_is_repaired_at_once_and_logged_once() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let mut router = start(&host, &quick());
    let table = "arp vrrp-init-10.77.0.100";
    // What is listed does not depend on the remaining time.
    let listed = || {
        let text = host.nft(&format!("list table {table}"));
        let lines = text.lines().map(|line| {
            if line.contains("elements") { &line[..line.rfind(" timeout").unwrap()] } else { line }
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    wait_until("it silences", seconds(2), || listed().contains("elements = { 10.77.0.100"));
    let whole = listed();
    for damage in [
        format!("flush chain {table} input"),
        format!("flush set {table} addresses"),
        format!("delete element {table} addresses {{ {VIP} }}"),
        format!("insert rule {table} input accept"),
        format!("flush table {table}"),
        format!("delete table {table}"),
    ] {
        host.nft(&damage);
        println!("{damage}");
        wait_until("it is whole again", seconds(3), || {
            ruleset(&host).contains("gc-interval") && listed() == whole
        });
        assert!(client.is_answered(VIP, millis(200)), "the living host is not silent");
    }
    router.run.log.wait_for("Another program removed the address guard", seconds(1));
    for what in ["changed the address guard in", "removed the address guard from"] {
        assert_eq!(router.run.log.since(0, &format!("Another program {what} nf_tables")).len(), 1);
    }
    let last = answered_after_kill(&client, &mut router, VIP);
    assert!(last < millis(400), "{last:?}");
}

/// Somebody who changes nf_tables all the time, and the guard with it.
#[test]
fn endless_damage_costs_one_repair_a_second_and_the_changes_of_others_none() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = start(&host, &Node { advert_int: "1", ..quick() });
    let repairs = |commands: &str, times: u32| {
        let watch = format!("timeout 3 nft monitor > /tmp/vrrp-init-guard-{}", std::process::id());
        let mut monitor =
            host.inside(|| std::process::Command::new("sh").args(["-c", &watch]).spawn().unwrap());
        std::thread::sleep(millis(200));
        for _ in 0..times {
            host.nft(commands);
        }
        monitor.wait().unwrap();
        let path = format!("/tmp/vrrp-init-guard-{}", std::process::id());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        text.matches("add table arp vrrp-init-10.77.0.100").count()
    };
    host.nft("add table ip other");
    assert_eq!(repairs("add chain ip other c", 20), 0);
    let repaired = repairs("flush chain arp vrrp-init-10.77.0.100 input", 50);
    println!("{repaired} repairs");
    // Each repair names the table twice.
    assert!((1..=8).contains(&repaired), "{repaired}");
    assert_eq!(router.run.log.since(0, "Another program changed the address guard").len(), 1);
}

#[test]
fn two_processes_on_one_host_guard_only_their_own_addresses() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let other = Ipv4Addr::new(10, 77, 0, 101);
    let nodes = [quick(), Node { vrid: 52, vip: other, ..quick() }];
    let mut routers = nodes.each_ref().map(|node| start(&host, node));
    assert!(client.is_answered(VIP, millis(200)) && client.is_answered(other, millis(200)));
    routers[0].run.kill();
    std::thread::sleep(millis(20));
    assert!(!client.is_answered(VIP, millis(50)) && client.is_answered(other, millis(200)));
    routers[0] = start(&host, &nodes[0]);
    assert!(client.is_answered(VIP, millis(200)) && client.is_answered(other, millis(200)));
    routers[1].run.signal(Signal::SIGTERM);
    assert_eq!(routers[1].run.wait_exit(seconds(3)), 0);
    assert!(client.is_answered(VIP, millis(200)));
    let last = answered_after_kill(&client, &mut routers[0], VIP);
    assert!(last < millis(400), "{last:?}");
}

#[test]
fn keepalived_that_follows_on_the_dead_host_is_heard_when_the_lease_is_over() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    let node = Node::plain(200).with("ADDRESS_GUARD", "nft");
    start(&host, &node).run.kill();
    let killed = Instant::now();
    let keepalived = Router::start(Kind::Keepalived, &host, &node);
    let master = keepalived.wait_master(0, START);
    wait_until("keepalived is heard", seconds(5), || client.is_answered(VIP, millis(20)));
    println!("keepalived: master after {:?}, heard after {:?}", master - killed, killed.elapsed());
    assert!(killed.elapsed() < crate::support::pair::LEASE + LATE + millis(100), "{:?}", killed.elapsed());
}

#[test]
fn a_refused_guard_is_reported_and_everything_else_works() {
    let lab = Lab::new();
    let (client, host) = (asker(&lab), lab.host("a", 1));
    // The first address is the name of the guard.
    let first = start(&host, &quick());
    let node = Node { vrid: 52, ..quick() }
        .with("VIP", format!("{VIP} dev eth9, 10.77.0.101"))
        .with("ADDRESS_GUARD", "auto");
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
    let mut second = start(&host, &with_metrics(node));
    let why = "cannot create the address guard in nf_tables: Operation not permitted (os error 1); another vrrp-init on \
               this host has the same first address";
    second.run.log.wait_for(&format!("warning: No address guard for IPv4: {why}"), seconds(1));
    let (_, text) = command(&second, &["status"]);
    assert!(text.contains(&format!("  guard:     none: {why}\n")), "{text}");
    let warning = "  warning:   another vrrp-init on this host has the same first address: stop one of the two, and restart the one that stays\n";
    assert!(text.contains(warning) && text.lines().next().unwrap().contains("1 warning"), "{text}");
    let (_, json) = command(&second, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["routers"][0]["guard"], serde_json::json!({ "kind": "none", "why": why }));
    let labels = "iname=\"VI_1\",intf=\"enp0s3\",vrid=\"52\",kind=\"none\"";
    assert!(body(&host, "/metrics").contains(&format!("keepalived_vrrp_address_guard{{{labels}}} 0\n")));
    second.run.kill();
    std::thread::sleep(millis(20));
    assert!(client.is_answered([10, 77, 0, 101], millis(200)));
    let (_, json) = command(&first, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["routers"][0]["guard"], serde_json::json!({ "kind": "nft", "why": null }));
    assert_eq!(first.run.log.since(0, "removed the address guard"), Vec::<String>::new());
}
