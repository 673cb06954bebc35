//! Values and files: what must be text, what a file may contain, and which of the two counts.

use std::os::unix::ffi::OsStringExt as _;

use super::*;
use crate::config::environment::content;

#[test]
fn only_our_own_variables_must_be_utf8() {
    let bytes = || OsString::from_vec(vec![b'1', 0xff]);
    let mut vars = os(&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51")]);
    vars.push(("LESSOPEN".into(), bytes()));
    vars.push((bytes(), "x".into()));
    assert_eq!(router(read(vars.clone(), no_file)), router(with(&[])));
    for name in ["PRIORITY", "PRIORITY_FILE"] {
        let vars = [vars.clone(), vec![(name.into(), bytes())]].concat();
        assert_eq!(problems(read(vars, no_file)), [format!("{name}  has a value that is not UTF-8 text")]);
    }
    let required = vec![("VIP".into(), bytes()), ("VIRTUAL_ROUTER".into(), "51".into())];
    assert_eq!(problems(read(required, no_file)), ["VIP  has a value that is not UTF-8 text"]);
}

#[test]
fn any_value_may_come_from_a_file() {
    for (content, priority) in
        [("200", 200), ("200\n", 200), ("200\r\n", 200), ("\u{feff}200\r\n", 200), ("", 100), ("\n", 100)]
    {
        let router = router(with_file(&[("PRIORITY_FILE", "/run/value")], Ok(content.as_bytes())));
        assert_eq!(router.protocol.priority.octet(), priority, "{content:?}");
    }
    for variable in VARIABLES {
        let name = format!("{}_FILE", variable.name);
        let outcome = read(os(&[(&name, "/run/value")]), |_| Ok(b"'/ /\r\n\n".to_vec()));
        let from_file =
            outcome.unwrap_err().problems.into_iter().find(|p| p.variable == variable.name).unwrap();
        assert!(from_file.why.ends_with("(read from /run/value)"), "{name}: {from_file:?}");
    }
}

#[test]
fn only_one_newline_is_taken_off_a_file() {
    assert_eq!(content(Ok(b"a\n\n".to_vec())), Ok("a\n".into()));
    assert_eq!(content(Ok(b" a ".to_vec())), Ok(" a ".into()));
}

#[test]
fn a_wrong_value_from_a_file_is_reported_with_the_file() {
    assert_eq!(
        problems(with_file(&[("PRIORITY_FILE", "/run/value")], Ok(b"0\n"))),
        ["PRIORITY=0  must be 1 to 254, or 255 for the address owner (read from /run/value)"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let name = [("PRIORITY_FILE", "/run/value")];
    assert_eq!(
        problems(with_file(&name, Err(ErrorKind::NotFound))),
        ["PRIORITY_FILE=/run/value  cannot be read: entity not found"]
    );
    assert_eq!(
        problems(with_file(&name, Ok(&[0xff, 0xfe]))),
        ["PRIORITY_FILE=/run/value  names a file that is not UTF-8 text"]
    );
}

#[test]
fn a_required_value_in_an_unreadable_file_is_one_problem() {
    let vars = os(&[("VIP_FILE", "/run/value"), ("VIRTUAL_ROUTER", "51")]);
    let outcome = read(vars, |_| Err(ErrorKind::PermissionDenied.into()));
    assert_eq!(problems(outcome), ["VIP_FILE=/run/value  cannot be read: permission denied"]);
}

#[test]
fn a_variable_and_its_file_together_are_a_contradiction() {
    assert_eq!(
        problems(with(&[("PRIORITY", "100"), ("PRIORITY_FILE", "/run/value")])),
        ["PRIORITY_FILE=/run/value  PRIORITY is also set; keep one of them"]
    );
    assert_eq!(router(with(&[("PRIORITY", "7"), ("PRIORITY_FILE", "")])).protocol.priority.octet(), 7);
}
