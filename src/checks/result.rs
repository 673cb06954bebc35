//! The last result of a target that is tested again and again: a port, a page or a program. Does not know which.

use std::fmt::Display;

use crate::status::TargetStatus;
use crate::time::{Instant, millis};

#[derive(Debug)]
pub(super) struct LastResult {
    /// `None` before the first.
    passed: Option<bool>,
    /// Since when it has been so.
    since: Instant,
    /// Why the last test failed.
    reason: Option<Box<str>>,
}

impl LastResult {
    /// There is none yet.
    pub(super) const NONE: Self = Self { passed: None, since: Instant::START, reason: None };

    pub(super) fn passed(&self) -> bool {
        self.passed == Some(true)
    }

    /// Keeps a result; `failure`: `None` if it passed. Returns what is logged of `target` if that is another result than
    /// before; `success` says how it passed.
    pub(super) fn record(
        &mut self,
        now: Instant,
        target: &dyn Display,
        failure: Option<String>,
        success: &str,
    ) -> Option<String> {
        let passed = failure.is_none();
        let changed = self.passed.replace(passed) != Some(passed);
        if changed {
            self.since = now;
        }
        let change = changed.then(|| format!("{target}: {}", failure.as_deref().unwrap_or(success)));
        self.reason = failure.map(String::into_boxed_str);
        change
    }

    pub(super) fn status(&self, now: Instant, target: &dyn Display) -> TargetStatus {
        TargetStatus {
            name: target.to_string(),
            passed: self.passed,
            passed_ms: millis(now.since(self.since)),
            reason: self.reason.as_ref().map(|reason| reason.clone().into()),
            pids: vec![],
            ended: 0,
            is_process: false,
        }
    }
}
