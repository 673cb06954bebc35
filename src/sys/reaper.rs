//! Reaps every child that has ended, including orphans that PID 1 adopts. Does not know why a child was started.

use std::fmt;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// A reaped process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Its pid, which the kernel can now reuse.
    pub pid: i32,
    pub how: How,
}

impl fmt::Display for Reaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}, which {}", self.pid, self.how)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It exited with this code, 0 to 255.
    Exited(i32),
    /// A signal killed it; its name, such as `SIGKILL`.
    Killed(&'static str),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Killed(signal) => write!(f, "was killed by {signal}"),
        }
    }
}

/// Reaps children that have ended, at most `most`, without blocking. If it reaped that many, there may be more. Call it on
/// every SIGCHLD, which can mean more than one ended child, and once after the handlers are installed. No other code may wait
/// for a child, or it would take the status away.
///
/// A child killed by a real-time signal is reaped but not in the result: nix has no name for such a signal, and then does
/// not return the pid.
pub fn reap(most: usize) -> Vec<Reaped> {
    let mut reaped = Vec::new();
    while reaped.len() < most {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                reaped.push(Reaped { pid: pid.as_raw(), how: How::Exited(code) });
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                reaped.push(Reaped { pid: pid.as_raw(), how: How::Killed(signal.as_str()) });
            }
            Ok(WaitStatus::StillAlive) => return reaped,
            // Stopped or traced: not ended. EINVAL: reaped, but nix cannot name the signal; the kernel does not return it
            // for these arguments.
            Ok(_) | Err(Errno::EINVAL | Errno::EINTR) => {}
            // ECHILD: no child is left.
            Err(_) => return reaped,
        }
    }
    reaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_displays_as_part_of_a_sentence() {
        let text = [How::Exited(3).to_string(), How::Killed("SIGKILL").to_string()];
        assert_eq!(text, ["exited with 3", "was killed by SIGKILL"]);
    }
}
