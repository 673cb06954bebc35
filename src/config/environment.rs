//! The environment to raw values: which variable a name sets, for which virtual router, and whether as a value or in a
//! file; knows the structure of a name, not the meaning of a value.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::compat::{self, Conversion, Converter, Found, HOST_IP, NamesInUse, PREFIX};
use super::env_file::Entry;
use super::problems::Problems;
use super::raw_value::{RawSet, RawSets, RawValue};
use super::suggest;
use super::syntax::{self, Cleaned};
use super::value::{self, Value};
use super::variables::{
    DRAIN_FILE, ENV_FILE, MOST_ROUTERS, STATUS_SOCKET, Scope, VARIABLES, VIRTUAL_ROUTER, Variable,
};

/// Reads the files that `NAME_FILE` variables name.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What a program usually needs, for its language, its time zone and its connections.
const USUAL: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "HOSTNAME",
    "TERM",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Whether the operator's programs get the variable `name`: it is usual, ours, or among the `further` names, and no secret.
pub fn is_passed_on(name: &OsStr, further: &[String]) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_known = USUAL.contains(&name)
        || name.starts_with("LC_")
        || Name::parse(name).is_some()
        || further.iter().any(|known| known == name);
    is_known && !is_secret(name)
}

/// Whether a program that is not ours must not see the variable `name`: its value is a secret, under any of its names,
/// with any suffix, or in a file.
fn is_secret(name: &str) -> bool {
    let (base, _) = split_number(without_file(name).0);
    let by_name = compat::find(base).is_some_and(|found| {
        found.conversion != Conversion::AuthType && found.variable.is_some_and(|variable| variable.secret)
    });
    // A misspelled name may be followed by a real secret.
    let unprefixed = base.strip_prefix(PREFIX).unwrap_or(base);
    by_name || VARIABLES.iter().any(|variable| variable.secret && unprefixed.starts_with(variable.name))
}

/// The name of the variable whose value the file of `NAME_FILE` has, and whether it is such a name; `ENV_FILE` is none.
fn without_file(name: &str) -> (&str, bool) {
    let named = name.strip_suffix("_FILE").filter(|_| compat::find(name).is_none());
    named.map_or((name, false), |named| (named, true))
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
    /// Whether the value itself is a secret; the path of its file is none.
    fn is_secret(&self) -> bool {
        let secret = self.variable.is_some_and(|variable| variable.secret);
        secret && self.conversion != Conversion::AuthType
    }

    /// The name as it was written.
    fn written(&self) -> String {
        if self.is_file { format!("{}_FILE", self.full) } else { self.full.clone() }
    }

    /// `PRIORITY`, `PRIORITY_2`, `PRIORITY_FILE`, `PRIORITY_2_FILE`; `None` for other software's name.
    fn parse(name: &str) -> Option<Self> {
        let (full, is_file) = without_file(name);
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

/// A name that is set, and its value.
struct Named {
    name: Name,
    value: OsString,
    /// Quotes or a comment were removed from the value.
    cleaned: bool,
    /// The line of `ENV_FILE`.
    line: Option<u32>,
}

/// The environment, sorted into our variables and unknown ones.
#[derive(Default)]
pub(super) struct Environment {
    /// What is set and not blank, by suffix, each name once; sorted.
    sets: Vec<(u16, Vec<Named>)>,
    /// The other names, as far as they are text, and their values; sorted.
    pub(super) unknown: Vec<(String, OsString)>,
    /// The environment was written for another image, as far as the names show.
    pub(super) is_foreign: bool,
}

impl Environment {
    /// A reference, so that the binary has one copy of this.
    pub(super) fn sort(vars: &mut dyn Iterator<Item = (OsString, OsString)>) -> Self {
        let mut sorted = Self::default();
        for (name, value) in vars {
            let Ok(name) = name.into_string() else { continue };
            sorted.set(Name::parse(&name), name, value, None);
        }
        sorted
    }

    fn set(&mut self, parsed: Option<Name>, name: String, value: OsString, line: Option<u32>) {
        let secret = parsed.as_ref().is_some_and(|name| name.is_secret() && !name.is_file);
        let (value, cleaned) = match value.into_string() {
            Ok(text) => {
                let Cleaned { text, changed } = syntax::clean(&text, secret);
                (text.into(), changed)
            }
            Err(value) => (value, false),
        };
        match parsed {
            // Compose passes what is unset as empty.
            _ if value.is_empty() => {}
            None => match self.unknown.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => self.unknown[at].1 = value,
                Err(at) => self.unknown.insert(at, (name, value)),
            },
            Some(name) => self.add(Named { name, value, cleaned, line }),
        }
    }

    /// The path of the file of variables, if it is one.
    pub(super) fn env_file(&self) -> Option<PathBuf> {
        let is_it = |named: &&Named| named.name.variable.is_some_and(|v| v.name == ENV_FILE.name);
        let named =
            self.sets[self.find(1).ok()?].1.iter().find(|named| is_it(named) && !named.name.is_file)?;
        ENV_FILE.parse(named.value.to_str()?).value
    }

    /// Puts what `ENV_FILE` sets over the environment: a variable that the file has, even an empty one, is not taken from
    /// the environment, under none of its names.
    pub(super) fn overlay(&mut self, entries: Vec<Entry>, problems: &mut Problems) {
        let parsed: Vec<_> = entries.into_iter().map(|entry| (Name::parse(&entry.name), entry)).collect();
        for (name, Entry { line, .. }) in &parsed {
            let Some(Name { variable: Some(variable), number, ref full, .. }) = *name else { continue };
            if [ENV_FILE.name, STATUS_SOCKET.name, DRAIN_FILE.name].contains(&variable.name) {
                let why = format!("must be set in the environment, not in line {line} of ENV_FILE");
                problems.refuse(full, None, why);
            }
            let is_it = |named: &Named| named.name.variable.is_some_and(|v| v.name == variable.name);
            if let Ok(at) = self.find(number) {
                self.sets[at].1.retain(|named| !is_it(named));
            }
        }
        for (name, Entry { line, name: text, value }) in parsed {
            self.set(name, text, value.into(), Some(line));
        }
        self.sets.retain(|(_, set)| !set.is_empty());
    }

    /// If a name occurs twice, which no shell does, the last one counts.
    fn add(&mut self, named: Named) {
        let at = self.find(named.name.number).unwrap_or_else(|at| {
            self.sets.insert(at, (named.name.number, vec![]));
            at
        });
        let set = &mut self.sets[at].1;
        match set.binary_search_by_key(&named.name.order, |known| known.name.order) {
            Ok(at) => set[at] = named,
            Err(at) => set.insert(at, named),
        }
    }

    /// Where the set with this suffix is, or belongs.
    fn find(&self, number: u16) -> Result<usize, usize> {
        self.sets.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// The raw values, read from their files if need be, with the defaults of other images that apply.
    pub(super) fn raw_sets(&mut self, read_file: ReadFile<'_>, problems: &mut Problems) -> RawSets {
        let first = self.find(1).map_or(vec![], |at| self.sets.remove(at).1);
        let sets = std::mem::take(&mut self.sets);
        let names = self.names(&first);
        let is_ours = |named: &Named| {
            let base = split_number(&named.name.full).0;
            base.strip_prefix(PREFIX).unwrap_or(base) == VIRTUAL_ROUTER.name
        };
        let is_ours = first.iter().chain(sets.iter().flat_map(|(_, set)| set)).any(is_ours);
        self.is_foreign = names.are_foreign() || !is_ours;
        if compat::reads_host_ip(&names) {
            self.unknown.retain(|(name, _)| name != HOST_IP);
        }
        let mut texts = Texts { names: &names, read_file, problems, cleaned: vec![] };
        let (first, auth_type) = texts.raw_set(1, first);
        let further = sets.into_iter().map(|(number, set)| texts.raw_set(number, set).0).collect();
        texts.warn_of_cleaned();
        let mut sets = RawSets { first, further };
        compat::apply_defaults(&mut sets, &names, auth_type, problems);
        sets
    }

    /// The names in use: unknown ones, and those of the set without a suffix.
    fn names(&self, first: &[Named]) -> NamesInUse {
        let known = first.iter().map(|named| split_number(&named.name.full).0.to_owned());
        let unknown = self.unknown.iter().map(|(name, _)| (name.clone(), suggest::is_foreign(name)));
        let host = self.unknown.iter().find(|(name, _)| name == HOST_IP);
        let host = host.and_then(|(_, text)| text.to_str());
        NamesInUse::new(known.collect(), unknown.collect(), host.and_then(|text| text.parse().ok()))
    }
}

/// Reads the texts of the variables.
struct Texts<'a> {
    names: &'a NamesInUse,
    read_file: ReadFile<'a>,
    problems: &'a mut Problems,
    /// The names whose texts had quotes or a comment around them.
    cleaned: Vec<String>,
}

impl Texts<'_> {
    /// One set, and the name that asks for a password, if there is one.
    fn raw_set(&mut self, number: u16, set: Vec<Named>) -> (RawSet, Option<String>) {
        let mut converter = Converter::new(number, self.names.are_foreign());
        let mut set = set.into_iter().peekable();
        while let Some(named) = set.next() {
            let Name { order, is_file, conversion, ref full, .. } = named.name;
            let Some(variable) = named.name.variable else {
                compat::no_equivalent(conversion, full, &named.value, self.problems);
                continue;
            };
            if let Some(ours) = self.names.excludes(full, conversion) {
                let why = format!(
                    "is ignored because {} is set; the variable here is {}",
                    ours.name, variable.name
                );
                self.problems.warn(log::Level::Info, full, why);
                continue;
            }
            let name = full.clone();
            let file_too = set.next_if(|next| !is_file && next.name.order == order + 1);
            let line = named.line;
            let (value, path) = if is_file { (None, Some(named)) } else { (Some(named), file_too) };
            match self.text(value, path) {
                None => converter.skip(variable),
                Some((text, _)) if text.is_empty() => {}
                Some((text, file)) => {
                    let raw = RawValue { variable, text, name, file, line, implied: false, number };
                    converter.take(conversion, raw, self.problems);
                }
            }
        }
        converter.finish(self.problems)
    }

    /// The text of a variable that is set as a value, in a file or as both, and the file it came from; `None` once a
    /// problem is noted.
    fn text(&mut self, value: Option<Named>, path: Option<Named>) -> Option<(String, Option<String>)> {
        let text = match value {
            Some(value) => Some(self.utf8(value)?),
            None => None,
        };
        let Some(file) = path else { return text.map(|(text, _)| (text, None)) };
        let secret = file.name.is_secret();
        let (path, name) = self.utf8(file)?;
        if text.is_some() {
            self.problems.refuse(
                &format!("{name}_FILE"),
                Some(&path),
                format!("{name} is also set; keep one of them"),
            );
            return None;
        }
        match content((self.read_file)(Path::new(&path))) {
            Ok(text) => {
                let Cleaned { text, changed } = syntax::clean(&text, secret);
                self.cleaned.extend(changed.then_some(name));
                Some((text, Some(path)))
            }
            Err(why) => {
                self.problems.refuse(&format!("{name}_FILE"), Some(&path), why);
                None
            }
        }
    }

    /// The text that is set, and the name without `_FILE`.
    fn utf8(&mut self, named: Named) -> Option<(String, String)> {
        let written = named.name.written();
        let Ok(text) = named.value.into_string() else {
            self.problems.refuse(&written, None, "has a value that is not UTF-8 text");
            return None;
        };
        self.cleaned.extend(named.cleaned.then_some(written));
        Some((text, named.name.full))
    }

    /// One warning for all of them.
    fn warn_of_cleaned(&mut self) {
        let Some((first, more)) = self.cleaned.split_first() else { return };
        let others = match more {
            [] => String::new(),
            [other] => format!("; so does {other}"),
            [others @ .., last] => format!("; so do {} and {last}", others.join(", ")),
        };
        let why = format!("contains quotes or a comment, which are not part of the value{others}");
        self.problems.warn(log::Level::Warn, first, why);
    }
}

/// A file's text without the newline that every editor ends it with.
pub(super) fn content(read: io::Result<Vec<u8>>) -> Value<String> {
    let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::from_utf8(bytes).map_err(|_| "names a file that is not UTF-8 text")?;
    if let Some(rest) = text.strip_prefix('\u{feff}') {
        // Editors for Windows begin a file with it.
        text = rest.to_owned();
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
