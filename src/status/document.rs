//! What goes over the status socket: the same snapshot as four texts, so that whoever asks needs to read none of
//! them; knows no socket.

use std::fmt::Write as _;

use super::{History, Status, details, table};

/// Between two parts; in none of them.
const SEPARATOR: char = '\0';
/// Up to so many routers are told of one by one, more in a table alone.
const FEW: usize = 8;

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
        let parts = [health(status), status.json(), text(status), history.sentences()];
        parts.join(&SEPARATOR.to_string())
    }

    /// `None` unless it is whole.
    pub fn read(octets: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(octets).ok()?;
        (text.matches(SEPARATOR).count() == Part::Why as usize).then_some(Self(text))
    }

    pub fn part(&self, part: Part) -> &str {
        self.0.split(SEPARATOR).nth(part as usize).unwrap_or_default()
    }
}

fn health(status: &Status) -> String {
    let mut text =
        if status.health.healthy { "healthy".to_owned() } else { status.health.problems.join("; ") };
    for router in &status.routers {
        _ = write!(text, "\n{} {}", router.name, router.state.as_str());
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
        let document = Document::read(Document::write(&status(), &History::default()).into_bytes()).unwrap();
        assert_eq!(document.part(Part::Health), "healthy\nVI_1 MASTER\nVI_2 FAULT");
        assert!(document.part(Part::Json).starts_with("{\"version\":\""));
        assert!(document.part(Part::Text).contains("VI_1"));
        assert_eq!(document.part(Part::Why), "");
    }

    #[test]
    fn a_document_that_is_cut_is_none() {
        let whole = Document::write(&status(), &History::default());
        let cut = whole.rfind(SEPARATOR).unwrap();
        assert_eq!(Document::read(whole.as_bytes()[..cut].to_vec()), None);
        assert_eq!(Document::read(vec![0xff, 0, 0, 0]), None);
    }
}
