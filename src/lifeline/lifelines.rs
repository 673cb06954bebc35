//! All connections of this process to other hosts, and what the end of one means. Events and the time in, actions out:
//! it knows no socket.
//!
//! The death of a master is the end (FIN) of a connection on which it has greeted and not said goodbye: only the kernel
//! closes it so. Nothing else counts, neither a reset nor a closed port: a firewall may answer for a process that lives.
//! A host or a link that fails is silent, and silence is what the adverts are for.

mod needed;
mod succession;

use std::time::Duration;

use super::accepted;
use super::connection::{Connection, Endpoint, Heard, Way, speaks};
use super::event::{Action, Close, End, Failure, State};
use super::exchange::Ranks;
use super::frame::{Frame, Guarded, Identity, Malformed, Routers};
use super::host::{Host, Trouble, Wanted};
use super::pace::Budget;
use crate::ids::LifelineId;
use crate::time::Instant;

/// The most hosts that we connect to.
const MOST_HOSTS: usize = 32;
/// The most attempts at once: forged adverts must not make us knock at every host.
const ATTEMPTS: u32 = 16;
/// The next advert may be of a better master.
const FIRST: Duration = Duration::from_millis(10);
/// A new master listens a moment after its first advert.
const SETTLE: Duration = Duration::from_millis(100);
/// A unicast peer usually connects by itself.
const INVITE_AFTER: Duration = Duration::from_secs(1);

/// The connections, and the hosts that we want one to.
#[derive(Debug)]
pub struct Lifelines {
    identity: Identity,
    /// What to greet with; `None`: we are master of nothing.
    serving: Option<Guarded>,
    /// The virtual routers of this process.
    routers: Vec<Routers>,
    ranks: Ranks,
    hosts: Vec<Host>,
    connections: Vec<Connection>,
    attempts: Budget,
    numbered: u32,
    actions: Vec<Action>,
}

impl Lifelines {
    /// None at first.
    pub fn new(identity: Identity, now: Instant) -> Self {
        Self {
            identity,
            serving: None,
            routers: vec![],
            ranks: Ranks::default(),
            hosts: vec![],
            connections: vec![],
            attempts: Budget::new(ATTEMPTS, now),
            numbered: 0,
            actions: vec![],
        }
    }

    /// What to do after the calls since the last one of this.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`Lifelines::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = self.connections.iter().filter_map(|c| self.patience(c));
        let attempts = self.hosts.iter().filter(|host| self.needs_attempt(host));
        let attempts = attempts.map(|host| host.retry_at.max(self.attempts.next()));
        let untold = self.connections.iter().filter_map(|c| c.exchange.deadline());
        waits.chain(attempts).chain(untold).min()
    }

    /// The lifeline to the master of the virtual router with this VRID.
    pub fn state(&self, of: Endpoint, vrid: u8) -> State {
        let Some(host) = self.hosts.iter().find(|host| host.endpoint == of) else { return State::Connecting };
        let connected = self.connections.iter().find_map(|c| match c.heard {
            Heard::Greeting { identity, .. }
                if host.bound == Some(identity) && !speaks(&c.theirs, of, vrid) =>
            {
                Some(State::Failed(Trouble::OtherProcess))
            }
            Heard::Greeting { identity, guarded } if host.bound == Some(identity) => {
                Some(State::Connected { since: c.open_since()?, guarded })
            }
            Heard::Greeting { .. } | Heard::Quiet(_) => None,
        });
        connected.unwrap_or(host.trouble.map_or(State::Connecting, State::Failed))
    }

    /// The hosts that would see our death: those that have a virtual router of ours.
    pub fn backups(&self) -> impl Iterator<Item = Endpoint> {
        self.connections.iter().filter(|c| c.has_greeted() && c.has_any(&self.routers)).map(|c| c.remote)
    }

    /// From the next call of [`Lifelines::want`] on, the virtual routers of this process, whatever their state.
    pub fn set_routers(&mut self, routers: Vec<Routers>, ranks: Ranks) {
        (self.routers, self.ranks) = (routers, ranks);
    }

    /// The hosts to connect to from now on, each once, and what to greet with; `None`: we are master of nothing.
    pub fn want(&mut self, now: Instant, wanted: &[Wanted], serving: Option<Guarded>) {
        self.serving = serving;
        self.hosts.retain(|host| wanted.iter().any(|wanted| wanted.endpoint == host.endpoint));
        for wanted in wanted {
            self.want_host(now, *wanted);
        }
        self.announce();
        self.expire(now);
    }

    fn want_host(&mut self, now: Instant, Wanted { endpoint, followed }: Wanted) {
        let since = followed.then_some(now);
        if let Some(host) = self.host(endpoint) {
            if host.followed.is_some() != followed {
                host.follow(since, now);
            }
        } else if self.hosts.len() < MOST_HOSTS {
            let retry_at = now + if followed { FIRST } else { INVITE_AFTER };
            let mut host = Host::new(endpoint, since, retry_at);
            let mut known = self.connections.iter().filter(|c| c.remote == endpoint);
            host.bound = known.find_map(Connection::identity);
            self.hosts.push(host);
        }
    }

    /// Says goodbye, and closes everything.
    pub fn stop(&mut self) {
        self.serving = None;
        self.hosts.clear();
        self.announce();
        self.close_unneeded();
    }

    /// Someone connected from this address; `None`: there is no room.
    pub fn accept(&mut self, now: Instant, remote: Endpoint, way: Way) -> Option<LifelineId> {
        if let Some(id) = accepted::in_the_way(&self.connections, remote, &self.routers) {
            self.close(id);
        }
        let room = self.connections.iter().filter(|c| c.accepted).count() < accepted::MOST;
        let id = self.next_id();
        self.serving.filter(|_| room)?;
        self.connections.push(Connection::accepted(id, remote, way, now));
        self.announce();
        Some(id)
    }

    /// The connection is on its way, and this is what each end may do.
    pub fn opened(&mut self, id: LifelineId, way: Way) {
        if let Some(connection) = self.connection(id) {
            connection.way = way;
        }
    }

    /// The connection that we have opened is established.
    pub fn established(&mut self, now: Instant, id: LifelineId) {
        if let Some(connection) = self.connection(id) {
            connection.establish(now);
            self.announce();
            self.tell(now);
        }
    }

    /// The connection could not be opened.
    pub fn failed(&mut self, now: Instant, id: LifelineId, failure: Failure) {
        let Some(connection) = self.remove(id) else { return };
        if let (Some(host), Failure::Refused) = (self.host(connection.remote), failure)
            && let Some(listens_at) = host.followed.map(|since| since + SETTLE).filter(|at| now < *at)
        {
            host.retry_at = listens_at;
            return;
        }
        self.trouble(
            now,
            connection.remote,
            match failure {
                Failure::Refused => Trouble::Refused,
                Failure::Unanswered => Trouble::Blocked,
                Failure::Unreachable => Trouble::Unreachable,
            },
        );
    }

    /// These octets came in.
    pub fn received(&mut self, now: Instant, id: LifelineId, octets: &[u8]) {
        let Some(connection) = self.connection(id) else { return };
        let remote = connection.remote;
        let trouble = match connection.receive(now, octets) {
            Ok(frames) => frames.into_iter().find_map(|frame| self.frame(now, id, frame).err()),
            Err(Malformed::NotALifeline) => Some(Trouble::NotALifeline),
            Err(Malformed::Version(version)) => Some(Trouble::Version(version)),
        };
        if let Some(trouble) = trouble {
            self.close(id);
            self.trouble(now, remote, trouble);
        }
        self.tell(now);
    }

    /// Returns why the connection is of no use any more.
    fn frame(&mut self, now: Instant, id: LifelineId, frame: Frame) -> Result<(), Trouble> {
        let Some(connection) = self.connection(id) else { return Ok(()) };
        if let Frame::Routers(routers) = frame {
            connection.learn(routers);
            if let Some(before) = accepted::superseded(&self.connections, id) {
                self.close(before);
            }
            return Ok(());
        }
        if let Frame::Standby(priorities) = frame {
            connection.exchange.learn_standby(&priorities);
            return Ok(());
        }
        let Some(connection) = self.connection(id).filter(|c| c.may_hear()) else { return Ok(()) };
        let remote = connection.remote;
        match (frame, &mut connection.heard) {
            (Frame::Greeting { identity, .. }, Heard::Greeting { identity: known, .. })
                if identity != *known =>
            {
                return Err(Trouble::NotALifeline);
            }
            (Frame::Greeting { identity, guarded }, heard) => {
                *heard = Heard::Greeting { identity, guarded };
                self.greeted(remote, identity);
                self.close_second(id, identity);
            }
            (Frame::Guarded(new), Heard::Greeting { guarded, .. }) => *guarded = new,
            (Frame::Successor(named), Heard::Greeting { identity, .. }) => {
                let (bound, named) = (*identity, connection.exchange.learn_named(&named));
                self.named(Some(bound), named);
            }
            (Frame::Goodbye, heard) => {
                *heard = Heard::Quiet(now);
                return self.goodbye(id);
            }
            (Frame::Routers(_) | Frame::Standby(_) | Frame::Successor(_), _) => {}
            (Frame::Guarded(_), Heard::Quiet(_)) => return Err(Trouble::NotALifeline),
        }
        Ok(())
    }

    /// The process there is no master any more.
    fn goodbye(&mut self, id: LifelineId) -> Result<(), Trouble> {
        let Some(connection) = self.connection(id) else { return Ok(()) };
        let (remote, way) = (connection.remote, connection.way);
        let named = connection.exchange.take_named();
        self.named(None, named);
        self.hosts.iter_mut().filter(|host| host.endpoint == remote).for_each(|host| host.bound = None);
        if way == Way::Opened {
            return Err(Trouble::Closed);
        }
        self.close_unneeded();
        Ok(())
    }

    fn greeted(&mut self, remote: Endpoint, identity: Identity) {
        if let Some(host) = self.host(remote) {
            let is_new = host.bound != Some(identity);
            host.greeted(identity);
            if is_new && host.followed.is_some() {
                self.actions.push(Action::Connected(remote));
            }
        }
    }

    /// A process needs one connection, whichever of its addresses it was opened to: of those that we opened, the first
    /// stays.
    fn close_second(&mut self, id: LifelineId, identity: Identity) {
        let others = self.connections.iter().filter(|c| c.id != id && c.identity() == Some(identity));
        let is_second = others.count() > 0;
        if is_second && self.connection(id).is_some_and(|c| c.way == Way::Opened) {
            self.close(id);
        }
    }

    /// The connection ended.
    pub fn ended(&mut self, now: Instant, id: LifelineId, end: End) {
        let Some(mut connection) = self.remove(id) else { return };
        let (remote, named) = (connection.remote, connection.exchange.take_named());
        match (connection.heard, end) {
            (Heard::Greeting { identity, guarded }, End::Finished) => {
                self.died(now, identity, guarded, connection.theirs);
            }
            (Heard::Greeting { identity, .. }, End::Broken) => self.unbind(now, identity),
            (Heard::Quiet(_), _) if connection.may_hear() => self.trouble(now, remote, Trouble::Closed),
            (Heard::Quiet(_), _) => {}
        }
        // After the death, if it is one: the successor is to know of it first.
        self.named(None, named);
        self.tell(now);
    }

    /// Our end of the connection is gone with the address or the link that it was on: neither end hears more of it.
    pub fn displaced(&mut self, now: Instant, id: LifelineId) {
        let Some(connection) = self.connection(id) else { return };
        let (remote, identity) = (connection.remote, connection.identity());
        self.close(id);
        for host in &mut self.hosts {
            if host.endpoint == remote || (identity.is_some() && host.bound == identity) {
                host.broke(now + SETTLE);
            }
        }
    }

    /// Nothing more could be sent on it: its reader is slow, or it broke.
    pub fn stuck(&mut self, now: Instant, id: LifelineId) {
        if let Some(mut connection) = self.remove(id) {
            self.named(None, connection.exchange.take_named());
            self.actions.push(Action::Close { id, how: Close::Abort });
            match connection.identity() {
                Some(identity) => self.unbind(now, identity),
                None => self.trouble(now, connection.remote, Trouble::Closed),
            }
        }
    }

    fn died(&mut self, now: Instant, identity: Identity, guarded: Guarded, routers: Vec<Routers>) {
        let ours = self.hosts.iter().filter(|host| host.bound == Some(identity) && host.followed.is_some());
        let from: Vec<_> = ours.map(|host| host.endpoint).collect();
        if !from.is_empty() {
            self.actions.push(Action::Died { from, guarded, routers });
        }
        // Its other connections end as well, which is no news.
        for connection in self.connections.iter_mut().filter(|c| c.identity() == Some(identity)) {
            connection.heard = Heard::Quiet(now);
        }
        self.unbind(now, identity);
    }

    /// The connection to this process is gone. It may be reset, or be a new process: both answer at once.
    fn unbind(&mut self, now: Instant, identity: Identity) {
        let bound = self.hosts.iter().filter(|host| host.bound == Some(identity));
        for endpoint in bound.map(|host| host.endpoint).collect::<Vec<_>>() {
            self.trouble(now, endpoint, Trouble::Closed);
            if let Some(host) = self.host(endpoint) {
                host.retry_at = now + SETTLE;
            }
        }
    }

    /// A connection to this host is of no use. Its process may have another one.
    fn trouble(&mut self, now: Instant, endpoint: Endpoint, trouble: Trouble) {
        let live: Vec<_> = self.connections.iter().filter_map(Connection::identity).collect();
        if let Some(host) = self.host(endpoint).filter(|h| h.bound.is_none_or(|bound| !live.contains(&bound)))
        {
            let is_new = host.failed(now, trouble);
            if is_new && host.followed.is_some() {
                self.actions.push(Action::Failed(endpoint, trouble));
            }
        }
    }

    /// Does what is due: closes what is not needed, gives up on what does not answer, and tries again.
    pub fn expire(&mut self, now: Instant) {
        self.close_unneeded();
        self.tell(now);
        let is_late = |c: &&Connection| self.patience(c).is_some_and(|at| at <= now);
        let late = self.connections.iter().filter(is_late);
        for (id, remote, is_open) in
            late.map(|c| (c.id, c.remote, c.open_since().is_some())).collect::<Vec<_>>()
        {
            if is_open {
                self.close(id);
                self.trouble(now, remote, Trouble::Silent);
            } else if let Some(host) = self.host(remote) {
                // The kernel goes on trying, less and less often.
                host.trouble = Some(Trouble::Blocked);
                self.actions.push(Action::Failed(remote, Trouble::Blocked));
            }
        }
        while let Some(at) = self.hosts.iter().position(|h| h.retry_at <= now && self.needs_attempt(h)) {
            if !self.attempts.take(now) {
                break;
            }
            let (to, followed) = (self.hosts[at].endpoint, self.hosts[at].followed.is_some());
            let id = self.next_id();
            self.connections.push(Connection::opening(id, to, now));
            self.actions.push(Action::Open { id, to, followed });
        }
    }

    /// Greets where we have not, and says what has changed.
    fn announce(&mut self) {
        for connection in &mut self.connections {
            let octets = connection.announce(self.identity, self.serving, &self.routers);
            if !octets.is_empty() {
                self.actions.push(Action::Send { id: connection.id, octets });
            }
        }
    }

    /// Closes a connection so that the other end does not take it for our death.
    fn close(&mut self, id: LifelineId) {
        let Some(mut connection) = self.remove(id) else { return };
        self.named(None, connection.exchange.take_named());
        let how = if connection.accepted || connection.has_greeted() { Close::Finish } else { Close::Abort };
        if connection.has_greeted() {
            self.actions.push(Action::Send { id, octets: Frame::Goodbye.octets() });
        }
        self.actions.push(Action::Close { id, how });
    }

    fn remove(&mut self, id: LifelineId) -> Option<Connection> {
        let at = self.connections.iter().position(|c| c.id == id)?;
        Some(self.connections.remove(at))
    }

    fn connection(&mut self, id: LifelineId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|c| c.id == id)
    }

    fn host(&mut self, endpoint: Endpoint) -> Option<&mut Host> {
        self.hosts.iter_mut().find(|host| host.endpoint == endpoint)
    }

    fn next_id(&mut self) -> LifelineId {
        self.numbered = self.numbered.wrapping_add(1);
        LifelineId(self.numbered)
    }
}
