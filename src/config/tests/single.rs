//! Single variables in an environment that is invalid otherwise, and which names are secrets.

use super::*;

/// Invalid: no address, no number, and a priority that is none.
const INVALID: (&str, &str) = ("PRIORITY", "high");

fn socket(vars: &[(&str, &str)]) -> Option<PathBuf> {
    let vars = os(&[&[INVALID], vars].concat());
    assert!(Config::from_environment(vars.clone(), |_| Ok(vec![])).is_err());
    status_socket(vars, |path| Ok([path.as_os_str().as_encoded_bytes(), b".sock\n"].concat()))
}

fn on(vars: &[(&str, &str)]) -> Vec<InterfaceChoice> {
    let vars = os(&[&[INVALID], vars].concat());
    assert!(Config::from_environment(vars.clone(), |_| Ok(vec![])).is_err());
    interfaces(vars, |_| Ok(b"eth7\n".to_vec()))
}

fn named(name: &str) -> InterfaceChoice {
    InterfaceChoice::Named(name.into())
}

#[test]
fn the_status_socket_is_found_in_an_invalid_environment() {
    let default = Some("/run/vrrp-init.sock".into());
    assert_eq!(socket(&[]), default);
    assert_eq!(socket(&[("STATUS_SOCKET", "/run/x.sock")]), Some("/run/x.sock".into()));
    assert_eq!(socket(&[("KEEPALIVED_STATUS_SOCKET", "/run/x.sock")]), Some("/run/x.sock".into()));
    assert_eq!(socket(&[("STATUS_SOCKET_FILE", "/run/x")]), Some("/run/x.sock".into()));
    assert_eq!(socket(&[("STATUS_SOCKET", "off")]), None);
    assert_eq!(socket(&[("STATUS_SOCKET", "run/x.sock")]), default, "the daemon refuses it too");
}

#[test]
fn the_drain_file_is_found_in_an_invalid_environment_and_is_not_the_file_of_another_variable() {
    let file = |vars: &[(&str, &str)]| {
        let vars = os(&[&[INVALID], vars].concat());
        drain_file(vars, |path| Ok([path.as_os_str().as_encoded_bytes(), b".drain\n"].concat()))
    };
    assert_eq!(file(&[]), Some("/run/vrrp-init.drain".into()));
    for name in ["DRAIN_FILE", "KEEPALIVED_DRAIN_FILE"] {
        assert_eq!(file(&[(name, "/run/x")]), Some("/run/x".into()), "{name}");
        assert_eq!(file(&[(&format!("{name}_FILE"), "/run/x")]), Some("/run/x.drain".into()), "{name}");
    }
    assert_eq!(file(&[("DRAIN_FILE", "off")]), None);
}

#[test]
fn the_interfaces_are_found_in_an_invalid_environment() {
    assert_eq!(on(&[]), [InterfaceChoice::Auto]);
    for name in ["INTERFACE", "IFACE", "KEEPALIVED_INTERFACE", "VRRP_INTERFACE"] {
        assert_eq!(on(&[(name, "eth7")]), [named("eth7")], "{name}");
    }
    assert_eq!(on(&[("INTERFACE_FILE", "/run/x")]), [named("eth7")]);
    assert_eq!(on(&[("KEEPALIVED_INTERFACE_FILE", "/run/x")]), [named("eth7")]);
    let two = [("VIP", "10.0.0.2"), ("INTERFACE", "eth7"), ("VIP_2", "10.0.0.3"), ("IFACE_2", "eth8")];
    assert_eq!(on(&two), [named("eth7"), named("eth8")]);
}

#[test]
fn the_password_is_secret_by_every_name_of_it_and_those_of_others_are_not() {
    let ours = "AUTH_PASS AUTH_PASS_2 AUTH_PASS_2_FILE KEEPALIVED_AUTH_PASS KEEPALIVED_AUTH_PASS_3 AUTH_PASSWORD \
                VRRP_AUTH_PASS KEEPALIVED_PASSWORD KEEPALIVED_PASSWORD_FILE PASSWORD PASS PASS_FILE \
                AUTH_PASS_FILE_2 AUTH_PASS_02 AUTH_PASSWD PASSWORD_0 PASSWORD_2_FILE VRRP_AUTH_PASS_2";
    for name in ours.split_whitespace() {
        assert!(!is_passed_on(name.as_ref(), &[name.to_owned()]), "{name}");
    }
    for name in [
        "PATH",
        "SMTP_PASSWORD",
        "PASSWORDS",
        "PASSED",
        "KEEPALIVED_PRIORITY",
        "VRRP_ID",
        "AUTH_TYPE",
        "VRID",
    ] {
        assert!(is_passed_on(name.as_ref(), &[name.to_owned()]), "{name}");
    }
}

#[test]
fn programs_get_what_is_usual_and_ours_and_what_is_asked_for() {
    let passed_on = |name: &str| is_passed_on(name.as_ref(), &["WEBHOOK_URL".to_owned()]);
    for name in
        ["PATH", "LC_ALL", "TZ", "VIP", "PRIORITY_2", "VIP_FILE", "KEEPALIVED_PRIORITY", "WEBHOOK_URL"]
    {
        assert!(passed_on(name), "{name}");
    }
    for name in ["WEBHOOK_URL_2", "DB_PASSWORD", "LD_PRELOAD", "BASH_ENV", "KUBERNETES_PORT", "PRIORITI"] {
        assert!(!passed_on(name), "{name}");
    }
}
