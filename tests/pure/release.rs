//! What a release depends on: a version that Cargo.toml and CHANGELOG.md agree on, one compiler and one owner in all places,
//! and what the scripts in `.ci` have a registry do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
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

/// The text with this owner in every name of the repository or its image.
fn with_owner(text: &str, owner: &str) -> String {
    let mut result = text.to_owned();
    for host in ["github.com/", "ghcr.io/"] {
        let mut parts = result.split(host);
        let mut changed = parts.next().unwrap().to_owned();
        for part in parts {
            let named = part.split_once('/').filter(|(_, rest)| rest.starts_with("vrrp-init"));
            changed += host;
            changed += &named.map_or(part.to_owned(), |(_, rest)| format!("{owner}/{rest}"));
        }
        result = changed;
    }
    result
}

/// Every file of a folder, or the file itself.
fn files(path: PathBuf) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(&path) else { return vec![path] };
    folder.flat_map(|entry| files(entry.unwrap().path())).collect()
}

#[test]
fn the_manifest_alone_says_who_owns_the_repository_and_the_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (owner, name) =
        env!("CARGO_PKG_REPOSITORY").strip_prefix("https://github.com/").unwrap().split_once('/').unwrap();
    let image = format!("ghcr.io/{}/{name}", owner.to_lowercase());
    let output = Command::new(root.join(".ci/image-name")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), image);

    let places =
        ["README.md", "CHANGELOG.md", "SECURITY.md", "Dockerfile", "docs", "compose", "tests/docker"];
    let mut images = 0;
    for path in places.iter().flat_map(|place| files(root.join(place))) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let expected = with_owner(&text, owner)
            .replace(&format!("ghcr.io/{owner}/"), &format!("ghcr.io/{}/", owner.to_lowercase()));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &expected).unwrap();
        } else {
            assert_eq!(text, expected, "{}: UPDATE=1 cargo test --test pure release", path.display());
        }
        images += text.matches(&image).count();
    }
    assert!(images >= 20, "{images} places name the image");
    assert_eq!(
        with_owner("see https://github.com/a/vrrp-init, not github.com/a/b: ghcr.io/a/vrrp-init:1", "me"),
        "see https://github.com/me/vrrp-init, not github.com/a/b: ghcr.io/me/vrrp-init:1"
    );
}

/// Runs `.ci/publish-image` with a `docker` that writes down what it is asked for, in a registry that has these tags, and
/// says `other` of all others. The images that it joins, and whether it succeeds.
fn published(name: &str, tags: &[&str], other: &str) -> (Vec<String>, Option<String>) {
    let folder = std::env::temp_dir().join(format!("vrrp-init-publish-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let here = folder.display();
    let docker = format!(
        "#!/bin/sh\n[ \"$3\" = create ] && {{ shift 3; echo \"$*\" >>{here}/joined; exit; }}\n\
         for tag in 1.2.3 {}; do case \"$*\" in *:$tag) echo sha256:$tag; exit;; esac; done\n\
         grep -q hold-1 {here}/joined && echo sha256:new && exit\necho 'ERROR: {other}' >&2; exit 1\n",
        tags.join(" ")
    );
    fs::write(folder.join("docker"), docker).unwrap();
    fs::set_permissions(folder.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/publish-image");
    let path = format!("{here}:{}", std::env::var("PATH").unwrap());
    let output = Command::new(script).args(["r/i", "1.2.3"]).env("PATH", path).output().unwrap();
    let joined = fs::read_to_string(folder.join("joined")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let digests = String::from_utf8(output.stdout).unwrap();
    (joined.lines().map(str::to_owned).collect(), output.status.success().then_some(digests))
}

/// The image of `hold` is another one than that of the daemon: it has a command, and no health check.
#[test]
fn the_image_of_hold_is_published_once_and_is_one_of_its_own() {
    let daemon = "--tag r/i:1.2.3 --tag r/i:1.2 --tag r/i:latest r/i:1.2.3-amd64 r/i:1.2.3-arm64".to_owned();
    let hold = "--tag r/i:hold-1 r/i:1.2.3-hold-amd64 r/i:1.2.3-hold-arm64".to_owned();
    let signed = |digests: &str| Some(digests.to_owned());
    let first = published("first", &[], "r/i:hold-1: not found");
    assert_eq!(first, (vec![daemon.clone(), hold], signed("sha256:1.2.3\nsha256:new\n")));
    let next = published("next", &["hold-1"], "");
    assert_eq!(next, (vec![daemon.clone()], signed("sha256:1.2.3\n")));
    // Whether it is there is not known.
    assert_eq!(published("unknown", &[], "503 Service Unavailable"), (vec![daemon], None));
}
