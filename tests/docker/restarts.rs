//! Which containers stop together in a shared PID namespace: every row of docs/pid-namespace.md, on one host.

use std::path::PathBuf;
use std::time::Duration;

use super::host::{Host, Lan, must, pause, program, wait_for};
use super::pair::SETTLE;
use crate::{HAPROXY, IMAGE, images, repository};

/// Longer than the engine takes to restart a container, or to give up.
const SETTLED: Duration = Duration::from_secs(3);

/// A host with a recipe of Compose.
struct Node {
    host: Host,
    recipe: PathBuf,
    _lan: Lan,
}

impl Node {
    fn with(recipe: &str) -> Self {
        images();
        let lan = Lan::new();
        let host = Host::start(&lan, "node", "enp0s3", "10.0.0.11/24");
        host.load(&[IMAGE, HAPROXY]);
        let node = Self { host, recipe: repository().join("compose").join(recipe), _lan: lan };
        node.compose("up -d");
        node.whole("both were started");
        node
    }

    fn compose(&self, line: &str) -> String {
        self.host.compose(&self.recipe, &[("PRIORITY", "11")], line)
    }

    /// The pid of a container's first process on this machine, 0 if there is none.
    fn pid(&self, container: &str) -> i32 {
        self.host.inspect(container, ".State.Pid").parse().expect("a number")
    }

    fn kill(&self, container: &str) {
        must(&mut program(&format!("kill -KILL {}", self.pid(container))));
    }

    fn log(&self) -> String {
        self.host.errors("keepalived")
    }

    /// The number of log lines with `words` since the container keepalived was created.
    fn count(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    fn running(&self, container: &str) -> bool {
        self.host.inspect(container, ".State.Status") == "running"
    }

    /// Waits until both run, keepalived holds the address, and its last check of haproxy succeeded.
    fn whole(&self, because: &str) {
        wait_for(&format!("both run: {because}"), SETTLE, || {
            let text = self.log();
            let succeeded = text.rfind("Check of haproxy succeeded") > text.rfind("Check of haproxy failed");
            let state = (self.running("keepalived"), self.running("haproxy"), succeeded);
            let held = self.host.network.has("10.0.0.2");
            if state == (true, true, true) && held {
                Ok(())
            } else {
                Err(format!("{state:?}, address {held}, {text}"))
            }
        });
    }

    /// The image's health check, as the engine runs it.
    fn healthy(&self, because: &str) {
        wait_for(&format!("healthy: {because}"), SETTLE, || {
            self.host.try_docker("exec keepalived /vrrp-init healthcheck")
        });
    }

    /// Waits until more than `failures` failures were seen, then like [`Node::whole`].
    fn recovers(&self, failures: usize, because: &str) {
        self.fails(failures, because);
        self.whole(because);
    }

    fn fails(&self, failures: usize, because: &str) {
        wait_for(&format!("a failure is seen: {because}"), SETTLE, || {
            let count = self.count("Check of haproxy failed");
            if count > failures { Ok(()) } else { Err(count.to_string()) }
        });
    }

    /// Prints what happened to haproxy when keepalived died, which is a race in the engine, and starts it by hand.
    fn start_haproxy(&self, after: &str) {
        pause(SETTLED);
        println!("{after}: haproxy {}", self.host.inspect("haproxy", ".State.Status"));
        // The engine may be starting it as well.
        wait_for(&format!("docker start haproxy: {after}"), SETTLE, || self.host.try_docker("start haproxy"));
        self.whole(after);
    }
}

#[test]
fn each_row_of_the_restart_matrix_is_correct() {
    let mut node = Node::with("hardened");
    node.healthy("both run");

    // haproxy dies, keepalived stays. With master and worker, several processes are guests in the namespace.
    let keepalived = node.pid("keepalived");
    let processes = node.host.docker("top haproxy -o pid,comm");
    assert!(processes.matches("haproxy").count() >= 2, "a master and its worker: {processes}");
    let failures = node.count("Check of haproxy failed");
    let haproxy = node.pid("haproxy");
    node.host.docker("kill --signal USR2 haproxy");
    pause(SETTLED);
    assert_eq!(node.count("Check of haproxy failed"), failures, "a reload is no failure");
    assert_eq!(node.pid("haproxy"), haproxy, "the master of haproxy re-executes itself");
    node.host.docker("stop haproxy");
    node.fails(failures, "haproxy was stopped");
    node.healthy("haproxy is down");
    node.host.docker("start haproxy");
    node.whole("haproxy was stopped and started");
    node.host.docker("restart haproxy");
    node.recovers(failures + 1, "haproxy was restarted");
    node.kill("haproxy");
    node.recovers(failures + 2, "haproxy crashed: the engine starts it again");
    assert_eq!(node.pid("keepalived"), keepalived, "keepalived has outlived all of it");

    // keepalived dies, and the kernel kills haproxy with it.
    node.host.docker("stop keepalived");
    wait_for("haproxy died with keepalived, and the engine has tried to restart it", SETTLE, || {
        let text = node.host.inspect("haproxy", ".State.ExitCode")
            + " "
            + &node.host.inspect("haproxy", ".State.Error");
        if text.starts_with("137 ") && text.contains("running") { Ok(()) } else { Err(text) }
    });
    node.host.docker("start keepalived");
    pause(SETTLED);
    assert!(!node.running("haproxy"), "haproxy was not started");
    node.start_haproxy("docker stop, docker start keepalived");
    node.host.docker("kill keepalived");
    node.host.docker("start keepalived");
    node.start_haproxy("docker kill, docker start keepalived");
    node.host.docker("restart keepalived");
    node.start_haproxy("docker restart keepalived");
    node.kill("keepalived");
    node.start_haproxy("keepalived crashed");
    node.compose("restart keepalived");
    node.start_haproxy("compose restart keepalived");
    // Compose 2 restarts both at once, and fails if it restarts haproxy before keepalived is back.
    if let Err(failure) = node.host.try_compose(&node.recipe, &[("PRIORITY", "11")], "restart") {
        println!("compose restart: {failure}");
    }
    node.start_haproxy("compose restart");
    node.compose("stop");
    node.compose("start");
    node.whole("compose stop, compose start");
    node.host.restart_engine();
    node.start_haproxy("the host's engine stopped and started");

    // A new keepalived is a new namespace: the old haproxy can never start again.
    node.compose("up -d --force-recreate --no-deps keepalived");
    pause(SETTLED);
    let refused = node.host.try_docker("start haproxy").expect_err("its namespace no longer exists");
    assert!(refused.contains("No such container"), "{refused}");
    node.compose("up -d --force-recreate");
    node.whole("both were created again");
}

#[test]
fn in_the_hosts_pid_namespace_no_container_takes_another_down() {
    let mut node = Node::with("pid-host");
    let haproxy = node.pid("haproxy");
    node.host.docker("restart keepalived");
    node.whole("keepalived was restarted");
    node.kill("keepalived");
    node.whole("keepalived crashed");
    node.compose("up -d --force-recreate --no-deps keepalived");
    node.whole("keepalived was created again");
    assert_eq!(node.pid("haproxy"), haproxy, "haproxy has outlived all of it");
    node.host.restart_engine();
    node.whole("the host's engine stopped and started");
}
