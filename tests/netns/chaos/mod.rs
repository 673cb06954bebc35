//! Faults in a sequence that a seed decides, on two and three hosts, and what must hold whatever happens. `make chaos` runs
//! it for longer. A sequence is run again by its seed: `CHAOS_SEED=… make chaos`.

pub(crate) mod faults;
pub(crate) mod hosts;
pub(crate) mod judge;
pub(crate) mod schedule;
mod site;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use faults::Configuration;
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
    let start = std::time::Instant::now();
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
    perform(&mut hosts, &watch, &plan.steps, |_, _| {});
    let started = watch.started;
    let holds =
        judge(&format!("seed {seed}"), plan.configuration, &watch.finish()) && hosts.faults.is_empty();
    if !holds {
        eprintln!("chaos: to run it again: CHAOS_SEED={seed} CHAOS_SECONDS={} make chaos", LONGEST.as_secs());
        hosts.print(started);
    }
    holds
}

/// Does to the hosts what the steps say, and notes it. Calls `done` after each step, with the processes of the routers.
pub(crate) fn perform(
    hosts: &mut Hosts,
    watch: &Watch,
    steps: &[(Duration, Step)],
    mut done: impl FnMut(&[Option<u32>], Step),
) {
    let mut due = watch.now();
    let mut before = Duration::ZERO;
    for (at, step) in steps {
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
        done(&hosts.pids(), *step);
        // What took longer than planned delays what follows.
        due = due.max(watch.now());
    }
    std::thread::sleep(schedule::WINDOW);
}

/// Whether everything holds. Prints how much was seen, and if something does not hold all of it.
pub(crate) fn judge(name: &str, configuration: Configuration, record: &Record) -> bool {
    let verdict = record.judge(configuration);
    eprintln!(
        "chaos: {name}, {}, {:.0} s: {} events, {} checks judged, {} void, {} answers judged ({} times without the client that may be misled), stalls of {:.1?}",
        configuration.name,
        record.ended.as_secs_f64(),
        record.acts.len(),
        verdict.judged,
        verdict.void,
        verdict.answers,
        verdict.misled,
        record.starved(),
    );
    let holds = verdict.violations.is_empty();
    if !holds {
        report(record, &verdict);
    }
    holds
}

fn report(record: &Record, verdict: &Verdict) {
    eprintln!("chaos: violations:");
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
