//! SIGHUP, or a changed `ENV_FILE`: reads the configuration again, has the daemon apply what can be applied, and logs the
//! rest. Knows nothing of the protocol.

use super::environment::Running;
use super::panic::release_on_panic_also;
use crate::columns::join;
use crate::config::{Change, ConfigError, Plan};
use crate::daemon::{Daemon, Reloaded, Trigger};
use crate::logger;

/// What runs, and what was logged about it.
pub(super) struct Reload {
    running: Running,
    /// The warnings and the changes that wait for a restart, each logged once.
    logged: Vec<String>,
    restart: Vec<Change>,
    /// The last reading was wrong.
    refused: bool,
}

impl Reload {
    pub(super) fn new(running: Running, warnings: impl Iterator<Item = String>) -> Self {
        Self { running, logged: warnings.collect(), restart: vec![], refused: false }
    }

    /// Reads the configuration again. A wrong one changes nothing.
    pub(super) fn reload(&mut self, daemon: &mut Daemon, trigger: Trigger) {
        let plan = self.running.plan();
        let quiet = trigger == Trigger::File && !std::mem::replace(&mut self.refused, plan.is_err());
        let outcome = match plan {
            Err(error) => refuse(&error),
            // A file that was only touched.
            Ok(plan) if quiet && plan.applied.is_empty() && plan.restart == self.restart => {
                Reloaded::Unchanged
            }
            Ok(plan) => self.apply(plan, daemon),
        };
        daemon.reloaded(outcome);
    }

    fn apply(&mut self, plan: Plan, daemon: &mut Daemon) -> Reloaded {
        let Plan { config, texts, warnings, applied, restart } = plan;
        for warning in warnings {
            let text = warning.to_string();
            if !self.logged.contains(&text) {
                log::log!(warning.level, event = "configuration"; "{text}");
                self.logged.push(text);
            }
        }
        if applied.is_empty() && restart.is_empty() {
            log::info!(event = "reload"; "Reload: the configuration has not changed");
            if self.restart.is_empty() {
                return Reloaded::Unchanged;
            }
        }
        if !applied.is_empty() {
            log::info!(event = "reload"; "Reload: applied {}", join(&applied, ", "));
            logger::configure(&config.log);
            release_on_panic_also(&config.routers);
            daemon.reconfigure(config.routers);
        }
        if !restart.is_empty() {
            let (changes, rest) =
                (join(&restart, ", "), if applied.is_empty() { "" } else { "; all else is applied" });
            log::warn!(event = "reload"; "Reload: restart this container to apply {changes}{rest}");
        }
        self.running.replace(texts);
        let outcome = Reloaded::Applied { restart: restart.iter().map(ToString::to_string).collect() };
        self.restart = restart;
        outcome
    }
}

/// Everything that is wrong, a line each.
fn refuse(error: &ConfigError) -> Reloaded {
    log::error!(event = "reload"; "Reload failed, the running configuration stays in use:");
    let problems = error.sentences();
    for problem in &problems {
        log::error!(event = "reload"; "  {problem}");
    }
    Reloaded::Refused { problems }
}
