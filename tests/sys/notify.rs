//! Notify programs as PID 1 starts and reaps them: order, limits, failures to start, inheritance.
//!
//! Every test runs this binary again inside a PID namespace, which ends whatever a test leaves running.
//! Needs root and `unshare` (util-linux).

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use vrrp_init::config::is_passed_on;
use vrrp_init::sys::launcher::Launcher;
use vrrp_init::sys::notify::{GRACE, LIMIT, Notifier, Outcome, WAITING};
use vrrp_init::sys::poller::{Clock, Poller};
use vrrp_init::sys::reaper::{How, Reaped, reap};
use vrrp_init::sys::signals::Signals;
use vrrp_init::sys::unprivileged::Rights;

use crate::own_process::{PID_NAMESPACE, inside, rerun};

/// Longer than any script here runs unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` again as PID 1, with some secret variables; false in the child.
fn runs_as_pid_1<F: Fn()>(test: F) -> bool {
    if inside().is_some() {
        assert_eq!(std::process::id(), 1);
        return false;
    }
    let env =
        ["env", "AUTH_PASS=secret", "AUTH_PASS_2=secret", "VRID=kept", "OTHERS=secret", "EXTRA=asked for"];
    rerun(test, &[&env[..], &PID_NAMESPACE].concat(), "PID 1");
    true
}

/// The daemon's part: its signals and clock, the notifier, and a directory for scripts and what they write.
struct Loop {
    poller: Poller,
    signals: Signals,
    notifier: Notifier,
    dir: PathBuf,
}

impl Loop {
    fn new(tag: &str) -> Self {
        Self::with_rights(tag, Rights::default())
    }

    fn with_rights(tag: &str, rights: Rights) -> Self {
        // The parent's pid distinguishes two test runs at the same time; our own pid is always 1.
        let dir = std::env::temp_dir().join(format!("sys-notify-{tag}-{}", unique()));
        fs::create_dir(&dir).unwrap();
        let (signals, poller) = (Signals::install().unwrap(), Poller::new(Clock::start().unwrap()).unwrap());
        poller.watch(signals.as_fd(), 1).unwrap();
        Self {
            poller,
            signals,
            notifier: Notifier::new(Launcher::new(
                |name| is_passed_on(name, &["EXTRA".into(), "AUTH_PASS".into()]),
                rights,
            )),
            dir,
        }
    }

    fn script(&self, name: &str, body: &str) -> Vec<String> {
        let path = self.dir.join(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}\n", self.dir.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        vec![path.to_str().unwrap().to_owned()]
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    fn queue(&mut self, program: &[String], instance: &str, state: &str) -> Vec<Outcome> {
        self.notifier.queue(self.poller.now(), program, words(instance, state))
    }

    /// Waits until `done`, reaping on every SIGCHLD.
    fn until(&mut self, mut done: impl FnMut(&Self, &[Outcome]) -> bool) -> Vec<Outcome> {
        let end = self.poller.now() + PATIENCE;
        let mut outcomes = Vec::new();
        while !done(self, &outcomes) {
            assert!(self.poller.now() < end, "not in time: {outcomes:?}");
            self.poller.wait(Some(self.poller.now() + Duration::from_millis(10))).unwrap();
            if !self.signals.pending().is_empty() {
                outcomes.extend(self.notifier.reaped(self.poller.now(), &reap(usize::MAX)));
            }
        }
        outcomes
    }

    fn until_idle(&mut self) -> Vec<Outcome> {
        self.until(|it, _| it.notifier.deadline().is_none())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn unique() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

fn words(instance: &str, state: &str) -> [String; 4] {
    ["INSTANCE", instance, state, "100"].map(str::to_owned)
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn texts(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(ToString::to_string).collect()
}

#[test]
fn programs_run_one_at_a_time_in_the_order_of_the_transitions() {
    if runs_as_pid_1(programs_run_one_at_a_time_in_the_order_of_the_transitions) {
        return;
    }
    let mut it = Loop::new("order");
    let body = "mkdir busy || echo overlap >> log; sleep 0.02; echo \"$*\" >> log; rmdir busy";
    let mut program = it.script("notify", body);
    program.push("an argument; of its own".to_owned());
    let mut expected = Vec::new();
    for n in 0..12 {
        let state = if n % 2 == 0 { "MASTER" } else { "BACKUP" };
        let instance = format!("VI_{}", n % 3);
        assert!(it.queue(&program, &instance, state).is_empty());
        expected.push(format!("an argument; of its own INSTANCE {instance} {state} 100"));
    }
    let outcomes = it.until_idle();
    assert_eq!(it.read("log").lines().collect::<Vec<_>>(), expected);
    assert!(outcomes.len() == 12 && outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    assert_eq!(outcomes[0].to_string(), format!("{} INSTANCE VI_0 MASTER 100: exited with 0", program[0]));
}

#[test]
fn every_exit_is_reported_even_by_a_signal_without_a_name() {
    if runs_as_pid_1(every_exit_is_reported_even_by_a_signal_without_a_name) {
        return;
    }
    let mut it = Loop::new("ends");
    let program =
        it.script("notify", "case $3 in A) exit 3;; B) kill -KILL $$;; C) kill -40 $$;; esac; exit 0");
    for state in ["A", "B", "C", "D"] {
        it.queue(&program, "VI_1", state);
    }
    // It ignores orphans that are reaped in between.
    let orphan = Reaped { pid: 1_000_000, how: How::Exited(1) };
    assert!(it.notifier.reaped(it.poller.now(), &[orphan]).is_empty());
    let outcomes = it.until_idle();
    let ends: Vec<_> =
        outcomes.iter().map(|o| matches!(o, Outcome::Finished { stopped: false, .. })).collect();
    assert_eq!(ends, [true; 4], "{outcomes:?}");
    let texts = texts(&outcomes);
    for (text, end) in texts.iter().zip([
        "A 100: exited with 3",
        "B 100: was killed by SIGKILL",
        "C 100: was killed by a real-time signal",
        "D 100: exited with 0",
    ]) {
        assert!(text.ends_with(end), "{text}");
    }
    assert_eq!(outcomes.iter().map(Outcome::is_success).collect::<Vec<_>>(), [false, false, false, true]);
}

#[test]
fn an_exit_without_a_notification_is_found_at_the_deadline() {
    if runs_as_pid_1(an_exit_without_a_notification_is_found_at_the_deadline) {
        return;
    }
    let mut it = Loop::new("untold");
    let program = it.script("notify", "echo $3 >> log");
    it.queue(&program, "VI_1", "MASTER");
    it.queue(&program, "VI_1", "BACKUP");
    while reap(usize::MAX).is_empty() {
        it.poller.wait(Some(it.poller.now() + Duration::from_millis(10))).unwrap();
    }
    let deadline = it.notifier.deadline().unwrap();
    let outcomes = it.notifier.expire(deadline);
    assert!(matches!(outcomes[..], [Outcome::Finished { how: None, stopped: false, .. }]), "{outcomes:?}");
    it.until_idle();
    assert_eq!(it.read("log"), "MASTER\nBACKUP\n");
}

#[test]
fn a_program_that_hangs_is_stopped_with_its_children_and_the_next_runs() {
    if runs_as_pid_1(a_program_that_hangs_is_stopped_with_its_children_and_the_next_runs) {
        return;
    }
    let mut it = Loop::new("hang");
    let deaf = it.script("deaf", "trap '' TERM; sleep 600 & echo $! > child; wait; wait; sleep 600");
    let next = it.script("next", "echo $3 >> log");
    let begun = it.poller.now();
    it.queue(&deaf, "VI_1", "MASTER");
    it.queue(&next, "VI_1", "BACKUP");
    it.until(|it, _| it.read("child").ends_with('\n'));
    let deadline = it.notifier.deadline().unwrap();
    assert!(begun + LIMIT <= deadline && deadline <= it.poller.now() + LIMIT);
    assert!(it.notifier.expire(it.poller.now()).is_empty(), "it is not due yet");

    let overdue = it.notifier.expire(deadline);
    assert!(matches!(overdue[..], [Outcome::Overdue(_)]), "{overdue:?}");
    assert_eq!(it.notifier.deadline(), Some(deadline + GRACE));
    let pause = it.poller.now() + Duration::from_millis(100);
    let outcomes = it.until(|it, _| it.poller.now() >= pause);
    assert!(
        outcomes.is_empty() && is_alive(&it.read("child")),
        "SIGTERM ended a process that ignores it: {outcomes:?}"
    );

    assert!(it.notifier.expire(deadline + GRACE).is_empty());
    let outcomes = it.until_idle();
    let [Outcome::Finished { how: Some(How::Killed("SIGKILL")), stopped: true, .. }, next] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert!(next.is_success());
    assert_eq!(it.read("log"), "BACKUP\n");
    it.until(|it, _| !is_alive(&it.read("child")));
    let failures = overdue.iter().chain(&outcomes).filter(|outcome| outcome.is_failure()).count();
    assert_eq!(failures, 1, "an overdue program that is stopped fails once: {overdue:?} {outcomes:?}");
}

#[test]
fn a_child_that_outlives_its_parents_sigterm_is_killed() {
    if runs_as_pid_1(a_child_that_outlives_its_parents_sigterm_is_killed) {
        return;
    }
    let mut it = Loop::new("outlive");
    let program = it.script("notify", "(trap '' TERM; sleep 600) & echo $! > child; sleep 0.3; sleep 600");
    it.queue(&program, "VI_1", "MASTER");
    it.until(|it, _| it.read("child").ends_with('\n'));
    // For the trap to be set.
    let pause = it.poller.now() + Duration::from_millis(100);
    it.until(|it, _| it.poller.now() >= pause);
    let deadline = it.notifier.deadline().unwrap();
    it.notifier.expire(deadline);
    let outcomes = it.until_idle();
    assert!(texts(&outcomes)[0].ends_with("was killed by SIGTERM"), "{outcomes:?}");
    it.until(|it, _| !is_alive(&it.read("child")));
}

#[test]
fn a_background_process_of_a_program_keeps_running() {
    if runs_as_pid_1(a_background_process_of_a_program_keeps_running) {
        return;
    }
    let mut it = Loop::new("background");
    let program = it.script("notify", "sleep 600 & echo $! > child");
    it.queue(&program, "VI_1", "MASTER");
    let outcomes = it.until_idle();
    assert!(outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    assert!(is_alive(&it.read("child")));
}

#[test]
fn a_program_that_survives_sigkill_is_abandoned() {
    if runs_as_pid_1(a_program_that_survives_sigkill_is_abandoned) {
        return;
    }
    let mut it = Loop::new("left");
    let program = it.script("notify", "echo $$ > pid; [ $3 = BACKUP ] || sleep 600");
    it.queue(&program, "VI_1", "MASTER");
    it.queue(&program, "VI_1", "BACKUP");
    it.until(|it, _| it.read("pid").ends_with('\n'));
    let hanging: i32 = it.read("pid").trim().parse().unwrap();
    // It is not reaped meanwhile: like a process stuck in the kernel, it still exists.
    let deadline = it.notifier.deadline().unwrap();
    let overdue = it.notifier.expire(deadline);
    assert!(matches!(overdue[..], [Outcome::Overdue(_)]));
    assert!(it.notifier.expire(deadline + GRACE).is_empty());
    let outcomes = it.notifier.expire(deadline + GRACE + GRACE);
    let [Outcome::Unkillable { pid, .. }] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(!overdue[0].is_failure() && outcomes[0].is_failure(), "one run fails once");
    assert_eq!(pid, hanging);
    let outcomes = it.until_idle();
    assert!(outcomes.len() == 1 && outcomes[0].is_success(), "{outcomes:?}");
}

#[test]
fn a_program_that_cannot_be_started_is_reported_with_advice() {
    if runs_as_pid_1(a_program_that_cannot_be_started_is_reported_with_advice) {
        return;
    }
    let mut it = Loop::new("refused");
    let missing = vec!["/no/such/program".to_owned()];
    let forbidden = it.script("forbidden", "exit 0");
    fs::set_permissions(&forbidden[0], fs::Permissions::from_mode(0o644)).unwrap();
    let shell = it.script("shell", "");
    fs::write(&shell[0], "#!/no/such/shell\n").unwrap();
    let plain = it.script("plain", "");
    fs::write(&plain[0], "exit 0\n").unwrap();
    for (program, reason) in [
        (&missing, "No such file or directory (os error 2); give its full path inside the container"),
        (&forbidden, "Permission denied (os error 13); make it executable (chmod +x)"),
        (&shell, "No such file or directory (os error 2); the file is there, but not what its #! line names"),
        (&plain, "Exec format error (os error 8); it is neither a program"),
    ] {
        let outcomes = it.queue(program, "VI_1", "MASTER");
        assert!(matches!(outcomes[..], [Outcome::NotStarted(_)]), "{outcomes:?}");
        assert!(!outcomes[0].is_success());
        let begin = format!("cannot run {} INSTANCE VI_1 MASTER 100: {reason}", program[0]);
        assert!(texts(&outcomes)[0].starts_with(&begin), "{}", outcomes[0]);
        assert!(!texts(&outcomes)[0].contains("NET_ADMIN"), "no capability helps here");
        assert_eq!(it.notifier.deadline(), None);
    }
    assert!(it.queue(&[], "VI_1", "MASTER").is_empty());
    assert_eq!(reap(usize::MAX), vec![], "a failed start leaves no child");
}

#[test]
fn a_burst_drops_the_oldest_runs_of_the_same_instance_and_keeps_the_last() {
    if runs_as_pid_1(a_burst_drops_the_oldest_runs_of_the_same_instance_and_keeps_the_last) {
        return;
    }
    let mut it = Loop::new("burst");
    let program = it.script("notify", "echo $2 $3 >> log");
    let mut outcomes = it.queue(&program, "VI_2", "FIRST");
    outcomes.extend(it.queue(&program, "VI_2", "SECOND"));
    for n in 0..100 {
        outcomes.extend(it.queue(&program, "VI_1", &n.to_string()));
    }
    let dropped: Vec<_> = texts(&outcomes);
    assert_eq!(dropped.len(), 100 - WAITING);
    for (n, text) in dropped.iter().enumerate() {
        let end = format!("INSTANCE VI_1 {n} 100: not run: {WAITING} newer ones are waiting");
        assert!(text.ends_with(&end), "{text}");
    }
    assert!(it.until_idle().iter().all(Outcome::is_success));
    let kept = (100 - WAITING..100).map(|n| format!("VI_1 {n}"));
    let expected = ["VI_2 FIRST", "VI_2 SECOND"].map(str::to_owned).into_iter().chain(kept);
    assert_eq!(it.read("log").lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn a_program_inherits_neither_secrets_nor_descriptors_nor_signal_settings() {
    if runs_as_pid_1(a_program_inherits_neither_secrets_nor_descriptors_nor_signal_settings) {
        return;
    }
    let mut it = Loop::new("inherits");
    // Only the shell itself can read the masks, because it changes its own while it forks.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    let body = "fds=$(ls -l /proc/$$/fd); echo \"$fds\" > fds; env > env; \
                while read -r key value; do echo $key $value; done < /proc/$$/status > status; \
                cut -d' ' -f5 /proc/$$/stat > group; echo $$ > pid";
    let program = it.script("notify", body);
    // As if our parent had set it.
    let before = SigSet::from(Signal::SIGUSR2).thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
    it.queue(&program, "VI_1", "MASTER");
    before.thread_set_mask().unwrap();
    assert!(it.until_idle().iter().all(Outcome::is_success));
    let env = it.read("env");
    assert!(
        env.contains("VRID=kept\n") && env.contains("EXTRA=asked for\n") && env.contains("PATH="),
        "{env}"
    );
    assert!(!env.contains("OTHERS") && !env.contains("AUTH_PASS") && !env.contains("secret"), "{env}");
    let fds = it.read("fds");
    assert!(!fds.contains(ours.to_str().unwrap()) && !fds.contains("[eventpoll]"), "{fds}");
    let output = fs::read_link("/proc/self/fd/1").unwrap();
    for (fd, expected) in [(0, Path::new("/dev/null")), (1, &output), (2, &output)] {
        let line = format!(" {fd} -> {}\n", expected.display());
        assert!(fds.contains(&line), "{line:?} in {fds}");
    }
    let status = it.read("status");
    assert!(status.contains("SigBlk: 0000000000000000\n"), "{status}");
    let ignored = status.split_once("SigIgn: ").and_then(|(_, rest)| rest.split_once('\n')).unwrap().0;
    // Without 32 and 33, the C library's own. Rust's runtime ignores SIGPIPE, 13.
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff, 0, "{status}");
    assert_eq!(it.read("group"), it.read("pid"), "it leads its own process group");
}
