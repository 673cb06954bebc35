//! What goes over the status sockets: the same snapshot as four texts, so that whoever asks needs to read none of
//! them, and for a healthcheck the first of them alone; knows no socket.

use std::fmt::Write as _;

use super::{Brief, History, Status, details, table};

/// Between two parts, and at the end of one that comes alone; in none of them.
const SEPARATOR: char = '\0';
/// Up to so many routers are told of one by one, more in a table alone.
pub const FEW: usize = 8;

/// The parts in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `healthy`, or why not; then a line for each router, its name and state.
    Health,
    /// One line of JSON.
    Json,
    /// For people.
    Text,
    /// The last transitions, a line each.
    Why,
}

/// A document as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// The document to send.
    pub fn write(status: &Status, history: &History) -> String {
        let parts = [health(&status.brief()), status.json(), text(status), history.sentences()];
        parts.join(&SEPARATOR.to_string())
    }

    /// Only [`Part::Health`].
    pub fn write_health(brief: &Brief) -> String {
        health(brief) + &SEPARATOR.to_string()
    }

    /// `None` unless it is whole up to this part, the last that is wanted.
    pub fn read(octets: Vec<u8>, last: Part) -> Option<Self> {
        let text = String::from_utf8(octets).ok()?;
        let separators = if last == Part::Health { 1 } else { Part::Why as usize };
        (text.matches(SEPARATOR).count() >= separators).then_some(Self(text))
    }

    pub fn part(&self, part: Part) -> &str {
        self.0.split(SEPARATOR).nth(part as usize).unwrap_or_default()
    }
}

fn health(brief: &Brief) -> String {
    let mut text = if brief.health.healthy { "healthy".to_owned() } else { brief.health.problems.join("; ") };
    for (router, state) in &brief.states {
        _ = write!(text, "\n{router} {}", state.as_str());
    }
    text
}

/// The table, and where the routers are few, everything about each.
fn text(status: &Status) -> String {
    let mut text = table(status);
    for router in status.routers.iter().filter(|_| status.routers.len() <= FEW) {
        _ = write!(text, "\n{}", details(router));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;

    #[test]
    fn a_document_has_its_four_parts() {
        let octets = Document::write(&status(), &History::default()).into_bytes();
        let document = Document::read(octets, Part::Why).unwrap();
        assert_eq!(document.part(Part::Health), "healthy\nVI_1 MASTER\nVI_2 FAULT");
        assert!(document.part(Part::Json).starts_with("{\"version\":\""));
        assert!(document.part(Part::Text).contains("VI_1"));
        assert_eq!(document.part(Part::Why), "");
    }

    #[test]
    fn a_healthcheck_reads_its_part_from_either_socket() {
        let alone = Document::write_health(&status().brief());
        let whole = Document::write(&status(), &History::default());
        for text in [alone, whole] {
            let document = Document::read(text.into_bytes(), Part::Health).unwrap();
            assert_eq!(document.part(Part::Health), "healthy\nVI_1 MASTER\nVI_2 FAULT");
        }
    }

    #[test]
    fn a_document_that_is_cut_is_none() {
        let whole = Document::write(&status(), &History::default());
        let cut = |separator: Option<usize>| whole.as_bytes()[..separator.unwrap()].to_vec();
        assert_eq!(Document::read(cut(whole.rfind(SEPARATOR)), Part::Why), None);
        assert_eq!(Document::read(cut(whole.find(SEPARATOR)), Part::Health), None);
        assert_eq!(Document::read(vec![0xff, 0, 0, 0], Part::Health), None);
    }
}
