//! The environment to raw values: which variable a name sets, for which virtual router, and whether as a value or in a
//! file; knows the structure of a name, not the meaning of a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::compat::{self, Conversion, Converter, Found, NamesInUse, PREFIX};
use super::problems::Problems;
use super::raw_value::{RawSet, RawSets, RawValue};
use super::value::{self, Value};
use super::variables::{MOST_ROUTERS, Scope, VARIABLES, Variable};

/// Reads the files that `NAME_FILE` variables name.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Whether a program that is not ours must not see the variable `name`: its value is a secret, under any of its names,
/// with any suffix, or in a file.
pub fn is_secret(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let (base, _) = split_number(name.strip_suffix("_FILE").unwrap_or(name));
    let by_name = compat::find(base).is_some_and(|found| {
        found.conversion != Conversion::AuthType && found.variable.is_some_and(|variable| variable.secret)
    });
    // A misspelled name may be followed by a real secret.
    let unprefixed = base.strip_prefix(PREFIX).unwrap_or(base);
    by_name || VARIABLES.iter().any(|variable| variable.secret && unprefixed.starts_with(variable.name))
}

/// `VIP_2` as `VIP` and `2`; the digits are empty where there are none.
fn split_number(name: &str) -> (&str, &str) {
    match name.rsplit_once('_') {
        Some((base, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (base, digits)
        }
        Some(_) | None => (name, ""),
    }
}

/// A name of ours, or of another image.
struct Name {
    /// Sorts names in the order of the tables, our own first, and a value directly before the file of the same name.
    order: u64,
    /// The name as it was written, without `_FILE`.
    full: String,
    /// `None`: there is no equivalent.
    variable: Option<&'static Variable>,
    conversion: Conversion,
    /// The suffix, 1 where there is none.
    number: u16,
    /// The value is in the file that this names.
    is_file: bool,
}

impl Name {
    /// `PRIORITY`, `PRIORITY_2`, `PRIORITY_FILE`, `PRIORITY_2_FILE`; `None` for other software's name.
    fn parse(name: &str) -> Option<Self> {
        let (full, is_file) = name.strip_suffix("_FILE").map_or((name, false), |full| (full, true));
        let (base, digits) = split_number(full);
        let Found { place, variable, conversion } = compat::find(base)?;
        let (mut item, mut number) = (0, 1);
        if !digits.is_empty() {
            let n = value::integer(digits).filter(|n| *n <= MOST_ROUTERS)?;
            if conversion == Conversion::Item {
                item = u64::from(n) + 1;
            } else if n < 2 || digits.starts_with('0') || variable?.scope == Scope::Process {
                // Messages never write a leading zero, so a name has none either.
                return None;
            } else {
                number = n;
            }
        }
        let order = place << 20 | item << 1 | u64::from(is_file);
        Some(Self { order, full: full.to_owned(), variable, conversion, number, is_file })
    }
}

/// The names of one suffix, each once, with their values.
type NamedValues = Vec<(Name, OsString)>;

/// The environment, sorted into our variables and unknown ones.
#[derive(Default)]
pub(super) struct Environment {
    /// What is set and not empty, by suffix.
    sets: BTreeMap<u16, NamedValues>,
    /// The other names, as far as they are text.
    pub(super) unknown: Vec<String>,
}

impl Environment {
    pub(super) fn sort(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut sorted = Self::default();
        for (name, value) in vars {
            let Ok(name) = name.into_string() else { continue };
            match Name::parse(&name) {
                // Compose passes what is unset as empty.
                _ if value.is_empty() => {}
                None => sorted.unknown.push(name),
                Some(name) => sorted.add(name, value),
            }
        }
        sorted
    }

    /// If a name occurs twice, which no shell does, the last one counts.
    fn add(&mut self, name: Name, value: OsString) {
        let set = self.sets.entry(name.number).or_default();
        match set.iter_mut().find(|(known, _)| known.order == name.order) {
            Some((_, known)) => *known = value,
            None => set.push((name, value)),
        }
    }

    /// The raw values, read from their files if need be, with the defaults of other images that apply.
    pub(super) fn raw_sets(&mut self, read_file: ReadFile<'_>, problems: &mut Problems) -> RawSets {
        let mut sets = std::mem::take(&mut self.sets);
        let first = sets.remove(&1).unwrap_or_default();
        let has = |name: &str| {
            let ours = compat::find(name).map(|found| found.place);
            let is_set = first.iter().any(|(name, _)| Some(name.order >> 20) == ours);
            is_set || self.unknown.iter().any(|unknown| unknown == name)
        };
        let names = NamesInUse::new(&has);
        let (mut first, auth_type) = raw_set(1, first, &names, read_file, problems);
        compat::apply_defaults(&mut first, &names, auth_type, problems);
        let mut further = vec![];
        for (number, set) in sets {
            further.push(raw_set(number, set, &names, read_file, problems).0);
        }
        RawSets { first, further }
    }
}

/// One set, and the name that asks for a password, if there is one.
fn raw_set(
    number: u16,
    mut set: NamedValues,
    names: &NamesInUse,
    read_file: ReadFile<'_>,
    problems: &mut Problems,
) -> (RawSet, Option<String>) {
    let mut converter = Converter::new(number);
    set.sort_by_key(|(name, _)| name.order);
    let mut set = set.into_iter().peekable();
    while let Some((name, value)) = set.next() {
        let Name { order, full, conversion, is_file, .. } = name;
        let Some(variable) = name.variable else {
            compat::no_equivalent(conversion, &full, &value, problems);
            continue;
        };
        if let Some(ours) = names.excludes(&full, conversion) {
            let why =
                format!("is ignored because {} is set; the variable here is {}", ours.name, variable.name);
            problems.warn(log::Level::Info, &full, why);
            continue;
        }
        let file_too = set.next_if(|(next, _)| !is_file && next.order == order + 1).map(|(_, path)| path);
        let (value, path) = if is_file { (None, Some(value)) } else { (Some(value), file_too) };
        match text(&full, value, path, read_file, problems) {
            None => converter.skip(variable),
            Some((text, _)) if text.is_empty() => {}
            Some((text, file)) => {
                let raw = RawValue { variable, text, name: full, file, implied: false, number };
                converter.take(conversion, raw, problems);
            }
        }
    }
    converter.finish(problems)
}

/// The text of a variable that is set as a value, in a file or as both, and the file it came from; `None` once a
/// problem is noted.
fn text(
    name: &str,
    value: Option<OsString>,
    path: Option<OsString>,
    read_file: ReadFile<'_>,
    problems: &mut Problems,
) -> Option<(String, Option<String>)> {
    let path_name = format!("{name}_FILE");
    let text = value.and_then(|value| utf8(value, name, problems));
    let path = path.and_then(|path| utf8(path, &path_name, problems));
    match (text, path) {
        (Some(_), Some(path)) => {
            problems.refuse(&path_name, Some(&path), format!("{name} is also set; keep one of them"));
            None
        }
        (Some(text), None) => Some((text, None)),
        (None, Some(path)) => match content(read_file(Path::new(&path))) {
            Ok(text) => Some((text, Some(path))),
            Err(why) => {
                problems.refuse(&path_name, Some(&path), why);
                None
            }
        },
        (None, None) => None,
    }
}

fn utf8(value: OsString, name: &str, problems: &mut Problems) -> Option<String> {
    let text = value.into_string();
    text.map_err(|_| problems.refuse(name, None, "has a value that is not UTF-8 text")).ok()
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
