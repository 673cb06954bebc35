//! The kernel's notices of links and addresses, less those that tell nothing new; knows not who wants to know.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use nix::errno::Errno;
use nix::sys::socket::{SockFlag, setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

use super::message::{RTM_NEWADDR, Reply, messages};
use super::{Change, MARK, buffer, is, open, receive};
use crate::sys::Error;

/// Octets of notices that may wait: a listing of everything anew is what losing one costs.
const QUEUE: usize = 1024 * 1024;

// linux/rtnetlink.h: the groups' bits in `nl_groups`.
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// A socket on which the kernel tells of links and of both families' addresses, but for the coming and the renewal
/// of those with [`MARK`] (from Linux 5.18 on). Never blocks.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

impl Monitor {
    /// Subscribes; needs no capability. Open it before the first listing, or a change between is missed.
    pub fn open() -> Result<Self, Error> {
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        let socket = open(SockFlag::SOCK_NONBLOCK, groups)?;
        // Without either it is only more work.
        let _ = SockRef::from(&socket).attach_filter(&unmarked());
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &QUEUE);
        Ok(Self { socket, buffer: buffer() })
    }

    /// Everything told since the last call, in order; empty when there is nothing.
    pub fn read(&mut self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        loop {
            match receive(self.socket.as_fd(), &mut self.buffer) {
                Ok(length) => changes.extend(messages(&self.buffer[..length]).filter_map(told)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
                Err(error) if is(&error, &[Errno::ENOBUFS, Errno::EMSGSIZE]) => changes.push(Change::Overrun),
                Err(error) => {
                    return Err(Error::doing("read", "the kernel's notices of links and addresses")(error));
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

/// Lets everything pass but RTM_NEWADDR with [`MARK`]: a thousand leases are renewed every second, and nobody wants
/// to be woken up to read that they were. In the language of linux/filter.h, for one message.
fn unmarked() -> [SockFilter; 11] {
    const KIND: u32 = 4;
    const ATTRIBUTES: u32 = 16 + 8;
    const IFA_PROTO: u32 = 11;
    const VALUE: u32 = 4;
    // SKF_AD_OFF + SKF_AD_NLATTR: from A on, the attribute of the kind X; 0 if there is none.
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
    // A load takes what it reads for network order.
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

fn told(message: NetlinkMessage<Reply>) -> Option<Change> {
    if let NetlinkPayload::InnerMessage(Reply(change)) = message.payload { change } else { None }
}
