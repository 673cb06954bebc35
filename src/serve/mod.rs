//! The status server: listens at the status sockets and at METRICS_LISTEN, with a bounded number of connections that
//! each have a deadline. Never blocks. Knows no router; the daemon writes the responses.

mod connection;
mod http;
mod request;

use std::os::fd::AsFd;
use std::time::Duration;

use crate::config::{ServeConfig, health_socket};
use crate::sys::Error;
use crate::sys::listener::Listener;
use crate::time::Instant;
use crate::token::{Poller, Token};
use connection::Connection;
pub(crate) use http::{Page, response};
use request::Endpoint;
pub(crate) use request::Request;

/// In the order of the numbers in [`Token::Listener`].
const ENDPOINTS: [Endpoint; 3] = [Endpoint::Document, Endpoint::Health, Endpoint::Http];

/// The most connections of one endpoint. A further one closes the oldest.
const MOST: usize = 16;
/// The longest that a connection may last.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time between attempts to open a listener.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The listeners and connections.
#[derive(Debug)]
pub(crate) struct Server {
    config: ServeConfig,
    /// In the order of [`ENDPOINTS`]; `None` if not open.
    listeners: [Option<Listener>; ENDPOINTS.len()],
    /// The error of opening each listener has been reported.
    error_reported: [bool; ENDPOINTS.len()],
    retry_at: Option<Instant>,
    connections: Vec<Connection>,
    accepted: u32,
}

impl Server {
    /// A server without listeners. The first [`Server::expire`] opens them.
    pub(crate) fn new(config: ServeConfig) -> Self {
        Self {
            config,
            listeners: [const { None }; ENDPOINTS.len()],
            error_reported: [false; ENDPOINTS.len()],
            retry_at: Some(Instant::START),
            connections: vec![],
            accepted: 0,
        }
    }

    /// When [`Server::expire`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().map(Connection::deadline).chain(self.retry_at).min()
    }

    /// Opens missing listeners and closes connections that timed out. Returns why a listener cannot be opened, once each.
    pub(crate) fn expire(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        for late in self.connections.extract_if(.., |c| c.deadline() <= now) {
            late.forget(poller);
        }
        if self.retry_at.is_some_and(|at| at <= now) { self.open(now, poller) } else { vec![] }
    }

    fn open(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        self.retry_at = None;
        let mut errors = vec![];
        for (at, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let opened = match (endpoint, &self.config) {
                _ if self.listeners[at].is_some() => continue,
                (Endpoint::Document, ServeConfig { socket: Some(path), .. }) => Listener::at_path(path),
                (Endpoint::Health, ServeConfig { socket: Some(path), .. }) => {
                    Listener::at_path(&health_socket(path))
                }
                (Endpoint::Http, ServeConfig { metrics: Some(address), .. }) => Listener::at_port(*address),
                _ => continue,
            };
            let token = Token::Listener(u32::try_from(at).unwrap_or(u32::MAX));
            let watched = opened.and_then(|listener| {
                poller.watch(listener.as_fd(), token)?;
                Ok(listener)
            });
            match watched {
                Ok(listener) => self.listeners[at] = Some(listener),
                Err(e) => {
                    self.retry_at = Some(now + RETRY_INTERVAL);
                    // Both sockets are in one folder and usually fail for the same reason.
                    let repeated = endpoint == Endpoint::Health && self.error_reported[0];
                    if !std::mem::replace(&mut self.error_reported[at], true) && !repeated {
                        errors.push(e);
                    }
                }
            }
        }
        errors
    }

    /// The listener of that number has a connection to accept.
    pub(crate) fn accept_ready(&mut self, listener: u32, now: Instant, poller: &Poller) {
        let at = usize::try_from(listener).unwrap_or(usize::MAX);
        if let Some(endpoint) = ENDPOINTS.get(at) {
            self.accept(at, *endpoint, now, poller);
        }
    }

    /// The connection of that number can make progress.
    pub(crate) fn connection_ready(&mut self, number: u32, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number() == number) {
            self.advance(at, poller);
        }
    }

    /// A request that waits for its response, with the number of its connection.
    pub(crate) fn next_request(&self) -> Option<(u32, Request)> {
        self.connections.iter().find_map(|c| c.request().map(|request| (c.number(), request)))
    }

    /// Sends the whole response to the connection of that number.
    pub(crate) fn respond(&mut self, number: u32, response: Vec<u8>, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number() == number) {
            self.connections[at].respond(response);
            self.advance(at, poller);
        }
    }

    /// Accepts at most [`MOST`] connections at once, so that a flood of clients cannot delay an advert.
    fn accept(&mut self, at: usize, endpoint: Endpoint, now: Instant, poller: &Poller) {
        for _ in 0..MOST {
            let Some(listener) = &self.listeners[at] else { return };
            // Out of descriptors: the deadlines of the connections free them.
            let Ok(Some(stream)) = listener.accept() else { return };
            let mut same = self.connections.iter().enumerate().filter(|(_, c)| c.endpoint() == endpoint);
            if let Some((oldest, _)) = same.next()
                && 1 + same.count() >= MOST
            {
                self.connections.remove(oldest).forget(poller);
            }
            let number = self.accepted;
            self.accepted = self.accepted.wrapping_add(1);
            self.connections.push(Connection::new(number, endpoint, stream, now + TIMEOUT));
            self.advance(self.connections.len() - 1, poller);
        }
    }

    fn advance(&mut self, at: usize, poller: &Poller) {
        if !self.connections[at].advance(poller) {
            self.connections.remove(at).forget(poller);
        }
    }
}
