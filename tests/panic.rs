//! A bug in the middle of its work must not leave an address behind: the daemon as a value in a network namespace,
//! and a panic past it. Alone in its program, since the daemon reaps every child of the process.
#![expect(clippy::disallowed_methods, reason = "a test of a running program waits on the real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "this program uses only the hosts")]
mod support;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use support::lab::Lab;
use vrrp_init::config::Config;
use vrrp_init::daemon::Daemon;
use vrrp_init::sys::netlink::Netlink;
use vrrp_init::vrrp::Role;

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

#[test]
fn a_panic_releases_the_virtual_address() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.inside(|| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut daemon = Daemon::start(configuration()).unwrap();
            while daemon.roles().any(|(_, role)| role != Role::Master) {
                daemon.turn().unwrap();
            }
            assert!(holds_vip(), "a master holds it");
            panic!("the bug");
        }));
        assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"the bug"));
        assert!(!holds_vip(), "nothing stays behind a panic");
    });
}
