//! The event loop: waits for descriptors, signals and deadlines, and passes each to its owner. Everything that knows
//! the protocol is in `routers`; nothing here does.

mod binding;
mod dispatcher;
mod families;
mod held;
mod host_addresses;
mod incoming;
mod messages;
mod network;
mod port;
mod queue;
mod rate_limiter;
mod respond;
mod router;
mod routers;
mod secondaries;
mod snapshot;
mod sweep;
mod telemetry;
mod timers;
mod transition_lines;
mod vrid_table;

use std::os::fd::AsFd;
use std::time::Duration;

use log::Level;

use crate::checks::{Checks, Outcome};
use crate::config::{Config, is_secret};
use crate::ids::CheckId;
use crate::serve::Server;
use crate::sys::Error;
use crate::sys::notify::{self, Notifier};
use crate::sys::poller::Clock;
use crate::sys::reaper;
use crate::sys::signals::{Signal, Signals};
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::Role;
use network::Network;
use routers::Routers;

/// If a deadline was missed by more than this, this process did not run for a while.
const LATE: Duration = Duration::from_millis(10);

/// How long a stop waits for the NOTIFY programs.
const NOTIFY_DEADLINE: Duration = Duration::from_secs(1);

/// What to do after one iteration of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Turn,
    /// SIGHUP: the caller reads the configuration's files again.
    Reload,
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
    poller: Poller,
    signals: Signals,
    routers: Routers,
    checks: Checks,
    server: Server,
    notifier: Notifier,
    notify_failures: u64,
    /// `None` until a stop is requested.
    stop: Option<Stop>,
}

impl Daemon {
    /// Opens everything, removes what a killed predecessor left, and starts the routers.
    ///
    /// # Errors
    /// The kernel refuses something for good. A missing interface is not an error: it is waited for.
    pub fn start(config: Config) -> Result<Self, Error> {
        let signals = Signals::install()?;
        // Children that ended before the handlers were in place; later ones may be the notifier's.
        reaper::reap();
        let poller = Poller::new(Clock::start()?)?;
        let network = Network::open()?;
        poller.watch(signals.as_fd(), Token::Signals)?;
        poller.watch(network.monitor_fd(), Token::Netlink)?;
        let mut checks = Checks::new()?;
        let routers = Routers::new(config.routers, network, &mut checks, &poller)?;
        let mut daemon = Self {
            poller,
            signals,
            routers,
            checks,
            server: Server::new(config.serve),
            notifier: Notifier::new(is_secret),
            notify_failures: 0,
            stop: None,
        };
        if daemon.checks.are_hidden_by_hidepid() {
            log::error!(event = "hidepid"; "/proc is mounted with hidepid: services of other users look dead; remount it without hidepid");
        }
        daemon.poll_checks();
        daemon.routers.startup();
        daemon.run_notifications();
        Ok(daemon)
    }

    /// The name and the role of each router, in the order of the configuration.
    pub fn roles(&self) -> impl Iterator<Item = (&str, Role)> {
        self.routers.iter().map(|router| (router.name(), router.role()))
    }

    /// Waits for the next event and handles it.
    ///
    /// # Errors
    /// When waiting or signals fail: the daemon cannot go on.
    pub fn turn(&mut self) -> Result<Next, Error> {
        let deadline = self.deadline();
        let tokens = self.poller.wait(deadline)?;
        let now = self.routers.start_turn();
        if deadline.is_some_and(|at| now.since(at) > LATE) {
            self.routers.catch_up();
        }
        let mut reload = false;
        for token in tokens {
            match token {
                Token::Signals => reload |= self.handle_signals(),
                Token::Netlink => self.routers.network_changed(&self.poller),
                Token::Port(port) => self.routers.receive(port),
                Token::Listener(listener) => {
                    self.server.accept_ready(listener, self.poller.now(), &self.poller);
                }
                Token::Connection(number) => self.server.connection_ready(number, &self.poller),
                Token::Process(check, _) | Token::Probe(check, _) => self.check_ready(check, token),
            }
        }
        self.expire();
        self.routers.follow_own_changes(&self.poller);
        self.routers.flush();
        self.run_notifications();
        // Last, after everything is sent, because writing a response may take a while.
        self.respond();
        Ok(match (self.is_stopped(), reload) {
            (true, _) => Next::Stopped,
            (false, true) => Next::Reload,
            (false, false) => Next::Turn,
        })
    }

    /// Stops as on SIGTERM: a master may first wait for its successor. A second call does not wait.
    pub fn stop(&mut self) {
        self.stop.get_or_insert(Stop::Routers);
        self.routers.stop();
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
        self.notifier.deadline().is_none() || until <= now
    }

    fn deadline(&mut self) -> Option<Instant> {
        let response = self.server.next_request().map(|_| self.poller.now());
        let stop = match self.stop {
            Some(Stop::Notifications(until)) => Some(until),
            Some(Stop::Routers) | None => None,
        };
        let (routers, checks) = (self.routers.deadline(), self.checks.deadline());
        let others = [self.notifier.deadline(), self.server.deadline(), response, stop];
        [routers, checks].into_iter().chain(others).flatten().min()
    }

    fn expire(&mut self) {
        self.routers.retry(&self.poller);
        self.poll_checks();
        let now = self.poller.now();
        if self.notifier.deadline().is_some_and(|at| at <= now) {
            let outcomes = self.notifier.expire(now);
            self.report_outcomes(&outcomes);
        }
        for e in self.server.expire(now, &self.poller) {
            log::warn!(event = "serving"; "{e}; will retry; everything else works");
        }
        self.routers.fire_timers();
    }

    /// Polls the checks that are due.
    fn poll_checks(&mut self) {
        let now = self.poller.now();
        for check in self.checks.due(now) {
            let outcome = self.checks.expire(check, now, &self.poller);
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

    /// Answers one request per iteration, so that even many clients delay an advert by no more than one response.
    fn respond(&mut self) {
        let Some((connection, request)) = self.server.next_request() else { return };
        let now = self.poller.now();
        let (routers, checks) = (&mut self.routers, &self.checks);
        let response = respond::respond(request, routers, checks, now, self.notify_failures);
        self.server.respond(connection, response, &self.poller);
    }

    /// Returns whether a reload was requested.
    fn handle_signals(&mut self) -> bool {
        let mut reload = false;
        for signal in self.signals.pending() {
            match signal {
                Signal::Stop(name) => {
                    log::info!(event = "signal"; "Stopping on {name}");
                    self.stop();
                }
                Signal::Reload => reload = true,
                Signal::Dump => {
                    let now = self.poller.now();
                    let status = snapshot::status(&mut self.routers, &self.checks, now, self.notify_failures);
                    snapshot::log_status(&self.routers, &status);
                }
                Signal::Child => self.reap(),
            }
        }
        reload
    }

    fn reap(&mut self) {
        let reaped = reaper::reap();
        for process in &reaped {
            log::debug!(event = "reaped"; "Reaped {process}");
        }
        let outcomes = self.notifier.reaped(self.poller.now(), &reaped);
        self.report_outcomes(&outcomes);
    }

    /// Starts the NOTIFY programs for the transitions since the last call.
    fn run_notifications(&mut self) {
        for notification in self.routers.take_notifications() {
            let now = self.poller.now();
            let outcomes = self.notifier.queue(now, &notification.program, notification.arguments);
            self.report_outcomes(&outcomes);
        }
    }

    /// Logs the outcomes of NOTIFY programs.
    fn report_outcomes(&mut self, outcomes: &[notify::Outcome]) {
        for outcome in outcomes {
            let level = if outcome.is_success() { Level::Info } else { Level::Warn };
            self.notify_failures += u64::from(!outcome.is_success());
            log::log!(level, event = "notify"; "{outcome}");
        }
    }
}
