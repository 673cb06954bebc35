//! What an environment asks for that only the kernel and the files can tell: alternative names, the choice of `auto`,
//! programs and other hosts.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::{seconds, wait_until};

/// Every line that `check` writes.
fn check(host: &Host, node: &Node) -> String {
    let mut run = Running::start(host, Launch::PidOne, Path::new(OURS), &["check"], &node.environment(host));
    assert_eq!(run.wait_exit(seconds(5)), 0);
    run.log.whole(seconds(1))
}

#[test]
fn an_altname_is_a_name_of_the_interface() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let long = "a-name-of-more-than-fifteen-bytes";
    host.ip("link property add dev enp0s3 altname lan");
    host.ip(&format!("link property add dev enp0s3 altname {long}"));
    for name in ["lan", long] {
        let node = Node::plain(200).with("INTERFACE", name).with("VIP", format!("10.77.0.100 dev {name}"));
        let node = node.with("TRACK_INTERFACE", name);
        let lines = check(&host, &node);
        assert!(lines.contains("interface enp0s3 is up; adverts are sent from 10.77.0.1"), "{lines}");
        assert!(!lines.contains("waits for it"), "{lines}");
        let router = Router::start(Kind::Ours, &host, &node);
        router.wait_master(0, seconds(8));
        assert!(router.holds_vip());
    }
}

#[test]
fn an_altname_that_comes_later_is_found() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("INTERFACE", "lan"));
    router.run.log.wait_for("Interface lan is not there: waiting for it", seconds(2));
    host.ip("link property add dev enp0s3 altname lan");
    router.wait_master(0, seconds(8));
    assert!(router.holds_vip());
}

#[test]
fn auto_takes_the_live_link_of_two_in_one_subnet_and_never_the_loopback() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.77.0.1/28 dev lo");
    host.ip("link add dead0 type veth peer name dead1");
    host.ip("address add 10.77.0.31/25 dev dead0");
    host.ip("link set dead0 up");
    let node = Node::plain(200).with("INTERFACE", "auto").with("VIP", "10.77.0.9");
    let lines = check(&host, &node);
    assert!(lines.contains("interface enp0s3 (auto: its subnet contains 10.77.0.9) is up"), "{lines}");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("Entering MASTER STATE", seconds(8));
    assert!(host.ip("address show dev enp0s3").contains("10.77.0.9/32"));
    // Once it is alive, the narrower subnet is at home there.
    host.ip("link set dead1 up");
    wait_until("it moved", seconds(8), || host.ip("address show dev dead0").contains("10.77.0.9/32"));
}

#[test]
fn a_program_that_cannot_run_is_reported_before_it_is_needed() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let plain = host.file("not-executable");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let shell = host.file("no-shell");
    fs::write(&shell, "#!/nonexistent/shell\n").unwrap();
    fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (program, advice) in [
        (Path::new("/nonexistent/notify"), "give its full path inside the container"),
        (&plain, "make it executable (chmod +x)"),
        (&shell, "the file is there, but not what its #! line names"),
    ] {
        let node = Node::plain(200).with("NOTIFY", program);
        let lines = check(&host, &node);
        let line = lines.lines().find(|line| line.contains("warn  NOTIFY: cannot run")).expect(&lines);
        assert!(line.contains(advice) && line.contains(program.to_str().unwrap()), "{line}");
        let router = Router::start(Kind::Ours, &host, &node);
        router.run.log.wait_for(&format!("NOTIFY: cannot run…{advice}"), seconds(2));
    }
    let lines = check(&host, &Node::plain(200).with("NOTIFY", "/bin/true"));
    assert!(!lines.contains("NOTIFY: cannot run"), "{lines}");
}

#[test]
fn a_check_of_another_host_is_reported_at_the_start() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200).with("CHECK_TCP", "10.77.0.2:53 10.77.0.1:53 127.0.0.1:53");
    let lines = check(&host, &node);
    assert_eq!(lines.matches("asks another host").count(), 1, "{lines}");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("(VI_1) the check of 10.77.0.2:53 asks another host", seconds(2));
}

#[test]
fn a_mounted_configuration_file_is_named_beside_a_refusal_and_in_the_preflight() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let script = format!(
        "mount -t tmpfs none /etc/keepalived && echo > /etc/keepalived/keepalived.conf && exec {OURS} check"
    );
    let unread = "/etc/keepalived/keepalived.conf is there, but vrrp-init does not read it: `vrrp-init import /etc/keepalived/keepalived.conf` prints";
    for (vars, code) in [(vec![], 78), (vec![("VIP", "10.77.0.100"), ("VIRTUAL_ROUTER", "51")], 0)] {
        let mut vrrp_init = Command::new("unshare");
        vrrp_init
            .args(["--mount", "sh", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = host.inside(|| vrrp_init.envs(vars).output().unwrap());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!((output.status.code(), text.matches(unread).count()), (Some(code), 1), "{text}");
    }
}
