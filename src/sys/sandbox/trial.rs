//! Tries the sandbox in a process of its own: a seccomp profile of the container may end a process for a call instead of refusing
//! it, and nothing else shows that. Without such a profile, no process is started.

use std::ffi::{CString, OsString};
use std::fs;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawnp};
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::thread::CapabilitySet;

use super::layers::{GROUPS, apply};
use super::needs::{Files, Needs, Purpose};

/// The first argument of such a process; the groups to try follow.
const COMMAND: &str = "sandbox-trial";

/// The groups of layers that would end this process.
pub(super) fn deadly() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.contains("\nSeccomp:\t2") || survives(&GROUPS) {
        return vec![];
    }
    GROUPS.into_iter().filter(|group| !survives(&[group])).collect()
}

/// Also if no process can be started: then the same profile refuses that, and so does not kill.
fn survives(groups: &[&str]) -> bool {
    let words = ["/proc/self/exe", COMMAND].iter().chain(groups);
    let arguments: Vec<_> = words.filter_map(|word| CString::new(*word).ok()).collect();
    // It prints nothing. With std::process, this would take 10 KB.
    let trial = || {
        let (files, attributes) = (PosixSpawnFileActions::init()?, PosixSpawnAttr::init()?);
        let pid = posix_spawnp(&arguments[0], &files, &attributes, &arguments, &[] as &[CString])?;
        waitpid(pid, None)
    };
    !matches!(trial(), Ok(WaitStatus::Signaled(..)))
}

/// Whether the arguments are those of a trial, which this then is.
pub fn is_trial(arguments: &[OsString]) -> bool {
    let Some((COMMAND, groups)) =
        arguments.split_first().and_then(|(first, rest)| Some((first.to_str()?, rest)))
    else {
        return false;
    };
    let left_out: Vec<_> =
        GROUPS.into_iter().filter(|group| !groups.iter().any(|tried| tried == group)).collect();
    let files = Files { read: vec!["/proc".into()], write: vec![] };
    let capabilities = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    apply(&Needs { files, capabilities, purpose: Purpose::Alone, all_capabilities: None }, &left_out);
    true
}
