//! A rolling migration from another image: Debian's keepalived with that image's configuration, and our daemon with
//! only that image's variables, share a virtual router.

use std::path::Path;
use std::time::Duration;

use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::{seconds, wait_until};
use nix::sys::signal::Signal;

const MOVE: Duration = seconds(12);

/// Our daemon with exactly these variables.
fn ours(host: &Host, vars: &[(&str, &str)]) -> Running {
    Running::start::<&str>(host, Launch::PidOne, Path::new(OURS), &[], &as_env(vars))
}

fn as_env(vars: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    vars.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

/// The keepalived.conf that the other image writes for host 10.77.0.1.
fn theirs(priority: u8, state: &'static str, password: &str, more: &str) -> Node {
    let instance = format!(
        "{more} authentication {{\n  auth_type PASS\n  auth_pass {password}\n }}\n unicast_peer {{\n  10.77.0.2\n }}\n"
    );
    Node { state, instance, ..Node::plain(priority) }
}

fn holds(host: &Host) -> bool {
    host.holds(Node::VIP)
}

/// Changes the second node while the first is master, then the first. The nodes never disagree.
fn rolls(old: &Node, first: &[(&str, &str)], second: &[(&str, &str)], comes_back: bool) {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    let mut master = Router::start(Kind::Keepalived, &a, old);
    wait_until("the old master holds the address", MOVE, || holds(&a));
    let backup = ours(&b, second);
    backup.log.wait_for("COMPAT is auto…not shown", seconds(2));
    backup.log.wait_for("(VI_1) Master is 10.77.0.1", MOVE);
    assert!(!holds(&b), "the changed backup follows the old master");
    master.run.signal(Signal::SIGTERM);
    wait_until("the changed backup has taken over", MOVE, || holds(&b));
    master.run.wait_exit(MOVE);
    drop(master);

    let mark = backup.log.mark();
    let renewed = ours(&a, first);
    if comes_back {
        wait_until("the preferred node is master again", MOVE, || holds(&a) && !holds(&b));
    } else {
        renewed.log.wait_for("(VI_1) Master is 10.77.0.2", MOVE);
        assert!(holds(&b) && !holds(&a), "neither preempts");
    }
    for log in [&backup.log, &renewed.log] {
        assert_eq!(log.since(0, "Dropping"), Vec::<String>::new());
        assert_eq!(log.since(0, "two masters:"), Vec::<String>::new());
    }
    assert_eq!(backup.log.since(mark, "Entering BACKUP").len(), usize::from(comes_back));
}

const OSIXIA: [(&str, &str); 3] = [
    ("KEEPALIVED_INTERFACE", "enp0s3"),
    ("KEEPALIVED_UNICAST_PEERS", "#PYTHON2BASH:['10.77.0.1', '10.77.0.2']"),
    ("KEEPALIVED_VIRTUAL_IPS", "#PYTHON2BASH:['10.77.0.100']"),
];

#[test]
fn from_osixia() {
    let second = [&OSIXIA[..], &[("KEEPALIVED_PRIORITY", "101")]].concat();
    rolls(&theirs(150, "BACKUP", "d0cker", " nopreempt\n"), &OSIXIA, &second, false);
}

#[test]
fn from_arcts() {
    let node = |state, peer| {
        [
            ("KEEPALIVED_AUTOCONF", "true"),
            ("KEEPALIVED_STATE", state),
            ("KEEPALIVED_INTERFACE", "enp0s3"),
            ("KEEPALIVED_VIRTUAL_ROUTER_ID", "51"),
            ("KEEPALIVED_UNICAST_PEER_0", peer),
            ("KEEPALIVED_TRACK_INTERFACE_1", "enp0s3"),
            ("KEEPALIVED_VIRTUAL_IPADDRESS_1", "10.77.0.100/32 dev enp0s3"),
        ]
    };
    let old = theirs(200, "MASTER", "pwd51", "");
    rolls(&old, &node("MASTER", "10.77.0.2"), &node("BACKUP", "10.77.0.1"), true);
}

/// The control: what happens without the other image's defaults.
#[test]
fn without_the_other_images_defaults_two_masters_are_detected() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a", 1), lab.host("b", 2));
    let _old = Router::start(Kind::Keepalived, &a, &theirs(150, "BACKUP", "d0cker", " nopreempt\n"));
    wait_until("the old master holds the address", MOVE, || holds(&a));
    let own = [&OSIXIA[..], &[("COMPAT", "none"), ("KEEPALIVED_ROUTER_ID", "51")]].concat();
    let alone = ours(&b, &own);
    alone.log.wait_for("Dropping adverts from 10.77.0.1…it uses a password, we use no authentication", MOVE);
    wait_until("both hold it", MOVE, || holds(&a) && holds(&b));
}
