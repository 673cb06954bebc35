//! The NOTIFY programs of the transitions, and the log of what came of them. Knows no router.

use log::Level;

use super::dispatcher::Notification;
use crate::sys::notify::{Notifier, Outcome};
use crate::sys::reaper::Reaped;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Notifications {
    notifier: Notifier,
    failures: u64,
}

impl Notifications {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self { notifier, failures: 0 }
    }

    /// How many programs could not be run, failed or were stopped.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// When [`Notifications::expire`] has something to do; `None` if no program runs or waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.notifier.deadline()
    }

    /// Stops the programs that took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            let outcomes = self.notifier.expire(now);
            self.report(&outcomes);
        }
    }

    /// These children have ended.
    pub(super) fn reaped(&mut self, now: Instant, reaped: &[Reaped]) {
        let outcomes = self.notifier.reaped(now, reaped);
        self.report(&outcomes);
    }

    /// Starts the programs, in this order.
    pub(super) fn run(&mut self, now: Instant, notifications: Vec<Notification>) {
        for Notification { program, arguments } in notifications {
            let outcomes = self.notifier.queue(now, &program, arguments);
            self.report(&outcomes);
        }
    }

    fn report(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let level = if outcome.is_success() { Level::Info } else { Level::Warn };
            self.failures += u64::from(outcome.is_failure());
            log::log!(level, event = "notify"; "{outcome}");
        }
    }
}
