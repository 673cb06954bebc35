//! Two routers of one virtual router and a client, and how the address moves between them; what is due when follows
//! from what the two programs are.

use std::fmt;
use std::time::Duration;

use super::capture::{Capture, Captured};
use super::lab::{Host, Lab};
use super::router::{Kind, Node, Router};
use super::watch::Sampler;
use super::{millis, seconds};

/// Longest start of a router alone: the master-down interval of the lowest priority used here, and slack.
pub(crate) const START: Duration = seconds(8);
/// How long two routers may both hold the address while it moves: the time of one packet and of a busy machine.
pub(crate) const OVERLAP: Duration = millis(100);
/// What a busy machine may add to the time of a fast takeover.
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
/// What the kernel may take to remove an address whose lease has run out, on a busy machine.
pub(crate) const LEASE_SLACK: Duration = millis(1_500);

pub(crate) struct Pair {
    pub(crate) kinds: [Kind; 2],
    pub(crate) a: Router,
    pub(crate) b: Router,
    pub(crate) client: Host,
    /// Last: it prints the logs of what was dropped before it.
    pub(crate) _lab: Lab,
}

impl Pair {
    /// Starts both routers and waits until `a`, the better one, is master and `b` its backup.
    pub(crate) fn start(kinds: [Kind; 2], nodes: &[Node; 2]) -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        let client = lab.host("client", 250);
        let a = Router::start(kinds[0], &hosts[0], &nodes[0]);
        let b = Router::start(kinds[1], &hosts[1], &nodes[1]);
        Self { kinds, a, b, client, _lab: lab }.settled()
    }

    /// Two of ours without a check, of priority 200 and 100.
    pub(crate) fn plain() -> Self {
        Self::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)])
    }

    pub(crate) fn settled(self) -> Self {
        self.a.wait_master(0, START);
        assert!(!self.b.holds_vip(), "only the better router holds the address");
        assert!(
            self.b.run.log.since(0, "Entering MASTER STATE").is_empty(),
            "the worse one never was master"
        );
        self
    }

    pub(crate) fn sample(&self) -> Sampler {
        Sampler::start(&[&self.a.host, &self.b.host], self.a.node.vip)
    }

    /// What the client hears of VRRP.
    pub(crate) fn capture(&self, name: &str) -> Capture {
        Capture::start(&self.client, name, "proto 112")
    }

    /// Nothing moves for `time`: one holder, one sender of adverts, who answers the client.
    pub(crate) fn stays_with(&self, master: &Router, time: Duration) {
        self.stays_during(master, time, || std::thread::sleep(time));
    }

    /// As [`Pair::stays_with`] for as long as `work` takes, which is `least` or more.
    pub(crate) fn stays_during(&self, master: &Router, least: Duration, work: impl FnOnce()) {
        let (marks, sampler) = (self.marks(), self.sample());
        let capture = self.capture("steady");
        work();
        let captured = capture.finish();
        let seen = sampler.finish();
        assert_eq!(self.entered_since(marks), "", "no router changes its state");
        assert!(seen.blind < millis(500), "the sampler was kept from looking: {seen:?}");
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

    /// `b` took over from `a` in `captured`, when it was due.
    pub(crate) fn b_took_over_in_time(&self, captured: &Captured) {
        let handover = Handover::of(captured, &self.a, &self.b);
        let (what, measured, due, slack) = match self.kinds {
            [_, Kind::Ours] => ("fast skew", handover.after_giving_way(), Duration::ZERO, FAST + SLACK),
            _ if handover.released => {
                ("skew", handover.after_giving_way(), skew(handover.priority), millis(200))
            }
            _ => ("master-down interval", handover.silence(), master_down(handover.priority), millis(200)),
        };
        // A timer of keepalived was seen to fire a moment before its time.
        let range = due.saturating_sub(millis(20))..due + slack;
        assert!(range.contains(&measured), "{what} should be in {range:?}: {handover}");
    }
}

/// How the address moved, as the client heard it.
struct Handover {
    /// The priority with which the new master took over.
    priority: u8,
    /// When the old one sent the last advert that the new one still obeyed, and the first that it did not.
    obeyed: Duration,
    gave_way: Duration,
    /// Whether that one had priority 0, as when it yields or stops.
    released: bool,
    /// When the new one sent its first.
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
