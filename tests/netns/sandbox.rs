//! What the running daemon has given up, as the kernel lists it, and that the programs it runs have nothing either.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running, children_of};
use crate::support::query::{command, command_in_its_environment};
use crate::support::router::{Check, Kind, Node, OURS, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, chown};

/// NET_ADMIN and NET_RAW.
const BOTH: u64 = 1 << 12 | 1 << 13;
const NOTHING: u64 = 0;

/// One line per field of /proc/PID/status.
const CAPABILITIES: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// The fields of every thread of a process.
fn fields(pid: u32, names: &[&str]) -> Vec<Vec<u64>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let values = texts.map(|text| {
        let value = |name: &&str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        names.iter().map(|name| u64::from_str_radix(value(name).unwrap().trim(), 16).unwrap()).collect()
    });
    values.collect()
}

fn sandbox(router: &Router) -> serde_json::Value {
    let (code, text) = command(router, &["status", "--json"]);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["sandbox"].take()
}

#[test]
fn it_keeps_two_capabilities_in_every_thread_and_cannot_be_dumped() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let haproxy = Node {
        check: Some(Check::each_second("a-name-that-only-the-arguments-have", 2)),
        ..Node::plain(200)
    };
    let router = Router::start(Kind::Ours, &host, &haproxy);
    router.wait_master(0, seconds(8));
    let pid = router.run.pid();
    // The guard's thread is one of them.
    let threads = fields(pid, &CAPABILITIES);
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        assert_eq!(thread, [NOTHING, BOTH, BOTH, BOTH, NOTHING]);
    }
    for thread in fields(pid, &["NoNewPrivs", "Seccomp", "Seccomp_filters"]) {
        assert_eq!(thread, [1, 2, 1]);
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let dumps = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(dumps.split_whitespace().filter(|word| *word == "0").count(), 2, "{dumps}");

    let layers = sandbox(&router);
    assert_eq!(layers.as_array().unwrap().len(), 7);
    for layer in layers.as_array().unwrap() {
        assert_eq!((&layer["active"], &layer["problem"]), (&true.into(), &().into()), "{layer}");
    }
    assert!(command(&router, &["status"]).1.contains("\nsandbox on\n"));
    router.run.log.wait_for("Sandbox: … capabilities … seccomp ( … system calls)", seconds(1));
    let (code, report) = command_in_its_environment(&router, &["check"]);
    assert!(
        code == 0 && report.contains("info  Sandbox: ") && !report.contains("Sandbox: without"),
        "{report}"
    );
}

#[test]
fn switched_off_it_keeps_what_the_container_has() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("SANDBOX", "off"));
    router.wait_master(0, seconds(8));
    let ours = fields(std::process::id(), &["CapPrm", "CapEff", "CapBnd"]);
    for thread in fields(router.run.pid(), &["CapPrm", "CapEff", "CapBnd"]) {
        assert_eq!(thread, ours[0]);
    }
    assert_eq!(fields(router.run.pid(), &["NoNewPrivs", "Seccomp"])[0], [0, 0]);
    assert_eq!(sandbox(&router), serde_json::json!([]));
    assert!(command(&router, &["status"]).1.contains("\nsandbox off (SANDBOX=off)\n"));
    router.run.log.wait_for("Sandbox: off", seconds(1));
}

/// Kubernetes with `drop: [ALL]`: SETPCAP is missing, and so the bounding set stays; but it is small already.
#[test]
fn with_only_the_two_capabilities_everything_is_in_force() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let out = host.file("out");
    let program = script(&host, &format!("grep ^Cap /proc/self/status > {}", out.display()));
    let node = Node::plain(200).with("NOTIFY", &program);
    let run = Launch::Without("all,+net_admin,+net_raw");
    let router = Router::ours(&host, &node, run);
    router.wait_master(0, seconds(8));
    assert_eq!(fields(router.run.pid(), &CAPABILITIES)[0], [NOTHING, BOTH, BOTH, BOTH, NOTHING]);
    router.run.log.wait_for("notify.sh INSTANCE VI_1 MASTER 200: exited with 0", seconds(2));
    let program = fs::read_to_string(&out).unwrap();
    assert!(
        program.contains("CapEff:\t0000000000000000\n") && program.contains("CapPrm:\t0000000000000000\n"),
        "{program}"
    );
    for layer in sandbox(&router).as_array().unwrap() {
        // Programs would inherit it.
        assert_eq!(layer["active"], layer["layer"] != "landlock", "{layer}");
    }
}

#[test]
fn where_the_bounding_set_cannot_be_cut_one_line_says_so_and_programs_still_have_nothing() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let out = host.file("out");
    let program = script(&host, &format!("grep ^Cap /proc/self/status > {}", out.display()));
    let router = Router::ours(&host, &Node::plain(200).with("NOTIFY", &program), Launch::Without("setpcap"));
    router.wait_master(0, seconds(8));
    router.run.log.wait_for("warn … Sandbox: without bounding … SETPCAP", seconds(1));
    assert!(command(&router, &["status"]).1.contains("\nsandbox on, but without bounding: "));
    router.run.log.wait_for("notify.sh INSTANCE VI_1 MASTER 200: exited with 0", seconds(2));
    let program = fs::read_to_string(&out).unwrap();
    assert!(
        program.contains("CapEff:\t0000000000000000\n") && program.contains("CapPrm:\t0000000000000000\n"),
        "{program}"
    );
}

/// Docker's default capabilities and NET_ADMIN.
const DOCKER: &str = "all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,\
                      +sys_chroot,+mknod,+audit_write,+setfcap,+net_admin";

/// The first process of another container in the same PID namespace, with root.
fn guest(host: &Host, init: &Running, text: &str) -> (i32, String) {
    let script = format!("exec setpriv --bounding-set=-{DOCKER} --inh-caps=-all dash -c '{text}' 2>&1");
    let mut run = Running::start(host, Launch::Joining(init), Path::new("/bin/dash"), &["-c", &script], &[]);
    let code = run.wait_exit(seconds(10));
    (code, run.log.whole(seconds(1)))
}

#[test]
fn a_guest_with_root_and_net_admin_can_neither_read_its_environment_nor_trace_it() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a", 1), lab.host("b", 2));
    let node = Node::plain(200).with("AUTH_PASS", "t0psecr");
    let router = Router::ours(&host, &node, Launch::Without(DOCKER));
    router.wait_master(0, seconds(8));
    let attach = "timeout -s INT 0.5 strace -p 1";
    for secret in
        ["cat /proc/1/environ", "head -c 1 /proc/1/mem", "ls -l /proc/1/fd/", "ls /proc/1/root/", attach]
    {
        let (code, output) = guest(&host, &router.run, secret);
        assert_ne!(code, 0, "{secret}: {output}");
        assert!(output.contains("denied") || output.contains("not permitted"), "{secret}: {output}");
        assert!(!output.contains("t0psecr"), "{output}");
    }
    // The control: this is what the sandbox prevents.
    let node = Node { vrid: 52, vip: [10, 77, 0, 101].into(), ..node.with("SANDBOX", "off") };
    let open = Router::ours(&other, &node, Launch::Without(DOCKER));
    open.wait_master(0, seconds(8));
    let (code, output) = guest(&other, &open.run, "cat /proc/1/environ");
    assert!(code == 0 && output.contains("AUTH_PASS=t0psecr"), "{output}");
}

fn script(host: &Host, text: &str) -> PathBuf {
    let path = host.file("notify.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What a program prints about itself.
const ABOUT_ITSELF: &str = "grep -E '^(Cap|Uid|Gid|Groups|NoNewPrivs|Seccomp)' /proc/self/status; env";

#[test]
fn a_program_has_no_capability_and_a_known_environment() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let program = script(&host, ABOUT_ITSELF);
    let node = Node::plain(200)
        .with("NOTIFY", &program)
        .with("AUTH_PASS", "t0psecr")
        .with("WEBHOOK_URL", "http://x")
        .with("PROGRAM_ENV", "WEBHOOK_URL AUTH_PASS")
        .with("DB_PASSWORD", "other");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("notify.sh INSTANCE VI_1 BACKUP 200: exited with 0", seconds(2));
    let log = &router.run.log;
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        log.wait_for(&format!("{set}:\t0000000000000000"), seconds(1));
    }
    log.wait_for("seccomp (all system calls but … programs inherit", seconds(1));
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Uid:\t0\t0\t0\t0",
        "WEBHOOK_URL=http://x",
        "PRIORITY=200",
        "PATH=/",
    ] {
        log.wait_for(line, seconds(1));
    }
    assert_eq!(log.since(0, "DB_PASSWORD"), [""; 0]);
    assert_eq!(log.since(0, "AUTH_PASS=").into_iter().filter(|line| line.starts_with("AUTH")).count(), 0);
    assert_eq!(log.since(0, "t0psecr"), [""; 0]);
}

#[test]
fn a_program_runs_as_its_user_and_is_stopped_although_it_is_another() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let program = script(&host, &format!("{ABOUT_ITSELF}\n[ $3 = MASTER ] && exec sleep 600\nexit 0"));
    let node = Node::plain(200).with("NOTIFY", &program).with("PROGRAM_USER", "1234:2345");
    let mut router = Router::start(Kind::Ours, &host, &node);
    let log = router.run.log.clone();
    for line in [
        "Uid:\t1234\t1234\t1234\t1234",
        "Gid:\t2345\t2345\t2345\t2345",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        log.wait_for(line, seconds(2));
    }
    assert!(log.since(0, "Groups:").iter().all(|line| line.trim() == "Groups:"), "no group of ours is left");
    router.wait_master(0, seconds(8));
    wait_until("it runs", seconds(2), || children_of(router.run.pid()).len() == 1);
    // Only a program can use what is left in reserve.
    let spare = 1 << 6 | 1 << 7;
    let sets = fields(router.run.pid(), &["CapPrm", "CapEff", "CapBnd"]);
    assert_eq!(sets[0], [BOTH | spare, BOTH, BOTH]);
    log.wait_for("notify.sh INSTANCE VI_1 MASTER 200 … still running after 30 s", seconds(33));
    log.wait_for("notify.sh INSTANCE VI_1 MASTER 200 … was killed by SIGTERM", seconds(3));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
}

#[test]
fn a_user_by_name_is_looked_up_and_an_unknown_one_is_a_problem() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let program = script(&host, ABOUT_ITSELF);
    let node = Node::plain(200).with("NOTIFY", &program);
    let router = Router::start(Kind::Ours, &host, &node.clone().with("PROGRAM_USER", "nobody"));
    router.run.log.wait_for("Uid:\t65534", seconds(2));
    let mut unknown = Router::start(Kind::Ours, &host, &node.with("PROGRAM_USER", "nobody-knows"));
    assert_eq!(unknown.run.wait_exit(seconds(2)), 78);
    unknown.run.log.wait_for("PROGRAM_USER=nobody-knows … is not in /etc/passwd", seconds(1));
}

/// As keepalived's script security does.
#[test]
fn a_program_that_others_may_write_is_refused() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let ran = host.file("ran");
    let program = script(&host, &format!(": > {}", ran.display()));
    let refused = |node: &Node, why: &str| {
        let (code, report) = {
            let router = Router::start(Kind::Ours, &host, node);
            router.run.log.wait_for("warn … NOTIFY: cannot run … ", seconds(2));
            router
                .run
                .log
                .wait_for(&format!("warn … notify.sh INSTANCE VI_1 BACKUP 200: … {why}"), seconds(2));
            command_in_its_environment(&router, &["check"])
        };
        assert!(code == 0 && report.contains(why) && !ran.exists(), "{report}");
    };
    let node = Node::plain(200).with("NOTIFY", &program);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&program, 0o757);
    refused(&node, "others can write");
    mode(&program, 0o755);
    chown(&program, Some(Uid::from_raw(1234)), None).unwrap();
    refused(&node, "belongs to user 1234, who could change it");
    refused(&node.clone().with("PROGRAM_USER", "1235"), "set PROGRAM_USER=1234");
    // A folder that others write is as good as the file.
    let folder = host.file("folder");
    fs::create_dir(&folder).unwrap();
    let inner = folder.join("notify.sh");
    fs::rename(&program, &inner).unwrap();
    chown(&inner, Some(Uid::from_raw(0)), None).unwrap();
    mode(&folder, 0o777);
    refused(&Node::plain(200).with("NOTIFY", &inner), "others can write");
    // So is the folder of a link to it.
    mode(&folder, 0o755);
    let open = host.file("open");
    fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    let link = open.join("notify.sh");
    std::os::unix::fs::symlink(&inner, &link).unwrap();
    refused(&Node::plain(200).with("NOTIFY", &link), "others can write");

    // The user that it runs as may write it.
    chown(&inner, Some(Uid::from_raw(1234)), None).unwrap();
    mode(&inner, 0o700);
    mode(&folder, 0o1777);
    let node = Node::plain(200).with("NOTIFY", &inner);
    let own = Router::start(Kind::Ours, &host, &node.clone().with("PROGRAM_USER", "1234"));
    own.run.log.wait_for("notify.sh INSTANCE VI_1 BACKUP 200: …", seconds(2));
    assert_eq!(own.run.log.since(0, "who could change it"), [""; 0]);
    assert_eq!(own.run.log.since(0, "others can write"), [""; 0]);
    drop(own);
    // Without the sandbox, all this is as before.
    let off = Router::start(Kind::Ours, &host, &node.with("SANDBOX", "off"));
    off.run.log.wait_for("notify.sh INSTANCE VI_1 BACKUP 200: exited with 0", seconds(2));
}

#[test]
fn the_last_moments_still_work_in_the_sandbox() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::watching_haproxy(200));
    let haproxy = Haproxy::start(&host, &router.run);
    router.wait_master(0, seconds(8));
    router.run.log.wait_for("priority from 200 to 202", seconds(3));
    haproxy.kill();
    router.run.log.wait_for("haproxy … is gone", seconds(2));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert!(!router.holds_vip());
    assert!(!host.kept_run().join("vrrp-init.sock").exists());
    std::thread::sleep(millis(10));
}

/// As Kubernetes and Docker exchange a secret: the folder stays, the file is another one.
#[test]
fn a_file_that_is_exchanged_is_read_again_in_the_sandbox() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let folder = host.file("secrets");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("priority");
    fs::write(&file, "200").unwrap();
    let node = Node::plain(200).with("PRIORITY", "").with("PRIORITY_FILE", &file);
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, seconds(8));
    fs::write(folder.join("new"), "150").unwrap();
    fs::rename(folder.join("new"), &file).unwrap();
    router.run.signal(Signal::SIGHUP);
    router.run.log.wait_for("Reload: … PRIORITY", seconds(2));
    assert_eq!(router.run.log.since(0, "Reload failed"), [""; 0]);
}

#[test]
fn with_hidepid_it_keeps_what_it_needs_to_see_the_services() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let init = Running::start(&host, Launch::PidOne, Path::new("/usr/bin/sleep"), &["600"], &[]);
    let remount = "mount -o remount,hidepid=2 /proc";
    let mut shell =
        Running::start(&host, Launch::Joining(&init), Path::new("/bin/dash"), &["-c", remount], &[]);
    assert_eq!(shell.wait_exit(seconds(5)), 0);
    let node = Node { check: Some(Check::each_second("sleep", 2)), ..Node::plain(200) };
    let router = Router::ours(&host, &node, Launch::Joining(&init));
    router
        .run
        .log
        .wait_for("warn … Sandbox: without capabilities: /proc is mounted with hidepid", seconds(2));
    router.run.log.wait_for("priority from 200 to 202", seconds(3));
    assert_eq!(fields(router.run.pid(), &["NoNewPrivs", "Seccomp"])[0], [1, 2]);
}

/// Has the kernel end every process of this thread's that makes one of these calls, as a container's seccomp profile may.
fn kill_for(calls: &[i64]) {
    let instruction = |code, k, jt, jf| seccompiler::sock_filter { code, jt, jf, k };
    let mut filter = vec![instruction(0x20, 0, 0, 0)];
    for call in calls {
        filter.push(instruction(0x15, u32::try_from(*call).unwrap(), 0, 1));
        filter.push(instruction(0x06, nix::libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    }
    filter.push(instruction(0x06, nix::libc::SECCOMP_RET_ALLOW, 0, 0));
    seccompiler::apply_filter(&filter).unwrap();
}

#[test]
fn a_profile_that_kills_for_a_call_costs_a_layer_and_not_the_daemon() {
    let lab = Lab::new();
    for (number, calls, missing) in [
        (1, &[nix::libc::SYS_landlock_create_ruleset][..], &["landlock"][..]),
        (2, &[nix::libc::SYS_landlock_create_ruleset, nix::libc::SYS_seccomp], &["landlock", "seccomp"]),
        (3, &[nix::libc::SYS_uname], &[]),
    ] {
        let host = lab.host(["a", "b", "c"][usize::from(number) - 1], number);
        std::thread::scope(|scope| {
            // What a thread started dies with it.
            let run = || {
                kill_for(calls);
                let node =
                    Node { vrid: 50 + number, vip: [10, 77, 0, 100 + number].into(), ..Node::plain(200) };
                let router = Router::start(Kind::Ours, &host, &node);
                router.wait_master(0, seconds(8));
                let layers = sandbox(&router);
                let layers = layers.as_array().unwrap().iter().filter(|layer| layer["active"] == false);
                assert_eq!(layers.map(|layer| &layer["layer"]).collect::<Vec<_>>(), missing);
                for layer in missing {
                    router.run.log.wait_for(&format!("without {layer}: the seccomp profile"), seconds(1));
                }
            };
            scope.spawn(run).join().unwrap();
        });
    }
}

/// It has to signal the processes of others, and nothing else.
#[test]
fn hold_keeps_one_capability() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let hold = Running::start(&host, Launch::PidOne, Path::new(OURS), &["hold"], &[]);
    hold.log.wait_for("Holding this process namespace", seconds(2));
    assert_eq!(fields(hold.pid(), &CAPABILITIES)[0], [NOTHING, 1 << 5, 1 << 5, 1 << 5, NOTHING]);
    assert_eq!(fields(hold.pid(), &["NoNewPrivs", "Seccomp"])[0], [1, 2]);
}
