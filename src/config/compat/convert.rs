//! Texts under other images' names to texts of our variables, and which of them contradict each other; knows one set
//! of variables at a time.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};

use super::aliases::{Conversion, OWN_FILE, is_ambiguous};
use crate::config::problems::Problems;
use crate::config::raw_value::{RawSet, RawValue};
use crate::config::syntax::ARRAY_MARKS;
use crate::config::value::{self, boolean};
use crate::config::variables::{AUTH_PASS, CHECK_SCRIPT, PREEMPT_DELAY, UNICAST_SRC_IP, Variable};

/// Converts the texts of one set, taken in the order of the tables.
pub(in crate::config) struct Converter {
    set: RawSet,
    /// Values that are incomplete, or that modify a value that may come later.
    held: Vec<(Conversion, RawValue)>,
    /// The environment was written for another image.
    is_foreign: bool,
}

impl Converter {
    pub(in crate::config) fn new(number: u16, is_foreign: bool) -> Self {
        let set = RawSet { number, values: vec![], unusable: vec![], cure: None };
        Self { set, held: vec![], is_foreign }
    }

    /// `variable` is set, but to nothing usable.
    pub(in crate::config) fn skip(&mut self, variable: &'static Variable) {
        self.set.unusable.push(variable);
    }

    pub(in crate::config) fn take(
        &mut self,
        conversion: Conversion,
        mut raw: RawValue,
        problems: &mut Problems,
    ) {
        let text = raw.text.trim();
        let converted = match conversion {
            Conversion::Number if value::integer::<u32>(text).is_none() => return self.hold(conversion, raw),
            Conversion::Port if text == "0" => return,
            Conversion::Item
            | Conversion::Prefix
            | Conversion::Port
            | Conversion::Host
            | Conversion::AuthType => return self.hold(conversion, raw),
            // Anything but a boolean is refused by the variable's own parser.
            Conversion::Not => match boolean(text) {
                Ok(not) => if not { "false" } else { "true" }.into(),
                Err(_) => raw.text,
            },
            Conversion::Debug if boolean(text) == Ok(true) => "debug".into(),
            Conversion::Debug | Conversion::Autoconf | Conversion::Ignored | Conversion::Missing(_) => return,
            Conversion::Preemption if text == "nopreempt" => "false".into(),
            Conversion::Preemption => {
                let Some(delay) = text.strip_prefix("preempt_delay ") else {
                    let why = "must be nopreempt, or preempt_delay and seconds";
                    return problems.refuse(&raw.name, Some(text), why);
                };
                raw.variable = &PREEMPT_DELAY;
                delay.into()
            }
            Conversion::Same | Conversion::Common | Conversion::Number => raw.text,
        };
        raw.text = converted;
        self.set(raw, problems);
    }

    fn hold(&mut self, conversion: Conversion, raw: RawValue) {
        let list = self.held.iter_mut().find(|(held, list)| {
            (conversion, *held) == (Conversion::Item, Conversion::Item)
                && list.variable.name == raw.variable.name
        });
        let Some((_, list)) = list else { return self.held.push((conversion, raw)) };
        list.text = format!("{}\n{}", list.text, raw.text);
        let base = list.name.trim_end_matches(|c: char| c == 'n' || c.is_ascii_digit());
        list.name = format!("{}_n", base.trim_end_matches('_'));
    }

    /// Two texts for one variable count as one if they are equal, and as a contradiction if not.
    fn set(&mut self, mut raw: RawValue, problems: &mut Problems) {
        // Other images run it in a shell.
        if self.is_foreign && raw.variable.name == CHECK_SCRIPT.name && value::script(&raw.text).is_err() {
            let why = "needs a shell and is not run: put the commands into a file that begins with #!, and set \
                       CHECK_SCRIPT to its path";
            return problems.warn(log::Level::Warn, &raw.name, why);
        }
        let Variable { secret, is_list, .. } = *raw.variable;
        if is_list && let Some(list) = array(&raw.text) {
            raw.text = list;
        }
        let Some(known) = self.set.get(raw.variable) else { return self.set.values.push(raw) };
        let same = if secret { known.text == raw.text } else { known.text.trim() == raw.text.trim() };
        if !same {
            let why = format!("{} is also set, to another value; keep one of them", known.name);
            problems.refuse(&raw.name, (!secret).then_some(&raw.text), why);
        }
    }

    /// All values, and the name that asks for a password, if there is one.
    pub(in crate::config) fn finish(mut self, problems: &mut Problems) -> (RawSet, Option<String>) {
        let mut auth_type = None;
        let held = std::mem::take(&mut self.held);
        let host = held.iter().find(|(held, _)| *held == Conversion::Host).map(|(_, host)| host.clone());
        let has_port = held.iter().any(|(held, _)| *held == Conversion::Port);
        for (conversion, mut raw) in held {
            if conversion == Conversion::Prefix {
                self.add_prefix(&raw, problems);
            } else if conversion == Conversion::AuthType {
                auth_type = self.check_auth_type(raw, problems);
            } else if conversion == Conversion::Number {
                self.forgive_name(raw, problems);
            } else if conversion != Conversion::Host {
                if conversion == Conversion::Port {
                    match self.host_and_port(host.as_ref(), &raw.text) {
                        Ok(text) => raw.text = text,
                        Err((name, why)) => {
                            problems.warn(log::Level::Warn, &name, why);
                            continue;
                        }
                    }
                }
                self.set(raw, problems);
            } else if !has_port {
                problems.warn(log::Level::Info, &raw.name, "has no effect without CHECK_PORT");
            }
        }
        (self.set, auth_type)
    }

    /// The endpoint to check; a name and the reason if it may be on another host, whose failure is none of this node.
    fn host_and_port(&self, host: Option<&RawValue>, port: &str) -> Result<String, (String, String)> {
        let Some(host) = host else { return Ok(format!("127.0.0.1:{port}")) };
        let text = host.text.trim();
        let own = self
            .set
            .get(&UNICAST_SRC_IP)
            .is_some_and(|source| value::items(&source.text).any(|ip| ip == text));
        let local = text.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let endpoint = if text.contains(':') { format!("[{text}]:{port}") } else { format!("{text}:{port}") };
        match &*text.to_ascii_lowercase() {
            "any" | "localhost" | "0.0.0.0" => Ok(format!("127.0.0.1:{port}")),
            "::" => Ok(format!("[::1]:{port}")),
            _ if own || local => Ok(endpoint),
            _ => Err((
                host.name.clone(),
                format!(
                    "names {text}, which may be another host, so port {port} is not checked; set CHECK_TCP=127.0.0.1:\
                     {port}, or CHECK_TCP={endpoint} if the address is this host's"
                ),
            )),
        }
    }

    /// Adds the prefix length to the IPv4 addresses without one.
    fn add_prefix(&mut self, prefix: &RawValue, problems: &mut Problems) {
        let length = prefix.text.trim().trim_start_matches('/');
        if !value::integer(length).is_some_and(|length: u8| (1..=32).contains(&length)) {
            return problems.refuse(&prefix.name, Some(&prefix.text), "must be a prefix length of 1 to 32");
        }
        let same_variable = |raw: &&mut RawValue| raw.variable.name == prefix.variable.name;
        let Some(vip) = self.set.values.iter_mut().find(same_variable) else { return };
        let mut text = String::new();
        for line in vip.text.lines() {
            for word in value::items(line) {
                text += word;
                if word.parse::<Ipv4Addr>().is_ok() {
                    text.push('/');
                    text += length;
                }
                text.push(' ');
            }
            text.push('\n');
        }
        vip.text = text;
    }

    /// A name in place of the number is forgiven if the number is set too.
    fn forgive_name(&mut self, raw: RawValue, problems: &mut Problems) {
        if self.set.get(raw.variable).is_some() {
        } else if is_ambiguous(&raw.name) {
            self.set.cure = Some(format!("; {} is set, but not to a number", raw.name));
        } else {
            self.set(raw, problems);
        }
    }

    /// The name, if it asks for a password.
    fn check_auth_type(&mut self, auth_type: RawValue, problems: &mut Problems) -> Option<String> {
        let RawValue { variable, name, text, .. } = auth_type;
        let why = match self.set.get(variable) {
            _ if text.trim().eq_ignore_ascii_case("PASS") => return Some(name),
            _ if !text.trim().eq_ignore_ascii_case("none") => {
                "must be PASS or none: AH is not supported".into()
            }
            Some(password) => format!("{} is also set; keep one of them", password.name),
            None => {
                self.skip(variable);
                return None;
            }
        };
        problems.refuse(&name, Some(&text), why);
        None
    }
}

/// Warns about a name without an equivalent here; a boolean that is off changes nothing.
pub(in crate::config) fn no_equivalent(
    conversion: Conversion,
    name: &str,
    value: &OsStr,
    problems: &mut Problems,
) {
    let off = value.to_str().is_some_and(|text| boolean(text) == Ok(false));
    let lost = if conversion == Conversion::Autoconf {
        off.then_some(OWN_FILE)
    } else if let Conversion::Missing(why) = conversion {
        Some(why).filter(|_| !off)
    } else {
        None
    };
    if let Some(why) = lost {
        problems.warn(log::Level::Warn, name, why);
    } else if !matches!(conversion, Conversion::Missing(_)) {
        problems.warn(log::Level::Info, name, "has no effect here and is ignored");
    }
}

/// Refuses `auth_type`, which asks for a password, if there is none.
pub(super) fn check_password(set: &RawSet, auth_type: Option<String>, problems: &mut Problems) {
    let missing = set.get(&AUTH_PASS).is_none() && !set.is_unusable(&AUTH_PASS);
    if let Some(name) = auth_type.filter(|_| missing) {
        problems.refuse(&name, Some("PASS"), "needs AUTH_PASS, which is not set");
    }
}

/// The items of an array, a line each: `["a", "b"]`, `"a", "b"`, or `#PYTHON2BASH:['a', 'b']` as osixia's images
/// write it.
fn array(text: &str) -> Option<String> {
    let text = text.trim();
    let array = ARRAY_MARKS.iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    let array = array.trim();
    let bracketed = || array.strip_prefix('[')?.strip_suffix(']');
    let mut rest = if array.starts_with(['"', '\'']) { array } else { bracketed()? };
    let mut list = String::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let Some(quote) = rest.chars().next() else { return Some(list) };
        let (item, after) = rest.strip_prefix(['"', '\''])?.split_once(quote)?;
        list += item;
        list.push('\n');
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_array_is_a_list_of_quoted_items() {
        for text in [
            "#PYTHON2BASH:['a','b c']",
            " [ \"a\", 'b c', ]\n",
            "#JSON2BASH: [\"a\"\n,\"b c\"]",
            "'a' \"b c\"",
        ] {
            assert_eq!(array(text).as_deref(), Some("a\nb c\n"), "{text}");
        }
        assert_eq!(array("[]").as_deref(), Some(""));
        for text in ["", "a", "[::1]:80", "[a]", "['a'", "['a]", "['a\"]", "#PYTHON2BASH:a", "x['a']"] {
            assert_eq!(array(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_of_arrays_panic(text in any::<String>()) {
            let _ = array(&text);
        }
    }
}
