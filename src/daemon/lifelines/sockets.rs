//! Opens and watches the sockets of the lifelines, passes what happens to the state machine, and performs its actions.
//! Knows no router: needs come in as values, and deaths go out as such.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::listeners::Listeners;
use super::messages;
use super::needs::{Death, Needs, News};
use crate::daemon::rate_limiter::{Admission, RateLimiter};
use crate::interfaces::Interfaces;
use crate::lifeline::{
    Action, Close, End, Endpoint, Failure, Guarded, Identity, LifelineId, Lifelines, State, Trouble, Wanted,
    Way,
};
use crate::sys::lifeline::{Place, Progress, Stream, address};
use crate::sys::limits::Descriptors;
use crate::sys::poller::Interest;
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::Vrid;

/// The most connections accepted in one turn.
const MOST_ACCEPTED: usize = 16;
/// Octets read from one connection in one turn.
const READ: usize = 512;

/// An open socket.
#[derive(Debug)]
struct Open {
    id: LifelineId,
    stream: Stream,
    is_connecting: bool,
    /// Our address, and its link.
    local: (IpAddr, u32),
}

#[derive(Debug)]
pub(super) struct Sockets {
    port: u16,
    place: Place,
    protocol: Lifelines,
    needs: Needs,
    guarded: Guarded,
    listeners: Listeners,
    open: Vec<Open>,
    news: Vec<News>,
    limiter: RateLimiter,
    is_stopped: bool,
}

impl Sockets {
    /// `None`: there are too few descriptors for any.
    pub(super) fn new(port: u16, descriptors: Descriptors, now: Instant) -> Option<Self> {
        let place = Place::within(descriptors)?;
        // The standard library has the kernel's random numbers, and this is how to get at them.
        let identity = Identity(RandomState::new().build_hasher().finish().to_be_bytes());
        Some(Self {
            port,
            place,
            protocol: Lifelines::new(identity, now),
            needs: Needs::default(),
            guarded: Guarded::default(),
            listeners: Listeners::new(port, place),
            open: vec![],
            news: vec![],
            limiter: RateLimiter::default(),
            is_stopped: false,
        })
    }

    /// When [`Sockets::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.protocol.deadline().into_iter().chain(self.listeners.deadline()).min()
    }

    /// The needs of the routers have changed.
    pub(super) fn update(&mut self, needs: Needs, now: Instant, poller: &Poller) {
        if self.is_stopped {
            return;
        }
        self.needs = needs;
        self.leave_lost_links(now);
        self.protocol.set_routers(self.needs.routers.clone(), self.needs.ranks.clone());
        // First, so that no backup that hears our advert is refused.
        self.listeners.update(&self.needs.services, now, poller);
        self.want(now, poller);
    }

    /// A connection ends with the address or the link that our end is on, and no packet would say so.
    fn leave_lost_links(&mut self, now: Instant) {
        let remains = |open: &Open| self.needs.sources.iter().any(|at| (at.address, at.link) == open.local);
        for open in self.open.iter().filter(|open| !remains(open)) {
            self.protocol.displaced(now, open.id);
        }
    }

    /// The families whose addresses the kernel here silences at our death.
    pub(super) fn set_guarded(&mut self, guarded: Guarded, now: Instant, poller: &Poller) {
        if std::mem::replace(&mut self.guarded, guarded) != guarded && !self.is_stopped {
            self.want(now, poller);
        }
    }

    fn want(&mut self, now: Instant, poller: &Poller) {
        let hosts: Vec<Wanted> = self.needs.hosts.iter().map(|way| way.wanted).collect();
        let serving = (!self.needs.services.is_empty()).then_some(self.guarded);
        self.protocol.want(now, &hosts, serving);
        self.perform(now, poller);
    }

    /// A listener has connections to accept.
    pub(super) fn accept(&mut self, number: u32, interfaces: &Interfaces, now: Instant, poller: &Poller) {
        for _ in 0..MOST_ACCEPTED {
            let Some((stream, remote)) = self.listeners.accept(number, interfaces, now) else { return };
            let Some(local) = self.listeners.local(number) else { return };
            let id = remote.and_then(|(remote, way)| self.protocol.accept(now, remote, way));
            match id {
                Some(id) => self.watch(Open { id, stream, is_connecting: false, local }, now, poller),
                None => stream.abort(),
            }
            self.perform(now, poller);
        }
    }

    fn watch(&mut self, open: Open, now: Instant, poller: &Poller) {
        let interest = if open.is_connecting { Interest::Writable } else { Interest::Readable };
        let watched = poller.watch_for(open.stream.as_fd(), Token::Lifeline(open.id), interest);
        let id = open.id;
        self.open.push(open);
        if watched.is_err() {
            self.protocol.stuck(now, id);
        }
    }

    /// Something happened on a connection.
    pub(super) fn ready(&mut self, id: LifelineId, now: Instant, poller: &Poller) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return };
        if std::mem::take(&mut open.is_connecting) {
            let established = open.stream.establish();
            let watched = poller.rewatch(open.stream.as_fd(), Token::Lifeline(id), Interest::Readable);
            match established {
                Ok(()) if watched.is_ok() => self.protocol.established(now, id),
                Ok(()) => self.protocol.stuck(now, id),
                Err(e) => {
                    self.close(id, Close::Finish, poller);
                    self.protocol.failed(now, id, failure(&e));
                }
            }
        } else {
            let mut buffer = [0; READ];
            let end = match open.stream.read(&mut buffer) {
                Progress::Some(count) => {
                    self.protocol.received(now, id, &buffer[..count]);
                    None
                }
                Progress::Later => None,
                Progress::Finished => Some(End::Finished),
                Progress::Broken => Some(End::Broken),
            };
            if let Some(end) = end {
                self.close(id, Close::Abort, poller);
                self.protocol.ended(now, id, end);
            }
        }
        self.perform(now, poller);
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, now: Instant, poller: &Poller) {
        self.listeners.expire(now, poller);
        // The next advert of a master wakes us anyway.
        if self.protocol.deadline().is_some_and(|at| at <= now) || self.protocol.names_again(now) {
            self.protocol.expire(now);
            self.perform(now, poller);
        }
    }

    /// Says goodbye: what happens from now on is no death.
    pub(super) fn stop(&mut self, now: Instant, poller: &Poller) {
        self.is_stopped = true;
        self.listeners.close();
        self.protocol.stop();
        self.perform(now, poller);
    }

    /// See [`Listeners::take_moved`].
    pub(super) fn take_moved(&mut self) -> Vec<(IpAddr, u32)> {
        self.listeners.take_moved()
    }

    /// What the routers have to know, in order, since the last call.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The lifeline of a master that a backup here follows.
    pub(super) fn state(&self, master: Endpoint, vrid: Vrid) -> State {
        self.protocol.state(master, vrid.octet())
    }

    /// What is wrong with it, and what to do.
    pub(super) fn problem(&self, trouble: Trouble) -> String {
        messages::sentence(trouble, self.port)
    }

    /// The connected backups of masters here.
    pub(super) fn backups(&self) -> Vec<IpAddr> {
        self.protocol.backups().map(|backup| backup.address).collect()
    }

    /// The backup that takes over at once when a master here with this source address gives way.
    pub(super) fn successor(&self, from: IpAddr, vrid: Vrid) -> Option<IpAddr> {
        self.protocol.successor(from, vrid.octet()).map(|backup| backup.address)
    }

    /// Whether a backup would see our death.
    pub(super) fn has_backups(&self) -> bool {
        self.protocol.backups().next().is_some()
    }

    /// Why no backup can connect to this address.
    pub(super) fn closed(&self, address: IpAddr) -> Option<&str> {
        self.listeners.problem(address)
    }

    /// What was set last.
    pub(super) fn guarded(&self) -> Guarded {
        self.guarded
    }

    /// Performs what the state machine wants, until it wants nothing more.
    fn perform(&mut self, now: Instant, poller: &Poller) {
        loop {
            let actions = self.protocol.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Open { id, to, followed } => self.connect(id, to, followed, now, poller),
                    Action::Send { id, octets } => {
                        let open = self.open.iter_mut().find(|open| open.id == id);
                        if open.is_some_and(|open| !open.stream.write(&octets)) {
                            self.protocol.stuck(now, id);
                        }
                    }
                    Action::Close { id, how } => self.close(id, how, poller),
                    Action::Died { from, guarded, routers } => {
                        self.news.push(News::Died(Death { from, guarded, routers }));
                    }
                    Action::Named { from, vrid, priority } => {
                        self.news.push(News::Named { from, vrid, priority });
                    }
                    Action::Connected(to) => {
                        log::info!(event = "lifeline"; "Lifeline to {}: connected", to.address);
                    }
                    Action::Failed(to, trouble) => self.log_failure(now, to, trouble),
                }
            }
        }
    }

    fn connect(&mut self, id: LifelineId, to: Endpoint, followed: bool, now: Instant, poller: &Poller) {
        let Some(way) = self.needs.hosts.iter().find(|way| way.wanted.endpoint == to) else { return };
        let dial = |from: u16| {
            let to = address(to.address, to.scope, self.port);
            let beside = self.listeners.at(&way.local);
            Stream::connect(&way.local, from, to, way.on_link, beside, self.place)
                .map(|stream| (stream, from))
        };
        let local = (way.local.address, way.local.link);
        let first = dial(if way.unicast { self.port } else { 0 });
        let connecting = match first {
            // A connection before this one may still have the port. From another one, only a firewall is in the way.
            Err(e) if way.unicast && followed && is_in_use(&e) => dial(0),
            other => other,
        };
        match connecting {
            Ok((stream, from)) => {
                self.protocol.opened(id, if from == 0 { Way::Opened } else { Way::Both });
                self.watch(Open { id, stream, is_connecting: true, local }, now, poller);
            }
            Err(e) => {
                log::debug!(event = "lifeline"; "cannot connect to {}: {e}", to.address);
                self.protocol.failed(now, id, failure(&e));
            }
        }
    }

    fn close(&mut self, id: LifelineId, how: Close, poller: &Poller) {
        if let Some(at) = self.open.iter().position(|open| open.id == id) {
            let open = self.open.swap_remove(at);
            // Closing it ends the watch as well, so an error is harmless.
            let _ = poller.forget(open.stream.as_fd());
            if how == Close::Abort {
                open.stream.abort();
            }
        }
    }

    fn log_failure(&mut self, now: Instant, to: Endpoint, trouble: Trouble) {
        let topic = messages::name(trouble);
        if self.limiter.record(now, topic, to.address, 1) == Admission::Suppress {
            return;
        }
        let (address, text) = (to.address, messages::sentence(trouble, self.port));
        match trouble {
            Trouble::Closed => log::debug!(event = "lifeline"; "Lifeline to {address}: {text}"),
            Trouble::Refused => log::info!(event = "lifeline"; "Lifeline to {address}: {text}"),
            Trouble::Blocked
            | Trouble::Unreachable
            | Trouble::Silent
            | Trouble::NotALifeline
            | Trouble::OtherProcess
            | Trouble::Version(_) => log::warn!(event = "lifeline"; "Lifeline to {address}: {text}"),
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    // What a firewall may answer, or our own.
    let unanswered = [
        ErrorKind::TimedOut,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::PermissionDenied,
    ];
    if error.kind() == ErrorKind::ConnectionRefused {
        Failure::Refused
    } else if unanswered.contains(&error.kind()) {
        Failure::Unanswered
    } else {
        Failure::Unreachable
    }
}

fn is_in_use(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
}
