//! The network edges against a real kernel, in network namespaces that no other process can reach.
//!
//! The namespaces have no name: each ends with the `Host` that created it, even if the test fails.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{self, Command};
use std::time::Duration;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

use vrrp_init::sys::neighbor::{Announcer, Form, gratuitous_arp, neighbor_advertisement};
use vrrp_init::sys::netlink::{Address, Assignment, Change, Link, MARK, Monitor, Netlink};
use vrrp_init::sys::poller::Clock;
use vrrp_init::sys::route::default_route_interface;
use vrrp_init::sys::socket::ipv4::HeaderFault;
use vrrp_init::sys::socket::{BUFFER, Datagram, Inbox, Outbox, Received, Socket};
use vrrp_init::vrrp::{Family, GROUP_V4, GROUP_V6};

use crate::own_process::{inside, rerun};

/// How long the kernel may take for carrier, delivery or expiry.
const PATIENCE: u16 = 5_000;
/// How long to listen before concluding that nothing arrives.
const SILENCE: u16 = 200;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const LEFT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const RIGHT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const LEFT_GLOBAL: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const RIGHT_GLOBAL: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const LEFT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// One advertisement as keepalived 2.2.7 sends it: version 2, VRID 51, priority 254, 10.9.0.100.
#[rustfmt::skip]
const ADVERTISEMENT: [u8; 40] = [
    0x45, 0xc0, 0x00, 0x28, 0x00, 0x01, 0x00, 0x00, 0xff, 0x70, 0xd0, 0x88,
    10, 9, 0, 1, 224, 0, 0, 18,
    0x21, 0x33, 0xfe, 0x01, 0x00, 0x01, 0xd6, 0x5c, 10, 9, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// A network namespace.
struct Host {
    namespace: File,
}

/// Returns the thread to its previous namespace, also after a panic.
struct Return(File);

impl Drop for Return {
    fn drop(&mut self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("a thread can return to its own namespace");
    }
}

fn current_namespace() -> File {
    File::open("/proc/thread-self/ns/net").expect("this test reads /proc/thread-self/ns/net")
}

impl Host {
    fn new() -> Self {
        let before = current_namespace();
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            panic!("this test makes network namespaces and has to run as root (CAP_SYS_ADMIN): {errno}");
        }
        let _return = Return(before);
        Self { namespace: current_namespace() }
    }

    /// A host whose `v0` is the other end of the second's `v0`; both up, with an address and a carrier.
    fn pair() -> (Self, Self) {
        let (left, right) = (Self::new(), Self::new());
        left.ip("link add v0 address 02:00:00:00:00:01 type veth peer name v0 netns", &right.path());
        for (host, address) in [(&left, LEFT), (&right, RIGHT)] {
            host.ip("address add dev v0", &format!("{address}/24"));
            host.ip("link set up dev", "v0");
        }
        left.wait_for_carrier("v0");
        right.wait_for_carrier("v0");
        (left, right)
    }

    /// A pair with exactly two IPv6 addresses on each side, one of them link-local.
    fn pair_v6() -> (Self, Self) {
        let (left, right) = Self::pair();
        let addresses = [(&left, [LEFT_V6, LEFT_GLOBAL]), (&right, [RIGHT_V6, RIGHT_GLOBAL])];
        for (host, own) in addresses {
            host.ip("link set addrgenmode none dev", "v0");
            host.ip("-6 address flush dev", "v0");
            for address in own {
                host.ip("address add", &format!("{address}/64 dev v0 nodad"));
            }
        }
        for (here, there) in [(LEFT_V6, RIGHT_V6), (LEFT_GLOBAL, RIGHT_GLOBAL)] {
            send_until_heard(&left.unicast(here), &right.unicast(there), here, there);
        }
        (left, right)
    }

    /// A host with one link, `v0`, and its other end `far`; both are down and without addresses.
    fn single() -> Self {
        let host = Self::new();
        host.ip("link add v0 type veth peer name", "far");
        host
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.namespace.as_raw_fd())
    }

    /// Runs `what` in this namespace; sockets opened by it stay there.
    fn run<T>(&self, what: impl FnOnce() -> T) -> T {
        let _return = Return(current_namespace());
        setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("root may enter its own namespace");
        what()
    }

    fn ip(&self, arguments: &str, last: &str) -> String {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace()).args(last.split_whitespace());
        let output = self.run(|| command.output()).expect("this test runs iproute2's ip");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn index(&self, name: &str) -> u32 {
        self.run(|| if_nametoindex(name)).unwrap()
    }

    fn netlink(&self) -> Netlink {
        self.run(Netlink::open).unwrap()
    }

    fn monitor(&self) -> Monitor {
        self.run(Monitor::open).unwrap()
    }

    fn socket(&self, interface: &str) -> Socket {
        let index = self.index(interface);
        self.run(|| Socket::open_v4(interface, index)).unwrap()
    }

    fn socket_v6(&self, interface: &str) -> Socket {
        let index = self.index(interface);
        self.run(|| Socket::open_v6(interface, index)).unwrap()
    }

    fn unicast(&self, source: impl Into<IpAddr>) -> Socket {
        let source = source.into();
        self.run(|| Socket::open_unicast(Some("v0"), source)).unwrap()
    }

    fn wait_for_carrier(&self, name: &str) {
        let mut monitor = self.monitor();
        let is_up = |link: &Link| link.name == name && link.up;
        if !self.netlink().links().unwrap().iter().any(is_up) {
            wait_for(&mut monitor, |change| matches!(change, Change::Link(link) if is_up(link)));
        }
    }

    /// The addresses on `v0`, except those that the kernel adds by itself.
    fn addresses(&self) -> Vec<Address> {
        let index = self.index("v0");
        let ours = |address: &Address| {
            address.index == index && !matches!(address.address, IpAddr::V6(v6) if v6.is_unicast_link_local())
        };
        self.netlink().addresses().unwrap().into_iter().filter(ours).collect()
    }
}

fn readable(descriptor: &impl AsFd, milliseconds: u16) -> bool {
    let mut descriptors = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::from(milliseconds)).unwrap() == 1
}

/// Sends until the receiver has something to read. On a busy machine it takes a while until a new address or a gateway
/// answers its neighbors, and what was sent before is lost.
fn send_until_heard(sender: &Socket, receiver: &Socket, from: impl Into<IpAddr>, to: impl Into<IpAddr>) {
    let (from, to) = (from.into(), to.into());
    let heard = (0..100).any(|_| {
        sender.send(from, to, MESSAGE).unwrap();
        readable(receiver, 100)
    });
    assert!(heard, "{to} does not answer {from}");
}

/// Checks that the next packet is this one, with TTL or hop limit 255.
fn expect(socket: &Socket, from: impl Into<IpAddr>, to: impl Into<IpAddr>, payload: &[u8]) {
    let (from, to) = (from.into(), to.into());
    assert!(readable(socket, PATIENCE), "nothing came from {from} to {to}");
    let mut buffer = [0; BUFFER];
    let expected = Datagram { from, to, ttl: 255, payload };
    assert_eq!(socket.receive(&mut buffer).unwrap(), Some(Received::Datagram(expected)));
}

fn expect_nothing(socket: &Socket) {
    assert!(!readable(socket, SILENCE), "{:?}", socket.receive(&mut [0; BUFFER]));
    assert_eq!(socket.receive(&mut [0; BUFFER]).unwrap(), None);
}

/// Reads until `wanted` arrives and returns everything that was read.
fn wait_for(monitor: &mut Monitor, wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
    let mut changes = Vec::new();
    while !changes.iter().any(&wanted) {
        assert!(
            readable(monitor, PATIENCE),
            "the kernel did not report it in time; it reported {changes:#?}"
        );
        changes.extend(monitor.read().unwrap());
    }
    changes
}

fn assignment(host: &Host, address: impl Into<IpAddr>, prefix: u8, lifetime: Option<u32>) -> Assignment {
    Assignment { index: host.index("v0"), address: address.into(), prefix, label: None, lifetime }
}

fn both_families() -> [(IpAddr, u8); 2] {
    [(VIP.into(), 32), (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100).into(), 128)]
}

#[test]
fn an_address_can_be_added_twice_listed_and_removed_twice() {
    let host = Host::single();
    let mut netlink = host.netlink();
    for (address, prefix) in both_families() {
        let assignment = assignment(&host, address, prefix, None);
        netlink.add(&assignment).unwrap();
        netlink.add(&assignment).unwrap();
        let index = assignment.index;
        let (label, mark) = (address.is_ipv4().then(|| "v0".to_owned()), Some(MARK));
        let (tentative, lifetime, has_peer) = (false, None, false);
        let expected = Address { index, address, prefix, label, mark, tentative, lifetime, has_peer };
        assert_eq!(host.addresses(), [expected]);

        netlink.remove(index, address, prefix).unwrap();
        netlink.remove(index, address, prefix).unwrap();
        assert_eq!(host.addresses(), []);
    }
}

#[test]
fn an_address_has_neither_broadcast_nor_duplicate_detection() {
    let host = Host::single();
    host.ip("link set up dev", "v0");
    host.ip("link set up dev", "far");
    host.wait_for_carrier("v0");
    let mut netlink = host.netlink();
    netlink.add(&assignment(&host, VIP, 24, None)).unwrap();
    netlink.add(&assignment(&host, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), 64, None)).unwrap();
    let shown = host.ip("-oneline address show dev", "v0");
    assert!(shown.contains("10.9.0.100/24 scope global"), "{shown}");
    assert!(shown.contains("fd00::1/64 scope global nodad"), "{shown}");
    assert!(!shown.lines().any(|line| line.contains("fd00::1") && line.contains("tentative")), "{shown}");
}

#[test]
fn an_ipv6_address_is_leased_renewed_and_never_chosen_as_a_source() {
    let (left, _right) = Host::pair_v6();
    left.ip("address delete dev v0", &format!("{LEFT_GLOBAL}/64"));
    left.ip("route add fd00::/64 dev", "v0");
    let mut netlink = left.netlink();
    // Closer to the destination than the address that should be chosen.
    let vip = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
    let chosen = || left.ip("-6 route get", &RIGHT_GLOBAL.to_string());

    left.ip("address add", &format!("{LEFT_GLOBAL}/128 dev v0 nodad"));
    left.ip("address add", &format!("{vip}/127 dev v0 nodad"));
    assert!(chosen().contains(&format!("src {vip}")), "the test would see nothing: {}", chosen());
    left.ip("address del dev v0", &format!("{vip}/127"));

    // A second may pass between setting and showing.
    for (prefix, lifetime, valid) in [
        (128, Some(60), ["60sec", "59sec"]),
        (128, Some(90), ["90sec", "89sec"]),
        (128, None, ["forever"; 2]),
        (64, Some(60), ["60sec", "59sec"]),
        (64, Some(90), ["90sec", "89sec"]),
    ] {
        netlink.add(&assignment(&left, vip, prefix, lifetime)).unwrap();
        let shown = left.ip("-oneline address show dev v0 to", &vip.to_string());
        assert!(shown.contains("nodad deprecated"), "{shown}");
        let leased = |valid| shown.contains(&format!("valid_lft {valid} preferred_lft 0sec"));
        assert!(valid.into_iter().any(leased), "{shown}");
        assert!(chosen().contains(&format!("src {LEFT_GLOBAL}")), "{}", chosen());
    }
}

#[test]
fn an_address_is_tentative_until_the_kernel_reports_the_end_of_duplicate_detection() {
    let (left, _right) = Host::pair_v6();
    let mut monitor = left.monitor();
    let fresh = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33);
    left.ip("address add dev v0", &format!("{fresh}/64"));
    let known = |address: Ipv6Addr| {
        left.netlink().addresses().unwrap().into_iter().find(|known| known.address == address).unwrap()
    };
    assert!(known(fresh).tentative);
    assert!(!known(LEFT_V6).tentative);
    wait_for(
        &mut monitor,
        |change| matches!(change, Change::Address(reported) if reported.address == fresh && !reported.tentative),
    );
    assert!(!known(fresh).tentative);
}

#[test]
fn a_label_is_kept() {
    let host = Host::single();
    host.ip("address add 10.9.0.1/24 dev", "v0");
    host.netlink()
        .add(&Assignment { label: Some("v0:1".into()), ..assignment(&host, VIP, 24, None) })
        .unwrap();
    let [primary, vip] = &host.addresses()[..] else { panic!("two addresses were added") };
    assert_eq!((primary.address, primary.mark), (LEFT.into(), None));
    assert_eq!((vip.address, vip.mark), (VIP.into(), Some(MARK)));
    assert_eq!(vip.label.as_deref(), Some("v0:1"));
}

/// OP-04: it does not prevent a new master.
#[test]
fn adding_an_address_that_is_already_there_makes_it_ours() {
    let host = Host::single();
    for (address, prefix) in both_families() {
        host.ip("address add dev v0", &format!("{address}/{prefix}"));
        host.netlink().add(&assignment(&host, address, prefix, Some(60))).unwrap();
        let shown = host.ip("-oneline address show dev v0 to", &address.to_string());
        assert!(shown.contains("valid_lft 60sec") || shown.contains("valid_lft 59sec"), "{shown}");
    }
    assert_eq!(host.addresses().iter().map(|address| address.mark).collect::<Vec<_>>(), [Some(MARK); 2]);
}

#[test]
fn the_kernel_removes_an_address_whose_lifetime_was_not_renewed() {
    let host = Host::single();
    let mut netlink = host.netlink();
    for (address, prefix) in both_families() {
        netlink.add(&assignment(&host, address, prefix, Some(1))).unwrap();
        netlink.add(&assignment(&host, address, prefix, None)).unwrap();
        let shown = host.ip("-oneline address show dev v0 to", &address.to_string());
        assert!(shown.contains("valid_lft forever"), "{shown}");

        let mut monitor = host.monitor();
        netlink.add(&assignment(&host, address, prefix, Some(1))).unwrap();
        wait_for(
            &mut monitor,
            |change| matches!(change, Change::AddressGone(gone) if gone.address.address == address && gone.address.mark == Some(MARK)),
        );
        assert_eq!(host.addresses(), []);
    }
}

#[test]
fn removing_from_an_interface_that_is_gone_succeeds_and_adding_to_it_is_an_error() {
    let host = Host::single();
    let assignment = assignment(&host, VIP, 32, None);
    host.ip("link delete", "v0");
    let mut netlink = host.netlink();
    netlink.remove(assignment.index, VIP.into(), 32).unwrap();
    let error = netlink.add(&assignment).unwrap_err();
    let expected = format!("cannot add address 10.9.0.100/32 on interface {}: ", assignment.index);
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(error.source.raw_os_error(), Some(Errno::ENODEV as i32));
}

#[test]
fn a_batch_names_exactly_the_refused_addresses_and_adds_the_rest() {
    let host = Host::single();
    let mut netlink = host.netlink();
    let vip = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 10, 0, 0)) + n);
    let mut all: Vec<_> = (0..200).map(|n| assignment(&host, vip(n), 32, Some(9))).collect();
    for n in [0, 31, 32, 100, 199] {
        // There is no such interface.
        all[n].index = 999;
    }
    for round in ["added", "renewed"] {
        let refused = netlink.add_all(&all);
        let numbers: Vec<_> = refused.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [0, 31, 32, 100, 199], "{round}");
        for (n, error) in refused {
            let expected = format!("cannot add address {}/32 on interface 999: ", all[n].address);
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!(error.source.raw_os_error(), Some(Errno::ENODEV as i32));
        }
        assert_eq!(host.addresses().len(), 195);
    }
    assert!(netlink.add_all(&[]).is_empty());
}

#[test]
fn links_are_listed_with_name_mac_and_whether_they_are_up() {
    let (left, _right) = Host::pair();
    left.ip("link add down0 type veth peer name", "down1");
    let links = left.netlink().links().unwrap();
    let named = |name| links.iter().find(|link| link.name == name).unwrap();
    let (index, name) = (left.index("v0"), "v0".to_owned());
    let expected = Link {
        index,
        name,
        altnames: vec![],
        up: true,
        enabled: true,
        mac: Some(LEFT_MAC),
        loopback: false,
        multicast: true,
        port_of: None,
        promote_secondaries: Some(0),
    };
    assert_eq!(*named("v0"), expected);
    assert!(named("lo").loopback && !named("lo").up);
    assert!(!named("down0").up);
}

#[test]
fn more_links_and_addresses_than_one_datagram_holds_are_all_listed() {
    let host = Host::single();
    for number in 0..40 {
        host.ip("link add type veth peer name", &format!("p{number}"));
    }
    let mut netlink = host.netlink();
    for number in 0..600_u32 {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 10, 0, 0)) + number);
        netlink.add(&assignment(&host, address, 32, None)).unwrap();
    }
    assert_eq!(netlink.links().unwrap().len(), 3 + 2 * 40);
    assert_eq!(host.addresses().len(), 600);
}

#[test]
fn the_monitor_reports_addresses_that_come_and_go() {
    let host = Host::single();
    let (mut monitor, mut netlink) = (host.monitor(), host.netlink());
    assert_eq!(monitor.read().unwrap(), []);
    host.ip("address add 10.9.0.100/32 dev", "v0");
    let (index, address, label) = (host.index("v0"), VIP.into(), Some("v0".to_owned()));
    let (mark, tentative, lifetime, has_peer) = (None, false, None, false);
    let address = Address { index, address, prefix: 32, label, mark, tentative, lifetime, has_peer };
    assert_eq!(monitor.read().unwrap(), [Change::Address(address.clone())]);
    netlink.remove(index, VIP.into(), 32).unwrap();
    let removed = monitor.read().unwrap();
    assert!(matches!(&removed[..], [Change::AddressGone(gone)] if gone.address == address), "{removed:?}");
    assert_eq!(monitor.read().unwrap(), []);
}

#[test]
fn the_monitor_reports_marked_addresses_only_when_they_are_removed() {
    let host = Host::single();
    let (mut monitor, mut netlink) = (host.monitor(), host.netlink());
    for (vip, prefix) in both_families() {
        let assignment = assignment(&host, vip, prefix, Some(9));
        netlink.add(&assignment).unwrap();
        netlink.add(&assignment).unwrap();
        assert_eq!(monitor.read().unwrap(), []);
        netlink.remove(assignment.index, vip, prefix).unwrap();
        let reported = monitor.read().unwrap();
        assert!(
            matches!(&reported[..], [Change::AddressGone(gone)] if gone.address.address == vip),
            "{reported:?}"
        );
    }
}

#[test]
fn the_monitor_reports_links_up_down_without_carrier_renamed_and_gone() {
    let host = Host::single();
    let index = host.index("v0");
    let mut monitor = host.monitor();
    let is = |change: &Change, name: &str, up: bool| matches!(change, Change::Link(link) if link.index == index && link.name == name && link.up == up);
    host.ip("link set up dev", "v0");
    host.ip("link set up dev", "far");
    wait_for(&mut monitor, |change| is(change, "v0", true));
    host.ip("link set down dev", "far");
    wait_for(&mut monitor, |change| is(change, "v0", false));
    host.ip("link set up dev", "far");
    wait_for(&mut monitor, |change| is(change, "v0", true));
    host.ip("link set down dev", "v0");
    wait_for(&mut monitor, |change| is(change, "v0", false));
    host.ip("link set v0 name", "w0");
    wait_for(&mut monitor, |change| is(change, "w0", false));
    host.ip("link delete", "w0");
    let gone = Change::LinkGone { index, name: "w0".into() };
    wait_for(&mut monitor, |change| *change == gone);
}

#[test]
fn a_link_that_leaves_a_bridge_is_not_reported_as_gone() {
    let host = Host::single();
    host.ip("link add b0 type", "bridge");
    host.ip("link set v0 master", "b0");
    let mut monitor = host.monitor();
    host.ip("link set nomaster dev", "v0");
    host.ip("link delete", "b0");
    let changes = wait_for(&mut monitor, |change| matches!(change, Change::LinkGone { .. }));
    let gone: Vec<_> = changes.iter().filter(|change| matches!(change, Change::LinkGone { .. })).collect();
    assert!(matches!(gone[..], [Change::LinkGone { name, .. }] if name == "b0"), "{gone:?}");
}

#[test]
fn a_monitor_that_fell_behind_reports_it_and_continues() {
    let host = Host::single();
    let (mut monitor, mut netlink) = (host.monitor(), host.netlink());
    let assignment = assignment(&host, VIP, 32, None);
    let mut come_and_go = || {
        netlink.add(&assignment).unwrap();
        netlink.remove(assignment.index, assignment.address, assignment.prefix).unwrap();
    };
    (0..5_000).for_each(|_| come_and_go());
    let changes = monitor.read().unwrap();
    assert_eq!(changes.iter().filter(|change| **change == Change::Overrun).count(), 1);
    come_and_go();
    assert!(matches!(monitor.read().unwrap()[..], [Change::AddressGone(_)]));
}

#[test]
fn many_packets_leave_and_arrive_together_in_their_order_as_single_ones_do() {
    const COUNT: usize = 40;
    let (left, right) = Host::pair();
    let (sender, receiver) = (left.socket("v0"), right.socket("v0"));
    let (from, to) = (LEFT.into(), GROUP_V4.into());
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let payload = |n: usize| [&ADVERTISEMENT[20..], &vec![0; n][..]].concat();
    for n in 0..COUNT {
        sender.queue(&mut outbox, n, from, to, &payload(n)).unwrap();
    }
    assert_eq!(receiver.receive_all(&mut inbox).unwrap(), (vec![], false), "they wait");
    assert!(sender.flush(&mut outbox, to).is_empty() && outbox.is_empty());
    let mut lengths = vec![];
    while lengths.len() < COUNT {
        assert!(readable(&receiver, PATIENCE), "only {lengths:?}");
        let (packets, _) = receiver.receive_all(&mut inbox).unwrap();
        for packet in packets {
            let Received::Datagram(datagram) = packet else { panic!("{packet:?}") };
            assert_eq!((datagram.from, datagram.to, datagram.ttl), (from, to, 255));
            lengths.push(datagram.payload.len() + 20 - ADVERTISEMENT.len());
        }
    }
    assert_eq!(lengths, (0..COUNT).collect::<Vec<_>>());
    assert_eq!(receiver.receive_all(&mut inbox).unwrap(), (vec![], false));
    // Each packet that cannot be sent is reported with its sender.
    left.ip("link set down dev", "v0");
    for n in 0..3 {
        sender.queue(&mut outbox, n, from, to, &payload(0)).unwrap();
    }
    let failed: Vec<_> =
        sender.flush(&mut outbox, to).into_iter().map(|(n, e)| (n, e.source.kind())).collect();
    assert_eq!(failed, [0, 1, 2].map(|n| (n, io::ErrorKind::NetworkUnreachable)));
    assert!(outbox.is_empty());
}

#[test]
fn an_advertisement_leaves_octet_for_octet_as_keepalived_sends_it() {
    let (left, right) = Host::pair();
    let (sender, receiver) = (left.socket("v0"), right.socket("v0"));
    let mut packet = [0; BUFFER];
    for identification in [1, 2] {
        sender.send_v4(LEFT, GROUP_V4, &ADVERTISEMENT[20..]).unwrap();
        assert!(readable(&receiver, PATIENCE));
        let length = recv(receiver.as_fd().as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
        let mut expected = ADVERTISEMENT;
        expected[5] = identification;
        // One more there is one less in the checksum.
        expected[11] -= identification - 1;
        assert_eq!(packet[..length], expected);
    }
    sender.send_v4(LEFT, GROUP_V4, &ADVERTISEMENT[20..]).unwrap();
    assert!(readable(&receiver, PATIENCE));
    let expected =
        Datagram { from: LEFT.into(), to: GROUP_V4.into(), ttl: 255, payload: &ADVERTISEMENT[20..] };
    assert_eq!(receiver.receive(&mut packet).unwrap(), Some(Received::Datagram(expected)));
    assert_eq!(receiver.receive(&mut packet).unwrap(), None);
    assert!(!readable(&sender, SILENCE), "the sender must not hear itself");
}

#[test]
fn unicast_other_interfaces_and_other_groups_are_not_received() {
    let (left, right) = Host::pair();
    right.ip("link add x0 type veth peer name", "x1");
    right.ip("link set up dev", "x0");
    right.ip("link set up dev", "x1");
    right.wait_for_carrier("x0");
    let (receiver, elsewhere) = (right.socket("v0"), right.socket("x1"));
    let (sender, beside) = (left.socket("v0"), right.socket("x0"));
    sender.send_v4(LEFT, RIGHT, b"unicast").unwrap();
    sender.send_v4(LEFT, Ipv4Addr::new(224, 0, 0, 1), b"all hosts").unwrap();
    beside.send_v4(LEFT, GROUP_V4, b"beside").unwrap();
    sender.send_v4(LEFT, GROUP_V4, b"wanted").unwrap();

    let mut buffer = [0; BUFFER];
    for (socket, wanted) in [(&receiver, &b"wanted"[..]), (&elsewhere, b"beside")] {
        assert!(readable(socket, PATIENCE), "{} did not arrive", String::from_utf8_lossy(wanted));
        let got = socket.receive(&mut buffer).unwrap();
        assert!(matches!(got, Some(Received::Datagram(packet)) if packet.payload == wanted), "{got:?}");
        assert!(!readable(socket, SILENCE), "{:?}", socket.receive(&mut buffer));
    }
}

#[test]
fn options_and_oversize_are_faults_that_name_the_sender() {
    let (left, right) = Host::pair();
    left.ip("link set v0 mtu", "65535");
    right.ip("link set v0 mtu", "65535");
    let (sender, receiver) = (left.socket("v0"), right.socket("v0"));
    let expect = |fault| {
        assert!(readable(&receiver, PATIENCE), "no packet for {fault:?}");
        let mut buffer = [0; BUFFER];
        let got = receiver.receive(&mut buffer).unwrap();
        assert_eq!(got, Some(Received::Faulty { from: LEFT.into(), fault }));
    };

    sender.send_v4(LEFT, GROUP_V4, &vec![0; 65_515]).unwrap();
    expect(HeaderFault::TooLong);

    let mut packet = ADVERTISEMENT.to_vec();
    packet[0] = 0x46;
    packet.splice(20..20, [1, 1, 1, 0]);
    let raw = left.run(|| {
        let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(255.into())).unwrap();
        raw.bind_device(Some(b"v0")).unwrap();
        raw
    });
    raw.send_to(&packet, &SocketAddrV4::new(GROUP_V4, 0).into()).unwrap();
    expect(HeaderFault::Options);

    let error = sender.send_v4(LEFT, GROUP_V4, &vec![0; 65_516]).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput);
}

/// The message of [`ADVERTISEMENT`]. Over IPv6 its checksum is wrong, but the socket does not check it.
const MESSAGE: &[u8] = ADVERTISEMENT.split_at(20).1;

#[test]
fn an_ipv6_advertisement_leaves_from_the_source_given_and_with_its_own_checksum() {
    let (left, right) = Host::pair_v6();
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
    left.ip("address add", &format!("{other}/64 dev v0 nodad"));
    let (sender, receiver) = (left.socket_v6("v0"), right.socket_v6("v0"));
    for from in [LEFT_V6, other] {
        sender.send_v6(from, GROUP_V6, MESSAGE).unwrap();
        expect(&receiver, from, GROUP_V6, MESSAGE);
    }
    expect_nothing(&receiver);
    expect_nothing(&sender);
    receiver.send(RIGHT_V6.into(), GROUP_V6.into(), MESSAGE).unwrap();
    expect(&sender, RIGHT_V6, GROUP_V6, MESSAGE);
}

#[test]
fn an_ipv6_advertisement_is_on_the_wire_octet_for_octet() {
    let (left, right) = Host::pair_v6();
    let heard = right.wire();
    left.socket_v6("v0").send_v6(LEFT_V6, GROUP_V6, MESSAGE).unwrap();
    let mut expected = vec![0x33, 0x33, 0, 0, 0, 0x12];
    expected.extend(LEFT_MAC);
    expected.extend([0x86, 0xdd, 0x6c, 0, 0, 0, 0, 20, 112, 255]);
    expected.extend(LEFT_V6.octets());
    expected.extend(GROUP_V6.octets());
    expected.extend(MESSAGE);
    assert_eq!(frame(&heard, |frame| frame[..6] == expected[..6]), expected);
}

#[test]
fn over_ipv6_unicast_other_interfaces_and_other_groups_are_not_received() {
    let (left, right) = Host::pair_v6();
    right.ip("link add x0 type veth peer name", "x1");
    right.ip("link set up dev", "x0");
    right.ip("link set up dev", "x1");
    right.wait_for_carrier("x0");
    right.ip("address add", "fe80::3/64 dev x0 nodad");
    let (receiver, elsewhere) = (right.socket_v6("v0"), right.socket_v6("x1"));
    let (sender, beside) = (left.socket_v6("v0"), right.socket_v6("x0"));
    sender.send_v6(LEFT_V6, RIGHT_V6, b"unicast").unwrap();
    sender.send_v6(LEFT_V6, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), b"all nodes").unwrap();
    beside.send_v6(LEFT_V6, GROUP_V6, b"beside").unwrap();
    sender.send_v6(LEFT_V6, GROUP_V6, b"wanted").unwrap();
    expect(&receiver, LEFT_V6, GROUP_V6, b"wanted");
    expect(&elsewhere, LEFT_V6, GROUP_V6, b"beside");
    expect_nothing(&receiver);
    expect_nothing(&elsewhere);
}

#[test]
fn the_received_hop_limit_is_reported_and_oversize_is_a_fault() {
    let (left, right) = Host::pair_v6();
    left.ip("link set v0 mtu", "65535");
    right.ip("link set v0 mtu", "65535");
    let (receiver, index) = (right.socket_v6("v0"), left.index("v0"));
    let raw = left.run(|| {
        let raw = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, Some(112.into())).unwrap();
        raw.bind_device(Some(b"v0")).unwrap();
        raw.set_multicast_hops_v6(254).unwrap();
        raw.bind(&SocketAddrV6::new(LEFT_V6, 0, 0, index).into()).unwrap();
        raw
    });
    raw.send_to(MESSAGE, &SocketAddrV6::new(GROUP_V6, 0, 0, index).into()).unwrap();
    assert!(readable(&receiver, PATIENCE));
    let mut buffer = [0; BUFFER];
    let expected = Datagram { from: LEFT_V6.into(), to: GROUP_V6.into(), ttl: 254, payload: MESSAGE };
    assert_eq!(receiver.receive(&mut buffer).unwrap(), Some(Received::Datagram(expected)));

    let sender = left.socket_v6("v0");
    let longest = vec![7; 8 + 255 * 16];
    sender.send_v6(LEFT_V6, GROUP_V6, &longest).unwrap();
    expect(&receiver, LEFT_V6, GROUP_V6, &longest);
    sender.send_v6(LEFT_V6, GROUP_V6, &[7; BUFFER + 1]).unwrap();
    assert!(readable(&receiver, PATIENCE));
    let expected = Received::Faulty { from: LEFT_V6.into(), fault: HeaderFault::TooLong };
    assert_eq!(receiver.receive(&mut buffer).unwrap(), Some(expected));
    let error = sender.send_v6(LEFT_V6, GROUP_V6, &vec![0; 65_536]).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn an_ipv6_socket_opens_before_any_address_is_ready_and_sends_once_one_is() {
    let (left, right) = Host::pair_v6();
    left.ip("-6 address flush dev", "v0");
    let (sender, receiver) = (left.socket_v6("v0"), right.socket_v6("v0"));
    let error = sender.send_v6(LEFT_V6, GROUP_V6, b"early").unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AddrNotAvailable, "{error}");
    left.ip("address add", "fe80::1/64 dev v0 nodad");
    sender.send_v6(LEFT_V6, GROUP_V6, b"ready").unwrap();
    expect(&receiver, LEFT_V6, GROUP_V6, b"ready");
}

#[test]
fn addresses_of_the_wrong_family_are_an_error() {
    let (left, _right) = Host::pair_v6();
    let (v4, v6) = (left.socket("v0"), left.socket_v6("v0"));
    for error in [
        v4.send(LEFT.into(), GROUP_V6.into(), MESSAGE).unwrap_err(),
        v4.send(LEFT_V6.into(), GROUP_V6.into(), MESSAGE).unwrap_err(),
        v6.send(LEFT.into(), GROUP_V4.into(), MESSAGE).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("cannot send VRRP from "), "{error}");
    }
}

/// OP-01.
#[test]
fn unicast_works_both_ways_and_receives_only_for_its_own_address() {
    let (left, right) = Host::pair_v6();
    let pairs: [(IpAddr, IpAddr, IpAddr); 3] = [
        (LEFT.into(), RIGHT.into(), GROUP_V4.into()),
        (LEFT_V6.into(), RIGHT_V6.into(), GROUP_V6.into()),
        (LEFT_GLOBAL.into(), RIGHT_GLOBAL.into(), GROUP_V6.into()),
    ];
    let sockets = pairs.map(|(here, there, _)| (left.unicast(here), right.unicast(there)));
    for ((here, there, group), (ours, theirs)) in pairs.iter().zip(&sockets) {
        ours.send(*here, *there, MESSAGE).unwrap();
        expect(theirs, *here, *there, MESSAGE);
        theirs.send(*there, *here, MESSAGE).unwrap();
        expect(ours, *there, *here, MESSAGE);
        ours.send(*here, *group, b"to the group").unwrap();
    }
    for (ours, theirs) in &sockets {
        expect_nothing(ours);
        expect_nothing(theirs);
    }
}

#[test]
fn a_unicast_socket_can_be_opened_before_its_address_exists() {
    let (left, right) = Host::pair_v6();
    let late: [(IpAddr, IpAddr); 2] = [
        (LEFT.into(), Ipv4Addr::new(10, 9, 0, 77).into()),
        (LEFT_GLOBAL.into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x77).into()),
    ];
    for (here, there) in late {
        let (ours, theirs) = (left.unicast(here), right.unicast(there));
        expect_nothing(&theirs);
        let subnet = if there.is_ipv4() { "24 dev v0" } else { "64 dev v0 nodad" };
        right.ip("address add", &format!("{there}/{subnet}"));
        send_until_heard(&ours, &theirs, here, there);
        expect(&theirs, here, there, MESSAGE);
    }
}

#[test]
fn unicast_reaches_a_peer_behind_a_router_by_the_interfaces_routes() {
    let (left, right) = Host::pair_v6();
    let far: [(IpAddr, IpAddr, &str); 2] = [
        (LEFT.into(), Ipv4Addr::new(10, 8, 0, 1).into(), "10.8.0.0/24 via 10.9.0.2"),
        (LEFT_GLOBAL.into(), Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 1).into(), "fd08::/64 via fd00::2"),
    ];
    for (here, there, route) in far {
        let nodad = if there.is_ipv4() { "" } else { " nodad" };
        right.ip("address add", &format!("{there} dev v0{nodad}"));
        let (ours, theirs) = (left.unicast(here), right.unicast(there));
        left.ip("route add", &format!("{route} dev v0"));
        send_until_heard(&ours, &theirs, here, there);
        expect(&theirs, here, there, MESSAGE);
    }
}

/// OP-01: ICMP errors about a peer are harmless.
#[test]
fn a_peer_that_is_gone_or_does_not_listen_disturbs_nothing() {
    let (left, right) = Host::pair_v6();
    let pairs: [(IpAddr, IpAddr, IpAddr); 2] = [
        (LEFT.into(), Ipv4Addr::new(10, 9, 0, 99).into(), RIGHT.into()),
        (LEFT_GLOBAL.into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x99).into(), RIGHT_GLOBAL.into()),
    ];
    for cache in ["arp_cache", "ndisc_cache"] {
        left.ip("ntable change dev v0 retrans 50 name", cache);
    }
    let heard = left.wire();
    for (here, absent, closed) in pairs {
        let ours = left.unicast(here);
        ours.send(here, closed, MESSAGE).unwrap();
        // The peer's kernel answers with ICMP: no program receives protocol 112.
        frame(&heard, |frame| match frame[12..14] {
            [0x08, 0x00] => frame[23] == 1 && frame[34..36] == [3, 2],
            [0x86, 0xdd] => frame[20] == 58 && frame[54..56] == [4, 1],
            _ => false,
        });
        // One starts address resolution, one finds that it failed.
        let mut state = String::new();
        for _ in 0..20 {
            ours.send(here, absent, MESSAGE).unwrap();
            expect_nothing(&ours);
            state = left.ip("neighbor show dev v0 to", &absent.to_string());
            if state.contains("FAILED") {
                break;
            }
        }
        assert!(state.contains("FAILED"), "{state}");
        ours.send(here, absent, MESSAGE).unwrap();
        expect_nothing(&ours);
        let theirs = right.unicast(closed);
        ours.send(here, closed, b"at last").unwrap();
        expect(&theirs, here, closed, b"at last");
    }
}

#[test]
fn a_peer_without_a_route_is_unreachable_until_there_is_one() {
    let (left, right) = Host::pair_v6();
    let (here, there) = (LEFT_GLOBAL, Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 1));
    right.ip("address add", "fd08::1 dev v0 nodad");
    let (ours, theirs) = (left.unicast(here), right.unicast(there));
    let error = ours.send_v6(here, there, MESSAGE).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
    left.ip("route add fd08::/64 via fd00::2 dev", "v0");
    // The first may be lost during the gateway's address resolution.
    let arrives = |_| {
        ours.send_v6(here, there, MESSAGE).unwrap();
        readable(&theirs, 300)
    };
    assert!((0..10).any(arrives), "nothing arrived through the gateway");
    expect(&theirs, here, there, MESSAGE);
}

#[test]
fn sending_on_a_link_that_is_down_or_gone_is_an_error_that_distinguishes_them() {
    let (left, _right) = Host::pair();
    let sender = left.socket("v0");
    left.ip("link set down dev", "v0");
    let error = sender.send_v4(LEFT, GROUP_V4, b"down").unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
    assert!(error.to_string().starts_with("cannot send VRRP from 10.9.0.1 to 224.0.0.18 on v0: "), "{error}");
    left.ip("link delete", "v0");
    let error = sender.send_v4(LEFT, GROUP_V4, b"gone").unwrap_err();
    assert_eq!(error.source.raw_os_error(), Some(Errno::ENODEV as i32), "{error}");
    assert_eq!(sender.receive(&mut [0; BUFFER]).unwrap(), None);
}

#[test]
fn sockets_on_an_interface_that_is_missing_or_not_ethernet_are_refused_by_name() {
    let host = Host::new();
    for error in [
        host.run(|| Socket::open_v4("none0", 77)).map(drop).unwrap_err(),
        host.run(|| Socket::open_v6("none0", 77)).map(drop).unwrap_err(),
        host.run(|| Socket::open_unicast(Some("none0"), LEFT.into())).map(drop).unwrap_err(),
        host.run(|| Announcer::open("none0")).map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().contains("on none0: "), "{error}");
        assert_eq!(error.source.raw_os_error(), Some(Errno::ENODEV as i32), "{error}");
    }
    let error = host.run(|| Announcer::open("lo")).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cannot open a packet socket on lo: it is not an Ethernet interface");
}

impl Host {
    /// Receives every frame that arrives or leaves here.
    fn wire(&self) -> OwnedFd {
        let every = SockProtocol::EthAll;
        self.run(|| socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, every)).unwrap()
    }
}

/// The next frame that is `wanted`.
fn frame(heard: &OwnedFd, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut frame = vec![0; 2048];
    loop {
        assert!(readable(heard, PATIENCE), "the frame did not arrive");
        let length = recv(heard.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap();
        if length >= 60 && wanted(&frame[..length]) {
            frame.truncate(length);
            return frame;
        }
    }
}

#[test]
fn an_announcement_is_sent_in_both_forms_and_updates_a_neighbor_entry() {
    let (left, right) = Host::pair();
    right.ip("neighbor replace 10.9.0.100 lladdr 02:00:00:00:00:99 nud stale dev", "v0");
    let heard = right.wire();
    left.run(|| Announcer::open("v0")).unwrap().announce_v4(VIP).unwrap();

    let mut announced = Vec::new();
    while announced.len() < 2 {
        assert!(readable(&heard, PATIENCE), "heard only {announced:02x?}");
        let mut frame = [0; 2048];
        let length = recv(heard.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap();
        if frame[12..14] == [0x08, 0x06] && frame[6..12] == LEFT_MAC {
            announced.push(frame[..length].to_vec());
        }
    }
    assert_eq!(announced[0], gratuitous_arp(LEFT_MAC, VIP, Form::Request));
    assert_eq!(announced[1], gratuitous_arp(LEFT_MAC, VIP, Form::Reply));
    let neighbor = right.ip("neighbor show dev v0 to", "10.9.0.100");
    assert!(neighbor.contains("02:00:00:00:00:01"), "{neighbor}");
}

#[test]
fn a_neighbor_advertisement_updates_a_neighbor_entry_and_its_router_flag() {
    let (left, right) = Host::pair_v6();
    let vip = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
    let here = left.run(|| Announcer::open("v0")).unwrap();
    let heard = right.wire();
    for router in [true, false] {
        right.ip("neighbor replace lladdr 02:00:00:00:00:99 nud stale dev v0 to", &vip.to_string());
        here.announce_v6(vip, router).unwrap();
        let announced =
            frame(&heard, |frame| frame[6..12] == LEFT_MAC && frame[20] == 58 && frame[54] == 136);
        assert_eq!(announced, neighbor_advertisement(LEFT_MAC, vip, router));
        let neighbor = right.ip("neighbor show dev v0 to", &vip.to_string());
        assert!(neighbor.contains("lladdr 02:00:00:00:00:01"), "{neighbor}");
        assert_eq!(neighbor.contains("router"), router, "{neighbor}");
    }
}

#[test]
fn the_default_route_is_that_of_the_callers_namespace() {
    let host = Host::single();
    let routes = || {
        host.run(|| {
            (default_route_interface(Family::V4, &|_| true), default_route_interface(Family::V6, &|_| true))
        })
    };
    assert_eq!(routes(), (None, None));
    host.ip("address add 10.9.0.1/24 dev", "v0");
    host.ip("link set up dev", "v0");
    host.ip("link set up dev", "far");
    host.ip("route add default via 10.9.0.2 dev", "v0");
    host.ip("-6 route add default dev", "far");
    assert_eq!(routes(), (Some("v0".into()), Some("far".into())));
}

#[test]
fn without_capabilities_each_refusal_names_them() {
    if inside().is_some() {
        return refusals();
    }
    let without = ["setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw"];
    let text = Host::single()
        .run(|| rerun(without_capabilities_each_refusal_names_them, &without, "without capabilities"));
    assert!(text.contains("3 refusals"), "the child without capabilities ran no test: {text}");
}

fn refusals() {
    let index = if_nametoindex("v0").unwrap();
    let assignment = Assignment { index, address: VIP.into(), prefix: 32, label: None, lifetime: None };
    let errors = [
        Netlink::open().unwrap().add(&assignment).unwrap_err(),
        Socket::open_v4("v0", index).map(drop).unwrap_err(),
        Announcer::open("v0").map(drop).unwrap_err(),
    ];
    for error in &errors {
        assert!(error.is_permission(), "{error}");
        assert!(error.to_string().contains("cap_add: [NET_ADMIN, NET_RAW]"), "{error}");
    }
    assert!(errors[0].to_string().starts_with("cannot add address 10.9.0.100/32 on v0: "), "{}", errors[0]);
    println!("{} refusals", errors.len());
}

/// The kernel takes milliseconds to close a packet socket.
#[test]
fn nobody_waits_for_an_announcer_to_be_closed() {
    let clock = Clock::start().unwrap();
    let (left, _right) = Host::pair();
    let times: Vec<_> = (0..5)
        .map(|_| {
            let announcer = left.run(|| Announcer::open("v0")).unwrap();
            let dropped = clock.now();
            drop(announcer);
            clock.now().since(dropped)
        })
        .collect();
    println!("{times:?}");
    assert!(times.iter().any(|time| *time < Duration::from_millis(2)), "{times:?}");
}
