//! The log: writes each record as a line of text or JSON to standard error. A time is optional, since container
//! runtimes and journald add one.
//!
//! Each line is one write. If standard error is full or closed, the line is dropped: logging must never delay a
//! failover.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use log::kv::{self, Key, VisitSource};
use log::{Level, Log, Metadata, Record};
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::config::{LogConfig, LogFormat};
use crate::printable;
use crate::sys::poller::wall_clock;
use crate::time::Timestamp;

/// Installs the logger.
///
/// # Errors
/// A logger is already installed.
pub fn install(config: &LogConfig) -> Result<(), log::SetLoggerError> {
    log::set_logger(&LOGGER)?;
    configure(config);
    Ok(())
}

/// Writes every further record in this way.
pub fn configure(config: &LogConfig) {
    LOGGER.json.store(config.format == LogFormat::Json, Ordering::Relaxed);
    LOGGER.time.store(config.time, Ordering::Relaxed);
    log::set_max_level(config.level);
}

static LOGGER: Logger =
    Logger { json: AtomicBool::new(false), time: AtomicBool::new(false), lost: AtomicU64::new(0) };

struct Logger {
    json: AtomicBool,
    time: AtomicBool,
    /// Lines dropped since the last one that was written.
    lost: AtomicU64,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut lines = String::new();
        let now = self.time.load(Ordering::Relaxed).then(wall_clock);
        let format = if self.json.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text };
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let message = format_args!("{lost} log lines were lost: standard error was not read");
            let keys = [("event", "lines_lost")];
            let record = Record::builder().level(Level::Warn).key_values(&keys).args(message).build();
            lines = line(format, now, &record);
        }
        lines.push_str(&line(format, now, record));
        truncate(&mut lines);
        if write(io::stderr(), &lines) {
            self.lost.store(0, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Less than a page of 4,096 bytes, which a writable pipe takes without blocking; the rest is for the end of the line.
const LONGEST: usize = 4_000;

/// Truncates lines that are too long to be written without blocking. A truncated JSON line is invalid and ends in
/// `...`.
fn truncate(lines: &mut String) {
    if lines.len() > LONGEST {
        lines.truncate(lines.floor_char_boundary(LONGEST));
        lines.push_str("...\n");
    }
}

/// Writes the lines in one call. Returns whether they were written. A pipe is writable only while a page of 4,096 bytes
/// is free, so a shorter write cannot block.
fn write(to: impl AsFd, lines: &str) -> bool {
    // Not poll(2), which fails when the limit of descriptors is 0.
    let mut writable = FdSet::new();
    writable.insert(to.as_fd());
    match select(None, None, &mut writable, None, &mut TimeVal::zero()) {
        Ok(1..) => nix::unistd::write(&to, lines.as_bytes()).is_ok(),
        Ok(_) | Err(_) => false,
    }
}

/// One record as one line, including the line end.
fn line(format: LogFormat, time: Option<Timestamp>, record: &Record<'_>) -> String {
    match format {
        LogFormat::Text => text(time, record),
        LogFormat::Json => json(time, record),
    }
}

/// A plain sentence, like keepalived's, which people grep for. Levels other than `info` are a prefix.
fn text(time: Option<Timestamp>, record: &Record<'_>) -> String {
    let prefix = match record.level() {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
        Level::Trace => "trace: ",
    };
    let mut line = time.map_or(String::new(), |time| format!("{time} "));
    line.push_str(prefix);
    // A name from the network or /proc must not forge a line or move a terminal's cursor.
    line += &printable::line(&record.args().to_string());
    line.push('\n');
    line
}

/// One object: time if configured, level, `event`, `instance`, the record's other keys in their order, message.
fn json(time: Option<Timestamp>, record: &Record<'_>) -> String {
    let level = record.level().as_str().to_ascii_lowercase();
    let time = time.map_or(String::new(), |time| format!("\"time\":\"{time}\","));
    let mut object = Object { text: format!("{{{time}\"level\":{}", quoted(&level)) };
    let keys = record.key_values();
    for first in FIRST {
        if let Some(value) = keys.get(Key::from_str(first)) {
            object.member(first, &value);
        }
    }
    // The visitor never fails.
    _ = keys.visit(&mut object);
    _ = writeln!(object.text, ",\"message\":{}}}", quoted(&record.args().to_string()));
    object.text
}

/// The keys that come first in an object.
const FIRST: [&str; 2] = ["event", "instance"];

/// A JSON string with its quotes.
fn quoted(text: &str) -> String {
    // A string can always be serialized.
    printable::json(&serde_json::to_string(text).unwrap_or_default())
}

/// A JSON object under construction.
struct Object {
    text: String,
}

impl Object {
    /// Adds a member. All our values are strings.
    fn member(&mut self, key: &str, value: &kv::Value<'_>) {
        if let Some(text) = value.to_borrowed_str() {
            _ = write!(self.text, ",{}:{}", quoted(key), quoted(text));
        }
    }
}

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if !FIRST.contains(&key.as_str()) {
            self.member(key.as_str(), &value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn of(format: LogFormat, level: Level, message: &str, keys: &[(&str, kv::Value<'_>)]) -> String {
        line(
            format,
            None,
            &Record::builder().level(level).args(format_args!("{message}")).key_values(&keys).build(),
        )
    }

    #[test]
    fn an_info_line_is_the_sentence_alone() {
        let line =
            of(LogFormat::Text, Level::Info, "(VI_1) Entering MASTER STATE", &[("event", "state".into())]);
        assert_eq!(line, "(VI_1) Entering MASTER STATE\n");
    }

    #[test]
    fn a_line_starts_with_the_time_if_configured() {
        let time = Some(Timestamp::after_epoch(std::time::Duration::from_secs(1)));
        let line = |format| line(format, time, &Record::builder().args(format_args!("x")).build());
        assert_eq!(line(LogFormat::Text), "1970-01-01T00:00:01.000Z x\n");
        let json = "{\"time\":\"1970-01-01T00:00:01.000Z\",\"level\":\"info\",\"message\":\"x\"}\n";
        assert_eq!(line(LogFormat::Json), json);
    }

    #[test]
    fn every_other_level_has_a_prefix() {
        for (level, prefix) in [
            (Level::Error, "error"),
            (Level::Warn, "warning"),
            (Level::Debug, "debug"),
            (Level::Trace, "trace"),
        ] {
            assert_eq!(of(LogFormat::Text, level, "x", &[]), format!("{prefix}: x\n"));
        }
    }

    #[test]
    fn a_message_cannot_forge_another_line() {
        let message = "exit of hap\nroxy\r\u{1b}[1m";
        assert_eq!(of(LogFormat::Text, Level::Info, message, &[]), "exit of hap\\nroxy\\r\\u{1b}[1m\n");
        let json = of(LogFormat::Json, Level::Info, message, &[]);
        assert_eq!(json, "{\"level\":\"info\",\"message\":\"exit of hap\\nroxy\\r\\u001b[1m\"}\n");
    }

    #[test]
    fn a_full_or_closed_pipe_drops_the_line_and_never_blocks() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        assert!(write(&writer, "first\n"));
        let mut first = [0; 6];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first\n");
        // The capacity of a pipe, pipe(7).
        writer.write_all(&vec![b'x'; 65_536]).unwrap();
        assert!(!write(&writer, "second\n"));
        drop(reader);
        assert!(!write(&writer, "third\n"));
    }

    #[test]
    fn json_has_level_event_instance_the_other_keys_and_the_message() {
        let keys = [
            ("state", "MASTER".into()),
            ("instance", "VI_1".into()),
            ("event", "transition".into()),
            ("odd", "a\"b\n".into()),
        ];
        let line = of(LogFormat::Json, Level::Warn, "(VI_1) answered \"no\"", &keys);
        assert_eq!(
            line,
            "{\"level\":\"warn\",\"event\":\"transition\",\"instance\":\"VI_1\",\"state\":\"MASTER\",\
             \"odd\":\"a\\\"b\\n\",\"message\":\"(VI_1) answered \\\"no\\\"\"}\n"
        );
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["message"], "(VI_1) answered \"no\"");
    }

    #[test]
    fn no_line_is_longer_than_a_pipe_takes_without_blocking() {
        let mut long = "é".repeat(5_000);
        truncate(&mut long);
        assert!(long.len() <= 4_096 && long.ends_with("...\n"));
        let mut short = "as it is\n".to_owned();
        truncate(&mut short);
        assert_eq!(short, "as it is\n");
    }
}
