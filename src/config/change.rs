//! A variable that differs between two readings, as an operator reads it; compares nothing.

use std::fmt;

/// A variable whose effective value differs between two readings. Displays as `PRIORITY 100 -> 120`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// With the suffix of its router, or without one if it differs for all of them.
    pub name: String,
    /// On one line; a secret is not shown.
    pub from: String,
    pub to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, to } = self;
        if from == to { write!(f, "{name} (value not shown)") } else { write!(f, "{name} {from} -> {to}") }
    }
}
