//! Two hosts that do not reach each other for a while, and a client that reaches both: which of them it uses afterwards.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::support::lab::Lab;
use crate::support::pair::{Pair, START};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const VIPS: [IpAddr; 2] = [IpAddr::V4(Node::VIP), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100))];

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
