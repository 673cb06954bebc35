//! Several virtual routers: both families in one list, suffixes, what is inherited and what must differ.

use super::*;

fn routers(outcome: Outcome) -> Vec<RouterConfig> {
    outcome.unwrap().0.routers
}

/// What `router` holds on its interface.
fn held(router: &RouterConfig) -> Vec<String> {
    router.addresses.iter().map(ToString::to_string).collect()
}

const MIXED: (&str, &str) = ("VIP", "fe80::2 10.0.0.2/24, fd00::2/64");
const SECOND: [(&str, &str); 2] = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52")];

/// `vars` over two routers.
fn two(vars: &[(&str, &str)]) -> Outcome {
    with(&[&SECOND, vars].concat())
}

#[test]
fn a_link_local_address_tells_no_interface() {
    let subnet_hint = |vip| routers(with(&[("VIP", vip)])).remove(0).subnet_hint.to_string();
    assert_eq!(
        (subnet_hint("fe80::2 fd00::2").as_str(), subnet_hint("fe80::2").as_str()),
        ("fd00::2", "fe80::2")
    );
}

/// TX-12: an advert has one family, a list may have two.
#[test]
fn a_mixed_list_is_two_routers_of_one_number_that_move_together() {
    let outcome = with(&[MIXED, ("AUTH_PASS", "d0cker"), ("VIP_EXCLUDED", "fd00::3 10.0.0.3")]);
    assert_eq!(
        warnings(outcome.clone()),
        [
            "VIP contains IPv6 addresses: they use VRRPv3",
            "AUTH_PASS is not used for IPv6: VRRPv3 has no authentication"
        ]
    );
    assert_eq!(outcome.clone().unwrap().1[0].level, log::Level::Info);
    let routers = routers(outcome);
    let [v4, v6] = &routers[..] else { panic!("{routers:?}") };
    assert_eq!((v4.number, v6.number), (1, 1));
    assert_eq!((v4.subnet_hint, v6.subnet_hint), (v4.addresses[0].address, v4.addresses[0].address));
    assert_eq!((&*v4.name, &*v6.name), ("VI_1", "VI_1_v6"));
    assert_eq!((v4.protocol.vrid, v4.protocol.version), (v6.protocol.vrid, Version::V2));
    assert_eq!((v6.protocol.version, v6.protocol.interval), (Version::V3, Interval::DEFAULT));
    assert_eq!(held(v4), ["10.0.0.2/24"]);
    assert_eq!(held(v6), ["fe80::2/128", "fd00::2/64"]);
    assert_eq!((v4.excluded[0].prefix, v6.excluded[0].prefix), (32, 128));
    assert!(v4.protocol.auth.is_some() && v6.protocol.auth.is_none());
    assert_eq!(v4.check, v6.check);
}

#[test]
fn ipv6_alone_keeps_the_name_and_may_carry_excluded_ipv4() {
    let outcome = with(&[("VIP", "fe80::2"), ("VRRP_VERSION", "3"), ("VIP_EXCLUDED", "10.0.0.3")]);
    let router = router(outcome);
    assert_eq!((&*router.name, router.family()), ("VI_1", crate::vrrp::Family::V6));
    assert_eq!(router.excluded.len(), 1);
}

/// TX-11: not refused, since keepalived and FRR send such lists too and the pair must agree.
#[test]
fn a_first_ipv6_address_that_is_not_link_local_is_a_warning() {
    assert_eq!(
        warnings(with(&[("VIP", "fd00::2"), ("VRRP_VERSION", "3")])),
        ["VIP fd00::2: the first IPv6 address should be link-local, such as fe80::2 (RFC 9568 §5.2.9)"]
    );
}

#[test]
fn version_2_and_a_long_interval_cannot_carry_ipv6() {
    let why = "does not support the IPv6 addresses in VIP; unset it to use VRRPv3";
    assert_eq!(problems(with(&[MIXED, ("VRRP_VERSION", "2")])), [format!("VRRP_VERSION=2  {why}")]);
    assert_eq!(
        problems(with(&[MIXED, ("ADVERT_INT", "60")])),
        ["ADVERT_INT=60  must be 0.01 to 40.95 seconds with VRRPv3, which this router uses"]
    );
    let fast = routers(with(&[MIXED, ("ADVERT_INT", "0.5")]));
    assert!(fast.iter().all(|router| router.protocol.version == Version::V3));
    let both = routers(with(&[MIXED, ("VRRP_VERSION", "3")]));
    assert!(both.iter().all(|router| router.protocol.version == Version::V3));
}

#[test]
fn peers_and_source_go_to_the_router_of_their_family() {
    let outcome =
        with(&[MIXED, ("UNICAST_PEERS", "10.0.0.11 fd00::11"), ("UNICAST_SRC_IP", "fd00::12, 10.0.0.12")]);
    let routers = routers(outcome);
    let speaks = |router: &RouterConfig| (router.protocol.peers[0].to_string(), router.unicast_source);
    assert_eq!(speaks(&routers[0]), ("10.0.0.11".into(), Some([10, 0, 0, 12].into())));
    assert_eq!(speaks(&routers[1]), ("fd00::11".into(), Some("fd00::12".parse().unwrap())));
    assert_eq!(
        problems(with(&[MIXED, ("UNICAST_PEERS", "10.0.0.11")])),
        ["UNICAST_PEERS=10.0.0.11  contains no IPv6 address, which VIP needs"]
    );
}

#[test]
fn a_suffix_is_a_further_router_that_inherits_what_it_does_not_say() {
    let vars = [("PRIORITY", "7"), ("PRIORITY_3", "8"), ("SERVICE", "haproxy"), ("VIP_EXCLUDED", "10.0.0.9")];
    let third = [("VIP_30", "10.0.0.4"), ("VIRTUAL_ROUTER_30", "51"), ("INTERFACE_30", "eth1")];
    let all = [&SECOND[..], &vars[..2], &vars[2..], &third[..]].concat();
    let all: Vec<_> = all.into_iter().filter(|(name, _)| *name != "PRIORITY_3").collect();
    let routers = routers(with(&[&all[..], &[("PRIORITY_30", "8"), ("INSTANCE_NAME_30", "web")]].concat()));
    let seen: Vec<_> = routers
        .iter()
        .map(|r| (r.number, &*r.name, r.protocol.vrid.octet(), r.protocol.priority.octet(), r.excluded.len()))
        .collect();
    assert_eq!(seen, [(1, "VI_1", 51, 7, 1), (2, "VI_2", 52, 7, 0), (30, "web", 51, 8, 0)]);
    assert!(routers.iter().all(|router| router.check.is_some()));
}

#[test]
fn a_file_may_hold_the_value_of_a_further_router() {
    let vars = [&SECOND[..], &[("AUTH_PASS", "first"), ("AUTH_PASS_2_FILE", "/run/value")]].concat();
    let routers = routers(with_file(&vars, Ok(b"second\n")));
    let passwords: Vec<_> = routers.iter().map(|r| r.protocol.auth.unwrap().octets()).collect();
    assert_eq!(passwords, [*b"first\0\0\0", *b"second\0\0"]);
    assert_eq!(
        problems(two(&[("PRIORITY_2", "1"), ("PRIORITY_2_FILE", "/run/value")])),
        ["PRIORITY_2_FILE=/run/value  PRIORITY_2 is also set; keep one of them"]
    );
    let wrong = [&SECOND[..], &[("PRIORITY_2_FILE", "/run/value")]].concat();
    assert_eq!(
        problems(with_file(&wrong, Ok(b"0\n"))),
        ["PRIORITY_2=0  must be 1 to 254, or 255 for the address owner (read from /run/value)"]
    );
}

#[test]
fn a_further_router_needs_its_own_address_and_number() {
    assert_eq!(
        problems(with(&[("PRIORITY_2", "8")])),
        [
            "VIP_2  is required, because PRIORITY_2 is set: the virtual addresses, such as 10.0.0.2/24",
            "VIRTUAL_ROUTER_2  is required, because PRIORITY_2 is set: the number that all nodes of one virtual \
             router share, 1 to 255"
        ]
    );
}

#[test]
fn the_numbers_may_begin_anywhere() {
    let vars = [("VIP_4", "10.0.0.4"), ("VIRTUAL_ROUTER_4", "54"), ("PRIORITY", "9")];
    let router = router(read(os(&vars), no_file));
    assert_eq!((router.number, &*router.name, router.protocol.priority.octet()), (4, "VI_4", 9));
    assert_eq!(
        problems(read(os(&[&vars[..], &[("VIP", "10.0.0.5")]].concat()), no_file)),
        ["VIRTUAL_ROUTER  is required: the number that all nodes of one virtual router share, 1 to 255"]
    );
}

#[test]
fn an_inherited_mistake_is_one_problem_and_its_own_is_named_with_the_suffix() {
    assert_eq!(
        problems(two(&[("PRIORITY", "0")])),
        ["PRIORITY=0  must be 1 to 254, or 255 for the address owner"]
    );
    assert_eq!(
        problems(two(&[("PRIORITY_2", "0")])),
        ["PRIORITY_2=0  must be 1 to 254, or 255 for the address owner"]
    );
    assert_eq!(
        warnings(two(&[("ADVERT_INT", "0.2")])),
        ["ADVERT_INT of 0.2 s needs VRRPv3, which this router uses; all nodes must use the same version"]
    );
}

#[test]
fn what_only_another_router_uses_is_no_warning() {
    assert_eq!(warnings(two(&[("CHECK_FALL", "2"), ("SERVICE_2", "haproxy")])), [""; 0]);
    assert_eq!(
        warnings(two(&[("CHECK_FALL_2", "2")])),
        [
            "CHECK_FALL_2 has no effect: nothing is checked without SERVICE, CHECK_TCP, CHECK_HTTP, CHECK_DNS or CHECK_SCRIPT"
        ]
    );
}

#[test]
fn what_concerns_the_process_takes_no_suffix() {
    assert_eq!(
        warnings(with(&[("LOG_LEVEL_2", "debug"), ("VIP_1", "x"), ("PRIORITY_10000", "1")])),
        [
            "LOG_LEVEL_2 is not a variable of vrrp-init; did you mean LOG_LEVEL?",
            "VIP_1 is not a variable of vrrp-init; did you mean VIP?"
        ]
    );
}

#[test]
fn two_routers_may_not_have_one_number_on_one_interface() {
    assert_eq!(
        problems(two(&[("VIRTUAL_ROUTER_2", "51"), ("INTERFACE", "eth0")])),
        ["VIRTUAL_ROUTER_2=51  equals VIRTUAL_ROUTER: the IPv4 routers on eth0 must have different VRIDs"]
    );
    assert_eq!(
        problems(two(&[("VIRTUAL_ROUTER_2", "51")])),
        ["VIRTUAL_ROUTER_2=51  equals VIRTUAL_ROUTER: the IPv4 routers on one interface must have \
             different VRIDs; if they use different interfaces, set INTERFACE for each"]
    );
    let apart = [("VIRTUAL_ROUTER_2", "51"), ("INTERFACE", "eth0"), ("INTERFACE_2", "eth1")];
    assert_eq!(routers(two(&apart)).len(), 2);
    let other_family = [("VIRTUAL_ROUTER_2", "51"), ("VIP_2", "fe80::2"), ("VRRP_VERSION_2", "3")];
    assert_eq!(routers(two(&other_family)).len(), 2);
}

#[test]
fn an_address_belongs_to_one_router() {
    let why = "an address can be used only once";
    assert_eq!(
        problems(two(&[("VIP_2", "10.0.0.2/24")])),
        [format!("VIP_2=10.0.0.2  is also in VIP: {why}")]
    );
    assert_eq!(
        problems(two(&[("VIP_EXCLUDED_2", "10.0.0.2")])),
        [format!("VIP_EXCLUDED_2=10.0.0.2  is also in VIP: {why}")]
    );
    let link_local = |interface| {
        two(&[
            ("VIP", "fe80::2"),
            ("VIP_2", "fe80::2"),
            ("VRRP_VERSION", "3"),
            ("INTERFACE", "eth0"),
            ("INTERFACE_2", interface),
        ])
    };
    assert_eq!(routers(link_local("eth1")).len(), 2);
    assert_eq!(problems(link_local("eth0")), [format!("VIP_2=fe80::2  is also in VIP: {why}")]);
}

#[test]
fn a_name_belongs_to_one_router() {
    assert_eq!(
        problems(two(&[("INSTANCE_NAME", "VI_2")])),
        ["INSTANCE_NAME_2=VI_2  equals INSTANCE_NAME: every router needs a unique name"]
    );
}

/// What the scale of a thousand routers on a few interfaces looks like.
fn thousand() -> Vec<(OsString, OsString)> {
    let mut vars = os(&[("PRIORITY", "100"), ("SERVICE", "haproxy"), ("CHECK_WEIGHT", "2")]);
    for n in 0..1_000_u16 {
        let mut set = |name: &str, value: String| vars.push((full_name(name, n + 1).into(), value.into()));
        set("VIP", format!("10.{}.{}.{}/24", n / 200, n / 100, n % 100 + 1));
        set("VIRTUAL_ROUTER", (n % 200 + 1).to_string());
        set("INTERFACE", format!("eth{}", n / 200));
    }
    // As the kernel hands it over: in no order of ours.
    vars.reverse();
    vars
}

#[test]
fn a_thousand_routers_are_read_at_once() {
    let (config, warnings) = read(thousand(), no_file).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.routers.len(), 1_000);
    assert_eq!(&*config.routers[999].name, "VI_1000");
    let before = EffectiveTexts::read(thousand(), no_file).unwrap();
    assert_eq!(before.changes(&before), []);
    let mut vars = thousand();
    vars.push(("PRIORITY_500".into(), "7".into()));
    let after = EffectiveTexts::read(vars, no_file).unwrap();
    assert_eq!(before.changes(&after)[0].name, "PRIORITY_500");
}
