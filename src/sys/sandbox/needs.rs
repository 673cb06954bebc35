//! What the layers of the sandbox must leave; applies none.

use std::path::PathBuf;

use rustix::thread::CapabilitySet;

use crate::sys::unprivileged::User;

/// Which programs run under the seccomp filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only this process: all system calls but those that it needs are refused.
    Alone,
    /// Also the programs of the operator, which inherit it and may need anything: dangerous system calls are refused. The
    /// user is the only one that they can become.
    Programs(Option<User>),
}

/// Files and folders with all that is in them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub read: Vec<PathBuf>,
    /// Also read.
    pub write: Vec<PathBuf>,
}

/// What the process needs later.
#[derive(Clone, Debug)]
pub struct Needs {
    pub files: Files,
    pub capabilities: CapabilitySet,
    pub purpose: Purpose,
    /// Why all capabilities are needed.
    pub all_capabilities: Option<&'static str>,
}
