//! What must hold whatever happens, judged from what was seen: the kernels' addresses and what clients got. Knows no clock
//! and no kernel; `tests/pure/chaos.rs` tests it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::faults::{Act, Configuration, Trouble, World};
use super::schedule::WINDOW;

/// The time in which a client must reach the holder once all is quiet.
const REACHED: Duration = Duration::from_secs(1);
/// A check is void if the machine did not run our programs for so long before it.
const STARVED: Duration = Duration::from_millis(400);

/// The client that forgets its neighbors before each request.
pub(crate) const FRESH: &str = "fresh";

/// What was seen. All times are since the start of the sequence.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) acts: Vec<(Duration, Act)>,
    pub(crate) checks: Vec<Duration>,
    /// For each virtual address, whenever it changed: which hosts' kernels had it.
    pub(crate) holders: Vec<Vec<(Duration, Vec<bool>)>>,
    pub(crate) polls: Vec<Poll>,
    /// When the machine did not run a thread that was due, from and to.
    pub(crate) stalls: Vec<(Duration, Duration)>,
    pub(crate) ended: Duration,
}

/// One request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    /// Its name.
    pub(crate) client: &'static str,
    /// The number of the virtual address.
    pub(crate) address: usize,
    pub(crate) asked: Duration,
    pub(crate) ended: Duration,
    /// The host that answered.
    pub(crate) answer: Option<usize>,
    /// Why no host did.
    pub(crate) error: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) what: String,
}

/// The result, with the number of checks that could be judged and of those that could not.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) judged: usize,
    pub(crate) void: usize,
    /// How many requests of clients were judged.
    pub(crate) answers: usize,
    /// In how many of the judged checks a client that keeps its neighbors may have had a wrong one.
    pub(crate) misled: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {}", self.at.as_secs_f64(), self.what)
    }
}

/// A time in which neither the events nor the holders changed.
struct Span<'a> {
    from: Duration,
    to: Duration,
    world: &'a World,
    holders: &'a [bool],
}

impl Span<'_> {
    fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

impl Record {
    pub(crate) fn judge(&self, configuration: Configuration) -> Verdict {
        let worlds = self.worlds(configuration);
        let mut verdict = Verdict::default();
        for (address, history) in self.holders.iter().enumerate() {
            let spans = self.spans(&worlds, history);
            self.none_for_too_long(&configuration, address, &spans, &mut verdict);
            self.several_for_too_long(&configuration, address, &spans, &mut verdict);
            for check in &self.checks {
                self.quiet(&configuration, (address, *check), &spans, &mut verdict);
            }
        }
        verdict.violations.sort_by_key(|violation| violation.at);
        verdict
    }

    /// The state of the hosts after each event.
    fn worlds(&self, configuration: Configuration) -> Vec<(Duration, World)> {
        let mut acts = self.acts.clone();
        acts.sort_by_key(|(at, _)| *at);
        let mut world = World::new(configuration);
        let mut worlds = vec![(Duration::ZERO, world.clone())];
        for (at, act) in acts {
            world.apply(at, act);
            worlds.push((at, world.clone()));
        }
        worlds
    }

    fn spans<'a>(
        &self,
        worlds: &'a [(Duration, World)],
        history: &'a [(Duration, Vec<bool>)],
    ) -> Vec<Span<'a>> {
        let times: BTreeSet<Duration> =
            worlds.iter().map(|(at, _)| *at).chain(history.iter().map(|(at, _)| *at)).collect();
        let ends = times.iter().skip(1).chain([&self.ended]);
        let spans = times.iter().zip(ends).filter(|(from, to)| from < to);
        spans
            .filter_map(|(&from, &to)| {
                let world = worlds.iter().rfind(|(at, _)| *at <= from)?;
                let holders = history.iter().rfind(|(at, _)| *at <= from)?;
                Some(Span { from, to, world: &world.1, holders: &holders.1 })
            })
            .collect()
    }

    /// How long the machine did not run our programs in all.
    pub(crate) fn starved(&self) -> Duration {
        self.stalled(Duration::ZERO, self.ended)
    }

    /// How long in this time the machine did not run our programs.
    fn stalled(&self, from: Duration, to: Duration) -> Duration {
        self.stalls.iter().map(|stall| stall.1.min(to).saturating_sub(stall.0.max(from))).sum()
    }

    fn none_for_too_long(
        &self,
        configuration: &Configuration,
        address: usize,
        spans: &[Span<'_>],
        verdict: &mut Verdict,
    ) {
        let limit = configuration.none_limit();
        let mut began: Option<Duration> = None;
        let mut reported = false;
        for span in spans {
            if span.holders.contains(&true) {
                (began, reported) = (None, false);
                continue;
            }
            let began = *began.get_or_insert(span.from);
            let able = span.world.hosts.iter().filter_map(|host| host.able_since).min();
            let Some(able) = able.filter(|_| !span.world.flooded) else { continue };
            let since = began.max(able).max(span.world.flood_ended);
            let time = span.to.saturating_sub(since);
            if time > limit + self.stalled(since, span.to) && !reported {
                reported = true;
                let what = format!(
                    "address {address}: no holder for {time:.3?} at least, at most {limit:.3?} while a host could be"
                );
                verdict.violations.push(Violation { at: since, what });
            }
        }
    }

    fn several_for_too_long(
        &self,
        configuration: &Configuration,
        address: usize,
        spans: &[Span<'_>],
        verdict: &mut Verdict,
    ) {
        let limit = configuration.several_limit();
        let count = configuration.programs.len();
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        for (a, b) in pairs {
            let mut began: Option<Duration> = None;
            let mut reported = false;
            for span in spans {
                if !(span.holders[a] && span.holders[b]) || span.world.may_both_hold((a, b)) {
                    (began, reported) = (None, false);
                    continue;
                }
                let began = *began.get_or_insert(span.from);
                let time = span.to.saturating_sub(began);
                if time > limit + self.stalled(began, span.to) && !reported {
                    reported = true;
                    let what = format!(
                        "address {address}: hosts {a} and {b} both hold it for {time:.3?} at least, at most {limit:.3?}"
                    );
                    verdict.violations.push(Violation { at: began, what });
                }
            }
        }
    }

    /// After quiet, exactly one holder, the best one, and it answers.
    fn quiet(
        &self,
        configuration: &Configuration,
        (address, at): (usize, Duration),
        spans: &[Span<'_>],
        verdict: &mut Verdict,
    ) {
        let Some(now) = spans.iter().find(|span| span.from <= at && at < span.to) else { return };
        let world = now.world;
        let next = spans.iter().find(|span| span.from > at && span.world.changed > at);
        let until = next.map_or(self.ended, |span| span.from).min(at + WINDOW);
        let settled = world.changed + configuration.settle() <= at + Duration::from_millis(20);
        let starved = self.stalled(world.changed, until) > STARVED;
        let Some(best) = world.best().filter(|_| world.is_whole() && settled && !starved) else {
            verdict.void += 1;
            return;
        };
        verdict.judged += 1;
        let wrong = |holders: &[bool]| {
            let mut each = holders.iter().enumerate();
            each.any(|(h, holds)| *holds != (h == best) && !(*holds && world.may_hold_for_ever(h)))
        };
        let mut seen = spans.iter().filter(|span| span.to > at && span.from < until);
        if let Some(span) = seen.find(|span| wrong(span.holders)) {
            let holders: Vec<usize> = (0..span.holders.len()).filter(|h| span.holders[*h]).collect();
            let what =
                format!("address {address}: quiet, and the holders are {holders:?}, the best is {best}");
            verdict.violations.push(Violation { at: span.from.max(at), what });
            return;
        }
        let stale = now.holders.iter().filter(|holds| **holds).count() > 1;
        if !world.hosts[best].has(Trouble::NoService) && !stale {
            let misled = may_be_misled(best, at, spans);
            verdict.misled += usize::from(misled);
            self.reached((address, best, misled), (now, until), verdict);
        }
    }

    /// Every client has been answered by the holder since the time when it must have found it.
    fn reached(
        &self,
        (address, best, misled): (usize, usize, bool),
        (now, until): (&Span<'_>, Duration),
        verdict: &mut Verdict,
    ) {
        let since = now.from.max(now.world.changed) + REACHED;
        let polls =
            self.polls.iter().filter(|p| p.address == address && p.asked >= since && p.ended <= until);
        let polls = polls.filter(|p| self.stalled(p.asked, p.ended).is_zero());
        let polls = polls.filter(|p| !misled || p.client == FRESH);
        verdict.answers += polls.clone().count();
        let wrong = polls.filter(|p| p.answer != Some(best));
        if let Some(Poll { client, asked, answer, .. }) = wrong.clone().next() {
            let count = wrong.count();
            let answer = answer.map_or("no host".to_owned(), |host| format!("host {host}"));
            let what = format!(
                "address {address}: quiet, and the {client} client gets {answer} and not {best} ({count} requests)"
            );
            verdict.violations.push(Violation { at: *asked, what });
        }
    }
}

/// Whether another host may have announced the address while `best` held it, and `best` cannot know: that host gave up
/// where `best` did not reach it, or so soon after it did that `best` has neither heard it nor asked it.
fn may_be_misled(best: usize, at: Duration, spans: &[Span<'_>]) -> bool {
    let before = spans.partition_point(|span| span.from <= at);
    let held = spans[..before].iter().rev().take_while(|span| span.holders[best]).count();
    let spans = &spans[before - held..];
    (0..spans[0].holders.len()).filter(|h| *h != best).any(|h| {
        let (mut ran, mut known, mut unknown) = (false, Duration::ZERO, false);
        for (n, span) in spans[..held].iter().enumerate().filter(|(_, span)| span.holders[h]) {
            ran |= span.world.hosts[h].runs();
            known = if span.world.is_known(h, best) { known + span.length() } else { Duration::ZERO };
            let Some(next) = spans.get(n + 1).filter(|next| !next.holders[h]) else { continue };
            let last_word = [span, next].iter().all(|span| span.world.would_notice_end_of(h, best));
            unknown |= ran && !last_word && known < span.world.configuration.interval() * 6 / 5;
            (ran, known) = (false, Duration::ZERO);
        }
        unknown
    })
}
