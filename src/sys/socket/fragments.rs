//! Sends a packet that is longer than the link's MTU: the kernel builds its header and fragments it, which it does not do
//! for a header of ours.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};
use socket2::{SockFilter, SockRef};
use std::net::{SocketAddrV4, SocketAddrV6};

use super::datagram::CONTROL;
use super::raw::{Socket, open};
use crate::vrrp::{Family, PROTOCOL, TTL};

/// The `BPF_RET` of a filter, which returns how many octets to keep.
const RETURN: u16 = 0x06;

impl Socket {
    /// Sends `payload` in fragments if `result` shows that it is too long to be sent whole.
    pub(super) fn or_in_fragments(
        &self,
        result: io::Result<usize>,
        (from, to): (IpAddr, IpAddr),
        payload: &[u8],
    ) -> io::Result<()> {
        match result {
            Err(e) if e.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                self.send_in_fragments(from, to, payload)
            }
            result => result.map(drop),
        }
    }

    fn send_in_fragments(&self, from: IpAddr, to: IpAddr, payload: &[u8]) -> io::Result<()> {
        let socket = if let Some(socket) = self.fragmenting.get() {
            socket
        } else {
            let device = self.send.device()?;
            let socket = fragmenting(self.family, device.as_deref())?;
            self.fragmenting.get_or_init(|| socket)
        };
        let (fd, slices, flags) = (socket.as_raw_fd(), [IoSlice::new(payload)], MsgFlags::empty());
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let address = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let source = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: address };
                let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
                sendmsg(fd, &slices, &[ControlMessage::Ipv4PacketInfo(&source)], flags, Some(&to))?;
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let source = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 };
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
                sendmsg(fd, &slices, &[ControlMessage::Ipv6PacketInfo(&source)], flags, Some(&to))?;
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        Ok(())
    }
}

fn fragmenting(family: Family, device: Option<&[u8]>) -> io::Result<socket2::Socket> {
    let socket = open(family, PROTOCOL.into(), device)?;
    // It would receive as well.
    SockRef::from(&socket).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
    match family {
        Family::V4 => {
            socket.set_ttl_v4(TTL.into())?;
            socket.set_multicast_ttl_v4(TTL.into())?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_tos_v4(CONTROL.into())?;
        }
        Family::V6 => {
            socket.set_unicast_hops_v6(TTL.into())?;
            socket.set_multicast_hops_v6(TTL.into())?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_tclass_v6(CONTROL.into())?;
        }
    }
    Ok(socket)
}
