//! A program on a host, as PID 1 of its own PID namespace or in the namespace of another; keeps its output line by
//! line.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::lab::{Host, lock, processes, to_pid};

/// The namespaces that a program runs in.
#[derive(Clone, Copy)]
pub(crate) enum Launch<'a> {
    /// PID 1 of a new PID namespace with its own /proc and /run.
    PidOne,
    /// [`Launch::PidOne`] with a /run that outlives the program, like the files of a stopped container.
    Container,
    /// In the machine's PID namespace, with its own /run.
    NotPidOne,
    /// In the PID namespace of another program of the same host.
    Joining(&'a Running),
    /// [`Launch::PidOne`] without one capability, in `setpriv`'s spelling: `net_admin`; or without `all`.
    Without(&'a str),
    /// [`Launch::PidOne`] with so many descriptors at most, for good.
    Descriptors(u32),
    /// [`Launch::PidOne`], started by these words, which end with what runs the program in their place.
    Through(&'a [&'a str]),
}

/// A started program. Dropping the value, or the death of the test process, kills it and its whole PID namespace.
pub(crate) struct Running {
    child: Child,
    /// The program itself, in the test's PID namespace; `child` may be its wrapper.
    pid: OnceCell<u32>,
    program: String,
    wrapped: bool,
    pub(crate) log: Log,
}

/// The lines of a program's output; clones share them.
#[derive(Clone)]
pub(crate) struct Log {
    title: String,
    written: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Default)]
struct Written {
    lines: Vec<Line>,
    /// Streams that are still open.
    open: u8,
}

/// One line and when it was read.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) text: String,
}

/// Every program has a private mount namespace, so that pid files and sockets in /run do not collide.
const PRIVATE_RUN: [&str; 4] = ["sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$@\"", "sh"];
/// The same with a directory, the next argument, as /run.
const KEPT_RUN: [&str; 3] = ["sh", "-c", "mount --bind \"$0\" /run && exec \"$@\""];

/// Cargo, and who called it, may leave descriptors open that no container has.
const CLOSE_INHERITED: &str =
    "for fd in /proc/self/fd/*; do fd=${fd##*/}; [ $fd -le 2 ] || eval \"exec $fd>&-\"; done; exec \"$@\"";

impl Running {
    /// Starts `program` on `host` with exactly `env` (and PATH).
    pub(crate) fn start<S: AsRef<OsStr>>(
        host: &Host,
        launch: Launch<'_>,
        program: &Path,
        args: &[S],
        env: &[(OsString, OsString)],
    ) -> Self {
        let name = program.file_name().expect("a program has a name").to_string_lossy().into_owned();
        // Dies with the test, however that ends, and takes its PID namespace with it by --kill-child.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]).arg(with_path("--net=", &host.netns_path()));
        match launch {
            Launch::PidOne | Launch::Without(_) | Launch::Descriptors(_) | Launch::Through(_) => {
                command
                    .args(["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"])
                    .args(PRIVATE_RUN);
            }
            Launch::Container => {
                command.args(["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
                command.args(KEPT_RUN).arg(host.kept_run());
            }
            Launch::NotPidOne => {
                command.args(["unshare", "--mount"]).args(PRIVATE_RUN);
            }
            Launch::Joining(other) => {
                let target = other.pid().to_string();
                command.args(["--target", &target, "--pid", "--mount", "--"]);
            }
        }
        if let Launch::Without(capability) = launch {
            command.args(["setpriv", "--bounding-set", &format!("-{capability}"), "--inh-caps", "-all"]);
        }
        if let Launch::Descriptors(most) = launch {
            command.args([
                "bash",
                "-c",
                CLOSE_INHERITED,
                "bash",
                "prlimit",
                &format!("--nofile={most}:{most}"),
            ]);
        }
        if let Launch::Through(words) = launch {
            command.args(words);
        }
        command.arg(program).args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("setpriv runs");
        let log = Log::new(format!("{name} on {}", host.name));
        log.follow(child.stdout.take().expect("stdout is piped"));
        log.follow(child.stderr.take().expect("stderr is piped"));
        host.keep(log.clone());
        let wrapped = !matches!(launch, Launch::NotPidOne);
        Self { child, pid: OnceCell::new(), program: name, wrapped, log }
    }

    /// The program's PID in the test's namespace, once it has replaced its wrapper.
    pub(crate) fn pid(&self) -> u32 {
        *self.pid.get_or_init(|| {
            let start = Instant::now();
            loop {
                let wrapper = self.child.id();
                let candidates = if self.wrapped { children_of(wrapper) } else { vec![wrapper] };
                if let Some(&pid) = candidates.iter().find(|pid| self.is_program(**pid)) {
                    return pid;
                }
                assert!(start.elapsed() < Duration::from_secs(5), "{} did not start", self.program);
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    }

    /// The program's PID in its own PID namespace.
    pub(crate) fn own_pid(&self) -> u32 {
        let all = self.status("NSpid");
        all.split_whitespace().last().and_then(|pid| pid.parse().ok()).expect("NSpid lists PIDs")
    }

    /// A field of its `/proc/PID/status`.
    pub(crate) fn status(&self, field: &str) -> String {
        self.proc_field("status", field)
    }

    /// The number of its read system calls: none for packets, several for each process in /proc.
    pub(crate) fn reads(&self) -> u64 {
        self.proc_field("io", "syscr").parse().expect("a count")
    }

    fn proc_field(&self, file: &str, field: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("it runs");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
    }

    fn is_program(&self, pid: u32) -> bool {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
        exe.and_then(|exe| Some(exe.file_name()?.to_str()? == self.program)).unwrap_or(false)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(to_pid(self.pid()), signal).unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.program));
    }

    /// Sends SIGKILL to the program itself and waits for it.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_exit(Duration::from_secs(5));
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    /// The exit code, or 128 plus the signal; panics if the program still runs after `timeout`.
    pub(crate) fn wait_exit(&mut self, timeout: Duration) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return code(status);
            }
            assert!(start.elapsed() < timeout, "{} still runs after {timeout:?}", self.program);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A wrapper may outlive its program, and a program its wrapper: kill both.
        if self.wrapped && self.is_running() {
            for pid in children_of(self.child.id()) {
                let _ = kill(to_pid(pid), Signal::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn new(title: String) -> Self {
        Self { title, written: Arc::default() }
    }

    fn follow(&self, from: impl Read + Send + 'static) {
        lock(&self.written.0).open += 1;
        let written = Arc::clone(&self.written);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lock(&written.0).lines.push(Line { at: Instant::now(), text });
                written.1.notify_all();
                line.clear();
            }
            lock(&written.0).open -= 1;
            written.1.notify_all();
        });
    }

    /// The number of lines so far: a mark for [`Log::wait_for_after`] and [`Log::since`].
    pub(crate) fn mark(&self) -> usize {
        lock(&self.written.0).lines.len()
    }

    /// Waits for a line that contains all parts of `words`, separated by `…`, in any case and order.
    pub(crate) fn wait_for(&self, words: &str, timeout: Duration) -> Line {
        self.wait_for_after(0, words, timeout)
    }

    /// [`Log::wait_for`], but only in the lines after `mark`.
    pub(crate) fn wait_for_after(&self, mark: usize, words: &str, timeout: Duration) -> Line {
        let deadline = Instant::now() + timeout;
        let mut written = lock(&self.written.0);
        loop {
            if let Some(found) = written.lines.iter().skip(mark).find(|line| contains(&line.text, words)) {
                return found.clone();
            }
            let title = &self.title;
            assert_ne!(written.open, 0, "{title} ended without the line {words:?}");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{title} did not print {words:?} within {timeout:?}");
            written = self.written.1.wait_timeout(written, left).expect("no thread panics with the lines").0;
        }
    }

    /// The lines after `mark` with all parts of `words`.
    pub(crate) fn since(&self, mark: usize, words: &str) -> Vec<String> {
        let written = lock(&self.written.0);
        let texts = written.lines.iter().skip(mark).map(|line| &line.text);
        texts.filter(|text| contains(text, words)).cloned().collect()
    }

    /// The whole output, after its end: a program's exit can be seen before its last lines.
    pub(crate) fn whole(&self, timeout: Duration) -> String {
        super::wait_until("the output has ended", timeout, || lock(&self.written.0).open == 0);
        self.since(0, "").join("\n")
    }

    pub(super) fn dump(&self, origin: Instant) -> String {
        let mut text = format!("-- {}\n", self.title);
        for line in &lock(&self.written.0).lines {
            let _ = writeln!(text, "{:>9.3?} {}", line.at.saturating_duration_since(origin), line.text);
        }
        text
    }
}

/// Whether `line` has every part of `words`, in any case.
fn contains(line: &str, words: &str) -> bool {
    let line = line.to_lowercase();
    words.split('…').all(|word| line.contains(&word.trim().to_lowercase()))
}

/// The children of a process, zombies included.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let ppid = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        ppid == Some(parent)
    };
    processes().into_iter().filter(is_child).collect()
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|s| 128 + s)).expect("a process exits or is killed")
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}
