//! A single probe of a service over TCP or HTTP, which never blocks. Knows no interval and draws no conclusions.

pub mod http;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use super::Error;
use super::poller::Interest;
use crate::time::{Instant, millis};
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
}

impl Target {
    /// The address to connect to.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) | Self::Http { address, .. } => *address,
        }
    }
}

/// As an operator writes it: `tcp 127.0.0.1:80`, `http://127.0.0.1:80/health`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { address, path, .. } => write!(f, "http://{address}{path}"),
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
    stream: TcpStream,
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
}

impl Probe {
    /// Starts to connect. The probe ends at `now` + `timeout` at the latest. Call [`Probe::poll`] next, to learn what to
    /// wait for.
    ///
    /// # Errors
    /// The probe could not be made, which says nothing about the service: no descriptor, memory or local port is left, the
    /// host does not support the address family, or the host or path contains a space or control character.
    pub fn start(target: &Target, now: Instant, timeout: Duration) -> Result<Self, Error> {
        let failed = || Error::doing("start the check", &target);
        let request = request(target).map_err(failed())?;
        let address = target.address();
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, None).map_err(failed())?;
        let state = match socket.connect(&address.into()) {
            Err(e) if is(&e, &OURS) => return Err(failed()(e)),
            Err(e) if !is(&e, &[Errno::EINPROGRESS, Errno::EINTR]) => ConnState::Refused(e.to_string()),
            Ok(()) | Err(_) => ConnState::Connecting { request },
        };
        let statuses = match target {
            Target::Http { statuses, .. } => statuses.clone(),
            Target::Tcp(_) => vec![],
        };
        Ok(Self { stream: socket.into(), state, statuses, timeout, deadline: now + timeout })
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
                    if !connected(&self.stream)? {
                        return Ok(Poll::Pending(Interest::Writable));
                    }
                    if request.is_empty() {
                        return Ok(Poll::Passed);
                    }
                    self.state = ConnState::Sending { request: std::mem::take(request), sent: 0 };
                }
                ConnState::Sending { request, sent } => {
                    match self.stream.write(&request[*sent..]) {
                        Ok(count) => *sent += count,
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {
                            return Ok(Poll::Pending(Interest::Writable));
                        }
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                    if *sent == request.len() {
                        self.state = ConnState::Reading { answer: Vec::new() };
                    }
                }
                ConnState::Reading { answer } => match read(&mut self.stream, answer) {
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
            }
        }
    }

    /// The kernel's reason for the end of the connection, and whether it had been established.
    fn lost(&self, e: &io::Error) -> String {
        match self.state {
            ConnState::Refused(_) | ConnState::Connecting { .. } => e.to_string(),
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
            ConnState::Sending { .. } | ConnState::Reading { .. } => {
                format!("connected, but no answer {within}")
            }
        }
    }
}

/// The connection, which is closed when the probe is dropped.
impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Empty for TCP. A space or line end in the host or path could turn the request into a different one.
fn request(target: &Target) -> io::Result<Vec<u8>> {
    let Target::Http { host, path, .. } = target else { return Ok(Vec::new()) };
    if [host, path].into_iter().any(|part| part.contains(|c: char| c.is_whitespace() || c.is_control())) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a space or control character in host or path"));
    }
    Ok(http::request(host, path))
}

/// Whether the connection is established.
///
/// # Errors
/// It failed.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(e) = stream.take_error()? {
        return Err(e);
    }
    let Ok(peer) = stream.peer_addr() else { return Ok(false) };
    // If nothing listens on a port of the ephemeral range, the kernel may assign this very port to our socket, which then
    // connects to itself.
    if stream.local_addr()? == peer {
        return Err(Errno::ECONNREFUSED.into());
    }
    Ok(true)
}

/// Reads once and appends to `answer` up to its limit. Returns how many octets were read.
fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut octets = [0; READ];
    let count = stream.read(&mut octets)?;
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
        StatusLine::Status(status) => Some(Poll::Failed(format!("answered with status {status:03}"))),
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
        let mut probe = Probe {
            stream: socket.into(),
            state,
            statuses: vec![],
            timeout: Duration::from_secs(1),
            deadline,
        };
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
