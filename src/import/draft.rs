//! One block of a keepalived.conf, a router or a program that decides about routers, to the values that it sets, as it
//! writes them; knows no rule that involves two of them.

use std::net::IpAddr;

use super::blocks::Directive;
use super::directives::{AUTHENTICATION, Becomes, Block, GLOBAL};
use super::notes::{Notes, Place};

/// The text of a variable and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) name: String,
    pub(super) place: Place,
    /// Each name once.
    pub(super) values: Vec<Value>,
    /// The programs that decide about this router.
    pub(super) tracked: Vec<&'a Directive>,
}

impl<'a> Draft<'a> {
    /// What `block` says, on top of what is set already.
    pub(super) fn read(mut self, block: Block, directive: &'a Directive, notes: &mut Notes) -> Self {
        directive.word(1).clone_into(&mut self.name);
        self.place = directive.place;
        self.read_all(block, &directive.block, notes);
        self
    }

    pub(super) fn read_all(&mut self, block: Block, directives: &'a [Directive], notes: &mut Notes) {
        for directive in directives {
            self.directive(block, directive, notes);
        }
    }

    fn directive(&mut self, block: Block, directive: &'a Directive, notes: &mut Notes) {
        let (word, place) = (directive.word(0), directive.place);
        match block.find(word) {
            Becomes::Global => self.read_all(GLOBAL, &directive.block, notes),
            Becomes::Authentication => self.read_all(AUTHENTICATION, &directive.block, notes),
            Becomes::Value(name) => self.value(name, directive, notes),
            Becomes::Flag(name, _) if is_false(directive.word(1)) => _ = self.take(name),
            Becomes::Flag(name, text) => self.set(name, text, place),
            Becomes::Command(name) => {
                // Without quotes around it all words are the command.
                let is_quoted = directive.word(1).contains(' ');
                let (words, rest) =
                    directive.words[1..].split_at(if is_quoted { 1 } else { directive.words.len() - 1 });
                let quoted = |word: &String| {
                    let quote = if word.contains(' ') && !is_quoted { "'" } else { "" };
                    [quote, word, quote].concat()
                };
                let text = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
                self.set(name, &text, place);
                note_rest(rest, false, place, notes);
            }
            Becomes::List(name) => self.list(name, false, &directive.block, notes),
            Becomes::Addresses(name) => self.list(name, true, &directive.block, notes),
            Becomes::Track => self.tracked.extend(&directive.block),
            Becomes::Usual(usual, _)
                if directive.word(1) == usual || (is_false(usual) && is_false(directive.word(1))) => {}
            Becomes::Usual(_, why) | Becomes::Lost(why) => notes.lost(place, &directive.words.join(" "), why),
            Becomes::Nothing | Becomes::Instance | Becomes::Script | Becomes::Process | Becomes::Group => {
                notes.unneeded(word);
            }
        }
    }

    fn value(&mut self, name: &'static str, directive: &Directive, notes: &mut Notes) {
        let (text, place) = (directive.word(1), directive.place);
        if self.has_first(name, text) {
            return notes.say(place, &[&directive.words.join(" "), IGNORED, "it is set already"]);
        }
        self.set(name, text, place);
        let rest = directive.words.get(2..).unwrap_or_default();
        if !name.starts_with("NOTIFY") {
            note_rest(rest, false, place, notes);
        } else if rest.first().is_some_and(|user| user != "root") {
            notes.lost(place, &rest.join(" "), "it names the user; use PROGRAM_USER");
        }
    }

    /// The lines of a list, whole or their first words.
    fn list(&mut self, name: &'static str, is_whole: bool, lines: &[Directive], notes: &mut Notes) {
        for line in lines {
            if is_whole {
                let mut text = line.word(0).to_owned();
                for two in line.words.windows(2) {
                    let is_value = ["peer", "brd", "broadcast"].contains(&two[0].as_str());
                    if !is_value && is_address(&two[1]) {
                        notes.say(line.place, &[&two[1], IGNORED, "a line has one address"]);
                    } else {
                        text += &[" ", &two[1]].concat();
                    }
                }
                self.append(name, &text, line.place, notes);
            } else {
                note_rest(&line.words[1..], true, line.place, notes);
                self.append(name, line.word(0), line.place, notes);
            }
        }
    }

    /// Whether keepalived keeps the value that it has, and ignores this one.
    fn has_first(&self, name: &str, text: &str) -> bool {
        let known = self.get(name);
        if name == "STATE" {
            known == Some("MASTER") && text == "BACKUP"
        } else {
            known.is_some() && name.starts_with("NOTIFY")
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.name == name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|value| value.text.as_str())
    }

    /// Where `name` was set, or the block.
    pub(super) fn place(&self, name: &str) -> Place {
        self.find(name).map_or(self.place, |value| value.place)
    }

    /// Removes the value of `name`.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.values.iter().position(|value| value.name == name)?;
        Some(self.values.swap_remove(at))
    }

    pub(super) fn set(&mut self, name: &'static str, text: &str, place: Place) {
        self.take(name);
        self.values.push(Value { name, text: text.to_owned(), place });
    }

    /// Removes what has no effect in keepalived.
    pub(super) fn clear(&mut self, name: &str, what: &str, notes: &mut Notes) {
        if let Some(cleared) = self.take(name) {
            let why = " has no effect in keepalived with this state, priority or mode; it is left out";
            notes.say(cleared.place, &[what, why]);
        }
    }

    /// Adds an item to a list, which has one in a line.
    pub(super) fn append(&mut self, name: &'static str, item: &str, place: Place, notes: &mut Notes) {
        match self.values.iter_mut().find(|value| value.name == name) {
            None => self.set(name, item, place),
            Some(value) if value.text.len() < LONGEST_LIST => value.text += &["\n", item].concat(),
            Some(_) => notes.lost(place, item, "the list is too long"),
        }
    }
}

/// In bytes: far more than an advert can carry.
const LONGEST_LIST: usize = 1 << 16;

/// Before the reason.
pub(super) const IGNORED: &str = " is ignored, in keepalived too: ";

fn is_address(word: &str) -> bool {
    word.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

fn is_false(word: &str) -> bool {
    ["false", "off", "no"].contains(&word)
}

/// What follows the only word of a line that counts.
fn note_rest(rest: &[String], may_have_weight: bool, place: Place, notes: &mut Notes) {
    let what = rest.join(" ");
    match rest {
        [] => {}
        [word, weight, ..] if may_have_weight && word == "weight" && weight != "0" => {
            notes.lost(place, &what, "an interface that is down is a FAULT");
        }
        [word, ..] if word.ends_with("_ttl") => {
            notes.lost(place, &what, "a peer on the link must arrive with TTL 255, others with any");
        }
        [word, ..] if word == "reverse" => notes.lost(place, &what, "CHECK_WEIGHT has no reverse"),
        _ => notes.say(place, &[&what, " is ignored: only one value in a line counts"]),
    }
}
