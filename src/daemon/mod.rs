//! The join of core and edges: waits, translates what the kernel said into events, hands them to the state
//! machines and performs their answers in order. Nothing else knows both.

mod checks;
mod due;
mod messages;
mod network;
mod place;
mod rate_limiter;
mod receive;
mod respond;
mod router;
mod schedule;
mod snapshot;
mod sweep;
mod vrid_table;
mod warnings;

use std::cell::Cell;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use std::vec::IntoIter;

use log::Level;

use crate::checks::Checks;
use crate::config::{Config, is_secret};
use crate::serve::Server;
use crate::status::History;
use crate::sys::Error;
use crate::sys::notify::{Notifier, Outcome as Notice};
use crate::sys::poller::Clock;
use crate::sys::reaper;
use crate::sys::signals::{Signal, Signals};
use crate::sys::socket::Inbox;
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::{Action, Advert, Cause, DropReason, Event, Peer, Report, Role};
use network::Kernel;
use router::Router;
use schedule::Schedule;
use vrid_table::Seats;

/// A deadline that was missed by more than this was missed because the process was held up.
const HELD_UP: Duration = Duration::from_millis(10);

/// How long a stop waits for the programs that are told of it.
const LAST_NOTICES: Duration = Duration::from_secs(1);

/// What a turn of the loop left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Turn,
    /// SIGHUP: the caller reads the configuration's files again.
    Reload,
    Stopped,
}

/// All virtual routers of the process and what they share. Dropping it removes every virtual address.
#[derive(Debug)]
pub struct Daemon {
    poller: Poller,
    /// What the time is taken to be for all that happens at once: see [`Daemon::now`].
    moment: Cell<Instant>,
    signals: Signals,
    kernel: Kernel,
    routers: Vec<Router>,
    /// When each router is due.
    schedule: Schedule,
    /// Routers whose leases are to be renewed, and what each does after that.
    renewals: Vec<(usize, IntoIter<Action>)>,
    /// Which router packets are for.
    seats: Seats,
    /// Routers with the same check share it.
    checks: Checks,
    notifier: Notifier,
    notify_failures: u64,
    history: History,
    serving: Server,
    /// Every configured virtual address that is not an owner's real one, sorted: no source for adverts.
    virtual_addresses: Vec<IpAddr>,
    look_again: Option<Instant>,
    /// The kernel's notices could not be read; it was said.
    blind: bool,
    /// What was forbidden to us at the start, which no waiting mends.
    forbidden: Option<Error>,
    stopping: bool,
    /// Until when programs that are told of the stop may run.
    linger: Option<Instant>,
    inbox: Option<Inbox>,
}

impl Daemon {
    /// Opens everything, removes what a killed predecessor left, and starts the routers.
    ///
    /// # Errors
    /// What the kernel refuses and no waiting can mend; a missing interface is not among it.
    pub fn start(config: Config) -> Result<Self, Error> {
        let signals = Signals::install()?;
        // Those that ended before the handlers were in place; later ones may be the notifier's.
        reaper::reap();
        let poller = Poller::new(Clock::start()?)?;
        let kernel = Kernel::open()?;
        poller.watch(signals.as_fd(), Token::Signals)?;
        poller.watch(kernel.monitor().as_fd(), Token::Netlink)?;
        let mut daemon = Self {
            poller,
            moment: Cell::new(Instant::START),
            signals,
            kernel,
            virtual_addresses: vec![],
            schedule: Schedule::new(config.routers.len()),
            renewals: vec![],
            seats: Seats::default(),
            routers: config.routers.into_iter().map(Router::new).collect(),
            checks: Checks::new()?,
            notifier: Notifier::new(is_secret),
            notify_failures: 0,
            history: History::default(),
            serving: Server::new(config.serve),
            look_again: None,
            blind: false,
            forbidden: None,
            stopping: false,
            linger: None,
            inbox: None,
        };
        daemon.prepare();
        match daemon.forbidden.take() {
            Some(e) => Err(e),
            None => Ok(daemon),
        }
    }

    fn prepare(&mut self) {
        self.share_checks();
        self.find_partners();
        self.gather_virtual_addresses();
        if self.checks.are_blinded_by_hidepid() {
            log::error!(event = "hidepid"; "/proc is mounted with hidepid: services of other users look dead; mount it without");
        }
        for router in &self.routers {
            sweep::sweep(&mut self.kernel, router);
        }
        // What was swept is out of the tables before anybody looks at them.
        self.notices();
        self.kernel.interfaces.forget_virtual();
        for id in 0..self.routers.len() {
            self.refresh(id);
            // Until its first look says otherwise, a service of weight 0 is not known to run.
            self.apply_health(id);
        }
        self.check();
        for id in 0..self.routers.len() {
            self.dispatch(id, Event::Startup);
        }
        self.flush();
    }

    /// The routers of one number, which are next to each other.
    fn find_partners(&mut self) {
        for id in 1..self.routers.len() {
            if self.routers[id - 1].config.number == self.routers[id].config.number {
                self.routers[id - 1].partner = Some(id);
                self.routers[id].partner = Some(id - 1);
            }
        }
    }

    /// The role of each router, by name, in the order of the configuration.
    pub fn roles(&self) -> impl Iterator<Item = (&str, Role)> {
        self.routers.iter().map(|r| (r.name(), r.instance.role()))
    }

    /// Waits for what comes next and deals with it.
    ///
    /// # Errors
    /// What leaves the daemon deaf or blind: waiting or signals failed.
    pub fn turn(&mut self) -> Result<Next, Error> {
        let mut reload = false;
        let deadline = self.deadline();
        let tokens = self.poller.wait(deadline)?;
        self.moment.set(self.poller.now());
        if deadline.is_some_and(|at| self.now().since(at) > HELD_UP) {
            self.catch_up();
        }
        for token in tokens {
            match token {
                Token::Signals => reload |= self.take_signals(),
                Token::Netlink => self.notices(),
                Token::Port(port) => self.packets(port),
                Token::Listener(listener) => {
                    self.serving.accept_ready(listener, self.poller.now(), &self.poller);
                }
                Token::Connection(number) => self.serving.connection_ready(number, &self.poller),
                Token::Process(check, _) | Token::Probe(check, _) => self.ready(check, token),
            }
        }
        self.expire();
        if self.kernel.take_echo() {
            self.notices();
        }
        self.flush();
        // What takes long comes when all is sent.
        self.answer_next();
        Ok(match (self.has_left(), reload) {
            (true, _) => Next::Stopped,
            (false, true) => Next::Reload,
            (false, false) => Next::Turn,
        })
    }

    /// Whether nothing is left to do after a stop.
    fn has_left(&mut self) -> bool {
        if !self.stopping || self.roles().any(|(_, role)| role != Role::Init) {
            return false;
        }
        let now = self.poller.now();
        let linger = *self.linger.get_or_insert(now + LAST_NOTICES);
        self.notifier.deadline().is_none() || linger <= now
    }

    /// Takes leave as on SIGTERM: a master may first wait for its successor. Called again it does not wait.
    pub fn stop(&mut self) {
        self.stopping = true;
        for id in 0..self.routers.len() {
            self.dispatch(id, Event::Shutdown);
        }
        self.flush();
    }

    fn deadline(&mut self) -> Option<Instant> {
        let routers = self.schedule.next(|id| self.routers[id].deadline());
        let checks = self.checks.deadline().into_iter();
        let asked = self.serving.next_ask().map(|_| self.poller.now());
        let others = [self.look_again, self.notifier.deadline(), self.linger, self.serving.deadline(), asked];
        checks.chain(routers).chain(others.into_iter().flatten()).min()
    }

    fn expire(&mut self) {
        let now = self.poller.now();
        if self.look_again.take_if(|at| *at <= now).is_some() {
            self.notices();
        }
        self.check();
        if self.notifier.deadline().is_some_and(|at| at <= now) {
            let outcomes = self.notifier.expire(now);
            self.report_notices(&outcomes);
        }
        for e in self.serving.expire(now, &self.poller) {
            log::warn!(event = "serving"; "{e}; trying again, everything else works");
        }
        self.timers();
    }

    /// Hands one event to a router and performs the answers.
    fn dispatch(&mut self, id: usize, event: Event<'_>) {
        // Those that wait for a renewal have something left to do, which comes first.
        self.renew();
        self.hand_over(id, event);
    }

    fn hand_over(&mut self, id: usize, event: Event<'_>) {
        let now = self.now();
        let heard = if let Event::Advert { from, advert } = event { Some((from, advert)) } else { None };
        let actions = self.routers[id].instance.handle(now, event);
        self.carry_out(now, id, actions.into_iter(), heard);
    }

    /// Performs the answers in order, to the end, to a refusal or to a renewal, which waits for those of others.
    fn carry_out(
        &mut self,
        now: Instant,
        id: usize,
        mut actions: IntoIter<Action>,
        heard: Option<(IpAddr, &Advert)>,
    ) {
        let theirs = heard.map(|(_, advert)| advert);
        let mut obeyed = heard;
        let mut refused = false;
        let mut entered = None;
        while let Some(action) = actions.next() {
            if action == Action::Renew {
                self.renewals.push((id, actions));
                break;
            }
            let router = &mut self.routers[id];
            if let Action::Report(Report::Dropped { from, reason }) = action {
                router.dropped(now, from, reason, theirs);
                obeyed = None;
                continue;
            }
            if let Action::Report(Report::OtherAddresses(from)) = action {
                router.differs(now, from, DropReason::Addresses, theirs);
                continue;
            }
            if let Action::Report(Report::OtherInterval(from)) = action {
                router.differs(now, from, DropReason::Interval, theirs);
                continue;
            }
            if let Action::Report(report) = &action {
                entered = self.note(now, id, report).or(entered);
            }
            let router = &mut self.routers[id];
            if router.perform(now, id, &mut self.kernel, action).is_err() {
                refused = true;
                break;
            }
        }
        if let Some((address, advert)) = obeyed {
            self.routers[id].heard = Some((now, Peer { address, priority: advert.priority }));
        }
        if let Some(role) = entered {
            self.notify(now, id, role);
        }
        self.schedule.set(id, self.routers[id].deadline());
        if refused {
            self.dispatch(id, Event::Refused);
        }
        self.tell_partner(id);
    }

    fn notify(&mut self, now: Instant, id: usize, role: Role) {
        let router = &self.routers[id];
        if let Some(program) = &router.config.notify {
            let outcomes = self.notifier.queue(now, program, router.notice(role));
            self.report_notices(&outcomes);
        }
    }

    /// The IPv4 and the IPv6 router of one `VIP` move together: what stops one stops the other.
    fn tell_partner(&mut self, id: usize) {
        let Some(other) = self.routers[id].partner else { return };
        let stopped = self.routers[id].instance.faults().iter().any(|cause| *cause != Cause::Partner);
        let told = self.routers[other].instance.faults().contains(&Cause::Partner);
        match (stopped, told) {
            (true, false) => self.dispatch(other, Event::Fault(Cause::Partner)),
            (false, true) => self.dispatch(other, Event::Clear(Cause::Partner)),
            (true, true) | (false, false) => {}
        }
    }

    /// Answers whether a reload was asked for.
    fn take_signals(&mut self) -> bool {
        let mut reload = false;
        for signal in self.signals.pending() {
            match signal {
                Signal::Stop(name) => {
                    log::info!(event = "signal"; "Stopping on {name}");
                    self.stop();
                }
                Signal::Reload => reload = true,
                Signal::Dump => self.dump(),
                Signal::Child => self.reap(),
            }
        }
        reload
    }

    fn reap(&mut self) {
        let reaped = reaper::reap();
        for orphan in &reaped {
            log::debug!(event = "reaped"; "Reaped {orphan}");
        }
        let outcomes = self.notifier.reaped(self.poller.now(), &reaped);
        self.report_notices(&outcomes);
    }

    /// What became of the programs that are told of transitions.
    fn report_notices(&mut self, outcomes: &[Notice]) {
        for outcome in outcomes {
            let level = if outcome.is_success() { Level::Info } else { Level::Warn };
            self.notify_failures += u64::from(!outcome.is_success());
            log::log!(level, event = "notify"; "{outcome}");
        }
    }
}

/// A panic unwinds through here: whatever else is broken, no virtual address stays behind.
impl Drop for Daemon {
    fn drop(&mut self) {
        for (id, router) in self.routers.iter_mut().enumerate() {
            router.abandon(id, &mut self.kernel);
        }
        self.kernel.flush();
    }
}
