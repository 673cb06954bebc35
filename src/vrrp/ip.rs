//! How VRRP uses IP: the constants of every packet.

use std::net::{Ipv4Addr, Ipv6Addr};

/// IP protocol number of VRRP (RFC 3768 §5.2.4, RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// The multicast group of IPv4 advertisements (RFC 3768 §5.2.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The multicast group of IPv6 advertisements (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The TTL or hop limit of every advertisement. Any other value means that it came through a router (RFC 3768 §5.2.3).
pub const TTL: u8 = 255;
