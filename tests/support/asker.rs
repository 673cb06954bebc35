//! A host that asks for the hardware address of an address, by ARP and neighbor solicitations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::frame::{Wire, ethernet, ip, with_pseudo_header};
use super::lab::Host;
use super::millis;

/// Asks who has an address, as other hosts do.
pub(crate) struct Asker {
    wire: Wire,
    own: Ipv4Addr,
}

impl Asker {
    pub(crate) fn new(host: &Host) -> Self {
        Self { wire: Wire::open(host, &host.interface), own: host.address }
    }

    /// A broadcast. Another destination in the first six octets makes it a question to one host.
    pub(crate) fn question(&self, of: IpAddr) -> Vec<u8> {
        let own = self.wire.mac;
        match of {
            IpAddr::V4(v4) => {
                let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
                arp.extend(own);
                arp.extend(self.own.octets());
                arp.extend([0; 6]);
                arp.extend(v4.octets());
                ethernet([0xff; 6], own, 0x0806, &arp)
            }
            IpAddr::V6(v6) => {
                let low = &v6.octets()[13..];
                let group = Ipv6Addr::new(
                    0xff02,
                    0,
                    0,
                    0,
                    0,
                    1,
                    0xff00 | u16::from(low[0]),
                    u16::from_be_bytes([low[1], low[2]]),
                );
                let ends =
                    (IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x250)), IpAddr::from(group));
                let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
                message.extend(v6.octets());
                message.extend([1, 1]);
                message.extend(own);
                let sum = with_pseudo_header(ends, 58, &message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                ip(([0x33, 0x33, 0xff, low[0], low[1], low[2]], own), ends, 255, 58, &message)
            }
        }
    }

    /// An ARP reply or a neighbor advertisement to us: a gratuitous one is no answer.
    fn is_answer(&self, frame: &[u8], of: IpAddr) -> bool {
        if frame[..6] != self.wire.mac {
            return false;
        }
        match of {
            IpAddr::V4(v4) => {
                frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == v4.octets()
            }
            IpAddr::V6(v6) => {
                frame[12..14] == [0x86, 0xdd]
                    && frame[20] == 58
                    && frame[54] == 136
                    && frame[62..78] == v6.octets()
            }
        }
    }

    /// Whether a host answers within `time`.
    pub(crate) fn is_answered(&self, of: impl Into<IpAddr>, time: Duration) -> bool {
        let of = of.into();
        self.wire.request(&self.question(of), time, |frame| self.is_answer(frame, of)).is_some()
    }

    /// Asks all the time until then; the time of the last answer.
    pub(crate) fn last_answer(&self, question: &[u8], of: IpAddr, until: Instant) -> Option<Instant> {
        let mut last = None;
        while Instant::now() < until {
            if self.wire.request(question, millis(1), |frame| self.is_answer(frame, of)).is_some() {
                last = Some(Instant::now());
            }
        }
        last
    }
}
