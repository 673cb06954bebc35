//! One TCP, HTTP or DNS target of a check: starts a probe at every poll and keeps the last result. Knows no verdict.

use std::fmt;
use std::time::Duration;

use super::outcome::Outcome;
use super::result::LastResult;
use crate::config::{CheckConfig, DnsTarget, HttpTarget};
use crate::ids::CheckId;
use crate::status::TargetStatus;
use crate::sys::probe::{Poll, Probe, Target};
use crate::sys::watched_probe::WatchedProbe;
use crate::time::Instant;
use crate::token::{Poller, Token};

#[derive(Debug)]
pub(super) struct ProbeTask {
    target: Target,
    token: Token,
    running: Option<WatchedProbe>,
    last: LastResult,
    /// An error of starting a probe has been logged since the last success.
    error_logged: bool,
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
        self.running.as_ref().map(WatchedProbe::deadline)
    }

    pub(super) fn start(&mut self, now: Instant, timeout: Duration, poller: &Poller, outcome: &mut Outcome) {
        match Probe::start(&self.target, now, timeout) {
            Ok(probe) => {
                self.error_logged = false;
                self.running = Some(WatchedProbe::new(probe));
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
        match running.advance(now, self.token, poller) {
            Ok(Poll::Pending(_)) => {}
            Ok(Poll::Passed) => self.end(now, None, outcome),
            Ok(Poll::Failed(reason)) => self.end(now, Some(reason), outcome),
            Err(e) => outcome.errors.push(e.into()),
        }
    }

    /// `failure`: `None` if it passed.
    fn end(&mut self, now: Instant, failure: Option<String>, outcome: &mut Outcome) {
        self.running = None;
        outcome.changes.extend(self.last.record(now, &self.target, failure, "answers"));
    }
}

impl fmt::Display for ProbeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
