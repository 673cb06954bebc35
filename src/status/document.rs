//! The document sent over the status sockets. It holds the snapshot in four forms, so that a client only selects one and
//! parses nothing; for a healthcheck it is the first form alone. Knows no socket.

use std::fmt::Write as _;

use super::history::History;
use super::model::{Brief, BriefRouter, Serving, Status};
use super::text::{details, headline, table};
use crate::printable;

/// Separates the parts, and ends a part that is sent alone. No part contains it.
const SEPARATOR: char = '\0';
/// With more routers than this, people get only the table and no details.
pub const MAX_DETAILS: usize = 8;

/// Whether the addresses of a router serve, in [`Part::Health`].
pub const OK: &str = "ok";
pub const TROUBLE: &str = "trouble";
pub const DOWN: &str = "down";

/// The parts in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `healthy` or the problems; then one line per router: its name and state, a tab, whether it serves ([`OK`],
    /// [`TROUBLE`] or [`DOWN`]), a tab, and why.
    Health,
    /// One line of JSON.
    Json,
    /// Text for people.
    Text,
    /// Whether the addresses serve, then the last transitions, one line each.
    Why,
}

/// A received document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// Writes all parts.
    pub fn write(status: &Status, history: &History) -> String {
        let why = format!("Now: {}\n{}", printable::line(&headline(status)), history.sentences());
        let parts = [health(&status.brief()), status.json(), text(status), why];
        parts.join(&SEPARATOR.to_string())
    }

    /// Writes only [`Part::Health`].
    pub fn write_health(brief: &Brief) -> String {
        health(brief) + &SEPARATOR.to_string()
    }

    /// `None` if the document is truncated before the end of `last`, the last part that is needed.
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
    let problems = || printable::line(&brief.health.problems.join("; "));
    let mut text = if brief.health.healthy { "healthy".to_owned() } else { problems() };
    for BriefRouter { name, state, serving } in &brief.routers {
        let serves = match serving {
            Serving { serves: Some(false), .. } => DOWN,
            Serving { trouble: true, .. } => TROUBLE,
            Serving { .. } => OK,
        };
        let (name, why) = (printable::line(name), printable::line(&serving.text));
        _ = write!(text, "\n{name} {}\t{serves}\t{why}", state.as_str());
    }
    text
}

/// The table and, unless there are too many routers, the details of each.
fn text(status: &Status) -> String {
    let mut text = table(status);
    for router in status.routers.iter().filter(|_| status.routers.len() <= MAX_DETAILS) {
        _ = write!(text, "\n{}", details(router));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::status;
    use super::*;

    const HEALTH: &str = "healthy\nVI_1 MASTER\tok\t10.0.0.2 is served here by haproxy\n\
                          VI_2 FAULT\tdown\tFAULT: interface eth1 has no carrier; no master is heard";

    #[test]
    fn a_document_has_its_four_parts() {
        let octets = Document::write(&status(), &History::default()).into_bytes();
        let document = Document::read(octets, Part::Why).unwrap();
        assert_eq!(document.part(Part::Health), HEALTH);
        assert!(document.part(Part::Json).starts_with("{\"version\":\""));
        assert!(document.part(Part::Text).contains("VI_1"));
        let now = "Now: VI_2: FAULT: interface eth1 has no carrier; no master is heard\n";
        assert_eq!(document.part(Part::Why), now);
    }

    #[test]
    fn a_healthcheck_reads_its_part_from_either_socket() {
        let alone = Document::write_health(&status().brief());
        let whole = Document::write(&status(), &History::default());
        for text in [alone, whole] {
            let document = Document::read(text.into_bytes(), Part::Health).unwrap();
            assert_eq!(document.part(Part::Health), HEALTH);
        }
    }

    #[test]
    fn a_truncated_document_is_rejected() {
        let whole = Document::write(&status(), &History::default());
        let cut = |separator: Option<usize>| whole.as_bytes()[..separator.unwrap()].to_vec();
        assert_eq!(Document::read(cut(whole.rfind(SEPARATOR)), Part::Why), None);
        assert_eq!(Document::read(cut(whole.find(SEPARATOR)), Part::Health), None);
        assert_eq!(Document::read(vec![0xff, 0, 0, 0], Part::Health), None);
    }
}
