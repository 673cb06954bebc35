//! Hears the VRRP packets that arrive on one interface before this host's firewall sees them. The kernel filters, so nothing
//! else wakes the process. Judges no packet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{LinkAddr, bind, recvfrom};
use socket2::{Domain, Protocol, SockFilter, SockRef, Type};

use super::Error;
use super::neighbor::link_address;
use crate::vrrp::{Family, PROTOCOL};

// linux/if_ether.h
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// linux/if_packet.h: packets for this host, to all, and to a group. Not those of this host, and not those that are for other
/// hosts and seen by chance.
const HOST_BROADCAST_MULTICAST: [u8; 3] = [0, 1, 2];
/// The octets of a packet that are kept: the longest IPv4 header and a VRRP header.
const KEPT: u32 = 68;

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    pub from: IpAddr,
    pub vrid: u8,
    /// The hardware address of the sender, or of the last router on the way; `None` if the link has none.
    pub mac: Option<[u8; 6]>,
}

/// A packet socket on one interface for VRRP over one address family. Never blocks. Whether its frames reach the interface at
/// all is for the sockets that join the group to see to.
#[derive(Debug)]
pub struct Tap {
    socket: socket2::Socket,
    family: Family,
    index: usize,
}

impl Tap {
    /// Opens the socket. Needs `NET_RAW`.
    ///
    /// # Errors
    /// The capability is missing, or the interface does not exist.
    pub fn open(interface: &str, family: Family) -> Result<Self, Error> {
        Self::try_open(interface, family).map_err(Error::doing("open a packet socket on", interface))
    }

    fn try_open(interface: &str, family: Family) -> io::Result<Self> {
        let link = link_address(interface)?;
        // Where the IP header has the protocol. An extension header would hide it; VRRP uses none.
        let (protocol, at) = if family == Family::V4 { (ETH_P_IP, 9) } else { (ETH_P_IPV6, 6) };
        // Without the header of the link, whose length differs.
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket =
            socket2::Socket::new(Domain::PACKET, kind, Some(Protocol::from(i32::from(protocol.to_be()))))?;
        // Classic BPF: load the octet; if it is VRRP's, keep the packet, else drop it.
        let [load, jump_if, give] = [0x30, 0x15, 0x06];
        SockRef::from(&socket).attach_filter(&[
            SockFilter::new(load, 0, 0, at),
            SockFilter::new(jump_if, 0, 1, u32::from(PROTOCOL)),
            SockFilter::new(give, 0, 0, KEPT),
            SockFilter::new(give, 0, 0, 0),
        ])?;
        bind(socket.as_raw_fd(), &link)?;
        Ok(Self { socket, family, index: link.ifindex() })
    }

    /// The next packets, at most `most`.
    pub fn read(&self, most: usize) -> Vec<Arrival> {
        let mut arrivals = vec![];
        for _ in 0..most {
            let mut packet = [0; KEPT as usize];
            let Ok((length, sender)) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut packet) else {
                break;
            };
            // Before it was bound, the socket received from every interface.
            let is_ours = |link: &LinkAddr| {
                link.ifindex() == self.index && HOST_BROADCAST_MULTICAST.contains(&link.pkttype())
            };
            let Some(sender) = sender.filter(is_ours) else { continue };
            let mac = sender.addr().filter(|_| sender.halen() == 6);
            let parsed = parse(self.family, &packet[..length]);
            arrivals.extend(parsed.map(|(from, vrid)| Arrival { from, vrid, mac }));
        }
        arrivals
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The source and the VRID of a packet that has both: not of a later fragment.
fn parse(family: Family, packet: &[u8]) -> Option<(IpAddr, u8)> {
    match family {
        Family::V4 => {
            let fragment_offset = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x1fff;
            let header = usize::from(packet.first()? & 0xf) * 4;
            let vrid = packet.get(header + 1).filter(|_| fragment_offset == 0)?;
            Some((Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into(), *vrid))
        }
        Family::V6 => Some((Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into(), *packet.get(41)?)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_source_and_the_vrid_are_read_behind_options_but_from_no_later_fragment() {
        let mut packet =
            vec![0x45, 0, 0, 40, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 11, 224, 0, 0, 18, 0x21, 51];
        let read = |packet: &[u8]| parse(Family::V4, packet);
        let expected = Some((IpAddr::from([10, 0, 0, 11]), 51));
        assert_eq!(read(&packet), expected);
        packet[7] = 1;
        assert_eq!(read(&packet), None, "a later fragment");
        packet[6..8].copy_from_slice(&[0x20, 0]);
        assert_eq!(read(&packet), expected, "the first fragment");
        packet[0] = 0x46;
        packet.splice(20..20, [1, 1, 1, 0]);
        assert_eq!(read(&packet), expected, "with options");
        let mut six = [0; 42];
        six[8..24].copy_from_slice(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        six[41] = 7;
        assert_eq!(parse(Family::V6, &six), Some(("fe80::1".parse().unwrap(), 7)));
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..70)) {
            let _ = (parse(Family::V4, &octets), parse(Family::V6, &octets));
        }
    }
}
