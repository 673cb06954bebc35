//! The snapshot in Prometheus' text format, with the names of keepalived's exporter where it has one. Knows no socket.

use std::fmt;
use std::time::Duration;

use super::model::{
    AddressStatus, DRAINED, FaultStatus, GuardStatus, LayerStatus, ReloadStatus, RouterStatus, Status,
    TargetStatus,
};
use super::prometheus::{COUNTER, Escaped, Family, GAUGE, Micros, Page, seconds};
use crate::drain::Order;
use crate::time::Timestamp;
use crate::vrrp::Role;

/// The media type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family with one sample per router, and how to get its value.
type RouterFamily = (Family, fn(&RouterStatus) -> u64);

/// The same for each service.
type ServiceFamily = (Family, fn(&TargetStatus) -> u64);

/// The families with one value per router; the first are those of keepalived's exporter.
const COUNTERS: &[RouterFamily] = &[
    (("advertisements_received_total", COUNTER, "Advertisements received"), |r| r.counters.adverts_received),
    (("advertisements_sent_total", COUNTER, "Advertisements sent"), |r| r.counters.adverts_sent),
    (("become_master_total", COUNTER, "Became master"), |r| r.counters.became_master),
    (("release_master_total", COUNTER, "Released master"), |r| r.counters.released_master),
    (
        ("packet_length_errors_total", COUNTER, "Packets dropped: shorter or longer than their header says"),
        |r| r.dropped.count("truncated") + r.dropped.count("too_long"),
    ),
    (
        ("advertisements_interval_errors_total", COUNTER, "Adverts dropped: different interval (VRRPv2)"),
        |r| r.dropped.count("interval"),
    ),
    (("ip_ttl_errors_total", COUNTER, "Adverts dropped: TTL is not 255"), |r| r.dropped.count("ttl")),
    (("invalid_type_received_total", COUNTER, "Packets dropped: not an advertisement"), |r| {
        r.dropped.count("type")
    }),
    (("address_list_errors_total", COUNTER, "Adverts dropped: different addresses (VRRPv2)"), |r| {
        r.dropped.count("addresses")
    }),
    (("authentication_invalid_total", COUNTER, "Adverts dropped: unknown authentication type"), |r| {
        r.dropped.count("auth_type")
    }),
    (("authentication_mismatch_total", COUNTER, "Adverts dropped: different authentication type"), |r| {
        r.dropped.count("auth_mismatch")
    }),
    (("authentication_failure_total", COUNTER, "Adverts dropped: different password"), |r| {
        r.dropped.count("auth_failure")
    }),
    (("priority_zero_received_total", COUNTER, "Adverts with priority 0 received"), |r| {
        r.counters.priority_zero_received
    }),
    (("priority_zero_sent_total", COUNTER, "Adverts with priority 0 sent"), |r| {
        r.counters.priority_zero_sent
    }),
    (
        (
            "vrrp_duplicate_master_total",
            COUNTER,
            "Times another master kept advertising with a worse claim: it does not receive our adverts",
        ),
        |r| r.counters.two_masters,
    ),
    (
        (
            "vrrp_address_conflicts_total",
            COUNTER,
            "ARP packets and neighbor advertisements in which another host claimed a virtual address",
        ),
        |r| r.counters.address_conflicts,
    ),
    (
        ("vrrp_other_checksum_total", COUNTER, "Adverts accepted with the other form of the VRRPv3 checksum"),
        |r| r.counters.other_checksums,
    ),
    (("vrrp_warnings", GAUGE, "Number of current warnings"), |r| r.warnings.len() as u64),
    (("vrrp_drained", GAUGE, "Whether it takes no part, because an operator drained the node"), |r| {
        u64::from(r.drain.state == DRAINED)
    }),
];

/// Of a service.
const OF_SERVICES: &[ServiceFamily] = &[
    (("check_processes", GAUGE, "Live processes with this name"), |target| target.pids.len() as u64),
    (("check_ended_total", COUNTER, "Times that none of them was left"), |target| target.ended),
];

/// The whole page.
pub fn text(status: &Status) -> String {
    let mut page = Page(String::new());
    page.family(&("build_info", GAUGE, "Version of vrrp-init"));
    page.sample("build_info", &format_args!("version=\"{}\"", status.version), &1);
    page.single(&("up", GAUGE, "Status"), &1);
    let healthy = ("healthy", GAUGE, "Whether state and kernel agree, as in vrrp-init healthcheck");
    page.single(&healthy, &u64::from(status.health.healthy));
    page.single(&("uptime_seconds", GAUGE, "Time since the start"), &(status.uptime_ms / 1_000));
    page.process(status);
    for (family, of) in COUNTERS {
        page.family(family);
        for router in &status.routers {
            page.sample(family.0, &Labels(router), &of(router));
        }
    }
    page.serving(status);
    page.states(status);
    page.priorities(status);
    page.faults(status);
    page.guards(status);
    page.times(status);
    page.lifelines(status);
    page.checks(status);
    page.drops(status);
    page.0
}

impl Page {
    fn process(&mut self, status: &Status) {
        let help = "NOTIFY programs that could not be run, failed or were stopped, and transitions dropped for NOTIFY_URL";
        self.single(&("notify_failures_total", COUNTER, help), &status.notify_failures);
        self.family(&("notify_url_up", GAUGE, "Whether a receiver of NOTIFY_URL accepted the last request"));
        for TargetStatus { name, passed, .. } in &status.receivers {
            self.sample(
                "notify_url_up",
                &format_args!("url=\"{}\"", Escaped(name)),
                &u8::from(*passed == Some(true)),
            );
        }
        let help = "Longest turn of the event loop since the start; no advert is sent or received meanwhile";
        self.single(&("loop_stall_max_seconds", GAUGE, help), &Micros(status.loop_stall_max_us));
        self.family(&("sandbox", GAUGE, "Whether a layer of the sandbox is in force"));
        for LayerStatus { layer, active, .. } in &status.sandbox {
            self.sample("sandbox", &format_args!("layer=\"{layer}\""), &u8::from(*active));
        }
        self.drain(status.drain);
        self.configuration(&status.configuration, status.time);
    }

    /// Only while there is an order.
    fn drain(&mut self, order: Option<Order>) {
        const SINCE: &str = "drain_since_timestamp_seconds";
        const UNTIL: &str = "drain_until_timestamp_seconds";
        let times = [
            (SINCE, "When an operator ordered this node to take no part", order.map(|order| order.since)),
            (UNTIL, "When that ends by itself", order.and_then(|order| order.until)),
        ];
        for (name, help, time) in times {
            self.family(&(name, GAUGE, help));
            if let Some(time) = time {
                self.sample(name, &"", &seconds(time.milliseconds()));
            }
        }
    }

    fn configuration(&mut self, reload: &ReloadStatus, time: Timestamp) {
        const TIME: &str = "config_last_reload_success_timestamp_seconds";
        self.family(&("config_reloads_total", COUNTER, "Changed configurations, applied or refused"));
        self.sample("config_reloads_total", &"result=\"applied\"", &reload.applied);
        self.sample("config_reloads_total", &"result=\"refused\"", &reload.refused);
        let last =
            ("config_last_reload_successful", GAUGE, "Whether the configuration was right when last read");
        self.single(&last, &u8::from(reload.refused_ms.is_none()));
        self.family(&(TIME, GAUGE, "When a changed configuration was last applied"));
        if let Some(at) = reload.applied_ms.map(|ago| time.before(Duration::from_millis(ago))) {
            self.sample(TIME, &"", &(at.milliseconds() / 1_000));
        }
    }

    /// One sample per address, like keepalived's exporter.
    fn states(&mut self, status: &Status) {
        self.of_addresses(
            status,
            &("vrrp_state", GAUGE, "0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT"),
            &|router, address| (!address.excluded).then(|| u64::from(state_number(router.state))),
        );
        self.of_addresses(
            status,
            &("vrrp_excluded_state", GAUGE, "Like keepalived_vrrp_state, for VIP_EXCLUDED"),
            &|router, address| address.excluded.then(|| u64::from(state_number(router.state))),
        );
        self.of_addresses(
            status,
            &("vrrp_vip_present", GAUGE, "Whether the kernel has the address on the interface"),
            &|_, address| Some(u64::from(address.present)),
        );
    }

    fn of_addresses(
        &mut self,
        status: &Status,
        family: &Family,
        value: &dyn Fn(&RouterStatus, &AddressStatus) -> Option<u64>,
    ) {
        self.family(family);
        for router in &status.routers {
            for address in &router.addresses {
                if let Some(value) = value(router, address) {
                    let (iname, intf) = (Escaped(&router.name), Escaped(&address.interface));
                    let labels = format_args!(
                        "iname=\"{iname}\",intf=\"{intf}\",vrid=\"{}\",ip_address=\"{}\"",
                        router.vrid, address.address
                    );
                    self.sample(family.0, &labels, &value);
                }
            }
        }
    }

    fn serving(&mut self, status: &Status) {
        let help = "Whether clients of the addresses reach a working service, as far as this node knows";
        self.optional(status, &("vrrp_serving", GAUGE, help), &|router| {
            router.serving.serves.map(|serves| u8::from(serves).to_string())
        });
    }

    fn priorities(&mut self, status: &Status) {
        const NAME: &str = "vrrp_priority";
        self.family(&(NAME, GAUGE, "Configured, after weights, and of the master"));
        for router in &status.routers {
            let other = router.master.filter(|_| router.state != Role::Master);
            let master = other.map(|master| master.priority);
            let kinds = [
                ("base", Some(router.base_priority)),
                ("effective", Some(router.priority)),
                ("peer_master", master),
            ];
            for (kind, priority) in kinds {
                if let Some(priority) = priority {
                    self.sample(NAME, &format_args!("{},kind=\"{kind}\"", Labels(router)), &priority);
                }
            }
        }
        self.optional(
            status,
            &(
                "vrrp_failover_possible",
                GAUGE,
                "Whether a backup would take over if the master's service died",
            ),
            &|router| router.failover_possible.map(|possible| u8::from(possible).to_string()),
        );
    }

    fn faults(&mut self, status: &Status) {
        const NAME: &str = "vrrp_fault";
        self.family(&(NAME, GAUGE, "1 for each cause of FAULT; culprit is the interface behind it"));
        for router in &status.routers {
            for FaultStatus { cause, culprit, problem } in &router.fault_causes {
                let (culprit, problem) =
                    (culprit.as_deref().unwrap_or_default(), problem.unwrap_or_default());
                let labels = format_args!(
                    "{},cause=\"{cause}\",culprit=\"{}\",problem=\"{problem}\"",
                    Labels(router),
                    Escaped(culprit)
                );
                self.sample(NAME, &labels, &1);
            }
        }
    }

    fn guards(&mut self, status: &Status) {
        const NAME: &str = "vrrp_address_guard";
        let help = "Whether the kernel silences this host for the addresses when vrrp-init dies, and how";
        self.family(&(NAME, GAUGE, help));
        for router in &status.routers {
            let GuardStatus { kind, why } = &router.guard;
            self.sample(NAME, &format_args!("{},kind=\"{kind}\"", Labels(router)), &u8::from(why.is_none()));
        }
    }

    fn lifelines(&mut self, status: &Status) {
        const NAME: &str = "vrrp_lifeline";
        const BACKUPS: &str = "vrrp_lifeline_backups";
        self.family(&(
            NAME,
            GAUGE,
            "Whether a backup is connected to its master, or a master accepts backups",
        ));
        for router in status.routers.iter().filter(|router| !matches!(router.lifeline.state, "off" | "idle"))
        {
            let state = router.lifeline.state;
            let works = u8::from(matches!(state, "connected" | "listening"));
            self.sample(NAME, &format_args!("{},state=\"{state}\"", Labels(router)), &works);
        }
        self.optional(status, &(BACKUPS, GAUGE, "Backups connected to a master"), &|router| {
            (router.state == Role::Master).then(|| router.lifeline.peers.len().to_string())
        });
    }

    fn times(&mut self, status: &Status) {
        self.optional(
            status,
            &("vrrp_advert_interval_seconds", GAUGE, "Configured interval between two adverts"),
            &|router| Some(seconds(router.interval_ms)),
        );
        self.optional(
            status,
            &("vrrp_last_transition_timestamp_seconds", GAUGE, "Time of the last change of state"),
            &|router| Some(seconds(router.since.milliseconds())),
        );
        self.optional(
            status,
            &("vrrp_seconds_since_peer_advert", GAUGE, "Time since the last advert of another router"),
            &|router| router.heard.map(|heard| seconds(heard.ago_ms)),
        );
    }

    /// Routers without a value have no sample.
    fn optional(
        &mut self,
        status: &Status,
        family: &Family,
        value: &dyn Fn(&RouterStatus) -> Option<String>,
    ) {
        self.family(family);
        for router in &status.routers {
            if let Some(value) = value(router) {
                self.sample(family.0, &Labels(router), &value);
            }
        }
    }

    /// Routers can share a check. Each name has one sample.
    fn checks(&mut self, status: &Status) {
        let mut targets: Vec<&TargetStatus> = vec![];
        for target in status.routers.iter().filter_map(|r| r.check.as_ref()).flat_map(|c| &c.targets) {
            let is_new = targets.iter().all(|known| known.name != target.name);
            targets.extend(is_new.then_some(target));
        }
        self.family(&("script_status", GAUGE, "1 passed, 0 failed, for each target of a check"));
        for (target, passed) in targets.iter().filter_map(|target| Some((target, target.passed?))) {
            let name = Escaped(&target.name);
            self.sample("script_status", &format_args!("name=\"{name}\""), &u8::from(passed));
        }
        self.family(&("script_state", GAUGE, "Always 0, idle: a running program is not shown"));
        for target in &targets {
            self.sample("script_state", &format_args!("name=\"{}\"", Escaped(&target.name)), &0);
        }
        for (family, of) in OF_SERVICES {
            self.family(family);
            for target in targets.iter().filter(|target| target.is_process) {
                self.sample(family.0, &format_args!("name=\"{}\"", Escaped(&target.name)), &of(target));
            }
        }
    }

    fn drops(&mut self, status: &Status) {
        const OURS: &str = "vrrp_dropped_total";
        const OTHERS: &str = "vrrp_unclaimed_dropped_total";
        self.family(&(OURS, COUNTER, "Dropped packets for the router"));
        for router in &status.routers {
            for (reason, count) in &router.dropped.0 {
                self.sample(OURS, &format_args!("{},reason=\"{reason}\"", Labels(router)), count);
            }
        }
        self.family(&(OTHERS, COUNTER, "Packets for none of this process's routers"));
        for interface in &status.interfaces {
            for (reason, count) in &interface.dropped.0 {
                let intf = Escaped(&interface.interface);
                self.sample(OTHERS, &format_args!("intf=\"{intf}\",reason=\"{reason}\""), count);
            }
        }
    }
}

/// The number of a state in keepalived's exporter.
const fn state_number(state: Role) -> u8 {
    match state {
        Role::Init => 0,
        Role::Backup => 1,
        Role::Master => 2,
        Role::Fault => 3,
    }
}

/// `iname="VI_1",intf="eth0",vrid="51"`.
struct Labels<'a>(&'a RouterStatus);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouterStatus { name, interface, vrid, .. } = self.0;
        write!(f, "iname=\"{}\",intf=\"{}\",vrid=\"{vrid}\"", Escaped(name), Escaped(interface))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::status;
    use super::*;

    #[test]
    fn series_have_the_names_that_people_already_graph() {
        let text = text(&status());
        for line in [
            "keepalived_up 1",
            "keepalived_sandbox{layer=\"capabilities\"} 1",
            "keepalived_sandbox{layer=\"seccomp\"} 0",
            "keepalived_vrrp_state{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\",ip_address=\"10.0.0.2\"} 2",
            "keepalived_vrrp_state{iname=\"VI_2\",intf=\"eth1\",vrid=\"52\",ip_address=\"fd00::1\"} 3",
            "keepalived_vrrp_excluded_state{iname=\"VI_2\",intf=\"eth1\",vrid=\"52\",ip_address=\"fd00::3\"} 3",
            "keepalived_advertisements_sent_total{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\"} 120",
            "keepalived_ip_ttl_errors_total{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\"} 1",
            "keepalived_script_status{name=\"haproxy\"} 1",
            "keepalived_script_state{name=\"haproxy\"} 0",
            "keepalived_vrrp_priority{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\",kind=\"effective\"} 13",
            "keepalived_vrrp_serving{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\"} 1",
            "keepalived_vrrp_serving{iname=\"VI_2\",intf=\"eth1\",vrid=\"52\"} 0",
            "keepalived_vrrp_address_guard{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\",kind=\"nft\"} 1",
            "keepalived_vrrp_address_guard{iname=\"VI_2\",intf=\"eth1\",vrid=\"52\",kind=\"none\"} 0",
            "keepalived_vrrp_failover_possible{iname=\"VI_2\",intf=\"eth1\",vrid=\"52\"} 0",
            "keepalived_vrrp_seconds_since_peer_advert{iname=\"VI_1\",intf=\"eth0\",vrid=\"51\"} 4.000",
            "keepalived_check_processes{name=\"haproxy\"} 2",
            "keepalived_vrrp_unclaimed_dropped_total{intf=\"eth0\",reason=\"vrid\"} 7",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(!text.contains("peer_master"), "a master follows none");
    }

    #[test]
    fn every_family_is_declared_once_before_its_samples() {
        let text = text(&status());
        let mut declared: Vec<&str> = vec![];
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("#"), Some("TYPE")) => {
                    let name = words.next().unwrap();
                    assert!(!declared.contains(&name), "{name} twice");
                    declared.push(name);
                }
                (Some("#"), _) => {}
                (Some(sample), _) => {
                    assert_eq!(declared.last().copied(), sample.split('{').next(), "{line}");
                }
                (None, _) => panic!("an empty line"),
            }
        }
    }

    /// `docs/monitoring/README.md` has a row for each, with its type.
    #[test]
    fn every_family_is_documented_and_nothing_else() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring/README.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = page.lines().filter(|line| line.starts_with("| `keepalived_"));
        let row = |row: &str| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            format!("{} {}", cells[1], cells[2])
        };
        let mut documented: Vec<_> = rows.map(row).collect();
        let text = text(&status());
        let mut written: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        documented.sort();
        written.sort_unstable();
        assert_eq!(documented, written);
    }
}
