//! vrrp-init and Debian's keepalived side by side, in turn in one run: failover as a client sees it, behavior on a busy
//! machine, idle cost, and many virtual routers. Knows the product only from outside.
//!
//! `BENCH=quick` takes few repetitions; `BENCH_ONLY=` names parts (failover, load, idle, scale) or events (service, sigterm,
//! sigkill, oom, link, sigstop), separated by commas. Only complete parts of a full run are written to `docs/performance.md`.
//! `BENCH_ONLY=picture` measures nothing and redraws `docs/failover.svg` from the page's figures.
#![expect(clippy::disallowed_methods, reason = "a measurement of running programs reads the real clock")]

mod client;
mod drawing;
mod events;
mod failover;
mod figures;
mod goals;
mod idle;
mod load;
mod machine;
mod pair;
mod picture;
mod report;
mod scale;
#[expect(dead_code, reason = "written for the tests; the measurements need a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    only: Vec<String>,
    /// Day, command, machine and versions at the start of the run.
    pub(crate) about: String,
}

impl Plan {
    const PARTS: [&str; 11] = [
        "failover", "service", "sigterm", "sigkill", "oom", "link", "sigstop", "load", "idle", "scale",
        "picture",
    ];

    fn from_environment() -> Self {
        let read = |name| std::env::var(name).unwrap_or_default();
        let quick = match read("BENCH").as_str() {
            "" | "full" => false,
            "quick" => true,
            other => panic!("BENCH={other}: either quick or full"),
        };
        let only: Vec<_> = read("BENCH_ONLY").split(',').map(str::trim).map(str::to_owned).collect();
        let only: Vec<_> = only.into_iter().filter(|part| !part.is_empty()).collect();
        for part in &only {
            assert!(Self::PARTS.contains(&part.as_str()), "BENCH_ONLY={part}: one of {:?}", Self::PARTS);
        }
        let speed = if quick { "BENCH=quick " } else { "" };
        let part = if only.is_empty() { String::new() } else { format!("BENCH_ONLY={} ", only.join(",")) };
        let about = machine::about(&format!("{speed}{part}make bench"));
        Self { quick, only, about }
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() {
    let plan = Plan::from_environment();
    if plan.only == ["picture"] {
        return report::draw();
    }
    machine::require_programs();
    let started = Instant::now();
    failover::run(&plan);
    if plan.has("load") {
        load::run(&plan);
    }
    if plan.has("idle") {
        idle::run(&plan);
    }
    if plan.has("scale") {
        scale::run(&plan);
    }
    eprintln!("bench: {} s", started.elapsed().as_secs());
}
