//! Where every effective value comes from.

use super::*;

/// `number variable value origin` of those that are no default.
fn origins(vars: &[(&str, &str)]) -> Vec<String> {
    let (_, _, settings) = Config::explained(os(vars), |_| Ok(b"7\n".to_vec())).unwrap();
    let told = settings.into_iter().filter(|setting| setting.origin != "default");
    told.map(|Setting { number, variable, value, origin }| format!("{number} {variable} {value} {origin}"))
        .collect()
}

#[test]
fn every_way_to_give_a_value_is_told_from_the_others() {
    assert_eq!(
        origins(&[
            ("VIP", "10.0.0.2\n10.0.0.3"),
            ("VIRTUAL_ROUTER", "51"),
            ("NODE_PRIORITY", "8"),
            ("KEEPALIVED_INTERFACE", "eth0"),
            ("CHECK_RISE_FILE", "/run/rise"),
            ("LOG_LEVEL", "debug"),
            ("VIP_2", "10.0.0.9"),
            ("VRID_2", "52"),
            ("INTERFACE_2", "eth1"),
        ]),
        [
            "0 LOG_LEVEL debug set",
            "1 VIP 10.0.0.2\\n10.0.0.3 set",
            "1 VIRTUAL_ROUTER 51 set",
            "1 INTERFACE eth0 set as KEEPALIVED_INTERFACE",
            "1 PRIORITY 8 set as NODE_PRIORITY",
            "1 CHECK_RISE 7 CHECK_RISE_FILE: /run/rise",
            "2 VIP 10.0.0.9 set",
            "2 VIRTUAL_ROUTER 52 set as VRID_2",
            "2 INTERFACE eth1 set",
            "2 PRIORITY 8 inherited from NODE_PRIORITY",
            "2 CHECK_RISE 7 CHECK_RISE_FILE: /run/rise",
        ]
    );
}

#[test]
fn what_another_image_implies_is_named_and_a_secret_is_not_shown() {
    let osixia = [("KEEPALIVED_VIRTUAL_IPS", "10.0.0.2"), ("KEEPALIVED_PRIORITY", "9")];
    assert_eq!(
        origins(&osixia),
        [
            "1 VIP 10.0.0.2 set as KEEPALIVED_VIRTUAL_IPS",
            "1 VIRTUAL_ROUTER 51 implied by COMPAT",
            "1 PRIORITY 9 set as KEEPALIVED_PRIORITY",
            "1 PREEMPT false implied by COMPAT",
            "1 AUTH_PASS (set, not shown) implied by COMPAT",
        ]
    );
    let secret = [&osixia[..], &[("KEEPALIVED_PASSWORD", "hunter2")]].concat();
    assert!(!format!("{:?}", Config::explained(os(&secret), no_file)).contains("hunter2"));
}

#[test]
fn defaults_are_shown_as_they_hold() {
    let (_, _, settings) =
        Config::explained(os(&[("VIP_3", "10.0.0.2"), ("VRID_3", "51"), ("CHECK_INTERVAL", "2")]), no_file)
            .unwrap();
    let value = |name: &str| settings.iter().find(|setting| setting.variable == name).unwrap();
    assert_eq!(value("CHECK_TIMEOUT").value, "2");
    assert_eq!((value("INSTANCE_NAME").value.as_str(), value("INSTANCE_NAME").number), ("VI_3", 3));
    assert_eq!((value("NOTIFY").value.as_str(), value("PRIORITY").value.as_str()), ("-", "100"));
    let routers = VARIABLES.iter().filter(|variable| variable.scope != Scope::Process).count();
    assert_eq!(settings.iter().filter(|setting| setting.number == 3).count(), routers);
    assert_eq!(settings.len(), VARIABLES.len(), "the first set makes no router");
}
