//! Limits the takeovers after the fast skew, so that forged adverts, or two speakers behind one address, cannot move the
//! addresses faster than they could by the RFC's times. Knows only times.

use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// After a fast takeover, the next one needs this many advertisement intervals in which no master fell. A failed master
/// that is well again does not return sooner: it is backup first, and waits three intervals and its skew.
const STEADY_INTERVALS: u32 = 3;

/// The same after a takeover that was wrong. Longer than a second speaker needs to become master and then backup again.
const LONG_STEADY_INTERVALS: u32 = 10;

/// One fast takeover, which comes back after a steady time.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct TakeoverBudget {
    /// `None`: a fast takeover is available. Most routers never take over fast.
    spent: Option<Box<Spent>>,
}

#[derive(Clone, Debug, Hash)]
struct Spent {
    /// The time of the last fast takeover, and the master that it replaced.
    at: Instant,
    from: IpAddr,
    /// The last takeover or fall.
    unsteady: Instant,
    /// The intervals that must pass without a fall.
    intervals: u32,
}

impl TakeoverBudget {
    /// A master that advertises every `interval` released or fell. Returns whether to take over after the fast skew.
    pub(super) fn admits(&mut self, now: Instant, interval: Duration) -> bool {
        match &mut self.spent {
            Some(spent) if now.since(spent.unsteady) < interval * spent.intervals => spent.unsteady = now,
            _ => self.spent = None,
        }
        self.spent.is_none()
    }

    /// We took over from this master after the fast skew.
    pub(super) fn spend(&mut self, now: Instant, from: IpAddr) {
        let spent = Spent { at: now, from, unsteady: now, intervals: STEADY_INTERVALS };
        self.spent = Some(Box::new(spent));
    }

    /// As master that advertises every `interval`, we were outranked. If it was soon, and by the router that we replaced,
    /// that one had not fallen.
    pub(super) fn outranked(&mut self, now: Instant, by: IpAddr, interval: Duration) {
        if let Some(spent) = &mut self.spent
            && spent.from == by
            && now.since(spent.at) < interval * STEADY_INTERVALS
        {
            spent.intervals = LONG_STEADY_INTERVALS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn master() -> IpAddr {
        "10.0.0.1".parse().unwrap()
    }

    #[test]
    fn after_a_fast_takeover_three_intervals_must_pass_without_a_fall() {
        let at = Instant::from_millis;
        let mut budget = TakeoverBudget::default();
        assert!(budget.admits(at(0), INTERVAL));
        assert!(budget.admits(at(4), INTERVAL), "until it is spent");
        budget.spend(at(5), master());
        assert!(!budget.admits(at(3_004), INTERVAL));
        assert!(!budget.admits(at(6_003), INTERVAL), "each fall prolongs it");
        assert!(budget.admits(at(9_003), INTERVAL));
    }

    #[test]
    fn after_a_wrong_takeover_it_is_ten() {
        let at = Instant::from_millis;
        let mut budget = TakeoverBudget::default();
        budget.spend(at(0), master());
        budget.outranked(at(1), "10.0.0.9".parse().unwrap(), INTERVAL);
        budget.outranked(at(3_000), master(), INTERVAL);
        assert!(budget.admits(at(3_001), INTERVAL), "another router, or the same one when it may be back");
        budget.spend(at(4_000), master());
        budget.outranked(at(4_001), master(), INTERVAL);
        assert!(!budget.admits(at(13_999), INTERVAL));
        assert!(budget.admits(at(23_999), INTERVAL));
    }

    #[test]
    fn a_flood_gets_one_fast_takeover() {
        let mut budget = TakeoverBudget::default();
        let admitted = (0..10_000).filter(|ms| {
            let admitted = budget.admits(Instant::from_millis(*ms), INTERVAL);
            if admitted {
                budget.spend(Instant::from_millis(*ms), master());
            }
            admitted
        });
        assert_eq!(admitted.count(), 1);
    }
}
