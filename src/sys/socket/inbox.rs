//! Receives many packets of one socket in one system call. Does not read their payload.

use std::fmt;
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};

use super::raw::{Arrival, BUFFER, Received, Socket};
use crate::sys::Error;
use crate::vrrp::Family;

/// Packets per system call.
const PACKETS: usize = 16;
/// Octets per packet: the longest advertisement over IPv4 (255 addresses, authentication data, a header with all
/// options) has 1,096. A longer packet is truncated and reported as too long.
const ROOM: usize = 1_280;

/// The buffers for [`Socket::receive_all`].
pub struct Inbox {
    octets: Vec<u8>,
    headers: MultiHeaders<SockaddrIn>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            octets: vec![0; (PACKETS * ROOM).max(BUFFER)],
            headers: MultiHeaders::preallocate(PACKETS, None),
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Socket {
    /// Receives the next packets in the queue; also returns whether there may be more. IPv6 packets come one at a time,
    /// because each has control messages.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn receive_all<'a>(&self, inbox: &'a mut Inbox) -> Result<(Vec<Received<'a>>, bool), Error> {
        if self.family == Family::V6 {
            let received: Vec<_> = self.receive(&mut inbox.octets)?.into_iter().collect();
            let more = !received.is_empty();
            return Ok((received, more));
        }
        let arrivals = loop {
            match self.arrivals(inbox) {
                Ok(arrivals) => break arrivals,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break vec![],
                Err(errno) => return Err(Error::doing("receive VRRP on", &self.interface)(errno)),
            }
        };
        let more = arrivals.len() == PACKETS;
        let packets = inbox.octets.chunks(ROOM).zip(arrivals);
        Ok((packets.map(|(octets, arrival)| arrival.packet(octets)).collect(), more))
    }

    fn arrivals(&self, inbox: &mut Inbox) -> nix::Result<Vec<Arrival>> {
        let mut slices: Vec<_> = inbox.octets.chunks_mut(ROOM).map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::empty();
        let packets = recvmmsg(self.receive.as_raw_fd(), &mut inbox.headers, slices.iter_mut(), flags, None)?;
        let arrival = |from: Option<SockaddrIn>, length, flags: MsgFlags| {
            let from = from.map_or(Ipv4Addr::UNSPECIFIED, |from| from.ip()).into();
            Arrival { from, to: None, ttl: 0, length, truncated: flags.contains(MsgFlags::MSG_TRUNC) }
        };
        Ok(packets.map(|packet| arrival(packet.address, packet.bytes, packet.flags)).collect())
    }
}
