//! The interface that a router uses on this machine. Changes nothing.

use super::facts::Facts;
use crate::config::{InterfaceChoice, RouterConfig};
use crate::sys::netlink::Link;

/// The router's interface, and how `auto` found it.
pub(super) fn chosen_link<'a>(router: &RouterConfig, facts: &'a Facts) -> (Option<&'a Link>, String) {
    let (interfaces, hint) = (&facts.interfaces, router.subnet_hint);
    match &router.interface {
        InterfaceChoice::Named(name) => (interfaces.named(name), String::new()),
        InterfaceChoice::Auto => {
            let route = facts.default_routes[usize::from(hint.is_ipv6())].as_deref();
            let default = || route.and_then(|name| interfaces.named(name)).filter(|link| !link.loopback);
            match interfaces.on_subnet_of(hint, None) {
                Some(link) => (Some(link), format!(" (auto: its subnet contains {hint})")),
                None => (default(), " (auto: the interface of the default route)".into()),
            }
        }
    }
}
