//! The environment sorted: which variables are given, for which virtual router, under which name, as a value or in
//! a file; knows what a name is made of, not what a value means.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::compat::{self, Seen};
use super::foreign::{self, Texts};
use super::report::Report;
use crate::config::aliases::{self, Found, Means};
use crate::config::value::{self, Value};
use crate::config::variables::{MOST_ROUTERS, Reach, Variable, whole_name};

/// A name of ours, or of another image.
pub(super) struct Name {
    /// In the order of the tables, our own names first; a value comes directly before the file of the same name.
    order: u64,
    /// As it was written, without `_FILE`.
    whole: String,
    /// `None`: nothing here answers to it.
    variable: Option<&'static Variable>,
    means: Means,
    /// The suffix, 1 where there is none.
    number: u16,
    /// The value is in the file that this names.
    file: bool,
}

impl Name {
    /// `PRIORITY`, `PRIORITY_2`, `PRIORITY_FILE`, `PRIORITY_2_FILE`; `None` for somebody else's name.
    fn parse(name: &str) -> Option<Self> {
        let (whole, file) = name.strip_suffix("_FILE").map_or((name, false), |whole| (whole, true));
        let (base, digits) = match whole.rsplit_once('_') {
            Some((base, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                (base, digits)
            }
            Some(_) | None => (whole, ""),
        };
        let Found { place, variable, means } = aliases::find(base)?;
        let (mut item, mut number) = (0, 1);
        if !digits.is_empty() {
            let n = value::whole(digits).filter(|n| *n <= MOST_ROUTERS)?;
            if means == Means::Item {
                item = u64::from(n) + 1;
            } else if n < 2 || digits.starts_with('0') || variable?.reach == Reach::Process {
                // As it is written in messages: no leading zero.
                return None;
            } else {
                number = n;
            }
        }
        let order = place << 20 | item << 1 | u64::from(file);
        Some(Self { order, whole: whole.to_owned(), variable, means, number, file })
    }
}

/// A variable that is set.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) variable: &'static Variable,
    pub(super) text: String,
    /// The whole name it was given under.
    pub(super) name: String,
    /// The file it came from.
    pub(super) file: Option<String>,
    /// Nobody set it: it is another image's default.
    pub(super) implied: bool,
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
                // Compose passes what is unset as empty.
                _ if value.is_empty() => {}
                None => sorted.strangers.push(name),
                Some(name) => sorted.set(name, value),
            }
        }
        sorted
    }

    /// Of one name given twice, which no shell does, the last counts.
    fn set(&mut self, name: Name, value: OsString) {
        let at = usize::from(name.number - 1);
        if self.sets.len() <= at {
            self.sets.resize_with(at + 1, Vec::new);
        }
        let set = &mut self.sets[at];
        match set.iter_mut().find(|(known, _)| known.order == name.order) {
            Some((_, known)) => *known = value,
            None => set.push((name, value)),
        }
    }

    /// The texts of every set, by number, from their files if need be; the first set is there even when empty.
    pub(super) fn texts(
        &mut self,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        report: &mut Report<'_>,
    ) -> Vec<(u16, Vec<Given>)> {
        let mut sets = (1_u16..).zip(std::mem::take(&mut self.sets));
        let (_, first) = sets.next().unwrap_or_default();
        let has = |name: &str| {
            let ours = aliases::find(name).map(|found| found.place);
            let given = first.iter().any(|(name, _)| Some(name.order >> 20) == ours);
            given || self.strangers.iter().any(|stranger| stranger == name)
        };
        let seen = Seen::new(&has);
        let (mut given, auth_type) = texts(1, first, &seen, read_file, report);
        compat::imply(&mut given, &seen, report);
        foreign::has_password(&given, auth_type, report);
        let mut all = vec![(1, given)];
        for (number, set) in sets {
            if !set.is_empty() {
                all.push((number, texts(number, set, &seen, read_file, report).0));
            }
        }
        all
    }
}

/// The texts of one set, as they were given.
fn texts(
    number: u16,
    mut set: Vec<(Name, OsString)>,
    seen: &Seen,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    report: &mut Report<'_>,
) -> (Vec<Given>, Option<String>) {
    let mut texts = Texts::new(number);
    // Few, and a sort would be more code than all the rest.
    while let Some(least) = (0..set.len()).min_by_key(|at| set[*at].0.order) {
        let (Name { order, whole, variable, means, file, .. }, mut value) = set.swap_remove(least);
        let Some(variable) = variable else {
            foreign::without(means, &whole, &value, report);
            continue;
        };
        if let Some(ours) = seen.beside(&whole, means) {
            let why = format!("is not read beside {ours}; the variable is {}", variable.name);
            report.say(log::Level::Info, &whole, why);
            continue;
        }
        let beside = |(other, _): &(Name, OsString)| !file && other.order == order + 1;
        let path = match set.iter().position(beside) {
            Some(at) => Some(set.swap_remove(at).1),
            None if file => Some(std::mem::take(&mut value)),
            None => None,
        };
        let path_name = format!("{whole}_FILE");
        let text = if file { None } else { utf8(value, &whole, report) };
        let path = path.and_then(|path| utf8(path, &path_name, report));
        let read = match (text, &path) {
            (Some(_), Some(path)) => {
                report.whole(&path_name, Some(path), format!("{whole} is set too; keep one of them"));
                None
            }
            (Some(text), None) => Some(text),
            (None, Some(path)) => {
                let content = content(read_file(Path::new(path)));
                content.map_err(|why| report.whole(&path_name, Some(path), why)).ok()
            }
            (None, None) => None,
        };
        match read {
            None => report.settled.push(whole_name(variable.name, number)),
            Some(text) if text.is_empty() => {}
            Some(text) => {
                texts.take(means, Given { variable, text, name: whole, file: path, implied: false }, report);
            }
        }
    }
    texts.finish(report)
}

fn utf8(value: OsString, name: &str, report: &mut Report<'_>) -> Option<String> {
    let text = value.into_string();
    text.map_err(|_| report.whole(name, None, "has a value that is not UTF-8 text".into())).ok()
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
