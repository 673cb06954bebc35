//! The events of failover, repeated in turn over pairs of programs; knows not what an event is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::Plan;
use crate::client::EVERY;
use crate::events::{Event, GONE, Seen};
use crate::figures::{Spread, ratio, table, time};
use crate::goals;
use crate::pair::{CONFIGURATIONS, Configuration, Pair};
use crate::report;
use crate::support::millis;
use crate::support::router::Kind;

/// When the client itself is kept waiting for longer, its figures are the machine's.
const BLIND: Duration = millis(20);

/// Who is master and who is backup.
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

/// One event with its way back, and how often each pair goes through it.
struct Round {
    part: &'static str,
    perform: fn(&mut Pair) -> Vec<(Event, Seen)>,
    full: [usize; 4],
    quick: [usize; 4],
}

const ROUNDS: [Round; 5] = [
    Round { part: "service", perform: Pair::service_event, full: [30, 5, 5, 5], quick: [3, 2, 1, 1] },
    Round { part: "sigterm", perform: Pair::sigterm, full: [30, 5, 30, 5], quick: [3, 2, 3, 1] },
    Round { part: "sigkill", perform: Pair::sigkill, full: [5, 2, 0, 0], quick: [1, 1, 0, 0] },
    Round { part: "link", perform: Pair::link, full: [3, 3, 0, 0], quick: [1, 1, 0, 0] },
    Round { part: "sigstop", perform: Pair::sigstop, full: [1, 1, 0, 0], quick: [1, 1, 0, 0] },
];

/// Everything seen, by event and pair.
#[derive(Default)]
pub(crate) struct Results {
    seen: BTreeMap<(Event, usize), Vec<Seen>>,
    /// How often a pair had to be made anew since it did not settle.
    remade: [usize; 4],
}

impl Results {
    pub(crate) fn of(&self, event: Event, pair: usize) -> &[Seen] {
        self.seen.get(&(event, pair)).map_or(&[], Vec::as_slice)
    }

    /// `None` where nothing was measured, or no successor answered in the median case.
    pub(crate) fn outage(&self, event: Event, pair: usize) -> Option<Spread<Duration>> {
        // An event without a successor counts as longer than everything.
        let outages = self.of(event, pair).iter().map(|seen| seen.outage.unwrap_or(Duration::MAX));
        Spread::of(outages)
    }

    pub(crate) fn failed(&self, event: Event, pair: usize) -> Option<Spread<usize>> {
        Spread::of(self.of(event, pair).iter().map(|seen| seen.failed))
    }

    /// The spread of a figure that some events show.
    pub(crate) fn spread<T: Ord + Copy>(
        &self,
        event: Event,
        pair: usize,
        figure: impl Fn(&Seen) -> Option<T>,
    ) -> Option<Spread<T>> {
        Spread::of(self.of(event, pair).iter().filter_map(figure))
    }
}

/// Measures and reports what the plan wants of it.
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
                results.remade[n] += usize::from(pair.settle());
                std::thread::sleep(phase(repetition));
                for (event, seen) in (round.perform)(pair) {
                    eprintln!("bench: {} | {} | #{} {seen:?}", event.name(), name(n), repetition + 1);
                    results.seen.entry((event, n)).or_default().push(seen);
                }
                pair.recover();
            }
        }
    }
    results
}

/// Spreads the events evenly over the 2 s of the slowest timer, adverts or checks, in any number of repetitions.
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
    text.push_str("\nBesides:\n\n");
    text.push_str(&table(&["figure", "vrrp-init", "keepalived"], &besides(results)));
    text.push_str("\nGoals:\n\n");
    text.push_str(&goals::table(results, configuration));
    let blind: Vec<_> = results.seen.values().flatten().map(|seen| seen.blind).collect();
    let late = blind.iter().filter(|blind| **blind > BLIND).count();
    let _ = writeln!(
        text,
        "\nA busy machine keeps the client from looking, too: for more than {} in {late} of {} events, at worst for {}. \
         Pairs that did not settle after an event and were made anew, in the order of the columns above: {:?}.",
        time(BLIND),
        blind.len(),
        time(blind.iter().max().copied().unwrap_or_default()),
        results.remade,
    );
    text
}

/// One row for each event that either pair went through.
fn rows(results: &Results, [left, right]: [usize; 2], compared: bool) -> Vec<Vec<String>> {
    let went = |event: &Event| [left, right].iter().any(|pair| !results.of(*event, *pair).is_empty());
    let row = |event: Event| {
        let mut row = vec![event.name().to_owned()];
        for pair in [left, right] {
            row.extend(cells(results, event, pair));
        }
        let medians = [left, right].map(|pair| results.outage(event, pair).map(|o| o.median.as_micros()));
        if let ([Some(ours), Some(theirs)], true) = (medians, compared) {
            // Less than two intervals of the client is no outage that it could see.
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

fn besides(results: &Results) -> Vec<Vec<String>> {
    let both =
        |name: &str, cell: &dyn Fn(usize) -> String| vec![name.to_owned(), cell(OURS), cell(KEEPALIVED)];
    let spread = |event, pair, figure: fn(&Seen) -> Option<Duration>| {
        results.spread(event, pair, figure).map_or_else(|| "–".into(), |spread| spread.text())
    };
    let yes = |event, pair, answer: fn(&Seen) -> Option<bool>| {
        let seen = results.of(event, pair);
        format!("{} of {}", seen.iter().filter(|seen| answer(seen) == Some(true)).count(), seen.len())
    };
    vec![
        both("SIGTERM to exit of PID 1", &|pair| spread(Event::Sigterm, pair, |s| s.exit)),
        both("SIGKILL: last advert to first answer of the successor", &|pair| {
            spread(Event::Sigkill, pair, |s| s.since_advert)
        }),
        both("SIGKILL: the dead host loses the address after", &|pair| gone(results, pair)),
        both("SIGKILL: the same container starts again", &|pair| {
            yes(Event::Sigkill, pair, |s| s.starts_again)
        }),
        both("link down: last advert to first answer of the successor", &|pair| {
            spread(Event::LinkDown, pair, |s| s.since_advert)
        }),
        both("link up: longest time with two holders", &|pair| spread(Event::LinkUp, pair, |s| s.shared)),
        both("link up: the preferred host alone holds it after", &|pair| {
            yes(Event::LinkUp, pair, |s| s.one_after)
        }),
        both("SIGSTOP: longest time with two holders", &|pair| spread(Event::Sigstop, pair, |s| s.shared)),
        both("SIGSTOP: when two holders end, after it", &|pair| {
            spread(Event::Sigstop, pair, |s| s.shared_until)
        }),
        both("SIGSTOP: the preferred host alone holds it after", &|pair| {
            yes(Event::Sigstop, pair, |s| s.one_after)
        }),
    ]
}

fn gone(results: &Results, pair: usize) -> String {
    let gone = results.spread(Event::Sigkill, pair, |seen| seen.gone);
    gone.map_or_else(
        || "–".into(),
        |gone| {
            if gone.least >= GONE { format!("never (watched {})", time(GONE)) } else { gone.text() }
        },
    )
}
