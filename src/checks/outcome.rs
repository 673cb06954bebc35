//! What a check receives from its owner and returns to it. Knows no check.

use super::table::ProcessTable;
use crate::health::Verdict;
use crate::token::Poller;

/// The result of one poll, for the log and for the routers that depend on the check.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// A sentence for each service that started or ended, and each target that changed.
    pub(crate) changes: Vec<String>,
    /// The new verdict, if it changed.
    pub(crate) verdict: Option<Verdict>,
    /// The verdict is about services that may still be on their way.
    pub(crate) is_early: bool,
    pub(crate) warnings: Vec<Concern>,
    /// Why something could not be checked, once per series.
    pub(crate) errors: Vec<String>,
}

impl Outcome {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.verdict.is_none()
            && self.errors.is_empty()
            && self.warnings.is_empty()
    }
}

/// What an operator should do something about, as a sentence.
#[derive(Debug)]
pub(crate) enum Concern {
    /// A service was not seen since the start.
    Missing(String),
    CrashLoop(String),
}

/// The parts of the daemon that a check uses.
#[derive(Debug)]
pub(super) struct CheckContext<'a> {
    pub(super) table: &'a mut ProcessTable,
    pub(super) poller: &'a Poller,
}
