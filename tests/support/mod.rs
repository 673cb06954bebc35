//! A lab of network and PID namespaces for the black-box tests. Knows the product only as a program.
//!
//! * [`lab::Lab`] creates hosts on one bridge, on a [`machine`] that it shares with other tests; [`process::Running`] runs a
//!   program on a host.
//! * [`router::Router`] is our daemon or Debian's keepalived, [`pair::Pair`] two of them, [`many::Many`] hundreds.
//! * [`service`] has the services they check, [`query`] the client commands and HTTP pages of our daemon.
//! * [`asker::Asker`] asks for hardware addresses, [`neighbors::Neighbors`] forgets them; [`oom::MemoryGroup`] runs out of memory.
//! * [`sampler::Sampler`], [`capture::Capture`] and [`schedule`] observe; [`wire`] makes packets by hand, [`frame`] whole frames.
//!
//! Dropping a value ends what it started, also in a panic; [`lab::Lab`] then prints the logs of all programs.

pub(crate) mod asker;
pub(crate) mod capture;
pub(crate) mod frame;
pub(crate) mod lab;
pub(crate) mod log_table;
pub(crate) mod machine;
pub(crate) mod many;
pub(crate) mod neighbors;
pub(crate) mod oom;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod promtool;
pub(crate) mod query;
pub(crate) mod router;
pub(crate) mod sampler;
pub(crate) mod schedule;
pub(crate) mod service;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// The programs the lab needs, with their Debian packages.
const PROGRAMS: [(&str, &str); 15] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("chrt", "util-linux"),
    ("pgrep", "procps"),
    ("nft", "nftables"),
    ("haproxy", "haproxy"),
    ("keepalived", "keepalived"),
    ("../lib/frr/vrrpd", "frr"),
    ("nginx", "nginx-light"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("promtool", "prometheus"),
];

/// Fails, with the packages to install, where the tests cannot run.
fn require_root_and_programs() {
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

/// Polls every few milliseconds until `condition` holds; panics with `what` after `timeout`.
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
