//! What follows from another reading of the environment while the process runs: what is applied at once, and what needs
//! a restart. Applies nothing.

use super::change::Change;
use super::effective::EffectiveTexts;
use super::model::Config;
use super::problems::Warning;
use super::raw_value::{Effective, RawSets, RawValue};
use super::variables::{
    CHECK_SCRIPT, NOTIFY, NOTIFY_BACKUP, NOTIFY_FAULT, NOTIFY_MASTER, NOTIFY_STOP, OnChange, PRIORITY,
    SANDBOX, Scope, VARIABLES,
};
use crate::vrrp::Priority;

/// What a new reading means for the running process.
#[derive(Debug)]
pub struct Plan {
    /// What to run with from now on: the new values, but the running ones where a change needs a restart.
    pub config: Config,
    /// The same as texts, to be compared with the next reading.
    pub texts: EffectiveTexts,
    /// The warnings about the new reading.
    pub warnings: Vec<Warning>,
    /// What differs from what runs now.
    pub applied: Vec<Change>,
    /// What takes effect at the next start.
    pub restart: Vec<Change>,
}

/// The raw values of `new`, but those of `old` where a change needs a restart.
pub(super) fn merge(old: &RawSets, new: &RawSets) -> RawSets {
    let numbers = |sets: &RawSets| sets.routers().map(|router| router.number()).collect::<Vec<_>>();
    let (before, after) = (numbers(old), numbers(new));
    let mut merged = new.clone();
    // Without a program at the start, the sandbox permits none.
    let is_off = old.process().get(&SANDBOX).is_some_and(|raw| SANDBOX.parse(&raw.text).value == Some(false));
    let programs = [&CHECK_SCRIPT, &NOTIFY, &NOTIFY_MASTER, &NOTIFY_BACKUP, &NOTIFY_FAULT, &NOTIFY_STOP];
    let has_any = |router: Effective<'_>| programs.iter().any(|program| router.get(program).is_some());
    let are_permitted = is_off || old.routers().any(has_any);
    for set in std::iter::once(&mut merged.first).chain(&mut merged.further) {
        let number = set.number;
        for program in programs.iter().filter(|_| !are_permitted) {
            set.replace(program, None);
        }
        let Some(known) = old.set(number) else { continue };
        let stays = before.contains(&number) && after.contains(&number);
        for variable in VARIABLES.iter().filter(|variable| variable.on_change == OnChange::Restart) {
            if stays || variable.scope != Scope::Own {
                set.replace(variable, known.get(variable).cloned());
            }
        }
        let router =
            |sets: &RawSets| sets.routers().find(|router| router.number() == number).and_then(priority);
        if stays && is_owner(router(old).as_ref()) != is_owner(router(new).as_ref()) {
            // What an address owner has on its interfaces is decided at the start.
            set.replace(&PRIORITY, router(old));
        }
    }
    merged
}

fn priority(router: Effective<'_>) -> Option<RawValue> {
    router.get(&PRIORITY).cloned()
}

fn is_owner(priority: Option<&RawValue>) -> bool {
    priority.is_some_and(|raw| PRIORITY.parse(&raw.text).value == Some(Priority::OWNER))
}

/// The variables, by what a change of them needs; a Markdown list.
#[cfg(test)]
pub(super) fn as_markdown(on_change: OnChange) -> String {
    let of = VARIABLES.iter().filter(|variable| variable.on_change == on_change);
    let names = of.map(|variable| format!("`{}`", variable.name));
    names.collect::<Vec<_>>().join(" ") + "\n"
}
