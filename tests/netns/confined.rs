//! The daemon where the kernel, a container or a service manager leaves it less than Docker does. What cannot be had costs a
//! layer of the sandbox and a line, never the start.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc;
use nix::sys::signal::Signal;
use seccompiler::sock_filter;
use vrrp_init::sys::sandbox::{ALLOWED, CONDITIONAL};

use crate::support::lab::Lab;
use crate::support::process::Launch;
use crate::support::query::{command, command_in_its_environment};
use crate::support::router::{Node, OURS, Router};
use crate::support::seconds;
use crate::support::service::Haproxy;

/// The variable with the profile for [`behind_a_profile`].
const PROFILE: &str = "TEST_PROFILE";

/// An outer seccomp profile: one result for these calls and one for all others, as in `linux/seccomp.h`.
struct Profile {
    calls: Vec<i64>,
    result: u32,
    otherwise: u32,
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn refuse(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.cast_unsigned()
}

const LANDLOCK: [i64; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

impl Profile {
    /// What a kernel does that does not know these calls.
    fn without(calls: &[i64]) -> Self {
        Self { calls: calls.to_vec(), result: refuse(libc::ENOSYS), otherwise: ALLOW }
    }

    /// Our own filter, and one that kills where ours refuses. `more` is what it accepts besides: the sandbox is not set up yet.
    fn of_ours(more: &[i64], otherwise: u32) -> Self {
        // glibc tries clone3 first. The binary of a release has musl.
        let start = [libc::SYS_execve, libc::SYS_clone3];
        let calls = [ALLOWED, CONDITIONAL, &start, more].concat();
        Self { calls, result: ALLOW, otherwise }
    }

    /// For an environment variable.
    fn text(&self) -> String {
        let numbers =
            [self.result.into(), self.otherwise.into()].into_iter().chain(self.calls.iter().copied());
        numbers.map(|number: i64| number.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn parse(text: &str) -> Self {
        let mut numbers = text.split(' ').map(|number| number.parse::<i64>().unwrap());
        let mut result = || u32::try_from(numbers.next().unwrap()).unwrap();
        Self { result: result(), otherwise: result(), calls: numbers.collect() }
    }

    /// Applies it to this thread and the program that it becomes.
    fn apply(&self) {
        let instruction = |code, k, jt, jf| sock_filter { code, jt, jf, k };
        let mut filter = vec![instruction(0x20, 0, 0, 0)];
        for call in &self.calls {
            filter.push(instruction(0x15, u32::try_from(*call).unwrap(), 0, 1));
            filter.push(instruction(0x06, self.result, 0, 0));
        }
        filter.push(instruction(0x06, self.otherwise, 0, 0));
        seccompiler::apply_filter(&filter).unwrap();
    }
}

/// No test, but what [`start`] runs to put the daemon behind a profile.
#[test]
fn behind_a_profile() {
    let Ok(profile) = std::env::var(PROFILE) else { return };
    let mut program = Command::new(OURS);
    program.env_remove(PROFILE);
    Profile::parse(&profile).apply();
    panic!("{OURS}: {}", program.exec());
}

/// The daemon behind a profile; `words` run the program that puts it there.
fn start(lab: &Lab, number: u8, node: &Node, words: &[&str], profile: &Profile) -> Router {
    let host = lab.host(&format!("h{number}"), number);
    let node = Node { vrid: 50 + number, vip: [10, 77, 0, 100 + number].into(), ..node.clone() };
    let own = std::env::current_exe().unwrap();
    let through = ["--exact", "confined::behind_a_profile", "--nocapture"];
    let words: Vec<&str> = words.iter().copied().chain([own.to_str().unwrap()]).chain(through).collect();
    Router::ours(&host, &node.with(PROFILE, profile.text()), Launch::Through(&words))
}

/// The layers of the sandbox that the daemon lacks, with the reason.
fn missing(router: &Router) -> BTreeMap<String, String> {
    let (code, text) = command(router, &["status", "--json"]);
    assert_eq!(code, 0, "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    let layers = status["sandbox"].as_array().unwrap();
    assert_eq!(layers.len(), 7, "{text}");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let missing = layers.iter().filter(|layer| layer["active"] == false);
    missing.map(|layer| (text(&layer["layer"]), text(&layer["problem"]))).collect()
}

/// It does everything that it does elsewhere: takes the address over, sees its service end, and stops.
fn works(router: &mut Router) {
    router.wait_master(0, seconds(10));
    let haproxy = Haproxy::start(&router.host, &router.run);
    router.run.log.wait_for("priority from 200 to 202", seconds(5));
    haproxy.kill();
    router.run.log.wait_for("haproxy … is gone", seconds(3));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(5)), 0);
    assert!(!router.holds_vip());
}

#[test]
fn a_kernel_without_seccomp_or_without_landlock_costs_that_layer_and_one_line() {
    let lab = Lab::new();
    let seccomp = [libc::SYS_seccomp];
    let both = [&seccomp[..], &LANDLOCK].concat();
    for (number, calls, lacks) in [
        (1, &seccomp[..], &["seccomp"][..]),
        (2, &LANDLOCK, &["landlock"]),
        (3, &both, &["landlock", "seccomp"]),
    ] {
        let node = Node::watching_haproxy(200);
        let mut router = start(&lab, number, &node, &[], &Profile::without(calls));
        router.wait_master(0, seconds(10));
        let missing = missing(&router);
        assert_eq!(missing.keys().collect::<Vec<_>>(), lacks, "{missing:?}");
        for layer in lacks {
            let line = format!("Sandbox: without {layer}: ");
            router.run.log.wait_for(&line, seconds(1));
            assert_eq!(router.run.log.since(0, &line).len(), 1);
        }
        let (code, report) = command_in_its_environment(&router, &["check"]);
        assert_eq!(code, 0, "{report}");
        works(&mut router);
    }
}

#[test]
fn a_profile_that_kills_for_every_call_that_ours_refuses_kills_nothing() {
    let lab = Lab::new();
    let node = Node::watching_haproxy(200);
    let set_up = [&[libc::SYS_seccomp][..], &LANDLOCK].concat();
    let mut router = start(&lab, 1, &node, &[], &Profile::of_ours(&set_up, KILL));
    router.wait_master(0, seconds(10));
    assert_eq!(missing(&router), BTreeMap::new());
    works(&mut router);
    // It kills for setting up a sandbox as well.
    let mut router = start(&lab, 2, &node, &[], &Profile::of_ours(&[], KILL));
    router.wait_master(0, seconds(10));
    let missing = missing(&router);
    assert_eq!(missing.keys().collect::<Vec<_>>(), ["landlock", "seccomp"], "{missing:?}");
    assert!(missing.values().all(|why| why.contains("kills processes that try it")), "{missing:?}");
    works(&mut router);
}

/// The number of a system call, or those of a group of systemd's, by its own list.
fn calls_of(name: &str) -> Vec<i64> {
    if !name.starts_with('@') {
        return number_of(name).into_iter().collect();
    }
    let listed =
        Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let names = names.lines().skip(1).map(str::trim).filter(|name| !name.starts_with('#'));
    names.flat_map(calls_of).collect()
}

/// By the kernel's header.
fn number_of(call: &str) -> Option<i64> {
    let header = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"];
    let header =
        header.iter().find_map(|path| fs::read_to_string(path).ok()).expect("libc6-dev is installed");
    let value = |name: &str| {
        let define = format!("#define {name} ");
        header.lines().find_map(|line| line.strip_prefix(&define)).map(str::trim)
    };
    let text = value(&format!("__NR_{call}"))?;
    // The general header names some of them twice.
    text.parse().ok().or_else(|| value(text)?.parse().ok())
}

/// What compose/systemd/vrrp-init.service asks for: a user of its own with two ambient capabilities, no new privileges, and
/// EPERM for all but the system calls that it names.
#[test]
fn a_unit_of_systemd_has_the_whole_sandbox() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/compose/systemd/vrrp-init.service"))
        .unwrap();
    for line in [
        "DynamicUser=yes",
        "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW",
        "NoNewPrivileges=yes",
        "SystemCallErrorNumber=EPERM",
    ] {
        assert!(unit.lines().any(|found| found == line), "the unit has changed: {line}");
    }
    let filters = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let calls: Vec<_> = filters.flat_map(str::split_whitespace).flat_map(calls_of).collect();
    assert!(
        calls.len() > 200 && calls.contains(&libc::SYS_capset) && !calls.contains(&libc::SYS_mount),
        "{calls:?}"
    );
    let lab = Lab::new();
    let two = "-all,+net_admin,+net_raw";
    let words = [
        ["sh", "-c", "mkdir -m 755 /run/own && chown 12345 /run/own && exec \"$@\"", "sh"].as_slice(),
        &["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--no-new-privs"],
        &["--inh-caps", two, "--ambient-caps", two, "--bounding-set", two],
    ]
    .concat();
    let node = Node::watching_haproxy(200).with("STATUS_SOCKET", "/run/own/sock");
    let profile = Profile { calls, result: ALLOW, otherwise: refuse(libc::EPERM) };
    let mut router = start(&lab, 1, &node, &words, &profile);
    router.wait_master(0, seconds(10));
    let (code, text) = command_in_its_environment(&router, &["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\nsandbox on") && !text.contains("sandbox on, but"), "{text}");
    works(&mut router);
}

/// Root without real capabilities, as in a rootless container with the host's network.
#[test]
fn root_of_a_user_namespace_gets_no_address_of_the_hosts_network_and_learns_why() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let words = ["unshare", "--user", "--map-root-user"];
    let mut router = Router::ours(&host, &Node::plain(200), Launch::Through(&words));
    assert_eq!(router.run.wait_exit(seconds(5)), 77);
    router
        .run
        .log
        .wait_for("Operation not permitted … in a user namespace, as with a rootless engine", seconds(1));
}

/// As in a rootless container with a network of its own: there, NET_ADMIN is real.
#[test]
fn root_of_a_user_namespace_that_owns_its_network_has_the_whole_sandbox() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let link = "ip link set lo up && ip link add enp0s3 type veth peer name other && ip link set other up && \
                ip link set enp0s3 up && ip address add 10.77.0.1/24 dev enp0s3 && exec \"$@\"";
    let words = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", link, "sh"];
    let mut router = Router::ours(&host, &Node::plain(200), Launch::Through(&words));
    router.run.log.wait_for("Entering MASTER STATE", seconds(10));
    assert_eq!(missing(&router), BTreeMap::new());
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(5)), 0);
}
