//! A probe together with the event that a poller watches it for. Draws no conclusions.

use std::os::fd::AsFd as _;

use super::Error;
use super::poller::{Interest, Poller, Token};
use super::probe::{Poll, Probe};
use crate::time::Instant;

/// A probe that is watched while it has to wait.
#[derive(Debug)]
pub struct WatchedProbe {
    probe: Probe,
    /// `None` before it is watched.
    interest: Option<Interest>,
}

impl WatchedProbe {
    /// Call [`WatchedProbe::advance`] next.
    pub fn new(probe: Probe) -> Self {
        Self { probe, interest: None }
    }

    /// As [`Probe::deadline`].
    pub fn deadline(&self) -> Instant {
        self.probe.deadline()
    }

    /// As [`Probe::poll`]; while it is pending, `poller` reports `token` when it can go on.
    ///
    /// # Errors
    /// It cannot be watched. Then it ends at its deadline.
    pub fn advance<T: Token>(&mut self, now: Instant, token: T, poller: &Poller<T>) -> Result<Poll, Error> {
        let progress = self.probe.poll(now);
        let fd = self.probe.as_fd();
        if let Poll::Pending(wanted) = progress {
            poller.watch_only_for(fd, token, &mut self.interest, wanted)?;
        } else if self.interest.is_some() {
            // Closing the descriptor ends the watch as well, so an error is harmless.
            let _ = poller.forget(fd);
        }
        Ok(progress)
    }
}
