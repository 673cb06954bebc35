//! Two hosts that do not reach each other for a while, and a client that reaches both: which of them it uses afterwards.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::address_conflict::claim;
use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::{LEASE, LEASE_SLACK, Pair, START};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100));
const VIPS: [IpAddr; 2] = [IpAddr::V4(Node::VIP), V6];

/// Whether the client's neighbor table has `mac` for each address.
fn client_uses(pair: &Pair, mac: &str) -> bool {
    VIPS.iter().all(|vip| pair.client.neighbor(*vip).as_deref() == Some(mac))
}

fn set_cut(pair: &Pair, cut: bool) {
    pair.a.host.set_cut_off(cut);
    pair.b.host.set_cut_off(cut);
}

/// Cuts the two routers off from each other for 5 s and, 1.2 s later, for 6.3 s. The announcements of the loser are the
/// last ones before the end.
fn the_client_uses_the_winner_after_two_partitions(kinds: [Kind; 2], advert_int: &'static str) {
    let nodes = [200, 100].map(|priority| {
        let node = Node { advert_int, ..Node::plain(priority) };
        node.with("VIP", "10.77.0.100 fe80::100 fd00::100")
    });
    let lab = Lab::new();
    let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let a = Router::start(kinds[0], &host_a, &nodes[0]);
    for name in ["VI_1", "VI_1_v6"] {
        a.run.log.wait_for(&format!("({name}) Entering MASTER STATE"), START);
    }
    let b = Router::start(kinds[1], &host_b, &nodes[1]);
    b.wait_backup(0, seconds(1));
    let pair = Pair { kinds, a, b, client, _lab: lab };
    let (winner, loser) = (pair.a.host.mac(), pair.b.host.mac());
    pair.client.ip("-6 address add fd00::250/64 dev enp0s3 nodad");
    for vip in VIPS {
        pair.client.ip(&format!("neighbour replace {vip} lladdr {winner} dev enp0s3 nud stale"));
    }
    set_cut(&pair, true);
    std::thread::sleep(seconds(5));
    set_cut(&pair, false);
    std::thread::sleep(millis(1_200));
    set_cut(&pair, true);
    std::thread::sleep(millis(6_300));
    assert!(client_uses(&pair, &loser), "the loser announced last, the case under test");
    let mark = pair.b.run.log.mark();
    set_cut(&pair, false);
    for name in ["VI_1", "VI_1_v6"] {
        pair.b.run.log.wait_for_after(mark, &format!("({name}) Entering BACKUP STATE"), seconds(2));
    }
    let settled = Instant::now();
    wait_until("the client uses the winner", millis(1_100), || client_uses(&pair, &winner));
    eprintln!("the client uses the winner {:?} after the loser became backup", settled.elapsed());
    while settled.elapsed() < seconds(7) {
        assert!(client_uses(&pair, &winner), "it goes on using the winner");
        std::thread::sleep(millis(100));
    }
}

#[test]
fn a_client_uses_the_winner_after_two_partitions_at_one_advert_a_second() {
    the_client_uses_the_winner_after_two_partitions([Kind::Ours; 2], "1");
}

#[test]
fn a_client_uses_the_winner_after_two_partitions_at_ten_adverts_a_second() {
    the_client_uses_the_winner_after_two_partitions([Kind::Ours; 2], "0.1");
}

/// Drops VRRP from one host at another.
fn block_vrrp(from: &Host, to: &Host) {
    to.nft("add table inet t");
    to.nft("add chain inet t in { type filter hook input priority 0; }");
    to.nft(&format!("add rule inet t in meta l4proto 112 ether saddr {} drop", from.mac()));
}

/// A winner, a loser, and a client that has learned the loser while the two did not reach each other.
struct Split {
    winner: Router,
    loser: Router,
    client: Host,
    vip: IpAddr,
    _lab: Lab,
}

impl Split {
    /// `vip` decides the address family.
    fn start(loser: Kind, vip: IpAddr, advert_int: &'static str, more: &[(&str, &str)]) -> Self {
        let nodes = [200, 100].map(|priority| {
            let node = Node { advert_int, ..Node::plain(priority) };
            let mut node = more.iter().fold(node, |node, (name, value)| node.with(name, *value));
            if vip.is_ipv6() {
                node.vips = Some(format!("fe80::100\n  {vip}"));
                node.instance = "version 3\n".into();
                node = node.with("VIP", format!("fe80::100 {vip}"));
            }
            node
        });
        let lab = Lab::new();
        let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
        if vip.is_ipv6() {
            for (host, number) in [(&host_a, 1), (&host_b, 2)] {
                host.ip(&format!("-6 address add fd00::{number}/64 dev enp0s3 nodad"));
            }
            wait_link_local(&host_a);
            wait_link_local(&host_b);
            client.ip("-6 address add fd00::250/64 dev enp0s3 nodad");
        }
        let winner = Router::start(Kind::Ours, &host_a, &nodes[0]);
        winner.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
        let loser = Router::start(loser, &host_b, &nodes[1]);
        loser.wait_backup(0, seconds(1));
        let split = Self { winner, loser, client, vip, _lab: lab };
        // Beyond the announcements of its takeover.
        std::thread::sleep(seconds(5));
        let mac = split.winner.host.mac();
        split.client.ip(&format!("neighbour replace {vip} lladdr {mac} dev enp0s3 nud stale"));
        split.set_cut(true);
        let loser = &split.loser.host;
        wait_until("the loser is master", START, || loser.holds(vip));
        wait_until("the client learns the loser", seconds(2), || split.client_uses(loser));
        std::thread::sleep(millis(5_200));
        split
    }

    fn set_cut(&self, cut: bool) {
        self.winner.host.set_cut_off(cut);
        self.loser.host.set_cut_off(cut);
    }

    fn client_uses(&self, host: &Host) -> bool {
        self.client.neighbor(self.vip) == Some(host.mac())
    }

    /// The client's neighbor table is right in time, and stays so beyond the announcements that keepalived delays.
    fn the_client_comes_to_use_the_winner(&self, within: Duration) {
        let since = Instant::now();
        wait_until("the client uses the winner", within, || self.client_uses(&self.winner.host));
        eprintln!("the client uses the winner {:?} after the loser gave up", since.elapsed());
        while since.elapsed() < seconds(6) {
            assert!(self.client_uses(&self.winner.host), "it goes on using the winner");
            std::thread::sleep(millis(100));
        }
    }
}

fn wait_link_local(host: &Host) {
    wait_until("the link-local address is no longer tentative", seconds(10), || {
        let text = host.ip("-o -6 address show dev enp0s3 scope link");
        text.contains("fe80::") && !text.contains("tentative")
    });
}

/// The winner cannot know of the loser from any advert, and the loser gives up at the winner's without one of its own.
fn the_client_uses_the_winner_after_the_loser_gave_up_silently(loser: Kind, advert_int: &'static str) {
    over(loser, advert_int, false);
}

fn over(loser: Kind, advert_int: &'static str, unicast: bool) {
    let of = |vip: IpAddr| {
        let peers = if vip.is_ipv4() { "10.77.0.1 10.77.0.2" } else { "fd00::1 fd00::2" };
        let more: &[_] = if unicast { &[("UNICAST_PEERS", peers)] } else { &[] };
        let split = Split::start(loser, vip, advert_int, more);
        block_vrrp(&split.loser.host, &split.winner.host);
        let mark = split.loser.run.log.mark();
        split.set_cut(false);
        split.loser.wait_backup(mark, seconds(2));
        let alone = split.winner.run.log.mark();
        split.the_client_comes_to_use_the_winner(millis(1_100));
        let lines = |since, words| split.winner.run.log.since(since, words);
        assert_eq!(lines(0, "ranks lower"), [""; 0], "it heard no advert, the case under test");
        assert_eq!(lines(alone, "Another host"), [""; 0], "a loser that has given up is no conflict");
    };
    std::thread::scope(|scope| {
        let threads = VIPS.map(|vip| scope.spawn(move || of(vip)));
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn a_client_uses_the_winner_after_keepalived_gave_up_silently_at_one_advert_a_second() {
    the_client_uses_the_winner_after_the_loser_gave_up_silently(Kind::Keepalived, "1");
}

#[test]
fn a_client_uses_the_winner_after_keepalived_gave_up_silently_at_ten_adverts_a_second() {
    the_client_uses_the_winner_after_the_loser_gave_up_silently(Kind::Keepalived, "0.1");
}

#[test]
fn a_client_uses_the_winner_after_ours_by_the_rfc_gave_up_silently_at_one_advert_a_second() {
    the_client_uses_the_winner_after_the_loser_gave_up_silently(Kind::OursByTheRfc, "1");
}

#[test]
fn a_client_uses_the_winner_after_ours_by_the_rfc_gave_up_silently_at_ten_adverts_a_second() {
    the_client_uses_the_winner_after_the_loser_gave_up_silently(Kind::OursByTheRfc, "0.1");
}

#[test]
fn over_unicast_a_client_uses_the_winner_after_the_loser_gave_up_silently_at_one_advert_a_second() {
    over(Kind::OursByTheRfc, "1", true);
}

#[test]
fn over_unicast_a_client_uses_the_winner_after_the_loser_gave_up_silently_at_ten_adverts_a_second() {
    over(Kind::OursByTheRfc, "0.1", true);
}

/// Without a guard the kernel of a dead host answers until the lease ends.
#[test]
fn a_client_uses_the_winner_after_the_loser_died_and_its_lease_ended() {
    for vip in VIPS {
        let split = Split::start(Kind::Ours, vip, "1", &[("ADDRESS_GUARD", "off")]);
        split.loser.run.signal(Signal::SIGKILL);
        split.set_cut(false);
        let loser = &split.loser.host;
        wait_until("the kernel removes the address", LEASE + LEASE_SLACK, || !loser.holds(vip));
        split.the_client_comes_to_use_the_winner(millis(2_100));
    }
}

/// Not all of many routers ask.
#[test]
fn a_client_uses_the_winner_of_many_routers_after_the_loser_gave_up_silently() {
    const MANY: u8 = 48;
    let address = |n: u8| IpAddr::from([10, 77, 0, 100 + n]);
    let node = |priority| {
        (2..=MANY).fold(Node::plain(priority), |node, n| {
            let node = node.with(&format!("VIP_{n}"), address(n).to_string());
            node.with(&format!("VIRTUAL_ROUTER_{n}"), n.to_string())
        })
    };
    let lab = Lab::new();
    let [a, b, client] = [("a", 1), ("b", 2), ("client", 250)].map(|(name, n)| lab.host(name, n));
    let winner = Router::start(Kind::Ours, &a, &node(200));
    let count = |router: &Router, mark, words| router.run.log.since(mark, words).len() == usize::from(MANY);
    wait_until("it is master of all", START, || count(&winner, 0, "Entering MASTER STATE"));
    let loser = Router::start(Kind::OursByTheRfc, &b, &node(100));
    wait_until("it is the backup of all", START, || count(&loser, 0, "Master is 10.77.0.1"));
    let vips: Vec<_> = std::iter::once(IpAddr::from(Node::VIP)).chain((2..=MANY).map(address)).collect();
    for vip in &vips {
        client.ip(&format!("neighbour replace {vip} lladdr {} dev enp0s3 nud stale", a.mac()));
    }
    let uses = |host: &Host| {
        let (mac, text) = (host.mac(), client.ip("neighbour show"));
        vips.iter().all(|vip| text.contains(&format!("{vip} dev enp0s3 lladdr {mac} ")))
    };
    let cut = |cut| [&a, &b].map(|host| host.set_cut_off(cut));
    cut(true);
    wait_until("the client learns the loser", START, || uses(&b));
    std::thread::sleep(millis(5_200));
    let mark = loser.run.log.mark();
    block_vrrp(&b, &a);
    cut(false);
    wait_until("the loser gives up", seconds(3), || count(&loser, mark, "Entering BACKUP STATE"));
    wait_until("the client uses the winner", millis(1_100), || uses(&a));
}

/// Each hears the other's claim before its advert.
#[test]
fn two_masters_of_one_group_that_find_each_other_are_no_address_conflict() {
    for advert_int in ["1", "0.1"] {
        let split = Split::start(Kind::Ours, Node::VIP.into(), advert_int, &[]);
        let marks = [&split.winner, &split.loser].map(|router| router.run.log.mark());
        split.set_cut(false);
        for router in [&split.loser, &split.winner] {
            claim(&router.host, Node::VIP, 1);
        }
        split.loser.wait_backup(marks[1], seconds(2));
        std::thread::sleep(millis(2_500));
        for (router, mark) in [&split.winner, &split.loser].into_iter().zip(marks) {
            assert_eq!(router.run.log.since(mark, "Another host"), [""; 0]);
        }
    }
}

/// Two masters that never hear each other do not announce in turn forever, and both say who the other one is.
#[test]
fn two_masters_that_never_hear_each_other_do_not_fight_by_announcements() {
    let split = Split::start(Kind::Ours, Node::VIP.into(), "0.1", &[]);
    block_vrrp(&split.loser.host, &split.winner.host);
    block_vrrp(&split.winner.host, &split.loser.host);
    split.set_cut(false);
    for (router, other) in [(&split.winner, &split.loser), (&split.loser, &split.winner)] {
        let line = format!("Another host ({}) answers for {}", other.host.mac(), split.vip);
        router.run.log.wait_for(&line, seconds(2));
    }
    std::thread::sleep(seconds(6));
    let capture = Capture::start(&split.client, "announcements", "arp");
    std::thread::sleep(seconds(5));
    let captured = capture.finish();
    let broadcasts = captured.frames.iter().filter(|frame| frame.bytes[..6] == [0xff; 6]).count();
    assert_eq!(broadcasts, 0, "a client keeps the one that it has");
    assert!(split.winner.host.holds(split.vip) && split.loser.host.holds(split.vip));
}
