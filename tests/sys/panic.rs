//! A panic of the daemon must not leave an address behind: the daemon as a value in a network namespace. In a process
//! of its own, because the daemon reaps every child of the process.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use vrrp_init::config::Config;
use vrrp_init::daemon::Daemon;
use vrrp_init::sys::netlink::Netlink;
use vrrp_init::vrrp::Role;

use crate::own_process::{inside, rerun};

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

#[test]
fn a_panic_releases_the_virtual_address() {
    if inside().is_none() {
        rerun(a_panic_releases_the_virtual_address, &["unshare", "--net"], "own process");
        return;
    }
    plug_in();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut daemon = Daemon::start(configuration()).unwrap();
        while daemon.roles().any(|(_, role)| role != Role::Master) {
            daemon.turn().unwrap();
        }
        assert!(holds_vip(), "a master holds it");
        panic!("the bug");
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"the bug"));
    assert!(!holds_vip(), "a panic leaves no address behind");
}
