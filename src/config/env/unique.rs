//! What only one of several virtual routers may have: a number on its interface, an address, a name; knows
//! routers, not texts.

use std::net::IpAddr;

use super::router::link_local;
use crate::config::variables::whole_name;
use crate::config::{InterfaceChoice, Problem, RouterConfig, VirtualAddress};
use crate::vrrp::{Family, Vrid};

/// What is claimed. Equal claims are one too many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    Number(Vrid, Family, &'a InterfaceChoice),
    /// A link-local address is one for each interface.
    Address(IpAddr, Option<&'a str>),
    Name(&'a str),
}

/// Every claim that an earlier router already has.
pub(super) fn disputes(routers: &[RouterConfig]) -> Vec<Problem> {
    let mut claims: Vec<_> = routers.iter().flat_map(claims).collect();
    claims.sort_unstable();
    let doubles = claims.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    doubles.map(|pair| problem(pair[1].0, &name(pair[1]), &name(pair[0]))).collect()
}

/// A claim, its router's number and the variable it comes from.
type Entry<'a> = (Claim<'a>, u16, &'static str);

fn name((_, number, variable): Entry<'_>) -> String {
    whole_name(variable, number)
}

fn claims(router: &RouterConfig) -> impl Iterator<Item = Entry<'_>> {
    let number = Claim::Number(router.protocol.vrid, router.family(), &router.interface);
    let interface = match &router.interface {
        InterfaceChoice::Auto => "",
        InterfaceChoice::Named(name) => name,
    };
    let listed = router.addresses.iter().map(move |vip| (address(vip, interface), "VIP"));
    let excluded = router.excluded.iter().map(move |vip| (address(vip, interface), "VIP_EXCLUDED"));
    [(number, "VIRTUAL_ROUTER"), (Claim::Name(&router.name), "INSTANCE_NAME")]
        .into_iter()
        .chain(listed)
        .chain(excluded)
        .map(|(claim, variable)| (claim, router.number, variable))
}

fn address<'a>(vip: &'a VirtualAddress, interface: &'a str) -> Claim<'a> {
    let on = vip.device.as_deref().unwrap_or(interface);
    Claim::Address(vip.address, link_local(&vip.address).then_some(on))
}

fn problem(claim: Claim<'_>, variable: &str, earlier: &str) -> Problem {
    let (value, why) = match claim {
        Claim::Number(vrid, family, InterfaceChoice::Named(interface)) => (
            vrid.to_string(),
            format!("is {earlier} too: the {family} routers on {interface} must have different numbers"),
        ),
        Claim::Number(vrid, family, InterfaceChoice::Auto) => (
            vrid.to_string(),
            format!(
                "is {earlier} too: the {family} routers on one interface must have different numbers; if they are on two, name each INTERFACE"
            ),
        ),
        Claim::Address(address, _) => {
            (address.to_string(), format!("is in {earlier} too: an address belongs to one router, once"))
        }
        Claim::Name(name) => {
            (name.to_owned(), format!("is {earlier} too: every router must have a name of its own"))
        }
    };
    Problem { variable: variable.to_owned(), value: Some(value), why }
}
