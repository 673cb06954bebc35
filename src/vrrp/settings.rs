//! What the operator decided about one virtual router, checked; knows nothing of how it was written down.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Advert, Interval, Priority, Version, Vrid};

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
    /// Yield, fast takeover and hitless stop; without it the RFC's timing alone.
    pub fast: bool,
    /// How long the kernel keeps an address of ours that nobody renews; `None`: for ever.
    pub lease: Option<Lease>,
}

/// The lifetime of a virtual address in the kernel, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(NonZeroU32);

impl Lease {
    /// `None` for 0, which would be an address that is never there.
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        match NonZeroU32::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    /// The whole seconds, at least 1.
    pub const fn seconds(self) -> u32 {
        self.0.get()
    }

    /// How long after one renewal the next is due: three more may fail before the address goes.
    pub(super) fn renew_after(self) -> Duration {
        Duration::from_secs(self.0.get().into()) / 4
    }
}

impl Settings {
    /// Whether an advert lists the same addresses; the order is only advice (RFC 3768 §5.3.9).
    pub fn same_addresses(&self, theirs: &[IpAddr]) -> bool {
        self.addresses == theirs
            || (self.addresses.len() == theirs.len() && self.addresses.iter().all(|a| theirs.contains(a)))
    }

    /// Skew_Time for a router of priority `own` under a master that advertises every `interval`.
    pub(super) fn skew(&self, own: Priority, interval: Interval) -> Duration {
        match self.version {
            // A second, whatever the interval (RFC 3768 §6.1).
            Version::V2 => own.skew_of(Duration::from_secs(1)),
            Version::V3 => own.skew_of(interval.duration()),
        }
    }

    /// Master_Down_Interval for a router of priority `own` under a master that advertises every `interval`
    /// (RFC 3768 §6.1, RFC 9568 §6.1).
    pub fn master_down(&self, own: Priority, interval: Interval) -> Duration {
        interval.duration() * 3 + self.skew(own, interval)
    }

    /// Our advert with this priority.
    pub fn advert(&self, priority: Priority) -> Advert {
        let Self { vrid, version, interval, ref addresses, .. } = *self;
        Advert { version, vrid, priority, interval, password: None, addresses: addresses.clone() }
    }
}
