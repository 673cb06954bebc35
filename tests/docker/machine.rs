//! The machine that all tests run on at once. Those that count lost requests have it to themselves: what others compile would
//! delay the packets that they count. Knows no test.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static USERS: Mutex<Users> = Mutex::new(Users { sharing: 0, alone: false });
static CHANGED: Condvar = Condvar::new();

struct Users {
    sharing: usize,
    alone: bool,
}

/// A test's use of the machine, until it is dropped.
pub(crate) enum Use {
    Shared,
    Alone,
}

/// Waits until no test has the machine to itself.
pub(crate) fn shared() -> Use {
    wait_while(|users| users.alone).sharing += 1;
    Use::Shared
}

/// Waits until no other test runs.
pub(crate) fn alone() -> Use {
    wait_while(|users| users.alone || users.sharing > 0).alone = true;
    Use::Alone
}

fn wait_while(condition: impl Fn(&Users) -> bool) -> MutexGuard<'static, Users> {
    let users = CHANGED.wait_while(users(), |users| condition(users));
    users.unwrap_or_else(PoisonError::into_inner)
}

fn users() -> MutexGuard<'static, Users> {
    USERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut users = users();
        match self {
            Self::Shared => users.sharing -= 1,
            Self::Alone => users.alone = false,
        }
        CHANGED.notify_all();
    }
}
