//! Repeats the events of failover, in turn over the pairs of programs. Does not know what an event consists of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::Plan;
use crate::client::EVERY;
use crate::events::{Event, GONE, Observation, WATCHED};
use crate::figures::{Spread, ratio, table, time};
use crate::goals;
use crate::pair::{CONFIGURATIONS, Configuration, Pair};
use crate::report;
use crate::support::millis;
use crate::support::router::Kind;

/// When the client itself pauses for longer, its figures are about the machine.
const PAUSE: Duration = millis(20);

/// Master and backup.
pub(crate) const PAIRS: [[Kind; 2]; 4] = [
    [Kind::Ours, Kind::Ours],
    [Kind::Keepalived, Kind::Keepalived],
    [Kind::Ours, Kind::Keepalived],
    [Kind::Keepalived, Kind::Ours],
];
/// Indices of [`PAIRS`].
pub(crate) const OURS: usize = 0;
pub(crate) const KEEPALIVED: usize = 1;
pub(crate) const OUR_MASTER: usize = 2;
pub(crate) const OUR_BACKUP: usize = 3;

/// One event with the recovery from it, and how often it happens to each pair.
struct Round {
    part: &'static str,
    perform: fn(&mut Pair) -> Vec<(Event, Observation)>,
    full: [usize; 4],
    quick: [usize; 4],
}

const ROUNDS: [Round; 7] = [
    Round { part: "service", perform: Pair::service_event, full: [30, 5, 5, 5], quick: [3, 2, 1, 1] },
    Round { part: "sigterm", perform: Pair::sigterm, full: [30, 5, 30, 5], quick: [3, 2, 3, 1] },
    Round { part: "sigkill", perform: Pair::sigkill_and_restart, full: [5, 2, 0, 0], quick: [1, 1, 0, 0] },
    Round { part: "sigkill", perform: Pair::sigkill, full: [15, 18, 0, 0], quick: [0, 0, 0, 0] },
    Round { part: "oom", perform: Pair::oom, full: [20, 5, 0, 0], quick: [1, 0, 0, 0] },
    Round { part: "link", perform: Pair::link, full: [3, 3, 0, 0], quick: [1, 1, 0, 0] },
    Round { part: "sigstop", perform: Pair::sigstop, full: [1, 1, 0, 0], quick: [1, 1, 0, 0] },
];

/// All observations, by event and pair.
#[derive(Default)]
pub(crate) struct Results {
    observations: BTreeMap<(Event, usize), Vec<Observation>>,
    /// How often a pair did not settle and was replaced.
    replaced: [usize; 4],
}

impl Results {
    pub(crate) fn of(&self, event: Event, pair: usize) -> &[Observation] {
        self.observations.get(&(event, pair)).map_or(&[], Vec::as_slice)
    }

    /// `None` where nothing was measured, or no successor answered in the median case.
    pub(crate) fn outage(&self, event: Event, pair: usize) -> Option<Spread<Duration>> {
        // An event without a successor counts as the longest.
        let outages = self.of(event, pair).iter().map(|seen| seen.outage.unwrap_or(Duration::MAX));
        Spread::of(outages)
    }

    pub(crate) fn failed(&self, event: Event, pair: usize) -> Option<Spread<usize>> {
        Spread::of(self.of(event, pair).iter().map(|seen| seen.failed))
    }

    /// The spread of a figure that only some events show.
    pub(crate) fn spread<T: Ord + Copy>(
        &self,
        event: Event,
        pair: usize,
        figure: impl Fn(&Observation) -> Option<T>,
    ) -> Option<Spread<T>> {
        Spread::of(self.of(event, pair).iter().filter_map(figure))
    }
}

/// Measures and reports what the plan asks for.
pub(crate) fn run(plan: &Plan) {
    let whole = plan.has("failover");
    let rounds: Vec<&Round> = ROUNDS.iter().filter(|round| whole || plan.has(round.part)).collect();
    if rounds.is_empty() {
        return;
    }
    let measured = |configuration| text(&measure(plan, configuration, &rounds), configuration);
    let text = CONFIGURATIONS.map(measured).join("\n");
    println!("{text}");
    if whole {
        report::write(plan, "failover", &text);
    }
}

fn measure(plan: &Plan, configuration: &'static Configuration, rounds: &[&Round]) -> Results {
    let mut results = Results::default();
    let mut pairs = PAIRS.map(|kinds| Pair::start(kinds, configuration));
    for round in rounds {
        let times = match (plan.quick, configuration.seldom) {
            (true, _) => round.quick,
            (false, true) => round.full.map(|times| times.div_ceil(3)),
            (false, false) => round.full,
        };
        for repetition in 0..times.into_iter().max().unwrap_or_default() {
            for (n, pair) in pairs.iter_mut().enumerate().filter(|(n, _)| repetition < times[*n]) {
                results.replaced[n] += usize::from(pair.settle());
                std::thread::sleep(phase(repetition));
                for (event, seen) in (round.perform)(pair) {
                    eprintln!("bench: {} | {} | #{} {seen:?}", event.name(), name(n), repetition + 1);
                    results.observations.entry((event, n)).or_default().push(seen);
                }
                pair.recover();
            }
        }
    }
    results
}

/// Spreads any number of repetitions evenly over 2 s, the longest period of adverts and checks.
fn phase(repetition: usize) -> Duration {
    let golden = u64::try_from(repetition).expect("a small number") * 1_236;
    millis(golden % 2_000)
}

pub(crate) fn name(pair: usize) -> &'static str {
    ["vrrp-init", "keepalived", "vrrp-init master, keepalived backup", "keepalived master, vrrp-init backup"]
        [pair]
}

fn text(results: &Results, configuration: &Configuration) -> String {
    let mut text = format!("### {}\n\n", configuration.name);
    text.push_str(&table(
        &["event", "vrrp-init: outage", "failed", "keepalived: outage", "failed", "ratio"],
        &rows(results, [OURS, KEEPALIVED], true),
    ));
    text.push_str("\nMixed pairs:\n\n");
    text.push_str(&table(
        &[
            "event",
            "vrrp-init master, keepalived backup: outage",
            "failed",
            "keepalived master, vrrp-init backup: outage",
            "failed",
        ],
        &rows(results, [OUR_MASTER, OUR_BACKUP], false),
    ));
    text.push_str("\nOther figures:\n\n");
    text.push_str(&table(&["figure", "vrrp-init", "keepalived"], &other_figures(results)));
    text.push_str("\nGoals:\n\n");
    text.push_str(&goals::table(results, configuration));
    let pauses: Vec<_> = results.observations.values().flatten().map(|seen| seen.longest_pause).collect();
    let late = pauses.iter().filter(|pause| **pause > PAUSE).count();
    let _ = writeln!(
        text,
        "\nA busy machine also delays the client's sampling: by more than {} in {late} of {} events, at worst by {}. \
         Pairs that did not settle after an event and were replaced, in the order of the columns above: {:?}.",
        time(PAUSE),
        pauses.len(),
        time(pauses.iter().max().copied().unwrap_or_default()),
        results.replaced,
    );
    text
}

/// One row for each event that happened to either pair.
fn rows(results: &Results, [left, right]: [usize; 2], compared: bool) -> Vec<Vec<String>> {
    let went = |event: &Event| [left, right].iter().any(|pair| !results.of(*event, *pair).is_empty());
    let row = |event: Event| {
        let mut row = vec![event.name().to_owned()];
        for pair in [left, right] {
            row.extend(cells(results, event, pair));
        }
        let medians = [left, right].map(|pair| results.outage(event, pair).map(|o| o.median.as_micros()));
        if let ([Some(ours), Some(theirs)], true) = (medians, compared) {
            // The client cannot see an outage shorter than two of its intervals.
            let unseen = ours.max(theirs) < 2 * EVERY.as_micros();
            row.push(if unseen { "no outage".into() } else { ratio(theirs, ours) });
        }
        row
    };
    Event::ALL.into_iter().filter(went).map(row).collect()
}

/// Outage and failed requests.
fn cells(results: &Results, event: Event, pair: usize) -> [String; 2] {
    let seen = results.of(event, pair);
    let without = seen.iter().filter(|seen| seen.outage.is_none()).count();
    let outage = Spread::of(seen.iter().filter_map(|seen| seen.outage));
    let mut outage = outage.map_or_else(|| "–".to_owned(), |outage| outage.text());
    let n = seen.len();
    let _ = match without {
        0 => write!(outage, ", n {n}"),
        _ => write!(outage, ", n {n}; no other host answered in {without}"),
    };
    let failed = results.failed(event, pair);
    [outage, failed.map_or_else(|| "–".to_owned(), |f| format!("{} ({} to {})", f.median, f.least, f.most))]
}

fn other_figures(results: &Results) -> Vec<Vec<String>> {
    let both =
        |name: &str, cell: &dyn Fn(usize) -> String| vec![name.to_owned(), cell(OURS), cell(KEEPALIVED)];
    let spread = |event, pair, figure: fn(&Observation) -> Option<Duration>| {
        results.spread(event, pair, figure).map_or_else(|| "–".into(), |spread| spread.text())
    };
    let yes = |event, pair, answer: fn(&Observation) -> Option<bool>| {
        let seen = results.of(event, pair);
        let answers: Vec<bool> = seen.iter().filter_map(answer).collect();
        format!("{} of {}", answers.iter().filter(|yes| **yes).count(), answers.len())
    };
    vec![
        both("haproxy killed: kill to first answer of the successor", &|pair| {
            spread(Event::Killed, pair, |s| s.answered)
        }),
        both("SIGTERM to exit of PID 1", &|pair| spread(Event::Sigterm, pair, |s| s.exit)),
        both("SIGKILL: kill to first answer of the successor", &|pair| {
            spread(Event::Sigkill, pair, |s| s.answered)
        }),
        both("SIGKILL: kill to last answer of the dead host to ARP", &|pair| {
            let silent = results.spread(Event::Sigkill, pair, |seen| seen.silent);
            watched(silent, WATCHED * 9 / 10, WATCHED)
        }),
        both(
            "SIGKILL: failed requests of a client that asks for the hardware address every 50 ms",
            &|pair| failed_forgetful(results, Event::Sigkill, pair),
        ),
        both("OOM kill: failed requests of such a client", &|pair| {
            failed_forgetful(results, Event::Oom, pair)
        }),
        both("SIGKILL: last advert to first answer of the successor", &|pair| {
            spread(Event::Sigkill, pair, |s| s.since_advert)
        }),
        both("SIGKILL: time until the dead host loses the address", &|pair| gone(results, pair)),
        both("SIGKILL: the same container starts again", &|pair| {
            yes(Event::Sigkill, pair, |s| s.starts_again)
        }),
        both("link down: last advert to first answer of the successor", &|pair| {
            spread(Event::LinkDown, pair, |s| s.since_advert)
        }),
        both("link up: longest time with two holders", &|pair| spread(Event::LinkUp, pair, |s| s.shared)),
        both("link up: the preferred host alone holds the address afterwards", &|pair| {
            yes(Event::LinkUp, pair, |s| s.one_after)
        }),
        both("SIGSTOP: longest time with two holders", &|pair| spread(Event::Sigstop, pair, |s| s.shared)),
        both("SIGSTOP: time until the last moment with two holders", &|pair| {
            spread(Event::Sigstop, pair, |s| s.shared_until)
        }),
        both("SIGSTOP: the preferred host alone holds the address afterwards", &|pair| {
            yes(Event::Sigstop, pair, |s| s.one_after)
        }),
    ]
}

fn gone(results: &Results, pair: usize) -> String {
    watched(results.spread(Event::Sigkill, pair, |seen| seen.gone), GONE, GONE)
}

/// When something ended; from `never` on it did not.
fn watched(ended: Option<Spread<Duration>>, never: Duration, watched: Duration) -> String {
    let text = |ended: Spread<Duration>| {
        if ended.least >= never { format!("never (watched {})", time(watched)) } else { ended.text() }
    };
    ended.map_or_else(|| "–".into(), text)
}

fn failed_forgetful(results: &Results, event: Event, pair: usize) -> String {
    let failed = results.spread(event, pair, |seen| seen.failed_forgetful);
    failed.map_or_else(|| "–".into(), |f| format!("{} ({} to {})", f.median, f.least, f.most))
}
