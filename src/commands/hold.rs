//! The command `hold`: PID 1 of a process namespace that other containers join. Reaps every orphan until a signal stops it,
//! and then ends last. Reads no variable and does not know what runs in the namespace.

use std::time::Duration;

use super::failure::Failure;
use super::output;
use crate::sys::Error;
use crate::sys::namespace::PidNamespace;
use crate::sys::poller::Clock;
use crate::sys::reaper;
use crate::sys::sandbox::{self, CapabilitySet, Files, Needs, Purpose};
use crate::sys::signals::{BlockedSignals, Signal};

/// The most processes reaped before the signals are read again.
const MOST_REAPED: usize = 64;

/// How long to wait at the stop for the other containers, which an engine that shuts down stops at the same time: a
/// master that hands over takes up to 1.1 s, and a service may finish its requests.
const ON_THEIR_OWN: Duration = Duration::from_secs(5);
/// How long to wait after sending them SIGTERM. Both together are less than the 10 s after which Docker kills.
const AFTER_SIGTERM: Duration = Duration::from_secs(3);
/// Time between two looks at the namespace: the parents of the other containers' first processes are outside of it, so
/// no SIGCHLD reports their end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Runs until SIGTERM, SIGINT or SIGQUIT, and then until the other processes have ended, for a limited time.
pub(super) fn hold() -> Result<(), Failure> {
    let signals = BlockedSignals::block()?;
    // It has no log for what the kernel refuses of it. It ends the processes of other users.
    sandbox::enter(&Needs {
        files: Files { read: vec!["/proc".into()], write: vec![] },
        capabilities: CapabilitySet::KILL,
        purpose: Purpose::Alone,
        all_capabilities: None,
    });
    let namespace = PidNamespace::owned();
    output::print_error(&match namespace {
        Some(_) => "Holding this process namespace until SIGTERM or SIGINT",
        None => "Not PID 1, so this holds no process namespace; waiting for SIGTERM or SIGINT",
    });
    let signal = loop {
        if let Some(Signal::Stop(name)) = reap_and_wait(&signals, None)? {
            break name;
        }
    };
    let left = match namespace {
        Some(namespace) if !outlast(&namespace, &signals)? => {
            "; the processes left in this namespace end as well"
        }
        Some(_) | None => "",
    };
    output::print_error(&format_args!("Stopped by {signal}{left}"));
    Ok(())
}

/// Reaps what has ended, then waits for the next signal. If more may have ended, it does not wait.
fn reap_and_wait(signals: &BlockedSignals, at_most: Option<Duration>) -> Result<Option<Signal>, Error> {
    let more = reaper::reap(MOST_REAPED).len() == MOST_REAPED;
    signals.wait(if more { Some(Duration::ZERO) } else { at_most })
}

/// Waits until no other process is left. Returns false if some still are when the time is over or a second signal to stop
/// arrives.
fn outlast(namespace: &PidNamespace, signals: &BlockedSignals) -> Result<bool, Error> {
    let clock = Clock::start()?;
    for (terminate, limit) in [(false, ON_THEIR_OWN), (true, AFTER_SIGTERM)] {
        if terminate {
            namespace.terminate();
        }
        let deadline = clock.now() + limit;
        while clock.now() < deadline {
            if namespace.is_empty() {
                return Ok(true);
            }
            if let Some(Signal::Stop(_)) = reap_and_wait(signals, Some(BETWEEN_LOOKS))? {
                return Ok(false);
            }
        }
    }
    Ok(namespace.is_empty())
}
