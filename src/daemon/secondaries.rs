//! The host's own addresses in the subnet of a virtual one. If the virtual address is the primary one of the subnet, the
//! kernel removes them together with it unless `promote_secondaries` is set. Knows no router.

use log::Level;

use crate::interfaces::{Interfaces, share_subnet};
use crate::sys::netlink::{Address, Assignment, Change, MARK, Netlink, Removed};

/// Sets `promote_secondaries` wherever one of the addresses becomes a primary one. Returns what to log.
pub(super) fn protect(
    netlink: &mut Netlink,
    interfaces: &Interfaces,
    added: &[Assignment],
) -> Vec<(Level, String)> {
    let mut log = vec![];
    for Assignment { index, address, prefix, .. } in added {
        if !interfaces.would_be_primary(*index, *address, *prefix) {
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
