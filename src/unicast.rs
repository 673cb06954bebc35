//! Chooses the address that a router's unicast adverts come from and the links that they take. Opens nothing.

use std::net::IpAddr;

use crate::interfaces::Interfaces;
use crate::sys::netlink::{Link, Route};
use crate::vrrp::Family;

/// A router that sends by unicast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unicast<'a> {
    /// The router's interface, where its virtual addresses are.
    pub(crate) link: &'a Link,
    /// UNICAST_SRC_IP.
    pub(crate) configured: Option<IpAddr>,
    /// UNICAST_PEERS; not empty.
    pub(crate) peers: &'a [IpAddr],
    /// Every virtual address, sorted: adverts are never sent from one.
    pub(crate) virtual_addresses: &'a [IpAddr],
}

/// How the adverts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// `None`: this host has no address to send from.
    pub(crate) source: Option<IpAddr>,
    /// Every peer is reached over the router's interface; while none has a route, the source is on it.
    pub(crate) on_interface: bool,
    /// A peer has no route. The kernel will not report that it has one.
    pub(crate) awaits_route: bool,
    /// How source, peers and interface do not fit, as a sentence.
    pub(crate) unfit: Option<String>,
}

impl Unicast<'_> {
    /// The peers that are other hosts, each with the link that its route must be looked up on: a link-local address is
    /// one of the router's interface.
    pub(crate) fn others(&self, interfaces: &Interfaces) -> Vec<(IpAddr, Option<u32>)> {
        let scope = |peer: IpAddr| match peer {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(self.link.index),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        // A virtual address is this host's own while it is master.
        let others = self.peers.iter().filter(|peer| {
            interfaces.real(**peer, self.virtual_addresses).is_none()
                && self.virtual_addresses.binary_search(peer).is_err()
        });
        others.map(|peer| (*peer, scope(*peer))).collect()
    }

    /// `routes`: those of [`Unicast::others`].
    pub(crate) fn path(&self, interfaces: &Interfaces, routes: &[(IpAddr, Option<Route>)]) -> Path {
        let source = self.source(interfaces, routes);
        let mut links = routes.iter().filter_map(|(_, route)| *route).map(|route| route.index).peekable();
        let on_interface = match links.peek() {
            Some(_) => links.all(|index| index == self.link.index),
            None => source.is_none_or(|source| interfaces.has(self.link.index, source)),
        };
        let unfit = source.and_then(|source| self.unfit(interfaces, routes, source));
        Path { source, on_interface, awaits_route: routes.iter().any(|(_, route)| route.is_none()), unfit }
    }

    /// UNICAST_SRC_IP, else our own address among the peers, else the one that the route to the first peer prefers.
    fn source(&self, interfaces: &Interfaces, routes: &[(IpAddr, Option<Route>)]) -> Option<IpAddr> {
        if let Some(source) = self.configured {
            return Some(source).filter(|source| interfaces.has_ready(*source));
        }
        let ours = |peer: &&IpAddr| {
            interfaces.real(**peer, self.virtual_addresses).is_some() && interfaces.has_ready(**peer)
        };
        let listed = || self.peers.iter().filter(ours);
        let here = |peer: &&IpAddr| interfaces.has(self.link.index, **peer);
        if let Some(listed) = listed().find(here).or_else(|| listed().next()) {
            return Some(*listed);
        }
        let first = routes.iter().find_map(|(peer, route)| Some((*peer, (*route)?)));
        let listed = *self.peers.first()?;
        let family = Family::of(listed);
        let Some((peer, route)) = first else {
            return interfaces
                .source_in_subnet_of(listed, self.link.index, self.virtual_addresses)
                .or_else(|| interfaces.source(family, self.link.index, self.virtual_addresses));
        };
        let preferred =
            route.source.filter(|source| interfaces.real(*source, self.virtual_addresses).is_some());
        preferred
            .or_else(|| interfaces.source_in_subnet_of(peer, route.index, self.virtual_addresses))
            .or_else(|| interfaces.source(family, route.index, self.virtual_addresses))
    }

    fn unfit(
        &self,
        interfaces: &Interfaces,
        routes: &[(IpAddr, Option<Route>)],
        source: IpAddr,
    ) -> Option<String> {
        if routes.is_empty() {
            return Some(format!("UNICAST_PEERS names no other node, so nobody hears {source}"));
        }
        if let Some((peer, _)) = routes.iter().find(|(_, route)| route.is_none()) {
            return Some(format!("This host has no route to the unicast peer {peer}"));
        }
        let here = &self.link.name;
        let name = |index| interfaces.link(index).map_or("another interface", |link| &link.name);
        let advice = "if that is wrong, correct INTERFACE, UNICAST_PEERS or UNICAST_SRC_IP";
        let other = routes.iter().find_map(|(peer, route)| {
            route.filter(|route| route.index != self.link.index).map(|route| (peer, route.index))
        });
        if let Some((peer, index)) = other {
            return Some(format!(
                "Unicast adverts go from {source} to {peer} over {}, but the INTERFACE of the virtual addresses is {here}; \
                 {advice}",
                name(index)
            ));
        }
        if !interfaces.has(self.link.index, source) {
            return Some(format!(
                "Unicast adverts go from {source}, which is not an address of INTERFACE {here}; {advice}"
            ));
        }
        let (peer, expected) = routes.iter().find_map(|(peer, route)| {
            let expected =
                interfaces.source_in_subnet_of(*peer, route.as_ref()?.index, self.virtual_addresses)?;
            (!interfaces.shares_subnet(source, *peer)).then_some((peer, expected))
        })?;
        Some(format!(
            "Unicast adverts go from {source}, but the peer {peer} is in the subnet of {expected}: it drops them unless \
             its UNICAST_PEERS contains {source}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netlink::Address;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interfaces(addresses: &[(u32, &str, u8)]) -> Interfaces {
        let link = |index, name: &str| Link {
            index,
            name: name.into(),
            up: true,
            enabled: true,
            altnames: vec![],
            mac: None,
            loopback: false,
            multicast: true,
            port_of: None,
            promote_secondaries: None,
        };
        let address = |(index, address, prefix): &(u32, &str, u8)| Address {
            index: *index,
            address: ip(address),
            prefix: *prefix,
            label: None,
            mark: None,
            tentative: false,
            has_peer: false,
            lifetime: None,
        };
        Interfaces::new(vec![link(2, "eth0"), link(3, "eth1")], addresses.iter().map(address).collect())
    }

    /// The path with INTERFACE eth0; `routes` are `(peer, link, preferred source)`.
    fn path(
        interfaces: &Interfaces,
        configured: Option<&str>,
        peers: &[&str],
        routes: &[(&str, u32, &str)],
    ) -> Path {
        let peers: Vec<_> = peers.iter().map(|peer| ip(peer)).collect();
        let link = interfaces.named("eth0").unwrap();
        let virtual_addresses = [ip("10.0.0.2")];
        let unicast = Unicast {
            link,
            configured: configured.map(ip),
            peers: &peers,
            virtual_addresses: &virtual_addresses,
        };
        let of = |peer| {
            let route = routes.iter().find(|(to, ..)| ip(to) == peer);
            route.map(|(_, index, source)| Route { index: *index, source: Some(ip(source)) })
        };
        let routes: Vec<_> =
            unicast.others(interfaces).into_iter().map(|(peer, _)| (peer, of(peer))).collect();
        unicast.path(interfaces, &routes)
    }

    fn two_on_eth0() -> Interfaces {
        interfaces(&[(2, "192.168.1.5", 24), (2, "10.0.0.2", 32), (2, "10.0.0.11", 24), (3, "10.8.0.1", 24)])
    }

    const FITS: Option<&str> = None;

    #[test]
    fn our_address_in_the_list_is_the_source_and_fits_where_it_is_on_interface() {
        let routes = [("10.0.0.12", 2, "10.0.0.11")];
        let path = path(&two_on_eth0(), None, &["10.0.0.11", "10.0.0.12"], &routes);
        assert_eq!((path.source, path.on_interface), (Some(ip("10.0.0.11")), true));
        assert_eq!((path.unfit.as_deref(), path.awaits_route), (FITS, false));
    }

    #[test]
    fn the_source_setting_wins_over_the_list_and_waits_for_its_address() {
        let routes = [("10.0.0.12", 2, "10.0.0.11")];
        let peers = ["10.0.0.11", "10.0.0.12"];
        let configured = path(&two_on_eth0(), Some("192.168.1.5"), &peers, &routes);
        assert_eq!(configured.source, Some(ip("192.168.1.5")));
        assert!(configured.unfit.unwrap().contains("in the subnet of 10.0.0.11"));
        assert_eq!(path(&two_on_eth0(), Some("192.168.1.9"), &peers, &routes).source, None);
    }

    #[test]
    fn without_our_address_in_the_list_the_route_decides_but_never_for_a_virtual_address() {
        let by_route = |source| path(&two_on_eth0(), None, &["10.0.0.12"], &[("10.0.0.12", 2, source)]);
        assert_eq!(by_route("10.0.0.11").source, Some(ip("10.0.0.11")));
        assert_eq!(by_route("10.0.0.2").source, Some(ip("10.0.0.11")), "the other real address there");
        assert_eq!(by_route("10.0.0.11").unfit.as_deref(), FITS);
    }

    #[test]
    fn peers_over_another_link_are_followed_there_with_a_warning() {
        let path = path(&two_on_eth0(), None, &["10.8.0.1", "10.8.0.2"], &[("10.8.0.2", 3, "10.8.0.1")]);
        assert_eq!((path.source, path.on_interface), (Some(ip("10.8.0.1")), false));
        let unfit = path.unfit.unwrap();
        assert!(unfit.contains("to 10.8.0.2 over eth1") && unfit.contains("is eth0"), "{unfit}");
    }

    #[test]
    fn a_source_on_another_link_is_a_warning_even_if_the_peers_are_on_interface() {
        let routes = [("10.0.0.12", 2, "10.0.0.11")];
        let path = path(&two_on_eth0(), Some("10.8.0.1"), &["10.0.0.12"], &routes);
        assert!(path.on_interface);
        assert!(path.unfit.unwrap().contains("10.8.0.1, which is not an address of INTERFACE eth0"));
    }

    #[test]
    fn a_peer_without_a_route_is_awaited() {
        let path = path(&two_on_eth0(), None, &["172.16.0.9"], &[]);
        assert_eq!((path.source, path.awaits_route), (Some(ip("192.168.1.5")), true));
        assert!(
            path.on_interface
                && !self::path(&two_on_eth0(), None, &["10.8.0.1", "10.8.0.2"], &[]).on_interface
        );
        assert!(path.unfit.unwrap().contains("no route to the unicast peer 172.16.0.9"));
    }

    #[test]
    fn a_virtual_address_among_the_peers_needs_no_route() {
        let routes = [("10.0.0.12", 2, "10.0.0.11")];
        let with_it = path(&two_on_eth0(), None, &["10.0.0.2", "10.0.0.12"], &routes);
        assert_eq!(with_it, path(&two_on_eth0(), None, &["10.0.0.12"], &routes));
        let alone = path(&two_on_eth0(), None, &["10.0.0.2"], &[]);
        assert_eq!((alone.source, alone.awaits_route), (Some(ip("10.0.0.11")), false), "its subnet decides");
    }

    #[test]
    fn a_list_without_another_node_reaches_nobody() {
        for peers in [&["10.0.0.11"][..], &["10.0.0.2"], &["10.0.0.11", "10.0.0.2"]] {
            let unfit = path(&two_on_eth0(), None, peers, &[]).unfit.unwrap();
            assert!(
                unfit.starts_with("UNICAST_PEERS names no other node, so nobody hears 10.0.0.11"),
                "{unfit}"
            );
        }
    }

    #[test]
    fn a_routed_peer_need_not_share_a_subnet_with_the_source() {
        let routes = [("172.16.0.9", 2, "192.168.1.5")];
        assert_eq!(path(&two_on_eth0(), None, &["172.16.0.9"], &routes).unfit.as_deref(), FITS);
    }

    #[test]
    fn over_ipv6_a_listed_global_address_comes_before_the_link_local_one() {
        let table = interfaces(&[(2, "fe80::1", 64), (2, "fd00::1", 64)]);
        let routes = [("fd00::2", 2, "fd00::1")];
        assert_eq!(path(&table, None, &["fd00::2", "fd00::1"], &routes).source, Some(ip("fd00::1")));
        let link_local = [("fe80::2", 2, "fe80::1")];
        assert_eq!(path(&table, None, &["fe80::2"], &link_local).source, Some(ip("fe80::1")));
    }
}
