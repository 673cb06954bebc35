//! Which address families this host has had since the start. A family that it never had is left out: no fault of this
//! host stops the router of the other family. Knows no router.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::RouterId;
use crate::interfaces::Interfaces;
use crate::time::Instant;
use crate::vrrp::{Cause, Family};

/// How long a family may come later than the other one: duplicate address detection takes up to two seconds.
const GRACE: Duration = Duration::from_millis(2_500);

/// What is known of the family of one router.
#[derive(Clone, Debug, Default)]
struct Presence {
    /// When the router first had an address to send from.
    came_at: Option<Instant>,
    /// The warning that the family is left out, once it was logged.
    left_out: Option<String>,
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

/// The families of all routers.
#[derive(Debug)]
pub(super) struct Families(Vec<Presence>);

impl Families {
    pub(super) fn new(routers: usize) -> Self {
        Self(vec![Presence::default(); routers])
    }

    /// The router has an address to send from, on a link that is up.
    pub(super) fn came(&mut self, id: RouterId, now: Instant) {
        let presence = &mut self.0[id.0];
        presence.came_at.get_or_insert(now);
        presence.left_out = None;
    }

    /// Whether this cause of FAULT stops the router of the other family as well: another host could serve both.
    pub(super) fn shares(&self, id: RouterId, cause: Cause) -> bool {
        match cause {
            Cause::Partner => false,
            Cause::Source | Cause::Interface => self.0[id.0].came_at.is_some(),
            Cause::Vrid | Cause::Service | Cause::Tracked | Cause::Address | Cause::Send => true,
        }
    }

    /// Whether the family of `id` is missing, and the one of its partner is not.
    pub(super) fn missing(&self, id: RouterId, partner: RouterId, now: Instant) -> Missing {
        let presence = &self.0[id.0];
        match self.0[partner.0].came_at {
            Some(at) if presence.came_at.is_none() && presence.left_out.is_none() => {
                if now.since(at) < GRACE { Missing::Maybe } else { Missing::Yes }
            }
            _ => Missing::No,
        }
    }

    /// It was logged that the family is left out.
    pub(super) fn leave_out(&mut self, id: RouterId, text: String) {
        self.0[id.0].left_out = Some(text);
    }

    /// The warning that the family is left out.
    pub(super) fn left_out(&self, id: RouterId) -> Option<&str> {
        self.0[id.0].left_out.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_shares_its_faults_once_it_was_there() {
        let (v4, v6) = (RouterId(0), RouterId(1));
        let mut families = Families::new(2);
        let at = |ms| Instant::START + Duration::from_millis(ms);
        assert_eq!(families.missing(v6, v4, at(9_000)), Missing::No, "neither is there");
        families.came(v4, at(10_000));
        assert_eq!(families.missing(v6, v4, at(12_000)), Missing::Maybe);
        assert_eq!(families.missing(v6, v4, at(12_500)), Missing::Yes);
        assert!(!families.shares(v6, Cause::Source) && families.shares(v4, Cause::Source));
        assert!(families.shares(v6, Cause::Service) && !families.shares(v4, Cause::Partner));
        families.leave_out(v6, "left out".into());
        assert_eq!(
            (families.missing(v6, v4, at(13_000)), families.left_out(v6)),
            (Missing::No, Some("left out"))
        );
        families.came(v6, at(14_000));
        assert!(families.left_out(v6).is_none() && families.shares(v6, Cause::Source));
    }
}
