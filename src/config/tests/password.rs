//! Passwords: as in keepalived, the first 8 bytes count.

use super::images::only;
use super::*;

fn octets(vars: &[(&str, &str)]) -> ([u8; 8], Vec<String>) {
    let (config, warnings) = with(vars).unwrap();
    assert!(!format!("{warnings:?}").contains("hunter"), "{warnings:?}");
    (config.routers[0].protocol.auth.unwrap().octets(), warnings.iter().map(ToString::to_string).collect())
}

fn long(name: &str) -> Vec<String> {
    vec![format!("{name} is longer than 8 bytes: as in keepalived, only the first 8 are used")]
}

#[test]
fn the_first_eight_bytes_of_a_password_count() {
    assert_eq!(octets(&[("AUTH_PASS", "hunter23")]), (*b"hunter23", vec![]));
    assert_eq!(octets(&[("AUTH_PASS", "hunter23x")]), (*b"hunter23", long("AUTH_PASS")));
    assert_eq!(
        octets(&[("KEEPALIVED_PASSWORD", "hunter23-and-more")]),
        (*b"hunter23", long("KEEPALIVED_PASSWORD"))
    );
    assert_eq!(octets(&[("AUTH_PASS", &"hunter".repeat(1_000))]).0, *b"hunterhu");
    let image = only(&[("VIPS", "10.0.0.2"), ("VRID", "51"), ("PASSWORD", "hunter23-and-more")]);
    assert_eq!(warnings(image), long("PASSWORD"));
}

#[test]
fn a_character_may_be_cut() {
    assert_eq!(octets(&[("AUTH_PASS", "hunter2é!")]), (*b"hunter2\xc3", long("AUTH_PASS")));
    assert_eq!(octets(&[("AUTH_PASS", "ééééé")]).0, *"éééé".as_bytes());
}

#[test]
fn a_long_password_may_come_from_a_file_or_belong_to_one_router() {
    let file = with_file(&[("AUTH_PASS_FILE", "/run/value")], Ok(b"\"hunter23-and-more\"\n")).unwrap();
    assert_eq!(file.0.routers[0].protocol.auth.unwrap().octets(), *b"hunter23");
    let second = [("VIP_2", "10.0.0.3"), ("VIRTUAL_ROUTER_2", "52"), ("AUTH_PASS_2", "hunter23-and-more")];
    let (config, warnings) = with(&second).unwrap();
    assert_eq!(config.routers[1].protocol.auth.unwrap().octets(), *b"hunter23");
    assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), long("AUTH_PASS_2"));
}

#[test]
fn a_line_break_is_refused_wherever_it_is() {
    let why = "AUTH_PASS  must not contain a line break or another control character";
    for text in ["hunter2\nx", "hunter23-and-more\nx"] {
        assert_eq!(problems(with(&[("AUTH_PASS", text)])), [why], "{text:?}");
    }
}
