//! Programs that are told of transitions: one at a time, in order, each with a time limit; knows no router, and
//! not what the words mean.

use std::collections::VecDeque;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::Error;
use super::reaper::{How, Reaped};
use crate::time::Instant;

/// How long a program may run.
pub const LIMIT: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL, and from there until it is left behind.
pub const GRACE: Duration = Duration::from_secs(2);
/// So many runs of one instance may wait.
pub const WAITING: usize = 16;

/// A program with arguments of its own, and the words it is told: `INSTANCE`, name, state, priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub program: Vec<String>,
    pub words: [String; 4],
}

impl Run {
    fn same_instance(&self, other: &[String; 4]) -> bool {
        self.words[..2] == other[..2]
    }
}

/// Without the program's own arguments, which may hold somebody's token.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.program.first().map_or("", String::as_str);
        write!(f, "{path} {}", self.words.join(" "))
    }
}

/// What came of a run. Displays as a sentence for the log.
#[derive(Debug)]
pub enum Outcome {
    /// It ended; `how` is unknown for a signal without a name, `stopped` when it had to be told to.
    Finished { run: Run, how: Option<How>, stopped: bool },
    /// It could not be started.
    NotStarted(Error),
    /// It waited, and too many newer ones of its instance came.
    Dropped(Run),
    /// It runs for [`LIMIT`]; SIGTERM was sent, and [`Outcome::Finished`] or [`Outcome::Left`] follow.
    Overdue(Run),
    /// SIGKILL did not end it within [`GRACE`]: the next goes first.
    Left { run: Run, pid: i32 },
}

impl Outcome {
    /// Whether this is as it should be: it ran and exited with 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished { how: Some(How::Exited(0)), stopped: false, .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { run, how: Some(how), .. } => write!(f, "{run}: {how}"),
            Self::Finished { run, how: None, .. } => write!(f, "{run}: was killed by a real-time signal"),
            Self::NotStarted(e) => e.fmt(f),
            Self::Dropped(run) => write!(f, "{run}: not run, since {WAITING} newer ones wait"),
            Self::Overdue(run) => write!(f, "{run}: still runs after {} s, stopping it", LIMIT.as_secs()),
            Self::Left { run, pid } => {
                write!(f, "{run}: process {pid} does not end though killed, going on without it")
            }
        }
    }
}

/// The run in progress and those that wait. Never blocks but for the moment of starting a program.
///
/// A program gets our environment without the password of VRRP, nothing to read on standard input, and for standard
/// output and error our standard output: what it says is in the container's log, and however much that is, it
/// cannot fill our standard error, which the log goes to. It leads a process group of its own, and no signal is
/// blocked or ignored for it.
#[derive(Debug)]
pub struct Notifier {
    running: Option<Running>,
    waiting: VecDeque<Run>,
    /// `NAME=value`, each as a program gets it.
    environment: Vec<CString>,
}

#[derive(Debug)]
struct Running {
    run: Run,
    /// Also its process group's.
    pid: Pid,
    stage: Stage,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Started,
    Terminated,
    Killed,
}

impl Notifier {
    /// Nothing runs, nothing waits. Programs do not get the variables whose names are secret.
    pub fn new(is_secret: impl Fn(&OsStr) -> bool) -> Self {
        let passed_on = env::vars_os().filter(|(name, _)| !is_secret(name));
        let line = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        // What came to us as a C string has no NUL.
        let environment = passed_on.map(line).filter_map(|line| CString::new(line).ok()).collect();
        Self { running: None, waiting: VecDeque::new(), environment }
    }

    /// Runs `program` with `words` behind its own arguments, at once or after those that wait. Of more than
    /// [`WAITING`] of the same instance the oldest is dropped: the last word always gets through. An empty
    /// program is none.
    pub fn queue(&mut self, now: Instant, program: &[String], words: [String; 4]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if program.is_empty() {
            return outcomes;
        }
        let mut same = self.waiting.iter().enumerate().filter(|(_, run)| run.same_instance(&words));
        if let Some((oldest, _)) = same.next()
            && 1 + same.count() >= WAITING
        {
            outcomes.extend(self.waiting.remove(oldest).map(Outcome::Dropped));
        }
        self.waiting.push_back(Run { program: program.to_vec(), words });
        self.start_next(now, &mut outcomes);
        outcomes
    }

    /// To be called with everything [`super::reaper::reap`] returned, even nothing, on every SIGCHLD.
    pub fn reaped(&mut self, now: Instant, reaped: &[Reaped]) -> Vec<Outcome> {
        let Some(running) = &self.running else { return Vec::new() };
        match reaped.iter().find(|reaped| reaped.pid == running.pid.as_raw()) {
            Some(reaped) => self.finish(now, Some(reaped.how)),
            None if is_child(running.pid) => Vec::new(),
            None => self.finish(now, None),
        }
    }

    /// When to [`Notifier::expire`]; `None` while nothing runs, and then nothing waits either.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }

    /// Does what the deadline was for, if it has passed: SIGTERM, SIGKILL, or going on without.
    pub fn expire(&mut self, now: Instant) -> Vec<Outcome> {
        let Some(running) = self.running.as_mut().filter(|running| running.until <= now) else {
            return Vec::new();
        };
        if !is_child(running.pid) {
            return self.finish(now, None);
        }
        running.until = now + GRACE;
        match running.stage {
            Stage::Started => {
                running.stage = Stage::Terminated;
                signal(running.pid, Signal::SIGTERM);
                vec![Outcome::Overdue(running.run.clone())]
            }
            Stage::Terminated => {
                running.stage = Stage::Killed;
                signal(running.pid, Signal::SIGKILL);
                Vec::new()
            }
            Stage::Killed => {
                let left = |Running { run, pid, .. }| Outcome::Left { run, pid: pid.as_raw() };
                let mut outcomes = self.running.take().map(left).into_iter().collect();
                self.start_next(now, &mut outcomes);
                outcomes
            }
        }
    }

    fn finish(&mut self, now: Instant, how: Option<How>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if let Some(Running { run, pid, stage, .. }) = self.running.take() {
            let stopped = stage != Stage::Started;
            if stopped {
                // Its own children may have outlived the SIGTERM. The pid was freed a moment ago, and the kernel
                // gives out all others first: the group is still this one or none.
                signal(pid, Signal::SIGKILL);
            }
            outcomes.push(Outcome::Finished { run, how, stopped });
        }
        self.start_next(now, &mut outcomes);
        outcomes
    }

    fn start_next(&mut self, now: Instant, outcomes: &mut Vec<Outcome>) {
        while self.running.is_none()
            && let Some(run) = self.waiting.pop_front()
        {
            match self.spawn(&run) {
                Ok(pid) => {
                    self.running = Some(Running { run, pid, stage: Stage::Started, until: now + LIMIT });
                }
                Err(e) => outcomes.push(Outcome::NotStarted(refusal(&run, &e))),
            }
        }
    }

    /// The child is never waited for here: the one who reaps takes its status. Not by `std::process`, which is
    /// 50 KB of what this does not need, and lets a child inherit what signals we were started with blocked.
    fn spawn(&self, run: &Run) -> io::Result<Pid> {
        let words = run.program.iter().chain(&run.words);
        let arguments = words.map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
        let path = arguments.first().ok_or(ErrorKind::InvalidInput)?;
        let mut descriptors = PosixSpawnFileActions::init()?;
        let nothing = File::open("/dev/null").map_err(|e| io::Error::other(format!("/dev/null: {e}")))?;
        descriptors.add_dup2(nothing.as_raw_fd(), 0)?;
        descriptors.add_dup2(1, 2)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        Ok(posix_spawnp(path, &descriptors, &attributes, &arguments, &self.environment)?)
    }
}

/// Whether `pid` is a child of ours, running or not yet reaped. Takes no status from the one who reaps.
fn is_child(pid: Pid) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), look) != Err(Errno::ECHILD)
}

/// Fails when the group has no member left, or only ones that took other rights: neither is ours to mend.
fn signal(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
}

/// Says what to do. As an error of another kind than the kernel's: for want of a right it is not capabilities
/// that are missing here.
fn refusal(run: &Run, e: &io::Error) -> Error {
    let there = run.program.first().is_some_and(|path| Path::new(path).exists());
    let advice = if e.kind() == ErrorKind::NotFound && there {
        "; the file is there, but not what its #! line names, or its loader: \
         the image of vrrp-init holds no shell, so use a static program or an image with a shell"
    } else if e.kind() == ErrorKind::NotFound {
        "; give its full path inside the container, and mount it there"
    } else if e.kind() == ErrorKind::PermissionDenied {
        "; make it executable (chmod +x), on a mount that is not noexec"
    } else if e.raw_os_error() == Some(Errno::ENOEXEC as i32) {
        "; it is neither a program for this machine nor a script that begins with #!"
    } else {
        ""
    };
    Error { doing: "run", on: run.to_string(), source: io::Error::other(format!("{e}{advice}")) }
}
