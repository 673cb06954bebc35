//! One connection to the status server: reads the request, waits for the response, writes it. Knows no listener and no
//! router.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::http::{self, LONGEST_REQUEST, Parsed};
use super::request::{Endpoint, Request};
use crate::sys::listener::{Progress, Stream};
use crate::sys::poller::Interest;
use crate::time::Instant;
use crate::token::{Poller, Token};

/// The longest that a connection may last.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has not sent its request after this time gives way to others.
pub(super) const GRACE: Duration = Duration::from_millis(100);
/// A client that has not read its response after this time gives way to others.
const SLOW: Duration = Duration::from_secs(1);

/// The bytes read after the response from a client that sends too much, so that it can still read the response.
const MOST_DRAINED: usize = 4 * 1024 * 1024;
/// The bytes of them that are read at once, and the time until the next ones.
const DRAINED_AT_ONCE: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(10);

/// How much may be read from all connections in one turn, in bytes.
#[derive(Debug)]
pub(super) struct ReadBudget(usize);

impl ReadBudget {
    const PER_TURN: usize = 64 * 1024;

    pub(super) const fn full() -> Self {
        Self(Self::PER_TURN)
    }

    /// Reads at most `buffer.len()` bytes, and nothing once the budget is spent: then the poller reports the connection
    /// again in the next turn.
    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> Progress {
        let most = buffer.len().min(self.0);
        if most == 0 {
            return Progress::Later;
        }
        let progress = stream.read(&mut buffer[..most]);
        if let Progress::Some(count) = progress {
            self.0 -= count;
        }
        progress
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    /// Its number in [`Token::Connection`].
    number: u32,
    endpoint: Endpoint,
    stream: Stream,
    state: ConnState,
    accepted: Instant,
    /// The event that the descriptor is watched for; `None` before it is watched.
    interest: Option<Interest>,
}

#[derive(Debug)]
enum ConnState {
    Reading(Vec<u8>),
    /// The response is missing.
    Requested(Request),
    Writing {
        response: Vec<u8>,
        sent: usize,
    },
    /// The response is sent. So many more bytes are read and discarded, a few at a time.
    Draining {
        left: usize,
        /// Nothing is read before.
        rest_until: Instant,
    },
}

/// The connections that may be closed in favor of a new one come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// It has its response.
    Answered,
    /// Its request is not complete.
    Idle,
    /// It does not read its response.
    Slow,
    /// It is about to send its request or to get its response: it is never closed.
    Served,
}

/// The progress of a connection.
enum Poll {
    Pending(Interest),
    /// [`Connection::respond`] is due.
    Requested,
    Closed,
}

impl Connection {
    /// A connection accepted at the moment `accepted`.
    pub(super) fn new(number: u32, endpoint: Endpoint, stream: Stream, accepted: Instant) -> Self {
        let state = match endpoint {
            Endpoint::Document => ConnState::Requested(Request::Document),
            Endpoint::Health => ConnState::Requested(Request::Health),
            Endpoint::Http => ConnState::Reading(vec![]),
        };
        Self { number, endpoint, stream, state, accepted, interest: None }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// When it has lasted too long.
    pub(super) fn deadline(&self) -> Instant {
        self.accepted + TIMEOUT
    }

    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.stream.peer()
    }

    /// When [`Connection::advance`] has something to do although the descriptor is not ready.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        match self.state {
            ConnState::Draining { rest_until, .. } if self.interest == Some(Interest::Closed) => {
                Some(rest_until)
            }
            ConnState::Draining { .. }
            | ConnState::Reading(_)
            | ConnState::Requested(_)
            | ConnState::Writing { .. } => None,
        }
    }

    /// The client has finished sending, or the rest is over.
    pub(super) fn end_rest(&mut self) {
        if let ConnState::Draining { rest_until, .. } = &mut self.state {
            *rest_until = Instant::START;
        }
    }

    /// Whether it may be closed when another client is waiting.
    pub(super) fn claim(&self, now: Instant) -> Claim {
        match self.state {
            ConnState::Draining { .. } => Claim::Answered,
            ConnState::Reading(_) if now.since(self.accepted) >= GRACE => Claim::Idle,
            ConnState::Requested(_) | ConnState::Writing { .. } if now.since(self.accepted) >= SLOW => {
                Claim::Slow
            }
            ConnState::Reading(_) | ConnState::Requested(_) | ConnState::Writing { .. } => Claim::Served,
        }
    }

    /// The request that waits for its response.
    pub(super) fn request(&self) -> Option<Request> {
        match self.state {
            ConnState::Requested(request) => Some(request),
            ConnState::Reading(_) | ConnState::Writing { .. } | ConnState::Draining { .. } => None,
        }
    }

    /// Sets the whole response; [`Connection::advance`] sends it.
    pub(super) fn respond(&mut self, response: Vec<u8>) {
        self.state = ConnState::Writing { response, sent: 0 };
    }

    /// Makes as much progress as possible without blocking. Returns `false` if the connection is closed, or cannot be
    /// watched and so not be served.
    pub(super) fn advance(&mut self, now: Instant, budget: &mut ReadBudget, poller: &Poller) -> bool {
        match self.poll(now, budget) {
            Poll::Pending(interest) => {
                let token = Token::Connection(self.number);
                poller.watch_only_for(self.stream.as_fd(), token, &mut self.interest, interest).is_ok()
            }
            Poll::Requested => true,
            Poll::Closed => false,
        }
    }

    /// Ends the watch. Closing the descriptor does so as well, so an error is harmless.
    pub(super) fn forget(&self, poller: &Poller) {
        if self.interest.is_some() {
            let _ = poller.forget(self.stream.as_fd());
        }
    }

    fn poll(&mut self, now: Instant, budget: &mut ReadBudget) -> Poll {
        loop {
            match &mut self.state {
                ConnState::Reading(request) => match read_some(budget, &mut self.stream, request) {
                    Progress::Some(_) => {}
                    Progress::Later => return Poll::Pending(Interest::Readable),
                    Progress::Ended => return Poll::Closed,
                },
                ConnState::Requested(_) => return Poll::Requested,
                ConnState::Writing { response, sent } => match self.stream.write(&response[*sent..]) {
                    Progress::Some(count) => *sent += count,
                    Progress::Later => return Poll::Pending(Interest::Writable),
                    Progress::Ended => return Poll::Closed,
                },
                ConnState::Draining { left, rest_until } => {
                    return drain(now, &mut self.stream, budget, left, rest_until);
                }
            }
            if let Some(next) = self.next_state() {
                self.state = next;
            }
        }
    }

    /// The state after one that is complete.
    fn next_state(&self) -> Option<ConnState> {
        match &self.state {
            ConnState::Reading(request) => match http::parse(request) {
                Parsed::Incomplete => None,
                Parsed::Request { page, body } => Some(ConnState::Requested(Request::Http { page, body })),
                Parsed::Rejected(status) => {
                    Some(ConnState::Writing { response: http::rejection(status), sent: 0 })
                }
            },
            ConnState::Writing { response, sent } if *sent == response.len() => {
                // Closing a socket with unread data resets the connection, and the client may lose the response.
                self.stream.finish();
                Some(ConnState::Draining { left: MOST_DRAINED, rest_until: Instant::START })
            }
            ConnState::Requested(_) | ConnState::Writing { .. } | ConnState::Draining { .. } => None,
        }
    }
}

/// Reads a little and then rests: a client that sends without end must not keep us busy.
fn drain(
    now: Instant,
    stream: &mut Stream,
    budget: &mut ReadBudget,
    left: &mut usize,
    rest_until: &mut Instant,
) -> Poll {
    if now < *rest_until {
        return Poll::Pending(Interest::Closed);
    }
    match budget.read(stream, &mut [0; DRAINED_AT_ONCE]) {
        Progress::Some(count) if count < *left => {
            *left -= count;
            *rest_until = now + REST;
            Poll::Pending(Interest::Closed)
        }
        Progress::Later => Poll::Pending(Interest::Readable),
        Progress::Some(_) | Progress::Ended => Poll::Closed,
    }
}

fn read_some(budget: &mut ReadBudget, stream: &mut Stream, request: &mut Vec<u8>) -> Progress {
    let mut buffer = [0; 1_024];
    let space = buffer.len().min(LONGEST_REQUEST - request.len());
    let progress = budget.read(stream, &mut buffer[..space]);
    if let Progress::Some(count) = progress {
        request.extend_from_slice(&buffer[..count]);
    }
    progress
}
