//! `docs/performance.md`: puts what was measured between its markers; knows not what it means.

use std::fs;
use std::path::Path;

use crate::Plan;

/// Replaces the generated part `name` with `text`, unless the run was a quick one.
pub(crate) fn write(plan: &Plan, name: &str, text: &str) {
    if plan.quick {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let parts = page.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.unwrap_or_else(|| panic!("{}: {begin} and {end} are missing", path.display()));
    let page = format!("{head}{begin}\n{}\n\n{text}{end}{tail}", plan.about);
    fs::write(&path, page).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
