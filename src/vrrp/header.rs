//! The fixed fields of a VRRP message as its sender claims them (RFC 3768 §5.1, RFC 9568 §5.1). Only
//! [`Advert::parse`](super::Advert::parse) decides whether they are valid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::drop_reason::DropReason;
use super::units::{Family, Interval};

/// The eight octets at the start of every VRRP message, as a view.
mod view {
    #![expect(unreachable_pub, reason = "pnet's #[packet] generates it so")]
    use pnet_macros::packet;
    use pnet_macros_support::types::{u4, u16be};

    #[packet]
    #[expect(dead_code, reason = "the generated accessors read the octets, not these fields")]
    pub struct Vrrp {
        version: u4,
        kind: u4,
        vrid: u8,
        priority: u8,
        count: u8,
        // v2: authentication type and seconds; v3: four reserved bits and twelve bits of centiseconds.
        timing: u16be,
        checksum: u16be,
        #[payload]
        body: Vec<u8>,
    }
}
pub(super) use view::MutableVrrpPacket;
use view::VrrpPacket;

/// The length of the fixed fields in octets.
pub(super) const LENGTH: usize = 8;
pub(super) const ADVERTISEMENT: u8 = 1;
pub(super) const AUTH_NONE: u8 = 0;
pub(super) const AUTH_SIMPLE: u8 = 1;
const V2: u8 = 2;

/// The fixed fields of a message, valid or not. [`Advert`](super::Advert) is the checked form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0 to 15; only 2 and 3 exist.
    pub version: u8,
    /// The message type, 0 to 15; only 1, ADVERTISEMENT, exists.
    pub kind: u8,
    pub vrid: u8,
    pub priority: u8,
    /// How many addresses the message claims to list.
    pub count: u8,
    pub checksum: u16,
    timing: [u8; 2],
}

impl Header {
    /// Reads the fixed fields. `None` if `octets` is shorter than they are.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let view = VrrpPacket::new(octets)?;
        Some(Self {
            version: view.get_version(),
            kind: view.get_kind(),
            vrid: view.get_vrid(),
            priority: view.get_priority(),
            count: view.get_count(),
            checksum: view.get_checksum(),
            timing: view.get_timing().to_be_bytes(),
        })
    }

    /// The authentication type, which only VRRPv2 has.
    pub fn auth_type(&self) -> Option<u8> {
        (self.version == V2).then_some(self.timing[0])
    }

    /// The advertisement interval; `None` for 0.
    pub fn interval(&self) -> Option<Interval> {
        let [high, low] = self.timing;
        if self.version == V2 {
            Interval::from_seconds(low)
        } else {
            // The reserved bits are ignored (RFC 9568 §5.2.6).
            Interval::from_centiseconds(u16::from_be_bytes([high & 0x0f, low]))
        }
    }

    /// The listed addresses: at most [`Header::count`], fewer if the message ends earlier. `octets` is the whole message,
    /// `family` that of its IP packet.
    pub fn addresses(&self, octets: &[u8], family: Family) -> Vec<IpAddr> {
        let list = octets.get(LENGTH..).unwrap_or_default();
        let count = usize::from(self.count);
        match family {
            Family::V4 => {
                let addresses = list.as_chunks().0.iter().take(count);
                addresses.map(|a: &[u8; 4]| Ipv4Addr::from(*a).into()).collect()
            }
            Family::V6 => {
                let addresses = list.as_chunks().0.iter().take(count);
                addresses.map(|a: &[u8; 16]| Ipv6Addr::from(*a).into()).collect()
            }
        }
    }

    /// Every value that no valid message has, of those that can be judged alone and in either version, with the value
    /// found. `Advert::parse` returns only the first fault of a message; this finds those behind it.
    pub fn faults(&self) -> impl Iterator<Item = (DropReason, u8)> {
        let auth_type = self.auth_type().filter(|auth| *auth > AUTH_SIMPLE);
        [
            auth_type.map(|auth| (DropReason::AuthType, auth)),
            (self.count == 0).then_some((DropReason::CountZero, 0)),
            self.interval().is_none().then_some((DropReason::IntervalZero, 0)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fields_are_read_as_claimed() {
        let message = [0x2f, 0, 7, 2, 9, 0, 0x12, 0x34, 10, 0, 0, 2, 10, 0, 0];
        let header = Header::read(&message).unwrap();
        assert_eq!((header.version, header.kind, header.vrid, header.priority), (2, 15, 0, 7));
        assert_eq!((header.count, header.checksum, header.auth_type()), (2, 0x1234, Some(9)));
        assert_eq!(header.interval(), None);
        assert_eq!(header.addresses(&message, Family::V4), [IpAddr::from([10, 0, 0, 2])]);
        assert!(header.addresses(&message, Family::V6).is_empty());
        let faults: Vec<_> = header.faults().collect();
        assert_eq!(faults, [(DropReason::AuthType, 9), (DropReason::IntervalZero, 0)]);
    }

    #[test]
    fn only_version_2_has_an_authentication_type_and_whole_seconds() {
        let v3 = Header::read(&[0x31, 51, 100, 1, 0xf0, 20, 0, 0]).unwrap();
        assert_eq!((v3.auth_type(), v3.interval()), (None, Interval::from_centiseconds(20)));
        let v2 = Header::read(&[0x21, 51, 100, 1, 0, 20, 0, 0]).unwrap();
        assert_eq!((v2.auth_type(), v2.interval()), (Some(0), Interval::from_seconds(20)));
        assert_eq!((v2.faults().count(), v3.faults().count()), (0, 0));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..100), v6: bool) {
            let header = Header::read(&octets);
            prop_assert_eq!(header.is_some(), octets.len() >= LENGTH);
            if let Some(header) = header {
                let family = if v6 { Family::V6 } else { Family::V4 };
                prop_assert!(header.addresses(&octets, family).len() <= usize::from(header.count));
                prop_assert!(header.faults().count() <= 3);
            }
        }
    }
}
