//! The owner of a watched descriptor, in the form that epoll stores. Opens and watches nothing.

use crate::ids::{CheckId, LifelineId, PortId};
use crate::sys::poller;

/// The owner of a ready descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The signal pipe.
    Signals,
    /// The netlink socket with notifications about links and addresses.
    Netlink,
    /// The notifications about changes of nf_tables by other programs.
    GuardMonitor,
    /// A VRRP socket.
    Port(PortId),
    /// A socket for the claims of virtual addresses, by the number of those opened before it.
    Claims(u32),
    /// A lifeline.
    Lifeline(LifelineId),
    /// A listening socket for lifelines, by the number of those opened before it.
    LifelineListener(u32),
    /// A listening socket of the status server, by its index.
    Listener(u32),
    /// A connection to the status server, by the count of connections accepted before it.
    Connection(u32),
    /// The end of a process that a scan found, by its pid.
    Process(u32),
    /// Names of processes that were read.
    Identities,
    /// Notices about the folder of the drain file.
    DrainFile,
    /// Changes of the file of variables.
    EnvFile,
    /// A request to a receiver of NOTIFY_URL, by the number of those known before it.
    Receiver(u32),
    /// A probe of a check, by its index.
    Probe(CheckId, u32),
}

/// The daemon's set of watched descriptors.
pub(crate) type Poller = poller::Poller<Token>;

/// epoll carries 64 bits: the kind in the highest 16, the check in the next 16, the number in the lowest 32.
impl poller::Token for Token {
    fn pack(self) -> u64 {
        let (kind, check, number) = match self {
            Self::Signals => (0, CheckId(0), 0),
            Self::Netlink => (1, CheckId(0), 0),
            Self::GuardMonitor => (11, CheckId(0), 0),
            Self::Port(PortId(number)) => (2, CheckId(0), number),
            Self::Claims(number) => (8, CheckId(0), number),
            Self::Lifeline(LifelineId(number)) => (9, CheckId(0), number),
            Self::LifelineListener(number) => (10, CheckId(0), number),
            Self::Listener(number) => (3, CheckId(0), number),
            Self::Connection(number) => (4, CheckId(0), number),
            Self::Process(pid) => (5, CheckId(0), pid),
            Self::Probe(check, number) => (6, check, number),
            Self::Identities => (7, CheckId(0), 0),
            Self::DrainFile => (12, CheckId(0), 0),
            Self::EnvFile => (13, CheckId(0), 0),
            Self::Receiver(number) => (14, CheckId(0), number),
        };
        kind << 48 | u64::from(check.0) << 32 | u64::from(number)
    }

    fn unpack(raw: u64) -> Option<Self> {
        let [k1, k2, c1, c2, n1, n2, n3, n4] = raw.to_be_bytes();
        let check = CheckId(u16::from_be_bytes([c1, c2]));
        let number = u32::from_be_bytes([n1, n2, n3, n4]);
        Some(match u16::from_be_bytes([k1, k2]) {
            0 => Self::Signals,
            1 => Self::Netlink,
            2 => Self::Port(PortId(number)),
            3 => Self::Listener(number),
            4 => Self::Connection(number),
            5 => Self::Process(number),
            6 => Self::Probe(check, number),
            7 => Self::Identities,
            8 => Self::Claims(number),
            9 => Self::Lifeline(LifelineId(number)),
            10 => Self::LifelineListener(number),
            11 => Self::GuardMonitor,
            12 => Self::DrainFile,
            13 => Self::EnvFile,
            14 => Self::Receiver(number),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poller::Token as _;

    #[test]
    fn every_token_is_unpacked_as_it_was_packed() {
        for token in [
            Token::Signals,
            Token::Netlink,
            Token::GuardMonitor,
            Token::Port(PortId(u32::MAX)),
            Token::Claims(3),
            Token::Lifeline(LifelineId(u32::MAX)),
            Token::LifelineListener(4),
            Token::Listener(2),
            Token::Connection(u32::MAX),
            Token::Process(4_194_304),
            Token::Probe(CheckId(u16::MAX), 7),
            Token::Identities,
            Token::DrainFile,
            Token::EnvFile,
            Token::Receiver(5),
            Token::Probe(CheckId(1), 7),
        ] {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
