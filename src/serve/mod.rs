//! The status server: listens at the status sockets and at METRICS_LISTEN, with a bounded number of connections that
//! each have a deadline. Never blocks. Knows no router; the daemon writes the responses.

mod connection;
pub mod exchange;
pub mod http;
pub mod request;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::config::{ServeConfig, health_socket};
use crate::sys::Error;
use crate::sys::limits::{Descriptors, Purpose};
use crate::sys::listener::Listener;
use crate::time::Instant;
use crate::token::{Poller, Token};
use connection::Connection;
use exchange::{Claim, GRACE, ReadBudget};
pub(crate) use http::{Page, response};
use request::Endpoint;
pub(crate) use request::Request;

/// In the order of the numbers in [`Token::Listener`].
const ENDPOINTS: [Endpoint; 3] = [Endpoint::Document, Endpoint::Health, Endpoint::Http];

/// The most connections of one endpoint, if so many descriptors may be open. A further one closes another one, or waits.
const MOST: usize = 32;
/// The part of the descriptor limit that one endpoint may use: one in so many.
const SHARE: usize = 8;
/// The most connections accepted in one turn.
const MOST_ACCEPTED: usize = 16;
/// The order in which listeners are opened: the container's health check comes first.
const BY_IMPORTANCE: [usize; ENDPOINTS.len()] = [1, 0, 2];
/// How long accepting pauses when no descriptor is left and none of ours is freed.
const PAUSE: Duration = Duration::from_secs(1);
/// The time between attempts to open a listener.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The listeners and connections.
#[derive(Debug)]
pub(crate) struct Server {
    config: ServeConfig,
    descriptors: Descriptors,
    /// So many are opened after the first listeners, for what is more important.
    to_come: usize,
    /// The listeners with connections to accept at the end of the turn.
    ready: [bool; ENDPOINTS.len()],
    /// In the order of [`ENDPOINTS`]; `None` if not open.
    listeners: [Option<Listener>; ENDPOINTS.len()],
    /// The error of opening each listener has been reported.
    error_reported: [bool; ENDPOINTS.len()],
    retry_at: Option<Instant>,
    /// When the paths of the sockets were last checked.
    checked_at: Instant,
    /// The listeners that are not watched, because no connection can be accepted.
    paused: [bool; ENDPOINTS.len()],
    /// When they are watched again; `None` while none is paused.
    resume_at: Option<Instant>,
    connections: Vec<Connection>,
    read_budget: ReadBudget,
    accepted: u32,
}

impl Server {
    /// A server without listeners. The first [`Server::expire`] opens them, and leaves `to_come` descriptors to what is more
    /// important and opened later.
    pub(crate) fn new(config: ServeConfig, descriptors: Descriptors, to_come: usize) -> Self {
        Self {
            config,
            descriptors,
            to_come,
            ready: [false; ENDPOINTS.len()],
            listeners: [const { None }; ENDPOINTS.len()],
            error_reported: [false; ENDPOINTS.len()],
            retry_at: Some(Instant::START),
            checked_at: Instant::START,
            paused: [false; ENDPOINTS.len()],
            resume_at: None,
            connections: vec![],
            read_budget: ReadBudget::full(),
            accepted: 0,
        }
    }

    /// When [`Server::expire`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let others = self.retry_at.into_iter().chain(self.resume_at);
        let rests = self.connections.iter().filter_map(Connection::rests_until);
        self.connections.iter().map(Connection::deadline).chain(rests).chain(others).min()
    }

    /// Does what is due at the end of a turn: closes connections that timed out, opens missing listeners and resumes the
    /// paused ones. Returns why a listener cannot be opened, once each.
    pub(crate) fn expire(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        self.read_budget = ReadBudget::full();
        while let Some(at) = self.connections.iter().position(|c| c.deadline() <= now) {
            self.close(at, poller);
        }
        let rested = |c: &Connection| c.rests_until().is_some_and(|until| until <= now);
        let rested: Vec<_> = self.connections.iter().filter(|c| rested(c)).map(Connection::number).collect();
        for number in rested {
            self.connection_ready(number, now, poller);
        }
        if self.resume_at.take_if(|at| *at <= now).is_some() {
            self.resume(now, poller);
        }
        self.drop_lost(now);
        if self.retry_at.is_some_and(|at| at <= now) { self.open(now, poller) } else { vec![] }
    }

    /// Has a socket opened again whose path was removed, as by what cleans /run: nobody can connect to it any more. Nothing
    /// reports that, and it is no reason to wake up.
    fn drop_lost(&mut self, now: Instant) {
        if now.since(self.checked_at) < RETRY_INTERVAL {
            return;
        }
        self.checked_at = now;
        for (listener, paused) in self.listeners.iter_mut().zip(&mut self.paused) {
            if listener.take_if(|listener| listener.is_lost()).is_some() {
                *paused = false;
                self.retry_at = Some(now);
            }
        }
    }

    fn open(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        self.retry_at = None;
        let descriptors = self.descriptors.without(std::mem::take(&mut self.to_come));
        let mut errors = [const { None }; ENDPOINTS.len()];
        for at in BY_IMPORTANCE {
            let opened = match (ENDPOINTS[at], &self.config) {
                _ if self.listeners[at].is_some() => continue,
                (Endpoint::Document, ServeConfig { socket: Some(path), .. }) => Listener::at_path(path),
                (Endpoint::Health, ServeConfig { socket: Some(path), .. }) => {
                    Listener::at_path(&health_socket(path))
                }
                (Endpoint::Http, ServeConfig { metrics: Some(address), .. }) => Listener::at_port(*address),
                _ => continue,
            };
            let watched = opened.and_then(|listener| {
                let purpose = if ENDPOINTS[at].is_local() { Purpose::Status } else { Purpose::Metrics };
                descriptors.admit(purpose, &listener).map_err(listener.unavailable())?;
                poller.watch(listener.as_fd(), token(at))?;
                Ok(listener)
            });
            match watched {
                Ok(listener) => {
                    self.listeners[at] = Some(listener);
                    self.error_reported[at] = false;
                }
                Err(e) => {
                    self.retry_at = Some(now + RETRY_INTERVAL);
                    errors[at] = Some(e).filter(|_| !std::mem::replace(&mut self.error_reported[at], true));
                }
            }
        }
        // Both sockets are in one folder and usually fail for the same reason.
        errors[1].take_if(|_| self.error_reported[0]);
        errors.into_iter().flatten().collect()
    }

    /// The listener of that number has a connection for [`Server::accept_ready`].
    pub(crate) fn listener_ready(&mut self, listener: u32) {
        let at = usize::try_from(listener).unwrap_or(usize::MAX);
        if let Some(ready) = self.ready.get_mut(at) {
            *ready = true;
        }
    }

    /// Accepts what is waiting. At the end of a turn, so that a client of the status can be answered with the descriptor that
    /// the scan of the turn has used.
    pub(crate) fn accept_ready(&mut self, now: Instant, poller: &Poller) {
        for (at, endpoint) in ENDPOINTS.into_iter().enumerate() {
            if std::mem::take(&mut self.ready[at]) {
                self.accept(at, endpoint, now, poller);
            }
        }
    }

    /// The connection of that number can make progress.
    pub(crate) fn connection_ready(&mut self, number: u32, now: Instant, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number() == number) {
            self.connections[at].end_rest();
            self.advance(at, now, poller);
        }
    }

    /// A request that waits for its response, with the number of its connection.
    pub(crate) fn next_request(&self) -> Option<(u32, Request)> {
        self.connections.iter().find_map(|c| c.request().map(|request| (c.number(), request)))
    }

    /// Sends the whole response to the connection of that number.
    pub(crate) fn respond(&mut self, number: u32, response: Vec<u8>, now: Instant, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number() == number) {
            self.connections[at].respond(response);
            self.advance(at, now, poller);
        }
    }

    /// Accepts at most [`MOST_ACCEPTED`] connections at once, so that a flood of clients cannot delay an advert.
    fn accept(&mut self, at: usize, endpoint: Endpoint, now: Instant, poller: &Poller) {
        let most = (self.descriptors.limit() / SHARE).clamp(1, MOST);
        let purpose = if endpoint.is_local() { Purpose::StatusClient } else { Purpose::MetricsClient };
        for _ in 0..MOST_ACCEPTED {
            let Some(listener) = &self.listeners[at] else { return };
            let full = self.connections.iter().filter(|c| c.endpoint() == endpoint).count() >= most;
            let victim = self.victim(endpoint, now);
            if full && victim.is_none() {
                return self.pause(at, now + GRACE, poller);
            }
            let stream = match listener.accept() {
                Ok(Some(stream)) if self.descriptors.admit(purpose, &stream).is_ok() => stream,
                Ok(None) => return,
                // Out of descriptors. The next connection stays in the queue, and the listener readable.
                Ok(Some(_)) | Err(_) => return self.pause(at, now + PAUSE, poller),
            };
            if let Some(victim) = victim.filter(|_| full) {
                self.close(victim, poller);
            }
            let number = self.accepted;
            self.accepted = self.accepted.wrapping_add(1);
            self.connections.push(Connection::new(number, endpoint, stream, now));
            self.advance(self.connections.len() - 1, now, poller);
        }
    }

    /// The connection that gives way to a new one: one that has its response, else one of the client with the most idle
    /// connections, else one whose client is slow; the oldest of them. A client that opens many connections thus closes its
    /// own.
    fn victim(&self, endpoint: Endpoint, now: Instant) -> Option<usize> {
        let all = || self.connections.iter().enumerate().filter(|(_, c)| c.endpoint() == endpoint);
        let of_peer = |peer: Option<IpAddr>| all().filter(|(_, c)| c.peer() == peer).count();
        let order = |at: usize, c: &Connection| (c.claim(now), usize::MAX - of_peer(c.peer()), at);
        let candidates = all().filter(|(_, c)| c.claim(now) != Claim::Served);
        candidates.min_by_key(|(at, c)| order(*at, c)).map(|(at, _)| at)
    }

    /// Stops watching the listener, which would be reported in every turn.
    fn pause(&mut self, at: usize, until: Instant, poller: &Poller) {
        let Some(listener) = &self.listeners[at] else { return };
        self.paused[at] = poller.forget(listener.as_fd()).is_ok();
        self.resume_at = Some(self.resume_at.map_or(until, |at| at.min(until)));
    }

    /// Watches the paused listeners again.
    fn resume(&mut self, now: Instant, poller: &Poller) {
        for (at, paused) in self.paused.iter_mut().enumerate() {
            let Some(listener) = self.listeners[at].as_ref().filter(|_| *paused) else { continue };
            match poller.watch(listener.as_fd(), token(at)) {
                Ok(()) => *paused = false,
                Err(_) => self.resume_at = Some(now + PAUSE),
            }
        }
    }

    fn advance(&mut self, at: usize, now: Instant, poller: &Poller) {
        if !self.connections[at].advance(now, &mut self.read_budget, poller) {
            self.close(at, poller);
        }
    }

    /// Closes the connection. Its descriptor is free for another one.
    fn close(&mut self, at: usize, poller: &Poller) {
        self.connections.remove(at).forget(poller);
        if self.resume_at.is_some() {
            self.resume_at = Some(Instant::START);
        }
    }
}

/// Of the listener with this index.
fn token(at: usize) -> Token {
    Token::Listener(u32::try_from(at).unwrap_or(u32::MAX))
}
