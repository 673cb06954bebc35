//! What can be done to the hosts, and what follows from it: which of them could be master, and how good each is. Knows no
//! clock and no kernel; `tests/pure/chaos.rs` tests it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The program on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    /// Ours with `FAST_FAILOVER=false`.
    ByTheRfc,
    Keepalived,
}

/// The hosts of one sequence, the best one first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    pub(crate) programs: &'static [Program],
    /// Milliseconds between two adverts.
    pub(crate) advert_ms: u64,
    /// Whether there is an IPv6 address beside the IPv4 one.
    pub(crate) v6: bool,
}

use Program::{ByTheRfc, Keepalived, Ours};

/// A sequence takes one of them by its seed, so that consecutive seeds take all.
pub(crate) const CONFIGURATIONS: [Configuration; 6] = [
    Configuration { name: "two of ours, 1 s", programs: &[Ours, Ours], advert_ms: 1_000, v6: false },
    Configuration {
        name: "three of ours, 0.1 s, IPv4 and IPv6",
        programs: &[Ours, Ours, Ours],
        advert_ms: 100,
        v6: true,
    },
    Configuration {
        name: "ours and keepalived, 1 s",
        programs: &[Ours, Keepalived],
        advert_ms: 1_000,
        v6: false,
    },
    Configuration {
        name: "three of ours, one by the RFC, 1 s, IPv4 and IPv6",
        programs: &[Ours, ByTheRfc, Ours],
        advert_ms: 1_000,
        v6: true,
    },
    Configuration { name: "two of ours, 0.1 s", programs: &[Ours, Ours], advert_ms: 100, v6: false },
    Configuration {
        name: "keepalived and two of ours, 1 s",
        programs: &[Keepalived, Ours, Ours],
        advert_ms: 1_000,
        v6: false,
    },
];

/// The priorities of the hosts without their service, and what the service adds.
pub(crate) const PRIORITIES: [u8; 3] = [100, 90, 80];
pub(crate) const WEIGHT: u8 = 60;
/// What a changed setting takes away, so that any other host with its service is better.
pub(crate) const LOWERED: u8 = 45;
/// More than any time from a change of the service to the check that sees it.
const CHECK: Duration = Duration::from_secs(1);

impl Configuration {
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.advert_ms)
    }

    /// The longest skew: of the lowest priority.
    pub(crate) fn skew(&self) -> Duration {
        self.interval() * (256 - u32::from(PRIORITIES[2])) / 256
    }

    pub(crate) fn master_down(&self) -> Duration {
        self.interval() * 3 + self.skew()
    }

    /// The default lease of our daemon.
    pub(crate) fn lease(&self) -> Duration {
        let down = self.master_down();
        Duration::from_secs((down.as_secs() + u64::from(down.subsec_nanos() > 0)).max(3))
    }

    /// The longest time without a holder while a host could be one.
    pub(crate) fn none_limit(&self) -> Duration {
        self.master_down() + self.skew() + Duration::from_millis(500)
    }

    /// The longest time with two holders that hear each other.
    pub(crate) fn several_limit(&self) -> Duration {
        self.lease() + Duration::from_millis(1_500)
    }

    /// The time from the last event until the best host is the one holder.
    pub(crate) fn settle(&self) -> Duration {
        CHECK + self.several_limit().max(self.none_limit())
    }
}

/// One event. Hosts are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Starts the router and its service.
    Start(usize),
    /// SIGKILL to the router, with which its service dies.
    Kill(usize),
    /// SIGTERM.
    Stop(usize),
    Pause(usize),
    Resume(usize),
    /// The drain file is there: this host takes no part, even if nobody else can.
    Drain(usize),
    Undrain(usize),
    /// A lower PRIORITY in the file of variables, while it runs.
    LowerPriority(usize),
    /// By SIGHUP as well.
    RestorePriority(usize),
    Unplug(usize),
    PlugIn(usize),
    /// `ip link set down` on the host.
    LinkDown(usize),
    LinkUp(usize),
    /// Frames from one host do not reach another.
    Cut(usize, usize),
    Heal(usize, usize),
    /// So many percent of the frames from and to a host are lost.
    Lose(usize, u8),
    EndLoss(usize),
    DeleteVip(usize),
    /// Replaces a virtual address by the same one with the prefix of the subnet, which is not the router's to remove.
    ChangePrefix(usize),
    /// Deletes that one.
    RestorePrefix(usize),
    /// The kernel will remove the virtual address after one second.
    ShortenVip(usize),
    DeleteOwnAddress(usize),
    RestoreOwnAddress(usize),
    KillService(usize),
    StartService(usize),
    ReloadService(usize),
    /// Forged adverts of two priorities in turn, a thousand a second.
    Flood(u8, u8),
    EndFlood,
    /// So many processes that never sleep.
    Hog(usize),
    EndHog,
}

impl Act {
    /// Whether it counts from its begin. What makes a host able counts from its end.
    pub(crate) fn counts_from_begin(self) -> bool {
        !matches!(
            self,
            Self::Start(_)
                | Self::Resume(_)
                | Self::Undrain(_)
                | Self::RestorePriority(_)
                | Self::PlugIn(_)
                | Self::LinkUp(_)
                | Self::Heal(..)
                | Self::EndLoss(_)
                | Self::RestoreOwnAddress(_)
                | Self::RestorePrefix(_)
                | Self::StartService(_)
                | Self::EndFlood
                | Self::EndHog
        )
    }
}

/// What is wrong with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Its router does not run.
    Dead,
    Paused,
    Drained,
    /// Its priority is lower.
    Lowered,
    Unplugged,
    LinkDown,
    NoOwnAddress,
    NoService,
    /// Somebody put the virtual address there with another prefix.
    ForeignVip,
}

#[derive(Clone, Debug)]
pub(crate) struct HostState {
    troubles: BTreeSet<Trouble>,
    /// When it last became able to be master.
    pub(crate) able_since: Option<Duration>,
}

impl HostState {
    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    /// Whether its router can act.
    pub(crate) fn runs(&self) -> bool {
        !self.has(Trouble::Dead) && !self.has(Trouble::Paused)
    }

    fn is_able(&self) -> bool {
        let takes_part = self.runs() && !self.has(Trouble::Drained);
        takes_part && self.is_connected() && !self.has(Trouble::NoOwnAddress)
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.has(Trouble::Unplugged) && !self.has(Trouble::LinkDown)
    }
}

/// What the events so far have made of the hosts.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) configuration: Configuration,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) cuts: BTreeSet<(usize, usize)>,
    pub(crate) losses: BTreeMap<usize, u8>,
    pub(crate) flooded: bool,
    pub(crate) flood_ended: Duration,
    /// The time of the last event.
    pub(crate) changed: Duration,
}

impl World {
    /// No host runs yet.
    pub(crate) fn new(configuration: Configuration) -> Self {
        let stopped = HostState { troubles: [Trouble::Dead, Trouble::NoService].into(), able_since: None };
        Self {
            hosts: vec![stopped; configuration.programs.len()],
            configuration,
            cuts: BTreeSet::new(),
            losses: BTreeMap::new(),
            flooded: false,
            flood_ended: Duration::ZERO,
            changed: Duration::ZERO,
        }
    }

    pub(crate) fn apply(&mut self, at: Duration, act: Act) {
        self.changed = at;
        match act {
            Act::Start(h) => {
                self.end(h, Trouble::Dead);
                self.end(h, Trouble::NoService);
            }
            Act::Kill(h) | Act::Stop(h) => {
                self.begin(h, Trouble::Dead);
                self.begin(h, Trouble::NoService);
            }
            Act::Pause(h) => self.begin(h, Trouble::Paused),
            Act::Resume(h) => self.end(h, Trouble::Paused),
            Act::Drain(h) => self.begin(h, Trouble::Drained),
            Act::Undrain(h) => self.end(h, Trouble::Drained),
            Act::LowerPriority(h) => self.begin(h, Trouble::Lowered),
            Act::RestorePriority(h) => self.end(h, Trouble::Lowered),
            Act::Unplug(h) => self.begin(h, Trouble::Unplugged),
            Act::PlugIn(h) => self.end(h, Trouble::Unplugged),
            Act::LinkDown(h) => self.begin(h, Trouble::LinkDown),
            Act::LinkUp(h) => self.end(h, Trouble::LinkDown),
            Act::DeleteOwnAddress(h) => self.begin(h, Trouble::NoOwnAddress),
            Act::RestoreOwnAddress(h) => self.end(h, Trouble::NoOwnAddress),
            Act::ChangePrefix(h) => self.begin(h, Trouble::ForeignVip),
            Act::RestorePrefix(h) => self.end(h, Trouble::ForeignVip),
            Act::KillService(h) => self.begin(h, Trouble::NoService),
            Act::StartService(h) => self.end(h, Trouble::NoService),
            Act::Cut(from, to) => _ = self.cuts.insert((from, to)),
            Act::Heal(from, to) => _ = self.cuts.remove(&(from, to)),
            Act::Lose(h, percent) => _ = self.losses.insert(h, percent),
            Act::EndLoss(h) => _ = self.losses.remove(&h),
            Act::Flood(..) => self.flooded = true,
            Act::EndFlood => (self.flooded, self.flood_ended) = (false, at),
            Act::DeleteVip(_) | Act::ShortenVip(_) | Act::ReloadService(_) | Act::Hog(_) | Act::EndHog => {}
        }
        for host in &mut self.hosts {
            host.able_since = host.is_able().then(|| host.able_since.unwrap_or(at));
        }
    }

    fn begin(&mut self, host: usize, trouble: Trouble) {
        self.hosts[host].troubles.insert(trouble);
    }

    fn end(&mut self, host: usize, trouble: Trouble) {
        self.hosts[host].troubles.remove(&trouble);
    }

    /// The host that must be master when all is quiet.
    pub(crate) fn best(&self) -> Option<usize> {
        let able = (0..self.hosts.len()).filter(|h| self.hosts[*h].able_since.is_some());
        able.max_by_key(|h| self.priority(*h))
    }

    fn priority(&self, host: usize) -> u8 {
        let if_not = |trouble, value| if self.hosts[host].has(trouble) { 0 } else { value };
        PRIORITIES[host] - LOWERED + if_not(Trouble::Lowered, LOWERED) + if_not(Trouble::NoService, WEIGHT)
    }

    /// Whether nothing keeps the hosts from hearing each other, and no stranger advertises.
    pub(crate) fn is_whole(&self) -> bool {
        self.cuts.is_empty() && self.losses.is_empty() && !self.flooded
    }

    /// Whether two hosts may both hold the address for as long as they do not hear each other.
    pub(crate) fn may_both_hold(&self, pair: (usize, usize)) -> bool {
        let (a, b) = pair;
        self.flooded
            || self.cuts.contains(&(a, b))
            || self.cuts.contains(&(b, a))
            || [a, b].iter().any(|h| {
                self.losses.contains_key(h) || !self.hosts[*h].is_connected() || self.may_hold_for_ever(*h)
            })
    }

    /// Whether the adverts of one host reach another.
    pub(crate) fn is_heard_by(&self, from: usize, to: usize) -> bool {
        let able = |h: usize| self.hosts[h].able_since.is_some();
        able(from) && able(to) && self.losses.is_empty() && !self.cuts.contains(&(from, to))
    }

    /// Whether a master learns within one interval that another host has its address: by its adverts, or by its kernel's
    /// answer to the master's questions. The guard of a dead router of ours keeps its kernel from answering.
    pub(crate) fn is_known(&self, other: usize, master: usize) -> bool {
        let answers =
            !self.hosts[other].has(Trouble::Dead) || self.configuration.programs[other] == Keepalived;
        self.is_heard_by(other, master) || answers && self.asks(master) && self.are_joined(other, master)
    }

    /// Whether a router that gives the address up at the advert of the master, at whatever time, has made itself known.
    pub(crate) fn would_notice_end_of(&self, other: usize, master: usize) -> bool {
        let says_so = self.configuration.programs[other] == Ours;
        (says_so || self.asks(master)) && self.hosts[other].runs() && self.are_joined(other, master)
    }

    /// Whether it asks before each advert whether another host has the address.
    fn asks(&self, host: usize) -> bool {
        self.configuration.programs[host] != Keepalived && self.hosts[host].runs()
    }

    /// Whether frames of each of the two hosts reach the other.
    pub(crate) fn are_joined(&self, a: usize, b: usize) -> bool {
        let connected = |h: usize| self.hosts[h].is_connected();
        let cut = self.cuts.contains(&(a, b)) || self.cuts.contains(&(b, a));
        connected(a) && connected(b) && self.losses.is_empty() && !cut
    }

    /// keepalived has no lease: killed or paused, it leaves the address where it is. And what somebody else put there is
    /// not removed by us.
    pub(crate) fn may_hold_for_ever(&self, host: usize) -> bool {
        let state = &self.hosts[host];
        let is_keepalived = self.configuration.programs[host] == Keepalived;
        state.has(Trouble::ForeignVip) || is_keepalived && !state.runs()
    }
}
