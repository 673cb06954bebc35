//! Puts figures between the markers of `docs/performance.md`, and redraws the picture. Does not know what they mean.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Plan;
use crate::picture;

const PAGE: &str = "docs/performance.md";

/// Replaces the generated part `name` with `text`, unless the run was a quick one.
pub(crate) fn write(plan: &Plan, name: &str, text: &str) {
    if plan.quick {
        return;
    }
    let page = read_page();
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let parts = page.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.unwrap_or_else(|| panic!("{PAGE}: {begin} and {end} are missing"));
    write_file(PAGE, &format!("{head}{begin}\n{}\n\n{text}{end}{tail}", plan.about));
    draw();
}

/// Draws the picture of the figures that the page has now.
pub(crate) fn draw() {
    let svg = picture::draw(&read_page()).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    write_file("docs/failover.svg", &svg);
}

fn read_page() -> String {
    fs::read_to_string(in_repository(PAGE)).unwrap_or_else(|error| panic!("{PAGE}: {error}"))
}

fn write_file(path: &str, text: &str) {
    fs::write(in_repository(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
