//! What exactly is behind each cause of FAULT: which link, in which condition, or which error. The state machine knows
//! only the cause.

use std::fmt;
use std::net::IpAddr;

use crate::interfaces::Interfaces;
use crate::sys::Error;
use crate::sys::netlink::Link;
use crate::vrrp::{Cause, Family};

/// What is wrong, by the names of status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// There is no such interface.
    Gone,
    /// It is administratively down.
    Down,
    NoCarrier,
    /// A bridge, a bond or the like gets all that it receives.
    Port,
    NoAddress,
    /// The kernel refused.
    Refused,
}

impl Problem {
    /// The condition that keeps a link from being used.
    pub(super) fn of_link(interfaces: &Interfaces, name: &str) -> Option<Self> {
        let Some(link) = interfaces.named(name) else { return Some(Self::Gone) };
        match (link.up, link.enabled) {
            (true, _) => None,
            (false, true) => Some(Self::NoCarrier),
            (false, false) => Some(Self::Down),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Down => "down",
            Self::NoCarrier => "no_carrier",
            Self::Port => "port",
            Self::NoAddress => "no_address",
            Self::Refused => "refused",
        }
    }
}

/// As a predicate: `interface eth1 has no carrier`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "does not exist",
            Self::Down => "is down",
            Self::NoCarrier => "has no carrier",
            Self::Port => "is a port of another",
            Self::NoAddress => "has no address",
            Self::Refused => "is refused",
        })
    }
}

/// The culprit behind one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Culprit {
    /// The interface, if the cause lies in one.
    pub(super) interface: Option<String>,
    pub(super) problem: Problem,
    /// The cause as half a sentence.
    pub(super) text: String,
}

impl Culprit {
    /// The first link that cannot be used; `links` are names, each with words for what it is to the router.
    pub(super) fn of_links<'a>(
        interfaces: &Interfaces,
        links: impl Iterator<Item = (&'a str, String)>,
    ) -> Option<Self> {
        let mut found: Option<Self> = None;
        for (name, role) in links {
            let Some(problem) = Problem::of_link(interfaces, name) else { continue };
            let text = format!("{role} {problem}");
            if let Some(first) = &mut found {
                first.text = format!("{}, {text}", first.text);
            } else {
                found = Some(Self { interface: Some(name.to_owned()), problem, text });
            }
        }
        found
    }

    /// The router's interface does not exist; `None`: there is none that `auto` could be.
    pub(super) fn no_link(name: Option<&str>) -> Self {
        let text = match name {
            Some(name) => format!("interface {name} {}", Problem::Gone),
            None => "there is no interface with the subnet of the address, and no default route".into(),
        };
        Self { interface: name.map(str::to_owned), problem: Problem::Gone, text }
    }

    /// The router's `link` receives nothing, because another one gets it.
    pub(super) fn port(interfaces: &Interfaces, link: &Link) -> Option<Self> {
        let text = interfaces.as_port(link)?;
        Some(Self { interface: Some(link.name.clone()), problem: Problem::Port, text })
    }

    /// There is no address to send from. `missing`: UNICAST_SRC_IP.
    pub(super) fn no_source(interface: &str, family: Family, missing: Option<IpAddr>) -> Self {
        let text = match (missing, family) {
            (Some(source), _) => format!("UNICAST_SRC_IP {source} is not an address of this host"),
            (None, Family::V4) => format!("interface {interface} has no IPv4 address to send from"),
            (None, Family::V6) => {
                format!("interface {interface} has no link-local IPv6 address to send from")
            }
        };
        Self { interface: Some(interface.to_owned()), problem: Problem::NoAddress, text }
    }

    /// The kernel's refusal, after `text`.
    pub(super) fn refusal(text: &str, error: &Error) -> Self {
        Self { interface: None, problem: Problem::Refused, text: format!("{text}: {error}") }
    }
}

/// The last culprit behind each cause. It stays when the cause is gone, until [`Culprits::clear`].
#[derive(Debug, Default)]
pub(super) struct Culprits(Vec<(Cause, Culprit)>);

impl Culprits {
    /// `None`: the cause has no culprit that could be named.
    pub(super) fn set(&mut self, cause: Cause, culprit: impl Into<Option<Culprit>>) {
        self.0.retain(|(known, _)| *known != cause);
        self.0.extend(culprit.into().map(|culprit| (cause, culprit)));
    }

    /// No cause is left, and the last one was reported.
    pub(super) fn clear(&mut self) {
        self.0 = vec![];
    }

    pub(super) fn get(&self, cause: Cause) -> Option<&Culprit> {
        self.0.iter().find(|(known, _)| *known == cause).map(|(_, culprit)| culprit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, enabled: bool, up: bool) -> Link {
        Link {
            index,
            name: name.into(),
            altnames: vec![],
            up,
            enabled,
            mac: None,
            loopback: false,
            multicast: true,
            port_of: None,
            promote_secondaries: None,
        }
    }

    #[test]
    fn a_link_is_gone_down_or_without_a_carrier() {
        let links =
            vec![link(2, "eth0", true, true), link(3, "eth1", true, false), link(4, "eth2", false, false)];
        let interfaces = Interfaces::new(links, vec![]);
        let culprit = |names: &[&'static str]| {
            let links = names.iter().map(|name| (*name, format!("tracked interface {name}")));
            Culprit::of_links(&interfaces, links)
        };
        assert_eq!(culprit(&["eth0"]), None);
        for (name, problem, text) in [
            ("eth1", Problem::NoCarrier, "tracked interface eth1 has no carrier"),
            ("eth2", Problem::Down, "tracked interface eth2 is down"),
            ("eth3", Problem::Gone, "tracked interface eth3 does not exist"),
        ] {
            let expected = Culprit { interface: Some(name.into()), problem, text: text.into() };
            assert_eq!(culprit(&["eth0", name]), Some(expected));
        }
        let two = culprit(&["eth3", "eth1"]).unwrap();
        assert_eq!(two.text, "tracked interface eth3 does not exist, tracked interface eth1 has no carrier");
        assert_eq!(two.interface.as_deref(), Some("eth3"));
    }

    #[test]
    fn a_refusal_is_named_with_the_kernels_error() {
        let error =
            Error::doing("add address", "10.0.0.2/32 on eth0")(std::io::Error::from_raw_os_error(105));
        let culprit = Culprit::refusal("the kernel refused a virtual address", &error);
        assert_eq!(culprit.text, format!("the kernel refused a virtual address: {error}"));
        assert_eq!((culprit.interface, culprit.problem.as_str()), (None, "refused"));
    }

    #[test]
    fn the_last_culprit_of_a_cause_counts() {
        let mut culprits = Culprits::default();
        culprits.set(Cause::Interface, Culprit::no_link(Some("eth0")));
        culprits.set(Cause::Interface, Culprit::no_link(Some("eth1")));
        let text = |culprits: &Culprits| culprits.get(Cause::Interface).map(|culprit| culprit.text.clone());
        assert_eq!(text(&culprits).as_deref(), Some("interface eth1 does not exist"));
        culprits.set(Cause::Interface, None);
        assert_eq!(text(&culprits), None);
    }
}
