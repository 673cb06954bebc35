//! Which address families this host has had since the start. A family that it never had, or of which the kernel accepted
//! no virtual address, is left out: no fault of this
//! host stops the router of the other family. Knows no router.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::RouterId;
use crate::interfaces::Interfaces;
use crate::time::Instant;
use crate::vrrp::{Cause, Family};

/// How long a family may come later than the other one: duplicate address detection takes up to two seconds.
const GRACE: Duration = Duration::from_millis(2_500);

/// What is known of the family of a router that has a partner.
#[derive(Debug)]
struct Presence {
    router: RouterId,
    /// The router of the other family.
    partner: RouterId,
    /// When the router first had an address to send from.
    came_at: Option<Instant>,
    /// The kernel has accepted the router's virtual addresses once.
    held: bool,
    /// The warning that the family is left out, once it was logged.
    left_out: Option<Box<str>>,
}

/// Whether the family of a router is left out, though that of its partner works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    No,
    /// It may still come.
    Maybe,
    /// It was not reported yet.
    Yes,
}

/// Whether an address is of the family that a router with addresses of `own` does not use, and the link has no address of
/// that family.
pub(super) fn is_missing(interfaces: &Interfaces, own: Family, index: u32, address: IpAddr) -> bool {
    let family = Family::of(address);
    let mut on_link = interfaces.addresses().iter().filter(|known| known.index == index);
    family != own && !on_link.any(|known| Family::of(known.address) == family)
}

/// An address of VIP_EXCLUDED that this host cannot have.
pub(super) fn address_left_out(address: IpAddr, interface: &str) -> String {
    let family = Family::of(address);
    format!(
        "{address} is left out: {interface} has no {family} address, so {family} is probably disabled there"
    )
}

/// The families of the routers that have a partner, in the order of their ids. Most routers have none.
#[derive(Debug)]
pub(super) struct Families(Vec<Presence>);

impl Families {
    /// `numbers`: one for each router. The routers of the two families of one `VIP` share it.
    pub(super) fn new(numbers: impl Iterator<Item = u16>) -> Self {
        let mut families = Self(vec![]);
        families.update(numbers.enumerate().map(|(router, number)| (RouterId(router), number)));
        families
    }

    /// Follows other routers. What is known of those that keep their partner stays.
    pub(super) fn update(&mut self, numbers: impl Iterator<Item = (RouterId, u16)>) {
        let mut numbered: Vec<(RouterId, u16)> = vec![];
        for new in numbers {
            // Nearly always at the end.
            let at = numbered.partition_point(|known| (known.1, known.0) <= (new.1, new.0));
            numbered.insert(at, new);
        }
        let mut before = std::mem::take(&mut self.0);
        let mut add = |router, partner| {
            let known = before.iter().position(|known| (known.router, known.partner) == (router, partner));
            let unknown = Presence { router, partner, came_at: None, held: false, left_out: None };
            let presence = known.map_or(unknown, |at| before.swap_remove(at));
            let at = self.0.partition_point(|known| known.router < router);
            self.0.insert(at, presence);
        };
        for pair in numbered.windows(2).filter(|pair| pair[0].1 == pair[1].1) {
            add(pair[0].0, pair[1].0);
            add(pair[1].0, pair[0].0);
        }
    }

    /// The router of the other family of the same `VIP`.
    pub(super) fn partner(&self, id: RouterId) -> Option<RouterId> {
        self.get(id).map(|presence| presence.partner)
    }

    /// The routers that have a partner.
    pub(super) fn ids(&self) -> Vec<RouterId> {
        self.0.iter().map(|presence| presence.router).collect()
    }

    /// The router has an address to send from, on a link that is up.
    pub(super) fn came(&mut self, id: RouterId, now: Instant) {
        if let Some(presence) = self.get_mut(id) {
            presence.came_at.get_or_insert(now);
            presence.left_out = None;
        }
    }

    /// The kernel accepted the router's virtual addresses.
    pub(super) fn held(&mut self, id: RouterId) {
        if let Some(presence) = self.get_mut(id) {
            presence.held = true;
            presence.left_out = None;
        }
    }

    /// The kernel refused the router's virtual addresses. Returns whether it always has, and this is news.
    pub(super) fn refused(&self, id: RouterId) -> bool {
        self.get(id).is_some_and(|presence| !presence.held && presence.left_out.is_none())
    }

    /// Whether this cause of FAULT stops the router of the other family as well: another host could serve both.
    pub(super) fn shares(&self, id: RouterId, cause: Cause) -> bool {
        match cause {
            Cause::Partner => false,
            Cause::Source | Cause::Interface => self.came_at(id).is_some(),
            Cause::Address => self.get(id).is_some_and(|presence| presence.held),
            Cause::Vrid | Cause::Service | Cause::Tracked | Cause::Send => true,
        }
    }

    /// Whether the family of `id` is missing, and the one of its partner is not.
    pub(super) fn missing(&self, id: RouterId, now: Instant) -> Missing {
        let Some(presence) = self.get(id) else { return Missing::No };
        match self.came_at(presence.partner) {
            Some(at) if presence.came_at.is_none() && presence.left_out.is_none() => {
                if now.since(at) < GRACE { Missing::Maybe } else { Missing::Yes }
            }
            _ => Missing::No,
        }
    }

    /// It was logged that the family is left out.
    pub(super) fn leave_out(&mut self, id: RouterId, text: String) {
        if let Some(presence) = self.get_mut(id) {
            presence.left_out = Some(text.into());
        }
    }

    /// The warning that the family is left out.
    pub(super) fn left_out(&self, id: RouterId) -> Option<&str> {
        self.get(id)?.left_out.as_deref()
    }

    fn came_at(&self, id: RouterId) -> Option<Instant> {
        self.get(id)?.came_at
    }

    fn get(&self, id: RouterId) -> Option<&Presence> {
        self.0.binary_search_by_key(&id, |presence| presence.router).ok().map(|at| &self.0[at])
    }

    fn get_mut(&mut self, id: RouterId) -> Option<&mut Presence> {
        self.0.iter_mut().find(|presence| presence.router == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routers_of_one_number_are_partners() {
        let families = Families::new([1, 2, 2, 3].into_iter());
        let partners = [0, 1, 2, 3].map(|id| families.partner(RouterId(id)).map(|RouterId(id)| id));
        assert_eq!(partners, [None, Some(2), Some(1), None]);
        assert_eq!(families.ids(), [RouterId(1), RouterId(2)]);
    }

    #[test]
    fn a_refused_address_is_shared_once_the_kernel_accepted_it() {
        let (v4, v6) = (RouterId(0), RouterId(1));
        let mut families = Families::new([1, 1].into_iter());
        assert!(families.refused(v6) && !families.shares(v6, Cause::Address));
        families.leave_out(v6, "left out".into());
        assert!(!families.refused(v6), "it was said");
        families.held(v6);
        assert_eq!(families.left_out(v6), None);
        assert!(families.shares(v6, Cause::Address) && !families.refused(v6));
        assert!(!families.shares(v4, Cause::Address));
    }

    #[test]
    fn partners_come_and_go_and_the_others_are_remembered() {
        let router = |id, number| (RouterId(id), number);
        let mut families = Families::new([1, 1, 2].into_iter());
        families.came(RouterId(0), Instant::START);
        families.update([router(0, 1), router(1, 1), router(2, 2), router(3, 2)].into_iter());
        let partners = [0, 1, 2, 3].map(|id| families.partner(RouterId(id)).map(|RouterId(id)| id));
        assert_eq!(partners, [Some(1), Some(0), Some(3), Some(2)]);
        assert!(families.shares(RouterId(0), Cause::Source), "it was there");
        families.update([router(0, 1), router(2, 2), router(3, 2)].into_iter());
        assert_eq!((families.partner(RouterId(0)), families.ids().len()), (None, 2));
    }

    #[test]
    fn a_family_shares_its_faults_once_it_was_there() {
        let (v4, v6) = (RouterId(0), RouterId(1));
        let mut families = Families::new([1, 1].into_iter());
        let at = |ms| Instant::START + Duration::from_millis(ms);
        assert_eq!(families.missing(v6, at(9_000)), Missing::No, "neither is there");
        families.came(v4, at(10_000));
        assert_eq!(families.missing(v6, at(12_000)), Missing::Maybe);
        assert_eq!(families.missing(v6, at(12_500)), Missing::Yes);
        assert!(!families.shares(v6, Cause::Source) && families.shares(v4, Cause::Source));
        assert!(families.shares(v6, Cause::Service) && !families.shares(v4, Cause::Partner));
        assert!(families.shares(v6, Cause::Send) && families.shares(v6, Cause::Tracked));
        families.leave_out(v6, "left out".into());
        assert_eq!(
            (families.missing(v6, at(13_000)), families.left_out(v6)),
            (Missing::No, Some("left out"))
        );
        families.came(v6, at(14_000));
        assert!(families.left_out(v6).is_none() && families.shares(v6, Cause::Source));
    }
}
