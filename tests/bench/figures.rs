//! Figures of repeated measurements, and how they are written. Does not know what was measured.

use std::fmt::Write as _;
use std::time::Duration;

/// Median and extremes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread<T> {
    pub(crate) median: T,
    pub(crate) least: T,
    pub(crate) most: T,
}

impl<T: Ord + Copy> Spread<T> {
    /// The median of an even number of figures is the larger of the two in the middle. `None` without figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut sorted: Vec<T> = figures.into_iter().collect();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Spread<Duration> {
    pub(crate) fn text(&self) -> String {
        format!("{} ({} to {})", time(self.median), time(self.least), time(self.most))
    }
}

/// A duration in the unit that suits it, with about three digits.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => {
            let tenths = nearest(micros, 100);
            format!("{}.{} ms", tenths / 10, tenths % 10)
        }
        100_000..1_000_000 => format!("{} ms", nearest(micros, 1_000)),
        _ => {
            let hundredths = nearest(micros, 10_000);
            format!("{}.{:02} s", hundredths / 100, hundredths % 100)
        }
    }
}

/// How many times `small` is in `large`, one decimal below ten.
pub(crate) fn ratio(large: u128, small: u128) -> String {
    if small == 0 {
        return "–".into();
    }
    let tenths = nearest(large * 10, small);
    if tenths < 100 { format!("{}.{} ×", tenths / 10, tenths % 10) } else { format!("{} ×", tenths / 10) }
}

fn nearest(n: u128, unit: u128) -> u128 {
    (n + unit / 2) / unit
}

/// `n` over `d` with two decimals.
pub(crate) fn decimal(n: u128, d: u128) -> String {
    let hundredths = (n * 100).checked_div(d).unwrap_or_default();
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}
