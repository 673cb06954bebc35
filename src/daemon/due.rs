//! What routers do when their time has come, many in one go: timers that fire together and leases that are renewed
//! together; keeps the order of what each does.

use std::time::Duration;

use super::Daemon;
use super::router::Refused;
use crate::time::Instant;
use crate::vrrp::Event;

/// So many leases are renewed in one go: more gain nothing and take memory.
const AT_ONCE: usize = 32;

/// What happens within this time of each other happens at once.
const TOGETHER: Duration = Duration::from_millis(5);

impl Daemon {
    /// The time for the state machines: the same for all that happens at once, so that routers which become master
    /// together stay together, and one wake-up serves all of them.
    pub(super) fn now(&self) -> Instant {
        let clock = self.poller.now();
        if clock.since(self.moment.get()) > TOGETHER {
            self.moment.set(clock);
        }
        self.moment.get()
    }

    /// Fires the timers that are due.
    pub(super) fn timers(&mut self) {
        for id in self.schedule.due(self.now(), |id| self.routers[id].deadline()) {
            let now = self.now();
            self.routers[id].listen(now);
            self.hand_over(id, Event::Timer);
            if self.renewals.len() >= AT_ONCE {
                self.renew();
            }
        }
        self.renew();
    }

    /// Renews the leases that wait for it, and goes on with what the routers do after that.
    pub(super) fn renew(&mut self) {
        let renewals = std::mem::take(&mut self.renewals);
        if renewals.is_empty() {
            return;
        }
        let now = self.poller.now();
        let mut assignments = vec![];
        // For each its error, if any, and where its assignments end.
        let mut results = vec![];
        for (id, _) in &renewals {
            let claimed = self.routers[*id].claim(&self.kernel, &mut assignments);
            results.push((claimed.err(), assignments.len()));
        }
        for (at, refusal) in self.kernel.add(&assignments) {
            let of = results.partition_point(|(_, end)| *end <= at);
            results[of].0.get_or_insert(refusal);
        }
        let mut refused = vec![];
        for ((id, rest), (refusal, _)) in renewals.into_iter().zip(results) {
            match self.routers[id].renewed(now, refusal) {
                Ok(()) => self.carry_out(now, id, rest, None),
                Err(Refused) => refused.push(id),
            }
        }
        for id in refused {
            self.dispatch(id, Event::Refused);
        }
    }

    /// Sends what waits to be sent, and says who could not.
    pub(super) fn flush(&mut self) {
        self.kernel.flush();
        for (id, e) in self.kernel.take_unsent() {
            self.routers[id].unsent(&e);
        }
    }
}
