//! All health checks: polls those that are due, scans `/proc` for all of them, and counts results; knows no router.

mod check;
mod known;
mod outcome;
mod probe;
mod process;
mod result;
mod script;
mod table;
#[cfg(test)]
mod tests;
mod watches;

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use crate::config::CheckConfig;
use crate::health::{Verdict, Weight};
use crate::ids::CheckId;
use crate::status::CheckStatus;
use crate::sys::Error;
use crate::sys::launcher::Launcher;
use crate::sys::limits::Descriptors;
use crate::sys::process::{ProcFs, Process};
use crate::sys::reaper::Reaped;
use crate::time::Instant;
use crate::token::{Poller, Token};
use check::Check;
use outcome::CheckContext;
pub(crate) use outcome::{Concern, Outcome};
use table::{ProcessTable, ScanId};
use watches::{Updated, Watches};

/// How often a scan is repeated because the last process of a service ended before it could be watched.
const RETRIES: u8 = 3;

/// The checks of the process. Equal configurations share one check.
#[derive(Debug)]
pub(crate) struct Checks {
    procfs: ProcFs,
    table: ProcessTable,
    watches: Watches,
    launcher: Launcher,
    /// How often the last scan was repeated.
    retries: u8,
    /// `None`: no router has it any more.
    all: Vec<Option<Check>>,
}

impl Checks {
    /// No checks yet. Their programs are started with `launcher`.
    ///
    /// # Errors
    /// `/proc` cannot be opened, or the process is out of descriptors.
    pub(crate) fn new(descriptors: Descriptors, launcher: Launcher) -> Result<Self, Error> {
        let procfs = ProcFs::new("/proc")?;
        let table = ProcessTable::new(procfs.clone())?;
        let watches = Watches::new(descriptors);
        Ok(Self { procfs, table, watches, launcher, retries: 0, all: vec![] })
    }

    /// Readable while [`Checks::identities_ready`] is due.
    pub(crate) fn identities_fd(&self) -> BorrowedFd<'_> {
        self.table.as_fd()
    }

    /// The check of this configuration, made if there is none; `config` is then shared with it.
    pub(crate) fn add(&mut self, config: &mut Rc<CheckConfig>) -> CheckId {
        let known = self.all.iter().flatten().find(|check| check.config() == config);
        if let Some(known) = known {
            config.clone_from(known.config());
            return known.id();
        }
        let at = self.all.iter().position(Option::is_none).unwrap_or(self.all.len());
        self.all.resize_with(self.all.len().max(at + 1), || None);
        self.all[at] = Some(Check::new(id(at), Rc::clone(config), &mut self.table, &self.launcher));
        id(at)
    }

    /// Removes every other check.
    pub(crate) fn keep(&mut self, used: &[CheckId]) {
        for check in &mut self.all {
            check.take_if(|check| !used.contains(&check.id()));
        }
        let numbers: Vec<_> = self.all.iter().flatten().flat_map(Check::numbers).collect();
        self.table.keep(&numbers);
    }

    fn check(&self, id: CheckId) -> Option<&Check> {
        self.all.get(usize::from(id.0))?.as_ref()
    }

    /// Whether processes are looked for in a `/proc` that hides those of other users.
    pub(crate) fn are_hidden_by_hidepid(&self) -> bool {
        self.procfs.hides_processes().unwrap_or(false)
    }

    /// Whether nothing is checked.
    pub(crate) fn is_empty(&self) -> bool {
        !self.all.iter().any(Option::is_some)
    }

    /// When [`Checks::due`] or [`Checks::scan`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.all.iter().flatten().map(Check::deadline).chain(self.table.deadline()).min()
    }

    /// Whether a scan is running.
    pub(crate) fn is_scanning(&self) -> bool {
        self.table.deadline().is_some()
    }

    /// The checks that are due.
    pub(crate) fn due(&self, now: Instant) -> Vec<CheckId> {
        let due = self.all.iter().flatten().filter(|check| check.deadline() <= now);
        due.map(Check::id).collect()
    }

    /// Does what is due for the check: the regular poll, and probes that timed out.
    pub(crate) fn expire(&mut self, id: CheckId, now: Instant, poller: &Poller) -> Outcome {
        let mut context = CheckContext { table: &mut self.table, poller };
        let check = self.all.get_mut(usize::from(id.0)).and_then(Option::as_mut);
        check.map(|check| check.expire(now, &mut context)).unwrap_or_default()
    }

    /// Does a bounded part of the scan of `/proc`. Once it has ended, returns what that means for each check.
    pub(crate) fn scan(&mut self, now: Instant, poller: &Poller) -> Vec<(CheckId, Outcome)> {
        let Some((scan, result)) = self.table.advance(now) else { return vec![] };
        let Updated { ended, error } = self.watches.update(self.table.found(), poller);
        let last = ended.into_iter().any(|process| self.end(process));
        if last && self.retries < RETRIES {
            self.retries += 1;
            self.table.request_rescan(now);
            return vec![];
        }
        self.retries = 0;
        self.scanned(now, (scan, &result), error, poller)
    }

    fn scanned(
        &mut self,
        now: Instant,
        scan: (ScanId, &Result<(), Error>),
        error: Option<String>,
        poller: &Poller,
    ) -> Vec<(CheckId, Outcome)> {
        let mut context = CheckContext { table: &mut self.table, poller };
        let checks = self.all.iter_mut().flatten();
        let mut outcomes: Vec<_> =
            checks.map(|check| (check.id(), check.scanned(now, scan, &mut context))).collect();
        if let Some((_, outcome)) = outcomes.first_mut() {
            outcome.errors.extend(error);
        }
        outcomes.retain(|(_, outcome)| !outcome.is_empty());
        outcomes
    }

    /// The watched process has ended. If it was not the last watched one of a service, nothing else is to be done.
    pub(crate) fn process_ended(&mut self, pid: u32, now: Instant) {
        if let Some(process) = self.watches.take(pid)
            && self.end(process)
        {
            self.table.request_rescan(now);
        }
    }

    /// Returns whether no watched process is left of a service that the process belonged to.
    fn end(&mut self, process: Process) -> bool {
        let names = self.table.ended(process);
        let lives = |name: &usize| self.table.processes(*name).iter().any(|p| self.watches.is_watched(*p));
        !names.iter().all(lives)
    }

    /// Names of processes were read.
    pub(crate) fn identities_ready(&mut self) {
        self.table.take_answers();
    }

    /// A probe can make progress.
    pub(crate) fn ready(&mut self, id: CheckId, token: Token, now: Instant, poller: &Poller) -> Outcome {
        let mut context = CheckContext { table: &mut self.table, poller };
        let check = self.all.get_mut(usize::from(id.0)).and_then(Option::as_mut);
        check.map(|check| check.ready(now, token, &mut context)).unwrap_or_default()
    }

    /// These children have ended. Returns what that means for each check.
    pub(crate) fn reaped(&mut self, now: Instant, reaped: &[Reaped]) -> Vec<(CheckId, Outcome)> {
        let outcomes = self.all.iter_mut().flatten().map(|check| (check.id(), check.reaped(now, reaped)));
        outcomes.filter(|(_, outcome)| !outcome.is_empty()).collect()
    }

    /// The names of its services and targets, as the operator wrote them.
    pub(crate) fn names(&self, id: CheckId) -> Vec<String> {
        self.check(id).map(Check::names).unwrap_or_default()
    }

    /// The weight and the current verdict.
    pub(crate) fn result(&self, id: CheckId) -> (Weight, Verdict) {
        self.check(id).map_or((Weight::FAULT, Verdict::Unknown), Check::result)
    }

    /// The current warnings, a sentence each, with when it began and was last seen to be true.
    pub(crate) fn warnings(&self, id: CheckId, now: Instant) -> impl Iterator<Item = (String, [Instant; 2])> {
        self.check(id).into_iter().flat_map(move |check| check.warnings(now))
    }

    /// The results of the last poll.
    pub(crate) fn status(&self, id: CheckId, now: Instant) -> Option<CheckStatus> {
        self.check(id).map(|check| check.status(now))
    }
}

/// The configuration holds at most 1,000 routers, each with at most one check.
fn id(at: usize) -> CheckId {
    CheckId(u16::try_from(at).unwrap_or(u16::MAX))
}
