//! The circumstances of a measurement: day, machine, programs and their versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::router::{KEEPALIVED, OURS};

/// Panics with the name of the package if a program is missing that the lab itself does not check for.
pub(crate) fn require_programs() {
    assert!(Path::new("/bin/busybox").exists(), "keepalived's check needs it: apt-get install busybox");
}

/// One paragraph.
pub(crate) fn about(command: &str) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let says = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().expect("setup installs the program");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
    };
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok();
    let commit = commit.filter(|output| output.status.success()).map(|output| output.stdout);
    let commit =
        commit.map_or_else(String::new, |text| format!(" ({})", String::from_utf8_lossy(&text).trim()));
    format!(
        "{date}, `{command}`, {cores} cores of {model}, Linux {kernel}; {ours}{commit}, {keepalived}, {haproxy}.",
        date = says("date", &["-u", "+%F"]),
        model = model.trim_start_matches([':', ' ', '\t']),
        kernel = read("/proc/sys/kernel/osrelease").trim(),
        ours = says(OURS, &["version"]),
        keepalived = says(KEEPALIVED, &["--version"]),
        haproxy = says("/usr/sbin/haproxy", &["-v"]),
    )
}
