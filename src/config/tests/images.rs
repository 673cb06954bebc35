//! The names of other keepalived images: what is understood and what contradicts itself.

use std::net::IpAddr;

use super::*;
use crate::config::compat::is_ambiguous;

/// `vars` alone.
pub(super) fn only(vars: &[(&str, &str)]) -> Outcome {
    read(os(vars), no_file)
}

/// `vars` over a name for each of the two that are required, without anything implied.
fn plain(vars: &[(&str, &str)]) -> Outcome {
    only(&[&[("VIPS", "10.0.0.2"), ("VRID", "51"), ("COMPAT", "none")], vars].concat())
}

fn held(router: &RouterConfig) -> Vec<String> {
    router.addresses.iter().map(ToString::to_string).collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A text that every variable takes.
fn good(name: &str) -> &'static str {
    match name {
        "VIP" => "10.0.0.2",
        "VIRTUAL_ROUTER" => "51",
        "INTERFACE" | "TRACK_INTERFACE" => "eth7",
        "STATE" => "MASTER",
        "SERVICE" | "INSTANCE_NAME" => "haproxy",
        "CHECK_HTTP_STATUS" => "204",
        "CHECK_TCP" => "127.0.0.1:80",
        "CHECK_HTTP" => "http://127.0.0.1/",
        "NOTIFY_URL" => "http://10.0.0.5/hook",
        "CHECK_DNS" => "example.com@127.0.0.1",
        "VRRP_VERSION" => "3",
        "V3_CHECKSUM" => "rfc9568",
        "PREEMPT" | "FAST_FAILOVER" | "LIFELINE" => "false",
        "UNICAST_PEERS" | "UNICAST_SRC_IP" => "10.0.0.11",
        "VIP_EXCLUDED" => "10.0.0.9",
        "NOTIFY" | "NOTIFY_MASTER" | "NOTIFY_BACKUP" | "NOTIFY_FAULT" | "NOTIFY_STOP" | "CHECK_SCRIPT" => {
            "/notify"
        }
        "ADDRESS_GUARD" => "nft",
        "PROGRAM_ENV" => "WEBHOOK_URL",
        "SANDBOX" => "off",
        "COMPAT" => "none",
        "DRAIN_FILE" => "/run/other.drain",
        "STATUS_SOCKET" => "/run/other.sock",
        "ENV_FILE" => "/run/value",
        "METRICS_LISTEN" => ":9165",
        "LOG_LEVEL" => "debug",
        "LOG_FORMAT" => "json",
        _ => "7",
    }
}

#[test]
fn every_variable_may_have_the_prefix_and_every_plain_name_is_the_variable() {
    let over = |name: &str, of: &str| {
        let least = [("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("COMPAT", "none")];
        let least = least.into_iter().filter(|(known, _)| *known != of);
        let vars: Vec<_> = least.chain([(name, good(of))]).collect();
        // Of these, only ENV_FILE names a file.
        let (config, _) = read(os(&vars), |_| Ok(vec![])).unwrap_or_else(|error| panic!("{name}: {error}"));
        config
    };
    for variable in VARIABLES {
        let ours = over(variable.name, variable.name);
        assert_eq!(over(&format!("KEEPALIVED_{}", variable.name), variable.name), ours, "{}", variable.name);
    }
    let plain = |alias: &Alias| matches!(alias.conversion, Conversion::Same | Conversion::Item);
    for alias in aliases().filter(plain) {
        let of = alias.of.unwrap().name;
        for name in alias.each() {
            // The prefix makes plain what is meant.
            let prefix = if is_ambiguous(name) { "KEEPALIVED_" } else { "" };
            assert_eq!(over(&format!("{prefix}{name}"), of), over(of, of), "{name}");
        }
    }
}

#[test]
fn a_prefixed_name_takes_a_suffix_and_a_file() {
    let vars =
        [("KEEPALIVED_VIP_2", "10.0.0.3"), ("VRID_2", "52"), ("KEEPALIVED_PRIORITY_2_FILE", "/run/value")];
    let (config, warnings) = with_file(&vars, Ok(b"7\n")).unwrap();
    assert_eq!(warnings, []);
    let second = &config.routers[1];
    assert_eq!((second.number, second.protocol.vrid.octet(), second.protocol.priority.octet()), (2, 52, 7));
    assert_eq!(
        problems(with_file(&vars, Ok(b"0\n"))),
        ["KEEPALIVED_PRIORITY_2=0  must be 1 to 254, or 255 for the address owner (read from /run/value)"]
    );
    let file = [("KEEPALIVED_PASSWORD_FILE", "/run/value")];
    assert_eq!(router(with_file(&file, Ok(b"d0cker\n"))).protocol.auth.unwrap().octets(), *b"d0cker\0\0");
}

#[test]
fn two_names_that_agree_are_one_and_two_that_differ_are_named_both() {
    let same = [("PRIORITY", "7"), ("KEEPALIVED_PRIORITY", " 7 "), ("NODE_PRIORITY", "7")];
    assert_eq!(router(with(&same)).protocol.priority.octet(), 7);
    assert_eq!(
        problems(with(&[("PRIORITY", "7"), ("KEEPALIVED_PRIORITY", "8"), ("VRRP_PRIORITY", "9")])),
        [
            "KEEPALIVED_PRIORITY=8  PRIORITY is also set, to another value; keep one of them",
            "VRRP_PRIORITY=9  PRIORITY is also set, to another value; keep one of them"
        ]
    );
    let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52"), ("VRID_2", "53")];
    assert_eq!(
        problems(with(&second)),
        ["VRID_2=53  VIRTUAL_ROUTER_2 is also set, to another value; keep one of them"]
    );
}

#[test]
fn a_secret_that_differs_is_not_shown_under_any_name() {
    for name in ["KEEPALIVED_PASSWORD", "KEEPALIVED_AUTH_PASS", "VRRP_AUTH_PASS", "AUTH_PASSWORD"] {
        let outcome = plain(&[("AUTH_PASS", "first"), (name, "hunter2")]);
        assert!(!format!("{outcome:?}").contains("hunter2"), "{name}");
        assert_eq!(
            problems(outcome),
            [format!("{name}  AUTH_PASS is also set, to another value; keep one of them")]
        );
        let long = plain(&[(name, "hunter2-and-more")]);
        assert!(!format!("{long:?}").contains("hunter2"), "{name}");
        assert!(warnings(long)[0].starts_with(&format!("{name} is longer than 8 bytes:")));
    }
}

#[test]
fn a_common_name_is_read_only_where_the_addresses_have_a_foreign_name() {
    assert_eq!(
        warnings(with(&[("PASSWORD", "hunter2")])),
        ["PASSWORD is ignored because VIP is set; the variable here is AUTH_PASS"]
    );
    assert_eq!(router(plain(&[("PASSWORD", "hunter2")])).protocol.auth.unwrap().octets(), *b"hunter2\0");
    let named = [("KEEPALIVED_VIRTUAL_ROUTER", "51"), ("ROUTER_ID", "node-1"), ("VIP", "10.0.0.2")];
    assert_eq!(router(only(&named)).protocol.vrid.octet(), 51);
}

#[test]
fn what_much_else_is_called_too_changes_no_environment_of_start_sh() {
    let start_sh = [
        ("SERVICE", "haproxy"),
        ("CHECK_INTERVAL", "2"),
        ("CHECK_WEIGHT", "2"),
        ("INTERFACE", "enp0s3"),
        ("STATE", "MASTER"),
        ("VIRTUAL_ROUTER", "51"),
        ("PRIORITY", "11"),
        ("VIP", "10.0.0.2"),
    ];
    let accident = [
        ("ROUTER_ID", "7"),
        ("CHECK_PORT", "tcp://10.96.0.1:80"),
        ("CHECK_IP", "10.96.0.1"),
        ("AUTH_PASSWORD", "hunter2-and-more"),
        ("AUTH_TYPE", "oauth"),
        ("PASSWORD", "hunter2"),
        ("PASS", "hunter3"),
    ];
    let (config, warnings) = only(&[&start_sh[..], &accident].concat()).unwrap();
    assert_eq!(config, only(&start_sh).unwrap().0);
    assert_eq!(warnings.len(), accident.len(), "{warnings:?}");
    for (name, _) in accident {
        let said = warnings.iter().find(|warning| warning.variable == name).unwrap();
        assert!(said.level == log::Level::Info && said.why.starts_with("is ignored because VI"), "{said}");
    }
    let silent = [
        ("CONFIG", "x"),
        ("TZ", "UTC"),
        ("HOSTNAME", "keepalived"),
        ("KEEPALIVED_PORT", "tcp://10.96.0.1:80"),
        ("KEEPALIVED_PORT_80_TCP", "tcp://10.96.0.1:80"),
        ("KEEPALIVED_SERVICE_HOST", "10.96.0.1"),
        ("KEEPALIVED_SERVICE_PORT", "80"),
    ];
    assert_eq!(only(&[&start_sh[..], &silent].concat()), only(&start_sh));
}

#[test]
fn lists_may_be_numbered_or_arrays() {
    let numbered = [
        ("KEEPALIVED_VIRTUAL_IPADDRESS_10", "10.0.0.4/24"),
        ("KEEPALIVED_VIRTUAL_IPADDRESS_1", "10.0.0.2/24 dev eth0"),
        ("KEEPALIVED_VIRTUAL_IPADDRESS_2", "10.0.0.3"),
        ("KEEPALIVED_VIRTUAL_IPADDRESS_EXCLUDED_0", "10.0.0.9"),
        ("KEEPALIVED_UNICAST_PEER_0", "10.0.0.11"),
        ("KEEPALIVED_UNICAST_PEER_007", "10.0.0.12"),
        ("KEEPALIVED_TRACK_INTERFACE_1", "eth1"),
        ("KEEPALIVED_TRACK_INTERFACE_2", "eth2"),
        ("KEEPALIVED_VIRTUAL_ROUTER_ID", "51"),
        ("COMPAT", "none"),
    ];
    let one = router(only(&numbered));
    assert_eq!(held(&one), ["10.0.0.2/24 dev eth0", "10.0.0.3/32", "10.0.0.4/24"]);
    assert_eq!(one.excluded[0].to_string(), "10.0.0.9/32");
    assert_eq!(one.protocol.peers, ips(&["10.0.0.11", "10.0.0.12"]));
    assert_eq!(*one.track, ["eth1", "eth2"]);
    let wrong = [&numbered[..9], &[("COMPAT", "none"), ("KEEPALIVED_UNICAST_PEER_2", "node2")]].concat();
    assert_eq!(
        problems(only(&wrong)),
        ["KEEPALIVED_UNICAST_PEER_n=node2  must be an IP address such as 10.0.0.11 or fd00::11"]
    );
    let array =
        [("UNICAST_PEERS", "#PYTHON2BASH:['10.0.0.11','10.0.0.12']"), ("SERVICE", "[\"haproxy\", 'nginx']")];
    let two = router(with(&array));
    assert_eq!(two.protocol.peers, ips(&["10.0.0.11", "10.0.0.12"]));
    assert_eq!(two.check.unwrap().services, ["haproxy", "nginx"]);
    let vips = "#PYTHON2BASH:['10.0.0.2/24 dev eth0', '10.0.0.3']";
    let three = only(&[("KEEPALIVED_VIRTUAL_IPS", vips), ("VRID", "51"), ("COMPAT", "none")]);
    assert_eq!(held(&router(three)), ["10.0.0.2/24 dev eth0", "10.0.0.3/32"]);
}

#[test]
fn a_mask_is_the_prefix_of_addresses_without_one() {
    let masked = |vips| router(plain(&[("VIPS", vips), ("VIRTUAL_MASK", "24")]));
    assert_eq!(
        held(&masked("10.0.0.2 dev eth0\n10.0.0.3/28, 10.0.0.4")),
        ["10.0.0.2/24 dev eth0", "10.0.0.3/28", "10.0.0.4/24"]
    );
    assert_eq!(held(&masked("# web\n10.0.0.2")), ["10.0.0.2/24"]);
    for mask in ["33", "0", "255.255.255.0"] {
        assert_eq!(
            problems(plain(&[("KEEPALIVED_VIRTUAL_MASK", mask)])),
            [format!("KEEPALIVED_VIRTUAL_MASK={mask}  must be a prefix length of 1 to 32")]
        );
    }
}

#[test]
fn a_port_and_its_host_are_a_check() {
    let tcp = |vars: &[(&str, &str)]| router(plain(vars)).check.map(|check| check.tcp[0].to_string());
    assert_eq!(tcp(&[("CHECK_PORT", "80")]).as_deref(), Some("127.0.0.1:80"));
    assert_eq!(tcp(&[("CHECK_PORT", "80"), ("CHECK_IP", "any")]).as_deref(), Some("127.0.0.1:80"));
    let keepalived = [("KEEPALIVED_CHECK_IP", "10.0.0.7"), ("KEEPALIVED_CHECK_PORT", "443")];
    let own = [("UNICAST_PEERS", "10.0.0.8"), ("UNICAST_SRC_IP", "10.0.0.7")];
    assert_eq!(tcp(&[&keepalived[..], &own].concat()).as_deref(), Some("10.0.0.7:443"));
    assert_eq!(tcp(&[("CHECK_PORT", "80"), ("CHECK_IP", "::1")]).as_deref(), Some("[::1]:80"));
    assert_eq!(tcp(&[("OPENSHIFT_HA_MONITOR_PORT", "0")]), None);
    assert_eq!(
        problems(plain(&[("CHECK_PORT", "http")])),
        ["CHECK_PORT=127.0.0.1:http  must be host:port, such as 127.0.0.1:80, [::1]:80 or localhost:80; \
             other names are not resolved"]
    );
    assert_eq!(
        problems(plain(&[("CHECK_PORT", "80"), ("CHECK_TCP", "localhost:81")])),
        ["CHECK_PORT=127.0.0.1:80  CHECK_TCP is also set, to another value; keep one of them"]
    );
    assert_eq!(warnings(plain(&[("CHECK_IP", "any")])), ["CHECK_IP has no effect without CHECK_PORT"]);
}

#[test]
fn a_check_of_another_host_is_not_taken_over() {
    for host in ["10.0.0.7", "10.0.0.2", "fd00::7", "dns2.example"] {
        let vars = [("KEEPALIVED_CHECK_IP", host), ("KEEPALIVED_CHECK_PORT", "53")];
        let (config, warnings) = plain(&vars).unwrap();
        assert_eq!(config.routers[0].check, None, "{host}");
        let endpoint = if host.contains(':') { format!("[{host}]:53") } else { format!("{host}:53") };
        assert_eq!(
            (warnings[0].level, warnings[0].to_string()),
            (
                log::Level::Warn,
                format!(
                    "KEEPALIVED_CHECK_IP names {host}, which may be another host, so port 53 is not checked; set \
                     CHECK_TCP=127.0.0.1:53, or CHECK_TCP={endpoint} if the address is this host's"
                )
            )
        );
    }
    for (host, endpoint) in [("0.0.0.0", "127.0.0.1:53"), ("::", "[::1]:53"), ("127.0.0.2", "127.0.0.2:53")] {
        let check = router(plain(&[("CHECK_IP", host), ("CHECK_PORT", "53")])).check.unwrap();
        assert_eq!(check.tcp[0].to_string(), endpoint, "{host}");
    }
}

#[test]
fn preemption_is_said_in_three_ways() {
    let preempt = |name, value| router(plain(&[(name, value)])).protocol.preempt;
    assert!(!preempt("NOPREEMPT", "true") && preempt("NOPREEMPT", "no"));
    assert!(!preempt("KEEPALIVED_NOPREEMPT", "1") && !preempt("OPENSHIFT_HA_PREEMPTION", "nopreempt"));
    let delayed = router(plain(&[("OPENSHIFT_HA_PREEMPTION", "preempt_delay 300")])).protocol;
    assert_eq!((delayed.preempt, delayed.preempt_delay), (true, Duration::from_mins(5)));
    assert_eq!(
        problems(plain(&[("NOPREEMPT", "maybe"), ("OPENSHIFT_HA_PREEMPTION", "preempt")])),
        [
            "OPENSHIFT_HA_PREEMPTION=preempt  must be nopreempt, or preempt_delay and seconds",
            "NOPREEMPT=maybe  must be true or false (yes, no, on, off, 1 and 0 also work)"
        ]
    );
    assert_eq!(
        problems(plain(&[("NOPREEMPT", "true"), ("PREEMPT", "true")])),
        ["NOPREEMPT=false  PREEMPT is also set, to another value; keep one of them"]
    );
}

#[test]
fn an_authentication_type_must_fit_the_password() {
    let auth = |kind, more: &[(&str, &str)]| plain(&[&[("AUTH_TYPE", kind)], more].concat());
    assert!(router(auth("PASS", &[("AUTH_PASS", "a")])).protocol.auth.is_some());
    assert!(router(auth("none", &[])).protocol.auth.is_none());
    assert_eq!(problems(auth("PASS", &[])), ["AUTH_TYPE=PASS  needs AUTH_PASS, which is not set"]);
    assert_eq!(
        problems(auth("none", &[("PASS", "hunter2")])),
        ["AUTH_TYPE=none  PASS is also set; keep one of them"]
    );
    assert_eq!(problems(auth("AH", &[])), ["AUTH_TYPE=AH  must be PASS or none: AH is not supported"]);
}

#[test]
fn what_has_no_equivalent_is_said_with_what_has() {
    let instead =
        "has no equivalent here: set SERVICE to the process, CHECK_TCP to its port or CHECK_HTTP to a page";
    let outcome = plain(&[
        ("KEEPALIVED_AUTOCONF", "true"),
        ("CONTAINERS_TO_CHECK", "web"),
        ("KEEPALIVED_CUSTOM_CONFIG", "false"),
        ("KEEPALIVED_CONF", "/etc/keepalived.conf"),
        ("MCAST_GROUP", "224.0.0.99"),
    ]);
    let levels: Vec<_> = outcome.clone().unwrap().1.iter().map(|warning| warning.level).collect();
    assert_eq!((levels[0], &levels[1..]), (log::Level::Info, &[log::Level::Warn; 3][..]));
    assert_eq!(
        warnings(outcome),
        [
            "KEEPALIVED_AUTOCONF has no effect here and is ignored",
            "KEEPALIVED_CONF is ignored: your own keepalived.conf is not read; `vrrp-init import` prints its values as variables",
            &format!("CONTAINERS_TO_CHECK {instead}"),
            "MCAST_GROUP is ignored: adverts are sent to the VRRP group, or to UNICAST_PEERS",
        ]
    );
    let debug = plain(&[("KEEPALIVED_DEBUG", "true")]).unwrap().0;
    assert_eq!(debug.log.level, LevelFilter::Debug);
}

#[test]
fn a_refusal_has_the_warnings_beside_it() {
    let own_file =
        "is ignored: your own keepalived.conf is not read; `vrrp-init import` prints its values as variables";
    for (name, value) in [
        ("KEEPALIVED_CUSTOM_CONFIG", "true"),
        ("KEEPALIVED_CONF", "/etc/keepalived/keepalived.conf"),
        ("KEEPALIVED_AUTOCONF", "false"),
        ("KEEPALIVED_CONF_TEMPLATE", "/tmpl"),
    ] {
        let outcome = only(&[(name, value)]);
        assert_eq!(problems(outcome.clone()).len(), 2, "VIP and VIRTUAL_ROUTER are missing");
        assert_eq!(warnings_beside_problems(outcome), [format!("{name} {own_file}")]);
    }
    let image = [("VIRTUAL_IPS", "10.0.0.2"), ("CONFIG", "/keepalived.conf")];
    assert_eq!(warnings_beside_problems(only(&image)), [format!("CONFIG {own_file}")]);
    let quoted = warnings_beside_problems(only(&[("VIP", "\"10.0.0.2\"")]));
    assert_eq!(quoted, ["VIP contains quotes or a comment, which are not part of the value"]);
    let ignored = warnings_beside_problems(only(&[("VIPS", "10.0.0.2"), ("LB_ALGO", "rr")]));
    assert_eq!(ignored, ["LB_ALGO is not a variable of vrrp-init and has no effect"]);
}

#[test]
fn a_slip_in_a_foreign_name_or_an_unknown_one_with_the_prefix_is_said() {
    assert_eq!(
        warnings(plain(&[
            ("KEEPALIVED_PRIORTY", "7"),
            ("KEEPALIVED_VIRTUAL_IPADRESS_1", "10.0.0.9"),
            ("KEEPALIVED_GLOBAL_DEFS", "x"),
            ("KEEPALIVED_SERVICE_PORT", "80"),
        ])),
        [
            "KEEPALIVED_GLOBAL_DEFS is not a variable of vrrp-init",
            "KEEPALIVED_PRIORTY is not a variable of vrrp-init; did you mean PRIORITY?",
            "KEEPALIVED_VIRTUAL_IPADRESS_1 is not a variable of vrrp-init; did you mean KEEPALIVED_VIRTUAL_IPADDRESS?",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_under_a_foreign_name_is_one_problem() {
    let vars = os(&[("KEEPALIVED_VIRTUAL_IPS_FILE", "/run/value"), ("VRID", "51")]);
    let outcome = read(vars, |_| Err(ErrorKind::NotFound.into()));
    assert_eq!(
        problems(outcome),
        ["KEEPALIVED_VIRTUAL_IPS_FILE=/run/value  cannot be read: entity not found"]
    );
}
