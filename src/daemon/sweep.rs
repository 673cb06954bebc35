//! Before the first advert, removes virtual addresses that a killed vrrp-init left behind. Knows no state machine.

use log::Level;

use super::host_addresses::{is_marked, own};
use super::network::Network;
use super::router::Router;
use crate::sys::netlink::Address;
use crate::vrrp::Priority;

/// What to do with an address that equals one of the router's virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A vrrp-init that was killed left it.
    RemoveOurs,
    /// It is on the link that the router will use, without a subnet and without our mark. keepalived removes such an
    /// address as well.
    RemoveUnmarked,
    /// An address owner's real address (RFC 3768 §5.3.4).
    KeepOwned,
    /// Any other address of the host.
    KeepHosts,
}

/// Removes the router's virtual addresses that are left over: those with our mark on any link, and unmarked ones without
/// a subnet on the link where the router will add them. Everything else is the host's.
pub(super) fn sweep(network: &mut Network, router: &mut Router) {
    let left: Vec<_> = network.interfaces().addresses().to_vec();
    for found in left {
        let Some(verdict) = judge(network, router, &found) else { continue };
        let address = format!("{}/{}", found.address, found.prefix);
        let (level, text) = match verdict {
            Verdict::KeepOwned => (Level::Info, format!("{address} is this host's own address: kept")),
            Verdict::KeepHosts => {
                let link = network.interfaces().link(found.index);
                let interface = link.map_or("another interface", |link| &link.name);
                router.host_mut().keep(&found);
                (Level::Warn, own(&found, interface))
            }
            Verdict::RemoveOurs | Verdict::RemoveUnmarked => {
                match network.remove(found.index, found.address, found.prefix) {
                    Err(e) => (Level::Error, e.to_string()),
                    Ok(()) if verdict == Verdict::RemoveOurs => {
                        (Level::Info, format!("Removed {address}, left behind by a killed vrrp-init"))
                    }
                    Ok(()) => (
                        Level::Warn,
                        format!("Removed {address}, which another program had added to this host"),
                    ),
                }
            }
        };
        router.log_event(level, "sweep", text);
    }
}

/// `None` for an address that is not one of the router's virtual ones.
fn judge(network: &Network, router: &Router, found: &Address) -> Option<Verdict> {
    let vip = router.config().all_addresses().find(|vip| vip.address == found.address)?;
    if is_marked(found) {
        return Some(Verdict::RemoveOurs);
    }
    let link = router.link(network).map(|link| link.index);
    let same_link =
        link.is_some_and(|link| network.device(link, vip).is_ok_and(|index| index == found.index));
    let is_hosts_own = link.is_some_and(|link| network.interfaces().is_hosts_own(found, link));
    let owner = router.config().protocol.priority == Priority::OWNER;
    Some(match (same_link, owner) {
        (true, true) => Verdict::KeepOwned,
        (true, false) if !is_hosts_own => Verdict::RemoveUnmarked,
        (true | false, _) => Verdict::KeepHosts,
    })
}
