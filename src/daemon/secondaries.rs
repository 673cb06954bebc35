//! The host's own addresses in the subnet of a virtual one. If the virtual address is the primary one of the subnet, the
//! kernel removes them together with it unless `promote_secondaries` is set. Knows no router.

use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use crate::interfaces::{Interfaces, host_prefix, share_subnet};
use crate::sys::netlink::{Address, Assignment, Change, MARK, Netlink, Removed};
use crate::time::Instant;

/// The least time between two looks at the setting of the links.
const LOOK_GAP: Duration = Duration::from_secs(1);

/// A virtual IPv4 address with a subnet that was added.
#[derive(Debug)]
struct Added {
    index: u32,
    address: IpAddr,
    prefix: u8,
    /// It was the first of its subnet at some time, and may be so still.
    primary: bool,
}

/// The virtual addresses whose removal may remove others.
#[derive(Debug)]
pub(super) struct Secondaries {
    added: Vec<Added>,
    looked_at: Instant,
    /// Links for which a change by another program has been logged.
    said: Vec<u32>,
}

impl Secondaries {
    pub(super) const fn new() -> Self {
        Self { added: vec![], looked_at: Instant::START, said: vec![] }
    }

    /// Sets `promote_secondaries` wherever one of the addresses becomes a primary one. Returns what to log.
    pub(super) fn protect(
        &mut self,
        netlink: &mut Netlink,
        interfaces: &Interfaces,
        added: &[Assignment],
    ) -> Vec<(Level, String)> {
        let mut log = vec![];
        for Assignment { index, address, prefix, .. } in added {
            if !address.is_ipv4() || *prefix >= host_prefix(*address) {
                continue;
            }
            let primary = interfaces.would_be_primary(*index, *address, *prefix);
            self.forget(*index, *address, *prefix);
            self.added.push(Added { index: *index, address: *address, prefix: *prefix, primary });
            if !primary {
                continue;
            }
            let name = interfaces.link(*index).map_or("an interface that is gone", |link| &link.name);
            match netlink.promote_secondaries(*index, name) {
                Ok(false) => {}
                Ok(true) => {
                    let text = format!(
                        "Set promote_secondaries=1 on {name}: other addresses in the subnet of {address}/{prefix} would be \
                         removed with it otherwise"
                    );
                    log.push((Level::Info, text));
                }
                Err(e) => log.push((Level::Warn, e.into())),
            }
        }
        log
    }

    /// Sets `promote_secondaries` again where another program has changed it since. Looks at most once a second.
    pub(super) fn keep(&mut self, now: Instant, netlink: &mut Netlink, interfaces: &Interfaces) {
        if self.added.is_empty() || now.since(self.looked_at) < LOOK_GAP {
            return;
        }
        self.looked_at = now;
        self.said.retain(|index| interfaces.link(*index).is_some());
        let mut seen = vec![];
        for added in &mut self.added {
            let Added { index, address, prefix, .. } = *added;
            added.primary |= interfaces.would_be_primary(index, address, prefix);
            let link = interfaces.link(index).filter(|_| added.primary && !seen.contains(&index));
            let Some(link) = link else { continue };
            seen.push(index);
            // An error was logged when the address was added.
            if let Ok(true) = netlink.promote_secondaries(index, &link.name) {
                let level = if self.said.contains(&index) { Level::Debug } else { Level::Warn };
                self.said.extend((level == Level::Warn).then_some(index));
                log::log!(
                    level,
                    event = "promote_secondaries";
                    "Set promote_secondaries=1 on {} again: another program had set it to 0, with {address}/{prefix} there",
                    link.name
                );
            }
        }
    }

    /// The address is removed.
    pub(super) fn forget(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.added.retain(|added| (added.index, added.address, added.prefix) != (index, address, prefix));
    }
}

/// Addresses of the host that the kernel removed together with the primary address of their subnet, each after that
/// address. `is_primary` says which those are.
pub(super) fn removed_together(
    changes: &[Change],
    is_primary: impl Fn(&Address) -> bool,
) -> Vec<(Address, Removed)> {
    let gone =
        || changes.iter().filter_map(|c| if let Change::AddressGone(gone) = c { Some(gone) } else { None });
    let mut found = vec![];
    for primary in gone().filter(|gone| is_primary(&gone.address)) {
        let before = gone().take_while(|removed| !std::ptr::eq(*removed, primary));
        let with = before.filter(|removed| {
            removed.has_cause_of(primary)
                && removed.address.mark != Some(MARK)
                && removed.address.address.is_ipv4()
                && share_subnet(&removed.address, &primary.address)
        });
        found.extend(with.map(|removed| (primary.address.clone(), removed.clone())));
    }
    found
}

/// Adds an address again that the kernel removed together with a virtual one.
pub(super) fn put_back(netlink: &mut Netlink, with: &Address, removed: &Removed) {
    let Address { address, prefix, .. } = removed.address;
    match netlink.restore(removed) {
        Ok(()) => log::warn!(
            event = "address_restored";
            "{address}/{prefix} was removed by the kernel together with the virtual address {}/{}: added it again",
            with.address, with.prefix
        ),
        Err(e) => log::error!(event = "address_restored"; "{e}"),
    }
}
