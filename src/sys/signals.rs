//! The signals that the daemon handles, as values from a readable descriptor. Does not act on them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, Signal as Kernel};
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
        let handled: SigSet = HANDLED.iter().map(|&(kernel, _)| kernel).collect();
        handled.thread_unblock().map_err(|e| doing(e.into()))?;
        Ok(Self { delivery })
    }

    /// The signals since the last call, each at most once, in no particular order. Never blocks.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> + use<> {
        self.delivery.pending().filter_map(|number| {
            HANDLED.iter().find(|(kernel, _)| *kernel as i32 == number).map(|&(_, signal)| signal)
        })
    }
}

impl AsFd for Signals {
    /// Readable when a signal may be pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
