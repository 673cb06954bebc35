//! Limits how often one topic about one peer is logged, so that no host on the network can flood the log. Knows no
//! message.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::time::Instant;

/// The most entries: limits what forged source addresses can add to the log and to memory.
const CAPACITY: usize = 64;
/// For topics of this host, which have no peer. There are few of them, so they always have an entry.
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Without an occurrence for this long, the next one is logged again.
const QUIET_PERIOD: Duration = Duration::from_mins(1);

/// Recent occurrences by topic and peer.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    topic: &'static str,
    peer: IpAddr,
    count: u32,
    /// The first of this series.
    first: Instant,
    last: Instant,
    /// The sentence that is a warning while the occurrences continue.
    warning: Option<Box<str>>,
    /// The warning was disproved, until the next occurrence.
    disproved: bool,
}

/// A sentence, and when what it says was seen first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warning<'a> {
    pub(super) topic: &'static str,
    pub(super) peer: IpAddr,
    pub(super) text: &'a str,
    pub(super) first: Instant,
    pub(super) last: Instant,
}

/// Whether to log an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Log,
    /// The last one before the quiet period.
    LogLast,
    Suppress,
}

impl RateLimiter {
    /// Counts one occurrence of `topic` from `peer`: logged at most `limit` times until it has been quiet for a
    /// minute.
    pub(super) fn record(
        &mut self,
        now: Instant,
        topic: &'static str,
        peer: IpAddr,
        limit: u32,
    ) -> Admission {
        self.0.retain(|entry| now.since(entry.last) < QUIET_PERIOD);
        if let Some(entry) = self.entry(topic, peer) {
            entry.last = now;
            entry.count = entry.count.saturating_add(1);
            if std::mem::take(&mut entry.disproved) {
                entry.first = now;
            }
            return Admission::of(entry.count, limit);
        }
        if self.0.len() >= CAPACITY && peer != HERE {
            return Admission::Suppress;
        }
        // With a thousand routers most limiters hold one entry.
        self.0.reserve_exact(1);
        self.0.push(Entry { topic, peer, count: 1, first: now, last: now, warning: None, disproved: false });
        Admission::of(1, limit)
    }

    /// Shows `sentence` as a warning until its topic has been quiet for a minute.
    pub(super) fn keep_warning(&mut self, topic: &'static str, peer: IpAddr, sentence: String) {
        if let Some(entry) = self.entry(topic, peer) {
            entry.warning = Some(sentence.into());
        }
    }

    /// The topic of a warning goes on; nothing is logged.
    pub(super) fn repeat(&mut self, now: Instant, topic: &'static str, peer: IpAddr) {
        if let Some(entry) = self.entry(topic, peer).filter(|entry| entry.warning.is_some()) {
            entry.last = now;
        }
    }

    /// What these warnings say is over. They are logged again only after the quiet period, as it may flap.
    pub(super) fn disprove(&mut self, is_disproved: impl Fn(&'static str, IpAddr) -> bool) {
        for entry in self.0.iter_mut().filter(|entry| is_disproved(entry.topic, entry.peer)) {
            entry.disproved = true;
        }
    }

    /// The warnings whose topics are not quiet yet.
    pub(super) fn warnings(&self, now: Instant) -> impl Iterator<Item = Warning<'_>> {
        let recent = self.0.iter().filter(move |entry| now.since(entry.last) < QUIET_PERIOD);
        recent.filter(|entry| !entry.disproved).filter_map(|entry| {
            let Entry { topic, peer, first, last, .. } = *entry;
            Some(Warning { topic, peer, text: entry.warning.as_deref()?, first, last })
        })
    }

    fn entry(&mut self, topic: &'static str, peer: IpAddr) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| (entry.topic, entry.peer) == (topic, peer))
    }
}

impl Admission {
    fn of(count: u32, limit: u32) -> Self {
        match count {
            n if n < limit => Self::Log,
            n if n == limit => Self::LogLast,
            _ => Self::Suppress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_occurrence_is_logged_a_few_times_and_again_after_a_quiet_minute() {
        let mut limiter = RateLimiter::default();
        let peer = "10.0.0.9".parse().unwrap();
        let mut at = |s: u64| limiter.record(Instant::from_millis(s * 1_000), "drop", peer, 2);
        assert_eq!([at(0), at(1), at(2)], [Admission::Log, Admission::LogLast, Admission::Suppress]);
        assert_eq!(
            (at(61), at(121)),
            (Admission::Suppress, Admission::Log),
            "a minute after the last, not the first"
        );
    }

    #[test]
    fn a_warning_is_kept_while_the_occurrences_continue() {
        let mut limiter = RateLimiter::default();
        let peer = "10.0.0.9".parse().unwrap();
        let at = |s: u64| Instant::from_millis(s * 1_000);
        limiter.record(at(0), "drop", peer, 1);
        limiter.keep_warning("drop", peer, "it differs".into());
        limiter.record(at(50), "drop", peer, 1);
        let warnings =
            |limiter: &RateLimiter, s| limiter.warnings(at(s)).map(|w| (w.first, w.last)).collect::<Vec<_>>();
        assert_eq!(warnings(&limiter, 109), [(at(0), at(50))]);
        assert_eq!(warnings(&limiter, 110), []);
    }

    #[test]
    fn a_disproved_warning_returns_with_the_next_occurrence_and_is_not_logged_again() {
        let mut limiter = RateLimiter::default();
        let [peer, other] = ["10.0.0.9", "10.0.0.8"].map(|text| text.parse().unwrap());
        let at = |s: u64| Instant::from_millis(s * 1_000);
        for peer in [peer, other] {
            limiter.record(at(0), "drop", peer, 1);
            limiter.keep_warning("drop", peer, "it differs".into());
        }
        limiter.disprove(|topic, from| (topic, from) == ("drop", peer));
        let first =
            |limiter: &RateLimiter, s| limiter.warnings(at(s)).map(|w| (w.peer, w.first)).collect::<Vec<_>>();
        assert_eq!(first(&limiter, 1), [(other, at(0))]);
        assert_eq!(limiter.record(at(2), "drop", peer, 1), Admission::Suppress);
        assert_eq!(first(&limiter, 3), [(peer, at(2)), (other, at(0))]);
        limiter.repeat(at(50), "drop", other);
        limiter.repeat(at(50), "drop", "10.0.0.7".parse().unwrap());
        assert_eq!(first(&limiter, 70), [(other, at(0))]);
    }

    #[test]
    fn a_flood_of_senders_is_bounded_and_hides_nothing_of_this_host() {
        let mut limiter = RateLimiter::default();
        let mut flood = |n: u32| limiter.record(Instant::START, "drop", IpAddr::from(n.to_be_bytes()), 1);
        assert_eq!((1..10_000).filter(|n| flood(*n) != Admission::Suppress).count(), CAPACITY);
        assert_eq!(limiter.record(Instant::START, "interface", HERE, 1), Admission::LogLast);
        assert_eq!(limiter.record(Instant::START, "interface", HERE, 1), Admission::Suppress);
    }
}
