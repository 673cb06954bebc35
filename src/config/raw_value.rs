//! Raw values: the text of a variable with the name and the file it came from, its own, inherited or implied; knows
//! no meaning of a text.

use super::variables::{Scope, VARIABLES, VIP, VIRTUAL_ROUTER, Variable};

/// A variable that is set. A password is among them: never displayed.
#[derive(Clone)]
pub(super) struct RawValue {
    pub(super) variable: &'static Variable,
    pub(super) text: String,
    /// The full name it was set under.
    pub(super) name: String,
    /// The file it was read from.
    pub(super) file: Option<String>,
    /// The line of `ENV_FILE` that sets it; `None`: the environment does.
    pub(super) line: Option<u32>,
    /// It was not set: it is another image's default.
    pub(super) implied: bool,
    /// The suffix of its name, 1 where there is none.
    pub(super) number: u16,
}

/// The raw values whose names have the same suffix.
#[derive(Clone)]
pub(super) struct RawSet {
    pub(super) number: u16,
    pub(super) values: Vec<RawValue>,
    /// Variables that are set, but to nothing usable.
    pub(super) unusable: Vec<&'static Variable>,
    /// Where the number of the virtual router might come from, for the report that it is missing.
    pub(super) cure: Option<String>,
}

impl RawSet {
    pub(super) fn get(&self, variable: &Variable) -> Option<&RawValue> {
        self.values.iter().find(|value| value.variable.name == variable.name)
    }

    /// The variable has this raw value, or none.
    pub(super) fn replace(&mut self, variable: &Variable, value: Option<RawValue>) {
        self.values.retain(|value| value.variable.name != variable.name);
        self.values.extend(value);
    }

    pub(super) fn is_unusable(&self, variable: &Variable) -> bool {
        self.unusable.iter().any(|unusable| unusable.name == variable.name)
    }
}

/// All raw values: the set without a suffix, which may be empty, then `_2` and so on, gaps and all.
#[derive(Clone)]
pub(super) struct RawSets {
    pub(super) first: RawSet,
    pub(super) further: Vec<RawSet>,
}

impl RawSets {
    /// The set with this suffix.
    pub(super) fn set(&self, number: u16) -> Option<&RawSet> {
        std::iter::once(&self.first).chain(&self.further).find(|set| set.number == number)
    }

    /// The raw values in effect for the process.
    pub(super) fn process(&self) -> Effective<'_> {
        Effective { own: &self.first, first: &self.first, alone: true }
    }

    /// Those in effect for each router, in the order of their numbers.
    pub(super) fn routers(&self) -> impl Iterator<Item = Effective<'_>> {
        let Self { first, further } = self;
        // The numbers may begin anywhere: then the first set is only what the others inherit.
        let is_router =
            further.is_empty() || [&VIP.variable, &VIRTUAL_ROUTER].iter().any(|v| first.get(v).is_some());
        let alone = usize::from(is_router) + further.len() == 1;
        let own = is_router.then_some(first).into_iter().chain(further);
        own.map(move |own| Effective { own, first, alone })
    }
}

/// The raw values in effect for one router: its own, then those it inherits.
#[derive(Clone, Copy)]
pub(super) struct Effective<'a> {
    pub(super) own: &'a RawSet,
    /// The set without a suffix.
    first: &'a RawSet,
    /// There is no other router.
    pub(super) alone: bool,
}

impl<'a> Effective<'a> {
    /// The raw value of a variable, wherever it comes from.
    pub(super) fn get(&self, variable: &Variable) -> Option<&'a RawValue> {
        let inherited = || self.first.get(variable).filter(|_| variable.scope == Scope::Inherited);
        self.own.get(variable).or_else(inherited)
    }

    /// Every raw value in effect.
    pub(super) fn values(&self) -> impl Iterator<Item = &'a RawValue> {
        VARIABLES.iter().filter_map(|variable| self.get(variable))
    }

    /// The suffix of the router's own variables.
    pub(super) fn number(&self) -> u16 {
        self.own.number
    }
}
