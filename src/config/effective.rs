//! The effective value of every variable, for the process and for each router: where it comes from, for the command
//! `check`, and whether it differs between two readings, for a reload.

use std::borrow::Cow;
use std::fmt;

use super::change::Change;
use super::model::{Config, default_name};
use super::raw_value::{Effective, RawSets, RawValue};
use super::variables::{
    COMPAT, Default, INSTANCE_NAME, Scope, VARIABLES, VIP, VIP_LEASE, VRRP_VERSION, Variable, full_name,
};
use crate::printable::{self, shortened};
use crate::vrrp::{Lease, Settings, Version};

/// Characters of a value in a [`Change`]: a list of addresses may be long.
const LONGEST: usize = 80;

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
    pub(super) sets: RawSets,
    /// By the number of the router, sorted.
    automatic: Vec<(u16, Automatic)>,
}

/// The values of one router that `auto` leaves to the configuration alone.
struct Automatic {
    version: Version,
    lease: Option<Lease>,
}

impl EffectiveTexts {
    pub(super) fn new(sets: RawSets, config: &Config) -> Self {
        let automatic = config.routers.iter().map(|router| {
            let Settings { version, lease, .. } = *router.protocol;
            (router.number, Automatic { version, lease })
        });
        Self { sets, automatic: automatic.collect() }
    }

    /// Every effective value with its origin: the process first, then each router.
    pub fn settings(&self) -> Vec<Setting> {
        let texts = VARIABLES.iter().filter(|v| v.scope == Scope::Process).map(|v| self.of_process(v));
        let mut settings: Vec<_> = texts.map(|text| text.setting(0)).collect();
        for router in self.sets.routers() {
            let texts = router_variables().map(|variable| self.of_router(router, variable));
            settings.extend(texts.map(|text| text.setting(router.number())));
        }
        settings
    }

    /// The variables whose effective value differs between `self` and `other`, each once, with the suffix of the
    /// router that it differs for, or without one if it differs for all. A router that comes or goes differs in `VIP`.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let (old, new): (Vec<_>, Vec<_>) = (self.sets.routers().collect(), other.sets.routers().collect());
        let mut changed: Vec<Change> = vec![];
        let mut note =
            |name: &str, number: u16, from: Option<EffectiveText<'_>>, to: Option<EffectiveText<'_>>| {
                let name = full_name(name, number);
                if !changed.iter().any(|change| change.name == name) {
                    let shown = |text: Option<EffectiveText<'_>>| match text {
                        Some(text) if text.text.is_some() => shortened(text.setting(number).value, LONGEST),
                        Some(_) | None => "unset".into(),
                    };
                    changed.push(Change { name, from: shown(from), to: shown(to) });
                }
            };
        for router in old.iter().filter(|old| find(&new, old.number()).is_none()) {
            note(VIP.name, router.number(), Some(self.of_router(*router, &VIP)), None);
        }
        for router in new.iter().filter(|new| find(&old, new.number()).is_none()) {
            note(VIP.name, router.number(), None, Some(other.of_router(*router, &VIP)));
        }
        let kept: Vec<_> = old.iter().filter_map(|old| Some((*old, find(&new, old.number())?))).collect();
        for variable in router_variables() {
            let texts = |old, new| (self.of_router(old, variable), other.of_router(new, variable));
            let texts = kept.iter().map(|(old, new)| (old.number(), texts(*old, *new)));
            let differing: Vec<_> = texts.filter(|(_, (old, new))| old.differs(new)).collect();
            // Most likely inherited by all of them.
            let all = kept.len() > 1 && differing.len() == kept.len();
            for (number, (from, to)) in differing {
                note(variable.name, if all { 1 } else { number }, Some(from), Some(to));
            }
        }
        // COMPAT only affects the defaults of others.
        for variable in VARIABLES.iter().filter(|v| v.scope == Scope::Process && v.name != COMPAT.name) {
            let (from, to) = (self.of_process(variable), other.of_process(variable));
            if from.differs(&to) {
                note(variable.name, 1, Some(from), Some(to));
            }
        }
        changed
    }

    fn of_process(&self, variable: &'static Variable) -> EffectiveText<'_> {
        EffectiveText::new(variable, self.sets.process())
    }

    fn of_router<'a>(&self, router: Effective<'a>, variable: &'static Variable) -> EffectiveText<'a> {
        let mut text = EffectiveText::new(variable, router);
        if text.is_auto() {
            text.automatic = self.automatic_text(variable, router.number());
        }
        text
    }

    /// What `auto` amounts to for the routers of this number.
    fn automatic_text(&self, variable: &Variable, number: u16) -> Option<String> {
        let of_router = |automatic: &Automatic| match variable.name {
            name if name == VRRP_VERSION.name => Some(automatic.version.number().to_string()),
            name if name == VIP_LEASE.name => Some(automatic.lease.map_or(0, Lease::seconds).to_string()),
            _ => None,
        };
        let from = self.automatic.partition_point(|(known, _)| *known < number);
        let ours = self.automatic[from..].iter().take_while(|(known, _)| *known == number);
        let texts: Vec<_> = ours.filter_map(|(_, automatic)| of_router(automatic)).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }
}

/// The router of this number.
fn find<'a>(routers: &[Effective<'a>], number: u16) -> Option<Effective<'a>> {
    routers.iter().find(|router| router.number() == number).copied()
}

impl fmt::Debug for EffectiveTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.settings()).finish()
    }
}

fn router_variables() -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().copied().filter(|variable| variable.scope != Scope::Process)
}

/// The effective text of one variable.
struct EffectiveText<'a> {
    variable: &'static Variable,
    /// `None`: unset, without a default.
    text: Option<Cow<'a, str>>,
    /// What `auto` amounts to, where the configuration alone decides it.
    automatic: Option<String>,
    /// `None`: it is a default.
    raw: Option<&'a RawValue>,
}

impl<'a> EffectiveText<'a> {
    fn new(variable: &'static Variable, effective: Effective<'a>) -> Self {
        let raw = effective.get(variable);
        let text =
            raw.map_or_else(|| default_text(variable, effective), |raw| Some(raw.text.as_str().into()));
        Self { variable, text, automatic: None, raw }
    }

    fn is_auto(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.trim().eq_ignore_ascii_case("auto"))
    }

    fn setting(&self, number: u16) -> Setting {
        let value = match (&self.text, &self.automatic) {
            (Some(_), _) if self.variable.secret => "(set, not shown)".to_owned(),
            (Some(text), Some(automatic)) => format!("{} ({automatic})", printable::line(text.trim())),
            (Some(text), None) => printable::line(text.trim()),
            (None, _) => "-".to_owned(),
        };
        let origin = self.raw.map_or_else(|| "default".into(), |raw| origin(raw, number.max(1)));
        Setting { number, variable: self.variable.name, value, origin }
    }

    fn differs(&self, other: &Self) -> bool {
        match (self.resolved(), other.resolved()) {
            (Some(a), Some(b)) => !(self.variable.same)(a, b),
            (a, b) => a != b,
        }
    }

    /// The text, with `auto` replaced by what it amounts to.
    fn resolved(&self) -> Option<&str> {
        self.automatic.as_deref().or(self.text.as_deref())
    }
}

fn default_text<'a>(variable: &Variable, effective: Effective<'a>) -> Option<Cow<'a, str>> {
    match variable.default {
        Default::Required(_) | Default::None => None,
        Default::Value(_) if variable.name == INSTANCE_NAME.name => {
            Some(default_name(effective.number()).into())
        }
        Default::Value(text) => Some(text.into()),
        Default::Same(other) => {
            let other = VARIABLES.iter().find(|variable| variable.name == other)?;
            let set = effective.get(other).map(|raw| raw.text.as_str().into());
            set.or_else(|| default_text(other, effective))
        }
    }
}

/// `set`, or how else the router with this number got the value.
fn origin(raw: &RawValue, number: u16) -> String {
    let line = raw.line.map_or_else(String::new, |line| format!(", line {line} of ENV_FILE"));
    let how = match raw {
        RawValue { implied: true, .. } => "implied by COMPAT".into(),
        RawValue { file: Some(path), name, .. } => format!("{name}_FILE: {path}"),
        RawValue { name, variable, .. } if *name == full_name(variable.name, number) => "set".into(),
        RawValue { name, number: from, .. } if *from != number => format!("inherited from {name}"),
        RawValue { name, .. } => format!("set as {name}"),
    };
    how + &line
}
