//! The Backup state (RFC 3768 §6.4.2, RFC 9568 §6.4.2): whom it follows and how long it waits; sends
//! nothing.

use std::net::IpAddr;
use std::time::Duration;

use super::event::{Peer, Report, Why};
use super::{Interval, Priority, Settings, Version};
use crate::time::Instant;

/// What the skew is a fraction of where a vrrp-init backup knows that its master gave way: enough for the
/// best of several backups to be heard by the others before they act, and far below any RFC skew.
const FAST_SKEW: Duration = Duration::from_millis(4);

#[derive(Clone, Debug)]
pub(super) struct Backup {
    wait: Wait,
    /// Master_Adver_Interval: learned in v3, our own in v2 (RFC 9568 §6.1).
    interval: Interval,
    /// The master we follow, as it last advertised.
    pub(super) master: Option<Peer>,
    /// The lower master already reported, so that each is reported once.
    lower: Option<Peer>,
    /// When the first advert of a lower priority came, from which the preempt delay runs.
    lower_since: Option<Instant>,
}

/// What the Master_Down_Timer runs for. The deadline is derived, so a change of our priority moves it by
/// itself and exactly.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// The Master_Down_Interval since the last accepted advert.
    MasterDown { since: Instant },
    /// A skew since the master gave way, but never later than what remained.
    GaveWay { since: Instant, at_most: Instant, skew: Skew, why: Why },
}

#[derive(Clone, Copy, Debug)]
enum Skew {
    /// Skew_Time.
    Rfc,
    /// The same fraction of [`FAST_SKEW`].
    Fast,
}

impl Backup {
    /// Nobody was heard yet; waits a whole Master_Down_Interval from `now`.
    pub(super) fn waiting(now: Instant, settings: &Settings) -> Self {
        Self {
            wait: Wait::MasterDown { since: now },
            interval: settings.interval,
            master: None,
            lower: None,
            lower_since: None,
        }
    }

    /// Obeys `master`, whose advert with `interval` came `now`.
    pub(super) fn following(now: Instant, settings: &Settings, master: Peer, interval: Interval) -> Self {
        let interval = if settings.version == Version::V3 { interval } else { settings.interval };
        Self { interval, master: Some(master), ..Self::waiting(now, settings) }
    }

    /// When the Master_Down_Timer fires for a router of priority `own`.
    pub(super) fn master_down_at(&self, settings: &Settings, own: Priority) -> Instant {
        match self.wait {
            Wait::MasterDown { since } => since + settings.master_down(own, self.interval),
            Wait::GaveWay { since, at_most, skew, .. } => {
                let wait = match skew {
                    Skew::Rfc => settings.skew(own, self.interval),
                    Skew::Fast => own.skew_of(FAST_SKEW),
                };
                at_most.min(since + wait)
            }
        }
    }

    /// Why the Master_Down_Timer fires.
    pub(super) fn why(&self) -> Why {
        match (self.wait, self.lower) {
            (Wait::GaveWay { why, .. }, _) => why,
            (Wait::MasterDown { .. }, Some(lower)) => Why::Preempt(lower),
            (Wait::MasterDown { .. }, None) => Why::Silence(self.master),
        }
    }

    /// An advert that passed all checks; `own` is our priority.
    pub(super) fn advert(
        &mut self,
        now: Instant,
        settings: &Settings,
        own: Priority,
        peer: Peer,
        interval: Interval,
    ) -> Option<Report> {
        if peer.priority == Priority::RELEASE {
            return Some(self.released(now, settings, own, peer.address));
        }
        let lower_since = (peer.priority < own).then(|| self.lower_since.unwrap_or(now));
        if settings.preempt && lower_since.is_some_and(|since| now.since(since) >= settings.preempt_delay) {
            self.lower_since = lower_since;
            return self.lower(now, settings, own, peer);
        }
        let known = self.master == Some(peer);
        *self = Self { lower_since, ..Self::following(now, settings, peer, interval) };
        (!known).then_some(Report::Master(peer))
    }

    /// RFC 3768 §6.4.2: priority 0 leaves only the Skew_Time; of our own master, only the fast one.
    fn released(&mut self, now: Instant, settings: &Settings, own: Priority, from: IpAddr) -> Report {
        let ours = self.master.is_some_and(|master| master.address == from);
        let skew = if settings.fast && ours { Skew::Fast } else { Skew::Rfc };
        self.gave_way(now, settings, own, skew, Why::Released(from));
        Report::Released(from)
    }

    /// A lower priority is discarded and the timer runs on. But a master that falls from at least our
    /// priority to below it gives way as if it had released: whoever runs there has lost its service. Our
    /// own rise is no such fall, a service that has only just started is not given traffic at once.
    fn lower(&mut self, now: Instant, settings: &Settings, own: Priority, peer: Peer) -> Option<Report> {
        let fell = self.master.is_some_and(|m| m.address == peer.address && m.priority >= own);
        if settings.fast && fell {
            self.gave_way(now, settings, own, Skew::Fast, Why::Preempt(peer));
        }
        let known = self.lower.replace(peer) == Some(peer);
        (!known).then_some(Report::Lower(peer))
    }

    fn gave_way(&mut self, now: Instant, settings: &Settings, own: Priority, skew: Skew, why: Why) {
        let at_most = self.master_down_at(settings, own);
        self.wait = Wait::GaveWay { since: now, at_most, skew, why };
    }
}
