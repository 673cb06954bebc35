//! The variables of one router that say how it speaks, whom to, and what it watches and tells.

use super::images::only;
use super::syntax::router_ignoring_warnings;
use super::*;
use crate::config::model::NotifyConfig;
use crate::vrrp::Role;

/// TX-15: below a second is not for VRRPv2; TX-16: 0 and more than 40.95 s are not for VRRPv3.
#[test]
fn advert_int_is_what_a_packet_can_carry() {
    for value in ["0", "0.00", "256", "0.001", "1.005", "-1", "soon", "50.5"] {
        refused(
            "ADVERT_INT",
            value,
            "must be whole seconds, 1 to 255, or with VRRPv3 0.01 to 40.95 in steps of 0.01",
        );
    }
    for (version, value, why) in [
        ("2", "0.5", "must be whole seconds, 1 to 255, with VRRP_VERSION=2"),
        ("3", "50", "must be 0.01 to 40.95 seconds with VRRPv3, which this router uses"),
        ("3", "41", "must be 0.01 to 40.95 seconds with VRRPv3, which this router uses"),
    ] {
        let outcome = with(&[("ADVERT_INT", value), ("VRRP_VERSION", version)]);
        assert_eq!(problems(outcome), [format!("ADVERT_INT={value}  {why}")]);
    }
    for (value, centiseconds) in [("0.01", 1), ("40.95", 4_095), ("1", 100)] {
        let router = router(with(&[("ADVERT_INT", value), ("VRRP_VERSION", "3")]));
        assert_eq!(router.protocol.interval.centiseconds(), centiseconds);
        assert_eq!(router.protocol.version, Version::V3);
    }
    assert_eq!(router(with(&[("ADVERT_INT", "255")])).protocol.version, Version::V2);
}

#[test]
fn a_fractional_interval_makes_it_version_3_and_says_so() {
    let outcome = with(&[("ADVERT_INT", "0.2")]);
    assert_eq!(
        warnings(outcome.clone()),
        ["ADVERT_INT of 0.2 s needs VRRPv3, which this router uses; all nodes must use the same version"]
    );
    assert_eq!(outcome.unwrap().0.routers[0].protocol.version, Version::V3);
}

#[test]
fn vrrp_version_is_2_or_3() {
    for value in ["1", "v3", "2.0"] {
        refused("VRRP_VERSION", value, "must be 2, 3 or auto");
    }
    assert_eq!(router(with(&[("VRRP_VERSION", "2")])).protocol.version, Version::V2);
    assert_eq!(router(with(&[("VRRP_VERSION", "Auto")])).protocol.version, Version::V2);
}

#[test]
fn v3_checksum_is_one_of_two() {
    refused("V3_CHECKSUM", "rfc5798", "must be pseudo-header or rfc9568");
    let checksum = |value| router(with(&[("V3_CHECKSUM", value), ("VRRP_VERSION", "3")])).protocol.checksum;
    assert_eq!(checksum("RFC9568"), V3Checksum::Message);
    assert_eq!(checksum("pseudo-header"), V3Checksum::PseudoHeader);
    assert_eq!(
        warnings(with(&[("V3_CHECKSUM", "rfc9568")])),
        ["V3_CHECKSUM has no effect: no router here uses VRRPv3 over IPv4"]
    );
}

const SECRET: &str = "hunter2-and-more";

/// AU-02: of a longer one, as much as an advert holds is sent.
#[test]
fn of_a_password_8_bytes_count_and_it_is_in_no_message() {
    let outcome = with(&[("AUTH_PASS", SECRET)]);
    assert!(!format!("{outcome:?}").contains("hunter2"));
    assert_eq!(outcome.unwrap().0.routers[0].protocol.auth.unwrap().octets(), *b"hunter2-");
    let bad = Ok(&b"hunter2\n\n"[..]);
    let outcome = with_file(&[("AUTH_PASS_FILE", "/run/value")], bad);
    assert!(!format!("{outcome:?}").contains("hunter2"));
    assert_eq!(
        problems(outcome),
        ["AUTH_PASS  must not contain a line break or another control character (read from /run/value)"]
    );
    let both = with(&[("AUTH_PASS", SECRET), ("AUTH_PASS_FILE", "/run/value")]);
    assert!(!format!("{both:?}").contains("hunter2"));
    let second = with(&[("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52"), ("AUTH_PASS_2", SECRET)]);
    assert!(!format!("{second:?}").contains("hunter2"));
    assert!(warnings(second)[0].starts_with("AUTH_PASS_2 is longer than 8 bytes"));
}

#[test]
fn a_good_password_is_kept_byte_by_byte_and_not_shown() {
    let outcome = with(&[("AUTH_PASS", " pass w ")]);
    assert!(!format!("{outcome:?}").contains("pass w"));
    assert_eq!(router(outcome).protocol.auth.unwrap().octets(), *b" pass w ");
    let file = with_file(&[("AUTH_PASS_FILE", "/run/value")], Ok(b"d0cker\n"));
    assert_eq!(router(file).protocol.auth.unwrap().octets(), *b"d0cker\0\0");
    assert_eq!(router(with(&[])).protocol.auth, None);
}

/// AU-05: version 3 has no authentication.
#[test]
fn a_password_with_version_3_is_ignored_with_a_warning() {
    let outcome = with(&[("AUTH_PASS", "d0cker"), ("VRRP_VERSION", "3")]);
    assert_eq!(warnings(outcome.clone()), ["AUTH_PASS is not used for IPv4: VRRPv3 has no authentication"]);
    assert_eq!(outcome.unwrap().0.routers[0].protocol.auth, None);
}

#[test]
fn preempt_delay_is_seconds_up_to_1000() {
    for value in ["-1", "1000.1", "a minute"] {
        refused("PREEMPT_DELAY", value, "must be 0 to 1000 seconds");
    }
    let delay = |value| router(with(&[("PREEMPT_DELAY", value)])).protocol.preempt_delay;
    assert_eq!((delay("0"), delay("2.5")), (Duration::ZERO, Duration::from_millis(2_500)));
    assert_eq!(delay("1000"), Duration::from_secs(1_000));
    assert_eq!(
        warnings(with(&[("PREEMPT_DELAY", "5"), ("PREEMPT", "false")])),
        ["PREEMPT_DELAY has no effect with PREEMPT=false"]
    );
}

#[test]
fn no_preemption_with_a_weight_is_a_warning_with_the_fix() {
    let checked = |weight, preempt, priority| {
        let vars =
            [("CHECK_WEIGHT", weight), ("PREEMPT", preempt), ("PRIORITY", priority), ("SERVICE", "haproxy")];
        warnings(with(&vars))
    };
    for weight in ["2", "-20"] {
        assert_eq!(
            checked(weight, "false", "100"),
            [format!(
                "PREEMPT is false, so CHECK_WEIGHT {weight} never moves the address: no backup replaces a live \
                 master, no matter how low its priority drops; set CHECK_WEIGHT=0 to release the address when a check fails, or PREEMPT=true"
            )]
        );
    }
    assert_eq!(checked("0", "false", "100"), [""; 0]);
    assert_eq!(checked("2", "true", "100"), [""; 0]);
    assert_eq!(
        checked("2", "false", "255").len(),
        1,
        "an owner's priority never changes: one warning is enough"
    );
}

#[test]
fn unicast_peers_are_hosts_each_once() {
    let router = router(with(&[("UNICAST_PEERS", "10.0.0.11, 10.0.0.12\n")]));
    assert_eq!(
        router.protocol.peers,
        ["10.0.0.11", "10.0.0.12"].map(|a| a.parse::<std::net::IpAddr>().unwrap())
    );
    assert_eq!(router.unicast_source, None);
    let peer = |value, why| refused("UNICAST_PEERS", value, why);
    for value in ["node2", "10.0.0.11/24", "fe80::1%eth0", "10.0.0.11:112"] {
        peer(value, "must be an IP address such as 10.0.0.11 or fd00::11");
    }
    peer("224.0.0.18", "must be the address of one host, but this is a multicast group");
    peer("ff02::12", "must be the address of one host, but this is a multicast group");
    peer("0.0.0.0", "must be the address of one host, but this is in the unspecified network 0.0.0.0/8");
    peer("::", "must be the address of one host, but this is the unspecified address");
    peer(",", "contains no address");
    peer("fd00::11", "contains no IPv4 address, which VIP needs");
    assert_eq!(
        warnings(with(&[("UNICAST_PEERS", "10.0.0.11 fd00::11 10.0.0.11")])),
        [
            "UNICAST_PEERS lists 10.0.0.11 twice",
            "UNICAST_PEERS fd00::11 is ignored: VIP has only IPv4 addresses"
        ]
    );
}

#[test]
fn a_virtual_address_among_the_peers_is_a_warning_unless_we_own_it() {
    let warned = ["UNICAST_PEERS 10.0.0.2 is in VIP: no advert is sent to it; list the nodes' own addresses"];
    let peers = ("UNICAST_PEERS", "10.0.0.11 10.0.0.2 10.0.0.12");
    assert_eq!(warnings(with(&[peers])), warned);
    assert_eq!(warnings(with(&[peers, ("PRIORITY", "255")])), [""; 0]);
    let protocol = &with(&[peers]).unwrap().0.routers[0].protocol;
    let sent: Vec<_> = protocol.destinations([10, 0, 0, 11].into()).map(|to| to.to_string()).collect();
    assert_eq!(sent, ["10.0.0.12"]);
    assert_eq!(protocol.peers.len(), 3, "adverts of an owner, which has it as its own, are accepted");
}

#[test]
fn unicast_src_ip_is_one_address_of_the_family() {
    let from = |source| with(&[("UNICAST_PEERS", "10.0.0.11"), ("UNICAST_SRC_IP", source)]);
    assert_eq!(router(from("10.0.0.12")).unicast_source, Some([10, 0, 0, 12].into()));
    assert_eq!(router(from("auto")).unicast_source, None);
    for (value, why) in [
        ("eth0", "must be an IP address such as 10.0.0.11 or fd00::11"),
        ("127.0.0.1", "must be the address of one host, but this is a loopback address"),
        ("10.0.0.12 10.0.0.13", "contains more than one IPv4 address"),
    ] {
        assert_eq!(problems(from(value)), [format!("UNICAST_SRC_IP={value}  {why}")]);
    }
    assert_eq!(
        warnings(from("fd00::12")),
        ["UNICAST_SRC_IP fd00::12 is ignored: VIP has only IPv4 addresses"]
    );
    assert_eq!(
        warnings(with(&[("UNICAST_SRC_IP", "10.0.0.12")])),
        ["UNICAST_SRC_IP has no effect without UNICAST_PEERS"]
    );
}

#[test]
fn track_interface_is_a_list_of_names() {
    let track = router(with(&[("TRACK_INTERFACE", "eth1, eth2")])).track;
    assert_eq!(*track, ["eth1", "eth2"]);
    refused(
        "TRACK_INTERFACE",
        "eth1/0",
        "must be an interface name: 1 to 15 bytes, or an altname of up to 127, without slash, colon, space or quotes",
    );
    refused("TRACK_INTERFACE", ",", "contains no interface");
    assert_eq!(warnings(with(&[("TRACK_INTERFACE", "eth1 eth1")])), ["TRACK_INTERFACE lists eth1 twice"]);
}

#[test]
fn vip_excluded_is_written_like_vip_in_either_family() {
    let router = router(with(&[("VIP_EXCLUDED", "10.0.0.3/24 dev eth1, fd00::3")]));
    let excluded: Vec<_> = router.excluded.iter().map(ToString::to_string).collect();
    assert_eq!(excluded, ["10.0.0.3/24 dev eth1", "fd00::3/128"]);
    assert_eq!(router.protocol.addresses.len(), 1);
    refused("VIP_EXCLUDED", "10.0.0.300", "is not an address such as 10.0.0.2, 10.0.0.2/24 or fd00::2");
    refused("VIP_EXCLUDED", ",", "contains no address");
    refused("VIP_EXCLUDED", "10.0.0.2", "is also in VIP: an address can be used only once");
}

#[test]
fn one_advert_must_carry_the_whole_vip() {
    let list = |n: u16, prefix: &str| (1..=n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join(" ");
    assert_eq!(router(with(&[("VIP", &list(255, "10.0.1."))])).addresses.len(), 255);
    let v6 = format!("fe80::1 {}", list(90, "fd00::"));
    assert_eq!(
        problems(with(&[("VIP", &v6)])),
        ["VIP=91 IPv6 addresses  are more than the 90 that fit in one advert; move the rest to VIP_EXCLUDED"]
    );
    let v4 = format!("10.0.2.1 {}", list(255, "10.0.1."));
    assert_eq!(
        problems(with(&[("VIP", &v4)])),
        [
            "VIP=256 IPv4 addresses  are more than the 255 that fit in one advert; move the rest to VIP_EXCLUDED"
        ]
    );
}

#[test]
fn notify_is_a_program_and_its_arguments() {
    let notify = |value| router(with(&[("NOTIFY", value)])).notify.any.unwrap();
    assert_eq!(*notify("/notify"), ["/notify"]);
    assert_eq!(*notify(" /bin/notify  -v\ta,b "), ["/bin/notify", "-v", "a,b"]);
    assert_eq!(router(with(&[])).notify, NotifyConfig::default());
    for value in ["notify.sh", "./notify", "~/notify"] {
        refused("NOTIFY", value, "must begin with the absolute path of a program, such as /notify");
    }
    refused(
        "NOTIFY",
        "/bin/sh -c 'echo'",
        "contains quotes, but does not run in a shell: arguments are split only at white space",
    );
}

#[test]
fn each_state_may_have_a_program_of_its_own_before_that_of_all() {
    let vars = [("NOTIFY", "/any"), ("NOTIFY_MASTER", "/master -m"), ("NOTIFY_STOP", "/stop")];
    let notify = router(with(&vars)).notify;
    let on = |role| notify.on(role).map(|program| program.join(" ")).collect::<Vec<_>>();
    assert_eq!(on(Role::Master), ["/master -m", "/any"]);
    assert_eq!(on(Role::Init), ["/stop", "/any"]);
    assert_eq!((on(Role::Backup), on(Role::Fault)), (vec!["/any".to_owned()], vec!["/any".to_owned()]));
}

#[test]
fn a_check_script_is_a_program_and_never_a_command_of_a_shell() {
    let script = |vars: &[(&str, &str)]| router(with(vars)).check.map(|check| check.script.clone().unwrap());
    assert_eq!(script(&[("CHECK_SCRIPT", " /check.sh  -v ")]).unwrap().join(","), "/check.sh,-v");
    for value in ["check.sh", "'/check.sh'x", "curl localhost"] {
        assert!(!problems(with(&[("CHECK_SCRIPT", value)])).is_empty(), "{value}");
    }
    for (value, c) in [("/a | /b", '|'), ("/a && /b", '&'), ("/a > /b", '>'), ("/a $X", '$'), ("/a; /b", ';')]
    {
        let why = format!(
            "contains {c}, but does not run in a shell: put the commands into a file that begins with #!, and set its path"
        );
        refused("CHECK_SCRIPT", value, &why);
    }
    // Under another image's names, such a value is no reason not to start.
    let image = |name, value| only(&[("VIRTUAL_IP", "10.0.0.2"), ("VRID", "51"), (name, value)]);
    for (name, value) in
        [("CHECK_SCRIPT", "iptables -nL | grep :80"), ("OPENSHIFT_HA_CHECK_SCRIPT", "curl a")]
    {
        let outcome = image(name, value);
        assert!(router_ignoring_warnings(outcome.clone()).check.is_none(), "{name}");
        let expected = format!(
            "{name} needs a shell and is not run: put the commands into a file that begins with #!, and set CHECK_SCRIPT to \
             its path"
        );
        assert!(warnings(outcome).contains(&expected), "{name}");
    }
    let check = router_ignoring_warnings(image("CHECK_SCRIPT_PATH", "/check.sh")).check.unwrap();
    assert_eq!(**check.script.as_ref().unwrap(), ["/check.sh"]);
}

#[test]
fn garp_refresh_is_off_or_seconds() {
    let refresh = |value| router(with(&[("GARP_REFRESH", value)])).protocol.refresh;
    assert_eq!((refresh("0"), refresh("60")), (None, Some(Duration::from_mins(1))));
    for value in ["0.5", "86401", "-1", "off"] {
        refused("GARP_REFRESH", value, "must be 1 to 86400 seconds, or 0 for never");
    }
}

#[test]
fn ports_and_pages_are_checks_without_any_service() {
    let vars = [("CHECK_TCP", "localhost:80 [::1]:443"), ("CHECK_HTTP", "http://127.0.0.1/up")];
    let check = router(with(&vars)).check.unwrap();
    assert_eq!(check.services, [""; 0]);
    assert_eq!(check.tcp, ["127.0.0.1:80", "[::1]:443"].map(|a| a.parse().unwrap()));
    assert_eq!((&*check.http[0].path, &*check.http[0].host), ("/up", "127.0.0.1"));
    let more = [("CHECK_HTTP_HOST", "www.example.org"), ("CHECK_HTTP_STATUS", "200-299,301")];
    let check = router(with(&[&vars[..], &more].concat())).check.unwrap();
    assert_eq!((&*check.http[0].host, &check.statuses[..]), ("www.example.org", &[200..=299, 301..=301][..]));
    let without = with(&[("SERVICE", "a"), more[1]]);
    assert_eq!(warnings(without), ["CHECK_HTTP_STATUS has no effect without CHECK_HTTP"]);
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(1), Duration::from_secs(1)));
    for (name, value, why) in [
        (
            "CHECK_TCP",
            "web:80",
            "must be host:port, such as 127.0.0.1:80, [::1]:80 or localhost:80; other names are not resolved",
        ),
        ("CHECK_TCP", ",", "contains no host:port"),
        (
            "CHECK_HTTP",
            "https://localhost/",
            "uses https, which is not supported: check a page over plain http, or the port with CHECK_TCP",
        ),
        ("CHECK_HTTP", ",", "contains no URL"),
    ] {
        refused(name, value, why);
    }
    assert_eq!(
        warnings(with(&[("CHECK_TCP", "localhost:80 127.0.0.1:80"), ("SERVICE", "a a")])),
        ["SERVICE lists a twice", "CHECK_TCP lists 127.0.0.1:80 twice"]
    );
}

#[test]
fn check_timeout_is_the_interval_unless_set() {
    let vars = |name, value| with(&[("CHECK_TCP", "localhost:80"), ("CHECK_INTERVAL", "3"), (name, value)]);
    let timeout = |outcome| router(outcome).check.unwrap().timeout;
    assert_eq!(timeout(vars("CHECK_TIMEOUT", "")), Duration::from_secs(3));
    assert_eq!(timeout(vars("CHECK_TIMEOUT", "0.2")), Duration::from_millis(200));
    assert_eq!(problems(vars("CHECK_TIMEOUT", "0")), ["CHECK_TIMEOUT=0  must be 0.001 to 86400 seconds"]);
    assert_eq!(
        warnings(with(&[("SERVICE", "haproxy"), ("CHECK_TIMEOUT", "1")])),
        ["CHECK_TIMEOUT has no effect: it applies to CHECK_TCP, CHECK_HTTP, CHECK_DNS and CHECK_SCRIPT only"]
    );
}
