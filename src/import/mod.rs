//! A keepalived.conf to vrrp-init's variables: its directives, what keepalived makes of them, and what is lost. Opens no
//! file: what `include` names is found by the caller.

mod blocks;
mod directives;
mod draft;
mod notes;
mod program;
mod render;
mod rules;
mod words;

use std::io;

use crate::config::{Config, ConfigError, Scope, VARIABLES};
use blocks::Directive;
pub use blocks::{Files, MOST_BYTES, MOST_FILES};
use directives::{Becomes, FILE, INSTANCE, PROCESS, SCRIPT};
use draft::Draft;
use notes::Notes;
use render::{Line, Router};

/// The variables for a keepalived.conf.
#[derive(Debug)]
pub struct Imported {
    routers: Vec<Router>,
    /// What is lost or different, one line each.
    pub report: String,
    /// Something that changes behavior is lost.
    pub is_lossy: bool,
}

/// The most routers: with suffixes from 2 to 9999.
const MOST_ROUTERS: usize = 9_998;

/// Reads the file `name` with this text.
///
/// # Errors
/// The place and the reason why it cannot be read as a whole, or that it has no router and what was found in it.
pub fn import(name: &str, text: &str, files: &dyn Files) -> Result<Imported, String> {
    let mut notes = Notes::default();
    let directives = blocks::parse(name, text, files, &mut notes)?;
    let routers = routers(&directives, &mut notes);
    if routers.is_empty() || routers.len() > MOST_ROUTERS {
        let (found, report) = (routers.len(), notes.report());
        return Err(format!(
            "{name}: {found} vrrp_instance blocks; import needs 1 to {MOST_ROUTERS}\n{report}"
        ));
    }
    let mut routers = numbered(routers, &notes);
    judge(&mut routers, &mut notes);
    Ok(Imported { routers, is_lossy: notes.is_lossy, report: notes.report() })
}

impl Imported {
    /// `NAME=VALUE` lines.
    pub fn env(&self) -> String {
        render::env(&self.routers)
    }

    /// A service of a compose file.
    pub fn compose(&self) -> String {
        render::compose(&self.routers)
    }
}

/// Each router with its values, in the order of the file.
fn routers<'a>(directives: &'a [Directive], notes: &mut Notes) -> Vec<Draft<'a>> {
    // What a router builds on may stand behind it.
    let (mut defaults, mut programs, mut instances) = (Draft::default(), vec![], vec![]);
    for directive in directives {
        let becomes = FILE.find(directive.word(0));
        if becomes == Becomes::Instance && directive.word(1).is_empty() {
            notes.lost(directive.place, directive.word(0), "keepalived ignores one without a name");
        } else if becomes == Becomes::Instance {
            instances.push(directive);
        } else if becomes == Becomes::Script {
            programs.push(Draft::default().read(SCRIPT, directive, notes));
        } else if becomes == Becomes::Process {
            programs.push(Draft::default().read(PROCESS, directive, notes));
        } else if becomes == Becomes::Group {
            group(directive, notes);
        } else {
            defaults.read_all(FILE, std::slice::from_ref(directive), notes);
        }
    }
    let instances = instances.into_iter().map(|instance| {
        let mut router = defaults.clone().read(INSTANCE, instance, notes);
        rules::complete(&mut router, &programs, notes);
        router
    });
    instances.collect()
}

/// Of a single router it is none, but what else it has applies to that one.
fn group(group: &Directive, notes: &mut Notes) {
    let mut members = 0;
    for directive in &group.block {
        if directive.word(0) == "group" {
            members += directive.block.iter().map(|line| line.words.len()).sum::<usize>();
        } else {
            let why = "write it into each vrrp_instance of the group";
            notes.lost(directive.place, &directive.words.join(" "), why);
        }
    }
    if members > 1 {
        notes.lost(group.place, "vrrp_sync_group", GROUP);
    }
}

const GROUP: &str =
    "vrrp-init has no groups: routers that have the same checks and interfaces fail over together";

/// The routers under their numbers. A variable without a suffix would count for the others as well, so the numbers begin
/// at 2 if one of them must not have it.
fn numbered(routers: Vec<Draft<'_>>, notes: &Notes) -> Vec<Router> {
    let is_inherited = |name| VARIABLES.iter().any(|v| v.name == name && v.scope == Scope::Inherited);
    let has_all = |other: &Draft<'_>| {
        let mut first = routers[0].values.iter();
        first.all(|value| !is_inherited(value.name) || other.find(value.name).is_some())
    };
    let first = if routers.iter().all(has_all) { 1 } else { 2 };
    let numbered = routers.into_iter().zip(first..).map(|(router, number): (_, usize)| {
        let suffix = if number == 1 { String::new() } else { format!("_{number}") };
        let values = VARIABLES.iter().filter_map(|variable| router.find(variable.name));
        let lines = values.map(|value| Line {
            name: [value.name, &suffix].concat(),
            value: protected(&value.text.lines().collect::<Vec<_>>().join(", ")),
            is_refused: false,
        });
        let title = format!("vrrp_instance {} ({})", router.name, notes.place(router.place));
        Router { lines: lines.collect(), title }
    });
    numbered.collect()
}

/// One pair of outer quotes is removed from a value, and blanks around it may get lost.
fn protected(value: &str) -> String {
    let is_edge = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    if value.starts_with(is_edge) || value.ends_with(is_edge) {
        ["\"", value, "\""].concat()
    } else {
        value.to_owned()
    }
}

/// Marks what vrrp-init refuses, and passes on what it warns of.
fn judge(routers: &mut [Router], notes: &mut Notes) {
    let vars = routers.iter().flat_map(|router| &router.lines);
    let vars = vars.map(|line| (line.name.clone().into(), line.value.clone().into()));
    let (problems, warnings) = match Config::from_environment(vars, |_| Err(io::ErrorKind::NotFound.into())) {
        Ok((_, warnings)) => (vec![], warnings),
        Err(ConfigError { problems, warnings }) => (problems, warnings),
    };
    for problem in problems {
        let mut lines = routers.iter_mut().flat_map(|router| &mut router.lines);
        if let Some(line) = lines.find(|line| line.name == problem.variable) {
            line.is_refused = true;
        }
        let value = problem.value.unwrap_or_default();
        notes.is_lossy = true;
        notes.judged(&["refused: ", &problem.variable, "=", &value, " ", &problem.why]);
    }
    for warning in warnings {
        notes.judged(&["warning: ", &warning.variable, " ", &warning.why]);
    }
}

#[cfg(test)]
mod tests;
