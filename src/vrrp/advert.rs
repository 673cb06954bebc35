//! The ADVERTISEMENT: octets to a checked value and back (RFC 3768 §5, RFC 9568 §5). Knows no router's settings and
//! keeps no state.
//!
//! [`Advert::parse`] is the only gate: every field of an [`Advert`] that it returns is in range. It never panics,
//! whatever the octets. `parse` accepts everything that [`Advert::emit`] writes. [`Header`] holds the fields of a message
//! that did not pass.

use std::net::IpAddr;

use pnet::packet::Packet;
use pnet::packet::util::{checksum, ipv4_checksum, ipv6_checksum};

use super::drop_reason::DropReason;
use super::header::{ADVERTISEMENT, AUTH_NONE, AUTH_SIMPLE, Header, LENGTH, MutableVrrpPacket};
use super::ip::{GROUP_V4, GROUP_V6, PROTOCOL, TTL};
use super::units::{Family, Interval, Priority, Version, Vrid};

/// A VRRPv2 message always ends in eight octets of authentication data (RFC 3768 §5.3.10).
const AUTH_DATA: usize = 8;
/// The position of the checksum in 16-bit words, which pnet's sums skip.
const CHECKSUM_WORD: usize = 3;

/// The fields of a message's IP header that matter to VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub from: IpAddr,
    pub to: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// A complete advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub version: Version,
    pub vrid: Vrid,
    /// [`Priority::RELEASE`] when the master gives up its role.
    pub priority: Priority,
    pub interval: Interval,
    /// VRRPv2 simple password, zero-filled (RFC 2338 §5.3.6.2).
    pub password: Option<[u8; AUTH_DATA]>,
    /// What the checksum covers. Only VRRPv3 over IPv4 has a choice; otherwise this is the default.
    pub checksum: V3Checksum,
    /// At least one, all of the family of the IP packet.
    pub addresses: Vec<IpAddr>,
}

/// What the checksum of VRRPv3 over IPv4 covers. RFC 9568 §5.2.8 excludes the pseudo-header; keepalived and FRR include
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V3Checksum {
    /// The IPv4 pseudo-header and the message.
    #[default]
    PseudoHeader,
    /// Only the message.
    Message,
}

impl Advert {
    /// Checks and reads the VRRP message in `octets`, received with the IP header fields in `envelope` (RFC 3768 §7.1,
    /// RFC 9568 §7.1).
    ///
    /// # Errors
    /// The first rule that the packet breaks.
    pub fn parse(octets: &[u8], envelope: Envelope) -> Result<Self, DropReason> {
        if envelope.to.is_multicast() {
            if envelope.to != IpAddr::V4(GROUP_V4) && envelope.to != IpAddr::V6(GROUP_V6) {
                return Err(DropReason::Destination);
            }
            // A unicast peer may be behind a router: whether it is, the caller knows.
            if envelope.ttl != TTL {
                return Err(DropReason::Ttl);
            }
        }
        let header = Header::read(octets).ok_or(DropReason::Truncated)?;
        let family = Family::of(envelope.from);
        let version = match (header.version, family) {
            (2, Family::V4) => Version::V2,
            (3, _) => Version::V3,
            _ => return Err(DropReason::Version),
        };
        if header.kind != ADVERTISEMENT {
            return Err(DropReason::Type);
        }
        // Before the length: the length of the data of an unknown authentication type is unknown.
        let password = header.auth_type().map_or(Ok(None), |auth_type| password(auth_type, octets))?;
        check_length(octets, version, header.count, family)?;
        let checksum = checksum_form(octets, version, envelope, header.checksum);
        let checksum = checksum.ok_or(DropReason::Checksum)?;
        let vrid = Vrid::new(header.vrid).ok_or(DropReason::Vrid)?;
        if header.count == 0 {
            return Err(DropReason::CountZero);
        }
        let interval = header.interval().ok_or(DropReason::IntervalZero)?;
        let priority = Priority::from_wire(header.priority);
        let addresses = header.addresses(octets, family);
        Ok(Self { version, vrid, priority, interval, password, checksum, addresses })
    }

    /// The VRID that a message claims, however broken the message is, so that its router can count it. `None` if it ends
    /// before the VRID, or for VRID 0.
    pub fn claimed_vrid(octets: &[u8]) -> Option<Vrid> {
        octets.get(1).copied().and_then(Vrid::new)
    }

    /// Writes the message with its checksum. `from` and `to` matter where the checksum covers a pseudo-header.
    pub fn emit(&self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let list = self.addresses.len() * address_length(Family::of(from));
        let mut octets = Vec::with_capacity(LENGTH + list + AUTH_DATA);
        octets.resize(LENGTH, 0);
        for address in &self.addresses {
            match address {
                IpAddr::V4(v4) => octets.extend(v4.octets()),
                IpAddr::V6(v6) => octets.extend(v6.octets()),
            }
        }
        if self.version == Version::V2 {
            octets.extend(self.password.unwrap_or_default());
        }
        let timing = match self.version {
            Version::V2 => {
                let kind = if self.password.is_some() { AUTH_SIMPLE } else { AUTH_NONE };
                u16::from_be_bytes([kind, self.interval.whole_seconds()])
            }
            Version::V3 => self.interval.centiseconds(),
        };
        if let Some(mut view) = MutableVrrpPacket::new(&mut octets) {
            view.set_version(self.version.number());
            view.set_kind(ADVERTISEMENT);
            view.set_vrid(self.vrid.octet());
            view.set_priority(self.priority.octet());
            // Settings have at most 255 addresses.
            view.set_count(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
            view.set_timing(timing);
            let sum = match self.version {
                Version::V3 if self.checksum == V3Checksum::Message && from.is_ipv4() => {
                    checksum(view.packet(), CHECKSUM_WORD)
                }
                Version::V2 => checksum(view.packet(), CHECKSUM_WORD),
                Version::V3 => with_pseudo_header(view.packet(), from, to),
            };
            view.set_checksum(sum);
        }
        octets
    }
}

/// The message must be exactly as long as its count of addresses requires.
fn check_length(octets: &[u8], version: Version, count: u8, family: Family) -> Result<(), DropReason> {
    let list_end = LENGTH + usize::from(count) * address_length(family);
    let whole = match version {
        Version::V2 => list_end + AUTH_DATA,
        Version::V3 => list_end,
    };
    match octets.len() {
        n if n < whole => Err(DropReason::Truncated),
        n if n > whole => Err(DropReason::TooLong),
        _ => Ok(()),
    }
}

/// In octets.
const fn address_length(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn password(auth_type: u8, octets: &[u8]) -> Result<Option<[u8; AUTH_DATA]>, DropReason> {
    match auth_type {
        // The data is ignored on receipt (RFC 3768 §5.3.10).
        AUTH_NONE => Ok(None),
        AUTH_SIMPLE => octets.last_chunk().copied().map(Some).ok_or(DropReason::Truncated),
        _ => Err(DropReason::AuthType),
    }
}

/// What the checksum covers; `None` if it is wrong. VRRPv3 over IPv4 exists in two forms in the field, with the
/// pseudo-header (keepalived, FRR) and without (RFC 9568 §5.2.8). Both are accepted.
fn checksum_form(octets: &[u8], version: Version, envelope: Envelope, found: u16) -> Option<V3Checksum> {
    // One's complement has two representations of zero.
    let matches = |sum: u16| found == sum || (sum == 0 && found == u16::MAX);
    let message = || matches(checksum(octets, CHECKSUM_WORD));
    let pseudo = || matches(with_pseudo_header(octets, envelope.from, envelope.to));
    match (version, envelope.from) {
        (Version::V2, _) => message().then_some(V3Checksum::PseudoHeader),
        (Version::V3, IpAddr::V4(_)) if !pseudo() => message().then_some(V3Checksum::Message),
        (Version::V3, _) => pseudo().then_some(V3Checksum::PseudoHeader),
    }
}

fn with_pseudo_header(octets: &[u8], from: IpAddr, to: IpAddr) -> u16 {
    use pnet::packet::ip::IpNextHeaderProtocol;
    let protocol = IpNextHeaderProtocol(PROTOCOL);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_checksum(octets, CHECKSUM_WORD, &[], &from, &to, protocol),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6_checksum(octets, CHECKSUM_WORD, &[], &from, &to, protocol),
        // Cannot happen: both addresses of a packet are of one family.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => checksum(octets, CHECKSUM_WORD),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use proptest::prelude::*;

    /// An advert of Debian's keepalived 2.2.7: VRID 51, priority 254, 10.9.0.100, from 10.9.0.1.
    const KEEPALIVED: &str = "2133fe010001d65c0a0900640000000000000000";

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn envelope(from: &str) -> Envelope {
        Envelope { from: from.parse().unwrap(), to: GROUP_V4.into(), ttl: 255 }
    }

    fn advert() -> Advert {
        Advert {
            version: Version::V2,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(254).unwrap(),
            interval: Interval::DEFAULT,
            password: None,
            checksum: V3Checksum::PseudoHeader,
            addresses: vec!["10.9.0.100".parse().unwrap()],
        }
    }

    #[test]
    fn reads_and_writes_the_octets_of_keepalived() {
        let from = envelope("10.9.0.1");
        assert_eq!(Advert::parse(&octets(KEEPALIVED), from), Ok(advert()));
        assert_eq!(advert().emit(from.from, from.to), octets(KEEPALIVED));
    }

    /// TX-09.
    #[test]
    fn writes_the_worked_checksums() {
        let one = Advert {
            vrid: Vrid::new(1).unwrap(),
            priority: Priority::new(100).unwrap(),
            addresses: vec!["192.168.0.1".parse().unwrap()],
            ..advert()
        };
        let from = "192.168.0.30".parse().unwrap();
        assert_eq!(one.emit(from, GROUP_V4.into())[6..8], [0xba, 0x52]);
        let three = Advert {
            version: Version::V3,
            interval: Interval::from_centiseconds(1).unwrap(),
            addresses: vec!["192.168.0.1".parse().unwrap(), "192.168.0.2".parse().unwrap()],
            ..one
        };
        assert_eq!(three.emit(from, GROUP_V4.into())[6..8], [0x48, 0x4d]);
        let message = Advert { checksum: V3Checksum::Message, ..three };
        assert_eq!(message.emit(from, GROUP_V4.into())[6..8], [0xe9, 0xa6]);
    }

    /// One fault at a time in an otherwise valid packet, each with its reason.
    #[test]
    fn names_the_rule_that_a_packet_breaks() {
        let good = octets(KEEPALIVED);
        let resum = |mut p: Vec<u8>| {
            let sum = checksum(&p, CHECKSUM_WORD).to_be_bytes();
            p[6..8].copy_from_slice(&sum);
            p
        };
        let with = |at: usize, value: u8| {
            let mut p = good.clone();
            p[at] = value;
            resum(p)
        };
        let from = envelope("10.9.0.1");
        let reason = |p: &[u8]| Advert::parse(p, from).unwrap_err();
        assert_eq!(reason(&[]), DropReason::Truncated);
        assert_eq!(reason(&good[..7]), DropReason::Truncated);
        assert_eq!(reason(&good[..12]), DropReason::Truncated, "no authentication data");
        assert_eq!(reason(&with(3, 2)), DropReason::Truncated, "count larger than the packet");
        assert_eq!(reason(&with(3, 255)), DropReason::Truncated);
        assert_eq!(reason(&[&good[..], &[0; 4]].concat()), DropReason::TooLong);
        assert_eq!(reason(&[&good[..], &vec![0; 65_495]].concat()), DropReason::TooLong);
        assert_eq!(reason(&with(0, 0x11)), DropReason::Version);
        assert_eq!(reason(&with(0, 0x41)), DropReason::Version);
        assert_eq!(reason(&with(0, 0x22)), DropReason::Type);
        assert_eq!(reason(&with(1, 0)), DropReason::Vrid);
        assert_eq!(reason(&with(4, 9)), DropReason::AuthType);
        let cisco = resum([&with(4, 254)[..], &[0xfe, 0x1c], &[0; 28]].concat());
        assert_eq!(reason(&cisco), DropReason::AuthType, "its MD5 is 30 octets longer");
        assert_eq!(reason(&with(5, 0)), DropReason::IntervalZero);
        let mut sum = good.clone();
        sum[7] ^= 1;
        assert_eq!(reason(&sum), DropReason::Checksum);
        let none = resum([&good[..3], &[0, 0, 1, 0, 0], &[0; 8]].concat());
        assert_eq!(reason(&none), DropReason::CountZero);
        assert_eq!(Advert::parse(&good, Envelope { ttl: 254, ..from }), Err(DropReason::Ttl));
        let elsewhere = Envelope { to: "224.0.0.19".parse().unwrap(), ..from };
        assert_eq!(Advert::parse(&good, elsewhere), Err(DropReason::Destination));
        let unicast = Envelope { to: "10.9.0.2".parse().unwrap(), ttl: 60, ..from };
        assert!(Advert::parse(&good, unicast).is_ok(), "a peer may be routed to");
        let six = Envelope { from: "fe80::1".parse().unwrap(), to: GROUP_V6.into(), ttl: 255 };
        assert_eq!(Advert::parse(&good, six), Err(DropReason::Version), "v2 has no IPv6");
    }

    /// AU-01.
    #[test]
    fn a_simple_password_is_read() {
        let advert = Advert { password: Some(*b"s3cret\0\0"), ..advert() };
        let from = envelope("10.9.0.1");
        let octets = advert.emit(from.from, from.to);
        assert_eq!(octets[4], AUTH_SIMPLE);
        assert_eq!(Advert::parse(&octets, from), Ok(advert));
    }

    #[test]
    fn the_claimed_vrid_is_read_from_any_packet() {
        assert_eq!(Advert::claimed_vrid(&[0xff, 51]), Vrid::new(51));
        assert_eq!(Advert::claimed_vrid(&[0x21]), None);
    }

    fn any_advert() -> impl Strategy<Value = (Advert, Envelope)> {
        let ends = prop_oneof![
            any::<Ipv4Addr>().prop_map(|a| (IpAddr::from(a), IpAddr::from(GROUP_V4))),
            any::<Ipv6Addr>().prop_map(|a| (IpAddr::from(a), IpAddr::from(GROUP_V6))),
        ];
        let lists = (
            prop::collection::vec(any::<[u8; 16]>(), 1..=255),
            any::<(bool, bool)>(),
            any::<Option<[u8; 8]>>(),
        );
        (ends, 1..=255u8, any::<u8>(), 1..=255u8, 1..=4095u16, lists).prop_map(
            |((from, to), vrid, priority, seconds, centiseconds, (list, (v2, message), password))| {
                let v2 = v2 && from.is_ipv4();
                let address = |a: [u8; 16]| match from {
                    IpAddr::V4(_) => Ipv4Addr::from(*a.first_chunk::<4>().unwrap()).into(),
                    IpAddr::V6(_) => Ipv6Addr::from(a).into(),
                };
                let advert = Advert {
                    version: if v2 { Version::V2 } else { Version::V3 },
                    vrid: Vrid::new(vrid).unwrap(),
                    priority: Priority::from_wire(priority),
                    interval: if v2 {
                        Interval::from_seconds(seconds).unwrap()
                    } else {
                        Interval::from_centiseconds(centiseconds).unwrap()
                    },
                    password: password.filter(|_| v2),
                    checksum: if message && !v2 && from.is_ipv4() {
                        V3Checksum::Message
                    } else {
                        V3Checksum::PseudoHeader
                    },
                    addresses: list.into_iter().map(address).collect(),
                };
                (advert, Envelope { from, to, ttl: 255 })
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed_to_the_same((advert, envelope) in any_advert()) {
            let octets = advert.emit(envelope.from, envelope.to);
            prop_assert_eq!(Advert::parse(&octets, envelope), Ok(advert));
        }

        /// RX-17.
        #[test]
        fn any_octets_are_parsed_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..600), v6: bool) {
            let (from, to) = if v6 { ("fe80::1".parse().unwrap(), GROUP_V6.into()) }
                             else { ("10.0.0.1".parse().unwrap(), GROUP_V4.into()) };
            let _ = Advert::parse(&octets, Envelope { from, to, ttl: 255 });
        }

        #[test]
        fn one_flipped_bit_is_refused((advert, envelope) in any_advert(), at: prop::sample::Index) {
            let mut octets = advert.emit(envelope.from, envelope.to);
            let bit = at.index(octets.len() * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Advert::parse(&octets, envelope).is_err());
        }
    }
}
