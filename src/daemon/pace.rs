//! How long the turns of the loop take, how often what a signal requests is done, and whose routes are looked up in a turn;
//! reads no clock.

use std::ops::Range;
use std::time::Duration;

use crate::time::Instant;

/// The least time between two times that one thing is done on request.
const INTERVAL: Duration = Duration::from_secs(1);

/// The longest turn of the event loop: for so long nothing else could be done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stall {
    longest: Duration,
}

impl Stall {
    /// A turn took from `began` to `ended`.
    pub(super) fn record(&mut self, began: Instant, ended: Instant) {
        self.longest = self.longest.max(ended.since(began));
    }

    pub(super) fn longest(self) -> Duration {
        self.longest
    }
}

/// An action that a signal requests, and that is done at most once a second. The last request is always served.
#[derive(Debug, Default)]
pub(super) struct OnRequest {
    last: Option<Instant>,
    /// Requests since then.
    waiting: u64,
}

impl OnRequest {
    pub(super) fn request(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// When [`OnRequest::take`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.waiting > 0).then(|| self.last.map_or(Instant::START, |last| last + INTERVAL))
    }

    /// The number of requests to be served now, by doing it once.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        self.deadline().filter(|at| *at <= now)?;
        self.last = Some(now);
        Some(std::mem::take(&mut self.waiting))
    }
}

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

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn the_longest_turn_counts() {
        let mut stall = Stall::default();
        assert_eq!(stall.longest(), Duration::ZERO);
        for (began, ended) in [(10, 12), (20, 95), (100, 101), (110, 110)] {
            stall.record(at(began), at(ended));
        }
        assert_eq!(stall.longest(), Duration::from_millis(75));
    }

    #[test]
    fn a_storm_of_requests_is_served_once_a_second_and_the_last_one_is_not_lost() {
        let mut status = OnRequest::default();
        assert_eq!((status.deadline(), status.take(at(0))), (None, None));
        let mut served = vec![];
        for ms in 5_000..8_000 {
            status.request();
            served.extend(status.take(at(ms)).map(|requests| (ms, requests)));
        }
        assert_eq!(served, [(5_000, 1), (6_000, 1_000), (7_000, 1_000)]);
        assert_eq!(status.deadline(), Some(at(8_000)));
        assert_eq!((status.take(at(8_000)), status.deadline()), (Some(999), None));
        assert_eq!(status.take(at(20_000)), None);
        status.request();
        assert_eq!(status.take(at(20_000)), Some(1), "after a quiet time it is served at once");
    }

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
