//! The names of other keepalived images, as data: which variable they set, and how; knows no values.

use crate::config::variables::{
    AUTH_PASS, CHECK_TCP, LOG_LEVEL, PREEMPT, TRACK_INTERFACE, UNICAST_PEERS, VARIABLES, VIP, VIP_EXCLUDED,
    VIRTUAL_ROUTER, Variable,
};

/// May precede any name, ours and theirs.
pub(in crate::config) const PREFIX: &str = "KEEPALIVED_";

/// Names of one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The variable that they set; `None`: there is no equivalent.
    pub of: Option<&'static Variable>,
    pub conversion: Conversion,
    /// Separated by spaces.
    pub names: &'static str,
}

/// How the text under another name becomes a text of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Unchanged.
    Same,
    /// Unchanged; read only if the addresses have another image's name too, since much other software uses the name.
    Common,
    /// Unchanged if it is a number; otherwise it may be a name, as in keepalived.conf, beside a number.
    Number,
    /// One item of a list: the number at the end is the item's, not a virtual router's.
    Item,
    /// The prefix length of addresses without one.
    Prefix,
    /// A port of this host, or of the one that `Host` names.
    Port,
    /// An address, or `any`.
    Host,
    /// The boolean's opposite.
    Not,
    /// `nopreempt`, or `preempt_delay` and seconds.
    Preemption,
    /// PASS, or none.
    AuthType,
    /// True is `debug`.
    Debug,
    /// Has no effect here, unless it is false: then the configuration is in a file.
    Autoconf,
    /// Has no effect here, and nothing is lost.
    Ignored,
    /// Has no effect here, and something is lost; the rest of a sentence.
    Missing(&'static str),
}

const fn alias(of: Option<&'static Variable>, conversion: Conversion, names: &'static str) -> Alias {
    Alias { of, conversion, names }
}

/// What is said where another image would read a file.
pub(in crate::config) const OWN_FILE: &str =
    "is ignored: your own keepalived.conf is not read; `vrrp-init import` prints its values as variables";

/// The aliases whose texts are converted. Those with the same meaning are in the rows of [`VARIABLES`].
static CONVERTED: &[Alias] = &[
    alias(Some(&VIP.variable), Conversion::Item, "KEEPALIVED_VIRTUAL_IPADDRESS"),
    alias(Some(&VIP.variable), Conversion::Prefix, "VIRTUAL_MASK NETMASK_BIT vip_subnet"),
    alias(
        Some(&VIRTUAL_ROUTER.variable),
        Conversion::Number,
        "ROUTER_ID VRRP_ROUTER_ID KEEPALIVED_ROUTER_ID KEEPALIVED_ROUTE_ID",
    ),
    alias(Some(&CHECK_TCP.variable), Conversion::Port, "CHECK_PORT OPENSHIFT_HA_MONITOR_PORT"),
    alias(Some(&CHECK_TCP.variable), Conversion::Host, "CHECK_IP"),
    alias(Some(&PREEMPT.variable), Conversion::Not, "NOPREEMPT"),
    alias(Some(&PREEMPT.variable), Conversion::Preemption, "OPENSHIFT_HA_PREEMPTION"),
    alias(Some(&AUTH_PASS.variable), Conversion::Common, "PASSWORD PASS"),
    alias(Some(&AUTH_PASS.variable), Conversion::AuthType, "AUTH_TYPE VRRP_AUTH_TYPE"),
    alias(Some(&UNICAST_PEERS.variable), Conversion::Item, "KEEPALIVED_UNICAST_PEER"),
    alias(Some(&TRACK_INTERFACE.variable), Conversion::Item, "KEEPALIVED_TRACK_INTERFACE"),
    alias(Some(&VIP_EXCLUDED.variable), Conversion::Item, "KEEPALIVED_VIRTUAL_IPADDRESS_EXCLUDED"),
    alias(Some(&LOG_LEVEL.variable), Conversion::Debug, "KEEPALIVED_DEBUG"),
    alias(
        None,
        Conversion::Ignored,
        "KEEPALIVED_CMD KEEPALIVED_VAR_RUN KEEPALIVED_COMMAND_LINE_ARGUMENTS OPENSHIFT_HA_IPTABLES_CHAIN \
         OPENSHIFT_HA_NFTABLES_RULE",
    ),
    alias(None, Conversion::Autoconf, "KEEPALIVED_AUTOCONF"),
    alias(
        None,
        Conversion::Missing(OWN_FILE),
        "KEEPALIVED_CONF KEEPALIVED_CUSTOM_CONFIG KEEPALIVED_CONF_TEMPLATE KEEPALIVED_CONF_RELOAD_SCRIPT",
    ),
    alias(
        None,
        Conversion::Missing(
            "has no equivalent here: set SERVICE to the process, CHECK_TCP to its port or CHECK_HTTP to a page",
        ),
        "CONTAINERS_TO_CHECK KEEPALIVED_KUBE_APISERVER_CHECK",
    ),
    alias(
        None,
        Conversion::Missing("is ignored: adverts are sent to the VRRP group, or to UNICAST_PEERS"),
        "MCAST_GROUP",
    ),
];

/// Names that much other software uses too: not read if `VIRTUAL_ROUTER` is set, which marks an environment that was
/// written for our own names.
const AMBIGUOUS: [&str; 5] = ["ROUTER_ID", "CHECK_PORT", "CHECK_IP", "AUTH_PASSWORD", "AUTH_TYPE"];

pub(in crate::config) fn is_ambiguous(name: &str) -> bool {
    AMBIGUOUS.contains(&name)
}

impl Alias {
    /// Each of the names.
    pub fn each(self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    pub(in crate::config) fn sets(&self, variable: &Variable) -> bool {
        self.of.is_some_and(|of| of.name == variable.name)
    }
}

/// Every alias, in the order of [`VARIABLES`], then those that set nothing.
pub fn aliases() -> impl Iterator<Item = Alias> {
    let of = |variable: &'static Variable| {
        let same = alias(Some(variable), Conversion::Same, variable.aliases);
        let converted = CONVERTED.iter().copied().filter(move |alias| alias.sets(variable));
        Some(same).filter(|alias| !alias.names.is_empty()).into_iter().chain(converted)
    };
    let without = CONVERTED.iter().copied().filter(|alias| alias.of.is_none());
    VARIABLES.iter().flat_map(move |variable| of(variable)).chain(without)
}

/// The meaning of a name without its number.
#[derive(Clone, Copy)]
pub(in crate::config) struct Found {
    /// Its place among all names, doubled, plus one if it has the prefix.
    pub(in crate::config) place: u64,
    /// `None`: there is no equivalent.
    pub(in crate::config) variable: Option<&'static Variable>,
    pub(in crate::config) conversion: Conversion,
}

/// `None` for other software's name. The exact name wins over one without the prefix.
pub(in crate::config) fn find(name: &str) -> Option<Found> {
    let bare = name.strip_prefix(PREFIX).filter(|rest| !rest.starts_with(PREFIX));
    exactly(name).or_else(|| exactly(bare?).map(|found| Found { place: found.place + 1, ..found }))
}

fn exactly(name: &str) -> Option<Found> {
    let ours = VARIABLES.iter().map(|variable| (variable.name, Some(*variable), Conversion::Same));
    let theirs = aliases().flat_map(|alias| alias.each().map(move |name| (name, alias.of, alias.conversion)));
    let mut all = (1_u64..).zip(ours.chain(theirs));
    let (n, (_, variable, conversion)) = all.find(|(_, (known, ..))| *known == name)?;
    Some(Found { place: 2 * n, variable, conversion })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_meaning_and_every_meaning_a_variable() {
        let mut seen: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        for alias in aliases() {
            assert!(alias.of.is_none_or(|of| VARIABLES.iter().any(|variable| variable.name == of.name)));
            for name in alias.each() {
                assert!(!name.is_empty() && !seen.contains(&name), "{name:?}");
                assert!(!name.ends_with("_FILE") && !name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
                seen.push(name);
            }
        }
    }

    #[test]
    fn the_prefix_stands_before_any_name_but_once() {
        for name in VARIABLES.iter().map(|v| v.name).chain(aliases().flat_map(Alias::each)) {
            let plain = find(name).unwrap();
            // Alone they are too common, or a name; with the prefix they are neither.
            let apart = ["PASSWORD", "ROUTER_ID", "TRACK_INTERFACE"];
            if !name.starts_with(PREFIX) && !apart.contains(&name) {
                let prefixed = find(&format!("{PREFIX}{name}")).unwrap();
                assert_eq!(
                    (prefixed.place, prefixed.conversion),
                    (plain.place + 1, plain.conversion),
                    "{name}"
                );
            }
            assert!(find(&format!("{PREFIX}{PREFIX}{name}")).is_none(), "{name}");
        }
    }
}
