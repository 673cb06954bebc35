//! What other keepalived images call our variables, as data: what is understood, what `help` prints and what
//! docs/migration.md lists; knows no values.

use std::fmt::Write as _;

use super::variables::{VARIABLES, Variable, named, wrapped};

/// May stand before every name, ours and theirs.
pub(super) const PREFIX: &str = "KEEPALIVED_";

/// Names of one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The variable that they set; empty where nothing here answers to them.
    pub of: &'static str,
    pub means: Means,
    /// Divided by spaces.
    pub names: &'static str,
}

/// How the value of such a name becomes one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// As it is.
    Same,
    /// As it is; read only where the addresses have a foreign name too, since much else is called so.
    Common,
    /// As it is, if it is a number: else it is a name, as in keepalived.conf.
    Number,
    /// One place of a list: the number at the end is no virtual router's.
    Item,
    /// The prefix length of addresses without one.
    Prefix,
    /// A port of this host, or of the one that `Host` names.
    Port,
    /// An address, or `any`.
    Host,
    /// A boolean the other way round.
    Not,
    /// `nopreempt`, or `preempt_delay` and seconds.
    Preemption,
    /// PASS, or none.
    AuthType,
    /// True is `debug`.
    Debug,
    /// Nothing is lost without it.
    Ignored,
    /// Something is lost without it; the rest of a sentence.
    Missing(&'static str),
}

const fn alias(of: &'static str, means: Means, names: &'static str) -> Alias {
    Alias { of, means, names }
}

/// In the order of [`VARIABLES`].
pub const ALIASES: &[Alias] = &[
    alias(
        "VIP",
        Means::Same,
        "VIPS VIRTUAL_IP VIRTUAL_IPS VRRP_VIRTUAL_IP APISERVER_VIP OPENSHIFT_HA_VIRTUAL_IPS",
    ),
    alias("VIP", Means::Item, "KEEPALIVED_VIRTUAL_IPADDRESS"),
    alias("VIP", Means::Prefix, "VIRTUAL_MASK NETMASK_BIT vip_subnet"),
    alias(
        "VIRTUAL_ROUTER",
        Means::Same,
        "VRID VIRTUAL_ROUTER_ID VRRP_ROUTER_ID KEEPALIVED_ROUTER_ID KEEPALIVED_ROUTE_ID",
    ),
    alias("VIRTUAL_ROUTER", Means::Number, "ROUTER_ID"),
    alias("INTERFACE", Means::Same, "IFACE VRRP_INTERFACE OPENSHIFT_HA_NETWORK_INTERFACE vip_interface"),
    alias("STATE", Means::Same, "VRRP_STATE"),
    alias("PRIORITY", Means::Same, "VRRP_PRIORITY NODE_PRIORITY"),
    alias("SERVICE", Means::Same, "CHECK_PROCESS"),
    alias("CHECK_TCP", Means::Port, "CHECK_PORT OPENSHIFT_HA_MONITOR_PORT"),
    alias("CHECK_TCP", Means::Host, "CHECK_IP"),
    alias("CHECK_INTERVAL", Means::Same, "KUBE_APISERVER_CHK_INTERVAL OPENSHIFT_HA_CHECK_INTERVAL"),
    alias("CHECK_WEIGHT", Means::Same, "KUBE_APISERVER_CHK_WEIGHT"),
    alias("CHECK_RISE", Means::Same, "KUBE_APISERVER_CHK_RISE"),
    alias("CHECK_FALL", Means::Same, "KUBE_APISERVER_CHK_FALL"),
    alias("ADVERT_INT", Means::Same, "ADVERTISE_INTERVAL VRRP_ADVERT_INT"),
    alias("PREEMPT", Means::Not, "NOPREEMPT"),
    alias("PREEMPT", Means::Preemption, "OPENSHIFT_HA_PREEMPTION"),
    alias("AUTH_PASS", Means::Same, "AUTH_PASSWORD VRRP_AUTH_PASS KEEPALIVED_PASSWORD"),
    alias("AUTH_PASS", Means::Common, "PASSWORD PASS"),
    alias("AUTH_PASS", Means::AuthType, "AUTH_TYPE VRRP_AUTH_TYPE"),
    alias("UNICAST_PEERS", Means::Same, "OPENSHIFT_HA_UNICAST_PEERS"),
    alias("UNICAST_PEERS", Means::Item, "KEEPALIVED_UNICAST_PEER"),
    alias("TRACK_INTERFACE", Means::Item, "KEEPALIVED_TRACK_INTERFACE"),
    alias("VIP_EXCLUDED", Means::Item, "KEEPALIVED_VIRTUAL_IPADDRESS_EXCLUDED"),
    alias("INSTANCE_NAME", Means::Same, "VRRP_INSTANCE VRRP_INSTANCE_NAME"),
    alias("NOTIFY", Means::Same, "NOTIFY_SCRIPT_PATH KEEPALIVED_NOTIFY_SCRIPT OPENSHIFT_HA_NOTIFY_SCRIPT"),
    alias("LOG_LEVEL", Means::Debug, "KEEPALIVED_DEBUG"),
    alias(
        "",
        Means::Ignored,
        "KEEPALIVED_AUTOCONF KEEPALIVED_CMD KEEPALIVED_VAR_RUN KEEPALIVED_COMMAND_LINE_ARGUMENTS \
         OPENSHIFT_HA_IPTABLES_CHAIN OPENSHIFT_HA_NFTABLES_RULE",
    ),
    alias(
        "",
        Means::Missing("is not read: there is no keepalived.conf here, give its values as variables"),
        "KEEPALIVED_CONF KEEPALIVED_CUSTOM_CONFIG",
    ),
    alias(
        "",
        Means::Missing(
            "has no equivalent here: name the process in SERVICE, its port in CHECK_TCP or a page in CHECK_HTTP",
        ),
        "CHECK_SCRIPT OPENSHIFT_HA_CHECK_SCRIPT CONTAINERS_TO_CHECK KEEPALIVED_KUBE_APISERVER_CHECK",
    ),
    alias(
        "",
        Means::Missing("is not used: advertisements go to the VRRP group, or to UNICAST_PEERS"),
        "MCAST_GROUP",
    ),
];

/// What much else is called too; not read beside start.sh's own `VIRTUAL_ROUTER`, where they meant nothing.
pub(super) const AMBIGUOUS: [&str; 5] = ["ROUTER_ID", "CHECK_PORT", "CHECK_IP", "AUTH_PASSWORD", "AUTH_TYPE"];

impl Alias {
    pub fn each(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }
}

/// What a name without its number stands for.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Its place among all names, twice, and one more with the prefix.
    pub(super) place: u64,
    /// `None`: nothing here answers to it.
    pub(super) variable: Option<&'static Variable>,
    pub(super) means: Means,
}

/// `None`: somebody else's name.
pub(super) fn find(name: &str) -> Option<Found> {
    let bare = name.strip_prefix(PREFIX).filter(|rest| !rest.starts_with(PREFIX));
    let mut place = 0;
    let mut found = None;
    let mut look = |known: &str, variable, means| {
        place += 2;
        if known == name || Some(known) == bare && found.is_none() {
            found = Some(Found { place: place + u64::from(bare.is_some()), variable, means });
        }
        known == name
    };
    for variable in VARIABLES {
        if look(variable.name, Some(variable), Means::Same) {
            return found;
        }
    }
    for alias in ALIASES {
        for known in alias.each() {
            if look(known, named(alias.of), alias.means) {
                return found;
            }
        }
    }
    found
}

/// The names as plain text, a variable a paragraph, each line ended.
pub(super) fn as_help() -> String {
    let mut text = String::from(
        "\nnames of other images that are understood too (any name may begin with KEEPALIVED_):\n",
    );
    for variable in VARIABLES {
        let mut names = String::new();
        for alias in ALIASES.iter().filter(|alias| alias.of == variable.name) {
            let item = if alias.means == Means::Item { "_1, _2 ..." } else { "" };
            _ = write!(names, " {}{item}", alias.names);
        }
        if !names.is_empty() {
            for (n, line) in wrapped(&format!("{}:{names}", variable.name), 92).iter().enumerate() {
                _ = writeln!(text, "  {}{line}", if n == 0 { "" } else { "    " });
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::variables::tests::document_holds;
    use super::*;

    #[test]
    fn every_name_has_one_meaning_and_every_meaning_a_variable() {
        let mut seen: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        for alias in ALIASES {
            assert!(alias.of.is_empty() || VARIABLES.iter().any(|variable| variable.name == alias.of));
            for name in alias.each() {
                assert!(!name.is_empty() && !seen.contains(&name), "{name:?}");
                assert!(!name.ends_with("_FILE") && !name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
                seen.push(name);
            }
        }
    }

    #[test]
    fn the_prefix_stands_before_any_name_but_once() {
        for name in VARIABLES.iter().map(|v| v.name).chain(ALIASES.iter().flat_map(Alias::each)) {
            let plain = find(name).unwrap();
            // Alone they are too common, or a name; with the prefix they are neither.
            let apart = ["PASSWORD", "ROUTER_ID", "TRACK_INTERFACE"];
            if !name.starts_with(PREFIX) && !apart.contains(&name) {
                let prefixed = find(&format!("{PREFIX}{name}")).unwrap();
                assert_eq!((prefixed.place, prefixed.means), (plain.place + 1, plain.means), "{name}");
            }
            assert!(find(&format!("{PREFIX}{PREFIX}{name}")).is_none(), "{name}");
        }
    }

    fn as_markdown() -> String {
        let mut text = String::from("| names | here |\n|---|---|\n");
        for alias in ALIASES {
            let number = if alias.means == Means::Item { "_1` and so on" } else { "`" };
            let star = |name| if AMBIGUOUS.contains(&name) { " \\*" } else { "" };
            let names: Vec<_> = alias.each().map(|name| format!("`{name}{number}{}", star(name))).collect();
            let how = match alias.means {
                Means::Same | Means::Item => "",
                Means::Common => ", where the addresses are not called `VIP`",
                Means::Number => ", if it is a number",
                Means::Prefix => ": the prefix length of IPv4 addresses without one",
                Means::Port => ": the port, of `CHECK_IP` or else this host; 0 is none",
                Means::Host => ": the host of `CHECK_PORT`; `any` is this one",
                Means::Not => ", the other way round",
                Means::Preemption => ": `nopreempt`, or `preempt_delay` and the seconds of `PREEMPT_DELAY`",
                Means::AuthType => ": `PASS` needs it, `none` refuses it",
                Means::Debug => ": true is `debug`",
                Means::Ignored => "has no meaning and is ignored",
                Means::Missing(why) => why,
            };
            let of = if alias.of.is_empty() { String::new() } else { format!("`{}`", alias.of) };
            _ = writeln!(text, "| {} | {of}{how} |", names.join(" "));
        }
        text
    }

    #[test]
    fn the_document_on_migration_holds_exactly_these_names() {
        document_holds("docs/migration.md", "aliases", &as_markdown());
    }

    #[test]
    fn help_names_them_beside_what_they_set() {
        let help = as_help();
        for names in
            ["  VIP: VIPS VIRTUAL_IP ", "  SERVICE: CHECK_PROCESS\n", "KEEPALIVED_UNICAST_PEER_1, _2 ..."]
        {
            assert!(help.contains(names), "{names}\n{help}");
        }
        assert_eq!(help.lines().find(|line| line.len() > 110), None);
    }
}
