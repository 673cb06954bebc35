//! Which variables two configurations differ in, router by router; knows no texts and no files.

use std::path::PathBuf;

use super::variables::whole_name;
use super::{CheckConfig, Config, RouterConfig};

/// Whether two routers agree in what a variable says.
type Same = fn(&RouterConfig, &RouterConfig) -> bool;

/// Every variable that a router has, with where its value went. A test holds it complete.
const COMPARED: &[(&str, Same)] = &[
    ("VIP", |a, b| a.addresses == b.addresses),
    ("VIRTUAL_ROUTER", |a, b| a.protocol.vrid == b.protocol.vrid),
    ("INTERFACE", |a, b| a.interface == b.interface),
    ("STATE", |a, b| a.state_hint == b.state_hint),
    ("PRIORITY", |a, b| a.protocol.priority == b.protocol.priority),
    ("SERVICE", |a, b| a.check.as_ref().map(|c| &c.services) == b.check.as_ref().map(|c| &c.services)),
    ("CHECK_TCP", |a, b| a.check.as_ref().map(|c| &c.tcp) == b.check.as_ref().map(|c| &c.tcp)),
    ("CHECK_HTTP", |a, b| a.check.as_ref().map(|c| &c.http) == b.check.as_ref().map(|c| &c.http)),
    ("CHECK_INTERVAL", |a, b| checked(a, b, |a, b| a.interval == b.interval)),
    ("CHECK_WEIGHT", |a, b| checked(a, b, |a, b| a.weight == b.weight)),
    ("CHECK_TIMEOUT", |a, b| checked(a, b, |a, b| a.timeout == b.timeout)),
    ("CHECK_RISE", |a, b| checked(a, b, |a, b| a.rise == b.rise)),
    ("CHECK_FALL", |a, b| checked(a, b, |a, b| a.fall == b.fall)),
    ("ADVERT_INT", |a, b| a.protocol.interval == b.protocol.interval),
    ("VRRP_VERSION", |a, b| a.protocol.version == b.protocol.version),
    ("V3_CHECKSUM", |a, b| a.protocol.checksum == b.protocol.checksum),
    ("PREEMPT", |a, b| a.protocol.preempt == b.protocol.preempt),
    ("PREEMPT_DELAY", |a, b| a.protocol.preempt_delay == b.protocol.preempt_delay),
    ("AUTH_PASS", |a, b| a.protocol.auth == b.protocol.auth),
    ("UNICAST_PEERS", |a, b| a.protocol.peers == b.protocol.peers),
    ("UNICAST_SRC_IP", |a, b| a.unicast_source == b.unicast_source),
    ("TRACK_INTERFACE", |a, b| a.track == b.track),
    ("VIP_EXCLUDED", |a, b| a.excluded == b.excluded),
    ("FAST_FAILOVER", |a, b| a.protocol.fast == b.protocol.fast),
    ("VIP_LEASE", |a, b| a.protocol.lease == b.protocol.lease),
    ("GARP_REFRESH", |a, b| a.protocol.refresh == b.protocol.refresh),
    ("INSTANCE_NAME", |a, b| a.name == b.name),
    ("NOTIFY", |a, b| a.notify == b.notify),
];

/// What checks consist of is compared where there are checks before and after.
fn checked(a: &RouterConfig, b: &RouterConfig, same: fn(&CheckConfig, &CheckConfig) -> bool) -> bool {
    a.check.as_ref().zip(b.check.as_ref()).is_none_or(|(a, b)| same(a, b))
}

impl Config {
    /// The variables whose effective value differs between `self` and `other`, each once, with the suffix of the
    /// router that it differs for, or without where it does for all. A router that comes or goes differs in `VIP`.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let mut changed = vec![];
        let mut note = |name: &str, number| {
            let name = whole_name(name, number);
            if !changed.contains(&name) {
                changed.push(name);
            }
        };
        for router in self.without_counterpart(other).chain(other.without_counterpart(self)) {
            note("VIP", router.number);
        }
        let pairs: Vec<_> =
            self.routers.iter().filter_map(|old| Some((old, other.counterpart(old)?))).collect();
        for (name, same) in COMPARED {
            let differ: Vec<_> = pairs.iter().filter(|(old, new)| !same(old, new)).collect();
            if pairs.len() > 1 && differ.len() == pairs.len() {
                // Most likely what all of them inherit.
                note(name, 1);
            } else {
                for (old, _) in differ {
                    note(name, old.number);
                }
            }
        }
        // As they are written: paths compare part by part.
        let socket = |config: &Self| config.serve.socket.clone().map(PathBuf::into_os_string);
        if socket(self) != socket(other) {
            note("STATUS_SOCKET", 1);
        }
        if self.serve.metrics != other.serve.metrics {
            note("METRICS_LISTEN", 1);
        }
        if self.log.level != other.log.level {
            note("LOG_LEVEL", 1);
        }
        if (self.log.format, self.log.time) != (other.log.format, other.log.time) {
            note("LOG_FORMAT", 1);
        }
        changed
    }

    fn without_counterpart<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a RouterConfig> {
        self.routers.iter().filter(move |router| other.counterpart(router).is_none())
    }

    fn counterpart(&self, of: &RouterConfig) -> Option<&RouterConfig> {
        self.routers.iter().find(|router| router.number == of.number && router.family() == of.family())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reach, VARIABLES};
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Config {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        Config::from_environment(vars, |_| Err(std::io::ErrorKind::NotFound.into())).unwrap().0
    }

    const BEFORE: [(&str, &str); 5] = [
        ("VIP", "10.0.0.2"),
        ("VIRTUAL_ROUTER", "51"),
        ("SERVICE", "haproxy"),
        ("CHECK_TCP", "localhost:80"),
        ("UNICAST_PEERS", "10.0.0.11"),
    ];

    /// Another value for every variable.
    const AFTER: [(&str, &str); 33] = [
        ("VIP", "10.0.0.3"),
        ("VIRTUAL_ROUTER", "52"),
        ("INTERFACE", "eth0"),
        ("STATE", "MASTER"),
        ("PRIORITY", "7"),
        ("SERVICE", "nginx"),
        ("CHECK_TCP", "localhost:81"),
        ("CHECK_HTTP", "http://localhost"),
        ("CHECK_INTERVAL", "2"),
        ("CHECK_WEIGHT", "2"),
        ("CHECK_TIMEOUT", "5"),
        ("CHECK_RISE", "2"),
        ("CHECK_FALL", "2"),
        ("ADVERT_INT", "2"),
        ("VRRP_VERSION", "3"),
        ("V3_CHECKSUM", "rfc9568"),
        ("PREEMPT", "false"),
        ("PREEMPT_DELAY", "1"),
        ("AUTH_PASS", "d0cker"),
        ("UNICAST_PEERS", "10.0.0.12"),
        ("UNICAST_SRC_IP", "10.0.0.13"),
        ("TRACK_INTERFACE", "eth1"),
        ("VIP_EXCLUDED", "10.0.0.4"),
        ("FAST_FAILOVER", "false"),
        ("VIP_LEASE", "60"),
        ("GARP_REFRESH", "60"),
        ("INSTANCE_NAME", "web"),
        ("NOTIFY", "/notify"),
        ("COMPAT", "osixia"),
        ("STATUS_SOCKET", "off"),
        ("METRICS_LISTEN", ":9165"),
        ("LOG_LEVEL", "debug"),
        ("LOG_FORMAT", "json"),
    ];

    #[test]
    fn every_variable_of_a_router_is_compared_once_in_the_order_of_the_table() {
        let routers = VARIABLES.iter().filter(|variable| variable.reach != Reach::Process);
        let compared: Vec<_> = COMPARED.iter().map(|(name, _)| *name).collect();
        assert_eq!(compared, routers.map(|variable| variable.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_change_of_each_variable_is_seen_as_its_own() {
        let names: Vec<_> = AFTER.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, VARIABLES.iter().map(|variable| variable.name).collect::<Vec<_>>());
        let before = config(&BEFORE);
        assert_eq!(before.changes(&before), [""; 0]);
        for (name, value) in AFTER {
            let others = BEFORE.iter().copied().filter(|(known, _)| *known != name);
            let after = config(&others.chain([(name, value)]).collect::<Vec<_>>());
            let mut expected = vec![name];
            match name {
                // Defaults that follow.
                "CHECK_INTERVAL" => expected.push("CHECK_TIMEOUT"),
                "ADVERT_INT" => expected.push("VIP_LEASE"),
                "COMPAT" => expected = vec!["PRIORITY", "PREEMPT", "AUTH_PASS"],
                _ => {}
            }
            assert_eq!(before.changes(&after), expected);
        }
    }

    #[test]
    fn a_router_that_comes_or_goes_differs_in_its_addresses() {
        let one = config(&BEFORE);
        let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52")];
        let two = config(&[&BEFORE[..], &second].concat());
        assert_eq!(one.changes(&two), ["VIP_2"]);
        assert_eq!(two.changes(&one), ["VIP_2"]);
        let other = config(&[&BEFORE[..], &second, &[("PRIORITY_2", "7"), ("STATE", "MASTER")]].concat());
        assert_eq!(two.changes(&other), ["STATE", "PRIORITY_2"]);
    }
}
