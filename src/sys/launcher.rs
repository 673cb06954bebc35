//! Starts the programs of the operator, and signals them. Does not know what they are for, and waits for none.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::program;
use super::unprivileged::Rights;

/// Where a program's standard output and error go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// To our standard output, and so into the container's log. It cannot fill our standard error, to which we write the log.
    Log,
    /// Nowhere.
    Discarded,
}

/// What all programs have in common. A clone shares it.
///
/// A program gets the variables that are meant for it and an empty standard input. It leads its own process group, and no
/// signal is blocked or ignored.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Each entry as `NAME=value`.
    environment: Rc<[CString]>,
    rights: Rights,
}

impl Launcher {
    /// Programs get the variables whose names are passed on, and these rights.
    pub fn new(is_passed_on: impl Fn(&OsStr) -> bool, rights: Rights) -> Self {
        let passed_on = env::vars_os().filter(|(name, _)| is_passed_on(name));
        let line = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        // Our own environment was passed as C strings, so no entry contains a NUL.
        let environment = passed_on.map(line).filter_map(|line| CString::new(line).ok()).collect();
        Self { environment, rights }
    }

    /// Starts a program: its path and its arguments. Does not wait for the child: the reaper takes its status. Uses
    /// `posix_spawn`, because with `std::process` a child would inherit the signals that were blocked when we were started.
    ///
    /// # Errors
    /// The kernel refuses it, or others can write the program.
    pub fn start<'a>(&self, words: impl Iterator<Item = &'a String>, output: Output) -> io::Result<Pid> {
        let environment = &*self.environment;
        let words = words.map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
        let path = words.first().ok_or(ErrorKind::InvalidInput)?;
        program::check_writers(Path::new(OsStr::from_bytes(path.to_bytes())), self.rights)?;
        self.rights.run(|| spawn_leader(path, &words, environment, output))
    }

    /// Signals a process group with the rights of the programs, whose user is another. Errors are ignored: the group has no
    /// member left, or only ones that changed their user.
    pub fn signal(&self, group: Pid, signal: Signal) {
        let _ = self.rights.run(|| Ok(killpg(group, signal)?));
    }
}

/// Starts a program as the leader of a process group.
fn spawn_leader(path: &CStr, words: &[CString], environment: &[CString], output: Output) -> io::Result<Pid> {
    let mut descriptors = PosixSpawnFileActions::init()?;
    let open = |file: io::Result<File>| file.map_err(|e| io::Error::other(format!("/dev/null: {e}")));
    let nothing = open(File::open("/dev/null"))?;
    descriptors.add_dup2(nothing.as_raw_fd(), 0)?;
    // Open until the program is started.
    let _sink = match output {
        Output::Log => None,
        Output::Discarded => {
            let sink = open(OpenOptions::new().write(true).open("/dev/null"))?;
            descriptors.add_dup2(sink.as_raw_fd(), 1)?;
            Some(sink)
        }
    };
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
    Ok(posix_spawnp(path, &descriptors, &attributes, words, environment)?)
}

/// Whether `pid` is our child, running or not yet reaped. Leaves its status for the reaper.
pub(super) fn is_child(pid: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), flags) != Err(Errno::ECHILD)
}
