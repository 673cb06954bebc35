//! Reports that other programs change the tables of a guard. Repairs nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{SockFlag, SockProtocol};
use socket2::{SockFilter, SockRef};

use super::batch::Kind;
use super::tables::{ALIVE, NFTA_TABLE_NAME};
use super::transport::{Answer, split};
use crate::sys::Error;
use crate::sys::netlink::socket::{open, receive};

/// The bit of `NFNLGRP_NFTABLES`.
const GROUP: u32 = 1 << 6;
/// The most datagrams read at once: a firewall that is loaded sends many.
const MOST: usize = 64;
/// The kernel puts no more than a page into a datagram.
const BUFFER: usize = 16 * 1024;

/// What other programs did since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A table is gone.
    Removed,
    /// Something in a table is not as we left it.
    Changed,
    /// Notifications were lost, so that it may be.
    Unknown,
}

/// Notifications about changes by other programs.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    name: String,
}

impl Monitor {
    /// `name`: of the guard; `own`: the port number of the socket that changes it.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub(super) fn open(name: String, own: u32) -> Result<Self, Error> {
        let socket = open(SockProtocol::NetlinkNetFilter, SockFlag::SOCK_NONBLOCK, GROUP)?;
        let filtered = SockRef::from(&socket).attach_filter(&others(own));
        filtered.map_err(Error::doing("filter", "the notifications of nf_tables"))?;
        Ok(Self { socket, name })
    }

    /// Reads what is waiting; `None`: nothing that concerns the guard.
    pub fn read(&self) -> Option<Damage> {
        let mut buffer = vec![0; BUFFER];
        let mut damage = None;
        for _ in 0..MOST {
            match receive(self.socket.as_fd(), &mut buffer) {
                Ok(length) => {
                    let mut messages = vec![];
                    split(&buffer[..length], &mut messages);
                    let of_it = messages.iter().filter_map(|message| self.damage(message)).min();
                    damage = of_it.into_iter().chain(damage).min();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The queue has overflowed, or a datagram is longer than the buffer.
                Err(_) => damage = damage.or(Some(Damage::Unknown)),
            }
        }
        damage
    }

    fn damage(&self, message: &Answer) -> Option<Damage> {
        // The name of the table is the first attribute of every message about one.
        let table = || message.attribute(NFTA_TABLE_NAME);
        let is_ours = |table: Vec<u8>| {
            let name = table.strip_suffix(b"\0").unwrap_or(&table);
            name.strip_prefix(self.name.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest == ALIVE.as_bytes())
        };
        if !Kind::is_of_nf_tables(message.kind) || !table().is_some_and(is_ours) {
            None
        } else if message.kind == Kind::DeleteTable.message_type() {
            Some(Damage::Removed)
        } else {
            Some(Damage::Changed)
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets pass what other sockets than `own` have caused: our own renewals must not wake us. A datagram is of one transaction.
fn others(own: u32) -> [SockFilter; 4] {
    const LOAD_WORD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// `nlmsg_pid`, which the filter reads in network byte order.
    const PORT: u32 = 12;
    let op = SockFilter::new;
    [
        op(LOAD_WORD, 0, 0, PORT),
        op(IF_EQUAL, 0, 1, u32::from_be_bytes(own.to_ne_bytes())),
        op(RETURN, 0, 0, 0),
        op(RETURN, 0, 0, u32::MAX),
    ]
}
