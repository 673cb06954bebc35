//! The command `check`: the effective configuration with its origins and the preflight, on standard output; and the
//! preflight for the start of the daemon. Gathers facts, judges none.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::columns::join;
use crate::config::{Config, InterfaceChoice, RouterConfig, Setting};
use crate::interfaces::Interfaces;
use crate::preflight::{Facts, Finding, Processes, findings};
use crate::run::{self, Failure};
use crate::sys::capabilities::{self, Capability};
use crate::sys::netlink::Netlink;
use crate::sys::process::ProcFs;
use crate::sys::{Error, route};
use crate::vrrp::Family;

/// Prints what holds and what is found. 0 when the daemon could run here, whatever the warnings.
pub fn check() -> ExitCode {
    match report() {
        Ok((text, able)) => {
            // A reader that goes away early, such as `head`, is no failure.
            let _ = io::stdout().write_all(text.as_bytes());
            if able { ExitCode::SUCCESS } else { ExitCode::from(run::CAPABILITY) }
        }
        Err(failure) => {
            run::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The whole report, and whether every capability is held.
fn report() -> Result<(String, bool), Failure> {
    let (config, warnings, settings) = run::explain_environment()?;
    let mut facts = gather(&config)?;
    let mut text = effective(&config, &settings);
    text.push_str("\npreflight\n");
    facts.neighbours = route::neighbors();
    match look(&config) {
        Ok(processes) => facts.processes = Some(processes),
        // The rest is worth knowing all the same.
        Err(e) => line(&mut text, log::Level::Warn, &e.to_string()),
    }
    for warning in &warnings {
        line(&mut text, warning.level, &warning.to_string());
    }
    for Finding { level, router, text: finding, .. } in findings(&config, &facts) {
        let router = router.map_or(String::new(), |name| format!("({name}) "));
        line(&mut text, level, &format!("{router}{finding}"));
    }
    Ok((text, facts.missing.is_empty()))
}

fn line(text: &mut String, level: log::Level, sentence: &str) {
    let level = level.as_str().to_ascii_lowercase();
    _ = writeln!(text, "  {level:6}{sentence}");
}

/// The table of settings: the process, then each number's routers.
fn effective(config: &Config, settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut heading = None;
    let width = settings.iter().map(|setting| setting.value.chars().count()).max().unwrap_or(0).min(40);
    for setting in settings {
        if heading != Some(setting.number) {
            heading = Some(setting.number);
            let names = join(routers(config, setting.number).map(|router| &router.name), " and ");
            let title = if names.is_empty() { "process" } else { &names };
            _ = writeln!(text, "{}{title}", if text.is_empty() { "" } else { "\n" });
        }
        _ = writeln!(text, "  {:17}{:width$}  {}", setting.variable, setting.value, setting.origin);
    }
    text
}

fn routers(config: &Config, number: u16) -> impl Iterator<Item = &RouterConfig> {
    config.routers.iter().filter(move |router| router.number == number)
}

/// Logs what the daemon would not say by itself, each sentence once. What cannot be told now ends nothing.
pub fn log_at_start(config: &Config) {
    let Ok(facts) = gather(config) else { return };
    let mut told: Vec<String> = vec![];
    for Finding { level, router, text, said } in findings(config, &facts) {
        if !said && !told.contains(&text) {
            let name = router.unwrap_or_default();
            log::log!(level, event = "preflight", instance = name.as_str(); "({name}) {text}");
            told.push(text);
        }
    }
}

/// What takes no time.
fn gather(config: &Config) -> Result<Facts, Error> {
    let held = capabilities::effective()?;
    let needed = [Capability::NetAdmin, Capability::NetRaw];
    let mut netlink = Netlink::open()?;
    let auto = config.routers.iter().any(|router| router.interface == InterfaceChoice::Auto);
    let route = |family| if auto { route::default_route_interface(family) } else { None };
    Ok(Facts {
        missing: needed.into_iter().filter(|c| !held.has(*c)).map(|c| c.to_string()).collect(),
        interfaces: Interfaces::new(netlink.links()?, netlink.addresses()?),
        default_routes: [route(Family::V4), route(Family::V6)],
        neighbours: vec![],
        processes: None,
    })
}

/// Looks through /proc, which takes the longer the more there are.
fn look(config: &Config) -> Result<Processes, Error> {
    let mut names: Vec<String> = vec![];
    for service in config.routers.iter().filter_map(|router| router.check.as_ref()).flat_map(|c| &c.services)
    {
        if !names.contains(service) {
            names.push(service.clone());
        }
    }
    let mut procfs = ProcFs::new("/proc")?;
    let found = procfs.scan(&names)?;
    let (mut services, mut neighbours) = (vec![], vec![]);
    for (name, processes) in names.into_iter().zip(found) {
        if processes.iter().any(|process| procfs.shares_network(process.pid)) {
            neighbours.push(name.clone());
        }
        services.push((name, processes.iter().map(|process| process.pid).collect()));
    }
    Ok(Processes {
        neighbours,
        alone: procfs.is_alone()?,
        hidden: procfs.hides_processes()?,
        nonlocal_bind: [Family::V4, Family::V6].map(route::nonlocal_bind),
        services,
    })
}
