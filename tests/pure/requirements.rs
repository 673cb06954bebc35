//! Checks `docs/conformance.md` against the tests: it lists every requirement once, and the tests that it cites exist
//! and name the requirement.
//!
//! If the collected requirements (`../shared/reference`, not part of this repository) are available, the page must have
//! exactly those; in CI their absence is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The columns of the rows `| a | b | … |` whose first column is `wanted`.
fn rows(page: &str, wanted: fn(&str) -> bool) -> Vec<Vec<&str>> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'))
        .map(|line| line.split(" |").map(str::trim).collect::<Vec<_>>())
        .filter(|row| wanted(row[0]))
        .collect()
}

/// `TX-01`.
fn is_id(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z', b'-', b'0'..=b'9', b'0'..=b'9'])
}

/// `(105)`.
fn is_step(word: &str) -> bool {
    matches!(word.as_bytes(), [b'(', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b')'])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/conformance.md")).unwrap()
}

fn text(cited: &str) -> String {
    let read = std::fs::read_to_string(root().join(cited));
    read.unwrap_or_else(|e| panic!("docs/conformance.md cites {cited}: {e}"))
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Matches whole words only: `RX-01` is not in `RX-010`, and `fn a` is not in `fn ab`.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let next = text[at + word.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[test]
fn every_requirement_is_cited_by_the_test_that_shows_it() {
    let page = page();
    let requirements = rows(&page, is_id);
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in &requirements {
        let [id, level, short, tests, _remark] = row[..] else { panic!("not five columns: {row:?}") };
        assert!(seen.insert(id), "{id} is listed twice");
        assert!(["M", "S", "P", "m", "X"].contains(&level) && !short.is_empty(), "{id}: level {level}");
        let cited = quoted(tests);
        if cited.is_empty() {
            assert!(level == "m" && tests == "none", "{id} of level {level} has no test");
        }
        let mut file = String::new();
        for word in cited {
            if word.contains('/') {
                file = text(word);
                if !names(&file, id) {
                    wrong.push(format!("{word} does not name {id}"));
                }
            } else if !names(&file, &format!("fn {word}")) {
                wrong.push(format!("{id}: no test {word} in the file before it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen.len() >= 90, "{} requirements", seen.len());
}

#[test]
fn every_step_of_the_state_machine_is_named_in_its_scenario() {
    let page = page();
    let steps = rows(&page, is_step);
    for row in &steps {
        let [step, short, v3, v2] = row[..] else { panic!("not four columns: {row:?}") };
        assert!(!short.is_empty());
        let [file] = quoted(v3)[..] else { panic!("{step}: not one file") };
        assert!(names(&text(file), step), "{file} does not name {step}");
        for file in quoted(v2) {
            assert!(text(file).to_lowercase().contains("section 6.4"), "{file} has no section 6.4");
        }
    }
    let numbers: Vec<_> = steps.iter().map(|row| row[0]).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.len() >= 50, "{numbers:?}");
}

#[test]
fn the_requirements_are_those_of_the_collection() {
    let file = root().join("../shared/reference/vrrp.md");
    let Ok(reference) = std::fs::read_to_string(&file) else {
        assert!(std::env::var_os("CI").is_none(), "CI must have {}", file.display());
        eprintln!("no requirements at {}: nothing compared", file.display());
        return;
    };
    let levels = |page: &str| -> BTreeMap<String, String> {
        rows(page, is_id).iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
    };
    let ours = levels(&page());
    assert_eq!(ours, levels(&reference));
}
