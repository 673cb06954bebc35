//! How many routers ask in one turn of the loop who else has their addresses. Sends nothing.

use crate::vrrp::Family;

/// Of the routers of a link and family, so many ask in one turn. The others rely on the answers.
pub(super) const MOST: usize = 32;

/// A link by its index, and a family.
pub(super) type Place = (u32, Family);

/// The questions of one turn.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<Place>);

impl Questions {
    /// A turn begins.
    pub(super) fn start_turn(&mut self) {
        self.0.clear();
    }

    /// Whether one more router may ask.
    pub(super) fn admit(&mut self, place: Place) -> bool {
        let admitted = self.0.iter().filter(|asked| **asked == place).count() < MOST;
        self.0.extend(admitted.then_some(place));
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
}
