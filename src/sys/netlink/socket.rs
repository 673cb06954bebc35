//! A netlink socket itself: opens it and receives datagrams of the kernel. Does not read their content.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, socket,
};

use crate::sys::Error;

/// The kernel fills the datagrams of a dump up to 32 KiB if the receive buffer is that large.
const BUFFER: usize = 32 * 1024;

pub(in crate::sys) fn open(protocol: SockProtocol, flags: SockFlag, groups: u32) -> Result<OwnedFd, Error> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
        .map_err(Error::doing("open", "a netlink socket"))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
        .map_err(Error::doing("bind", "the netlink socket"))?;
    Ok(socket)
}

pub(in crate::sys) fn buffer() -> Box<[u8]> {
    vec![0; BUFFER].into_boxed_slice()
}

/// Receives the next datagram of the kernel. Any process can send to a netlink socket; other senders are ignored.
///
/// # Errors
/// `EMSGSIZE` if the datagram was longer than the buffer.
pub(in crate::sys) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut slices, None, MsgFlags::empty()) {
            // With a receive timeout, the kernel does not restart the call after a signal, SA_RESTART or not.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(datagram) if datagram.address.is_none_or(|from| from.pid() != 0) => {}
            Ok(datagram) if datagram.flags.contains(MsgFlags::MSG_TRUNC) => {
                return Err(Errno::EMSGSIZE.into());
            }
            Ok(datagram) => return Ok(datagram.bytes),
        }
    }
}

/// Whether it is one of `any`.
pub(super) fn is(error: &io::Error, any: &[Errno]) -> bool {
    any.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}
