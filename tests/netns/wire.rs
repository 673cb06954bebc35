//! The requirements of the RFCs on the wire, octet by octet and fault by fault, from a neighbor's view; the ids are
//! those of `docs/conformance.md`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::capture::{Capture, Frame};
use crate::support::frame::{MessageV3, Wire, ethernet, group, ip, ipv4_header, with_pseudo_header};
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, Router};
use crate::support::wire::{Message, with_checksum};
use crate::support::{millis, seconds, wait_until};

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The neighbor that sends handmade frames.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x250);
const VIP: Ipv4Addr = Node::VIP;
const LINK_LOCAL_VIP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
const VRRP: u8 = 112;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const EVERYONE: [u8; 6] = [0xff; 6];

fn v4(octets: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(octets).into()
}

/// A host's link-local address, once it can be used.
fn link_local(host: &Host) -> Ipv6Addr {
    let mut found = None;
    wait_until("the link-local address is no longer tentative", seconds(10), || {
        let text = host.ip("-o -6 address show dev enp0s3 scope link -tentative");
        let word = text.split_whitespace().find(|word| word.starts_with("fe80::")).map(str::to_owned);
        found = word.and_then(|word| word.split('/').next()?.parse().ok());
        found.is_some()
    });
    found.expect("it was waited for")
}

/// The payload of `frame` if it is `protocol` over either family.
fn payload(frame: &[u8], protocol: u8) -> Option<&[u8]> {
    match frame.get(12..14)? {
        [0x08, 0x00] if frame.get(23) == Some(&protocol) => frame.get(34..),
        [0x86, 0xdd] if frame.get(20) == Some(&protocol) => frame.get(54..),
        _ => None,
    }
}

/// The virtual address that an ARP packet or a neighbor advertisement claims for its sender.
fn claimed(frame: &[u8]) -> Option<IpAddr> {
    if frame.get(12..14)? == [0x08, 0x06] {
        return Some(v4(*frame.get(28..32)?.first_chunk()?));
    }
    let target = payload(frame, ICMPV6).filter(|icmp| icmp.first() == Some(&ADVERTISEMENT))?.get(8..24)?;
    Some(Ipv6Addr::from(*target.first_chunk()?).into())
}

/// The address that a frame asks for.
fn asked(frame: &[u8]) -> Option<IpAddr> {
    if frame.get(12..14)? == [0x08, 0x06] {
        return Some(v4(*frame.get(38..42)?.first_chunk()?)).filter(|_| frame[28..32] == [0; 4]);
    }
    let target = payload(frame, ICMPV6).filter(|icmp| icmp.first() == Some(&SOLICITATION))?.get(8..24)?;
    Some(Ipv6Addr::from(*target.first_chunk()?).into())
}

/// One virtual router of the process under test, and its expected advert.
struct Sender {
    from: IpAddr,
    to: (IpAddr, [u8; 6]),
    message: Vec<u8>,
    addresses: Vec<IpAddr>,
}

impl Sender {
    fn v2(message: &Message) -> Self {
        let addresses = message.vips.iter().map(|vip| (*vip).into()).collect();
        Self { from: US.into(), to: group(US.into()), message: message.bytes(), addresses }
    }

    fn v3(from: IpAddr, to: (IpAddr, [u8; 6]), message: &MessageV3) -> Self {
        Self { from, to, message: message.bytes((from, to.0)), addresses: message.vips.clone() }
    }

    /// The whole frame. The sender chooses the identification of an IPv4 packet.
    fn frame(&self, mac: [u8; 6], identification: u16) -> Vec<u8> {
        let IpAddr::V4(to) = self.to.0 else {
            return ip((self.to.1, mac), (self.from, self.to.0), 255, VRRP, &self.message);
        };
        let length = u16::try_from(self.message.len()).expect("a short message");
        let header = ipv4_header(US, to, (identification, 0), 255, VRRP, length);
        ethernet(self.to.1, mac, 0x0800, &[header, self.message.clone()].concat())
    }
}

/// A master asks whether another host has its addresses, with an advert of its schedule: in the group, or its peers where
/// it is unicast, as VRID 57. 54 sends only one advert here. `first` are the places of the first adverts.
fn asks_in_the_group(ours: &[&[u8]], senders: &BTreeMap<u8, Sender>, first: &BTreeMap<u8, usize>) {
    for (vrid, sender) in senders {
        let question = ours.iter().position(|frame| asked(frame) == Some(sender.addresses[0]));
        let later = question.is_some_and(|at| at > first[vrid]);
        assert_eq!(later, *vrid != 54, "VRID {vrid}: {question:?}");
        if let Some(at) = question.filter(|_| sender.from.is_ipv4()) {
            assert_eq!(ours[at][..6] == group(sender.from).1, *vrid != 57, "to the routers");
        }
    }
}

/// Seven routers with seven configurations; every frame is compared as a whole: TX-01, TX-02 and TX-03 the fields,
/// TX-04 the hop limit, TX-05 and TX-06 the source, TX-07 protocol and group, TX-09 the checksum, TX-10 the list, TX-14
/// the interval. TX-08 is not done: frames carry the hardware address of the interface, as keepalived's do by default.
#[test]
fn every_kind_of_advert_is_correct_octet_for_octet() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    // TX-05, TX-06: a second address and a global one are there, and soon the virtual ones; none is a source.
    host.ip("address add 10.77.0.200/24 dev enp0s3");
    host.ip("-6 address add fd00:77::1/64 dev enp0s3 nodad");
    let from_v6 = IpAddr::from(link_local(&host));
    let mac = Wire::open(&host, "enp0s3").mac;
    let peer_mac = Wire::open(&client, "enp0s3").mac;

    // TX-10: in configured order, whatever it is.
    let disorder = [102, 100, 101].map(|n| Ipv4Addr::new(10, 77, 0, n));
    let forty: Vec<_> = (1..=40).map(|n| Ipv4Addr::new(10, 77, 1, n)).collect();
    let good =
        |vrid, vips: &[Ipv4Addr]| Message { vrid, priority: 254, vips: vips.to_vec(), ..Message::default() };
    let third = |vrid, priority, interval, vips: &[IpAddr]| MessageV3 {
        priority,
        ..MessageV3::new(vrid, interval, vips)
    };
    let (to_v4, to_v6) = (group(US.into()), group(from_v6));
    let owner = third(54, 255, 4095, &[v4([10, 77, 0, 130])]);
    let v6_vips = [LINK_LOCAL_VIP.into(), "fd00::101".parse().expect("an address"), VIP_V6.into()];
    let senders: BTreeMap<u8, Sender> = [
        Sender::v2(&good(51, &disorder)),
        // AU-01: the password fills its eight octets up with zeros.
        Sender::v2(&Message {
            auth_type: 1,
            auth_data: *b"d0cker\0\0",
            ..good(52, &[Ipv4Addr::new(10, 77, 0, 110)])
        }),
        Sender::v3(US.into(), to_v4, &third(53, 254, 20, &[v4([10, 77, 0, 121]), v4([10, 77, 0, 120])])),
        Sender { message: owner.bytes_alone(), ..Sender::v3(US.into(), to_v4, &owner) },
        Sender::v3(from_v6, to_v6, &third(55, 254, 1, &v6_vips)),
        Sender::v2(&good(56, &forty)),
        Sender::v3(US.into(), (PEER.into(), peer_mac), &third(57, 254, 20, &[v4([10, 77, 0, 140])])),
    ]
    .into_iter()
    .map(|sender| (sender.message[1], sender))
    .collect();

    let variables = [
        ("AUTH_PASS_2", "d0cker"),
        ("VRRP_VERSION_3", "3"),
        ("ADVERT_INT_3", "0.2"),
        ("VRRP_VERSION_4", "3"),
        ("ADVERT_INT_4", "40.95"),
        ("V3_CHECKSUM_4", "rfc9568"),
        ("PRIORITY_4", "255"),
        ("ADVERT_INT_5", "0.01"),
        // OP-01: to the peer alone.
        ("UNICAST_PEERS_7", "10.77.0.250"),
        ("VRRP_VERSION_7", "3"),
        ("ADVERT_INT_7", "0.2"),
    ];
    let mut node = Node { state: "MASTER", ..Node::plain(254) };
    for (n, sender) in (1..).zip(senders.values()) {
        let suffix = if n == 1 { String::new() } else { format!("_{n}") };
        let list: Vec<_> = sender.addresses.iter().map(IpAddr::to_string).collect();
        let prefix = if n == 2 { "/24" } else { "" };
        node = node.with(&format!("VIP{suffix}"), list.join(" ") + prefix);
        node = node.with(&format!("VIRTUAL_ROUTER{suffix}"), (50 + n).to_string());
    }
    node = variables.into_iter().fold(node, |node, (name, value)| node.with(name, value));

    let capture = Capture::start(&client, "all", "proto 112 or arp or icmp6");
    let router = Router::start(Kind::Ours, &host, &node);
    let started = router.wait_backup(0, seconds(1));
    let masters: Vec<_> = (1..=senders.len())
        .map(|n| router.run.log.wait_for(&format!("(VI_{n}) Entering MASTER STATE"), START).at)
        .collect();
    // ST-01: STATE=MASTER is no reason to be master at once; priority 254 waits 3.008 s. ST-02: an owner is.
    assert!(masters[0] - started >= seconds(3), "master after {:?}", masters[0] - started);
    assert!(masters[3] < started + seconds(1), "the owner was master after {:?}", masters[3] - started);
    std::thread::sleep(millis(1_300));
    let captured = capture.finish();

    let ours: Vec<&[u8]> =
        captured.frames.iter().map(|frame| &*frame.bytes).filter(|frame| frame[6..12] == mac).collect();
    let mut first = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for (n, frame) in ours.iter().enumerate() {
        let Some(message) = payload(frame, VRRP) else { continue };
        let sender = senders.get(&message[1]).unwrap_or_else(|| panic!("unexpected frame {frame:02x?}"));
        let identification = u16::from_be_bytes([frame[18], frame[19]]);
        assert_eq!(**frame, sender.frame(mac, identification), "VRID {}", message[1]);
        first.entry(message[1]).or_insert(n);
        *counts.entry(message[1]).or_insert(0) += 1;
    }
    for (vrid, least) in [(51, 2), (52, 2), (53, 5), (54, 1), (55, 50), (56, 2), (57, 5)] {
        assert!(counts.get(&vrid).is_some_and(|n| *n >= least), "VRID {vrid} of {counts:?}");
    }

    // NB-01, NB-04: each address is announced; NB-09: never before its router is master and it is there.
    for (vrid, sender) in &senders {
        for vip in &sender.addresses {
            let announcement = ours.iter().position(|frame| claimed(frame) == Some(*vip));
            assert!(
                announcement.is_some_and(|at| at > first[vrid]),
                "{vip}: {announcement:?} and {:?}",
                first[vrid]
            );
            // Nor is there duplicate address detection: the address is answered for at once (NB-06).
            let detects = |frame: &&&[u8]| asked(frame) == Some(*vip) && frame[22..38] == [0; 16];
            assert!(vip.is_ipv4() || !ours.iter().any(|frame| detects(&frame)), "{vip} was probed for");
        }
    }
    asks_in_the_group(&ours, &senders, &first);
    // OP-03: the prefix as configured, otherwise that of a host.
    let shown = host.ip("-o address show dev enp0s3");
    for wanted in [" 10.77.0.110/24 ", " 10.77.0.100/32 ", " fd00::100/128 ", " fe80::100/128 "] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
}

/// The requests of a neighbor: the host under test answers them, or no host does.
struct Neighbor {
    wire: Wire,
    dut: [u8; 6],
}

/// Long enough for an answer, if there is any.
const PATIENCE: Duration = millis(250);

impl Neighbor {
    /// The hardware address that ARP gives for `vip`.
    fn arp(&self, vip: Ipv4Addr) -> Option<[u8; 6]> {
        let packet =
            [&[0, 1, 8, 0, 6, 4, 0, 1][..], &self.wire.mac, &PEER.octets(), &[0; 6], &vip.octets()].concat();
        let question = ethernet(EVERYONE, self.wire.mac, 0x0806, &packet);
        let answer = self.wire.request(&question, PATIENCE, |frame| {
            frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == vip.octets()
        })?;
        answer[22..28].first_chunk().copied()
    }

    /// The neighbor advertisement that answers a solicitation of `vip`: flags first.
    fn solicit(&self, vip: Ipv6Addr, time: Duration) -> Option<Vec<u8>> {
        let [.., a, b, c] = vip.octets();
        let mut to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
        to[13..].copy_from_slice(&[a, b, c]);
        let ends = (PEER_V6.into(), Ipv6Addr::from(to).into());
        let body =
            [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &vip.octets(), &[1, 1], &self.wire.mac].concat();
        let macs = ([0x33, 0x33, 0xff, a, b, c], self.wire.mac);
        let question = ip(macs, ends, 255, ICMPV6, &with_sum(ends, body));
        let answer = self.wire.request(&question, time, |frame| {
            frame[6..12] == self.dut && claimed(frame) == Some(vip.into()) && frame[0] != 0x33
        })?;
        Some(answer[58..].to_vec())
    }

    fn echo(&self, mac: [u8; 6], address: Ipv4Addr) -> bool {
        let question = sealed_icmp(vec![8, 0, 0, 0, 0, 7, 0, 1]);
        let frame = ip((mac, self.wire.mac), (PEER.into(), address.into()), 64, ICMP, &question);
        let is_answer = |frame: &[u8]| {
            payload(frame, ICMP).is_some_and(|icmp| icmp[0] == 0) && frame[26..30] == address.octets()
        };
        self.wire.request(&frame, PATIENCE, is_answer).is_some()
    }

    fn echo_v6(&self, address: Ipv6Addr) -> bool {
        let ends = (PEER_V6.into(), address.into());
        let question = with_sum(ends, vec![128, 0, 0, 0, 0, 7, 0, 1]);
        let frame = ip((self.dut, self.wire.mac), ends, 64, ICMPV6, &question);
        let is_answer = |frame: &[u8]| {
            payload(frame, ICMPV6).is_some_and(|icmp| icmp[0] == 129) && frame[22..38] == address.octets()
        };
        self.wire.request(&frame, PATIENCE, is_answer).is_some()
    }

    /// Asks for the virtual addresses in every way. Returns the questions that were answered.
    fn answered(&self) -> Vec<&'static str> {
        let arp = self.arp(VIP);
        assert!(arp.is_none_or(|mac| mac == self.dut), "another host answers: {arp:02x?}");
        let all = [
            ("ARP", arp.is_some()),
            ("solicitation", self.solicit(VIP_V6, PATIENCE).is_some()),
            ("echo", self.echo(self.dut, VIP)),
            ("echo over IPv6", self.echo_v6(VIP_V6)),
            ("echo to the virtual MAC", self.echo([0, 0, 0x5e, 0, 1, Node::VRID], VIP)),
        ];
        all.into_iter().filter_map(|(question, answered)| answered.then_some(question)).collect()
    }

    /// Adverts of this priority for both families.
    fn advertise(&self, priority: u8) {
        for (from, vips) in [
            (IpAddr::from(PEER), vec![VIP.into()]),
            (PEER_V6.into(), vec![LINK_LOCAL_VIP.into(), VIP_V6.into()]),
        ] {
            let message = MessageV3 { priority, ..MessageV3::new(Node::VRID, 100, &vips) };
            let (to, mac) = group(from);
            self.wire.send(&ip((mac, self.wire.mac), (from, to), 255, VRRP, &message.bytes((from, to))));
        }
    }
}

fn with_sum(ends: (IpAddr, IpAddr), mut icmp: Vec<u8>) -> Vec<u8> {
    let sum = with_pseudo_header(ends, ICMPV6, &icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    icmp
}

fn sealed_icmp(mut icmp: Vec<u8>) -> Vec<u8> {
    let sum = crate::support::wire::checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    icmp
}

/// Section 6.4. As backup ST-03 and NB-07, steps (310), (320) and (340); as master NB-02, NB-06, AC-01 and AC-03, steps
/// (610), (620), (625), (635) and (650).
///
/// Deviations. Accept_Mode is always on (AC-02: a service address that does not answer is of no use). There is no
/// virtual MAC: what is sent to it is dropped in either state, as (335) asks and (645), NB-11, does not; hosts are not
/// informed of one. A host with a virtual address is no router: it sends no router advertisement (NB-08) in either
/// state, as (325) asks and (630) does not.
#[test]
fn a_backup_answers_for_no_virtual_address_and_a_master_answers_for_each_at_once() {
    const NOTHING: [&str; 0] = [];
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    // NB-05: a router says so in its neighbor advertisements.
    host.inside(|| fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("the host's own setting"));
    let own = link_local(&host);
    let neighbor = Neighbor { wire: Wire::open(&client, "enp0s3"), dut: Wire::open(&host, "enp0s3").mac };
    let node = Node::plain(100).with("VIP", "10.77.0.100 fe80::100 fd00::100").with("VRRP_VERSION", "3");
    let router = Router::start(Kind::Ours, &host, &node);
    let entered = |mark, state: &str| {
        for name in ["(VI_1)", "(VI_1_v6)"] {
            router.run.log.wait_for_after(mark, &format!("{name} Entering {state} STATE"), seconds(2));
        }
    };
    entered(0, "BACKUP");
    let of_ours = |frame: &&Frame| frame.bytes[6..12] == neighbor.dut;

    let capture = Capture::start(&client, "backup", "proto 112 or arp or icmp6");
    neighbor.advertise(200);
    assert_eq!(neighbor.answered(), NOTHING, "as backup");
    neighbor.advertise(200);
    // The control: the same questions about the host's own addresses.
    assert_eq!(neighbor.arp(US), Some(neighbor.dut));
    assert!(
        neighbor.solicit(own, PATIENCE).is_some() && neighbor.echo(neighbor.dut, US) && neighbor.echo_v6(own)
    );
    neighbor.advertise(200);
    let captured = capture.finish();
    for frame in captured.frames.iter().filter(of_ours) {
        assert_eq!(payload(&frame.bytes, VRRP), None, "a backup sends no advert");
        let vip = claimed(&frame.bytes).filter(|a| [VIP.into(), VIP_V6.into()].contains(a));
        assert_eq!(vip, None, "a backup claims no virtual address");
    }

    let capture = Capture::start(&client, "master", "proto 112 or arp or icmp6");
    let mark = router.run.log.mark();
    neighbor.advertise(0);
    entered(mark, "MASTER");
    // NB-06: at once, which is as soon as the kernel has joined the group; duplicate detection would take a second.
    let mut flags = None;
    wait_until("a master answers a solicitation", millis(900), || {
        flags = neighbor.solicit(VIP_V6, millis(20));
        flags.is_some()
    });
    let flags = flags.expect("it was waited for");
    assert_eq!(flags[0], 0xe0, "NB-05: router, solicited, override");
    assert_eq!(neighbor.answered(), ["ARP", "solicitation", "echo", "echo over IPv6"], "as master");
    // NB-12: the kernel accepts an unsolicited neighbor advertisement, and we do not prevent it.
    let moved = [0x02, 0, 0, 0, 0, 0x99];
    let ends = (PEER_V6.into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into());
    let body = [&[ADVERTISEMENT, 0, 0, 0, 0x20, 0, 0, 0][..], &PEER_V6.octets(), &[2, 1], &moved].concat();
    assert_ne!(host.neighbor(PEER_V6).as_deref(), Some("02:00:00:00:00:99"));
    let macs = ([0x33, 0x33, 0, 0, 0, 1], neighbor.wire.mac);
    neighbor.wire.send(&ip(macs, ends, 255, ICMPV6, &with_sum(ends, body)));
    wait_until("the neighbor has moved", seconds(1), || {
        host.neighbor(PEER_V6).as_deref() == Some("02:00:00:00:00:99")
    });
    let captured = capture.finish();
    for vip in [LINK_LOCAL_VIP, VIP_V6] {
        let announced = captured.frames.iter().filter(of_ours).map(|frame| &*frame.bytes);
        let announced = announced
            .filter(|frame| claimed(frame) == Some(vip.into()) && frame[..6] == [0x33, 0x33, 0, 0, 0, 1]);
        let announced: Vec<_> = announced.collect();
        assert!(!announced.is_empty(), "NB-04: {vip} is announced");
        for frame in announced {
            let (hops, icmp) = (frame[21], &frame[54..]);
            assert_eq!((hops, icmp[4], &icmp[24..26]), (255, 0xa0, &[2, 1][..]), "R, not S, O; TLLA");
            assert_eq!(icmp[26..32], neighbor.dut);
        }
    }
    let router_advertisement =
        |frame: &Frame| payload(&frame.bytes, ICMPV6).is_some_and(|icmp| icmp[0] == 134);
    assert!(!captured.frames.iter().any(router_advertisement), "NB-08: a host's address is no router");

    // NB-03, NB-10: no interface with a virtual MAC was made, from which an identifier could be derived.
    let links = host.ip("-o -d link show");
    assert_eq!(links.lines().count(), 2, "{links}");
    assert!(!links.contains("macvlan") && !links.contains("00:00:5e:"), "{links}");
    let addresses = host.ip("-o -6 address show dev enp0s3");
    assert!(!addresses.contains("5eff:fe00") && addresses.contains(&format!(" {own}/64")), "{addresses}");

    // ST-04: as backup again, no answers.
    let mark = router.run.log.mark();
    neighbor.advertise(250);
    entered(mark, "BACKUP");
    wait_until("the addresses are gone", seconds(1), || !host.holds(VIP) && !host.holds(VIP_V6));
    assert_eq!(neighbor.answered(), NOTHING, "as backup again");
}

/// A packet with exactly one fault, and the reason for its drop; `None` if the kernel drops it.
struct Fault {
    reason: Option<&'static str>,
    frame: Vec<u8>,
}

/// The path of one family's packets from the peer to the group.
struct Channel<'a> {
    wire: &'a Wire,
    from: IpAddr,
}

impl Channel<'_> {
    fn ends(&self) -> (IpAddr, IpAddr) {
        (self.from, group(self.from).0)
    }

    fn frame(&self, ttl: u8, message: &[u8]) -> Vec<u8> {
        ip((group(self.from).1, self.wire.mac), self.ends(), ttl, VRRP, message)
    }

    fn fault(&self, reason: &'static str, message: &[u8]) -> Fault {
        Fault { reason: Some(reason), frame: self.frame(255, message) }
    }

    fn fragment(&self, flags: u16, message: &[u8]) -> Fault {
        let length = u16::try_from(message.len()).expect("a short message");
        let header = ipv4_header(PEER, Ipv4Addr::new(224, 0, 0, 18), (flags, flags), 255, VRRP, length);
        let frame = ethernet(group(self.from).1, self.wire.mac, 0x0800, &[&header[..], message].concat());
        Fault { reason: None, frame }
    }

    /// Whatever the version: of a `good` message.
    fn faults_of_any(&self, good: &[u8]) -> Vec<Fault> {
        let sum = |sum: [u8; 2]| [&good[..6], &sum, &good[8..]].concat();
        let mut faults = vec![
            // RX-01
            Fault { frame: self.frame(254, good), ..self.fault("ttl", &[]) },
            Fault { frame: self.frame(1, good), ..self.fault("ttl", &[]) },
            // RX-04
            self.fault("truncated", &[]),
            self.fault("truncated", &good[..4]),
            self.fault("truncated", &good[..7]),
            // RX-06
            self.fault("checksum", &sum([0, 0])),
            self.fault("checksum", &sum([good[6], good[7] ^ 1])),
            // AX-07 would allow this.
            self.fault("too_long", &[good, &[0; 4]].concat()),
            // RX-17
            self.fault("version", &[0xff; 64]),
        ];
        if self.from.is_ipv4() {
            // More fragments to come, and a last one that begins at octet 8.
            faults.extend([self.fragment(0x2000, &good[..8]), self.fragment(0x0001, &good[8..])]);
        }
        faults
    }

    /// In VRRPv2, for a router without and one with a password.
    fn faults_v2(&self, plain: &Message, with_password: &Message) -> Vec<Fault> {
        let good = plain.bytes();
        let spoilt = |reason, spoil: &dyn Fn(&mut Message)| {
            let mut message = plain.clone();
            spoil(&mut message);
            self.fault(reason, &message.bytes())
        };
        let v3 = MessageV3::new(plain.vrid, 100, &[VIP.into()]).bytes(self.ends());
        let foreign =
            |auth_type, auth_data| Message { auth_type, auth_data, ..with_password.clone() }.bytes();
        let mut faults = self.faults_of_any(&good);
        faults.extend([
            // RX-02
            spoilt("version", &|m| m.version = 1),
            spoilt("version", &|m| m.version = 4),
            self.fault("version_mismatch", &v3),
            // RX-03
            spoilt("type", &|m| m.kind = 2),
            spoilt("type", &|m| m.kind = 7),
            // RX-04
            spoilt("truncated", &|m| m.count = Some(20)),
            spoilt("truncated", &|m| m.count = Some(255)),
            // RX-05
            self.fault("truncated", &with_checksum(good[..good.len() - 8].to_vec())),
            // RX-07
            spoilt("vrid", &|m| m.vrid = 99),
            spoilt("vrid", &|m| m.vrid = 0),
            // RX-08
            spoilt("auth_type", &|m| m.auth_type = 3),
            spoilt("auth_type", &|m| m.auth_type = 254),
            // RX-09, AU-03: a password where none is wanted, and none where one is.
            spoilt("auth_mismatch", &|m| m.auth_type = 1),
            self.fault("auth_mismatch", &foreign(0, [0; 8])),
            // RX-10
            self.fault("auth_failure", &foreign(1, *b"S3cret\0\0")),
            self.fault("auth_failure", &foreign(1, *b"s3crets\0")),
            // RX-11
            spoilt("interval", &|m| m.interval = 2),
            spoilt("interval_zero", &|m| m.interval = 0),
            // RX-13, and AX-03's drop of another list
            spoilt("count_zero", &|m| m.vips.clear()),
            spoilt("addresses", &|m| m.vips.push(Ipv4Addr::new(10, 77, 0, 101))),
        ]);
        faults
    }

    /// In VRRPv3.
    fn faults_v3(&self, message: &MessageV3) -> Vec<Fault> {
        let good = message.bytes(self.ends());
        let spoilt = |reason, spoil: &dyn Fn(&mut MessageV3)| {
            let mut message = message.clone();
            spoil(&mut message);
            self.fault(reason, &message.bytes(self.ends()))
        };
        let v2 = Message { vrid: message.vrid, ..Message::default() }.bytes();
        // Over IPv6 there is no version 2 to distinguish from nonsense.
        let of_v2 = if self.from.is_ipv4() { "version_mismatch" } else { "version" };
        let mut faults = self.faults_of_any(&good);
        faults.extend([
            // RX-02
            spoilt("version", &|m| m.kind = 0x11),
            spoilt("version", &|m| m.kind = 0x41),
            self.fault(of_v2, &v2),
            // RX-03
            spoilt("type", &|m| m.kind = 0x32),
            spoilt("type", &|m| m.kind = 0x30),
            // RX-04
            spoilt("truncated", &|m| m.count = Some(20)),
            spoilt("truncated", &|m| m.count = Some(255)),
            // RX-07
            spoilt("vrid", &|m| m.vrid = 99),
            spoilt("vrid", &|m| m.vrid = 0),
            // RX-12
            spoilt("count_zero", &|m| m.vips.clear()),
            // RX-14
            spoilt("interval_zero", &|m| m.interval = 0),
            spoilt("interval_zero", &|m| m.interval = 0xf000),
        ]);
        if self.from.is_ipv6() {
            faults.push(self.fault("checksum", &message.bytes_alone()));
        }
        faults
    }
}

/// Section 7.1 of the RFCs against masters of priority 100: each fault three times, at priority 250 and from a higher
/// address. No address is removed even for an instant, each is answered for, no advert is late (RX-20), every packet
/// is counted and few are logged (RX-21); then a valid advert is accepted. All frames are padded (AX-06)
/// and come from a physical hardware address (AX-05).
#[test]
fn faulty_packets_of_each_version_and_family_change_nothing_and_valid_packets_do() {
    const ROUNDS: usize = 3;
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    link_local(&host);
    let neighbor = Neighbor { wire: Wire::open(&client, "enp0s3"), dut: Wire::open(&host, "enp0s3").mac };
    let [v2, v6] = [PEER.into(), PEER_V6.into()].map(|from| Channel { wire: &neighbor.wire, from });
    let plain = Message::default();
    let with_password = Message {
        vrid: 54,
        auth_type: 1,
        auth_data: *b"s3cret\0\0",
        vips: vec![Ipv4Addr::new(10, 77, 0, 140)],
        ..plain.clone()
    };
    let third = MessageV3::new(52, 100, &[v4([10, 77, 0, 110])]);
    let sixth = MessageV3::new(53, 100, &[LINK_LOCAL_VIP.into(), VIP_V6.into()]);

    let node = Node::plain(100).with("LOG_LEVEL", "info");
    let node = [
        ("VIP_2", "10.77.0.110"),
        ("VIRTUAL_ROUTER_2", "52"),
        ("VRRP_VERSION_2", "3"),
        ("VIP_3", "fe80::100 fd00::100"),
        ("VIRTUAL_ROUTER_3", "53"),
        ("VIP_4", "10.77.0.140"),
        ("VIRTUAL_ROUTER_4", "54"),
        ("AUTH_PASS_4", "s3cret"),
    ]
    .into_iter()
    .fold(node, |node, (name, value)| node.with(name, value));
    let mut router = Router::start(Kind::Ours, &host, &node);
    for n in 1..=4 {
        router.run.log.wait_for(&format!("(VI_{n}) Entering MASTER STATE"), START);
    }
    wait_until("every address is present", seconds(1), || {
        [VIP.into(), v4([10, 77, 0, 110]), VIP_V6.into(), v4([10, 77, 0, 140])]
            .iter()
            .all(|vip| host.holds(*vip))
    });

    let kernel =
        Running::start(&host, Launch::NotPidOne, Path::new("/usr/sbin/ip"), &["monitor", "address"], &[]);
    wait_until("the daemon reads its sockets", seconds(5), || {
        host.ip("address add 10.77.0.201/32 dev enp0s3");
        host.ip("address delete 10.77.0.201/32 dev enp0s3");
        !kernel.log.since(0, "Deleted").is_empty()
    });
    let capture = Capture::start(&client, "faults", "proto 112");
    let mark = router.run.log.mark();
    let faults: Vec<Fault> = v2
        .faults_v2(&plain, &with_password)
        .into_iter()
        .chain(v2.faults_v3(&third))
        .chain(v6.faults_v3(&sixth))
        .collect();
    let mut expected = BTreeMap::new();
    for fault in faults.iter().flat_map(|fault| std::iter::repeat_n(fault, ROUNDS)) {
        neighbor.wire.send(&fault.frame);
        std::thread::sleep(millis(15));
        if let Some(reason) = fault.reason {
            *expected.entry(reason.to_owned()).or_insert(0) += 1;
        }
    }
    let captured = capture.finish();
    assert_eq!(router.run.log.since(mark, "Entering"), Vec::<String>::new());
    let lines = router.run.log.mark() - mark;
    assert!((10..=faults.len()).contains(&lines), "{lines} lines for {} packets", faults.len() * ROUNDS);
    assert_eq!(router.dropped(), expected);
    let removed = kernel.log.since(0, "Deleted");
    let ours: Vec<_> = removed.iter().filter(|line| !line.contains("10.77.0.201")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    for vip in [VIP, Ipv4Addr::new(10, 77, 0, 110), Ipv4Addr::new(10, 77, 0, 140)] {
        assert_eq!(neighbor.arp(vip), Some(neighbor.dut), "{vip}");
    }
    assert!(
        neighbor.solicit(LINK_LOCAL_VIP, PATIENCE).is_some() && neighbor.solicit(VIP_V6, PATIENCE).is_some()
    );
    for vrid in [plain.vrid, 52, 53, 54] {
        let of_vrid = |frame: &&Frame| {
            frame.bytes[6..12] == neighbor.dut && payload(&frame.bytes, VRRP).is_some_and(|m| m[1] == vrid)
        };
        let times: Vec<_> = captured.frames.iter().filter(of_vrid).map(|frame| frame.at).collect();
        let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        assert!(longest.is_some_and(|gap| gap < millis(1_200)), "VRID {vrid}: {longest:?}");
    }

    // The control, with what must be accepted: the sum over the message alone (AX-04), the reserved bits (AX-01).
    let mark = router.run.log.mark();
    neighbor.wire.send(&v2.frame(255, &plain.bytes()));
    neighbor.wire.send(&v2.frame(255, &third.bytes_alone()));
    let reserved = MessageV3 { interval: 0xf064, ..sixth };
    neighbor.wire.send(&v6.frame(255, &reserved.bytes(v6.ends())));
    neighbor.wire.send(&v2.frame(255, &with_password.bytes()));
    for n in 1..=4 {
        router.run.log.wait_for_after(mark, &format!("(VI_{n}) Entering BACKUP STATE"), seconds(1));
    }
    assert!(router.run.is_running());
}

/// RX-19: a master falls silent while faulty packets of every kind keep arriving. TI-01: the backup takes over after
/// three intervals of silence and the skew, neither sooner nor later.
#[test]
fn a_discarded_advert_does_not_delay_the_takeover() {
    const DOWN: Duration = Duration::from_micros(1_804_687);
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let wire = Wire::open(&client, "enp0s3");
    let channel = Channel { wire: &wire, from: PEER.into() };
    let node = Node { advert_int: "0.5", ..Node::plain(100) };
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_backup(0, seconds(1));
    let good = MessageV3::new(Node::VRID, 50, &[VIP.into()]);
    // AX-02: a different interval is learned and logged.
    let slower = MessageV3 { interval: 60, ..good.clone() };
    wire.send(&channel.frame(255, &slower.bytes(channel.ends())));
    router.run.log.wait_for("Accepting adverts from 10.77.0.250 … 0.6 s, ours is 0.5 s", seconds(1));
    let mut silent = Instant::now();
    for _ in 0..5 {
        silent = Instant::now();
        wire.send(&channel.frame(255, &good.bytes(channel.ends())));
        std::thread::sleep(millis(500));
    }
    assert_eq!(router.run.log.since(0, "Entering MASTER"), Vec::<String>::new(), "valid adverts do delay it");
    let mut faults = channel.faults_v3(&good);
    // ST-10: nor does an advert with a lower priority from a router other than the master. From the master itself it
    // would speed the takeover up.
    let third = Channel { wire: &wire, from: v4([10, 77, 0, 249]) };
    let lower = MessageV3 { priority: 99, ..good };
    faults.push(Fault { reason: None, frame: third.frame(255, &lower.bytes(third.ends())) });
    let mut next = faults.iter().cycle();
    wait_until("it takes over", seconds(3), || {
        wire.send(&next.next().expect("a cycle").frame);
        !router.run.log.since(0, "Entering MASTER").is_empty()
    });
    let took = router.run.log.wait_for("Entering MASTER", seconds(1)).at - silent;
    assert!((DOWN..DOWN + millis(150)).contains(&took), "took over after {took:?}");
}

/// TX-19: packets to the group stay on their link, although the host forwards other packets.
#[test]
fn adverts_are_not_forwarded() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    host.ip("link add eth9 type veth peer name eth9p");
    host.ip("link set eth9p up");
    host.ip("link set eth9 up");
    host.ip("address add 10.88.0.1/24 dev eth9");
    host.ip("neighbor add 10.88.0.2 lladdr 02:00:00:00:00:02 dev eth9");
    for file in ["ipv4/ip_forward", "ipv4/conf/all/mc_forwarding", "ipv6/conf/all/forwarding"] {
        // The kernel alone may switch the second on, for a multicast routing daemon.
        host.inside(|| fs::write(format!("/proc/sys/net/{file}"), "1").ok());
    }
    let router = Router::start(Kind::Ours, &host, &Node::plain(100));
    router.wait_backup(0, seconds(1));
    let (wire, dut) = (Wire::open(&client, "enp0s3"), Wire::open(&host, "enp0s3").mac);
    let beyond = Wire::open(&host, "eth9p");
    let is_vrrp = |frame: &[u8]| payload(frame, VRRP).is_some();
    for from in [IpAddr::from(PEER), PEER_V6.into()] {
        let channel = Channel { wire: &wire, from };
        let good = MessageV3::new(Node::VRID, 100, &[VIP.into()]).bytes(channel.ends());
        wire.send(&channel.frame(255, &good));
    }
    assert_eq!(beyond.receive(millis(300), is_vrrp), None);
    // The control: also a packet of protocol 112, to a host there.
    let ends = (PEER.into(), v4([10, 88, 0, 2]));
    wire.send(&ip((dut, wire.mac), ends, 255, VRRP, &Message::default().bytes()));
    assert!(beyond.receive(seconds(1), is_vrrp).is_some(), "other packets are forwarded");
}
