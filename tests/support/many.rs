//! Many virtual routers on each of two hosts, with as many links between them as the VRIDs need.

use std::ffi::OsString;
use std::net::Ipv4Addr;

use super::lab::{Host, Lab};

/// Of the 255 VRIDs of an interface, the number that is used.
const PER_LINK: usize = 250;

/// This many virtual routers, with one address each.
#[derive(Clone, Copy)]
pub(crate) struct Many(pub(crate) usize);

/// One of them.
pub(crate) struct One {
    /// From 1; the suffix of its variables.
    pub(crate) number: usize,
    pub(crate) interface: String,
    pub(crate) vrid: u8,
    pub(crate) vip: Ipv4Addr,
}

impl Many {
    /// The names of the interfaces, the same on both hosts.
    pub(crate) fn interfaces(self) -> impl Iterator<Item = String> {
        (0..self.0.div_ceil(PER_LINK)).map(interface)
    }

    pub(crate) fn each(self) -> impl Iterator<Item = One> {
        (0..self.0).map(|n| {
            let (link, nth) = (n / PER_LINK, octet(n % PER_LINK));
            let vip = Ipv4Addr::new(10, 78, octet(link), 3 + nth);
            One { number: n + 1, interface: interface(link), vrid: 1 + nth, vip }
        })
    }

    /// Hosts a and b of a lab, with 10.78.LINK.1 and 10.78.LINK.2.
    pub(crate) fn hosts(self, lab: &Lab) -> [Host; 2] {
        let hosts = [lab.bare_host("a", 1), lab.bare_host("b", 2)];
        for (link, name) in self.interfaces().enumerate() {
            hosts[0].ip(&format!("link add {name} type veth peer name {name} netns {}", hosts[1].netns()));
            for (host, nth) in hosts.iter().zip(1..) {
                host.ip(&format!("address add 10.78.{link}.{nth}/24 dev {name}"));
                host.ip(&format!("link set {name} up"));
            }
        }
        hosts
    }

    /// The environment of our daemon.
    pub(crate) fn environment(self, priority: u8) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![("PRIORITY".into(), priority.to_string().into())];
        for One { number, interface, vrid, vip } in self.each() {
            let suffix = if number == 1 { String::new() } else { format!("_{number}") };
            let mut set =
                |name: &str, value: String| env.push((format!("{name}{suffix}").into(), value.into()));
            set("VIP", vip.to_string());
            set("VIRTUAL_ROUTER", vrid.to_string());
            set("INTERFACE", interface);
        }
        env
    }

    /// How many of the addresses are on `host` now.
    pub(crate) fn held(self, host: &Host) -> usize {
        let text = host.ip("-o -4 address show");
        self.each().filter(|one| text.contains(&format!(" {}/32 ", one.vip))).count()
    }
}

fn interface(link: usize) -> String {
    format!("wire{link}")
}

fn octet(n: usize) -> u8 {
    u8::try_from(n).expect("few links, and less than 255 routers on each")
}
