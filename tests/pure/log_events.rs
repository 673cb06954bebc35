//! Holds the table of events in `docs/logs.md` to the source: the same names, with the levels each is logged at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::log_table::{Events, documented};

/// The product's source, file by file, without its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut sources = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path, text.split("#[cfg(test)]").next().unwrap().to_owned()));
            }
        }
    }
    sources
}

/// `name` of `name" …`, if it is one.
fn event(text: &str) -> Option<&str> {
    let name = text.split('"').next()?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).then_some(name)
}

/// Every event in the source, with the levels next to its name.
fn emitted() -> Events {
    let mut events = Events::new();
    for (path, text) in sources() {
        let mut found = |name: Option<&str>, level: &str| {
            let Some(name) = name else { return };
            let levels = events.entry(name.to_owned()).or_default();
            if ["error", "warn", "info", "debug", "trace"].contains(&level) {
                levels.insert(level.to_owned());
            }
        };
        for (at, before) in text.match_indices("event = \"") {
            let level = text[..at].rsplit("log::").next().unwrap().split('!').next().unwrap();
            found(event(&text[at + before.len()..]), level);
        }
        for (at, before) in text.match_indices("(\"event\", \"") {
            found(event(&text[at + before.len()..]), "");
        }
        // `log_event(Level::Warn, "name"` and `=> (if … { Level::Info }, "name")`.
        for rest in text.split("Level::").skip(1) {
            let (level, rest) = rest.split_at(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(0));
            let next = rest.trim_start_matches([' ', '}']).strip_prefix(',').map(str::trim_start);
            let name = next.and_then(|next| event(next.strip_prefix('"')?));
            found(name, &level.to_ascii_lowercase());
        }
        for rest in text.split(".log_event(level, \"").skip(1) {
            found(event(rest), "");
        }
        // Every log line has an event, so the code above has found all of them.
        let calls = [
            ".log_event(",
            ".log_event_with(",
            "log::error!(",
            "log::warn!(",
            "log::info!(",
            "log::debug!(",
            "log::log!(",
        ];
        for (at, call) in calls.iter().flat_map(|call| text.match_indices(call)) {
            let words: Vec<_> = text[at + call.len()..].split([',', ';']).take(3).map(str::trim).collect();
            let named = |word: &&str| {
                *word == "event"
                    || word.starts_with("event = \"")
                    || word.strip_prefix('"').and_then(event).is_some()
            };
            let of_variables = path.components().any(|part| part.as_os_str() == "config");
            assert!(of_variables || words.iter().any(named), "{}: {call}{words:?}", path.display());
        }
    }
    events
}

#[test]
fn the_table_has_exactly_the_events_of_the_source_with_their_levels() {
    let (emitted, documented) = (emitted(), documented());
    let names = |events: &Events| events.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&emitted));
    for (name, levels) in &emitted {
        assert!(levels.is_subset(&documented[name]), "{name}: {levels:?} of {:?}", documented[name]);
    }
}
