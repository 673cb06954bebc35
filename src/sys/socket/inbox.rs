//! Packets read from one socket in one system call; knows not what they say.

use std::fmt;
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};

use super::{Arrival, BUFFER, Received, Socket};
use crate::sys::Error;

/// Packets that one call takes.
const PACKETS: usize = 16;
/// Octets for each: the longest advertisement over IPv4 (255 addresses, authentication data, a header with all
/// options) has 1,096. What is longer is cut, and known to be.
const ROOM: usize = 1_280;

/// Room for [`Socket::receive_all`].
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
    /// The next packets in the queue, and whether there may be more. Over IPv6 it is one: what is told beside it
    /// wants its own call.
    pub fn receive_all<'a>(&self, inbox: &'a mut Inbox) -> Result<(Vec<Received<'a>>, bool), Error> {
        if !self.v4 {
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
