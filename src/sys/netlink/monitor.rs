//! The kernel's notifications about links and addresses, without those about renewed leases. Does not act on them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use nix::errno::Errno;
use nix::sys::socket::{SockFlag, SockProtocol, setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

use super::message::{RTM_NEWADDR, Reply, messages};
use super::model::{Change, MARK};
use super::socket::{buffer, is, open, receive};
use crate::sys::Error;

/// The receive queue in octets. If it overflows, everything has to be listed again.
const QUEUE: usize = 1024 * 1024;

// linux/rtnetlink.h: the groups' bits in `nl_groups`.
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// A socket that receives notifications about links and addresses of both families, except about new or renewed addresses
/// with [`MARK`] (since Linux 5.18). Never blocks.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

impl Monitor {
    /// Subscribes. Needs no capability. Open it before the first listing, or a change between the two is missed.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn open() -> Result<Self, Error> {
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        let socket = open(SockProtocol::NetlinkRoute, SockFlag::SOCK_NONBLOCK, groups)?;
        // Both only save work, so errors do not matter.
        let _ = SockRef::from(&socket).attach_filter(&unmarked());
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &QUEUE);
        Ok(Self { socket, buffer: buffer() })
    }

    /// All notifications since the last call, in order.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn read(&mut self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        loop {
            match receive(self.socket.as_fd(), &mut self.buffer) {
                Ok(length) => changes.extend(changes_in(&self.buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
                Err(error) if is(&error, &[Errno::ENOBUFS, Errno::EMSGSIZE]) => changes.push(Change::Overrun),
                Err(error) => {
                    return Err(
                        Error::doing("read", "the kernel's notifications about links and addresses")(error),
                    );
                }
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A BPF program that passes everything except RTM_NEWADDR with [`MARK`]. A thousand routers renew a thousand leases every
/// second, and without the filter each renewal would wake the process. It examines the first message of a datagram.
fn unmarked() -> [SockFilter; 11] {
    const KIND: u32 = 4;
    const ATTRIBUTES: u32 = 16 + 8;
    const IFA_PROTO: u32 = 11;
    const VALUE: u32 = 4;
    // SKF_AD_OFF + SKF_AD_NLATTR: the offset of the first attribute of type X at or after offset A; 0 if there is none.
    const FIND_ATTRIBUTE: u32 = 0xffff_f000 + 12;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const LOAD_OCTET_AT_X: u16 = 0x50;
    const SET_A: u16 = 0x00;
    const SET_X: u16 = 0x01;
    const A_TO_X: u16 = 0x07;
    const JUMP_IF: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let op = |code, value| SockFilter::new(code, 0, 0, value);
    let jump = |value, then, otherwise| SockFilter::new(JUMP_IF, then, otherwise, value);
    // A load converts from network byte order, but netlink uses the host's.
    let new_address = u16::from_be(RTM_NEWADDR);
    [
        op(LOAD_HALF, KIND),
        jump(new_address.into(), 0, 7),
        op(SET_A, ATTRIBUTES),
        op(SET_X, IFA_PROTO),
        op(LOAD_WORD, FIND_ATTRIBUTE),
        jump(0, 3, 0),
        op(A_TO_X, 0),
        op(LOAD_OCTET_AT_X, VALUE),
        jump(MARK.into(), 1, 0),
        op(RETURN, u32::MAX),
        op(RETURN, 0),
    ]
}

/// The notifications in one datagram, in order. The fuzz targets call it with any octets.
pub fn changes_in(datagram: &[u8]) -> impl Iterator<Item = Change> {
    messages(datagram).filter_map(change)
}

fn change(message: NetlinkMessage<Reply>) -> Option<Change> {
    if let NetlinkPayload::InnerMessage(Reply(change)) = message.payload { change } else { None }
}
