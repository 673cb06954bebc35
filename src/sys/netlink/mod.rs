//! Addresses and links by rtnetlink: add, remove, list, watch; knows nothing of who should hold an address.
//!
//! [`Netlink`] asks and waits for the kernel's answer, [`Monitor`] listens. Both are confined to the
//! network namespace they were opened in.

mod message;
mod monitor;

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Error;
use message::{Reply, Request, messages};
pub use monitor::Monitor;

/// The `IFA_PROTO` of every address of ours (the IP protocol number of VRRP); `ip address` shows it as `proto 112`.
pub const MARK: u8 = 112;

/// The kernel fills a dump's datagrams up to 32 KiB where the reader has room for it.
const BUFFER: usize = 32 * 1024;
/// Requests sent in one piece: were all refused, their answers still fit the queue.
const AT_ONCE: usize = 32;
/// The kernel answers before `send` returns; this only bounds what cannot happen.
const PATIENCE: i64 = 1;
/// How often a listing that the kernel says changed under its hands is begun again.
const TRIES: usize = 8;

/// An address to put on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The interface's index, from 1.
    pub index: u32,
    pub address: IpAddr,
    /// 0 to 32, or 128 for IPv6. An IPv6 address of 128 is deprecated from the first (`preferred_lft 0`): it
    /// receives, but the machine sends nothing from it by itself.
    pub prefix: u8,
    /// At most 15 octets; the kernel has labels for IPv4 only, for IPv6 it is left out.
    pub label: Option<String>,
    /// Whole seconds, from 1, after which the kernel removes the address by itself; `None`: never.
    pub lifetime: Option<u32>,
}

/// An address the kernel has on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// Our end, where the link is point-to-point.
    pub address: IpAddr,
    pub prefix: u8,
    pub label: Option<String>,
    /// `IFA_PROTO`: who put it there ([`MARK`]: we did); `None` before Linux 5.18 or when nobody said.
    pub mark: Option<u8>,
    /// IPv6: duplicate detection is not done with it or has found one; until a notice says otherwise nothing
    /// can be sent from it.
    pub tentative: bool,
    /// Whole seconds after which the kernel removes it by itself; `None`: never.
    pub lifetime: Option<u32>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Set up by the operator and with a carrier (`IFF_UP` and `IFF_RUNNING`).
    pub up: bool,
    /// `None` where the hardware address is not six octets long.
    pub mac: Option<[u8; 6]>,
    pub loopback: bool,
    /// It takes multicast; point-to-point tunnels often do not.
    pub multicast: bool,
}

/// One notice of the kernel; of links and addresses it also tells when nothing of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// New, renamed, up, down, or something else about it.
    Link(Link),
    LinkGone {
        index: u32,
        name: String,
    },
    /// New, or its lifetime was renewed.
    Address(Address),
    AddressGone(Address),
    /// Notices were lost; list links and addresses anew.
    Overrun,
}

impl Change {
    /// Whether it is about an address with [`MARK`], ours or another vrrp-init's.
    pub fn is_of_virtual_address(&self) -> bool {
        matches!(self, Self::Address(a) | Self::AddressGone(a) if a.mark == Some(MARK))
    }
}

/// A socket for requests, each confirmed by the kernel before the call returns.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    /// What was sent last; kept for its room.
    requests: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Netlink {
    /// Opens the socket; needs no capability, but [`Netlink::add`] and [`Netlink::remove`] need `NET_ADMIN`.
    pub fn open() -> Result<Self, Error> {
        let socket = open(SockFlag::empty(), 0)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))
            .map_err(Error::doing("set a time-out", "the rtnetlink socket"))?;
        Ok(Self { socket, sequence: 0, requests: vec![], buffer: buffer() })
    }

    /// Puts an address on an interface, or renews its lifetime, label apart, if it is there; marks it ours.
    /// Both families' addresses are ready for use when this returns: there is no duplicate detection.
    pub fn add(&mut self, assignment: &Assignment) -> Result<(), Error> {
        match self.request(Request::add(assignment), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE) {
            Err(error) if !is(&error, &[Errno::EEXIST]) => {
                let Assignment { index, address, prefix, .. } = *assignment;
                Err(self.refused("add address", index, address, prefix, error))
            }
            _ => Ok(()),
        }
    }

    /// As [`Netlink::add`] for each, in far fewer calls; answers which of them the kernel refused, and why.
    pub fn add_all(&mut self, assignments: &[Assignment]) -> Vec<(usize, Error)> {
        let mut refused = vec![];
        for (n, chunk) in assignments.chunks(AT_ONCE).enumerate() {
            let refusals = self.add_at_once(chunk).unwrap_or_else(|error| {
                // What became of each is not known: that is no success.
                let again =
                    |_: &_| error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error);
                (0..).zip(chunk.iter().map(again)).collect()
            });
            for (at, error) in refusals {
                let Assignment { index, address, prefix, .. } = chunk[at];
                let error = self.refused("add address", index, address, prefix, error);
                refused.push((n * AT_ONCE + at, error));
            }
        }
        refused
    }

    /// The kernel answers the last one in any case, and each that it refuses.
    fn add_at_once(&mut self, assignments: &[Assignment]) -> io::Result<Vec<(usize, io::Error)>> {
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
            let length = receive(self.socket.as_fd(), &mut self.buffer).map_err(in_time)?;
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

    /// Takes an address off an interface; that the address or the interface is gone already is success.
    pub fn remove(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        match self.request(Request::remove(index, address, prefix), NLM_F_ACK) {
            Err(error) if !is(&error, &[Errno::EADDRNOTAVAIL, Errno::ENODEV]) => {
                Err(self.refused("remove address", index, address, prefix, error))
            }
            _ => Ok(()),
        }
    }

    /// Every address of either family on every interface, in the kernel's order: on each interface IPv4
    /// primaries come before their secondaries.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let changes = self
            .list(|| Request::ListAddresses)
            .map_err(Error::doing("list the addresses of", "this network namespace"))?;
        let address = |change| if let Change::Address(address) = change { Some(address) } else { None };
        Ok(changes.into_iter().filter_map(address).collect())
    }

    /// Every interface, by ascending index.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let changes = self
            .list(|| Request::ListLinks)
            .map_err(Error::doing("list the interfaces of", "this network namespace"))?;
        let link = |change| if let Change::Link(link) = change { Some(link) } else { None };
        Ok(changes.into_iter().filter_map(link).collect())
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
        Error::doing(doing, format_args!("{address}/{prefix} on {interface}"))(why)
    }

    fn list(&mut self, request: impl Fn() -> Request) -> io::Result<Vec<Change>> {
        for _ in 0..TRIES {
            let answer = self.request(request(), NLM_F_DUMP)?;
            if !answer.interrupted {
                return Ok(answer.changes);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "it changed each time while it was being read"))
    }

    fn request(&mut self, request: Request, flags: u16) -> io::Result<Answer> {
        self.send(request, flags)?;
        let mut answer = Answer::default();
        loop {
            let length = receive(self.socket.as_fd(), &mut self.buffer).map_err(in_time)?;
            for message in messages(&self.buffer[..length]) {
                // The late answer to a request that was given up is not ours.
                if message.header.sequence_number == self.sequence && answer.take(message)? {
                    return Ok(answer);
                }
            }
        }
    }

    fn send(&mut self, request: Request, flags: u16) -> io::Result<()> {
        let mut octets = vec![];
        self.write(request, flags, &mut octets);
        send(self.socket.as_raw_fd(), &octets, MsgFlags::empty())?;
        Ok(())
    }

    /// Appends the message, with a sequence number of its own.
    fn write(&mut self, request: Request, flags: u16, octets: &mut Vec<u8>) {
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
    /// Whether `message` was the last one; an error if it is the kernel's refusal.
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

fn open(flags: SockFlag, groups: u32) -> Result<OwnedFd, Error> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
        .map_err(Error::doing("open", "an rtnetlink socket"))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
        .map_err(Error::doing("bind", "the rtnetlink socket"))?;
    Ok(socket)
}

fn buffer() -> Box<[u8]> {
    vec![0; BUFFER].into_boxed_slice()
}

/// The next datagram of the kernel; any process may send to a netlink socket, and is not listened to.
/// `EMSGSIZE` if it was longer than the buffer.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut slices, None, MsgFlags::empty()) {
            // A receive time-out switches off the restart after signals, SA_RESTART or not.
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

fn in_time(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within a second")
    } else {
        error
    }
}

fn is(error: &io::Error, any: &[Errno]) -> bool {
    any.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
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
    fn a_listing_that_changed_under_the_kernels_hands_is_marked_as_interrupted() {
        let mut answer = Answer::default();
        assert!(answer.take(done(0, 0)).unwrap());
        assert!(!answer.interrupted);
        assert!(answer.take(done(NLM_F_DUMP_INTR, 0)).unwrap());
        assert!(answer.interrupted);
    }

    #[test]
    fn a_listing_that_ends_in_an_error_is_that_error() {
        let error = Answer::default().take(done(0, -(Errno::EACCES as i32))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EACCES as i32));
    }
}
