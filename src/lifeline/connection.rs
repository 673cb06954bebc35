//! One TCP connection to another host: who may speak on it, and what each end has announced. Opens and closes nothing.

use std::net::IpAddr;
use std::time::Duration;

use super::exchange::Exchange;
use super::frame::{Decoder, Frame, Guarded, Identity, Malformed, Routers};
use super::pace::Budget;
use crate::ids::LifelineId;
use crate::time::Instant;

/// How long a master may take to greet.
const GREETING_WITHIN: Duration = Duration::from_secs(2);
/// Without an answer for this long, something drops our packets.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The most frames that a peer may send at once.
const FRAMES: u32 = 64;
/// The most source addresses that each end names.
const SOURCES: usize = 32;

/// An address of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: IpAddr,
    /// The index of the link, for a link-local address; otherwise 0.
    pub scope: u32,
}

/// Which end may be the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// We have opened it, so the other end is the master.
    Opened,
    /// The other end has opened it, so we are the master.
    Accepted,
    /// Both ends use the port of the lifeline. Each may be master.
    Both,
}

/// What the other end has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing since this moment: its end means nothing.
    Quiet(Instant),
    Greeting {
        identity: Identity,
        guarded: Guarded,
    },
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: LifelineId,
    pub(super) remote: Endpoint,
    pub(super) way: Way,
    /// The other end connected to our listener.
    pub(super) accepted: bool,
    /// When it was established.
    open: Option<Instant>,
    started: Instant,
    pub(super) heard: Heard,
    /// What we have greeted with.
    said: Option<Guarded>,
    /// Which virtual routers the processes at either end have, as far as they have said it.
    pub(super) theirs: Vec<Routers>,
    ours: Vec<Routers>,
    /// What both ends have told each other about priorities.
    pub(super) exchange: Exchange,
    decoder: Decoder,
    frames: Budget,
}

impl Connection {
    /// One that we are about to open.
    pub(super) fn opening(id: LifelineId, remote: Endpoint, now: Instant) -> Self {
        Self {
            id,
            remote,
            way: Way::Opened,
            accepted: false,
            open: None,
            started: now,
            heard: Heard::Quiet(now),
            said: None,
            theirs: vec![],
            ours: vec![],
            exchange: Exchange::new(now),
            decoder: Decoder::default(),
            frames: Budget::new(FRAMES, now),
        }
    }

    /// One that our listener has accepted.
    pub(super) fn accepted(id: LifelineId, remote: Endpoint, way: Way, now: Instant) -> Self {
        Self { way, accepted: true, open: Some(now), ..Self::opening(id, remote, now) }
    }

    /// It was established.
    pub(super) fn establish(&mut self, now: Instant) {
        self.open = Some(now);
        self.heard = Heard::Quiet(now);
    }

    /// Since when it is established.
    pub(super) fn open_since(&self) -> Option<Instant> {
        self.open
    }

    /// The process at the other end, while its death counts.
    pub(super) fn identity(&self) -> Option<Identity> {
        match self.heard {
            Heard::Quiet(_) => None,
            Heard::Greeting { identity, .. } => Some(identity),
        }
    }

    /// Whether its other end may be master: only that is worth a wait.
    pub(super) fn may_hear(&self) -> bool {
        self.way != Way::Accepted
    }

    /// Whether our death counts at the other end.
    pub(super) fn has_greeted(&self) -> bool {
        self.said.is_some()
    }

    /// When to give up on an answer or on a greeting, if one is missing. `since`: since when it is needed.
    pub(super) fn patience(&self, since: Instant) -> Option<Instant> {
        match (self.open, self.heard) {
            (None, _) => Some(self.started + ANSWER_WITHIN),
            (Some(_), Heard::Quiet(quiet)) => Some(quiet.max(since) + GREETING_WITHIN),
            (Some(_), Heard::Greeting { .. }) => None,
        }
    }

    /// What to send so that the other end knows what our death means, and for which routers. `guarded`: `None` if we are no master.
    pub(super) fn announce(
        &mut self,
        identity: Identity,
        guarded: Option<Guarded>,
        routers: &[Routers],
    ) -> Vec<u8> {
        if self.open.is_none() {
            return vec![];
        }
        let greeting = if self.way == Way::Opened { None } else { self.greet(identity, guarded) };
        let routers = routers.get(..SOURCES).unwrap_or(routers);
        let gone = self.ours.iter().filter(|said| !routers.iter().any(|now| now.from == said.from));
        let gone: Vec<_> = gone.map(|said| Routers::at(said.from)).collect();
        let new = routers.iter().copied().filter(|now| !self.ours.contains(now));
        let frames = greeting.into_iter().chain(new.chain(gone).map(Frame::Routers));
        let octets = frames.flat_map(|frame| frame.octets()).collect();
        self.ours = routers.to_vec();
        octets
    }

    fn greet(&mut self, identity: Identity, guarded: Option<Guarded>) -> Option<Frame> {
        let before = std::mem::replace(&mut self.said, guarded);
        match (before, guarded) {
            (None, Some(guarded)) => Some(Frame::Greeting { identity, guarded }),
            (Some(before), Some(now)) if before != now => Some(Frame::Guarded(now)),
            (Some(_), None) => {
                self.exchange.forget_named();
                Some(Frame::Goodbye)
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// The other end has these virtual routers.
    pub(super) fn learn(&mut self, routers: Routers) {
        self.theirs.retain(|known| known.from != routers.from);
        if self.theirs.len() < SOURCES && !routers.is_empty() {
            self.theirs.push(routers);
        }
    }

    /// Whether both ends have one of these.
    pub(super) fn has_any(&self, routers: &[Routers]) -> bool {
        self.theirs.iter().any(|theirs| routers.iter().any(|ours| ours.overlap(theirs)))
    }

    /// Whether the process there says that it has this virtual router of the family of `from`, wherever.
    pub(super) fn speaks_for(&self, from: IpAddr, vrid: u8) -> bool {
        let same = |routers: &Routers| routers.from.is_ipv4() == from.is_ipv4() && routers.has(vrid);
        self.theirs.iter().any(same)
    }

    /// The frames that are complete with `octets`.
    pub(super) fn receive(&mut self, now: Instant, octets: &[u8]) -> Result<Vec<Frame>, Malformed> {
        self.decoder.push(octets);
        let mut frames = vec![];
        while let Some(frame) = self.decoder.next() {
            if !self.frames.take(now) {
                return Err(Malformed::NotALifeline);
            }
            frames.extend(frame?);
        }
        Ok(frames)
    }
}

/// Whether a process speaks for the virtual router with this VRID of a master, or does not say for which it does.
pub fn speaks(routers: &[Routers], master: Endpoint, vrid: u8) -> bool {
    routers.is_empty() || routers.iter().any(|routers| routers.from == master.address && routers.has(vrid))
}
