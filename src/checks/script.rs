//! The program of a check: starts it at every poll, never twice at once, and keeps the last result. Knows no verdict.

use std::time::Duration;

use super::outcome::Outcome;
use super::result::LastResult;
use crate::status::TargetStatus;
use crate::sys::launcher::Launcher;
use crate::sys::reaper::Reaped;
use crate::sys::script::Script;
use crate::time::{Instant, millis};

#[derive(Debug)]
pub(super) struct ScriptTask {
    /// Its path and its arguments.
    program: Box<[String]>,
    launcher: Launcher,
    timeout: Duration,
    running: Option<Script>,
    last: LastResult,
}

impl ScriptTask {
    pub(super) fn new(program: &[String], timeout: Duration, launcher: &Launcher) -> Self {
        Self {
            program: program.into(),
            launcher: launcher.clone(),
            timeout,
            running: None,
            last: LastResult::NONE,
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.last.passed()
    }

    /// Whether the result of this poll is still to come. A program that took too long has failed, even while it still ends.
    pub(super) fn is_pending(&self) -> bool {
        self.running.as_ref().is_some_and(|script| !script.is_overdue())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref()?.deadline()
    }

    /// Starts it, unless it still runs.
    pub(super) fn start(&mut self, now: Instant, outcome: &mut Outcome) {
        if self.running.is_some() {
            return;
        }
        match Script::start(&self.launcher, &self.program, now, self.timeout) {
            Ok(script) => self.running = Some(script),
            Err(why) => self.end(now, Some(why), outcome),
        }
    }

    /// Stops it if it takes too long.
    pub(super) fn expire(&mut self, now: Instant, outcome: &mut Outcome) {
        let Some(script) = self.running.as_mut() else { return };
        let was_overdue = script.is_overdue();
        script.expire(now);
        if script.is_overdue() && !was_overdue {
            let why = format!("timed out after {} ms", millis(self.timeout));
            self.end(now, Some(why), outcome);
        }
    }

    /// These children have ended.
    pub(super) fn reaped(&mut self, now: Instant, reaped: &[Reaped], outcome: &mut Outcome) {
        let was_pending = self.is_pending();
        let Some(end) = self.running.as_mut().and_then(|script| script.reaped(reaped)) else { return };
        self.running = None;
        if was_pending {
            self.end(now, (!end.is_success()).then(|| end.to_string()), outcome);
        }
    }

    /// `failure`: `None` if it passed.
    fn end(&mut self, now: Instant, failure: Option<String>, outcome: &mut Outcome) {
        let name = self.name();
        outcome.changes.extend(self.last.record(now, &name, failure, "exit code 0"));
    }

    /// The last result.
    pub(super) fn status(&self, now: Instant) -> TargetStatus {
        self.last.status(now, &self.name())
    }

    /// Without its arguments, which may contain a secret.
    pub(super) fn name(&self) -> String {
        format!("script {}", self.program.first().map_or("", String::as_str))
    }
}
