//! The command `run`: reads the configuration, checks the capabilities and runs the daemon until it stops. Knows
//! nothing of the protocol.

use std::path::{Path, PathBuf};

use super::environment::Running;
use super::failure::{Failure, require};
use super::panic::release_on_panic;
use super::reload::Reload;
use crate::config::Config;
use crate::daemon::{Daemon, Next};
use crate::logger;
use crate::preflight::facts::mounted_files;
use crate::preflight::{Facts, Finding, findings};
use crate::sys::capabilities::Capability;

/// Runs the daemon until a signal stops it.
pub(super) fn run() -> Result<(), Failure> {
    let (config, warnings, running) = Running::read()?;
    // It fails only if a logger is installed already, which then stays.
    let _ = logger::install(&config.log);
    log::info!(event = "start"; "Starting vrrp-init {}", env!("CARGO_PKG_VERSION"));
    for warning in &warnings {
        log::log!(warning.level, event = "configuration"; "{warning}");
    }
    require(&[Capability::NetAdmin, Capability::NetRaw])?;
    release_on_panic(&config);
    // The sandbox hides them.
    let mounted = mounted_files(Path::new("/"));
    let mut daemon = Daemon::start(config.clone())?;
    log_findings(&config, mounted);
    // The daemon has its own copy, of up to a thousand routers.
    drop(config);
    let mut reload = Reload::new(running, warnings.iter().map(ToString::to_string));
    drop(warnings);
    loop {
        match daemon.turn()? {
            Next::Turn => {}
            Next::Reload(trigger) => reload.reload(&mut daemon, trigger),
            Next::Stopped => return Ok(()),
        }
    }
}

/// Logs the findings that the daemon does not log itself, each sentence once. Facts that cannot be gathered do not
/// stop the daemon.
fn log_findings(config: &Config, mounted: Vec<PathBuf>) {
    let Ok(facts) = Facts::gather(config) else { return };
    let facts = Facts { mounted, ..facts };
    let mut logged: Vec<String> = vec![];
    for Finding { level, router, text, logged_by_daemon } in findings(config, &facts) {
        if !logged_by_daemon && !logged.contains(&text) {
            match router {
                Some(name) => {
                    log::log!(level, event = "preflight", instance = name.as_str(); "({name}) {text}");
                }
                None => log::log!(level, event = "preflight"; "{text}"),
            }
            logged.push(text);
        }
    }
}
