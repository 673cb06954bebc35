//! Listens and asks on the wire for a second: whose adverts arrive there, which of them pass this host's firewall, and who
//! answers for the virtual addresses. Judges nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use super::facts::Facts;
use super::link::chosen_link;
use super::wire::{Advert, Wire};
use crate::config::Config;
use crate::ids::PortId;
use crate::sorted;
use crate::sys::Error;
use crate::sys::claims::Claims;
use crate::sys::neighbor::Announcer;
use crate::sys::poller::Clock;
use crate::sys::socket::{BUFFER, Received, Socket};
use crate::sys::tap::{Arrival, Tap};
use crate::token::{Poller, Token};
use crate::vrrp::Family;

/// How long to listen: an advert of a router with the default interval arrives within it.
const TIME: Duration = Duration::from_millis(1_100);
/// When to ask again: a question or an answer can be lost.
const AGAIN: Duration = Duration::from_millis(300);
/// How long a packet that has arrived may take through the firewall.
const SETTLE: Duration = Duration::from_millis(50);
/// The most addresses to ask for on one link, and the most adverts and answers to keep.
const MOST: usize = 200;
/// The most packets to read at once.
const BATCH: usize = 64;
const ALL_HOSTS: [u8; 6] = [0xff; 6];

/// One link and address family that a router uses.
struct Lane {
    index: u32,
    name: String,
    family: Family,
    /// An address of ours to ask from.
    source: Option<IpAddr>,
    /// Those that this host does not have.
    addresses: Vec<IpAddr>,
}

/// The sockets of a lane.
struct Listener {
    raw: Socket,
    tap: Tap,
    /// `None` if the link is not Ethernet.
    questions: Option<(Announcer, Claims)>,
    lane: Lane,
}

/// What was heard, each thing once and in order.
#[derive(Default)]
struct Record {
    arrived: Vec<(u32, Arrival)>,
    passed: Vec<(u32, IpAddr)>,
    answers: Vec<(u32, IpAddr, [u8; 6])>,
}

/// Takes about a second; `None`, at once, if a capability is missing or no link is up.
///
/// # Errors
/// The kernel is out of descriptors or memory.
pub(crate) fn listen(config: &Config, facts: &Facts) -> Result<Option<Wire>, Error> {
    let lanes = if facts.missing.is_empty() { lanes(config, facts) } else { vec![] };
    let poller = Poller::new(Clock::start()?)?;
    let listeners: Vec<_> = lanes.into_iter().filter_map(Listener::open).collect();
    for (n, listener) in (0..).zip(&listeners) {
        let token = Token::Port(PortId(n));
        poller.watch(listener.raw.as_fd(), token)?;
        poller.watch(listener.tap.as_fd(), token)?;
        if let Some((_, claims)) = &listener.questions {
            poller.watch(claims.as_fd(), token)?;
        }
    }
    if listeners.is_empty() {
        return Ok(None);
    }
    let (start, mut record, mut buffer) = (poller.now(), Record::default(), vec![0; BUFFER]);
    let end = start + TIME;
    for until in [start + AGAIN, end] {
        listeners.iter().for_each(Listener::ask);
        while poller.now() < until {
            for token in poller.wait(Some(until))? {
                let settled = poller.now() + SETTLE < end;
                if let Token::Port(PortId(n)) = token {
                    listeners[n as usize].read(settled, &mut buffer, &mut record);
                }
            }
        }
    }
    let adverts = record.arrived.into_iter().map(|(link, Arrival { from, vrid, mac })| Advert {
        link,
        from,
        vrid,
        mac,
        passed: record.passed.binary_search(&(link, from)).is_ok(),
    });
    let asked = listeners.iter().filter(|heard| heard.questions.is_some() && heard.lane.source.is_some());
    let asked =
        asked.flat_map(|Listener { lane, .. }| lane.addresses.iter().map(|address| (lane.index, *address)));
    Ok(Some(Wire { adverts: adverts.collect(), asked: asked.collect(), answers: record.answers }))
}

/// The links of the routers that are up, each once for each family.
fn lanes(config: &Config, facts: &Facts) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = vec![];
    let interfaces = &facts.interfaces;
    for router in &config.routers {
        let (Some(link), _) = chosen_link(router, facts) else { continue };
        if !link.up {
            continue;
        }
        let (family, index) = (router.family(), link.index);
        let known = lanes.iter().position(|lane| (lane.index, lane.family) == (index, family));
        let at = known.unwrap_or_else(|| {
            let source = match family {
                // A probe names no sender.
                Family::V4 => Some(Ipv4Addr::UNSPECIFIED.into()),
                Family::V6 => interfaces.source(family, index, &[]),
            };
            lanes.push(Lane { index, name: link.name.clone(), family, source, addresses: vec![] });
            lanes.len() - 1
        });
        let is_here = |address| interfaces.addresses().iter().any(|own| own.address == address);
        let on_link =
            router.all_addresses().filter(|vip| vip.device.as_deref().is_none_or(|name| link.is_named(name)));
        let wanted = on_link.map(|vip| vip.address);
        let wanted = wanted.filter(|address| Family::of(*address) == family && !is_here(*address));
        lanes[at].addresses.extend(wanted);
        lanes[at].addresses.truncate(MOST);
    }
    lanes
}

impl Listener {
    /// `None` if this host lacks the family.
    fn open(lane: Lane) -> Option<Self> {
        let Lane { index, name, family, addresses, .. } = &lane;
        let raw = Socket::open_for_all(name, *index, *family).ok()?;
        let tap = Tap::open(name, *family).ok()?;
        let watched: Vec<_> = addresses.iter().map(|address| (*address, None)).collect();
        let claims = || Claims::open(name, *family, &watched).ok();
        let questions = Announcer::open(name).ok().filter(|_| !watched.is_empty()).zip(claims());
        Some(Self { raw, tap, questions, lane })
    }

    fn ask(&self) {
        let Some(((announcer, _), source)) = self.questions.as_ref().zip(self.lane.source) else { return };
        for address in &self.lane.addresses {
            // A question that is not sent has no answer.
            let _ = announcer.solicit(source, *address, Some(ALL_HOSTS));
        }
    }

    /// Packets that arrive unless `settled` may still be on their way through the firewall.
    fn read(&self, settled: bool, buffer: &mut [u8], record: &mut Record) {
        let Record { arrived, passed, answers } = record;
        let Lane { index, addresses, .. } = &self.lane;
        let arrivals = self.tap.read(BATCH).into_iter().filter(|_| settled);
        for arrival in arrivals.take(MOST.saturating_sub(arrived.len())) {
            sorted::insert(arrived, (*index, arrival));
        }
        for _ in 0..BATCH {
            let from = match self.raw.receive(buffer) {
                Ok(Some(Received::Datagram(datagram))) => datagram.from,
                Ok(Some(Received::Faulty { from, .. })) => from,
                Ok(None) | Err(_) => break,
            };
            if passed.len() < MOST {
                sorted::insert(passed, (*index, from));
            }
        }
        let claims = self.questions.iter().flat_map(|(_, claims)| claims.read());
        let claims = claims.filter(|claim| addresses.contains(&claim.address));
        for claim in claims.take(MOST.saturating_sub(answers.len())) {
            sorted::insert(answers, (*index, claim.address, claim.mac));
        }
    }
}
