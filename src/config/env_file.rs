//! The text of `ENV_FILE` to names and values, one a line, as `docker --env-file` reads it; knows no variable.

use super::problems::Problems;
use super::variables::ENV_FILE;
use crate::printable;

/// The largest file: enough for a thousand virtual routers.
pub const LARGEST: usize = 256 * 1024;
/// The longest line.
const LONGEST: usize = 32 * 1024;
/// The most lines that are reported as wrong: the file may be another one altogether.
const REPORTED: usize = 20;

/// A line that sets a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counted from 1.
    pub(super) line: u32,
    pub(super) name: String,
    /// As it is written, quotes included.
    pub(super) value: String,
}

/// Every line that sets a variable; `None` if it is no text, which is a problem, as is each line that is wrong. Blank
/// lines and those that begin with `#` are comments. A name alone stands for its value in the environment, which is in
/// use anyway.
pub(super) fn parse(bytes: &[u8], path: &str, problems: &mut Problems) -> Option<Vec<Entry>> {
    let (entries, wrong) = match text(bytes) {
        Ok(text) => {
            let (entries, wrong) = entries(text);
            (Some(entries), wrong)
        }
        Err(why) => (None, vec![why]),
    };
    let left_out = wrong.len().saturating_sub(REPORTED);
    let rest = (left_out > 0).then(|| format!("has {left_out} more such lines"));
    for why in wrong.iter().take(REPORTED).chain(&rest) {
        problems.refuse(ENV_FILE.name, Some(path), why.as_str());
    }
    entries
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > LARGEST {
        return Err(format!("is larger than {} KiB", LARGEST / 1024));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let line = |at: usize| bytes[..at].split(|byte| *byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("line {} has a NUL byte: this is no text file", line(at)));
    }
    std::str::from_utf8(bytes).map_err(|e| format!("line {} is not UTF-8 text", line(e.valid_up_to())))
}

/// The entries, and what is wrong.
fn entries(text: &str) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut wrong) = (vec![], vec![]);
    for (number, line) in (1..).zip(text.lines()) {
        match entry(number, line) {
            Ok(entry) => entries.extend(entry),
            Err(why) => wrong.push(format!("line {number} {why}")),
        }
    }
    (entries, wrong)
}

fn entry(line: u32, text: &str) -> Result<Option<Entry>, String> {
    if text.len() > LONGEST {
        return Err(format!("is longer than {} KiB", LONGEST / 1024));
    }
    let text = text.trim_start();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let name = if value.is_none() { name.trim_end() } else { name };
    if name.is_empty() {
        return Err("has no name before the =".into());
    }
    if name.contains(char::is_whitespace) {
        let exported = name.starts_with("export ");
        let cure = if exported { "remove the word export" } else { "a line is NAME=VALUE" };
        // What is before the = may be a part of a secret.
        return Err(format!("has a space before the =: {cure}"));
    }
    Ok(value.map(|value| Entry { line, name: printable::line(name), value: value.to_owned() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, String, String)>, Vec<String>> {
        let mut problems = Problems::default();
        let entries = parse(bytes, "/env", &mut problems);
        let Problems { problems, .. } = problems;
        assert!(problems.iter().all(|p| p.variable == "ENV_FILE" && p.value.as_deref() == Some("/env")));
        if problems.is_empty() {
            Ok(entries.unwrap().into_iter().map(|Entry { line, name, value }| (line, name, value)).collect())
        } else {
            Err(problems.into_iter().map(|problem| problem.why).collect())
        }
    }

    #[test]
    fn lines_are_read_as_docker_reads_them() {
        let text = "\u{feff}# comment\r\n\r\nVIP=10.0.0.2\r\n  PRIORITY=\"11\"\n\t# PRIORITY=12\nEMPTY=\nA=b=c # d \nHOME\nlast=1";
        let expected = [
            (3, "VIP", "10.0.0.2"),
            (4, "PRIORITY", "\"11\""),
            (6, "EMPTY", ""),
            (7, "A", "b=c # d "),
            (9, "last", "1"),
        ];
        let expected = expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned()));
        assert_eq!(read(text.as_bytes()), Ok(expected.to_vec()));
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn every_line_that_is_wrong_is_reported() {
        let wrong = |text: &[u8]| read(text).unwrap_err();
        assert_eq!(
            wrong(b"VIP=1\nexport PRIORITY=7\n=5\nSECRET word=x\nA B\n"),
            [
                "line 2 has a space before the =: remove the word export",
                "line 3 has no name before the =",
                "line 4 has a space before the =: a line is NAME=VALUE",
                "line 5 has a space before the =: a line is NAME=VALUE",
            ]
        );
        assert_eq!(wrong(b"A=1\nB=\0\n"), ["line 2 has a NUL byte: this is no text file"]);
        assert_eq!(wrong(b"A=1\nB=\xff\n"), ["line 2 is not UTF-8 text"]);
        let long = [b"A=1\nB=".to_vec(), vec![b'x'; LONGEST]].concat();
        assert_eq!(wrong(&long), ["line 2 is longer than 32 KiB"]);
        let large = vec![b'\n'; LARGEST + 1];
        assert_eq!(wrong(&large), ["is larger than 256 KiB"]);
        assert_eq!(read(&large[1..]), Ok(vec![]));
        let many = wrong(&b"=\n".repeat(100));
        assert_eq!((many.len(), many.last().unwrap().as_str()), (21, "has 80 more such lines"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            lines in prop::collection::vec(("[A-Z_]{1,8}", "[ -~]{0,12}"), 0..6), crlf in any::<bool>(),
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let text = lines.iter().map(|(name, value)| format!("{name}={value}{end}"));
            let text = text.collect::<Vec<_>>().concat();
            let expected = (1..).zip(lines).map(|(line, (name, value))| (line, name, value)).collect();
            prop_assert_eq!(read(text.as_bytes()), Ok(expected));
        }
    }
}
