//! Default routes, ARP entries and `ip_nonlocal_bind`, from the kernel's text files. Decides nothing.

use std::fs;
use std::net::IpAddr;

use crate::vrrp::Family;

// linux/route.h
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;

/// The interface of the best default route of `family` in the caller's network namespace: a preferred interface wins,
/// then the lowest metric, then the first in the table. `None` if there is no such route or no `/proc`.
pub fn default_route_interface(family: Family, prefer: &dyn Fn(&str) -> bool) -> Option<String> {
    // `/proc/net` belongs to the first thread; the calling thread may be in another network namespace.
    match family {
        Family::V4 => best(&fs::read_to_string("/proc/thread-self/net/route").ok()?, default_v4, prefer),
        Family::V6 => best(&fs::read_to_string("/proc/thread-self/net/ipv6_route").ok()?, default_v6, prefer),
    }
}

/// Whether a program may bind an address that this host does not have (`ip_nonlocal_bind`). Also true if the kernel does
/// not support `family`.
pub fn nonlocal_bind(family: Family) -> bool {
    let folder = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let setting = fs::read_to_string(format!("/proc/sys/net/{folder}/ip_nonlocal_bind"));
    setting.map_or(true, |text| text.trim() != "0")
}

fn fields(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The resolved IPv4 addresses in the kernel's ARP table, with their hardware addresses.
pub fn neighbors() -> Vec<(IpAddr, String)> {
    let table = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    table.lines().filter_map(neighbor).collect()
}

/// Reads `address type flags hardware-address mask device`. The flags are in hex; 2 marks a complete entry.
fn neighbor(line: &str) -> Option<(IpAddr, String)> {
    let fields = fields(line);
    let [address, _, "0x2" | "0x6", mac, ..] = fields[..] else { return None };
    Some((address.parse().ok()?, mac.to_owned()))
}

struct Route<'a> {
    interface: &'a str,
    flags: u32,
    metric: u64,
}

fn best(
    table: &str,
    default: fn(&str) -> Option<Route<'_>>,
    prefer: &dyn Fn(&str) -> bool,
) -> Option<String> {
    table
        .lines()
        .filter_map(default)
        .filter(|route| route.flags & (RTF_UP | RTF_REJECT) == RTF_UP)
        .min_by_key(|route| (!prefer(route.interface), route.metric))
        .map(|route| route.interface.to_owned())
}

/// Reads `Iface Destination Gateway Flags RefCnt Use Metric Mask …`. Only the metric is decimal.
fn default_v4(line: &str) -> Option<Route<'_>> {
    let fields = fields(line);
    let [interface, "00000000", _, flags, _, _, metric, "00000000", ..] = fields[..] else { return None };
    Some(Route { interface, flags: u32::from_str_radix(flags, 16).ok()?, metric: metric.parse().ok()? })
}

/// Reads destination, prefix length, source, prefix length, next hop, metric, references, use, flags, interface. All
/// numbers are hex.
fn default_v6(line: &str) -> Option<Route<'_>> {
    let fields = fields(line);
    let [_, "00", _, _, _, metric, _, _, flags, interface] = fields[..] else { return None };
    Some(Route {
        interface,
        flags: u32::from_str_radix(flags, 16).ok()?,
        metric: u64::from_str_radix(metric, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0
down0\t00000000\t0100A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    fn every(_: &str) -> bool {
        true
    }

    const ZERO: &str = "00000000000000000000000000000000";

    #[test]
    fn the_lowest_metric_wins_then_the_first_line() {
        assert_eq!(best(V4, default_v4, &every).as_deref(), Some("eth0"));
    }

    #[test]
    fn a_preferred_interface_wins_over_a_lower_metric() {
        assert_eq!(best(V4, default_v4, &|name| name == "wlan0").as_deref(), Some("wlan0"));
        assert_eq!(best(V4, default_v4, &|_| false).as_deref(), Some("eth0"));
    }

    #[test]
    fn half_a_default_route_is_not_a_default_route() {
        let halves = V4.lines().filter(|line| line.starts_with("tun0")).collect::<String>();
        assert_eq!(best(&halves, default_v4, &every), None);
    }

    #[test]
    fn a_rejecting_ipv6_default_route_is_ignored() {
        let rejecting = format!("{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n");
        assert_eq!(best(&rejecting, default_v6, &every), None);
    }

    #[test]
    fn the_metric_of_ipv6_is_hexadecimal() {
        let gateway = "fe800000000000000000000000000001";
        let table = format!(
            "{ZERO} 00 {ZERO} 00 {gateway} 00000400 00000001 00000000 00450003     eth1\n\
             {ZERO} 00 {ZERO} 00 {gateway} 0000003c 00000001 00000000 00450003     eth0\n\
             {gateway} 80 {ZERO} 00 {ZERO} 00000000 00000001 00000000 80200001     eth2\n"
        );
        assert_eq!(best(&table, default_v6, &every).as_deref(), Some("eth0"));
    }

    #[test]
    fn a_neighbor_is_a_resolved_entry() {
        let entry = |flags| {
            format!("10.0.0.2         0x1         {flags}         02:00:00:00:00:01     *        eth0")
        };
        assert_eq!(neighbor(&entry("0x2")), Some(([10, 0, 0, 2].into(), "02:00:00:00:00:01".into())));
        assert_eq!(neighbor(&entry("0x0")), None);
        assert_eq!(
            neighbor("IP address       HW type     Flags       HW address            Mask     Device"),
            None
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            best(&text, default_v4, &every);
            best(&text, default_v6, &every);
            neighbor(&text);
        }
    }
}
