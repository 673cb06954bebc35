//! The lifeline: a connection from each backup to its master, which the master's kernel ends when the process dies. Pure:
//! frames, connections and hosts; the time is an argument, and what must be done comes back as values.

mod accepted;
mod connection;
mod event;
mod exchange;
mod frame;
mod host;
mod lifelines;
mod pace;

pub use crate::ids::LifelineId;
pub use connection::{Endpoint, Way, speaks};
pub use event::{Action, Close, End, Failure, State};
pub use exchange::{Ranks, Standing};
pub use frame::{Frame, Guarded, Identity, Priorities, Routers};
pub use host::{Trouble, Wanted};
pub use lifelines::Lifelines;

#[cfg(test)]
mod tests;
