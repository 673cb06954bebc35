//! The published compose files on two hosts.

use std::path::PathBuf;
use std::time::Duration;

use super::host::{self, Host, wait_for};
use super::pair::{Pair, SETTLE, VIP};
use super::recipes::has_the_whole_sandbox;
use crate::{HAPROXY, IMAGE, machine, repository};

/// How long a killed router's address may stay: the master-down interval in whole seconds, and slack for the kernel and
/// `docker kill`.
const LEASE: Duration = Duration::from_millis(5_500);

/// The directory of a published compose file.
fn seed(name: &str) -> PathBuf {
    repository().join("tests/docker/seed").join(name)
}

/// A pair with the images in the published files; each host's haproxy answers with the host's name.
pub(crate) struct Published(pub(crate) Pair);

impl Published {
    pub(crate) fn new() -> Self {
        let pair = Pair::with(&[IMAGE, HAPROXY]);
        for (name, host) in pair.hosts() {
            host.docker(&format!("tag {IMAGE} sirrtea/keepalived:alpine"));
            let context = repository().join("tests/docker/haproxy");
            host.docker(&format!(
                "build --quiet --tag sirrtea/haproxy:alpine --build-arg NODE={name} {}",
                context.display()
            ));
        }
        Self(pair)
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        if name == "master" { &self.0.master } else { &self.0.slave }
    }

    pub(crate) fn compose(&self, name: &str, line: &str) {
        self.host(name).compose(&seed(name), &[], line);
    }

    /// Waits until the virtual address is on `name` alone and its haproxy answers the client there.
    pub(crate) fn expect_on(&self, name: &str, because: &str) {
        self.0.expect_held(VIP, name, because);
        wait_for(&format!("an answer from the {name}: {because}"), SETTLE, || {
            let answer = self.0.ask(VIP)?;
            if answer.trim() == name { Ok(()) } else { Err(format!("the client was answered by {answer:?}")) }
        });
    }
}

#[test]
fn the_published_compose_files_run_unchanged_on_two_hosts() {
    let _machine = machine::shared();
    let pair = Published::new();
    pair.compose("master", "up -d");
    pair.compose("slave", "up -d");
    pair.expect_on("master", "priority 11+2 against 10+2");
    has_the_whole_sandbox(&pair.0.master);

    pair.0.master.docker("kill haproxy");
    pair.expect_on("slave", "haproxy was killed on the master: 11 against 12");
    pair.0.master.docker("start haproxy");
    pair.expect_on("master", "haproxy runs again on the master");

    // Dead on both: 11 against 10, so it stays. Five seconds are two checks and an advertisement.
    pair.0.slave.docker("kill haproxy");
    pair.0.master.docker("kill haproxy");
    host::pause(Duration::from_secs(5));
    assert!(
        pair.0.master.network.has(VIP) && !pair.0.slave.network.has(VIP),
        "haproxy is dead on both hosts"
    );
    pair.0.master.docker("start haproxy");
    pair.0.slave.docker("start haproxy");
    pair.expect_on("master", "haproxy runs again on both");

    // When the owner of the process namespace dies, the kernel kills haproxy and later removes the address.
    pair.0.master.docker("kill keepalived");
    wait_for("the killed master's host loses the address", LEASE, || {
        if pair.0.master.network.has(VIP) { Err("it still has it".to_owned()) } else { Ok(()) }
    });
    pair.expect_on("slave", "keepalived was killed on the master");
    pair.0.master.docker("start keepalived");
    host::pause(Duration::from_secs(5));
    pair.expect_on("slave", "keepalived was started again, and its haproxy not: 11 against 12");
    pair.0.master.docker("start haproxy");
    pair.expect_on("master", "haproxy was started again as well");

    pair.0.master.docker("stop keepalived");
    assert_eq!(pair.0.holders(VIP), ["slave"], "a stopped master hands over before it exits");
    pair.expect_on("slave", "keepalived was stopped on the master");
    assert_eq!(pair.0.master.inspect("keepalived", ".State.ExitCode"), "0");
    pair.0.master.docker("start keepalived");
    pair.0.master.docker("start haproxy");
    pair.expect_on("master", "keepalived and haproxy were started again");

    pair.compose("master", "down");
    pair.expect_on("slave", "the master was shut down");
    pair.compose("slave", "down");
    pair.0.expect_nowhere(VIP, "both were shut down");
}

#[test]
fn the_shipped_compose_files_differ_from_the_published_ones_in_the_image_alone() {
    for name in ["master", "slave"] {
        let published =
            std::fs::read_to_string(seed(name).join("docker-compose.yml")).expect("it is in the repository");
        let shipped =
            std::fs::read_to_string(repository().join("compose").join(name).join("docker-compose.yml"));
        let expected = published.replace("image: sirrtea/keepalived:alpine", &format!("image: {IMAGE}"));
        assert_ne!(expected, published);
        assert_eq!(shipped.expect("it is in the repository"), expected, "compose/{name}/docker-compose.yml");
    }
}
