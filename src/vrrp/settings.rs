//! The checked settings of one virtual router. Does not know how the operator writes them.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::advert::{Advert, V3Checksum};
use super::drop_reason::DropReason;
use super::units::{Interval, Priority, Version, Vrid};

/// Immutable settings of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// The version that we send and accept.
    pub version: Version,
    /// The configured priority, before weights; 255 for the address owner.
    pub priority: Priority,
    /// Our advertisement interval, which `version` can carry.
    pub interval: Interval,
    /// Whether a backup replaces a live master with a lower priority (Preempt_Mode, RFC 3768 §6.1).
    pub preempt: bool,
    /// How long to wait before preempting such a master, from its first advert received; 0 to 1000 s.
    pub preempt_delay: Duration,
    /// The password in every advert that we send or accept. Always `None` in VRRPv3, which has no authentication.
    pub auth: Option<Password>,
    /// What the checksum covers in VRRPv3 over IPv4. Other packets have only one form.
    pub checksum: V3Checksum,
    /// The unicast peers: adverts are sent to them and accepted only from them. Of the family of `addresses`, without
    /// duplicates; may include our own address. Empty: multicast.
    pub peers: Vec<IpAddr>,
    /// The addresses in the advert, in the configured order, all of one family, without duplicates.
    pub addresses: Vec<IpAddr>,
    /// Enables yield, fast takeover and hitless stop. Without it, only the RFC's timing applies.
    pub fast: bool,
    /// The time between two announcements of a master. `None`: it announces only after a change.
    pub refresh: Option<Duration>,
    /// How long the kernel keeps a virtual address without a renewal. `None`: forever.
    pub lease: Option<Lease>,
}

/// A VRRPv2 simple password, zero-filled (RFC 2338 §5.3.10). It is never displayed.
#[derive(Clone, Copy)]
pub struct Password([u8; Self::LONGEST]);

impl Password {
    /// The length of the authentication data in octets.
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

    /// Whether a packet's authentication data is this password. Takes the same time however much of it matches.
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

/// The lifetime of a virtual address in the kernel, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(NonZeroU32);

impl Lease {
    /// `None` for 0, with which the kernel would never keep the address.
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

    /// The time between two renewals. Three in a row can fail before the kernel removes the address.
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

    /// The unicast peers that adverts from `source` go to. A virtual address is no other node's: its master sends them.
    pub fn destinations(&self, source: IpAddr) -> impl Iterator<Item = IpAddr> {
        self.peers.iter().copied().filter(move |peer| *peer != source && !self.addresses.contains(peer))
    }

    /// Whether an advert lists the same addresses, in any order (RFC 3768 §5.3.9).
    pub fn same_addresses(&self, theirs: &[IpAddr]) -> bool {
        same(&self.addresses, theirs)
    }

    /// The receive checks that need the router's own settings, and its own address `source` (RFC 3768 §7.1, RFC 9568 §7.1).
    ///
    /// # Errors
    /// Why the advert is dropped.
    pub fn admit(&self, source: Option<IpAddr>, from: IpAddr, advert: &Advert) -> Result<(), DropReason> {
        self.admit_also(source, from, advert, &[])
    }

    /// The same for an advert that may list the addresses `former` instead of ours.
    pub(super) fn admit_also(
        &self,
        source: Option<IpAddr>,
        from: IpAddr,
        advert: &Advert,
        former: &[IpAddr],
    ) -> Result<(), DropReason> {
        if Some(from) == source {
            return Err(DropReason::OwnAddress);
        }
        if !self.peers.is_empty() && !self.peers.contains(&from) {
            return Err(DropReason::NotAPeer);
        }
        if advert.version != self.version {
            return Err(DropReason::VersionMismatch);
        }
        match (&self.auth, &advert.password) {
            (None, None) => {}
            (Some(ours), Some(theirs)) if ours.matches(theirs) => {}
            (Some(_), Some(_)) => return Err(DropReason::AuthFailure),
            _ => return Err(DropReason::AuthMismatch),
        }
        // v3 accepts a different interval and only reports a different list; v2 drops both, except the owner's list.
        if advert.version == Version::V2 {
            if advert.interval != self.interval {
                return Err(DropReason::Interval);
            }
            let known = self.same_addresses(&advert.addresses)
                || (!former.is_empty() && same(former, &advert.addresses));
            if advert.priority != Priority::OWNER && !known {
                return Err(DropReason::Addresses);
            }
        }
        Ok(())
    }

    /// Skew_Time of a router with priority `own` if the master advertises every `interval`.
    pub(super) fn skew(&self, own: Priority, interval: Interval) -> Duration {
        match self.version {
            // A fraction of one second, whatever the interval (RFC 3768 §6.1).
            Version::V2 => own.skew_of(Duration::from_secs(1)),
            Version::V3 => own.skew_of(interval.duration()),
        }
    }

    /// Master_Down_Interval of a router with priority `own` if the master advertises every `interval` (RFC 3768 §6.1,
    /// RFC 9568 §6.1).
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

/// Whether two lists without duplicates have the same addresses.
fn same(ours: &[IpAddr], theirs: &[IpAddr]) -> bool {
    ours == theirs || (ours.len() == theirs.len() && ours.iter().all(|address| theirs.contains(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_1_to_8_octets_and_is_filled_with_zeros() {
        assert_eq!(Password::new(b"secret").map(Password::octets), Some(*b"secret\0\0"));
        assert_eq!(Password::new(b"12345678").map(Password::octets), Some(*b"12345678"));
        assert_eq!((Password::new(b""), Password::new(b"123456789")), (None, None));
    }

    #[test]
    fn a_password_matches_only_itself() {
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
