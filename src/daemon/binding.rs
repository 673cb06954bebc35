//! The link and source address of a router, or why it has none. Opens nothing.

use std::iter;
use std::net::IpAddr;

use log::Level;

use super::culprits::{Culprit, Culprits};
use super::messages::Subject;
use super::network::Network;
use super::port::{ANY_LINK, Channel};
use crate::columns::join;
use crate::config::{InterfaceChoice, RouterConfig, VirtualAddress};
use crate::sys::Error;
use crate::sys::netlink::Link;
use crate::token::Poller;
use crate::unicast::{Path, Unicast};
use crate::vrrp::Settings;

/// The link and the source address of a router whose sockets are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// The index of the link.
    pub(super) index: u32,
    pub(super) interface: Box<str>,
    /// The link, or one that a virtual address names, if it is not up.
    pub(super) down: Option<Box<Culprit>>,
    pub(super) source: Option<IpAddr>,
    /// The index of the link that the sockets are bound to, or [`ANY_LINK`].
    pub(super) port: u32,
    /// A unicast peer has no route, and no notification will report one.
    pub(super) awaits_route: bool,
    /// How source, peers and interface of unicast do not fit, as a sentence.
    pub(super) unfit: Option<Box<str>>,
}

impl Binding {
    /// Logs the link where it is another one than before, and the source of unicast likewise.
    pub(super) fn log_change(&self, before: Option<&Self>, config: &RouterConfig, subject: &Subject<'_>) {
        let Settings { vrid, priority, ref peers, .. } = *config.protocol;
        let link = |binding: &Self| (binding.index, &binding.interface) == (self.index, &self.interface);
        if !before.is_some_and(link) {
            let (interface, addresses) = (&self.interface, join(&config.addresses, ", "));
            let text = format!("VRID {vrid} on {interface}, priority {priority}, for {addresses}");
            subject.log_event(Level::Info, "interface", text);
        }
        let Some(source) = self.source.filter(|_| !peers.is_empty()) else { return };
        let same_path = |before: &Self| (before.source, &before.unfit) == (self.source, &self.unfit);
        if before.is_some_and(same_path) {
            return;
        }
        if let Some(unfit) = &self.unfit {
            subject.log_event(Level::Warn, "unicast", unfit);
        } else {
            let others = join(config.protocol.destinations(source), ", ");
            let text = format!("Unicast adverts go from {source} to {others}");
            subject.log_event(Level::Info, "unicast", text);
        }
    }
}

/// Finds the source address of a router and opens its sockets on `link`, its interface. `managed`: its virtual addresses.
pub(super) fn resolve<'a>(
    config: &RouterConfig,
    network: &mut Network,
    link: &Link,
    managed: impl Iterator<Item = &'a VirtualAddress>,
    virtual_addresses: &[IpAddr],
    poller: &Poller,
) -> Result<Binding, Unbound> {
    let Path { source, on_interface, awaits_route, unfit } = path(config, network, link, virtual_addresses);
    // A virtual address on its own device cannot be reached while that link is down.
    let devices = managed.filter_map(|vip| {
        let name = vip.device.as_deref().filter(|name| *name != link.name)?;
        Some((name, format!("interface {name} of {}", vip.address)))
    });
    let links = iter::once((&*link.name, format!("interface {}", link.name))).chain(devices);
    let interfaces = network.interfaces();
    let down = Culprit::port(interfaces, link).or_else(|| Culprit::of_links(interfaces, links)).map(Box::new);
    if let Some(channel) = channel(config, source) {
        network.open_port(poller, link, channel, on_interface).map_err(Unbound::Refused)?;
    }
    let port = if on_interface { link.index } else { ANY_LINK };
    let unfit = unfit.map(Into::into);
    let interface = link.name.as_str().into();
    Ok(Binding { index: link.index, interface, down, source, port, awaits_route, unfit })
}

/// How a router sends, once it has a source address.
pub(super) fn channel(config: &RouterConfig, source: Option<IpAddr>) -> Option<Channel> {
    if config.protocol.peers.is_empty() {
        Some(Channel::Multicast(config.family()))
    } else {
        source.map(Channel::Unicast)
    }
}

/// Where the adverts of a router come from, and whether they go over `link`, its interface.
fn path(config: &RouterConfig, network: &mut Network, link: &Link, virtual_addresses: &[IpAddr]) -> Path {
    let peers = &config.protocol.peers;
    if peers.is_empty() {
        let source = network.interfaces().source(config.family(), link.index, virtual_addresses);
        return Path { source, on_interface: true, awaits_route: false, unfit: None };
    }
    let unicast = Unicast { link, configured: config.unicast_source, peers, virtual_addresses };
    let others = unicast.others(network.interfaces());
    let routes = network.routes(&others);
    unicast.path(network.interfaces(), &routes)
}

/// Why a router has no binding.
#[derive(Debug)]
pub(super) enum Unbound {
    /// The link does not exist yet; the sentence for the log.
    NoLink(String),
    /// The kernel refused the sockets.
    Refused(Error),
}

impl Unbound {
    pub(super) fn level(&self) -> Level {
        match self {
            Self::NoLink(_) => Level::Warn,
            Self::Refused(_) => Level::Error,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::NoLink(text) => text.clone(),
            Self::Refused(e) => e.to_string(),
        }
    }

    /// What the FAULT is about.
    pub(super) fn culprit(&self, choice: &InterfaceChoice) -> Culprit {
        match (self, choice) {
            (Self::NoLink(_), InterfaceChoice::Named(name)) => Culprit::no_link(Some(name)),
            (Self::NoLink(_), InterfaceChoice::Auto) => Culprit::no_link(None),
            (Self::Refused(e), _) => Culprit::refusal("the kernel refused the sockets", e),
        }
    }

    /// Whether to retry without a notification: the kernel reports neither a new default route nor the end of every
    /// cause of a refusal.
    pub(super) fn needs_retry(&self, choice: &InterfaceChoice) -> bool {
        match self {
            Self::NoLink(_) => *choice == InterfaceChoice::Auto,
            Self::Refused(_) => true,
        }
    }
}

/// A router as messages name it. Borrows only what it names, so that the telemetry can be written at the same time.
pub(super) fn subject<'a>(
    config: &'a RouterConfig,
    binding: Option<&'a Binding>,
    watched: &'a [String],
    culprits: &'a Culprits,
) -> Subject<'a> {
    let interface = match (binding, &config.interface) {
        (Some(binding), _) => &binding.interface,
        (None, InterfaceChoice::Named(name)) => name,
        (None, InterfaceChoice::Auto) => "auto",
    };
    let source = binding.and_then(|binding| binding.source);
    let (settings, family) = (&*config.protocol, config.family());
    Subject { name: &config.name, settings, family, interface, source, watched, culprits }
}
