//! The TCP sockets of lifelines: their options, and where their descriptors are. Nothing here blocks. Knows no frame.
//!
//! A process that is killed closes its descriptors from the highest number down, and a packet socket takes the kernel 12
//! ms. So these are above all others, the listeners above the connections: nobody connects to a process that is dying.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::io::fcntl_dupfd_cloexec;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};

use super::Error;
use super::limits::Descriptors;
use crate::vrrp::TTL;

/// The lowest descriptor of a connection, if the limit allows.
const CONNECTIONS: usize = 900;
/// How many descriptors there are for connections, and for both.
const FOR_CONNECTIONS: usize = 64;
const FOR_ALL: usize = 96;
/// How many connections can wait to be accepted.
const BACKLOG: i32 = 16;

/// A peer that has gone without a word is noticed after two minutes, by the kernel alone.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// The numbers of the descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    connections: RawFd,
    listeners: RawFd,
}

impl Place {
    /// `None`: with so few descriptors, none can be spared.
    pub fn within(descriptors: Descriptors) -> Option<Self> {
        let connections = CONNECTIONS.min(descriptors.limit().checked_sub(FOR_ALL + 32)?);
        let number = |at| RawFd::try_from(at).ok();
        Some(Self { connections: number(connections)?, listeners: number(connections + FOR_CONNECTIONS)? })
    }
}

/// Our end of a lifeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The source address of our adverts.
    pub address: IpAddr,
    /// The index of its link, or 0 if it may be on any link. One that is made again has another index, and what is bound
    /// to the old one hears nothing more.
    pub link: u32,
    /// The link that the other end is on. `None`: wherever the routes lead.
    pub device: Option<String>,
}

impl Local {
    fn at(&self, port: u16) -> SocketAddr {
        address(self.address, self.link, port)
    }

    /// A socket with the options of every lifeline, not bound yet. `on_link`: its packets come through no router.
    fn socket(&self, lowest: RawFd, filter: Option<Filter>) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let domain = Domain::for_address(self.at(0));
        let socket = Socket::new(domain, kind, Some(Protocol::TCP))?;
        let socket = Socket::from(fcntl_dupfd_cloexec(&socket, lowest)?);
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        if self.address.is_ipv4() {
            socket.set_ttl_v4(TTL.into())?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(TTL.into())?;
        }
        if let Some(filter) = filter {
            attach(&socket, self.address, filter)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&KEEPALIVE)?;
        Ok(socket)
    }
}

/// A socket address; `link`: the index of its link, which only a link-local one has.
pub fn address(ip: IpAddr, link: u32, port: u16) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, link).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(ip, port),
    }
}

/// Which packets a socket receives.
#[derive(Clone, Copy, Debug)]
enum Filter {
    /// Those that came through no router (RFC 5082).
    OnLink,
    /// Also a reset: a port without a socket refuses with the TTL that the host uses for everything.
    OnLinkOrReset,
}

/// As `IP_MINTTL` and `IPV6_MINHOPCOUNT`, which would also drop every refusal.
fn attach(socket: &Socket, family: IpAddr, filter: Filter) -> io::Result<()> {
    const LOAD_OCTET: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    /// The offset of the network header for a filter, which sees the packet from its transport header on.
    const NETWORK: u32 = 0x10_0000_u32.wrapping_neg();
    const TCP_FLAGS: u32 = 13;
    const RST: u32 = 4;
    let op = SockFilter::new;
    let hops = NETWORK.wrapping_add(if family.is_ipv4() { 8 } else { 7 });
    let flags = match filter {
        Filter::OnLink => 0,
        Filter::OnLinkOrReset => RST,
    };
    let program = [
        op(LOAD_OCTET, 0, 0, TCP_FLAGS),
        op(IF_SET, 2, 0, flags),
        op(LOAD_OCTET, 0, 0, hops),
        op(IF_EQUAL, 0, 1, TTL.into()),
        op(RETURN, 0, 0, u32::MAX),
        op(RETURN, 0, 0, 0),
    ];
    SockRef::from(socket).attach_filter(&program)
}

/// Accepts connections of backups.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    place: Place,
}

impl Listener {
    /// Listens on our address. `on_link`: no peer is behind a router.
    ///
    /// # Errors
    /// The port is in use, or the host does not have the address.
    pub fn open(local: &Local, port: u16, on_link: bool, place: Place) -> Result<Self, Error> {
        let listen = || {
            let socket = local.socket(place.listeners, on_link.then_some(Filter::OnLink))?;
            socket.bind(&local.at(port).into())?;
            socket.listen(BACKLOG)?;
            Ok::<_, io::Error>(Self { socket, place })
        };
        listen().map_err(Error::doing("listen for lifelines at", local.at(port)))
    }

    /// The next connection with its address; `None` if none is waiting.
    ///
    /// # Errors
    /// The process is out of descriptors or memory. The connection stays in the queue.
    pub fn accept(&self) -> io::Result<Option<(Stream, SocketAddr)>> {
        match self.socket.accept() {
            Ok((socket, from)) => {
                // It has inherited every other option.
                let socket = Socket::from(fcntl_dupfd_cloexec(&socket, self.place.connections)?);
                socket.set_nonblocking(true)?;
                let from = from.as_socket().ok_or(ErrorKind::InvalidData)?;
                Ok(Some((Stream { socket, on_link: None }, from)))
            }
            Err(e) if is_temporary(&e) || e.kind() == ErrorKind::ConnectionAborted => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// Our address, if the peer is on the link and has yet to answer.
    on_link: Option<IpAddr>,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Some(usize),
    Later,
    /// FIN.
    Finished,
    /// Reset, no answer, or unreachable.
    Broken,
}

impl Stream {
    /// Begins to connect. `from`: our port, 0 for any; `beside`: the listener at this port, if there is one.
    ///
    /// # Errors
    /// The kernel refuses at once.
    pub fn connect(
        local: &Local,
        from: u16,
        to: SocketAddr,
        on_link: bool,
        beside: Option<&Listener>,
        place: Place,
    ) -> io::Result<Self> {
        let socket = local.socket(place.connections, on_link.then_some(Filter::OnLinkOrReset))?;
        // Both ends at one port: only while this socket is bound may it share the listener's. No other process gets the
        // time to do the same.
        let share = |share| match beside.filter(|_| from != 0) {
            Some(listener) => listener.socket.set_reuse_port(share),
            None => Ok(()),
        };
        socket.set_reuse_port(beside.is_some() && from != 0)?;
        share(true)?;
        let bound = socket.bind(&local.at(from).into());
        share(false)?;
        bound?;
        match socket.connect(&to.into()) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(e),
            _ => Ok(Self { socket, on_link: on_link.then_some(local.address) }),
        }
    }

    /// Whether the connection that was begun is established. From then on, only what comes from the link counts.
    ///
    /// # Errors
    /// It was refused, or there was no answer.
    pub fn establish(&mut self) -> io::Result<()> {
        if let Some(e) = self.socket.take_error()? {
            return Err(e);
        }
        match self.on_link.take() {
            Some(address) => attach(&self.socket, address, Filter::OnLink),
            None => Ok(()),
        }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Progress {
        match self.socket.read(buffer) {
            Ok(0) => Progress::Finished,
            Ok(count) => Progress::Some(count),
            Err(e) if is_temporary(&e) => Progress::Later,
            Err(_) => Progress::Broken,
        }
    }

    /// Returns whether everything was written.
    pub fn write(&mut self, octets: &[u8]) -> bool {
        self.socket.write(octets).is_ok_and(|count| count == octets.len())
    }

    /// Closes it with RST, so that neither end keeps the port in TIME_WAIT. Not an option from the start: the kernel would
    /// do the same when the process is killed.
    pub fn abort(self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
