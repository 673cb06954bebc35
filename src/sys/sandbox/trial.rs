//! Tries the sandbox in a process of its own: a seccomp profile of the container may end a process for a call instead of refusing
//! it, and nothing else shows that. Without such a profile, no process is started.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

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
    let mut trial = Command::new("/proc/self/exe");
    trial.arg(COMMAND).args(groups).env_clear();
    let status = trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.map_or(true, |status| status.signal().is_none())
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
