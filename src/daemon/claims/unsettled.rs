//! Claims of other hosts that are not conflicts yet: two masters of one group that find each other claim the addresses
//! before the advert that explains it, and a host may have given the address up since. Knows no socket.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::RouterId;
use crate::sys::claims::Claim;
use crate::time::Instant;
use crate::vrrp::Role;

/// How late a router that advertises may be.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a host that was asked again has for its answer, or for another claim.
const ANSWER: Duration = Duration::from_secs(3);

/// The role of a router, and the master that it follows.
pub(super) type View = (Role, Option<IpAddr>);

/// Where the host that claims an address was heard, and for which router.
pub(super) type Place = (RouterId, u32);

/// How far a claim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// An advert may explain it.
    New,
    /// None has: the host was asked whether it still has the address.
    Asked,
    /// It has claimed it again.
    Repeated,
}

/// The first claim of an address to be settled, and the number of further ones.
#[derive(Debug)]
struct Open {
    place: Place,
    claim: Claim,
    count: u64,
    at: Instant,
    stage: Stage,
    /// The end of the stage: until then another router of the group advertises, or the host answers.
    due: Instant,
    view: View,
}

/// At most one for each address.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Vec<Open>);

impl Unsettled {
    /// Another host claimed an address `at` a time when its router had this view.
    pub(super) fn add(&mut self, place: Place, claim: Claim, at: Instant, interval: Duration, view: View) {
        if self.repeated(place, &claim, at) {
            return;
        }
        let same = |open: &&mut Open| (open.place, open.claim.address) == (place, claim.address);
        if let Some(open) = self.0.iter_mut().find(same) {
            open.count += 1;
        } else {
            let due = at + interval + PATIENCE;
            self.0.push(Open { place, claim, count: 1, at, stage: Stage::New, due, view });
        }
    }

    /// Returns whether this is the answer of a host that was asked again, or another claim of it.
    pub(super) fn repeated(&mut self, place: Place, claim: &Claim, at: Instant) -> bool {
        let asked = |open: &&mut Open| {
            let same = (open.place, open.claim.address, open.claim.mac) == (place, claim.address, claim.mac);
            same && open.stage == Stage::Asked
        };
        let Some(open) = self.0.iter_mut().find(asked) else { return false };
        (open.stage, open.due) = (Stage::Repeated, at);
        true
    }

    /// When [`Unsettled::take`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|open| open.due).min()
    }

    /// The conflicts, and their number: claims that no other router of the group explains, by hosts that still have the
    /// address. `of` returns a router's view, and when an advert of a router came that it does not follow; that explains
    /// claims for this long. `ask` asks the host; false if it cannot be asked.
    pub(super) fn take(
        &mut self,
        now: Instant,
        explains: Duration,
        of: impl Fn(RouterId) -> (View, Option<Instant>),
        mut ask: impl FnMut(Place, &Claim) -> bool,
    ) -> Vec<(RouterId, Claim, u64)> {
        let mut conflicts = vec![];
        self.0.retain_mut(|open| {
            if open.due > now {
                return true;
            }
            let (view, heard) = of(open.place.0);
            // An advert after the claim is 0 before it.
            let is_explained =
                open.view != view || heard.is_some_and(|heard| open.at.since(heard) <= explains);
            if is_explained || open.stage == Stage::Asked {
                return false;
            }
            if open.stage == Stage::New && ask(open.place, &open.claim) {
                (open.stage, open.due) = (Stage::Asked, now + ANSWER);
                return true;
            }
            conflicts.push((open.place.0, open.claim, open.count));
            false
        });
        conflicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAINS: Duration = Duration::from_millis(400);
    const ROUTER: RouterId = RouterId(0);
    const PLACE: Place = (ROUTER, 2);
    const MASTER: View = (Role::Master, None);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn claim(address: [u8; 4], last: u8) -> Claim {
        Claim { address: address.into(), mac: [2, 0, 0, 0, 0, last], is_answer: false }
    }

    /// A claim at 10 s.
    fn claimed() -> Unsettled {
        let mut unsettled = Unsettled::default();
        unsettled.add(PLACE, claim([10, 0, 0, 2], 1), at(10_000), Duration::from_secs(1), MASTER);
        assert_eq!(unsettled.deadline(), Some(at(11_020)));
        unsettled
    }

    /// Whether it is asked about with this view and advert.
    fn is_open(view: View, heard: Option<u64>) -> bool {
        let mut unsettled = claimed();
        assert_eq!(unsettled.take(at(11_019), EXPLAINS, |_| unreachable!(), |_, _| unreachable!()), []);
        let mut asked = 0;
        let of = |_| (view, heard.map(at));
        let taken = unsettled.take(at(11_020), EXPLAINS, of, |place, claim| {
            assert_eq!((place, claim.mac[5]), (PLACE, 1));
            asked += 1;
            true
        });
        assert_eq!((taken, unsettled.deadline().is_some()), (vec![], asked == 1));
        asked == 1
    }

    #[test]
    fn a_host_is_asked_again_unless_an_advert_explains_its_claim() {
        assert!(is_open(MASTER, None));
        assert!(is_open(MASTER, Some(9_599)), "that router has given up");
        for heard in [9_600, 9_999, 10_000, 10_900] {
            assert!(!is_open(MASTER, Some(heard)), "a lower router advertises at {heard}");
        }
        let master = Some([10, 0, 0, 12].into());
        assert!(!is_open((Role::Backup, master), None), "the other one has won");
    }

    #[test]
    fn it_is_a_conflict_if_that_host_claims_it_again() {
        let of = |_| (MASTER, None);
        // By an answer, or by another announcement; at once.
        for again in [11_021, 14_000] {
            let mut unsettled = claimed();
            assert_eq!(unsettled.take(at(11_020), EXPLAINS, of, |_, _| true), []);
            unsettled.add(PLACE, claim([10, 0, 0, 2], 9), at(again), Duration::ZERO, MASTER);
            assert_eq!(unsettled.take(at(again), EXPLAINS, of, |_, _| true), [], "another host did");
            assert!(unsettled.repeated(PLACE, &claim([10, 0, 0, 2], 1), at(again)));
            assert_eq!(unsettled.deadline(), Some(at(again)));
            let taken = unsettled.take(at(again), EXPLAINS, of, |_, _| unreachable!());
            assert_eq!(taken, [(ROUTER, claim([10, 0, 0, 2], 1), 2)]);
        }
        let mut unsettled = claimed();
        assert_eq!(unsettled.take(at(11_020), EXPLAINS, of, |_, _| true), []);
        assert_eq!(unsettled.take(at(14_020), EXPLAINS, of, |_, _| true), [], "it has given up");
        assert_eq!(unsettled.deadline(), None);
        let taken = claimed().take(at(11_020), EXPLAINS, of, |_, _| false);
        assert_eq!(taken.len(), 1, "it cannot be asked");
    }

    #[test]
    fn several_claims_of_an_address_are_one_with_a_number() {
        let mut unsettled = Unsettled::default();
        for (n, address) in [(1, [10, 0, 0, 2]), (2, [10, 0, 0, 2]), (3, [10, 0, 0, 3])] {
            unsettled.add(PLACE, claim(address, n), at(10_000), Duration::ZERO, MASTER);
        }
        let taken = unsettled.take(at(10_020), EXPLAINS, |_| (MASTER, None), |_, _| false);
        assert_eq!(taken, [(ROUTER, claim([10, 0, 0, 2], 1), 2), (ROUTER, claim([10, 0, 0, 3], 3), 1)]);
    }
}
