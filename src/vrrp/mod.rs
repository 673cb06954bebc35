//! The protocol: VRRPv2 (RFC 3768) and VRRPv3 (RFC 9568) as values and one state machine; knows no clock,
//! socket or log.

mod advert;
mod announcements;
mod backup;
mod drop_reason;
mod event;
mod header;
mod instance;
mod master;
mod settings;
mod units;

pub use advert::{Advert, Envelope};
pub use drop_reason::{DropReason, Drops};
pub use event::{Action, Cause, Event, Peer, Report, Role, Why};
pub use header::Header;
pub use instance::Instance;
pub use settings::{Lease, Password, Settings, V3Checksum};
pub use units::{Family, Interval, Priority, Version, Vrid};

use std::net::{Ipv4Addr, Ipv6Addr};

/// IP protocol number of VRRP (RFC 3768 §5.2.4, RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// The group that IPv4 advertisements go to (RFC 3768 §5.2.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The group that IPv6 advertisements go to (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// TTL of every advertisement; anything else came through a router (RFC 3768 §5.2.3).
pub const TTL: u8 = 255;
