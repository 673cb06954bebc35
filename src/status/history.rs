//! The last transitions with their cause, evidence and timing, for `why`. Knows no state machine and reads no clock.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::text::span;
use crate::printable;
use crate::time::{Instant, Timestamp};
use crate::vrrp::Role;

/// How many transitions are kept, for all routers together.
const CAPACITY: usize = 200;
/// How many facts are kept for a transition that they may explain, for all routers together.
const FACTS: usize = 64;
/// How long a fact can explain a transition. Longer than the longest wait that a change of priority starts.
const FRESH: Duration = Duration::from_secs(10);

/// One transition; displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub time: Timestamp,
    pub router: String,
    pub from: Role,
    pub to: Role,
    /// The time spent in `from`.
    pub lasted: Duration,
    /// The facts before it, oldest first.
    pub evidence: Vec<String>,
    pub cause: String,
    /// From the first evidence to the transition.
    pub delay: Duration,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, router, from, to, lasted, evidence, cause, delay } = self;
        write!(f, "{time} {router} {}", to.as_str())?;
        if *from != Role::Init {
            write!(f, " after {} as {}", span(*lasted), from.as_str())?;
        }
        f.write_str(": ")?;
        for fact in evidence {
            write!(f, "{fact}; ")?;
        }
        f.write_str(cause)?;
        let timed = !evidence.is_empty() && *from != Role::Init;
        if timed { write!(f, ", {} later", span(*delay)) } else { Ok(()) }
    }
}

#[derive(Clone, Debug)]
struct Fact {
    router: usize,
    at: Instant,
    text: String,
}

/// A ring buffer of transitions, and the facts that may explain the next one.
#[derive(Clone, Debug, Default)]
pub struct History {
    transitions: VecDeque<Transition>,
    facts: VecDeque<Fact>,
}

impl History {
    /// Records a fact that may explain the next transition of `router`. Facts need not be added in the order of `at`.
    pub fn add_evidence(&mut self, router: usize, at: Instant, text: String) {
        // Priority 0 is sent three times, and is one fact.
        if self
            .facts
            .iter()
            .any(|fact| fact.router == router && fact.text == text && at.since(fact.at) < FRESH)
        {
            return;
        }
        if self.facts.len() >= FACTS {
            self.facts.pop_front();
        }
        let place = self.facts.partition_point(|fact| fact.at <= at);
        self.facts.insert(place, Fact { router, at, text });
    }

    /// Another router has this number from now on.
    pub fn forget_evidence(&mut self, router: usize) {
        self.facts.retain(|fact| fact.router != router);
    }

    /// Records a transition of `router`, which happened `at`. Adds its evidence to `transition`, which has none yet.
    pub fn record(&mut self, router: usize, at: Instant, mut transition: Transition) {
        let mut first = None;
        self.facts.retain(|fact| {
            let fresh = at.since(fact.at) < FRESH;
            if fresh && fact.router == router {
                first.get_or_insert(fact.at);
                transition.evidence.push(fact.text.clone());
            }
            fresh && fact.router != router
        });
        transition.delay = first.map_or(Duration::ZERO, |first| at.since(first));
        if self.transitions.len() >= CAPACITY {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// Since when every transition is known; `started`: when the daemon did.
    pub fn reach(&self, started: Timestamp) -> String {
        match self.transitions.front() {
            Some(oldest) if self.transitions.len() >= CAPACITY => {
                format!("Known since {}, the oldest of the last {CAPACITY} transitions", oldest.time)
            }
            _ => format!("Known since {started}, the start of vrrp-init"),
        }
    }

    /// One line per transition, oldest first.
    pub fn sentences(&self) -> String {
        let mut text = String::new();
        for transition in &self.transitions {
            _ = writeln!(text, "{}", printable::line(&transition.to_string()));
        }
        text
    }
}

/// The part for `why`, with the transitions from `since` before `now` on alone.
pub fn recent(why: &str, now: Timestamp, since: Duration) -> String {
    let from = now.before(since).to_string();
    let (mut text, mut lines) = (String::new(), why.lines());
    for line in lines.by_ref().take(2) {
        _ = writeln!(text, "{line}");
    }
    let before = text.len();
    // Times of this form are in the order of their texts.
    for line in lines.filter(|line| line.split(' ').next() >= Some(from.as_str())) {
        _ = writeln!(text, "{line}");
    }
    if text.len() == before {
        _ = writeln!(text, "No transition in the last {}, since {from}", span(since));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transition(cause: &str) -> Transition {
        Transition {
            time: Timestamp::after_epoch(Duration::from_millis(1_795_521_784_118)),
            router: "VI_1".into(),
            from: Role::Master,
            to: Role::Backup,
            lasted: Duration::from_secs(7_325),
            evidence: vec![],
            cause: cause.into(),
            delay: Duration::ZERO,
        }
    }

    #[test]
    fn a_transition_reads_with_its_cause_evidence_and_timing() {
        let mut history = History::default();
        let at = Instant::from_millis;
        history.add_evidence(0, at(1_000), "an old fact".into());
        history.add_evidence(1, at(60_000), "another router's".into());
        history.add_evidence(0, at(60_000), "haproxy (pid 17) is gone".into());
        history.add_evidence(0, at(60_001), "priority 13 to 11".into());
        history.add_evidence(0, at(60_002), "priority 13 to 11".into());
        history.record(0, at(60_009), transition("10.0.0.11 (priority 12) ranks higher"));
        let sentence = "2026-11-24T12:03:04.118Z VI_1 BACKUP after 2 h 2 min as MASTER: haproxy (pid 17) is gone; \
                        priority 13 to 11; 10.0.0.11 (priority 12) ranks higher, 9 ms later\n";
        assert_eq!(history.sentences(), sentence);
        history.record(1, at(60_010), Transition { from: Role::Init, ..transition("started") });
        assert!(history.sentences().ends_with("VI_1 BACKUP: another router's; started\n"));
    }

    #[test]
    fn evidence_is_listed_in_the_order_in_which_it_happened() {
        let mut history = History::default();
        let at = Instant::from_millis;
        history.add_evidence(0, at(2_000), "priority 11 to 13".into());
        history.add_evidence(0, at(1_000), "its last advert arrived".into());
        history.record(0, at(4_600), transition("10.0.0.11 fell silent"));
        let expected = "its last advert arrived; priority 11 to 13; 10.0.0.11 fell silent, 3.6 s later\n";
        assert!(history.sentences().ends_with(expected), "{}", history.sentences());
    }

    #[test]
    fn recent_transitions_are_selected_by_their_time() {
        let at = |seconds: u64| Timestamp::after_epoch(Duration::from_secs(1_795_521_784 + seconds));
        let mut history = History::default();
        let head = "Now: fine\nKnown since 2026-11-24T12:03:04.000Z, the start of vrrp-init\n";
        let part =
            |history: &History| format!("Now: fine\n{}\n{}", history.reach(at(0)), history.sentences());
        assert_eq!(part(&history), head);
        for n in [10, 20, 3_600] {
            history.record(0, Instant::START, Transition { time: at(n), ..transition(&format!("at {n}")) });
        }
        let select = |now, since| recent(&part(&history), at(now), Duration::from_secs(since));
        let causes = |text: &str| {
            let rest = text.strip_prefix(head).unwrap();
            rest.lines()
                .map(|line| line.rsplit_once(": ").map_or(line, |(_, cause)| cause).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(causes(&select(3_700, 7_200)), ["at 10", "at 20", "at 3600"]);
        assert_eq!(causes(&select(3_620, 3_600)), ["at 20", "at 3600"], "the first moment counts");
        let none = "No transition in the last 1 min 30 s, since 2026-11-24T13:03:14.000Z";
        assert_eq!(select(3_700, 90), format!("{head}{none}\n"));
        for n in 0..CAPACITY {
            history.record(0, Instant::START, Transition { time: at(4_000), ..transition(&n.to_string()) });
        }
        let oldest = "Known since 2026-11-24T13:09:44.000Z, the oldest of the last 200 transitions";
        assert_eq!(history.reach(at(0)), oldest);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut history = History::default();
        for n in 0..1_000 {
            history.add_evidence(n, Instant::START, "fact".into());
            history.add_evidence(1_000, Instant::START, "of one that never changes".into());
            history.record(n, Instant::START, transition(&n.to_string()));
        }
        let sentences = history.sentences();
        assert_eq!(sentences.lines().count(), CAPACITY);
        assert!(sentences.lines().next().is_some_and(|line| line.contains("fact; 800")), "{sentences}");
        assert!(history.facts.len() <= FACTS);
    }
}
