//! One port or page that a check asks, over and over; knows no verdict.

use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use super::Outcome;
use crate::config::{CheckConfig, HttpTarget};
use crate::ids::CheckId;
use crate::sys::poller::Interest;
use crate::sys::probe::{Poll, Probe, Target};
use crate::time::Instant;
use crate::token::{Poller, Token};

#[derive(Debug)]
pub(super) struct ProbeTask {
    target: Target,
    token: Token,
    running: Option<Running>,
    /// The last result; `None` before the first.
    passed: Option<bool>,
    /// It could not even be asked; it was said.
    hampered: bool,
}

#[derive(Debug)]
struct Running {
    probe: Probe,
    /// What is watched for; `None` before the first step.
    interest: Option<Interest>,
}

impl ProbeTask {
    /// Everything that the check asks.
    pub(super) fn all(config: &CheckConfig, id: CheckId) -> Vec<Self> {
        let page = |page: &HttpTarget| Target::Http {
            address: page.address,
            host: page.host.clone(),
            path: page.path.clone(),
        };
        let targets = config.tcp.iter().copied().map(Target::Tcp).chain(config.http.iter().map(page));
        (0_u32..)
            .zip(targets)
            .map(|(n, target)| Self {
                target,
                token: Token::Probe(id, n),
                running: None,
                passed: None,
                hampered: false,
            })
            .collect()
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn passed(&self) -> bool {
        self.passed == Some(true)
    }

    /// The last result; `None` before the first.
    pub(super) fn result(&self) -> Option<bool> {
        self.passed
    }

    /// When its patience ends; `None` while it does not run.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.probe.deadline())
    }

    pub(super) fn start(&mut self, now: Instant, timeout: Duration, poller: &Poller, outcome: &mut Outcome) {
        match Probe::start(&self.target, now, timeout) {
            Ok(probe) => {
                self.hampered = false;
                self.running = Some(Running { probe, interest: None });
                self.advance(now, poller, outcome);
            }
            // Nothing is known of the service: the last result stands.
            Err(e) => {
                if !std::mem::replace(&mut self.hampered, true) {
                    outcome.errors.push(e.into());
                }
            }
        }
    }

    /// Goes on as far as possible without waiting.
    pub(super) fn advance(&mut self, now: Instant, poller: &Poller, outcome: &mut Outcome) {
        let Some(running) = &mut self.running else { return };
        match running.probe.poll(now) {
            Poll::Pending(interest) => {
                let Running { probe, interest: known } = running;
                // One that cannot be watched ends at its deadline.
                if let Err(e) = poller.watch_only_for(probe.as_fd(), self.token, known, interest) {
                    outcome.errors.push(e.into());
                }
            }
            Poll::Passed => self.end(true, "answers", poller, outcome),
            Poll::Failed(reason) => self.end(false, &reason, poller, outcome),
        }
    }

    fn end(&mut self, passed: bool, how: &str, poller: &Poller, outcome: &mut Outcome) {
        if let Some(Running { probe, interest: Some(_) }) = self.running.take() {
            // A descriptor that is closed is no longer watched either; only its token may still come.
            let _ = poller.forget(probe.as_fd());
        }
        if self.passed.replace(passed) != Some(passed) {
            outcome.news.push(format!("{}: {how}", self.target));
        }
    }
}

impl fmt::Display for ProbeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
