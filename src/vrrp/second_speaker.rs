//! Recognizes two routers of one VRID behind one address, as with a second daemon on a host: the priorities of their
//! adverts alternate.

use std::net::IpAddr;
use std::time::Duration;

use super::event::Peer;
use super::units::Priority;
use crate::time::Instant;

/// One router advertises once in an interval, so its priority changes at most this often in one and a half.
const CHANGES: u8 = 2;

/// The priorities that one address advertises.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct SecondSpeaker {
    address: IpAddr,
    priority: Priority,
    /// The first of the counted changes.
    since: Instant,
    changes: u8,
}

impl SecondSpeaker {
    fn new(now: Instant, peer: Peer) -> Self {
        Self { address: peer.address, priority: peer.priority, since: now, changes: 0 }
    }

    /// An advert of `peer`, which advertises every `interval`. Returns the two priorities, the higher one first, if a
    /// single router cannot have sent this and the adverts before it. A router that yields sends priority 0 between two
    /// priorities, and may do so at any time.
    pub(super) fn hear(
        heard: &mut Option<Self>,
        now: Instant,
        peer: Peer,
        interval: Duration,
    ) -> Option<[Priority; 2]> {
        if peer.priority == Priority::RELEASE {
            *heard = None;
            return None;
        }
        let known = heard.get_or_insert(Self::new(now, peer));
        if known.address != peer.address {
            *known = Self::new(now, peer);
        }
        let before = std::mem::replace(&mut known.priority, peer.priority);
        if before == peer.priority {
            return None;
        }
        if known.changes == 0 || now.since(known.since) >= interval * 3 / 2 {
            (known.since, known.changes) = (now, 0);
        }
        known.changes += 1;
        if known.changes <= CHANGES {
            return None;
        }
        known.changes = 0;
        Some([before.max(peer.priority), before.min(peer.priority)])
    }
}
