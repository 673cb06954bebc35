//! The values of one virtual router, or of the process: from the row of a variable and the raw values in effect to a
//! typed value; every problem and warning gets the name the user wrote.

use super::problems::Problems;
use super::raw_value::{Effective, RawValue};
use super::value::Parsed;
use super::variables::{Default, Raw, Row, VIRTUAL_ROUTER, Variable, full_name};

/// Reads the variables of one router.
pub(super) struct Reader<'a> {
    effective: Effective<'a>,
    raw: Raw,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    /// `None` once a problem is noted.
    pub(super) fn new(effective: Effective<'a>, problems: &'a mut Problems) -> Option<Self> {
        let texts = effective.values().map(|raw| (raw.variable.name, raw.text.clone()));
        match Raw::from_texts(texts) {
            Ok(raw) => Some(Self { effective, raw, problems }),
            Err(error) => {
                problems.refuse("the environment", None, error.to_string());
                None
            }
        }
    }

    /// The suffix of the router's own variables.
    pub(super) fn number(&self) -> u16 {
        self.effective.number()
    }

    /// The value of a variable, or of its default. `None` where there is neither, and once a problem is noted; that a
    /// required variable is unset is one.
    pub(super) fn value<T>(&mut self, row: &Row<T>) -> Option<T> {
        let Some(text) = self.raw.text(row) else {
            self.check_required(row);
            return None;
        };
        let Parsed { value, problems, warnings } = row.parse(text);
        self.note_all(row, problems, warnings);
        value
    }

    fn note_all(&mut self, variable: &Variable, problems: Vec<(String, String)>, warnings: Vec<String>) {
        for (text, why) in problems {
            self.refuse(variable, &text, why);
        }
        for why in warnings {
            self.warn(variable, why);
        }
    }

    fn check_required(&mut self, variable: &Variable) {
        let Default::Required(what) = variable.default else { return };
        // A value that could not be read is one problem, not two.
        if self.effective.own.is_unusable(variable) {
            return;
        }
        let since = match self.effective.own.values.first() {
            Some(first) if self.number() > 1 => format!(", because {} is set", first.name),
            Some(_) | None => String::new(),
        };
        let cure = self.effective.own.cure.as_deref().filter(|_| variable.name == VIRTUAL_ROUTER.name);
        let name = self.full_name(variable);
        self.problems.refuse(&name, None, format!("is required{since}: {what}{}", cure.unwrap_or_default()));
    }

    /// Whether the variable has a text, its own or a default's.
    pub(super) fn has_text(&self, variable: &Variable) -> bool {
        self.raw.text(variable).is_some()
    }

    /// Whether the variable is set, and not only has a default.
    pub(super) fn is_set(&self, variable: &Variable) -> bool {
        self.effective.get(variable).is_some()
    }

    /// The name the value came from, or would come from.
    fn full_name(&self, variable: &Variable) -> String {
        let set = self.effective.get(variable);
        set.map_or_else(|| full_name(variable.name, self.number()), |raw| raw.name.clone())
    }

    /// Notes a problem with a part of the variable's text.
    pub(super) fn refuse(&mut self, variable: &Variable, part: &str, why: impl Into<String>) {
        let mut why = why.into();
        match self.effective.get(variable) {
            Some(RawValue { file: Some(path), .. }) => why = format!("{why} (read from {path})"),
            Some(RawValue { line: Some(line), .. }) => why = format!("{why} (line {line} of ENV_FILE)"),
            Some(_) | None => {}
        }
        let name = self.full_name(variable);
        self.problems.refuse(&name, (!variable.secret).then_some(part), why);
    }

    /// Notes a problem with the variable's text as a whole.
    pub(super) fn refuse_text(&mut self, variable: &Variable, why: impl Into<String>) {
        let text = self.raw.text(variable).unwrap_or_default().to_owned();
        self.refuse(variable, &text, why);
    }

    pub(super) fn warn(&mut self, variable: &Variable, why: impl Into<String>) {
        self.note(log::Level::Warn, variable, why);
    }

    /// A warning that is merely good to know.
    pub(super) fn inform(&mut self, variable: &Variable, why: impl Into<String>) {
        self.note(log::Level::Info, variable, why);
    }

    fn note(&mut self, level: log::Level, variable: &Variable, why: impl Into<String>) {
        let name = self.full_name(variable);
        self.problems.warn(level, &name, why);
    }

    /// This router does not use the variable: a warning, if it cannot have been meant for another router.
    pub(super) fn unused(&mut self, variable: &Variable, why: impl Into<String>) {
        let Effective { own, alone, .. } = self.effective;
        let meant_here = self
            .effective
            .get(variable)
            .is_some_and(|raw| !raw.implied && raw.number == own.number && (raw.number != 1 || alone));
        if meant_here {
            self.warn(variable, why);
        }
    }
}
