//! The holder layout on two hosts while a client sends requests: upgrades, edits and stops of vrrp-init lose none of them, and
//! leave haproxy's process alone.

use std::fs;
use std::time::Duration;

use super::host::{Host, compose_1, pause, wait_for};
use super::pair::{Pair, SETTLE, VIP};
use super::readme::blocks;
use super::requests::Requests;
use crate::{HAPROXY, IMAGE, machine, repository};

/// The upgrades of each host; `UPGRADES=20` gives the figure in docs/pid-namespace.md.
const UPGRADES: usize = 2;

/// Longer than announcements and checks take after a change.
const QUIET: Duration = Duration::from_secs(3);

/// The pids of the processes that must live through everything.
fn processes(host: &Host) -> [String; 2] {
    ["namespace", "haproxy"].map(|container| host.inspect(container, ".State.Pid"))
}

/// The layout on both hosts.
struct Holders(Pair);

/// What a client saw of changes.
#[derive(Default)]
struct Seen {
    requests: usize,
    /// Lost with their established connection when the address moved.
    in_flight: usize,
    /// Refused, or not answered in time.
    failed: usize,
}

impl Holders {
    fn start() -> Self {
        let pair = Pair::with(&[IMAGE, HAPROXY]);
        for (name, host) in pair.hosts() {
            host.load_hold();
            compose(name, host, "up -d");
        }
        pair.expect_page(VIP, "master", "the layout was started on both hosts");
        pause(QUIET);
        Self(pair)
    }

    /// Makes a change on the slave, then on the master, each time while a client sends requests, and waits until the
    /// master has the address again. None of the requests may fail, but those in flight when the address moves: how many
    /// these are depends on how busy the machine is.
    fn survive(&self, what: &str, mut change: impl FnMut(&'static str, &Host)) -> Seen {
        let mut seen = Seen::default();
        for (name, host) in self.0.hosts().into_iter().rev() {
            let requests = Requests::start(&self.0.client, VIP);
            pause(Duration::from_millis(500));
            change(name, host);
            self.0.expect_page(VIP, "master", &format!("{what} on the {name}"));
            pause(QUIET);
            let (count, lost) = requests.finish();
            let in_flight = lost.iter().filter(|failure| failure.is_in_flight()).count();
            let failed = lost.len() - in_flight;
            println!("{what} on the {name}: {failed} of {count} requests failed, {in_flight} more in flight");
            assert_eq!(failed, 0, "{what} on the {name}: {lost:?}");
            seen.requests += count;
            seen.in_flight += in_flight;
            seen.failed += failed;
        }
        seen
    }

    /// Like [`Holders::survive`], and haproxy and the namespace keep their processes.
    fn survive_beside_haproxy(&self, what: &str, change: impl FnMut(&'static str, &Host)) -> Seen {
        let before = self.0.hosts().map(|(_, host)| processes(host));
        let seen = self.survive(what, change);
        assert_eq!(self.0.hosts().map(|(_, host)| processes(host)), before, "{what}: the processes' pids");
        seen
    }
}

fn compose(name: &str, host: &Host, line: &str) {
    host.compose(&repository().join("compose/holder"), &[("PRIORITY", priority(name))], line);
}

/// What a reader writes into `.env`.
fn priority(name: &str) -> &'static str {
    if name == "master" { "11" } else { "10" }
}

#[test]
fn upgrades_of_vrrp_init_lose_no_request_and_leave_haproxy_alone() {
    let _machine = machine::alone();
    let holders = Holders::start();
    let upgrades = std::env::var("UPGRADES").map_or(UPGRADES, |text| text.parse().expect("a number"));
    let mut total = Seen::default();
    for number in 0..upgrades {
        let seen = holders.survive_beside_haproxy("an upgrade", |name, host| {
            let keepalived = host.inspect("keepalived", ".Id");
            host.load_new_version(IMAGE, number);
            compose(name, host, "up -d");
            assert_ne!(host.inspect("keepalived", ".Id"), keepalived, "it was recreated");
            assert_eq!(host.inspect("keepalived", ".Config.Labels.version"), number.to_string());
        });
        total.requests += seen.requests;
        total.in_flight += seen.in_flight;
        total.failed += seen.failed;
    }
    println!(
        "{upgrades} upgrades of each host: {} of {} requests failed, {} more in flight; haproxy kept its process each time",
        total.failed, total.requests, total.in_flight
    );
}

/// The section "Upgrade" of docs/operating.md, each of its commands as it is written there, on one host after the other. The new
/// image is built instead of pulled.
#[test]
fn the_upgrade_of_the_documents_loses_no_request_and_leaves_haproxy_alone() {
    let _machine = machine::alone();
    let document =
        fs::read_to_string(repository().join("docs/operating.md")).expect("it is in the repository");
    let (_, section) = document.split_once("\n## Upgrade\n").expect("there is the section");
    let blocks = blocks(section.split_once("\n## ").map_or(section, |(section, _)| section));
    let [judge, drain, replace, look] = &blocks[..] else { panic!("{} steps", blocks.len()) };
    let judge =
        judge.text.strip_prefix("docker compose pull keepalived\n").expect("the image is pulled first");
    let holders = Holders::start();
    holders.survive_beside_haproxy("the upgrade of docs/operating.md", |name, host| {
        let shell = |script: &str| {
            let script = format!("export PRIORITY={}\n{script}", priority(name));
            host.shell(&repository().join("compose/holder"), &script)
        };
        let must = |script: &str| shell(script).unwrap_or_else(|failure| panic!("{failure}"));
        let keepalived = host.inspect("keepalived", ".Id");
        host.load_new_version(IMAGE, 0);
        let drained = || {
            assert!(must(&drain.text).contains("drained until 2"));
            assert!(!host.network.has(VIP), "another node takes over");
        };
        if compose_1() {
            drained();
            must("docker compose stop keepalived");
        }
        println!("{}", must(judge));
        assert_eq!(host.inspect("keepalived", ".Id"), keepalived, "the check changes nothing");
        if !compose_1() {
            drained();
        }
        must(&replace.text);
        assert_eq!(host.inspect("keepalived", ".Config.Labels.version"), "0");
        wait_for("the new one is well", SETTLE, || {
            let status = shell(&look.text)?;
            let line = status.lines().nth(1).filter(|line| !line.contains("warning"));
            line.map(|line| println!("{line}")).ok_or(status)
        });
    });
}

#[test]
fn other_planned_changes_of_the_holder_layout_lose_no_request() {
    let _machine = machine::alone();
    let holders = Holders::start();
    holders.survive_beside_haproxy("docker restart keepalived", |_, host| {
        host.docker("restart keepalived");
    });
    holders.survive_beside_haproxy("an edited variable", |name, host| {
        let priority = if name == "master" { "14" } else { "9" };
        host.compose(&repository().join("compose/holder"), &[("PRIORITY", priority)], "up -d");
    });
    // Compose stops keepalived first, so that the address has moved when haproxy stops.
    holders.survive("compose stop, compose start", |name, host| {
        compose(name, host, "stop");
        compose(name, host, "start");
    });
}

/// The manifest for Kubernetes.
fn manifest() -> String {
    fs::read_to_string(repository().join("compose/kubernetes/daemonset.yaml"))
        .expect("it is in the repository")
}

/// The text after `key` up to `end` in the manifest.
fn value<'a>(manifest: &'a str, key: &str, end: &str) -> &'a str {
    let (_, rest) = manifest.split_once(key).unwrap_or_else(|| panic!("no {key}"));
    rest.split_once(end).map_or(rest, |(value, _)| value)
}

/// Stops the containers as the kubelet stops those of a pod: for all at once the hook `preStop`, then SIGTERM, and SIGKILL at
/// the end of the grace period.
fn stop_pod(host: &Host) {
    let manifest = manifest();
    let drain = value(&manifest, "preStop:\n              exec: {command: [", "]}").replace(", ", " ");
    let sleep = value(&manifest, "preStop:\n              sleep: {seconds: ", "}").parse().expect("seconds");
    let grace = value(&manifest, "terminationGracePeriodSeconds: ", "\n");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Where no other node takes over, the hook fails, and the kubelet goes on.
            println!("{drain}: {:?}", host.try_docker(&format!("exec keepalived {drain}")));
            host.docker(&format!("stop --time {grace} keepalived"));
        });
        scope.spawn(|| {
            pause(Duration::from_secs(sleep));
            host.docker(&format!("stop --time {grace} haproxy"));
        });
    });
    assert_eq!(host.inspect("keepalived", ".State.ExitCode"), "0");
    host.docker(&format!("stop --time {grace} namespace"));
}

/// The layout of a pod with a shared process namespace, whose first process is another container's.
#[test]
fn a_pod_that_is_stopped_loses_no_request() {
    let _machine = machine::alone();
    let holders = Holders::start();
    let drain = value(&manifest(), "preStop:\n              exec: {command: [", "]}").to_owned();
    assert!(drain.starts_with("/vrrp-init, drain"), "{drain}");
    holders.survive("the stop of a pod, and its start", |_, host| {
        stop_pod(host);
        host.docker("start namespace haproxy keepalived");
    });
}
