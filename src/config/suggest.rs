//! The known variable that an unknown one was probably meant to be; careful, since a container's environment is full
//! of other software's names.

use strsim::osa_distance;

use super::compat::{Alias, HOST_IP, PREFIX, aliases};
use super::value::integer;
use super::variables::{MOST_ROUTERS, Scope, VARIABLES, Variable, full_name};

/// Prefixes that other keepalived images put before the same names.
const PREFIXES: [&str; 2] = [PREFIX, "VRRP_"];

/// The variable `name` is a misspelling of, if there is hardly a doubt. `name` itself is not a known one.
pub(super) fn suggestion(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    // NAME_FILE_2 is a mistake too: it is NAME_2_FILE.
    let (base, number) = without_number(&upper);
    let (base, file) = base.strip_suffix("_FILE").map_or((base, ""), |base| (base, "_FILE"));
    let (base, number) = number.map_or_else(|| without_number(base), |number| (base, Some(number)));
    let native = PREFIXES.iter().find_map(|prefix| base.strip_prefix(prefix)).unwrap_or(base);
    let near = |variable: &'static Variable| {
        let distance = edit_distance(base, variable.name).min(edit_distance(native, variable.name));
        (distance <= tolerated(native, variable.name)).then_some((distance, variable))
    };
    let known = VARIABLES.iter().filter_map(|variable| near(variable));
    let Some((_, known)) = known.min_by_key(|(distance, known)| (*distance, known.name)) else {
        return suggested_alias(base, native);
    };
    let number = if known.scope == Scope::Process { 1 } else { number.unwrap_or(1).max(1) };
    (number <= MOST_ROUTERS).then(|| format!("{}{file}", full_name(known.name, number)))
}

/// The same among the names of other images, where the prefix shows that one was meant.
fn suggested_alias(base: &str, native: &str) -> Option<String> {
    let names = aliases().flat_map(Alias::each);
    let mut unprefixed = names.map(|name| name.strip_prefix(PREFIX).unwrap_or(name));
    let known = unprefixed.find(|name| edit_distance(native, name) <= tolerated(native, name));
    known.filter(|_| base.starts_with(PREFIX)).map(|known| format!("{PREFIX}{known}"))
}

/// Whether an unknown `name` has the prefix of our names, and is not one that engines and clusters derive from a service
/// or container called "keepalived".
pub(super) fn looks_like_ours(name: &str) -> bool {
    let derived = ["PORT", "SERVICE_", "ENV_", "NAME", "VERSION"];
    name.strip_prefix(PREFIX).is_some_and(|rest| !derived.iter().any(|start| rest.starts_with(start)))
}

/// Whether an unknown `name` may be one that another image for keepalived reads.
pub(super) fn is_foreign(name: &str) -> bool {
    (looks_like_ours(name) && suggestion(name).is_none()) || names_a_setting(name)
}

/// Whether an unknown `name`, beside those of another image, looks like a setting of a virtual router or a load
/// balancer, which has no effect here.
pub(super) fn looks_like_a_setting(name: &str) -> bool {
    name == HOST_IP || names_a_setting(name)
}

fn names_a_setting(name: &str) -> bool {
    const WORDS: &str = "ADVERT ADVERTISE ADVERTISEMENT AUTHPASS FALL GARP INT INTERVAL INTF IPVS LB LVS MASK MCAST \
                         MULTICAST NETMASK NEIGHBOR NEIGHBORS NIC NOPREEMPT PEER PEERS PREEMPT PRIO PRIORITY REAL RISE \
                         ROUTERID UNICAST VRID VROUTERID VRRP WEIGHT";
    let upper = name.to_ascii_uppercase();
    // Engines and clusters derive these from the names of services.
    let derived = upper.ends_with("_PORT") || upper.contains("_PORT_") || upper.contains("_SERVICE_");
    !derived && upper.split('_').any(|word| WORDS.split(' ').any(|known| known == word))
}

/// `VIP_2`, or `VIP2` by mistake, as `VIP` and 2.
fn without_number(name: &str) -> (&str, Option<u16>) {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match integer(&name[base.len()..]) {
        Some(number) => (base.strip_suffix('_').unwrap_or(base), Some(number)),
        None => (name, None),
    }
}

/// The edit distance at which a name still points to `known`. Short names have too many neighbors: STAGE and STATS are
/// not STATE, `CHECK_FILE` is not `CHECK_FALL`.
fn tolerated(written: &str, known: &str) -> usize {
    match known.len() {
        12.. => 2,
        7.. => 1,
        _ => usize::from(written.strip_suffix('S') == Some(known)),
    }
}

/// Letters added, dropped, replaced, or swapped with their neighbor between `a` and `b`. Names whose lengths differ by
/// more than is ever tolerated are not compared.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 { usize::MAX } else { osa_distance(a, b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slips_of_the_pen_are_counted() {
        let cases = [
            ("PRIORITY", "PRIORITY", 0),
            ("PRIORTY", "PRIORITY", 1),
            ("PIRORITY", "PRIORITY", 1),
            ("AB", "CD", 2),
        ];
        for (a, b, expected) in cases {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(edit_distance("", "ABC"), usize::MAX);
    }

    #[test]
    fn misspelt_names_find_the_known_one() {
        for (name, known) in [
            ("CHECK_INTERAL", "CHECK_INTERVAL"),
            ("CHECK_WIEGHT", "CHECK_WEIGHT"),
            ("PRIORTY", "PRIORITY"),
            ("PRIORTY_FILE", "PRIORITY_FILE"),
            ("VIRTUL_ROUTR", "VIRTUAL_ROUTER"),
            ("INTERFACES", "INTERFACE"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("SERVICES", "SERVICE"),
            ("VIPS", "VIP"),
            ("vip", "VIP"),
            ("State", "STATE"),
            ("priority", "PRIORITY"),
            ("KEEPALIVED_PRIORITY", "PRIORITY"),
            ("KEEPALIVED_VIP", "VIP"),
            ("VRRP_INTERFACE", "INTERFACE"),
            ("VRRP_VERSON", "VRRP_VERSION"),
            ("KEEPALIVED_UNICAST_PEERS", "UNICAST_PEERS"),
            ("UNICAST_PEER", "UNICAST_PEERS"),
            ("AUTH_PAS", "AUTH_PASS"),
            ("PRIORTY_2", "PRIORITY_2"),
            ("PRIORTY_2_FILE", "PRIORITY_2_FILE"),
            ("AUTH_PASS_FILE_2", "AUTH_PASS_2_FILE"),
            ("VIP2", "VIP_2"),
            ("PRIORITY2_FILE", "PRIORITY_2_FILE"),
            ("VIP_1", "VIP"),
            ("VIP_0", "VIP"),
            ("VIP_02", "VIP_2"),
            ("vip_12", "VIP_12"),
            ("LOG_LEVEL_2", "LOG_LEVEL"),
        ] {
            assert_eq!(suggestion(name).as_deref(), Some(known), "{name}");
        }
    }

    #[test]
    fn the_usual_environment_of_a_container_raises_no_alarm() {
        let usual = "PATH HOME HOSTNAME TERM USER LOGNAME SHELL LANG LC_ALL TZ PWD OLDPWD SHLVL _ EDITOR PAGER \
                     container DEBIAN_FRONTEND HTTP_PROXY http_proxy https_proxy no_proxy NO_PROXY DISPLAY \
                     INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET STATE_DIRECTORY KUBERNETES_SERVICE_HOST \
                     KUBERNETES_PORT HAPROXY_SERVICE_PORT SERVICE_X SERVICE_NAME SERVICE_80_NAME DEVICE STAGE STATS \
                     STATUS SLATE ESTATE VI VIM ZIP RIP IP VIP_ADDRESS VIRTUAL_HOST VIRTUAL_PORT VIRTUAL_PROTO \
                     VIRTUAL_ENV CHECK_FILE CHECK_SIZE CHECK_URL LOG_FILE LOG_DIR LOG_PATH LOG_TAG INSTANCE_ID \
                     INSTANCE_TYPE INSTANCE_ROLE NODE_NAME POD_NAME RUST_LOG RUST_BACKTRACE SSH_TTY DOCKER_HOST \
                     COMPOSE_PROJECT_NAME KEEPALIVED_VERSION VRRP_ PORT_80 NODE_1 STAGE_2 \
                     SERVICE_80_NAME SERVICE_12345 KUBERNETES_PORT_443_TCP_PORT NOTIFY_SOCKET NOTIFICATION CHECK_URL \
                     CHECK_PING HTTP_PORT AUTH_TOKEN AUTH_PATH UNICAST _2 2 _";
        for name in usual.split_whitespace() {
            assert_eq!(suggestion(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn slips_are_the_same_both_ways_and_no_name_panics(a in "\\PC{0,12}", b in "[A-Z_]{0,12}") {
            prop_assert_eq!(edit_distance(&a, &b), edit_distance(&b, &a));
            let _ = suggestion(&a);
        }
    }
}
