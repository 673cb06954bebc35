//! `CHECK_SCRIPT` and the programs of single states, end to end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

fn script(host: &Host, name: &str, text: &str) -> PathBuf {
    let path = host.file(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn checked(priority: u8, program: &str) -> Node {
    Node::plain(priority).with("CHECK_SCRIPT", program).with("CHECK_INTERVAL", "0.3")
}

#[test]
fn the_exit_code_moves_the_address_and_the_failure_is_named() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    let code = host.file("code");
    fs::write(&code, "0").unwrap();
    let program = script(&host, "check.sh", &format!("[ \"$1\" = -q ] && exit $(cat {})", code.display()));
    let router = Router::start(Kind::Ours, &host, &checked(200, &format!("{} -q", program.display())));
    let backup = Router::start(Kind::Ours, &other, &Node::plain(100));
    router.wait_master(0, START);
    let marks = [router.run.log.mark(), backup.run.log.mark()];
    fs::write(&code, "2").unwrap();
    let change = format!("script {}: exit code 2", program.display());
    router.run.log.wait_for_after(marks[0], &change, seconds(2));
    router.run.log.wait_for_after(marks[0], "Entering FAULT STATE", seconds(1));
    backup.wait_master(marks[1], seconds(2));
    let failed = format!("script {} FAILED for ", program.display());
    wait_until("the status names it", seconds(2), || {
        let (_, text) = command(&router, &["status"]);
        text.contains(&failed) && text.contains(": exit code 2")
    });
    let mark = router.run.log.mark();
    fs::write(&code, "0").unwrap();
    router.run.log.wait_for_after(mark, &format!("script {}: exit code 0", program.display()), seconds(2));
    router.wait_master(mark, START);
}

#[test]
fn a_hostile_program_fails_in_time_and_delays_no_advert() {
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let (ok, log) = (host.file("ok"), host.file("log"));
    fs::write(&ok, "").unwrap();
    // Ignores SIGTERM, leaves children, prints without end, and says if two of it run.
    let text = format!(
        "[ -e {} ] && exit 0\nexec 9>{}; flock -n 9 || echo overlap >> {}\ntrap '' TERM\n\
         sleep 60 & sleep 60 &\ncat /dev/zero &\nwhile :; do sleep 60; done",
        ok.display(),
        host.file("lock").display(),
        log.display(),
    );
    let program = script(&host, "check.sh", &text);
    let node =
        checked(100, program.to_str().unwrap()).with("CHECK_WEIGHT", "20").with("CHECK_TIMEOUT", "0.5");
    let mut router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, START);
    router.run.log.wait_for("priority from 100 to 120", seconds(1));
    let capture = Capture::start(&client, "hostile", "proto 112");
    let mark = router.run.log.mark();
    fs::remove_file(&ok).unwrap();
    router.run.log.wait_for_after(mark, "check.sh: timed out after 500 ms", seconds(2));
    router.run.log.wait_for_after(mark, "priority from 120 to 100", seconds(1));
    std::thread::sleep(seconds(4));
    let captured = capture.finish();
    let adverts = captured.adverts(Some(host.address));
    let gap = adverts.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).max().unwrap();
    assert!(gap < millis(1_100), "adverts {gap:?} apart");
    assert!(router.run.log.since(mark, "priority from 100").is_empty(), "it stays failed");
    assert!(!log.exists(), "two ran at once, or something of the first was left");
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    wait_until("nothing of it is left", seconds(2), || {
        let cmdlines = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
        let path = program.to_str().unwrap().as_bytes().to_vec();
        !cmdlines.into_iter().any(|line| line.windows(path.len()).any(|part| part == path))
    });
}

#[test]
fn a_program_that_cannot_run_is_a_failed_check_until_a_reload_names_another() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let folder = host.file("settings");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("env");
    fs::write(&file, "CHECK_SCRIPT=/nowhere/check.sh\nCHECK_INTERVAL=0.3\n").unwrap();
    let router = Router::start(Kind::Ours, &host, &Node::plain(100).with("ENV_FILE", &file));
    router.run.log.wait_for("script /nowhere/check.sh: No such file or directory", seconds(2));
    router.run.log.wait_for("Entering FAULT STATE", seconds(1));
    router.run.log.wait_for("CHECK_SCRIPT: cannot run /nowhere/check.sh", seconds(1));
    let program = script(&host, "check.sh", "exit 0");
    let mark = router.run.log.mark();
    fs::write(&file, format!("CHECK_SCRIPT={}\nCHECK_INTERVAL=0.3\n", program.display())).unwrap();
    router.run.log.wait_for_after(mark, "Reload: applied CHECK_SCRIPT /nowhere/check.sh -> ", seconds(2));
    router.wait_master(mark, START);
    // What others can write is not run.
    let mark = router.run.log.mark();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    router.run.log.wait_for_after(mark, "check.sh: others can write ", seconds(2));
    router.run.log.wait_for_after(mark, "Entering FAULT STATE", seconds(1));
}

#[test]
fn the_program_of_a_state_runs_before_that_of_all_states() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let runs = host.file("runs");
    let program = script(&host, "notify.sh", &format!("echo \"$*\" >> {}", runs.display()));
    let with = |tag: &str| format!("{} {tag}", program.display());
    let node = Node::plain(200).with("NOTIFY", with("any")).with("NOTIFY_MASTER", with("master"));
    let node = node.with("NOTIFY_STOP", with("stop")).with("NOTIFY_FAULT", with("fault"));
    let mut router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, START);
    router.run.log.wait_for("notify.sh INSTANCE VI_1 MASTER 200: exited with 0", seconds(2));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    let expected = ["any BACKUP", "master MASTER", "any MASTER", "stop STOP", "any STOP"].map(|line| {
        let (tag, state) = line.split_once(' ').unwrap();
        format!("{tag} INSTANCE VI_1 {state} 200")
    });
    assert_eq!(fs::read_to_string(&runs).unwrap().lines().collect::<Vec<_>>(), expected);
}
