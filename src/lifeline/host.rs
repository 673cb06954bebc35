//! Another host that we want a connection to: when to try, and what came of it. Opens nothing.

use super::connection::Endpoint;
use super::frame::Identity;
use super::pace::Backoff;
use crate::time::Instant;

/// A host to connect to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub endpoint: Endpoint,
    /// A backup here follows its adverts. Otherwise it is a unicast peer of a master here: our packets make its firewall,
    /// and ours, let the connection through.
    pub followed: bool,
}

/// Why there is no lifeline to a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The port is closed there: another program, or a vrrp-init without a lifeline.
    Refused,
    /// Nothing comes back.
    Blocked,
    /// The kernel refuses to connect.
    Unreachable,
    /// Connected, but not greeted.
    Silent,
    /// It was closed on purpose, or broke.
    Closed,
    /// Something else is served at the port.
    NotALifeline,
    /// A process that has other virtual routers.
    OtherProcess,
    /// A lifeline of another version.
    Version(u8),
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    /// Since when a backup here follows it.
    pub(super) followed: Option<Instant>,
    pub(super) retry_at: Instant,
    backoff: Backoff,
    /// The process whose death is the death of this host's master.
    pub(super) bound: Option<Identity>,
    pub(super) trouble: Option<Trouble>,
}

impl Host {
    pub(super) fn new(endpoint: Endpoint, followed: Option<Instant>, retry_at: Instant) -> Self {
        let backoff = Backoff::default();
        Self { endpoint, followed, retry_at, backoff, bound: None, trouble: None }
    }

    /// A backup here follows it since this moment, or none does any more: whatever failed before may work now.
    pub(super) fn follow(&mut self, followed: Option<Instant>, now: Instant) {
        (self.followed, self.retry_at) = (followed, now);
        self.backoff.reset();
    }

    /// The process there has greeted.
    pub(super) fn greeted(&mut self, identity: Identity) {
        self.bound = Some(identity);
        self.trouble = None;
        self.backoff.reset();
    }

    /// The connection broke, which says nothing about the next one.
    pub(super) fn broke(&mut self, retry_at: Instant) {
        (self.bound, self.trouble, self.retry_at) = (None, None, retry_at);
    }

    /// There is no connection now, and the next attempt comes after a while. Returns whether the trouble is new.
    pub(super) fn failed(&mut self, now: Instant, trouble: Trouble) -> bool {
        self.bound = None;
        self.retry_at = now + self.backoff.failed();
        self.trouble.replace(trouble) != Some(trouble)
    }
}
