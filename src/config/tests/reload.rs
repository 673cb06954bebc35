//! Which variables a reload finds changed.

use super::*;

fn config(vars: &[(&str, &str)]) -> EffectiveTexts {
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    EffectiveTexts::read(vars, |_| Ok(vec![])).unwrap()
}

fn names_of(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| &*change.name).collect()
}

fn texts_of(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

const BEFORE: [(&str, &str); 5] = [
    ("VIP", "10.0.0.2"),
    ("VIRTUAL_ROUTER", "51"),
    ("SERVICE", "haproxy"),
    ("CHECK_TCP", "localhost:80"),
    ("UNICAST_PEERS", "10.0.0.11"),
];

/// Another value for every variable.
const AFTER: [(&str, &str); 50] = [
    ("VIP", "10.0.0.3"),
    ("VIRTUAL_ROUTER", "52"),
    ("INTERFACE", "eth0"),
    ("STATE", "MASTER"),
    ("PRIORITY", "7"),
    ("SERVICE", "nginx"),
    ("CHECK_TCP", "localhost:81"),
    ("CHECK_HTTP", "http://localhost"),
    ("CHECK_HTTP_HOST", "web"),
    ("CHECK_HTTP_STATUS", "204"),
    ("CHECK_DNS", "example.com@localhost"),
    ("CHECK_SCRIPT", "/check.sh"),
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
    ("LIFELINE", "false"),
    ("LIFELINE_PORT", "9113"),
    ("VIP_LEASE", "60"),
    ("ADDRESS_GUARD", "off"),
    ("GARP_REFRESH", "60"),
    ("INSTANCE_NAME", "web"),
    ("NOTIFY", "/notify"),
    ("NOTIFY_MASTER", "/notify"),
    ("NOTIFY_BACKUP", "/notify"),
    ("NOTIFY_FAULT", "/notify"),
    ("NOTIFY_STOP", "/notify"),
    ("NOTIFY_URL", "http://10.0.0.5/"),
    ("PROGRAM_USER", "1000"),
    ("PROGRAM_ENV", "WEBHOOK_URL"),
    ("SANDBOX", "off"),
    ("COMPAT", "osixia"),
    ("ENV_FILE", "/run/empty"),
    ("DRAIN_FILE", "off"),
    ("STATUS_SOCKET", "off"),
    ("METRICS_LISTEN", ":9165"),
    ("LOG_LEVEL", "debug"),
    ("LOG_FORMAT", "json"),
];

#[test]
fn a_change_of_each_variable_is_seen_as_its_own() {
    let names: Vec<_> = AFTER.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, VARIABLES.iter().map(|variable| variable.name).collect::<Vec<_>>());
    let before = config(&BEFORE);
    assert_eq!(before.changes(&before), []);
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
        assert_eq!(names_of(&before.changes(&after)), expected);
    }
}

#[test]
fn a_router_that_comes_or_goes_differs_in_its_addresses() {
    let one = config(&BEFORE);
    let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52")];
    let two = config(&[&BEFORE[..], &second].concat());
    assert_eq!(texts_of(&one.changes(&two)), ["VIP_2 unset -> 10.0.0.3"]);
    assert_eq!(texts_of(&two.changes(&one)), ["VIP_2 10.0.0.3 -> unset"]);
    let other = config(&[&BEFORE[..], &second, &[("PRIORITY_2", "7"), ("STATE", "MASTER")]].concat());
    assert_eq!(texts_of(&two.changes(&other)), ["STATE BACKUP -> MASTER", "PRIORITY_2 100 -> 7"]);
}

fn plan(before: &[(&str, &str)], after: &[(&str, &str)]) -> Plan {
    config(before).plan(os(after), |_| Ok(vec![])).unwrap()
}

#[test]
fn each_variable_is_applied_or_waits_as_its_row_says() {
    for (name, value) in AFTER {
        let variable = VARIABLES.iter().find(|variable| variable.name == name).unwrap();
        let others = BEFORE.iter().copied().filter(|(known, _)| *known != name);
        let others: Vec<_> =
            others.chain([("NOTIFY", "/before")]).filter(|(known, _)| *known != name).collect();
        let before = [&BEFORE[..], &[("NOTIFY", "/before")]].concat();
        let plan = plan(&before, &[&others[..], &[(name, value)]].concat());
        let (now, later) = (names_of(&plan.applied), names_of(&plan.restart));
        // What it implies follows its own row.
        match (name, variable.on_change) {
            ("COMPAT", _) => assert_eq!((now, later), (vec!["PRIORITY", "PREEMPT"], vec!["AUTH_PASS"])),
            (_, OnChange::Live) => {
                assert!(now.contains(&name) && later.is_empty(), "{name}: {now:?} {later:?}");
            }
            (_, OnChange::Restart) => {
                assert!(later.contains(&name) && now.is_empty(), "{name}: {now:?} {later:?}");
            }
        }
    }
}

#[test]
fn what_needs_a_restart_keeps_its_value_and_the_rest_is_applied() {
    let vars = [("VIP", "10.0.0.3"), ("VIRTUAL_ROUTER", "52"), ("PRIORITY", "7"), ("AUTH_PASS", "d0cker")];
    let plan = plan(&BEFORE, &vars);
    let router = &plan.config.routers[0];
    assert_eq!((router.protocol.vrid.octet(), router.protocol.priority.octet()), (51, 7));
    assert_eq!((router.addresses[0].to_string(), router.protocol.auth), ("10.0.0.3/32".into(), None));
    assert_eq!(texts_of(&plan.restart), ["VIRTUAL_ROUTER 51 -> 52", "AUTH_PASS unset -> (set, not shown)"]);
    // Compared with what runs, not with what was read.
    let again = plan.texts.plan(os(&vars), |_| Ok(vec![])).unwrap();
    assert_eq!((again.applied, again.restart), (vec![], plan.restart));
}

/// The sandbox then permits programs.
#[test]
fn a_program_can_be_changed_only_if_there_was_one_at_the_start() {
    let with = |vars: &[(&'static str, &'static str)]| [&BEFORE[..], vars].concat();
    let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52")];
    let added = with(&[&second[..], &[("NOTIFY", "/one"), ("NOTIFY_2", "/two")]].concat());
    let plan_of = |before: &[_]| {
        let plan = plan(before, &added);
        (names_of(&plan.applied).join(" "), names_of(&plan.restart).join(" "))
    };
    assert_eq!(plan_of(&BEFORE), ("VIP_2".into(), "NOTIFY".into()));
    assert_eq!(plan_of(&with(&[("SANDBOX", "off")])), ("VIP_2 NOTIFY".into(), "SANDBOX".into()));
    assert_eq!(plan_of(&with(&[("NOTIFY", "/zero")])), ("VIP_2 NOTIFY".into(), String::new()));
}

#[test]
fn a_changed_password_is_not_shown() {
    let with = |pass| [&BEFORE[..], &[("AUTH_PASS", pass)]].concat();
    assert_eq!(texts_of(&plan(&with("one"), &with("two")).restart), ["AUTH_PASS (value not shown)"]);
}

#[test]
fn an_address_owner_is_made_at_the_start() {
    let with = |priority| [&BEFORE[..], &[("PRIORITY", priority)]].concat();
    for (from, to) in [("255", "7"), ("7", "255")] {
        let plan = plan(&with(from), &with(to));
        assert_eq!((texts_of(&plan.applied), names_of(&plan.restart)), (vec![], vec!["PRIORITY"]));
        assert_eq!(plan.config.routers[0].protocol.priority.to_string(), from);
    }
}

#[test]
fn routers_come_and_go_with_their_own_values() {
    let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52"), ("INSTANCE_NAME_2", "web")];
    let two = [&BEFORE[..], &second].concat();
    let plan_of = |before: &[(&str, &str)], after: &[(&str, &str)]| {
        let plan = plan(before, after);
        let names: Vec<_> = plan.config.routers.iter().map(|router| router.name.to_string()).collect();
        (names, texts_of(&plan.restart))
    };
    assert_eq!(plan_of(&BEFORE, &two), (vec!["VI_1".into(), "web".into()], vec![]));
    assert_eq!(plan_of(&two, &BEFORE), (vec!["VI_1".into()], vec![]));
    let (_, rest) = two.split_at(5);
    assert_eq!(plan_of(&two, rest), (vec!["web".into()], vec![]));
}

#[test]
fn changes_that_are_valid_only_together_wait_for_the_restart() {
    let before = [("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("VRRP_VERSION", "2")];
    let after = [("VIP", "fe80::2"), ("VIRTUAL_ROUTER", "51"), ("VRRP_VERSION", "3"), ("PRIORITY", "7")];
    let plan = plan(&before, &after);
    assert_eq!(
        (texts_of(&plan.applied), names_of(&plan.restart)),
        (vec![], vec!["VIP", "PRIORITY", "VRRP_VERSION"])
    );
    assert_eq!(plan.config.routers[0].protocol.priority.octet(), 100);
}

#[test]
fn the_document_lists_what_is_applied_at_once() {
    use crate::config::help::tests::document_holds;
    use crate::config::plan::as_markdown;
    document_holds("docs/operating.md", "live", &as_markdown(OnChange::Live));
    document_holds("docs/operating.md", "restart", &as_markdown(OnChange::Restart));
}
