//! The defaults of other images, which hold for what is unset while nodes of theirs take part; knows names and
//! texts, not what they mean.

use super::given::Given;
use super::report::Report;
use crate::config::aliases::{self, Means};
use crate::config::value;
use crate::config::variables::{self, Reach};

/// Another image.
#[derive(Debug)]
pub(in crate::config) struct Profile {
    /// For `COMPAT`.
    pub(in crate::config) name: &'static str,
    /// Names that together are used by it alone.
    pub(in crate::config) by: &'static str,
    /// What it takes for granted, where that is not what we do; `#` at the end is the virtual router's number,
    /// and what stands behind `|` is for a STATE that is not MASTER.
    pub(in crate::config) implies: &'static str,
}

const fn profile(name: &'static str, by: &'static str, implies: &'static str) -> Profile {
    Profile { name, by, implies }
}

/// The first that fits is the one.
pub(in crate::config) const PROFILES: &[Profile] = &[
    profile(
        "osixia",
        "KEEPALIVED_VIRTUAL_IPS",
        "VIRTUAL_ROUTER=51 PRIORITY=150 PREEMPT=false AUTH_PASS=d0cker",
    ),
    profile(
        "arcts",
        "KEEPALIVED_VIRTUAL_IPADDRESS",
        "VIRTUAL_ROUTER=1 STATE=MASTER PRIORITY=200|100 AUTH_PASS=pwd#",
    ),
    profile(
        "neoassist",
        "VIRTUAL_IP VIRTUAL_MASK VRID",
        "CHECK_RISE=2 CHECK_FALL=2 PREEMPT=false AUTH_PASS=blahblah GARP_REFRESH=60",
    ),
    profile(
        "shawly",
        "KEEPALIVED_VIRTUAL_IP KEEPALIVED_VRID",
        "CHECK_RISE=2 CHECK_FALL=2 PREEMPT=false GARP_REFRESH=60",
    ),
    profile(
        "ednxzu",
        "VIRTUAL_IPS ROUTER_ID VRRP_INSTANCE",
        "VIRTUAL_ROUTER=50 PREEMPT=false AUTH_PASS=password",
    ),
    profile("rmartin16", "VIRTUAL_IPS ROUTER_ID", "VIRTUAL_ROUTER=41 PREEMPT=false AUTH_PASS=KeptAliv"),
    profile("alterway", "CONTAINERS_TO_CHECK", "STATE=MASTER PRIORITY=101 AUTH_PASS=s3cr3t"),
];

/// What marks the image whose priorities run the other way; nothing of it is implied.
const INVERTED: &str = "HOST_IP KEEPALIVED_VIRTUAL_IP";

/// What the names in use tell.
pub(super) struct Seen {
    profile: Option<&'static Profile>,
    inverted: bool,
    start_sh: bool,
    vip: bool,
}

impl Seen {
    /// `has` says whether a name is in use.
    pub(super) fn new(has: &dyn Fn(&str) -> bool) -> Self {
        let all = |names: &str| names.split(' ').all(has);
        let profile = PROFILES.iter().find(|profile| all(profile.by));
        let (start_sh, vip) = (has("VIRTUAL_ROUTER"), has("VIP"));
        Self { profile, inverted: all(INVERTED), start_sh, vip }
    }

    /// The name of ours beside which `name` is taken for somebody else's.
    pub(super) fn beside(&self, name: &str, means: Means) -> Option<&'static str> {
        if means == Means::Common {
            self.vip.then_some("VIP")
        } else {
            (self.start_sh && aliases::AMBIGUOUS.contains(&name)).then_some("VIRTUAL_ROUTER")
        }
    }
}

/// Adds to `given`, the texts without a suffix, what the image implies that `COMPAT` or the names in use tell of.
pub(super) fn imply(given: &mut Vec<Given>, seen: &Seen, report: &mut Report<'_>) {
    let told = given.iter().find(|text| text.variable.name == "COMPAT");
    let choice = told.map_or("auto", |text| text.text.trim()).to_ascii_lowercase();
    let chosen = PROFILES.iter().find(|profile| profile.name == choice);
    let (name, file) =
        told.map_or(("COMPAT".to_owned(), None), |text| (text.name.clone(), text.file.clone()));
    match (&*choice, chosen) {
        ("none", _) => {}
        (_, Some(profile)) => {
            if let Some(filled) = fill(profile, given, report) {
                let why = format!("is {choice}: what is unset is as in that image,{filled}");
                report.say(log::Level::Info, &name, why);
            }
        }
        ("auto", None) => detected(given, seen, &name, report),
        (_, None) => {
            let mut why = String::from("must be auto, none");
            for profile in PROFILES {
                why += ", ";
                why += profile.name;
            }
            if let Some(path) = file {
                why = format!("{why} (read from {path})");
            }
            report.whole(&name, Some(&choice), why);
        }
    }
}

fn detected(given: &mut Vec<Given>, seen: &Seen, compat: &str, report: &mut Report<'_>) {
    let Some(profile) = seen.profile else {
        if seen.inverted {
            inverted(given, report);
        }
        return;
    };
    let Profile { name, by, .. } = profile;
    let (level, why) = if seen.start_sh {
        let why = format!(
            "is auto: {by} tells of the image {name}, but VIRTUAL_ROUTER is start.sh's, so no default of {name} \
             holds; COMPAT={name} takes them"
        );
        (log::Level::Info, why)
    } else if let Some(filled) = fill(profile, given, report) {
        let why = format!(
            "is auto: {by} tells of the image {name}, so what is unset is as there,{filled}; a node that differs \
             from the others makes two masters; COMPAT={name} confirms it, COMPAT=none takes our own defaults"
        );
        (log::Level::Warn, why)
    } else {
        return;
    };
    report.say(level, compat, why);
}

/// Adds what `profile` implies and is not settled; what that was, or `None`.
fn fill(profile: &Profile, given: &mut Vec<Given>, report: &Report<'_>) -> Option<String> {
    let mut filled = String::new();
    for (name, text) in profile.implies.split(' ').filter_map(|implied| implied.split_once('=')) {
        let told =
            |name: &str| given.iter().find(|text| text.variable.name == name).map(|text| text.text.trim());
        let variable = variables::named(name)?;
        // Without an address there is no first router, only what the others inherit.
        let nobody = variable.reach == Reach::Own && told("VIP").is_none();
        if nobody || told(name).is_some() || report.settled.iter().any(|settled| settled == name) {
            continue;
        }
        let (master, other) = text.split_once('|').unwrap_or((text, text));
        let master_here = told("STATE").is_some_and(|state| state.eq_ignore_ascii_case("MASTER"));
        let text = if master_here { master } else { other };
        let text = match text.strip_suffix('#') {
            Some(text) => format!("{text}{}", told("VIRTUAL_ROUTER").unwrap_or_default()),
            None => text.to_owned(),
        };
        let (equals, shown) = if variable.secret { (" ", "(not shown)") } else { ("=", &*text) };
        filled = format!("{filled} {name}{equals}{shown}");
        given.push(Given { variable, text, name: name.to_owned(), file: None, implied: true });
    }
    (!filled.is_empty()).then_some(filled)
}

/// The number is said, not used: who is wrong about the image would turn the order of the nodes round.
fn inverted(given: &[Given], report: &mut Report<'_>) {
    let theirs = given.iter().find(|text| text.name == "KEEPALIVED_PRIORITY");
    let number = theirs.and_then(|text| value::whole::<u8>(&text.text));
    let Some(number) = number.filter(|number| (1..=254).contains(number)) else { return };
    let why = format!(
        "is {0} in the image that also has {INVERTED}, where it counts from 255 down: set PRIORITY={0} instead, or \
         COMPAT=none to take it as it is",
        255 - number,
    );
    report.whole("KEEPALIVED_PRIORITY", Some(&number.to_string()), why);
}
