//! Adverts to who sent them, and what is wrong with each and between them; knows no clock and no socket, and believes
//! nothing that it hears.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::vrrp::{
    Advert, DropReason, Envelope, Family, Instant, Interval, Password, TTL, V3Checksum, Version, Vrid,
};

/// So many speakers are told apart: a flood under forged addresses may not fill the memory.
const MOST: usize = 1_000;
/// Several that advertise in turn for so many intervals are no handover.
const HANDOVER: u32 = 2;

/// One virtual router as the network sees it; the order is that of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) interface: String,
    pub(super) family: Family,
    pub(super) vrid: u8,
}

/// Everything that was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) groups: BTreeMap<Group, Circle>,
    /// What could not be read at all: by interface and source, the last reason and how often.
    pub(super) unreadable: BTreeMap<(String, IpAddr), (String, u64)>,
    /// Packets of speakers beyond those that are told apart.
    pub(super) uncounted: u64,
    speakers: usize,
}

/// Those who claim one virtual router.
#[derive(Debug, Default)]
pub(super) struct Circle {
    /// By address and version.
    pub(super) speakers: BTreeMap<(IpAddr, u8), Speaker>,
    /// Since when more than one of them has been master.
    together: Option<Instant>,
    /// For longer than a handover takes.
    pub(super) several_masters: bool,
}

/// One address that speaks one version of the protocol for one virtual router.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) packets: u64,
    /// Those that a router would take, and when the last of them came with a priority above 0.
    pub(super) sound: u64,
    master_at: Option<Instant>,
    pub(super) releases: u64,
    /// The last one of the best: sound and of a priority above 0, if possible.
    pub(super) claims: Claims,
    worth: (bool, bool),
    /// What was wrong, the last value that was, and how often.
    pub(super) faults: BTreeMap<DropReason, (u8, u64)>,
}

/// What a message says of itself, true or not.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) priority: u8,
    /// `None` for 0.
    pub(super) interval: Option<Interval>,
    /// VRRPv2: the type, and the password where it is one.
    pub(super) auth: Option<(u8, Option<Password>)>,
    /// `None` where it was not looked at or is wrong.
    pub(super) checksum: Option<V3Checksum>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Heard {
    /// One VRRP message that came in `envelope`.
    pub(super) fn message(&mut self, now: Instant, interface: &str, octets: &[u8], envelope: Envelope) {
        let from = envelope.from;
        let Some(&[first, vrid, _, count, auth, _, _, _]) = octets.first_chunk() else {
            return self.unreadable(interface, from, "the message is shorter than a VRRP header");
        };
        let family = if from.is_ipv4() { Family::V4 } else { Family::V6 };
        let version = first >> 4;
        let mut faults: BTreeMap<DropReason, u8> = BTreeMap::new();
        if envelope.ttl != TTL {
            faults.insert(DropReason::Ttl, envelope.ttl);
        }
        let parsed = Advert::parse(octets, Envelope { ttl: TTL, ..envelope });
        let claims = Claims::read(octets, from, parsed.as_ref().ok());
        if let Err(reason) = parsed {
            faults.insert(reason, if reason == DropReason::Type { first & 0x0f } else { version });
        }
        // Behind another fault these would be missed.
        if version == Version::V2.number() && auth > 1 {
            faults.insert(DropReason::AuthType, auth);
        }
        if count == 0 {
            faults.insert(DropReason::CountZero, 0);
        }
        if claims.interval.is_none() {
            faults.insert(DropReason::IntervalZero, 0);
        }

        let circle = self.groups.entry(Group { interface: interface.to_owned(), family, vrid }).or_default();
        if !circle.speakers.contains_key(&(from, version)) {
            if self.speakers == MOST {
                self.uncounted += 1;
                return;
            }
            self.speakers += 1;
        }
        circle.take(now, (from, version), claims, &faults);
    }

    /// One packet that is none.
    pub(super) fn unreadable(&mut self, interface: &str, from: IpAddr, why: &str) {
        let key = (interface.to_owned(), from);
        if self.unreadable.len() == MOST && !self.unreadable.contains_key(&key) {
            self.uncounted += 1;
            return;
        }
        let (reason, count) = self.unreadable.entry(key).or_default();
        why.clone_into(reason);
        *count += 1;
    }

    /// The lowest VRID that nobody was heard with and that is not among `ours`.
    pub(super) fn free_vrid(&self, ours: &[Vrid]) -> Option<Vrid> {
        let is_free =
            |vrid: &Vrid| !ours.contains(vrid) && self.groups.keys().all(|group| group.vrid != vrid.octet());
        (1..=u8::MAX).filter_map(Vrid::new).find(is_free)
    }
}

impl Circle {
    fn take(&mut self, now: Instant, who: (IpAddr, u8), claims: Claims, faults: &BTreeMap<DropReason, u8>) {
        let (priority, sound) = (claims.priority, faults.is_empty());
        let worth = (sound, priority > 0);
        let speaker = match self.speakers.entry(who) {
            std::collections::btree_map::Entry::Vacant(new) => new.insert(Speaker::new(claims, worth)),
            std::collections::btree_map::Entry::Occupied(known) => {
                let known = known.into_mut();
                if worth >= known.worth {
                    (known.claims, known.worth) = (claims, worth);
                }
                known
            }
        };
        speaker.packets += 1;
        for (reason, value) in faults {
            let (last, count) = speaker.faults.entry(*reason).or_default();
            (*last, *count) = (*value, *count + 1);
        }
        if !sound {
            return;
        }
        speaker.sound += 1;
        if priority == 0 {
            speaker.releases += 1;
            speaker.master_at = None;
        } else {
            speaker.master_at = Some(now);
            self.compare_masters(now, who.0);
        }
    }

    fn compare_masters(&mut self, now: Instant, from: IpAddr) {
        let masters = || self.speakers.iter().filter(|(_, speaker)| speaker.is_master(now));
        if masters().all(|((address, _), _)| *address == from) {
            self.together = None;
            return;
        }
        let slowest = masters().filter_map(|(_, speaker)| speaker.claims.interval).max();
        let since = *self.together.get_or_insert(now);
        let handover = slowest.map_or(Duration::ZERO, |interval| interval.duration() * HANDOVER);
        self.several_masters |= now.since(since) >= handover;
    }

    /// Those of whom a router would take an advert.
    pub(super) fn sound(&self) -> impl Iterator<Item = (IpAddr, u8, &Speaker)> {
        let speakers = self.speakers.iter().filter(|(_, speaker)| speaker.sound > 0);
        speakers.map(|((from, version), speaker)| (*from, *version, speaker))
    }
}

impl Speaker {
    fn new(claims: Claims, worth: (bool, bool)) -> Self {
        Self { packets: 0, sound: 0, master_at: None, releases: 0, claims, worth, faults: BTreeMap::new() }
    }

    /// Whether the next advert of this master is not yet overdue by half an interval.
    fn is_master(&self, now: Instant) -> bool {
        let interval = self.claims.interval.map_or(Duration::ZERO, Interval::duration);
        self.master_at.is_some_and(|at| now.since(at) <= interval * 3 / 2)
    }
}

impl Claims {
    /// `sound` is the advert where the octets are one; of others as much as there is.
    fn read(octets: &[u8], from: IpAddr, sound: Option<&Advert>) -> Self {
        let octet = |at: usize| octets.get(at).copied().unwrap_or_default();
        let v2 = octet(0) >> 4 == Version::V2.number();
        let list = octets.get(8..).unwrap_or_default();
        let count = usize::from(octet(3));
        let addresses = match from {
            IpAddr::V4(_) => {
                list.as_chunks().0.iter().take(count).map(|a: &[u8; 4]| Ipv4Addr::from(*a).into()).collect()
            }
            IpAddr::V6(_) => {
                list.as_chunks().0.iter().take(count).map(|a: &[u8; 16]| Ipv6Addr::from(*a).into()).collect()
            }
        };
        let password = sound.and_then(|advert| Password::new(&advert.password?));
        Self {
            priority: octet(2),
            interval: if v2 {
                Interval::from_seconds(octet(5))
            } else {
                Interval::from_centiseconds(u16::from_be_bytes([octet(4) & 0x0f, octet(5)]))
            },
            auth: v2.then_some((octet(4), password)),
            checksum: sound.map(|advert| advert.checksum),
            addresses,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vrrp::{GROUP_V4, GROUP_V6, Priority};

    fn advert(vrid: u8, priority: u8) -> Advert {
        Advert {
            version: Version::V2,
            vrid: Vrid::new(vrid).unwrap(),
            priority: Priority::from_wire(priority),
            interval: Interval::DEFAULT,
            password: None,
            checksum: V3Checksum::PseudoHeader,
            addresses: vec!["10.0.0.2".parse().unwrap()],
        }
    }

    fn hear(heard: &mut Heard, ms: u64, from: &str, advert: &Advert) {
        let envelope = Envelope { from: from.parse().unwrap(), to: GROUP_V4.into(), ttl: 255 };
        let octets = advert.emit(envelope.from, envelope.to);
        heard.message(Instant::from_millis(ms), "eth0", &octets, envelope);
    }

    fn only(heard: &Heard) -> &Circle {
        assert_eq!(heard.groups.len(), 1);
        heard.groups.values().next().unwrap()
    }

    #[test]
    fn two_that_go_on_in_turn_are_two_masters() {
        let mut heard = Heard::default();
        for second in 0..4 {
            assert!(second == 0 || !only(&heard).several_masters, "{second} s");
            hear(&mut heard, second * 1_000, "10.0.0.11", &advert(51, 200));
            hear(&mut heard, second * 1_000 + 400, "10.0.0.12", &advert(51, 100));
            if second == 2 {
                break;
            }
        }
        assert!(only(&heard).several_masters);
    }

    /// One yields, the other takes over in milliseconds and both have a last word; later it goes back.
    #[test]
    fn a_handover_and_the_way_back_are_no_two_masters() {
        let (mut heard, better, worse) = (Heard::default(), "10.0.0.11", "10.0.0.12");
        for ms in [0, 1_000] {
            hear(&mut heard, ms, better, &advert(51, 13));
        }
        for (ms, from, priority) in [
            (1_500, better, 0),
            (1_501, better, 11),
            (1_502, better, 11),
            (1_504, worse, 12),
            (1_505, better, 11),
            (1_506, worse, 12),
            (2_506, worse, 12),
            (3_506, worse, 12),
            (4_000, better, 13),
            (4_001, worse, 12),
            (5_000, better, 13),
            (6_000, better, 13),
            (7_000, better, 13),
        ] {
            hear(&mut heard, ms, from, &advert(51, priority));
            assert!(!only(&heard).several_masters, "{ms} ms");
        }
        assert_eq!(
            only(&heard).sound().map(|(.., s)| (s.claims.priority, s.releases)).collect::<Vec<_>>(),
            [(13, 1), (12, 0)]
        );
    }

    #[test]
    fn a_free_vrid_is_neither_heard_nor_ours() {
        let vrid = |n| Vrid::new(n).unwrap();
        let mut heard = Heard::default();
        assert_eq!(heard.free_vrid(&[]), Some(vrid(1)));
        for n in [1, 2, 4] {
            hear(&mut heard, 0, "10.0.0.11", &advert(n, 100));
        }
        assert_eq!(heard.free_vrid(&[vrid(3)]), Some(vrid(5)));
        for n in 1..=255 {
            hear(&mut heard, 0, "10.0.0.11", &advert(n, 100));
        }
        assert_eq!(heard.free_vrid(&[]), None);
    }

    #[test]
    fn a_flood_under_forged_addresses_is_counted_and_not_kept() {
        let mut heard = Heard::default();
        for n in 0..1_500_u32 {
            hear(&mut heard, 0, &Ipv4Addr::from(0x0a00_0000 + n).to_string(), &advert(51, 100));
            heard.unreadable("eth0", Ipv4Addr::from(n).into(), "the packet is a fragment");
        }
        assert_eq!((only(&heard).speakers.len(), heard.unreadable.len()), (MOST, MOST));
        assert_eq!(heard.uncounted, 1_000);
        hear(&mut heard, 0, "10.0.0.0", &advert(51, 100));
        assert_eq!(
            only(&heard).speakers[&("10.0.0.0".parse().unwrap(), 2)].packets,
            2,
            "a known one counts on"
        );
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..80), v6: bool, ttl: u8) {
            let (from, to) = if v6 { ("fe80::1".parse().unwrap(), GROUP_V6.into()) }
                             else { ("10.0.0.1".parse().unwrap(), GROUP_V4.into()) };
            let mut heard = Heard::default();
            heard.message(Instant::START, "eth0", &octets, Envelope { from, to, ttl });
            let counted = heard.groups.values().flat_map(|c| c.speakers.values()).map(|s| s.packets).sum::<u64>();
            prop_assert_eq!(counted, u64::from(octets.len() >= 8));
            prop_assert_eq!(heard.unreadable.len(), usize::from(octets.len() < 8));
        }
    }
}
