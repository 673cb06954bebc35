//! How many routers ask in one turn of the loop who else has their addresses. Sends nothing.

use std::net::IpAddr;

use crate::vrrp::Family;

/// Of the routers of a link and family, so many ask in one turn. The others rely on the answers.
pub(super) const MOST: usize = 32;

/// A link by its index, and a family.
pub(super) type Place = (u32, Family);

/// The questions of one turn, and where those to unicast peers go.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: Vec<Place>,
    /// The last known hardware address of each peer, by the index of the link.
    peers: Vec<((u32, IpAddr), [u8; 6])>,
}

impl Questions {
    /// A turn begins.
    pub(super) fn start_turn(&mut self) {
        self.asked.clear();
    }

    /// The hardware address of a peer: `found`, or the last one that was. The kernel forgets that of a host that it does not
    /// reach, but the first question after a partition must arrive before the advert that ends it.
    pub(super) fn peer(&mut self, at: (u32, IpAddr), found: Option<[u8; 6]>) -> Option<[u8; 6]> {
        let known = self.peers.iter_mut().find(|(peer, _)| *peer == at);
        match (known, found) {
            (Some((_, mac)), Some(found)) => *mac = found,
            (None, Some(found)) => self.peers.push((at, found)),
            (Some((_, mac)), None) => return Some(*mac),
            (None, None) => {}
        }
        found
    }

    /// Whether one more router may ask.
    pub(super) fn admit(&mut self, place: Place) -> bool {
        let admitted = self.asked.iter().filter(|asked| **asked == place).count() < MOST;
        self.asked.extend(admitted.then_some(place));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_questions_of_a_turn_are_limited_for_each_link_and_family() {
        let mut questions = Questions::default();
        let mut admitted = |place| (0..40).filter(|_| questions.admit(place)).count();
        assert_eq!([(2, Family::V4), (2, Family::V6), (3, Family::V4)].map(&mut admitted), [MOST; 3]);
        assert_eq!(admitted((2, Family::V4)), 0);
        questions.start_turn();
        assert!(questions.admit((2, Family::V4)));
    }

    #[test]
    fn the_hardware_address_of_a_peer_that_is_not_reached_is_the_last_one() {
        let mut questions = Questions::default();
        let at = |index| (index, IpAddr::from([10, 0, 0, 12]));
        assert_eq!(questions.peer(at(2), None), None);
        assert_eq!(questions.peer(at(2), Some([1; 6])), Some([1; 6]));
        assert_eq!(questions.peer(at(2), Some([2; 6])), Some([2; 6]));
        questions.start_turn();
        assert_eq!((questions.peer(at(2), None), questions.peer(at(3), None)), (Some([2; 6]), None));
    }
}
