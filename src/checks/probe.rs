//! One TCP, HTTP or DNS target of a check: starts a probe at every poll and keeps the last result. Knows no verdict.

use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use super::outcome::Outcome;
use super::result::LastResult;
use crate::config::{CheckConfig, DnsTarget, HttpTarget};
use crate::ids::CheckId;
use crate::status::TargetStatus;
use crate::sys::poller::Interest;
use crate::sys::probe::{Poll, Probe, Target};
use crate::time::Instant;
use crate::token::{Poller, Token};

#[derive(Debug)]
pub(super) struct ProbeTask {
    target: Target,
    token: Token,
    running: Option<Running>,
    last: LastResult,
    /// An error of starting a probe has been logged since the last success.
    error_logged: bool,
}

#[derive(Debug)]
struct Running {
    probe: Probe,
    /// The event that the descriptor is watched for; `None` before it is watched.
    interest: Option<Interest>,
}

impl ProbeTask {
    /// A task for each target of the check.
    pub(super) fn all(config: &CheckConfig, id: CheckId) -> Vec<Self> {
        let page = |page: &HttpTarget| Target::Http {
            address: page.address,
            host: page.host.clone(),
            path: page.path.clone(),
            statuses: config.statuses.clone(),
        };
        let query = |DnsTarget { address, name, record }: &DnsTarget| Target::Dns {
            address: *address,
            name: name.clone(),
            record: *record,
        };
        let targets = config.tcp.iter().copied().map(Target::Tcp).chain(config.http.iter().map(page));
        let targets = targets.chain(config.dns.iter().map(query));
        (0_u32..)
            .zip(targets)
            .map(|(n, target)| Self {
                target,
                token: Token::Probe(id, n),
                running: None,
                last: LastResult::NONE,
                error_logged: false,
            })
            .collect()
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn passed(&self) -> bool {
        self.last.passed()
    }

    /// The last result.
    pub(super) fn status(&self, now: Instant) -> TargetStatus {
        self.last.status(now, &self.target)
    }

    /// When the running probe times out; `None` if none is running.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.probe.deadline())
    }

    pub(super) fn start(&mut self, now: Instant, timeout: Duration, poller: &Poller, outcome: &mut Outcome) {
        match Probe::start(&self.target, now, timeout) {
            Ok(probe) => {
                self.error_logged = false;
                self.running = Some(Running { probe, interest: None });
                self.advance(now, poller, outcome);
            }
            // This says nothing about the service, so the last result remains valid.
            Err(e) => {
                if !std::mem::replace(&mut self.error_logged, true) {
                    outcome.errors.push(e.into());
                }
            }
        }
    }

    /// Makes as much progress as possible without blocking.
    pub(super) fn advance(&mut self, now: Instant, poller: &Poller, outcome: &mut Outcome) {
        let Some(running) = &mut self.running else { return };
        match running.probe.poll(now) {
            Poll::Pending(interest) => {
                let Running { probe, interest: known } = running;
                // If it cannot be watched, it ends at its deadline.
                if let Err(e) = poller.watch_only_for(probe.as_fd(), self.token, known, interest) {
                    outcome.errors.push(e.into());
                }
            }
            Poll::Passed => self.end(now, None, poller, outcome),
            Poll::Failed(reason) => self.end(now, Some(reason), poller, outcome),
        }
    }

    /// `failure`: `None` if it passed.
    fn end(&mut self, now: Instant, failure: Option<String>, poller: &Poller, outcome: &mut Outcome) {
        if let Some(Running { probe, interest: Some(_) }) = self.running.take() {
            // Closing the descriptor ends the watch as well, so an error is harmless.
            let _ = poller.forget(probe.as_fd());
        }
        outcome.changes.extend(self.last.record(now, &self.target, failure, "answers"));
    }
}

impl fmt::Display for ProbeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
