//! What keepalived makes of the values of one router together, and what vrrp-init can express of it; knows no block and
//! no file. A value that is wrong by itself is left to the configuration, which refuses it.

use super::blocks::Directive;
use super::draft::{Draft, IGNORED, Value};
use super::notes::Notes;
use super::program;
use crate::vrrp::Password;

/// The values that vrrp-init needs for the same router.
pub(super) fn complete(draft: &mut Draft<'_>, programs: &[Draft<'_>], notes: &mut Notes) {
    let strict = draft.take("strict");
    if let Some(strict) = &strict {
        let why = "vrrp-init answers on its virtual addresses; other nodes may keep it";
        notes.lost(strict.place, "the strict mode", why);
    }
    election(draft, strict.is_some(), notes);
    let is_v6 = family(draft, notes);
    let is_v3 = version(draft, is_v6);
    password(draft, is_v3 || strict.is_some(), notes);
    track(draft, programs, notes);
    if let Some(user) = draft.take("script_user")
        && draft.values.iter().any(|value| value.name == "CHECK_SCRIPT" || value.name.starts_with("NOTIFY"))
    {
        other_user(&user, notes);
    }
    for value in draft.values.iter().filter(|value| value.name.starts_with("NOTIFY")) {
        notes.say(value.place, &[&value.text, IN_CONTAINER]);
    }
    let name: Vec<_> = draft.name.split_whitespace().collect();
    draft.set("INSTANCE_NAME", &name.join("_"), draft.place);
}

const IN_CONTAINER: &str = " must be in the container, with its interpreter and all else that it needs";

fn other_user(user: &Value, notes: &mut Notes) {
    if user.text != "root" {
        notes.lost(user.place, &["the user ", &user.text].concat(), "use PROGRAM_USER");
    }
}

/// A MASTER without a priority has 255, and one always preempts.
fn election(draft: &mut Draft<'_>, is_strict: bool, notes: &mut Notes) {
    let is_known = |state: &Value| ["MASTER", "BACKUP"].contains(&state.text.as_str());
    if let Some(state) = draft.find("STATE").filter(|state| !is_known(state)).cloned() {
        notes.say(state.place, &["state ", &state.text, " is BACKUP, as in keepalived"]);
        draft.set("STATE", "BACKUP", state.place);
    }
    let mut is_master = draft.get("STATE") == Some("MASTER");
    if is_master && draft.get("PRIORITY").is_none() {
        notes.say(draft.place("STATE"), &["the priority is 255, as in keepalived for a MASTER without one"]);
        draft.set("PRIORITY", "255", draft.place("STATE"));
    }
    let is_owner = draft.get("PRIORITY") == Some("255");
    if is_strict && is_master && !is_owner {
        draft.set("STATE", "BACKUP", draft.place("STATE"));
        is_master = false;
    }
    let stays = draft.get("PREEMPT") == Some("false");
    if stays && (is_master || is_owner) {
        draft.clear("PREEMPT", "nopreempt", notes);
    }
    if is_master || stays || is_strict {
        draft.clear("PREEMPT_DELAY", "preempt_delay", notes);
    }
}

/// The first address decides about the family, and keepalived ignores those of the other. Returns whether it is IPv6.
fn family(draft: &mut Draft<'_>, notes: &mut Notes) -> bool {
    let Some(Value { text, place, .. }) = draft.take("VIP") else { return false };
    let is_v6 = |line: &str| line.split_whitespace().next().is_some_and(|first| first.contains(':'));
    for line in text.lines() {
        if is_v6(line) == is_v6(&text) {
            draft.append("VIP", line, place, notes);
        } else {
            notes.say(place, &[line, IGNORED, "the family of the first address counts"]);
        }
    }
    is_v6(&text)
}

/// keepalived never chooses a version by the interval; returns whether it is 3.
fn version(draft: &mut Draft<'_>, is_v6: bool) -> bool {
    let is_v3 = draft.get("VRRP_VERSION") == Some("3");
    if is_v6 {
        draft.take("VRRP_VERSION");
    } else if !is_v3 {
        draft.set("VRRP_VERSION", "2", draft.place);
    }
    if is_v6 || !is_v3 {
        draft.take("V3_CHECKSUM");
    }
    is_v6 || is_v3
}

fn password(draft: &mut Draft<'_>, is_without: bool, notes: &mut Notes) {
    let (kind, pass) = (draft.take("auth_type"), draft.take("AUTH_PASS"));
    let Some(kind) = kind else { return };
    if is_without {
        return notes.say(kind.place, &["this version or mode has no password, in keepalived too"]);
    }
    if kind.text == "AH" {
        let why = "vrrp-init refuses it; change it to PASS, or remove it, on all nodes first";
        return notes.lost(kind.place, "auth_type AH", why);
    }
    let Some(Value { text, place, .. }) = pass.filter(|_| kind.text == "PASS") else { return };
    let end = (Password::LONGEST..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    if end < text.len() {
        notes.say(place, &["auth_pass is longer than 8 bytes: the rest has no effect, in keepalived too"]);
    }
    draft.set("AUTH_PASS", text.get(..end).unwrap_or(&text), place);
}

/// What the checks of one router share.
const SHARED: [(&str, &str); 4] =
    [("CHECK_INTERVAL", "1"), ("CHECK_TIMEOUT", ""), ("CHECK_RISE", "1"), ("CHECK_FALL", "1")];

/// The programs that decide about this router become its check.
fn track(draft: &mut Draft<'_>, programs: &[Draft<'_>], notes: &mut Notes) {
    for entry in std::mem::take(&mut draft.tracked) {
        let (name, place) = (entry.word(0), entry.place);
        let Some(program) = tracked(entry, programs, notes) else { continue };
        let Some((variable, value)) = check(program, notes) else { continue };
        let own = (entry.word(1) == "weight").then(|| entry.word(2));
        let weight = own.or(program.get("CHECK_WEIGHT")).unwrap_or("0");
        if entry.words.iter().any(|word| word == "reverse") {
            notes.lost(place, "reverse", "a check has no reverse weight");
        }
        if draft.get("CHECK_WEIGHT").is_some_and(|first| [first, weight] != ["0", "0"]) {
            notes.lost(
                place,
                &["the weight of ", name].concat(),
                "all checks of a router count as one, with the weight of the first",
            );
        } else {
            draft.set("CHECK_WEIGHT", weight, program.place("CHECK_WEIGHT"));
        }
        let is_first = draft.get("CHECK_INTERVAL").is_none();
        for (shared, usual) in SHARED {
            share(draft, program, shared, usual, is_first, notes);
        }
        let is_known = draft.get(variable).is_some_and(|list| list.lines().any(|known| known == value));
        if variable == "CHECK_SCRIPT" && draft.get(variable).is_some() && !is_known {
            notes.lost(place, &value, "a router has one CHECK_SCRIPT");
        } else if !is_known {
            draft.append(variable, &value, program.place, notes);
        }
    }
    if ["CHECK_TCP", "CHECK_HTTP", "CHECK_SCRIPT"].iter().all(|name| draft.get(name).is_none()) {
        draft.take("CHECK_TIMEOUT");
    }
    // An interval or a timeout that says nothing new.
    draft.values.retain(|value| !value.text.is_empty());
}

/// What an entry of a list names.
fn tracked<'a>(entry: &Directive, programs: &'a [Draft<'a>], notes: &mut Notes) -> Option<&'a Draft<'a>> {
    let (name, place) = (entry.word(0), entry.place);
    let found = programs.iter().rfind(|program| program.name == name);
    match found {
        None => notes.say(place, &[name, IGNORED, "there is no such vrrp_script"]),
        Some(program) if program.place.file == place.file && program.place > place => {
            notes.say(
                place,
                &[name, " has no effect in keepalived, because its vrrp_script comes later: here it has one"],
            );
        }
        Some(_) => {}
    }
    found
}

fn share(
    draft: &mut Draft<'_>,
    program: &Draft<'_>,
    name: &'static str,
    usual: &str,
    is_first: bool,
    notes: &mut Notes,
) {
    let place = program.place(name);
    let used = program.get(name).unwrap_or(usual);
    if is_first {
        draft.set(name, used, place);
    } else if draft.get(name) != Some(used) {
        let why = "all checks of a router share the values of the first";
        // Without a timeout of its own, a check has its interval for it.
        let used = if used.is_empty() { "CHECK_INTERVAL" } else { used };
        notes.lost(place, &[name, "=", used].concat(), why);
    }
}

/// The variable and the value that check the same as a program does.
fn check(program: &Draft<'_>, notes: &mut Notes) -> Option<(&'static str, String)> {
    if let Some(Value { text, place, .. }) = program.find("process") {
        let found = program::service(text);
        if found.is_none() {
            notes.lost(*place, text, "SERVICE is the name of a process alone");
        }
        return found.map(|(variable, value, _)| (variable, value));
    }
    let Value { text, place, .. } = program.find("script")?;
    if let Some((variable, value, difference)) = program::check(text) {
        if !difference.is_empty() {
            notes.say(*place, &[text, ": ", &value, " ", difference]);
        }
        return Some((variable, value));
    }
    if text.starts_with('/') && !text.contains(['\'', '"', '`', '$', '|', '&', ';', '<', '>']) {
        if let Some(user) = program.find("script_user") {
            other_user(user, notes);
        }
        notes.say(*place, &[text, IN_CONTAINER, "; SERVICE, CHECK_TCP and CHECK_HTTP need nothing"]);
        return Some(("CHECK_SCRIPT", text.clone()));
    }
    notes.lost(*place, text, "use SERVICE, CHECK_TCP, CHECK_HTTP, or CHECK_SCRIPT, which has no shell");
    None
}
