//! README against the sources: the log lines it quotes are those we print.

use std::fs;
use std::path::{Path, PathBuf};

/// The parts of log lines that README quotes, without values.
const QUOTED: [&str; 22] = [
    "No other router of VRID ",
    " keeps advertising although it ranks lower",
    "it does not receive our adverts",
    "; until they agree, both can be master",
    "; the other routers cannot hear us",
    "No spare: if the service of ",
    " is too small; it must be above",
    "with PREEMPT=false, we follow it no matter how low its priority drops",
    "was not seen since the start, nor any process but vrrp-init",
    "/proc is mounted with hidepid",
    "Changing effective priority from ",
    " fell silent",
    " is missing; it is needed to ",
    " in the environment",
    "has no carrier",
    " address to send from",
    "does not pass",
    "tracked interface",
    "the kernel refused a virtual address",
    "left behind by a killed vrrp-init",
    "Another program removed a virtual address: added it again",
    ", another master may have been elected",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Replaces line continuations and any white space by one space, because prose and sources wrap lines differently.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sources(folder: &Path, text: &mut String) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { sources(&path, text) } else { text.push_str(&fs::read_to_string(path).unwrap()) }
    }
}

/// Its image runs keepalived on a file that another program mounts.
#[test]
fn no_document_claims_to_replace_the_image_of_ceph() {
    let mut documents = vec![root().join("README.md")];
    let found = |folder: &str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(
        found("docs")
            .chain(found("compose").flat_map(|path| {
                fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path())
            })),
    );
    let mut withdrawn = 0;
    for path in documents.iter().filter(|path| path.is_file()) {
        let text = fs::read_to_string(path).unwrap();
        for paragraph in text.split("\n\n").filter(|text| text.to_lowercase().contains("ceph")) {
            assert!(joined(paragraph).contains("cannot be replaced"), "{}: {paragraph}", path.display());
            withdrawn += 1;
        }
    }
    assert_eq!(withdrawn, 1, "docs/migration.md says what a reader with that image should know");
    let mut source = String::new();
    sources(&root().join("src"), &mut source);
    assert!(!source.to_lowercase().contains("ceph"));
}

#[test]
fn every_log_line_that_the_readme_quotes_is_printed() {
    let mut source = String::new();
    sources(&root().join("src"), &mut source);
    let readme = joined(&fs::read_to_string(root().join("README.md")).unwrap());
    let source = joined(&source);
    for quoted in QUOTED {
        let quoted = quoted.trim();
        assert!(readme.contains(quoted), "README no longer quotes {quoted:?}");
        assert!(source.contains(quoted), "README quotes {quoted:?}, which is printed nowhere");
    }
}
