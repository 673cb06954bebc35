//! The processes of a check's services, as the last scan found them. Knows no verdict and no schedule.

use std::fmt;

use super::table::ProcessTable;
use crate::status::TargetStatus;
use crate::sys::process::Process;
use crate::time::{Instant, millis};

/// The services of one check.
#[derive(Debug)]
pub(super) struct ServiceProcesses {
    services: Vec<Service>,
}

#[derive(Debug)]
struct Service {
    name: String,
    /// The number of the name in the table.
    number: usize,
    found: Vec<Process>,
    /// When it last started or ended.
    since: Instant,
}

impl ServiceProcesses {
    pub(super) fn new(names: &[String], table: &mut ProcessTable) -> Self {
        let service = |name: &String| Service {
            name: name.clone(),
            number: table.add(name),
            found: vec![],
            since: Instant::START,
        };
        Self { services: names.iter().map(service).collect() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.services.iter().map(|service| &service.name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Whether every service has a live process.
    pub(super) fn all_run(&self) -> bool {
        self.services.iter().all(|service| !service.found.is_empty())
    }

    /// Takes what the table has found. Adds a sentence for each service that has started or ended.
    pub(super) fn update(&mut self, now: Instant, table: &ProcessTable, changes: &mut Vec<String>) {
        for Service { name, number, found, since } in &mut self.services {
            let current = table.processes(*number);
            if found == current {
                continue;
            }
            if found.is_empty() || current.is_empty() {
                *since = now;
            }
            match (found.is_empty(), current.is_empty()) {
                (false, true) => changes.push(format!("{name} (pid {}) is gone", Pids(found))),
                (true, false) => changes.push(format!("{name} runs (pid {})", Pids(current))),
                (true, true) | (false, false) => {}
            }
            current.clone_into(found);
        }
    }

    /// Each service at the last scan.
    pub(super) fn status(&self, now: Instant) -> impl Iterator<Item = TargetStatus> {
        self.services.iter().map(move |service| TargetStatus {
            name: service.name.clone(),
            passed: Some(!service.found.is_empty()),
            passed_ms: millis(now.since(service.since)),
            reason: None,
            pids: service.found.iter().map(|process| process.pid).collect(),
            is_process: true,
        })
    }
}

struct Pids<'a>(&'a [Process]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, process) in self.0.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " " }, process.pid)?;
        }
        Ok(())
    }
}
