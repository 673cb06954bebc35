//! Prometheus' text format: families, samples, and values in it. Knows no metric.

use std::fmt::{self, Write as _};

/// The name, type and help text of a metric family.
pub(super) type Family = (&'static str, &'static str, &'static str);

pub(super) const COUNTER: &str = "counter";
pub(super) const GAUGE: &str = "gauge";

/// What has been written.
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn family(&mut self, (name, kind, help): &Family) {
        _ = write!(self.0, "# HELP keepalived_{name} {help}\n# TYPE keepalived_{name} {kind}\n");
    }

    /// A family with one sample, without labels.
    pub(super) fn single(&mut self, family: &Family, value: &dyn fmt::Display) {
        self.family(family);
        self.sample(family.0, &"", value);
    }

    pub(super) fn sample(&mut self, name: &str, labels: &dyn fmt::Display, value: &dyn fmt::Display) {
        let labels = labels.to_string();
        _ = if labels.is_empty() {
            writeln!(self.0, "keepalived_{name} {value}")
        } else {
            writeln!(self.0, "keepalived_{name}{{{labels}}} {value}")
        };
    }
}

/// Displays microseconds as seconds.
pub(super) struct Micros(pub(super) u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A label value, in which backslash, quote and line feed are escaped.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(Escaped("a\"} 1\n\\").to_string(), "a\\\"} 1\\n\\\\");
    }
}
