//! Addresses and links over rtnetlink: add, remove, list, watch. Does not know which host should have an address.
//!
//! [`Netlink`] sends requests and waits for the kernel's answers, [`Monitor`] receives notifications. Both work in the
//! network namespace in which they were opened.

mod message;
mod model;
mod monitor;
mod neighbor;
mod question;
mod route;
pub(super) mod socket;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, SockProtocol, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Error;
use message::{Reply, Request, messages};
pub use model::{Address, Assignment, Change, Link, MARK, Removed};
pub use monitor::{Monitor, changes_in};
use question::{Found, Question};
pub use route::Route;
use socket::{buffer, is, open, receive};

/// Requests in one datagram. If all are refused, the answers still fit the receive queue.
const BATCH: usize = 32;
/// In seconds. The kernel answers before `send` returns, so this should never expire.
const TIMEOUT: i64 = 1;
/// How often to try a dump that the kernel reports as inconsistent, because something changed meanwhile.
const TRIES: usize = 8;

/// A socket for requests. Each call returns after the kernel has answered.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    /// The last requests; kept to reuse the allocation.
    requests: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Netlink {
    /// Opens the socket. This needs no capability, but [`Netlink::add`] and [`Netlink::remove`] need `NET_ADMIN`.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn open() -> Result<Self, Error> {
        let socket = open(SockProtocol::NetlinkRoute, SockFlag::empty(), 0)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(TIMEOUT))
            .map_err(Error::doing("set a timeout on", "the rtnetlink socket"))?;
        Ok(Self { socket, sequence: 0, requests: vec![], buffer: buffer() })
    }

    /// Adds an address to an interface with our [`MARK`]. If it exists, renews its lifetime and leaves its label. The address
    /// is ready for use when this returns, in both families: there is no duplicate address detection.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn add(&mut self, assignment: &Assignment) -> Result<(), Error> {
        match self.request(Request::add(assignment), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE) {
            Err(error) if !is(&error, &[Errno::EEXIST]) => {
                let Assignment { index, address, prefix, .. } = *assignment;
                Err(self.refused("add address", index, address, prefix, error))
            }
            _ => Ok(()),
        }
    }

    /// Like [`Netlink::add`] for each, with far fewer system calls. Returns the index and the error of each that the kernel
    /// refused.
    pub fn add_all(&mut self, assignments: &[Assignment]) -> Vec<(usize, Error)> {
        let mut refused = vec![];
        for (n, chunk) in assignments.chunks(BATCH).enumerate() {
            let failures = self.add_batch(chunk).unwrap_or_else(|error| {
                // The result of each is unknown, so each counts as failed.
                let copy =
                    |_: &_| error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error);
                (0..).zip(chunk.iter().map(copy)).collect()
            });
            for (at, error) in failures {
                let Assignment { index, address, prefix, .. } = chunk[at];
                let error = self.refused("add address", index, address, prefix, error);
                refused.push((n * BATCH + at, error));
            }
        }
        refused
    }

    /// The kernel answers each request that it refuses, and the last one in any case.
    fn add_batch(&mut self, assignments: &[Assignment]) -> io::Result<Vec<(usize, io::Error)>> {
        let first = self.sequence.wrapping_add(1);
        let Some(last) = assignments.len().checked_sub(1) else { return Ok(vec![]) };
        let (mut octets, mut refused) = (std::mem::take(&mut self.requests), vec![]);
        octets.clear();
        for (n, assignment) in assignments.iter().enumerate() {
            let confirmed = if n == last { NLM_F_ACK } else { 0 };
            self.write(Request::add(assignment), confirmed | NLM_F_CREATE | NLM_F_REPLACE, &mut octets);
        }
        let sent = send(self.socket.as_raw_fd(), &octets, MsgFlags::empty());
        self.requests = octets;
        sent?;
        loop {
            let length = receive(self.socket.as_fd(), &mut self.buffer).map_err(timed_out)?;
            for message in messages(&self.buffer[..length]) {
                let at = message.header.sequence_number.wrapping_sub(first) as usize;
                let NetlinkPayload::Error(answer) = message.payload else { continue };
                if at > last {
                    continue;
                }
                if answer.code.is_some() && !is(&answer.to_io(), &[Errno::EEXIST]) {
                    refused.push((at, answer.to_io()));
                }
                if at == last {
                    return Ok(refused);
                }
            }
        }
    }

    /// Removes an address from an interface. Succeeds if the address or the interface does not exist.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn remove(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        match self.request(Request::remove(index, address, prefix), NLM_F_ACK) {
            Err(error) if !is(&error, &[Errno::EADDRNOTAVAIL, Errno::ENODEV]) => {
                Err(self.refused("remove address", index, address, prefix, error))
            }
            _ => Ok(()),
        }
    }

    /// Adds an address again as it was before it was removed, unless it exists.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn restore(&mut self, removed: &Removed) -> Result<(), Error> {
        match self.request(Request::Restore(removed.payload.clone()), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if !is(&error, &[Errno::EEXIST]) => {
                let Address { index, address, prefix, .. } = removed.address;
                Err(self.refused("add again address", index, address, prefix, error))
            }
            _ => Ok(()),
        }
    }

    /// Sets an interface's `promote_secondaries` to 1. Returns whether it was 0.
    ///
    /// # Errors
    /// The kernel refused, or the interface does not exist.
    pub fn promote_secondaries(&mut self, index: u32, interface: &str) -> Result<bool, Error> {
        let failed = || Error::doing("set promote_secondaries of", interface);
        let answer = self.request(Request::Link(index), NLM_F_ACK).map_err(failed())?;
        if answer
            .changes
            .iter()
            .any(|change| matches!(change, Change::Link(link) if link.promote_secondaries == Some(1)))
        {
            return Ok(false);
        }
        self.request(Request::PromoteSecondaries(index), NLM_F_ACK).map_err(failed())?;
        Ok(true)
    }

    /// All addresses of both families on all interfaces, in the kernel's order: on each interface, IPv4 primary addresses
    /// come before their secondaries.
    ///
    /// # Errors
    /// The kernel did not answer, or the addresses changed during each attempt.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let changes = self
            .list(|| Request::ListAddresses)
            .map_err(Error::doing("list the addresses of", "this network namespace"))?;
        let address = |change| if let Change::Address(address) = change { Some(address) } else { None };
        Ok(changes.into_iter().filter_map(address).collect())
    }

    /// All interfaces in ascending order of index.
    ///
    /// # Errors
    /// The kernel did not answer, or the interfaces changed during each attempt.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let changes = self
            .list(|| Request::ListLinks)
            .map_err(Error::doing("list the interfaces of", "this network namespace"))?;
        let link = |change| if let Change::Link(link) = change { Some(link) } else { None };
        Ok(changes.into_iter().filter_map(link).collect())
    }

    /// The way that a packet to `to` would take. `None` if there is no route. A link-local address has one only on a
    /// link: `link`.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn route(&mut self, to: IpAddr, link: Option<u32>) -> Result<Option<Route>, Error> {
        self.ask(route::question(to, link)).map(|found| route::route(&found)).or_else(|error| {
            let no_route =
                [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL, Errno::ENODEV];
            if is(&error, &no_route) { Ok(None) } else { Err(Error::doing("find the route to", to)(error)) }
        })
    }

    /// The hardware address of a host on a link, if the kernel knows it (since Linux 5.0).
    pub fn neighbor(&mut self, index: u32, address: Ipv4Addr) -> Option<[u8; 6]> {
        neighbor::hardware_address(&self.ask(neighbor::question(index, address)).ok()?)
    }

    /// Sends a question that has one answer.
    fn ask(&mut self, question: Question) -> io::Result<Found> {
        self.send(question, 0)?;
        loop {
            let length = receive(self.socket.as_fd(), &mut self.buffer).map_err(timed_out)?;
            let Ok(reply) = NetlinkMessage::<Found>::deserialize(&self.buffer[..length]) else {
                continue;
            };
            if reply.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::InnerMessage(found) = reply.payload {
                return Ok(found);
            }
            if let NetlinkPayload::Error(refusal) = reply.payload {
                return Err(refusal.to_io());
            }
        }
    }

    fn refused(
        &mut self,
        doing: &'static str,
        index: u32,
        address: IpAddr,
        prefix: u8,
        why: io::Error,
    ) -> Error {
        let link = self.links().unwrap_or_default().into_iter().find(|link| link.index == index);
        let interface = link.map_or_else(|| format!("interface {index}"), |link| link.name);
        let why = if address.is_ipv6() { without_ipv6(why, &interface) } else { why };
        Error::doing(doing, format_args!("{address}/{prefix} on {interface}"))(why)
    }

    fn list(&mut self, request: impl Fn() -> Request) -> io::Result<Vec<Change>> {
        for _ in 0..TRIES {
            let answer = self.request(request(), NLM_F_DUMP)?;
            if !answer.interrupted {
                return Ok(answer.changes);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "it changed during each attempt to read it"))
    }

    fn request(&mut self, request: Request, flags: u16) -> io::Result<Answer> {
        self.send(request, flags)?;
        let mut answer = Answer::default();
        loop {
            let length = receive(self.socket.as_fd(), &mut self.buffer).map_err(timed_out)?;
            for message in messages(&self.buffer[..length]) {
                // A late answer to an earlier request, which timed out, has another number.
                if message.header.sequence_number == self.sequence && answer.take(message)? {
                    return Ok(answer);
                }
            }
        }
    }

    fn send<R: NetlinkSerializable>(&mut self, request: R, flags: u16) -> io::Result<()> {
        let mut octets = vec![];
        self.write(request, flags, &mut octets);
        send(self.socket.as_raw_fd(), &octets, MsgFlags::empty())?;
        Ok(())
    }

    /// Appends the message with a new sequence number.
    fn write<R: NetlinkSerializable>(&mut self, request: R, flags: u16, octets: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let at = octets.len();
        octets.resize(at + message.buffer_len().next_multiple_of(message::ALIGNMENT), 0);
        message.serialize(&mut octets[at..]);
    }
}

#[derive(Debug, Default)]
struct Answer {
    changes: Vec<Change>,
    interrupted: bool,
}

impl Answer {
    /// Returns whether `message` was the last one.
    ///
    /// # Errors
    /// `message` is the kernel's refusal.
    fn take(&mut self, message: NetlinkMessage<Reply>) -> io::Result<bool> {
        self.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        if let NetlinkPayload::InnerMessage(Reply(change)) = message.payload {
            self.changes.extend(change);
            return Ok(false);
        }
        if let NetlinkPayload::Error(answer) = message.payload {
            return if answer.code.is_some() { Err(answer.to_io()) } else { Ok(true) };
        }
        if let NetlinkPayload::Done(done) = message.payload {
            let errno = done.code.saturating_abs();
            return if errno == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(errno)) };
        }
        Ok(false)
    }
}

/// Why an interface refuses IPv6 addresses, which the kernel says by errors that mean something else elsewhere. A missing
/// capability is EPERM.
fn without_ipv6(why: io::Error, interface: &str) -> io::Error {
    let reason = if is(&why, &[Errno::EACCES]) {
        format!("IPv6 is probably disabled there: sysctl net.ipv6.conf.{interface}.disable_ipv6=0 enables it")
    } else if is(&why, &[Errno::EINVAL, Errno::ENOBUFS]) {
        "IPv6 needs an MTU of at least 1280 there".into()
    } else {
        return why;
    };
    io::Error::new(io::ErrorKind::Unsupported, format!("{why}; {reason}"))
}

fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within a second")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DoneMessage;

    use super::*;

    fn done(flags: u16, code: i32) -> NetlinkMessage<Reply> {
        let (mut header, mut done) = (NetlinkHeader::default(), DoneMessage::default());
        header.flags = flags;
        done.code = code;
        NetlinkMessage::new(header, NetlinkPayload::Done(done))
    }

    #[test]
    fn an_inconsistent_dump_is_marked_as_interrupted() {
        let mut answer = Answer::default();
        assert!(answer.take(done(0, 0)).unwrap());
        assert!(!answer.interrupted);
        assert!(answer.take(done(NLM_F_DUMP_INTR, 0)).unwrap());
        assert!(answer.interrupted);
    }

    #[test]
    fn an_interface_without_ipv6_is_told_from_a_missing_capability() {
        let text = |errno: Errno| without_ipv6(errno.into(), "eth1").to_string();
        let disabled = text(Errno::EACCES);
        assert!(disabled.contains("sysctl net.ipv6.conf.eth1.disable_ipv6=0"), "{disabled}");
        assert!(text(Errno::EINVAL).contains("MTU of at least 1280"));
        assert_eq!(text(Errno::EPERM), io::Error::from(Errno::EPERM).to_string());
        let said = |errno: Errno| {
            Error::doing("add address", "fd00::2/128 on eth1")(without_ipv6(errno.into(), "eth1"))
        };
        assert!(!said(Errno::EACCES).to_string().contains("NET_ADMIN"));
        assert!(said(Errno::EPERM).to_string().contains("NET_ADMIN"));
    }

    #[test]
    fn a_dump_that_ends_in_an_error_returns_it() {
        let error = Answer::default().take(done(0, -(Errno::EACCES as i32))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EACCES as i32));
    }
}
