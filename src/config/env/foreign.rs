//! Texts under other images' names to texts of our variables, and what contradicts what; knows one set of
//! variables and no virtual router.

use std::ffi::OsStr;
use std::net::Ipv4Addr;

use super::given::Given;
use super::report::Report;
use crate::config::aliases::Means;
use crate::config::value::{self, boolean};
use crate::config::variables::{Variable, named, whole_name};

/// Variables whose text may be an array.
const LISTS: [&str; 7] =
    ["VIP", "SERVICE", "CHECK_TCP", "CHECK_HTTP", "UNICAST_PEERS", "TRACK_INTERFACE", "VIP_EXCLUDED"];

/// The texts of one set, taken in the order of the tables.
pub(super) struct Texts {
    number: u16,
    given: Vec<Given>,
    /// What grows item by item or is for another text, which may come later.
    held: Vec<(Means, Given)>,
}

impl Texts {
    pub(super) fn new(number: u16) -> Self {
        Self { number, given: vec![], held: vec![] }
    }

    pub(super) fn take(&mut self, means: Means, mut said: Given, report: &mut Report<'_>) {
        let text = said.text.trim();
        let converted = match means {
            Means::Number if value::whole::<u32>(text).is_none() => return,
            Means::Port if text == "0" => return,
            Means::Item | Means::Prefix | Means::Port | Means::Host | Means::AuthType => {
                return self.hold(means, said);
            }
            // What is no boolean is refused as what it would have been.
            Means::Not => match boolean(text) {
                Ok(not) => if not { "false" } else { "true" }.into(),
                Err(_) => said.text,
            },
            Means::Debug if boolean(text) == Ok(true) => "debug".into(),
            Means::Debug | Means::Ignored | Means::Missing(_) => return,
            Means::Preemption if text == "nopreempt" => "false".into(),
            Means::Preemption => {
                let (Some(delay), Some(variable)) =
                    (text.strip_prefix("preempt_delay "), named("PREEMPT_DELAY"))
                else {
                    let why = "must be nopreempt, or preempt_delay and seconds".into();
                    return report.whole(&said.name, Some(text), why);
                };
                said.variable = variable;
                delay.into()
            }
            Means::Same | Means::Common | Means::Number => said.text,
        };
        said.text = converted;
        self.offer(said, report);
    }

    /// Keeps what is not whole yet.
    fn hold(&mut self, means: Means, said: Given) {
        let list = self.held.iter_mut().find(|(held, list)| {
            (means, *held) == (Means::Item, Means::Item) && list.variable.name == said.variable.name
        });
        let Some((_, list)) = list else { return self.held.push((means, said)) };
        list.text = format!("{}\n{}", list.text, said.text);
        let base = list.name.trim_end_matches(|c: char| c == 'n' || c.is_ascii_digit());
        list.name = format!("{}_n", base.trim_end_matches('_'));
    }

    /// One text for one variable: two that say the same are one, two that differ a contradiction.
    fn offer(&mut self, mut said: Given, report: &mut Report<'_>) {
        let Variable { name, secret, .. } = *said.variable;
        if LISTS.contains(&name)
            && let Some(list) = value::array(&said.text)
        {
            said.text = list;
        }
        let Some(known) = self.known(name) else { return self.given.push(said) };
        let same = if secret { known.text == said.text } else { known.text.trim() == said.text.trim() };
        if !same {
            let why = format!("{} is set too, to something else; keep one of them", known.name);
            report.whole(&said.name, (!secret).then_some(&said.text), why);
        }
    }

    fn known(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.variable.name == name)
    }

    /// All of them, in the order of the tables; what is for another text goes there. Beside them the name that
    /// asks for a password.
    pub(super) fn finish(mut self, report: &mut Report<'_>) -> (Vec<Given>, Option<String>) {
        let mut auth_type = None;
        let held = std::mem::take(&mut self.held);
        let host = held.iter().find(|(means, _)| *means == Means::Host).map(|(_, host)| host.clone());
        let lonely = !held.iter().any(|(means, _)| *means == Means::Port);
        for (means, mut said) in held {
            if means == Means::Prefix {
                self.prefixed(&said, report);
            } else if means == Means::AuthType {
                auth_type = self.authenticated(said, report);
            } else if means != Means::Host {
                if means == Means::Port {
                    said.text = port(said.text.trim(), host.as_ref());
                }
                self.offer(said, report);
            } else if lonely {
                report.say(log::Level::Info, &said.name, "has no effect without CHECK_PORT".into());
            }
        }
        (self.given, auth_type)
    }

    fn prefixed(&mut self, prefix: &Given, report: &mut Report<'_>) {
        let length = prefix.text.trim().trim_start_matches('/');
        if !value::whole(length).is_some_and(|length: u8| (1..=32).contains(&length)) {
            return report.whole(
                &prefix.name,
                Some(&prefix.text),
                "must be a prefix length of 1 to 32".into(),
            );
        }
        if let Some(vip) = self.given.iter_mut().find(|given| given.variable.name == prefix.variable.name) {
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
    }

    /// The name that asks for a password.
    fn authenticated(&self, auth_type: Given, report: &mut Report<'_>) -> Option<String> {
        let Given { variable, name, text, .. } = auth_type;
        let why = match self.known(variable.name) {
            _ if text.trim().eq_ignore_ascii_case("PASS") => return Some(name),
            _ if !text.trim().eq_ignore_ascii_case("none") => {
                "must be PASS or none: AH is not spoken here".into()
            }
            Some(password) => format!("{} is set too; keep one of them", password.name),
            None => {
                report.settled.push(whole_name(variable.name, self.number));
                return None;
            }
        };
        report.whole(&name, Some(&text), why);
        None
    }
}

/// A name that nothing here answers to; whether that matters is told by its value at most.
pub(super) fn without(means: Means, name: &str, value: &OsStr, report: &mut Report<'_>) {
    let off = value.to_str().is_some_and(|text| boolean(text) == Ok(false));
    if let Means::Missing(why) = means {
        if !off {
            report.say(log::Level::Warn, name, why.into());
        }
    } else {
        report.say(log::Level::Info, name, "has no meaning here and is ignored".into());
    }
}

/// `auth_type` asks for a password, which must be there by now.
pub(super) fn has_password(given: &[Given], auth_type: Option<String>, report: &mut Report<'_>) {
    let there = given.iter().any(|given| given.variable.name == "AUTH_PASS");
    let settled = report.settled.iter().any(|name| name == "AUTH_PASS");
    if let Some(name) = auth_type.filter(|_| !there && !settled) {
        report.whole(&name, Some("PASS"), "needs AUTH_PASS, which is not set".into());
    }
}

fn port(port: &str, host: Option<&Given>) -> String {
    let host = host.map_or("any", |host| host.text.trim());
    let host = if host.eq_ignore_ascii_case("any") { "127.0.0.1" } else { host };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
