//! Environment to configuration: names, files and texts to a [`Config`], with every problem collected on the way;
//! knows the variables' names, not the process it runs in.

mod checks;
mod given;
mod report;
mod router;
mod unique;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::Deserialize;

use self::given::{Environment, Given};
use self::report::{Report, Scope};
use super::nearest;
use super::value;
use super::variables::{Default as Fallback, VARIABLES};
use super::{Config, ConfigError, LogConfig, Problem, RouterConfig, Warning};

/// The texts that make one router, defaults filled in, each field its variable in lower case. All are text, since
/// serde would stop at the first value it cannot read and not say whose it was. A password is among them: never
/// displayed.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Debug))]
struct Raw {
    vip: Option<String>,
    virtual_router: Option<String>,
    interface: Option<String>,
    state: Option<String>,
    priority: Option<String>,
    service: Option<String>,
    check_tcp: Option<String>,
    check_http: Option<String>,
    check_interval: Option<String>,
    check_weight: Option<String>,
    check_timeout: Option<String>,
    check_rise: Option<String>,
    check_fall: Option<String>,
    advert_int: Option<String>,
    vrrp_version: Option<String>,
    v3_checksum: Option<String>,
    preempt: Option<String>,
    preempt_delay: Option<String>,
    auth_pass: Option<String>,
    unicast_peers: Option<String>,
    unicast_src_ip: Option<String>,
    track_interface: Option<String>,
    vip_excluded: Option<String>,
    fast_failover: Option<String>,
    vip_lease: Option<String>,
    garp_refresh: Option<String>,
    instance_name: Option<String>,
    notify: Option<String>,
    log_level: Option<String>,
    log_format: Option<String>,
}

/// See [`Config::from_environment`].
pub(super) fn read(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut environment = Environment::sort(vars);
    let strangers = std::mem::take(&mut environment.strangers);
    let mut report = Report::default();
    let sets = environment.texts(&read_file, &mut report);
    let config = config(&sets, &mut report);
    let Report { mut problems, mut warnings, .. } = report;
    let near_misses = strangers.iter().filter_map(|name| near_miss(name));
    match config {
        Some(config) if problems.is_empty() => {
            let warning = |Problem { variable, why, .. }| Warning { level: log::Level::Warn, variable, why };
            warnings.extend(near_misses.map(warning));
            Ok((config, warnings))
        }
        // A misspelt name is the likely reason for what is missing.
        _ => {
            problems.extend(near_misses);
            Err(ConfigError(problems))
        }
    }
}

/// A stranger's value stays unsaid: it may be somebody's secret.
fn near_miss(name: &str) -> Option<Problem> {
    let known = nearest::suggestion(name)?;
    let why = format!("is not a variable of vrrp-init; did you mean {known}?");
    Some(Problem { variable: name.to_owned(), value: None, why })
}

/// `None` once a problem is noted.
fn config<'a>(sets: &'a [(u16, Vec<Given>)], report: &mut Report<'a>) -> Option<Config> {
    let (_, first) = sets.first()?;
    let is_set = |name: &str| first.iter().any(|text| text.variable.name == name);
    // The numbers may begin anywhere: then the first set is only what the others inherit.
    let skip = sets.len() > 1 && !is_set("VIP") && !is_set("VIRTUAL_ROUTER");
    let sets = &sets[usize::from(skip)..];
    let mut routers = vec![];
    for (number, own) in sets {
        let scope = Scope { number: *number, own, first, alone: sets.len() == 1 };
        report.scope = Some(scope);
        if let Some(raw) = raw(&scope, report) {
            routers.extend(router::routers(*number, &raw, report));
        }
    }
    report.scope = Some(Scope { number: 1, own: first, first, alone: true });
    let log = raw(&report.scope?, report).and_then(|raw| log(&raw, report));
    for problem in unique::disputes(&routers) {
        report.whole(&problem.variable, problem.value.as_deref(), problem.why);
    }
    Some(Config { routers, log: log? })
}

/// Names the texts, after filling in the defaults.
fn raw(scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Raw> {
    let filled = VARIABLES.iter().filter_map(|variable| {
        let text = match (scope.text(variable.name), variable.default) {
            (Some((text, _)), _) => text.text.clone(),
            (None, Fallback::Value(value)) => value.to_owned(),
            (None, Fallback::Required(_) | Fallback::None | Fallback::Same(_)) => return None,
        };
        Some((variable.name.to_owned(), text))
    });
    envy::from_iter(filled).map_err(|error| report.whole("the environment", None, error)).ok()
}

fn log(raw: &Raw, report: &mut Report<'_>) -> Option<LogConfig> {
    let level = report.value("LOG_LEVEL", raw.log_level.as_ref(), value::log_level);
    let format = report.value("LOG_FORMAT", raw.log_format.as_ref(), value::log_format);
    Some(LogConfig { level: level?, format: format? })
}

#[cfg(test)]
mod tests;
