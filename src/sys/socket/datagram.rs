//! What IPv4 and IPv6 packets have in common. Knows no socket.

use std::net::IpAddr;

/// Internetwork control (DSCP CS6), which routers queue first.
pub(super) const CONTROL: u8 = 0xc0;

/// A complete received packet without IP options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub from: IpAddr,
    /// Of the same family as `from`.
    pub to: IpAddr,
    /// The hop limit in IPv6.
    pub ttl: u8,
    /// Everything after the IP header.
    pub payload: &'a [u8],
}
