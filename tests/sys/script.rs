//! Programs of checks as PID 1 runs and reaps them: exit codes, the time limit, what they leave behind, failures to start.
//!
//! Every test runs this binary again inside a PID namespace, which ends whatever a test leaves running.
//! Needs root and `unshare` (util-linux).

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use vrrp_init::sys::launcher::Launcher;
use vrrp_init::sys::poller::{Clock, Poller};
use vrrp_init::sys::reaper::reap;
use vrrp_init::sys::script::{End, GRACE, Script};
use vrrp_init::sys::signals::Signals;
use vrrp_init::sys::unprivileged::Rights;

use crate::own_process::{PID_NAMESPACE, inside, rerun};

const PATIENCE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(300);

fn runs_as_pid_1<F: Fn()>(test: F) -> bool {
    if inside().is_some() {
        return false;
    }
    rerun(test, &PID_NAMESPACE, "PID 1");
    true
}

struct Loop {
    poller: Poller<u64>,
    signals: Signals,
    launcher: Launcher,
    dir: PathBuf,
}

impl Loop {
    fn new(tag: &str) -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
        let unique: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let dir = std::env::temp_dir().join(format!("sys-script-{tag}-{unique}"));
        fs::create_dir(&dir).unwrap();
        let (signals, poller) = (Signals::install().unwrap(), Poller::new(Clock::start().unwrap()).unwrap());
        poller.watch(signals.as_fd(), 1).unwrap();
        Self { poller, signals, launcher: Launcher::new(|_| false, Rights::default()), dir }
    }

    fn script(&self, body: &str) -> Vec<String> {
        let path = self.dir.join("check");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}\n", self.dir.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        vec![path.to_str().unwrap().to_owned()]
    }

    fn start(&self, program: &[String], timeout: Duration) -> Result<Script, String> {
        Script::start(&self.launcher, program, self.poller.now(), timeout)
    }

    /// Its end, and the time from before its start.
    fn run(&mut self, body: &str, timeout: Duration) -> (End, Duration) {
        let (program, began) = (self.script(body), self.poller.now());
        let mut script = self.start(&program, timeout).unwrap();
        loop {
            let now = self.poller.now();
            assert!(now < began + PATIENCE, "not in time");
            script.expire(now);
            self.poller.wait(Some(now + Duration::from_millis(5))).unwrap();
            if !self.signals.pending().is_empty()
                && let Some(end) = script.reaped(&reap(usize::MAX))
            {
                return (end, self.poller.now().since(began));
            }
        }
    }

    /// Whether nothing but this process is left in the namespace.
    fn is_alone(&mut self) -> bool {
        let end = self.poller.now() + Duration::from_secs(2);
        while self.poller.now() < end {
            reap(usize::MAX);
            let pids = fs::read_dir("/proc")
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
            if pids.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).count() == 1 {
                return true;
            }
            self.poller.wait(Some(self.poller.now() + Duration::from_millis(5))).unwrap();
        }
        false
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn the_exit_code_is_the_result() {
    if runs_as_pid_1(the_exit_code_is_the_result) {
        return;
    }
    let mut it = Loop::new("codes");
    for (body, success, text) in [
        ("exit 0", true, "exit code 0"),
        ("exit 2", false, "exit code 2"),
        ("kill -9 $$", false, "was killed by SIGKILL"),
        ("kill -34 $$", false, "was killed by a real-time signal"),
        ("[ -z \"$(env | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD)\" ] || exit 3", true, "exit code 0"),
        ("read x && exit 3; exit 0", true, "exit code 0"),
    ] {
        let (end, _) = it.run(body, PATIENCE);
        assert_eq!((end.is_success(), end.to_string()), (success, text.to_owned()), "{body}");
    }
}

#[test]
fn what_it_prints_is_discarded() {
    if runs_as_pid_1(what_it_prints_is_discarded) {
        return;
    }
    let mut it = Loop::new("output");
    let body = "head -c 100000000 /dev/zero || exit 9; head -c 1000000 /dev/zero >&2 || exit 8";
    let (end, took) = it.run(body, PATIENCE);
    assert!(end.is_success() && took < Duration::from_secs(10), "{end} {took:?}");
    it.run("fds=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$fds\" >fds", PATIENCE);
    let fds = fs::read_to_string(it.dir.join("fds")).unwrap();
    assert_eq!(fds.lines().collect::<Vec<_>>(), ["/dev/null"; 3]);
}

#[test]
fn it_is_asked_to_end_and_then_killed() {
    if runs_as_pid_1(it_is_asked_to_end_and_then_killed) {
        return;
    }
    let mut it = Loop::new("limit");
    let (end, took) = it.run("trap 'exit 7' TERM; sleep 60 & wait", TIMEOUT);
    assert_eq!(end.to_string(), "exit code 7");
    assert!(took >= TIMEOUT, "{took:?}");
    assert!(it.is_alone(), "what it started is killed");
    let (end, took) = it.run("trap '' TERM; while :; do sleep 60; done", TIMEOUT);
    assert_eq!(end.to_string(), "was killed by SIGKILL");
    assert!(took >= TIMEOUT + GRACE, "{took:?}");
    assert!(it.is_alone(), "what it started is killed");
}

#[test]
fn nothing_that_it_leaves_behind_stays() {
    if runs_as_pid_1(nothing_that_it_leaves_behind_stays) {
        return;
    }
    let mut it = Loop::new("left");
    let (end, _) = it.run("for i in 1 2 3; do sleep 60 & done; trap '' TERM; sleep 60 & exit 0", PATIENCE);
    assert!(end.is_success());
    assert!(it.is_alone(), "its process group is killed, and its children reaped");
    // As when its check is removed, or the daemon stops.
    let script = it.start(&it.script("sleep 60 & sleep 60"), PATIENCE).unwrap();
    drop(script);
    assert!(it.is_alone(), "a dropped one is killed");
}

#[test]
fn what_cannot_run_says_why() {
    if runs_as_pid_1(what_cannot_run_says_why) {
        return;
    }
    let it = Loop::new("failures");
    let file = it.dir.join("plain");
    fs::write(&file, "exit 0").unwrap();
    for (path, why) in [
        ("/nowhere/check", "No such file or directory (os error 2); give its full path inside the container"),
        (file.to_str().unwrap(), "Permission denied (os error 13); make it executable"),
        ("/", "Permission denied (os error 13)"),
    ] {
        let error = it.start(&[path.to_owned()], PATIENCE).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let error = it.start(&[file.to_str().unwrap().to_owned()], PATIENCE).unwrap_err();
    assert!(error.contains("it is neither a program"), "{error}");
}
