//! The fields of the status. Their names are those of `status --json`, documented in `docs/status.md`.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::drain::Order;
use crate::printable;
use crate::time::Timestamp;
use crate::vrrp::Role;

/// The whole state at one moment. Fields that end in `_ms` are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub time: Timestamp,
    /// The time since the start.
    pub uptime_ms: u64,
    pub health: Health,
    /// The verdict on all routers.
    pub serving: Serving,
    /// The order of an operator to take no part.
    pub drain: Option<Order>,
    /// How many NOTIFY programs could not be run, failed or were stopped, and how many transitions were dropped for NOTIFY_URL.
    pub notify_failures: u64,
    /// The receivers of NOTIFY_URL that had something to receive.
    pub receivers: Vec<TargetStatus>,
    /// The longest turn of the event loop in microseconds: for so long no advert could be sent or received.
    pub loop_stall_max_us: u64,
    /// The layers of the sandbox; empty with `SANDBOX=off`.
    pub sandbox: Vec<LayerStatus>,
    pub configuration: ReloadStatus,
    pub routers: Vec<RouterStatus>,
    pub interfaces: Vec<InterfaceStatus>,
}

/// It takes part.
pub const NOT_DRAINED: &str = "no";
/// As master it waits for a successor.
pub const LEAVING: &str = "leaving";
/// It takes no part.
pub const DRAINED: &str = "drained";
/// It takes part although it is to be drained.
pub const REFUSED: &str = "refused";

/// The result of the healthcheck.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Whether the state of every router agrees with the kernel. A router in FAULT is healthy: a restart would not repair
    /// the service, and would end every process in a shared PID namespace.
    pub healthy: bool,
    /// The reasons if not healthy, each a sentence.
    pub problems: Vec<String>,
}

/// What came of reading the configuration again, after SIGHUP or a change of `ENV_FILE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadStatus {
    /// How many times a changed one was applied.
    pub applied: u64,
    /// How many times it was refused.
    pub refused: u64,
    /// The time since it was last applied.
    pub applied_ms: Option<u64>,
    /// How long it has been wrong; `None` if it is right.
    pub refused_ms: Option<u64>,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// The changes that take effect at the next start.
    pub needs_restart: Vec<String>,
}

/// One layer of the sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct LayerStatus {
    pub layer: &'static str,
    /// Whether it is in force.
    pub active: bool,
    /// What it amounts to.
    pub note: Option<String>,
    /// Why it is not.
    pub problem: Option<String>,
}

/// The verdict on one router, or on all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Serving {
    /// Whether clients reach a working service, as far as this node knows; `None` while it does not.
    pub serves: Option<bool>,
    /// Whether an operator should do something.
    pub trouble: bool,
    /// The reason as one word, for programs.
    pub cause: &'static str,
    /// The reason as a sentence.
    pub text: String,
}

/// The part of the state that a healthcheck needs.
#[derive(Clone, Debug)]
pub struct Brief {
    pub health: Health,
    /// Every router but those that are left out.
    pub routers: Vec<BriefRouter>,
}

#[derive(Clone, Debug)]
pub struct BriefRouter {
    pub name: String,
    pub state: Role,
    pub serving: Serving,
}

/// One virtual router.
#[derive(Clone, Debug, Serialize)]
pub struct RouterStatus {
    pub name: String,
    pub vrid: u8,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// The VRRP version: 2 or 3.
    pub protocol: u8,
    /// The interface in use, or the configured one while there is none.
    pub interface: String,
    /// The address that adverts are sent from.
    pub source: Option<IpAddr>,
    /// The unicast peers; empty with multicast.
    pub peers: Vec<IpAddr>,
    pub interval_ms: u64,
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: Role,
    pub serving: Serving,
    pub since: Timestamp,
    pub state_ms: u64,
    /// The cause of the last transition.
    pub why: String,
    pub base_priority: u8,
    pub priority: u8,
    pub preempt: bool,
    /// The master as far as this router knows, which may be itself.
    pub master: Option<PeerStatus>,
    /// The last valid advert received. Dropped ones do not count.
    pub heard: Option<HeardStatus>,
    /// The time until the state machine acts next if nothing happens before.
    pub deadline_ms: Option<u64>,
    pub addresses: Vec<AddressStatus>,
    pub guard: GuardStatus,
    /// The causes of FAULT.
    pub faults: Vec<String>,
    /// This host never had an address of its family, and the router of the other family runs without it. It takes no part
    /// in the healthcheck.
    pub left_out: bool,
    /// The same causes, for programs.
    pub fault_causes: Vec<FaultStatus>,
    pub lifeline: LifelineStatus,
    pub check: Option<CheckStatus>,
    pub counters: Counters,
    /// Dropped packets for this router, by reason. Reasons without a packet are left out.
    pub dropped: Dropped,
    /// For a backup: whether it would take over if the master's service died. `None` if unknown.
    pub failover_possible: Option<bool>,
    pub drain: RouterDrain,
    pub warnings: Vec<String>,
}

/// What has become of the order of an operator to take no part.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RouterDrain {
    /// [`NOT_DRAINED`], [`LEAVING`], [`DRAINED`] or [`REFUSED`].
    pub state: &'static str,
    /// Why it takes part all the same.
    pub refused: Option<&'static str>,
}

impl Default for RouterDrain {
    fn default() -> Self {
        Self { state: NOT_DRAINED, refused: None }
    }
}

/// A cause of FAULT, and what is behind it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultStatus {
    /// `interface`, `source`, `vrid`, `service`, `tracked`, `partner`, `address` or `send`.
    pub cause: &'static str,
    /// The interface, if the cause lies in one.
    pub culprit: Option<String>,
    /// `gone`, `down`, `no_carrier`, `no_address` or `refused`, if it is one of them.
    pub problem: Option<&'static str>,
}

/// The connections that show at once that the process of a master was killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LifelineStatus {
    /// `off`, `idle`; for a backup `connected`, `connecting`, `refused`, `blocked`, `unreachable`, `silent`, `closed`,
    /// `foreign` or `version`; for a master `listening` or `unavailable`.
    pub state: &'static str,
    /// The master of a backup, or the connected backups of a master.
    pub peers: Vec<IpAddr>,
    /// How long a backup has been connected.
    pub connected_ms: Option<u64>,
    /// Whether the kernel silences the master's host when the process is killed there. Otherwise a backup waits until the
    /// adverts stay away.
    pub guarded: Option<bool>,
    /// The backup that takes over without a skew when the master gives way: on a master one of its backups, on a backup this
    /// host or none.
    pub successor: Option<IpAddr>,
    /// What is wrong and what to do.
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerStatus {
    pub address: IpAddr,
    pub priority: u8,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeardStatus {
    pub address: IpAddr,
    pub priority: u8,
    /// The time since then.
    pub ago_ms: u64,
}

/// A virtual address: whether this host should have it, and whether the kernel has it.
#[derive(Clone, Debug, Serialize)]
pub struct AddressStatus {
    /// Without its prefix length.
    pub address: IpAddr,
    pub prefix: u8,
    pub interface: String,
    /// It moves with the router but is not advertised.
    pub excluded: bool,
    /// Whether this host should have it now.
    pub wanted: bool,
    /// Whether the kernel has it on the interface.
    pub present: bool,
    /// Whole seconds until the kernel removes it unless the lease is renewed. `None` without a lease, or if the host does
    /// not have the address.
    pub lease_s: Option<u32>,
}

/// What silences this host for the addresses when the process dies.
#[derive(Clone, Debug, Serialize)]
pub struct GuardStatus {
    /// `nft` or `none`.
    pub kind: &'static str,
    /// Why there is none, or why it is not in use.
    pub why: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CheckStatus {
    pub weight: i16,
    /// `unknown`, `healthy` or `failed`.
    pub verdict: &'static str,
    /// The time since the verdict last changed.
    pub verdict_ms: u64,
    pub targets: Vec<TargetStatus>,
}

/// Why a process fails that may still be on its way, in [`TargetStatus::reason`].
pub const NOT_SEEN_YET: &str = "not seen yet";

/// One process, port or page that a check tests.
#[derive(Clone, Debug, Serialize)]
pub struct TargetStatus {
    /// A process name, `tcp HOST:PORT`, a URL, `dns NAME@RESOLVER` or `script PATH`.
    pub name: String,
    /// Whether it runs or responds; `None` before the first result.
    pub passed: Option<bool>,
    /// How long `passed` has been so.
    pub passed_ms: u64,
    /// Why it failed, if there is more to say than that no process has the name.
    pub reason: Option<String>,
    /// The matching processes, if this is a process name.
    pub pids: Vec<i32>,
    /// How many times the last of them has ended.
    pub ended: u64,
    /// Whether this is a process name. Otherwise it is tested over the network.
    pub is_process: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub priority_zero_sent: u64,
    pub priority_zero_received: u64,
    /// Accepted adverts whose VRRPv3 checksum has the form that we do not use.
    pub other_checksums: u64,
    pub became_master: u64,
    pub released_master: u64,
    /// How many times, while we were master, a router with a worse claim (a lower priority, or our priority and a lower
    /// address) kept advertising after we had answered three of its adverts in a row. It does not receive our adverts, so
    /// both are master.
    pub two_masters: u64,
    /// ARP packets and neighbor advertisements in which another host claimed a virtual address. On a backup those of its
    /// master do not count.
    pub address_conflicts: u64,
}

/// A VRRP socket, and the packets it dropped because they are for none of our routers.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceStatus {
    pub interface: String,
    pub dropped: Dropped,
}

/// Counts by reason; serializes as one object.
#[derive(Clone, Debug, Default)]
pub struct Dropped(pub Vec<(&'static str, u64)>);

impl Dropped {
    /// 0 for a reason that did not occur.
    pub fn count(&self, reason: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }
}

impl Serialize for Dropped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Status {
    pub fn brief(&self) -> Brief {
        let counted = self.routers.iter().filter(|router| !router.left_out);
        let routers = counted.map(|router| BriefRouter {
            name: router.name.clone(),
            state: router.state,
            serving: router.serving.clone(),
        });
        Brief { health: self.health.clone(), routers: routers.collect() }
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        // Serialization cannot fail: every key is a string, and there are no floats.
        printable::json(&serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn address(address: &str, prefix: u8, excluded: bool, here: bool, interface: &str) -> AddressStatus {
        AddressStatus {
            address: address.parse().unwrap(),
            prefix,
            interface: interface.into(),
            excluded,
            wanted: here,
            present: here,
            lease_s: here.then_some(3),
        }
    }

    fn master() -> RouterStatus {
        RouterStatus {
            name: "VI_1".into(),
            vrid: 51,
            family: "IPv4",
            protocol: 2,
            interface: "eth0".into(),
            source: Some("10.0.0.11".parse().unwrap()),
            peers: vec![],
            interval_ms: 1_000,
            state: Role::Master,
            serving: Serving {
                serves: Some(true),
                trouble: false,
                cause: "serving",
                text: "10.0.0.2 is served here by haproxy".into(),
            },
            since: Timestamp::default(),
            state_ms: 1_500,
            why: "10.0.0.12 (priority 12) fell silent".into(),
            base_priority: 11,
            priority: 13,
            preempt: true,
            master: Some(PeerStatus { address: "10.0.0.11".parse().unwrap(), priority: 13 }),
            heard: Some(HeardStatus { address: "10.0.0.12".parse().unwrap(), priority: 12, ago_ms: 4_000 }),
            deadline_ms: Some(400),
            addresses: vec![address("10.0.0.2", 32, false, true, "eth0")],
            guard: GuardStatus { kind: "nft", why: None },
            faults: vec![],
            left_out: false,
            fault_causes: vec![],
            lifeline: LifelineStatus {
                state: "listening",
                peers: vec!["10.0.0.12".parse().unwrap()],
                guarded: Some(true),
                successor: Some("10.0.0.12".parse().unwrap()),
                ..LifelineStatus::default()
            },
            check: Some(CheckStatus {
                weight: 2,
                verdict: "healthy",
                verdict_ms: 120_000,
                targets: vec![TargetStatus {
                    name: "haproxy".into(),
                    passed: Some(true),
                    passed_ms: 120_000,
                    reason: None,
                    pids: vec![17, 18],
                    ended: 0,
                    is_process: true,
                }],
            }),
            counters: Counters {
                adverts_sent: 120,
                adverts_received: 4,
                became_master: 1,
                ..Counters::default()
            },
            dropped: Dropped(vec![("ttl", 1)]),
            failover_possible: None,
            drain: RouterDrain::default(),
            warnings: vec!["Two masters".into()],
        }
    }

    fn in_fault() -> Serving {
        Serving {
            serves: Some(false),
            trouble: true,
            cause: "fault",
            text: "FAULT: interface eth1 has no carrier; no master is heard".into(),
        }
    }

    /// A master of one address, and an IPv6 router in FAULT.
    pub(crate) fn status() -> Status {
        let second = RouterStatus {
            name: "VI_2".into(),
            vrid: 52,
            family: "IPv6",
            protocol: 3,
            interface: "eth1".into(),
            source: None,
            peers: vec!["fd00::12".parse().unwrap()],
            interval_ms: 100,
            state: Role::Fault,
            serving: in_fault(),
            state_ms: 60_000,
            base_priority: 100,
            priority: 100,
            preempt: false,
            master: None,
            heard: None,
            deadline_ms: None,
            addresses: vec![
                address("fd00::1", 128, false, false, "eth1"),
                address("fd00::2", 128, false, false, "eth1"),
                address("fd00::3", 64, true, false, "eth1"),
            ],
            guard: GuardStatus { kind: "none", why: Some("ADDRESS_GUARD=off".into()) },
            faults: vec!["interface eth1 has no carrier".into()],
            fault_causes: vec![FaultStatus {
                cause: "interface",
                culprit: Some("eth1".into()),
                problem: Some("no_carrier"),
            }],
            lifeline: LifelineStatus { state: "idle", ..LifelineStatus::default() },
            check: None,
            counters: Counters::default(),
            dropped: Dropped::default(),
            failover_possible: Some(false),
            warnings: vec![],
            ..master()
        };
        Status {
            version: "0.1.0",
            time: Timestamp::default(),
            uptime_ms: 120_000,
            health: Health { healthy: true, problems: vec![] },
            serving: Serving {
                text: "VI_2: FAULT: interface eth1 has no carrier; no master is heard".into(),
                ..in_fault()
            },
            drain: None,
            notify_failures: 0,
            receivers: vec![TargetStatus {
                name: "http://hook:9093".into(),
                passed: Some(false),
                passed_ms: 60_000,
                reason: Some("answered with status 500; transitions that wait: 3".into()),
                pids: vec![],
                ended: 0,
                is_process: false,
            }],
            loop_stall_max_us: 1_234_567,
            sandbox: vec![
                LayerStatus { layer: "capabilities", active: true, note: None, problem: None },
                LayerStatus {
                    layer: "seccomp",
                    active: false,
                    note: None,
                    problem: Some("it is refused".into()),
                },
            ],
            configuration: ReloadStatus {
                applied: 2,
                refused: 1,
                applied_ms: Some(90_000),
                refused_ms: Some(60_000),
                problems: vec!["PRIORITY=300  must be 1 to 254".into()],
                needs_restart: vec!["ADVERT_INT 1 -> 2".into()],
            },
            routers: vec![master(), second],
            interfaces: vec![InterfaceStatus {
                interface: "eth0".into(),
                dropped: Dropped(vec![("vrid", 7)]),
            }],
        }
    }

    #[test]
    fn the_json_has_the_documented_fields() {
        let json: serde_json::Value = serde_json::from_str(&status().json()).unwrap();
        let router = &json["routers"][0];
        assert_eq!(router["state"], "MASTER");
        assert_eq!(router["master"]["address"], "10.0.0.11");
        assert_eq!(router["addresses"][0]["lease_s"], 3);
        assert_eq!(router["check"]["targets"][0]["pids"][1], 18);
        assert_eq!(router["dropped"]["ttl"], 1);
        assert_eq!(json["routers"][1]["source"], serde_json::Value::Null);
        assert_eq!(json["time"], "1970-01-01T00:00:00.000Z");
        // docs/status.md lists every field there is.
        let documented =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.md")).unwrap();
        let mut missing = vec![];
        fields(&json, &mut |name| {
            if !documented.contains(&format!("`{name}`")) {
                missing.push(name.to_owned());
            }
        });
        assert_eq!(missing, [""; 0], "not in docs/status.md");
    }

    /// Visits the name of every field but the reasons, which `docs/status.md` lists separately.
    fn fields(json: &serde_json::Value, visit: &mut dyn FnMut(&str)) {
        match json {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    visit(name);
                    if name != "dropped" {
                        fields(value, visit);
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, visit)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
}
