//! What happens to connections, and what to do about it, as values.

use super::connection::Endpoint;
use super::frame::{Guarded, Routers};
use super::host::Trouble;
use crate::ids::LifelineId;
use crate::time::Instant;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Finished,
    /// Anything else: reset, no answer, unreachable.
    Broken,
}

/// Why a connection could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Refused,
    Unanswered,
    Unreachable,
}

/// How to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// With FIN, after what was sent.
    Finish,
    /// With RST, so that neither end keeps the port in TIME_WAIT.
    Abort,
}

/// What to do. In order.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to this address. `followed`: if the port of the lifeline is not free here, from any other.
    Open {
        id: LifelineId,
        to: Endpoint,
        followed: bool,
    },
    Send {
        id: LifelineId,
        octets: Vec<u8>,
    },
    Close {
        id: LifelineId,
        how: Close,
    },
    /// The process that these addresses belong to is dead. `routers`: the virtual routers that it named, if it named any.
    Died {
        from: Vec<Endpoint>,
        guarded: Guarded,
        routers: Vec<Routers>,
    },
    /// The master at this address has named us the successor of the virtual router with this VRID, with this priority of ours;
    /// with 0, it no longer does.
    Named {
        from: Endpoint,
        vrid: u8,
        priority: u8,
    },
    /// There is a lifeline to this master.
    Connected(Endpoint),
    /// There is none, for a reason that is new.
    Failed(Endpoint, Trouble),
}

/// The lifeline of a followed master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Connecting,
    Connected { since: Instant, guarded: Guarded },
    Failed(Trouble),
}
