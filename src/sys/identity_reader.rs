//! Reads the names of processes on a thread of its own, because such a read may wait for seconds (see
//! [`ProcFs::identity`]). The thread exists only while there is something to read. Knows no check.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Error;
use super::process::{ProcFs, Status};

/// The most requests without an answer.
const MOST: usize = 4096;
/// So many answers are reported together, unless they are the last ones.
const BATCH: usize = 64;
/// The stack of the thread: its largest buffers take 10 KiB.
const STACK: usize = 64 * 1024;

/// The number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u32);

/// The names of one process, or why they could not be read.
#[derive(Debug)]
pub struct Answer {
    pub pid: i32,
    /// The request that it answers.
    pub id: RequestId,
    /// `None` if the process has ended or is hidden.
    pub named: Result<Option<Named>, Error>,
}

/// A live process.
#[derive(Debug)]
pub struct Named {
    pub status: Status,
    /// The numbers of the names that it has.
    pub names: Vec<usize>,
}

/// The thread, and the requests that it does not have yet: it is handed all of them at once.
///
/// Whoever waits for a lock that the thread has waits until the kernel runs the thread again, which on a busy machine can
/// take seconds. So the thread has the lock of the queue for no more than a few instructions, and leaves the heap alone.
#[derive(Debug)]
pub struct IdentityReader {
    shared: Arc<Shared>,
    requests: Vec<(RequestId, i32)>,
    /// The number of requests so far.
    count: u32,
    /// Requests without an answer.
    open: usize,
}

#[derive(Debug)]
struct Shared {
    procfs: ProcFs,
    queue: Mutex<Queue>,
    /// Readable while there are many answers, or the last ones.
    answered: EventFd,
}

#[derive(Debug, Default)]
struct Queue {
    names: Arc<[String]>,
    requests: Vec<(RequestId, i32)>,
    /// With capacity for an answer to each request.
    answers: Vec<Answer>,
    is_running: bool,
}

impl IdentityReader {
    /// A reader without a thread.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(procfs: ProcFs) -> Result<Self, Error> {
        let answered = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(Error::doing("open", "an event descriptor"))?;
        let shared = Arc::new(Shared { procfs, queue: Mutex::default(), answered });
        Ok(Self { shared, requests: vec![], count: 0, open: 0 })
    }

    /// The names that are looked for from now on.
    pub fn look_for(&mut self, names: &[String]) {
        self.shared.lock().names = names.into();
    }

    /// Requests the names of `pid`, which are read after [`IdentityReader::start`]. `None` if too many requests are without
    /// an answer.
    pub fn request(&mut self, pid: i32) -> Option<RequestId> {
        if self.open >= MOST {
            return None;
        }
        self.open += 1;
        self.count = self.count.wrapping_add(1);
        let id = RequestId(self.count);
        self.requests.push((id, pid));
        Some(id)
    }

    /// Hands the requests to the thread, and starts it if it is not running.
    ///
    /// # Errors
    /// The kernel permits no further thread (`RLIMIT_NPROC`, or the limit of the control group).
    pub fn start(&mut self) -> Result<(), Error> {
        let mut queue = self.shared.lock();
        queue.answers.reserve(self.open);
        queue.requests.append(&mut self.requests);
        if !queue.is_running && !queue.requests.is_empty() {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name("identities".into())
                .stack_size(STACK)
                .spawn(move || shared.work())
                .map_err(Error::doing("start a thread that reads", "/proc"))?;
            queue.is_running = true;
        }
        Ok(())
    }

    /// The answers since the last call, in the order of the requests. Never blocks: while the thread has the lock, there are
    /// none, and the descriptor stays readable.
    pub fn answers(&mut self) -> Vec<Answer> {
        let empty = Vec::with_capacity(self.open);
        let mut queue = match self.shared.queue.try_lock() {
            Ok(queue) => queue,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return vec![],
        };
        // EAGAIN: there are none.
        let _ = self.shared.answered.read();
        let answers = std::mem::replace(&mut queue.answers, empty);
        self.open -= answers.len();
        answers
    }
}

impl AsFd for IdentityReader {
    /// Readable while there are many answers, or the last ones.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.answered.as_fd()
    }
}

impl Shared {
    /// Locked only to move a request or an answer, never during a read.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers until no request is left.
    fn work(&self) {
        loop {
            let (wanted, requests) = self.next();
            let Some(last) = requests.len().checked_sub(1) else { return };
            for (n, (id, pid)) in requests.into_iter().enumerate() {
                let named = self.procfs.identity(pid, |identity| {
                    let has = |number: &usize| identity.has_name(&wanted[*number]);
                    Named { status: identity.status, names: (0..wanted.len()).filter(has).collect() }
                });
                self.lock().answers.push(Answer { pid, id, named });
                // Without the lock, which the event loop takes when this wakes it up.
                if n == last || (n + 1).is_multiple_of(BATCH) {
                    // It fails only when the counter is full, and then it is readable.
                    let _ = self.answered.write(1);
                }
            }
        }
    }

    fn next(&self) -> (Arc<[String]>, Vec<(RequestId, i32)>) {
        let mut queue = self.lock();
        queue.is_running = !queue.requests.is_empty();
        (Arc::clone(&queue.names), std::mem::take(&mut queue.requests))
    }
}
