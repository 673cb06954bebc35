//! Before the first advert, removes virtual addresses that a killed vrrp-init left behind. Knows no state machine.

use log::Level;

use super::network::Network;
use super::router::Router;
use crate::sys::netlink::{Address, MARK};
use crate::vrrp::Priority;

/// What to do with an address that equals one of the router's virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A vrrp-init that was killed left it.
    RemoveOurs,
    /// It has the link and prefix that the router will use, but not our mark. keepalived removes such an address as
    /// well.
    RemoveUnmarked,
    /// An address owner's real address (RFC 3768 §5.3.4).
    KeepOwned,
    /// Something else uses it.
    KeepForeign,
}

/// Removes the router's virtual addresses that are left over: those with our mark on any link, and unmarked ones on the
/// link where the router will add them.
pub(super) fn sweep(network: &mut Network, router: &Router) {
    let present = network.interfaces().addresses().to_vec();
    for found in present {
        let Some(verdict) = judge(network, router, &found) else { continue };
        let address = format!("{}/{}", found.address, found.prefix);
        let (level, text) = match verdict {
            Verdict::KeepOwned => (Level::Info, format!("{address} is this host's own address: kept")),
            Verdict::KeepForeign => (
                Level::Warn,
                format!("{address} is already on this host and was not added by vrrp-init: left unchanged"),
            ),
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
    let vip = router.managed().find(|vip| vip.address == found.address)?;
    if found.mark == Some(MARK) {
        return Some(Verdict::RemoveOurs);
    }
    let link = router.link(network).map(|link| link.index);
    let same_link =
        link.is_some_and(|link| network.device(link, vip).is_ok_and(|index| index == found.index));
    let owner = router.config().protocol.priority == Priority::OWNER;
    Some(match (same_link, owner) {
        (true, true) => Verdict::KeepOwned,
        (true, false) if vip.prefix == found.prefix => Verdict::RemoveUnmarked,
        (true | false, _) => Verdict::KeepForeign,
    })
}
