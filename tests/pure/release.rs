//! What a release depends on: a version that Cargo.toml and CHANGELOG.md agree on, and one compiler in all places.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository with a version, a section of the change log, and the project's script; removed when dropped.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str, version: &str, changes: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("vrrp-init-release-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join(".ci")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/release-notes");
        fs::copy(script, folder.join(".ci/release-notes")).unwrap();
        let manifest =
            format!("[package]\nname = \"vrrp-init\"\nversion = \"{version}\"\n\n[dependencies]\n");
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("CHANGELOG.md"), changes).unwrap();
        Self(folder)
    }

    /// The notes of a version, or what keeps it from being released.
    fn notes(&self, version: &str) -> Result<String, String> {
        let output = Command::new(self.0.join(".ci/release-notes")).arg(version).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CHANGES: &str = "# Changelog\n\n## [1.3.0] - unreleased\n\n- New.\n\n## [1.2.0] - 2026-01-02\n\n- Better.\n\n\
                       ## [1.1.0] - 2025-01-02\n\n## [1.0.0] - 2024-01-02\n\n- First.\n";

#[test]
fn a_release_has_the_notes_of_its_version_alone() {
    let repository = Repository::new("notes", "1.2.0", CHANGES);
    assert_eq!(repository.notes("1.2.0").unwrap().trim(), "- Better.");
    let last = Repository::new("last", "1.0.0", CHANGES);
    assert_eq!(last.notes("1.0.0").unwrap().trim(), "- First.");
}

#[test]
fn a_version_that_is_not_ready_is_not_released() {
    for (cargo, tag, problem) in [
        ("1.2.0", "1.3.0", "Cargo.toml has version 1.2.0, not 1.3.0"),
        ("1.4.0", "1.4.0", "no section [1.4.0]"),
        ("1.3.0", "1.3.0", "no date"),
        ("1.1.0", "1.1.0", "is empty"),
        ("1.2.0", "1.2", "not 1.2"),
    ] {
        let error = Repository::new("refused", cargo, CHANGES).notes(tag).unwrap_err();
        assert!(error.contains(problem), "{tag}: {error}");
    }
}

#[test]
fn the_compiler_of_the_image_is_the_one_that_the_manifest_names() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/rust-version");
    let output = Command::new(script).output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let named = env!("CARGO_PKG_RUST_VERSION");
    assert!(version.starts_with(named), "Dockerfile: {version}, Cargo.toml: {named}");
}
