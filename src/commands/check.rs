//! The command `check`: prints the effective configuration with its origins, and the preflight. Judges nothing itself.

use std::fmt::Write as _;
use std::path::Path;

use log::Level;

use super::failure::Failure;
use super::{environment, output};
use crate::columns::join;
use crate::config::{Config, GuardChoice, Plan, RouterConfig, Setting};
use crate::preflight::{Facts, Finding, Processes, findings, listen};
use crate::printable;
use crate::sandbox::Sandbox;
use crate::sys::nftables::Guard;
use crate::sys::route;

/// Prints the report. It fails only if the daemon could not start here; warnings do not count. `file`: instead of
/// `ENV_FILE`.
pub(super) fn check(file: Option<&Path>) -> Result<(), Failure> {
    let (config, warnings, settings) = environment::explain(file)?;
    let mut facts = Facts::gather(&config)?;
    facts.neighbors = route::neighbors();
    facts.wire = listen(&config, &facts)?;
    if config.guard != GuardChoice::Off {
        let addresses = config.routers.iter().flat_map(RouterConfig::all_addresses);
        let addresses: Vec<_> = addresses.map(|vip| vip.address).collect();
        facts.guard = Some(Guard::examine(&addresses));
    }
    let mut text = effective(&config, &settings);
    if let Some(plan) = file.and_then(environment::difference) {
        text.push_str(&changes(&plan));
    }
    text.push_str("\npreflight\n");
    match Processes::scan(&config) {
        Ok(processes) => facts.processes = Some(processes),
        // The other facts are useful without them.
        Err(e) => line(&mut text, Level::Warn, &e.to_string()),
    }
    for warning in &warnings {
        line(&mut text, warning.level, &warning.to_string());
    }
    for Finding { level, router, text: finding, .. } in findings(&config, &facts) {
        let router = router.map_or(String::new(), |name| format!("({name}) "));
        line(&mut text, level, &format!("{router}{finding}"));
    }
    // This process then knows what a daemon here would get.
    let mut sandbox = Sandbox::new(&config);
    sandbox.enter(facts.processes.as_ref().is_some_and(|processes| processes.hidden));
    for (level, sentence) in sandbox.report() {
        line(&mut text, level, &sentence);
    }
    output::print(&text);
    if facts.missing.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn line(text: &mut String, level: Level, sentence: &str) {
    let level = level.as_str().to_ascii_lowercase();
    _ = writeln!(text, "  {level:6}{}", printable::line(sentence));
}

/// What would follow from the file while the daemon runs with the present environment.
fn changes(plan: &Plan) -> String {
    let mut text = String::from("\nchanges\n");
    let restart = plan.restart.iter().filter(|change| change.name != "ENV_FILE");
    for change in &plan.applied {
        _ = writeln!(text, "  applied at once  {change}");
    }
    for change in restart {
        _ = writeln!(text, "  needs a restart  {change}");
    }
    if text.lines().count() == 2 { text + "  none\n" } else { text }
}

/// The table of settings: first the process, then the routers of each suffix.
fn effective(config: &Config, settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut heading = None;
    let width = settings.iter().map(|setting| setting.value.chars().count()).max().unwrap_or(0).min(40);
    for setting in settings {
        if heading != Some(setting.number) {
            heading = Some(setting.number);
            let routers = config.routers.iter().filter(|router| router.number == setting.number);
            let names = join(routers.map(|router| &router.name), " and ");
            let title = if names.is_empty() { "process" } else { &names };
            _ = writeln!(text, "{}{title}", if text.is_empty() { "" } else { "\n" });
        }
        _ = writeln!(text, "  {:19}{:width$}  {}", setting.variable, setting.value, setting.origin);
    }
    text
}
