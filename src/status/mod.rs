//! A snapshot of the daemon's state, from which `status`, `healthcheck`, the metrics and the status in the log are all
//! written. Knows no socket, kernel or state machine. The names of its fields are those of `status --json`, documented
//! in `docs/status.md`.

mod document;
mod history;
pub mod metrics;
mod model;
mod text;

pub use document::{Document, MAX_DETAILS, Part};
pub use history::{History, Transition};
pub use model::{
    AddressStatus, Brief, CheckStatus, Counters, Dropped, FaultStatus, GuardStatus, Health, HeardStatus,
    InterfaceStatus, LifelineStatus, PeerStatus, RouterStatus, Status, TargetStatus,
};
pub use text::{details, span, table};

#[cfg(test)]
pub(crate) use model::tests;
