//! Environment to configuration: names, files and texts to a [`Config`], with every problem collected on the way;
//! knows the variables' names, not the process it runs in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::address;
use super::nearest;
use super::value::{self, LeaseChoice, Value};
use super::variables::{self, Default as Fallback, VARIABLES};
use super::{CheckConfig, Config, ConfigError, LogConfig, Problem, RouterConfig, VirtualAddress, Warning};
use crate::health::Weight;
use crate::vrrp::{Lease, Priority, Settings, Version};

/// The variables' texts, defaults filled in, each field its variable in lower case. All are text, since serde
/// would stop at the first value it cannot read and not say whose it was.
#[derive(Debug, Deserialize)]
struct Raw {
    vip: Option<String>,
    virtual_router: Option<String>,
    interface: Option<String>,
    state: Option<String>,
    priority: Option<String>,
    service: Option<String>,
    check_interval: Option<String>,
    check_weight: Option<String>,
    check_rise: Option<String>,
    check_fall: Option<String>,
    advert_int: Option<String>,
    preempt: Option<String>,
    fast_failover: Option<String>,
    vip_lease: Option<String>,
    instance_name: Option<String>,
    log_level: Option<String>,
    log_format: Option<String>,
}

/// Texts by variable.
type Texts = BTreeMap<&'static str, String>;

/// See [`Config::from_environment`].
pub(super) fn read(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut report = Report::default();
    let mut environment = Environment::sort(vars);
    let texts = environment.texts(read_file, &mut report);
    let config = raw(&texts, &mut report).and_then(|raw| {
        let router = router(&raw, &texts, &mut report);
        let log = log(&raw, &mut report);
        Some(Config { routers: vec![router?], log: log? })
    });
    let strangers = environment.strangers.iter().filter_map(|name| near_miss(name));
    match config {
        Some(config) if report.problems.is_empty() => {
            report.warnings.extend(strangers.map(|Problem { variable, why, .. }| Warning { variable, why }));
            Ok((config, report.warnings))
        }
        // A misspelt name is the likely reason for what is missing.
        _ => {
            report.problems.extend(strangers);
            Err(ConfigError(report.problems))
        }
    }
}

/// A stranger's value stays unsaid: it may be somebody's secret.
fn near_miss(name: &str) -> Option<Problem> {
    let known = nearest::suggestion(name)?;
    let why = format!("is not a variable of vrrp-init; did you mean {known}?");
    Some(Problem { variable: name.to_owned(), value: None, why })
}

/// The environment, divided into what is ours and what is not.
struct Environment {
    /// Every variable of the table and its `_FILE` form that is set and not empty.
    known: Vec<(String, OsString)>,
    /// The other names, as far as they are text, in order.
    strangers: Vec<String>,
}

impl Environment {
    fn sort(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut sorted = Self { known: vec![], strangers: vec![] };
        for (name, value) in vars {
            let Ok(name) = name.into_string() else { continue };
            let base = name.strip_suffix("_FILE").unwrap_or(&name);
            if !VARIABLES.iter().any(|variable| variable.name == base) {
                sorted.strangers.push(name);
            } else if !value.is_empty() {
                // Compose passes what is unset as empty.
                sorted.known.push((name, value));
            }
        }
        sorted.strangers.sort_unstable();
        sorted
    }

    /// The text of every variable that has one, from its file if need be.
    fn texts(&mut self, read_file: impl Fn(&Path) -> io::Result<Vec<u8>>, report: &mut Report) -> Texts {
        let mut texts = Texts::new();
        for variable in VARIABLES {
            let path_name = format!("{}_FILE", variable.name);
            let value = self.text(variable.name, report);
            let path = self.text(&path_name, report);
            let text = match (value, path) {
                (Some(_), Some(path)) => {
                    report.refuse(
                        &path_name,
                        &path,
                        format!("{} is set too; keep one of them", variable.name),
                    );
                    None
                }
                (value, None) => value,
                (None, Some(path)) => match content(read_file(Path::new(&path))) {
                    Ok(text) => {
                        report.files.insert(variable.name, path);
                        Some(text).filter(|text| !text.is_empty())
                    }
                    Err(why) => {
                        report.refuse(&path_name, &path, why);
                        None
                    }
                },
            };
            texts.extend(text.map(|text| (variable.name, text)));
        }
        texts
    }

    fn text(&mut self, name: &str, report: &mut Report) -> Option<String> {
        let at = self.known.iter().rposition(|(known, _)| known == name)?;
        let (_, value) = self.known.remove(at);
        value.into_string().map_err(|_| report.note(name, None, "has a value that is not UTF-8 text")).ok()
    }
}

/// A file's text without the newline that every editor ends it with.
fn content(read: io::Result<Vec<u8>>) -> Value<String> {
    let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::from_utf8(bytes).map_err(|_| "names a file that is not UTF-8 text")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Names the texts, after filling in the defaults.
fn raw(texts: &Texts, report: &mut Report) -> Option<Raw> {
    let filled = VARIABLES.iter().filter_map(|variable| {
        let text = texts.get(variable.name).cloned().or(match variable.default {
            Fallback::Value(value) => Some(value.to_owned()),
            Fallback::Required(_) | Fallback::None => None,
        });
        Some((variable.name.to_owned(), text?))
    });
    envy::from_iter(filled).map_err(|error| report.note("the environment", None, error)).ok()
}

/// What was found on the way.
#[derive(Default)]
struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    /// The file that a variable's text came from.
    files: Texts,
}

impl Report {
    fn note(&mut self, variable: &str, value: Option<&str>, why: impl Display) {
        let mut why = why.to_string();
        if let Some(path) = self.files.get(variable) {
            why = format!("{why} (read from {path})");
        }
        self.problems.push(Problem { variable: variable.to_owned(), value: value.map(str::to_owned), why });
    }

    fn refuse(&mut self, variable: &str, value: &str, why: impl Display) {
        self.note(variable, Some(value), why);
    }

    fn warn(&mut self, variable: &str, why: String) {
        self.warnings.push(Warning { variable: variable.to_owned(), why });
    }

    /// The variable's text, which it must have.
    fn required<'a>(&mut self, name: &'static str, text: Option<&'a String>) -> Option<&'a str> {
        let reported = |p: &Problem| p.variable.strip_suffix("_FILE").unwrap_or(&p.variable) == name;
        // A value that is there but could not be read is one problem, not two.
        if text.is_none() && !self.problems.iter().any(reported) {
            let what = variables::required(name).map_or(String::new(), |what| format!(": {what}"));
            self.note(name, None, format!("is required{what}"));
        }
        text.map(String::as_str)
    }

    /// The variable's value; `None` once a problem is noted.
    fn value<T>(
        &mut self,
        name: &'static str,
        text: Option<&String>,
        parse: impl Fn(&str) -> Value<T>,
    ) -> Option<T> {
        let text = self.required(name, text)?;
        parse(text).map_err(|why| self.refuse(name, text, why)).ok()
    }
}

fn router(raw: &Raw, given: &Texts, report: &mut Report) -> Option<RouterConfig> {
    let addresses = addresses(raw, report);
    let vrid = report.value("VIRTUAL_ROUTER", raw.virtual_router.as_ref(), value::vrid);
    let interface = report.value("INTERFACE", raw.interface.as_ref(), value::interface);
    let state_hint = report.value("STATE", raw.state.as_ref(), value::state);
    let priority = report.value("PRIORITY", raw.priority.as_ref(), value::priority);
    let check = check(raw, given, priority, report);
    let version = Version::V2;
    let interval =
        report.value("ADVERT_INT", raw.advert_int.as_ref(), |text| value::advert_interval(version, text));
    let preempt = report.value("PREEMPT", raw.preempt.as_ref(), value::boolean);
    let fast = report.value("FAST_FAILOVER", raw.fast_failover.as_ref(), value::boolean);
    let lease = report.value("VIP_LEASE", raw.vip_lease.as_ref(), value::lease);
    let name = report.value("INSTANCE_NAME", raw.instance_name.as_ref(), value::instance_name);
    let addresses = addresses?;
    let mut protocol = Settings {
        vrid: vrid?,
        version,
        priority: priority?,
        interval: interval?,
        preempt: preempt?,
        preempt_delay: std::time::Duration::ZERO,
        auth: None,
        checksum: crate::vrrp::V3Checksum::PseudoHeader,
        peers: vec![],
        addresses: addresses.iter().map(|vip| vip.address).collect(),
        fast: fast?,
        lease: None,
    };
    protocol.lease = match lease? {
        LeaseChoice::Auto => default_lease(&protocol),
        LeaseChoice::Off => None,
        LeaseChoice::For(lease) => Some(lease),
    };
    Some(RouterConfig {
        number: 1,
        name: name?,
        interface: interface?,
        state_hint: state_hint?,
        protocol,
        addresses,
        excluded: vec![],
        track: vec![],
        unicast_source: None,
        notify: None,
        garp_refresh: None,
        check,
    })
}

/// As long as the others wait before one of them takes over: shorter, and a short hold-up would cost the
/// address before anybody else has it.
fn default_lease(protocol: &Settings) -> Option<Lease> {
    const LEAST: u32 = 3;
    let wait = protocol.master_down(protocol.priority, protocol.interval);
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    Lease::from_seconds(seconds.max(LEAST))
}

fn addresses(raw: &Raw, report: &mut Report) -> Option<Vec<VirtualAddress>> {
    let text = report.required("VIP", raw.vip.as_ref())?;
    let list = address::parse(text);
    if list.addresses.is_empty() && list.problems.is_empty() {
        report.refuse("VIP", text, "holds no address");
    }
    for (value, why) in &list.problems {
        report.refuse("VIP", value, why);
    }
    for why in list.ignored {
        report.warn("VIP", why);
    }
    Some(list.addresses)
}

/// `None` where nothing is to be watched, and once a problem is noted.
fn check(raw: &Raw, given: &Texts, priority: Option<Priority>, report: &mut Report) -> Option<CheckConfig> {
    let interval = report.value("CHECK_INTERVAL", raw.check_interval.as_ref(), value::check_interval);
    let weight = report.value("CHECK_WEIGHT", raw.check_weight.as_ref(), value::weight);
    let rise = report.value("CHECK_RISE", raw.check_rise.as_ref(), value::count);
    let fall = report.value("CHECK_FALL", raw.check_fall.as_ref(), value::count);
    let Some(text) = &raw.service else {
        for name in given.keys().filter(|name| name.starts_with("CHECK_")) {
            report.warn(name, "has no effect: SERVICE is not set, so nothing is watched".into());
        }
        return None;
    };
    let services = services(text, report);
    let weight = weight?;
    if priority == Some(Priority::OWNER) && weight != Weight::FAULT {
        let why = format!("{weight} has no effect: PRIORITY 255 is the address owner's and never changes");
        report.warn("CHECK_WEIGHT", why);
    }
    let interval = interval?;
    let timeout = interval;
    Some(CheckConfig {
        services,
        tcp: vec![],
        http: vec![],
        interval,
        timeout,
        weight,
        rise: rise?,
        fall: fall?,
    })
}

fn services(text: &str, report: &mut Report) -> Vec<String> {
    let mut services = Vec::new();
    for item in value::items(text) {
        match value::service(item) {
            Ok(name) if services.contains(&name) => {}
            Ok(name) => services.push(name),
            Err(why) => report.refuse("SERVICE", item, why),
        }
    }
    if value::items(text).next().is_none() {
        report.refuse("SERVICE", text, "holds no process name");
    }
    services
}

fn log(raw: &Raw, report: &mut Report) -> Option<LogConfig> {
    let level = report.value("LOG_LEVEL", raw.log_level.as_ref(), value::log_level);
    let format = report.value("LOG_FORMAT", raw.log_format.as_ref(), value::log_format);
    Some(LogConfig { level: level?, format: format? })
}

#[cfg(test)]
mod tests;
