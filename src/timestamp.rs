//! A moment of the calendar in UTC, as logs and people write it; reads no clock.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01 00:00:00 UTC. Displays as `2026-11-24T12:03:04.118Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

const DAY: u64 = 86_400_000;

impl Timestamp {
    /// The moment `since` after 1970.
    pub fn after_epoch(since: Duration) -> Self {
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since 1970.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }

    /// The moment `wait` earlier; 1970 at the earliest.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(Self::after_epoch(wait).0))
    }

    /// Year, month and day of the Gregorian calendar. Counted in years that begin in March, so that the leap day is
    /// a year's last, and in eras of 400 years, after which everything repeats.
    fn date(self) -> (u64, u64, u64) {
        const ERA: u64 = 146_097;
        // From the first of March of the year 0.
        let days = self.0 / DAY + 719_468;
        let (era, day_of_era) = (days / ERA, days % ERA);
        let leap_days = |day: u64| day / 1_460 + day / (ERA - 1) - day / 36_524;
        let year = (day_of_era - leap_days(day_of_era)) / 365;
        let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
        // March to July repeat in length: 153 days for five months.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + next, month, day)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let rest = self.0 % DAY;
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64) -> String {
        Timestamp::after_epoch(Duration::from_secs(seconds)).to_string()
    }

    #[test]
    fn a_moment_reads_as_the_calendar_has_it() {
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

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = Timestamp(0).date();
        for day in 1..60_000 {
            let next = Timestamp(day * DAY).date();
            let (year, month, date) = last;
            let following = [(year, month, date + 1), (year, month + 1, 1), (year + 1, 1, 1)];
            assert!(following.contains(&next) && next.2 <= 31, "{last:?} {next:?}");
            last = next;
        }
        assert_eq!(last, (2134, 4, 10));
    }
}
