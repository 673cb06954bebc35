//! The texts that make one router, by variable: its own, inherited or a default; knows no meaning.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::report::{Report, Scope};
use crate::config::variables::{self, Default as Fallback, VARIABLES};

/// All are text, since serde would stop at the first value it cannot read and not say whose it was. Not a struct
/// with a field for each: what serde derives for one takes 30 KB. A password is among them: never displayed.
pub(super) struct Raw(Vec<(&'static str, String)>);

impl Raw {
    /// `None` once a problem is noted.
    pub(super) fn fill(scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Self> {
        let set = VARIABLES.iter().filter_map(|variable| {
            let (given, _) = scope.text(variable.name)?;
            Some((variable.name.to_owned(), given.text.clone()))
        });
        envy::from_iter(set).map_err(|error| report.whole("the environment", None, error.to_string())).ok()
    }

    /// The variable's text or that of its default, if there is any.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let set = self.0.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        set.or_else(|| match variables::named(name)?.default {
            Fallback::Value(value) => Some(value),
            Fallback::Required(_) | Fallback::None | Fallback::Same(_) => None,
        })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Named)
    }
}

struct Named;

impl<'de> Visitor<'de> for Named {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables and their texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut texts = vec![];
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            // envy hands the names over in lower case, as serde's fields are.
            let known = variables::named(&name.to_ascii_uppercase());
            texts.extend(known.map(|variable| (variable.name, text)));
        }
        Ok(Raw(texts))
    }
}
