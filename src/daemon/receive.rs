//! From a packet to the router it is for; decides nothing about it.

use super::Daemon;
use super::router::Router;
use crate::ids::PortId;
use crate::sys::socket::Received;
use crate::sys::socket::ipv4::HeaderFault;
use crate::vrrp::{Advert, DropReason, Envelope, Event, Family};

/// Packets taken from one port before timers are looked at again: a flood may not delay an advert.
const PACKETS: usize = 64;
/// More than a port's queue holds.
const WAITING: usize = 4096;

impl Daemon {
    pub(super) fn packets(&mut self, port: PortId) {
        self.take_packets(port, PACKETS);
    }

    /// After the process was held up: a master whose adverts wait to be read did not fall silent.
    pub(super) fn catch_up(&mut self) {
        for port in self.kernel.ports.iter().map(|port| port.id).collect::<Vec<_>>() {
            self.take_packets(port, WAITING);
        }
    }

    fn take_packets(&mut self, port: PortId, most: usize) {
        let Some(port) = self.kernel.ports.iter().position(|open| open.id == port) else { return };
        let mut inbox = self.inbox.take().unwrap_or_default();
        let mut count = 0;
        while count < most {
            match self.kernel.ports[port].socket.receive_all(&mut inbox) {
                Ok((received, more)) => {
                    count += received.len();
                    for received in received {
                        self.packet(port, &received);
                    }
                    if !more {
                        break;
                    }
                }
                Err(e) => {
                    // The link went; its notice follows.
                    log::debug!(event = "receive_failed"; "{e}");
                    break;
                }
            }
        }
        self.inbox = Some(inbox);
    }

    fn packet(&mut self, port: usize, received: &Received<'_>) {
        let (from, vrid, advert) = match received {
            Received::Faulty { from, fault } => (*from, None, Err(header_fault(*fault))),
            Received::Datagram(d) => {
                let envelope = Envelope { from: d.from, to: d.to, ttl: d.ttl };
                (envelope.from, Advert::claimed_vrid(d.payload), Advert::parse(d.payload, envelope))
            }
        };
        let port = &mut self.kernel.ports[port];
        let family = Family::of(from);
        let holder = vrid.and_then(|vrid| self.seats.holder((port.index, family, vrid)));
        let here = |r: &Router| r.place.as_ref().is_some_and(|p| port.is(p.index, r.channel(p.source)));
        match (holder.filter(|id| here(&self.routers[*id])), advert) {
            (Some(id), Ok(advert)) => {
                self.routers[id].received(&advert);
                self.dispatch(id, Event::Advert { from, advert: &advert });
            }
            (Some(id), Err(reason)) => {
                let now = self.poller.now();
                self.routers[id].dropped(now, from, reason, None);
            }
            (None, advert) => {
                port.drops.count(advert.err().unwrap_or(DropReason::Vrid));
            }
        }
    }
}

fn header_fault(fault: HeaderFault) -> DropReason {
    match fault {
        HeaderFault::TooShort => DropReason::Truncated,
        HeaderFault::TooLong => DropReason::TooLong,
        HeaderFault::NotIpv4 | HeaderFault::HeaderLength | HeaderFault::TotalLength => DropReason::IpHeader,
        HeaderFault::Options => DropReason::IpOptions,
        HeaderFault::Fragment => DropReason::Fragment,
    }
}
