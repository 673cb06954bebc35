//! Reads the IPv6 header fields of a received packet and writes the header of an advertisement. Knows no socket, and of
//! VRRP only its constants.

use std::net::Ipv6Addr;

use nix::libc::{c_int, in6_pktinfo};
use nix::sys::socket::ControlMessageOwned;
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv6::MutableIpv6Packet;

use super::datagram::CONTROL;
use crate::vrrp::{PROTOCOL, TTL};

/// The length of a header without extension headers, in octets.
pub(super) const HEADER: usize = 40;

/// A buffer for the control messages that [`destination`] reads.
pub(super) fn control() -> Vec<u8> {
    nix::cmsg_space!(in6_pktinfo, c_int)
}

/// The destination address and the received hop limit, from the packet's control messages. If one is missing, the result
/// is the unspecified address or 0, which VRRP does not accept.
pub fn destination(messages: impl Iterator<Item = ControlMessageOwned>) -> (Ipv6Addr, u8) {
    let (mut to, mut hop_limit) = (Ipv6Addr::UNSPECIFIED, 0);
    for message in messages {
        if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
            to = info.ipi6_addr.s6_addr.into();
        } else if let ControlMessageOwned::Ipv6HopLimit(limit) = message {
            hop_limit = u8::try_from(limit).unwrap_or(0);
        }
    }
    (to, hop_limit)
}

/// The header of a packet whose VRRP message has `length` octets.
pub(super) fn header(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> [u8; HEADER] {
    let mut octets = [0; HEADER];
    let mut packet = MutableIpv6Packet::new(&mut octets).expect("40 octets hold an IPv6 header");
    packet.set_version(6);
    packet.set_traffic_class(CONTROL);
    packet.set_payload_length(length);
    packet.set_next_header(IpNextHeaderProtocol(PROTOCOL));
    packet.set_hop_limit(TTL);
    packet.set_source(from);
    packet.set_destination(to);
    octets
}

#[cfg(test)]
mod tests {
    use nix::libc::in6_addr;

    use super::*;
    use crate::vrrp::GROUP_V6;

    const FROM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);

    #[test]
    fn our_header_is_the_one_keepalived_sends_but_for_its_flow_label() {
        #[rustfmt::skip]
        assert_eq!(header(FROM, GROUP_V6, 40), [
            0x6c, 0x00, 0x00, 0x00,  0x00, 0x28,  0x70,  0xff,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0x05,
            0xff, 0x02, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0x12,
        ]);
    }

    #[test]
    fn destination_and_hop_limit_are_taken_in_any_order() {
        let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: GROUP_V6.octets() }, ipi6_ifindex: 3 };
        let messages = [ControlMessageOwned::Ipv6PacketInfo(info), ControlMessageOwned::Ipv6HopLimit(254)];
        assert_eq!(destination(messages.clone().into_iter()), (GROUP_V6, 254));
        assert_eq!(destination(messages.into_iter().rev()), (GROUP_V6, 254));
    }

    #[test]
    fn missing_control_messages_give_values_that_are_not_accepted() {
        assert_eq!(destination([].into_iter()), (Ipv6Addr::UNSPECIFIED, 0));
        let absurd = [ControlMessageOwned::Ipv6HopLimit(-1)];
        assert_eq!(destination(absurd.into_iter()), (Ipv6Addr::UNSPECIFIED, 0));
    }
}
