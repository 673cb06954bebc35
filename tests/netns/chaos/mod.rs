//! Faults in a sequence that a seed decides, on two and three hosts, and what must hold whatever happens. `make chaos` runs
//! it for longer. A sequence is run again by its seed: `CHAOS_SEED=… make chaos`.

mod faults;
mod hosts;
mod judge;
mod schedule;
mod site;
mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hosts::Hosts;
use judge::{Poll, Record, Verdict};
use schedule::{Plan, Step};
use watch::Watch;

use crate::support::seconds;

/// The longest sequence. The next seed follows.
const LONGEST: Duration = seconds(60);
/// The sequence that `make test` runs: three hosts with IPv4 and IPv6, ten adverts a second, many kinds of faults.
const SEED: u64 = 421;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} must be a number"))
}

#[test]
fn one_holder_whatever_happens() {
    let (first, time) = (number("CHAOS_SEED", SEED), seconds(number("CHAOS_SECONDS", 60)));
    let start = Instant::now();
    let mut failed = vec![];
    for seed in first.. {
        let left = time.saturating_sub(start.elapsed());
        if seed > first && left < seconds(20) {
            break;
        }
        let plan = Plan::new(seed, left.min(LONGEST));
        if !run(seed, &plan) {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "violations with the seeds {failed:?}");
}

/// Runs a sequence. Prints its events and what was seen if something does not hold.
fn run(seed: u64, plan: &Plan) -> bool {
    let mut hosts = Hosts::new(plan.configuration);
    let watch = Watch::start(&hosts);
    let mut due = watch.now();
    let mut before = Duration::ZERO;
    for (at, step) in &plan.steps {
        due += at.saturating_sub(before);
        before = *at;
        std::thread::sleep(due.saturating_sub(watch.now()));
        let begun = watch.now();
        match *step {
            Step::Act(act) => {
                hosts.apply(act);
                let at = if act.counts_from_begin() { begun } else { watch.now() };
                watch.note(|record| record.acts.push((at, act)));
            }
            Step::Check => {
                hosts.check();
                watch.note(|record| record.checks.push(begun));
            }
        }
        // What took longer than planned delays what follows.
        due = due.max(watch.now());
    }
    std::thread::sleep(schedule::WINDOW);
    let started = watch.started;
    let record = watch.finish();
    let verdict = record.judge(plan.configuration);
    eprintln!(
        "chaos: seed {seed}, {}, {:.0} s: {} events, {} checks judged, {} void, {} answers judged ({} times without the client that may be misled), stalls of {:.1?}",
        plan.configuration.name,
        record.ended.as_secs_f64(),
        record.acts.len(),
        verdict.judged,
        verdict.void,
        verdict.answers,
        verdict.misled,
        record.starved(),
    );
    let holds = verdict.violations.is_empty() && hosts.faults.is_empty();
    if !holds {
        report(seed, &record, &verdict);
        hosts.print(started);
    }
    holds
}

fn report(seed: u64, record: &Record, verdict: &Verdict) {
    eprintln!(
        "chaos: violations; to run it again: CHAOS_SEED={seed} CHAOS_SECONDS={} make chaos",
        LONGEST.as_secs()
    );
    verdict.violations.iter().for_each(|violation| eprintln!("{violation}"));
    let mut lines: Vec<(Duration, String)> = vec![];
    lines.extend(record.acts.iter().map(|(at, act)| (*at, format!("{act:?}"))));
    lines.extend(record.checks.iter().map(|at| (*at, "check".to_owned())));
    for (address, history) in record.holders.iter().enumerate() {
        lines.extend(history.iter().map(|(at, holders)| (*at, format!("  address {address}: {holders:?}"))));
    }
    for (from, to) in &record.stalls {
        lines.extend([(*from, "  stalled".to_owned()), (*to, "  no longer stalled".to_owned())]);
    }
    lines.extend(answers(record));
    lines.sort();
    for (at, line) in lines {
        eprintln!("{:9.3} {line}", at.as_secs_f64());
    }
}

/// When each client got another answer than before.
fn answers(record: &Record) -> Vec<(Duration, String)> {
    let mut last = BTreeMap::new();
    let changed = record.polls.iter().filter(|poll| {
        let answer = (poll.answer, poll.error.clone());
        last.insert((poll.client, poll.address), answer.clone()) != Some(answer)
    });
    let line = |poll: &Poll| {
        let Poll { client, address, asked, answer, error, .. } = poll;
        let answer = answer.map_or(error.clone(), |host| format!("host {host}"));
        (*asked, format!("    the {client} client asks for address {address}: {answer}"))
    };
    changed.map(line).collect()
}
