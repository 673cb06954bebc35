//! The join of core and edges: waits, translates what the kernel said into events, hands them to the state
//! machines and performs their answers in order. Nothing else knows both.

mod check;
mod interfaces;
mod kernel;
mod router;
mod said;
mod sweep;
mod wording;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use log::Level;

use crate::config::Config;
use crate::health::Standing;
use crate::sys::Error;
use crate::sys::orphans;
use crate::sys::poller::{Clock, Poller};
use crate::sys::process::ProcFs;
use crate::sys::signals::{Signal, Signals};
use crate::sys::socket::ipv4::HeaderFault;
use crate::sys::socket::{self, Received};
use crate::vrrp::{Action, Advert, Cause, DropReason, Envelope, Event, Instant, Report, Role};
use check::Eyes;
use kernel::Kernel;
use router::{Place, Router};

const SIGNALS: u64 = 0;
const MONITOR: u64 = 1;
/// A port's token has this bit and the interface's index.
const PORT: u64 = 1 << 32;
/// A watched process's token has this bit, the router's number from bit 32 on, and the pid.
const PROCESS: u64 = 1 << 63;

/// Packets taken from one interface before timers are looked at again: a flood may not delay an advert.
const PACKETS: usize = 64;

/// The kernel does not tell when a default route appears, and not every failure to open ends with a
/// notice: what is missing is looked for again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    signals: Signals,
    procfs: ProcFs,
    kernel: Kernel,
    routers: Vec<Router>,
    /// Every configured virtual address that is not an owner's real one: no source for adverts.
    virtual_addresses: Vec<IpAddr>,
    look_again: Option<Instant>,
    /// The kernel's notices could not be read; it was said.
    blind: bool,
    /// What was forbidden to us at the start, which no waiting mends.
    forbidden: Option<Error>,
    stopping: bool,
    buffer: Vec<u8>,
}

impl Daemon {
    /// Opens everything, removes what a killed predecessor left, and starts the routers.
    ///
    /// # Errors
    /// What the kernel refuses and no waiting can mend; a missing interface is not among it.
    pub fn start(config: Config) -> Result<Self, Error> {
        let signals = Signals::install()?;
        let poller = Poller::new(Clock::start()?)?;
        let kernel = Kernel::open()?;
        poller.watch(signals.as_fd(), SIGNALS)?;
        poller.watch(kernel.monitor().as_fd(), MONITOR)?;
        let numbered = (0_u64..).zip(config.routers);
        let routers: Vec<_> = numbered.map(|(id, config)| Router::new(config, PROCESS | id << 32)).collect();
        let mut daemon = Self {
            poller,
            signals,
            procfs: ProcFs::new("/proc")?,
            kernel,
            virtual_addresses: vec![],
            routers,
            look_again: None,
            blind: false,
            forbidden: None,
            stopping: false,
            buffer: vec![0; socket::BUFFER],
        };
        daemon.prepare();
        match daemon.forbidden.take() {
            Some(e) => Err(e),
            None => Ok(daemon),
        }
    }

    fn prepare(&mut self) {
        if self.routers.iter().any(|r| r.check.is_some()) && self.procfs.hides_processes().unwrap_or(false) {
            log::error!(event = "hidepid"; "/proc is mounted with hidepid: services of other users look dead; mount it without");
        }
        for router in &self.routers {
            sweep::sweep(&mut self.kernel, router);
        }
        // What was swept is out of the tables before anybody looks at them.
        self.notices();
        for id in 0..self.routers.len() {
            self.refresh(id);
            // Until its first look says otherwise, a service of weight 0 is not known to run.
            self.stand(id);
            self.look(id);
            self.dispatch(id, Event::Startup);
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
        for token in self.poller.wait(self.deadline())? {
            match token {
                SIGNALS => reload = self.take_signals(),
                MONITOR => self.notices(),
                process if process & PROCESS != 0 => self.exited(process),
                port => self.packets(u32::try_from(port - PORT).unwrap_or_default()),
            }
        }
        self.expire();
        if self.kernel.take_echo() {
            self.notices();
        }
        let left = self.stopping && self.roles().all(|(_, role)| role == Role::Init);
        Ok(match (left, reload) {
            (true, _) => Next::Stopped,
            (false, true) => Next::Reload,
            (false, false) => Next::Turn,
        })
    }

    /// Takes leave as on SIGTERM: a master may first wait for its successor. Called again it does not wait.
    pub fn stop(&mut self) {
        self.stopping = true;
        for id in 0..self.routers.len() {
            self.dispatch(id, Event::Shutdown);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.routers.iter().filter_map(Router::deadline).chain(self.look_again).min()
    }

    fn expire(&mut self) {
        let now = self.poller.now();
        if self.look_again.take_if(|at| *at <= now).is_some() {
            self.notices();
        }
        for id in 0..self.routers.len() {
            self.look(id);
            self.routers[id].listen(now);
            if self.routers[id].instance.deadline().is_some_and(|at| at <= now) {
                self.dispatch(id, Event::Timer);
            }
        }
    }

    /// Hands one event to a router and performs the answers in order, to the end or to a refusal.
    fn dispatch(&mut self, id: usize, event: Event<'_>) {
        let now = self.poller.now();
        let router = &mut self.routers[id];
        for action in router.instance.handle(now, event) {
            let theirs = if let Event::Advert { advert, .. } = event { Some(advert) } else { None };
            if let Action::Report(Report::Dropped { from, reason }) = action {
                router.dropped(now, from, reason, theirs);
            } else if let (Action::Report(Report::OtherAddresses(from)), Some(theirs)) = (&action, theirs) {
                router.differs(now, *from, theirs);
            } else if router.perform(now, &mut self.kernel, action).is_err() {
                return self.dispatch(id, Event::Refused);
            }
        }
    }

    fn look(&mut self, id: usize) {
        let mut eyes = Eyes { procfs: &mut self.procfs, poller: &self.poller };
        if self.routers[id].look(self.poller.now(), &mut eyes) {
            self.stand(id);
        }
    }

    fn exited(&mut self, token: u64) {
        let id = usize::try_from((token & !PROCESS) >> 32).unwrap_or(usize::MAX);
        let Some(router) = self.routers.get_mut(id) else { return };
        if router.exited(token, &mut Eyes { procfs: &mut self.procfs, poller: &self.poller }) {
            self.stand(id);
        }
    }

    fn stand(&mut self, id: usize) {
        match self.routers[id].standing() {
            Some(Standing::Fault) => self.dispatch(id, Event::Fault(Cause::Service)),
            Some(Standing::At(priority)) => {
                // First the priority: the wait that begins when the fault ends is the new one's.
                self.dispatch(id, Event::Priority(priority));
                self.dispatch(id, Event::Clear(Cause::Service));
            }
            None => {}
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
                Signal::Child => {
                    for orphan in orphans::reap() {
                        log::debug!(event = "reaped"; "Reaped {orphan}");
                    }
                }
            }
        }
        reload
    }

    fn dump(&self) {
        let now = self.poller.now();
        for router in &self.routers {
            router.say(Level::Info, "status", router.summary(now));
        }
        for port in &self.kernel.ports {
            log::info!(event = "status"; "{}: for no router here, dropped: {}", port.interface, port.drops);
        }
    }

    /// What happened to links and addresses. That the kernel cannot say so for a moment ends nothing.
    fn notices(&mut self) {
        let news = match self.kernel.notices() {
            Ok(news) => news,
            Err(e) => {
                if !std::mem::replace(&mut self.blind, true) {
                    log::error!(event = "kernel"; "{e}; trying again");
                }
                self.look_again = Some(self.poller.now() + LOOK_AGAIN);
                return;
            }
        };
        self.blind = false;
        for id in 0..self.routers.len() {
            self.refresh(id);
            let router = &self.routers[id];
            let other_mac = router.place.as_ref().is_some_and(|p| news.other_mac.contains(&p.index));
            if router.lost(&news.gone) {
                self.dispatch(id, Event::AddressLost);
            }
            if other_mac {
                self.dispatch(id, Event::HardwareAddress);
            }
        }
    }

    /// Finds the router's place anew and tells the state machine what that means for it.
    fn refresh(&mut self, id: usize) {
        let place = self.find_place(id);
        let router = &mut self.routers[id];
        if place == router.place && place.is_some() {
            return;
        }
        let up = place.as_ref().is_some_and(|place| place.up);
        let moved = router.place.as_ref().map(|p| p.index) != place.as_ref().map(|p| p.index);
        if !up || moved {
            // Still with the old place, where the addresses are to be removed from.
            self.dispatch(id, Event::Fault(Cause::Interface));
        }
        let source = place.as_ref().and_then(|place| place.source);
        if source.is_none() {
            self.dispatch(id, Event::Source(None));
        }
        self.routers[id].settle(place);
        if source.is_some() {
            self.dispatch(id, Event::Source(source));
        }
        if up {
            self.dispatch(id, Event::Clear(Cause::Interface));
        }
    }

    /// The router's link with its sockets open; `None` while that is not to be had, which is said once.
    fn find_place(&mut self, id: usize) -> Option<Place> {
        let router = &mut self.routers[id];
        let first = router.config.addresses.first()?.address;
        let choice = &router.config.interface;
        let known = router.place.as_ref().map(|place| place.interface.as_str());
        let Some(link) = self.kernel.resolve(choice, first, known).cloned() else {
            let text = wording::no_place(choice, first);
            self.wait_for_place(id, Level::Warn, text);
            return None;
        };
        router.adopt(&self.kernel, link.index);
        if let Err(e) = self.kernel.open_port(&self.poller, PORT | u64::from(link.index), &link) {
            self.wait_for_place(id, Level::Error, e.to_string());
            if e.is_permission() && self.routers[id].instance.role() == Role::Init {
                self.forbidden = Some(e);
            }
            return None;
        }
        self.virtual_addresses.clear();
        let managed = self.routers.iter().flat_map(|r| &r.managed).map(|vip| vip.address);
        self.virtual_addresses.extend(managed);
        let source = self.kernel.interfaces.source_v4(link.index, &self.virtual_addresses);
        let router = &mut self.routers[id];
        router.waits = false;
        let up = link.up && router.devices_are_up(&self.kernel);
        Some(Place { index: link.index, interface: link.name, up, source })
    }

    fn wait_for_place(&mut self, id: usize, level: Level, text: String) {
        self.look_again = Some(self.poller.now() + LOOK_AGAIN);
        let router = &mut self.routers[id];
        if !std::mem::replace(&mut router.waits, true) {
            router.say(level, "interface", text);
        }
    }

    fn packets(&mut self, index: u32) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..PACKETS {
            let Some(port) = self.kernel.port(index) else { break };
            match port.socket.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(received)) => self.packet(index, &received),
                Err(e) => {
                    // The link went; its notice follows.
                    log::debug!(event = "receive_failed"; "{e}");
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn packet(&mut self, index: u32, received: &Received<'_>) {
        let (from, vrid, advert) = match received {
            Received::Faulty { from, fault } => (*from, None, Err(header_fault(*fault))),
            Received::Datagram(d) => {
                let envelope = Envelope { from: d.from, to: d.to, ttl: d.ttl };
                (envelope.from, Advert::claimed_vrid(d.payload), Advert::parse(d.payload, envelope))
            }
        };
        let here = |r: &Router| r.place.as_ref().is_some_and(|place| place.index == index);
        let router = self.routers.iter().position(|r| here(r) && Some(r.config.protocol.vrid) == vrid);
        match (router, advert) {
            (Some(id), Ok(advert)) => {
                self.routers[id].heard();
                self.dispatch(id, Event::Advert { from, advert: &advert });
            }
            (Some(id), Err(reason)) => {
                let now = self.poller.now();
                self.routers[id].dropped(now, from, reason, None);
            }
            (None, advert) => {
                let reason = advert.err().unwrap_or(DropReason::Vrid);
                if let Some(port) = self.kernel.ports.iter_mut().find(|port| port.index == index) {
                    port.drops.count(reason);
                }
            }
        }
    }
}

fn header_fault(fault: HeaderFault) -> DropReason {
    match fault {
        HeaderFault::TooShort => DropReason::Truncated,
        HeaderFault::TooLong => DropReason::TooLong,
        HeaderFault::NotIpv4 | HeaderFault::HeaderLength | HeaderFault::TotalLength => DropReason::IpHeader,
        HeaderFault::Options => DropReason::IpOptions,
        HeaderFault::Fragment => DropReason::Fragment,
    }
}

/// A panic unwinds through here: whatever else is broken, no virtual address stays behind.
impl Drop for Daemon {
    fn drop(&mut self) {
        for router in &mut self.routers {
            router.abandon(&mut self.kernel);
        }
    }
}
