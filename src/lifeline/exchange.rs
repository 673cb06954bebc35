//! What the two ends of a connection have told each other: a backup its priorities, a master the priority of the successor
//! that it named. Tells only what has changed, and no faster than any peer accepts. Chooses no successor.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::frame::{Frame, Priorities, Routers};
use super::pace::Budget;
use crate::time::Instant;

/// The most frames at once, then one a second: a peer accepts 64, of all kinds.
const FRAMES: u32 = 8;
/// The most that are kept of a peer: every VRID with four addresses.
const MOST: usize = 1_024;
/// A successor is named again soon, because it may just have begun to follow us, and then now and then: a name does not
/// last (`vrrp/backup.rs`).
const SOON: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(10);

/// A priority of the backup of a virtual router: the master's address, the VRID, and the priority; 0: none.
pub type Standing = (IpAddr, u8, u8);

/// What successors are chosen by.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    /// The virtual routers that we are master of.
    pub masters: Vec<Routers>,
    /// With which priorities backups here follow each master.
    pub standby: Vec<Standing>,
}

#[derive(Debug)]
pub(super) struct Exchange {
    /// With which priorities we follow masters there; `None`: not told yet.
    ours: Option<Told>,
    /// With which priorities the other end follows us; `None`: it is an older vrrp-init.
    theirs: Option<Told>,
    /// What we have named the other end, and it us.
    named: Told,
    named_us: Told,
    pace: Budget,
    /// Not everything could be told yet.
    behind: bool,
    renew_at: Instant,
}

impl Exchange {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ours: None,
            theirs: None,
            named: Told::default(),
            named_us: Told::default(),
            pace: Budget::new(FRAMES, now),
            behind: false,
            renew_at: now,
        }
    }

    /// When more can be told, if not everything could.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.behind.then(|| self.pace.next())
    }

    /// Whether to name again what was named.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.renew_at <= now && !self.named.is_empty()
    }

    /// Whether the other end tells its priorities at all.
    pub(super) fn is_told(&self) -> bool {
        self.theirs.is_some()
    }

    /// With which priority the other end follows the virtual router of ours with this VRID at this address.
    pub(super) fn standby(&self, from: IpAddr, vrid: u8) -> Option<u8> {
        self.theirs.as_ref()?.of(from, vrid)
    }

    pub(super) fn learn_standby(&mut self, news: &Priorities) {
        self.theirs.get_or_insert_default().learn(news);
    }

    /// The other end has named us. Returns what holds from now on.
    pub(super) fn learn_named(&mut self, news: &Priorities) -> Vec<Standing> {
        self.named_us.learn(news);
        let mut all = self.named_us.0.clone();
        all.extend(news.of.iter().filter(|(_, priority)| *priority == 0).map(|of| (news.from, of.0, 0)));
        all
    }

    /// What the other end has named us is void. Returns what it was, with 0.
    pub(super) fn take_named(&mut self) -> Vec<Standing> {
        let mut all = std::mem::take(&mut self.named_us.0);
        for named in &mut all {
            named.2 = 0;
        }
        all
    }

    /// We are no longer master: the goodbye has said so.
    pub(super) fn forget_named(&mut self) {
        self.named = Told::default();
    }

    /// What to tell so that the other end knows all of this. `standby`: `None` if it cannot be master.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        standby: Option<&[Standing]>,
        named: &[Standing],
    ) -> Vec<Frame> {
        let mut frames = vec![];
        if let Some(standby) = standby {
            // An empty one says that we tell them.
            let first = self.ours.is_none().then(|| nothing_new(Frame::Standby));
            let changes = self.ours.get_or_insert_default().changes(standby);
            frames.extend(first.into_iter().chain(changes.into_iter().map(Frame::Standby)));
        }
        let is_due = self.is_due(now);
        let changes = self.named.changes(named);
        if !changes.is_empty() || is_due {
            self.renew_at = now + if changes.is_empty() { AGAIN } else { SOON };
        }
        let renewal = (is_due && changes.is_empty()).then(|| nothing_new(Frame::Successor));
        frames.extend(changes.into_iter().map(Frame::Successor).chain(renewal));
        let most = frames.len();
        frames.retain(|_| self.pace.take(now));
        self.behind = frames.len() < most;
        for frame in &frames {
            match frame {
                Frame::Standby(told) => self.ours.get_or_insert_default().learn(told),
                Frame::Successor(told) => self.named.learn(told),
                Frame::Greeting { .. } | Frame::Guarded(_) | Frame::Goodbye | Frame::Routers(_) => {}
            }
        }
        frames
    }
}

fn nothing_new(frame: fn(Priorities) -> Frame) -> Frame {
    frame(Priorities { from: Ipv4Addr::UNSPECIFIED.into(), of: vec![] })
}

/// The priorities of virtual routers, by address and VRID, without those that are 0.
#[derive(Debug, Default)]
struct Told(Vec<Standing>);

impl Told {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn at(&self, from: IpAddr, vrid: u8) -> Result<usize, usize> {
        self.0.binary_search_by_key(&(from, vrid), |(from, vrid, _)| (*from, *vrid))
    }

    fn of(&self, from: IpAddr, vrid: u8) -> Option<u8> {
        self.at(from, vrid).ok().map(|at| self.0[at].2)
    }

    fn learn(&mut self, news: &Priorities) {
        for &(vrid, priority) in &news.of {
            self.set((news.from, vrid, priority));
        }
    }

    fn set(&mut self, new: Standing) {
        match self.at(new.0, new.1) {
            Ok(at) if new.2 == 0 => _ = self.0.remove(at),
            Ok(at) => self.0[at] = new,
            Err(at) if new.2 > 0 && self.0.len() < MOST => self.0.insert(at, new),
            Err(_) => {}
        }
    }

    /// What has to be told so that exactly this is known, a frame each.
    fn changes(&self, wanted: &[Standing]) -> Vec<Priorities> {
        let mut changes: Vec<Priorities> = vec![];
        let mut change = |(from, vrid, priority): Standing| {
            let same = |frame: &&mut Priorities| frame.from == from && frame.of.len() < Priorities::MOST;
            match changes.iter_mut().find(same) {
                Some(frame) => frame.of.push((vrid, priority)),
                None => changes.push(Priorities { from, of: vec![(vrid, priority)] }),
            }
        };
        for old in &self.0 {
            if !wanted.iter().any(|new| (new.0, new.1) == (old.0, old.1)) {
                change((old.0, old.1, 0));
            }
        }
        for new in wanted {
            if self.of(new.0, new.1) != Some(new.2) {
                change(*new);
            }
        }
        changes
    }
}
