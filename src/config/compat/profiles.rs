//! The defaults of other images, which apply to unset variables while nodes with such an image take part; knows names
//! and texts, not their meaning.

use super::aliases::PREFIX;
use super::names::NamesInUse;
use crate::config::variables::{
    AUTH_PASS, CHECK_FALL, CHECK_RISE, GARP_REFRESH, PREEMPT, PRIORITY, STATE, VIRTUAL_ROUTER, Variable,
};

/// Another image.
pub(in crate::config) struct Profile {
    /// For `COMPAT`.
    pub(in crate::config) name: &'static str,
    /// What reveals it: each is a set of names, separated by spaces, and a larger set outweighs a smaller one.
    pub(in crate::config) marks: &'static [&'static str],
    /// The other names that it reads, except those of [`VARIABLES`](crate::config::variables::VARIABLES).
    reads: &'static str,
    /// Whether `COMPAT=auto` chooses it.
    pub(in crate::config) automatic: bool,
    /// Its defaults that differ from ours.
    pub(in crate::config) defaults: &'static [ImageDefault],
}

/// The variable and its text: `#` at the end stands for the virtual router's number, and the text after `|` is for a
/// STATE other than MASTER.
pub(in crate::config) type ImageDefault = (&'static Variable, &'static str);

/// keepalived ignores `nopreempt` where the state is MASTER.
const NO_PREEMPTION: ImageDefault = (&PREEMPT.variable, "|false");

/// The text of a priority that is counted down, for [`super::defaults`].
pub(in crate::config) const INVERTED: &str = "255 - HOST_IP";

pub(in crate::config) static PROFILES: &[Profile] = &[
    Profile {
        name: "osixia",
        marks: &["KEEPALIVED_VIRTUAL_IPS"],
        reads: "KEEPALIVED_ROUTER_ID KEEPALIVED_PASSWORD KEEPALIVED_NOTIFY_SCRIPT KEEPALIVED_CONF \
                KEEPALIVED_COMMAND_LINE_ARGUMENTS KEEPALIVED_CONF_TEMPLATE KEEPALIVED_CONF_RELOAD_SCRIPT",
        automatic: true,
        defaults: &[
            (&VIRTUAL_ROUTER.variable, "51"),
            (&PRIORITY.variable, "150"),
            NO_PREEMPTION,
            (&AUTH_PASS.variable, "d0cker"),
        ],
    },
    Profile {
        name: "arcts",
        marks: &["KEEPALIVED_VIRTUAL_IPADDRESS"],
        reads: "KEEPALIVED_AUTOCONF KEEPALIVED_CONF KEEPALIVED_CMD KEEPALIVED_DEBUG KEEPALIVED_VAR_RUN \
                KEEPALIVED_VIRTUAL_ROUTER_ID KEEPALIVED_UNICAST_PEER KEEPALIVED_VIRTUAL_IPADDRESS_EXCLUDED \
                KEEPALIVED_KUBE_APISERVER_CHECK",
        automatic: true,
        defaults: &[
            (&VIRTUAL_ROUTER.variable, "1"),
            (&STATE.variable, "MASTER"),
            (&PRIORITY.variable, "200|100"),
            (&AUTH_PASS.variable, "pwd#"),
        ],
    },
    Profile {
        name: "neoassist",
        marks: &["VIRTUAL_IP VIRTUAL_MASK VRID", "VIRTUAL_IP NETMASK_BIT VRID"],
        reads: "CHECK_SCRIPT MCAST_GROUP RID",
        automatic: true,
        defaults: &[
            (&CHECK_RISE.variable, "2"),
            (&CHECK_FALL.variable, "2"),
            // Its state is always BACKUP.
            (&PREEMPT.variable, "false"),
            (&AUTH_PASS.variable, "blahblah"),
            (&GARP_REFRESH.variable, "60"),
        ],
    },
    Profile {
        name: "shawly",
        marks: &["KEEPALIVED_VIRTUAL_IP KEEPALIVED_VRID"],
        reads: "KEEPALIVED_VIRTUAL_MASK KEEPALIVED_CHECK_IP KEEPALIVED_CHECK_PORT KEEPALIVED_CHECK_SCRIPT \
                KEEPALIVED_AUTH_TYPE KEEPALIVED_CUSTOM_CONFIG",
        automatic: true,
        defaults: &[
            (&CHECK_RISE.variable, "2"),
            (&CHECK_FALL.variable, "2"),
            NO_PREEMPTION,
            (&GARP_REFRESH.variable, "60"),
        ],
    },
    Profile {
        name: "ednxzu",
        marks: &[
            "VIRTUAL_IPS",
            "VIRTUAL_IPS VRRP_INSTANCE",
            "VIRTUAL_IPS ADVERTISE_INTERVAL",
            "VIRTUAL_IPS UNICAST_SRC_IP",
        ],
        reads: "ROUTER_ID PASSWORD CONFIG ARGUMENTS VRRP_INSTANCE ADVERTISE_INTERVAL",
        automatic: true,
        defaults: &[(&VIRTUAL_ROUTER.variable, "50"), NO_PREEMPTION, (&AUTH_PASS.variable, "password")],
    },
    Profile {
        name: "rmartin16",
        marks: &["VIRTUAL_IPS"],
        reads: "ROUTER_ID PASSWORD CONFIG ARGUMENTS",
        automatic: true,
        defaults: &[(&VIRTUAL_ROUTER.variable, "41"), NO_PREEMPTION, (&AUTH_PASS.variable, "KeptAliv")],
    },
    Profile {
        name: "alterway",
        marks: &[
            "CONTAINERS_TO_CHECK",
            "VIRTUAL_IP VIRTUAL_ROUTER_ID",
            "VIRTUAL_IP CHECK_CREATION",
            "VIRTUAL_IP ENABLE_LB",
        ],
        reads: "PASSWORD NOTIFY_SCRIPT_PATH CHECK_SCRIPT_PATH CHECK_HEALTH_IMAGE SWARM_ADDR SWARM_CERTS \
                VIRTUAL_IP_LB REAL_IP REAL_PORTS LB_ALGO LB_KIND",
        automatic: true,
        defaults: &[
            (&VIRTUAL_ROUTER.variable, "51"),
            (&STATE.variable, "MASTER"),
            (&PRIORITY.variable, "101"),
            (&AUTH_PASS.variable, "s3cr3t"),
        ],
    },
    Profile {
        name: "angelnu",
        marks: &["HOST_IP KEEPALIVED_VIRTUAL_IP"],
        reads: "KEEPALIVED_PASSWORD",
        // A wrong guess would reverse the order of the nodes.
        automatic: false,
        defaults: &[
            (&VIRTUAL_ROUTER.variable, "51"),
            (&PRIORITY.variable, INVERTED),
            (&AUTH_PASS.variable, "secret"),
        ],
    },
];

impl Profile {
    /// The largest of its marks among the names in use.
    pub(super) fn mark(&self, names: &NamesInUse) -> Option<&'static str> {
        let found = self.marks.iter().copied().filter(|mark| mark.split(' ').all(|name| names.has(name)));
        found.max_by_key(|mark| mark.split(' ').count())
    }

    pub(super) fn reads(&self, name: &str) -> bool {
        let mut marks = self.marks.iter().flat_map(|mark| mark.split(' '));
        self.reads.split(' ').any(|known| known == name) || marks.any(|known| known == name)
    }

    /// The names of other images that this one does not read. Beside names with the prefix, only such count.
    pub(super) fn strangers<'a>(&self, names: &'a NamesInUse) -> impl Iterator<Item = &'a str> {
        let prefixed = |name: &str| name.starts_with(PREFIX);
        let ours = self.marks.iter().any(|mark| mark.split(' ').any(prefixed));
        let same_kind = names.foreign().filter(move |name| prefixed(name) == ours);
        same_kind.map(String::as_str).filter(|name| !self.reads(name))
    }
}

/// Whether the names reveal an image that derives its priority from `HOST_IP`.
pub(in crate::config) fn reads_host_ip(names: &NamesInUse) -> bool {
    let counts_down = |profile: &&Profile| profile.defaults.iter().any(|(_, text)| *text == INVERTED);
    PROFILES.iter().filter(counts_down).any(|profile| profile.mark(names).is_some())
}
