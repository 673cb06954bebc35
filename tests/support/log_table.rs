//! The table of events in `docs/logs.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The levels of each event.
pub(crate) type Events = BTreeMap<String, BTreeSet<String>>;

/// The events of `docs/logs.md`.
pub(crate) fn documented() -> Events {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md"))
        .expect("docs/logs.md is there");
    let (_, table) = page.split_once("## Events").expect("it has a section Events");
    let mut events = Events::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, levels, _, example] = cells[..] else { panic!("{row}") };
        let levels: BTreeSet<_> = levels.split(", ").map(str::to_owned).collect();
        let prefix = example.trim_matches('`').split_once(": ").map_or("", |(prefix, _)| prefix);
        let shown = match prefix {
            "warning" => "warn",
            "error" | "debug" | "trace" => prefix,
            _ => "info",
        };
        assert!(levels.contains(shown), "the example is of the level {shown}: {row}");
        let double = events.insert(name.trim_matches('`').to_owned(), levels);
        assert!(double.is_none(), "{name} has two rows");
    }
    events
}
