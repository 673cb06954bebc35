//! Where every effective value comes from: the rows that the command `check` prints; knows no environment, only what
//! was read from it.

use super::variables::{Default as Fallback, Reach, VARIABLES, Variable, whole_name};
use super::{RouterConfig, one_line};

/// One variable as it holds for one virtual router, or for the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The number of the variables; 0: the process.
    pub number: u16,
    pub variable: &'static str,
    /// On one line; a secret is not among it.
    pub value: String,
    pub origin: String,
}

/// A text and the name it was given under.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) name: &'a str,
    pub(super) file: Option<&'a str>,
    pub(super) implied: bool,
    /// The number in its name.
    pub(super) number: u16,
}

/// The rows of one set of variables; `given` finds a variable's text.
pub(super) fn settings<'a>(number: u16, given: &dyn Fn(&str) -> Option<Source<'a>>, out: &mut Vec<Setting>) {
    for variable in VARIABLES.iter().filter(|v| (v.reach == Reach::Process) == (number == 0)) {
        let source = given(variable.name);
        let value = match &source {
            Some(_) if variable.secret => "(set, not shown)".to_owned(),
            Some(source) => one_line(source.text.trim()),
            None => default(variable, number, given),
        };
        let origin = source.map_or_else(|| "default".into(), |source| origin(variable, number, &source));
        out.push(Setting { number, variable: variable.name, value, origin });
    }
}

fn default<'a>(variable: &Variable, number: u16, given: &dyn Fn(&str) -> Option<Source<'a>>) -> String {
    match variable.default {
        Fallback::Required(_) | Fallback::None => "-".into(),
        Fallback::Value(_) if variable.name == "INSTANCE_NAME" => format!("VI_{number}"),
        Fallback::Value(text) => text.into(),
        Fallback::Same(other) => match given(other) {
            Some(source) => one_line(source.text.trim()),
            None => {
                VARIABLES.iter().find(|v| v.name == other).map_or(String::new(), |v| v.default.to_string())
            }
        },
    }
}

/// `set`, or what else there is to say.
fn origin(variable: &Variable, number: u16, source: &Source<'_>) -> String {
    let own = whole_name(variable.name, number.max(1));
    match source {
        Source { implied: true, .. } => "implied by COMPAT".into(),
        Source { file: Some(path), name, .. } => format!("{name}_FILE: {path}"),
        Source { name, .. } if *name == own => "set".into(),
        Source { name, number: from, .. } if *from != number.max(1) => format!("inherited from {name}"),
        Source { name, .. } => format!("set as {name}"),
    }
}

impl RouterConfig {
    /// What `auto` has come to for this router, where the configuration alone decides it.
    pub fn automatic(&self, variable: &str) -> Option<String> {
        match variable {
            "VRRP_VERSION" => Some(self.protocol.version.number().to_string()),
            "VIP_LEASE" => Some(self.protocol.lease.map_or(0, crate::vrrp::Lease::seconds).to_string()),
            _ => None,
        }
    }
}
