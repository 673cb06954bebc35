//! Encodes the question which way a packet would take, and decodes the answer. Knows no socket and decides nothing.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;

use super::message::ip;
use super::question::{Found, HEADER, Question};

// linux/rtnetlink.h
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;

/// The place of the type in `rtmsg`.
const TYPE: usize = 7;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// The way to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The index of the link.
    pub index: u32,
    /// The address that packets come from unless their socket has another one.
    pub source: Option<IpAddr>,
}

/// Which way a packet to `to` would take, on `link` if it is given.
pub(super) fn question(to: IpAddr, link: Option<u32>) -> Question {
    let (family, bits, octets) = match to {
        IpAddr::V4(v4) => (FAMILIES[0], 32, v4.octets().to_vec()),
        IpAddr::V6(v6) => (FAMILIES[1], 128, v6.octets().to_vec()),
    };
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&[family, bits]);
    let link = link.map(|index| DefaultNla::new(RTA_OIF, index.to_ne_bytes().to_vec()));
    let attributes = [DefaultNla::new(RTA_DST, octets)].into_iter().chain(link).collect();
    Question { kind: RTM_GETROUTE, header, attributes }
}

/// `None` if no other host is there: the address is our own, a broadcast, or unreachable.
pub(super) fn route(found: &Found) -> Option<Route> {
    if found.kind != RTM_NEWROUTE || found.payload.get(TYPE) != Some(&RTN_UNICAST) {
        return None;
    }
    let (mut index, mut source) = (None, None);
    for attribute in found.attributes() {
        match attribute.kind() {
            RTA_OIF => index = attribute.value().try_into().ok().map(u32::from_ne_bytes),
            RTA_PREFSRC => source = ip(attribute.value()),
            _ => {}
        }
    }
    Some(Route { index: index?, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::question::octets;
    use super::*;

    fn found(payload: &[u8]) -> Found {
        Found { kind: RTM_NEWROUTE, payload: payload.into() }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_query_has_the_destination_and_the_link() {
        #[rustfmt::skip]
        assert_eq!(octets(&question([10, 0, 0, 12].into(), Some(3))), [
            2, 32, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
            8, 0, 1, 0,  10, 0, 0, 12,
            8, 0, 4, 0,  3, 0, 0, 0,
        ]);
        assert_eq!(octets(&question("fd00::1".parse().unwrap(), None))[..2], [10, 128]);
    }

    /// An `rtmsg` of this type with a link and a preferred source.
    fn reply(kind: u8) -> Vec<u8> {
        let mut payload = vec![2, 32, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0];
        payload.extend([8, 0, 4, 0, 3, 0, 0, 0]);
        payload.extend([8, 0, 7, 0, 10, 0, 0, 11]);
        payload
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_a_route_to_another_host_is_one() {
        let expected = Route { index: 3, source: Some([10, 0, 0, 11].into()) };
        assert_eq!(route(&found(&reply(RTN_UNICAST))), Some(expected));
        // RTN_LOCAL, RTN_BROADCAST, RTN_BLACKHOLE, RTN_UNREACHABLE
        for kind in [2, 3, 6, 7] {
            assert_eq!(route(&found(&reply(kind))), None, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_panic(garbage in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = route(&found(&garbage));
            let _ = route(&found(&[&reply(RTN_UNICAST)[..HEADER], &garbage].concat()));
        }
    }
}
