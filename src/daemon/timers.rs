//! When each router's timer fires, and the time that the state machines see. Knows only numbers and times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::ids::RouterId;
use crate::sys::poller::Clock;
use crate::time::Instant;

/// Events within this time of each other happen at the same instant.
const BATCH: Duration = Duration::from_millis(5);

/// The time for the state machines. Events that happen together get the same instant, so routers that become master
/// together stay together, and one wake-up serves all of them.
#[derive(Debug)]
pub(super) struct BatchClock {
    clock: Clock,
    instant: Instant,
    /// When this turn of the loop began, and the one before.
    turn: Instant,
    turn_before: Instant,
}

impl BatchClock {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, instant: Instant::START, turn: Instant::START, turn_before: Instant::START }
    }

    /// The exact time; a new turn of the loop starts, and a new batch.
    pub(super) fn start_turn(&mut self) -> Instant {
        self.instant = self.clock.now();
        self.turn_before = std::mem::replace(&mut self.turn, self.instant);
        self.instant
    }

    /// When this turn started.
    pub(super) fn turn(&self) -> Instant {
        self.turn
    }

    /// When the turn before this one started. What happened earlier was handled in it.
    pub(super) fn turn_before(&self) -> Instant {
        self.turn_before
    }

    /// The instant of the current batch, at most [`BATCH`] ago.
    pub(super) fn now(&mut self) -> Instant {
        let exact = self.clock.now();
        if exact.since(self.instant) > BATCH {
            self.instant = exact;
        }
        self.instant
    }

    /// The exact time.
    pub(super) fn exact(&self) -> Instant {
        self.clock.now()
    }
}

/// Deadlines by router. A deadline that moved to later is noticed only when its old entry comes up: every received
/// advert moves one, and sorting it again each time would cost more than reading the advert.
#[derive(Debug)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, RouterId)>>,
    /// By router, its valid entry in `queue`; all others there are outdated.
    queued: Vec<Option<Instant>>,
}

impl Timers {
    pub(super) fn new(routers: usize) -> Self {
        Self { queue: BinaryHeap::new(), queued: vec![None; routers] }
    }

    /// There may be routers with a higher id.
    pub(super) fn grow(&mut self, routers: usize) {
        self.queued.resize(routers.max(self.queued.len()), None);
    }

    /// The router's deadline is now `at`.
    pub(super) fn set(&mut self, id: RouterId, at: Option<Instant>) {
        let Some(at) = at else { return };
        if self.queued[id.0].is_none_or(|queued| at < queued) {
            // Adverts that move deadlines nearer and away again must not fill the queue.
            if self.queue.len() > 4 * self.queued.len() {
                let queued = &self.queued;
                self.queue.retain(|Reverse((at, id))| queued[id.0] == Some(*at));
            }
            self.queue.push(Reverse((at, id)));
            self.queued[id.0] = Some(at);
        }
    }

    /// The earliest deadline; `real` returns a router's present deadline.
    pub(super) fn next(&mut self, real: impl Fn(RouterId) -> Option<Instant>) -> Option<Instant> {
        loop {
            let Reverse((at, id)) = *self.queue.peek()?;
            let live = self.queued[id.0] == Some(at);
            let real = if live { real(id) } else { None };
            if live && real == Some(at) {
                return real;
            }
            self.queue.pop();
            if live {
                self.queued[id.0] = real;
                self.queue.extend(real.map(|real| Reverse((real, id))));
            }
        }
    }

    /// The routers that are due, in the order of their deadlines. Their next deadlines must be [`set`](Self::set).
    pub(super) fn due(&mut self, now: Instant, real: impl Fn(RouterId) -> Option<Instant>) -> Vec<RouterId> {
        let mut due = vec![];
        while self.next(&real).is_some_and(|at| at <= now) {
            if let Some(Reverse((_, id))) = self.queue.pop() {
                self.queued[id.0] = None;
                due.push(id);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_deadline_moved_to_later_is_not_due_and_one_moved_to_earlier_is() {
        let mut timers = Timers::new(2);
        timers.set(RouterId(0), Some(at(10)));
        timers.set(RouterId(1), Some(at(20)));
        let real = |RouterId(id)| Some([at(30), at(5)][id]);
        timers.set(RouterId(0), real(RouterId(0)));
        timers.set(RouterId(1), real(RouterId(1)));
        assert_eq!(timers.due(at(20), real), [RouterId(1)]);
        assert_eq!(timers.next(|RouterId(id)| [Some(at(30)), None][id]), Some(at(30)));
    }

    #[test]
    fn deadlines_that_come_and_go_are_not_kept() {
        let mut timers = Timers::new(1);
        for n in 0..10_000 {
            let far = Some(at(1_000_000 + n));
            timers.set(RouterId(0), Some(at(500_000 - n)));
            assert_eq!(timers.next(|_| far), far);
        }
        assert!(timers.queue.len() < 10, "{}", timers.queue.len());
    }

    proptest! {
        #[test]
        fn timers_agree_with_a_scan_of_every_router(
            moves in proptest::collection::vec((0usize..4, proptest::option::of(0u64..50)), 0..60),
        ) {
            let mut timers = Timers::new(4);
            let mut real = [None; 4];
            for (n, (id, to)) in (0u64..).zip(moves) {
                real[id] = to.map(at);
                timers.set(RouterId(id), real[id]);
                prop_assert_eq!(timers.next(|RouterId(id)| real[id]), real.iter().flatten().min().copied());
                let mut due = timers.due(at(n), |RouterId(id)| real[id]);
                due.sort_unstable();
                let expected: Vec<_> =
                    (0..4).filter(|id| real[*id].is_some_and(|d| d <= at(n))).map(RouterId).collect();
                prop_assert_eq!(&due, &expected);
                for RouterId(id) in due {
                    real[id] = None;
                }
            }
        }
    }
}
