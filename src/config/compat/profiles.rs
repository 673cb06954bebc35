//! The defaults of other images, which apply to unset variables while nodes with such an image take part; knows names
//! and texts, not their meaning.

use super::aliases::{Conversion, is_ambiguous};
use super::convert::check_password;
use crate::config::problems::Problems;
use crate::config::raw_value::{RawSet, RawValue};
use crate::config::value;
use crate::config::variables::{
    AUTH_PASS, CHECK_FALL, CHECK_RISE, COMPAT, GARP_REFRESH, PREEMPT, PRIORITY, STATE, Scope, VIP,
    VIRTUAL_ROUTER, Variable,
};

/// Another image.
pub(in crate::config) struct Profile {
    /// For `COMPAT`.
    pub(in crate::config) name: &'static str,
    /// Names that only this image uses together.
    pub(in crate::config) names: &'static str,
    /// Its defaults that differ from ours.
    pub(in crate::config) defaults: &'static [ImageDefault],
}

/// The variable and its text: `#` at the end stands for the virtual router's number, and the text after `|` is for a
/// STATE other than MASTER.
pub(in crate::config) type ImageDefault = (&'static Variable, &'static str);

const fn profile(name: &'static str, names: &'static str, defaults: &'static [ImageDefault]) -> Profile {
    Profile { name, names, defaults }
}

const NO_PREEMPTION: ImageDefault = (&PREEMPT.variable, "false");

/// The first one that matches is taken.
pub(in crate::config) static PROFILES: &[Profile] = &[
    profile(
        "osixia",
        "KEEPALIVED_VIRTUAL_IPS",
        &[
            (&VIRTUAL_ROUTER.variable, "51"),
            (&PRIORITY.variable, "150"),
            NO_PREEMPTION,
            (&AUTH_PASS.variable, "d0cker"),
        ],
    ),
    profile(
        "arcts",
        "KEEPALIVED_VIRTUAL_IPADDRESS",
        &[
            (&VIRTUAL_ROUTER.variable, "1"),
            (&STATE.variable, "MASTER"),
            (&PRIORITY.variable, "200|100"),
            (&AUTH_PASS.variable, "pwd#"),
        ],
    ),
    profile(
        "neoassist",
        "VIRTUAL_IP VIRTUAL_MASK VRID",
        &[
            (&CHECK_RISE.variable, "2"),
            (&CHECK_FALL.variable, "2"),
            NO_PREEMPTION,
            (&AUTH_PASS.variable, "blahblah"),
            (&GARP_REFRESH.variable, "60"),
        ],
    ),
    profile(
        "shawly",
        "KEEPALIVED_VIRTUAL_IP KEEPALIVED_VRID",
        &[
            (&CHECK_RISE.variable, "2"),
            (&CHECK_FALL.variable, "2"),
            NO_PREEMPTION,
            (&GARP_REFRESH.variable, "60"),
        ],
    ),
    profile(
        "ednxzu",
        "VIRTUAL_IPS ROUTER_ID VRRP_INSTANCE",
        &[(&VIRTUAL_ROUTER.variable, "50"), NO_PREEMPTION, (&AUTH_PASS.variable, "password")],
    ),
    profile(
        "rmartin16",
        "VIRTUAL_IPS ROUTER_ID",
        &[(&VIRTUAL_ROUTER.variable, "41"), NO_PREEMPTION, (&AUTH_PASS.variable, "KeptAliv")],
    ),
    profile(
        "alterway",
        "CONTAINERS_TO_CHECK",
        &[(&STATE.variable, "MASTER"), (&PRIORITY.variable, "101"), (&AUTH_PASS.variable, "s3cr3t")],
    ),
];

/// Names that only the image uses whose priorities count down; it has no defaults here.
const INVERTED: &str = "HOST_IP KEEPALIVED_VIRTUAL_IP";

/// What the names in use reveal about the image they were written for.
pub(in crate::config) struct NamesInUse {
    profile: Option<&'static Profile>,
    inverted: bool,
    virtual_router: bool,
    vip: bool,
}

impl NamesInUse {
    /// `has` answers whether a name is in use.
    pub(in crate::config) fn new(has: &dyn Fn(&str) -> bool) -> Self {
        let all = |names: &str| names.split(' ').all(has);
        let profile = PROFILES.iter().find(|profile| all(profile.names));
        let (virtual_router, vip) = (has(VIRTUAL_ROUTER.name), has(VIP.name));
        Self { profile, inverted: all(INVERTED), virtual_router, vip }
    }

    /// The variable of ours whose presence means that `name` belongs to other software.
    pub(in crate::config) fn excludes(
        &self,
        name: &str,
        conversion: Conversion,
    ) -> Option<&'static Variable> {
        if conversion == Conversion::Common {
            self.vip.then_some(&VIP)
        } else {
            (self.virtual_router && is_ambiguous(name)).then_some(&VIRTUAL_ROUTER)
        }
    }
}

/// Adds to `set`, the one without a suffix, the defaults of the image that `COMPAT` names or the names in use reveal;
/// `auth_type` is the name that asks for a password, if there is one.
pub(in crate::config) fn apply_defaults(
    set: &mut RawSet,
    names: &NamesInUse,
    auth_type: Option<String>,
    problems: &mut Problems,
) {
    let compat = set.get(&COMPAT).cloned();
    let choice = compat.as_ref().map_or("auto", |compat| compat.text.trim()).to_ascii_lowercase();
    let name = compat.as_ref().map_or(COMPAT.name, |compat| &compat.name);
    let chosen = PROFILES.iter().find(|profile| profile.name == choice);
    match (&*choice, chosen) {
        ("none", _) => {}
        (_, Some(profile)) => {
            if let Some(added) = add_defaults(profile, set) {
                let why = format!("is {choice}: the defaults of that image apply to unset variables:{added}");
                problems.warn(log::Level::Info, name, why);
            }
        }
        ("auto", None) => detect(set, names, name, problems),
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
    check_password(set, auth_type, problems);
}

fn detect(set: &mut RawSet, in_use: &NamesInUse, compat: &str, problems: &mut Problems) {
    let Some(profile) = in_use.profile else {
        if in_use.inverted {
            refuse_inverted(set, problems);
        }
        return;
    };
    let Profile { name, names, .. } = profile;
    let (level, why) = if in_use.virtual_router {
        let why = format!(
            "is auto: {names} indicates the image {name}, but VIRTUAL_ROUTER is a name of vrrp-init, so no \
             default of {name} applies; set COMPAT={name} to apply them"
        );
        (log::Level::Info, why)
    } else if let Some(added) = add_defaults(profile, set) {
        let why = format!(
            "is auto: {names} indicates the image {name}, so its defaults apply to unset variables:{added}; \
             nodes with different values make two masters; set COMPAT={name} to confirm this, or \
             COMPAT=none for the defaults of vrrp-init"
        );
        (log::Level::Warn, why)
    } else {
        return;
    };
    problems.warn(level, compat, why);
}

/// Adds the image's defaults of unset variables, and lists them; `None` if there are none.
fn add_defaults(profile: &Profile, set: &mut RawSet) -> Option<String> {
    let mut added = String::new();
    for (variable, text) in profile.defaults {
        // Without an address there is no first router, only what the others inherit.
        let no_router = variable.scope == Scope::Own && set.get(&VIP).is_none();
        if no_router || set.get(variable).is_some() || set.is_unusable(variable) {
            continue;
        }
        let text = image_default(text, set);
        let (equals, shown) = if variable.secret { (" ", "(not shown)") } else { ("=", &*text) };
        added = format!("{added} {}{equals}{shown}", variable.name);
        let name = variable.name.to_owned();
        set.values.push(RawValue { variable, text, name, file: None, implied: true, number: 1 });
    }
    (!added.is_empty()).then_some(added)
}

/// The text of an [`ImageDefault`] under what is set.
fn image_default(text: &str, set: &RawSet) -> String {
    let (master, other) = text.split_once('|').unwrap_or((text, text));
    let is_master = set.get(&STATE).is_some_and(|state| state.text.trim().eq_ignore_ascii_case("MASTER"));
    let text = if is_master { master } else { other };
    match text.strip_suffix('#') {
        Some(text) => {
            format!("{text}{}", set.get(&VIRTUAL_ROUTER).map_or("", |number| number.text.trim()))
        }
        None => text.to_owned(),
    }
}

/// The priority is only converted for the reader: a wrong guess about the image would reverse the order of the nodes.
fn refuse_inverted(set: &RawSet, problems: &mut Problems) {
    const NAME: &str = "KEEPALIVED_PRIORITY";
    let theirs = set.values.iter().find(|value| value.name == NAME);
    let number = theirs.and_then(|value| value::integer::<u8>(&value.text));
    let Some(number) = number.filter(|number| (1..=254).contains(number)) else { return };
    let why = format!(
        "means {0} in the image that also has {INVERTED}, which subtracts it from 255: set PRIORITY={0} \
         instead, or COMPAT=none to use the number as it is",
        255 - number,
    );
    problems.refuse(NAME, Some(&number.to_string()), why);
}
