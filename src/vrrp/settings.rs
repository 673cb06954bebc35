//! What the operator decided about one virtual router, checked; knows nothing of how it was written down.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Advert, Interval, Priority, Version, Vrid};

/// Immutable settings of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Version we send and accept.
    pub version: Version,
    /// Configured priority, before weights; 255 is the address owner.
    pub priority: Priority,
    /// Our own advertisement interval; it fits `version`.
    pub interval: Interval,
    /// Whether a backup replaces a live master of lower priority (Preempt_Mode, RFC 3768 §6.1).
    pub preempt: bool,
    /// How long such a master is first left alone, counted from its first advert heard; 0 to 1000 s.
    pub preempt_delay: Duration,
    /// The password in every advert sent and accepted; always `None` in VRRPv3, which has none.
    pub auth: Option<Password>,
    /// How the checksum is made in VRRPv3 over IPv4; other packets know one form only.
    pub checksum: V3Checksum,
    /// Whom to send to and whom alone to believe, of the family of `addresses`, each once, perhaps our own
    /// address among them; empty: multicast.
    pub peers: Vec<IpAddr>,
    /// The addresses in the advert, in configured order, one family, each once.
    pub addresses: Vec<IpAddr>,
    /// Yield, fast takeover and hitless stop; without it the RFC's timing alone.
    pub fast: bool,
    /// Time between two announcements of a master; `None`: only after a change.
    pub refresh: Option<Duration>,
    /// How long the kernel keeps an address of ours that nobody renews; `None`: for ever.
    pub lease: Option<Lease>,
}

/// A VRRPv2 simple password, zero-filled (RFC 2338 §5.3.10). Nothing ever displays it.
#[derive(Clone, Copy)]
pub struct Password([u8; Self::LONGEST]);

impl Password {
    /// Octets in the packet.
    pub const LONGEST: usize = 8;

    /// `None` unless it is 1 to 8 octets long.
    pub fn new(password: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::LONGEST];
        octets.get_mut(..password.len())?.copy_from_slice(password);
        if password.is_empty() { None } else { Some(Self(octets)) }
    }

    /// The authentication data of a packet.
    pub const fn octets(self) -> [u8; Self::LONGEST] {
        self.0
    }

    /// Whether a packet's authentication data is this password; the time it takes does not tell how much of
    /// it is right.
    pub fn matches(&self, theirs: &[u8; Self::LONGEST]) -> bool {
        let difference = self.0.iter().zip(theirs).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        std::hint::black_box(difference) == 0
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(not shown)")
    }
}

/// What the checksum of VRRPv3 over IPv4 is taken over. RFC 9568 §5.2.8 leaves the pseudo-header out; keepalived
/// and FRR put it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V3Checksum {
    /// The IPv4 pseudo-header and the message.
    #[default]
    PseudoHeader,
    /// The message alone.
    Message,
}

/// The lifetime of a virtual address in the kernel, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(NonZeroU32);

impl Lease {
    /// `None` for 0, which would be an address that is never there.
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        match NonZeroU32::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    /// The whole seconds, at least 1.
    pub const fn seconds(self) -> u32 {
        self.0.get()
    }

    /// How long after one renewal the next is due: three more may fail before the address goes.
    pub(super) fn renew_after(self) -> Duration {
        Duration::from_secs(self.0.get().into()) / 4
    }
}

impl Settings {
    /// A VRRPv2 router with the defaults of RFC 3768: multicast, one advert a second, preemption without delay, no
    /// password. Fast failover is on; addresses are neither refreshed nor leased.
    pub fn new(vrid: Vrid, priority: Priority, addresses: Vec<IpAddr>) -> Self {
        Self {
            vrid,
            version: Version::V2,
            priority,
            interval: Interval::DEFAULT,
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: None,
            checksum: V3Checksum::default(),
            peers: vec![],
            addresses,
            fast: true,
            refresh: None,
            lease: None,
        }
    }

    /// Whether an advert lists the same addresses; the order is only advice (RFC 3768 §5.3.9).
    pub fn same_addresses(&self, theirs: &[IpAddr]) -> bool {
        self.addresses == theirs
            || (self.addresses.len() == theirs.len() && self.addresses.iter().all(|a| theirs.contains(a)))
    }

    /// Skew_Time for a router of priority `own` under a master that advertises every `interval`.
    pub(super) fn skew(&self, own: Priority, interval: Interval) -> Duration {
        match self.version {
            // A second, whatever the interval (RFC 3768 §6.1).
            Version::V2 => own.skew_of(Duration::from_secs(1)),
            Version::V3 => own.skew_of(interval.duration()),
        }
    }

    /// Master_Down_Interval for a router of priority `own` under a master that advertises every `interval`
    /// (RFC 3768 §6.1, RFC 9568 §6.1).
    pub fn master_down(&self, own: Priority, interval: Interval) -> Duration {
        interval.duration() * 3 + self.skew(own, interval)
    }

    /// Our advert with this priority.
    pub fn advert(&self, priority: Priority) -> Advert {
        let Self { vrid, version, interval, checksum, ref addresses, .. } = *self;
        let password = self.auth.map(Password::octets);
        Advert { version, vrid, priority, interval, password, checksum, addresses: addresses.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_1_to_8_octets_and_filled_with_zeros() {
        assert_eq!(Password::new(b"secret").map(Password::octets), Some(*b"secret\0\0"));
        assert_eq!(Password::new(b"12345678").map(Password::octets), Some(*b"12345678"));
        assert_eq!((Password::new(b""), Password::new(b"123456789")), (None, None));
    }

    #[test]
    fn a_password_matches_itself_alone() {
        let password = Password::new(b"secret").unwrap();
        assert!(password.matches(b"secret\0\0"));
        for other in [b"Secret\0\0", b"secret\0x", b"\0\0\0\0\0\0\0\0"] {
            assert!(!password.matches(other), "{other:?}");
        }
        assert_eq!(password, Password::new(b"secret").unwrap());
        assert_ne!(password, Password::new(b"secre").unwrap());
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::new(b"secret")), "Some(Password(not shown))");
    }
}
