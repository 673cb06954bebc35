//! The machine that all tests of a binary run on at once. A test has it to itself if it keeps the machine busy, or if a delay of
//! a few milliseconds changes what it sees. Knows no test.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

static USERS: Mutex<Users> = Mutex::new(Users { sharing: Vec::new(), alone: None, waiting: 0 });
static CHANGED: Condvar = Condvar::new();

/// Each test is a thread.
struct Users {
    sharing: Vec<ThreadId>,
    alone: Option<ThreadId>,
    /// How many tests wait for the machine to themselves. No other test begins before them.
    waiting: usize,
}

/// A test's use of the machine, until it is dropped.
pub(crate) enum Use {
    Shared(ThreadId),
    Alone,
}

/// Waits until no other test has the machine to itself or waits for that. A test that uses the machine already does not wait.
pub(crate) fn shared() -> Use {
    let me = thread::current().id();
    let blocked = |users: &Users| {
        let begun = users.alone == Some(me) || users.sharing.contains(&me);
        !begun && (users.alone.is_some() || users.waiting > 0)
    };
    wait_while(users(), blocked).sharing.push(me);
    Use::Shared(me)
}

/// Waits until no other test runs.
///
/// # Panics
///
/// If this test shares the machine already: it would wait for itself.
pub(crate) fn alone() -> Use {
    let me = thread::current().id();
    let mut users = users();
    assert!(!users.sharing.contains(&me), "a test that needs the machine to itself says so first");
    users.waiting += 1;
    let mut users = wait_while(users, |users| users.alone.is_some() || !users.sharing.is_empty());
    users.waiting -= 1;
    users.alone = Some(me);
    Use::Alone
}

fn wait_while(
    users: MutexGuard<'static, Users>,
    condition: impl Fn(&Users) -> bool,
) -> MutexGuard<'static, Users> {
    let users = CHANGED.wait_while(users, |users| condition(users));
    users.unwrap_or_else(PoisonError::into_inner)
}

fn users() -> MutexGuard<'static, Users> {
    USERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut users = users();
        match self {
            Self::Shared(thread) => {
                let at = users.sharing.iter().position(|user| user == thread);
                at.map(|at| users.sharing.swap_remove(at));
            }
            Self::Alone => users.alone = None,
        }
        CHANGED.notify_all();
    }
}
