//! Announces the new location of an address to the neighbors, by gratuitous ARP or unsolicited neighbor advertisement, and
//! asks who else has it. Does not know why it moved.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};
use pnet::packet::arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet::packet::icmpv6::ndp::{
    MutableNdpOptionPacket, MutableNeighborAdvertPacket, NdpOptionType, NdpOptionTypes, NeighborAdvertFlags,
};
use pnet::packet::icmpv6::{Icmpv6Packet, Icmpv6Type, Icmpv6Types, checksum};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet_base::MacAddr;

use super::Error;
use super::packet_socket::PacketSocket;

/// An Ethernet header and an ARP packet. The driver adds padding.
const ARP_FRAME: usize = 42;
/// Ethernet, IPv6, a neighbor advertisement or solicitation and its only option.
const ND_FRAME: usize = ETHERNET_HEADER + IPV6_HEADER + ND_HEADER + OPTION;
const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const ND_HEADER: usize = 24;
const OPTION: usize = 8;
const ARPHRD_ETHER: u16 = 1;

/// The group of all IPv6 nodes on the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The Ethernet address of the VRRP group 224.0.0.18 (RFC 1112 §6.4): the network interfaces of other hosts drop frames to
/// it, and no bridge keeps them from a router.
const VRRP_GROUP_MAC: MacAddr = MacAddr(0x01, 0, 0x5e, 0, 0, 0x12);

/// The two forms of gratuitous ARP. Either updates a cache (RFC 5227 §3), but some systems accept only one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An ARP request: "Who has `address`? Tell `address`."
    Request,
    /// An ARP reply: "`address` is at `mac`."
    Reply,
}

/// An Ethernet broadcast announcing that `address` is at `mac`.
pub fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr, form: Form) -> [u8; ARP_FRAME] {
    let operation = match form {
        Form::Request => ArpOperations::Request,
        Form::Reply => ArpOperations::Reply,
    };
    arp(mac.into(), MacAddr::broadcast(), address, operation, address)
}

/// An ARP probe (RFC 5227 §1.1) to the VRRP routers on the link, or to the host that is `to`: "Who has `address`?" A host
/// that has it answers to `mac` alone.
pub fn arp_probe(mac: [u8; 6], to: Option<[u8; 6]>, address: Ipv4Addr) -> [u8; ARP_FRAME] {
    let to = to.map_or(VRRP_GROUP_MAC, MacAddr::from);
    arp(mac.into(), to, Ipv4Addr::UNSPECIFIED, ArpOperations::Request, address)
}

fn arp(
    from: MacAddr,
    to: MacAddr,
    sender: Ipv4Addr,
    operation: ArpOperation,
    target: Ipv4Addr,
) -> [u8; ARP_FRAME] {
    let mut frame = [0; ARP_FRAME];
    let (head, body) = frame.split_at_mut(ETHERNET_HEADER);
    ethernet(head, to, from, EtherTypes::Arp);

    let mut arp = MutableArpPacket::new(body).expect("28 octets hold an ARP packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(operation);
    arp.set_sender_hw_addr(from);
    arp.set_sender_proto_addr(sender);
    arp.set_target_hw_addr(if sender.is_unspecified() { MacAddr::zero() } else { to });
    arp.set_target_proto_addr(target);
    frame
}

/// An Ethernet multicast announcing to all nodes that `address` is at `mac`. It is unsolicited and overrides their entries.
/// `router` is the value of the Router flag: RFC 9568 §6.4.2 wants it set, but RFC 4861 §7.2.4 wants it to be true.
pub fn neighbor_advertisement(mac: [u8; 6], address: Ipv6Addr, router: bool) -> [u8; ND_FRAME] {
    let role = if router { NeighborAdvertFlags::Router } else { 0 };
    let kind = (Icmpv6Types::NeighborAdvert, NeighborAdvertFlags::Override | role);
    discovery(mac, (address, ALL_NODES), kind, address, NdpOptionTypes::TargetLLAddr)
}

/// A neighbor solicitation to the hosts that have `address` (RFC 4861 §4.3). They answer to `source` alone: it is not for
/// duplicate address detection, whose answer goes to all nodes.
pub fn neighbor_solicitation(mac: [u8; 6], source: Ipv6Addr, address: Ipv6Addr) -> [u8; ND_FRAME] {
    let [.., a, b, c] = address.octets();
    // The solicited-node group (RFC 4291 §2.7.1).
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let kind = (Icmpv6Types::NeighborSolicit, 0);
    discovery(mac, (source, group), kind, address, NdpOptionTypes::SourceLLAddr)
}

/// An advertisement or a solicitation: they have the same fields, but a solicitation has no flags.
fn discovery(
    mac: [u8; 6],
    (from, to): (Ipv6Addr, Ipv6Addr),
    (kind, flags): (Icmpv6Type, u8),
    target: Ipv6Addr,
    link_layer_address: NdpOptionType,
) -> [u8; ND_FRAME] {
    let mut frame = [0; ND_FRAME];
    let (head, rest) = frame.split_at_mut(ETHERNET_HEADER);
    let [.., a, b, c, d] = to.octets();
    // RFC 2464 §7.
    ethernet(head, MacAddr(0x33, 0x33, a, b, c, d), mac.into(), EtherTypes::Ipv6);

    let (head, body) = rest.split_at_mut(IPV6_HEADER);
    let mut ip = MutableIpv6Packet::new(head).expect("40 octets hold an IPv6 header");
    ip.set_version(6);
    ip.set_payload_length(32);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(255);
    ip.set_source(from);
    ip.set_destination(to);

    let mut option = MutableNdpOptionPacket::new(&mut body[ND_HEADER..]).expect("8 octets hold an option");
    option.set_option_type(link_layer_address);
    option.set_length(1);
    option.set_data(&mac);

    let mut message =
        MutableNeighborAdvertPacket::new(body).expect("32 octets hold a neighbor advertisement");
    message.set_icmpv6_type(kind);
    message.set_flags(flags);
    message.set_target_addr(target);
    let whole = Icmpv6Packet::new(body).expect("32 octets hold an ICMPv6 packet");
    let sum = checksum(&whole, &from, &to);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn ethernet(header: &mut [u8], to: MacAddr, from: MacAddr, kind: EtherType) {
    let mut ethernet = MutableEthernetPacket::new(header).expect("14 octets hold an Ethernet header");
    ethernet.set_destination(to);
    ethernet.set_source(from);
    ethernet.set_ethertype(kind);
}

/// A packet socket for announcements on one interface. Never blocks and receives nothing.
///
/// It keeps the index and the hardware address that the interface had at opening. Open a new one if either changes.
#[derive(Debug)]
pub struct Announcer {
    socket: PacketSocket,
    mac: [u8; 6],
    interface: String,
}

impl Announcer {
    /// Opens the socket. Needs `NET_RAW` and an Ethernet interface.
    ///
    /// # Errors
    /// The capability is missing, or the interface does not exist or is not Ethernet.
    pub fn open(interface: &str) -> Result<Self, Error> {
        let (socket, mac) =
            packet_socket(interface).map_err(Error::doing("open a packet socket on", interface))?;
        Ok(Self { socket, mac, interface: interface.to_owned() })
    }

    /// The hardware address in the announcements.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Announces `address` by gratuitous ARP in both forms.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn announce_v4(&self, address: Ipv4Addr) -> Result<(), Error> {
        for form in [Form::Request, Form::Reply] {
            self.send(address.into(), &gratuitous_arp(self.mac, address, form))?;
        }
        Ok(())
    }

    /// Announces `address` by a neighbor advertisement. `router`: whether this host forwards IPv6.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn announce_v6(&self, address: Ipv6Addr, router: bool) -> Result<(), Error> {
        self.send(address.into(), &neighbor_advertisement(self.mac, address, router))
    }

    /// Asks the VRRP routers on the link whether they have `address`. `source`: an address of ours, of the same family. `to`:
    /// the hardware address of the only host to ask, or that of all, over IPv4; over IPv6 all that have it are asked.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn solicit(&self, source: IpAddr, address: IpAddr, to: Option<[u8; 6]>) -> Result<(), Error> {
        match (source, address) {
            (IpAddr::V4(_), IpAddr::V4(v4)) => self.send(address, &arp_probe(self.mac, to, v4)),
            (IpAddr::V6(source), IpAddr::V6(v6)) => {
                self.send(address, &neighbor_solicitation(self.mac, source, v6))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Ok(()),
        }
    }

    fn send(&self, address: IpAddr, frame: &[u8]) -> Result<(), Error> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())
            .map_err(Error::doing("announce", format_args!("{address} on {}", self.interface)))?;
        Ok(())
    }
}

fn packet_socket(interface: &str) -> io::Result<(PacketSocket, [u8; 6])> {
    let (link, mac) = link(interface)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol, here and in `link`, the kernel queues no packets for the socket.
    let socket = PacketSocket::from(socket(AddressFamily::Packet, SockType::Raw, flags, None)?);
    bind(socket.as_raw_fd(), &link)?;
    Ok((socket, mac))
}

/// The address of a packet socket on the interface.
pub(super) fn link_address(interface: &str) -> io::Result<LinkAddr> {
    let mut entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    Ok(entries.find_map(|entry| entry.address?.as_link_addr().copied()).ok_or(Errno::ENODEV)?)
}

pub(super) fn link(interface: &str) -> io::Result<(LinkAddr, [u8; 6])> {
    let link = link_address(interface)?;
    match link.addr() {
        Some(mac) if link.hatype() == ARPHRD_ETHER && link.halen() == mac.len() => Ok((link, mac)),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is not an Ethernet interface")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn the_request_form_asks_for_our_own_address() {
        #[rustfmt::skip]
        assert_eq!(gratuitous_arp(MAC, ADDRESS, Form::Request), [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,     // broadcast
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b,     // from us
            0x08, 0x06,                             // ARP
            0x00, 0x01, 0x08, 0x00, 6, 4,           // Ethernet, IPv4 and their lengths
            0x00, 0x01,                             // request
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b, 10, 0, 0, 2,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 2,
        ]);
    }

    #[test]
    fn the_reply_form_differs_only_in_the_operation() {
        let (request, reply) =
            (gratuitous_arp(MAC, ADDRESS, Form::Request), gratuitous_arp(MAC, ADDRESS, Form::Reply));
        let differing: Vec<usize> = (0..ARP_FRAME).filter(|at| request[*at] != reply[*at]).collect();
        assert_eq!(differing, [21]);
        assert_eq!(reply[20..22], [0, 2]);
    }

    const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);

    #[test]
    fn the_neighbor_advertisement_tells_all_nodes_and_overrides() {
        #[rustfmt::skip]
        assert_eq!(neighbor_advertisement(MAC, ADDRESS_V6, true), [
            0x33, 0x33, 0x00, 0x00, 0x00, 0x01,     // to all nodes
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b,     // from us
            0x86, 0xdd,                             // IPv6
            0x60, 0x00, 0x00, 0x00,  0x00, 0x20,  0x3a, 0xff, // 32 octets of ICMPv6, hop limit 255
            0xfd, 0x00, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0x01, 0x00,
            0xff, 0x02, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0x00, 0x01,
            0x88, 0x00,  0xce, 0x50,  0xa0, 0, 0, 0, // advertisement; router, override
            0xfd, 0x00, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0x01, 0x00,
            0x02, 0x01,  0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b, // target link-layer address
        ]);
    }

    #[test]
    fn a_probe_asks_the_vrrp_routers_and_names_no_sender() {
        #[rustfmt::skip]
        assert_eq!(arp_probe(MAC, None, ADDRESS), [
            0x01, 0x00, 0x5e, 0x00, 0x00, 0x12,     // to the group
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b,     // from us
            0x08, 0x06,                             // ARP
            0x00, 0x01, 0x08, 0x00, 6, 4,           // Ethernet, IPv4 and their lengths
            0x00, 0x01,                             // request
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
        ]);
        let to_one = arp_probe(MAC, Some([2; 6]), ADDRESS);
        assert_eq!((&to_one[..6], &to_one[6..]), (&[2; 6][..], &arp_probe(MAC, None, ADDRESS)[6..]));
    }

    #[test]
    fn a_solicitation_asks_the_holders_of_the_address() {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
        #[rustfmt::skip]
        assert_eq!(neighbor_solicitation(MAC, source, ADDRESS_V6), [
            0x33, 0x33, 0xff, 0x00, 0x01, 0x00,     // to the solicited-node group
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b,     // from us
            0x86, 0xdd,                             // IPv6
            0x60, 0x00, 0x00, 0x00,  0x00, 0x20,  0x3a, 0xff, // 32 octets of ICMPv6, hop limit 255
            0xfe, 0x80, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0x00, 0x0b,
            0xff, 0x02, 0, 0, 0, 0, 0, 0,  0, 0, 0, 1, 0xff, 0x00, 0x01, 0x00,
            0x87, 0x00,  0x6f, 0xc5,  0, 0, 0, 0,   // solicitation
            0xfd, 0x00, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0x01, 0x00,
            0x01, 0x01,  0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b, // source link-layer address
        ]);
    }

    #[test]
    fn a_host_differs_in_the_router_flag_and_the_checksum() {
        let [router, host] = [true, false].map(|router| neighbor_advertisement(MAC, ADDRESS_V6, router));
        let differing: Vec<usize> = (0..ND_FRAME).filter(|at| router[*at] != host[*at]).collect();
        assert_eq!(differing, [56, 57, 58]);
        assert_eq!(host[56..59], [0x4e, 0x51, 0x20]);
    }
}
