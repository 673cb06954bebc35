//! The nf_tables socket: sends a transaction or a request and reads the answers. Knows no table.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockFlag, SockProtocol, getsockname, send};

use super::batch::Batch;
use crate::sys::Error;
use crate::sys::limits::move_up;
use crate::sys::netlink::socket::{buffer, open, receive};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const ALIGNMENT: usize = 4;
/// The length of `nfgenmsg`.
const GENERIC_HEADER: usize = 4;
/// In a refusal, the error is followed by the header of the refused message.
const REFUSED_KIND: usize = 4 + 4;

/// The least number of the descriptor. The kernel closes descriptors from the highest number down, and closing this one
/// silences the host.
const DESCRIPTOR: i32 = 800;

/// A socket that never blocks: the kernel has answered when `send` returns.
#[derive(Debug)]
pub(super) struct Transport {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

/// A message of the kernel.
pub(super) struct Answer {
    pub(super) kind: u16,
    sequence: u32,
    /// What follows `nlmsghdr`.
    payload: Vec<u8>,
}

impl Answer {
    /// The value of an attribute.
    pub(super) fn attribute(&self, kind: u16) -> Option<Vec<u8>> {
        let mut attributes = NlasIterator::new(self.payload.get(GENERIC_HEADER..)?).map_while(Result::ok);
        attributes.find(|attribute| attribute.kind() == kind).map(|attribute| attribute.value().to_vec())
    }
}

/// Why the kernel does not do something, and the type of the message that it refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: u16,
    pub(super) source: io::Error,
}

impl Transport {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = open(SockProtocol::NetlinkNetFilter, SockFlag::SOCK_NONBLOCK, 0)?;
        Ok(Self { socket: move_up(socket, DESCRIPTOR), buffer: buffer() })
    }

    /// The number by which the kernel names this socket as the cause of a change.
    pub(super) fn port(&self) -> Result<u32, Error> {
        let name = getsockname::<NetlinkAddr>(self.socket.as_raw_fd());
        name.map(|name| name.pid()).map_err(Error::doing("name", "the nf_tables socket"))
    }

    /// Performs the transaction, or only has the kernel examine it.
    pub(super) fn commit(&mut self, batch: Batch, perform: bool) -> Result<(), Refusal> {
        let (octets, last) = batch.octets(perform);
        let answers = self.ask(&octets).map_err(|source| Refusal { kind: 0, source })?;
        match answers.iter().find_map(refusal) {
            Some(refusal) => Err(refusal),
            None if answers.iter().any(|answer| answer.kind == NLMSG_ERROR && answer.sequence == last) => {
                Ok(())
            }
            None => Err(Refusal { kind: 0, source: io::ErrorKind::UnexpectedEof.into() }),
        }
    }

    /// Sends octets and returns every answer to them.
    pub(super) fn ask(&mut self, octets: &[u8]) -> io::Result<Vec<Answer>> {
        send(self.socket.as_raw_fd(), octets, MsgFlags::empty())?;
        let mut answers = vec![];
        loop {
            match receive(self.socket.as_fd(), &mut self.buffer) {
                Ok(length) => split(&self.buffer[..length], &mut answers),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The messages in one datagram, up to the first with an impossible length.
pub(super) fn split(mut octets: &[u8], answers: &mut Vec<Answer>) {
    while let Ok(message) = NetlinkBuffer::new_checked(octets) {
        let (kind, sequence) = (message.message_type(), message.sequence_number());
        answers.push(Answer { kind, sequence, payload: message.payload().to_vec() });
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        octets = octets.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
}

/// `None` if it is a confirmation or another answer.
fn refusal(answer: &Answer) -> Option<Refusal> {
    let error = answer.payload.first_chunk().map(|octets| i32::from_ne_bytes(*octets))?;
    let kind = answer.payload.get(REFUSED_KIND..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))?;
    let refused = answer.kind == NLMSG_ERROR && error != 0;
    refused.then(|| Refusal { kind, source: io::Error::from_raw_os_error(error.saturating_neg()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sys::nftables::batch::Kind;

    /// An `nlmsgerr` about message `sequence`.
    fn error(sequence: u32, code: i32) -> Vec<u8> {
        let mut octets = [36_u32.to_ne_bytes(), [2, 0, 0, 0], sequence.to_ne_bytes(), [0; 4]].concat();
        if cfg!(target_endian = "big") {
            octets[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        }
        octets.extend(code.to_ne_bytes());
        octets.extend(40_u32.to_ne_bytes());
        octets.extend(Kind::NewTable.message_type().to_ne_bytes());
        octets.extend([0; 10]);
        octets
    }

    fn answers(octets: &[u8]) -> Vec<Answer> {
        let mut answers = vec![];
        split(octets, &mut answers);
        answers
    }

    #[test]
    fn a_refusal_names_the_message_and_the_reason() {
        let answers = answers(&[error(1, -1), error(2, 0)].concat());
        let refusals: Vec<_> = answers.iter().filter_map(refusal).collect();
        assert_eq!(refusals.len(), 1);
        assert_eq!((refusals[0].kind, refusals[0].source.raw_os_error()), (10 << 8, Some(1)));
        assert_eq!(answers.iter().map(|answer| answer.sequence).collect::<Vec<_>>(), [1, 2]);
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            let whole = [error(3, -95), octets].concat();
            prop_assert!(answers(&whole).iter().filter_map(refusal).count() >= 1);
        }
    }
}
