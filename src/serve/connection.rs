//! One connection to the status server: reads the request, waits for the response, writes it. Knows no listener and no
//! router.

use std::os::fd::AsFd;

use super::http::{self, LONGEST_REQUEST, Parsed};
use super::request::{Endpoint, Request};
use crate::sys::listener::{Progress, Stream};
use crate::sys::poller::Interest;
use crate::time::Instant;
use crate::token::{Poller, Token};

/// The bytes read after the response from a client that sends too much, so that it can still read the response.
const MOST_DRAINED: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    /// Its number in [`Token::Connection`].
    number: u32,
    endpoint: Endpoint,
    stream: Stream,
    state: ConnState,
    deadline: Instant,
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
    /// The response is sent. So many more bytes are read and discarded.
    Draining(usize),
}

/// The progress of a connection.
enum Poll {
    Pending(Interest),
    /// [`Connection::respond`] is due.
    Requested,
    Closed,
}

impl Connection {
    pub(super) fn new(number: u32, endpoint: Endpoint, stream: Stream, deadline: Instant) -> Self {
        let state = match endpoint {
            Endpoint::Document => ConnState::Requested(Request::Document),
            Endpoint::Health => ConnState::Requested(Request::Health),
            Endpoint::Http => ConnState::Reading(vec![]),
        };
        Self { number, endpoint, stream, state, deadline, interest: None }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The request that waits for its response.
    pub(super) fn request(&self) -> Option<Request> {
        match self.state {
            ConnState::Requested(request) => Some(request),
            ConnState::Reading(_) | ConnState::Writing { .. } | ConnState::Draining(_) => None,
        }
    }

    /// Sets the whole response; [`Connection::advance`] sends it.
    pub(super) fn respond(&mut self, response: Vec<u8>) {
        self.state = ConnState::Writing { response, sent: 0 };
    }

    /// Makes as much progress as possible without blocking. Returns `false` if the connection is closed, or cannot be
    /// watched and so not be served.
    pub(super) fn advance(&mut self, poller: &Poller) -> bool {
        match self.poll() {
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

    fn poll(&mut self) -> Poll {
        loop {
            match &mut self.state {
                ConnState::Reading(request) => match read_some(&mut self.stream, request) {
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
                ConnState::Draining(left) => match self.stream.read(&mut [0; 4_096]) {
                    Progress::Some(count) if count < *left => *left -= count,
                    Progress::Later => return Poll::Pending(Interest::Readable),
                    Progress::Some(_) | Progress::Ended => return Poll::Closed,
                },
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
                Some(ConnState::Draining(MOST_DRAINED))
            }
            ConnState::Requested(_) | ConnState::Writing { .. } | ConnState::Draining(_) => None,
        }
    }
}

fn read_some(stream: &mut Stream, request: &mut Vec<u8>) -> Progress {
    let mut buffer = [0; 1_024];
    let space = buffer.len().min(LONGEST_REQUEST - request.len());
    let progress = stream.read(&mut buffer[..space]);
    if let Progress::Some(count) = progress {
        request.extend_from_slice(&buffer[..count]);
    }
    progress
}
