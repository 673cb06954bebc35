//! The environment sorted: which variables are given, for which virtual router, as a value or in a file; knows
//! what a name is made of, not what a value means.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::report::Report;
use crate::config::value::Value;
use crate::config::variables::{MOST_ROUTERS, Reach, VARIABLES, Variable, whole_name};

/// What a name of ours asks for.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) variable: &'static Variable,
    /// The suffix, 1 where there is none.
    pub(super) number: u16,
    /// The value is in the file that this names.
    pub(super) file: bool,
}

impl Name {
    /// `PRIORITY`, `PRIORITY_2`, `PRIORITY_FILE`, `PRIORITY_2_FILE`; `None` for somebody else's name.
    fn parse(name: &str) -> Option<Self> {
        let (base, file) = name.strip_suffix("_FILE").map_or((name, false), |base| (base, true));
        let known = |base: &str| VARIABLES.iter().find(|variable| variable.name == base);
        if let Some(variable) = known(base) {
            return Some(Self { variable, number: 1, file });
        }
        let (base, digits) = base.rsplit_once('_')?;
        // As it is written in messages: no sign and no leading zero.
        if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with('0') {
            return None;
        }
        let number = digits.parse().ok().filter(|n| (2..=MOST_ROUTERS).contains(n))?;
        let variable = known(base).filter(|variable| variable.reach != Reach::Process)?;
        Some(Self { variable, number, file })
    }
}

/// A variable that is set.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) variable: &'static Variable,
    pub(super) text: String,
    /// The file it came from.
    pub(super) file: Option<String>,
}

/// The environment, divided into what is ours and what is not.
#[derive(Default)]
pub(super) struct Environment {
    /// What is set and not empty, by suffix: first what has none, then `_2` and so on, gaps and all.
    sets: Vec<Vec<(Name, OsString)>>,
    /// The other names, as far as they are text.
    pub(super) strangers: Vec<String>,
}

impl Environment {
    pub(super) fn sort(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut sorted = Self { sets: vec![vec![]], strangers: vec![] };
        for (name, value) in vars {
            let Ok(name) = name.into_string() else { continue };
            match Name::parse(&name) {
                None => sorted.strangers.push(name),
                // Compose passes what is unset as empty.
                Some(_) if value.is_empty() => {}
                Some(name) => sorted.set(name.number).push((name, value)),
            }
        }
        sorted
    }

    fn set(&mut self, number: u16) -> &mut Vec<(Name, OsString)> {
        let at = usize::from(number - 1);
        if self.sets.len() <= at {
            self.sets.resize_with(at + 1, Vec::new);
        }
        &mut self.sets[at]
    }

    /// The texts of every set, by number, from their files if need be; the first set is there even when empty.
    pub(super) fn texts(
        self,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        report: &mut Report<'_>,
    ) -> Vec<(u16, Vec<Given>)> {
        let numbered = (1_u16..).zip(self.sets).filter(|(number, set)| *number == 1 || !set.is_empty());
        numbered.map(|(number, set)| (number, texts(number, set, read_file, report))).collect()
    }
}

/// The texts of one set, in the order of the table.
fn texts(
    number: u16,
    mut set: Vec<(Name, OsString)>,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    report: &mut Report<'_>,
) -> Vec<Given> {
    let mut found = vec![];
    for variable in VARIABLES {
        if !set.iter().any(|(name, _)| name.variable.name == variable.name) {
            continue;
        }
        let name = whole_name(variable.name, number);
        let mut take = |file: bool, name: &str| {
            let this =
                |(name, _): &(Name, OsString)| name.variable.name == variable.name && name.file == file;
            let (_, value) = set.remove(set.iter().rposition(this)?);
            value
                .into_string()
                .map_err(|_| report.whole(name, None, "has a value that is not UTF-8 text".into()))
                .ok()
        };
        let path_name = format!("{name}_FILE");
        match (take(false, &name), take(true, &path_name)) {
            (Some(_), Some(path)) => {
                report.whole(&path_name, Some(&path), format!("{name} is set too; keep one of them"));
            }
            (Some(text), None) => found.push(Given { variable, text, file: None }),
            (None, Some(path)) => match content(read_file(Path::new(&path))) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => found.push(Given { variable, text, file: Some(path) }),
                Err(why) => report.whole(&path_name, Some(&path), why),
            },
            (None, None) => {}
        }
    }
    found
}

/// A file's text without the newline that every editor ends it with.
pub(super) fn content(read: io::Result<Vec<u8>>) -> Value<String> {
    let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::from_utf8(bytes).map_err(|_| "names a file that is not UTF-8 text")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
