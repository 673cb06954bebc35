//! Moments on the daemon's clock and in the calendar, passed in as arguments. Reads no clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Add;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Time since the daemon started, on a clock that never steps. Read at the edge, passed in.
///
/// Nanoseconds, plus 1 so that an `Option` of it takes no more room: a router has a dozen. They last for 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The start of the daemon.
    pub const START: Self = Self(NonZeroU64::MIN);

    /// The instant `since` after the start.
    pub fn after_start(since: Duration) -> Self {
        Self::START + since
    }

    /// The instant `ms` milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// The time from the start to this instant.
    pub const fn since_start(self) -> Duration {
        self.since(Self::START)
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A moment in UTC with a resolution of a millisecond. Displays as `2026-11-24T12:03:04.118Z` (RFC 3339).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    since_epoch_ms: u64,
}

impl Timestamp {
    /// The end of the year 9999, the last that RFC 3339 can write.
    const MAX_MS: u64 = 253_402_300_799_999;

    /// The moment `since` after 1970-01-01 00:00:00 UTC; at most the end of the year 9999.
    pub fn after_epoch(since: Duration) -> Self {
        Self { since_epoch_ms: millis(since).min(Self::MAX_MS) }
    }

    /// Milliseconds since 1970-01-01 00:00:00 UTC.
    pub const fn milliseconds(self) -> u64 {
        self.since_epoch_ms
    }

    /// The moment that a text in RFC 3339 names; `None` if it names none, or one before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = humantime::parse_rfc3339(text).ok()?;
        moment.duration_since(UNIX_EPOCH).ok().map(Self::after_epoch)
    }

    /// The moment `wait` later, at most the end of the year 9999.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::after_epoch(Duration::from_millis(self.since_epoch_ms).saturating_add(wait))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.since_epoch_ms.saturating_sub(earlier.since_epoch_ms))
    }

    /// The moment `wait` earlier, but not before 1970.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self { since_epoch_ms: self.since_epoch_ms.saturating_sub(millis(wait)) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = UNIX_EPOCH + Duration::from_millis(self.since_epoch_ms);
        humantime::format_rfc3339_millis(moment).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The longest time that [`parse_span`] reads: a year of 365 days.
const LONGEST_SPAN: u64 = 365 * 86_400;

/// A time such as `90s`, `10m`, `2h` or `1d`.
///
/// # Errors
/// What would be right.
pub fn parse_span(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let unit = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let is_number = text[..at].bytes().all(|octet| octet.is_ascii_digit());
        text[..at].parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)
    });
    let seconds = seconds.filter(|seconds| (1..=LONGEST_SPAN).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("a time from 1s to 365d, such as 90s, 10m, 2h or 1d")
}

/// A duration in whole milliseconds, rounded down.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64) -> String {
        Timestamp::after_epoch(Duration::from_secs(seconds)).to_string()
    }

    #[test]
    fn a_timestamp_displays_in_rfc_3339() {
        // As `date -u -d @SECONDS` prints them.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (1_795_521_784, "2026-11-24T12:03:04.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(seconds), expected);
        }
        let with_millis = Timestamp::after_epoch(Duration::from_millis(1_795_521_784_118));
        assert_eq!(with_millis.to_string(), "2026-11-24T12:03:04.118Z");
        assert_eq!(with_millis.before(Duration::from_millis(18)).milliseconds(), 1_795_521_784_100);
    }

    /// Year, month and day.
    fn date(day: u64) -> (u64, u64, u64) {
        let text = text(day * 86_400);
        let number = |at: std::ops::Range<usize>| text[at].parse().unwrap();
        (number(0..4), number(5..7), number(8..10))
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = date(0);
        for day in 1..60_000 {
            let next = date(day);
            let (year, month, date) = last;
            let following = [(year, month, date + 1), (year, month + 1, 1), (year + 1, 1, 1)];
            assert!(following.contains(&next) && next.2 <= 31, "{last:?} {next:?}");
            last = next;
        }
        assert_eq!(last, (2134, 4, 10));
    }

    #[test]
    fn a_span_has_a_number_a_unit_and_a_limit() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("10m", 600), ("2h", 7_200), ("365d", 31_536_000)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let wrong = [
            "",
            "0s",
            "10",
            "1e9s",
            "-1m",
            "+1m",
            "1.5h",
            "366d",
            "99999999999999999999d",
            "m",
            "1 m",
            "é",
            "1ms",
        ];
        for text in wrong {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_time_is_too_late_to_be_written() {
        assert_eq!(Timestamp::after_epoch(Duration::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
