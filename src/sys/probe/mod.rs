//! A single probe of a service over TCP, HTTP or DNS, which never blocks. Knows no interval and draws no conclusions.

pub mod dns;
pub mod http;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use super::Error;
use super::poller::Interest;
use crate::time::{Instant, millis};
use dns::Answer;
use http::{LONGEST_LINE, StatusLine};

/// Octets per read. Most responses are read completely, so that closing does not reset the server's connection.
const READ: usize = 2048;

/// Errors of `connect` that are ours and not the service's: no memory, or no free local port.
const OURS: [Errno; 3] = [Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];

/// What to probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A connection must be accepted.
    Tcp(SocketAddr),
    /// A GET must be answered with one of these statuses.
    Http {
        /// The address to connect to.
        address: SocketAddr,
        /// The `Host` header.
        host: String,
        /// The request target: path and query, starting with `/`.
        path: String,
        statuses: Vec<RangeInclusive<u16>>,
    },
    /// A query for a name must be answered with a record of a type.
    Dns {
        /// The resolver.
        address: SocketAddr,
        name: String,
        /// The type, by name and number.
        record: (&'static str, u16),
    },
}

impl Target {
    /// The address to connect to.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) | Self::Http { address, .. } | Self::Dns { address, .. } => *address,
        }
    }
}

/// As an operator writes it: `tcp 127.0.0.1:80`, `http://127.0.0.1:80/health`, `dns example.com@127.0.0.1:53`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { address, path, .. } => write!(f, "http://{address}{path}"),
            Self::Dns { address, name, record: ("A", _) } => write!(f, "dns {name}@{address}"),
            Self::Dns { address, name, record: (record, _) } => write!(f, "dns {name}/{record}@{address}"),
        }
    }
}

/// The progress of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Call [`Probe::poll`] again when the connection is ready for this, and at the deadline.
    Pending(Interest),
    /// The service is up.
    Passed,
    /// It is not, for this reason, which can follow `tcp 127.0.0.1:80: `.
    Failed(String),
}

/// A probe in progress. Dropping it closes the connection.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    state: ConnState,
    /// Those that pass.
    statuses: Vec<RangeInclusive<u16>>,
    timeout: Duration,
    deadline: Instant,
}

#[derive(Debug)]
enum ConnState {
    /// `connect` failed at once, for this reason.
    Refused(String),
    Connecting {
        /// Empty for TCP, where a connection is enough.
        request: Vec<u8>,
    },
    Sending {
        request: Vec<u8>,
        sent: usize,
    },
    Reading {
        /// At most [`LONGEST_LINE`] octets.
        answer: Vec<u8>,
    },
    Asking {
        query: Vec<u8>,
        is_sent: bool,
        /// Datagrams that are no answer to it.
        foreign: u32,
    },
}

impl Probe {
    /// Starts to connect. The probe ends at `now` + `timeout` at the latest. Call [`Probe::poll`] next, to learn what to
    /// wait for.
    ///
    /// # Errors
    /// The probe could not be made, which says nothing about the service: no descriptor, memory or local port is left, the
    /// host does not support the address family, or the host or path contains a space or control character.
    pub fn start(target: &Target, now: Instant, timeout: Duration) -> Result<Self, Error> {
        Self::open(target, None, now, timeout)
    }

    /// The same with a page that is to accept a JSON object.
    ///
    /// # Errors
    /// As [`Probe::start`].
    pub fn post(target: &Target, object: &str, now: Instant, timeout: Duration) -> Result<Self, Error> {
        Self::open(target, Some(object), now, timeout)
    }

    fn open(target: &Target, object: Option<&str>, now: Instant, timeout: Duration) -> Result<Self, Error> {
        let failed = || Error::doing("start the check", &target);
        let begun = begin(target, object).map_err(failed())?;
        let address = target.address();
        let kind = if matches!(target, Target::Dns { .. }) { Type::DGRAM } else { Type::STREAM };
        let kind = kind.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, None).map_err(failed())?;
        let state = match socket.connect(&address.into()) {
            Err(e) if is(&e, &OURS) => return Err(failed()(e)),
            Err(e) if !is(&e, &[Errno::EINPROGRESS, Errno::EINTR]) => ConnState::Refused(e.to_string()),
            Ok(()) | Err(_) => begun,
        };
        let statuses = match target {
            Target::Http { statuses, .. } => statuses.clone(),
            Target::Tcp(_) | Target::Dns { .. } => vec![],
        };
        Ok(Self { socket, state, statuses, timeout, deadline: now + timeout })
    }

    /// When to call [`Probe::poll`] even if nothing has happened.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Makes as much progress as possible without blocking. May be called at any time. After [`Poll::Passed`] or
    /// [`Poll::Failed`], drop the probe.
    pub fn poll(&mut self, now: Instant) -> Poll {
        let progress = self.advance().unwrap_or_else(|e| Poll::Failed(self.lost(&e)));
        // A response that came in time counts even if it is read late.
        if matches!(progress, Poll::Pending(_)) && self.deadline <= now {
            return Poll::Failed(self.too_late());
        }
        progress
    }

    fn advance(&mut self) -> io::Result<Poll> {
        loop {
            match &mut self.state {
                ConnState::Refused(reason) => return Ok(Poll::Failed(std::mem::take(reason))),
                ConnState::Connecting { request } => {
                    if !connected(&self.socket)? {
                        return Ok(Poll::Pending(Interest::Writable));
                    }
                    if request.is_empty() {
                        return Ok(Poll::Passed);
                    }
                    self.state = ConnState::Sending { request: std::mem::take(request), sent: 0 };
                }
                ConnState::Sending { request, sent } => {
                    if !send(&mut self.socket, request, sent)? {
                        return Ok(Poll::Pending(Interest::Writable));
                    }
                    self.state = ConnState::Reading { answer: Vec::new() };
                }
                ConnState::Reading { answer } => match read(&mut self.socket, answer) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        return Ok(Poll::Pending(Interest::Readable));
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    outcome => {
                        if let Some(result) = judge(answer, outcome? == 0, &self.statuses) {
                            return Ok(result);
                        }
                    }
                },
                ConnState::Asking { query, is_sent, foreign } => {
                    return ask(&mut self.socket, query, is_sent, foreign);
                }
            }
        }
    }

    /// The kernel's reason for the end of the connection, and whether it had been established.
    fn lost(&self, e: &io::Error) -> String {
        match self.state {
            ConnState::Refused(_) | ConnState::Connecting { .. } | ConnState::Asking { .. } => e.to_string(),
            ConnState::Sending { .. } | ConnState::Reading { .. } => format!("connected, then: {e}"),
        }
    }

    fn too_late(&self) -> String {
        let within = format!("within {} ms", millis(self.timeout));
        match &self.state {
            ConnState::Refused(_) | ConnState::Connecting { .. } => format!("no connection {within}"),
            ConnState::Reading { answer } if !answer.is_empty() => {
                format!("the answer began, but its first line did not end {within}")
            }
            ConnState::Asking { foreign: 0, .. } => format!("no answer {within}"),
            ConnState::Asking { foreign, .. } => {
                format!("no answer {within} (other datagrams: {foreign})")
            }
            ConnState::Sending { .. } | ConnState::Reading { .. } => {
                format!("connected, but no answer {within}")
            }
        }
    }
}

/// The connection, which is closed when the probe is dropped.
impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The first state. A space or line end in the host or path could turn the request into a different one.
fn begin(target: &Target, object: Option<&str>) -> io::Result<ConnState> {
    match target {
        Target::Tcp(_) => Ok(ConnState::Connecting { request: vec![] }),
        Target::Http { host, path, .. } => {
            let is_bad = |part: &String| part.contains(|c: char| c.is_whitespace() || c.is_control());
            if is_bad(host) || is_bad(path) {
                let why = "a space or control character in host or path";
                return Err(io::Error::new(ErrorKind::InvalidInput, why));
            }
            Ok(ConnState::Connecting { request: http::request(host, path, object) })
        }
        Target::Dns { name, record, .. } => {
            // The standard library has the kernel's random numbers, and this is how to get at them.
            let [a, b, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
            Ok(ConnState::Asking { query: dns::query([a, b], name, record.1), is_sent: false, foreign: 0 })
        }
    }
}

/// Sends the query, or receives one datagram: a flood of others must not keep the caller busy. The kernel passes on none but
/// those of the resolver's address and port.
fn ask(socket: &mut Socket, query: &[u8], is_sent: &mut bool, foreign: &mut u32) -> io::Result<Poll> {
    let mut datagram = [0; READ];
    let outcome = if *is_sent { socket.read(&mut datagram) } else { socket.write(query) };
    let is_later = |e: &io::Error| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
    match outcome {
        Err(e) if is_later(&e) && !*is_sent => return Ok(Poll::Pending(Interest::Writable)),
        Err(e) if !is_later(&e) => return Err(e),
        Ok(length) if *is_sent => match dns::answer(query, &datagram[..length]) {
            Answer::Record => return Ok(Poll::Passed),
            Answer::NoRecord => return Ok(Poll::Failed("answered without such a record".into())),
            Answer::Failure(code) => {
                return Ok(Poll::Failed(format!("answered {}", dns::failure(code))));
            }
            Answer::Foreign => *foreign += 1,
        },
        Ok(_) | Err(_) => *is_sent = true,
    }
    Ok(Poll::Pending(Interest::Readable))
}

/// Whether the connection is established.
///
/// # Errors
/// It failed.
fn connected(socket: &Socket) -> io::Result<bool> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    let Ok(peer) = socket.peer_addr() else { return Ok(false) };
    // If nothing listens on a port of the ephemeral range, the kernel may assign this very port to our socket, which then
    // connects to itself.
    if socket.local_addr()? == peer {
        return Err(Errno::ECONNREFUSED.into());
    }
    Ok(true)
}

/// Sends what is left of the request. Returns whether nothing is left.
fn send(socket: &mut Socket, request: &[u8], sent: &mut usize) -> io::Result<bool> {
    while *sent < request.len() {
        match socket.write(&request[*sent..]) {
            Ok(count) => *sent += count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Reads once and appends to `answer` up to its limit. Returns how many octets were read.
fn read(socket: &mut Socket, answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut octets = [0; READ];
    let count = socket.read(&mut octets)?;
    let room = LONGEST_LINE - answer.len();
    answer.extend_from_slice(&octets[..count.min(room)]);
    Ok(count)
}

/// The result, or `None` while the response is incomplete.
fn judge(answer: &[u8], closed: bool, passing: &[RangeInclusive<u16>]) -> Option<Poll> {
    let failed = |reason: &str| Some(Poll::Failed(reason.to_owned()));
    match http::status_line(answer) {
        StatusLine::Status(status) if passing.iter().any(|range| range.contains(&status)) => {
            Some(Poll::Passed)
        }
        StatusLine::Status(status) => {
            let redirect = if status / 100 == 3 { "; redirects are not followed" } else { "" };
            Some(Poll::Failed(format!("answered with status {status:03}{redirect}")))
        }
        StatusLine::Malformed => failed("answered, but not in HTTP"),
        StatusLine::TooLong => failed("answered with a first line of more than 256 octets"),
        StatusLine::Incomplete if !closed => None,
        StatusLine::Incomplete if answer.is_empty() => failed("closed the connection without an answer"),
        StatusLine::Incomplete => failed("closed the connection in the middle of its first line"),
    }
}

fn is(e: &io::Error, any_of: &[Errno]) -> bool {
    any_of.iter().any(|&errno| e.raw_os_error() == Some(errno as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn targets_display_as_an_operator_writes_them() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let http = Target::Http {
            address,
            host: "localhost".to_owned(),
            path: "/health".to_owned(),
            statuses: vec![],
        };
        assert_eq!(Target::Tcp(address).to_string(), "tcp 127.0.0.1:80");
        assert_eq!(http.to_string(), "http://127.0.0.1:80/health");
        let dns = |record| Target::Dns { address, name: "example.com".into(), record };
        assert_eq!(dns(("A", 1)).to_string(), "dns example.com@127.0.0.1:80");
        assert_eq!(dns(("AAAA", 28)).to_string(), "dns example.com/AAAA@127.0.0.1:80");
        let six = Target::Tcp("[::1]:443".parse().unwrap());
        assert_eq!(six.to_string(), "tcp [::1]:443");
    }

    #[test]
    fn a_socket_connected_to_itself_is_not_a_service() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        let deadline = Instant::from_millis(1000);
        let state = ConnState::Connecting { request: Vec::new() };
        let mut probe = Probe { socket, state, statuses: vec![], timeout: Duration::from_secs(1), deadline };
        assert_eq!(probe.poll(Instant::START), Poll::Failed("Connection refused (os error 111)".to_owned()));
    }

    #[test]
    fn host_and_path_cannot_add_another_request() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        for (host, path) in [("a", "/ HTTP/1.0"), ("a", "/\r\nX: y"), ("a\nX: y", "/"), ("a", "/\0")] {
            let target =
                Target::Http { address, host: host.to_owned(), path: path.to_owned(), statuses: vec![] };
            let error = Probe::start(&target, Instant::START, Duration::from_secs(1)).unwrap_err();
            assert!(error.to_string().ends_with("a space or control character in host or path"), "{error}");
        }
    }
}
