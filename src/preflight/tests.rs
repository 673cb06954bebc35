//! The exact findings for a made-up machine.

use nix::errno::Errno;

use super::*;
use crate::sys::Error;
use crate::sys::capabilities::Capability;
use crate::sys::netlink::Address;

fn config(vars: &[(&str, &str)]) -> Config {
    let least = [("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("INTERFACE", "eth0")];
    let least = least.iter().filter(|(name, _)| !vars.iter().any(|(known, _)| known == name));
    let vars = least.chain(vars).map(|(name, value)| (name.into(), value.into()));
    Config::from_environment(vars, |_| unreachable!("no file is named")).unwrap().0
}

fn link(index: u32, name: &str, up: bool) -> Link {
    Link {
        index,
        name: name.into(),
        altnames: vec![],
        up,
        enabled: up,
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
    Address { index, address, prefix, label: None, mark, tentative: false, lifetime: None, has_peer: false }
}

/// A machine with `lo`, `eth0` on 10.0.0.11/24 and `eth1`, which is down, and what else is given.
fn machine(more: &[Address]) -> Facts {
    let addresses = [&[address(1, "127.0.0.1/8", None), address(2, "10.0.0.11/24", None)], more].concat();
    let links = vec![link(1, "lo", true), link(2, "eth0", true), link(3, "eth1", false)];
    Facts { interfaces: Interfaces::new(links, addresses), ..Facts::default() }
}

/// The findings except that all capabilities are present, as they are printed.
fn found(vars: &[(&str, &str)], facts: &Facts) -> Vec<String> {
    let list = findings(&config(vars), facts).into_iter();
    let list = list.filter(|finding| !finding.text.contains("are present"));
    list.map(|f| format!("{} {}", f.level.as_str().to_lowercase(), f.text)).collect()
}

/// Those about weights.
fn weights(priority: &str, weight: &str) -> String {
    let vars = [("SERVICE", "haproxy"), ("PRIORITY", priority), ("CHECK_WEIGHT", weight)];
    found(&vars, &machine(&[])).remove(1)
}

const UP: &str = "info interface eth0 is up; adverts are sent from 10.0.0.11";

#[test]
fn a_correct_machine_has_no_warning() {
    assert_eq!(found(&[], &machine(&[])), [UP]);
    let auto = found(&[("INTERFACE", "auto")], &machine(&[]));
    assert_eq!(
        auto,
        ["info interface eth0 (auto: its subnet contains 10.0.0.2) is up; adverts are sent from 10.0.0.11"]
    );
}

#[test]
fn a_missing_capability_is_an_error_with_the_compose_line() {
    let facts = Facts { missing: vec![Capability::NetAdmin], ..machine(&[]) };
    assert_eq!(
        found(&[], &facts)[0],
        "error the capability NET_ADMIN is missing; add to the compose file: cap_add: [NET_ADMIN, NET_RAW]"
    );
}

#[test]
fn an_interface_that_is_missing_down_or_without_address_is_a_warning() {
    let on = |name| found(&[("INTERFACE", name)], &machine(&[]));
    assert_eq!(on("eth9"), ["warn interface eth9 does not exist: the daemon waits for it"]);
    assert_eq!(on("eth1"), ["warn interface eth1 is down or has no carrier: the daemon waits for it"]);
    assert_eq!(on("lo")[0], "warn interface lo reaches no other host: correct INTERFACE");
    let far = [("INTERFACE", "auto"), ("VIP", "192.0.2.2")];
    assert_eq!(
        found(&far, &machine(&[])),
        [
            "warn no interface is in the subnet of 192.0.2.2, and there is no default route: the daemon waits for one"
        ]
    );
    let routed = Facts { default_routes: [Some("eth0".into()), None], ..machine(&[]) };
    assert_eq!(
        found(&far, &routed),
        [
            "info interface eth0 (auto: the interface of the default route) is up; adverts are sent from 10.0.0.11",
            "warn no interface has the subnet of 192.0.2.2 (there are: eth0 10.0.0.11/24): eth0 is used, which has the \
             default route; correct VIP, or set INTERFACE"
        ]
    );
    let named = found(&[("VIP", "192.0.2.2")], &routed);
    assert_eq!(named[1], "info 192.0.2.2 is in no subnet of eth0: other hosts need a route to reach it");
    assert_eq!(
        found(&[("VIP", "fe80::2")], &machine(&[])),
        ["warn interface eth0 has no link-local IPv6 address to send from: the daemon waits for one"]
    );
    let peers = [("UNICAST_PEERS", "10.0.0.12"), ("UNICAST_SRC_IP", "10.0.0.19")];
    assert_eq!(
        found(&peers, &machine(&[])),
        ["warn UNICAST_SRC_IP 10.0.0.19 is not on this machine: the daemon waits for it"]
    );
    let no_route = "warn This host has no route to the unicast peer 10.0.0.12";
    assert_eq!(found(&[("UNICAST_PEERS", "10.0.0.12")], &machine(&[])), [no_route, UP]);
}

#[test]
fn an_address_that_is_already_here_is_distinguished_from_one_of_ours() {
    assert_eq!(
        found(&[], &machine(&[address(2, "10.0.0.2/32", Some(MARK))])),
        [UP, "info 10.0.0.2 is on eth0, added by vrrp-init"]
    );
    let fixed = machine(&[address(2, "10.0.0.2/32", None)]);
    assert_eq!(
        found(&[], &fixed),
        [
            UP,
            "warn 10.0.0.2 is already on eth0 and was not added by vrrp-init, which removes it at the start; if it is this host's \
             own address, remove it from VIP or set PRIORITY=255"
        ]
    );
    for other in [address(3, "10.0.0.2/32", None), address(2, "10.0.0.2/24", None)] {
        let left = found(&[], &machine(&[other]));
        assert!(
            left[1].contains("is this host's own address on eth") && left[1].starts_with("warn"),
            "{left:?}"
        );
    }
    assert_eq!(found(&[("PRIORITY", "255")], &fixed), [UP]);
    for without in [&[][..], &[address(2, "10.0.0.2/32", Some(MARK))]] {
        let owner = found(&[("PRIORITY", "255")], &machine(without));
        assert!(
            owner[1].starts_with("warn PRIORITY=255 is for the host whose own address 10.0.0.2 is"),
            "{owner:?}"
        );
    }
    let answered =
        Facts { neighbors: vec![([10, 0, 0, 2].into(), "02:00:00:00:00:01".into())], ..machine(&[]) };
    assert_eq!(
        found(&[], &answered),
        [UP, "info 10.0.0.2 is answered by 02:00:00:00:00:01, according to the neighbor table"]
    );
}

#[test]
fn an_address_in_the_subnet_of_another_interface_names_it() {
    let facts = machine(&[address(3, "10.1.0.1/16", None)]);
    assert_eq!(
        found(&[("VIP", "10.1.0.2")], &facts)[1],
        "info 10.1.0.2 is in no subnet of eth0 (but in one of eth1): other hosts need a route to reach it"
    );
    let own_device = found(&[("VIP", "10.1.0.2 dev eth1")], &facts);
    assert!(!own_device.iter().any(|text| text.contains("subnet")), "{own_device:?}");
    assert_eq!(found(&[("VIP", "192.0.2.2/24")], &facts), [UP], "it brings its subnet");
}

#[test]
fn other_interfaces_that_are_down_are_a_warning() {
    let vars = [("VIP", "10.0.0.2 dev eth0 10.0.0.3 dev eth9"), ("VIP_EXCLUDED", "10.1.0.2 dev eth1")];
    let waits = |name, variable| {
        format!("warn interface {name} of {variable} is missing or down: the daemon waits for it")
    };
    let all = [&vars[..], &[("TRACK_INTERFACE", "eth0 eth8")]].concat();
    assert_eq!(
        found(&all, &machine(&[]))[1..],
        [waits("eth9", "VIP"), waits("eth1", "VIP_EXCLUDED"), waits("eth8", "TRACK_INTERFACE")]
    );
}

fn seen(pids: &[i32], alone: bool) -> Facts {
    let services = vec![("haproxy".into(), pids.to_vec())];
    let processes = Processes { services, alone, nonlocal_bind: [true, true], ..Processes::default() };
    Facts { processes: Some(processes), ..machine(&[]) }
}

#[test]
fn a_service_is_seen_or_hidden_or_in_another_namespace() {
    let service = |facts: Facts| found(&[("SERVICE", "haproxy")], &facts).remove(0);
    assert_eq!(service(seen(&[17], false)), "info haproxy runs: pid 17");
    assert_eq!(service(seen(&[17, 18, 19], false)), "info haproxy runs: pid 17 and 2 more");
    assert_eq!(service(seen(&[], false)), "warn haproxy is not seen among the processes here");
    let mut others = seen(&[], false);
    others.processes.as_mut().unwrap().programs = vec!["nginx".into(), "sh".into()];
    assert_eq!(service(others), "warn haproxy is not seen among the processes here (here run: nginx, sh)");
    assert_eq!(
        service(seen(&[], true)),
        "warn haproxy is not seen, nor any process but vrrp-init: if its container is running, it lacks \
         pid: \"service:keepalived\", or pid: \"service:namespace\" where vrrp-init hold is PID 1 (with docker run, \
         check sees only its own container: use docker exec)"
    );
    let mut hidden = seen(&[], false);
    hidden.processes.as_mut().unwrap().hidden = true;
    assert_eq!(
        service(hidden),
        "warn /proc is mounted with hidepid: services of other users look dead; remount it without hidepid"
    );
}

#[test]
fn the_hint_for_binding_is_given_only_where_the_service_is_on_this_network() {
    let hint = |here: bool, allowed: [bool; 2]| {
        let mut facts = seen(&[17], false);
        let processes = facts.processes.as_mut().unwrap();
        processes.same_network.extend(here.then(|| "haproxy".to_owned()));
        processes.nonlocal_bind = allowed;
        found(&[("SERVICE", "haproxy")], &facts).iter().any(|text| text.contains("ip_nonlocal_bind=1"))
    };
    assert!(hint(true, [false, true]) && hint(true, [true, false]));
    assert!(!hint(true, [true, true]) && !hint(false, [false, false]));
}

#[test]
fn a_check_of_a_virtual_address_is_a_warning() {
    let vars = [
        ("CHECK_TCP", "10.0.0.2:80 127.0.0.1:80"),
        ("CHECK_HTTP", "http://10.0.0.3/"),
        ("VIP_EXCLUDED", "10.0.0.3"),
    ];
    let warnings: Vec<_> = found(&vars, &machine(&[]))
        .into_iter()
        .filter(|text| text.contains("is a virtual address"))
        .collect();
    let warning = |what| {
        format!(
            "warn {what} is a virtual address: on a backup, the master answers the check; check 127.0.0.1 instead"
        )
    };
    assert_eq!(warnings, [warning("10.0.0.2:80"), warning("10.0.0.3:80")]);
}

#[test]
fn a_check_of_another_host_is_named() {
    let asks = |vars: &[(&str, &str)]| {
        let all = found(vars, &machine(&[address(3, "10.1.0.1/16", None)]));
        all.into_iter().filter(|text| text.contains("asks")).collect::<Vec<_>>()
    };
    let other = |target: &str, loss: &str| {
        format!(
            "warn the check of {target} asks another host: when that one fails, this node {loss}, although its own \
             service runs; check 127.0.0.1 instead"
        )
    };
    let both = [("CHECK_TCP", "10.0.0.12:53 [fd00::12]:53"), ("CHECK_HTTP", "http://192.0.2.1/")];
    let loss = "releases the address";
    assert_eq!(
        asks(&both),
        [other("10.0.0.12:53", loss), other("[fd00::12]:53", loss), other("192.0.2.1:80", loss)]
    );
    let weighted = [("CHECK_TCP", "10.0.0.12:53"), ("CHECK_WEIGHT", "-5")];
    assert_eq!(asks(&weighted), [other("10.0.0.12:53", "changes its priority")]);
    let own = "10.0.0.11:53 10.1.0.1:53 127.0.0.1:53 127.9.9.9:53 [::1]:53 localhost:80";
    assert_eq!(asks(&[("CHECK_TCP", own), ("CHECK_HTTP", "http://localhost/")]), Vec::<String>::new());
}

#[test]
fn a_broken_program_and_a_file_that_is_not_read_are_named_once() {
    let facts = Facts {
        programs: vec!["NOTIFY: cannot run /notify: not found".into()],
        mounted: vec!["/etc/keepalived/keepalived.conf".into(), "/container/environment/env.yaml".into()],
        ..machine(&[])
    };
    let unread = "warn /etc/keepalived/keepalived.conf is there, but vrrp-init does not read it: `vrrp-init import \
                  /etc/keepalived/keepalived.conf` prints its values as variables";
    let other = "warn /container/environment/env.yaml is there, but vrrp-init does not read it: set its values as \
                 variables";
    assert_eq!(found(&[], &facts), ["warn NOTIFY: cannot run /notify: not found", unread, other, UP]);
    let logged = findings(&config(&[]), &facts).into_iter().filter(|finding| !finding.logged_by_daemon);
    assert_eq!(logged.filter(|finding| finding.router.is_none()).count(), 3);
}

#[test]
fn a_weight_is_explained_with_the_priorities_of_this_node() {
    assert_eq!(
        weights("11", "2"),
        "info priority 13 while healthy, 11 while failed: a backup needs 12 to take over"
    );
    assert_eq!(
        weights("100", "-20"),
        "info priority 100 while healthy, 80 while failed: a backup needs 81 to take over"
    );
    assert_eq!(
        weights("100", "0"),
        "info CHECK_WEIGHT is 0: a failed check is a FAULT, and any backup takes over"
    );
    assert_eq!(
        weights("11", "1"),
        "info priority 12 while healthy, 11 while failed: a backup needs 12 to take over, but then ties with this node while it is healthy; a \
         weight of 2 or more avoids the tie"
    );
    assert_eq!(
        weights("250", "20"),
        "warn priority 254 while healthy, 250 while failed: a backup needs 251 to take over; 250 and 20 make 270, limited to 254: \
         lower PRIORITY"
    );
    assert_eq!(
        weights("3", "-5"),
        "warn priority 3 while healthy, 1 while failed: a backup needs 2 to take over; 3 and -5 make -2, limited to 1: raise PRIORITY"
    );
    assert_eq!(
        weights("253", "5"),
        "warn priority 254 while healthy, 253 while failed: a backup needs 254 to take over, but then ties with this node while it is healthy; \
         253 and 5 make 258, limited to 254: lower PRIORITY"
    );
    assert!(weights("11", "-1").ends_with("; a weight of -2 or less avoids the tie"));
    assert_eq!(
        weights("254", "2"),
        "warn PRIORITY 254 and CHECK_WEIGHT 2 can never move the address: the priority is 254 while healthy and 254 while failed, \
         because it is limited to 1 to 254; lower PRIORITY, or set CHECK_WEIGHT=0"
    );
    assert!(weights("1", "-5").ends_with("; raise PRIORITY, or set CHECK_WEIGHT=0"));
}

#[test]
fn a_warning_of_the_configuration_is_not_repeated() {
    let count = |vars: &[(&str, &str)], here: &[Address]| {
        let all = [&[("SERVICE", "haproxy"), ("CHECK_WEIGHT", "2")], vars].concat();
        found(&all, &machine(here)).len()
    };
    let owned = [address(2, "10.0.0.2/24", None)];
    assert_eq!((count(&[("PRIORITY", "255")], &owned), count(&[("PREEMPT", "false")], &[])), (1, 1));
    assert_eq!(count(&[], &[]), 2);
}

#[test]
fn both_families_of_a_list_have_one_check() {
    let vars = [("VIP", "10.0.0.2 fe80::2"), ("SERVICE", "haproxy"), ("CHECK_WEIGHT", "2")];
    let facts = machine(&[address(2, "fe80::1/64", None)]);
    let sums: Vec<_> =
        findings(&config(&vars), &facts).into_iter().filter(|f| f.text.contains("healthy")).collect();
    assert_eq!((sums.len(), sums[0].router.as_deref()), (1, Some("VI_1")));
}

#[test]
fn findings_that_the_daemon_logs_itself_are_marked() {
    let facts = Facts { missing: vec![Capability::NetRaw], ..seen(&[], true) };
    let vars = [("SERVICE", "haproxy"), ("CHECK_WEIGHT", "2"), ("INTERFACE", "eth9")];
    let left: Vec<_> =
        findings(&config(&vars), &facts).into_iter().filter(|finding| !finding.logged_by_daemon).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].text.starts_with("priority"));
}

#[test]
fn the_guard_is_there_or_a_sentence_says_why_not() {
    let with = |vars: &[(&str, &str)], answer| {
        let facts = Facts { guard: Some(answer), ..machine(&[]) };
        found(vars, &facts).pop().unwrap()
    };
    let refused = || Err(Error::doing("create", "the address guard")(Errno::EINVAL));
    let why = "cannot create the address guard: Invalid argument (os error 22)";
    assert_eq!(
        with(&[], Ok(())),
        "info address guard: if vrrp-init dies, nf_tables silences this host for the virtual addresses"
    );
    assert_eq!(with(&[], refused()), format!("info no address guard: {why}"));
    assert_eq!(with(&[("ADDRESS_GUARD", "nft")], refused()), format!("warn no address guard: {why}"));
    for (name, value, why) in [
        ("VIP_LEASE", "0", "VI_1 has VIP_LEASE=0, so nothing would end the silence"),
        ("PRIORITY", "255", "VI_1 has PRIORITY=255, so its addresses are the host's own"),
        ("FAST_FAILOVER", "false", "with FAST_FAILOVER=false, no backup takes over at once"),
        ("LIFELINE", "false", "with LIFELINE=false, no backup takes over at once"),
    ] {
        assert_eq!(with(&[(name, value)], Ok(())), format!("info no address guard: {why}"));
    }
    assert!(!found(&[("ADDRESS_GUARD", "off")], &machine(&[])).iter().any(|text| text.contains("guard")));
}
