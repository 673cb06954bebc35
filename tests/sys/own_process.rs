//! Runs a test a second time in a process of its own: with fewer privileges, as PID 1, or because it changes signal
//! handlers and limits that belong to the whole process.
//!
//! The test function has two halves: the parent's calls [`rerun`], the child's starts where [`inside`] is `Some`.

use std::any::type_name;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable with the parent's `case` in the child.
const CASE: &str = "TEST_CASE";

/// A wrapper that makes the child PID 1 of a PID namespace with its own /proc.
pub(crate) const PID_NAMESPACE: [&str; 6] =
    ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// The text that the parent passed to the child; `None` in the parent.
pub(crate) fn inside() -> Option<String> {
    std::env::var(CASE).ok()
}

/// Runs `test` of this binary again through the command `wrapper` and returns its output; fails if the child fails.
pub(crate) fn rerun<F: Fn()>(test: F, wrapper: &[&str], case: &str) -> String {
    rerun_binary(&this_binary(), test, wrapper, case)
}

/// As [`rerun`], from a copy of this binary.
pub(crate) fn rerun_binary<F: Fn()>(binary: &Path, _test: F, wrapper: &[&str], case: &str) -> String {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test makes namespaces and drops privileges: run it as root"
    );
    // The harness knows a function by its path without the crate.
    let (_, test) = type_name::<F>().split_once("::").unwrap();
    let output = Command::new("timeout")
        .args(["--signal=KILL", "60"])
        .args(wrapper)
        .arg(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test} in {wrapper:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

pub(crate) fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap()
}
