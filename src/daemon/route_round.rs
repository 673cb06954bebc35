//! Which unicast routers' routes are looked up in a turn of the loop. Looks up nothing.

use std::ops::Range;
use std::time::Duration;

use crate::time::Instant;

/// The least time between two looks at the routes to unicast peers.
const ROUTES_GAP: Duration = Duration::from_secs(1);
/// The most routers whose routes are looked up in one turn.
const MOST_ROUTES: usize = 32;

/// Which routers' routes were looked up.
#[derive(Debug)]
pub(super) struct RouteRound {
    began: Instant,
    /// The first router whose turn has not come yet.
    next: usize,
}

impl RouteRound {
    pub(super) const fn new() -> Self {
        Self { began: Instant::START, next: 0 }
    }

    /// The routers whose turn it is.
    pub(super) fn take(&mut self, now: Instant, routers: usize) -> Range<usize> {
        if self.next >= routers && now.since(self.began) >= ROUTES_GAP {
            *self = Self { began: now, next: 0 };
        }
        let first = self.next;
        self.next = routers.min(first + MOST_ROUTES);
        first..self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_router_has_its_turn_once_a_second_and_a_few_share_one() {
        let mut round = RouteRound::new();
        let mut take = |ms| round.take(Instant::from_millis(ms), 70);
        assert_eq!([10_000, 10_001, 10_002].map(&mut take), [0..32, 32..64, 64..70]);
        assert_eq!(
            [10_003, 10_004, 11_002].map(&mut take),
            [0..32, 32..64, 64..70],
            "the first round is no second old"
        );
        assert_eq!([11_002, 11_003].map(&mut take), [70..70, 0..32]);
    }
}
