//! The protocol's numbers, each a type with its range and unit. Knows nothing else of the crate.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The address family of a virtual router. An IPv4 and an IPv6 router with the same VRID are different routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V2,
    V3,
}

impl Version {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VRRPv{}", self.number())
    }
}

/// Virtual Router Identifier, 1 to 255 (RFC 3768 §5.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(u8);

impl Vrid {
    /// `None` for 0, which is not a valid VRID.
    pub const fn new(vrid: u8) -> Option<Self> {
        if vrid == 0 { None } else { Some(Self(vrid)) }
    }

    /// The octet in the packet.
    pub const fn octet(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a router, 1 to 255; [`Priority::RELEASE`] exists only in adverts (RFC 3768 §5.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The master gives up its role. Never a router's own priority.
    pub const RELEASE: Self = Self(0);
    /// No other router of its own priority ranks lower.
    pub(super) const LOWEST: Self = Self(1);
    /// The router owns the addresses.
    pub const OWNER: Self = Self(255);

    /// A router's own priority; `None` for 0.
    pub const fn new(priority: u8) -> Option<Self> {
        if priority == 0 { None } else { Some(Self(priority)) }
    }

    /// The priority in an advert, which can be 0.
    pub const fn from_wire(octet: u8) -> Self {
        Self(octet)
    }

    /// The octet in the packet.
    pub const fn octet(self) -> u8 {
        self.0
    }

    /// The skew: `(256 - priority) / 256` of `whole` (RFC 3768 §6.1, RFC 9568 §6.1). `whole` is at most some minutes, so
    /// the product cannot overflow.
    pub fn skew_of(self, whole: Duration) -> Duration {
        whole * (256 - u32::from(self.0)) / 256
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An advertisement interval in centiseconds. VRRPv2 packets carry 1 to 255 whole seconds, VRRPv3 packets 1 to 4095
/// centiseconds; see [`Interval::fits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u16);

impl Interval {
    /// One second, the default of both versions.
    pub const DEFAULT: Self = Self(100);

    /// `None` for 0, with which every backup would take over at once (RFC 9568 erratum 8301).
    pub const fn from_centiseconds(centiseconds: u16) -> Option<Self> {
        if centiseconds == 0 { None } else { Some(Self(centiseconds)) }
    }

    /// `None` for 0.
    pub const fn from_seconds(seconds: u8) -> Option<Self> {
        Self::from_centiseconds(seconds as u16 * 100)
    }

    /// The interval in centiseconds, at least 1.
    pub const fn centiseconds(self) -> u16 {
        self.0
    }

    /// The interval in whole seconds, rounded down, as in a VRRPv2 packet.
    pub fn whole_seconds(self) -> u8 {
        u8::try_from(self.0 / 100).unwrap_or(u8::MAX)
    }

    /// The interval as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }

    /// Whether a packet of `version` can carry this interval.
    pub const fn fits(self, version: Version) -> bool {
        match version {
            Version::V2 => self.0.is_multiple_of(100) && self.0 <= 25_500,
            Version::V3 => self.0 <= 4_095,
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (s, 0) => write!(f, "{s} s"),
            (s, cs) if cs % 10 == 0 => write!(f, "{s}.{} s", cs / 10),
            (s, cs) => write!(f, "{s}.{cs:02} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_the_rfc_fraction() {
        let skew = |p: u8| Priority::new(p).unwrap().skew_of(Duration::from_secs(1));
        assert_eq!(skew(100), Duration::from_micros(609_375));
        assert_eq!(skew(254), Duration::from_nanos(7_812_500));
        assert_eq!(skew(1), Duration::from_nanos(996_093_750));
        assert_eq!(Priority::OWNER.skew_of(Duration::from_secs(1)), Duration::from_nanos(3_906_250));
    }

    #[test]
    fn zero_is_no_vrid_priority_or_interval() {
        assert_eq!((Vrid::new(0), Priority::new(0)), (None, None));
        assert_eq!((Interval::from_centiseconds(0), Interval::from_seconds(0)), (None, None));
    }

    #[test]
    fn an_interval_knows_which_version_can_carry_it() {
        let cs = |n| Interval::from_centiseconds(n).unwrap();
        assert!(cs(100).fits(Version::V2) && cs(25_500).fits(Version::V2) && cs(4_095).fits(Version::V3));
        assert!(!cs(150).fits(Version::V2) && !cs(25_600).fits(Version::V2) && !cs(4_096).fits(Version::V3));
    }

    #[test]
    fn an_interval_reads_as_seconds() {
        let text = |n| Interval::from_centiseconds(n).unwrap().to_string();
        assert_eq!([text(100), text(20), text(1), text(4_095)], ["1 s", "0.2 s", "0.01 s", "40.95 s"]);
    }
}
