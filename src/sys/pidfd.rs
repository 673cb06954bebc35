//! A descriptor that becomes readable when a process ends. Does not know why the process is watched.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Error;

/// Readable as soon as the process has ended, reaped or not. Needs no capability, and the process need not be a child.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the process `pid` of our PID namespace; `None` if it no longer exists.
    ///
    /// # Errors
    /// `ENOSYS` before Linux 5.3, `EPERM` if a seccomp profile forbids it, or the process is out of descriptors.
    pub fn open(pid: i32) -> Result<Option<Self>, Error> {
        let Some(process) = Pid::from_raw(pid) else { return Ok(None) };
        match pidfd_open(process, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(e) => Err(Error::doing("watch process", pid)(e)),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
