//! Where the virtual addresses of a router belong, which are the host's own, and who else claims them.

use std::net::IpAddr;

use log::Level;

use super::Router;
use crate::config::{InterfaceChoice, VirtualAddress};
use crate::daemon::binding::subject;
use crate::daemon::network::Network;
use crate::sys::claims::Claim;
use crate::time::Instant;
use crate::vrrp::Role;

impl Router {
    /// Finds out which virtual addresses this host has as its own. Returns whether the list changed.
    pub(in crate::daemon) fn update_owned(&mut self, network: &Network) -> bool {
        let Some(home) = self.link(network).map(|link| link.index) else { return false };
        let on_links = self
            .config
            .all_addresses()
            .filter_map(|vip| Some((network.device(home, vip).ok()?, vip.address)));
        self.host.update_owned(network.interfaces(), home, on_links, &mut self.held)
    }

    /// Finds out which virtual addresses are on this host and should not be, and logs those that are new.
    pub(in crate::daemon) fn update_host_addresses(&mut self, network: &Network) {
        let state = match self.role() {
            Role::Init | Role::Master => None,
            role @ (Role::Backup | Role::Fault) => Some(role.as_str()),
        };
        let addresses = self.config.all_addresses().map(|vip| vip.address);
        for text in self.host.update(network.interfaces(), addresses, &self.held, state) {
            self.log_event(Level::Warn, "stray_address", text);
        }
    }

    /// Its virtual addresses, each with the link that it belongs on.
    pub(in crate::daemon) fn places(&self, network: &Network) -> impl Iterator<Item = (u32, IpAddr)> {
        let index = self.binding.as_ref().map(|binding| binding.index);
        let place = move |vip: &VirtualAddress| Some((network.device(index?, vip).ok()?, vip.address));
        self.config.all_addresses().filter_map(place)
    }

    /// That `auto` chose its link for no other reason than the default route.
    pub(in crate::daemon) fn outside_all_subnets(&self, network: &Network) -> Option<String> {
        let (binding, interfaces) = (self.binding()?, network.interfaces());
        let is_outside = |vip: &&VirtualAddress| {
            vip.needs_subnet() && interfaces.on_subnet_of(vip.address, None).is_none()
        };
        let auto = self.config.interface == InterfaceChoice::Auto;
        let vip = self.config.addresses.iter().find(is_outside).filter(|_| auto)?;
        Some(interfaces.outside_all_subnets(vip.address, &binding.interface))
    }

    /// The address that it sends from.
    pub(in crate::daemon) fn source(&self) -> Option<IpAddr> {
        self.binding()?.source
    }

    /// Another host claims one of its addresses.
    pub(in crate::daemon) fn claimed(&mut self, now: Instant, claim: Claim, count: u64) {
        let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
        self.telemetry.claimed(now, &subject, self.instance.master(), claim, count);
    }
}
