//! The signals that the program handles, as values from a readable descriptor. Does not act on them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Kernel};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::Error;

/// The request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT or SIGQUIT, with its name: stop gracefully.
    Stop(&'static str),
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1 or, as in keepalived, SIGUSR2: write the status to the log.
    Dump,
    /// SIGCHLD: at least one child ended. Signals coalesce, so there may be more.
    Child,
}

/// The kernel handles all others: it does not deliver signals without a handler to PID 1, including SIGTTIN and SIGTTOU.
/// Rust's runtime ignores SIGPIPE.
const HANDLED: [(Kernel, Signal); 7] = [
    (Kernel::SIGTERM, Signal::Stop("SIGTERM")),
    (Kernel::SIGINT, Signal::Stop("SIGINT")),
    (Kernel::SIGQUIT, Signal::Stop("SIGQUIT")),
    (Kernel::SIGHUP, Signal::Reload),
    (Kernel::SIGUSR1, Signal::Dump),
    (Kernel::SIGUSR2, Signal::Dump),
    (Kernel::SIGCHLD, Signal::Child),
];

fn handled() -> SigSet {
    HANDLED.iter().map(|&(kernel, _)| kernel).collect()
}

fn by_number(number: i32) -> Option<Signal> {
    HANDLED.iter().find(|(kernel, _)| *kernel as i32 == number).map(|&(_, signal)| signal)
}

/// The installed handlers. They stay installed, without effect, when this is dropped.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Installs the handlers. From now on none of these signals is lost or ends the process. Call it before anything that
    /// must be undone at the end.
    ///
    /// # Errors
    /// The process is out of descriptors, or the kernel refuses a handler.
    pub fn install() -> Result<Self, Error> {
        let doing = |e: io::Error| Error::doing("handle", "the signals to stop, reload, dump and reap")(e);
        let (read, write) = UnixStream::pair().map_err(doing)?;
        let numbers = HANDLED.map(|(kernel, _)| kernel as i32);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers).map_err(doing)?;
        // A signal mask is inherited through exec: the parent may have blocked these.
        handled().thread_unblock().map_err(|e| doing(e.into()))?;
        Ok(Self { delivery })
    }

    /// The signals since the last call, each at most once, in no particular order. Never blocks.
    pub fn pending(&mut self) -> Vec<Signal> {
        // The iterator repeats a signal that arrives again meanwhile. If each were handled before the next is asked for, a
        // storm of one signal would never end.
        let mut numbers: Vec<_> = self.delivery.pending().collect();
        numbers.dedup();
        numbers.into_iter().filter_map(by_number).collect()
    }
}

impl AsFd for Signals {
    /// Readable when a signal may be pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// The same signals without handlers: they are blocked and wait in the kernel until they are read. That takes less memory
/// than [`Signals`], but is not for a process that starts programs, which would inherit the mask.
#[derive(Debug)]
pub struct BlockedSignals(SignalFd);

impl BlockedSignals {
    /// Blocks the signals. From now on none of them is lost or ends the process. Call it before a thread is started.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn block() -> Result<Self, Error> {
        let failed = |e: Errno| Error::doing("block", "the signals to stop and reap")(e);
        handled().thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&handled(), flags).map(Self).map_err(failed)
    }

    /// Waits for a signal; `None` if none comes within `at_most`.
    ///
    /// # Errors
    /// The kernel is out of memory.
    pub fn wait(&self, at_most: Option<Duration>) -> Result<Option<Signal>, Error> {
        let failed = |e: Errno| Error::doing("wait for", "a signal")(e);
        let timeout = at_most.map_or(PollTimeout::NONE, |time| time.try_into().unwrap_or(PollTimeout::MAX));
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed(e)),
        }
        let signal = self.0.read_signal().map_err(failed)?;
        Ok(signal.and_then(|signal| by_number(signal.ssi_signo.cast_signed())))
    }
}
