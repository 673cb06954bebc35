//! From a received packet to the advert in it, or the reason to drop it; knows no router.

use std::net::IpAddr;

use crate::sys::socket::Received;
use crate::sys::socket::ipv4::HeaderFault;
use crate::vrrp::{Advert, DropReason, Envelope, Family, Vrid};

/// A packet as far as it could be parsed.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) from: IpAddr,
    /// The VRID it claims, also if it is otherwise wrong; `None` if it is too short for one.
    pub(super) vrid: Option<Vrid>,
    /// TTL or hop limit; 0 if it could not be read.
    pub(super) ttl: u8,
    pub(super) advert: Result<Advert, DropReason>,
}

impl Incoming {
    pub(super) fn parse(received: &Received<'_>) -> Self {
        match received {
            Received::Faulty { from, fault } => {
                Self { from: *from, vrid: None, ttl: 0, advert: Err(drop_reason(*fault)) }
            }
            Received::Datagram(d) => {
                let envelope = Envelope { from: d.from, to: d.to, ttl: d.ttl };
                let (vrid, advert) = (Advert::claimed_vrid(d.payload), Advert::parse(d.payload, envelope));
                Self { from: d.from, vrid, ttl: d.ttl, advert }
            }
        }
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.from)
    }
}

fn drop_reason(fault: HeaderFault) -> DropReason {
    match fault {
        HeaderFault::TooShort => DropReason::Truncated,
        HeaderFault::TooLong => DropReason::TooLong,
        HeaderFault::NotIpv4 | HeaderFault::HeaderLength | HeaderFault::TotalLength => DropReason::IpHeader,
        HeaderFault::Options => DropReason::IpOptions,
        HeaderFault::Fragment => DropReason::Fragment,
    }
}
