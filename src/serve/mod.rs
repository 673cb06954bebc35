//! Who asks for the state, over the status socket or HTTP: a bounded number of connections, each with a deadline,
//! none of them waited for; knows no router.

mod http;

use std::os::fd::AsFd;
use std::time::Duration;

use crate::config::{ServeConfig, health_socket};
use crate::sys::Error;
use crate::sys::listener::{Listener, Progress, Stream};
use crate::sys::poller::Interest;
use crate::time::Instant;
use crate::token::{Poller, Token};
use http::{LONGEST_REQUEST, Request};
pub(crate) use http::{Page, response};

/// The listeners, in the order of their tokens.
const LISTENERS: [Way; 3] = [Way::Document, Way::Health, Way::Http];

/// So many are served at once of each way; one more, and the oldest of that way has waited long enough.
const MOST: usize = 16;
/// How long a connection may take, from its beginning to its end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a socket that cannot be had is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// What a client that says too much is still listened to, so that it gets to read our refusal.
const MOST_DRAINED: usize = 4 * 1024 * 1024;

/// By which socket somebody asks. The first two are never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Document,
    Health,
    Http,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Everything.
    Document,
    /// Only what a healthcheck needs.
    Health,
    Http {
        page: Page,
        body: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Server {
    config: ServeConfig,
    /// By token.
    listeners: [Option<Listener>; LISTENERS.len()],
    /// That it cannot be had was said.
    said: [bool; LISTENERS.len()],
    again_at: Option<Instant>,
    connections: Vec<Connection>,
    accepted: u32,
}

#[derive(Debug)]
struct Connection {
    /// Its number in [`Token::Connection`].
    number: u32,
    way: Way,
    stream: Stream,
    stage: Stage,
    deadline: Instant,
    /// What is watched for; `None` before the first step.
    interest: Option<Interest>,
}

#[derive(Debug)]
enum Stage {
    Reading(Vec<u8>),
    /// [`Server::reply`] is due.
    Asking(Ask),
    /// So many of these octets are sent.
    Writing(Vec<u8>, usize),
    /// All is sent; so many octets more may come, which are of no interest.
    Draining(usize),
}

/// How a connection goes on.
enum Step {
    Wait(Interest),
    /// Until the answer is there.
    Rest,
    End,
}

impl Server {
    /// Nothing is open yet: [`Server::open`] is due.
    pub(crate) fn new(config: ServeConfig) -> Self {
        Self {
            config,
            listeners: [const { None }; LISTENERS.len()],
            said: [false; LISTENERS.len()],
            again_at: Some(Instant::START),
            connections: vec![],
            accepted: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().map(|c| c.deadline).chain(self.again_at).min()
    }

    /// Opens what is not open and ends what took too long. Answers what cannot be had, once.
    pub(crate) fn expire(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        for late in self.connections.extract_if(.., |c| c.deadline <= now) {
            end(&late, poller);
        }
        if self.again_at.is_some_and(|at| at <= now) { self.open(now, poller) } else { vec![] }
    }

    fn open(&mut self, now: Instant, poller: &Poller) -> Vec<Error> {
        self.again_at = None;
        let mut errors = vec![];
        for (at, way) in LISTENERS.into_iter().enumerate() {
            let opened = match (way, &self.config) {
                _ if self.listeners[at].is_some() => continue,
                (Way::Document, ServeConfig { socket: Some(path), .. }) => Listener::at_path(path),
                (Way::Health, ServeConfig { socket: Some(path), .. }) => {
                    Listener::at_path(&health_socket(path))
                }
                (Way::Http, ServeConfig { metrics: Some(address), .. }) => Listener::at_port(*address),
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
                    self.again_at = Some(now + AGAIN);
                    // Of two at one place one sentence will do.
                    let alike = way == Way::Health && self.said[0];
                    if !std::mem::replace(&mut self.said[at], true) && !alike {
                        errors.push(e);
                    }
                }
            }
        }
        errors
    }

    /// A client waits at the listening socket.
    pub(crate) fn accept_ready(&mut self, listener: u32, now: Instant, poller: &Poller) {
        let which = usize::try_from(listener).unwrap_or(usize::MAX);
        if let Some(way) = LISTENERS.get(which) {
            self.accept(which, *way, now, poller);
        }
    }

    /// The connection can make progress.
    pub(crate) fn connection_ready(&mut self, number: u32, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number == number) {
            self.advance(at, poller);
        }
    }

    /// Somebody who waits for an answer, and to what.
    pub(crate) fn next_ask(&self) -> Option<(u32, Ask)> {
        self.connections.iter().find_map(|connection| match connection.stage {
            Stage::Asking(ask) => Some((connection.number, ask)),
            Stage::Reading(_) | Stage::Writing(..) | Stage::Draining(_) => None,
        })
    }

    /// The whole response to the connection of that number.
    pub(crate) fn reply(&mut self, number: u32, octets: Vec<u8>, poller: &Poller) {
        if let Some(at) = self.connections.iter().position(|c| c.number == number) {
            self.connections[at].stage = Stage::Writing(octets, 0);
            self.advance(at, poller);
        }
    }

    /// Takes those who wait, as many as may be served at once: a flood of them may not delay an advert.
    fn accept(&mut self, which: usize, way: Way, now: Instant, poller: &Poller) {
        for _ in 0..MOST {
            let Some(listener) = &self.listeners[which] else { return };
            // Out of descriptors: they are freed when the deadlines pass.
            let Ok(Some(stream)) = listener.accept() else { return };
            let mut same = self.connections.iter().enumerate().filter(|(_, c)| c.way == way);
            if let Some((oldest, _)) = same.next()
                && 1 + same.count() >= MOST
            {
                end(&self.connections.remove(oldest), poller);
            }
            let number = self.accepted;
            self.accepted = self.accepted.wrapping_add(1);
            let stage = match way {
                Way::Document => Stage::Asking(Ask::Document),
                Way::Health => Stage::Asking(Ask::Health),
                Way::Http => Stage::Reading(vec![]),
            };
            let deadline = now + PATIENCE;
            let connection = Connection { number, way, stream, stage, deadline, interest: None };
            self.connections.push(connection);
            self.advance(self.connections.len() - 1, poller);
        }
    }

    fn advance(&mut self, at: usize, poller: &Poller) {
        let connection = &mut self.connections[at];
        let watched = match connection.step() {
            Step::Wait(interest) => connection.watch(interest, poller),
            Step::Rest => true,
            Step::End => false,
        };
        if !watched {
            end(&self.connections.remove(at), poller);
        }
    }
}

/// A descriptor that is closed is no longer watched either; only its token may still come.
fn end(connection: &Connection, poller: &Poller) {
    if connection.interest.is_some() {
        let _ = poller.forget(connection.stream.as_fd());
    }
}

impl Connection {
    /// `false` when it cannot be watched, and so not be served.
    fn watch(&mut self, interest: Interest, poller: &Poller) -> bool {
        poller
            .watch_only_for(self.stream.as_fd(), Token::Connection(self.number), &mut self.interest, interest)
            .is_ok()
    }

    /// Goes on as far as possible without waiting.
    fn step(&mut self) -> Step {
        loop {
            match &mut self.stage {
                Stage::Reading(request) => match read_some(&mut self.stream, request) {
                    Progress::Some(_) => {}
                    Progress::Later => return Step::Wait(Interest::Readable),
                    Progress::Ended => return Step::End,
                },
                Stage::Asking(_) => return Step::Rest,
                Stage::Writing(octets, sent) => match self.stream.write(&octets[*sent..]) {
                    Progress::Some(count) => *sent += count,
                    Progress::Later => return Step::Wait(Interest::Writable),
                    Progress::Ended => return Step::End,
                },
                Stage::Draining(left) => match self.stream.read(&mut [0; 4_096]) {
                    Progress::Some(count) if count < *left => *left -= count,
                    Progress::Later => return Step::Wait(Interest::Readable),
                    Progress::Some(_) | Progress::Ended => return Step::End,
                },
            }
            if let Some(next) = self.next() {
                self.stage = next;
            }
        }
    }

    /// The stage after one that is complete.
    fn next(&self) -> Option<Stage> {
        match &self.stage {
            Stage::Reading(request) => match Request::read(request) {
                Request::Incomplete => None,
                Request::For { page, body } => Some(Stage::Asking(Ask::Http { page, body })),
                Request::Refused(status) => Some(Stage::Writing(http::refusal(status), 0)),
            },
            Stage::Writing(octets, sent) if *sent == octets.len() => {
                // To close with something unread would take the answer back.
                self.stream.finish();
                Some(Stage::Draining(MOST_DRAINED))
            }
            Stage::Asking(_) | Stage::Writing(..) | Stage::Draining(_) => None,
        }
    }
}

fn read_some(stream: &mut Stream, request: &mut Vec<u8>) -> Progress {
    let mut buffer = [0; 1_024];
    let room = buffer.len().min(LONGEST_REQUEST - request.len());
    let progress = stream.read(&mut buffer[..room]);
    if let Progress::Some(count) = progress {
        request.extend_from_slice(&buffer[..count]);
    }
    progress
}
