//! Removes what a killed predecessor left on the interfaces, before the first advert; knows no state machine.

use std::fmt;

use log::Level;

use super::network::Kernel;
use super::router::Router;
use crate::sys::netlink::{Address, MARK};
use crate::vrrp::Priority;

/// Removes the router's virtual addresses wherever a predecessor left them: those with our mark on any
/// link, and unmarked ones on the link where the router will put them, as keepalived does. Those an
/// address owner really has are its own (RFC 3768 §5.3.4).
pub(super) fn sweep(kernel: &mut Kernel, router: &Router) {
    let owner = router.config.protocol.priority == Priority::OWNER;
    let home =
        kernel.resolve(&router.config.interface, router.config.subnet_hint, None).map(|link| link.index);
    let ours = |found: &&Address| router.managed().any(|vip| vip.address == found.address);
    let left: Vec<_> = kernel.interfaces.addresses().iter().filter(ours).cloned().collect();
    for found in left {
        let Some(vip) = router.managed().find(|vip| vip.address == found.address) else {
            continue;
        };
        let marked = found.mark == Some(MARK);
        let at_home =
            home.is_some_and(|home| kernel.device(home, vip).is_ok_and(|index| index == found.index));
        let whole = format!("{}/{}", found.address, found.prefix);
        if !marked && owner && at_home {
            say(router, Level::Info, format_args!("{whole} is this host's own address and stays"));
            continue;
        }
        if !marked && (!at_home || vip.prefix != found.prefix) {
            let text = "is on this host already, and not from vrrp-init: left alone";
            say(router, Level::Warn, format_args!("{whole} {text}"));
            continue;
        }
        match kernel.remove(found.index, found.address, found.prefix) {
            Err(e) => say(router, Level::Error, format_args!("{e}")),
            Ok(()) if marked => {
                say(
                    router,
                    Level::Info,
                    format_args!("Removed {whole}, left by a predecessor that was killed"),
                );
            }
            Ok(()) => {
                let text = "which something else had put on this host";
                say(router, Level::Warn, format_args!("Removed {whole}, {text}"));
            }
        }
    }
}

fn say(router: &Router, level: Level, text: fmt::Arguments<'_>) {
    router.say(level, "sweep", text);
}
