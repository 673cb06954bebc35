//! What is found wrong on the way, each under the whole name of the variable it came from; knows the texts of one
//! virtual router at a time.

use super::given::Given;
use super::raw::Raw;
use crate::config::value::{self, Value};
use crate::config::variables::{self, Default as Fallback, Reach, whole_name};
use crate::config::{Problem, Warning};

/// The texts that make one router.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) number: u16,
    /// Those with its suffix.
    pub(super) own: &'a [Given],
    /// Those without one.
    pub(super) first: &'a [Given],
    /// There is no router but this one.
    pub(super) alone: bool,
}

impl<'a> Scope<'a> {
    /// The text of a variable, wherever it comes from, and the number in its name.
    pub(super) fn text(&self, name: &str) -> Option<(&'a Given, u16)> {
        let own = self.own.iter().find(|text| text.variable.name == name);
        own.map(|text| (text, self.number)).or_else(|| {
            let inherited =
                |text: &&Given| text.variable.reach == Reach::Inherited && text.variable.name == name;
            self.first.iter().find(inherited).map(|text| (text, 1))
        })
    }
}

/// Problems and warnings in the order they were found.
#[derive(Default)]
pub(super) struct Report<'a> {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// Whole names of variables that are set, to nothing that could be used.
    pub(super) settled: Vec<String>,
    /// Where the values now read come from; none of them while files are read.
    pub(super) scope: Option<Scope<'a>>,
}

impl Report<'_> {
    /// A problem of the variable with this whole name.
    pub(super) fn whole(&mut self, variable: &str, value: Option<&str>, why: String) {
        let problem = Problem { variable: variable.to_owned(), value: value.map(str::to_owned), why };
        // What several routers inherit is wrong once.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Something to say about the variable with this whole name.
    pub(super) fn say(&mut self, level: log::Level, variable: &str, why: String) {
        let warning = Warning { level, variable: variable.to_owned(), why };
        // What several routers inherit is said once.
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The whole name that the current router's value of `name` is from, or would be from.
    fn origin(&self, name: &str) -> (String, Option<&Given>) {
        let Some(scope) = &self.scope else { return (name.to_owned(), None) };
        match scope.text(name) {
            Some((text, _)) => (text.name.clone(), Some(text)),
            None => (whole_name(name, scope.number), None),
        }
    }

    /// A problem of the current router's variable `name`.
    pub(super) fn refuse(&mut self, name: &str, value: &str, why: String) {
        let (whole, text) = self.origin(name);
        let read_from = text.and_then(|text| text.file.as_ref());
        let why = match read_from {
            Some(path) => format!("{why} (read from {path})"),
            None => why,
        };
        let secret = text.is_some_and(|text| text.variable.secret);
        self.whole(&whole, if secret { None } else { Some(value) }, why);
    }

    /// Whether the current router has a text for `name` that is no default.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.scope.is_some_and(|scope| scope.text(name).is_some())
    }

    /// Something to say about the current router's variable `name`.
    pub(super) fn remark(&mut self, level: log::Level, name: &str, why: String) {
        let (whole, _) = self.origin(name);
        self.say(level, &whole, why);
    }

    pub(super) fn warn(&mut self, name: &str, why: String) {
        self.remark(log::Level::Warn, name, why);
    }

    /// The current router has no use for `name`: worth a word where nobody else can have meant it.
    pub(super) fn unused(&mut self, name: &str, why: String) {
        let meant = self.scope.is_some_and(|scope| {
            scope.text(name).is_some_and(|(text, number)| {
                !text.implied && number == scope.number && (number != 1 || scope.alone)
            })
        });
        if meant {
            self.warn(name, why);
        }
    }

    /// The variable's text, which it must have.
    pub(super) fn required<'t>(&mut self, name: &str, raw: &'t Raw) -> Option<&'t str> {
        let text = raw.text(name);
        if text.is_none() {
            let (whole, _) = self.origin(name);
            // A value that is there but could not be read is one problem, not two.
            if !self.settled.contains(&whole) {
                let why = self.absence(name);
                self.whole(&whole, None, why);
            }
        }
        text
    }

    /// Why the current router cannot do without `name`.
    fn absence(&self, name: &str) -> String {
        let since = match self.scope {
            Some(Scope { number: 2.., own: [given, ..], .. }) => {
                format!(", since {} is set", given.name)
            }
            Some(_) | None => String::new(),
        };
        match variables::named(name).map(|variable| variable.default) {
            Some(Fallback::Required(what)) => format!("is required{since}: {what}"),
            Some(_) | None => format!("is required{since}"),
        }
    }

    /// The variable's value; `None` once a problem is noted.
    #[inline(never)] // one for each type, not for each variable
    pub(super) fn value<T>(&mut self, name: &str, raw: &Raw, parse: fn(&str) -> Value<T>) -> Option<T> {
        let text = self.required(name, raw)?;
        parse(text).map_err(|why| self.refuse(name, text, why)).ok()
    }

    /// The value of a variable that may be unset; `None` also once a problem is noted.
    pub(super) fn optional<T>(&mut self, name: &str, raw: &Raw, parse: fn(&str) -> Value<T>) -> Option<T> {
        raw.text(name)?;
        self.value(name, raw, parse)
    }

    /// The items of a list, each once; empty where it is unset, and once a problem is noted.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        name: &str,
        raw: &Raw,
        what: &str,
        parse: fn(&str) -> Value<T>,
    ) -> Vec<T> {
        let mut list = vec![];
        self.items(name, raw, what, &mut |item| {
            let item = parse(item)?;
            let new = !list.contains(&item);
            if new {
                list.push(item);
            }
            Ok(new)
        });
        list
    }

    /// Hands the items of a list to `take`, which says whether they are new.
    fn items(&mut self, name: &str, raw: &Raw, what: &str, take: &mut dyn FnMut(&str) -> Value<bool>) {
        let Some(text) = raw.text(name) else { return };
        for item in value::items(text) {
            match take(item) {
                Ok(true) => {}
                Ok(false) => self.warn(name, format!("lists {item} twice")),
                Err(why) => self.refuse(name, item, why),
            }
        }
        if value::items(text).next().is_none() {
            self.refuse(name, text, format!("holds no {what}"));
        }
    }
}
