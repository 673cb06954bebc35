//! Judges what was heard on the wire: who has the virtual addresses, and whose adverts the firewall of this host drops.
//! Listens to nothing.

use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::wire::{Advert, Wire};
use crate::columns::join;
use crate::config::RouterConfig;
use crate::sys::netlink::Link;
use crate::vrrp::Family;

/// A router with a longer interval may not have been heard.
const HEARD: Duration = Duration::from_secs(1);

/// What is said of adverts that reach an interface and no socket.
pub fn dropped_here(from: IpAddr, interface: &str) -> String {
    let also = match Family::of(from) {
        Family::V4 => format!(", or by rp_filter if the route to {from} is not over {interface}"),
        Family::V6 => String::new(),
    };
    format!(
        "adverts of {from} reach {interface} and are dropped by this host's firewall (accept IP protocol 112){also}"
    )
}

/// The findings about one router, which is on `link`.
pub(super) fn holders(router: &RouterConfig, link: &Link, wire: &Wire) -> Vec<(Level, String)> {
    let (vrid, family) = (router.protocol.vrid.octet(), router.family());
    let here = wire.adverts.iter().filter(|a| a.link == link.index && Family::of(a.from) == family);
    let here: Vec<_> = here.collect();
    let ours = || here.iter().filter(|advert| advert.vrid == vrid);
    let mut dropped: Vec<_> = ours().filter(|advert| !advert.passed).map(|advert| advert.from).collect();
    dropped.sort_unstable();
    dropped.dedup();
    let mut found: Vec<_> =
        dropped.into_iter().map(|from| (Level::Warn, dropped_here(from, &link.name))).collect();
    let is_rare = router.protocol.interval.duration() > HEARD || !router.protocol.peers.is_empty();
    let may_be_unheard = is_rare && ours().next().is_none();
    let answers = wire.answers.iter().filter(|(on, _, mac)| *on == link.index && link.mac != Some(*mac));
    for (_, address, mac) in answers {
        if router.all_addresses().any(|vip| vip.address == *address) {
            let (level, who) = holder(&here, vrid, *mac, may_be_unheard);
            let mac = join(mac.map(|octet| format!("{octet:02x}")), ":");
            found.push((level, format!("{address} is answered by {mac}: {who}")));
        }
    }
    found
}

/// Who answers from this hardware address.
fn holder(here: &[&Advert], vrid: u8, mac: [u8; 6], may_be_unheard: bool) -> (Level, String) {
    let speakers = || here.iter().filter(|advert| speaks(advert, mac));
    if let Some(Advert { from, .. }) = speakers().find(|advert| advert.vrid == vrid) {
        (Level::Info, format!("the master {from} has it"))
    } else if let Some(Advert { from, vrid: other, .. }) = speakers().next() {
        (Level::Warn, format!("{from} has it, a router of VRID {other} and not of {vrid}"))
    } else if may_be_unheard {
        (Level::Info, "the master, if it sent no advert meanwhile, or else another host has it".into())
    } else {
        (Level::Warn, format!("another host has it, which sends no adverts of VRID {vrid}: remove it there"))
    }
}

/// Whether a router with this advert answers from `mac`: its own, or the virtual one (RFC 9568 §7.3).
fn speaks(advert: &Advert, mac: [u8; 6]) -> bool {
    let family = match Family::of(advert.from) {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    advert.mac == Some(mac) || mac == [0, 0, 0x5e, 0, family, advert.vrid]
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::config::Config;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const MASTER: [u8; 6] = [2, 0, 0, 0, 0, 0x0c];

    fn advert(n: u8, vrid: u8, mac: [u8; 6]) -> Advert {
        Advert { link: 2, from: [10, 0, 0, n].into(), vrid, mac: Some(mac), passed: true }
    }

    fn found(more: &[(&str, &str)], adverts: &[Advert], macs: &[[u8; 6]]) -> Vec<String> {
        let vars = [("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("INTERFACE", "eth0")];
        let vars = vars.iter().chain(more).map(|(name, value)| (name.into(), value.into()));
        let (config, _) = Config::from_environment(vars, |_| unreachable!("no file is named")).unwrap();
        let link = Link {
            index: 2,
            name: "eth0".into(),
            altnames: vec![],
            up: true,
            enabled: true,
            mac: Some(OWN),
            loopback: false,
            multicast: true,
            port_of: None,
            promote_secondaries: None,
        };
        let answers = macs.iter().map(|mac| (2, [10, 0, 0, 2].into(), *mac)).collect();
        let wire = Wire { adverts: adverts.to_vec(), asked: vec![], answers };
        let list = holders(&config.routers[0], &link, &wire).into_iter();
        list.map(|(level, text)| format!("{} {text}", level.as_str().to_lowercase())).collect()
    }

    #[test]
    fn the_master_may_have_the_address_from_either_hardware_address() {
        for mac in [MASTER, [0, 0, 0x5e, 0, 1, 51]] {
            let [line] = &found(&[], &[advert(12, 51, MASTER)], &[mac, OWN])[..] else { panic!("one line") };
            assert!(line.starts_with("info 10.0.0.2 is answered by 0"), "{line}");
            assert!(line.ends_with(": the master 10.0.0.12 has it"), "{line}");
        }
    }

    #[test]
    fn a_stranger_is_named_by_what_is_known_of_it() {
        let answered = "10.0.0.2 is answered by 02:00:00:00:00:0c: ";
        let stranger =
            format!("warn {answered}another host has it, which sends no adverts of VRID 51: remove it there");
        assert_eq!(found(&[], &[], &[MASTER]), from_ref(&stranger));
        assert_eq!(found(&[], &[advert(11, 51, [2; 6])], &[MASTER]), from_ref(&stranger), "beside a master");
        let other = format!("warn {answered}10.0.0.12 has it, a router of VRID 60 and not of 51");
        assert_eq!(found(&[], &[advert(12, 60, MASTER)], &[MASTER]), [other]);
        let slow = [("ADVERT_INT", "5")];
        let unheard =
            format!("info {answered}the master, if it sent no advert meanwhile, or else another host has it");
        assert_eq!(found(&slow, &[], &[MASTER]), from_ref(&unheard));
        assert_eq!(found(&[("UNICAST_PEERS", "10.0.0.12")], &[], &[MASTER]), [unheard]);
        assert_eq!(
            found(&slow, &[advert(11, 51, [2; 6])], &[MASTER]),
            [stranger],
            "the master is another one"
        );
    }

    #[test]
    fn adverts_of_our_router_that_the_firewall_drops_are_a_warning() {
        let dropped = |vrid| Advert { passed: false, ..advert(12, vrid, MASTER) };
        let line = "warn adverts of 10.0.0.12 reach eth0 and are dropped by this host's firewall (accept IP protocol 112), \
                    or by rp_filter if the route to 10.0.0.12 is not over eth0";
        assert_eq!(found(&[], &[dropped(51), advert(11, 51, MASTER)], &[]), [line]);
        assert_eq!(found(&[], &[dropped(60)], &[]), [""; 0]);
        let six = dropped_here("fe80::1".parse().unwrap(), "eth0");
        assert!(six.ends_with("firewall (accept IP protocol 112)"), "{six}");
    }
}
