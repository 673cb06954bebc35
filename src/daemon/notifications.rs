//! The NOTIFY programs and the receivers of NOTIFY_URL of the transitions, and the log of what came of them. Knows no router.

use log::Level;

use super::dispatcher::Notification;
use super::receivers::Receivers;
use crate::config::RouterConfig;
use crate::status::TargetStatus;
use crate::sys::notify::{Notifier, Outcome};
use crate::sys::reaper::Reaped;
use crate::time::Instant;
use crate::token::{Poller, Token};

#[derive(Debug)]
pub(super) struct Notifications {
    notifier: Notifier,
    receivers: Receivers,
    failures: u64,
}

impl Notifications {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self { notifier, receivers: Receivers::default(), failures: 0 }
    }

    /// How many programs could not be run, failed or were stopped, and how many transitions were dropped for a receiver.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// When [`Notifications::expire`] has something to do; `None` if nothing runs or waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.notifier.deadline().into_iter().chain(self.receivers.deadline()).min()
    }

    pub(super) fn receivers(&self, now: Instant) -> Vec<TargetStatus> {
        self.receivers.status(now)
    }

    /// A request to a receiver can make progress.
    pub(super) fn ready(&mut self, token: Token, now: Instant, poller: &Poller) {
        self.receivers.ready(token, now, poller);
    }

    /// These routers run from now on.
    pub(super) fn keep(&mut self, now: Instant, routers: &[RouterConfig]) {
        self.receivers.keep(now, routers);
    }

    /// The process ends.
    pub(super) fn stop(&mut self, now: Instant) {
        self.receivers.stop(now);
    }

    /// Stops the programs and requests that took too long.
    pub(super) fn expire(&mut self, now: Instant, poller: &Poller) {
        self.receivers.expire(now, poller);
        if self.notifier.deadline().is_some_and(|at| at <= now) {
            let outcomes = self.notifier.expire(now);
            self.report(&outcomes);
        }
    }

    /// These children have ended.
    pub(super) fn reaped(&mut self, now: Instant, reaped: &[Reaped]) {
        let outcomes = self.notifier.reaped(now, reaped);
        self.report(&outcomes);
    }

    /// Starts the programs and requests, in this order.
    pub(super) fn run(&mut self, now: Instant, notifications: Vec<Notification>, poller: &Poller) {
        for notification in notifications {
            match notification {
                Notification::Run { program, arguments } => {
                    let outcomes = self.notifier.queue(now, &program, arguments);
                    self.report(&outcomes);
                }
                Notification::Send(message) => self.failures += self.receivers.push(now, message, poller),
            }
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
