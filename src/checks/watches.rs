//! A pidfd for each process that matches a service, up to a limit, so that its end is noticed at once. Knows no service.

use std::os::fd::AsFd;

use crate::sys::Error;
use crate::sys::limits::{Descriptors, Purpose};
use crate::sys::pidfd::Pidfd;
use crate::sys::process::Process;
use crate::token::{Poller, Token};

/// The most processes that are watched. The end of another one is noticed at the next scan.
const MOST: usize = 256;
/// The part of the descriptor limit that may be used for it: one in so many.
const SHARE: usize = 8;

#[derive(Debug)]
pub(super) struct Watches {
    watched: Vec<Watched>,
    limit: usize,
    descriptors: Descriptors,
    /// An error of watching has been reported.
    error_reported: bool,
}

/// A process whose end the poller reports.
#[derive(Debug)]
struct Watched {
    process: Process,
    /// Closing it ends the watch.
    _pidfd: Pidfd,
}

/// The result of [`Watches::update`].
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Processes that have ended since they were found.
    pub(super) ended: Vec<Process>,
    /// Why a process cannot be watched, once.
    pub(super) error: Option<String>,
}

impl Watches {
    pub(super) fn new(descriptors: Descriptors) -> Self {
        let limit = (descriptors.limit() / SHARE).clamp(1, MOST);
        Self { watched: vec![], limit, descriptors, error_reported: false }
    }

    pub(super) fn is_watched(&self, process: Process) -> bool {
        self.watched.iter().any(|watched| watched.process == process)
    }

    /// The process behind the token has ended; `None` if the watch has ended already.
    pub(super) fn take(&mut self, pid: u32) -> Option<Process> {
        let at = self.watched.iter().position(|watched| watched.process.pid.unsigned_abs() == pid)?;
        Some(self.watched.swap_remove(at).process)
    }

    /// Watches the processes found, each list sorted by pid, and no others: at first one of each list.
    pub(super) fn update(&mut self, found: &[Vec<Process>], poller: &Poller) -> Updated {
        let contains = |list: &Vec<Process>, process: &Process| {
            list.binary_search_by_key(&process.pid, |found| found.pid).is_ok_and(|at| list[at] == *process)
        };
        self.watched.retain(|watched| found.iter().any(|list| contains(list, &watched.process)));
        let firsts = found.iter().filter_map(|list| list.first());
        let mut updated = Updated::default();
        for process in firsts.chain(found.iter().flatten()) {
            if self.watched.len() >= self.limit {
                break;
            }
            if !self.is_watched(*process) {
                self.watch(*process, poller, &mut updated);
            }
        }
        updated
    }

    fn watch(&mut self, process: Process, poller: &Poller, updated: &mut Updated) {
        let opened = Pidfd::open(process.pid).and_then(|pidfd| {
            if let Some(pidfd) = &pidfd {
                let admitted = self.descriptors.admit(Purpose::ProcessEnd, pidfd);
                admitted.map_err(Error::doing("watch process", process.pid))?;
                poller.watch(pidfd.as_fd(), Token::Process(process.pid.unsigned_abs()))?;
            }
            Ok(pidfd)
        });
        match opened {
            Ok(Some(pidfd)) => self.watched.push(Watched { process, _pidfd: pidfd }),
            Ok(None) => updated.ended.push(process),
            // An old kernel, a seccomp profile, or no descriptor is left. The regular scan still works.
            Err(e) if !std::mem::replace(&mut self.error_reported, true) => {
                updated.error = Some(format!("{e}; its end is noticed only at the next check"));
            }
            Err(_) => {}
        }
    }
}
