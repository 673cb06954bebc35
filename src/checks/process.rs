//! The processes of a check's services, as the last scan found them. Knows no verdict and no schedule.

use std::fmt;

use super::table::ProcessTable;
use crate::status::TargetStatus;
use crate::sys::process::Process;

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
}

impl ServiceProcesses {
    pub(super) fn new(names: &[String], table: &mut ProcessTable) -> Self {
        let service = |name: &String| Service { name: name.clone(), number: table.add(name), found: vec![] };
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
    pub(super) fn update(&mut self, table: &ProcessTable, changes: &mut Vec<String>) {
        for Service { name, number, found } in &mut self.services {
            let now = table.processes(*number);
            if found == now {
                continue;
            }
            match (found.is_empty(), now.is_empty()) {
                (false, true) => changes.push(format!("{name} (pid {}) is gone", Pids(found))),
                (true, false) => changes.push(format!("{name} runs (pid {})", Pids(now))),
                (true, true) | (false, false) => {}
            }
            now.clone_into(found);
        }
    }

    /// Each service at the last scan.
    pub(super) fn status(&self) -> impl Iterator<Item = TargetStatus> {
        self.services.iter().map(|service| TargetStatus {
            name: service.name.clone(),
            passed: Some(!service.found.is_empty()),
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
