//! The processes that match the services of all checks, found by scans of `/proc` that never wait for another process:
//! a turn of the event loop does a bounded part of a scan, and what may block is read by a thread. Knows no check.

mod names;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::known::{Known, Names};
use crate::sys::Error;
use crate::sys::identity_reader::{Answer, IdentityReader};
use crate::sys::process::{Comm, Listed, Listing, ProcFs, Process, Status};
use crate::time::Instant;

/// The most reads of a process in one turn; each takes about two microseconds.
const READS: usize = 128;
/// The most processes listed in one turn; each takes about half a microsecond.
const LISTED: usize = 512;
/// The most processes in one regular scan whose comm is read again although nothing suggests a change. They take turns:
/// a process that runs another program under the same pid is noticed when its turn comes.
const REPEATED_READS: usize = 256;
/// The longest that a scan waits for the names of new processes while a service has none.
const PATIENCE: Duration = Duration::from_millis(250);
/// Scans because a process ended: so many at once, and one more after each interval. Processes of a service that start
/// and end all the time must not make us scan all the time.
const BURST: usize = 5;
const RESCAN_INTERVAL: Duration = Duration::from_millis(200);

/// So many processes without a service are looked at, and so many names of them reported.
const EXAMINED: usize = 256;
const BYSTANDERS: usize = 5;

/// The processes beside those of the services.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bystanders {
    /// None but those of this program.
    None,
    Named(Vec<String>),
}

/// Identifies a scan by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScanId(u64);

/// What a scan looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// New processes, matching ones, and some of the others.
    Regular,
    /// All processes.
    Full,
}

/// The processes by service.
#[derive(Debug)]
pub(super) struct ProcessTable {
    procfs: ProcFs,
    reader: IdentityReader,
    names: Names,
    /// The processes of the last scan, by pid.
    known: Vec<Known>,
    /// By name, the matching processes.
    found: Vec<Vec<Process>>,
    /// The pids of matching processes that a signal has stopped.
    stopped: Vec<i32>,
    phase: Phase,
    /// The number of scans that have begun.
    begun: u64,
    requested: Option<(Instant, Depth)>,
    /// When the last full scans began, at most [`BURST`].
    rescans: VecDeque<Instant>,
    /// Reads of processes so far, by the event loop.
    reads: usize,
    /// Why names could not be read, since the last scan began.
    error: Option<Error>,
    /// Where the repeated reads of the next regular scan begin.
    repeat_after: i32,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Listing(Scan),
    /// A service has no process yet, and the names of new processes are being read.
    Awaiting(Instant),
}

#[derive(Debug)]
struct Scan {
    listing: Listing,
    depth: Depth,
    known: Vec<Known>,
    found: Vec<Vec<Process>>,
    stopped: Vec<i32>,
    repeated: usize,
    /// The last pid whose comm was read again.
    last_repeated: i32,
}

impl ProcessTable {
    /// A table of no names.
    ///
    /// # Errors
    /// `/proc` cannot be opened, or the process is out of descriptors.
    pub(super) fn new(procfs: ProcFs) -> Result<Self, Error> {
        Ok(Self {
            reader: IdentityReader::new(procfs.clone())?,
            procfs,
            names: Names::default(),
            known: vec![],
            found: vec![],
            stopped: vec![],
            phase: Phase::Idle,
            begun: 0,
            requested: None,
            rescans: VecDeque::new(),
            reads: 0,
            error: None,
            repeat_after: 0,
        })
    }

    /// The processes with the name of that number at the last scan, by pid.
    pub(super) fn processes(&self, number: usize) -> &[Process] {
        self.found.get(number).map_or(&[], |list| list)
    }

    /// Reads of processes so far, by the event loop.
    #[cfg(test)]
    pub(super) fn reads(&self) -> usize {
        self.reads
    }

    /// Whether a signal had stopped the process at the last scan.
    pub(super) fn is_stopped(&self, process: Process) -> bool {
        self.stopped.contains(&process.pid)
    }

    /// Some of the processes that match no service.
    pub(super) fn bystanders(&self) -> Bystanders {
        let others = self.known.iter().filter(|known| !known.matches()).take(EXAMINED);
        let names = self.procfs.program_names(others.map(Known::pid), BYSTANDERS);
        if names.is_empty() { Bystanders::None } else { Bystanders::Named(names) }
    }

    /// The same for each name.
    pub(super) fn found(&self) -> &[Vec<Process>] {
        &self.found
    }

    /// The process has ended, even if `/proc` still shows it. Returns the numbers of the names that it matched.
    pub(super) fn ended(&mut self, process: Process) -> Vec<usize> {
        let same = |known: &Known| known.pid() == process.pid;
        self.known.retain(|known| !same(known));
        if let Phase::Listing(scan) = &mut self.phase {
            scan.known.retain(|known| !same(known));
            remove(&mut scan.found, process);
        }
        remove(&mut self.found, process)
    }

    /// Requests a scan that begins now. Returns its number.
    pub(super) fn request(&mut self, now: Instant) -> ScanId {
        self.request_at(now, Depth::Regular)
    }

    /// Requests a scan of all processes because one has ended. It begins now, unless many began recently.
    pub(super) fn request_rescan(&mut self, now: Instant) -> ScanId {
        let many = self.rescans.len() >= BURST;
        let recent = self.rescans.front().is_some_and(|first| now.since(*first) < RESCAN_INTERVAL * 5);
        let last = self.rescans.back().filter(|_| many && recent);
        self.request_at(last.map_or(now, |last| now.max(*last + RESCAN_INTERVAL)), Depth::Full)
    }

    fn request_at(&mut self, at: Instant, depth: Depth) -> ScanId {
        let (at, depth) = self.requested.map_or((at, depth), |(a, d)| (a.min(at), d.max(depth)));
        self.requested = Some((at, depth));
        ScanId(self.begun + 1)
    }

    /// When [`ProcessTable::advance`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => self.requested.map(|(at, _)| at),
            Phase::Listing(_) => Some(Instant::START),
            Phase::Awaiting(until) => Some(*until),
        }
    }

    /// Does a bounded part of the scan. Returns the number of the scan if it has ended, or why it could not be completed:
    /// then nothing is known of the services.
    pub(super) fn advance(&mut self, now: Instant) -> Option<(ScanId, Result<(), Error>)> {
        match self.step(now) {
            Ok(true) => Some((ScanId(self.begun), Ok(()))),
            Ok(false) => None,
            Err(e) => {
                self.phase = Phase::Idle;
                Some((ScanId(self.begun), Err(e)))
            }
        }
    }

    /// Returns whether a scan has ended.
    fn step(&mut self, now: Instant) -> Result<bool, Error> {
        if let (Phase::Idle, Some((at, depth))) = (&self.phase, self.requested)
            && at <= now
        {
            self.requested = None;
            self.error = None;
            self.begun += 1;
            if depth == Depth::Full {
                let old = (self.rescans.len() + 1).saturating_sub(BURST);
                self.rescans.drain(..old);
                self.rescans.push_back(now);
            }
            self.phase = Phase::Listing(self.begin(depth)?);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        self.phase = match phase {
            Phase::Idle => return Ok(false),
            Phase::Listing(mut scan) => {
                if self.slice(&mut scan)? {
                    self.finish_listing(scan);
                    Phase::Awaiting(now + PATIENCE)
                } else {
                    Phase::Listing(scan)
                }
            }
            Phase::Awaiting(until) => Phase::Awaiting(until),
        };
        let Phase::Awaiting(until) = self.phase else { return Ok(false) };
        self.take_answers();
        let mut found = self.names.all().iter().zip(&self.found);
        let all_run = found.all(|(name, list)| name.is_empty() || !list.is_empty());
        if let Some(e) = self.error.take_if(|_| !all_run) {
            return Err(e);
        }
        let complete = all_run || !self.known.iter().any(Known::is_pending) || until <= now;
        if complete {
            self.phase = Phase::Idle;
        }
        Ok(complete)
    }

    fn begin(&self, depth: Depth) -> Result<Scan, Error> {
        let found = vec![vec![]; self.found.len()];
        let last_repeated = self.repeat_after;
        let known = Vec::with_capacity(self.known.len());
        Ok(Scan {
            listing: self.procfs.list()?,
            depth,
            known,
            found,
            stopped: vec![],
            repeated: 0,
            last_repeated,
        })
    }

    /// Returns whether the listing has ended.
    fn slice(&mut self, scan: &mut Scan) -> Result<bool, Error> {
        let until = self.reads + READS;
        for _ in 0..LISTED {
            let Some(listed) = scan.listing.next() else { return Ok(true) };
            self.visit(listed?, scan)?;
            if self.reads >= until {
                break;
            }
        }
        Ok(false)
    }

    fn visit(&mut self, listed: Listed, scan: &mut Scan) -> Result<(), Error> {
        let known = self.known.binary_search_by_key(&listed.pid, Known::pid).ok();
        let known = known.map(|at| self.known[at].clone()).filter(|known| known.is_at(listed));
        let Some(mut known) = known else { return self.examine(listed, scan) };
        known.grow_older();
        if known.matches() {
            return self.confirm(listed, known, scan);
        }
        if scan.depth == Depth::Regular && !known.is_young() {
            if scan.repeated >= REPEATED_READS || listed.pid <= self.repeat_after {
                insert(&mut scan.known, known, Known::pid);
                return Ok(());
            }
            scan.repeated += 1;
            scan.last_repeated = listed.pid;
        }
        let Some(comm) = self.comm(listed.pid)? else { return Ok(()) };
        // The kernel names its threads after their work.
        if known.is_kernel_thread() && self.names.with_comm(&comm).is_empty() {
            known.rename(&comm);
        } else if !known.has_comm(&comm) {
            return self.examine(listed, scan);
        }
        self.ask_again(&mut known);
        insert(&mut scan.known, known, Known::pid);
        Ok(())
    }

    /// A process that matched at the last scan: it still does, unless it has ended or runs another program.
    fn confirm(&mut self, listed: Listed, mut known: Known, scan: &mut Scan) -> Result<(), Error> {
        let Some(status) = self.status(listed.pid)? else { return Ok(()) };
        if !known.has_comm(&status.comm) {
            return self.examine(listed, scan);
        }
        scan.stopped.extend(status.is_stopped.then_some(listed.pid));
        for (before, after) in self.found.iter().zip(&mut scan.found) {
            if before.contains(&status.process) {
                insert(after, status.process, |process| process.pid);
            }
        }
        self.ask_again(&mut known);
        insert(&mut scan.known, known, Known::pid);
        Ok(())
    }

    /// A process that is new, or whose comm has changed.
    fn examine(&mut self, listed: Listed, scan: &mut Scan) -> Result<(), Error> {
        let Some(comm) = self.comm(listed.pid)? else { return Ok(()) };
        let mut known = Known::new(listed, &comm);
        let named = self.names.with_comm(&comm);
        if !named.is_empty() {
            let Some(status) = self.status(listed.pid)? else { return Ok(()) };
            scan.stopped.extend(status.is_stopped.then_some(listed.pid));
            for at in &named {
                insert(&mut scan.found[*at], status.process, |process| process.pid);
            }
            known.set_matches();
        }
        // A name may also be that of the arguments or of the executable.
        if named.len() < self.names.len() {
            known.set_request(self.reader.request(listed.pid));
        }
        insert(&mut scan.known, known, Known::pid);
        Ok(())
    }

    fn comm(&mut self, pid: i32) -> Result<Option<Comm>, Error> {
        self.reads += 1;
        self.procfs.comm(pid)
    }

    fn status(&mut self, pid: i32) -> Result<Option<Status>, Error> {
        self.reads += 1;
        self.procfs.status(pid)
    }

    /// A process can change its arguments, or run another program of the same name.
    fn ask_again(&mut self, known: &mut Known) {
        if known.is_due() && self.names.len() > usize::from(known.matches()) {
            known.set_request(self.reader.request(known.pid()));
        }
    }

    fn finish_listing(&mut self, scan: Scan) {
        if scan.depth == Depth::Regular {
            self.repeat_after = if scan.repeated < REPEATED_READS { 0 } else { scan.last_repeated };
        }
        self.known = scan.known;
        self.found = scan.found;
        self.stopped = scan.stopped;
        // Not before: the listing has a descriptor of its own, and there may be few.
        self.error = self.reader.start().err();
    }

    /// Takes what the thread has read, between scans: during a scan it waits for the end of the listing.
    pub(super) fn take_answers(&mut self) {
        if matches!(self.phase, Phase::Listing(_)) {
            return;
        }
        for Answer { pid, id, named } in self.reader.answers() {
            let Ok(at) = self.known.binary_search_by_key(&pid, Known::pid) else { continue };
            let known = &mut self.known[at];
            if !known.take_request(id) {
                continue;
            }
            match named {
                Ok(Some(named)) => Names::insert(&named, known, &mut self.found),
                Ok(None) => {}
                Err(e) => {
                    known.ask_soon();
                    self.error = Some(e);
                }
            }
        }
    }
}

/// Keeps the list sorted by pid. The kernel lists processes in that order, so this nearly always appends.
fn insert<T>(list: &mut Vec<T>, item: T, pid: impl Fn(&T) -> i32) {
    let new = pid(&item);
    let at = match list.last() {
        Some(end) if pid(end) > new => list.partition_point(|item| pid(item) < new),
        Some(_) | None => list.len(),
    };
    list.insert(at, item);
}

/// Removes the process from each list. Returns the numbers of the lists that had it.
fn remove(lists: &mut [Vec<Process>], process: Process) -> Vec<usize> {
    let had = lists.iter_mut().enumerate().filter_map(|(number, list)| {
        let at = list.iter().position(|found| *found == process)?;
        list.remove(at);
        Some(number)
    });
    had.collect()
}

impl AsFd for ProcessTable {
    /// Readable while names were read that [`ProcessTable::take_answers`] has not taken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
