//! A pair for `SOAK_HOURS` (1): under load, scraped, with a fault now and then, its use of the machine sampled and judged.
//! Knows the product only from outside.
//!
//! Writes `target/soak/samples.csv` while it runs, and draws `target/soak/soak.svg`, which is also `docs/soak.svg` after an
//! hour or more. `SOAK_SAMPLES=file` runs nothing: judges and draws these samples.
#![expect(clippy::disallowed_methods, reason = "a measurement of running programs reads the real clock")]

#[expect(dead_code, reason = "the sequences of `make chaos` use the rest")]
#[path = "../netns/chaos/mod.rs"]
mod chaos;
#[path = "../bench/drawing.rs"]
mod drawing;
mod picture;
mod sampler;
mod samples;
#[expect(dead_code, reason = "written for the tests; this needs a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos::faults::{Act, Configuration, Program};
use chaos::hosts::Hosts;
use chaos::schedule::{Plan, Step};
use chaos::watch::Watch;
use sampler::Sampler;
use samples::Samples;
use support::seconds;

const HOSTS: Configuration = Configuration {
    name: "two of ours, 1 s, IPv4 and IPv6",
    programs: &[Program::Ours, Program::Ours],
    advert_ms: 1_000,
    v6: true,
};
/// Added after each check, so that a fault comes about every 30 s.
const REST: Duration = seconds(15);
/// After about so long, what was seen is judged, and forgotten. Of that, two fifths are faults.
const SEQUENCE: Duration = seconds(600);
const FOLDER: &str = "target/soak";
const SAMPLES: &str = "target/soak/samples.csv";

fn main() -> ExitCode {
    let read = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    fs::create_dir_all(FOLDER).expect("the folder is writable");
    let mut holds = true;
    let file = read("SOAK_SAMPLES").unwrap_or_else(|| {
        let hours = read("SOAK_HOURS").unwrap_or_else(|| "1".to_owned());
        let number = hours.parse().ok().filter(|hours| (0.0..10_000.0).contains(hours));
        let time = number.map(|hours| seconds(3_600).mul_f64(hours));
        let seed = read("SOAK_SEED").map_or(0, |text| text.parse().expect("SOAK_SEED must be a number"));
        holds = run(time.unwrap_or_else(|| panic!("SOAK_HOURS={hours} must be a number")), seed);
        SAMPLES.to_owned()
    });
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let samples = Samples::parse(&text).unwrap_or_else(|line| panic!("{file}: not a sample: {line}"));
    let judgement = samples.judge();
    let svg = picture::draw(&samples).expect("a picture can be drawn");
    fs::write(format!("{FOLDER}/soak.svg"), &svg).expect("the folder is writable");
    if samples.duration() >= seconds(3_500) {
        fs::write("docs/soak.svg", svg).expect("the folder is writable");
    }
    for (line, met) in &judgement {
        println!("soak: {line}: {}", if *met { "met" } else { "MISSED" });
    }
    let holds = holds && judgement.iter().all(|(_, met)| *met);
    println!("soak: {}", if holds { "all holds" } else { "something does not hold" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether nothing exited, panicked or was violated.
fn run(time: Duration, seed: u64) -> bool {
    let start = Instant::now();
    let mut hosts = Hosts::new(HOSTS);
    let sampler = Sampler::start(&hosts, SAMPLES);
    let (mut holds, mut said, mut filled) = (true, 0, None);
    for number in 0.. {
        let left = time.saturating_sub(start.elapsed());
        if number > 0 && left < seconds(60) {
            break;
        }
        // The router of the better host may die in the first half alone, that of the other one in the second half.
        let second_half = start.elapsed() + left.min(SEQUENCE) / 2 > time / 2;
        let plan = Plan::on(HOSTS, seed + number, left.min(SEQUENCE) * 2 / 5);
        let mut steps = at_a_low_rate(&plan, number > 0, usize::from(!second_half));
        if filled.replace(second_half) != Some(second_half) {
            fill(&mut steps, left / 10);
        }
        let watch = Watch::start(&hosts);
        if number > 0 {
            let starts = (0..HOSTS.programs.len()).map(|host| (Duration::ZERO, Act::Start(host)));
            watch.note(|record| record.acts.extend(starts));
        }
        chaos::perform(&mut hosts, &watch, &steps, |pids, step| {
            sampler.set(pids);
            println!("soak: {:7.1} s {step:?}", start.elapsed().as_secs_f64());
        });
        holds &= chaos::judge(&format!("sequence {number}"), HOSTS, &watch.finish());
        hosts.faults[said..].iter().for_each(|fault| println!("soak: {fault}"));
        said = hosts.faults.len();
    }
    sampler.finish();
    let holds = holds && hosts.faults.is_empty();
    if !holds {
        hosts.print(start);
    }
    holds
}

/// Puts moves of the addresses behind the first check, for so long at most. The daemons keep their last 200 transitions:
/// afterwards that memory is no longer new.
fn fill(steps: &mut Vec<(Duration, Step)>, most: Duration) {
    const EACH: Duration = seconds(5);
    const MOVES: u32 = 60;
    let first = steps.iter().position(|(_, step)| *step == Step::Check).map_or(0, |check| check + 1);
    let begin = steps[first - 1].0 + EACH;
    let moves = (0..MOVES).map(|n| begin + EACH * n).take_while(|at| *at < begin + most);
    let moves: Vec<_> = moves
        .flat_map(|at| [(at, Act::KillService(0)), (at + EACH / 3, Act::StartService(0))])
        .map(|(at, act)| (at, Step::Act(act)))
        .collect();
    let longer = moves.last().map_or(Duration::ZERO, |(at, _)| (*at + EACH).saturating_sub(begin));
    steps[first..].iter_mut().for_each(|(at, _)| *at += longer);
    steps.splice(first..first, moves);
}

/// The steps, with a rest after each check. The router of `spared` never ends; if they run already, none starts at first.
fn at_a_low_rate(plan: &Plan, run: bool, spared: usize) -> Vec<(Duration, Step)> {
    let first = HOSTS.programs.len();
    let mut rest = Duration::ZERO;
    let mut steps = vec![];
    for (n, (at, step)) in plan.steps.iter().enumerate() {
        match *step {
            Step::Act(Act::Start(_)) if run && n < first => {}
            Step::Act(Act::Kill(h) | Act::Stop(h) | Act::Start(h)) if n >= first && h == spared => {}
            step @ (Step::Act(_) | Step::Check) => steps.push((*at + rest, step)),
        }
        if *step == Step::Check {
            rest += REST;
        }
    }
    steps
}
