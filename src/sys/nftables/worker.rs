//! Renews the guard on a thread of its own: the kernel changes nf_tables for one process at a time, and a firewall of many
//! thousand rules that is being loaded would hold up the caller. Does not decide which addresses.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::guard::{Guard, MOST, Silence};
use crate::sys::Error;

const STACK: usize = 64 * 1024;

/// What the thread has to do.
#[derive(Debug)]
pub struct Job {
    /// First, the tables that drop packets are created again.
    pub restore: bool,
    /// Then these addresses, which are new, are let pass while the process lives.
    pub pass: Vec<IpAddr>,
    pub silences: Vec<Silence>,
}

/// The guard, and the thread that has it. Dropping it waits until the [`Guard`] is removed.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    job: Option<Job>,
    result: Option<Result<(), Error>>,
    is_over: bool,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel permits no further thread (`RLIMIT_NPROC`, or the limit of the control group).
    pub fn start(guard: Guard) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("guard".into()).stack_size(STACK);
        let thread = thread.spawn(move || theirs.work(guard));
        let thread = thread.map_err(Error::doing("start a thread for", "the address guard"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Starts a job. The one before must have ended.
    pub fn start_job(&self, job: Job) {
        self.shared.lock().job = Some(job);
        self.shared.changed.notify_one();
    }

    /// Removes the guard, after the present job. Does not wait for it.
    pub fn end(&self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
    }

    /// The result of the job; `None` until it has ended. Never blocks.
    pub fn result(&self) -> Option<Result<(), Error>> {
        self.shared.lock().result.take()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Locked only to move a job or a result.
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut guard: Guard) {
        let mut desk = self.lock();
        while !desk.is_over {
            if let Some(Job { restore, pass, silences }) = desk.job.take() {
                drop(desk);
                let restored = if restore { guard.restore() } else { Ok(()) };
                let result = restored
                    .and_then(|()| guard.pass(&pass))
                    .and_then(|()| silences.chunks(MOST).try_for_each(|silences| guard.silence(silences)));
                desk = self.lock();
                desk.result = Some(result);
            } else {
                desk = self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
