//! A question that the kernel answers with one message, such as that for a route: encodes it, and keeps the answer as it is.
//! Knows no socket and no meaning.

use std::convert::Infallible;

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlaBuffer, NlasIterator,
};

/// The length of `rtmsg` and of `ndmsg`.
pub(super) const HEADER: usize = 12;

#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: u16,
    pub(super) header: [u8; HEADER],
    pub(super) attributes: Vec<DefaultNla>,
}

impl NetlinkSerializable for Question {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..HEADER].copy_from_slice(&self.header);
        self.attributes.as_slice().emit(&mut buffer[HEADER..]);
    }
}

/// A message of this kind.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: u16,
    pub(super) payload: Box<[u8]>,
}

impl NetlinkDeserializable for Found {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, payload: payload.into() })
    }
}

impl Found {
    /// The readable ones.
    pub(super) fn attributes(&self) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
        NlasIterator::new(self.payload.get(HEADER..).unwrap_or_default()).map_while(Result::ok)
    }
}

#[cfg(test)]
pub(super) fn octets(question: &Question) -> Vec<u8> {
    let mut octets = vec![0xff; question.buffer_len()];
    question.serialize(&mut octets);
    octets
}
