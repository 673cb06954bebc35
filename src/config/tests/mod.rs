//! What the environment gives and how it is refused, variable by variable, with the exact words.

mod env_file;
mod files;
mod images;
mod origins;
mod password;
mod profiles;
mod properties;
mod protocol;
mod recognition;
mod reload;
mod router;
mod several;
mod single;
mod syntax;

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use log::LevelFilter;

use super::variables::full_name;
use super::*;
use crate::health::Weight;
use crate::vrrp::{Interval, Lease, Priority, Settings, V3Checksum, Version, Vrid};

type Outcome = Result<(Config, Vec<Warning>), ConfigError>;

fn read(vars: Vec<(OsString, OsString)>, read_file: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Outcome {
    Config::from_environment(vars, read_file)
}

fn no_file(path: &Path) -> io::Result<Vec<u8>> {
    panic!("no file was named, yet {} was read", path.display());
}

fn os(vars: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    vars.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

/// `vars` over the least that runs.
fn with(vars: &[(&str, &str)]) -> Outcome {
    read(os(&[&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51")], vars].concat()), no_file)
}

/// The same with one file, `/run/value`.
fn with_file(vars: &[(&str, &str)], file: Result<&[u8], ErrorKind>) -> Outcome {
    let vars = [&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51")], vars].concat();
    read(os(&vars), |path| {
        assert_eq!(path, Path::new("/run/value"));
        file.map(<[u8]>::to_vec).map_err(io::Error::from)
    })
}

fn router(outcome: Outcome) -> RouterConfig {
    let (mut config, warnings) = outcome.unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.routers.len(), 1);
    config.routers.remove(0)
}

fn warnings(outcome: Outcome) -> Vec<String> {
    outcome.unwrap().1.iter().map(ToString::to_string).collect()
}

/// The warnings of a report of problems.
fn warnings_beside_problems(outcome: Outcome) -> Vec<String> {
    outcome.unwrap_err().warnings.iter().map(ToString::to_string).collect()
}

/// The lines under the report's headline, alignment removed.
fn problems(outcome: Outcome) -> Vec<String> {
    let error = outcome.unwrap_err();
    let report = ConfigError { warnings: vec![], ..error }.to_string();
    let lines: Vec<_> = report.lines().collect();
    let (headline, rest) = lines.split_first().unwrap();
    let plural = if rest.len() == 1 { "" } else { "s" };
    assert_eq!(*headline, format!("vrrp-init: {} problem{plural} in the environment", rest.len()));
    rest.iter()
        .map(|line| {
            let (subject, why) = line.strip_prefix("  ").unwrap().split_once("  ").unwrap();
            format!("{subject}  {}", why.trim_start())
        })
        .collect()
}

fn refused(name: &str, value: &str, why: &str) {
    assert_eq!(problems(with(&[(name, value)])), [format!("{name}={value}  {why}")]);
}
