//! Collects adverts by sender, with the faults of each and conflicts between them. Knows no clock and no socket, and
//! trusts no packet.

use std::net::IpAddr;
use std::time::Duration;

use crate::sorted;
use crate::time::Instant;
use crate::vrrp::{Advert, DropReason, Envelope, Family, Header, Interval, Password, TTL, V3Checksum, Vrid};

/// The most speakers, and other sources, to keep, so that a flood from forged addresses cannot fill the memory.
const MAX_SOURCES: usize = 1_000;
/// Routers that advertise in turn for this many intervals are two masters, not a handover.
const HANDOVER: u32 = 2;

/// The result of a scan, as plain lists, because there are few speakers.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// In the order of their keys.
    pub(super) speakers: Vec<Speaker>,
    pub(super) unreadable: Vec<Unreadable>,
    /// What reached an interface before the firewall: the interface, the source and the VRID.
    arrived: Vec<(usize, IpAddr, u8)>,
    /// Packets from addresses beyond the limit.
    pub(super) unlisted: u64,
}

/// One virtual router as the network sees it: the index of the interface among those listened on, family, VRID.
pub(super) type Group = (usize, Family, u8);

/// One source address that sends one version of the protocol for one virtual router.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) group: Group,
    pub(super) from: IpAddr,
    pub(super) version: u8,
    pub(super) packets: u64,
    /// Packets that a router would accept.
    pub(super) valid: u64,
    /// When the last of them with a priority above 0 arrived.
    master_at: Option<Instant>,
    /// Since when another router has been master at the same time, and whether for longer than a handover takes.
    rival_since: Option<Instant>,
    pub(super) is_second_master: bool,
    pub(super) releases: u64,
    /// From the last valid advert with a priority above 0, or the next best.
    pub(super) claims: Claims,
    /// Whether `claims` are from a valid advert, and from a master. Claims of a lower rank do not replace them.
    claims_rank: (bool, bool),
    /// In the order of [`DropReason::ALL`]: the last wrong value, and how often there was one.
    pub(super) faults: [(u8, u64); FAULTS],
}

pub(super) const FAULTS: usize = DropReason::ALL.len();

/// A source of packets that are not VRRP messages.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) interface: usize,
    pub(super) from: IpAddr,
    /// Of the last one.
    pub(super) why: String,
    pub(super) packets: u64,
}

/// The fields of a message, right or wrong.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) priority: u8,
    /// `None` for 0.
    pub(super) interval: Option<Interval>,
    /// VRRPv2: the type, and the password where it is one.
    pub(super) auth: Option<(u8, Option<Password>)>,
    /// `None` if it was not checked or is wrong.
    pub(super) checksum: Option<V3Checksum>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Heard {
    /// Records a VRRP message that arrived on `interface` in `envelope`.
    pub(super) fn message(&mut self, now: Instant, interface: usize, octets: &[u8], envelope: Envelope) {
        let from = envelope.from;
        let Some(header) = Header::read(octets) else {
            return self.unreadable(interface, from, "the message is shorter than a VRRP header");
        };
        let family = Family::of(from);
        let mut faults = [None; FAULTS];
        if envelope.ttl != TTL && envelope.to.is_multicast() {
            faults[DropReason::Ttl as usize] = Some(envelope.ttl);
        }
        let parsed = Advert::parse(octets, Envelope { ttl: TTL, ..envelope });
        let claims = Claims::new(&header, header.addresses(octets, family), parsed.as_ref().ok());
        if let Err(reason) = parsed {
            faults[reason as usize] =
                Some(if reason == DropReason::Type { header.kind } else { header.version });
        }
        // The parser stops at the first fault and misses these.
        for (reason, value) in header.faults() {
            faults[reason as usize] = Some(value);
        }
        self.record(now, ((interface, family, header.vrid), from, header.version), claims, &faults);
    }

    /// Records a packet that arrived on `interface`, whether or not the firewall lets it pass.
    pub(super) fn arrived(&mut self, interface: usize, from: IpAddr, vrid: u8) {
        if self.arrived.len() < MAX_SOURCES {
            sorted::insert(&mut self.arrived, (interface, from, vrid));
        }
    }

    /// What arrived, but did not pass the firewall.
    pub(super) fn dropped(&self) -> Vec<(usize, IpAddr, u8)> {
        let passed = |&&(interface, from, vrid): &&(usize, IpAddr, u8)| {
            let (speakers, unreadable) = (&self.speakers, &self.unreadable);
            speakers.iter().any(|s| (s.group.0, s.from, s.group.2) == (interface, from, vrid))
                || unreadable.iter().any(|u| (u.interface, u.from) == (interface, from))
        };
        // If not all that passed are known, nothing is said.
        let arrived = self.arrived.iter().filter(|_| self.unlisted == 0);
        arrived.filter(|one| !passed(one)).copied().collect()
    }

    /// Records a packet that is not a VRRP message.
    pub(super) fn unreadable(&mut self, interface: usize, from: IpAddr, why: &str) {
        let known = self.unreadable.iter_mut().find(|u| (u.interface, u.from) == (interface, from));
        if let Some(known) = known {
            why.clone_into(&mut known.why);
            known.packets += 1;
        } else if self.unreadable.len() == MAX_SOURCES {
            self.unlisted += 1;
        } else {
            self.unreadable.push(Unreadable { interface, from, why: why.to_owned(), packets: 1 });
        }
    }

    fn record(&mut self, now: Instant, key: Key, claims: Claims, faults: &[Option<u8>; FAULTS]) {
        let at = self.speakers.partition_point(|speaker| speaker.key() < key);
        if self.speakers.get(at).is_none_or(|speaker| speaker.key() != key) {
            if self.speakers.len() == MAX_SOURCES {
                self.unlisted += 1;
                return;
            }
            self.speakers.insert(at, Speaker::new(key));
        }
        if self.speakers[at].record(now, claims, faults) {
            self.compare_masters(now, at);
        }
    }

    /// Looks for other masters after the speaker at `at` has advertised as master.
    fn compare_masters(&mut self, now: Instant, at: usize) {
        let Speaker { group, from, .. } = self.speakers[at];
        let masters = || self.speakers.iter().filter(|s| s.group == group && s.is_master(now));
        let is_only_master = masters().all(|s| s.from == from);
        let handover = masters().map(|s| s.interval() * HANDOVER).max().unwrap_or_default();
        let speaker = &mut self.speakers[at];
        if is_only_master {
            speaker.rival_since = None;
        } else {
            let since = *speaker.rival_since.get_or_insert(now);
            speaker.is_second_master |= now.since(since) >= handover;
        }
    }

    /// The speakers of each virtual router.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Speaker]> {
        self.speakers.chunk_by(|a, b| a.group == b.group)
    }

    /// The lowest VRID that did not arrive and is not among `ours`.
    pub(super) fn free_vrid(&self, ours: &[Vrid]) -> Option<Vrid> {
        let mut in_use = [false; 256];
        let heard = self.speakers.iter().map(|speaker| speaker.group.2);
        for vrid in heard.chain(self.arrived.iter().map(|(_, _, vrid)| *vrid)) {
            in_use[usize::from(vrid)] = true;
        }
        let is_free = |vrid: &Vrid| !ours.contains(vrid) && !in_use[usize::from(vrid.octet())];
        (1..=u8::MAX).filter_map(Vrid::new).find(is_free)
    }
}

/// Identifies a speaker.
type Key = (Group, IpAddr, u8);

impl Speaker {
    fn new((group, from, version): Key) -> Self {
        Self {
            group,
            from,
            version,
            packets: 0,
            valid: 0,
            master_at: None,
            rival_since: None,
            is_second_master: false,
            releases: 0,
            claims: Claims { priority: 0, interval: None, auth: None, checksum: None, addresses: vec![] },
            claims_rank: (false, false),
            faults: [(0, 0); FAULTS],
        }
    }

    fn key(&self) -> Key {
        (self.group, self.from, self.version)
    }

    /// Returns whether this advert is a valid one of a master.
    fn record(&mut self, now: Instant, claims: Claims, faults: &[Option<u8>; FAULTS]) -> bool {
        self.packets += 1;
        for (known, fault) in self.faults.iter_mut().zip(faults) {
            if let Some(value) = fault {
                *known = (*value, known.1 + 1);
            }
        }
        let (valid, is_master) = (faults.iter().all(Option::is_none), claims.priority > 0);
        if (valid, is_master) >= self.claims_rank {
            (self.claims, self.claims_rank) = (claims, (valid, is_master));
        }
        if valid {
            if !self.is_master(now) {
                self.rival_since = None;
            }
            self.valid += 1;
            self.releases += u64::from(!is_master);
            self.master_at = is_master.then_some(now);
        }
        valid && is_master
    }

    /// Whether the next advert of this master is not yet overdue by half an interval.
    fn is_master(&self, now: Instant) -> bool {
        self.master_at.is_some_and(|at| now.since(at) <= self.interval() * 3 / 2)
    }

    fn interval(&self) -> Duration {
        self.claims.interval.map_or(Duration::ZERO, Interval::duration)
    }
}

impl Claims {
    /// `valid` is the parsed message, if it is a valid advert.
    fn new(header: &Header, addresses: Vec<IpAddr>, valid: Option<&Advert>) -> Self {
        let password = valid.and_then(|advert| Password::new(&advert.password?));
        Self {
            priority: header.priority,
            interval: header.interval(),
            auth: header.auth_type().map(|auth_type| (auth_type, password)),
            checksum: valid.map(|advert| advert.checksum),
            addresses,
        }
    }

    /// In any order.
    pub(super) fn same_addresses(&self, other: &Self) -> bool {
        self.addresses.len() == other.addresses.len()
            && self.addresses.iter().all(|address| other.addresses.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::vrrp::{GROUP_V4, GROUP_V6, Priority, Version};

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
        heard.message(Instant::from_millis(ms), 0, &octets, envelope);
    }

    fn two_masters(heard: &Heard) -> bool {
        assert_eq!(heard.groups().count(), 1);
        heard.speakers.iter().any(|speaker| speaker.is_second_master)
    }

    #[test]
    fn two_that_keep_advertising_are_two_masters() {
        let mut heard = Heard::default();
        for second in 0..3 {
            assert!(second == 0 || !two_masters(&heard), "{second} s");
            hear(&mut heard, second * 1_000, "10.0.0.11", &advert(51, 200));
            hear(&mut heard, second * 1_000 + 400, "10.0.0.12", &advert(51, 100));
        }
        assert!(two_masters(&heard));
    }

    /// One yields, the other takes over in milliseconds, and both still send an advert; later it goes back.
    #[test]
    fn a_handover_and_failback_are_not_two_masters() {
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
            assert!(!two_masters(&heard), "{ms} ms");
        }
        let last = heard.speakers.iter().map(|s| (s.claims.priority, s.releases));
        assert_eq!(last.collect::<Vec<_>>(), [(13, 1), (12, 0)]);
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
    fn what_arrives_and_is_not_received_was_dropped() {
        let mut heard = Heard::default();
        let from = |n| IpAddr::from([10, 0, 0, n]);
        for n in [11, 12, 13] {
            heard.arrived(0, from(n), 51);
        }
        heard.arrived(1, from(11), 51);
        hear(&mut heard, 0, "10.0.0.11", &advert(51, 100));
        heard.unreadable(0, from(12), "the packet is a fragment");
        assert_eq!(heard.dropped(), [(0, from(13), 51), (1, from(11), 51)]);
        heard.arrived(0, from(13), 1);
        assert_eq!(heard.free_vrid(&[]), Vrid::new(2), "one that is dropped is in use");
        heard.unlisted = 1;
        assert_eq!(heard.dropped(), []);
    }

    #[test]
    fn a_flood_under_forged_addresses_is_counted_and_not_kept() {
        let mut heard = Heard::default();
        for n in 0..1_500_u32 {
            hear(&mut heard, 0, &Ipv4Addr::from(0x0a00_0000 + n).to_string(), &advert(51, 100));
            heard.unreadable(0, Ipv4Addr::from(n).into(), "the packet is a fragment");
        }
        assert_eq!((heard.speakers.len(), heard.unreadable.len()), (MAX_SOURCES, MAX_SOURCES));
        assert_eq!(heard.unlisted, 1_000);
        hear(&mut heard, 0, "10.0.0.0", &advert(51, 100));
        assert_eq!(heard.speakers[0].packets, 2, "a known speaker is still counted");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..80), v6: bool, ttl: u8) {
            let (from, to) = if v6 { ("fe80::1".parse().unwrap(), GROUP_V6.into()) }
                             else { ("10.0.0.1".parse().unwrap(), GROUP_V4.into()) };
            let mut heard = Heard::default();
            heard.message(Instant::START, 0, &octets, Envelope { from, to, ttl });
            prop_assert_eq!(heard.speakers.len(), usize::from(octets.len() >= 8));
            prop_assert_eq!(heard.unreadable.len(), usize::from(octets.len() < 8));
        }
    }
}
