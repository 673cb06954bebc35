//! The reasons to drop a received packet, one per rule, with their labels in the log, the status and the metrics. Knows
//! nothing about packets.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $name:ident => $label:literal,)*) => {
        /// The reason why a received packet was dropped. A dropped packet changes no state and no timer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[doc = $doc])* $name,)* }

        impl DropReason {
            /// Every reason, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable label, as in logs, status and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

drop_reasons! {
    /// The IP packet or the VRRP message is shorter than its fields require (RFC 3768 §7.1).
    Truncated => "truncated",
    /// The packet is longer than a complete message with its count of addresses.
    TooLong => "too_long",
    /// The packet is not IPv4, or the lengths in its header are inconsistent.
    IpHeader => "ip_header",
    /// It has IP options, which no VRRP router sends.
    IpOptions => "ip_options",
    /// A fragment. The kernel reassembles those of an advert, so none is left.
    Fragment => "fragment",
    /// Not addressed to the VRRP group.
    Destination => "destination",
    /// TTL or hop limit is not 255: it came through a router (RFC 3768 §7.1). Unicast from another subnet may.
    Ttl => "ttl",
    /// A protocol version that is neither 2 nor 3, or 2 over IPv6.
    Version => "version",
    /// The type is not ADVERTISEMENT (RFC 3768 §5.3.2).
    Type => "type",
    /// An unknown authentication type (RFC 3768 §5.3.6).
    AuthType => "auth_type",
    /// The checksum is wrong (RFC 3768 §5.3.8, RFC 9568 §5.2.8).
    Checksum => "checksum",
    /// VRID 0, or a VRID that no router of ours has on this interface.
    Vrid => "vrid",
    /// No address in the advert (RFC 9568 §5.2.5, erratum 8299).
    CountZero => "count_zero",
    /// Interval 0 (RFC 9568 §7.1, erratum 8301).
    IntervalZero => "interval_zero",
    /// Our own packet came back, or another host uses our address (RFC 3768 §6.4.3).
    OwnAddress => "own_address",
    /// Unicast, and not from one of the peers.
    NotAPeer => "not_a_peer",
    /// The other protocol version.
    VersionMismatch => "version_mismatch",
    /// An authentication type that differs from ours (RFC 3768 §7.1).
    AuthMismatch => "auth_mismatch",
    /// A password that differs from ours (RFC 2338 §5.3.10).
    AuthFailure => "auth_failure",
    /// VRRPv2: an interval that differs from ours (RFC 3768 §7.1).
    Interval => "interval",
    /// VRRPv2: a list of addresses that differs from ours, and not from the owner (RFC 3768 §7.1).
    Addresses => "addresses",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many packets were dropped for each reason. Takes no room while none was: of most routers none ever is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(Option<Box<[u64; DropReason::ALL.len()]>>);

impl Drops {
    /// Counts one packet dropped for `reason`. Returns the new count.
    pub fn count(&mut self, reason: DropReason) -> u64 {
        let slot = &mut self.0.get_or_insert_default()[reason as usize];
        *slot = slot.saturating_add(1);
        *slot
    }

    /// The reasons with a count above 0.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let counts = self.0.as_deref().copied().unwrap_or_default();
        DropReason::ALL.iter().copied().zip(counts).filter(|(_, n)| *n > 0)
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (reason, n) in self.iter() {
            write!(f, "{gap}{reason}={n}")?;
            gap = " ";
        }
        if gap.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_label_and_slot() {
        let labels: std::collections::BTreeSet<_> = DropReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), DropReason::ALL.len());
        let mut drops = Drops::default();
        assert_eq!(drops.to_string(), "none");
        for (n, &reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, n);
            assert_eq!(drops.count(reason), 1);
        }
        assert_eq!(drops.count(DropReason::Ttl), 2);
        assert!(drops.to_string().contains("ttl=2 version=1"));
    }
}
