//! One run of a check's program: its end, and its time limit. Draws no conclusions, and never blocks, except while the
//! program is started.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::launcher::{Launcher, Output, is_child};
use super::program;
use super::reaper::{How, Reaped};
use crate::time::Instant;

/// The time from SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(1);

/// A program that runs. Dropping it kills it, with its process group.
#[derive(Debug)]
pub struct Script {
    launcher: Launcher,
    /// Also the id of its process group.
    pid: Pid,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// SIGTERM is due at this time.
    Started(Instant),
    /// SIGKILL is due at this time.
    Terminated(Instant),
    /// It cannot do more than sit in the kernel.
    Killed,
    Ended,
}

/// How a program ended: displays as the reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End(Option<How>);

impl End {
    /// Whether its exit code was 0.
    pub fn is_success(self) -> bool {
        self.0 == Some(How::Exited(0))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(How::Exited(code)) => write!(f, "exit code {code}"),
            Some(killed @ How::Killed(_)) => killed.fmt(f),
            None => write!(f, "was killed by a real-time signal"),
        }
    }
}

impl Script {
    /// Starts `program`, a path and arguments.
    ///
    /// # Errors
    /// Why the kernel does not run it, with advice.
    pub fn start(
        launcher: &Launcher,
        program: &[String],
        now: Instant,
        timeout: Duration,
    ) -> Result<Self, String> {
        match launcher.start(program.iter(), Output::Discarded) {
            Ok(pid) => Ok(Self { launcher: launcher.clone(), pid, stage: Stage::Started(now + timeout) }),
            Err(e) => {
                let path = program.first().map_or("", String::as_str);
                Err(program::failure(Path::new(path), &path, &e).source.to_string())
            }
        }
    }

    /// When to call [`Script::expire`].
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Started(at) | Stage::Terminated(at) => Some(at),
            Stage::Killed | Stage::Ended => None,
        }
    }

    /// Whether it has run for longer than it may.
    pub fn is_overdue(&self) -> bool {
        !matches!(self.stage, Stage::Started(_))
    }

    /// If the deadline has passed, asks it to end, and then ends it.
    pub fn expire(&mut self, now: Instant) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        let (signal, next) = match self.stage {
            Stage::Started(_) => (Signal::SIGTERM, Stage::Terminated(now + GRACE)),
            Stage::Terminated(_) | Stage::Killed | Stage::Ended => (Signal::SIGKILL, Stage::Killed),
        };
        self.launcher.signal(self.pid, signal);
        self.stage = next;
    }

    /// How it ended, if it is among these children or no child any more. What it left behind in its process group is killed:
    /// its pid was freed a moment ago, and the kernel assigns all others before it is used again, so the group is still this
    /// one or does not exist.
    pub fn reaped(&mut self, reaped: &[Reaped]) -> Option<End> {
        let how = match reaped.iter().find(|reaped| reaped.pid == self.pid.as_raw()) {
            Some(reaped) => Some(reaped.how),
            None if is_child(self.pid) => return None,
            None => None,
        };
        self.launcher.signal(self.pid, Signal::SIGKILL);
        self.stage = Stage::Ended;
        Some(End(how))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.stage != Stage::Ended {
            self.launcher.signal(self.pid, Signal::SIGKILL);
        }
    }
}
