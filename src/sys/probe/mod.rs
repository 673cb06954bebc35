//! One question to a service, by TCP or HTTP, without ever blocking; knows no interval, and not what the answer
//! is good for.

pub mod http;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use super::Error;
use super::poller::Interest;
use crate::time::Instant;
use http::{LONGEST_LINE, StatusLine};

/// Octets read at once: most answers whole, so that closing does not reset the connection under the server.
const READ: usize = 2048;

/// Refusals of `connect` that are not the service's: no memory, or no port to ask from.
const OURS: [Errno; 3] = [Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];

/// Whom to ask, and what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A connection must be accepted.
    Tcp(SocketAddr),
    /// A GET must be answered with 2xx or 3xx.
    Http {
        /// Where to connect to.
        address: SocketAddr,
        /// What the `Host` line says: the URL's host, with its port when that is not 80.
        host: String,
        /// What is asked for, with the query: begins with `/`.
        path: String,
    },
}

impl Target {
    /// Where the connection goes to.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) | Self::Http { address, .. } => *address,
        }
    }
}

/// As an operator would write it: `tcp 127.0.0.1:80`, `http://127.0.0.1:80/health`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { address, path, .. } => write!(f, "http://{address}{path}"),
        }
    }
}

/// How far a probe has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// [`Probe::advance`] again when this is so, and at the deadline.
    Pending(Interest),
    /// The service answered as it should.
    Passed,
    /// It did not, for this reason: what follows `tcp 127.0.0.1:80: `.
    Failed(String),
}

/// A question under way. Dropping it closes the connection.
#[derive(Debug)]
pub struct Probe {
    stream: TcpStream,
    stage: Stage,
    timeout: Duration,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// `connect` itself gave the answer.
    Refused(String),
    Connecting {
        /// Empty when a connection is all that is asked for.
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
    /// Begins to connect; takes until `now` + `timeout` at most. Ask [`Probe::advance`] at once what to wait for.
    ///
    /// # Errors
    /// When it is ours that fails, not the service: no descriptor, memory, port or such address family is left to
    /// ask with, or host or path of the target hold a space or control character. That says nothing of the
    /// service.
    pub fn start(target: &Target, now: Instant, timeout: Duration) -> Result<Self, Error> {
        let failed = || Error::doing("begin the check", &target);
        let request = request(target).map_err(failed())?;
        let address = target.address();
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, None).map_err(failed())?;
        let stage = match socket.connect(&address.into()) {
            Err(e) if is(&e, &OURS) => return Err(failed()(e)),
            Err(e) if !is(&e, &[Errno::EINPROGRESS, Errno::EINTR]) => Stage::Refused(e.to_string()),
            Ok(()) | Err(_) => Stage::Connecting { request },
        };
        Ok(Self { stream: socket.into(), stage, timeout, deadline: now + timeout })
    }

    /// When to [`Probe::advance`] even if nothing has happened.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Does what can be done without waiting; may be called at any time. After [`Step::Passed`] or
    /// [`Step::Failed`] the probe has served and is to be dropped.
    pub fn advance(&mut self, now: Instant) -> Step {
        let step = self.go_on().unwrap_or_else(|e| Step::Failed(self.lost(&e)));
        // What has come in time counts though it is looked at late.
        if matches!(step, Step::Pending(_)) && self.deadline <= now {
            return Step::Failed(self.too_late());
        }
        step
    }

    fn go_on(&mut self) -> io::Result<Step> {
        loop {
            match &mut self.stage {
                Stage::Refused(reason) => return Ok(Step::Failed(std::mem::take(reason))),
                Stage::Connecting { request } => {
                    if !connected(&self.stream)? {
                        return Ok(Step::Pending(Interest::Writable));
                    }
                    if request.is_empty() {
                        return Ok(Step::Passed);
                    }
                    self.stage = Stage::Sending { request: std::mem::take(request), sent: 0 };
                }
                Stage::Sending { request, sent } => {
                    match self.stream.write(&request[*sent..]) {
                        Ok(count) => *sent += count,
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {
                            return Ok(Step::Pending(Interest::Writable));
                        }
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                    if *sent == request.len() {
                        self.stage = Stage::Reading { answer: Vec::new() };
                    }
                }
                Stage::Reading { answer } => match read(&mut self.stream, answer) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        return Ok(Step::Pending(Interest::Readable));
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    outcome => {
                        if let Some(step) = judge(answer, outcome? == 0) {
                            return Ok(step);
                        }
                    }
                },
            }
        }
    }

    /// The kernel's word for the end of the connection, and whether there had been one.
    fn lost(&self, e: &io::Error) -> String {
        match self.stage {
            Stage::Refused(_) | Stage::Connecting { .. } => e.to_string(),
            Stage::Sending { .. } | Stage::Reading { .. } => format!("connected, then: {e}"),
        }
    }

    fn too_late(&self) -> String {
        // Not as they come, in 128 bits: nothing else here writes or divides such numbers.
        let ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let within = format!("within {ms} ms");
        match &self.stage {
            Stage::Refused(_) | Stage::Connecting { .. } => format!("no connection {within}"),
            Stage::Reading { answer } if !answer.is_empty() => {
                format!("the answer began, but its first line did not end {within}")
            }
            Stage::Sending { .. } | Stage::Reading { .. } => format!("connected, but no answer {within}"),
        }
    }
}

/// The connection; closed when the probe is dropped.
impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Empty for TCP. A space or line end in what is pasted into the request would make it another request.
fn request(target: &Target) -> io::Result<Vec<u8>> {
    let Target::Http { host, path, .. } = target else { return Ok(Vec::new()) };
    if [host, path].into_iter().any(|part| part.contains(|c: char| c.is_whitespace() || c.is_control())) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a space or control character in host or path"));
    }
    Ok(http::request(host, path))
}

/// Whether the connection stands.
///
/// # Errors
/// It never will.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(e) = stream.take_error()? {
        return Err(e);
    }
    let Ok(peer) = stream.peer_addr() else { return Ok(false) };
    // Where nobody listens on a port that the kernel also gives out, it may give out that very one, and the
    // socket then connects to itself.
    if stream.local_addr()? == peer {
        return Err(Errno::ECONNREFUSED.into());
    }
    Ok(true)
}

/// Adds to `answer` what of the octets read belongs to the line; answers how many were read.
fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut octets = [0; READ];
    let count = stream.read(&mut octets)?;
    let room = LONGEST_LINE - answer.len();
    answer.extend_from_slice(&octets[..count.min(room)]);
    Ok(count)
}

/// `None` while it is open.
fn judge(answer: &[u8], closed: bool) -> Option<Step> {
    let failed = |reason: &str| Some(Step::Failed(reason.to_owned()));
    match http::status_line(answer) {
        StatusLine::Status(200..=399) => Some(Step::Passed),
        StatusLine::Status(status) => Some(Step::Failed(format!("answered with status {status:03}"))),
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
    fn targets_read_as_an_operator_writes_them() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let http = Target::Http { address, host: "localhost".to_owned(), path: "/health".to_owned() };
        assert_eq!(Target::Tcp(address).to_string(), "tcp 127.0.0.1:80");
        assert_eq!(http.to_string(), "http://127.0.0.1:80/health");
        let six = Target::Tcp("[::1]:443".parse().unwrap());
        assert_eq!(six.to_string(), "tcp [::1]:443");
    }

    #[test]
    fn a_socket_connected_to_itself_is_no_service() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        let deadline = Instant::from_millis(1000);
        let stage = Stage::Connecting { request: Vec::new() };
        let mut probe = Probe { stream: socket.into(), stage, timeout: Duration::from_secs(1), deadline };
        assert_eq!(
            probe.advance(Instant::START),
            Step::Failed("Connection refused (os error 111)".to_owned())
        );
    }

    #[test]
    fn a_request_cannot_be_made_into_two() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        for (host, path) in [("a", "/ HTTP/1.0"), ("a", "/\r\nX: y"), ("a\nX: y", "/"), ("a", "/\0")] {
            let target = Target::Http { address, host: host.to_owned(), path: path.to_owned() };
            let error = Probe::start(&target, Instant::START, Duration::from_secs(1)).unwrap_err();
            assert!(error.to_string().ends_with("a space or control character in host or path"), "{error}");
        }
    }
}
