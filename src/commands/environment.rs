//! The process's environment and the files that it names, read for the configuration. Knows no variable.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, ConfigError, EffectiveTexts, InterfaceChoice, Setting, Warning};

/// The configuration and its warnings.
///
/// # Errors
/// The environment is invalid.
pub(super) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_environment(std::env::vars_os(), read_file)
}

/// The configuration, its warnings, and every effective value with its origin.
///
/// # Errors
/// The environment is invalid.
pub(super) fn explain() -> Result<(Config, Vec<Warning>, Vec<Setting>), ConfigError> {
    Config::explained(std::env::vars_os(), read_file)
}

/// The path of the status socket, also when another variable is invalid; `None` if it is off.
pub(super) fn status_socket() -> Option<PathBuf> {
    config::status_socket(std::env::vars_os(), read_file)
}

/// The interface of each router, also when another variable is invalid.
pub(super) fn interfaces() -> Vec<InterfaceChoice> {
    config::interfaces(std::env::vars_os(), read_file)
}

/// The configuration as read at the start. It remembers the files: a process's environment never changes, but the
/// files that it names can.
#[derive(Default)]
pub(super) struct Startup {
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Startup {
    /// The same as [`read`].
    pub(super) fn read(&self) -> Result<(Config, Vec<Warning>), ConfigError> {
        Config::from_environment(std::env::vars_os(), |path| {
            let content = read_file(path)?;
            self.files.borrow_mut().insert(path.to_owned(), content.clone());
            Ok(content)
        })
    }

    /// The names of the variables whose value differs from that at the start.
    ///
    /// # Errors
    /// The environment is invalid with the present content of the files.
    pub(super) fn changes(&self) -> Result<Vec<String>, ConfigError> {
        let recall = |path: &Path| {
            self.files.borrow().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        let before = EffectiveTexts::read(std::env::vars_os(), recall)?;
        Ok(before.changes(&EffectiveTexts::read(std::env::vars_os(), read_file)?))
    }
}

/// Regular files only: reading a pipe without a writer would block for ever.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::read(path)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}
