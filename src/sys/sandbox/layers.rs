//! The layers of the sandbox, one after the other. What must be left is an argument.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::landlock;
use super::needs::{Needs, Purpose};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::seccomp;
use crate::sys::unprivileged::CHANGE_USER;

/// One layer of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub name: &'static str,
    /// More about it.
    pub note: Option<String>,
    /// Why it is not in force; `None` if it is.
    pub missing: Option<String>,
}

/// What fails the same way: the layers by themselves, Landlock, and seccomp.
pub(super) const GROUPS: [&str; 3] = ["privileges", "landlock", "seccomp"];

/// The groups in `deadly` are left out.
pub(super) fn apply(needs: &Needs, deadly: &[&str]) -> Vec<Layer> {
    let is_safe = |group: usize| {
        let dies = deadly.contains(&GROUPS[group]);
        if dies { Err("the seccomp profile above kills processes that try it".to_owned()) } else { Ok(()) }
    };
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    let plain = |name, apply: &dyn Fn() -> Result<(), String>| Layer {
        name,
        note: None,
        missing: is_safe(0).and_then(|()| apply()).err(),
    };
    let noted = |name, group, apply: &dyn Fn() -> Result<Option<String>, String>| {
        let (note, missing) = match is_safe(group).and_then(|()| apply()) {
            Ok(note) => (note, None),
            Err(why) => (None, Some(why)),
        };
        Layer { name, note, missing }
    };
    vec![
        plain("no_new_privs", &|| set_no_new_privs(true).map_err(refused)),
        // Before the capabilities, because to change it needs one.
        plain("bounding", &|| cut_bounding_set(needs)),
        plain("capabilities", &|| give_up_capabilities(needs)),
        plain("dumpable", &|| set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused)),
        plain("core", &|| setrlimit(Resource::Core, limit).map_err(refused)),
        noted("landlock", 1, &|| restrict_files(needs)),
        // Last, because it refuses some of the other calls.
        noted("seccomp", 2, &|| filter_calls(needs.purpose)),
    ]
}

/// It also keeps this process from looking into others: `/proc/PID/exe` is not readable any more.
fn restrict_files(needs: &Needs) -> Result<Option<String>, String> {
    match (needs.all_capabilities, needs.purpose) {
        (Some(why), _) => Err(why.into()),
        (None, Purpose::Programs(_)) => Err("programs inherit it, and may use any file".into()),
        (None, Purpose::Alone) => landlock::restrict(&needs.files),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn filter_calls(purpose: Purpose) -> Result<Option<String>, String> {
    seccomp::install(purpose).map(Some)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn filter_calls(_: Purpose) -> Result<Option<String>, String> {
    Err("there is no list of system calls for this processor".into())
}

fn refused(e: impl Into<io::Error>) -> String {
    format!("the kernel refuses it: {}", e.into())
}

/// What a program started by this process could gain at most.
fn cut_bounding_set(needs: &Needs) -> Result<(), String> {
    if let Some(why) = needs.all_capabilities {
        return Err(why.into());
    }
    let kept = needs.capabilities;
    for bit in (0..u64::BITS).map(|n| CapabilitySet::from_bits_retain(1 << n)) {
        match capability_is_in_bounding_set(bit) {
            Ok(true) if !kept.contains(bit) => remove_capability_from_bounding_set(bit).map_err(
                |_| "the container lacks the capability SETPCAP; no_new_privs has the same effect",
            )?,
            Ok(_) => {}
            // The kernel knows no further one.
            Err(_) => break,
        }
    }
    Ok(())
}

fn give_up_capabilities(needs: &Needs) -> Result<(), String> {
    // Kernels before 4.3 have no ambient set.
    let _ = clear_ambient_capability_set();
    let now = capabilities(None).map_err(refused)?;
    let inheritable = CapabilitySet::empty();
    if let Some(why) = needs.all_capabilities {
        set_capabilities(None, CapabilitySets { inheritable, ..now }).map_err(refused)?;
        return Err(why.into());
    }
    let effective = now.permitted & needs.capabilities;
    // A thread that runs a program raises them.
    let spare = match needs.purpose {
        Purpose::Programs(Some(_)) => now.permitted & CHANGE_USER,
        Purpose::Programs(None) | Purpose::Alone => CapabilitySet::empty(),
    };
    set_capabilities(None, CapabilitySets { effective, permitted: effective | spare, inheritable })
        .map_err(refused)
}
