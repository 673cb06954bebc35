//! Claims of other hosts that are not conflicts yet: two masters of one group that find each other claim the addresses
//! before the advert that explains it. Knows no socket.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::RouterId;
use crate::sys::claims::Claim;
use crate::time::Instant;
use crate::vrrp::Role;

/// How late a router that advertises may be.
const PATIENCE: Duration = Duration::from_millis(20);

/// The role of a router, and the master that it follows.
pub(super) type View = (Role, Option<IpAddr>);

/// The first claim of an address to be settled, and the number of further ones.
#[derive(Debug)]
struct Open {
    router: RouterId,
    claim: Claim,
    count: u64,
    at: Instant,
    /// Until then another router of the group advertises.
    due: Instant,
    view: View,
}

/// At most one for each address.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Vec<Open>);

impl Unsettled {
    /// Another host claimed an address `at` a time when its router had this view.
    pub(super) fn add(
        &mut self,
        router: RouterId,
        claim: Claim,
        at: Instant,
        interval: Duration,
        view: View,
    ) {
        let same = |open: &&mut Open| (open.router, open.claim.address) == (router, claim.address);
        if let Some(open) = self.0.iter_mut().find(same) {
            open.count += 1;
        } else {
            self.0.push(Open { router, claim, count: 1, at, due: at + interval + PATIENCE, view });
        }
    }

    /// When [`Unsettled::take`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|open| open.due).min()
    }

    /// The conflicts: claims that no other router of the group explains, and their number. `of` returns a router's view, and
    /// when an advert of a router came that it does not follow; that explains claims for this long.
    pub(super) fn take(
        &mut self,
        now: Instant,
        explains: Duration,
        of: impl Fn(RouterId) -> (View, Option<Instant>),
    ) -> Vec<(RouterId, Claim, u64)> {
        let due = self.0.extract_if(.., |open| open.due <= now);
        let unexplained = due.filter(|open| {
            let (view, heard) = of(open.router);
            // An advert after the claim is 0 before it.
            open.view == view && heard.is_none_or(|heard| open.at.since(heard) > explains)
        });
        unexplained.map(|open| (open.router, open.claim, open.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAINS: Duration = Duration::from_millis(400);
    const ROUTER: RouterId = RouterId(0);
    const MASTER: View = (Role::Master, None);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn claim(address: [u8; 4], last: u8) -> Claim {
        Claim { address: address.into(), mac: [2, 0, 0, 0, 0, last], is_answer: false }
    }

    /// A claim at 10 s, and whether it is a conflict later with this view and advert.
    fn is_conflict(view: View, heard: Option<u64>) -> bool {
        let mut unsettled = Unsettled::default();
        unsettled.add(ROUTER, claim([10, 0, 0, 2], 1), at(10_000), Duration::from_secs(1), MASTER);
        assert_eq!(unsettled.deadline(), Some(at(11_020)));
        assert_eq!(unsettled.take(at(11_019), EXPLAINS, |_| unreachable!()), []);
        let taken = unsettled.take(at(11_020), EXPLAINS, |_| (view, heard.map(at)));
        assert_eq!(unsettled.deadline(), None);
        !taken.is_empty()
    }

    #[test]
    fn a_claim_is_a_conflict_unless_an_advert_explains_it() {
        assert!(is_conflict(MASTER, None));
        assert!(is_conflict(MASTER, Some(9_599)), "that router has given up");
        for heard in [9_600, 9_999, 10_000, 10_900] {
            assert!(!is_conflict(MASTER, Some(heard)), "a lower router advertises at {heard}");
        }
        let master = Some([10, 0, 0, 12].into());
        assert!(!is_conflict((Role::Backup, master), None), "the other one has won");
    }

    #[test]
    fn several_claims_of_an_address_are_one_with_a_number() {
        let mut unsettled = Unsettled::default();
        for (n, address) in [(1, [10, 0, 0, 2]), (2, [10, 0, 0, 2]), (3, [10, 0, 0, 3])] {
            unsettled.add(ROUTER, claim(address, n), at(10_000), Duration::ZERO, MASTER);
        }
        let taken = unsettled.take(at(10_020), EXPLAINS, |_| (MASTER, None));
        assert_eq!(taken, [(ROUTER, claim([10, 0, 0, 2], 1), 2), (ROUTER, claim([10, 0, 0, 3], 3), 1)]);
    }
}
