//! The events that wait to be handled, and the action lists that wait for a lease renewal; performs nothing.

use std::collections::VecDeque;
use std::vec::IntoIter;

use crate::ids::RouterId;
use crate::vrrp::{Action, Event};

/// The room for events that is kept: at the start and at a stop, every router has one at the same time.
const KEPT: usize = 64;
/// The most leases renewed in one netlink call: more would gain nothing and take memory.
const RENEWALS: usize = 32;

/// An action list that stopped at [`Action::Renew`], and the actions behind it.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) router: RouterId,
    pub(super) rest: IntoIter<Action>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Next {
    Handle(RouterId, Event<'static>),
    /// Renew these leases together, then perform what each router does afterwards.
    Renew(Vec<Renewal>),
}

/// One queue for everything that follows from an event: no action is performed while another is in progress.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<(RouterId, Event<'static>)>,
    renewals: Vec<Renewal>,
}

impl Queue {
    /// Appends an event for a router.
    pub(super) fn push(&mut self, router: RouterId, event: Event<'static>) {
        self.events.push_back((router, event));
    }

    /// Puts an event before all others: what follows from an action comes before unrelated events.
    pub(super) fn push_next(&mut self, router: RouterId, event: Event<'static>) {
        self.events.push_front((router, event));
    }

    /// Keeps the rest of an action list until the router's lease is renewed.
    pub(super) fn await_renewal(&mut self, router: RouterId, rest: IntoIter<Action>) {
        self.renewals.push(Renewal { router, rest });
    }

    /// The next step; `None` once everything is done. Leases of timers that fire together are renewed together, but
    /// before any other event, which must find every action list completed.
    pub(super) fn next(&mut self) -> Option<Next> {
        let wait = match self.events.front() {
            Some((_, Event::Timer)) => self.renewals.len() < RENEWALS,
            Some(_) => self.renewals.is_empty(),
            None => false,
        };
        if wait {
            return self.events.pop_front().map(|(router, event)| Next::Handle(router, event));
        }
        if self.renewals.is_empty() {
            self.events.shrink_to(KEPT);
            return None;
        }
        Some(Next::Renew(std::mem::take(&mut self.renewals)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMER: fn(usize) -> (RouterId, Event<'static>) = |n| (RouterId(n), Event::Timer);

    fn handled(next: Option<Next>) -> RouterId {
        match next {
            Some(Next::Handle(router, _)) => router,
            other => panic!("{other:?}"),
        }
    }

    fn renewed(next: Option<Next>) -> Vec<RouterId> {
        match next {
            Some(Next::Renew(renewals)) => renewals.iter().map(|renewal| renewal.router).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn timers_that_fire_together_are_renewed_together() {
        let mut queue = Queue::default();
        for (router, event) in [TIMER(0), TIMER(1)] {
            queue.push(router, event);
        }
        for n in 0..2 {
            assert_eq!(handled(queue.next()), RouterId(n));
            queue.await_renewal(RouterId(n), vec![].into_iter());
        }
        assert_eq!(renewed(queue.next()), [RouterId(0), RouterId(1)]);
        assert!(queue.next().is_none());
    }

    #[test]
    fn any_other_event_comes_after_the_renewals() {
        let mut queue = Queue::default();
        queue.push(RouterId(0), Event::Timer);
        assert_eq!(handled(queue.next()), RouterId(0));
        queue.await_renewal(RouterId(0), vec![].into_iter());
        queue.push(RouterId(1), Event::Refused);
        assert_eq!(renewed(queue.next()), [RouterId(0)]);
        assert_eq!(handled(queue.next()), RouterId(1));
        assert!(queue.next().is_none());
    }

    #[test]
    fn one_call_renews_a_bounded_number_of_leases() {
        let mut queue = Queue::default();
        for n in 0..=RENEWALS {
            queue.push(RouterId(n), Event::Timer);
        }
        for n in 0..RENEWALS {
            assert_eq!(handled(queue.next()), RouterId(n));
            queue.await_renewal(RouterId(n), vec![].into_iter());
        }
        assert_eq!(renewed(queue.next()).len(), RENEWALS);
        assert_eq!(handled(queue.next()), RouterId(RENEWALS));
    }
}
