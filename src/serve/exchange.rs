//! The course of one connection to the status server: reads the request, waits for the response, sends it, and discards what
//! the client still sends. Knows no socket: transport and time are arguments. The fuzz targets call it with any client.

use std::time::Duration;

use super::http::{self, LONGEST_REQUEST, Parsed};
use super::request::{Endpoint, Request};
use crate::sys::listener::Progress;
use crate::sys::poller::Interest;
use crate::time::Instant;

/// The longest that a connection may last.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has not sent its request after this time gives way to others.
pub const GRACE: Duration = Duration::from_millis(100);
/// A client that has not read its response after this time gives way to others.
pub const SLOW: Duration = Duration::from_secs(1);

/// The bytes read after the response from a client that sends too much, so that it can still read the response.
pub const MOST_DRAINED: usize = 4 * 1024 * 1024;
/// The bytes of them that are read at once, and the time until the next ones.
const DRAINED_AT_ONCE: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(10);

/// A connected client. Nothing here blocks.
pub trait Transport {
    fn read(&mut self, buffer: &mut [u8]) -> Progress;
    fn write(&mut self, octets: &[u8]) -> Progress;
    /// Shuts down the sending direction. The client can still send.
    fn finish(&mut self);
}

/// How much may be read from all connections in one turn, in bytes.
#[derive(Debug)]
pub struct ReadBudget(usize);

impl ReadBudget {
    pub const PER_TURN: usize = 64 * 1024;

    pub const fn full() -> Self {
        Self(Self::PER_TURN)
    }

    /// Reads at most `buffer.len()` bytes, and nothing once the budget is spent: then the poller reports the connection
    /// again in the next turn.
    fn read(&mut self, client: &mut impl Transport, buffer: &mut [u8]) -> Progress {
        let most = buffer.len().min(self.0);
        if most == 0 {
            return Progress::Later;
        }
        let progress = client.read(&mut buffer[..most]);
        if let Progress::Some(count) = progress {
            self.0 -= count;
        }
        progress
    }
}

#[derive(Debug)]
pub struct Exchange {
    /// Nothing is read from the client, and nothing that it sends can cost it the response.
    is_local: bool,
    state: State,
    accepted: Instant,
    /// What it waited for when it was last polled.
    awaits: Option<Interest>,
}

#[derive(Debug)]
enum State {
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
pub enum Claim {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    Pending(Interest),
    /// [`Exchange::respond`] is due.
    Requested,
    Closed,
}

impl Exchange {
    /// With a client that was accepted at the moment `accepted`.
    pub fn new(endpoint: Endpoint, accepted: Instant) -> Self {
        let state = match endpoint {
            Endpoint::Document => State::Requested(Request::Document),
            Endpoint::Health => State::Requested(Request::Health),
            Endpoint::Http => State::Reading(vec![]),
        };
        Self { is_local: endpoint.is_local(), state, accepted, awaits: None }
    }

    /// When it has lasted too long.
    pub fn deadline(&self) -> Instant {
        self.accepted + TIMEOUT
    }

    /// When [`Exchange::poll`] has something to do although the client is not ready.
    pub fn rests_until(&self) -> Option<Instant> {
        match self.state {
            State::Draining { rest_until, .. } if self.awaits == Some(Interest::Closed) => Some(rest_until),
            State::Draining { .. } | State::Reading(_) | State::Requested(_) | State::Writing { .. } => None,
        }
    }

    /// The client has finished sending, or the rest is over.
    pub fn end_rest(&mut self) {
        if let State::Draining { rest_until, .. } = &mut self.state {
            *rest_until = Instant::START;
        }
    }

    /// Whether it may be closed when another client is waiting.
    pub fn claim(&self, now: Instant) -> Claim {
        match self.state {
            State::Draining { .. } => Claim::Answered,
            State::Reading(_) if now.since(self.accepted) >= GRACE => Claim::Idle,
            State::Requested(_) | State::Writing { .. } if now.since(self.accepted) >= SLOW => Claim::Slow,
            State::Reading(_) | State::Requested(_) | State::Writing { .. } => Claim::Served,
        }
    }

    /// The request that waits for its response.
    pub fn request(&self) -> Option<Request> {
        match self.state {
            State::Requested(request) => Some(request),
            State::Reading(_) | State::Writing { .. } | State::Draining { .. } => None,
        }
    }

    /// Sets the whole response; [`Exchange::poll`] sends it.
    pub fn respond(&mut self, response: Vec<u8>) {
        self.state = State::Writing { response, sent: 0 };
    }

    /// Makes as much progress as possible without blocking.
    pub fn poll(&mut self, now: Instant, budget: &mut ReadBudget, client: &mut impl Transport) -> Poll {
        let poll = self.advance(now, budget, client);
        if let Poll::Pending(interest) = poll {
            self.awaits = Some(interest);
        }
        poll
    }

    fn advance(&mut self, now: Instant, budget: &mut ReadBudget, client: &mut impl Transport) -> Poll {
        loop {
            match &mut self.state {
                State::Reading(request) => match read_some(budget, client, request) {
                    Progress::Some(_) => {}
                    Progress::Later => return Poll::Pending(Interest::Readable),
                    Progress::Ended => return Poll::Closed,
                },
                State::Requested(_) => return Poll::Requested,
                State::Writing { response, sent } => match client.write(&response[*sent..]) {
                    Progress::Some(count) => *sent += count,
                    Progress::Later => return Poll::Pending(Interest::Writable),
                    Progress::Ended => return Poll::Closed,
                },
                State::Draining { .. } if self.is_local => return Poll::Closed,
                State::Draining { left, rest_until } => return drain(now, client, budget, left, rest_until),
            }
            if let Some(next) = self.next_state(client) {
                self.state = next;
            }
        }
    }

    /// The state after one that is complete.
    fn next_state(&self, client: &mut impl Transport) -> Option<State> {
        match &self.state {
            State::Reading(request) => match http::parse(request) {
                Parsed::Incomplete => None,
                Parsed::Request { page, body } => Some(State::Requested(Request::Http { page, body })),
                Parsed::Rejected(status) => {
                    Some(State::Writing { response: http::rejection(status), sent: 0 })
                }
            },
            State::Writing { response, sent } if *sent == response.len() => {
                // Closing a socket with unread data resets the connection, and the client may lose the response.
                client.finish();
                Some(State::Draining { left: MOST_DRAINED, rest_until: Instant::START })
            }
            State::Requested(_) | State::Writing { .. } | State::Draining { .. } => None,
        }
    }
}

/// Reads a little and then rests: a client that sends without end must not keep us busy.
fn drain(
    now: Instant,
    client: &mut impl Transport,
    budget: &mut ReadBudget,
    left: &mut usize,
    rest_until: &mut Instant,
) -> Poll {
    if now < *rest_until {
        return Poll::Pending(Interest::Closed);
    }
    match budget.read(client, &mut [0; DRAINED_AT_ONCE]) {
        Progress::Some(count) if count < *left => {
            *left -= count;
            *rest_until = now + REST;
            Poll::Pending(Interest::Closed)
        }
        Progress::Later => Poll::Pending(Interest::Readable),
        Progress::Some(_) | Progress::Ended => Poll::Closed,
    }
}

fn read_some(budget: &mut ReadBudget, client: &mut impl Transport, request: &mut Vec<u8>) -> Progress {
    let mut buffer = [0; 1_024];
    let space = buffer.len().min(LONGEST_REQUEST - request.len());
    let progress = budget.read(client, &mut buffer[..space]);
    if let Progress::Some(count) = progress {
        request.extend_from_slice(&buffer[..count]);
    }
    progress
}
