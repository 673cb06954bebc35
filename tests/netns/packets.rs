//! Every kind of packet we send, as tshark reads it and as it appears in the neighbor tables of a third host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::support::capture::{Capture, Captured};
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::router::{Kind, Node, Router};
use crate::support::{seconds, wait_until};
use nix::sys::signal::Signal;

/// The values of tshark's `vrrp.checksum.status`.
const BAD: &str = "0";
const GOOD: &str = "1";

/// One router: its settings except the VRID, and its adverts as tshark reads them.
struct Sort {
    variables: &'static [(&'static str, &'static str)],
    vips: &'static str,
    /// Destination, version, authentication (type and text), interval in the version's unit.
    read: [&'static str; 5],
}

const SORTS: [Sort; 8] = [
    Sort { variables: &[], vips: "10.77.0.100", read: ["224.0.0.18", "2", "0", "", "1"] },
    Sort {
        variables: &[("AUTH_PASS", "d0cker")],
        vips: "10.77.0.101 10.77.0.111",
        read: ["224.0.0.18", "2", "1", "d0cker", "1"],
    },
    Sort {
        variables: &[("VRRP_VERSION", "3")],
        vips: "10.77.0.102",
        read: ["224.0.0.18", "3", "", "", "100"],
    },
    Sort {
        variables: &[("VRRP_VERSION", "3"), ("V3_CHECKSUM", "rfc9568")],
        vips: "10.77.0.103",
        read: ["224.0.0.18", "3", "", "", "100"],
    },
    Sort { variables: &[], vips: "fe80::104 fd00::104", read: ["ff02::12", "3", "", "", "100"] },
    Sort {
        variables: &[("UNICAST_PEERS", "10.77.0.250")],
        vips: "10.77.0.105",
        read: ["10.77.0.250", "2", "0", "", "1"],
    },
    Sort {
        variables: &[("UNICAST_PEERS", "10.77.0.250"), ("VRRP_VERSION", "3")],
        vips: "10.77.0.106",
        read: ["10.77.0.250", "3", "", "", "100"],
    },
    Sort {
        variables: &[("UNICAST_PEERS", "fd00::250"), ("UNICAST_SRC_IP", "fd00::1")],
        vips: "fe80::107 fd00::107",
        read: ["fd00::250", "3", "", "", "100"],
    },
];
/// Which of them has the checksum over the message alone.
const MESSAGE_ALONE: usize = 3;

fn vrid(sort: usize) -> String {
    (usize::from(Node::VRID) + sort).to_string()
}

/// One process that is a router of each sort, with a suffix from the second on.
fn of_every_sort() -> Node {
    let mut node = Node::plain(200).with("VIP", SORTS[0].vips);
    for (sort, Sort { variables, vips, .. }) in SORTS.iter().enumerate().skip(1) {
        let own = [("VIP", *vips), ("VIRTUAL_ROUTER", &vrid(sort))];
        for (name, value) in variables.iter().chain(&own) {
            node = node.with(&format!("{name}_{}", sort + 1), *value);
        }
    }
    node
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    SORTS.iter().flat_map(|sort| sort.vips.split(' ')).map(|vip| vip.parse().expect("an address"))
}

/// Everything that a third host receives and learns, from the start of a router of every sort to its end.
fn life_of_all(lab: &Lab) -> (Captured, Host) {
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    host.ip("-6 address add fd00::1/64 dev enp0s3 nodad");
    client.ip("-6 address add fd00::250/64 dev enp0s3 nodad");
    for vip in addresses() {
        client.ip(&format!("neighbor replace {vip} lladdr 02:00:00:00:00:99 dev enp0s3 nud stale"));
    }
    let capture = Capture::start(&client, "every", "proto 112 or arp or icmp6");
    let mut router = Router::start(Kind::Ours, &host, &of_every_sort());
    for number in 1..=SORTS.len() {
        router.run.log.wait_for(&format!("(VI_{number}) Entering MASTER STATE"), START);
    }
    for vip in addresses() {
        wait_until(&format!("the client has {vip} at its new place"), seconds(2), || {
            client.neighbor(vip) == Some(host.mac())
        });
    }
    // One more advert of each than the first.
    std::thread::sleep(seconds(1));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(5)), 0);
    (capture.finish(), host)
}

#[test]
fn tshark_reads_every_kind_of_packet_and_a_third_host_learns_where_each_address_is() {
    let lab = Lab::new();
    let (captured, host) = life_of_all(&lab);
    adverts_are_as_asked_for(&captured);
    checksums_are_right(&captured);
    announcements_are_in_order(&captured, &host.mac());
}

fn adverts_are_as_asked_for(captured: &Captured) {
    let fields = [
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "ip.dst",
        "ipv6.dst",
        "ip.ttl",
        "ipv6.hlim",
        "vrrp.version",
        "vrrp.auth_type",
        "vrrp.auth_string",
        "vrrp.adver_int",
        "vrrp.short_adver_int",
        "vrrp.addr_count",
        "vrrp.ip_addr",
        "vrrp.ipv6_addr",
    ];
    // The ICMP error for unicast (no program receives VRRP there) quotes the packet.
    let read = captured.tshark("vrrp && !icmpv6", &fields);
    for (sort, Sort { vips, read: expected, .. }) in SORTS.iter().enumerate() {
        let ours = read.iter().filter(|row| row[0] == vrid(sort));
        let mut priorities = BTreeSet::new();
        for row in ours {
            priorities.insert(row[1].as_str());
            let either = |a: usize| format!("{}{}", row[a], row[a + 1]);
            let seen = [either(2), row[6].clone(), row[7].clone(), row[8].clone(), either(9)];
            assert_eq!(seen, expected.map(str::to_owned), "{row:?}");
            assert_eq!(either(4), "255", "{row:?}");
            assert_eq!(either(12), vips.replace(' ', ","), "{row:?}");
            assert_eq!(row[11], vips.split(' ').count().to_string(), "{row:?}");
        }
        assert_eq!(priorities, ["0", "200"].into(), "adverts of VRID {}", vrid(sort));
    }
}

/// tshark finds no fault in any packet. For version 3 over IPv4 it accepts one form of the checksum at a time: with the
/// pseudo-header, its default in 4.0, or over the message alone (RFC 9568 §5.2.8). So it reads the packets in both
/// ways.
fn checksums_are_right(captured: &Captured) {
    let is_v3_over_v4 = |sort: &usize| SORTS[*sort].read[1] == "3" && !SORTS[*sort].vips.contains(':');
    for (alone, prefers) in
        [(false, "vrrp.v3_checksum_as_in_v2:FALSE"), (true, "vrrp.v3_checksum_as_in_v2:TRUE")]
    {
        let fields = ["vrrp.virt_rtr_id", "vrrp.checksum.status", "_ws.expert.message"];
        let read = captured.tshark_with(prefers, "vrrp && !icmpv6", &fields);
        assert!(read.len() >= 4 * SORTS.len(), "{} adverts", read.len());
        for sort in 0..SORTS.len() {
            let other = is_v3_over_v4(&sort) && alone != (sort == MESSAGE_ALONE);
            let status = if other { BAD } else { GOOD };
            for row in read.iter().filter(|row| row[0] == vrid(sort)) {
                assert_eq!((row[1].as_str(), row[2].is_empty()), (status, !other), "{prefers}: {row:?}");
            }
        }
        let others =
            captured.tshark("vrrp && (_ws.malformed || ip.checksum.status != \"Good\")", &["ip.src"]);
        assert_eq!(others, Vec::<Vec<String>>::new());
    }
}

/// Gratuitous ARP as request and as reply, unsolicited neighbor advertisements.
fn announcements_are_in_order(captured: &Captured, mac: &str) {
    let expert = "_ws.expert.message";
    let gratuitous = format!("arp.isgratuitous == 1 && eth.src == {mac}");
    let arp = captured.tshark(
        &gratuitous,
        &["arp.opcode", "arp.src.proto_ipv4", "arp.src.hw_mac", "arp.dst.proto_ipv4", "eth.dst", expert],
    );
    let flags = "icmpv6.nd.na.flag";
    let na = captured.tshark(
        &format!("icmpv6.type == 136 && eth.src == {mac} && ipv6.dst == ff02::1"),
        &["ipv6.src", "icmpv6.nd.na.target_address", "ipv6.hlim", flags, "icmpv6.opt.linkaddr", expert],
    );
    for vip in addresses() {
        let vip = vip.to_string();
        if vip.contains(':') {
            // Router and override, not solicited (RFC 9568 §6.4.2).
            let expected = [&vip, &vip, "255", "0xa0000000", mac, ""];
            assert!(na.iter().any(|row| row == &expected), "{vip} in {na:?}");
        } else {
            for operation in ["1", "2"] {
                let expected = [operation, &vip, mac, &vip, "ff:ff:ff:ff:ff:ff", ""];
                assert!(arp.iter().any(|row| row == &expected), "{operation} of {vip} in {arp:?}");
            }
        }
    }
    assert!(arp.iter().chain(&na).all(|row| row[5].is_empty()), "{arp:?} {na:?}");
}
