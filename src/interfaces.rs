//! The host's links and addresses, as the kernel last reported them: a pure table. Opens nothing.

use std::net::IpAddr;

use crate::sys::netlink::{Address, Change, Link, MARK, Removed};
use crate::vrrp::Family;

/// Links and addresses in the kernel's order: the first address of an interface is its primary.
#[derive(Debug, Default)]
pub struct Interfaces {
    links: Vec<Link>,
    addresses: Vec<Address>,
}

impl Interfaces {
    /// The table after a listing of both.
    pub fn new(links: Vec<Link>, addresses: Vec<Address>) -> Self {
        Self { links, addresses }
    }

    /// Applies one notification and returns whether the table changed. Virtual addresses are not tracked: there may be
    /// a thousand, renewed every second, and no question here depends on them. On [`Change::Overrun`] the caller must
    /// list everything again.
    pub fn apply(&mut self, change: &Change) -> bool {
        let before = (self.links.len(), self.addresses.len());
        match change {
            Change::Address(address) if address.mark == Some(MARK) => {}
            Change::Link(link) => match self.links.iter_mut().find(|l| l.index == link.index) {
                Some(known) if known == link => {}
                Some(known) => {
                    known.clone_from(link);
                    return true;
                }
                None => self.links.push(link.clone()),
            },
            Change::LinkGone { index, .. } => {
                self.links.retain(|l| l.index != *index);
                self.addresses.retain(|a| a.index != *index);
            }
            Change::Address(address) => match self.addresses.iter_mut().find(|a| same(a, address)) {
                Some(known) if known == address => {}
                Some(known) => {
                    known.clone_from(address);
                    return true;
                }
                None => self.addresses.push(address.clone()),
            },
            Change::AddressGone(Removed { address: gone, .. }) => {
                self.forget(gone.index, gone.address, gone.prefix);
            }
            Change::Overrun => {}
        }
        before != (self.links.len(), self.addresses.len())
    }

    /// Removes the virtual addresses that a listing contained.
    pub fn forget_virtual(&mut self) {
        self.addresses.retain(|a| a.mark != Some(MARK));
        self.addresses.shrink_to_fit();
    }

    /// The first links but the loopback, as the end of a sentence.
    pub(crate) fn listed(&self) -> String {
        let shared = self.links.iter().filter(|link| !link.loopback);
        let names: Vec<_> = shared.map(|link| &*link.name).take(8).collect();
        if names.is_empty() { String::new() } else { format!(" (there are: {})", names.join(", ")) }
    }

    /// That no link has the subnet of `address`, with the links and subnets that there are.
    pub(crate) fn without_subnet_of(&self, address: IpAddr) -> String {
        let subnets = self.addresses.iter().filter(|a| {
            a.mark != Some(MARK) && a.address.is_ipv4() == address.is_ipv4() && !is_link_local(a.address)
        });
        let shared = subnets.filter_map(|a| Some((a, self.link(a.index).filter(|link| !link.loopback)?)));
        let known: Vec<_> =
            shared.map(|(a, link)| format!("{} {}/{}", link.name, a.address, a.prefix)).take(8).collect();
        let known =
            if known.is_empty() { self.listed() } else { format!(" (there are: {})", known.join(", ")) };
        format!("no interface has the subnet of {address}{known}")
    }

    /// What `auto` means for `address`, which is in no subnet: this `link`, that of the default route.
    pub(crate) fn outside_all_subnets(&self, address: IpAddr, link: &str) -> String {
        let none = self.without_subnet_of(address);
        format!("{none}: {link} is used, which has the default route; correct VIP, or set INTERFACE")
    }

    /// The link with this name or altname.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.is_named(name))
    }

    /// Whether a link with this name exists and is up.
    pub fn is_up(&self, name: &str) -> bool {
        self.named(name).is_some_and(|link| link.up)
    }

    /// Whether a link has this hardware address.
    pub fn has_mac(&self, mac: [u8; 6]) -> bool {
        self.links.iter().any(|link| link.mac == Some(mac))
    }

    /// That the link receives nothing, because a bridge, a bond or the like gets it.
    pub(crate) fn as_port(&self, link: &Link) -> Option<String> {
        let (name, whole) = (&link.name, &self.link(link.port_of?)?.name);
        Some(format!(
            "interface {name} is a port of {whole}, which gets what arrives there: set INTERFACE={whole}"
        ))
    }

    /// The link with this index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// All addresses, in the kernel's order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The link whose subnet contains `address`, never the loopback; of several, one that is up and no port, then the one with the
    /// narrowest subnet, then `in_use`. Host addresses and virtual addresses have no subnet.
    pub fn on_subnet_of(&self, address: IpAddr, in_use: Option<&str>) -> Option<&Link> {
        let candidates = self.addresses.iter().filter(|a| a.mark != Some(MARK) && is_subnet_of(a, address));
        let on_links = candidates.rev().filter_map(|a| Some((a.prefix, self.link(a.index)?)));
        let shared = on_links.filter(|(_, link)| !link.loopback);
        let best = shared.max_by_key(|(prefix, link)| {
            (link.up && link.port_of.is_none(), *prefix, in_use == Some(&link.name))
        });
        best.map(|(_, link)| link)
    }

    /// The source address of adverts: the link's first IPv4 address, which is its primary, or its first IPv6 link-local
    /// address that is ready (RFC 3768 §5.2.1, RFC 9568 §5.1.2.1). Never one of `virtual_addresses` (ours, configured,
    /// sorted) or one with a [`MARK`].
    pub fn source(&self, family: Family, index: u32, virtual_addresses: &[IpAddr]) -> Option<IpAddr> {
        let fits = |address: &Address| match (family, address.address) {
            (Family::V4, IpAddr::V4(_)) => true,
            (Family::V6, IpAddr::V6(v6)) => v6.is_unicast_link_local() && !address.tentative,
            (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => false,
        };
        let real = |a: &&Address| is_real(a, virtual_addresses);
        let on_link = self.addresses.iter().filter(|a| a.index == index && fits(a));
        on_link.filter(real).map(|a| a.address).next()
    }

    /// The index of the link that has `address` as a real one: neither marked nor one of `virtual_addresses`, which are
    /// sorted.
    pub(crate) fn real(&self, address: IpAddr, virtual_addresses: &[IpAddr]) -> Option<u32> {
        let of = |a: &&Address| a.address == address && is_real(a, virtual_addresses);
        self.addresses.iter().find(of).map(|a| a.index)
    }

    /// The real address of the link in the narrowest subnet that contains `peer`.
    pub(crate) fn source_in_subnet_of(
        &self,
        peer: IpAddr,
        index: u32,
        virtual_addresses: &[IpAddr],
    ) -> Option<IpAddr> {
        let fits = |a: &&Address| a.index == index && !a.tentative && is_real(a, virtual_addresses);
        let candidates = self.addresses.iter().filter(fits).filter(|a| is_subnet_of(a, peer));
        candidates.rev().max_by_key(|a| a.prefix).map(|a| a.address)
    }

    /// Whether a subnet of `ours`, an address of this machine, contains `peer`.
    pub(crate) fn shares_subnet(&self, ours: IpAddr, peer: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.address == ours && is_subnet_of(a, peer))
    }

    /// Whether `address` is in a subnet of a link: no router is on the way from it. Virtual addresses have no subnet.
    pub(crate) fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.mark != Some(MARK) && is_subnet_of(a, address))
    }

    /// Whether the address is on the link.
    pub(crate) fn has(&self, index: u32, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.index == index && a.address == address)
    }

    /// Whether the address is on any link of this host, ready to send from.
    pub fn has_ready(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.address == address && !a.tentative)
    }

    /// The entries of an address, whatever their link and prefix, except those that vrrp-init added.
    pub fn unmarked(&self, address: IpAddr) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |a| a.address == address && a.mark != Some(MARK))
    }

    /// Whether an address that equals a virtual one belongs to this host and must not be removed. An address without a
    /// subnet that nothing shows to be the host's was left by a program such as keepalived. `home`: the link that the router
    /// sends from, which needs an address of the host.
    pub fn is_hosts_own(&self, found: &Address, home: u32) -> bool {
        match found.mark {
            Some(MARK) => false,
            // The kernel: for the loopback, a router advertisement or a link-local address.
            Some(1..=3) => true,
            _ => {
                found.prefix < host_prefix(found.address)
                    || found.has_peer
                    // From DHCP. What a vrrp-init left would have its mark.
                    || (found.lifetime.is_some() && self.has_marks())
                    || (found.index == home && !self.has_another(found))
            }
        }
    }

    /// Whether the kernel reports the origin of addresses (since Linux 5.18).
    pub fn has_marks(&self) -> bool {
        self.addresses.iter().any(|a| a.mark.is_some())
    }

    /// Whether the host has another address of its own on the link of `found`.
    fn has_another(&self, found: &Address) -> bool {
        let is_own = |a: &Address| match a.address {
            IpAddr::V4(_) => true,
            IpAddr::V6(_) => !is_link_local(a.address),
        };
        self.addresses.iter().any(|a| {
            a.index == found.index
                && a.address != found.address
                && a.address.is_ipv4() == found.address.is_ipv4()
                && a.mark != Some(MARK)
                && is_own(a)
        })
    }

    /// Whether an address would be the primary one of its subnet on the link. The kernel removes the others with it unless
    /// `promote_secondaries` is set. Only IPv4 has primary addresses.
    pub fn would_be_primary(&self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let mut others = self.addresses.iter().filter(|a| a.index == index && a.prefix == prefix);
        address.is_ipv4() && prefix < host_prefix(address) && !others.any(|a| contains(a, address))
    }

    /// Stops following an address: it is a virtual one now, or it is gone.
    pub fn forget(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.addresses.retain(|a| (a.index, a.address, a.prefix) != (index, address, prefix));
    }
}

/// The prefix length of an address without a subnet.
pub const fn host_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Whether both addresses are on one link in one subnet.
pub fn share_subnet(a: &Address, b: &Address) -> bool {
    (a.index, a.prefix) == (b.index, b.prefix) && contains(a, b.address)
}

fn same(a: &Address, b: &Address) -> bool {
    (a.index, a.address, a.prefix) == (b.index, b.address, b.prefix)
}

fn is_real(address: &Address, virtual_addresses: &[IpAddr]) -> bool {
    address.mark != Some(MARK) && virtual_addresses.binary_search(&address.address).is_err()
}

/// Whether the address has a subnet, and `other` is in it.
fn is_subnet_of(address: &Address, other: IpAddr) -> bool {
    let host = if address.address.is_ipv4() { 32 } else { 128 };
    address.prefix < host && contains(address, other)
}

fn contains(subnet: &Address, address: IpAddr) -> bool {
    match (subnet.address, address) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix.min(32))).unwrap_or(0);
            net.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix.min(128))).unwrap_or(0);
            net.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            altnames: vec![],
            up: true,
            enabled: true,
            mac: None,
            loopback: name == "lo",
            multicast: true,
            port_of: None,
            promote_secondaries: None,
        }
    }

    fn address(index: u32, text: &str, mark: Option<u8>) -> Address {
        let (address, prefix) = text.split_once('/').unwrap();
        let (address, prefix) = (address.parse().unwrap(), prefix.parse().unwrap());
        Address {
            index,
            address,
            prefix,
            label: None,
            mark,
            tentative: false,
            lifetime: None,
            has_peer: false,
        }
    }

    fn interfaces() -> Interfaces {
        let addresses = vec![
            address(1, "127.0.0.1/8", None),
            address(2, "10.0.0.2/24", Some(MARK)),
            address(2, "10.0.0.3/24", None),
            address(2, "10.0.0.11/24", None),
            address(3, "10.0.0.12/8", None),
        ];
        Interfaces::new(vec![link(1, "lo"), link(2, "eth0"), link(3, "eth1")], addresses)
    }

    #[test]
    fn auto_chooses_the_narrowest_subnet_and_never_the_loopback() {
        let name = |ip: &str| interfaces().on_subnet_of(ip.parse().unwrap(), None).map(|l| l.name.clone());
        assert_eq!(name("10.0.0.200").as_deref(), Some("eth0"));
        assert_eq!(name("10.9.0.200").as_deref(), Some("eth1"));
        assert_eq!((name("127.0.0.9"), name("192.0.2.1"), name("fd00::1")), (None, None, None));
    }

    #[test]
    fn auto_prefers_a_link_that_is_up_and_then_the_one_in_use() {
        let down = |name| Link { up: false, ..link(if name == "eth0" { 2 } else { 3 }, name) };
        let name = |links: &[Link], known| {
            let addresses = vec![
                address(1, "10.0.0.1/28", None),
                address(2, "10.0.0.11/24", None),
                address(3, "10.0.0.12/24", None),
            ];
            let table = Interfaces::new(links.to_vec(), addresses);
            table.on_subnet_of("10.0.0.2".parse().unwrap(), known).map(|link| link.name.clone())
        };
        let (lo, eth0, eth1) = (link(1, "lo"), link(2, "eth0"), link(3, "eth1"));
        assert_eq!(name(&[lo.clone(), eth0.clone(), eth1.clone()], None).as_deref(), Some("eth0"));
        assert_eq!(name(&[lo.clone(), eth0, eth1.clone()], Some("eth1")).as_deref(), Some("eth1"));
        assert_eq!(name(&[lo.clone(), down("eth0"), eth1], Some("eth0")).as_deref(), Some("eth1"));
        assert_eq!(name(&[lo.clone(), down("eth0"), down("eth1")], Some("eth1")).as_deref(), Some("eth1"));
        assert_eq!(name(&[lo.clone(), down("eth0")], None).as_deref(), Some("eth0"), "better than none");
        assert_eq!(name(&[lo], None), None);
    }

    #[test]
    fn a_link_is_found_by_its_alternative_name() {
        let mut table =
            Interfaces::new(vec![Link { altnames: vec!["lan".into()], ..link(2, "eth0") }], vec![]);
        assert!(table.is_up("lan") && table.named("lan").is_some_and(|link| link.name == "eth0"));
        assert!(table.apply(&Change::Link(link(2, "eth0"))));
        assert!(table.named("lan").is_none());
    }

    #[test]
    fn the_source_is_the_first_address_that_is_not_virtual() {
        let ours = ["10.0.0.3".parse().unwrap()];
        assert_eq!(interfaces().source(Family::V4, 2, &ours), Some("10.0.0.11".parse().unwrap()));
        assert_eq!(interfaces().source(Family::V4, 4, &ours), None);
    }

    #[test]
    fn the_ipv6_source_is_a_link_local_address_that_is_ready() {
        let mut table = interfaces();
        let source = |table: &Interfaces| table.source(Family::V6, 2, &[]);
        table.apply(&Change::Address(address(2, "fd00::1/64", None)));
        table.apply(&Change::Address(Address { tentative: true, ..address(2, "fe80::1/64", None) }));
        assert_eq!(source(&table), None);
        table.apply(&Change::Address(address(2, "fe80::1/64", None)));
        assert_eq!(source(&table), Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn an_address_that_equals_a_virtual_one_is_the_hosts_unless_another_program_left_it() {
        let is_own = |found: &Address| interfaces().is_hosts_own(found, 2);
        for (text, mark, own) in [
            ("10.0.0.9/24", None, true),
            ("10.0.0.9/32", None, false),
            ("10.0.0.9/24", Some(MARK), false),
            ("10.0.0.9/32", Some(MARK), false),
            // keepalived's mark; the kernel's, for what a router advertises.
            ("10.0.0.9/32", Some(18), false),
            ("fd00::9/128", Some(2), true),
            // No other IPv6 address is on the link.
            ("fd00::9/128", None, true),
        ] {
            assert_eq!(is_own(&address(2, text, mark)), own, "{text} {mark:?}");
        }
        let elsewhere = Interfaces::new(vec![], vec![address(2, "10.0.0.11/24", None)]);
        assert!(
            !elsewhere.is_hosts_own(&address(3, "10.0.0.9/32", None), 2),
            "the router sends from another link"
        );
        let peer = Address { has_peer: true, ..address(2, "10.0.0.9/32", None) };
        assert!(is_own(&peer));
        // What a vrrp-init left on an old kernel has no mark either.
        let leased = Address { lifetime: Some(600), ..address(2, "10.0.0.9/32", None) };
        let no_marks = vec![address(2, "10.0.0.11/24", None), leased.clone()];
        assert!(is_own(&leased) && !Interfaces::new(vec![], no_marks).is_hosts_own(&leased, 2));
    }

    #[test]
    fn only_the_first_ipv4_address_of_a_subnet_is_primary() {
        let primary = |text: &str, prefix| interfaces().would_be_primary(2, text.parse().unwrap(), prefix);
        assert!(primary("192.168.7.1", 24) && primary("10.0.0.200", 25) && primary("10.0.1.1", 24));
        assert!(!primary("10.0.0.200", 24) && !primary("192.168.7.1", 32) && !primary("fd00::1", 64));
    }

    #[test]
    fn notices_keep_the_table_true() {
        let mut table = interfaces();
        table.forget(2, "10.0.0.11".parse().unwrap(), 24);
        assert!(!table.apply(&Change::Address(address(2, "10.0.0.3/24", None))), "renewed: no news");
        assert_eq!(table.addresses().len(), 4, "a renewed address is no second one");
        assert!(
            !table.apply(&Change::Address(address(2, "10.0.0.4/32", Some(MARK)))),
            "virtual: not tracked"
        );
        assert_eq!(table.source(Family::V4, 2, &[]), Some("10.0.0.3".parse().unwrap()));
        table.apply(&Change::Link(link(2, "wan0")));
        assert!(table.named("eth0").is_none() && table.named("wan0").is_some());
        table.apply(&Change::LinkGone { index: 2, name: "wan0".into() });
        assert!(table.link(2).is_none() && table.source(Family::V4, 2, &[]).is_none());
    }
}
