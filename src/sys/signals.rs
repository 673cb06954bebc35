//! The signals a daemon answers, as values from a readable descriptor; knows nothing of what is done about them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, Signal as Kernel};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::Error;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT or SIGQUIT, by name: leave in good order.
    Stop(&'static str),
    /// SIGHUP: read again what may have changed.
    Reload,
    /// SIGUSR1, or SIGUSR2 as keepalived has it too: write the status to the log.
    Dump,
    /// SIGCHLD: at least one child ended; more may have, since signals coalesce.
    Child,
}

/// The rest is left to the kernel: for PID 1 it discards what has no handler, SIGTTIN and SIGTTOU included.
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
    /// Installs the handlers; from here on no signal of [`Signal`] is lost or ends the process. Call it
    /// before anything that needs undoing.
    ///
    /// # Errors
    /// When the process is out of descriptors, or a handler is refused.
    pub fn install() -> Result<Self, Error> {
        let doing = |e: io::Error| Error::doing("handle", "the signals to stop, reload, dump and reap")(e);
        let (read, write) = UnixStream::pair().map_err(doing)?;
        let numbers = HANDLED.map(|(kernel, _)| kernel as i32);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers).map_err(doing)?;
        // A mask is inherited through exec: whoever started us may have had these blocked.
        let handled: SigSet = HANDLED.iter().map(|&(kernel, _)| kernel).collect();
        handled.thread_unblock().map_err(|e| doing(e.into()))?;
        Ok(Self { delivery })
    }

    /// The signals since the last call, each at most once however often it came, in no special order;
    /// none when there were none. Never blocks.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> + use<> {
        self.delivery.pending().filter_map(|number| {
            HANDLED.iter().find(|(kernel, _)| *kernel as i32 == number).map(|&(_, signal)| signal)
        })
    }
}

impl AsFd for Signals {
    /// Readable when [`Signals::pending`] may have something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
