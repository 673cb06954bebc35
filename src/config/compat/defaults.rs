//! Which image's defaults apply, and their texts under what is set; knows names and texts, not their meaning.

use super::convert::check_password;
use super::names::NamesInUse;
use super::profiles::{INVERTED, ImageDefault, PROFILES, Profile};
use crate::config::problems::Problems;
use crate::config::raw_value::{RawSet, RawSets, RawValue};
use crate::config::value;
use crate::config::variables::{COMPAT, Default, PRIORITY, STATE, Scope, VIP, VIRTUAL_ROUTER, Variable};

/// The name under which one image takes a priority that is counted down from 255.
const COUNTED_DOWN: &str = "KEEPALIVED_PRIORITY";

/// Adds to `sets` the defaults of the image that `COMPAT` names or the names in use reveal; `auth_type` is the name
/// that asks for a password, if there is one.
pub(in crate::config) fn apply_defaults(
    sets: &mut RawSets,
    names: &NamesInUse,
    auth_type: Option<String>,
    problems: &mut Problems,
) {
    let compat = sets.first.get(&COMPAT).cloned();
    let choice = compat.as_ref().map_or("auto", |compat| compat.text.trim()).to_ascii_lowercase();
    let name = compat.as_ref().map_or(COMPAT.name, |compat| &compat.name);
    let chosen = PROFILES.iter().find(|profile| profile.name == choice);
    match (&*choice, chosen) {
        ("none", _) => {}
        (_, Some(profile)) => {
            refuse_no_priority(&mut sets.first, names, profile, problems);
            if let Some(added) = add(profile.defaults, sets, names) {
                let why = format!("is {choice}: the defaults of that image apply to unset variables:{added}");
                problems.warn(log::Level::Info, name, why);
            }
        }
        ("auto", None) => {
            detect(sets, names, name, problems);
            let cures = [sets.first.cure.take(), cure(&sets.first, names)];
            sets.first.cure = cures.into_iter().flatten().reduce(|first, second| first + &second);
        }
        (_, None) => {
            let mut why = String::from("must be auto, none");
            for profile in PROFILES {
                why += ", ";
                why += profile.name;
            }
            if let Some(path) = compat.as_ref().and_then(|compat| compat.file.as_ref()) {
                why = format!("{why} (read from {path})");
            }
            problems.refuse(name, Some(&choice), why);
        }
    }
    check_password(&sets.first, auth_type, problems);
}

/// The images that the names in use reveal, and the names that do. None outweighs another.
struct Candidates {
    mark: &'static str,
    images: Vec<&'static Profile>,
}

impl Candidates {
    /// Among those that may be: `None` if the names reveal none of them.
    fn find(names: &NamesInUse, may_be: impl Fn(&Profile) -> bool) -> Option<Self> {
        let marked = PROFILES.iter().filter(|image| may_be(image));
        let marked: Vec<_> = marked.filter_map(|image| Some((image.mark(names)?, image))).collect();
        let weight = |mark: &str| mark.split(' ').count();
        let heaviest = marked.iter().map(|(mark, _)| weight(mark)).max()?;
        let (marks, images): (Vec<_>, Vec<_>) =
            marked.into_iter().filter(|(mark, _)| weight(mark) == heaviest).unzip();
        Some(Self { mark: marks.first()?, images })
    }

    /// The names of the images, with this between them.
    fn names(&self, between: &str) -> String {
        let names: Vec<_> = self.images.iter().map(|image| image.name).collect();
        names.join(between)
    }

    /// The settings of `COMPAT` that choose one.
    fn choices(&self) -> String {
        format!("COMPAT={}", self.names(" or COMPAT="))
    }
}

fn detect(sets: &mut RawSets, names: &NamesInUse, compat: &str, problems: &mut Problems) {
    let fits = |image: &Profile| image.automatic && image.strangers(names).next().is_none();
    let Some(found) = Candidates::find(names, fits) else {
        return no_image(&sets.first, names, compat, problems);
    };
    let (mark, image, choices) = (found.mark, found.names(" or "), found.choices());
    if names.has_virtual_router() {
        let why = format!(
            "is auto: {mark} indicates the image {image}, but VIRTUAL_ROUTER is a name of vrrp-init, so no \
             default of {image} applies; set {choices} to apply them"
        );
        return problems.warn(log::Level::Info, compat, why);
    }
    let (agreed, disputed) = compared(&found.images);
    let disputed: Vec<_> = disputed.into_iter().filter(|variable| is_open(variable, &sets.first)).collect();
    if !disputed.is_empty() {
        let variables: Vec<_> = disputed.iter().map(|variable| variable.name).collect();
        let why = format!(
            "must be set: {mark} fits the images {}, whose defaults of {} differ, and nodes with different values \
             make two masters; set {choices}, or COMPAT=none for the defaults of vrrp-init",
            found.names(" and "),
            variables.join(" and "),
        );
        sets.first.unusable.extend(disputed);
        return problems.refuse(compat, None, why);
    }
    if let Some(added) = add(&agreed, sets, names) {
        let why = format!(
            "is auto: {mark} indicates the image {image}, so its defaults apply to unset variables:{added}; \
             nodes with different values make two masters; set {choices} to confirm this, or \
             COMPAT=none for the defaults of vrrp-init"
        );
        problems.warn(log::Level::Warn, compat, why);
    }
}

/// The defaults that all images have, and the variables of those that they do not.
fn compared(images: &[&Profile]) -> (Vec<ImageDefault>, Vec<&'static Variable>) {
    let (mut agreed, mut disputed): (Vec<ImageDefault>, Vec<&'static Variable>) = (vec![], vec![]);
    for &(variable, text) in images.iter().flat_map(|image| image.defaults) {
        let same =
            |image: &&Profile| image.defaults.iter().any(|(v, t)| (v.name, *t) == (variable.name, text));
        if !images.iter().all(same) {
            if !disputed.iter().any(|known| known.name == variable.name) {
                disputed.push(variable);
            }
        } else if !agreed.iter().any(|(known, _)| known.name == variable.name) {
            agreed.push((variable, text));
        }
    }
    (agreed, disputed)
}

/// No image fits whose defaults could apply: warns about the one that comes near.
fn no_image(set: &RawSet, names: &NamesInUse, compat: &str, problems: &mut Problems) {
    let Some(near) = Candidates::find(names, |_| true).filter(|_| !names.has_virtual_router()) else {
        return;
    };
    let image = near.images[0];
    if !image.automatic {
        return refuse_counted_down(set, names, compat, image, problems);
    }
    if let Some(stranger) = image.strangers(names).next()
        && image.defaults.iter().any(|(variable, _)| is_open(variable, set))
    {
        let why = format!(
            "is auto: {} indicates the image {}, which does not read {stranger}, so none of its defaults apply; \
             nodes with different values make two masters; set {} to apply them, or COMPAT=none to confirm this",
            near.mark,
            near.names(" or "),
            near.choices()
        );
        problems.warn(log::Level::Warn, compat, why);
    }
}

/// A default could apply to the variable.
fn is_open(variable: &Variable, set: &RawSet) -> bool {
    // Without an address there is no first router, only what the others inherit.
    let no_router = variable.scope == Scope::Own && set.get(&VIP).is_none();
    !no_router && set.get(variable).is_none() && !set.is_unusable(variable)
}

/// Adds the defaults of unset variables, and lists them; `None` if there are none.
fn add(defaults: &[ImageDefault], sets: &mut RawSets, names: &NamesInUse) -> Option<String> {
    let mut added = String::new();
    for &(variable, text) in defaults {
        let first = &mut sets.first;
        let own = image_default(text, first, names);
        if text == INVERTED && own.is_some() {
            // The image does not take it as it is.
            first.values.retain(|value| value.name != COUNTED_DOWN);
        }
        if !is_open(variable, first) {
            continue;
        }
        if let Some(own) = own {
            let (equals, shown) = if variable.secret { (" ", "(not shown)") } else { ("=", &*own) };
            added = format!("{added} {}{equals}{shown}", variable.name);
            first.values.push(implied(variable, own, 1));
        }
        if text.contains('|') {
            add_by_state(variable, text, sets, names);
        }
    }
    (!added.is_empty()).then_some(added)
}

/// Gives each further router that has a state of its own the default of that state.
fn add_by_state(variable: &'static Variable, text: &str, sets: &mut RawSets, names: &NamesInUse) {
    let usual = if let Default::Value(usual) = variable.default { usual } else { "" };
    for set in sets.further.iter_mut().filter(|set| set.get(&STATE).is_some()) {
        if set.get(variable).is_none() {
            let own = image_default(text, set, names).unwrap_or_else(|| usual.to_owned());
            set.values.push(implied(variable, own, set.number));
        }
    }
}

fn implied(variable: &'static Variable, text: String, number: u16) -> RawValue {
    RawValue { variable, text, name: variable.name.to_owned(), file: None, line: None, implied: true, number }
}

/// The text of an [`ImageDefault`] under what is set; `None`: the image has none there.
fn image_default(text: &str, set: &RawSet, names: &NamesInUse) -> Option<String> {
    if text == INVERTED {
        return counted_down(set, names).map(|number| number.to_string());
    }
    let (master, other) = text.split_once('|').unwrap_or((text, text));
    let is_master = set.get(&STATE).is_some_and(|state| state.text.trim().eq_ignore_ascii_case("MASTER"));
    let text = if is_master { master } else { other };
    let text = match text.strip_suffix('#') {
        Some(text) => {
            format!("{text}{}", set.get(&VIRTUAL_ROUTER).map_or("", |number| number.text.trim()))
        }
        None => text.to_owned(),
    };
    (!text.is_empty()).then_some(text)
}

/// The priority of a node with the image that derives it from the address of its host.
fn counted_down(set: &RawSet, names: &NamesInUse) -> Option<u8> {
    let written = || set.values.iter().find(|value| value.name == COUNTED_DOWN);
    let octet = names.host_ip.map(|address| address.octets()[3]);
    let number = octet.or_else(|| value::integer::<u8>(&written()?.text))?;
    255_u8.checked_sub(number).filter(|priority| (1..=254).contains(priority))
}

/// The priority is only converted for the reader: a wrong guess about the image would reverse the order of the nodes.
fn refuse_counted_down(
    set: &RawSet,
    names: &NamesInUse,
    compat: &str,
    image: &Profile,
    problems: &mut Problems,
) {
    let Some(priority) = counted_down(set, names) else { return };
    let name = image.name;
    let how = if names.host_ip.is_some() {
        "takes 255 minus the last octet of HOST_IP"
    } else {
        "subtracts it from 255"
    };
    match set.get(&PRIORITY) {
        Some(set) if set.name == COUNTED_DOWN => {
            let why = format!(
                "means {priority} in the image {name}, which {how}: set PRIORITY={priority} instead, COMPAT={name} for \
                 all defaults of that image, or COMPAT=none to use the number as it is"
            );
            problems.refuse(COUNTED_DOWN, Some(&set.text), why);
        }
        Some(_) => {}
        None => {
            let why = format!(
                "is auto: {} indicates the image {name}, which {how} as its priority, {priority}; set \
                 COMPAT={name} to apply its defaults, or PRIORITY",
                image.marks[0]
            );
            problems.warn(log::Level::Warn, compat, why);
        }
    }
}

/// With `COMPAT`, a number that the image cannot count down: as it is, it would mean another priority, or the owner's.
fn refuse_no_priority(set: &mut RawSet, names: &NamesInUse, image: &Profile, problems: &mut Problems) {
    let counts_down = image.defaults.iter().any(|(_, text)| *text == INVERTED);
    let Some(written) = set.get(&PRIORITY).filter(|value| value.name == COUNTED_DOWN) else { return };
    if !counts_down || counted_down(set, names).is_some() {
        return;
    }
    let why = format!(
        "gives no priority of 1 to 254 in the image {}, which subtracts it, or the last octet of HOST_IP, from 255: \
         set PRIORITY instead",
        image.name
    );
    problems.refuse(COUNTED_DOWN, Some(&written.text), why);
    set.values.retain(|value| value.name != COUNTED_DOWN);
    set.unusable.push(&PRIORITY);
}

/// What gives a missing number of the virtual router, where the names in use point to images that have a default.
fn cure(set: &RawSet, names: &NamesInUse) -> Option<String> {
    let number = |image: &Profile| {
        let (_, text) = image.defaults.iter().find(|(variable, _)| variable.name == VIRTUAL_ROUTER.name)?;
        let points = names.foreign().any(|name| image.reads(name)) && image.strangers(names).next().is_none();
        points.then(|| format!("COMPAT={} implies {text}", image.name))
    };
    let cures: Vec<_> = PROFILES.iter().filter_map(number).collect();
    let missing = set.get(&VIRTUAL_ROUTER).is_none() && !set.is_unusable(&VIRTUAL_ROUTER);
    (missing && !cures.is_empty()).then(|| format!("; judging by the other names, {}", cures.join(", ")))
}
