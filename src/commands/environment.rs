//! The process's environment and the files that it names, read for the configuration. Knows no variable.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::config::{
    self, Config, ConfigError, EffectiveTexts, InterfaceChoice, LARGEST_FILE, Plan, Setting, Warning,
};

/// The configuration and its warnings.
///
/// # Errors
/// The environment is invalid.
pub(super) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_environment(std::env::vars_os(), read_file)
}

/// The configuration, its warnings, and every effective value with its origin. `file`: instead of `ENV_FILE`.
///
/// # Errors
/// The environment is invalid.
pub(super) fn explain(file: Option<&Path>) -> Result<(Config, Vec<Warning>, Vec<Setting>), ConfigError> {
    Config::explained(with_file(file), read_file)
}

/// The environment, with `file` as `ENV_FILE`.
fn with_file(file: Option<&Path>) -> impl Iterator<Item = (OsString, OsString)> {
    let names = ["ENV_FILE", "KEEPALIVED_ENV_FILE"];
    let other = file.is_none();
    let vars = std::env::vars_os().filter(move |(name, _)| other || !names.iter().any(|known| name == known));
    vars.chain(file.map(|file| ("ENV_FILE".into(), file.into())))
}

/// What differs between the environment as it is and with `file` as `ENV_FILE`; `None` if either is invalid.
pub(super) fn difference(file: &Path) -> Option<Plan> {
    let now = EffectiveTexts::read(std::env::vars_os(), read_file).ok()?;
    now.plan(with_file(Some(file)), read_file).ok()
}

/// The path of the status socket, also when another variable is invalid; `None` if it is off.
pub(super) fn status_socket() -> Option<PathBuf> {
    config::status_socket(std::env::vars_os(), read_file)
}

/// The path of the drain file, also when another variable is invalid; `None` if it is off.
pub(super) fn drain_file() -> Option<PathBuf> {
    config::drain_file(std::env::vars_os(), read_file)
}

/// The interface of each router, also when another variable is invalid.
pub(super) fn interfaces() -> Vec<InterfaceChoice> {
    config::interfaces(std::env::vars_os(), read_file)
}

/// The configuration that runs, as texts: the environment never changes, but the files that it names can.
pub(super) struct Running(EffectiveTexts);

impl Running {
    /// The configuration, its warnings, and what later readings are compared with.
    ///
    /// # Errors
    /// The environment is invalid.
    pub(super) fn read() -> Result<(Config, Vec<Warning>, Self), ConfigError> {
        let (config, warnings, texts) = EffectiveTexts::reading(std::env::vars_os(), read_file)?;
        Ok((config, warnings, Self(texts)))
    }

    /// This runs from now on.
    pub(super) fn replace(&mut self, texts: EffectiveTexts) {
        self.0 = texts;
    }

    /// What follows from the present content of the files.
    ///
    /// # Errors
    /// The environment is invalid with it.
    pub(super) fn plan(&self) -> Result<Plan, ConfigError> {
        self.0.plan(std::env::vars_os(), read_file)
    }
}

/// Regular files only: reading a pipe without a writer would block for ever.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = vec![];
    File::open(path)?.take(LARGEST_FILE as u64 + 1).read_to_end(&mut content)?;
    if content.len() > LARGEST_FILE {
        return Err(io::Error::other(format!("it is larger than {} KiB", LARGEST_FILE / 1024)));
    }
    Ok(content)
}
