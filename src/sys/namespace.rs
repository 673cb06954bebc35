//! The PID namespace that this process owns as its PID 1: whether other processes are in it, and SIGTERM to all of them.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// To PID 1, every other process of its namespace and of those below it. To any other process it would mean all that it may
/// signal.
const ALL: Pid = Pid::from_raw(-1);

/// Exists only in PID 1. When PID 1 ends, the kernel kills the rest of its namespace.
#[derive(Debug)]
pub struct PidNamespace(());

impl PidNamespace {
    /// `None` if this process is not PID 1.
    pub fn owned() -> Option<Self> {
        (getpid() == Pid::from_raw(1)).then_some(Self(()))
    }

    /// Whether PID 1 is alone. Needs no privilege. A child that has ended counts until it is reaped.
    pub fn is_empty(&self) -> bool {
        kill(ALL, None) == Err(Errno::ESRCH)
    }

    /// Sends SIGTERM to all others. Without CAP_KILL it reaches only those of the same user; that is no error.
    pub fn terminate(&self) {
        let _ = kill(ALL, Signal::SIGTERM);
    }
}
