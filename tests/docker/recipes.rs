//! The shipped recipes for Compose and Swarm on two hosts.

use std::fs;
use std::path::PathBuf;

use super::host::{Host, must, run, wait_for};
use super::pair::{Pair, SETTLE, VIP};
use crate::{HAPROXY, IMAGE, machine, repository};

/// The second address of the recipe with two.
const OTHER_VIP: &str = "10.0.0.3";

/// One recipe, up on both hosts; taken down when dropped.
struct Recipe<'a> {
    pair: &'a Pair,
    name: &'a str,
}

fn directory(recipe: &str) -> PathBuf {
    repository().join("compose").join(recipe)
}

impl<'a> Recipe<'a> {
    fn up(pair: &'a Pair, name: &'a str) -> Self {
        let recipe = Self { pair, name };
        recipe.compose("up -d");
        recipe
    }

    fn compose(&self, line: &str) {
        std::thread::scope(|scope| {
            for (priorities, (_, host)) in [("11", "10"), ("10", "11")].into_iter().zip(self.pair.hosts()) {
                let variables = [("PRIORITY", priorities.0), ("PRIORITY_2", priorities.1)];
                scope.spawn(move || host.compose(&directory(self.name), &variables, line));
            }
        });
    }

    fn down(self) {
        self.compose("down --timeout 2");
        self.pair.expect_nowhere(VIP, &format!("{} went down", self.name));
    }

    /// Kills the containers of the master one after the other; each time the address moves to the slave.
    fn fails_over_without(&self, services: &[&str]) {
        self.pair.expect_held(VIP, "master", self.name);
        for service in services {
            self.pair.master.docker(&format!("kill {service}"));
            self.pair.expect_held(VIP, "slave", &format!("{}: {service} was killed", self.name));
            self.pair.master.docker(&format!("start {service}"));
            self.pair.expect_held(VIP, "master", &format!("{}: {service} runs again", self.name));
        }
    }
}

/// A line of `/proc/PID/status` for a container's first process.
fn status_of(host: &Host, container: &str, line: &str) -> String {
    let pid = host.inspect(container, ".State.Pid");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the container runs");
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {line} in {status}")).trim().to_owned()
}

/// No layer is missing.
pub(crate) fn has_the_whole_sandbox(host: &Host) {
    let status = host.docker("exec keepalived /vrrp-init status");
    assert!(status.contains("\nsandbox on\n"), "{status}");
    // Docker's profile is a filter as well.
    assert_eq!(status_of(host, "keepalived", "Seccomp"), "2");
    assert_eq!(status_of(host, "keepalived", "Seccomp_filters"), "2");
}

fn is_hardened(host: &Host) {
    // NET_ADMIN and NET_RAW are the bits 12 and 13.
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status_of(host, "keepalived", set), "0000000000003000", "{set}");
    }
    assert_eq!(status_of(host, "keepalived", "NoNewPrivs"), "1");
    has_the_whole_sandbox(host);
    assert_eq!(status_of(host, "haproxy", "CapBnd"), "0000000000000000");
    assert_eq!(host.inspect("keepalived", ".HostConfig.ReadonlyRootfs"), "true");
}

/// The check of the recipe `script`.
fn runs_a_program_without_rights(host: &Host) {
    let status = host.docker("exec keepalived /vrrp-init status");
    assert!(status.contains("script /check.sh"), "{status}");
    assert!(status.contains("\nsandbox on, but without "), "{status}");
    // With PROGRAM_USER, SETUID and SETGID stay permitted, for the threads that start programs.
    for (set, expected) in [("CapEff", "0000000000003000"), ("CapPrm", "00000000000030c0")] {
        assert_eq!(status_of(host, "keepalived", set), expected, "{set}");
    }
    host.docker("exec keepalived /vrrp-init check");
}

/// What the service `namespace` may do and needs.
fn is_bare(host: &Host) {
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status_of(host, "namespace", set), "0000000000000000", "{set}");
    }
    assert_eq!(status_of(host, "namespace", "NoNewPrivs"), "1");
    assert_eq!(host.inspect("namespace", ".HostConfig.ReadonlyRootfs"), "true");
    assert_eq!(host.inspect("namespace", ".Config.Healthcheck.Test"), "[NONE]");
    let own = status_of(host, "namespace", "RssAnon");
    println!("memory of the namespace's own: {own}; with the pages of the file: {}", pss(host, "namespace"));
    let own: u32 = own.trim_end_matches(" kB").parse().expect("a number of kB");
    assert!(own <= 100, "{own} kB");
}

/// Memory, with its share of the pages that several processes have.
fn pss(host: &Host, container: &str) -> String {
    let pid = host.inspect(container, ".State.Pid");
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the container runs");
    let found = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    found.unwrap_or_else(|| panic!("no Pss in {rollup}")).trim().to_owned()
}

#[test]
fn every_recipe_for_compose_fails_over_when_its_service_dies() {
    let _machine = machine::shared();
    super::stand_ins("nginx dns");
    let dns = ["vrrp-init-stand-in/pihole", "vrrp-init-stand-in/unbound"];
    let pair = Pair::with(&[IMAGE, HAPROXY, "nginx:stable", dns[0], dns[1]]);
    for (_, host) in pair.hosts() {
        host.docker(&format!("tag {} pihole/pihole:latest", dns[0]));
        host.docker(&format!("tag {} mvance/unbound:latest", dns[1]));
    }

    let hardened = Recipe::up(&pair, "hardened");
    hardened.fails_over_without(&["haproxy"]);
    pair.expect_page(VIP, "master", "haproxy runs again");
    is_hardened(&pair.master);
    hardened.down();

    for (_, host) in pair.hosts() {
        host.load_hold();
    }
    let holder = Recipe::up(&pair, "holder");
    holder.fails_over_without(&["haproxy"]);
    pair.expect_page(VIP, "master", "haproxy runs again");
    is_hardened(&pair.master);
    is_bare(&pair.master);
    holder.down();

    let nginx = Recipe::up(&pair, "nginx");
    nginx.fails_over_without(&["nginx"]);
    pair.expect_page(VIP, "master", "nginx runs again");
    nginx.down();

    let dns = Recipe::up(&pair, "dns");
    dns.fails_over_without(&["unbound", "pihole"]);
    dns.down();

    let both = Recipe::up(&pair, "active-active");
    pair.expect_page(VIP, "master", "the first address is preferred there");
    pair.expect_page(OTHER_VIP, "slave", "the second address is preferred there");
    pair.slave.docker("kill haproxy");
    pair.expect_page(OTHER_VIP, "master", "the slave has no haproxy");
    pair.expect_held(VIP, "master", "it was there");
    both.down();
    pair.expect_nowhere(OTHER_VIP, "active-active was taken down");

    for (_, host) in pair.hosts() {
        for line in [
            "nft add table ip no_multicast",
            "nft add chain ip no_multicast in { type filter hook input priority 0 ; }",
            "nft add rule ip no_multicast in ip daddr 224.0.0.0/4 drop",
        ] {
            must(&mut host.network.program(line));
        }
    }
    let unicast = Recipe::up(&pair, "unicast");
    unicast.fails_over_without(&["haproxy"]);
    pair.expect_page(VIP, "master", "haproxy runs again");
    unicast.down();
}

#[test]
fn a_program_in_an_image_with_a_shell_decides_about_the_address() {
    let _machine = machine::shared();
    super::stand_ins("theirs");
    let shell = "vrrp-init-stand-in/theirs";
    let pair = Pair::with(&[IMAGE, HAPROXY, shell]);
    // Any image with a shell and wget.
    let wget = r#"RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/wget"]"#;
    let build =
        format!("printf '%s\\n' 'FROM {shell}' '{wget}' | docker build --network host --tag alpine:3.22 -");
    for (_, host) in pair.hosts() {
        host.shell(repository(), &build).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let script = Recipe::up(&pair, "script");
    pair.expect_page(VIP, "master", "the page is there on both hosts");
    script.fails_over_without(&["haproxy"]);
    pair.expect_page(VIP, "master", "haproxy runs again");
    runs_a_program_without_rights(&pair.master);
    script.down();
}

#[test]
fn the_recipe_for_swarm_fails_over_when_its_port_closes_and_when_its_node_is_drained() {
    let _machine = machine::shared();
    let pair = Pair::with(&[IMAGE, HAPROXY]);
    pair.master.docker("swarm init --advertise-addr 10.0.0.11 --listen-addr 10.0.0.11");
    let token = pair.master.docker("swarm join-token --quiet worker");
    pair.slave
        .docker(&format!("swarm join --token {} --advertise-addr 10.0.0.12 10.0.0.11:2377", token.trim()));
    let stack = directory("swarm").join("stack.yml");
    pair.master.docker(&format!("stack deploy --resolve-image never --compose-file {} web", stack.display()));

    let holder = wait_for("one node has the address and answers", SETTLE * 2, || {
        let page =
            run(&mut pair.client.program(&format!("curl --silent --fail --max-time 1 http://{VIP}:8080/")));
        match pair.holders(VIP)[..] {
            [holder] if page.is_ok() => Ok(holder),
            ref holders => Err(format!("on {holders:?}, {page:?}")),
        }
    });
    let of = |name: &str| if name == "master" { &pair.master } else { &pair.slave };
    let other = if holder == "master" { "slave" } else { "master" };
    let task = of(holder).docker("ps --quiet --filter label=com.docker.swarm.service.name=web_haproxy");
    of(holder).docker(&format!("kill {}", task.trim()));
    pair.expect_held(VIP, other, "haproxy was killed on the first node");

    let node = of(other).docker("info --format {{.Swarm.NodeID}}");
    pair.master.docker(&format!("node update --availability drain {}", node.trim()));
    pair.expect_held(VIP, holder, "the other node was drained");
}
