//! What only one of several virtual routers may have: a number on its interface, an address, a name; knows
//! routers, not texts.

use std::collections::BinaryHeap;
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

/// A claim, its router's number and the variable it comes from.
type Entry<'a> = (Claim<'a>, u16, &'static str);

/// Every claim that an earlier router already has.
pub(super) fn disputes(routers: &[RouterConfig]) -> Vec<Problem> {
    let mut claims = vec![];
    for router in routers {
        claim(router, &mut claims);
    }
    // Sorts in a tenth of the code that a slice's sort takes.
    let claims = BinaryHeap::from(claims).into_sorted_vec();
    let doubles = claims.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    doubles.map(|pair| problem(pair[1].0, &name(pair[1]), &name(pair[0]))).collect()
}

fn name((_, number, variable): Entry<'_>) -> String {
    whole_name(variable, number)
}

fn claim<'a>(router: &'a RouterConfig, claims: &mut Vec<Entry<'a>>) {
    let mut add = |claim, variable| claims.push((claim, router.number, variable));
    add(Claim::Number(router.protocol.vrid, router.family(), &router.interface), "VIRTUAL_ROUTER");
    add(Claim::Name(&router.name), "INSTANCE_NAME");
    let interface = match &router.interface {
        InterfaceChoice::Auto => "",
        InterfaceChoice::Named(name) => name,
    };
    for vip in &router.addresses {
        add(address(vip, interface), "VIP");
    }
    for vip in &router.excluded {
        add(address(vip, interface), "VIP_EXCLUDED");
    }
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
