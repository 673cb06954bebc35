//! Which variables a reload finds changed.

use super::*;

fn config(vars: &[(&str, &str)]) -> EffectiveTexts {
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    EffectiveTexts::read(vars, |_| Err(ErrorKind::NotFound.into())).unwrap()
}

const BEFORE: [(&str, &str); 5] = [
    ("VIP", "10.0.0.2"),
    ("VIRTUAL_ROUTER", "51"),
    ("SERVICE", "haproxy"),
    ("CHECK_TCP", "localhost:80"),
    ("UNICAST_PEERS", "10.0.0.11"),
];

/// Another value for every variable.
const AFTER: [(&str, &str); 39] = [
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
    ("LIFELINE", "false"),
    ("LIFELINE_PORT", "9113"),
    ("VIP_LEASE", "60"),
    ("ADDRESS_GUARD", "off"),
    ("GARP_REFRESH", "60"),
    ("INSTANCE_NAME", "web"),
    ("NOTIFY", "/notify"),
    ("PROGRAM_USER", "1000"),
    ("PROGRAM_ENV", "WEBHOOK_URL"),
    ("SANDBOX", "off"),
    ("COMPAT", "osixia"),
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
