//! What is known of one environment variable, apart from the type of its value; reads no environment.

use std::fmt;

/// One variable an operator may set; `NAME_FILE` names a file that contains its value instead.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// Other names whose text is taken as it is, separated by spaces.
    pub aliases: &'static str,
    pub scope: Scope,
    pub default: Default,
    /// What a change of the value needs while the process runs.
    pub on_change: OnChange,
    /// The value appears in no report, log or status.
    pub secret: bool,
    /// Meaning and range, for `help` and README.
    pub help: &'static str,
    /// Its name as envy gives it.
    pub(super) field: &'static str,
    /// The text is a list, so it may also be written as an array.
    pub(super) is_list: bool,
    /// Whether two texts give the same value.
    pub(super) same: fn(&str, &str) -> bool,
}

/// What holds when a variable is unset or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Nothing can run without it; what it is, for the problem report.
    Required(&'static str),
    /// The feature is off.
    None,
    /// As if this had been set.
    Value(&'static str),
    /// The value of the variable with this name.
    Same(&'static str),
}

/// What a variable applies to when there are several virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole process: it takes no suffix.
    Process,
    /// Every router: `NAME_2` is for the second router, which otherwise inherits `NAME`.
    Inherited,
    /// One router: `NAME` is for the first one, `NAME_2` for the second one.
    Own,
}

/// What a change of a value needs, after SIGHUP or in `ENV_FILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing: it is applied at once.
    Live,
    /// A restart.
    Restart,
}

impl Default {
    /// The text that holds, if it is one of its own.
    pub(super) fn text(&self) -> Option<&'static str> {
        match *self {
            Self::Value(text) => Some(text),
            Self::Required(_) | Self::None | Self::Same(_) => None,
        }
    }
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required(_) => "required",
            Self::None => "none",
            Self::Value(value) | Self::Same(value) => value,
        })
    }
}
