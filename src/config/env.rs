//! Environment to configuration: names, files and texts to a [`Config`], with every problem collected on the way;
//! knows the variables' names, not the process it runs in.

mod checks;
pub(super) mod compat;
mod foreign;
mod given;
mod raw;
mod report;
mod router;
mod unique;

use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use self::given::{Environment, Given};
use self::raw::Raw;
use self::report::{Report, Scope};
use super::nearest;
use super::origins::{self, Setting, Source};
use super::value;
use super::{Config, ConfigError, LogConfig, Problem, ServeConfig, Warning};

/// See [`Config::from_environment`] and [`Config::explained`].
pub(super) fn read(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    settings: Option<&mut Vec<Setting>>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut environment = Environment::sort(vars);
    let mut report = Report::default();
    let sets = environment.texts(&read_file, &mut report);
    let config = config(&sets, &mut report);
    if let Some(settings) = settings {
        explain(&sets, settings);
    }
    let Report { mut problems, mut warnings, .. } = report;
    let config = config.filter(|_| problems.is_empty());
    for variable in BinaryHeap::from(environment.strangers).into_sorted_vec() {
        // A stranger's value stays unsaid: it may be somebody's secret.
        let known = nearest::suggestion(&variable);
        if known.is_none() && !nearest::unheard(&variable) {
            continue;
        }
        let (level, question) = match known {
            Some(known) => (log::Level::Warn, format!("; did you mean {known}?")),
            None => (log::Level::Info, String::new()),
        };
        let why = format!("is not a variable of vrrp-init{question}");
        match config {
            Some(_) => warnings.push(Warning { level, variable, why }),
            // It is the likely reason for what is missing.
            None => problems.push(Problem { variable, value: None, why }),
        }
    }
    config.map(|config| (config, warnings)).ok_or(ConfigError(problems))
}

/// The sets that make a router each.
fn routers_of<'a>(sets: &'a [(u16, Vec<Given>)], first: &[Given]) -> &'a [(u16, Vec<Given>)] {
    let is_set = |name: &str| first.iter().any(|text| text.variable.name == name);
    // The numbers may begin anywhere: then the first set is only what the others inherit.
    let skip = sets.len() > 1 && !is_set("VIP") && !is_set("VIRTUAL_ROUTER");
    &sets[usize::from(skip)..]
}

/// The process first, then each router.
fn explain(sets: &[(u16, Vec<Given>)], settings: &mut Vec<Setting>) {
    let Some((_, first)) = sets.first() else { return };
    let process: &[_] = &[(0, vec![])];
    for (number, own) in process.iter().chain(routers_of(sets, first)) {
        let scope = Scope { number: *number, own, first, alone: false };
        let given = |name: &str| {
            let (given, number) = scope.text(name).or_else(|| {
                let of_process = |given: &&Given| *number == 0 && given.variable.name == name;
                first.iter().find(of_process).map(|given| (given, 1))
            })?;
            let Given { text, name, file, implied, .. } = given;
            Some(Source { text, name, file: file.as_deref(), implied: *implied, number })
        };
        origins::settings(*number, &given, settings);
    }
}

/// `None` once a problem is noted.
fn config<'a>(sets: &'a [(u16, Vec<Given>)], report: &mut Report<'a>) -> Option<Config> {
    let (_, first) = sets.first()?;
    let sets = routers_of(sets, first);
    let mut routers = vec![];
    for (number, own) in sets {
        let scope = Scope { number: *number, own, first, alone: sets.len() == 1 };
        report.scope = Some(scope);
        if let Some(raw) = Raw::fill(&scope, report) {
            routers.extend(router::routers(*number, &raw, report));
        }
    }
    report.scope = Some(Scope { number: 1, own: first, first, alone: true });
    let process = Raw::fill(&report.scope?, report);
    let serve = process.as_ref().and_then(|raw| serve(raw, report));
    let log = process.and_then(|raw| log(&raw, report));
    for problem in unique::disputes(&routers) {
        report.whole(&problem.variable, problem.value.as_deref(), problem.why);
    }
    Some(Config { routers, serve: serve?, log: log? })
}

fn serve(raw: &Raw, report: &mut Report<'_>) -> Option<ServeConfig> {
    let socket = report.value("STATUS_SOCKET", raw, value::status_socket);
    let metrics = report.value("METRICS_LISTEN", raw, value::metrics_listen);
    Some(ServeConfig { socket: socket?, metrics: metrics? })
}

fn log(raw: &Raw, report: &mut Report<'_>) -> Option<LogConfig> {
    let level = report.value("LOG_LEVEL", raw, value::log_level);
    let format = report.value("LOG_FORMAT", raw, value::log_format);
    let (format, time) = format?;
    Some(LogConfig { level: level?, format, time })
}

#[cfg(test)]
mod tests;
