//! Runs the NOTIFY programs: one at a time, in order, each with a time limit. Knows no router, and not what the arguments
//! mean.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::launcher::{Launcher, Output, is_child};
use super::reaper::{How, Reaped};
use super::{Error, program};
use crate::time::Instant;

/// How long a program may run.
pub const LIMIT: Duration = Duration::from_secs(30);
/// The time from SIGTERM to SIGKILL, and from SIGKILL until we stop waiting for it.
pub const GRACE: Duration = Duration::from_secs(2);
/// How many runs of one instance can wait.
pub const WAITING: usize = 16;

/// A program with its own arguments, and the arguments appended to them: `INSTANCE`, name, state, priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub program: Vec<String>,
    pub arguments: [String; 4],
}

impl Run {
    fn same_instance(&self, other: &[String; 4]) -> bool {
        self.arguments[..2] == other[..2]
    }
}

/// Without the program's own arguments, which may contain a secret.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.program.first().map_or("", String::as_str);
        write!(f, "{path} {}", self.arguments.join(" "))
    }
}

/// The outcome of a run. Displays as a sentence for the log.
#[derive(Debug)]
pub enum Outcome {
    /// It ended. `how` is `None` for a real-time signal; `stopped` if we had to stop it.
    Finished { run: Run, how: Option<How>, stopped: bool },
    /// It could not be started.
    NotStarted(Error),
    /// It was removed from the queue, because too many newer ones of its instance were waiting.
    Dropped(Run),
    /// It has run for [`LIMIT`]. SIGTERM was sent, and [`Outcome::Finished`] or [`Outcome::Unkillable`] follows.
    Overdue(Run),
    /// It did not end within [`GRACE`] after SIGKILL. The next one starts.
    Unkillable { run: Run, pid: i32 },
}

impl Outcome {
    /// Whether it ran and exited with 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished { how: Some(How::Exited(0)), stopped: false, .. })
    }

    /// Whether it is the end of a run that failed: true once for each.
    pub fn is_failure(&self) -> bool {
        !self.is_success() && !matches!(self, Self::Overdue(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { run, how: Some(how), .. } => write!(f, "{run}: {how}"),
            Self::Finished { run, how: None, .. } => write!(f, "{run}: was killed by a real-time signal"),
            Self::NotStarted(e) => e.fmt(f),
            Self::Dropped(run) => write!(f, "{run}: not run: {WAITING} newer ones are waiting"),
            Self::Overdue(run) => write!(f, "{run}: still running after {} s; stopping it", LIMIT.as_secs()),
            Self::Unkillable { run, pid } => {
                write!(f, "{run}: process {pid} did not end after SIGKILL; continuing without it")
            }
        }
    }
}

/// The current run and the queue. Never blocks, except while a program is started.
#[derive(Debug)]
pub struct Notifier {
    running: Option<Running>,
    waiting: VecDeque<Run>,
    launcher: Launcher,
}

#[derive(Debug)]
struct Running {
    run: Run,
    /// Also the id of its process group.
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
    /// An idle notifier, which starts programs with this launcher.
    pub fn new(launcher: Launcher) -> Self {
        Self { running: None, waiting: VecDeque::new(), launcher }
    }

    /// Runs `program` with `arguments` after its own, now or after those in the queue. If more than [`WAITING`] runs of the
    /// same instance are waiting, the oldest is dropped, so that the last state is always delivered. Does nothing if
    /// `program` is empty.
    pub fn queue(&mut self, now: Instant, program: &[String], arguments: [String; 4]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if program.is_empty() {
            return outcomes;
        }
        let mut same = self.waiting.iter().enumerate().filter(|(_, run)| run.same_instance(&arguments));
        if let Some((oldest, _)) = same.next()
            && 1 + same.count() >= WAITING
        {
            outcomes.extend(self.waiting.remove(oldest).map(Outcome::Dropped));
        }
        self.waiting.push_back(Run { program: program.to_vec(), arguments });
        self.start_next(now, &mut outcomes);
        outcomes
    }

    /// Handles the result of [`super::reaper::reap`], even an empty one. Call it on every SIGCHLD.
    pub fn reaped(&mut self, now: Instant, reaped: &[Reaped]) -> Vec<Outcome> {
        let Some(running) = &self.running else { return Vec::new() };
        match reaped.iter().find(|reaped| reaped.pid == running.pid.as_raw()) {
            Some(reaped) => self.finish(now, Some(reaped.how)),
            None if is_child(running.pid) => Vec::new(),
            None => self.finish(now, None),
        }
    }

    /// When to call [`Notifier::expire`]; `None` if nothing runs.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }

    /// If the deadline has passed, sends SIGTERM or SIGKILL, or stops waiting for the program.
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
                self.launcher.signal(running.pid, Signal::SIGTERM);
                vec![Outcome::Overdue(running.run.clone())]
            }
            Stage::Terminated => {
                running.stage = Stage::Killed;
                self.launcher.signal(running.pid, Signal::SIGKILL);
                Vec::new()
            }
            Stage::Killed => {
                let left = |Running { run, pid, .. }| Outcome::Unkillable { run, pid: pid.as_raw() };
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
                // Its own children may have survived SIGTERM. Its pid was freed a moment ago, and the kernel assigns all
                // others before it is used again, so the process group is still this one or does not exist.
                self.launcher.signal(pid, Signal::SIGKILL);
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
            match self.launcher.start(run.program.iter().chain(&run.arguments), Output::Log) {
                Ok(pid) => {
                    self.running = Some(Running { run, pid, stage: Stage::Started, until: now + LIMIT });
                }
                Err(e) => outcomes.push(Outcome::NotStarted(start_error(&run, &e))),
            }
        }
    }
}

fn start_error(run: &Run, e: &io::Error) -> Error {
    let path = run.program.first().map_or("", String::as_str);
    program::failure(Path::new(path), run, e)
}
