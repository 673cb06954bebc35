//! Reaping every process that ended as our child, orphans handed to PID 1 included; knows no child by purpose.

use std::fmt;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// A process that is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Its pid, free for reuse from now on.
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
    /// By itself, with this code, 0 to 255.
    Exited(i32),
    /// By a signal, named as in `SIGKILL`.
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

/// Reaps all that have ended, never waiting for one that has not. To be called on every SIGCHLD, which
/// stands for one ended child or many, and once after the handlers are in place. Beside it nobody may wait
/// for a child: one would take the other's status.
///
/// A child that a real-time signal killed is reaped but not in the list: nix has no name for its signal,
/// and gives no pid then.
pub fn reap() -> Vec<Reaped> {
    let mut reaped = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                reaped.push(Reaped { pid: pid.as_raw(), how: How::Exited(code) });
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                reaped.push(Reaped { pid: pid.as_raw(), how: How::Killed(signal.as_str()) });
            }
            Ok(WaitStatus::StillAlive) => return reaped,
            // Stopped or traced: not ended. EINVAL: reaped, but nix cannot name the signal; the kernel itself
            // has no such answer to these arguments.
            Ok(_) | Err(Errno::EINVAL | Errno::EINTR) => {}
            // ECHILD: no child is left.
            Err(_) => return reaped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reads_as_part_of_a_sentence() {
        let text = [How::Exited(3).to_string(), How::Killed("SIGKILL").to_string()];
        assert_eq!(text, ["exited with 3", "was killed by SIGKILL"]);
    }
}
