//! The effective capabilities of this process, as the kernel lists them. Does not know what they are needed for.

use std::fmt;
use std::fs;
use std::io;

use super::Error;

const STATUS: &str = "/proc/self/status";

/// A capability that a virtual router needs, with its number in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// To add and remove addresses.
    NetAdmin = 12,
    /// To open raw and packet sockets.
    NetRaw = 13,
}

impl fmt::Display for Capability {
    /// As in a compose file, without `CAP_`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "NET_ADMIN",
            Self::NetRaw => "NET_RAW",
        })
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Whether `capability` is in the set.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 >> capability as u8 & 1 == 1
    }

    /// Reads the `CapEff` line of `/proc/PID/status`: sixteen hexadecimal digits. The name of the process, on an earlier
    /// line, cannot fake it, because the kernel escapes newlines there.
    fn parse_effective(status: &[u8]) -> Option<Self> {
        let digits =
            status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?.trim_ascii();
        u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok().map(Self)
    }
}

/// The effective capabilities of this process, which are those that the kernel checks.
///
/// # Errors
/// /proc is not mounted, or has no `CapEff` line.
pub fn effective() -> Result<Capabilities, Error> {
    fs::read(STATUS)
        .and_then(|status| {
            Capabilities::parse_effective(&status)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no CapEff line"))
        })
        .map_err(Error::doing("read our capabilities from", STATUS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(status: &str) -> Option<(bool, bool)> {
        let set = Capabilities::parse_effective(status.as_bytes())?;
        Some((set.has(Capability::NetAdmin), set.has(Capability::NetRaw)))
    }

    #[test]
    fn dockers_default_has_net_raw_and_not_net_admin() {
        let status = "Name:\tinit\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n\
                      CapEff:\t00000000a80425fb\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n";
        assert_eq!(both(status), Some((false, true)));
    }

    #[test]
    fn each_capability_is_its_own_bit() {
        assert_eq!(both("CapEff:\t0000000000001000\n"), Some((true, false)));
        assert_eq!(both("CapEff:\t0000000000002000\n"), Some((false, true)));
        assert_eq!(both("CapEff:\tffffffffffffcfff\n"), Some((false, false)));
        assert_eq!(both("CapEff:\t0000000000000000"), Some((false, false)));
    }

    #[test]
    fn only_the_effective_line_counts() {
        assert_eq!(both("CapPrm:\t0000000000003000\nCapBnd:\t0000000000003000\n"), None);
        assert_eq!(both("CapEff:\t\n"), None);
        assert_eq!(both("CapEff:\t10000000000003000\n"), None);
    }

    #[test]
    fn a_capability_reads_as_in_a_compose_file() {
        assert_eq!(
            [Capability::NetAdmin.to_string(), Capability::NetRaw.to_string()],
            ["NET_ADMIN", "NET_RAW"]
        );
    }

    proptest! {
        #[test]
        fn no_status_makes_the_parser_panic(mut status: Vec<u8>, before in any::<bool>()) {
            if before {
                status.splice(0..0, *b"CapEff:");
            }
            let _ = Capabilities::parse_effective(&status);
        }

        #[test]
        fn every_set_is_read_back(bits: u64) {
            let status = format!("Name:\tx\nCapEff:\t{bits:016x}\n");
            prop_assert_eq!(Capabilities::parse_effective(status.as_bytes()), Some(Capabilities(bits)));
        }
    }
}
