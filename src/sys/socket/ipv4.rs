//! Reads and writes the IPv4 header of an advertisement. Knows no socket, and of VRRP only its constants.

use std::net::Ipv4Addr;

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{Ipv4Flags, Ipv4Packet, MutableIpv4Packet};

use super::datagram::{CONTROL, Datagram};
use crate::vrrp::{PROTOCOL, TTL};

/// The length of a header without options, in octets.
pub const HEADER: usize = 20;

const WORD: usize = 4;

/// The fault in a packet's header, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderFault {
    #[error("the packet is shorter than an IPv4 header")]
    TooShort,
    #[error("the packet is not IPv4")]
    NotIpv4,
    #[error("the header length of the packet is below 20 octets or beyond its end")]
    HeaderLength,
    #[error("the packet is longer than any advertisement")]
    TooLong,
    #[error("the total length of the packet is not what arrived")]
    TotalLength,
    #[error("the packet carries IP options")]
    Options,
    #[error("the packet is a fragment")]
    Fragment,
}

/// Reads a packet. `truncated`: it was longer than the receive buffer, and `octets` is only its beginning.
///
/// # Errors
/// The first fault of its header.
pub fn parse(octets: &[u8], truncated: bool) -> Result<Datagram<'_>, HeaderFault> {
    let packet = Ipv4Packet::new(octets).ok_or(HeaderFault::TooShort)?;
    if packet.get_version() != 4 {
        return Err(HeaderFault::NotIpv4);
    }
    let header = usize::from(packet.get_header_length()) * WORD;
    if header < HEADER {
        return Err(HeaderFault::HeaderLength);
    }
    let payload = octets.get(header..).ok_or(HeaderFault::HeaderLength)?;
    if truncated {
        return Err(HeaderFault::TooLong);
    }
    if usize::from(packet.get_total_length()) != octets.len() {
        return Err(HeaderFault::TotalLength);
    }
    if header > HEADER {
        return Err(HeaderFault::Options);
    }
    if packet.get_flags() & Ipv4Flags::MoreFragments != 0 || packet.get_fragment_offset() != 0 {
        return Err(HeaderFault::Fragment);
    }
    let (from, to) = (packet.get_source().into(), packet.get_destination().into());
    Ok(Datagram { from, to, ttl: packet.get_ttl(), payload })
}

/// The header of a packet with a total length of `length` octets. The kernel fills in the checksum.
pub(super) fn header(id: u16, from: Ipv4Addr, to: Ipv4Addr, length: u16) -> [u8; HEADER] {
    let mut octets = [0; HEADER];
    let mut packet = MutableIpv4Packet::new(&mut octets).expect("20 octets hold an IPv4 header");
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_dscp(CONTROL >> 2);
    packet.set_total_length(length);
    packet.set_identification(id);
    packet.set_ttl(TTL);
    packet.set_next_level_protocol(IpNextHeaderProtocol(PROTOCOL));
    packet.set_source(from);
    packet.set_destination(to);
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    /// An advertisement as it goes over the wire: 20 octets of header, 20 of VRRP.
    #[rustfmt::skip]
    const PACKET: [u8; 40] = [
        0x45, 0xc0, 0x00, 0x28, 0x00, 0x01, 0x00, 0x00, 0xff, 0x70, 0xd0, 0x88,
        10, 9, 0, 1, 224, 0, 0, 18,
        0x21, 0x33, 0xfe, 0x01, 0x00, 0x01, 0xd6, 0x5c, 10, 9, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut packet = PACKET.to_vec();
        change(&mut packet);
        packet
    }

    #[test]
    fn a_plain_packet_gives_its_addresses_ttl_and_payload() {
        let expected = Datagram { from: FROM.into(), to: GROUP.into(), ttl: 255, payload: &PACKET[20..] };
        assert_eq!(parse(&PACKET, false), Ok(expected));
    }

    #[test]
    fn our_header_is_the_one_keepalived_sends_but_for_the_kernels_checksum() {
        let mut expected = PACKET[..HEADER].to_vec();
        expected[10..12].fill(0);
        assert_eq!(header(1, FROM, GROUP, 40), expected[..]);
    }

    #[test]
    fn each_fault_of_the_header_has_its_own_name() {
        let cases = [
            (with(|p| p.truncate(0)), HeaderFault::TooShort),
            (with(|p| p.truncate(19)), HeaderFault::TooShort),
            (with(|p| p[0] = 0x65), HeaderFault::NotIpv4),
            (with(|p| p[0] = 0x44), HeaderFault::HeaderLength),
            (with(|p| p[0] = 0x4b), HeaderFault::HeaderLength),
            (with(|p| p[3] = 0x27), HeaderFault::TotalLength),
            (with(|p| p[3] = 0x29), HeaderFault::TotalLength),
            (with(|p| p.push(0)), HeaderFault::TotalLength),
            (with(|p| p[0] = 0x46), HeaderFault::Options),
            (with(|p| p[0] = 0x4a), HeaderFault::Options),
            (with(|p| p[6] = 0x20), HeaderFault::Fragment),
            (with(|p| p[7] = 0x01), HeaderFault::Fragment),
        ];
        for (packet, fault) in cases {
            assert_eq!(parse(&packet, false), Err(fault), "{packet:02x?}");
        }
        assert_eq!(parse(&PACKET, true), Err(HeaderFault::TooLong));
    }

    #[test]
    fn do_not_fragment_is_no_fragment() {
        assert!(parse(&with(|p| p[6] = 0x40), false).is_ok());
    }

    proptest! {
        #[test]
        fn no_octets_panic_and_what_passes_is_whole(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            truncated: bool,
        ) {
            if let Ok(datagram) = parse(&octets, truncated) {
                prop_assert_eq!(datagram.payload.len() + HEADER, octets.len());
            }
        }

        #[test]
        fn one_changed_octet_panics_nowhere(at in 0usize..40, value: u8, cut in 0usize..=40) {
            let packet = with(|p| p[at] = value);
            let _ = parse(&packet[..cut], cut < 40);
        }

        #[test]
        fn what_we_send_parses_as_what_we_meant(
            id: u16, from: [u8; 4], to: [u8; 4], payload in proptest::collection::vec(any::<u8>(), 0..1500),
        ) {
            let (from, to) = (Ipv4Addr::from(from), Ipv4Addr::from(to));
            let mut packet = header(id, from, to, u16::try_from(HEADER + payload.len()).unwrap()).to_vec();
            packet.extend(&payload);
            let expected = Datagram { from: from.into(), to: to.into(), ttl: 255, payload: &payload };
            prop_assert_eq!(parse(&packet, false), Ok(expected));
        }
    }
}
