//! The effective value of every variable, for the process and for each router: where it comes from, for the command
//! `check`, and whether it differs between two readings, for a reload.

use std::collections::BTreeMap;
use std::fmt;

use super::model::{Config, RouterConfig, default_name};
use super::problems::one_line;
use super::raw_value::{Effective, RawSets, RawValue};
use super::variables::{
    COMPAT, Default, INSTANCE_NAME, Scope, VARIABLES, VIP, VIP_LEASE, VRRP_VERSION, Variable, full_name,
};
use crate::vrrp::Lease;

/// The effective value of one variable. Displayed by the command `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The router's number; 0: the process.
    pub number: u16,
    pub variable: &'static str,
    /// On one line; a secret is not shown.
    pub value: String,
    /// `default`, `set`, or where else it comes from.
    pub origin: String,
}

/// The effective texts of one reading of the environment, secrets included: never displayed.
pub struct EffectiveTexts {
    /// In the order of the routers' numbers; 0: the process.
    rows: Vec<EffectiveText>,
}

struct EffectiveText {
    number: u16,
    variable: &'static Variable,
    /// `None`: unset, without a default.
    text: Option<String>,
    /// What `auto` amounts to, where the configuration alone decides it.
    automatic: Option<String>,
    origin: String,
}

impl EffectiveTexts {
    pub(super) fn new(sets: &RawSets, config: &Config) -> Self {
        let mut rows = vec![];
        add(0, sets.process(), config, &mut rows);
        for router in sets.routers() {
            add(router.number(), router, config, &mut rows);
        }
        Self { rows }
    }

    /// Every effective value with its origin: the process first, then each router.
    pub fn settings(&self) -> Vec<Setting> {
        let setting = |row: &EffectiveText| Setting {
            number: row.number,
            variable: row.variable.name,
            value: row.shown(),
            origin: row.origin.clone(),
        };
        self.rows.iter().map(setting).collect()
    }

    /// The variables whose effective value differs between `self` and `other`, each once, with the suffix of the
    /// router that it differs for, or without one if it differs for all. A router that comes or goes differs in `VIP`.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let (old, new) = (self.by_number(), other.by_number());
        let mut changed = vec![];
        let mut note = |name: &str, number: u16| {
            let name = full_name(name, number.max(1));
            if !changed.contains(&name) {
                changed.push(name);
            }
        };
        let gone = old.keys().filter(|number| !new.contains_key(number));
        let come = new.keys().filter(|number| !old.contains_key(number));
        gone.chain(come).for_each(|number| note(VIP.name, *number));
        // COMPAT has no effect but on the defaults of others.
        for variable in VARIABLES.iter().filter(|variable| variable.name != COMPAT.name) {
            let compared = old.iter().filter_map(|(number, old)| {
                let (old, new) =
                    old.iter().zip(*new.get(number)?).find(|(old, _)| old.variable.name == variable.name)?;
                Some((*number, old.differs(new)))
            });
            let compared: Vec<(u16, bool)> = compared.collect();
            if compared.len() > 1 && compared.iter().all(|(_, differs)| *differs) {
                // Most likely inherited by all of them.
                note(variable.name, 1);
            } else {
                let differing = compared.iter().filter(|(_, differs)| *differs);
                differing.for_each(|(number, _)| note(variable.name, *number));
            }
        }
        changed
    }

    /// The rows of the process and of each router, in the order of the table.
    fn by_number(&self) -> BTreeMap<u16, &[EffectiveText]> {
        self.rows.chunk_by(|a, b| a.number == b.number).map(|rows| (rows[0].number, rows)).collect()
    }
}

impl fmt::Debug for EffectiveTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.settings()).finish()
    }
}

/// Adds the rows of one router, or of the process.
fn add(number: u16, effective: Effective<'_>, config: &Config, rows: &mut Vec<EffectiveText>) {
    for variable in VARIABLES.iter().filter(|variable| (variable.scope == Scope::Process) == (number == 0)) {
        let raw = effective.get(variable);
        let text = raw.map_or_else(|| default_text(variable, effective), |raw| Some(raw.text.clone()));
        let automatic = text.as_deref().filter(|text| text.trim().eq_ignore_ascii_case("auto"));
        let automatic = automatic.and_then(|_| automatic_text(variable, number, config));
        let origin = raw.map_or_else(|| "default".into(), |raw| origin(raw, number.max(1)));
        rows.push(EffectiveText { number, variable, text, automatic, origin });
    }
}

fn default_text(variable: &Variable, effective: Effective<'_>) -> Option<String> {
    match variable.default {
        Default::Required(_) | Default::None => None,
        Default::Value(_) if variable.name == INSTANCE_NAME.name => Some(default_name(effective.number())),
        Default::Value(text) => Some(text.into()),
        Default::Same(other) => {
            let other = VARIABLES.iter().find(|variable| variable.name == other)?;
            effective.get(other).map_or_else(|| default_text(other, effective), |raw| Some(raw.text.clone()))
        }
    }
}

/// What `auto` amounts to for the routers of this number.
fn automatic_text(variable: &Variable, number: u16, config: &Config) -> Option<String> {
    let of_router = |router: &RouterConfig| match variable.name {
        name if name == VRRP_VERSION.name => Some(router.protocol.version.number().to_string()),
        name if name == VIP_LEASE.name => Some(router.protocol.lease.map_or(0, Lease::seconds).to_string()),
        _ => None,
    };
    let routers = config.routers.iter().filter(|router| router.number == number);
    let texts: Vec<_> = routers.filter_map(of_router).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// `set`, or how else the router with this number got the value.
fn origin(raw: &RawValue, number: u16) -> String {
    match raw {
        RawValue { implied: true, .. } => "implied by COMPAT".into(),
        RawValue { file: Some(path), name, .. } => format!("{name}_FILE: {path}"),
        RawValue { name, variable, .. } if *name == full_name(variable.name, number) => "set".into(),
        RawValue { name, number: from, .. } if *from != number => format!("inherited from {name}"),
        RawValue { name, .. } => format!("set as {name}"),
    }
}

impl EffectiveText {
    fn shown(&self) -> String {
        match (&self.text, &self.automatic) {
            (Some(_), _) if self.variable.secret => "(set, not shown)".to_owned(),
            (Some(text), Some(automatic)) => format!("{} ({automatic})", one_line(text.trim())),
            (Some(text), None) => one_line(text.trim()),
            (None, _) => "-".to_owned(),
        }
    }

    fn differs(&self, other: &Self) -> bool {
        let text = |row: &Self| row.automatic.as_ref().or(row.text.as_ref()).cloned();
        match (text(self), text(other)) {
            (Some(a), Some(b)) => !(self.variable.same)(&a, &b),
            (a, b) => a != b,
        }
    }
}
