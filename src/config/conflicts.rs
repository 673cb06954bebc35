//! Conflicts between virtual routers: two with one number on an interface, one address or one name; knows no texts.

use std::net::IpAddr;

use super::address::is_link_local;
use super::model::{InterfaceChoice, RouterConfig, VirtualAddress};
use super::problems::Problem;
use super::variables::{INSTANCE_NAME, VIP, VIP_EXCLUDED, VIRTUAL_ROUTER, Variable, full_name};
use crate::vrrp::{Family, Vrid};

/// What a router uses that no other router may use too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    Number(Vrid, Family, &'a InterfaceChoice),
    /// A link-local address may be used once on each interface.
    Address(IpAddr, Option<&'a str>),
    Name(&'a str),
}

/// A claim, its router's number and the name of the variable it comes from.
type Entry<'a> = (Claim<'a>, u16, &'static str);

/// Every claim that an earlier router already has.
pub(super) fn conflicts(routers: &[RouterConfig]) -> Vec<Problem> {
    let mut claims = vec![];
    for router in routers {
        claim(router, &mut claims);
    }
    claims.sort_unstable();
    let doubles = claims.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    doubles.map(|pair| problem(pair[1].0, &name(pair[1]), &name(pair[0]))).collect()
}

fn name((_, number, variable): Entry<'_>) -> String {
    full_name(variable, number)
}

fn claim<'a>(router: &'a RouterConfig, claims: &mut Vec<Entry<'a>>) {
    let mut add = |claim, variable: &Variable| claims.push((claim, router.number, variable.name));
    add(Claim::Number(router.protocol.vrid, router.family(), &router.interface), &VIRTUAL_ROUTER);
    add(Claim::Name(&router.name), &INSTANCE_NAME);
    let interface = match &router.interface {
        InterfaceChoice::Auto => "",
        InterfaceChoice::Named(name) => name,
    };
    for vip in &router.addresses {
        add(address(vip, interface), &VIP);
    }
    for vip in &router.excluded {
        add(address(vip, interface), &VIP_EXCLUDED);
    }
}

fn address<'a>(vip: &'a VirtualAddress, interface: &'a str) -> Claim<'a> {
    let on = vip.device.as_deref().unwrap_or(interface);
    Claim::Address(vip.address, is_link_local(&vip.address).then_some(on))
}

fn problem(claim: Claim<'_>, variable: &str, earlier: &str) -> Problem {
    let (value, why) = match claim {
        Claim::Number(vrid, family, InterfaceChoice::Named(interface)) => (
            vrid.to_string(),
            format!("equals {earlier}: the {family} routers on {interface} must have different VRIDs"),
        ),
        Claim::Number(vrid, family, InterfaceChoice::Auto) => (
            vrid.to_string(),
            format!(
                "equals {earlier}: the {family} routers on one interface must have different VRIDs; if \
                 they use different interfaces, set INTERFACE for each"
            ),
        ),
        Claim::Address(address, _) => {
            (address.to_string(), format!("is also in {earlier}: an address can be used only once"))
        }
        Claim::Name(name) => (name.to_owned(), format!("equals {earlier}: every router needs a unique name")),
    };
    Problem { variable: variable.to_owned(), value: Some(value), why }
}
