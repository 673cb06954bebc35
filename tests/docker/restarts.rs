//! Which containers stop together in a shared PID namespace: every row of docs/pid-namespace.md for both layouts, on one
//! host.

use std::path::PathBuf;
use std::time::Duration;

use super::host::{Host, Lan, must, pause, program, wait_for};
use super::pair::SETTLE;
use crate::{HAPROXY, IMAGE, images, machine, repository};

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
        host.load_hold();
        let node = Self { host, recipe: repository().join("compose").join(recipe), _lan: lan };
        node.compose("up -d");
        node.whole("both were started");
        node
    }

    fn compose(&self, line: &str) -> String {
        self.host.compose(&self.recipe, &[("PRIORITY", "11")], line)
    }

    /// `up -d` after a variable of keepalived was edited, in `.env` or in the compose file.
    fn edit(&self, priority: &str) -> Result<String, String> {
        self.host.try_compose(&self.recipe, &[("PRIORITY", priority)], "up -d")
    }

    /// `up -d` after a new image has its name.
    fn upgrade(&self, image: &str, version: usize) -> Result<String, String> {
        self.host.load_new_version(image, version);
        self.edit("11")
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
        self.start(&["haproxy"], after);
    }

    /// The same for all guests of a namespace.
    fn start(&self, guests: &[&str], after: &str) {
        pause(SETTLED);
        for guest in guests {
            println!("{after}: {guest} {}", self.host.inspect(guest, ".State.Status"));
            // The engine may be starting it as well.
            let start = || self.host.try_docker(&format!("start {guest}"));
            wait_for(&format!("docker start {guest}: {after}"), SETTLE, start);
        }
        self.whole(after);
    }

    /// haproxy dies, keepalived stays. With master and worker, several processes are guests in the namespace.
    fn haproxy_comes_and_goes(&self) {
        let keepalived = self.pid("keepalived");
        let processes = self.host.docker("top haproxy -o pid,comm");
        assert!(processes.matches("haproxy").count() >= 2, "a master and its worker: {processes}");
        let failures = self.count("Check of haproxy failed");
        let haproxy = self.pid("haproxy");
        self.host.docker("kill --signal USR2 haproxy");
        pause(SETTLED);
        assert_eq!(self.count("Check of haproxy failed"), failures, "a reload is no failure");
        assert_eq!(self.pid("haproxy"), haproxy, "the master of haproxy re-executes itself");
        self.host.docker("stop haproxy");
        self.fails(failures, "haproxy was stopped");
        self.healthy("haproxy is down");
        self.host.docker("start haproxy");
        self.whole("haproxy was stopped and started");
        self.host.docker("restart haproxy");
        self.recovers(failures + 1, "haproxy was restarted");
        self.kill("haproxy");
        self.recovers(failures + 2, "haproxy crashed: the engine starts it again");
        assert_eq!(self.pid("keepalived"), keepalived, "keepalived has outlived all of it");
    }

    /// A guest whose namespace has ended does not run, and the engine has tried to restart it. Its exit code is 137, or 0 if the
    /// engine has reset it for the attempt.
    fn ends_with_its_namespace(&self, guest: &str) {
        wait_for(
            &format!("{guest} died with its namespace, and the engine has tried to restart it"),
            SETTLE,
            || {
                let state = |field: &str| self.host.inspect(guest, &format!(".State.{field}"));
                let text = ["Running", "ExitCode", "Error"].map(state).join(" ");
                let ended = ["false 137 ", "false 0 "].iter().any(|begin| text.starts_with(begin));
                if ended && text.contains("not running") { Ok(()) } else { Err(text) }
            },
        );
    }
}

#[test]
fn with_two_services_haproxy_lives_and_dies_with_keepalived() {
    let _machine = machine::shared();
    let mut node = Node::with("hardened");
    node.healthy("both run");

    node.haproxy_comes_and_goes();

    // keepalived dies, and the kernel kills haproxy with it.
    node.host.docker("stop keepalived");
    node.ends_with_its_namespace("haproxy");
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

    let keepalived = node.pid("keepalived");
    let haproxy = node.pid("haproxy");
    node.upgrade(HAPROXY, 1).unwrap_or_else(|failure| panic!("{failure}"));
    node.whole("a new image of haproxy, up -d");
    assert_ne!(node.pid("haproxy"), haproxy, "it was recreated");
    assert_eq!(node.pid("keepalived"), keepalived, "it kept running");

    // Compose recreates keepalived. Whether haproxy starts in the new namespace is a race, and Compose 1 recreates it.
    for (event, done) in
        [("a variable was edited, up -d", node.edit("12")), ("a new image, up -d", node.upgrade(IMAGE, 1))]
    {
        pause(SETTLED);
        println!("{event}: haproxy {}, {:?}", node.host.inspect("haproxy", ".State.Status"), done.err());
        node.compose("up -d --force-recreate");
        node.whole(event);
    }

    // A new keepalived is a new namespace: the old haproxy can never start again.
    node.compose("up -d --force-recreate --no-deps keepalived");
    pause(SETTLED);
    let refused = node.host.try_docker("start haproxy").expect_err("its namespace no longer exists");
    assert!(refused.contains("No such container"), "{refused}");
    node.compose("up -d --force-recreate");
    node.whole("both were created again");
}

/// What happens to keepalived, and what Docker or the user does.
type Event = (&'static str, fn(&Node));

const OF_KEEPALIVED: [Event; 8] = [
    ("docker stop, docker start keepalived", |node| {
        node.host.docker("stop keepalived");
        assert_eq!(node.host.inspect("keepalived", ".State.ExitCode"), "0", "it has handed over");
        node.host.docker("start keepalived");
    }),
    ("docker kill, docker start keepalived", |node| {
        node.host.docker("kill keepalived");
        node.host.docker("start keepalived");
    }),
    ("docker restart keepalived", |node| {
        node.host.docker("restart keepalived");
    }),
    ("keepalived crashed", |node| node.kill("keepalived")),
    ("compose restart keepalived", |node| {
        node.compose("restart keepalived");
    }),
    ("a variable was edited, up -d", |node| {
        node.edit("12").unwrap_or_else(|failure| panic!("{failure}"));
    }),
    ("a new image, up -d", |node| {
        node.upgrade(IMAGE, 1).unwrap_or_else(|failure| panic!("{failure}"));
    }),
    ("keepalived was created again", |node| {
        node.compose("up -d --force-recreate --no-deps keepalived");
    }),
];

#[test]
fn in_the_holder_layout_neither_keepalived_nor_haproxy_takes_the_other_down() {
    let _machine = machine::shared();
    let mut node = Node::with("holder");
    node.healthy("all run");
    node.haproxy_comes_and_goes();
    let (namespace, haproxy) = (node.pid("namespace"), node.pid("haproxy"));
    for (event, happens) in OF_KEEPALIVED {
        let keepalived = node.pid("keepalived");
        happens(&node);
        node.whole(event);
        wait_for(&format!("another process of keepalived: {event}"), SETTLE, || {
            let pid = node.pid("keepalived");
            if pid != 0 && pid != keepalived { Ok(()) } else { Err(pid.to_string()) }
        });
        assert_eq!((node.pid("namespace"), node.pid("haproxy")), (namespace, haproxy), "{event}");
    }
    node.compose("up -d");
    node.upgrade(HAPROXY, 1).unwrap_or_else(|failure| panic!("{failure}"));
    node.whole("a new image of haproxy, up -d");
    assert_ne!(node.pid("haproxy"), haproxy, "it was recreated");
    assert_eq!(node.pid("namespace"), namespace, "it has outlived all of it");

    // Both guests die with the namespace.
    let guests = ["haproxy", "keepalived"];
    if let Err(failure) = node.host.try_compose(&node.recipe, &[("PRIORITY", "11")], "restart") {
        println!("compose restart: {failure}");
    }
    node.start(&guests, "compose restart");
    node.compose("stop");
    node.compose("start");
    node.whole("compose stop, compose start");
    node.host.restart_engine();
    node.start(&guests, "the host's engine stopped and started");
    for event in ["stop", "kill"] {
        node.host.docker(&format!("{event} namespace"));
        for guest in guests {
            node.ends_with_its_namespace(guest);
        }
        node.host.docker("start namespace");
        node.start(&guests, &format!("docker {event}, docker start namespace"));
    }
    node.host.docker("restart namespace");
    node.start(&guests, "docker restart namespace");
    node.kill("namespace");
    wait_for("the engine restarts the namespace", SETTLE, || {
        if node.running("namespace") { Ok(()) } else { Err("it does not run") }.map_err(str::to_owned)
    });
    node.start(&guests, "the namespace crashed");

    // A new namespace: the old guests can never start again.
    node.compose("up -d --force-recreate --no-deps namespace");
    pause(SETTLED);
    for guest in guests {
        let refused =
            node.host.try_docker(&format!("start {guest}")).expect_err("its namespace no longer exists");
        assert!(refused.contains("No such container"), "{refused}");
    }
    node.compose("up -d --force-recreate");
    node.whole("all were created again");
}

#[test]
fn in_the_hosts_pid_namespace_no_container_takes_another_down() {
    let _machine = machine::shared();
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
