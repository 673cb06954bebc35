//! The sockets of one interface and address family: sends and receives one packet at a time.

use std::cell::{Cell, OnceCell};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Type};

use super::datagram::Datagram;
use super::ipv4::{self, HeaderFault};
use super::ipv6;
use crate::sys::Error;
use crate::vrrp::{Family, GROUP_V4, GROUP_V6, PROTOCOL};

/// The size of a receive buffer in octets: the longest advertisement (255 IPv6 addresses) has 4,088.
pub const BUFFER: usize = 4096;

/// `IPPROTO_RAW`: a socket that sends packets with their own IP header and never receives.
const SEND_ONLY: i32 = 255;
/// Enough for the adverts of 255 virtual routers during some seconds in which the process does not run. The kernel limits
/// it to `rmem_max` unless we may force it.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// How a socket that is bound to no interface names it.
pub const ANY_INTERFACE: &str = "any interface";

/// A received VRRP packet, or the fault in its IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    Datagram(Datagram<'a>),
    Faulty { from: IpAddr, fault: HeaderFault },
}

/// A receiving and a sending socket for VRRP on one interface in one address family, either for the multicast group or
/// for one unicast source address. Any number of virtual routers can share them. Neither ever blocks.
///
/// They are bound to the interface itself, not to its name: if the interface is removed and created again, open new
/// ones. Unicast sockets may be bound to none.
#[derive(Debug)]
pub struct Socket {
    pub(super) receive: socket2::Socket,
    pub(super) send: socket2::Socket,
    pub(super) family: Family,
    pub(super) interface: String,
    /// Opened for the first packet that is longer than the MTU.
    pub(super) fragmenting: OnceCell<socket2::Socket>,
    id: Cell<NonZeroU16>,
}

impl Socket {
    /// Joins [`GROUP_V4`] on `interface`, which has the index `index`. Needs `NET_RAW`.
    pub fn open_v4(interface: &str, index: u32) -> Result<Self, Error> {
        Self::open(Some(interface), GROUP_V4.into(), |socket| {
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
        })
    }

    /// Joins [`GROUP_V6`] on `interface`, which has the index `index`. Needs `NET_RAW`, and IPv6 in the kernel and on the
    /// interface, but the interface needs no address yet.
    pub fn open_v6(interface: &str, index: u32) -> Result<Self, Error> {
        Self::open(Some(interface), GROUP_V6.into(), |socket| {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&GROUP_V6, index)
        })
    }

    /// Joins the group of `family` on `interface`, which has the index `index`, and receives also what arrives there for any
    /// address of this host. Needs `NET_RAW`, and for IPv6 what [`Socket::open_v6`] needs.
    pub fn open_for_all(interface: &str, index: u32, family: Family) -> Result<Self, Error> {
        match family {
            Family::V4 => Self::open(Some(interface), Ipv4Addr::UNSPECIFIED.into(), |socket| {
                socket.set_multicast_all_v4(false)?;
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
            }),
            Family::V6 => Self::open(Some(interface), Ipv6Addr::UNSPECIFIED.into(), |socket| {
                socket.set_multicast_all_v6(false)?;
                socket.join_multicast_v6(&GROUP_V6, index)
            }),
        }
    }

    /// Receives packets to `source` that arrive on `interface`; with `None` it receives on every interface and sends as
    /// the routes lead. The address may be added later, or removed and added again. Needs `NET_RAW`.
    pub fn open_unicast(interface: Option<&str>, source: IpAddr) -> Result<Self, Error> {
        Self::open(interface, source, |socket| match source {
            IpAddr::V4(_) => socket.set_freebind_v4(true),
            IpAddr::V6(_) => socket.set_freebind_v6(true),
        })
    }

    /// Receives packets to `to`. `prepare` sets the options that this destination needs.
    fn open(
        interface: Option<&str>,
        to: IpAddr,
        prepare: impl FnOnce(&socket2::Socket) -> io::Result<()>,
    ) -> Result<Self, Error> {
        let family = Family::of(to);
        let name = interface.unwrap_or(ANY_INTERFACE);
        let on = format_args!("raw VRRP sockets over {family} on {name}");
        let failed = |doing| Error::doing(doing, on);
        let receiver = || {
            let socket = raw(family, PROTOCOL.into(), interface)?;
            prepare(&socket)?;
            // Otherwise it would also receive unicast, and groups that other processes on this host joined.
            socket.bind(&without_port(to).into())?;
            if family == Family::V6 {
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            Ok::<_, io::Error>(socket)
        };
        Ok(Self {
            receive: receiver().map_err(failed("open for receiving"))?,
            send: sender(family, interface).map_err(failed("open for sending"))?,
            family,
            interface: name.to_owned(),
            fragmenting: OnceCell::new(),
            id: Cell::new(NonZeroU16::MIN),
        })
    }

    /// Reads the next packet in the queue into `buffer` (see [`BUFFER`]). `None` if the queue is empty.
    ///
    /// Packets sent by this socket, or by any other with `IP_MULTICAST_LOOP` off, do not come back. The kernel removes
    /// the header and the extension headers of IPv6 packets.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Error> {
        let arrival = loop {
            let arrival = match self.family {
                Family::V4 => self.arrival_v4(buffer),
                Family::V6 => self.arrival_v6(buffer),
            };
            match arrival {
                Ok(arrival) => break arrival,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(Error::doing("receive VRRP on", &self.interface)(errno)),
            }
        };
        Ok(Some(arrival.packet(buffer)))
    }

    fn arrival_v4(&self, buffer: &mut [u8]) -> nix::Result<Arrival> {
        let mut slices = [IoSliceMut::new(buffer)];
        let packet = recvmsg::<SockaddrIn>(self.receive.as_raw_fd(), &mut slices, None, MsgFlags::empty())?;
        let from = packet.address.map_or(Ipv4Addr::UNSPECIFIED, |from| from.ip()).into();
        let truncated = packet.flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Arrival { from, to: None, ttl: 0, length: packet.bytes, truncated })
    }

    fn arrival_v6(&self, buffer: &mut [u8]) -> nix::Result<Arrival> {
        let (mut slices, mut control) = ([IoSliceMut::new(buffer)], ipv6::control());
        let (receive, control) = (self.receive.as_raw_fd(), Some(&mut control[..]));
        let packet = recvmsg::<SockaddrIn6>(receive, &mut slices, control, MsgFlags::empty())?;
        let (to, ttl) = ipv6::destination(packet.cmsgs()?);
        let from = packet.address.map_or(Ipv6Addr::UNSPECIFIED, |from| from.ip()).into();
        let truncated = packet.flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Arrival { from, to: Some(to.into()), ttl, length: packet.bytes, truncated })
    }

    /// Sends `payload` with a TTL or hop limit of 255. `from` need not be an address of this host. The payload, with its
    /// checksum, is sent unchanged; if it does not fit the MTU, in fragments. The interface's routes lead to a peer behind
    /// a router.
    ///
    /// # Errors
    /// `from` or `to` is not of the family that the socket was opened for, or the kernel refuses. `NetworkDown`,
    /// `NetworkUnreachable`, `HostUnreachable`, `AddrNotAvailable` (the interface has no IPv6 address that is ready) and
    /// `WouldBlock` are temporary: the same socket can send again later. A peer that is down or does not listen is not
    /// an error, neither here nor in [`Socket::receive`].
    pub fn send(&self, from: IpAddr, to: IpAddr, payload: &[u8]) -> Result<(), Error> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.send_v4(from, to, payload),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.send_v6(from, to, payload),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(self.not_sent(from, to)(io::ErrorKind::InvalidInput.into()))
            }
        }
    }

    /// Like [`Socket::send`]; `payload` has at most 65,515 octets.
    pub fn send_v4(&self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Result<(), Error> {
        let header = self.header_v4(from, to, payload)?;
        self.transmit((from.into(), to.into()), &header, payload)
    }

    /// Like [`Socket::send`]; `payload` has at most 65,535 octets.
    pub fn send_v6(&self, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Result<(), Error> {
        let header = self.header_v6(from, to, payload)?;
        self.transmit((from.into(), to.into()), &header, payload)
    }

    pub(super) fn header_v4(
        &self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Result<[u8; ipv4::HEADER], Error> {
        let length = u16::try_from(ipv4::HEADER + payload.len())
            .map_err(|_| self.not_sent(from.into(), to.into())(io::ErrorKind::InvalidInput.into()))?;
        let id = self.id.get();
        // With zero the kernel would choose one.
        self.id.set(id.checked_add(1).unwrap_or(NonZeroU16::MIN));
        Ok(ipv4::header(id.get(), from, to, length))
    }

    pub(super) fn header_v6(
        &self,
        from: Ipv6Addr,
        to: Ipv6Addr,
        payload: &[u8],
    ) -> Result<[u8; ipv6::HEADER], Error> {
        let length = u16::try_from(payload.len())
            .map_err(|_| self.not_sent(from.into(), to.into())(io::ErrorKind::InvalidInput.into()))?;
        Ok(ipv6::header(from, to, length))
    }

    fn transmit(&self, (from, to): (IpAddr, IpAddr), header: &[u8], payload: &[u8]) -> Result<(), Error> {
        let packet = [IoSlice::new(header), IoSlice::new(payload)];
        let sent = self.send.send_to_vectored(&packet, &without_port(to).into());
        self.or_in_fragments(sent, (from, to), payload).map_err(self.not_sent(from, to))
    }

    pub(super) fn not_sent(&self, from: IpAddr, to: IpAddr) -> impl FnOnce(io::Error) -> Error {
        move |e| Error::doing("send VRRP", format_args!("from {from} to {to} on {}", self.interface))(e)
    }
}

/// Readable while [`Socket::receive`] has a packet.
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

/// The kernel's description of a packet in the buffer.
pub(super) struct Arrival {
    pub(super) from: IpAddr,
    /// `None`: this and the TTL are in the IPv4 header, which is in the buffer.
    pub(super) to: Option<IpAddr>,
    pub(super) ttl: u8,
    pub(super) length: usize,
    /// The packet was longer than the buffer.
    pub(super) truncated: bool,
}

impl Arrival {
    pub(super) fn packet(self, buffer: &[u8]) -> Received<'_> {
        let Self { from, to, ttl, length, truncated } = self;
        let octets = &buffer[..length];
        let packet = match to {
            None => ipv4::parse(octets, truncated),
            Some(_) if truncated => Err(HeaderFault::TooLong),
            Some(to) => Ok(Datagram { from, to, ttl, payload: octets }),
        };
        packet.map_or_else(|fault| Received::Faulty { from, fault }, Received::Datagram)
    }
}

/// A socket bound to its interface needs neither `IP_MULTICAST_IF` nor a route to the group; one for unicast may be bound
/// to none.
fn sender(family: Family, interface: Option<&str>) -> io::Result<socket2::Socket> {
    let socket = raw(family, SEND_ONLY, interface)?;
    match family {
        Family::V4 => {
            socket.set_header_included_v4(true)?;
            socket.set_multicast_loop_v4(false)?;
        }
        Family::V6 => {
            socket.set_header_included_v6(true)?;
            socket.set_multicast_loop_v6(false)?;
        }
    }
    Ok(socket)
}

fn raw(family: Family, protocol: i32, interface: Option<&str>) -> io::Result<socket2::Socket> {
    open(family, protocol, interface.map(str::as_bytes))
}

pub(super) fn open(family: Family, protocol: i32, device: Option<&[u8]>) -> io::Result<socket2::Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    let socket = socket2::Socket::new(domain, kind, Some(Protocol::from(protocol)))?;
    if device.is_some() {
        socket.bind_device(device)?;
    }
    Ok(socket)
}

/// Without a scope: the socket is bound to its interface.
pub(super) fn without_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}
