//! Checks `docs/architecture.md` against the source: the files, types and functions that it names exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Every file under `src` and `tests`, relative to the repository.
fn files() -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    files
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The texts between single backticks, outside code blocks.
fn quoted(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// Whether `source` contains `text`, and the identifier at its end ends there.
fn defines(source: &str, text: &str) -> bool {
    let ends = |at: usize| !source[at..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    source.match_indices(text).any(|(at, _)| ends(at + text.len()))
}

/// `Type::function`, `Enum::Variant` or `module::function`.
fn exists(source: &str, owner: &str, name: &str) -> bool {
    let is_type = owner.starts_with(|c: char| c.is_ascii_uppercase());
    let has_owner = if is_type {
        ["struct ", "enum "].iter().any(|kind| defines(source, &format!("{kind}{owner}")))
    } else {
        defines(source, &format!("mod {owner}"))
    };
    let kinds: &[&str] =
        if name.starts_with(char::is_lowercase) { &["fn "] } else { &["struct ", "enum ", "    "] };
    has_owner && kinds.iter().any(|kind| defines(source, &format!("{kind}{name}")))
}

#[test]
fn files_types_and_functions_that_the_map_names_exist() {
    let files = files();
    let source: String =
        files.iter().filter(|file| file.starts_with("src") && is_rust(file)).map(read).collect();
    let mut missing = vec![];
    for span in quoted(&read("docs/architecture.md")) {
        let found = match span.rsplit_once("::") {
            Some((owner, name)) => {
                let owner = owner.rsplit("::").next().unwrap_or_default();
                exists(&source, owner, name.split('(').next().unwrap_or_default())
            }
            None if is_rust(Path::new(span)) => files.iter().any(|file| file.ends_with(span)),
            None => continue,
        };
        if !found {
            missing.push(span.to_owned());
        }
    }
    assert_eq!(missing, [""; 0]);
}
