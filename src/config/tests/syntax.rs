//! What keepalived's parser removes from a value: outer quotes, surrounding blanks and a comment.

use super::images::only;
use super::*;

const NOTE: &str = "contains quotes or a comment, which are not part of the value";

/// The router of `vars` over the least that runs, and the warnings.
fn noted(vars: &[(&str, &str)]) -> (RouterConfig, Vec<String>) {
    let (mut config, warnings) = with(vars).unwrap();
    (config.routers.remove(0), warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn quotes_of_an_env_file_are_not_part_of_a_value() {
    let plain = router(only(&[
        ("VIP", "10.0.0.2/24 dev eth0"),
        ("VIRTUAL_ROUTER", "51"),
        ("INTERFACE", "eth0"),
        ("STATE", "MASTER"),
        ("PRIORITY", "11"),
        ("SERVICE", "haproxy"),
    ]));
    for quote in ["\"", "'"] {
        let quoted = |text: &str| format!("{quote}{text}{quote}");
        let texts = ["10.0.0.2/24 dev eth0", "51", " eth0 ", "MASTER", "11", "haproxy"].map(quoted);
        let names = ["VIP", "VIRTUAL_ROUTER", "INTERFACE", "STATE", "PRIORITY", "SERVICE"];
        let vars: Vec<_> = names.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let outcome = only(&vars);
        assert_eq!(
            warnings(outcome.clone()),
            [format!("VIP {NOTE}; so do VIRTUAL_ROUTER, INTERFACE, STATE, PRIORITY and SERVICE")]
        );
        assert_eq!(outcome.unwrap().0.routers, std::slice::from_ref(&plain));
    }
}

#[test]
fn a_trailing_comment_is_not_part_of_a_value() {
    for text in
        ["7 # master", "7\t! master", "7 #master", "\"7\" # master", "'7 # master'", "7 # it's \"it\""]
    {
        let (router, warnings) = noted(&[("PRIORITY", text)]);
        assert_eq!(
            (router.protocol.priority.octet(), warnings),
            (7, vec![format!("PRIORITY {NOTE}")]),
            "{text}"
        );
    }
    let (router, _) = noted(&[("UNICAST_PEERS", "10.0.0.11 # one\n10.0.0.12 ! two\n# three\n10.0.0.13")]);
    assert_eq!(router.protocol.peers.len(), 3);
    // A comment must follow a blank: these are parts of a value.
    let page = router_of(&[("CHECK_HTTP", "http://localhost/a#b")]);
    assert_eq!(page.check.unwrap().http[0].path, "/a");
    let array = router_of(&[("UNICAST_PEERS", "#PYTHON2BASH:['10.0.0.11']")]);
    assert_eq!(array.protocol.peers.len(), 1);
}

fn router_of(vars: &[(&str, &str)]) -> RouterConfig {
    router(with(vars))
}

#[test]
fn a_comment_line_of_a_list_needs_no_warning() {
    assert_eq!(router_of(&[("SERVICE", "# web\nhaproxy\n")]).check.unwrap().services, ["haproxy"]);
}

#[test]
fn a_blank_value_is_unset() {
    for blank in [" ", "\t\n", "\"\"", "' '", "# none", " # none", "\"\" ! none"] {
        let vars =
            [("PRIORITY", blank), ("STATE", blank), ("KEEPALIVED_VIRTUAL_IPS", blank), ("PRIORTY", blank)];
        let (router, _) = noted(&vars);
        assert_eq!(
            (router.protocol.priority.octet(), router.state_hint),
            (100, StateHint::Backup),
            "{blank}"
        );
        assert_eq!(problems(only(&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", blank)])).len(), 1, "{blank}");
    }
    // A blank value is none of another image.
    let outcome = only(&[("VIP", "10.0.0.2"), ("VRID", "51"), ("KEEPALIVED_VIRTUAL_IPS", "\"\"")]);
    assert_eq!(router_ignoring_warnings(outcome).protocol.auth, None);
}

pub(super) fn router_ignoring_warnings(outcome: Outcome) -> RouterConfig {
    outcome.unwrap().0.routers.remove(0)
}

#[test]
fn a_secret_loses_only_its_outer_quotes() {
    let password = |text: &str| {
        let (router, warnings) = noted(&[("AUTH_PASS", text)]);
        (String::from_utf8(router.protocol.auth.unwrap().octets().to_vec()).unwrap(), warnings)
    };
    assert_eq!(password("a # b"), ("a # b\0\0\0".into(), vec![]));
    assert_eq!(password(" a "), (" a \0\0\0\0\0".into(), vec![]));
    for text in ["\"a ! b\"", "'a ! b'"] {
        assert_eq!(password(text), ("a ! b\0\0\0".into(), vec![format!("AUTH_PASS {NOTE}")]));
    }
    for text in ["\"a", "a\"", "\"a' "] {
        assert_eq!(password(text).1, Vec::<String>::new(), "{text}");
    }
    let (config, said) = with(&[("KEEPALIVED_PASSWORD", "\"hunter2\"")]).unwrap();
    assert_eq!(config.routers[0].protocol.auth.unwrap().octets(), *b"hunter2\0");
    assert!(!format!("{said:?}").contains("hunter2"));
}

#[test]
fn a_file_is_read_as_a_value_is() {
    let file = |name, content: &[u8]| with_file(&[(name, "\"/run/value\"")], Ok(content)).unwrap();
    let (config, said) = file("PRIORITY_FILE", b"'7' # master\n");
    assert_eq!(config.routers[0].protocol.priority.octet(), 7);
    assert_eq!(
        said.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("PRIORITY_FILE {NOTE}; so does PRIORITY")]
    );
    let (config, _) = file("AUTH_PASS_FILE", b"\"a # b\"\n");
    assert_eq!(config.routers[0].protocol.auth.unwrap().octets(), *b"a # b\0\0\0");
}

#[test]
fn each_item_of_a_list_may_have_quotes() {
    let list =
        router_of(&[("SERVICE", "\"haproxy\" 'nginx'"), ("UNICAST_PEERS", "\"10.0.0.11\",\"10.0.0.12\"")]);
    assert_eq!((list.check.unwrap().services.len(), list.protocol.peers.len()), (2, 2));
    let half = problems(with(&[("SERVICE", "\"haproxy\" nginx")]));
    assert_eq!(half, ["SERVICE=\"haproxy\"  must be the name of a process, without quotes"]);
}

#[test]
fn each_line_of_a_list_may_have_quotes_and_a_comment() {
    let two = "\"10.0.0.2/24\" # one\n\"10.0.0.3/24\" # two";
    for text in [two, "'10.0.0.2/24' ! one\n10.0.0.3/24", "# both\n'10.0.0.2/24'\n'10.0.0.3/24'"] {
        let router = router_of_vip(text);
        let addresses: Vec<_> = router.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.2/24", "10.0.0.3/24"], "{text}");
    }
    let peers = router_ignoring_warnings(with(&[("UNICAST_PEERS", "\"10.0.0.11\" # a\n\"10.0.0.12\"")]));
    assert_eq!(peers.protocol.peers.len(), 2);
    // Only comments follow: one quoted value.
    let one = router_ignoring_warnings(with(&[("PRIORITY", "\"7\" # master\n# of two")]));
    assert_eq!(one.protocol.priority.octet(), 7);
}

#[test]
fn each_word_of_an_address_may_have_quotes() {
    let expected = router_of_vip("10.0.0.2/24 dev eth1 label eth1:1");
    for text in [
        "10.0.0.2/24 dev \"eth1\" label \"eth1:1\"",
        "10.0.0.2/24 dev 'eth1' label eth1:1 # web",
        "\"10.0.0.2/24\" dev eth1 label 'eth1:1'",
    ] {
        assert_eq!(router_of_vip(text).addresses, expected.addresses, "{text}");
    }
}

fn router_of_vip(text: &str) -> RouterConfig {
    router_ignoring_warnings(only(&[("VIP", text), ("VIRTUAL_ROUTER", "51")]))
}

#[test]
fn half_a_pair_of_quotes_is_no_part_of_an_interface_name() {
    let why = "must be an interface name: 1 to 15 bytes, or an altname of up to 127, without slash, colon, space or \
               quotes";
    for text in ["\"eth0", "eth0'", "\"eth0'"] {
        refused("INTERFACE", text, why);
        refused("TRACK_INTERFACE", text, why);
        let vip = problems(only(&[("VIP", &format!("10.0.0.2 dev {text}")), ("VIRTUAL_ROUTER", "51")]));
        assert_eq!(vip, [format!("VIP=10.0.0.2 dev {text}  {why}")]);
    }
}

#[test]
fn quotes_inside_a_value_are_still_refused() {
    refused("SERVICE", "ha\"proxy", "must be the name of a process, without quotes");
    refused(
        "NOTIFY",
        "\"/notify\" \"x\"",
        "contains quotes, but does not run in a shell: arguments are split only at white space",
    );
}
