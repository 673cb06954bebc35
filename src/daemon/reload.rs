//! When the configuration is read again, and what came of it: for the status. Reads and applies nothing.

use std::path::PathBuf;
use std::time::Duration;

use super::env_file::EnvFile;
use super::pace::OnRequest;
use crate::status::ReloadStatus;
use crate::sys::limits::Descriptors;
use crate::time::{Instant, millis};
use crate::token::Poller;

/// An editor that replaces a file removes the old one first: so long after a change, both steps are done.
const SETTLE: Duration = Duration::from_millis(50);

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The file of variables has changed.
    File,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing has changed.
    Unchanged,
    /// It is in use, but what needs a restart, a sentence each.
    Applied { restart: Vec<String> },
    /// It is wrong, and nothing was applied.
    Refused { problems: Vec<String> },
}

#[derive(Debug)]
pub(super) struct Reload {
    requests: OnRequest,
    /// SIGHUP is among the requests.
    signaled: bool,
    file: Option<EnvFile>,
    /// When the changed file is settled.
    settled_at: Option<Instant>,
    applied: u64,
    refused: u64,
    applied_at: Option<Instant>,
    /// When the configuration was first refused, and why it was last; `None` once it is right.
    problems: Option<(Instant, Vec<String>)>,
    restart: Vec<String>,
}

impl Reload {
    /// `file`: the file of variables, which is read again when it changes.
    pub(super) fn new(file: Option<PathBuf>, descriptors: Descriptors, poller: &Poller) -> Self {
        let file = file.and_then(|path| {
            let watched = EnvFile::new(path, descriptors, poller);
            let log = |e: &_| log::warn!(event = "reload"; "{e}: a changed ENV_FILE is read only on SIGHUP");
            watched.inspect_err(log).ok()
        });
        // It may have changed since it was read.
        let settled_at = file.as_ref().map(|_| Instant::START);
        Self {
            requests: OnRequest::default(),
            signaled: false,
            file,
            settled_at,
            applied: 0,
            refused: 0,
            applied_at: None,
            problems: None,
            restart: vec![],
        }
    }

    /// SIGHUP has come.
    pub(super) fn request(&mut self) {
        self.signaled = true;
        self.requests.request();
        if let Some(file) = &mut self.file {
            // The folder may not have been there before.
            file.look();
        }
    }

    /// There are notifications about the file.
    pub(super) fn file_ready(&mut self, now: Instant) {
        if self.file.as_mut().is_some_and(EnvFile::has_changed) {
            self.settled_at.get_or_insert(now + SETTLE);
        }
    }

    /// When [`Reload::take`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settled_at.into_iter().chain(self.requests.deadline()).min()
    }

    /// Whether the configuration is to be read again now, and why.
    pub(super) fn take(&mut self, now: Instant) -> Option<Trigger> {
        if self.settled_at.take_if(|at| *at <= now).is_some() {
            self.requests.request();
        }
        self.requests.take(now)?;
        Some(if std::mem::take(&mut self.signaled) { Trigger::Signal } else { Trigger::File })
    }

    /// It was read `now`.
    pub(super) fn record(&mut self, now: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Refused { problems } => {
                self.refused += 1;
                let since = self.problems.as_ref().map_or(now, |(since, _)| *since);
                self.problems = Some((since, problems));
            }
            Outcome::Applied { restart } => {
                self.applied += 1;
                (self.applied_at, self.restart, self.problems) = (Some(now), restart, None);
            }
            Outcome::Unchanged => {
                self.problems = None;
            }
        }
    }

    pub(super) fn status(&self, now: Instant) -> ReloadStatus {
        let ago = |at: Instant| millis(now.since(at));
        ReloadStatus {
            applied: self.applied,
            refused: self.refused,
            applied_ms: self.applied_at.map(ago),
            refused_ms: self.problems.as_ref().map(|(since, _)| ago(*since)),
            problems: self.problems.as_ref().map(|(_, problems)| problems.clone()).unwrap_or_default(),
            needs_restart: self.restart.clone(),
        }
    }
}
