//! The Backup state (RFC 3768 §6.4.2, RFC 9568 §6.4.2): the master it follows and how long it waits. Sends nothing.

use std::net::IpAddr;
use std::time::Duration;

use super::event::{Peer, Report, Why};
use super::settings::Settings;
use super::takeover_budget::TakeoverBudget;
use super::units::{Interval, Priority, Version};
use crate::time::Instant;

/// The base of the skew when a backup knows that its master yielded or died. Long enough for the others to receive the advert of
/// the best backup before they act, and much shorter than any skew of the RFC.
const FAST_SKEW: Duration = Duration::from_millis(4);

/// How long a successor stays one without being named again, or three intervals if that is longer. The master names it again every
/// ten seconds, so a lifeline that stalls while adverts pass does not keep an old name.
const NAMED_FOR: Duration = Duration::from_secs(30);

/// How much later than the first advert of a successor a priority 0 of the master before may come. It repeats it for 8 ms.
const LATE_RELEASE: Duration = Duration::from_millis(100);

/// How many adverts in a row a master must have sent before a lower priority of it is a fall. Of two speakers behind one
/// address, each advert may be the other's.
const STEADY_ADVERTS: u8 = 2;

#[derive(Clone, Debug, Hash)]
pub(super) struct Backup {
    wait: Wait,
    /// Master_Adver_Interval: learned in v3, our own in v2 (RFC 9568 §6.1).
    pub(super) interval: Interval,
    /// The master that we follow, as it last advertised.
    pub(super) master: Option<Peer>,
    /// When it did; `None` after it gave way.
    advertised: Option<Instant>,
    /// Another master that may be there as well, and when it last advertised.
    other: Option<(Instant, Peer)>,
    /// How many adverts in a row we accepted from that master, up to [`STEADY_ADVERTS`].
    accepted: u8,
    /// The last reported master of lower priority, so that each is reported once.
    lower: Option<Peer>,
    /// When the first advert of a lower priority came. The preempt delay starts then.
    lower_since: Option<Instant>,
    /// The master that we follow has named us its successor.
    named: Option<Named>,
    /// The master that we followed before, and when we left it for another one.
    before: Option<(IpAddr, Instant)>,
}

/// When it did, and with which priority of ours it compared the others.
#[derive(Clone, Copy, Debug, Hash)]
struct Named {
    at: Instant,
    priority: Priority,
}

/// The reason why the Master_Down_Timer runs. Its deadline is derived, so a change of our priority moves it exactly.
#[derive(Clone, Copy, Debug, Hash)]
enum Wait {
    /// The Master_Down_Interval since the last accepted advert.
    MasterDown { since: Instant },
    /// A skew since the master yielded or died, but never later than the timer would have fired without that.
    Yielded { since: Instant, at_most: Instant, skew: Skew, why: Why },
}

/// From the longest to the shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Skew {
    /// Skew_Time.
    Rfc,
    /// The same fraction of [`FAST_SKEW`].
    Fast,
    /// The successor has none: all others wait for theirs.
    None,
}

impl Backup {
    /// No master is known. Waits a whole Master_Down_Interval from `now`.
    pub(super) fn waiting(now: Instant, settings: &Settings) -> Self {
        Self {
            wait: Wait::MasterDown { since: now },
            interval: settings.interval,
            master: None,
            advertised: None,
            other: None,
            accepted: 0,
            lower: None,
            lower_since: None,
            named: None,
            before: None,
        }
    }

    /// Follows `master`, whose advert with `interval` came `now`.
    pub(super) fn following(now: Instant, settings: &Settings, master: Peer, interval: Interval) -> Self {
        let interval = if settings.version == Version::V3 { interval } else { settings.interval };
        Self {
            interval,
            master: Some(master),
            advertised: Some(now),
            accepted: 1,
            ..Self::waiting(now, settings)
        }
    }

    /// When the Master_Down_Timer of a router with priority `own` fires.
    pub(super) fn master_down_at(&self, settings: &Settings, own: Priority) -> Instant {
        match self.wait {
            Wait::MasterDown { since } => since + settings.master_down(own, self.interval),
            Wait::Yielded { since, at_most, skew, .. } => {
                let wait = match skew {
                    Skew::Rfc => settings.skew(own, self.interval),
                    Skew::Fast => own.skew_of(FAST_SKEW),
                    Skew::None => Duration::ZERO,
                };
                at_most.min(since + wait)
            }
        }
    }

    /// The master at `from` names us its successor, since ours with this priority is the best claim that it knows; `None`: another
    /// backup, or none.
    pub(super) fn name(&mut self, now: Instant, from: IpAddr, named: Option<Priority>) {
        if self.master.is_some_and(|master| master.address == from) {
            self.named = named.map(|priority| Named { at: now, priority });
        }
    }

    /// Whether the master has named us, lately enough, and our priority has not fallen since.
    pub(super) fn is_successor(&self, now: Instant, own: Priority) -> bool {
        let lasts = NAMED_FOR.max(self.interval.duration() * 3);
        self.named.is_some_and(|named| named.priority <= own && now.since(named.at) < lasts)
    }

    fn fast_skew(&self, now: Instant, own: Priority) -> Skew {
        if self.is_successor(now, own) { Skew::None } else { Skew::Fast }
    }

    /// The master that we replace if the Master_Down_Timer fires after the fast skew, or without one.
    pub(super) fn takes_over_fast_from(&self) -> Option<IpAddr> {
        let fast = matches!(self.wait, Wait::Yielded { skew: Skew::Fast | Skew::None, .. });
        self.master.filter(|_| fast).map(|master| master.address)
    }

    /// The cause of the transition when the Master_Down_Timer fires.
    pub(super) fn why(&self) -> Why {
        match (self.wait, self.lower) {
            (Wait::Yielded { why, .. }, _) => why,
            (Wait::MasterDown { .. }, Some(lower)) => Why::Preempt(lower),
            (Wait::MasterDown { .. }, None) => Why::Silence(self.master),
        }
    }

    /// Handles an advert that passed all checks. `own` is our priority.
    pub(super) fn advert(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        (peer, interval): (Peer, Interval),
        budget: &mut TakeoverBudget,
    ) -> Option<Report> {
        if peer.priority == Priority::RELEASE {
            self.forget(peer.address);
            return Some(self.released(now, settings, own, peer.address, budget));
        }
        let lower_since = (peer.priority < own).then(|| self.lower_since.unwrap_or(now));
        if settings.preempt && lower_since.is_some_and(|since| now.since(since) >= settings.preempt_delay) {
            self.lower_since = lower_since;
            self.forget(peer.address);
            return self.lower(now, settings, own, peer, budget);
        }
        let known = self.master == Some(peer);
        let again = self.master.is_some_and(|master| master.address == peer.address);
        let accepted = if again { STEADY_ADVERTS.min(self.accepted + 1) } else { 1 };
        let other = self.other_than(peer.address);
        let named = self.named.filter(|_| again);
        let left = self.master.filter(|_| !again).map(|master| (master.address, now));
        let before = left.or(self.before);
        let following = Self::following(now, settings, peer, interval);
        *self = Self { other, accepted, lower_since, named, before, ..following };
        (!known).then_some(Report::Master(peer))
    }

    /// The other master, when we follow the one at `address` from now on.
    fn other_than(&self, address: IpAddr) -> Option<(Instant, Peer)> {
        let before = self.advertised.zip(self.master).filter(|(_, master)| master.address != address);
        before.or(self.other).filter(|(_, other)| other.address != address)
    }

    /// The master at `address` gave way.
    fn forget(&mut self, address: IpAddr) {
        self.advertised =
            self.advertised.filter(|_| self.master.is_none_or(|master| master.address != address));
        self.other = self.other.filter(|(_, other)| other.address != address);
    }

    /// RFC 3768 §6.4.2: after priority 0 we wait only for Skew_Time; if it came from the master that we follow, only for
    /// the fast skew. The successor waits for the next advert: after a second priority 0, or a priority below ours, the master has
    /// given way for good; after a higher one it stays.
    fn released(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        from: IpAddr,
        budget: &mut TakeoverBudget,
    ) -> Report {
        let ours = settings.fast && self.master.is_some_and(|master| master.address == from);
        // Its successor may be so quick that we heard that one first.
        let late = |(before, left): (IpAddr, Instant)| before == from && now.since(left) < LATE_RELEASE;
        if settings.fast && !ours && self.before.is_some_and(late) {
            return Report::Released(from);
        }
        let again = matches!(self.wait, Wait::Yielded { why: Why::Released(before), .. } if before == from);
        let skew = match ours && budget.admits(now, self.interval.duration()) {
            true if again => self.fast_skew(now, own),
            true => Skew::Fast,
            false => Skew::Rfc,
        };
        self.yielded(now, settings, own, skew, Why::Released(from));
        Report::Released(from)
    }

    /// The process at `from` died. If it is the master that we follow, this counts like its priority 0. But if two had taken
    /// over together, or it had just been outranked, another one is master, which advertised before it.
    pub(super) fn died(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        from: IpAddr,
        budget: &mut TakeoverBudget,
    ) -> Option<Report> {
        self.forget(from);
        let master = self.master.filter(|master| settings.fast && master.address == from)?;
        let interval = self.interval.duration();
        if let Some((last, other)) = self.other.take_if(|(last, _)| now.since(*last) < interval * 3 / 2) {
            (self.master, self.advertised, self.accepted) = (Some(other), Some(last), 1);
            self.named = None;
            return Some(Report::Master(other));
        }
        let skew = if budget.admits(now, interval) { self.fast_skew(now, own) } else { Skew::Rfc };
        self.yielded(now, settings, own, skew, Why::Died(master));
        Some(Report::Died(from))
    }

    /// An advert of lower priority is discarded and the timer continues. But a master whose priority falls below ours has
    /// lost its service, and is treated as if it had released. If instead our own priority rises above the master's, we
    /// wait: our service has only just started and must not get traffic at once.
    fn lower(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        peer: Peer,
        budget: &mut TakeoverBudget,
    ) -> Option<Report> {
        let master = self.master.filter(|master| master.address == peer.address);
        if settings.fast && master.is_some_and(|master| master.priority >= own) {
            // After its priority 0 there is no doubt.
            let sure = self.accepted >= STEADY_ADVERTS || self.takes_over_fast_from().is_some();
            if budget.admits(now, self.interval.duration()) && sure {
                self.yielded(now, settings, own, self.fast_skew(now, own), Why::Preempt(peer));
            }
        }
        if master.is_some() {
            self.accepted = 0;
        }
        let known = self.lower.replace(peer) == Some(peer);
        (!known).then_some(Report::Lower(peer))
    }

    fn yielded(&mut self, now: Instant, settings: &Settings, own: Priority, skew: Skew, why: Why) {
        // The deadline only moves nearer.
        if let Wait::Yielded { skew: before, why: reason, .. } = &mut self.wait
            && *before >= skew.max(Skew::Fast)
        {
            *reason = why;
            return;
        }
        let at_most = self.master_down_at(settings, own);
        self.wait = Wait::Yielded { since: now, at_most, skew, why };
    }
}
