//! The log of a running daemon against `docs/logs.md`; and that no password appears in any output.

use std::fs;
use std::path::Path;

use crate::support::lab::Lab;
use crate::support::log_table::documented;
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::query::{command, command_in_its_environment, page, with_metrics};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::seconds;
use crate::support::wire::Message;
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn each_transition_is_one_line_with_its_cause_and_peer_for_people_and_programs() {
    let lab = Lab::new();
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, number)| lab.host(name, number));
    let node = Node::plain(200).with("LOG_FORMAT", "json+time").with("LOG_LEVEL", "info");
    let mut router = Router::start(Kind::Ours, &a, &node);
    let mut mark = 0;
    let mut entered = |router: &Router, state: &str, timeout| {
        router.run.log.wait_for_after(mark, &format!("\"state\":\"{state}\""), timeout);
        mark = router.run.log.mark();
    };
    entered(&router, "BACKUP", seconds(3));
    entered(&router, "MASTER", START);
    let better = |priority| b.send(255, &[], &Message { priority, ..Message::default() }.bytes());
    better(250);
    entered(&router, "BACKUP", seconds(1));
    better(0);
    entered(&router, "MASTER", seconds(2));
    a.ip("link set enp0s3 down");
    entered(&router, "FAULT", seconds(2));
    a.ip("link set enp0s3 up");
    entered(&router, "BACKUP", seconds(5));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);

    let documented = documented();
    let mut transitions = vec![];
    for line in router.run.log.whole(seconds(1)).lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or("-");
        assert!(text("time").ends_with('Z') && !text("message").is_empty(), "{line}");
        assert!(documented.get(text("event")).is_some_and(|levels| levels.contains(text("level"))), "{line}");
        if text("event") == "transition" {
            assert_eq!(text("instance"), "VI_1");
            transitions.push(["from", "state", "peer", "message"].map(text).join(" | "));
            assert!(text("state") == "INIT" || text("message").ends_with(text("cause")), "{line}");
        }
    }
    let expected = [
        "INIT | BACKUP | - | (VI_1) Entering BACKUP STATE: started",
        "BACKUP | MASTER | - | (VI_1) Entering MASTER STATE: heard no other router",
        "MASTER | BACKUP | 10.77.0.2 | (VI_1) Entering BACKUP STATE: 10.77.0.2 (priority 250) ranks higher",
        "BACKUP | MASTER | 10.77.0.2 | (VI_1) Entering MASTER STATE: 10.77.0.2 released the addresses",
        "MASTER | FAULT | - | (VI_1) Entering FAULT STATE: interface enp0s3 is down",
        "FAULT | BACKUP | - | (VI_1) Entering BACKUP STATE: interface enp0s3 is up",
        "BACKUP | INIT | - | (VI_1) Stopped",
    ];
    assert_eq!(transitions, expected);
}

/// Passwords: from a variable, from a file, changed in the file, too long, of a mistyped name, and of another router.
const GIVEN: &str = "s3cr3tA1";
const IN_A_FILE: &str = "fil3dB2x";
const CHANGED: &str = "ch4ng3d3";
const TOO_LONG: &str = "t00l0ngpassw0rd";
const MISTYPED: &str = "m1styp3d";
const FOREIGN: &str = "wr0ngPw1";

/// Checks that `text` contains no secret, as text, octets or hexadecimal.
fn has_no_secret(what: &str, text: &str) {
    let lower = text.to_ascii_lowercase();
    for secret in [GIVEN, IN_A_FILE, CHANGED, TOO_LONG, MISTYPED, FOREIGN] {
        let octets = secret.bytes().map(|octet| octet.to_string()).collect::<Vec<_>>().join(", ");
        let hex = secret.bytes().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat();
        for form in [secret.to_ascii_lowercase(), octets, hex] {
            assert!(!lower.contains(&form), "{what} reveals {secret}:\n{text}");
        }
    }
}

#[test]
fn no_password_appears_in_any_output() {
    let lab = Lab::new();
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, number)| lab.host(name, number));
    let file = a.file("password");
    fs::write(&file, IN_A_FILE).unwrap();
    let node = with_metrics(Node::plain(200))
        .with("LOG_LEVEL", "trace")
        .with("AUTH_PASS", GIVEN)
        .with("KEEPALIVED_PASSWORD", GIVEN)
        .with("AUTH_PASSS", MISTYPED)
        .with("VIP_2", "10.77.0.101")
        .with("VIRTUAL_ROUTER_2", "52")
        .with("AUTH_PASS_2_FILE", file.clone())
        // The script prints its environment.
        .with("NOTIFY", "/bin/sh -c env");
    let router = Router::start(Kind::Ours, &a, &node);
    let log = &router.run.log;
    router.wait_master(0, START);
    let scan = [("INTERFACE".into(), b.interface.clone().into())];
    let mut scan = Running::start(&b, Launch::NotPidOne, Path::new(OURS), &["scan", "2"], &scan);
    log.wait_for("AUTH_PASSS … did you mean", seconds(1));
    // The output of NOTIFY's program is in the log, without the passwords' variables.
    log.wait_for("VIRTUAL_ROUTER_2=52", seconds(2));

    let advert = |password: &str, priority| {
        let auth_data = password.as_bytes().try_into().unwrap();
        b.send(255, &[], &Message { auth_type: 1, auth_data, priority, ..Message::default() }.bytes());
    };
    advert(FOREIGN, 250);
    log.wait_for("its password differs from ours", seconds(1));
    advert(GIVEN, 250);
    log.wait_for("10.77.0.2 (priority 250) ranks higher", seconds(1));
    advert(GIVEN, 0);

    router.run.signal(Signal::SIGUSR1);
    log.wait_for("(VI_1) dropped: … auth_failure=1", seconds(2));
    for (content, answer) in [
        (IN_A_FILE, "Reload: the configuration has not changed"),
        (CHANGED, "restart this container to apply AUTH_PASS_2 (value not shown)"),
        (TOO_LONG, "restart this container to apply AUTH_PASS_2 (value not shown)"),
        (&format!("{TOO_LONG}\n{CHANGED}"), "AUTH_PASS_2 … must not contain a line break"),
    ] {
        let mark = log.mark();
        fs::write(&file, content).unwrap();
        router.run.signal(Signal::SIGHUP);
        log.wait_for_after(mark, answer, seconds(2));
    }
    fs::write(&file, IN_A_FILE).unwrap();

    for words in [&["status"][..], &["status", "--json"], &["why"], &["healthcheck"], &["check"], &["help"]] {
        let (code, text) = command_in_its_environment(&router, words);
        assert!(code == 0 && !text.is_empty(), "{words:?}: {code}\n{text}");
        assert!(words != ["check"] || text.matches("(set, not shown)").count() == 2, "{text}");
        has_no_secret(&words.join(" "), &text);
    }
    for path in ["/metrics", "/status", "/healthz", "/readyz", "/master", "/nothing"] {
        has_no_secret(path, &page(&a, path));
    }
    let wrong = [("AUTH_PASS", TOO_LONG), ("KEEPALIVED_AUTH_PASS", FOREIGN), ("AUTH_PASS", "s3cr3tA1\u{e9}")];
    for (name, value) in wrong {
        let mut env = node.environment(&a);
        env.push((name.into(), value.into()));
        let mut run = Running::start::<&str>(&a, Launch::Joining(&router.run), Path::new(OURS), &[], &env);
        assert_eq!(run.wait_exit(seconds(2)), 78);
        let text = run.log.whole(seconds(1));
        assert!(text.contains(name), "{text}");
        has_no_secret("a refusal", &text);
    }
    assert_eq!(scan.wait_exit(seconds(5)), 0);
    let heard = scan.log.whole(seconds(1));
    assert!(heard.contains("password"), "it heard a router with a password: {heard}");
    has_no_secret("scan", &heard);
    assert_eq!(command(&router, &["status"]).0, 0);
    has_no_secret("the log", &log.since(0, "").join("\n"));
}
