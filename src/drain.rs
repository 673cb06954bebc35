//! What the drain file says: that this node takes no part, until when, and whether it goes even if nobody takes over. Knows
//! no file and no clock.

use std::fmt;

use serde::Serialize;

use crate::time::Timestamp;

/// The most octets that a drain file has.
pub const LONGEST: usize = 256;

/// An order to take no part. Displays as the content of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Order {
    /// When the file was written.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// A master goes even if nobody takes over.
    pub force: bool,
    /// The command `drain` wrote it.
    pub by_command: bool,
}

impl Order {
    /// Reads a file of this content, and says what is wrong with it. Whatever it holds, the file is there because somebody
    /// wanted this node out of service: what cannot be read does not count, and with that the drain has no end.
    pub fn read(octets: &[u8], since: Timestamp) -> (Self, Option<String>) {
        let plain = Self { since, ..Self::default() };
        if octets.len() > LONGEST {
            return (plain, Some(format!("is longer than {LONGEST} bytes")));
        }
        let Ok(text) = str::from_utf8(octets) else { return (plain, Some("is not text".into())) };
        let mut order = plain;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim())) {
                ("force", "") => order.force = true,
                ("by", "command") => order.by_command = true,
                ("until", time) if let Some(until) = Timestamp::parse(time) => order.until = Some(until),
                _ => return (plain, Some(format!("has a line {line:?}"))),
            }
        }
        (order, None)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_command {
            f.write_str("by command\n")?;
        }
        if let Some(until) = self.until {
            writeln!(f, "until {until}")?;
        }
        if self.force { f.write_str("force\n") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::after_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn what_the_command_writes_is_read_again() {
        for until in [None, Some(at(1_764_000_000))] {
            for (force, by_command) in [(false, false), (true, false), (false, true), (true, true)] {
                let order = Order { since: at(5), until, force, by_command };
                assert_eq!(Order::read(order.to_string().as_bytes(), at(5)), (order, None));
            }
        }
        let order = Order { until: Some(at(60)), force: true, by_command: true, ..Order::default() };
        assert_eq!(order.to_string(), "by command\nuntil 1970-01-01T00:01:00.000Z\nforce\n");
    }

    #[test]
    fn a_file_by_hand_may_have_comments_blank_lines_and_whole_seconds() {
        let text = "# disk of this host is replaced\r\n\n  until   2026-11-24T12:03:04Z  \n";
        let (order, problem) = Order::read(text.as_bytes(), at(9));
        assert_eq!(order.until.unwrap().to_string(), "2026-11-24T12:03:04.000Z");
        assert_eq!((order.since, order.force, order.by_command, problem), (at(9), false, false, None));
        assert_eq!(Order::read(b"", at(9)), (Order { since: at(9), ..Order::default() }, None));
    }

    #[test]
    fn what_cannot_be_read_drains_without_end_and_without_force() {
        let plain = Order { since: at(9), ..Order::default() };
        let long = vec![b'#'; LONGEST + 1];
        for (octets, why) in [
            (&long[..], "is longer than 256 bytes"),
            (b"\xff\xfe", "is not text"),
            (b"force\nuntil tomorrow", "has a line \"until tomorrow\""),
            (b"until", "has a line \"until\""),
            (b"until 1e9", "has a line \"until 1e9\""),
            (b"force now", "has a line \"force now\""),
            (b"\0\0", "has a line \"\\0\\0\""),
            (b"FORCE", "has a line \"FORCE\""),
        ] {
            assert_eq!(Order::read(octets, at(9)), (plain, Some(why.into())));
        }
        assert_eq!(Order::read(&long[1..], at(9)), (plain, None), "one long comment");
    }
}
