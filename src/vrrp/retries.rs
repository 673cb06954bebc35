//! What a router in FAULT tries again, and when.

use std::time::Duration;

use crate::time::Instant;

/// How long a router stays in FAULT before it retries an address that the kernel refused.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// The next attempts of a router in FAULT.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Retries {
    /// To add the addresses that the kernel refused.
    address_at: Option<Instant>,
    /// To send an advert.
    send_at: Option<Instant>,
}

impl Retries {
    /// The kernel refused an address `now`.
    pub(super) fn refused(&mut self, now: Instant) {
        self.address_at = Some(now + REFUSED_RETRY);
    }

    /// No advert could be sent until `now`: the next attempt is after `interval`.
    pub(super) fn unsent(&mut self, now: Instant, interval: Duration) {
        self.send_at = Some(now + interval);
    }

    /// An advert was sent.
    pub(super) fn sent(&mut self) {
        self.send_at = None;
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.address_at, self.send_at].into_iter().flatten().min()
    }

    /// Whether to try an address again, once.
    pub(super) fn take_address(&mut self, now: Instant) -> bool {
        self.address_at.take_if(|at| *at <= now).is_some()
    }

    /// Whether to try to send, every `interval`.
    pub(super) fn take_send(&mut self, now: Instant, interval: Duration) -> bool {
        let due = self.send_at.is_some_and(|at| at <= now);
        if due {
            self.unsent(now, interval);
        }
        due
    }
}
