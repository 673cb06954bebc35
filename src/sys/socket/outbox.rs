//! Packets to the group that wait to leave in one system call; knows not why they wait.

use std::io::{self, IoSlice};
use std::net::IpAddr;

use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::{Socket, without_port};
use crate::sys::Error;

/// Whole packets of one [`Socket`], in the order they are to leave.
#[derive(Debug, Default)]
pub struct Outbox {
    octets: Vec<u8>,
    packets: Vec<Packet>,
}

#[derive(Debug)]
struct Packet {
    /// Where it ends in `octets`.
    end: usize,
    from: IpAddr,
    /// Whose it is.
    sender: usize,
}

impl Outbox {
    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

impl Socket {
    /// Puts a packet to `to`, the group, into the outbox, as [`Socket::send`] would send it. `sender` is who will be
    /// told if it cannot leave.
    pub fn put(
        &self,
        outbox: &mut Outbox,
        sender: usize,
        from: IpAddr,
        to: IpAddr,
        payload: &[u8],
    ) -> Result<(), Error> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                outbox.octets.extend(self.header_v4(from, to, payload)?);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                outbox.octets.extend(self.header_v6(from, to, payload)?);
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(self.not_sent(from, to)(io::ErrorKind::InvalidInput.into()));
            }
        }
        outbox.octets.extend_from_slice(payload);
        outbox.packets.push(Packet { end: outbox.octets.len(), from, sender });
        Ok(())
    }

    /// Sends all that is in the outbox to `to`; answers who could not send, and why.
    pub fn empty(&self, outbox: &mut Outbox, to: IpAddr) -> Vec<(usize, Error)> {
        let mut failed = vec![];
        let mut start = 0;
        let packets: Vec<_> = outbox
            .packets
            .iter()
            .map(|packet| {
                [IoSlice::new(&outbox.octets[std::mem::replace(&mut start, packet.end)..packet.end])]
            })
            .collect();
        let mut sent = self.send_at_once(&packets, to);
        while let Some((slice, packet)) = packets.get(sent).zip(outbox.packets.get(sent)) {
            // The first that could not leave with the others says why.
            if let Err(e) = self.send.send_to_vectored(slice, &without_port(to).into()) {
                failed.push((packet.sender, self.not_sent(packet.from, to)(e)));
            }
            sent += 1;
        }
        outbox.octets.clear();
        outbox.packets.clear();
        failed
    }

    /// How many of the packets could leave together.
    fn send_at_once(&self, packets: &[[IoSlice<'_>; 1]], to: IpAddr) -> usize {
        // For one it is no gain.
        if packets.len() < 2 {
            return 0;
        }
        let to = without_port(to).as_any();
        let mut nothing: Vec<_> = packets.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let with = packets.iter().zip(&mut nothing);
        let mut messages: Vec<_> =
            with.map(|(packet, none)| MMsgHdr::new_with_addr(&to, packet, none)).collect();
        sendmmsg(&self.send, &mut messages, SendFlags::empty()).unwrap_or(0)
    }
}
