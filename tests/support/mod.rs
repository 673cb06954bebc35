//! A laboratory of network and PID namespaces for the black-box tests; knows the product only as a program to run.
//!
//! [`lab::Lab`] makes hosts on one bridge, [`process::Running`] runs a program on a host (as PID 1 of its own PID namespace if
//! asked), [`router::Router`] is our daemon or Debian's keepalived, [`pair::Pair`] two of them, [`many::Many`] hundreds, [`service`] what runs beside, [`asking`] what it answers. [`watch::Sampler`] and
//! [`capture::Capture`] watch, [`wire`] makes packets by hand, [`frame`] whole frames. Everything ends with the value that stands for it, on a
//! panic too, and [`lab::Lab`] then prints the logs of all programs.

pub(crate) mod asking;
pub(crate) mod capture;
pub(crate) mod frame;
pub(crate) mod lab;
pub(crate) mod log_table;
pub(crate) mod many;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod promtool;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod watch;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// Programs the laboratory runs, and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 13] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("pgrep", "procps"),
    ("haproxy", "haproxy"),
    ("keepalived", "keepalived"),
    ("../lib/frr/vrrpd", "frr"),
    ("nginx", "nginx-light"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("promtool", "prometheus"),
];

/// Fails, naming what to install, where a test cannot mean anything.
fn demand_privilege_and_programs() {
    assert!(nix::unistd::geteuid().is_root(), "these tests make namespaces: run them as root");
    let found = |program: &str| {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|dir| std::path::Path::new(dir).join(program).exists())
    };
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(p, _)| !found(p)).map(|(_, package)| *package).collect();
    assert!(missing.is_empty(), "these tests need: apt-get install {}", missing.join(" "));
}

/// Asks again every few milliseconds until `condition` holds; panics with `what` after `timeout`.
pub(crate) fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < timeout, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
