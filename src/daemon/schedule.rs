//! Which router is due when; knows only numbers and times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// Deadlines by router. One that moves away is found out when it comes up: every advert heard moves one, and to
/// sort it anew each time would cost more than to read the advert.
#[derive(Debug)]
pub(super) struct Schedule {
    queue: BinaryHeap<Reverse<(Instant, usize)>>,
    /// By router, its entry in `queue`; any other there is dead.
    queued: Vec<Option<Instant>>,
}

impl Schedule {
    pub(super) fn new(routers: usize) -> Self {
        Self { queue: BinaryHeap::new(), queued: vec![None; routers] }
    }

    /// The router's deadline is `at` now.
    pub(super) fn set(&mut self, id: usize, at: Option<Instant>) {
        let Some(at) = at else { return };
        if self.queued[id].is_none_or(|queued| at < queued) {
            // Whoever makes deadlines come nearer and go again must not make us keep all of them.
            if self.queue.len() > 4 * self.queued.len() {
                let queued = &self.queued;
                self.queue.retain(|Reverse((at, id))| queued[*id] == Some(*at));
            }
            self.queue.push(Reverse((at, id)));
            self.queued[id] = Some(at);
        }
    }

    /// The earliest deadline; `real` tells what a router's is by now.
    pub(super) fn next(&mut self, real: impl Fn(usize) -> Option<Instant>) -> Option<Instant> {
        loop {
            let Reverse((at, id)) = *self.queue.peek()?;
            let live = self.queued[id] == Some(at);
            let real = if live { real(id) } else { None };
            if live && real == Some(at) {
                return real;
            }
            self.queue.pop();
            if live {
                self.queued[id] = real;
                self.queue.extend(real.map(|real| Reverse((real, id))));
            }
        }
    }

    /// The routers that are due, in the order of their deadlines, which [`Schedule::set`] has to tell anew.
    pub(super) fn due(&mut self, now: Instant, real: impl Fn(usize) -> Option<Instant>) -> Vec<usize> {
        let mut due = vec![];
        while self.next(&real).is_some_and(|at| at <= now) {
            if let Some(Reverse((_, id))) = self.queue.pop() {
                self.queued[id] = None;
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
    fn a_deadline_that_moved_away_is_not_due_and_one_that_came_nearer_is() {
        let mut schedule = Schedule::new(2);
        schedule.set(0, Some(at(10)));
        schedule.set(1, Some(at(20)));
        let real = |id| Some([at(30), at(5)][id]);
        schedule.set(0, real(0));
        schedule.set(1, real(1));
        assert_eq!(schedule.due(at(20), real), [1]);
        assert_eq!(schedule.next(|id| [Some(at(30)), None][id]), Some(at(30)));
    }

    #[test]
    fn deadlines_that_come_and_go_are_not_kept() {
        let mut schedule = Schedule::new(1);
        for n in 0..10_000 {
            let far = Some(at(1_000_000 + n));
            schedule.set(0, Some(at(500_000 - n)));
            assert_eq!(schedule.next(|_| far), far);
        }
        assert!(schedule.queue.len() < 10, "{}", schedule.queue.len());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_look_at_every_router(
            moves in proptest::collection::vec((0usize..4, proptest::option::of(0u64..50)), 0..60),
        ) {
            let mut schedule = Schedule::new(4);
            let mut real = [None; 4];
            for (n, (id, to)) in (0u64..).zip(moves) {
                real[id] = to.map(at);
                schedule.set(id, real[id]);
                prop_assert_eq!(schedule.next(|id| real[id]), real.iter().flatten().min().copied());
                let mut due = schedule.due(at(n), |id| real[id]);
                due.sort_unstable();
                let expected: Vec<_> = (0..4).filter(|id| real[*id].is_some_and(|d| d <= at(n))).collect();
                prop_assert_eq!(&due, &expected);
                for id in due {
                    real[id] = None;
                }
            }
        }
    }
}
