//! Removes what a killed predecessor left on the interfaces, before the first advert; knows no state machine.

use super::kernel::Kernel;
use super::router::Router;
use crate::sys::netlink::MARK;
use crate::vrrp::Priority;

/// Removes the router's virtual addresses wherever a predecessor left them: those with our mark on any
/// link, and unmarked ones on the link where the router will put them, as keepalived does. Those an
/// address owner really has are its own, and not managed (RFC 3768 §5.3.4).
pub(super) fn sweep(kernel: &mut Kernel, router: &mut Router) {
    let name = router.config.name.clone();
    let owner = router.config.protocol.priority == Priority::OWNER;
    let first = router.config.addresses.first().map(|vip| vip.address);
    let home = first.and_then(|first| kernel.resolve(&router.config.interface, first)).map(|link| link.index);
    for found in kernel.interfaces.addresses().to_vec() {
        let Some(vip) = router.config.addresses.iter().find(|vip| vip.address == found.address) else {
            continue;
        };
        let marked = found.mark == Some(MARK);
        let at_home =
            home.is_some_and(|home| kernel.device(home, vip).is_ok_and(|index| index == found.index));
        let whole = format!("{}/{}", found.address, found.prefix);
        if !marked && owner && at_home {
            log::info!(event = "sweep", instance = name.as_str(); "({name}) {whole} is this host's own address and stays");
            router.managed.retain(|vip| vip.address != found.address);
            continue;
        }
        if !marked && (!at_home || vip.prefix != found.prefix) {
            log::warn!(event = "sweep", instance = name.as_str(); "({name}) {whole} is on this host already, and not from vrrp-init: left alone");
            continue;
        }
        match kernel.remove_from(found.index, found.address, found.prefix) {
            Err(e) => log::error!(event = "sweep", instance = name.as_str(); "({name}) {e}"),
            Ok(()) if marked => {
                log::info!(event = "sweep", instance = name.as_str(); "({name}) Removed {whole}, left by a predecessor that was killed");
            }
            Ok(()) => {
                log::warn!(event = "sweep", instance = name.as_str(); "({name}) Removed {whole}, which something else had put on this host");
            }
        }
    }
}
