//! What is remembered of each process between two scans, and which names it matches. Reads nothing.

use crate::sys::identity_reader::{Named, RequestId};
use crate::sys::process::{Listed, Process};

/// For so many scans a process is young: it may be between fork and exec, and not have its name yet.
const YOUNG: u8 = 8;

/// A process of the last scan, in few bytes: a host can have ten thousand.
#[derive(Clone, Debug)]
pub(super) struct Known {
    listed: Listed,
    /// A hash of its comm.
    comm: u64,
    /// The number of scans since it was found, up to [`YOUNG`].
    age: u8,
    /// Its arguments are read again after `1 << asked` scans.
    asked: u8,
    /// The scans until they are read again.
    ask_in: u16,
    /// It matches a name.
    matches: bool,
    /// Its arguments are being read for this request.
    request: Option<RequestId>,
    /// It has no arguments.
    is_kernel_thread: bool,
}

impl Known {
    pub(super) fn new(listed: Listed, comm: &[u8]) -> Self {
        Self {
            listed,
            comm: hash(comm),
            age: 0,
            asked: 0,
            ask_in: 1,
            matches: false,
            request: None,
            is_kernel_thread: false,
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.listed.pid
    }

    /// Whether it is the process with this directory.
    pub(super) fn is_at(&self, listed: Listed) -> bool {
        self.listed == listed
    }

    pub(super) fn has_comm(&self, comm: &[u8]) -> bool {
        self.comm == hash(comm)
    }

    pub(super) fn is_kernel_thread(&self) -> bool {
        self.is_kernel_thread
    }

    pub(super) fn rename(&mut self, comm: &[u8]) {
        self.comm = hash(comm);
    }

    pub(super) fn grow_older(&mut self) {
        self.age = self.age.saturating_add(1).min(YOUNG);
        self.ask_in = self.ask_in.saturating_sub(1);
    }

    pub(super) fn is_young(&self) -> bool {
        self.age < YOUNG
    }

    pub(super) fn matches(&self) -> bool {
        self.matches
    }

    pub(super) fn set_matches(&mut self) {
        self.matches = true;
    }

    pub(super) fn is_pending(&self) -> bool {
        self.request.is_some()
    }

    /// Its arguments were requested. `None`: they could not be.
    pub(super) fn set_request(&mut self, request: Option<RequestId>) {
        self.request = request;
    }

    /// Whether this answers the last request. An older answer may be about another program in the same process.
    pub(super) fn take_request(&mut self, id: RequestId) -> bool {
        self.request.take_if(|request| *request == id).is_some()
    }

    /// Whether its arguments are to be read again: after 1, 2, 4 … scans, and then every 1,024.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.ask_in == 0 && self.request.is_none() && !self.is_kernel_thread;
        if due {
            self.asked = (self.asked + 1).min(10);
            self.ask_in = 1 << self.asked;
        }
        due
    }

    /// The names are other ones: it is read again at the next scan. An answer that is under way is about the old ones.
    pub(super) fn look_again(&mut self) {
        (self.age, self.asked, self.ask_in, self.request) = (0, 0, 0, None);
    }

    /// Its arguments could not be read.
    pub(super) fn ask_soon(&mut self) {
        self.ask_in = 0;
    }
}

/// FNV-1a. Two names with one hash would only hide that a process changed its name from one to the other.
fn hash(comm: &[u8]) -> u64 {
    comm.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The names that are looked for. A number that is not in use has an empty name, which no process matches.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Returns its number.
    pub(super) fn add(&mut self, name: &str) -> usize {
        let at = |name: &str| self.0.iter().position(|known| known == name);
        if let Some(number) = at(name) {
            return number;
        }
        let number = at("").unwrap_or(self.len());
        self.0.resize(self.len().max(number + 1), String::new());
        name.clone_into(&mut self.0[number]);
        number
    }

    /// Gives up the name of this number. Returns whether there was one.
    pub(super) fn remove(&mut self, number: usize) -> bool {
        !std::mem::take(&mut self.0[number]).is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The numbers of the names that are this comm.
    pub(super) fn with_comm(&self, comm: &[u8]) -> Vec<usize> {
        // Those are a program and a user.
        let is_name = !comm.is_empty() && !comm.starts_with(b"/") && !comm.starts_with(b"user:");
        let is_named = |at: &usize| is_name && self.0[*at].as_bytes() == comm;
        (0..self.len()).filter(is_named).collect()
    }

    /// Puts the process on the list of each name that it matches, and off the others.
    pub(super) fn insert(named: &Named, known: &mut Known, found: &mut [Vec<Process>]) {
        let process = named.status.process;
        known.is_kernel_thread = named.status.is_kernel_thread;
        known.rename(&named.status.comm);
        known.matches = !named.names.is_empty();
        for (number, list) in found.iter_mut().enumerate() {
            list.retain(|found| found.pid != process.pid);
            if named.names.contains(&number) {
                list.insert(list.partition_point(|found| found.pid < process.pid), process);
            }
        }
    }

    pub(super) fn all(&self) -> &[String] {
        &self.0
    }
}
