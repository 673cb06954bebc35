//! The document sent over the status sockets. It holds the snapshot in five forms, so that a client only selects one and
//! parses nothing; for a healthcheck it is the first form alone. Knows no socket.

use std::fmt::Write as _;
use std::time::Duration;

use super::history::History;
use super::model::{Brief, BriefRouter, DRAINED, LEAVING, NOT_DRAINED, REFUSED, Serving, Status};
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
    /// Whether the addresses serve, since when the transitions are known, then the last of them, one line each.
    Why,
    /// What has become of a drain ([`NOT_DRAINED`], [`LEAVING`], [`DRAINED`] or [`REFUSED`]), a tab, when it was ordered, a
    /// tab, and a sentence.
    Drain,
}

/// A received document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// Writes all parts.
    pub fn write(status: &Status, history: &History) -> String {
        let started = status.time.before(Duration::from_millis(status.uptime_ms));
        let why = format!(
            "Now: {}\n{}\n{}",
            printable::line(&headline(status)),
            history.reach(started),
            history.sentences()
        );
        let parts = [health(&status.brief()), status.json(), text(status), why, drain(status)];
        parts.join(&SEPARATOR.to_string())
    }

    /// Writes only [`Part::Health`].
    pub fn write_health(brief: &Brief) -> String {
        health(brief) + &SEPARATOR.to_string()
    }

    /// `None` if the document is truncated before the end of `last`, the last part that is needed.
    pub fn read(octets: Vec<u8>, last: Part) -> Option<Self> {
        let text = String::from_utf8(octets).ok()?;
        let separators = if last == Part::Health { 1 } else { Part::Drain as usize };
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
        let state = if serving.cause == DRAINED { "DRAINED" } else { state.as_str() };
        _ = write!(text, "\n{name} {state}\t{serves}\t{why}");
    }
    text
}

fn drain(status: &Status) -> String {
    let routers = || status.routers.iter().filter(|router| !router.left_out);
    let Some(order) = &status.drain else {
        return format!("{NOT_DRAINED}\t\t{}", headline(status));
    };
    let is = |state: &str| routers().any(|router| router.drain.state == state);
    let state = [REFUSED, LEAVING].into_iter().find(|state| is(state)).unwrap_or(DRAINED);
    let until = order.until.map_or("undrain".to_owned(), |until| until.to_string());
    let mut text = if state == REFUSED { String::new() } else { format!("{state} until {until}") };
    for router in
        routers().filter(|router| state != REFUSED || router.drain.state == REFUSED).take(MAX_DETAILS)
    {
        let semicolon = if text.is_empty() { "" } else { "; " };
        _ = write!(text, "{semicolon}{}: ", printable::line(&router.name));
        _ = match (router.drain.refused, &router.master) {
            (Some(why), _) => text.write_str(why),
            (None, Some(master)) => write!(text, "{} is master", master.address),
            (None, None) => text.write_str("no master is heard"),
        };
    }
    format!("{state}\t{}\t{text}", order.since)
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
    use crate::drain::Order;
    use crate::time::Timestamp;

    const HEALTH: &str = "healthy\nVI_1 MASTER\tok\t10.0.0.2 is served here by haproxy\n\
                          VI_2 FAULT\tdown\tFAULT: interface eth1 has no carrier; no master is heard";

    #[test]
    fn a_document_has_its_five_parts() {
        let octets = Document::write(&status(), &History::default()).into_bytes();
        let document = Document::read(octets, Part::Why).unwrap();
        assert_eq!(document.part(Part::Health), HEALTH);
        assert!(document.part(Part::Json).starts_with("{\"version\":\""));
        assert!(document.part(Part::Text).contains("VI_1"));
        let now = "Now: VI_2: FAULT: interface eth1 has no carrier; no master is heard\n\
                   Known since 1970-01-01T00:00:00.000Z, the start of vrrp-init\n";
        assert_eq!(document.part(Part::Why), now);
        let none = "no\t\tVI_2: FAULT: interface eth1 has no carrier; no master is heard";
        assert_eq!(document.part(Part::Drain), none);
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
    fn the_worst_router_decides_what_has_become_of_a_drain() {
        let mut status = status();
        status.drain = Some(Order { since: Timestamp::default(), ..Order::default() });
        let mut after = |first, second, refused| {
            let [a, b] = &mut status.routers[..] else { panic!("two routers") };
            (a.drain.state, b.drain.state, b.drain.refused) = (first, second, refused);
            drain(&status)
        };
        let since = "1970-01-01T00:00:00.000Z";
        let text = "until undrain; VI_1: 10.0.0.11 is master; VI_2: no master is heard";
        assert_eq!(after(DRAINED, DRAINED, None), format!("drained\t{since}\tdrained {text}"));
        assert_eq!(after(LEAVING, DRAINED, None), format!("leaving\t{since}\tleaving {text}"));
        let refused = after(LEAVING, REFUSED, Some("nobody took over"));
        assert_eq!(refused, format!("refused\t{since}\tVI_2: nobody took over"));
    }

    #[test]
    fn a_drained_router_is_neither_backup_nor_master_for_a_healthcheck() {
        let mut brief = status().brief();
        brief.routers[0].serving.cause = DRAINED;
        assert!(health(&brief).contains("\nVI_1 DRAINED\tok\t"), "{}", health(&brief));
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
