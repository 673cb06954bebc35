//! Membership in the VRRP group: whether the kernel still has it on an interface, and joining again. Does not decide when.
//!
//! The kernel forgets the groups of an interface with the interface's state of that family: for IPv6 when the MTU is below
//! 1280 for a moment, for IPv4 below 68. The socket still counts as a member then, and no error is reported.

use std::net::Ipv4Addr;
use std::{fs, io};

use nix::errno::Errno;
use socket2::InterfaceIndexOrAddress;

use super::raw::Socket;
use crate::sys::Error;
use crate::vrrp::{Family, GROUP_V4, GROUP_V6};

/// The indexes of the interfaces on which the calling thread's network namespace receives the VRRP group.
///
/// # Errors
/// `/proc` cannot be read, or the kernel does not have the family.
pub fn joined(family: Family) -> io::Result<Vec<u32>> {
    match family {
        Family::V4 => fs::read_to_string("/proc/thread-self/net/igmp").map(|table| joined_v4(&table)),
        Family::V6 => fs::read_to_string("/proc/thread-self/net/igmp6").map(|table| joined_v6(&table)),
    }
}

impl Socket {
    /// Joins the group on the interface with this index again.
    ///
    /// # Errors
    /// The kernel refused. `NotFound`: the interface does not have the family at present.
    pub fn rejoin(&self, index: u32) -> Result<(), Error> {
        let at = InterfaceIndexOrAddress::Index(index);
        let (group, joined) = match self.family {
            Family::V4 => {
                // It may have been lost altogether.
                let _ = self.receive.leave_multicast_v4_n(&GROUP_V4, &at);
                (GROUP_V4.to_string(), self.receive.join_multicast_v4_n(&GROUP_V4, &at))
            }
            Family::V6 => {
                let _ = self.receive.leave_multicast_v6(&GROUP_V6, index);
                (GROUP_V6.to_string(), self.receive.join_multicast_v6(&GROUP_V6, index))
            }
        };
        let absent = |e: io::Error| {
            let absent =
                [Errno::EINVAL, Errno::ENODEV].iter().any(|errno| e.raw_os_error() == Some(*errno as i32));
            if absent { io::ErrorKind::NotFound.into() } else { e }
        };
        joined.map_err(absent).map_err(Error::doing("join", format_args!("{group} on {}", self.interface)))
    }
}

/// Reads a line `index device : count querier` for each interface, and below it lines `group users timer reporter`, which
/// begin with blanks. A group is its number in hex, in the byte order of the machine.
fn joined_v4(table: &str) -> Vec<u32> {
    let (mut index, mut found) = (None::<u32>, vec![]);
    for line in table.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if !line.starts_with(char::is_whitespace) {
            index = word.parse().ok();
        } else if let Ok(group) = u32::from_str_radix(word, 16)
            && Ipv4Addr::from(group.to_ne_bytes()) == GROUP_V4
        {
            found.extend(index);
        }
    }
    found
}

/// Reads lines `index device group users flags timer`. A group is 32 hex digits.
fn joined_v6(table: &str) -> Vec<u32> {
    let group = |line: &str| {
        let mut words = line.split_whitespace();
        let (index, group) = (words.next()?.parse().ok()?, words.nth(1)?);
        (u128::from_str_radix(group, 16) == Ok(GROUP_V6.to_bits())).then_some(index)
    };
    table.lines().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_interfaces_of_the_ipv4_group_are_found() {
        let table = "\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\tenp0s3    :     2      V3
\t\t\t\t120000E0     1 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
7\teth1      :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
\t\t\t\t120000E0     3 0:00000000\t\t0
";
        assert_eq!(joined_v4(table), [2, 7]);
    }

    #[test]
    fn the_interfaces_of_the_ipv6_group_are_found() {
        let table = "\
1    lo              ff020000000000000000000000000001     1 0000000C 0
2    enp0s3          ff020000000000000000000000000012     1 00000004 0
2    enp0s3          ff020000000000000000000000000001     1 0000000C 0
7    eth1            ff020000000000000000000000000012     1 00000004 0
";
        assert_eq!(joined_v6(table), [2, 7]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            joined_v4(&text);
            joined_v6(&text);
        }
    }
}
