//! The addresses to be guarded: how long the host may have each, and how long the kernel would silence it. Asks no
//! kernel.

use std::net::IpAddr;
use std::time::Duration;

use crate::sys::nftables::Silence;
use crate::time::Instant;
use crate::vrrp::Family;

/// The kernel removes an address up to so long after its lifetime.
pub(super) const LATE: Duration = Duration::from_secs(1);
/// An address is silenced for so much longer than that, so that at one advert a second only every second renewal of its lease
/// needs the kernel.
const RESERVE: Duration = Duration::from_millis(1_050);

/// Sorted by address.
#[derive(Debug, Default)]
pub(super) struct GuardedAddresses {
    all: Vec<Guarded>,
    /// One of them may be due.
    any_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guarded {
    address: IpAddr,
    held_until: Instant,
    silenced_until: Instant,
}

impl Guarded {
    /// Whether the kernel would silence it for too short a time.
    fn is_due(&self) -> bool {
        self.held_until > self.silenced_until
    }

    /// How much longer the kernel would silence it if it were asked now.
    fn gain(&self) -> Duration {
        (self.held_until + RESERVE).since(self.silenced_until)
    }
}

impl GuardedAddresses {
    pub(super) fn new(mut addresses: Vec<IpAddr>) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        let never = Instant::START;
        let guarded = |address| Guarded { address, held_until: never, silenced_until: never };
        Self { all: addresses.into_iter().map(guarded).collect(), any_due: false }
    }

    /// Follows other addresses. What is known of those that stay remains. Returns the new ones.
    pub(super) fn update(&mut self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let before = std::mem::replace(self, Self::new(addresses));
        self.any_due = before.any_due;
        let mut added = vec![];
        for guarded in &mut self.all {
            match before.all.binary_search_by_key(&guarded.address, |known| known.address) {
                Ok(at) => *guarded = before.all[at],
                Err(_) => added.push(guarded.address),
            }
        }
        added
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.all.iter().map(|guarded| guarded.address)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.iter().any(|address| Family::of(address) == family)
    }

    /// The host has an address for so long from `now` on. Another one is ignored.
    pub(super) fn held(&mut self, address: IpAddr, lease: Duration, now: Instant) {
        if let Ok(at) = self.all.binary_search_by_key(&address, |guarded| guarded.address) {
            let guarded = &mut self.all[at];
            guarded.held_until = now + lease + LATE;
            self.any_due |= guarded.is_due();
        }
    }

    /// The kernel is to silence every address that the host has.
    pub(super) fn request_all(&mut self) {
        self.any_due = self.all.iter().any(Guarded::is_due);
    }

    /// The kernel has forgotten all of them.
    pub(super) fn forgotten(&mut self, now: Instant) {
        for guarded in &mut self.all {
            guarded.silenced_until = now;
        }
        self.request_all();
    }

    /// What is due, from now on as if the kernel did it, and with it what soon would be.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Silence> {
        if !std::mem::take(&mut self.any_due) {
            return vec![];
        }
        let soon = |guarded: &&mut Guarded| guarded.held_until > now && guarded.gain() >= RESERVE / 2;
        let due = self.all.iter_mut().filter(soon);
        due.map(|guarded| {
            let known = guarded.silenced_until > now;
            guarded.silenced_until = guarded.held_until + RESERVE;
            Silence { address: guarded.address, time: guarded.silenced_until.since(now), known }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    /// For so many seconds and the reserve.
    fn silence(n: u8, seconds: u64, known: bool) -> Silence {
        Silence { address: address(n), time: Duration::from_secs(seconds) + RESERVE, known }
    }

    /// Of 10.0.0.1 and 10.0.0.2, which is given twice.
    fn two() -> GuardedAddresses {
        GuardedAddresses::new(vec![address(2), address(1), address(2)])
    }

    #[test]
    fn a_renewed_lease_is_due_once_and_an_address_of_another_router_never() {
        let mut two = two();
        two.held(address(2), LEASE, at(10));
        two.held(address(2), LEASE, at(10));
        two.held(address(9), LEASE, at(10));
        assert_eq!(two.take_due(at(11)), [silence(2, 4, false)], "one second has passed");
        assert_eq!(two.take_due(at(11)), []);
        two.held(address(2), LEASE, at(12));
        assert_eq!(two.take_due(at(12)), [silence(2, 5, true)]);
        two.held(address(2), LEASE, at(19));
        assert_eq!(two.take_due(at(19)), [silence(2, 5, false)], "the kernel has forgotten it");
    }

    #[test]
    fn every_second_renewal_is_due_and_takes_those_along_that_soon_would_be() {
        let mut two = two();
        let mut due = vec![];
        for ms in (0..8_000).step_by(500) {
            // A little later each time.
            let now = Instant::from_millis(10_000 + ms + ms / 500);
            two.held(address(1 + u8::from(ms % 1_000 == 500)), LEASE, now);
            due.push(two.take_due(now).len());
        }
        assert_eq!(due, [1, 1, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0]);
    }

    #[test]
    fn addresses_come_and_go_and_the_others_are_remembered() {
        let mut two = two();
        two.held(address(2), LEASE, at(10));
        assert_eq!(two.update(vec![address(3), address(2)]), [address(3)]);
        two.held(address(1), LEASE, at(10));
        two.held(address(3), LEASE, at(10));
        assert_eq!(two.take_due(at(10)), [silence(2, 5, false), silence(3, 5, false)]);
    }

    #[test]
    fn what_the_kernel_has_forgotten_is_due_if_the_host_has_it() {
        let mut two = two();
        two.held(address(1), LEASE, at(10));
        two.held(address(2), LEASE, at(13));
        two.take_due(at(13));
        two.request_all();
        assert_eq!(two.take_due(at(15)), []);
        two.forgotten(at(15));
        assert_eq!(two.take_due(at(15)), [silence(2, 3, false)], "the first may be gone");
        two.forgotten(at(16));
        assert_eq!(two.take_due(at(16)), [silence(2, 2, false)]);
    }
}
