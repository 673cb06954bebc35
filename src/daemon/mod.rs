//! The event loop: waits for descriptors, signals and deadlines, and passes each to its owner. Everything that knows
//! the protocol is in `routers`; nothing here does.

mod binding;
mod claims;
mod conflict;
mod culprits;
mod dispatcher;
mod drain;
mod draining;
mod env_file;
mod families;
mod guard;
mod guarded;
mod held;
mod host_addresses;
mod incoming;
mod lifelines;
mod messages;
mod network;
mod notifications;
mod pace;
mod pages;
mod port;
mod questions;
mod queue;
mod rate_limiter;
mod receivers;
mod reconfiguration;
mod reload;
mod respond;
mod router;
mod routers;
mod secondaries;
mod snapshot;
mod spare;
mod startup;
mod subject;
mod sweep;
mod telemetry;
mod timers;
mod transition_lines;
mod vrid_table;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::checks::{Checks, Outcome};
use crate::config::{Config, RouterConfig, is_passed_on};
use crate::ids::CheckId;
use crate::sandbox::Sandbox;
use crate::serve::Server;
use crate::sys::Error;
use crate::sys::launcher::Launcher;
use crate::sys::notify::Notifier;
use crate::sys::poller::Clock;
use crate::sys::reaper;
use crate::sys::signals::{Signal, Signals};
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::Role;
use drain::DrainFile;
use lifelines::Lifelines;
use network::Network;
use notifications::Notifications;
use pace::{OnRequest, Stall};
use reload::Reload;
pub use reload::{Outcome as Reloaded, Trigger};
use respond::Pages;
use routers::Routers;
use snapshot::ProcessStatus;
use startup::{descriptors, enter, expire_server};

/// Without a stop, to handle what arrived takes less, also in a flood.
const LONG_TURN: Duration = Duration::from_millis(100);

/// How long the start waits for the first results of the process checks.
const FIRST_POLL: Duration = Duration::from_millis(300);

/// The most requests of clients answered in one turn.
const MOST_RESPONSES: usize = 16;
/// After this time no further child is reaped in one turn: the kernel looks through all children for one that has ended,
/// which takes a millisecond with ten thousand.
const REAPING: Duration = Duration::from_millis(2);

/// How long a stop waits for the NOTIFY programs and the receivers of NOTIFY_URL.
const NOTIFY_DEADLINE: Duration = Duration::from_secs(1);

/// What to do after one iteration of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Turn,
    /// SIGHUP, or the file of variables has changed: the caller reads the configuration's files again, and says what came
    /// of it with [`Daemon::reloaded`].
    Reload(Trigger),
    Stopped,
}

/// The phase of a stop.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// The routers are stopping.
    Routers,
    /// Every router has stopped; the NOTIFY programs may run until this time.
    Notifications(Instant),
}

/// The daemon. Dropping it removes every virtual address.
#[derive(Debug)]
pub struct Daemon {
    /// Held until the process has ended.
    _mounts: Option<File>,
    poller: Poller,
    signals: Signals,
    routers: Routers,
    checks: Checks,
    server: Server,
    drain: DrainFile,
    lifelines: Lifelines,
    notifications: Notifications,
    sandbox: Sandbox,
    pages: Pages,
    stall: Stall,
    /// SIGUSR1: the status in the log.
    dump: OnRequest,
    reload: Reload,
    /// More children may have ended than were reaped.
    reap_again: bool,
    /// `None` until a stop is requested.
    stop: Option<Stop>,
}

impl Daemon {
    /// Opens everything, removes what a killed predecessor left, and starts the routers.
    ///
    /// # Errors
    /// The kernel refuses something for good. A missing interface is not an error: it is waited for.
    pub fn start(config: Config) -> Result<Self, Error> {
        let mut sandbox = Sandbox::new(&config);
        // Before any socket, so that its number is lower.
        let (descriptors, mounts) = descriptors();
        let signals = startup::signals()?;
        let poller = Poller::new(Clock::start()?)?;
        let network = Network::open(config.guard)?;
        poller.watch(signals.as_fd(), Token::Signals)?;
        poller.watch(network.monitor_fd(), Token::Netlink)?;
        let passed = |name: &_| is_passed_on(name, &config.programs.environment);
        let launcher = Launcher::new(passed, sandbox.rights());
        let mut checks = Checks::new(descriptors, launcher.clone())?;
        poller.watch(checks.identities_fd(), Token::Identities)?;
        let server = startup::server(config.serve, &config.routers, descriptors, &poller);
        enter(&mut sandbox, &checks);
        let routers = Routers::new(config.routers, network, &mut checks, &poller, descriptors)?;
        let reload = Reload::new(config.env_file, descriptors, &poller);
        let mut daemon = Self {
            _mounts: mounts,
            lifelines: Lifelines::new(config.lifeline, descriptors, poller.now()),
            poller,
            signals,
            routers,
            checks,
            drain: DrainFile::new(config.drain_file, descriptors),
            server,
            notifications: Notifications::new(Notifier::new(launcher)),
            sandbox,
            pages: Pages::default(),
            stall: Stall::default(),
            dump: OnRequest::default(),
            reload,
            reap_again: false,
            stop: None,
        };
        startup::report_hidepid(&daemon.checks);
        daemon.poll_first()?;
        daemon.start_routers();
        Ok(daemon)
    }

    /// A node that is drained starts so.
    fn start_routers(&mut self) {
        self.drain.look(&mut self.routers, self.poller.now());
        self.routers.startup();
        self.run_notifications();
    }

    /// The name and the role of each router, in the order of the configuration.
    pub fn roles(&self) -> impl Iterator<Item = (&str, Role)> {
        self.routers.iter().map(|(_, router)| (router.name(), router.role()))
    }

    /// Waits for the next event and handles it.
    ///
    /// # Errors
    /// When waiting or signals fail: the daemon cannot go on.
    pub fn turn(&mut self) -> Result<Next, Error> {
        let deadline = self.deadline();
        let tokens = self.poller.wait(deadline)?;
        let now = self.routers.start_turn();
        self.routers.catch_up_if_late(deadline.unwrap_or(now));
        for token in tokens {
            self.handle(token);
        }
        // It may also have been stopped in the middle of the turn.
        self.routers.catch_up_if_late(now + LONG_TURN);
        self.expire();
        self.routers.follow_drain();
        self.lifelines.follow(&mut self.routers, self.poller.now(), &self.poller);
        self.routers.follow_own_changes(&self.poller);
        self.routers.flush();
        self.lifelines.follow_guard(&mut self.routers, self.poller.now(), &self.poller);
        self.routers.follow_masters();
        self.run_notifications();
        // Last, after everything is sent, because these may take a while.
        self.respond();
        self.dump_status();
        let ended = self.poller.now();
        self.stall.record(now, ended);
        if self.is_stopped() {
            return Ok(Next::Stopped);
        }
        // One change at a time: a router that has left hands over first.
        let settled =
            self.stop.is_none() && self.routers.follow_configuration(&mut self.checks, &self.poller);
        let reload = if settled { self.reload.take(ended) } else { None };
        Ok(reload.map_or(Next::Turn, Next::Reload))
    }

    /// Runs with other routers, checks and addresses from now on; everything else is as before. A router that is no longer
    /// among them hands over as on a stop.
    pub fn reconfigure(&mut self, routers: Vec<RouterConfig>) {
        self.notifications.keep(self.poller.now(), &routers);
        self.routers.reconfigure(routers);
        self.routers.follow_configuration(&mut self.checks, &self.poller);
        self.run_notifications();
    }

    /// What came of [`Next::Reload`].
    pub fn reloaded(&mut self, outcome: Reloaded) {
        self.reload.record(self.poller.now(), outcome);
    }

    /// One descriptor is ready.
    fn handle(&mut self, token: Token) {
        match token {
            Token::Signals => self.handle_signals(),
            Token::Netlink => self.routers.network_changed(&self.poller),
            Token::Port(port) => self.routers.receive(port),
            Token::Claims(number) => self.routers.read_claims(number),
            Token::Lifeline(_) | Token::LifelineListener(_) | Token::GuardMonitor => {
                self.lifelines.ready(token, &mut self.routers, self.poller.now(), &self.poller);
            }
            Token::Listener(listener) => self.server.listener_ready(listener),
            Token::Connection(number) => {
                self.server.connection_ready(number, self.poller.now(), &self.poller);
            }
            Token::DrainFile => self.drain.ready(self.poller.now()),
            Token::Process(pid) => self.checks.process_ended(pid, self.poller.now()),
            Token::Identities => self.checks.identities_ready(),
            Token::EnvFile => self.reload.file_ready(self.poller.now()),
            Token::Receiver(_) => self.notifications.ready(token, self.poller.now(), &self.poller),
            Token::Probe(check, _) => self.check_ready(check, token),
        }
    }

    /// Stops as on SIGTERM: a master may first wait for its successor. A second call does not wait.
    pub fn stop(&mut self) {
        self.stop.get_or_insert(Stop::Routers);
        self.routers.stop();
        self.lifelines.stop(self.poller.now(), &self.poller);
        self.notifications.stop(self.poller.now());
        self.run_notifications();
    }

    /// Whether nothing is left to do after a stop.
    fn is_stopped(&mut self) -> bool {
        let Some(stop) = self.stop else { return false };
        if !self.routers.are_stopped() {
            return false;
        }
        let now = self.poller.now();
        let until = match stop {
            Stop::Routers => now + NOTIFY_DEADLINE,
            Stop::Notifications(until) => until,
        };
        self.stop = Some(Stop::Notifications(until));
        self.notifications.deadline().is_none() || until <= now
    }

    fn deadline(&mut self) -> Option<Instant> {
        let now = self.poller.now();
        let at_once = self.reap_again || self.server.next_request().is_some();
        let stop = match self.stop {
            Some(Stop::Notifications(until)) => Some(until),
            Some(Stop::Routers) | None => None,
        };
        let (checks, notifier, server) =
            (self.checks.deadline(), self.notifications.deadline(), self.server.deadline());
        // Until a configuration is in use, no other is read.
        let waits = self.stop.is_some() || self.routers.is_reconfiguring();
        let reload = self.reload.deadline().filter(|_| !waits);
        let (dump, lifelines, drain) =
            (self.dump.deadline(), self.lifelines.deadline(), self.drain.deadline());
        let others = [drain, checks, notifier, server, lifelines, dump, reload, at_once.then_some(now), stop];
        // Work that could not be done in this turn is due now and does not make the next turn late.
        let others = others.into_iter().flatten().map(|at| at.max(now)).min();
        self.routers.deadline().into_iter().chain(others).min()
    }

    fn expire(&mut self) {
        if self.reap_again {
            self.reap();
        }
        self.routers.retry(&self.poller);
        self.poll_checks();
        let now = self.poller.now();
        self.notifications.expire(now, &self.poller);
        expire_server(&mut self.server, now, &self.poller);
        self.drain.expire(&mut self.routers, now, &self.poller);
        self.routers.fire_timers();
    }

    /// Polls every check before the routers start, so that a service that runs does not begin as failed.
    fn poll_first(&mut self) -> Result<(), Error> {
        let until = self.poller.now() + FIRST_POLL;
        self.poll_checks();
        while self.checks.is_scanning() && self.poller.now() < until {
            let deadline = self.checks.deadline().map_or(until, |at| at.min(until));
            // Tokens of others are reported again.
            self.poller.wait(Some(deadline))?;
            self.checks.identities_ready();
            self.poll_checks();
        }
        Ok(())
    }

    /// Polls the checks that are due, and does a part of a scan for them.
    fn poll_checks(&mut self) {
        let now = self.poller.now();
        for check in self.checks.due(now) {
            let outcome = self.checks.expire(check, now, &self.poller);
            self.apply_outcome(check, outcome);
        }
        for (check, outcome) in self.checks.scan(now, &self.poller) {
            self.apply_outcome(check, outcome);
        }
    }

    fn check_ready(&mut self, check: CheckId, token: Token) {
        let outcome = self.checks.ready(check, token, self.poller.now(), &self.poller);
        self.apply_outcome(check, outcome);
    }

    fn apply_outcome(&mut self, check: CheckId, outcome: Outcome) {
        self.routers.apply_outcome(check, outcome, self.checks.result(check));
    }

    /// Answers a few requests per turn, and only one whose response takes a while to write, so that even many clients delay
    /// an advert by no more than one response.
    fn respond(&mut self) {
        let now = self.poller.now();
        self.server.accept_ready(now, &self.poller);
        for _ in 0..MOST_RESPONSES {
            let Some((connection, request)) = self.server.next_request() else { return };
            let (stall, lifelines, drain) = (&self.stall, &self.lifelines, self.drain.order());
            let (notifications, process) = (&self.notifications, (&self.sandbox, &self.reload));
            let process = ProcessStatus::new(notifications, stall, lifelines, process, drain);
            let (routers, checks) = (&mut self.routers, &self.checks);
            let (response, took_long) = self.pages.respond(request, routers, checks, now, process);
            self.server.respond(connection, response, now, &self.poller);
            if took_long {
                return;
            }
        }
    }

    /// Writes the status to the log if SIGUSR1 has requested it.
    fn dump_status(&mut self) {
        let now = self.poller.now();
        let Some(requests) = self.dump.take(now) else { return };
        let (stall, lifelines, drain) = (&self.stall, &self.lifelines, self.drain.order());
        let (notifications, process) = (&self.notifications, (&self.sandbox, &self.reload));
        let process = ProcessStatus::new(notifications, stall, lifelines, process, drain);
        let status = snapshot::status(&mut self.routers, &self.checks, now, process);
        snapshot::log_status(&self.routers, &status);
        if requests > 1 {
            log::info!(event = "status"; "Status requested {requests} times within a second; logged once");
        }
    }

    fn handle_signals(&mut self) {
        for signal in self.signals.pending() {
            match signal {
                Signal::Stop(name) => {
                    log::info!(event = "signal"; "Stopping on {name}");
                    self.stop();
                }
                Signal::Reload => self.reload.request(),
                Signal::Dump => self.dump.request(),
                Signal::Child => self.reap_again = true,
            }
        }
    }

    fn reap(&mut self) {
        let until = self.poller.now() + REAPING;
        loop {
            let reaped = reaper::reap(1);
            self.reap_again = !reaped.is_empty();
            for process in &reaped {
                log::debug!(event = "reaped"; "Reaped {process}");
            }
            let now = self.poller.now();
            self.notifications.reaped(now, &reaped);
            for (check, outcome) in self.checks.reaped(now, &reaped) {
                self.apply_outcome(check, outcome);
            }
            if !self.reap_again || now >= until {
                return;
            }
        }
    }

    /// Starts the NOTIFY programs, and the requests to NOTIFY_URL, for the transitions since the last call.
    fn run_notifications(&mut self) {
        let now = self.poller.now();
        self.notifications.run(now, self.routers.take_notifications(), &self.poller);
    }
}
