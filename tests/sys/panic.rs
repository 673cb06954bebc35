//! A panic must not leave an address behind: the daemon as a value in a network namespace. In a process of its own,
//! because the daemon reaps every child of the process.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use vrrp_init::commands::panic::release_on_panic;
use vrrp_init::config::Config;
use vrrp_init::daemon::Daemon;
use vrrp_init::sys::netlink::Netlink;
use vrrp_init::vrrp::Role;

use crate::own_process::{inside, rerun, this_binary};

const VIP: &str = "10.77.0.100";

fn configuration() -> Config {
    let variables = [("VIP", VIP), ("VIRTUAL_ROUTER", "51"), ("INTERFACE", "enp0s3"), ("PRIORITY", "255")];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_environment(variables, |_| unreachable!("no file is named")).unwrap().0
}

fn holds_vip() -> bool {
    let addresses = Netlink::open().unwrap().addresses().unwrap();
    addresses.iter().any(|a| a.address.to_string() == VIP)
}

/// Creates the configured interface, up and with an address.
fn plug_in() {
    for words in [
        "link add enp0s3 type veth peer name far",
        "address add 10.77.0.1/24 dev enp0s3",
        "link set enp0s3 up",
        "link set far up",
    ] {
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
    }
}

fn master() -> Daemon {
    let mut daemon = Daemon::start(configuration()).unwrap();
    while daemon.roles().any(|(_, role)| role != Role::Master) {
        daemon.turn().unwrap();
    }
    daemon
}

#[test]
fn a_panic_of_the_program_releases_the_virtual_address_and_exits_with_70() {
    const TEST: &str = "panic::a_panic_of_the_program_releases_the_virtual_address_and_exits_with_70";
    match inside().as_deref() {
        None => {
            rerun(
                a_panic_of_the_program_releases_the_virtual_address_and_exits_with_70,
                &["unshare", "--net"],
                "parent",
            );
        }
        Some("parent") => {
            plug_in();
            let mut child = Command::new(this_binary());
            child.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env("TEST_CASE", "child");
            let output = child.output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(70), "{text}");
            assert!(text.contains("the bug") && text.contains("internal error"), "{text}");
            assert!(!holds_vip(), "a panic leaves no address behind");
        }
        Some(_) => {
            release_on_panic(&configuration());
            let daemon = master();
            assert!(holds_vip(), "a master holds it");
            // As the aborting release profile: nothing is dropped.
            std::mem::forget(daemon);
            panic!("the bug");
        }
    }
}

#[test]
fn an_unwinding_panic_releases_the_virtual_address() {
    if inside().is_none() {
        rerun(an_unwinding_panic_releases_the_virtual_address, &["unshare", "--net"], "own process");
        return;
    }
    plug_in();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _daemon = master();
        assert!(holds_vip(), "a master holds it");
        panic!("the bug");
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"the bug"));
    assert!(!holds_vip(), "a panic leaves no address behind");
}
