//! What the operator decided about one virtual router, checked; knows nothing of how it was written down.

use std::net::IpAddr;

use super::{Interval, Priority, Version, Vrid};

/// Immutable settings of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Version we send and accept.
    pub version: Version,
    /// Configured priority, before weights; 255 is the address owner.
    pub priority: Priority,
    /// Our own advertisement interval; it fits `version`.
    pub interval: Interval,
    /// Whether a backup replaces a live master of lower priority (Preempt_Mode, RFC 3768 §6.1).
    pub preempt: bool,
    /// The addresses in the advert, in configured order, one family, each once.
    pub addresses: Vec<IpAddr>,
}

impl Settings {
    /// Whether an advert lists the same addresses; the order is only advice (RFC 3768 §5.3.9).
    pub fn same_addresses(&self, theirs: &[IpAddr]) -> bool {
        self.addresses == theirs
            || (self.addresses.len() == theirs.len() && self.addresses.iter().all(|a| theirs.contains(a)))
    }
}
