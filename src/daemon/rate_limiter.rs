//! What was said about whom lately, so that nobody on the network can flood the log; knows no sentence.

use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// How many are remembered: forged senders are bounded in the log and in memory.
const CAPACITY: usize = 64;
/// How long a thing must rest before it is news again.
const REST: Duration = Duration::from_mins(1);

/// A memory of sentences by what they are about.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    what: &'static str,
    whom: IpAddr,
    times: u32,
    last: Instant,
    /// What was said, where it is to stand as a warning while it goes on.
    sentence: Option<String>,
}

/// Whether to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Say,
    /// For the last time before it has rested.
    SayLast,
    Old,
}

impl Said {
    /// `what` happens again with `whom`: news at most `limit` times until it rests for a minute.
    pub(super) fn again(&mut self, now: Instant, what: &'static str, whom: IpAddr, limit: u32) -> News {
        self.0.retain(|entry| now.since(entry.last) < REST);
        if let Some(entry) = self.0.iter_mut().find(|entry| (entry.what, entry.whom) == (what, whom)) {
            entry.last = now;
            entry.times = entry.times.saturating_add(1);
            return News::of(entry.times, limit);
        }
        if self.0.len() >= CAPACITY {
            return News::Old;
        }
        // Most have little to say.
        self.0.reserve_exact(1);
        // There may be a thousand of these, and most have one thing to remember.
        self.0.reserve_exact(1);
        self.0.push(Entry { what, whom, times: 1, last: now, sentence: None });
        News::of(1, limit)
    }
}

impl Said {
    /// What is said of it stands as a warning until it has rested.
    pub(super) fn stands(&mut self, what: &'static str, whom: IpAddr, sentence: String) {
        if let Some(entry) = self.0.iter_mut().find(|entry| (entry.what, entry.whom) == (what, whom)) {
            entry.sentence = Some(sentence);
        }
    }

    /// What stands now.
    pub(super) fn standing(&self, now: Instant) -> impl Iterator<Item = &str> {
        let fresh = self.0.iter().filter(move |entry| now.since(entry.last) < REST);
        fresh.filter_map(|entry| entry.sentence.as_deref())
    }
}

impl News {
    fn of(times: u32, limit: u32) -> Self {
        match times {
            n if n < limit => Self::Say,
            n if n == limit => Self::SayLast,
            _ => Self::Old,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_a_few_times_and_again_after_a_rest() {
        let mut said = Said::default();
        let whom = "10.0.0.9".parse().unwrap();
        let mut at = |s: u64| said.again(Instant::from_millis(s * 1_000), "drop", whom, 2);
        assert_eq!([at(0), at(1), at(2)], [News::Say, News::SayLast, News::Old]);
        assert_eq!((at(61), at(121)), (News::Old, News::Say), "a minute after the last, not the first");
    }

    #[test]
    fn a_warning_stands_while_it_goes_on() {
        let mut said = Said::default();
        let whom = "10.0.0.9".parse().unwrap();
        let at = |s: u64| Instant::from_millis(s * 1_000);
        said.again(at(0), "drop", whom, 1);
        said.stands("drop", whom, "it differs".into());
        said.again(at(50), "drop", whom, 1);
        let standing = |said: &Said, s| said.standing(at(s)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(standing(&said, 109), ["it differs"]);
        assert_eq!(standing(&said, 110), [""; 0]);
    }

    #[test]
    fn a_flood_of_senders_is_bounded() {
        let mut said = Said::default();
        let mut flood = |n: u32| said.again(Instant::START, "drop", IpAddr::from(n.to_be_bytes()), 1);
        assert_eq!((0..10_000).filter(|n| flood(*n) != News::Old).count(), CAPACITY);
    }
}
