//! Processes, signals, orphans and capabilities against a real kernel. Needs `unshare` and `setpriv` (util-linux).

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Kernel, kill, raise};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use vrrp_init::sys::capabilities::{self, Capability};
use vrrp_init::sys::namespace::PidNamespace;
use vrrp_init::sys::poller::{Clock, Poller};
use vrrp_init::sys::process::{ProcFs, Process};
use vrrp_init::sys::reaper::{How, reap};
use vrrp_init::sys::signals::{BlockedSignals, Signal, Signals};

use crate::own_process::{PID_NAMESPACE, inside, rerun, rerun_binary, this_binary};

/// A directory of programs, each with a name that no other process has; removed at the end.
struct Programs {
    dir: PathBuf,
    tag: String,
}

impl Programs {
    /// `tag` must be unique in this file and at most three bytes long.
    fn new(tag: &str) -> Self {
        // The pid distinguishes two test runs at the same time.
        let tag = format!("{tag}{}", std::process::id());
        let dir = std::env::temp_dir().join(format!("sys-process-{tag}"));
        fs::create_dir(&dir).unwrap();
        Self { dir, tag }
    }

    /// A name of at most fifteen bytes.
    fn short(&self) -> String {
        format!("s{}", self.tag)
    }

    /// A name longer than a comm.
    fn long(&self) -> String {
        format!("{:-<15}-and-its-tail", self.short())
    }

    /// Lets another process copy `program`: if a fork of ours inherited a descriptor for writing, the kernel would
    /// refuse to run it.
    fn copy(&self, program: impl AsRef<Path>, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        let status = Command::new("cp").arg(program.as_ref()).arg(&path).status().unwrap();
        assert!(status.success());
        path
    }

    /// A script that waits for the end of its standard input.
    fn script(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        let write = "printf '#!/bin/sh\nread line\n' > \"$0\" && chmod 755 \"$0\"";
        assert!(Command::new("sh").args(["-c", write]).arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// A child that is killed and reaped at the end of the test, even if it fails.
struct Running(Child);

impl Running {
    /// Returns once the program runs under its own name: `spawn` waits for the exec.
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the test has already done so.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleep(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command.arg("60");
    command
}

fn scan(name: &str) -> Vec<Process> {
    ProcFs::new("/proc").unwrap().scan(&[name.to_owned()]).unwrap().remove(0)
}

fn pids(name: &str) -> Vec<i32> {
    scan(name).iter().map(|process| process.pid).collect()
}

#[test]
fn a_process_is_found_by_its_comm() {
    let programs = Programs::new("c");
    let name = programs.short();
    let path = programs.copy("/bin/sleep", &name);
    let first = Running::start(sleep(&path).arg0("something else"));
    let second = Running::start(sleep(&path).arg0("something else"));
    let mut expected = [first.pid(), second.pid()];
    expected.sort_unstable();
    assert_eq!(pids(&name), expected);
    drop(first);
    assert_eq!(pids(&name), [second.pid()]);
    assert_eq!(pids(&name[..name.len() - 1]), [0_i32; 0], "the beginning of a name is not the name");
}

#[test]
fn a_process_is_found_by_the_path_of_its_program_and_by_its_user() {
    const USER: u32 = 54_321;
    let programs = Programs::new("u");
    let path = programs.copy("/bin/sleep", &programs.short());
    let text = path.to_str().unwrap();
    let running = Running::start(sleep(&path).arg0("something else").uid(USER));
    let other = Running::start(sleep("/bin/sleep").arg0(text));
    assert_eq!(pids(text), [running.pid()], "not the one that only calls itself so");
    let by_user = pids(&format!("user:{USER}"));
    assert!(by_user == [running.pid()], "{by_user:?}");
    assert!(!pids("user:0").contains(&running.pid()) && pids("user:0").contains(&other.pid()));
    assert!(!pids("user:0").contains(&2), "kernel threads are no programs");
    assert_eq!(pids("user:54322"), [0_i32; 0]);
}

#[test]
fn a_process_is_found_by_the_last_part_of_its_zeroth_argument() {
    let programs = Programs::new("a");
    let name = programs.long();
    let running = Running::start(sleep("/bin/sleep").arg0(format!("/no/such{0}/{name}", programs.tag)));
    assert_eq!(pids(&name), [running.pid()]);
    assert_eq!(pids(&format!("such{}", programs.tag)), [0_i32; 0]);
}

#[test]
fn a_long_name_is_found_by_the_executable_and_its_first_fifteen_bytes_by_comm() {
    let programs = Programs::new("e");
    let name = programs.long();
    let running = Running::start(sleep(programs.copy("/bin/sleep", &name)).arg0("something else"));
    assert_eq!(pids(&name), [running.pid()]);
    assert_eq!(pids(&name[..15]), [running.pid()]);
    assert_eq!(pids(&name[..16]), [0_i32; 0]);
    fs::remove_file(programs.dir.join(&name)).unwrap();
    assert_eq!(pids(&name), [running.pid()], "the kernel marks the executable as deleted");
}

/// Polls long enough for anything that is about to happen.
fn until(what: &str, condition: impl Fn() -> bool) {
    assert!((0..100_000).any(|_| condition()), "{what}");
}

#[test]
fn a_script_is_found_by_its_own_name_short_or_long() {
    let programs = Programs::new("sh");
    for name in [programs.short(), programs.long()] {
        let running = Running::start(&mut Command::new(programs.script(&name)));
        assert_eq!(pids(&name), [running.pid()]);
        // While it is being started, it already has its name but no arguments yet.
        until("its interpreter is argv[0]", || pids("sh").contains(&running.pid()));
    }
}

#[test]
fn a_process_that_set_an_unusual_comm_is_found_by_it() {
    let programs = Programs::new("n");
    for strange in [") S 1 (", "a b\nc", ")\n("] {
        let name = format!("{}{strange}", std::process::id());
        let path = programs.copy("/bin/sleep", &name);
        let running = Running::start(sleep(&path).arg0("something else"));
        assert_eq!(pids(&name), [running.pid()], "{name:?}");
    }
}

#[test]
fn a_zombie_is_not_found() {
    let programs = Programs::new("z");
    let name = programs.short();
    let mut running = Running::start(&mut sleep(programs.copy("/bin/sleep", &name)));
    assert_eq!(pids(&name), [running.pid()]);
    running.0.kill().unwrap();
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(Pid::from_raw(running.pid())), ended).unwrap();
    let comm = fs::read_to_string(format!("/proc/{}/comm", running.pid())).unwrap();
    assert_eq!(comm.trim_end(), name, "it still exists, with its name");
    assert_eq!(pids(&name), [0_i32; 0]);
}

#[test]
fn a_scan_finds_lasting_processes_while_others_come_and_go() {
    let programs = Programs::new("m");
    let (steady, passing) = (programs.short(), format!("p{}", programs.tag));
    let path = programs.copy("/bin/sleep", &passing);
    let running = Running::start(&mut sleep(programs.copy("/bin/sleep", &steady)));
    let proc = ProcFs::new("/proc").unwrap();
    let names = [steady, passing];
    let identity = proc.scan(&names).unwrap().remove(0);
    assert_eq!(identity.iter().map(|process| process.pid).collect::<Vec<_>>(), [running.pid()]);
    let passers = std::thread::spawn(move || {
        for _ in 0..100 {
            assert!(Command::new(&path).arg("0.005").status().unwrap().success());
        }
    });
    let mut seen = std::collections::HashSet::new();
    while !passers.is_finished() {
        let found = proc.scan(&names).unwrap();
        assert_eq!(found[0], identity);
        assert!(found[1].len() <= 1, "{found:?}");
        seen.extend(found[1].iter().copied());
    }
    passers.join().unwrap();
    assert!(seen.len() > 10, "only {} of 100 were ever seen", seen.len());
    assert_eq!(proc.scan(&names).unwrap(), [identity, vec![]]);
}

#[test]
fn a_scan_needs_no_privilege_for_another_users_comm_and_arguments() {
    if let Some(case) = inside() {
        let (short, long) = case.split_once(' ').unwrap();
        let set = capabilities::effective().unwrap();
        assert!(!set.has(Capability::NetAdmin) && !set.has(Capability::NetRaw));
        assert_eq!((scan(short).len(), scan(long).len()), (1, 1));
        return;
    }
    let programs = Programs::new("o");
    let (short, long) = (programs.short(), programs.long());
    let _by_comm = Running::start(sleep(programs.copy("/bin/sleep", &short)).arg0("something else"));
    let _by_argument = Running::start(sleep("/bin/sleep").arg0(&long));
    rerun_binary(
        &programs.copy(this_binary(), "everyones"),
        a_scan_needs_no_privilege_for_another_users_comm_and_arguments,
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"],
        &format!("{short} {long}"),
    );
}

#[test]
fn a_proc_that_hides_processes_is_recognized() {
    if let Some(case) = inside() {
        let hides = ProcFs::new("/proc").unwrap().hides_processes().unwrap();
        assert_eq!(hides, case == "hidden");
        return;
    }
    let test = a_proc_that_hides_processes_is_recognized;
    rerun(test, &PID_NAMESPACE, "open");
    for value in ["1", "2"] {
        let remount = format!("mount -o remount,hidepid={value} /proc && exec \"$@\"");
        let wrapper = [&PID_NAMESPACE[..], &["sh", "-c", &remount, "sh"]].concat();
        rerun(test, &wrapper, "hidden");
    }
}

#[test]
fn each_missing_capability_is_detected() {
    if let Some(case) = inside() {
        let set = capabilities::effective().unwrap();
        let missing = [Capability::NetAdmin, Capability::NetRaw].into_iter().filter(|&one| !set.has(one));
        assert_eq!(missing.map(|one| one.to_string()).collect::<Vec<_>>().join(" "), case);
        return;
    }
    let test = each_missing_capability_is_detected;
    rerun(test, &["setpriv", "--bounding-set=-net_admin"], "NET_ADMIN");
    rerun(test, &["setpriv", "--bounding-set=-net_raw"], "NET_RAW");
    rerun(test, &[], "");
}

#[test]
fn signals_arrive_as_values_through_a_readable_descriptor() {
    if inside().is_none() {
        rerun(signals_arrive_as_values_through_a_readable_descriptor, &[], "a process of its own");
        return;
    }
    // As inherited from a parent that blocks signals around its fork.
    SigSet::all().thread_block().unwrap();
    let mut signals = Signals::install().unwrap();
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    poller.watch(signals.as_fd(), 9).unwrap();
    let soon = || Some(poller.now() + Duration::from_millis(1));
    assert_eq!((poller.wait(soon()).unwrap(), signals.pending().len()), (vec![], 0));
    let expected = [
        (Kernel::SIGTERM, Signal::Stop("SIGTERM")),
        (Kernel::SIGINT, Signal::Stop("SIGINT")),
        (Kernel::SIGQUIT, Signal::Stop("SIGQUIT")),
        (Kernel::SIGHUP, Signal::Reload),
        (Kernel::SIGUSR1, Signal::Dump),
        (Kernel::SIGCHLD, Signal::Child),
    ];
    for (kernel, signal) in expected {
        // Far more than the socket pair holds: a handler must never block.
        for _ in 0..2_000 {
            raise(kernel).unwrap();
        }
        assert_eq!(poller.wait(None).unwrap(), [9]);
        assert_eq!(signals.pending(), [signal]);
        assert_eq!((poller.wait(soon()).unwrap(), signals.pending().len()), (vec![], 0));
    }
    for (kernel, _) in expected {
        raise(kernel).unwrap();
    }
    assert_eq!(signals.pending().len(), expected.len());
}

#[test]
fn in_a_storm_of_one_signal_it_is_reported_once_at_a_time() {
    if inside().is_none() {
        rerun(in_a_storm_of_one_signal_it_is_reported_once_at_a_time, &[], "a process of its own");
        return;
    }
    let mut signals = Signals::install().unwrap();
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    poller.watch(signals.as_fd(), 9).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                kill(Pid::this(), Kernel::SIGUSR1).unwrap();
            }
        });
        for _ in 0..1_000 {
            assert_eq!(poller.wait(None).unwrap(), [9]);
            let pending = signals.pending();
            assert!(pending.is_empty() || pending == [Signal::Dump], "{pending:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn blocked_signals_are_read_one_by_one_and_end_nothing() {
    if inside().is_none() {
        rerun(blocked_signals_are_read_one_by_one_and_end_nothing, &[], "a process of its own");
        return;
    }
    let signals = BlockedSignals::block().unwrap();
    let next = |at_most| signals.wait(at_most).unwrap();
    assert_eq!(next(Some(Duration::from_millis(1))), None);
    let handled = [
        (Kernel::SIGTERM, Signal::Stop("SIGTERM")),
        (Kernel::SIGINT, Signal::Stop("SIGINT")),
        (Kernel::SIGQUIT, Signal::Stop("SIGQUIT")),
        (Kernel::SIGHUP, Signal::Reload),
        (Kernel::SIGUSR1, Signal::Dump),
        (Kernel::SIGUSR2, Signal::Dump),
        (Kernel::SIGCHLD, Signal::Child),
    ];
    for (kernel, signal) in handled {
        for _ in 0..2_000 {
            raise(kernel).unwrap();
        }
        assert_eq!((next(None), next(Some(Duration::ZERO))), (Some(signal), None), "{kernel} coalesces");
    }
    for (kernel, _) in handled {
        raise(kernel).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| next(Some(Duration::ZERO))).count(), handled.len());
}

#[test]
fn pid_1_knows_whether_it_is_alone_and_ends_all_others() {
    if inside().is_none() {
        assert!(PidNamespace::owned().is_none(), "only PID 1 owns its namespace");
        rerun(pid_1_knows_whether_it_is_alone_and_ends_all_others, &PID_NAMESPACE, "PID 1");
        return;
    }
    let namespace = PidNamespace::owned().unwrap();
    assert!(namespace.is_empty());
    // Another user, and in a session of its own: no group and no privilege reaches both.
    let others = ["exec sleep 60", "exec setsid setpriv --reuid=65534 sleep 60"].map(start_shell);
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    wait_until(&poller, || others.iter().all(|pid| comm(*pid) == "sleep"));
    assert!(!namespace.is_empty());
    namespace.terminate();
    wait_until(&poller, || others.iter().all(|pid| state(*pid) == Some('Z')));
    assert!(!namespace.is_empty(), "they count until they are reaped");
    let ended: Vec<_> = reap(usize::MAX).into_iter().map(|end| end.how).collect();
    assert_eq!(ended, [How::Killed("SIGTERM"); 2]);
    assert!(namespace.is_empty());
}

#[test]
fn a_signal_does_not_shorten_a_wait() {
    if inside().is_none() {
        rerun(a_signal_does_not_shorten_a_wait, &[], "a process of its own");
        return;
    }
    let mut signals = Signals::install().unwrap();
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    let often = "for i in 1 2 3 4 5; do kill -USR1 $PPID; sleep 0.02; done";
    let sender = Running::start(Command::new("sh").args(["-c", often]));
    let deadline = poller.now() + Duration::from_millis(400);
    assert_eq!(poller.wait(Some(deadline)).unwrap(), [0_u64; 0]);
    assert!(deadline <= poller.now());
    assert_eq!(signals.pending(), [Signal::Dump, Signal::Child]);
    drop(sender);
}

#[test]
fn every_orphan_is_reaped_and_every_exit_reported() {
    if inside().is_none() {
        rerun(every_orphan_is_reaped_and_every_exit_reported, &PID_NAMESPACE, "PID 1");
        return;
    }
    assert_eq!((std::process::id(), reap(usize::MAX)), (1, vec![]));
    let mut signals = Signals::install().unwrap();
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    // One SIGCHLD may be for all. The second, ended by a real-time signal, is reaped without a report.
    let ends = ["kill -KILL $$", "kill -40 $$", "exit 255"].map(start_shell);
    wait_until(&poller, || ends.iter().all(|&pid| state(pid) == Some('Z')));
    let reported = [(ends[0], How::Killed("SIGKILL")), (ends[2], How::Exited(255))];
    assert_eq!(reap(usize::MAX).iter().map(|end| (end.pid, end.how)).collect::<Vec<_>>(), reported);
    assert_eq!(ends.map(state), [None; 3]);

    let parent = start_shell("for i in $(seq 200); do (sleep 0.3 &); done; exit 3");
    let mut reaped = Vec::new();
    wait_until(&poller, || {
        if signals.pending().into_iter().any(|signal| signal == Signal::Child) {
            reaped.extend(reap(usize::MAX));
        }
        reaped.len() >= 201
    });
    let of_parent = reaped.iter().position(|end| end.pid == parent).map(|at| reaped.remove(at).how);
    assert_eq!(of_parent, Some(How::Exited(3)));
    assert!(reaped.len() == 200 && reaped.iter().all(|end| end.how == How::Exited(0)), "{reaped:?}");
    let left =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(left.filter(|name| name.parse::<u32>().is_ok()).collect::<Vec<_>>(), ["1"]);
}

/// Drops its handle, which neither ends the process nor waits for it.
fn start_shell(script: &str) -> i32 {
    Command::new("sh").args(["-c", script]).spawn().unwrap().id().try_into().unwrap()
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// The state letter of a process whose comm has no bracket; `None` if there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.split_once(") ")?.1.chars().next()
}

fn wait_until(poller: &Poller, mut done: impl FnMut() -> bool) {
    let end = poller.now() + Duration::from_secs(20);
    while !done() {
        assert!(poller.now() < end, "not within 20 s");
        poller.wait(Some(poller.now() + Duration::from_millis(10))).unwrap();
    }
}
