//! Does something without capabilities, and as another user: on a thread of its own, because both belong to a thread.

use std::io;
use std::thread;

use rustix::process::{Gid, Uid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// What is done calls little more than `posix_spawn`.
const STACK: usize = 64 * 1024;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// What the programs of the operator may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Whether they are to have no capability, and nobody else may be able to write them.
    pub restricted: bool,
    /// `None`: our own user.
    pub user: Option<User>,
}

impl Rights {
    /// Does `work` with these rights, and waits for it. A process that it starts is a child of this process.
    ///
    /// # Errors
    /// That of `work`; or there can be no thread, or it may not become this user.
    pub fn run<T: Send>(self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if !self.restricted && self.user.is_none() {
            return work();
        }
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("program".into()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, || {
                self.take()?;
                work()
            })?;
            thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })
    }

    /// Reduces the calling thread to these rights, for good.
    fn take(self) -> io::Result<()> {
        if let Some(user) = self.user {
            become_user(user).map_err(|e| {
                let User { uid, gid } = user;
                let advice = "; for PROGRAM_USER, the container needs the capabilities SETUID and SETGID";
                io::Error::other(format!("cannot run it as {uid}:{gid}: {e}{advice}"))
            })?;
        }
        if self.restricted {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        }
        Ok(())
    }
}

fn become_user(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if (getuid(), getgid()) == (uid, gid) {
        return Ok(());
    }
    let mut sets = capabilities(None)?;
    sets.effective |= sets.permitted & CHANGE_USER;
    set_capabilities(None, sets)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// The capabilities to become another user.
pub(super) const CHANGE_USER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);
