//! Encodes the question for the kernel's neighbor entry of a host, and decodes the answer. Knows no socket and decides
//! nothing.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const AF_INET: u8 = 2;

/// The length of `ndmsg`, and the place of its interface.
const HEADER: usize = 12;
const INDEX: usize = 4;

/// The entry of a host on the link with this index.
#[derive(Debug)]
pub(super) struct NeighborQuery {
    pub(super) index: u32,
    pub(super) address: Ipv4Addr,
}

impl NeighborQuery {
    fn address(&self) -> DefaultNla {
        DefaultNla::new(NDA_DST, self.address.octets().to_vec())
    }
}

impl NetlinkSerializable for NeighborQuery {
    fn message_type(&self) -> u16 {
        RTM_GETNEIGH
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.address().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..HEADER].fill(0);
        buffer[0] = AF_INET;
        buffer[INDEX..INDEX + 4].copy_from_slice(&self.index.to_ne_bytes());
        self.address().emit(&mut buffer[HEADER..]);
    }
}

/// The hardware address in the entry; `None` while the kernel does not know it.
#[derive(Debug)]
pub(super) struct NeighborReply(pub(super) Option<[u8; 6]>);

impl NetlinkDeserializable for NeighborReply {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(if header.message_type == RTM_NEWNEIGH { hardware_address(payload) } else { None }))
    }
}

fn hardware_address(payload: &[u8]) -> Option<[u8; 6]> {
    let mut attributes = NlasIterator::new(payload.get(HEADER..)?).map_while(Result::ok);
    attributes.find(|attribute| attribute.kind() == NDA_LLADDR)?.value().try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_query_has_the_link_and_the_address() {
        let query = NeighborQuery { index: 3, address: [10, 0, 0, 12].into() };
        let mut octets = vec![0xff; query.buffer_len()];
        query.serialize(&mut octets);
        #[rustfmt::skip]
        assert_eq!(octets, [
            2, 0, 0, 0,  3, 0, 0, 0,  0, 0, 0, 0,
            8, 0, 1, 0,  10, 0, 0, 12,
        ]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_reply_has_the_hardware_address_if_the_kernel_knows_it() {
        let mut payload = vec![2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 1];
        payload.extend([8, 0, 1, 0, 10, 0, 0, 12]);
        assert_eq!(hardware_address(&payload), None);
        payload.extend([10, 0, 2, 0, 2, 0x42, 10, 0, 0, 12, 0, 0]);
        assert_eq!(hardware_address(&payload), Some([2, 0x42, 10, 0, 0, 12]));
    }

    proptest! {
        #[test]
        fn no_octets_panic(garbage in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = hardware_address(&garbage);
        }
    }
}
