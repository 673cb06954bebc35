//! A snapshot of the daemon's state, from which `status`, `healthcheck`, the metrics and the status in the log are all
//! written. Knows no socket, kernel or state machine. The names of its fields are those of `status --json`, documented
//! in `docs/status.md`.

mod document;
mod history;
mod message;
pub mod metrics;
mod model;
mod prometheus;
mod serving;
mod text;

pub use document::{DOWN, Document, MAX_DETAILS, OK, Part, TROUBLE};
pub use history::{History, Transition, recent};
pub use message::Message;
pub use model::{
    AddressStatus, Brief, BriefRouter, CheckStatus, Counters, DRAINED, Dropped, FaultStatus, GuardStatus,
    Health, HeardStatus, InterfaceStatus, LEAVING, LayerStatus, LifelineStatus, NOT_DRAINED, NOT_SEEN_YET,
    PeerStatus, REFUSED, ReloadStatus, RouterDrain, RouterStatus, Serving, Status, TargetStatus,
};
pub use serving::{Conflicts, Facts, judge, overall};
pub use text::{details, headline, names, span, table};

#[cfg(test)]
pub(crate) use model::tests;
