//! Which router uses which VRID on which link: at most one router per family. Knows no socket.

use crate::ids::RouterId;
use crate::vrrp::{Family, Vrid};

/// What only one router can use: the index of a link, a family and a VRID.
pub(super) type Slot = (u32, Family, Vrid);

/// The slots in use and by which router, sorted.
#[derive(Debug, Default)]
pub(super) struct VridTable(Vec<(Slot, RouterId)>);

impl VridTable {
    /// The router that uses the slot.
    pub(super) fn holder(&self, slot: Slot) -> Option<RouterId> {
        self.find(slot).ok().map(|at| self.0[at].1)
    }

    /// Gives the router this slot, and no other.
    ///
    /// # Errors
    /// The router that already uses it.
    pub(super) fn claim(&mut self, slot: Slot, id: RouterId) -> Result<(), RouterId> {
        match self.holder(slot) {
            Some(holder) if holder == id => Ok(()),
            Some(holder) => {
                self.release(id);
                Err(holder)
            }
            None => {
                self.release(id);
                let at = self.find(slot).unwrap_or_else(|at| at);
                self.0.insert(at, (slot, id));
                Ok(())
            }
        }
    }

    /// The router uses no slot.
    pub(super) fn release(&mut self, id: RouterId) {
        self.0.retain(|(_, holder)| *holder != id);
    }

    fn find(&self, slot: Slot) -> Result<usize, usize> {
        self.0.binary_search_by_key(&slot, |(slot, _)| *slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(link: u32, family: Family, vrid: u8) -> Slot {
        (link, family, Vrid::new(vrid).unwrap())
    }

    #[test]
    fn the_first_router_keeps_a_vrid_until_it_releases_it() {
        let mut table = VridTable::default();
        let here = slot(2, Family::V4, 51);
        let (first, second) = (RouterId(7), RouterId(3));
        assert_eq!(table.claim(here, first), Ok(()));
        assert_eq!(table.claim(here, first), Ok(()));
        assert_eq!(table.claim(here, second), Err(first));
        for other in [slot(2, Family::V6, 51), slot(3, Family::V4, 51), slot(2, Family::V4, 52)] {
            assert_eq!((table.holder(other), table.claim(other, second)), (None, Ok(())));
        }
        assert_eq!(table.holder(slot(3, Family::V4, 51)), None, "one slot at a time");
        table.release(first);
        assert_eq!((table.claim(here, second), table.holder(here)), (Ok(()), Some(second)));
    }
}
