//! Links and addresses, and the changes that the kernel reports. Knows no message and no socket.

use std::net::IpAddr;

/// The `IFA_PROTO` of every address that we add: the IP protocol number of VRRP. `ip address` shows it as `proto 112`.
pub const MARK: u8 = 112;

/// An address to add to an interface. An IPv6 address is deprecated from the start (`preferred_lft 0`): it receives, but
/// the host does not choose it as a source address while it has another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The interface's index, from 1.
    pub index: u32,
    pub address: IpAddr,
    /// 0 to 32, or to 128 for IPv6.
    pub prefix: u8,
    /// At most 15 octets. Ignored for IPv6, for which the kernel has no labels.
    pub label: Option<String>,
    /// Whole seconds, at least 1, after which the kernel removes the address. `None`: never.
    pub lifetime: Option<u32>,
}

/// An address on an interface, as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The local end on a point-to-point link.
    pub address: IpAddr,
    pub prefix: u8,
    pub label: Option<String>,
    /// `IFA_PROTO`, the origin of the address; [`MARK`] if we added it. `None` before Linux 5.18 or if not set.
    pub mark: Option<u8>,
    /// IPv6: duplicate address detection is in progress or has failed. Nothing can be sent from it until a notification
    /// reports it as ready.
    pub tentative: bool,
    /// Whole seconds after which the kernel removes it. `None`: never.
    pub lifetime: Option<u32>,
    /// It is the local end of a point-to-point address.
    pub has_peer: bool,
}

/// An address that was removed, and what is needed to add it again as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub address: Address,
    /// The port and the sequence number of the request that removed it; zeros if its lifetime ended. The addresses that
    /// the kernel removes together with a primary one have the same.
    pub(super) request: (u32, u32),
    /// The kernel's description of it.
    pub(super) payload: Box<[u8]>,
}

impl Removed {
    /// Whether one request, or the end of one lifetime, may have removed both.
    pub fn has_cause_of(&self, other: &Self) -> bool {
        self.request == other.request
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of the kernel")]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Further names of it (`ip link property add dev eth0 altname lan`).
    pub altnames: Vec<String>,
    /// Administratively up and with a carrier (`IFF_UP` and `IFF_RUNNING`).
    pub up: bool,
    /// Administratively up (`IFF_UP`); without a carrier it is not `up`.
    pub enabled: bool,
    /// `None` if the hardware address does not have six octets.
    pub mac: Option<[u8; 6]>,
    pub loopback: bool,
    /// The index of the bridge, bond or similar link that gets all that this one receives.
    pub port_of: Option<u32>,
    /// It supports multicast; point-to-point tunnels often do not.
    pub multicast: bool,
    /// The value of its own `promote_secondaries`, if it has IPv4. With 1, the other IPv4 addresses of a subnet stay when
    /// its primary one is removed. A change of this setting causes no notification.
    pub promote_secondaries: Option<u32>,
}

impl Link {
    /// Whether `name` is its name or one of its alternative names.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.altnames.iter().any(|altname| altname == name)
    }
}

/// A notification of the kernel. It may also come without a change of the fields that we read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A link is new, renamed, up, down, or has changed in another way.
    Link(Link),
    LinkGone {
        index: u32,
        name: String,
    },
    /// An address is new, or its lifetime was renewed.
    Address(Address),
    AddressGone(Removed),
    /// Notifications were lost: list links and addresses again.
    Overrun,
}

impl Change {
    /// Whether it is about an address with [`MARK`], added by us or another vrrp-init.
    pub fn is_of_virtual_address(&self) -> bool {
        match self {
            Self::Address(address) | Self::AddressGone(Removed { address, .. }) => address.mark == Some(MARK),
            Self::Link(_) | Self::LinkGone { .. } | Self::Overrun => false,
        }
    }
}
