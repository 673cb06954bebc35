//! Text that others choose (names of interfaces, processes and routers, the answers of another program) controls no
//! terminal and forges no line, whatever command or log shows it.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::lab::Lab;
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::query::command_in_its_environment;
use crate::support::router::{Check, Kind, Node, OURS, Router};
use crate::support::seconds;

/// Names with escape sequences of both kinds, and with a character that turns the order of others.
const INTERFACE: &str = "e\u{1b}[31m\u{9b}0";
const SERVICE: &str = "sv\u{1b}]0;x\u{7}\u{9b}J\u{202e}";
const INSTANCE: &str = "VI\u{202e}1";

/// Checks that `text` is safe to show, and contains `part`.
fn is_safe(what: &str, text: &str, part: &str) {
    let unsafe_one = |c: &char| (c.is_control() && *c != '\n') || ('\u{2028}'..='\u{202e}').contains(c);
    assert_eq!(text.chars().find(unsafe_one), None, "{what}: {text:?}");
    assert!(text.contains(part), "{what} has {part:?}: {text:?}");
}

#[test]
fn names_control_no_terminal_through_any_command_or_the_log() {
    let lab = Lab::new();
    let host = lab.bare_host("a", 1);
    host.ip(&format!("link add {INTERFACE} type veth peer name p"));
    host.ip("link set p up");
    host.ip(&format!("address add 10.77.0.1/24 dev {INTERFACE}"));
    host.ip(&format!("link set {INTERFACE} up"));
    let node = Node { check: Some(Check::each_second(SERVICE, 2)), ..Node::plain(100) };
    let node = node.with("INTERFACE", "auto").with("INSTANCE_NAME", INSTANCE);
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("VRID 51 on e", START);
    let program = host.file("bin").join(SERVICE);
    fs::create_dir(host.file("bin")).expect("a temporary directory can be made");
    fs::copy("/bin/sleep", &program).expect("a temporary file can be written");
    let mut service = Running::start(&host, Launch::Joining(&router.run), &program, &["60"], &[]);
    router.run.log.wait_for("runs (pid", START);
    router.run.log.wait_for("Entering MASTER STATE", START);
    service.kill();
    router.run.log.wait_for("is gone", START);
    let scan = command_in_its_environment(&router, &["scan", "1"]).1;
    host.ip(&format!("link set {INTERFACE} down"));
    router.run.log.wait_for("Entering FAULT STATE", START);
    let (interface, service, instance) =
        ("e\\u{1b}[31m\\u{9b}0", "sv\\u{1b}]0;x\\u{7}\\u{9b}J\\u{202e}", "VI\\u{202e}1");
    is_safe("scan", &scan, interface);
    let shown = |args: &[&str]| command_in_its_environment(&router, args).1;
    for (args, names) in [
        (["status"].as_slice(), [interface, service, instance].as_slice()),
        (&["why"], &[interface, service, instance]),
        (&["healthcheck"], &[instance]),
        (&["check"], &[interface, service]),
    ] {
        let text = shown(args);
        for name in names {
            is_safe(&args.join(" "), &text, name);
        }
    }
    let json = shown(&["status", "--json"]);
    is_safe("status --json", &json, "sv\\u001b]0;x\\u0007\\u009bJ\\u202e");
    let status: serde_json::Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!(status["routers"][0]["interface"], INTERFACE);
    let log = router.run.log.since(0, "").join("\n");
    for name in [interface, service, instance] {
        is_safe("log", &log, name);
    }
}

#[test]
fn a_log_of_json_controls_no_terminal() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node { check: Some(Check::each_second(SERVICE, 2)), ..Node::plain(100) };
    let node = node.with("INSTANCE_NAME", INSTANCE).with("LOG_FORMAT", "json");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("not seen since the start", seconds(15));
    let log = router.run.log.since(0, "").join("\n");
    is_safe("log", &log, "\"instance\":\"VI\\u202e1\"");
    is_safe("log", &log, "sv\\u001b]0;x\\u0007\\u009bJ\\u202e was not seen since the start");
}

/// Whoever owns the path of the socket may answer anything.
#[test]
fn the_answer_of_another_program_controls_no_terminal() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let path = host.file("status.sock");
    let listener = UnixListener::bind(&path).expect("a socket in a temporary directory");
    let evil = "\u{1b}[31m\u{9b}J\u{7}";
    let answer = [
        format!("healthy\nVI_1{evil} MASTER"),
        format!("{{\"x\":\"{evil}\"}}"),
        format!("text{evil}\n"),
        format!("why{evil}\n"),
        format!("drained\t\tdrain{evil}"),
    ];
    let answer = answer.join("\0");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let env: [(OsString, OsString); 1] = [("STATUS_SOCKET".into(), path.into_os_string())];
    for args in [["status"].as_slice(), &["status", "--json"], &["why"], &["healthcheck"]] {
        let mut run = Running::start(&host, Launch::NotPidOne, Path::new(OURS), args, &env);
        assert_eq!(run.wait_exit(seconds(5)), 0);
        is_safe(&args.join(" "), &run.log.whole(seconds(1)), "\\u{1b}[31m\\u{9b}J\\u{7}");
    }
}
