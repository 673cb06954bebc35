//! Encodes the question for the kernel's neighbor entry of a host, and decodes the answer. Knows no socket and decides
//! nothing.

use std::net::Ipv4Addr;

use netlink_packet_core::DefaultNla;

use super::question::{Found, HEADER, Question};

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const AF_INET: u8 = 2;

/// The place of the interface in `ndmsg`.
const INDEX: usize = 4;

/// The entry of a host on the link with this index.
pub(super) fn question(index: u32, address: Ipv4Addr) -> Question {
    let mut header = [0; HEADER];
    header[0] = AF_INET;
    header[INDEX..INDEX + 4].copy_from_slice(&index.to_ne_bytes());
    let attributes = vec![DefaultNla::new(NDA_DST, address.octets().to_vec())];
    Question { kind: RTM_GETNEIGH, header, attributes }
}

/// The hardware address in the entry; `None` while the kernel does not know it.
pub(super) fn hardware_address(found: &Found) -> Option<[u8; 6]> {
    let mut attributes = found.attributes().filter(|_| found.kind == RTM_NEWNEIGH);
    attributes.find(|attribute| attribute.kind() == NDA_LLADDR)?.value().try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::question::octets;
    use super::*;

    fn found(payload: &[u8]) -> Found {
        Found { kind: RTM_NEWNEIGH, payload: payload.into() }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_query_has_the_link_and_the_address() {
        #[rustfmt::skip]
        assert_eq!(octets(&question(3, [10, 0, 0, 12].into())), [
            2, 0, 0, 0,  3, 0, 0, 0,  0, 0, 0, 0,
            8, 0, 1, 0,  10, 0, 0, 12,
        ]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_reply_has_the_hardware_address_if_the_kernel_knows_it() {
        let mut payload = vec![2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 1];
        payload.extend([8, 0, 1, 0, 10, 0, 0, 12]);
        assert_eq!(hardware_address(&found(&payload)), None);
        payload.extend([10, 0, 2, 0, 2, 0x42, 10, 0, 0, 12, 0, 0]);
        assert_eq!(hardware_address(&found(&payload)), Some([2, 0x42, 10, 0, 0, 12]));
    }

    proptest! {
        #[test]
        fn no_octets_panic(garbage in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = hardware_address(&found(&garbage));
        }
    }
}
