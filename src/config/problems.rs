//! Problems and warnings about the environment, collected so that all of them are reported at once; knows no
//! variable.

use std::fmt;

use crate::printable;

/// Something that works, though perhaps not as intended. Displays as one sentence on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// [`log::Level::Info`] where it is merely good to know.
    pub level: log::Level,
    /// The variable's full name, as it was set.
    pub variable: String,
    /// The rest of the sentence.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of an unknown variable may contain anything.
        write!(f, "{} {}", printable::line(&self.variable), printable::line(&self.why))
    }
}

/// One thing that must be corrected before anything can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's full name, as it was set.
    pub variable: String,
    /// The refused text; `None` where there is none, or where it is a secret.
    pub value: Option<String>,
    /// What would be right.
    pub why: String,
}

impl Problem {
    /// `NAME=value` on one line: a list over many lines or a file given by mistake must not flood the log.
    fn subject(&self) -> String {
        const LONGEST: usize = 60;
        let variable = printable::line(&self.variable);
        let Some(value) = &self.value else { return variable };
        let value = without_credentials(value);
        match value.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{variable}={}...", printable::line(&value[..end])),
            None => format!("{variable}={}", printable::line(&value)),
        }
    }
}

/// A URL may hold a user name and a password.
fn without_credentials(value: &str) -> String {
    if let Some((scheme, rest)) = value.split_once("://")
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        return format!("{scheme}://(not shown)@{host}");
    }
    value.to_owned()
}

/// Every problem in the environment, and what else there is to know about it. Displays as the whole report, program name
/// included, one problem or warning a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
}

impl ConfigError {
    /// The problems, a sentence on one line each.
    pub fn sentences(&self) -> Vec<String> {
        let sentence = |problem: &Problem| format!("{} {}", problem.subject(), printable::line(&problem.why));
        self.problems.iter().map(sentence).collect()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.problems.iter().map(|problem| (problem.subject(), printable::line(&problem.why)));
        section(f, "problem", problems.collect())?;
        if self.warnings.is_empty() {
            return Ok(());
        }
        f.write_str("\n")?;
        let warnings = self.warnings.iter();
        let warnings =
            warnings.map(|warning| (printable::line(&warning.variable), printable::line(&warning.why)));
        section(f, "warning", warnings.collect())
    }
}

/// A headline, then subjects and sentences in two columns.
fn section(f: &mut fmt::Formatter<'_>, what: &str, lines: Vec<(String, String)>) -> fmt::Result {
    let plural = if lines.len() == 1 { "" } else { "s" };
    write!(f, "vrrp-init: {} {what}{plural} in the environment", lines.len())?;
    let width = lines.iter().map(|(subject, _)| subject.chars().count()).max().unwrap_or(0);
    for (subject, why) in lines {
        write!(f, "\n  {subject:width$}  {why}")?;
    }
    Ok(())
}

impl std::error::Error for ConfigError {}

/// Problems and warnings in the order they were found, each once: what several routers inherit is reported once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Problems {
    /// A problem of the variable with this full name.
    pub(super) fn refuse(&mut self, variable: &str, value: Option<&str>, why: impl Into<String>) {
        self.add(Problem { variable: variable.to_owned(), value: value.map(str::to_owned), why: why.into() });
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A warning about the variable with this full name.
    pub(super) fn warn(&mut self, level: log::Level, variable: &str, why: impl Into<String>) {
        let warning = Warning { level, variable: variable.to_owned(), why: why.into() };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(variable: &str, value: Option<&str>, why: &str) -> Problem {
        Problem { variable: variable.into(), value: value.map(Into::into), why: why.into() }
    }

    fn refused(problems: Vec<Problem>) -> ConfigError {
        ConfigError { problems, warnings: vec![] }
    }

    #[test]
    fn warnings_are_printed_after_the_problems() {
        let warning = |variable: &str, why: &str| Warning {
            level: log::Level::Warn,
            variable: variable.into(),
            why: why.into(),
        };
        let warnings = vec![warning("KEEPALIVED_CONF", "is ignored"), warning("A\n", "has no effect")];
        let error = ConfigError { problems: vec![problem("VIP", None, "is required")], warnings };
        assert_eq!(
            error.to_string(),
            "vrrp-init: 1 problem in the environment\n  VIP  is required\n\
             vrrp-init: 2 warnings in the environment\n  KEEPALIVED_CONF  is ignored\n  A\\n              has no effect"
        );
    }

    #[test]
    fn all_problems_are_printed_at_once_in_two_columns() {
        let error = refused(vec![
            problem("VIRTUAL_ROUTER", Some("300"), "must be 1 to 255"),
            problem("VIP", None, "is required: the virtual addresses, such as 10.0.0.2/24"),
            problem("PRIORTY", None, "is not a variable of vrrp-init; did you mean PRIORITY?"),
        ]);
        assert_eq!(
            error.to_string(),
            "vrrp-init: 3 problems in the environment\n  \
               VIRTUAL_ROUTER=300  must be 1 to 255\n  \
               VIP                 is required: the virtual addresses, such as 10.0.0.2/24\n  \
               PRIORTY             is not a variable of vrrp-init; did you mean PRIORITY?"
        );
    }

    #[test]
    fn a_value_stays_on_its_line_and_is_cut_when_long() {
        let error = refused(vec![problem("VIP", Some("a\nb\u{1b}[2J"), "is wrong (read from \n)")]);
        assert_eq!(
            error.to_string(),
            "vrrp-init: 1 problem in the environment\n  VIP=a\\nb\\u{1b}[2J  is wrong (read from \\n)"
        );
        assert_eq!(
            problem("PRIORTY\n", None, "is wrong").subject(),
            "PRIORTY\\n",
            "a name may hold anything too"
        );
        let url = problem("CHECK_HTTP", Some("http://u:hunter2@web/"), "is wrong").subject();
        assert_eq!(url, "CHECK_HTTP=http://(not shown)@web/");
        let long = problem("VIP", Some(&"é".repeat(61)), "is wrong").subject();
        assert_eq!(long, format!("VIP={}...", "é".repeat(60)));
    }
}
