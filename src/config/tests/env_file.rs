//! What `ENV_FILE` sets, and how it is refused.

use super::*;

/// The environment `vars` with the file `/env`, which contains `text`.
fn file(vars: &[(&str, &str)], text: &str) -> Outcome {
    let vars = [&[("ENV_FILE", "/env")], vars].concat();
    read(os(&vars), |path| {
        assert!([Path::new("/env"), Path::new("/priority")].contains(&path));
        Ok(if path == Path::new("/env") { text.into() } else { b"9".to_vec() })
    })
}

const REQUIRED: &str = "VIP=10.0.0.2\nVIRTUAL_ROUTER=51\n";

fn priority(vars: &[(&str, &str)], text: &str) -> u8 {
    let (config, _) = file(vars, &format!("{REQUIRED}{text}")).unwrap();
    config.routers[0].protocol.priority.octet()
}

#[test]
fn the_file_wins_over_the_environment_under_every_name() {
    for name in ["PRIORITY", "VRRP_PRIORITY", "KEEPALIVED_PRIORITY", "PRIORITY_FILE"] {
        let value = if name.ends_with("_FILE") { "/priority" } else { "5" };
        let before = if name.ends_with("_FILE") { 9 } else { 5 };
        assert_eq!(priority(&[(name, value)], ""), before);
        assert_eq!(priority(&[(name, value)], "PRIORITY=7"), 7, "{name}");
        assert_eq!(priority(&[(name, value)], "PRIORITY='8' # comment"), 8);
        assert_eq!(priority(&[(name, value)], "PRIORITY_FILE=/priority"), 9);
        assert_eq!(priority(&[(name, value)], "PRIORITY="), 100, "unset");
        assert_eq!(priority(&[(name, value)], "PRIORITY"), before, "a name alone is that of the environment");
        assert_eq!(priority(&[(name, value)], &format!("{name}=")), 100);
    }
    assert_eq!(priority(&[], "PRIORITY=5\nPRIORITY=6"), 6, "the last one counts");
}

#[test]
fn every_variable_can_be_in_the_file_but_those_that_find_the_daemon() {
    for variable in VARIABLES {
        let line = format!("{REQUIRED}{}=@", variable.name);
        let refused = file(&[], &line).err().map_or_else(String::new, |error| error.to_string());
        let elsewhere = refused.contains("must be set in the environment, not in line 3 of ENV_FILE");
        assert_eq!(
            elsewhere,
            ["ENV_FILE", "STATUS_SOCKET", "DRAIN_FILE"].contains(&variable.name),
            "{refused}"
        );
    }
}

#[test]
fn a_problem_names_the_line() {
    let text = format!("{REQUIRED}PRIORITY=300\nexport NOTIFY=/x\nPRIORTY=1\n");
    assert_eq!(
        problems(file(&[], &text)),
        [
            "ENV_FILE=/env  line 4 has a space before the =: remove the word export",
            "PRIORITY=300  must be 1 to 254, or 255 for the address owner (line 3 of ENV_FILE)",
            "PRIORTY  is not a variable of vrrp-init; did you mean PRIORITY?",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem() {
    let vars = os(&[("ENV_FILE", "/env")]);
    let gone = read(vars.clone(), |_| Err(ErrorKind::NotFound.into()));
    assert_eq!(problems(gone), ["ENV_FILE=/env  cannot be read: entity not found"]);
    let zero = read(vars, |_| Ok(vec![0]));
    assert_eq!(problems(zero), ["ENV_FILE=/env  line 1 has a NUL byte: this is no text file"]);
    assert_eq!(problems(with(&[("ENV_FILE", "env")])), ["ENV_FILE=env  must be the absolute path of a file"]);
}

#[test]
fn the_origin_is_the_line() {
    let vars = os(&[("ENV_FILE", "/env"), ("CHECK_RISE", "3"), ("PRIORITY", "3")]);
    let text = "VIP=10.0.0.2\nVRID=51\nPRIORITY=7\nVIP_2=10.0.0.3\nVRID_2=52";
    let (.., settings) = Config::explained(vars, |_| Ok(text.into())).unwrap();
    let origin = |number: u16, name: &str| {
        let found = settings.iter().find(|setting| (setting.number, setting.variable) == (number, name));
        found.map(|setting| setting.origin.clone()).unwrap()
    };
    assert_eq!(origin(0, "ENV_FILE"), "set");
    assert_eq!(origin(1, "CHECK_RISE"), "set");
    assert_eq!(origin(1, "PRIORITY"), "set, line 3 of ENV_FILE");
    assert_eq!(origin(1, "VIRTUAL_ROUTER"), "set as VRID, line 2 of ENV_FILE");
    assert_eq!(origin(2, "PRIORITY"), "inherited from PRIORITY, line 3 of ENV_FILE");
}

#[test]
fn the_name_is_no_file_of_a_variable_env() {
    assert_eq!(problems(with(&[("PRIORTY_FILE", "/x"), ("PRIORITY", "0")])).len(), 2);
    let (config, warnings) = with_file(&[("ENV_FILE", "/run/value")], Ok(b"")).unwrap();
    assert_eq!((config.env_file, warnings), (Some("/run/value".into()), vec![]));
}
