//! Raw VRRP sockets of one interface; knows where packets come from and go to, not what they say.

mod inbox;
pub mod ipv4;
mod ipv6;
mod outbox;

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Type};

use super::Error;
pub use inbox::Inbox;
use ipv4::HeaderFault;
pub use outbox::Outbox;

/// VRRP's protocol number in the IP header.
pub const PROTOCOL: u8 = 112;
/// Where IPv4 advertisements go (RFC 9568 §5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where IPv6 advertisements go (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// Octets to receive into: the longest advertisement (255 IPv6 addresses) has 4,088.
pub const BUFFER: usize = 4096;

/// `IPPROTO_RAW`: sends with its own IP header and never receives.
const SEND_ONLY: i32 = 255;
/// Room for the adverts of 255 virtual routers for some seconds while the process is held up. The kernel caps it at
/// `rmem_max` where it may not be forced.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// Internetwork control, DSCP CS6: what routers queue first.
const CONTROL: u8 = 0xc0;
/// RFC 9568 §5.1.1.3 and §5.1.2.3, TTL and hop limit: proves that no router passed the packet on.
const TTL: u8 = 255;

/// A whole, plain packet as it came from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub from: IpAddr,
    /// Of the same family as `from`.
    pub to: IpAddr,
    /// The hop limit, for IPv6.
    pub ttl: u8,
    /// What follows the IP header, to the end of the packet.
    pub payload: &'a [u8],
}

/// A packet for VRRP, or what is wrong with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    Datagram(Datagram<'a>),
    Faulty { from: IpAddr, fault: HeaderFault },
}

/// The two sockets through which one interface speaks VRRP in one address family, with the group or, for
/// unicast, from one address. Any number of virtual routers share them. Neither ever blocks.
///
/// They are bound to the interface itself, not to its name: when it is removed and made anew, open anew.
#[derive(Debug)]
pub struct Socket {
    receive: socket2::Socket,
    send: socket2::Socket,
    v4: bool,
    interface: String,
    id: Cell<NonZeroU16>,
}

impl Socket {
    /// Joins [`GROUP_V4`] on `interface`, whose index is `index`; needs `NET_RAW`.
    pub fn open_v4(interface: &str, index: u32) -> Result<Self, Error> {
        Self::open(interface, GROUP_V4.into(), |socket| {
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
        })
    }

    /// Joins [`GROUP_V6`] on `interface`, whose index is `index`; needs `NET_RAW`, and IPv6 in the kernel
    /// and on the interface, but no address there yet.
    pub fn open_v6(interface: &str, index: u32) -> Result<Self, Error> {
        Self::open(interface, GROUP_V6.into(), |socket| {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&GROUP_V6, index)
        })
    }

    /// Hears what is sent to `source` itself and arrives on `interface`. `source` may be put there later, or
    /// go and come back. Needs `NET_RAW`.
    pub fn open_unicast(interface: &str, source: IpAddr) -> Result<Self, Error> {
        Self::open(interface, source, |socket| match source {
            IpAddr::V4(_) => socket.set_freebind_v4(true),
            IpAddr::V6(_) => socket.set_freebind_v6(true),
        })
    }

    /// Hears what is sent to `at`, once `prepare` made that possible.
    fn open(
        interface: &str,
        at: IpAddr,
        prepare: impl FnOnce(&socket2::Socket) -> io::Result<()>,
    ) -> Result<Self, Error> {
        let v4 = at.is_ipv4();
        let family = if v4 { "IPv4" } else { "IPv6" };
        let on = format_args!("raw VRRP sockets over {family} on {interface}");
        let failed = |doing| Error::doing(doing, on);
        let receiver = || {
            let socket = raw(v4, PROTOCOL.into(), interface)?;
            prepare(&socket)?;
            // Keeps out what goes elsewhere: unicast beside the group, and what others here joined.
            socket.bind(&without_port(at).into())?;
            if !v4 {
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
            send: sender(v4, interface).map_err(failed("open for sending"))?,
            v4,
            interface: interface.to_owned(),
            id: Cell::new(NonZeroU16::MIN),
        })
    }

    /// The next packet in the queue, read into `buffer` (see [`BUFFER`]); `None` when there is none.
    ///
    /// Packets that this socket sent, or any other with `IP_MULTICAST_LOOP` off, do not come back. IPv6
    /// packets come without their header and extension headers, which the kernel has taken off.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Error> {
        let arrival = loop {
            match if self.v4 { self.arrival_v4(buffer) } else { self.arrival_v6(buffer) } {
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

    /// Sends `payload` with TTL or hop limit 255; `from` and `to` are of the family the socket was opened
    /// for, otherwise that is the error. `from` need not be an address of ours. The payload goes as it is,
    /// its checksum too, and with its header it has to fit the interface's MTU. A peer beyond a router is
    /// reached by the interface's routes.
    ///
    /// Of the errors' kinds, `NetworkDown`, `NetworkUnreachable`, `HostUnreachable`, `AddrNotAvailable` (the
    /// interface has no IPv6 address that is ready) and `WouldBlock` pass, with the same socket. A peer that
    /// is not there or does not listen is no error, neither here nor in [`Socket::receive`].
    pub fn send(&self, from: IpAddr, to: IpAddr, payload: &[u8]) -> Result<(), Error> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.send_v4(from, to, payload),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.send_v6(from, to, payload),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(self.not_sent(from, to)(io::ErrorKind::InvalidInput.into()))
            }
        }
    }

    /// As [`Socket::send`]; `payload` has at most 65,515 octets.
    pub fn send_v4(&self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Result<(), Error> {
        let header = self.header_v4(from, to, payload)?;
        self.hand_over(to.into(), &header, payload).map_err(self.not_sent(from.into(), to.into()))
    }

    /// As [`Socket::send`]; `payload` has at most 65,535 octets.
    pub fn send_v6(&self, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Result<(), Error> {
        let header = self.header_v6(from, to, payload)?;
        self.hand_over(to.into(), &header, payload).map_err(self.not_sent(from.into(), to.into()))
    }

    fn header_v4(&self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Result<[u8; ipv4::HEADER], Error> {
        let length = u16::try_from(ipv4::HEADER + payload.len())
            .map_err(|_| self.not_sent(from.into(), to.into())(io::ErrorKind::InvalidInput.into()))?;
        let id = self.id.get();
        // Zero would have the kernel choose.
        self.id.set(id.checked_add(1).unwrap_or(NonZeroU16::MIN));
        Ok(ipv4::header(id.get(), from, to, length))
    }

    fn header_v6(&self, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Result<[u8; ipv6::HEADER], Error> {
        let length = u16::try_from(payload.len())
            .map_err(|_| self.not_sent(from.into(), to.into())(io::ErrorKind::InvalidInput.into()))?;
        Ok(ipv6::header(from, to, length))
    }

    fn hand_over(&self, to: IpAddr, header: &[u8], payload: &[u8]) -> io::Result<()> {
        let packet = [IoSlice::new(header), IoSlice::new(payload)];
        self.send.send_to_vectored(&packet, &without_port(to).into())?;
        Ok(())
    }

    fn not_sent(&self, from: IpAddr, to: IpAddr) -> impl FnOnce(io::Error) -> Error {
        move |e| Error::doing("send VRRP", format_args!("from {from} to {to} on {}", self.interface))(e)
    }
}

/// Readable when there is something to [`Socket::receive`].
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

/// What the kernel says of a packet that it put into the buffer.
struct Arrival {
    from: IpAddr,
    /// `None`: it and the TTL are in the header, which was left on.
    to: Option<IpAddr>,
    ttl: u8,
    length: usize,
    /// The packet went on behind the end of the buffer.
    truncated: bool,
}

impl Arrival {
    fn packet(self, buffer: &[u8]) -> Received<'_> {
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

/// Bound to its interface a socket needs neither `IP_MULTICAST_IF` nor a route to the group.
fn sender(v4: bool, interface: &str) -> io::Result<socket2::Socket> {
    let socket = raw(v4, SEND_ONLY, interface)?;
    if v4 {
        socket.set_header_included_v4(true)?;
        socket.set_multicast_loop_v4(false)?;
    } else {
        socket.set_header_included_v6(true)?;
        socket.set_multicast_loop_v6(false)?;
    }
    Ok(socket)
}

fn raw(v4: bool, protocol: i32, interface: &str) -> io::Result<socket2::Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let domain = if v4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = socket2::Socket::new(domain, kind, Some(Protocol::from(protocol)))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}

/// Without a scope either: the interface is settled by the socket.
fn without_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}
