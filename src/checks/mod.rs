//! All health checks: polls those that are due and counts results; knows no router.

mod check;
mod outcome;
mod probe;
mod process;

use std::rc::Rc;

use crate::config::CheckConfig;
use crate::health::{Verdict, Weight};
use crate::ids::CheckId;
use crate::status::CheckStatus;
use crate::sys::Error;
use crate::sys::process::ProcFs;
use crate::time::Instant;
use crate::token::{Poller, Token};
use check::Check;
use outcome::CheckContext;
pub(crate) use outcome::Outcome;

/// The checks of the process. Equal configurations share one check.
#[derive(Debug)]
pub(crate) struct Checks {
    procfs: ProcFs,
    checks: Vec<Check>,
}

impl Checks {
    /// No checks yet.
    ///
    /// # Errors
    /// When `/proc` cannot be opened.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { procfs: ProcFs::new("/proc")?, checks: vec![] })
    }

    /// The check of this configuration, made if there is none; `config` is then shared with it.
    pub(crate) fn add(&mut self, config: &mut Rc<CheckConfig>) -> CheckId {
        let at = self.checks.iter().position(|check| check.config() == config).unwrap_or_else(|| {
            let id = id(self.checks.len());
            self.checks.push(Check::new(id, Rc::clone(config)));
            self.checks.len() - 1
        });
        config.clone_from(self.checks[at].config());
        id(at)
    }

    fn check(&self, id: CheckId) -> &Check {
        &self.checks[usize::from(id.0)]
    }

    /// Whether processes are looked for in a `/proc` that hides those of other users.
    pub(crate) fn are_hidden_by_hidepid(&mut self) -> bool {
        !self.checks.is_empty() && self.procfs.hides_processes().unwrap_or(false)
    }

    /// When [`Checks::due`] has the next check; `None` without checks.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.checks.iter().map(Check::deadline).min()
    }

    /// The checks that are due.
    pub(crate) fn due(&self, now: Instant) -> Vec<CheckId> {
        let due = |at: &usize| self.checks[*at].deadline() <= now;
        (0..self.checks.len()).filter(due).map(id).collect()
    }

    /// Does what is due for the check: the regular poll, and probes that timed out.
    pub(crate) fn expire(&mut self, id: CheckId, now: Instant, poller: &Poller) -> Outcome {
        let mut context = CheckContext { procfs: &mut self.procfs, poller };
        self.checks[usize::from(id.0)].expire(now, &mut context)
    }

    /// A watched process ended, or a probe can make progress.
    pub(crate) fn ready(&mut self, id: CheckId, token: Token, now: Instant, poller: &Poller) -> Outcome {
        let mut context = CheckContext { procfs: &mut self.procfs, poller };
        let check = self.checks.get_mut(usize::from(id.0));
        check.map(|check| check.ready(now, token, &mut context)).unwrap_or_default()
    }

    /// The names of its services and targets, as the operator wrote them.
    pub(crate) fn names(&self, id: CheckId) -> Vec<String> {
        self.check(id).names()
    }

    /// The weight and the current verdict.
    pub(crate) fn result(&self, id: CheckId) -> (Weight, Verdict) {
        self.check(id).result()
    }

    /// The results of the last poll.
    pub(crate) fn status(&self, id: CheckId, now: Instant) -> CheckStatus {
        self.check(id).status(now)
    }
}

/// The configuration holds at most 1,000 routers, each with at most one check.
fn id(at: usize) -> CheckId {
    CheckId(u16::try_from(at).unwrap_or(u16::MAX))
}
