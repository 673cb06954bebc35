//! Two routers with the same VRID and a client, and how the address moves between them within the times that the two
//! programs allow.

use std::fmt;
use std::time::Duration;

use super::capture::{Capture, Captured};
use super::lab::{Host, Lab};
use super::router::{Kind, Node, Router};
use super::sampler::Sampler;
use super::{millis, seconds};

/// The longest time until a router alone is master: the master-down interval of the lowest priority used here, and
/// slack.
pub(crate) const START: Duration = seconds(8);
/// The longest time for which both routers may hold the address while it moves: one packet, on a busy machine.
pub(crate) const OVERLAP: Duration = millis(100);
/// Added to the time of a fast takeover for a busy machine.
pub(crate) const SLACK: Duration = millis(60);
/// How long to wait before the end of a test in which nothing may move: longer than an advert interval. That nothing
/// moves for an hour is shown in virtual time, by `tests/pure/simulation.rs`.
pub(crate) const QUIET: Duration = millis(1_500);
/// The longest fast skew: of the lowest priority.
const FAST: Duration = millis(4);

/// Skew time of VRRPv2: (256 - priority) / 256 seconds (RFC 3768 §6.1).
pub(crate) fn skew(priority: u8) -> Duration {
    seconds(1) * (256 - u32::from(priority)) / 256
}

/// Master-down interval of VRRPv2 at an interval of one second.
pub(crate) fn master_down(priority: u8) -> Duration {
    seconds(3) + skew(priority)
}

/// The default lease of a router: its master-down interval in whole seconds.
pub(crate) const LEASE: Duration = seconds(4);
/// The longest time the kernel takes to remove an address after its lease, on a busy machine.
pub(crate) const LEASE_SLACK: Duration = millis(1_500);

pub(crate) struct Pair {
    pub(crate) kinds: [Kind; 2],
    pub(crate) a: Router,
    pub(crate) b: Router,
    pub(crate) client: Host,
    /// The last field: when dropped it prints the logs of the others.
    pub(crate) _lab: Lab,
}

impl Pair {
    /// Starts both routers and waits until `a`, the preferred one, is master and `b` its backup.
    pub(crate) fn start(kinds: [Kind; 2], nodes: &[Node; 2]) -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        let client = lab.host("client", 250);
        let a = Router::start(kinds[0], &hosts[0], &nodes[0]);
        let b = Router::start(kinds[1], &hosts[1], &nodes[1]);
        Self { kinds, a, b, client, _lab: lab }.settled()
    }

    /// Two of our daemons without a check, of priority 200 and 100.
    pub(crate) fn plain() -> Self {
        Self::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)])
    }

    pub(crate) fn settled(self) -> Self {
        self.a.wait_master(0, START);
        assert!(!self.b.holds_vip(), "only the preferred router holds the address");
        assert!(self.b.run.log.since(0, "Entering MASTER STATE").is_empty(), "the backup never was master");
        self
    }

    pub(crate) fn sample(&self) -> Sampler {
        Sampler::start(&[&self.a.host, &self.b.host], self.a.node.vip)
    }

    /// Captures the VRRP packets that reach the client.
    pub(crate) fn capture(&self, name: &str) -> Capture {
        Capture::start(&self.client, name, "proto 112")
    }

    /// Checks that nothing moves for `time`: one holder, one sender of adverts.
    pub(crate) fn stays_with(&self, master: &Router, time: Duration) {
        self.stays_during(master, time, || std::thread::sleep(time));
    }

    /// [`Pair::stays_with`] for as long as `work` takes, at least `least`.
    pub(crate) fn stays_during(&self, master: &Router, least: Duration, work: impl FnOnce()) {
        let (marks, sampler) = (self.marks(), self.sample());
        let capture = self.capture("steady");
        work();
        let captured = capture.finish();
        let seen = sampler.finish();
        assert_eq!(self.entered_since(marks), "", "no router changes its state");
        assert!(seen.longest_gap < millis(500), "the sampler was delayed: {seen:?}");
        assert_eq!(seen.changes, 0, "{seen:?}");
        assert!(seen.none.is_zero() && seen.several.is_zero(), "{seen:?}");
        let all = captured.adverts(None).len();
        assert_eq!(
            captured.adverts(Some(master.host.address)).len(),
            all,
            "adverts come from the master alone"
        );
        assert!(Duration::from_secs(all as u64 + 1) >= least, "{all} adverts in {least:?}");
        assert_eq!(captured.complaints(), Vec::<Vec<String>>::new());
    }

    pub(crate) fn marks(&self) -> [usize; 2] {
        [self.a.run.log.mark(), self.b.run.log.mark()]
    }

    pub(crate) fn entered_since(&self, [a, b]: [usize; 2]) -> String {
        let mut lines = self.a.run.log.since(a, "Entering … STATE");
        lines.extend(self.b.run.log.since(b, "Entering … STATE"));
        lines.join("\n")
    }

    /// Checks that in `captured` `b` took over from `a` in the time it must.
    pub(crate) fn b_took_over_in_time(&self, captured: &Captured) {
        let handover = Handover::of(captured, &self.a, &self.b);
        let (what, measured, due, slack) = match self.kinds {
            [_, Kind::Ours] => ("fast skew", handover.after_giving_way(), Duration::ZERO, FAST + SLACK),
            _ if handover.released => {
                ("skew", handover.after_giving_way(), skew(handover.priority), millis(200))
            }
            _ => ("master-down interval", handover.silence(), master_down(handover.priority), millis(200)),
        };
        // keepalived's timers sometimes fire a little early.
        let range = due.saturating_sub(millis(20))..due + slack;
        assert!(range.contains(&measured), "{what} should be in {range:?}: {handover}");
    }
}

/// How the address moved, in the packets that reached the client.
struct Handover {
    /// The priority of the new master.
    priority: u8,
    /// When the old master sent the last advert that kept the new one a backup, and the first that did not.
    obeyed: Duration,
    gave_way: Duration,
    /// Whether that first one had priority 0: the old master yielded or stopped.
    released: bool,
    /// When the new master sent its first advert.
    taken: Duration,
}

impl Handover {
    fn of(captured: &Captured, old: &Router, new: &Router) -> Self {
        let theirs = captured.adverts(Some(new.host.address));
        let first = theirs.first().expect("the new master advertises");
        let before = captured.adverts(Some(old.host.address));
        let gives_way = |priority| priority < first.priority();
        let way = before.iter().find(|frame| gives_way(frame.priority())).expect("the old master gives way");
        let obeyed = before.iter().rfind(|frame| frame.at < way.at && !gives_way(frame.priority()));
        Self {
            priority: first.priority(),
            obeyed: obeyed.map_or(way.at, |frame| frame.at),
            gave_way: way.at,
            released: way.priority() == 0,
            taken: first.at,
        }
    }

    fn after_giving_way(&self) -> Duration {
        self.taken.saturating_sub(self.gave_way)
    }

    fn silence(&self) -> Duration {
        self.taken.saturating_sub(self.obeyed)
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "taken by priority {} {:?} after the old master gave way, {:?} after its last good advert",
            self.priority,
            self.after_giving_way(),
            self.silence()
        )
    }
}
