//! The lifeline between real processes: what counts as a death, and what a broken or hostile network makes of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::many::Many;
use crate::support::oom::MemoryGroup;
use crate::support::pair::{Pair, START};
use crate::support::process::{Launch, Running};
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Check, Kind, Node, OURS, Router};
use crate::support::schedule::in_real_time;
use crate::support::service::Haproxy;
use crate::support::wire::Message;
use crate::support::{machine, millis, seconds, wait_until};

const PORT: u16 = 9112;
/// Ten adverts a second: silence is noticed after a third of a second.
const SILENCE: Duration = millis(400);

fn node(priority: u8) -> Node {
    Node { advert_int: "0.1", ..Node::plain(priority) }
}

/// The line about the lifeline in the status.
fn lifeline(router: &Router) -> String {
    let status = command(router, &["status"]).1;
    let line = status.lines().find_map(|line| line.trim_start().strip_prefix("lifeline:"));
    line.unwrap_or_else(|| panic!("no lifeline in {status}")).trim().to_owned()
}

fn wait_for_lifeline(router: &Router, text: &str) {
    let mut last = String::new();
    wait_until(&format!("{} has the lifeline {text}", router.host.name), seconds(9), || {
        let now = lifeline(router);
        if now != last {
            println!("{}: {now}", router.host.name);
        }
        last = now;
        std::thread::sleep(millis(30));
        last.starts_with(text)
    });
}

/// The better one is master before the other one starts.
fn unconnected(kinds: [Kind; 2], nodes: &[Node; 2]) -> Pair {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    let a = Router::start(kinds[0], &hosts[0], &nodes[0]);
    a.wait_master(0, START);
    let b = Router::start(kinds[1], &hosts[1], &nodes[1]);
    b.run.log.wait_for("(VI_1) Entering BACKUP STATE", START);
    Pair { kinds, a, b, client, _lab: lab }
}

/// [`unconnected`], and then a backup that is connected to its master.
fn connected(nodes: &[Node; 2]) -> Pair {
    let pair = unconnected([Kind::Ours; 2], nodes);
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    pair
}

fn pair() -> Pair {
    connected(&[node(200), node(100)])
}

/// Kills the master. How long after that the backup is master, and why.
fn kill(pair: &mut Pair) -> (Duration, String) {
    let mark = pair.b.run.log.mark();
    let killed = Instant::now();
    pair.a.run.signal(Signal::SIGKILL);
    let line = pair.b.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE", seconds(5));
    pair.a.run.wait_exit(seconds(1));
    println!("{:?} after the kill: {}", line.at - killed, line.text);
    (line.at - killed, line.text)
}

/// The cause shows that silence had no time to be noticed.
fn is_replaced_at_once(pair: &mut Pair) {
    let why = kill(pair).1;
    assert!(why.ends_with(" died"), "{why}");
}

fn is_replaced_after_silence(pair: &mut Pair) {
    let why = kill(pair).1;
    assert!(why.ends_with(" fell silent"), "{why}");
}

/// Nothing moves for longer than a backup waits in silence.
fn nothing_moves(pair: &Pair, marks: [usize; 2]) {
    std::thread::sleep(2 * SILENCE);
    assert_eq!(pair.entered_since(marks), "");
}

#[test]
fn a_killed_master_is_replaced_in_milliseconds() {
    let mut pair = Pair::plain();
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
    let (after, why) = kill(&mut pair);
    assert!(why.ends_with(" 10.77.0.1 (priority 200) died"), "{why}");
    assert!(after < millis(500), "after {after:?}: silence takes 3.6 s");
    assert_eq!(lifeline(&pair.b), "no backup is connected");
}

/// Once is enough: on a busy machine the backup may come too late.
#[test]
fn a_master_killed_just_after_it_took_over_is_replaced_in_milliseconds() {
    let mut pair = pair();
    let mut causes = vec![];
    for _ in 0..4 {
        kill(&mut pair);
        let a = &mut pair.a;
        *a = Router::ours(&a.host, &a.node, Launch::PidOne);
        let took_over = a.run.log.wait_for("(VI_1) Entering MASTER STATE", START).at;
        pair.b.run.log.wait_for("(VI_1) Entering BACKUP STATE: 10.77.0.1", START);
        std::thread::sleep((took_over + millis(60)).saturating_duration_since(Instant::now()));
        causes.push(kill(&mut pair).1);
        pair.a = Router::ours(&pair.a.host, &pair.a.node, Launch::PidOne);
        pair.a.wait_master(0, START);
        wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    }
    assert!(causes.iter().any(|why| why.ends_with(" died")), "{causes:?}");
}

#[test]
fn a_master_that_the_oom_killer_chooses_or_that_aborts_is_replaced_at_once() {
    let mut pair = pair();
    let mark = pair.b.run.log.mark();
    let victim = pair.a.run.pid();
    MemoryGroup::with(victim).run_out(victim);
    pair.a.run.wait_exit(seconds(1));
    pair.b.run.log.wait_for_after(mark, "Entering MASTER STATE … died", seconds(1));

    // What a panic that aborts ends in. PID 1 would not get it from outside.
    let Pair { a, b, .. } = &mut pair;
    *a = Router::ours(&a.host, &a.node, Launch::NotPidOne);
    a.wait_master(0, START);
    wait_for_lifeline(b, "10.77.0.1 connected");
    let mark = b.run.log.mark();
    a.run.signal(Signal::SIGABRT);
    b.run.log.wait_for_after(mark, "Entering MASTER STATE … died", seconds(1));
}

#[test]
fn without_a_guard_a_killed_master_is_replaced_after_its_silence() {
    let mut pair = connected(&[node(200).with("ADDRESS_GUARD", "off"), node(100)]);
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert!(
        lifeline(&pair.b).ends_with("but its host has no address guard: a crash takes as long as silence")
    );
    is_replaced_after_silence(&mut pair);
}

#[test]
fn the_connection_ends_before_the_kernel_closes_any_packet_socket() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let mut times = vec![];
    for _ in 0..5 {
        let mut router = Router::start(Kind::Ours, &host, &node(200));
        router.wait_master(0, START);
        let mut stream = connect(&client, &host);
        let mut greeting = [0; 16];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting[..7], b"\x01\x0eVILL\x01");
        let descriptors = |kind: &str| descriptors(&router.run, kind);
        let (connections, packets) = (descriptors("tcp"), descriptors("packet"));
        println!("connections {connections:?}, packet sockets {packets:?}");
        assert!(packets.len() >= 2 && packets.iter().max() < connections.iter().min());
        let killed = Instant::now();
        router.run.signal(Signal::SIGKILL);
        // Later frames, then the end.
        while stream.read(&mut greeting).unwrap() > 0 {}
        times.push(killed.elapsed());
        router.run.wait_exit(seconds(1));
        wait_until("the address is gone", seconds(6), || !router.holds_vip());
    }
    times.sort_unstable();
    println!("FIN after {times:?}");
    // A packet socket costs 12 ms, and there are several.
    assert!(times[0] < millis(10), "{times:?}");
}

/// A connection with the TTL of a host on the link.
fn connect(from: &Host, to: &Host) -> TcpStream {
    from.inside(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_ttl_v4(255).unwrap();
        let to = SocketAddr::new(to.address.into(), PORT);
        socket.connect_timeout(&to.into(), seconds(2)).expect("the master listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(seconds(3))).unwrap();
        stream
    })
}

/// The descriptors of a process that are sockets of this table in /proc/PID/net.
fn descriptors(run: &Running, table: &str) -> Vec<u32> {
    let proc = format!("/proc/{}", run.pid());
    let table = std::fs::read_to_string(format!("{proc}/net/{table}")).unwrap();
    let words: Vec<_> = table.split_whitespace().collect();
    let entries = std::fs::read_dir(format!("{proc}/fd")).unwrap().map(Result::unwrap);
    let is_in_table = |entry: &std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| words.contains(&inode))
    };
    entries.filter(is_in_table).map(|entry| entry.file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// The established lifelines of a host.
fn connections(host: &Host) -> usize {
    let args = ["-Htn", "state", "established", "sport", "=", ":9112", "or", "dport", "=", ":9112"];
    let output = host.inside(|| std::process::Command::new("ss").args(args).output().unwrap());
    String::from_utf8(output.stdout).unwrap().lines().count()
}

#[test]
fn over_ipv6_the_link_local_addresses_are_connected() {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    let nodes = [200, 100].map(|priority| node(priority).with("VIP", "fe80::100 fd00::100"));
    let a = Router::start(Kind::Ours, &hosts[0], &nodes[0]);
    a.run.log.wait_for("Entering MASTER STATE", START);
    let b = Router::start(Kind::Ours, &hosts[1], &nodes[1]);
    b.wait_backup(0, START);
    let mut pair = Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab };
    wait_for_lifeline(&pair.b, "fe80:");
    wait_until("connected", seconds(3), || lifeline(&pair.b).contains(" connected "));
    is_replaced_at_once(&mut pair);
}

#[test]
fn both_families_and_many_routers_share_one_connection() {
    const MANY: Many = Many(200);
    let lab = Lab::new();
    let hosts = MANY.hosts(&lab);
    let start = |host: &Host, priority| {
        let mut env = MANY.environment(priority);
        env.push(("VIP_1000".into(), "fe80::100 10.78.0.254".into()));
        env.push(("VIRTUAL_ROUTER_1000".into(), "254".into()));
        env.push(("INTERFACE_1000".into(), "wire0".into()));
        Running::start::<&str>(host, Launch::PidOne, Path::new(OURS), &[], &env)
    };
    let masters = |run: &Running| run.log.since(0, "Entering MASTER STATE").len();
    let mut a = start(&hosts[0], 200);
    wait_until("a is master of all", 2 * START, || masters(&a) == 202);
    let b = start(&hosts[1], 100);
    wait_until("b follows all", seconds(5), || b.log.since(0, "Master is … (priority 200)").len() == 202);
    b.log.wait_for("Lifeline to 10.78.0.1: connected", seconds(2));
    b.log.wait_for("Lifeline to fe80: … connected", seconds(2));
    wait_until("one is left", seconds(2), || connections(&hosts[0]) == 1);
    let killed = Instant::now();
    a.kill();
    wait_until("b is master of all", seconds(2), || masters(&b) == 202);
    println!("all taken {:?} after the kill", killed.elapsed());
    assert_eq!(b.log.since(0, "Entering MASTER STATE … died").len(), 202);
}

#[test]
fn three_nodes_elect_one_and_the_third_follows_it() {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2), lab.host("c", 3)], lab.host("client", 250));
    let a = Router::start(Kind::Ours, &hosts[0], &node(200));
    a.wait_master(0, START);
    let b = Router::start(Kind::Ours, &hosts[1], &node(150));
    b.wait_backup(0, START);
    let mut pair = Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab };
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    let c = Router::start(Kind::Ours, &hosts[2], &node(100));
    c.wait_backup(0, START);
    wait_for_lifeline(&c, "10.77.0.1 connected");
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2, 10.77.0.3");
    is_replaced_at_once(&mut pair);
    wait_for_lifeline(&c, "10.77.0.2 connected");
    // On a busy machine it may be master for a moment: their skews differ by 0.8 ms.
    assert!(!c.holds_vip() && pair.b.holds_vip());
    // It may hear the new master before it reads the end of the old one's lifeline.
    c.run.log.wait_for("Master is 10.77.0.2", seconds(1));
    std::mem::swap(&mut pair.a, &mut pair.b);
    pair.b = c;
    is_replaced_at_once(&mut pair);
}

#[test]
fn two_masters_are_followed_and_only_the_dead_one_is_replaced() {
    let both = |first: &str, second: &str| {
        let node = node(100).with("PRIORITY", first).with("PRIORITY_2", second);
        node.with("VIP_2", "10.77.0.101").with("VIRTUAL_ROUTER_2", "52")
    };
    let mut pair = unconnected([Kind::Ours; 2], &[both("200", "100"), both("100", "200")]);
    pair.b.run.log.wait_for("(VI_2) Entering MASTER STATE", seconds(3));
    for (router, address) in [(&pair.a, "10.77.0.2"), (&pair.b, "10.77.0.1")] {
        router.run.log.wait_for(&format!("Lifeline to {address}: connected"), seconds(3));
    }
    std::thread::sleep(millis(200));
    let mark = pair.b.run.log.mark();
    is_replaced_at_once(&mut pair);
    assert_eq!(pair.b.run.log.since(mark, "(VI_2) Entering"), [""; 0]);
}

#[test]
fn a_deliberate_end_is_no_death() {
    let mut pair = pair();
    let marks = pair.marks();
    // It steps down: the goodbye comes before the connection is closed.
    pair.a.run.signal(Signal::SIGTERM);
    pair.b.run.log.wait_for_after(marks[1], "Entering MASTER STATE … released the addresses", seconds(2));
    assert_eq!(pair.a.run.wait_exit(seconds(3)), 0);
    std::thread::sleep(millis(100));
    assert_eq!(pair.b.run.log.since(0, "died"), [""; 0]);
}

#[test]
fn a_master_killed_and_restarted_at_once_comes_back_by_preemption() {
    let mut pair = pair();
    is_replaced_at_once(&mut pair);
    let again = Router::start(Kind::Ours, &pair.a.host, &pair.a.node);
    again.wait_master(0, START);
    pair.b.run.log.wait_for("Entering BACKUP STATE: 10.77.0.1 (priority 200) ranks higher", seconds(1));
    pair.a = again;
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    // The takeover was right, so the budget lets the next one be fast after three quiet intervals.
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

#[test]
fn a_paused_master_is_replaced_after_its_silence() {
    let pair = pair();
    let mark = pair.b.run.log.mark();
    pair.a.run.signal(Signal::SIGSTOP);
    pair.b.run.log.wait_for_after(mark, "Entering MASTER STATE … fell silent", seconds(2));
}

#[test]
fn a_link_that_fails_is_noticed_by_silence_and_both_find_each_other_again() {
    let mut pair = pair();
    let mark = pair.b.run.log.mark();
    pair.a.host.pull_cable();
    pair.b.run.log.wait_for_after(mark, "Entering MASTER STATE … fell silent", seconds(2));
    let mark = pair.b.run.log.mark();
    pair.a.host.plug_cable();
    pair.b.run.log.wait_for_after(mark, "Entering BACKUP STATE", seconds(5));
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

/// As a container network that is attached again: another link with another hardware address.
fn make_link_again(host: &Host) {
    host.ip(&format!("link del {}", host.interface));
    host.plug_in();
}

#[test]
fn a_link_that_is_made_again_has_a_new_listener() {
    let mut pair = pair();
    let mark = pair.b.run.log.mark();
    make_link_again(&pair.a.host);
    pair.b.run.log.wait_for_after(mark, "Entering MASTER STATE … fell silent", seconds(2));
    pair.b.run.log.wait_for_after(mark, "Entering BACKUP STATE", seconds(5));
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

#[test]
fn a_link_of_the_backup_that_is_made_again_is_connected_again() {
    let mut pair = pair();
    make_link_again(&pair.b.host);
    pair.b.run.log.wait_for_after(0, "Entering FAULT STATE", seconds(2));
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    wait_until("one is left", seconds(9), || connections(&pair.a.host) == 1);
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

#[test]
fn another_address_of_the_backup_and_a_flap_of_the_masters_link_are_followed() {
    let pair = pair();
    let marks = pair.marks();
    pair.b.host.batch("address del 10.77.0.2/24 dev enp0s3\naddress add 10.77.0.22/24 dev enp0s3\n");
    wait_until("the new address", seconds(5), || lifeline(&pair.a).contains("10.77.0.22"));
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    pair.a.host.ip("link set enp0s3 down");
    std::thread::sleep(SILENCE);
    pair.a.host.ip("link set enp0s3 up");
    pair.b.run.log.wait_for_after(marks[1], "Entering MASTER STATE", seconds(5));
    pair.b.run.log.wait_for_after(marks[1], "Entering BACKUP STATE", seconds(5));
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert!(pair.b.run.log.since(0, "died").is_empty());
}

#[test]
fn after_a_partition_the_half_open_connection_gives_way_to_a_new_one() {
    let mut pair = pair();
    for cut in [true, false] {
        let mark = pair.b.run.log.mark();
        pair.a.host.set_cut_off(cut);
        pair.b.host.set_cut_off(cut);
        let next = if cut { "Entering MASTER STATE … fell silent" } else { "Entering BACKUP STATE" };
        pair.b.run.log.wait_for_after(mark, next, seconds(3));
    }
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

#[test]
fn a_partition_of_one_direction_is_no_death() {
    let mut pair = pair();
    let marks = pair.marks();
    // The master's packets pass.
    pair.a.host.nft("add table inet t");
    pair.a.host.nft("add chain inet t in { type filter hook input priority 0 ; }");
    pair.a.host.nft("add rule inet t in ip saddr 10.77.0.2 drop");
    nothing_moves(&pair, marks);
    is_replaced_at_once(&mut pair);
}

#[test]
fn a_blocked_port_is_reported_and_used_once_it_is_open() {
    let pair = {
        let lab = Lab::new();
        let (a, b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
        a.nft("add table inet t");
        a.nft("add chain inet t in { type filter hook input priority 0 ; }");
        a.nft("add rule inet t in tcp dport 9112 drop");
        let a = Router::start(Kind::Ours, &a, &node(200));
        a.wait_master(0, START);
        let b = Router::start(Kind::Ours, &b, &with_metrics(node(100)));
        b.wait_backup(0, START);
        Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab }
    };
    wait_for_lifeline(&pair.b, "10.77.0.1 blocked: open TCP port 9112 in the firewalls of both hosts");
    assert_eq!(pair.b.run.log.since(0, "warning: Lifeline to 10.77.0.1: blocked").len(), 1);
    let metrics = body(&pair.b.host, "/metrics");
    let labels = "iname=\"VI_1\",intf=\"enp0s3\",vrid=\"51\",state=\"blocked\"";
    assert!(metrics.contains(&format!("keepalived_vrrp_lifeline{{{labels}}} 0\n")), "{metrics}");
    assert_eq!(command(&pair.b, &["healthcheck"]).0, 0);
    pair.a.host.nft("delete table inet t");
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    wait_until("the page is rendered again", seconds(2), || {
        body(&pair.b.host, "/metrics").contains("state=\"connected\"} 1\n")
    });
    assert!(pair.b.run.log.since(0, "Entering MASTER STATE").is_empty());
}

#[test]
fn a_firewall_that_resets_is_a_refusal() {
    let pair = {
        let lab = Lab::new();
        let (a, b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
        a.nft("add table inet t");
        a.nft("add chain inet t in { type filter hook input priority 0 ; }");
        a.nft("add rule inet t in tcp dport 9112 reject with tcp reset");
        let a = Router::start(Kind::Ours, &a, &node(200));
        a.wait_master(0, START);
        let b = Router::start(Kind::Ours, &b, &node(100));
        b.wait_backup(0, START);
        Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab }
    };
    wait_for_lifeline(&pair.b, "10.77.0.1 refused: nothing listens at its TCP port 9112");
    pair.a.host.nft("delete table inet t");
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert!(pair.b.run.log.since(0, "died").is_empty());
}

/// The kernel resets the connection, and the process lives.
#[test]
fn a_reset_by_a_live_host_is_no_death() {
    let mut pair = pair();
    let marks = pair.marks();
    let args = ["-K", "-tn", "state", "established", "sport", "=", ":9112"];
    let reset = pair.a.host.inside(|| std::process::Command::new("ss").args(args).output().unwrap());
    assert!(String::from_utf8_lossy(&reset.stdout).contains("10.77.0.2"), "{reset:?}");
    wait_until("the master has it again", seconds(3), || lifeline(&pair.a) == "backups 10.77.0.2");
    nothing_moves(&pair, marks);
    assert!(pair.b.run.log.since(0, "died").is_empty());
    is_replaced_at_once(&mut pair);
}

/// The same, while a firewall of the live host answers every packet with a reset.
#[test]
fn a_reset_and_a_firewall_that_resets_are_no_death() {
    let mut pair = pair();
    let marks = pair.marks();
    for command in [
        "add table inet t",
        "add chain inet t in { type filter hook input priority 0 ; }",
        "add rule inet t in tcp dport 9112 reject with tcp reset",
    ] {
        pair.a.host.nft(command);
    }
    let args = ["-K", "-tn", "state", "established", "sport", "=", ":9112"];
    pair.a.host.inside(|| std::process::Command::new("ss").args(args).output().unwrap());
    wait_for_lifeline(&pair.b, "10.77.0.1 refused");
    nothing_moves(&pair, marks);
    pair.a.host.nft("delete table inet t");
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert!(pair.b.run.log.since(0, "died").is_empty());
    is_replaced_at_once(&mut pair);
}

/// The backup reads an advert and the end of the connection together, too soon for the master to have been restarted.
#[test]
fn a_death_that_is_read_together_with_the_last_advert_counts() {
    let mut pair = Pair::plain();
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    let mark = pair.b.run.log.mark();
    pair.b.run.signal(Signal::SIGSTOP);
    std::thread::sleep(millis(1_100));
    pair.a.run.kill();
    pair.b.run.signal(Signal::SIGCONT);
    pair.b.run.log.wait_for_after(mark, "Entering MASTER STATE … died", seconds(1));
}

/// The backup reads the end of the connection after the master has been restarted and has advertised again.
#[test]
fn a_death_that_is_read_after_the_restart_is_none() {
    let mut pair = pair();
    let mark = pair.b.run.log.mark();
    pair.b.run.signal(Signal::SIGSTOP);
    pair.a.run.kill();
    let again = Router::start(Kind::Ours, &pair.a.host, &pair.a.node);
    again.wait_master(0, START);
    std::thread::sleep(SILENCE);
    pair.b.run.signal(Signal::SIGCONT);
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert_eq!(pair.b.run.log.since(mark, "Entering"), [""; 0]);
    assert_eq!(pair.b.run.log.since(mark, "died"), [""; 0]);
    pair.a = again;
    is_replaced_at_once(&mut pair);
}

#[test]
fn a_port_that_another_program_has_is_reported_and_no_fault() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let taken = host.inside(|| TcpListener::bind(("0.0.0.0", PORT)).unwrap());
    let router = Router::start(Kind::Ours, &host, &node(200));
    router.wait_master(0, START);
    let why = "cannot listen for lifelines at 10.77.0.1:9112: Address already in use";
    router.run.log.wait_for(&format!("warning: {why} … will retry"), seconds(1));
    assert!(lifeline(&router).starts_with(why));
    assert_eq!(command(&router, &["healthcheck", "--master"]).0, 0);
    drop(taken);
    wait_until("it retries", seconds(12), || lifeline(&router) == "no backup is connected");
    assert_eq!(router.run.log.since(0, "cannot listen").len(), 1, "logged once");
}

#[test]
fn a_flood_of_connections_costs_the_master_and_its_backup_nothing() {
    let mut pair = pair();
    for n in 0..100 {
        pair.client.ip(&format!("address add 10.77.0.{}/24 dev enp0s3", 101 + n));
    }
    let marks = pair.marks();
    let to = SocketAddr::new(pair.a.host.address.into(), PORT);
    let attempt = |n: u8| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_ttl_v4(255).unwrap();
        socket.bind(&SocketAddr::from(([10, 77, 0, n], 0)).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&to.into());
        socket
    };
    // 400 from one address, which read nothing, and 100 from as many.
    let sources = std::iter::repeat_n(250, 400).chain(101..=200);
    let flood: Vec<_> = pair.client.inside(|| sources.map(attempt).collect());
    nothing_moves(&pair, marks);
    let open = descriptors(&pair.a.run, "tcp").len() - 1;
    println!("{open} connections are open");
    assert!((2..=16).contains(&open), "{open} connections");
    assert!(lifeline(&pair.b).starts_with("10.77.0.1 connected"));
    assert!(pair.a.run.log.mark() - marks[0] < 20, "{:?}", pair.a.run.log.since(marks[0], ""));
    is_replaced_at_once(&mut pair);
    drop(flood);
}

#[test]
fn a_client_that_sends_garbage_or_comes_through_a_router_is_left_alone() {
    let pair = pair();
    let mut stream = connect(&pair.client, &pair.a.host);
    while stream.write_all(&[9; 4096]).is_ok() {}
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
    let far = pair.client.inside(|| {
        let to = SocketAddr::new(pair.a.host.address.into(), PORT);
        TcpStream::connect_timeout(&to, millis(300)).unwrap_err()
    });
    assert_eq!(far.kind(), std::io::ErrorKind::TimedOut, "TTL 64");
}

/// The lifeline of a backup whose master answers at the port with these octets, and then with silence.
fn answered_with(octets: &'static [u8]) -> String {
    let lab = Lab::new();
    let (host, forger) = (lab.host("b", 2), lab.host("forger", 9));
    let listener = forger.inside(|| TcpListener::bind(("0.0.0.0", PORT)).unwrap());
    listener.set_ttl(255).unwrap();
    std::thread::spawn(move || {
        let answered = |stream: std::io::Result<TcpStream>| {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(octets);
            stream
        };
        // They stay open.
        let _open: Vec<_> = listener.incoming().take(20).map(answered).collect();
    });
    let b = Router::start(Kind::Ours, &host, &Node::plain(100));
    b.wait_backup(0, START);
    for _ in 0..6 {
        forger.send(255, &[], &Message::default().bytes());
        std::thread::sleep(millis(500));
    }
    let line = lifeline(&b);
    println!("{line}");
    assert!(b.run.log.since(0, "died").is_empty());
    assert!(b.run.log.since(0, "Lifeline to 10.77.0.9:").len() <= 2);
    line
}

#[test]
fn who_does_not_greet_is_named() {
    assert!(answered_with(b"").starts_with("10.77.0.9 no greeting: another program listens"));
    assert!(answered_with(b"SSH-2.0-x\r\n").contains("10.77.0.9 "));
    let forged = b"\x01\x0eVILX\x01\x01\x02\x03\x04\x05\x06\x07\x08\x03";
    assert!(answered_with(forged).starts_with("10.77.0.9 another program answers at TCP port 9112"));
    let newer = b"\x01\x0eVILL\x02\x01\x02\x03\x04\x05\x06\x07\x08\x03";
    assert!(answered_with(newer).starts_with("10.77.0.9 it has version 2 of the lifeline"));
}

#[test]
fn a_keepalived_master_costs_a_few_attempts_and_is_replaced_after_its_silence() {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    let a = Router::start(Kind::Keepalived, &hosts[0], &Node::plain(200));
    a.wait_master(0, START);
    let capture = Capture::start(&hosts[0], "syn", "tcp[tcpflags] & tcp-syn != 0");
    let b = Router::start(Kind::Ours, &hosts[1], &Node::plain(100));
    b.wait_backup(0, START);
    let mut pair = Pair { kinds: [Kind::Keepalived, Kind::Ours], a, b, client, _lab: lab };
    wait_for_lifeline(&pair.b, "10.77.0.1 refused: nothing listens at its TCP port 9112 (keepalived,");
    std::thread::sleep(seconds(5));
    let attempts = capture.finish().frames.len();
    assert!((3..=4).contains(&attempts), "{attempts} attempts in 5 s");
    assert_eq!(pair.b.run.log.since(0, "Lifeline to").len(), 1, "logged once");
    is_replaced_after_silence(&mut pair);
    // And as a backup it does not notice.
    let again = Router::start(Kind::Keepalived, &pair.a.host, &pair.a.node);
    again.wait_master(0, START);
    assert!(pair.b.run.log.since(0, "died").is_empty());
}

#[test]
fn a_node_without_a_lifeline_works_as_before_in_either_role() {
    for (mut pair, refused) in [
        (unconnected([Kind::Ours; 2], &[node(200).with("LIFELINE", "false"), node(100)]), true),
        (unconnected([Kind::Ours; 2], &[node(200), node(100).with("LIFELINE", "false")]), false),
        (unconnected([Kind::Ours; 2], &[node(200), node(100).with("FAST_FAILOVER", "false")]), false),
    ] {
        if refused {
            wait_for_lifeline(&pair.b, "10.77.0.1 refused");
            assert_eq!(lifeline(&pair.a), "off");
        } else {
            assert_eq!(
                (lifeline(&pair.a), lifeline(&pair.b)),
                ("no backup is connected".into(), "off".into())
            );
        }
        is_replaced_after_silence(&mut pair);
    }
}

#[test]
fn another_port_is_used_by_both() {
    let mut pair = connected(&[200, 100].map(|priority| node(priority).with("LIFELINE_PORT", "12345")));
    is_replaced_at_once(&mut pair);
}

/// As two compose projects on the host network.
#[test]
fn the_death_of_one_of_two_processes_on_a_host_is_not_that_of_the_other() {
    let second = |priority: u8, port: &str| {
        let node = Node { vrid: 52, vip: [10, 77, 0, 101].into(), ..node(priority) };
        node.with("LIFELINE_PORT", port)
    };
    for port in ["9112", "9113"] {
        let mut pair = pair();
        let a = Router::start(Kind::Ours, &pair.a.host, &second(200, port));
        a.run.log.wait_for("Entering MASTER STATE", START);
        let mut b = Router::start(Kind::Ours, &pair.b.host, &second(100, port));
        b.run.log.wait_for("Entering BACKUP STATE", START);
        let expected = if port == "9112" {
            "10.77.0.1 another vrrp-init there has TCP port 9112"
        } else {
            "10.77.0.1 connected"
        };
        wait_for_lifeline(&b, expected);
        std::thread::sleep(millis(1_200));
        // Both processes of the backup keep their connection.
        assert!(lifeline(&b).starts_with(expected), "{}", lifeline(&b));
        let first = lifeline(&pair.b);
        assert!(first.starts_with("10.77.0.1 connected") && !first.ends_with(" ms"), "{first}");
        assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
        is_replaced_at_once(&mut pair);
        std::thread::sleep(2 * SILENCE);
        assert_eq!(b.run.log.since(0, "Entering MASTER"), [""; 0]);
        assert!(b.run.log.since(0, "died").is_empty());
        b.run.signal(Signal::SIGTERM);
        b.run.wait_exit(seconds(3));
    }
}

/// A client that connects and says nothing does not make the host silent after a crash.
#[test]
fn a_client_without_a_virtual_router_is_no_backup() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let router = Router::start(Kind::Ours, &host, &node(200));
    router.wait_master(0, START);
    let mut stream = connect(&client, &host);
    stream.read_exact(&mut [0; 16]).unwrap();
    std::thread::sleep(millis(300));
    assert_eq!(lifeline(&router), "no backup is connected");
    assert!(command(&router, &["status"]).1.contains("guard:     nft: not in use"));
}

fn unicast(priority: u8) -> Node {
    node(priority).with("UNICAST_PEERS", "10.77.0.1 10.77.0.2")
}

#[test]
fn unicast_peers_are_connected() {
    let mut pair = connected(&[unicast(200), unicast(100)]);
    // A handover by haproxy's death or a restart keeps it in both roles; a kill shows that it still works.
    is_replaced_at_once(&mut pair);
    let again = Router::start(Kind::Ours, &pair.a.host, &pair.a.node);
    again.wait_master(0, START);
    pair.a = again;
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    std::thread::sleep(seconds(1));
    is_replaced_at_once(&mut pair);
}

/// A firewall that lets in VRRP and what was asked for.
fn deny_by_default(host: &Host) {
    host.nft("add table inet t");
    host.nft("add chain inet t in { type filter hook input priority 0 ; policy drop ; }");
    host.nft("add rule inet t in ct state established accept");
    host.nft("add rule inet t in ip protocol 112 accept");
}

#[test]
fn unicast_peers_are_connected_through_two_firewalls_that_let_nothing_in() {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    hosts.iter().for_each(deny_by_default);
    let a = Router::start(Kind::Ours, &hosts[0], &unicast(200));
    a.wait_master(0, START);
    let b = Router::start(Kind::Ours, &hosts[1], &unicast(100));
    b.wait_backup(0, START);
    let mut pair = Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab };
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    assert_eq!(lifeline(&pair.a), "backups 10.77.0.2");
    is_replaced_at_once(&mut pair);
}

#[test]
fn the_firewall_rules_of_the_page_let_it_through() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lifeline.md")).unwrap();
    let rules: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("nft ")).collect();
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    for host in &hosts {
        host.nft("add table inet filter");
        host.nft("add chain inet filter input { type filter hook input priority 0 ; policy drop ; }");
        for rule in ["ct state established", "ip protocol 112", "ip6 nexthdr icmpv6", "ip6 nexthdr 112"] {
            host.nft(&format!("add rule inet filter input {rule} accept"));
        }
    }
    let nodes = [200, 100].map(|priority| node(priority).with("VIP", "10.77.0.100 fe80::100"));
    let start = |host: &Host, node: &Node| Router::start(Kind::Ours, host, node);
    let (a, b) = (start(&hosts[0], &nodes[0]), start(&hosts[1], &nodes[1]));
    let pair = Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab };
    pair.b.run.log.wait_for("Lifeline to 10.77.0.1: blocked", seconds(12));
    pair.b.run.log.wait_for("Lifeline to fe80: … blocked", seconds(12));
    for (rule, host) in rules.iter().flat_map(|rule| hosts.iter().map(move |host| (rule, host))) {
        host.nft(&rule.replace("10.0.0.0/24", "10.77.0.0/24"));
    }
    assert_eq!(rules.len(), 2, "one for each family");
    pair.b.run.log.wait_for("Lifeline to 10.77.0.1: connected", seconds(9));
    pair.b.run.log.wait_for("Lifeline to fe80: … connected", seconds(9));
}

/// The pause container of a pod, or `vrrp-init hold`, is PID 1: with it, the kernel kills everything.
#[test]
fn the_death_of_a_shared_pid_namespace_is_the_death_of_the_master() {
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2)], lab.host("client", 250));
    let mut pause = Running::start(&hosts[0], Launch::PidOne, Path::new("/usr/bin/sleep"), &["600"], &[]);
    let a = Router::ours(&hosts[0], &node(200), Launch::Joining(&pause));
    a.wait_master(0, START);
    let b = Router::start(Kind::Ours, &hosts[1], &node(100));
    b.wait_backup(0, START);
    let pair = Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab };
    wait_for_lifeline(&pair.b, "10.77.0.1 connected");
    let (mark, killed) = (pair.b.run.log.mark(), Instant::now());
    pause.kill();
    let line = pair.b.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE … died", seconds(5));
    println!("{:?} after the kill", line.at - killed);
}

/// Voluntary context switches: each one is followed by a wake-up.
fn switches(run: &Running) -> u64 {
    run.status("voluntary_ctxt_switches").parse().unwrap()
}

#[test]
fn an_idle_lifeline_wakes_neither_end() {
    let counted = |lifeline: &str| {
        let nodes = [200, 100].map(|priority| Node::plain(priority).with("LIFELINE", lifeline));
        let pair = Pair::start([Kind::Ours; 2], &nodes);
        std::thread::sleep(seconds(6));
        let count = || [&pair.a, &pair.b].map(|router| switches(&router.run));
        let before = count();
        std::thread::sleep(seconds(10));
        let after = count();
        [after[0] - before[0], after[1] - before[1]]
    };
    let (with, without) = (counted("true"), counted("false"));
    println!("in 10 s: {with:?} with, {without:?} without");
    assert!((0..2).all(|at| with[at] <= without[at] + 3), "{with:?} {without:?}");
}

#[test]
fn lifelines_take_little_memory() {
    let measured = |lifeline: &str| {
        let nodes = [200, 100].map(|priority| node(priority).with("LIFELINE", lifeline));
        let pair = unconnected([Kind::Ours; 2], &nodes);
        std::thread::sleep(seconds(2));
        [&pair.a, &pair.b].map(|router| {
            let text = router.run.status("RssAnon");
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
    };
    let (with, without) = (measured("true"), measured("false"));
    println!("KB: {with:?} with, {without:?} without");
    assert!((0..2).all(|at| with[at] <= without[at] + 64), "{with:?} {without:?}");
}

#[test]
fn few_descriptors_leave_the_lifeline_out() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    for (most, line) in [(100, "off"), (300, "no backup is connected")] {
        let mut router = Router::ours(&host, &node(200), Launch::Descriptors(most));
        router.wait_master(0, START);
        assert_eq!(lifeline(&router), line);
        assert!(descriptors(&router.run, "tcp").iter().all(|number| *number < most));
        router.run.signal(Signal::SIGTERM);
        router.run.wait_exit(seconds(3));
    }
}

fn successor(router: &Router) -> Option<String> {
    let status = command(router, &["status"]).1;
    let line = status.lines().find_map(|line| line.trim_start().strip_prefix("successor:"));
    line.map(|line| line.trim().to_owned())
}

fn wait_for_successor(router: &Router, name: &str) {
    wait_until(&format!("{} has the successor {name}", router.host.name), seconds(9), || {
        std::thread::sleep(millis(30));
        successor(router).as_deref() == Some(name)
    });
}

/// Each of them has 20 more while its haproxy runs.
#[test]
fn when_haproxy_dies_only_the_successor_takes_over_at_once() {
    let _machine = machine::alone();
    let lab = Lab::new();
    let (hosts, client) = ([lab.host("a", 1), lab.host("b", 2), lab.host("c", 3)], lab.host("client", 250));
    let routers = [(0, 110), (1, 109), (2, 100)].map(|(n, priority)| {
        let check = Node::watching_haproxy(priority).check;
        let check = check.map(|check| Check { weight: 20, ..check });
        let router = Router::start(Kind::Ours, &hosts[n], &Node { check, ..node(priority) });
        let web = Haproxy::start(&hosts[n], &router.run);
        (router, web)
    });
    let [(a, web_a), (b, web_b), (c, _web_c)] = routers;
    a.wait_master(0, START);
    wait_for_lifeline(&b, "10.77.0.1 connected");
    wait_for_lifeline(&c, "10.77.0.1 connected");
    wait_for_successor(&a, "10.77.0.2");
    wait_for_successor(&b, "this host");
    assert_eq!(successor(&c), None);
    // The next backup waits a few milliseconds longer than the successor.
    for router in [&a, &b, &c] {
        in_real_time(&router.run);
    }

    // The successor's own haproxy dies, and comes back.
    web_b.kill();
    wait_for_successor(&a, "10.77.0.3");
    wait_for_successor(&c, "this host");
    assert_eq!(successor(&b), None);
    let _web_b = Haproxy::start(&hosts[1], &b.run);
    wait_for_successor(&a, "10.77.0.2");
    wait_for_successor(&b, "this host");

    let marks = [&a, &b, &c].map(|router| router.run.log.mark());
    let capture = Capture::start(&client, "successor", "proto 112");
    std::thread::sleep(millis(300));
    web_a.kill();
    b.run.log.wait_for_after(marks[1], "(VI_1) Entering MASTER STATE", seconds(3));
    a.wait_backup(marks[0], seconds(1));
    wait_for_successor(&b, "10.77.0.3");
    assert_eq!(c.run.log.since(marks[2], "Entering"), [""; 0]);
    let captured = capture.finish();
    let release = captured.adverts(Some(hosts[0].address)).into_iter().find(|advert| advert.bytes[36] == 0);
    let taken = captured.adverts(Some(hosts[1].address))[0].at;
    let after = taken.checked_sub(release.unwrap().at).unwrap();
    println!("b is master {after:?} after the priority 0 of a");
    assert_eq!(captured.adverts(Some(hosts[2].address)).len(), 0);

    // It is killed, and the last one takes over.
    let mark = c.run.log.mark();
    b.run.signal(Signal::SIGKILL);
    c.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE … died", seconds(1));
}
