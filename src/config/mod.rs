//! The configuration, valid by construction, and what may be wrong with it; the environment and the files it
//! names come in as arguments, so this knows neither.

mod address;
mod change;
mod check;
mod compat;
mod conflicts;
mod effective;
mod endpoint;
mod env_file;
mod environment;
mod help;
mod model;
mod plan;
mod problems;
mod program;
mod raw_value;
mod reader;
mod router;
mod suggest;
mod syntax;
mod user;
mod value;
mod variable;
mod variables;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use environment::{Environment, ReadFile};
use problems::Problems;
use raw_value::RawSets;
use reader::Reader;
use suggest::{looks_like_ours, suggestion};
use variables::{
    ADDRESS_GUARD, DRAIN_FILE, ENV_FILE, INTERFACE, LIFELINE, LIFELINE_PORT, LOG_FORMAT, LOG_LEVEL,
    METRICS_LISTEN, Row, SANDBOX, STATUS_SOCKET,
};

pub use change::Change;
use compat::OWN_FILE;
pub use compat::{Alias, Conversion, aliases};
pub use effective::{EffectiveTexts, Setting};
pub use env_file::LARGEST as LARGEST_FILE;
pub use environment::is_passed_on;
pub use help::{as_help, as_markdown};
pub use model::{
    CheckConfig, Config, DnsTarget, GuardChoice, HttpTarget, InterfaceChoice, LogConfig, LogFormat,
    ProgramConfig, ProgramUser, RouterConfig, ServeConfig, StateHint, VirtualAddress, health_socket,
};
pub use plan::Plan;
pub use problems::{ConfigError, Problem, Warning};
pub use router::HOSTS;
pub use variables::{Default, OnChange, Scope, VARIABLES, Variable};

impl Config {
    /// Checks the environment `vars`; `read_file` returns the content of the files that `NAME_FILE` variables name.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn from_environment(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        read(&mut vars.into_iter(), &read_file).map(|(config, warnings, _)| (config, warnings))
    }

    /// The same, with every effective value and its origin.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn explained(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Self, Vec<Warning>, Vec<Setting>), ConfigError> {
        let (config, warnings, sets) = read(&mut vars.into_iter(), &read_file)?;
        let settings = EffectiveTexts::new(sets, &config).settings();
        Ok((config, warnings, settings))
    }
}

impl EffectiveTexts {
    /// The effective texts of the environment `vars`, to compare them with those of another reading.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn read(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, ConfigError> {
        read(&mut vars.into_iter(), &read_file).map(|(config, _, sets)| Self::new(sets, &config))
    }

    /// Compares what runs now, `self`, with the environment `vars`.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn plan(
        &self,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Plan, ConfigError> {
        let (new_config, warnings, sets) = read(&mut vars.into_iter(), &read_file)?;
        let new = Self::new(sets, &new_config);
        let valid = |sets: &RawSets| {
            let mut problems = Problems::default();
            config(sets, &read_file, &mut problems).filter(|_| problems.problems.is_empty())
        };
        let merged = plan::merge(&self.sets, &new.sets);
        // The changes may be valid only together: then all of them wait for the restart.
        let sets = if valid(&merged).is_some() { merged } else { self.sets.clone() };
        let config = valid(&sets).unwrap_or(new_config);
        let texts = Self::new(sets, &config);
        let (applied, restart) = (self.changes(&texts), texts.changes(&new));
        Ok(Plan { config, texts, warnings, applied, restart })
    }
}

/// The text of an environment: the effective texts, with the configuration and the warnings.
pub type Reading = (Config, Vec<Warning>, EffectiveTexts);

impl EffectiveTexts {
    /// The same as [`EffectiveTexts::read`], with the configuration and the warnings.
    ///
    /// # Errors
    /// Every problem there is, all at once.
    pub fn reading(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Reading, ConfigError> {
        let (config, warnings, sets) = read(&mut vars.into_iter(), &read_file)?;
        let texts = Self::new(sets, &config);
        Ok((config, warnings, texts))
    }
}

/// The path of the status socket, also if something else in the environment is wrong; `None`: it is off.
pub fn status_socket(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Option<PathBuf> {
    process_value(vars, read_file, &STATUS_SOCKET).flatten()
}

/// The path of the drain file, also if something else in the environment is wrong; `None`: it is off.
pub fn drain_file(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Option<PathBuf> {
    process_value(vars, read_file, &DRAIN_FILE).flatten()
}

fn process_value<T>(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
    row: &Row<T>,
) -> Option<T> {
    let mut problems = Problems::default();
    let sets = Environment::sort(&mut vars.into_iter()).raw_sets(&read_file, &mut problems);
    let set = Reader::new(sets.process(), &mut problems).and_then(|mut reader| reader.value(row));
    set.or_else(|| row.default_value())
}

/// The interface of each router, also if something else in the environment is wrong or missing.
pub fn interfaces(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Vec<InterfaceChoice> {
    let mut problems = Problems::default();
    let sets =
        environment(&mut vars.into_iter(), &read_file, &mut problems).0.raw_sets(&read_file, &mut problems);
    let interface = |router| Reader::new(router, &mut problems)?.value(&INTERFACE);
    sets.routers().map(interface).map(|interface| interface.unwrap_or(InterfaceChoice::Auto)).collect()
}

/// The environment, with `ENV_FILE` over it, and whether that could be read.
fn environment(
    vars: &mut dyn Iterator<Item = (OsString, OsString)>,
    read_file: ReadFile<'_>,
    problems: &mut Problems,
) -> (Environment, bool) {
    let mut environment = Environment::sort(vars);
    let Some(path) = environment.env_file() else { return (environment, true) };
    let shown = path.display().to_string();
    let entries = match read_file(&path) {
        Ok(bytes) => env_file::parse(&bytes, &shown, problems),
        Err(error) => {
            problems.refuse(ENV_FILE.name, Some(&shown), format!("cannot be read: {error}"));
            None
        }
    };
    let is_read = entries.is_some();
    environment.overlay(entries.unwrap_or_default(), problems);
    (environment, is_read)
}

/// With references, so that the binary has it once.
fn read(
    vars: &mut dyn Iterator<Item = (OsString, OsString)>,
    read_file: ReadFile<'_>,
) -> Result<(Config, Vec<Warning>, RawSets), ConfigError> {
    let mut problems = Problems::default();
    let files = RefCell::new(BTreeSet::new());
    let read_file = |path: &Path| {
        files.borrow_mut().insert(path.to_owned());
        read_file(path)
    };
    let (mut environment, is_read) = environment(vars, &read_file, &mut problems);
    if !is_read {
        // What is missing may be in the file.
        let Problems { problems, warnings } = problems;
        return Err(ConfigError { problems, warnings });
    }
    let sets = environment.raw_sets(&read_file, &mut problems);
    let config = config(&sets, &read_file, &mut problems).filter(|_| problems.problems.is_empty());
    report_unknown(&environment, config.is_some(), &mut problems);
    let Problems { problems, warnings } = problems;
    match config {
        Some(config) => {
            let files = files.into_inner().into_iter().collect();
            Ok((Config { files, ..config }, warnings, sets))
        }
        None => Err(ConfigError { problems, warnings }),
    }
}

/// Notes the unknown names that look like misspelled ones of ours, or like another image's. A misspelled name may be the
/// reason for what is missing, so it is a problem in an environment that is not `valid`.
fn report_unknown(environment: &Environment, valid: bool, problems: &mut Problems) {
    for (variable, _) in &environment.unknown {
        let foreign = environment.is_foreign && suggest::looks_like_a_setting(variable);
        let (level, question) = match suggestion(variable) {
            Some(known) => (log::Level::Warn, format!("; did you mean {known}?")),
            // Some images name their configuration file so, and much other software does.
            None if variable == "CONFIG" && environment.is_foreign => {
                problems.warn(log::Level::Warn, variable, OWN_FILE);
                continue;
            }
            None if foreign => {
                problems.warn(log::Level::Warn, variable, "is not a variable of vrrp-init and has no effect");
                continue;
            }
            None if looks_like_ours(variable) => (log::Level::Info, String::new()),
            None => continue,
        };
        let why = format!("is not a variable of vrrp-init{question}");
        // The value is not shown: it may be a secret.
        if valid {
            problems.warn(level, variable, why);
        } else {
            problems.refuse(variable, None, why);
        }
    }
}

/// `None` once a problem is noted.
fn config(sets: &RawSets, read_file: ReadFile<'_>, problems: &mut Problems) -> Option<Config> {
    let mut routers = vec![];
    for effective in sets.routers() {
        if let Some(mut reader) = Reader::new(effective, problems) {
            routers.extend(router::routers(&mut reader, read_file));
        }
    }
    let process = Reader::new(sets.process(), problems);
    let process = process.map(|mut reader| {
        let programs = (program::programs(&mut reader, read_file), reader.value(&SANDBOX));
        // What is wrong with its path is noted.
        let files = (reader.value(&ENV_FILE), reader.value(&DRAIN_FILE));
        let (serve, log) = (serve(&mut reader), log(&mut reader));
        (serve, log, reader.value(&ADDRESS_GUARD), lifeline(&mut reader), programs, files)
    });
    for conflict in conflicts::conflicts(&routers) {
        problems.add(conflict);
    }
    let (serve, log, guard, lifeline, (programs, sandbox), (env_file, drain_file)) = process?;
    let (is_on, port) = lifeline?;
    let is_unneeded = guard? == GuardChoice::Auto && !is_on;
    let guard = if is_unneeded { GuardChoice::Unneeded } else { guard? };
    let (serve, log, programs, sandbox) = (serve?, log?, programs?, sandbox?);
    let (lifeline, drain_file, files) = (is_on.then_some(port), drain_file?, Box::default());
    Some(Config { routers, guard, lifeline, serve, drain_file, log, programs, sandbox, env_file, files })
}

fn serve(reader: &mut Reader<'_>) -> Option<ServeConfig> {
    let socket = reader.value(&STATUS_SOCKET);
    let metrics = reader.value(&METRICS_LISTEN);
    Some(ServeConfig { socket: socket?, metrics: metrics? })
}

/// Whether there are lifelines, and their port.
fn lifeline(reader: &mut Reader<'_>) -> Option<(bool, NonZeroU16)> {
    let (is_on, port) = (reader.value(&LIFELINE), reader.value(&LIFELINE_PORT));
    Some((is_on?, port?))
}

fn log(reader: &mut Reader<'_>) -> Option<LogConfig> {
    let level = reader.value(&LOG_LEVEL);
    let format = reader.value(&LOG_FORMAT);
    let (format, time) = format?;
    Some(LogConfig { level: level?, format, time })
}

#[cfg(test)]
mod tests;
