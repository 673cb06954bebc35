//! The addresses of this host that equal virtual ones of a router: what is not ours to add and remove, and what should not
//! be here. Asks no kernel.

use std::net::IpAddr;

use super::held::HeldAddresses;
use crate::interfaces::Interfaces;
use crate::sys::netlink::{Address, MARK};

/// An address as the kernel identifies it: the index of its link, the address, and its prefix length.
type Key = (u32, IpAddr, u8);

/// What this host has of a router's virtual addresses, other than what the router added.
#[derive(Debug)]
pub(super) struct HostAddresses {
    /// The router is the address owner.
    is_owner: bool,
    /// `None` while nothing was found, as on most hosts.
    found: Option<Box<Found>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// On the link where the router would add them: they are not added.
    owned: Vec<IpAddr>,
    /// What the sweep left where it was.
    kept: Vec<Key>,
    /// What is here now although the router is not master, and why that is wrong.
    stray: Vec<(Key, String)>,
    /// A warning for each of `kept` that is still here.
    warnings: Vec<String>,
}

impl HostAddresses {
    pub(super) fn new(is_owner: bool) -> Self {
        Self { is_owner, found: None }
    }

    pub(super) fn owned(&self) -> &[IpAddr] {
        self.found.as_deref().map_or(&[], |found| &found.owned)
    }

    /// Finds out which virtual addresses the host has as its own, as an address owner has: those are not ours to add and
    /// remove, and may be used as a source. They may come later than we do, as from DHCP (RFC 3768 §5.3.4). `home`: the
    /// router's link. `on_links`: each virtual address and the link where the router would add it. Returns whether the list
    /// changed.
    pub(super) fn update_owned(
        &mut self,
        interfaces: &Interfaces,
        home: u32,
        on_links: impl Iterator<Item = (u32, IpAddr)>,
        held: &mut HeldAddresses,
    ) -> bool {
        let hosts_own = |(index, address): &(u32, IpAddr)| {
            interfaces.unmarked(*address).filter(|found| found.index == *index).any(|found| {
                // Without marks, what we added looks like the host's.
                let added = held.iter().any(|(_, held)| held == *address)
                    && !(interfaces.has_marks() && held.contains(*index, *address, found.prefix));
                !added && (self.is_owner || interfaces.is_hosts_own(found, home))
            })
        };
        let owned: Vec<_> = on_links.filter(hosts_own).map(|(_, address)| address).collect();
        held.disown(&owned);
        let changed = owned != self.owned();
        if changed {
            self.found.get_or_insert_default().owned = owned;
        }
        changed
    }

    /// The sweep left this address where it was.
    pub(super) fn keep(&mut self, found: &Address) {
        self.found.get_or_insert_default().kept.push(key(found));
    }

    /// Whether the address stays on this link in every state: the host had it at the start, or the router is its owner.
    pub(super) fn stays(&self, index: u32, address: IpAddr) -> bool {
        let mut kept = self.found.iter().flat_map(|found| &found.kept);
        kept.any(|(on, kept, _)| (*on, *kept) == (index, address))
            || (self.is_owner && self.owned().contains(&address))
    }

    /// The current warnings, a sentence each.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.found
            .iter()
            .flat_map(|found| found.warnings.iter().chain(found.stray.iter().map(|(_, text)| text)))
    }

    /// Finds out what is here now. `state`: the router's, if it may have no virtual address in it. Returns a sentence for
    /// each address that should not be here and was not when this was last called.
    pub(super) fn update(
        &mut self,
        interfaces: &Interfaces,
        virtual_addresses: impl Iterator<Item = IpAddr>,
        held: &HeldAddresses,
        state: Option<&str>,
    ) -> Vec<String> {
        let before = self.found.take().map_or_else(Found::default, |found| *found);
        let expected = |found: &Address| {
            held.contains(found.index, found.address, found.prefix)
                || (self.is_owner && before.owned.contains(&found.address))
        };
        let mut warnings = vec![];
        let (mut stray, mut news) = (vec![], vec![]);
        for found in virtual_addresses.flat_map(|address| interfaces.unmarked(address)) {
            let link = interfaces.link(found.index);
            let name = link.map_or("another interface", |link| &link.name);
            if before.kept.contains(&key(found)) {
                warnings.push(own(found, name));
            } else if let Some(state) = state
                && !link.is_some_and(|link| link.loopback)
                && !expected(found)
            {
                let text = format!(
                    "{}/{} is on {name} although this router is {state}, and vrrp-init did not add it: clients may reach \
                     this host instead of the master; remove it",
                    found.address, found.prefix
                );
                if !before.stray.iter().any(|(known, _)| *known == key(found)) {
                    news.push(text.clone());
                }
                stray.push((key(found), text));
            }
        }
        let now = Found { stray, warnings, ..before };
        self.found = (now != Found::default()).then(|| Box::new(now));
        news
    }
}

/// The sentence about an address of the host that is in VIP.
pub(super) fn own(found: &Address, interface: &str) -> String {
    format!(
        "{}/{} is this host's own address on {interface} and stays there in every state: use an address that no host has, \
         or PRIORITY=255 on the host that has it",
        found.address, found.prefix
    )
}

/// Whether vrrp-init added it.
pub(super) fn is_marked(address: &Address) -> bool {
    address.mark == Some(MARK)
}

fn key(address: &Address) -> Key {
    (address.index, address.address, address.prefix)
}
