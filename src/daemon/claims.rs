//! Watches who else claims the virtual addresses, and finds the claims that only the holder may make. On a master
//! every claim of another host is one; on a backup the master may claim, and only the master.

mod unsettled;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::network::Network;
use super::questions;
use super::router::Router;
use crate::ids::RouterId;
use crate::sys::Error;
use crate::sys::claims::{Claim, Claims, Watched};
use crate::sys::limits::{Descriptors, Purpose};
use crate::sys::netlink::Link;
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::{Family, Role};
use unsettled::{Unsettled, View};

/// For this long after a takeover, or after an advert that ends its time as master, another router may still claim the
/// addresses.
const HANDOVER: Duration = Duration::from_millis(400);

/// The answer to a question of the master is reported if so many before it came in a row: a router that did not hear this
/// master gives the addresses up when it does.
const ANSWERS: u32 = 3;

/// The least time between two looks at the masters, and so between two filters for changed ones.
const FOLLOW_GAP: Duration = Duration::from_secs(1);

/// The open socket of a link and a family.
#[derive(Debug)]
struct Open {
    id: u32,
    index: u32,
    family: Family,
    mac: [u8; 6],
    watched: Vec<Watched>,
    socket: Claims,
}

/// A virtual address on a link.
#[derive(Clone, Debug)]
struct Place {
    at: (u32, IpAddr),
    router: RouterId,
    /// On a backup: the master, and the hardware address from which it claims the address.
    master: Option<(IpAddr, [u8; 6])>,
    /// On a master: the number of answers in a row, and when the last one came.
    answers: (u32, Instant),
}

/// What a claim means to its router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Normal,
    /// The first claim under this master.
    Master(IpAddr),
    Conflict,
}

/// The sockets, and the hardware addresses of the masters.
#[derive(Debug)]
pub(super) struct ClaimWatch {
    descriptors: Descriptors,
    open: Vec<Open>,
    /// Sorted by link and address.
    places: Vec<Place>,
    /// Claims that only another host may make, unless an advert explains them.
    unsettled: Unsettled,
    opened: u32,
    /// When the masters were last followed.
    followed_at: Instant,
    /// The filters are out of date.
    outdated: bool,
    /// It has been logged that a socket could not be opened.
    failed: bool,
}

impl ClaimWatch {
    pub(super) fn new(descriptors: Descriptors) -> Self {
        Self {
            descriptors,
            open: vec![],
            places: vec![],
            unsettled: Unsettled::default(),
            opened: 0,
            followed_at: Instant::START,
            outdated: false,
            failed: false,
        }
    }

    /// Follows the links and addresses of the routers.
    pub(super) fn update(&mut self, routers: &[Router], network: &Network, poller: &Poller) {
        let of = |(n, router): (usize, &Router)| {
            let place =
                move |at| Place { at, router: RouterId(n), master: None, answers: (0, Instant::START) };
            router.places(network).map(place).collect::<Vec<_>>()
        };
        let mut places: Vec<_> = routers.iter().enumerate().flat_map(of).collect();
        places.sort_unstable_by_key(|place| (place.at, place.router));
        places.dedup_by_key(|place| place.at);
        for place in &mut places {
            let before = self.place(place.at).map(|n| &self.places[n]);
            if let Some(before) = before.filter(|before| before.router == place.router) {
                *place = before.clone();
            }
        }
        self.places = places;
        let mac = |index| network.interfaces().link(index).and_then(|link| link.mac);
        let places = &self.places;
        self.open.retain(|open| {
            mac(open.index) == Some(open.mac) && places.iter().any(|place| open.serves(place.at))
        });
        for n in 0..self.places.len() {
            let (index, address) = self.places[n].at;
            let link = network.interfaces().link(index);
            let known = self.open.iter().any(|open| open.serves((index, address)));
            if let (Some(link), false) = (link, known)
                && let Some(mac) = link.mac
                && let Err(e) = self.open(link, mac, Family::of(address), poller)
                && !std::mem::replace(&mut self.failed, true)
            {
                log::warn!(event = "address_conflict"; "{e}; other hosts that use a virtual address are not reported");
            }
        }
        self.refilter();
    }

    fn open(&mut self, link: &Link, mac: [u8; 6], family: Family, poller: &Poller) -> Result<(), Error> {
        let (id, socket) = (self.opened, Claims::open(&link.name, family, &[])?);
        let left = self.descriptors.admit(Purpose::Claims, &socket);
        left.map_err(Error::doing("watch for other holders of the addresses on", &link.name))?;
        poller.watch(socket.as_fd(), Token::Claims(id))?;
        self.opened += 1;
        self.open.push(Open { id, index: link.index, family, mac, watched: vec![], socket });
        Ok(())
    }

    fn refilter(&mut self) {
        self.outdated = false;
        for open in &mut self.open {
            let mine = self.places.iter().filter(|place| open.serves(place.at));
            let watched: Vec<_> = mine.map(|place| (place.at.1, place.master.map(|(_, mac)| mac))).collect();
            if watched != open.watched {
                if let Err(e) = open.socket.watch(&watched) {
                    log::debug!(event = "receive_failed"; "{e}");
                }
                open.watched = watched;
            }
        }
    }

    fn place(&self, at: (u32, IpAddr)) -> Option<usize> {
        self.places.binary_search_by_key(&at, |place| place.at).ok()
    }

    /// Forgets masters that are no longer followed, and makes new filters. Costs one look at each address, so it does
    /// nothing if it was called a moment ago.
    pub(super) fn follow_masters(&mut self, now: Instant, routers: &[Router]) {
        if now.since(self.followed_at) < FOLLOW_GAP {
            return;
        }
        self.followed_at = now;
        for place in &mut self.places {
            if let Some((master, _)) = place.master
                && master_of(&routers[place.router.0]) != Some(master)
            {
                place.master = None;
                self.outdated = true;
            }
        }
        if self.outdated {
            self.refilter();
        }
    }

    /// When [`ClaimWatch::conflicts`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unsettled.deadline()
    }

    /// The claims that are conflicts, and how often each was made. Asks the hosts whose claims may be some.
    pub(super) fn conflicts(
        &mut self,
        now: Instant,
        routers: &[Router],
        network: &mut Network,
    ) -> Vec<(RouterId, Claim, u64)> {
        let of = |RouterId(n): RouterId| {
            let telemetry = routers[n].telemetry();
            // What came before belongs to the last election.
            let heard = routers[n].rival_heard().filter(|heard| *heard >= telemetry.since());
            (view(&routers[n]), heard)
        };
        let ask = |(RouterId(n), index): unsettled::Place, claim: &Claim| {
            routers[n].source().is_some_and(|source| network.ask(index, source, claim.address, claim.mac))
        };
        self.unsettled.take(now, HANDOVER, of, ask)
    }

    /// Reads the claims that a socket received. Another interface of this host in the same network may answer too. Returns
    /// the masters that asked who has their addresses, or rely on one that did, and another host has answered.
    pub(super) fn read(
        &mut self,
        id: u32,
        now: Instant,
        routers: &[Router],
        network: &Network,
    ) -> Vec<RouterId> {
        let mut contested = vec![];
        let Some(open) = self.open.iter().find(|open| open.id == id) else { return contested };
        let (index, claims) = (open.index, open.socket.read());
        for claim in claims.into_iter().filter(|claim| !network.interfaces().has_mac(claim.mac)) {
            let Some(n) = self.place((index, claim.address)) else { continue };
            let place = &mut self.places[n];
            let router = &routers[place.router.0];
            let (role, in_role) = (router.role(), now.since(router.telemetry().since()));
            let interval = router.instance().settings().interval.duration();
            let here = (place.router, index);
            let mut counts = !self.unsettled.repeated(here, &claim, now);
            if claim.is_answer && role == Role::Master {
                contested.push(place.router);
                // A network where unicast is needed may answer for every address.
                let is_unicast = !router.config().protocol.peers.is_empty();
                counts &= place.answered(now, interval) && !is_unicast;
            }
            if !counts {
                continue;
            }
            let followed = master_of(router);
            let known = place.master.filter(|(master, _)| Some(*master) == followed).map(|(_, mac)| mac);
            match verdict(role, in_role, followed, known, claim.mac) {
                Verdict::Normal => {}
                Verdict::Master(master) => {
                    place.master = Some((master, claim.mac));
                    self.outdated = true;
                }
                Verdict::Conflict => self.unsettled.add(here, claim, now, interval, view(router)),
            }
        }
        concerned(&contested, routers)
    }
}

impl Place {
    /// Counts an answer. Returns whether it is one too many.
    fn answered(&mut self, now: Instant, interval: Duration) -> bool {
        let (count, last) = self.answers;
        let before = if now.since(last) <= interval * 3 { count } else { 0 };
        self.answers = (before.saturating_add(1), now);
        before >= ANSWERS
    }
}

impl Open {
    fn serves(&self, (index, address): (u32, IpAddr)) -> bool {
        (self.index, self.family) == (index, Family::of(address))
    }
}

/// The routers that an answer to one of `asked` concerns: where not all of a link and family ask, all of these.
fn concerned(asked: &[RouterId], routers: &[Router]) -> Vec<RouterId> {
    let place = |router: &Router| Some((router.binding()?.index, router.config().family()));
    let is_crowded = |here: &Option<questions::Place>| {
        routers.iter().filter(|router| place(router) == *here).count() > questions::MOST
    };
    let mut crowded: Vec<_> = asked.iter().map(|id| place(&routers[id.0])).collect();
    crowded.dedup();
    crowded.retain(is_crowded);
    let all = routers.iter().enumerate().map(|(n, router)| (RouterId(n), router));
    let concerned = all.filter(|(id, router)| asked.contains(id) || crowded.contains(&place(router)));
    concerned.map(|(id, _)| id).collect()
}

fn view(router: &Router) -> View {
    (router.role(), master_of(router))
}

fn master_of(router: &Router) -> Option<IpAddr> {
    router.instance().master().map(|master| master.address)
}

/// What a claim by `mac` means to a router that has been in `role` for `in_role` and follows `master`, which claims the
/// address from `known`.
fn verdict(
    role: Role,
    in_role: Duration,
    master: Option<IpAddr>,
    known: Option<[u8; 6]>,
    mac: [u8; 6],
) -> Verdict {
    match (role, master, known) {
        (Role::Master, _, _) if in_role >= HANDOVER => Verdict::Conflict,
        (Role::Backup, Some(master), None) => Verdict::Master(master),
        (Role::Backup, Some(_), Some(known)) if known != mac => Verdict::Conflict,
        (Role::Master | Role::Backup | Role::Fault | Role::Init, _, _) => Verdict::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_master_every_claim_is_a_conflict_once_the_handover_is_over() {
        let at = |ms| verdict(Role::Master, Duration::from_millis(ms), None, None, [2; 6]);
        assert_eq!([0, 399, 400].map(at), [Verdict::Normal, Verdict::Normal, Verdict::Conflict]);
    }

    #[test]
    fn an_answer_is_reported_if_it_continues() {
        let (at, router) = ((2, "10.0.0.2".parse().unwrap()), RouterId(0));
        let mut place = Place { at, router, master: None, answers: (0, Instant::START) };
        let mut reported = |ms| place.answered(Instant::from_millis(ms), Duration::from_secs(1));
        assert_eq!([5_000, 6_000, 7_000, 8_000, 9_000].map(&mut reported), [false, false, false, true, true]);
        assert_eq!([12_001, 13_000].map(&mut reported), [false; 2], "it was gone");
    }

    #[test]
    fn on_a_backup_only_the_master_may_claim() {
        let master = "10.0.0.11".parse().unwrap();
        let claimed = |master, known| verdict(Role::Backup, Duration::ZERO, master, known, [2; 6]);
        assert_eq!(claimed(None, None), Verdict::Normal, "there is no master to compare with");
        assert_eq!(claimed(Some(master), None), Verdict::Master(master));
        assert_eq!(claimed(Some(master), Some([2; 6])), Verdict::Normal);
        assert_eq!(claimed(Some(master), Some([3; 6])), Verdict::Conflict);
    }

    #[test]
    fn a_router_that_takes_no_part_says_nothing() {
        for role in [Role::Fault, Role::Init] {
            assert_eq!(verdict(role, Duration::from_secs(9), None, None, [2; 6]), Verdict::Normal);
        }
    }
}
