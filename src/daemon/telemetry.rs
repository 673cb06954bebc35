//! What the log, the status and the metrics report about one router: counters, the last transition, and warnings an
//! operator should see before the outage. Bounds every message that the network can cause; changes no protocol state.

use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::messages::{self, Conflict, Reaction, Subject};
use super::rate_limiter::{Admission, HERE, RateLimiter, Warning};
use super::spare::Spare;
use super::transition_lines::{Transition, TransitionLines};
use crate::health::{Verdict, Weight};
use crate::status::{Conflicts, Counters};
use crate::sys::Error;
use crate::sys::claims::Claim;
use crate::time::Instant;
use crate::vrrp::{
    Advert, DropReason, Drops, Instance, Interval, Peer, Priority, Report, Role, V3Checksum, Why,
};

/// Without any advert for this long after the start, the log mentions that a firewall may drop them.
const SILENCE_NOTICE: Duration = Duration::from_secs(10);

/// Topics of warnings, beside the reasons of dropped adverts.
const TWO_MASTERS: &str = "two_masters";
const ADDRESS_CONFLICT: &str = "address_conflict";
const OTHER_ADDRESSES: &str = "other_addresses";
const OTHER_INTERVAL: &str = "other_interval";

/// The last send error.
#[derive(Debug)]
struct SendError {
    /// The value of `adverts_sent` when it happened.
    sent: u64,
    text: String,
    /// When the first of the series happened.
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Telemetry {
    /// The last transition and its cause.
    since: Instant,
    cause: Box<str>,
    transitions: TransitionLines,
    counters: Counters,
    drops: Drops,
    /// The last advert that was not dropped.
    last_heard: Option<(Instant, Peer)>,
    spare: Spare,
    limiter: RateLimiter,
    /// A limiter of its own: a flood of dropped adverts must not hide the rest.
    conflicts: RateLimiter,
    /// Why there is no binding, as logged, and since when.
    unbound: Option<(Box<str>, Instant)>,
    send_error: Option<Box<SendError>>,
    /// How many of the adverts counted as sent the kernel refused.
    unsent: u64,
    /// When to log that no other router was heard; `None` once one was heard or it was logged.
    silence_at: Option<Instant>,
    /// It was logged that no other router was heard, and none has been heard since.
    never_heard: bool,
}

impl Telemetry {
    pub(super) fn new(now: Instant, interval: Interval) -> Self {
        Self {
            since: now,
            cause: Box::default(),
            transitions: TransitionLines::new(),
            counters: Counters::default(),
            drops: Drops::default(),
            last_heard: None,
            spare: Spare::default(),
            limiter: RateLimiter::default(),
            conflicts: RateLimiter::default(),
            unbound: None,
            send_error: None,
            unsent: 0,
            silence_at: Some(now + SILENCE_NOTICE.max(interval.duration() * 4)),
            never_heard: false,
        }
    }

    /// When [`Telemetry::timer`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.silence_at.into_iter().chain(self.transitions.deadline()).min()
    }

    /// Logs what is due.
    pub(super) fn timer(&mut self, now: Instant, subject: &Subject<'_>, instance: &Instance) {
        self.log_transition(now, subject);
        self.check_silence(now, subject, instance);
    }

    /// Whether the last transition is not logged yet, because there were too many.
    pub(super) fn owes_transition(&self) -> bool {
        self.transitions.deadline().is_some()
    }

    /// The time of the last transition.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The cause of the last transition.
    pub(super) fn cause(&self) -> &str {
        &self.cause
    }

    /// The last advert that was not dropped, and when it came.
    pub(super) fn last_heard(&self) -> Option<(Instant, Peer)> {
        self.last_heard
    }

    pub(super) fn drops(&self) -> &Drops {
        &self.drops
    }

    /// The counters; adverts that the kernel refused were not sent.
    pub(super) fn counters(&self) -> Counters {
        let adverts_sent = self.counters.adverts_sent.saturating_sub(self.unsent);
        Counters { adverts_sent, ..self.counters }
    }

    /// The number of adverts, sent or not.
    pub(super) fn adverts(&self) -> u64 {
        self.counters.adverts_sent
    }

    /// Whether this router would take over if the master's service died; `None` if that is not known.
    pub(super) fn failover_possible(&self, role: Role) -> Option<bool> {
        self.spare.possible(role)
    }

    /// Whether to log one more occurrence of `topic`: a few times a minute, since two masters that do not hear each
    /// other but both reach us would fill the log.
    pub(super) fn admits(&mut self, now: Instant, topic: &'static str, peer: IpAddr) -> bool {
        const LIMIT: u32 = 6;
        self.limiter.record(now, topic, peer, LIMIT) != Admission::Suppress
    }

    /// The result of the router's check; `None` without one.
    pub(super) fn set_health(&mut self, now: Instant, result: Option<(Weight, Verdict)>) {
        self.spare.set_health(now, result);
    }

    /// An advert for our VRID came in; it may still be dropped.
    pub(super) fn count_advert(&mut self, advert: &Advert, checksum: V3Checksum) {
        self.counters.adverts_received += 1;
        self.counters.other_checksums += u64::from(advert.checksum != checksum);
        self.counters.priority_zero_received += u64::from(advert.priority == Priority::RELEASE);
        self.silence_at = None;
        self.never_heard = false;
    }

    /// An advert was not dropped, and the state machine has handled it. It disproves what was said of its sender before.
    pub(super) fn accepted(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        instance: &Instance,
        (from, advert): (IpAddr, &Advert),
    ) {
        self.last_heard = Some((now, Peer { address: from, priority: advert.priority }));
        let settings = instance.settings();
        let same = settings.same_addresses(&advert.addresses);
        self.conflicts.disprove(|topic, peer| {
            peer == from
                && match topic {
                    OTHER_ADDRESSES => same,
                    OTHER_INTERVAL => settings.interval == advert.interval,
                    _ => true,
                }
        });
        if instance.role() == Role::Master {
            // It is not reported a second time.
            self.limiter.repeat(now, TWO_MASTERS, from);
        } else {
            self.limiter.disprove(|topic, _| topic == TWO_MASTERS);
            self.judge_failover(now, subject, instance);
        }
    }

    /// The master among the others, for a router that follows none: the last one heard, within `time`.
    pub(super) fn heard_master(&self, now: Instant, time: Duration) -> Option<Peer> {
        let (at, peer) = self.last_heard?;
        (now.since(at) <= time && peer.priority != Priority::RELEASE).then_some(peer)
    }

    /// What was heard, if nothing was but adverts that it dropped.
    pub(super) fn only_dropped(&self, now: Instant) -> Option<String> {
        let warning = self.conflicts.warnings(now).last().filter(|_| self.last_heard.is_none())?;
        Some(format!("dropped adverts of {} ({})", warning.peer, warning.topic))
    }

    /// What stands between this router and the others. `time`: how long after the last sign of it.
    pub(super) fn current_conflicts(&self, now: Instant, time: Duration) -> Conflicts {
        let recent = |warning: &Warning<'_>| now.since(warning.last) <= time;
        let all = || self.limiter.warnings(now).filter(recent);
        let peer = self.heard_master(now, time);
        let is_rival = |w: Warning<'_>| w.topic == TWO_MASTERS && peer.is_some_and(|p| p.address == w.peer);
        let accepted = [OTHER_ADDRESSES, OTHER_INTERVAL];
        let dropped = self.conflicts.warnings(now).filter(recent).find(|w| !accepted.contains(&w.topic));
        Conflicts {
            unsent: self.send_error().map(|(text, _)| text.to_owned()),
            rival: peer.filter(|_| all().any(is_rival)).map(|p| (p.address, p.priority.octet())),
            claimed: all().find(|w| w.topic == ADDRESS_CONFLICT).map(|w| w.text.to_owned()),
            dropped: dropped.map(|w| (w.peer, w.topic)),
        }
    }

    /// An advert was handed to the kernel.
    pub(super) fn sent(&mut self, priority: Priority) {
        self.counters.adverts_sent += 1;
        self.counters.priority_zero_sent += u64::from(priority == Priority::RELEASE);
    }

    /// The kernel refused to send the last advert, or one of the last. Logged once per series of errors.
    pub(super) fn send_failed(&mut self, now: Instant, error: &Error, subject: &Subject<'_>) {
        let sent = self.counters.adverts_sent;
        let text = messages::send_failed(error);
        // One advert counts once, whatever its number of peers.
        self.unsent += u64::from(self.send_error.as_ref().is_none_or(|last| last.sent != sent));
        let since = self.send_error().map(|(_, since)| since);
        if since.is_none() {
            subject.log_event(Level::Warn, "send_failed", &text);
        }
        self.send_error = Some(Box::new(SendError { sent, text, since: since.unwrap_or(now) }));
    }

    /// Why the last advert could not be sent, and since when.
    fn send_error(&self) -> Option<(&str, Instant)> {
        let SendError { sent, text, since } = self.send_error.as_deref()?;
        (sent + 1 >= self.counters.adverts_sent).then_some((text, *since))
    }

    /// There is no binding. Logged once until there is one.
    pub(super) fn unbound(&mut self, now: Instant, subject: &Subject<'_>, level: Level, text: String) {
        if self.unbound.is_none() {
            subject.log_event(level, "interface", &text);
        }
        let since = self.unbound.take().map_or(now, |(_, since)| since);
        self.unbound = Some((text.into(), since));
    }

    /// There is a binding.
    pub(super) fn bound(&mut self) {
        self.unbound = None;
    }

    /// Logs once that no other router was heard, when it is time and the router could have heard one.
    fn check_silence(&mut self, now: Instant, subject: &Subject<'_>, instance: &Instance) {
        if self.silence_at.is_none_or(|at| now < at) {
            return;
        }
        if instance.role() == Role::Fault {
            self.silence_at = Some(now + SILENCE_NOTICE);
            return;
        }
        self.silence_at = None;
        self.never_heard = true;
        subject.log_event(Level::Info, "never_heard", messages::never_heard(subject));
    }

    /// Counts and logs a fact that the state machine reports. `advert` is the advert that caused it, if one did.
    pub(super) fn report(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        instance: &Instance,
        report: &Report,
        advert: Option<&Advert>,
    ) {
        match *report {
            Report::Transition { from, to, why } => {
                self.transition(now, subject, Transition { from, to, why });
            }
            Report::Dropped { from, reason } => {
                self.drops.count(reason);
                return self.conflict(now, subject, (from, reason), Reaction::Drop, advert);
            }
            Report::OtherAddresses(from) => {
                return self.conflict(now, subject, (from, DropReason::Addresses), Reaction::Accept, advert);
            }
            Report::OtherInterval(from) => {
                return self.conflict(now, subject, (from, DropReason::Interval), Reaction::Accept, advert);
            }
            Report::TwoMasters(peer) => self.two_masters(now, subject, report, peer),
            Report::Master(peer) => self.log_limited(now, subject, "master", report, peer.address),
            Report::Released(from) => self.log_limited(now, subject, "released", report, from),
            Report::Died(from) => self.log_limited(now, subject, "died", report, from),
            Report::Lower(peer) => self.log_limited(now, subject, "lower", report, peer.address),
            Report::Loser { peer, .. } => self.log_limited(now, subject, "loser", report, peer.address),
            Report::SecondSpeaker { address, .. } => self.second_speaker(now, subject, report, address),
            Report::Priority { .. }
            | Report::Yield
            | Report::Stopping
            | Report::AddressRestored
            | Report::Drain(_) => messages::log_report(subject, report),
            // A link may flap.
            Report::Cause { cause, .. } => self.log_limited(now, subject, cause.as_str(), report, HERE),
        }
        self.judge_failover(now, subject, instance);
    }

    fn transition(&mut self, now: Instant, subject: &Subject<'_>, transition: Transition) {
        let Transition { from, to, why } = transition;
        self.since = now;
        self.cause = messages::cause(&why, subject).into();
        if let (Why::Silence(None), Some(dropped)) = (why, self.only_dropped(now)) {
            self.cause = format!("{}, but {dropped}", self.cause).into();
        }
        self.counters.became_master += u64::from(to == Role::Master);
        self.counters.released_master += u64::from(from == Role::Master);
        self.transitions.push(transition);
        if to == Role::Init {
            self.transitions.admit_one();
        }
        self.log_transition(now, subject);
    }

    /// Logs the last transition, unless there were too many.
    fn log_transition(&mut self, now: Instant, subject: &Subject<'_>) {
        if let Some((transition, skipped)) = self.transitions.take(now) {
            messages::log_transition(subject, &transition, skipped);
        }
    }

    fn log_limited(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        topic: &'static str,
        report: &Report,
        peer: IpAddr,
    ) {
        if self.admits(now, topic, peer) {
            messages::log_report(subject, report);
        }
    }

    fn two_masters(&mut self, now: Instant, subject: &Subject<'_>, report: &Report, peer: Peer) {
        self.counters.two_masters += 1;
        if self.admits(now, TWO_MASTERS, peer.address) {
            self.limiter.keep_warning(TWO_MASTERS, peer.address, messages::report(report, subject));
            messages::log_report(subject, report);
        }
    }

    fn second_speaker(&mut self, now: Instant, subject: &Subject<'_>, report: &Report, address: IpAddr) {
        const TOPIC: &str = "second_speaker";
        if self.limiter.record(now, TOPIC, address, 1) != Admission::Suppress {
            self.limiter.keep_warning(TOPIC, address, messages::report(report, subject));
            messages::log_report(subject, report);
        }
    }

    /// Another host claims a virtual address. `master`: the one that this router follows, which may.
    pub(super) fn claimed(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        master: Option<Peer>,
        claim: Claim,
        count: u64,
    ) {
        self.counters.address_conflicts += count;
        if self.limiter.record(now, ADDRESS_CONFLICT, claim.address, 1) != Admission::Suppress {
            let text = messages::address_conflict(&claim, master);
            subject.log_event(Level::Warn, "address_conflict", &text);
            self.limiter.keep_warning(ADDRESS_CONFLICT, claim.address, text);
        }
    }

    /// A disagreement between an advert and our configuration: logged once per sender and reason, with both values.
    fn conflict(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        (from, reason): (IpAddr, DropReason),
        reaction: Reaction,
        advert: Option<&Advert>,
    ) {
        let topic = match (reaction, reason) {
            (Reaction::Drop, _) => reason.as_str(),
            (Reaction::Accept, DropReason::Interval) => OTHER_INTERVAL,
            (Reaction::Accept, _) => OTHER_ADDRESSES,
        };
        if self.conflicts.record(now, topic, from, 1) == Admission::Suppress {
            return;
        }
        let conflict =
            Conflict { from, reason, reaction, ours: subject.settings, theirs: advert }.to_string();
        let keys = [("reason", reason.as_str()), ("peer", &from.to_string())];
        subject.log_event_with(Level::Warn, "dropped", &keys, &conflict);
        self.conflicts.keep_warning(topic, from, conflict);
    }

    fn judge_failover(&mut self, now: Instant, subject: &Subject<'_>, instance: &Instance) {
        if let Some((text, master)) = self.spare.judge(now, subject, instance)
            && self.admits(now, "no_spare", master.address)
        {
            subject.log_event(Level::Warn, "no_spare", &text);
        }
    }

    /// The current warnings, a sentence each, with their age.
    pub(super) fn warnings(&self, now: Instant, subject: &Subject<'_>, instance: &Instance) -> Vec<String> {
        let (role, settings) = (instance.role(), instance.settings());
        let recent = settings.master_down(instance.priority(), settings.interval);
        let aged = |text: &str, first, last| messages::aged(text, [first, last], now, recent);
        let mut warnings = vec![];
        let spare = self.spare.warning(role, instance.priority(), subject);
        warnings.extend(spare.map(|(text, since)| aged(&text, since, now)));
        let unsent = self.send_error().filter(|_| role == Role::Master);
        warnings.extend(unsent.map(|(text, since)| aged(text, since, now)));
        warnings.extend(self.unbound.as_ref().map(|(text, since)| aged(text, *since, now)));
        if self.never_heard {
            warnings.push(aged(&messages::never_heard(subject), Instant::START, now));
        }
        let limited = self.limiter.warnings(now).chain(self.conflicts.warnings(now));
        warnings.extend(limited.map(|warning| aged(warning.text, warning.first, warning.last)));
        warnings
    }
}
