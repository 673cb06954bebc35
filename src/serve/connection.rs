//! One connection to the status server: its socket, what that is watched for, and the course of the exchange. Knows no
//! listener and no router.

use std::net::IpAddr;
use std::os::fd::AsFd;

use super::exchange::{Claim, Exchange, Poll, ReadBudget, Transport};
use super::request::{Endpoint, Request};
use crate::sys::listener::{Progress, Stream};
use crate::sys::poller::Interest;
use crate::time::Instant;
use crate::token::{Poller, Token};

#[derive(Debug)]
pub(super) struct Connection {
    /// Its number in [`Token::Connection`].
    number: u32,
    endpoint: Endpoint,
    stream: Stream,
    exchange: Exchange,
    /// The event that the descriptor is watched for; `None` before it is watched.
    interest: Option<Interest>,
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Progress {
        self.read(buffer)
    }

    fn write(&mut self, octets: &[u8]) -> Progress {
        self.write(octets)
    }

    fn finish(&mut self) {
        Self::finish(self);
    }
}

impl Connection {
    /// A connection accepted at the moment `accepted`.
    pub(super) fn new(number: u32, endpoint: Endpoint, stream: Stream, accepted: Instant) -> Self {
        Self { number, endpoint, stream, exchange: Exchange::new(endpoint, accepted), interest: None }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.stream.peer()
    }

    /// When it has lasted too long.
    pub(super) fn deadline(&self) -> Instant {
        self.exchange.deadline()
    }

    /// When [`Connection::advance`] has something to do although the descriptor is not ready.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.exchange.rests_until()
    }

    /// The client has finished sending, or the rest is over.
    pub(super) fn end_rest(&mut self) {
        self.exchange.end_rest();
    }

    /// Whether it may be closed when another client is waiting.
    pub(super) fn claim(&self, now: Instant) -> Claim {
        self.exchange.claim(now)
    }

    /// The request that waits for its response.
    pub(super) fn request(&self) -> Option<Request> {
        self.exchange.request()
    }

    /// Sets the whole response; [`Connection::advance`] sends it.
    pub(super) fn respond(&mut self, response: Vec<u8>) {
        self.exchange.respond(response);
    }

    /// Makes as much progress as possible without blocking. Returns `false` if the connection is closed, or cannot be
    /// watched and so not be served.
    pub(super) fn advance(&mut self, now: Instant, budget: &mut ReadBudget, poller: &Poller) -> bool {
        match self.exchange.poll(now, budget, &mut self.stream) {
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
}
