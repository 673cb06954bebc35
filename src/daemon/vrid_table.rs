//! Who has which virtual router identifier on which link: one router of each family; knows no socket.

use crate::vrrp::{Family, Vrid};

/// A link's index, and what must be there once.
pub(super) type Seat = (u32, Family, Vrid);

/// Seats taken and by which router, sorted.
#[derive(Debug, Default)]
pub(super) struct Seats(Vec<(Seat, usize)>);

impl Seats {
    /// The router that has it.
    pub(super) fn holder(&self, seat: Seat) -> Option<usize> {
        self.find(seat).ok().map(|at| self.0[at].1)
    }

    /// Gives the router this seat, and only this, if no other has it; then the other is the error.
    pub(super) fn take(&mut self, seat: Seat, id: usize) -> Result<(), usize> {
        match self.holder(seat) {
            Some(holder) if holder == id => Ok(()),
            Some(holder) => {
                self.leave(id);
                Err(holder)
            }
            None => {
                self.leave(id);
                let at = self.find(seat).unwrap_or_else(|at| at);
                self.0.insert(at, (seat, id));
                Ok(())
            }
        }
    }

    /// The router needs none.
    pub(super) fn leave(&mut self, id: usize) {
        self.0.retain(|(_, holder)| *holder != id);
    }

    fn find(&self, seat: Seat) -> Result<usize, usize> {
        self.0.binary_search_by_key(&seat, |(seat, _)| *seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(link: u32, family: Family, vrid: u8) -> Seat {
        (link, family, Vrid::new(vrid).unwrap())
    }

    #[test]
    fn the_first_to_come_has_it_until_it_leaves() {
        let mut seats = Seats::default();
        let here = seat(2, Family::V4, 51);
        assert_eq!(seats.take(here, 7), Ok(()));
        assert_eq!(seats.take(here, 7), Ok(()));
        assert_eq!(seats.take(here, 3), Err(7));
        for other in [seat(2, Family::V6, 51), seat(3, Family::V4, 51), seat(2, Family::V4, 52)] {
            assert_eq!((seats.holder(other), seats.take(other, 3)), (None, Ok(())));
        }
        assert_eq!(seats.holder(seat(3, Family::V4, 51)), None, "one at a time");
        seats.leave(7);
        assert_eq!((seats.take(here, 3), seats.holder(here)), (Ok(()), Some(3)));
    }
}
