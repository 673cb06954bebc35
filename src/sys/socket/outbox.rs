//! Packets to the group, queued so that one system call can send them all. Does not decide when.

use std::io::{self, IoSlice};
use std::net::IpAddr;

use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::raw::{Socket, without_port};
use super::{ipv4, ipv6};
use crate::sys::Error;

/// Complete packets for one [`Socket`], in sending order.
#[derive(Debug, Default)]
pub struct Outbox {
    octets: Vec<u8>,
    packets: Vec<Packet>,
}

#[derive(Debug)]
struct Packet {
    /// Its end in `octets`.
    end: usize,
    from: IpAddr,
    /// The caller's number for its sender.
    sender: usize,
}

impl Outbox {
    /// The number of queued packets.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether no packet is queued.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

impl Socket {
    /// Queues a packet as [`Socket::send`] would send it. `to` is the group. [`Socket::flush`] returns `sender` with the
    /// error if the packet could not be sent.
    ///
    /// # Errors
    /// As [`Socket::send`] before it asks the kernel.
    pub fn queue(
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

    /// Sends all queued packets to `to`. Returns the sender and the error of each that could not be sent.
    pub fn flush(&self, outbox: &mut Outbox, to: IpAddr) -> Vec<(usize, Error)> {
        let mut failed = vec![];
        let mut start = 0;
        let packets: Vec<_> = outbox
            .packets
            .iter()
            .map(|packet| {
                [IoSlice::new(&outbox.octets[std::mem::replace(&mut start, packet.end)..packet.end])]
            })
            .collect();
        let mut sent = self.send_together(&packets, to);
        while let Some((slice, packet)) = packets.get(sent).zip(outbox.packets.get(sent)) {
            // sendmmsg stopped at this packet without an error; sending it alone gives the reason.
            let alone = self.send.send_to_vectored(slice, &without_port(to).into());
            let payload = slice[0].get(header_length(to)..).unwrap_or_default();
            if let Err(e) = self.or_in_fragments(alone, (packet.from, to), payload) {
                failed.push((packet.sender, self.not_sent(packet.from, to)(e)));
            }
            sent += 1;
        }
        outbox.octets.clear();
        outbox.packets.clear();
        failed
    }

    /// Sends packets in one call; returns how many were sent.
    fn send_together(&self, packets: &[[IoSlice<'_>; 1]], to: IpAddr) -> usize {
        // One packet gains nothing.
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

/// Of the headers that we build.
fn header_length(to: IpAddr) -> usize {
    if to.is_ipv4() { ipv4::HEADER } else { ipv6::HEADER }
}
