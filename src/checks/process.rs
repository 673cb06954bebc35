//! The processes of a check's services: finds them in `/proc` and watches each one for its end. Knows no verdict and no
//! schedule.

use std::fmt;
use std::os::fd::AsFd;

use super::outcome::{CheckContext, Outcome};
use crate::ids::CheckId;
use crate::status::TargetStatus;
use crate::sys::pidfd::Pidfd;
use crate::sys::process::Process;
use crate::token::{Poller, Token};

/// How often a scan is repeated at once because a process ended before it could be watched.
const RETRIES: usize = 3;

/// The services of one check, with their processes at the last scan.
#[derive(Debug)]
pub(super) struct ServiceProcesses {
    names: Vec<String>,
    /// By service, the processes at the last scan.
    found: Vec<Vec<Process>>,
    watched: Vec<Watched>,
    /// Marks the tokens of the descriptors.
    id: CheckId,
    /// An error of watching has been logged.
    watch_error_logged: bool,
    /// An error of reading `/proc` has been logged since the last success.
    scan_error_logged: bool,
}

/// A process whose end the poller reports.
#[derive(Debug)]
struct Watched {
    process: Process,
    /// Closing it ends the watch.
    _pidfd: Pidfd,
}

impl ServiceProcesses {
    pub(super) fn new(id: CheckId, names: Vec<String>) -> Self {
        let found = vec![vec![]; names.len()];
        Self { names, found, watched: vec![], id, watch_error_logged: false, scan_error_logged: false }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Scans `/proc`, and returns whether every service has a live process. `None` if `/proc` could not be read, which
    /// must not count as the death of a service.
    pub(super) fn scan(&mut self, context: &mut CheckContext<'_>, outcome: &mut Outcome) -> Option<bool> {
        self.scan_without(None, context, outcome)
    }

    /// The process behind `token` has ended: scans at once, and returns whether every service still has a live process.
    /// `None` if the token is unknown: it may still be in a batch after its watch has ended.
    pub(super) fn exited(
        &mut self,
        token: Token,
        context: &mut CheckContext<'_>,
        outcome: &mut Outcome,
    ) -> Option<bool> {
        let at = self.watched.iter().position(|w| self.token_of(w.process) == token)?;
        let Watched { process, .. } = self.watched.swap_remove(at);
        let all_run = self.scan_without(Some(process), context, outcome);
        // If /proc cannot be read, the last scan without this process decides.
        Some(all_run.unwrap_or_else(|| {
            for processes in &mut self.found {
                processes.retain(|p| *p != process);
            }
            self.all_run()
        }))
    }

    /// `ended` is dead, even if `/proc` still shows it.
    fn scan_without(
        &mut self,
        ended: Option<Process>,
        context: &mut CheckContext<'_>,
        outcome: &mut Outcome,
    ) -> Option<bool> {
        for _ in 0..RETRIES {
            let mut found = match context.procfs.scan(&self.names) {
                Ok(found) => found,
                Err(e) => {
                    if !std::mem::replace(&mut self.scan_error_logged, true) {
                        outcome.errors.push(e.into());
                    }
                    return None;
                }
            };
            self.scan_error_logged = false;
            for processes in &mut found {
                processes.retain(|p| Some(*p) != ended);
            }
            self.report_changes(&found, &mut outcome.changes);
            self.found = found;
            if self.watch(context.poller, &mut outcome.errors) {
                break;
            }
        }
        Some(self.all_run())
    }

    fn all_run(&self) -> bool {
        self.found.iter().all(|processes| !processes.is_empty())
    }

    /// Watches exactly the processes found. Returns `false` if one of them has ended since the scan.
    fn watch(&mut self, poller: &Poller, errors: &mut Vec<String>) -> bool {
        let found = &self.found;
        self.watched.retain(|w| found.iter().flatten().any(|p| *p == w.process));
        let mut complete = true;
        for process in self.found.iter().flatten() {
            if self.watched.iter().any(|w| w.process == *process) {
                continue;
            }
            let watched = Pidfd::open(process.pid).and_then(|pidfd| {
                if let Some(pidfd) = &pidfd {
                    poller.watch(pidfd.as_fd(), self.token_of(*process))?;
                }
                Ok(pidfd)
            });
            match watched {
                Ok(Some(pidfd)) => self.watched.push(Watched { process: *process, _pidfd: pidfd }),
                Ok(None) => complete = false,
                // An old kernel or a seccomp profile. The regular scan still works.
                Err(e) if !self.watch_error_logged => {
                    self.watch_error_logged = true;
                    errors.push(format!("{e}; its end is noticed only at the next check"));
                }
                Err(_) => {}
            }
        }
        complete
    }

    fn token_of(&self, process: Process) -> Token {
        Token::Process(self.id, process.pid.unsigned_abs())
    }

    fn report_changes(&self, found: &[Vec<Process>], changes: &mut Vec<String>) {
        for ((service, before), after) in self.names.iter().zip(&self.found).zip(found) {
            match (before.is_empty(), after.is_empty()) {
                (false, true) => changes.push(format!("{service} (pid {}) is gone", Pids(before))),
                (true, false) => changes.push(format!("{service} runs (pid {})", Pids(after))),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Each service at the last scan.
    pub(super) fn status(&self) -> impl Iterator<Item = TargetStatus> {
        self.names.iter().zip(&self.found).map(|(name, processes)| TargetStatus {
            name: name.clone(),
            passed: Some(!processes.is_empty()),
            pids: processes.iter().map(|process| process.pid).collect(),
            is_process: true,
        })
    }
}

struct Pids<'a>(&'a [Process]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, process) in self.0.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " " }, process.pid)?;
        }
        Ok(())
    }
}
