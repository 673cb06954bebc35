//! Encodes and decodes the rtnetlink messages that we use. Knows no socket and decides nothing.

use std::convert::Infallible;
use std::net::IpAddr;

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressHeader, AddressHeaderFlags};
use netlink_packet_route::link::{LinkFlags, LinkHeader};

use super::model::{Address, Assignment, Change, Link, MARK, Removed};

// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
pub(super) const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

// linux/if_addr.h; the first is its INFINITY_LIFE_TIME
const FOREVER: u32 = u32::MAX;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_PROTO: u16 = 11;

// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
// Nested in IFLA_LINKINFO: what the link that IFLA_MASTER names is.
const IFLA_INFO_SLAVE_KIND: u16 = 4;
/// Kinds of links that get all that their ports receive. A VRF only routes for its links, and batman-adv takes only its own
/// frames.
const WITH_PORTS: [&str; 3] = ["bridge", "bond", "team"];
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_AF_SPEC: u16 = 26;
// Nested in IFLA_AF_SPEC: the family, and for IPv4 the settings, an array that begins with the first.
const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;
// linux/ip.h: IPV4_DEVCONF_PROMOTE_SECONDARIES; the first setting has the number 1.
const PROMOTE_SECONDARIES: u16 = 20;

const LINK_HEADER: usize = 16;
pub(super) const ALIGNMENT: usize = 4;

/// A request to the kernel.
#[derive(Debug)]
pub(super) enum Request {
    Add(Message),
    Remove(Message),
    /// Adds an address that the kernel described when it was removed.
    Restore(Box<[u8]>),
    ListAddresses,
    ListLinks,
    /// Describes the link with this index.
    Link(u32),
    PromoteSecondaries(u32),
}

/// A message about one address. Its attributes are plain octets, since we need only a few.
#[derive(Debug)]
pub(super) struct Message {
    header: AddressHeader,
    attributes: Vec<DefaultNla>,
}

impl Request {
    pub(super) fn add(assignment: &Assignment) -> Self {
        let mut message = identity(assignment.index, assignment.address, assignment.prefix);
        message.attributes.push(DefaultNla::new(IFA_PROTO, vec![MARK]));
        if assignment.address.is_ipv6() {
            // Duplicate address detection would make the address unusable for a second or more, and the master that we
            // replace may still answer for it.
            message.header.flags = AddressHeaderFlags::Nodad;
        } else if let Some(label) = &assignment.label {
            message.attributes.push(DefaultNla::new(IFA_LABEL, [label.as_bytes(), b"\0"].concat()));
        }
        message.attributes.extend(lifetime(assignment));
        Self::Add(message)
    }

    pub(super) fn remove(index: u32, address: IpAddr, prefix: u8) -> Self {
        Self::Remove(identity(index, address, prefix))
    }
}

/// `None` for the kernel's default, which is forever.
fn lifetime(assignment: &Assignment) -> Option<DefaultNla> {
    let valid = assignment.lifetime.unwrap_or(FOREVER);
    // Deprecated from the start: otherwise the host might choose it as its source address, and those connections would
    // break when the address moves.
    let deprecated = assignment.address.is_ipv6();
    let preferred = if deprecated { 0 } else { valid };
    // The last two fields are timestamps, which the kernel only reports.
    let lifetime = [preferred.to_ne_bytes(), valid.to_ne_bytes(), [0; 4], [0; 4]].concat();
    (deprecated || valid != FOREVER).then(|| DefaultNla::new(IFA_CACHEINFO, lifetime))
}

/// The parts that identify an address in the kernel.
fn identity(index: u32, address: IpAddr, prefix: u8) -> Message {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (AddressFamily::Inet, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AddressFamily::Inet6, v6.octets().to_vec()),
    };
    let header = AddressHeader { family, prefix_len: prefix, index, ..AddressHeader::default() };
    let attributes = vec![DefaultNla::new(IFA_LOCAL, octets.clone()), DefaultNla::new(IFA_ADDRESS, octets)];
    Message { header, attributes }
}

impl NetlinkSerializable for Request {
    fn message_type(&self) -> u16 {
        match self {
            Self::Add(_) | Self::Restore(_) => RTM_NEWADDR,
            Self::Remove(_) => RTM_DELADDR,
            Self::ListAddresses => RTM_GETADDR,
            Self::ListLinks | Self::Link(_) => RTM_GETLINK,
            Self::PromoteSecondaries(_) => RTM_SETLINK,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Add(Message { header, attributes }) | Self::Remove(Message { header, attributes }) => {
                header.buffer_len() + attributes.as_slice().buffer_len()
            }
            Self::Restore(payload) => payload.len(),
            Self::ListAddresses => AddressHeader::default().buffer_len(),
            Self::ListLinks | Self::Link(_) => LINK_HEADER,
            Self::PromoteSecondaries(_) => LINK_HEADER + promotion().buffer_len(),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match self {
            Self::Add(Message { header, attributes }) | Self::Remove(Message { header, attributes }) => {
                header.emit(buffer);
                attributes.as_slice().emit(&mut buffer[header.buffer_len()..]);
            }
            Self::Restore(payload) => buffer[..payload.len()].copy_from_slice(payload),
            Self::ListAddresses => AddressHeader::default().emit(buffer),
            Self::ListLinks => LinkHeader::default().emit(buffer),
            Self::Link(index) => link_header(*index).emit(buffer),
            Self::PromoteSecondaries(index) => {
                link_header(*index).emit(buffer);
                promotion().emit(&mut buffer[LINK_HEADER..]);
            }
        }
    }
}

fn link_header(index: u32) -> LinkHeader {
    LinkHeader { index, ..LinkHeader::default() }
}

/// `IFLA_AF_SPEC` that changes one IPv4 setting of a link and nothing else.
fn promotion() -> DefaultNla {
    let nested = |kind, inner: &DefaultNla| {
        let mut octets = vec![0; inner.buffer_len()];
        inner.emit(&mut octets);
        DefaultNla::new(kind, octets)
    };
    let setting = DefaultNla::new(PROMOTE_SECONDARIES, 1_u32.to_ne_bytes().to_vec());
    nested(IFLA_AF_SPEC, &nested(AF_INET, &nested(IFLA_INET_CONF, &setting)))
}

/// A message of the kernel; `None` if it is about neither a link nor an IP address.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Option<Change>);

impl NetlinkDeserializable for Reply {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(match header.message_type {
            RTM_NEWLINK => link(payload).map(Change::Link),
            RTM_DELLINK => link(payload).map(|link| Change::LinkGone { index: link.index, name: link.name }),
            RTM_NEWADDR => address(payload).map(Change::Address),
            RTM_DELADDR => address(payload).map(|address| {
                let request = (header.port_number, header.sequence_number);
                Change::AddressGone(Removed { address, request, payload: payload.into() })
            }),
            _ => None,
        }))
    }
}

/// The messages in one datagram from the kernel, up to the first with an impossible length.
pub(super) fn messages(mut octets: &[u8]) -> impl Iterator<Item = NetlinkMessage<Reply>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(NetlinkBuffer::new_checked(octets).ok()?.length()).ok()?;
        let message = NetlinkMessage::deserialize(octets).ok();
        octets = octets.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(message)
    })
    .flatten()
}

/// Reads only the attributes that we need.
fn address(payload: &[u8]) -> Option<Address> {
    let header = AddressHeader::parse(payload).ok()?;
    let (mut local, mut far, mut label, mut mark, mut lifetime) = (None, None, None, None, None);
    for attribute in NlasIterator::new(payload.get(header.buffer_len()..)?).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            IFA_ADDRESS => far = ip(value),
            IFA_LOCAL => local = ip(value),
            IFA_LABEL => label = Some(text(value)),
            IFA_PROTO => mark = value.first().copied(),
            IFA_CACHEINFO => {
                // The valid lifetime follows the preferred lifetime.
                let valid = value.get(4..8).and_then(|octets| octets.try_into().ok()).map(u32::from_ne_bytes);
                lifetime = valid.filter(|valid| *valid != FOREVER);
            }
            _ => {}
        }
    }
    Some(Address {
        index: header.index,
        // On a point-to-point link IFA_ADDRESS is the other end. For IPv6, IFA_LOCAL exists only there.
        address: local.or(far)?,
        prefix: header.prefix_len,
        label,
        mark,
        tentative: header.flags.contains(AddressHeaderFlags::Tentative)
            && !header.flags.contains(AddressHeaderFlags::Optimistic),
        lifetime,
        has_peer: local.is_some_and(|local| far.is_some_and(|far| far != local)),
    })
}

pub(super) fn ip(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// A NUL-terminated name.
fn text(octets: &[u8]) -> String {
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Reads only the attributes that we need; the crate's `LinkMessage` would decode those of every kind of link.
fn link(payload: &[u8]) -> Option<Link> {
    let header = LinkHeader::parse(payload).ok()?;
    // A bridge sends notifications about its ports to the same group. In them, RTM_DELLINK means "left the bridge".
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let (mut name, mut altnames, mut mac, mut promote_secondaries) = (String::new(), vec![], None, None);
    let (mut port_of, mut is_port) = (None, false);
    for attribute in NlasIterator::new(payload.get(LINK_HEADER..)?).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => name = text(value),
            IFLA_ADDRESS => mac = value.try_into().ok(),
            IFLA_MASTER => port_of = value.try_into().ok().map(u32::from_ne_bytes),
            IFLA_LINKINFO => {
                let kind = within(value, IFLA_INFO_SLAVE_KIND).map(|kind| text(&kind));
                is_port = kind.is_some_and(|kind| WITH_PORTS.contains(&&*kind));
            }
            IFLA_PROP_LIST => {
                let properties = NlasIterator::new(value).map_while(Result::ok);
                let names = properties.filter(|property| property.kind() == IFLA_ALT_IFNAME);
                altnames.extend(names.map(|property| text(property.value())));
            }
            IFLA_AF_SPEC => promote_secondaries = setting(value, PROMOTE_SECONDARIES),
            _ => {}
        }
    }
    Some(Link {
        index: header.index,
        name,
        altnames,
        up: header.flags.contains(LinkFlags::Up | LinkFlags::Running),
        enabled: header.flags.contains(LinkFlags::Up),
        mac,
        loopback: header.flags.contains(LinkFlags::Loopback),
        port_of: port_of.filter(|_| is_port),
        multicast: header.flags.contains(LinkFlags::Multicast),
        promote_secondaries,
    })
}

/// An IPv4 setting of a link in `IFLA_AF_SPEC`.
fn setting(octets: &[u8], number: u16) -> Option<u32> {
    let settings = within(&within(octets, AF_INET)?, IFLA_INET_CONF)?;
    let at = usize::from(number - 1) * 4;
    settings.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The first attribute of this kind.
fn within(octets: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut inner = NlasIterator::new(octets).map_while(Result::ok);
    inner.find(|attribute| attribute.kind() == kind).map(|attribute| attribute.value().to_vec())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use netlink_packet_core::{NetlinkPayload, Nla as _};
    use proptest::prelude::*;

    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            index: 3,
            address: Ipv4Addr::new(10, 0, 0, 2).into(),
            prefix: 32,
            label: Some("eth0:1".into()),
            lifetime: Some(5),
        }
    }

    fn octets(request: Request) -> Vec<u8> {
        let mut message =
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        octets
    }

    /// A message framed as by the kernel. `payload` is padded to the alignment.
    fn framed(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut octets = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend(payload);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    /// An `ifinfomsg` with a name.
    fn link_payload(family: u8, flags: u32, name: &str) -> Vec<u8> {
        let mut payload = vec![family, 0, 1, 0, 7, 0, 0, 0];
        payload.extend(flags.to_ne_bytes());
        payload.extend([0; 4]);
        payload.extend(u16::try_from(4 + name.len() + 1).unwrap().to_ne_bytes());
        payload.extend(IFLA_IFNAME.to_ne_bytes());
        payload.extend(name.as_bytes());
        payload.push(0);
        payload
    }

    fn changes(octets: &[u8]) -> Vec<Option<Change>> {
        messages(octets)
            .map(|message| {
                let NetlinkPayload::InnerMessage(Reply(change)) = message.payload else {
                    panic!("{message:?} is no rtnetlink message")
                };
                change
            })
            .collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_addition_carries_label_mark_and_lifetime_and_no_broadcast() {
        #[rustfmt::skip]
        assert_eq!(octets(Request::add(&assignment())), [
            0x50, 0, 0, 0,  20, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,         // 80 octets, RTM_NEWADDR
            2, 32, 0, 0,  3, 0, 0, 0,                                       // AF_INET, /32, universe, index 3
            8, 0, 2, 0,  10, 0, 0, 2,                                       // IFA_LOCAL
            8, 0, 1, 0,  10, 0, 0, 2,                                       // IFA_ADDRESS
            5, 0, 11, 0,  112, 0, 0, 0,                                     // IFA_PROTO
            11, 0, 3, 0,  b'e', b't', b'h', b'0', b':', b'1', 0, 0,         // IFA_LABEL
            20, 0, 6, 0,  5, 0, 0, 0,  5, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, // IFA_CACHEINFO
        ]);
    }

    /// The valid and the preferred lifetime and the flags in our request.
    fn requested(
        address: &str,
        prefix: u8,
        lifetime: Option<u32>,
    ) -> (Option<(u32, u32)>, AddressHeaderFlags) {
        let address = address.parse().unwrap();
        let Request::Add(message) =
            Request::add(&Assignment { address, prefix, lifetime, label: None, index: 3 })
        else {
            panic!("not an addition")
        };
        let lifetime = message.attributes.iter().find(|attribute| attribute.kind() == IFA_CACHEINFO);
        let lifetime = lifetime.map(|lifetime| {
            let mut octets = [0; 16];
            lifetime.emit_value(&mut octets);
            let number = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
            (number(4), number(0))
        });
        (lifetime, message.header.flags)
    }

    #[test]
    fn every_ipv6_address_is_deprecated_from_the_start() {
        let (none, nodad) = (AddressHeaderFlags::empty(), AddressHeaderFlags::Nodad);
        assert_eq!(requested("fd00::1", 128, Some(5)), (Some((5, 0)), nodad));
        assert_eq!(requested("fd00::1", 128, None), (Some((u32::MAX, 0)), nodad));
        assert_eq!(requested("fd00::1", 64, Some(5)), (Some((5, 0)), nodad));
        assert_eq!(requested("fd00::1", 64, None), (Some((u32::MAX, 0)), nodad));
        assert_eq!(requested("10.0.0.2", 32, Some(5)), (Some((5, 5)), none));
        assert_eq!(requested("10.0.0.2", 32, None), (None, none));
    }

    #[test]
    fn an_address_under_duplicate_detection_is_tentative_unless_optimistic() {
        // IFA_F_TENTATIVE, IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_PERMANENT
        for (flags, tentative) in [(0x40, true), (0x44, false), (0x48, true), (0x80, false)] {
            let mut payload = vec![10, 64, flags, 253, 3, 0, 0, 0, 20, 0, 1, 0];
            payload.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
            let changes = changes(&framed(RTM_NEWADDR, &payload));
            let is =
                matches!(&changes[..], [Some(Change::Address(address))] if address.tentative == tentative);
            assert!(is, "{flags:#x}: {changes:?}");
        }
    }

    #[test]
    fn an_added_address_reads_back_as_requested() {
        let message = framed(RTM_NEWADDR, &octets(Request::add(&assignment()))[16..]);
        let address = Address {
            index: 3,
            address: Ipv4Addr::new(10, 0, 0, 2).into(),
            prefix: 32,
            label: Some("eth0:1".into()),
            mark: Some(MARK),
            tentative: false,
            lifetime: Some(5),
            has_peer: false,
        };
        assert_eq!(changes(&message), [Some(Change::Address(address))]);
    }

    #[test]
    fn several_messages_in_one_datagram_are_all_read() {
        let mut messages = framed(RTM_NEWLINK, &link_payload(0, 0x41, "eth0"));
        messages.extend(framed(24, &[1, 2, 3]));
        messages.extend(framed(RTM_DELLINK, &link_payload(0, 0, "eth0")));
        let link = Link {
            index: 7,
            name: "eth0".into(),
            altnames: vec![],
            up: true,
            enabled: true,
            mac: None,
            loopback: false,
            multicast: false,
            port_of: None,
            promote_secondaries: None,
        };
        assert_eq!(
            changes(&messages),
            [Some(Change::Link(link)), None, Some(Change::LinkGone { index: 7, name: "eth0".into() })]
        );
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn a_bridge_has_ports_and_a_vrf_has_none() {
        let port_of = |kind: &[u8]| {
            let mut payload = link_payload(0, 0x41, "enp0s31");
            payload.extend(attribute(IFLA_MASTER, &9u32.to_ne_bytes()));
            payload.extend(attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_SLAVE_KIND, kind)));
            let changes = changes(&framed(RTM_NEWLINK, &payload));
            let [Some(Change::Link(link))] = &changes[..] else { panic!("{changes:?}") };
            link.port_of
        };
        assert_eq!(["bridge\0", "bond\0", "team\0"].map(|kind| port_of(kind.as_bytes())), [Some(9); 3]);
        assert_eq!(["vrf\0", "batadv\0"].map(|kind| port_of(kind.as_bytes())), [None; 2]);
    }

    #[test]
    fn alternative_names_are_in_a_nested_list() {
        const NESTED: u16 = 0x8000;
        let long = [&b"a".repeat(127)[..], b"\0"].concat();
        let list = [attribute(IFLA_ALT_IFNAME, b"lan\0"), attribute(IFLA_ALT_IFNAME, &long)].concat();
        let mut payload = link_payload(0, 0x41, "enp0s31");
        payload.extend(attribute(IFLA_PROP_LIST | NESTED, &list));
        let changes = changes(&framed(RTM_NEWLINK, &payload));
        let [Some(Change::Link(link))] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(link.altnames, ["lan".to_owned(), "a".repeat(127)]);
        assert!(link.is_named("enp0s31") && link.is_named("lan") && !link.is_named("la"));
    }

    #[test]
    fn up_without_a_carrier_is_not_up() {
        let found = changes(&framed(RTM_NEWLINK, &link_payload(0, 0x1, "eth0")));
        assert!(matches!(&found[..], [Some(Change::Link(link))] if !link.up), "{found:?}");
    }

    #[test]
    fn leaving_a_bridge_is_not_leaving_the_machine() {
        assert_eq!(changes(&framed(RTM_DELLINK, &link_payload(7, 0x41, "eth0"))), [None]);
    }

    proptest! {
        #[test]
        fn no_octets_panic(kind in 14u16..24, garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            messages(&garbage).for_each(drop);
            messages(&framed(kind, &garbage)).for_each(drop);
        }

        #[test]
        fn a_damaged_message_panics_nowhere(at in 0usize..80, value: u8, cut in 0usize..=80) {
            let mut message = octets(Request::add(&assignment()));
            message[at] = value;
            messages(&message[..cut]).for_each(drop);
        }
    }
}
