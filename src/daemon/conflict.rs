//! The sentence about an advert for our VRID that disagrees with our configuration. Decides nothing.

use std::fmt;
use std::net::IpAddr;

use crate::vrrp::{Advert, DropReason, Settings};

/// How we handle an advert that differs from our configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Drop,
    /// As the RFC requires.
    Accept,
}

/// A disagreement between an advert for our VRID and our configuration, with both values: it can end in two masters.
pub(super) struct Conflict<'a> {
    pub(super) from: IpAddr,
    pub(super) reason: DropReason,
    pub(super) reaction: Reaction,
    pub(super) ours: &'a Settings,
    /// The advert, if it could be parsed.
    pub(super) theirs: Option<&'a Advert>,
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, reason, reaction, ours, theirs } = self;
        let verb = match reaction {
            Reaction::Drop => "Dropping",
            Reaction::Accept => "Accepting",
        };
        write!(f, "{verb} adverts from {from} ({reason})")?;
        let Some(theirs) = theirs else { return f.write_str(": not a valid VRRP advert") };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the other reasons have no values to compare")]
        match reason {
            DropReason::VersionMismatch => {
                write!(f, ": it uses {}, we use {}", theirs.version, ours.version)?;
            }
            DropReason::AuthMismatch => {
                let auth = |password: bool| if password { "a password" } else { "no authentication" };
                let (theirs, ours) = (auth(theirs.password.is_some()), auth(ours.auth.is_some()));
                write!(f, ": it uses {theirs}, we use {ours}")?;
            }
            DropReason::AuthFailure => f.write_str(": its password differs from ours")?,
            DropReason::Interval => {
                write!(f, ": its interval is {}, ours is {}", theirs.interval, ours.interval)?;
            }
            DropReason::Addresses => {
                let (theirs, ours) = (List(&theirs.addresses), List(&ours.addresses));
                write!(f, ": its addresses are {theirs}, ours are {ours}")?;
            }
            DropReason::OwnAddress => {
                return f.write_str(": another host uses our own address, or our packets are looped back");
            }
            _ => return Ok(()),
        }
        f.write_str(match (reaction, reason) {
            (Reaction::Accept, DropReason::Interval) => "; while it is master, we use its interval",
            (Reaction::Accept, _) => "; change VIP on both, unless another cluster is using our VRID",
            (Reaction::Drop, DropReason::Addresses) => {
                "; until they agree, both can be master at once; or another cluster uses our VRID: run scan"
            }
            (Reaction::Drop, _) => "; until they agree, both can be master at once",
        })
    }
}

struct List<'a>(&'a [IpAddr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (n, address) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{address}", if n == 0 { "" } else { " " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::{Interval, Priority, Version, Vrid};

    fn settings() -> Settings {
        Settings::new(Vrid::new(51).unwrap(), Priority::new(100).unwrap(), vec!["10.0.0.2".parse().unwrap()])
    }

    #[test]
    fn a_conflict_names_both_values() {
        let ours = settings();
        let theirs = Advert {
            version: Version::V3,
            vrid: ours.vrid,
            priority: ours.priority,
            interval: Interval::from_seconds(2).unwrap(),
            password: Some([0; 8]),
            checksum: ours.checksum,
            addresses: vec!["10.0.0.3".parse().unwrap(), "10.0.0.4".parse().unwrap()],
        };
        let from = "10.0.0.12".parse().unwrap();
        let text = |reason| {
            Conflict { from, reason, reaction: Reaction::Drop, ours: &ours, theirs: Some(&theirs) }
                .to_string()
        };
        for (reason, difference) in [
            (DropReason::VersionMismatch, "it uses VRRPv3, we use VRRPv2"),
            (DropReason::AuthMismatch, "it uses a password, we use no authentication"),
            (DropReason::Interval, "its interval is 2 s, ours is 1 s"),
            (DropReason::Addresses, "its addresses are 10.0.0.3 10.0.0.4, ours are 10.0.0.2"),
        ] {
            let scan = if reason == DropReason::Addresses {
                "; or another cluster uses our VRID: run scan"
            } else {
                ""
            };
            let want = format!(
                "Dropping adverts from 10.0.0.12 ({reason}): {difference}; until they agree, both can be master at once{scan}"
            );
            assert_eq!(text(reason), want);
        }
    }

    /// AX-02: in VRRPv3 a different interval is accepted and logged.
    #[test]
    fn an_accepted_interval_is_logged_with_its_consequence() {
        let ours = settings();
        let theirs =
            Advert { interval: Interval::from_centiseconds(50).unwrap(), ..ours.advert(ours.priority) };
        let from = "10.0.0.12".parse().unwrap();
        let reason = DropReason::Interval;
        let conflict =
            Conflict { from, reason, reaction: Reaction::Accept, ours: &ours, theirs: Some(&theirs) };
        assert_eq!(
            conflict.to_string(),
            "Accepting adverts from 10.0.0.12 (interval): its interval is 0.5 s, ours is 1 s; while it is master, we use its interval"
        );
    }
}
