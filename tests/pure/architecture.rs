//! Imports go one way: the pure ring knows nothing of the edges, the edges nothing of the routers.

use std::path::{Path, PathBuf};

/// What files under `place` may name of the crate.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("src/time", &[]),
    ("src/vrrp", &["vrrp", "time"]),
    ("src/health", &["vrrp"]),
    ("src/config", &["vrrp", "health", "config"]),
    // The edges know the constants of the protocol, and nothing of its state.
    ("src/sys", &["sys", "time", "vrrp::Family", "vrrp::GROUP_V", "vrrp::PROTOCOL", "vrrp::TTL"]),
    ("src/logger", &["config", "sys::poller", "time"]),
    ("src/columns", &[]),
    ("src/interfaces", &["sys::netlink", "vrrp::Family"]),
    ("src/token", &["ids", "sys::poller"]),
    ("src/status", &["status", "columns", "time", "vrrp::Role"]),
    ("src/commands/cli", &["config"]),
    ("src/commands/scan/heard", &["vrrp", "time"]),
    ("src/commands/scan/table", &["vrrp", "columns", "time"]),
];

/// What a pure file may not name at all: clocks, sockets, files, the environment, logs.
const IMPURE: [&str; 8] =
    ["std::env", "std::fs", "std::time::Instant", "SystemTime", "nix::", "socket2", "log::info", "log::warn"];

fn sources(place: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> =
        Some(root.join(format!("{place}.rs"))).into_iter().filter(|p| p.exists()).collect();
    let mut folders = vec![root.join(place)];
    while let Some(entries) = folders.pop().map(|folder| folder.read_dir()) {
        for path in entries.into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    let of_tests = |path: &PathBuf| path.iter().any(|part| part == "tests" || part == "tests.rs");
    found.retain(|path| !of_tests(&path.strip_prefix(root).unwrap().to_owned()));
    assert!(!found.is_empty(), "no sources at {place}");
    found
}

/// The file without its tests.
fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// `a::{b, c}` as `a::b` and `a::c`.
fn names(import: &str) -> Vec<String> {
    let Some((module, list)) = import.split_once('{') else { return vec![import.to_owned()] };
    let list = list.split('}').next().unwrap_or_default();
    list.split(',').map(|name| format!("{module}{}", name.trim())).collect()
}

#[test]
fn imports_go_inward_only() {
    for (place, allowed) in ALLOWED {
        for path in sources(place) {
            for (n, line) in
                text(&path).lines().enumerate().filter(|(_, line)| !line.trim().starts_with("//"))
            {
                let Some((_, named)) = line.split_once("crate::") else { continue };
                let fine = |name: &String| allowed.iter().any(|module| name.starts_with(module));
                assert!(names(named).iter().all(fine), "{}:{}: {line}", path.display(), n + 1);
            }
        }
    }
}

#[test]
fn the_pure_ring_names_no_clock_socket_or_log() {
    const PURE: [&str; 8] = [
        "src/vrrp",
        "src/health",
        "src/config",
        "src/status",
        "src/time",
        "src/columns",
        "src/commands/scan/heard",
        "src/commands/scan/table",
    ];
    for place in PURE {
        for path in sources(place) {
            let text = text(&path);
            for impure in IMPURE {
                assert!(!text.contains(impure), "{} names {impure}", path.display());
            }
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    for path in sources("src") {
        let lines = text(&path).lines().count();
        assert!(lines <= 450, "{} has {lines} lines without its tests", path.display());
        assert!(text(&path).starts_with("//! "), "{} does not begin by saying what it is", path.display());
    }
}
