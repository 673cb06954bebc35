//! Raw VRRP sockets of one interface; knows where packets come from and go to, not what they say.

pub mod ipv4;

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrIn, recvmsg};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Type};

use super::Error;
use ipv4::{Datagram, HeaderFault};

/// VRRP's protocol number in the IP header.
pub const PROTOCOL: u8 = 112;
/// Where IPv4 advertisements go (RFC 9568 §5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Octets to receive into: the longest IPv4 advertisement (255 addresses, authentication) has 1,056.
pub const BUFFER: usize = 2048;

/// `IPPROTO_RAW`: sends with its own IP header and never receives.
const SEND_ONLY: i32 = 255;
/// Room for some hundred advertisements while the process is held up; the kernel caps it at `rmem_max`.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// A packet for VRRP, or what is wrong with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    Datagram(Datagram<'a>),
    Faulty { from: Ipv4Addr, fault: HeaderFault },
}

/// The two sockets through which one interface speaks VRRP over IPv4. Neither ever blocks.
///
/// They are bound to the interface itself, not to its name: when it is removed and made anew, open anew.
#[derive(Debug)]
pub struct Socket {
    receive: socket2::Socket,
    send: socket2::Socket,
    interface: String,
    id: Cell<NonZeroU16>,
}

impl Socket {
    /// Joins [`GROUP_V4`] on `interface`, whose index is `index`; needs `NET_RAW`.
    pub fn open_v4(interface: &str, index: u32) -> Result<Self, Error> {
        let failed = |doing| Error::doing(doing, format!("raw VRRP sockets on {interface}"));
        Ok(Self {
            receive: receive_v4(interface, index).map_err(failed("open for receiving"))?,
            send: send_v4(interface).map_err(failed("open for sending"))?,
            interface: interface.to_owned(),
            id: Cell::new(NonZeroU16::MIN),
        })
    }

    /// The next packet in the queue, read into `buffer` (see [`BUFFER`]); `None` when there is none.
    ///
    /// Packets that this socket sent, or any other with `IP_MULTICAST_LOOP` off, do not come back.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Error> {
        let (from, length, truncated) = loop {
            let mut slices = [IoSliceMut::new(buffer)];
            match recvmsg::<SockaddrIn>(self.receive.as_raw_fd(), &mut slices, None, MsgFlags::empty()) {
                Ok(packet) => {
                    let from = packet.address.map_or(Ipv4Addr::UNSPECIFIED, |from| from.ip());
                    break (from, packet.bytes, packet.flags.contains(MsgFlags::MSG_TRUNC));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(Error::doing("receive VRRP on", &self.interface)(errno)),
            }
        };
        Ok(Some(match ipv4::parse(&buffer[..length], truncated) {
            Ok(datagram) => Received::Datagram(datagram),
            Err(fault) => Received::Faulty { from, fault },
        }))
    }

    /// Sends `payload`, at most 65,515 octets, with TTL 255. `from` need not be an address of ours.
    pub fn send_v4(&self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Result<(), Error> {
        let failed = || Error::doing("send VRRP", format!("from {from} to {to} on {}", self.interface));
        let length = u16::try_from(ipv4::HEADER + payload.len())
            .map_err(|_| failed()(io::Error::from(io::ErrorKind::InvalidInput)))?;
        let header = ipv4::header(self.id.get().get(), from, to, length);
        // Zero would have the kernel choose.
        self.id.set(self.id.get().checked_add(1).unwrap_or(NonZeroU16::MIN));
        let packet = [IoSlice::new(&header), IoSlice::new(payload)];
        self.send.send_to_vectored(&packet, &SocketAddrV4::new(to, 0).into()).map_err(failed())?;
        Ok(())
    }
}

/// Readable when there is something to [`Socket::receive`].
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

fn receive_v4(interface: &str, index: u32) -> io::Result<socket2::Socket> {
    let socket = raw_v4(PROTOCOL.into(), interface)?;
    // Keeps unicast out and, together with the next, what others on this machine joined.
    socket.bind(&SocketAddrV4::new(GROUP_V4, 0).into())?;
    socket.set_multicast_all_v4(false)?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

/// Bound to its interface a socket needs neither `IP_MULTICAST_IF` nor a route to the group.
fn send_v4(interface: &str) -> io::Result<socket2::Socket> {
    let socket = raw_v4(SEND_ONLY, interface)?;
    socket.set_header_included_v4(true)?;
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

fn raw_v4(protocol: i32, interface: &str) -> io::Result<socket2::Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::IPV4, kind, Some(Protocol::from(protocol)))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}
