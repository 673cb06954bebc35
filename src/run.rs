//! The command `run`: the environment, the preflight, the daemon, and the exit code that says how it
//! ended; knows nothing of the protocol.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::check;
use crate::config::{self, Config, ConfigError, EffectiveTexts, InterfaceChoice, Setting, Warning};
use crate::daemon::{Daemon, Next};
use crate::logger;
use crate::sys::Error;
use crate::sys::capabilities::{self, Capability};

/// The exit code of a missing capability.
pub(crate) const CAPABILITY: u8 = 77;

/// Why the daemon did not run to its stop. Displays as the operator should read it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The environment is wrong: every problem there is.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The container lacks what the work cannot be done without.
    #[error(
        "vrrp-init: the capability {0} is missing: without it no {what} is possible\n  \
         add to the service in the compose file:\n    cap_add: [NET_ADMIN, NET_RAW]",
        what = purpose(*.0)
    )]
    Capability(Capability),
    /// There is no interface to listen on.
    #[error("vrrp-init: {0}")]
    Nowhere(String),
    /// The kernel refused something no waiting mends.
    #[error("vrrp-init: {0}")]
    Kernel(#[from] Error),
    /// A bug: the panic message was printed, the virtual addresses are released.
    #[error("vrrp-init: internal error, the virtual addresses are released; please report the lines above")]
    Panic,
}

fn purpose(capability: Capability) -> &'static str {
    match capability {
        Capability::NetAdmin => "virtual address",
        Capability::NetRaw => "VRRP or ARP packet",
    }
}

impl Failure {
    /// The exit code, in the manner of sysexits: 70 internal, 77 capability, 78 configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Nowhere(_) => 78,
            Self::Capability(_) => CAPABILITY,
            Self::Kernel(e) if e.is_permission() => CAPABILITY,
            Self::Kernel(_) | Self::Panic => 70,
        }
    }
}

/// Runs the daemon in the process's environment until it is told to stop.
pub fn run() -> ExitCode {
    match guarded(run_daemon) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The last words on standard error; nobody reading them changes no exit code.
pub fn complain(what: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// A panic unwinds to here, past the daemon, whose `Drop` removes the virtual addresses.
fn guarded(work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Failure::Panic))
}

fn run_daemon() -> Result<(), Failure> {
    let files = Files::default();
    let (config, warnings) = Config::from_environment(std::env::vars_os(), |path| files.read(path))?;
    // A second logger cannot be installed; then the first one goes on.
    let _ = logger::install(&config.log);
    log::info!(event = "start"; "Starting vrrp-init {}", env!("CARGO_PKG_VERSION"));
    for warning in warnings {
        log::log!(warning.level, event = "configuration"; "{warning}");
    }
    preflight(&[Capability::NetAdmin, Capability::NetRaw])?;
    let mut daemon = Daemon::start(config.clone())?;
    check::log_at_start(&config);
    // The daemon has it too, and there may be a thousand routers in it.
    drop(config);
    loop {
        match daemon.turn()? {
            Next::Turn => {}
            Next::Reload => reload(&files),
            Next::Stopped => return Ok(()),
        }
    }
}

/// The path of the status socket, also if something else in the environment is wrong; `None`: it is off.
pub(crate) fn status_socket() -> Option<PathBuf> {
    config::status_socket(std::env::vars_os(), read_file)
}

/// The interface of each router, also if something else in the environment is wrong.
pub(crate) fn interfaces() -> Vec<InterfaceChoice> {
    config::interfaces(std::env::vars_os(), read_file)
}

pub(crate) fn read_environment() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_environment(std::env::vars_os(), read_file)
}

/// The same with the origin of every value.
pub(crate) fn explain_environment() -> Result<(Config, Vec<Warning>, Vec<Setting>), ConfigError> {
    Config::explained(std::env::vars_os(), read_file)
}

/// Only what cannot keep us waiting: a pipe that nobody writes to would stop the loop.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::read(path)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// What is needed from the first packet on; a container that lacks it is told at once, not when the other host
/// fails.
pub(crate) fn preflight(needed: &[Capability]) -> Result<(), Failure> {
    let held = capabilities::effective()?;
    match needed.iter().find(|capability| !held.has(**capability)) {
        Some(missing) => Err(Failure::Capability(*missing)),
        None => Ok(()),
    }
}

/// The files that the configuration was read from at the start.
#[derive(Default)]
struct Files(RefCell<BTreeMap<PathBuf, Vec<u8>>>);

impl Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = read_file(path)?;
        self.0.borrow_mut().insert(path.to_owned(), content.clone());
        Ok(content)
    }

    /// The content of a file at the start.
    fn recall(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.borrow().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// SIGHUP: the environment of a process never changes, but the files that it names may. Logs what changed; it takes
/// effect at the next start.
fn reload(at_start: &Files) {
    let before = EffectiveTexts::read(std::env::vars_os(), |path| at_start.recall(path));
    let now = EffectiveTexts::read(std::env::vars_os(), read_file);
    match before.and_then(|before| Ok(before.changes(&now?))) {
        Err(error) => {
            log::error!(event = "reload"; "The configuration read again is refused, nothing changes: {error}");
        }
        Ok(changed) if changed.is_empty() => {
            log::info!(event = "reload"; "Read the configuration again: nothing changed");
        }
        Ok(changed) => {
            let changed = changed.join(", ");
            log::warn!(event = "reload"; "Read the configuration again: {changed} changed; restart this container to use it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_exit_code() {
        let refused = |kind| Error::doing("open", "x")(io::Error::from(kind));
        assert_eq!(Failure::Configuration(ConfigError(vec![])).exit_code(), 78);
        assert_eq!(Failure::Capability(Capability::NetRaw).exit_code(), 77);
        assert_eq!(Failure::Kernel(refused(io::ErrorKind::PermissionDenied)).exit_code(), 77);
        assert_eq!(Failure::Kernel(refused(io::ErrorKind::OutOfMemory)).exit_code(), 70);
    }

    #[test]
    fn a_panic_becomes_exit_code_70() {
        let failure = guarded(|| panic!("a bug")).unwrap_err();
        assert_eq!(failure.exit_code(), 70);
    }

    #[test]
    fn a_missing_capability_is_named_with_the_compose_line() {
        let text = Failure::Capability(Capability::NetRaw).to_string();
        assert!(
            text.contains("NET_RAW is missing") && text.contains("cap_add: [NET_ADMIN, NET_RAW]"),
            "{text}"
        );
    }
}
