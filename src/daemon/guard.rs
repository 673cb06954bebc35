//! The guard of the virtual addresses: which ones the kernel silences when this process dies, and for how long. Knows no
//! state machine.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use log::Level;

use super::guarded::GuardedAddresses;
use crate::columns::join;
use crate::config::{GuardChoice, RouterConfig};
use crate::sys::Error;
use crate::sys::limits::Descriptors;
use crate::sys::netlink::Assignment;
use crate::sys::nftables::{Damage, Guard, Job, Monitor, Worker, is_gone, is_taken, name};
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::Family;

/// With fewer descriptors, there is no guard.
const DESCRIPTORS: usize = 64;
/// The least time between two log lines about another program that removes or changes the guard.
const QUIET: Duration = Duration::from_mins(1);
/// The least time between two repairs: another program may do it all the time.
const REPAIR: Duration = Duration::from_secs(1);

/// Which guard there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuardState {
    pub(super) kind: GuardKind,
    /// Why there is none, or why it is not in use.
    pub(super) why: Option<String>,
}

/// What silences this host when the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardKind {
    /// The end of the lease.
    None,
    /// nf_tables, at once.
    Nft,
}

impl GuardKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Nft => "nft",
        }
    }
}

/// The guard in the kernel, and what it knows of each address. Dropping it removes it from the kernel.
#[derive(Debug)]
pub(super) struct AddressGuard {
    choice: GuardChoice,
    /// A backup would take over at once.
    needed: bool,
    nft: Option<Worker>,
    /// The families that it was created for.
    created: Vec<Family>,
    /// It has a job.
    is_busy: bool,
    /// What other programs did to the tables.
    monitor: Option<Monitor>,
    damage: Option<Damage>,
    /// What the present job repairs.
    repairing: Option<Damage>,
    repaired_at: Option<Instant>,
    /// Another vrrp-init on this host has a guard for the same first address. The two do not hear each other, and both may
    /// be master. Only the second one knows.
    is_taken: bool,
    /// Of the families in use.
    states: Vec<(Family, GuardState)>,
    addresses: GuardedAddresses,
    /// When it was last logged that another program removed the guard, and changed it.
    logged_at: [Option<Instant>; 2],
    /// Those that the kernel does not let pass yet, and how many of them the present job is about.
    new: Vec<IpAddr>,
    passing: usize,
}

impl AddressGuard {
    /// There is none before [`AddressGuard::start`].
    pub(super) fn new(choice: GuardChoice) -> Self {
        Self {
            choice,
            needed: false,
            nft: None,
            created: vec![],
            is_busy: false,
            monitor: None,
            damage: None,
            repairing: None,
            repaired_at: None,
            is_taken: false,
            states: vec![],
            addresses: GuardedAddresses::default(),
            logged_at: [None; 2],
            new: vec![],
            passing: 0,
        }
    }

    /// Creates the guard for these routers, as far as this host can, and logs it.
    pub(super) fn start<'a>(
        &mut self,
        routers: impl Iterator<Item = &'a RouterConfig> + Clone,
        descriptors: Descriptors,
        poller: &Poller,
    ) {
        let mut addresses = vec![];
        for family in [Family::V4, Family::V6] {
            let routers: Vec<_> = routers.clone().filter(|router| router.family() == family).collect();
            let fast = || routers.iter().copied().filter(|router| router.protocol.fast);
            let Some(first) = fast().chain(routers.first().copied()).next() else { continue };
            let why = fast().chain([first]).find_map(|router| router.unguarded(self.choice));
            if why.is_none() {
                addresses.extend(fast().flat_map(RouterConfig::all_addresses).map(|vip| vip.address));
            }
            let kind = if why.is_none() { GuardKind::Nft } else { GuardKind::None };
            self.states.push((family, GuardState { kind, why }));
        }
        self.addresses = GuardedAddresses::new(addresses);
        self.created.extend([Family::V4, Family::V6].iter().filter(|family| self.addresses.has(**family)));
        let first = routers.flat_map(|router| &router.addresses).next().map(|vip| vip.address);
        if let Some(first) = first.filter(|_| !self.addresses.is_empty()) {
            if descriptors.limit() < DESCRIPTORS {
                let why = format!("without {DESCRIPTORS} descriptors, it gives way to others");
                self.set(GuardKind::None, Some(&why));
            } else {
                self.create(name(first), poller);
            }
        }
        self.log();
    }

    /// Follows other addresses of the routers. A family that had no guarded address at the start gets no guard.
    pub(super) fn update<'a>(&mut self, routers: impl Iterator<Item = &'a RouterConfig> + Clone) {
        for family in [Family::V4, Family::V6] {
            let is_new = !self.states.iter().any(|(known, _)| *known == family);
            if is_new && routers.clone().any(|router| router.family() == family) {
                let why = Some(format!("{family} had no address at the start; a restart adds its guard"));
                self.states.push((family, GuardState { kind: GuardKind::None, why }));
            }
        }
        if self.nft.is_some() {
            let fast = routers.filter(|router| router.unguarded(self.choice).is_none());
            let addresses = fast.flat_map(RouterConfig::all_addresses).map(|vip| vip.address);
            let added =
                self.addresses.update(addresses.filter(|a| self.created.contains(&Family::of(*a))).collect());
            self.new.extend(added);
        }
    }

    fn create(&mut self, name: String, poller: &Poller) {
        let create = || {
            let guard = Guard::create(name, &self.addresses.iter().collect::<Vec<_>>())?;
            // Without it, a removed table is still noticed at the next renewal.
            let watched = guard.monitor().and_then(|monitor| {
                poller.watch(monitor.as_fd(), Token::GuardMonitor)?;
                Ok(monitor)
            });
            Ok((watched.ok(), Worker::start(guard)?))
        };
        match create() {
            Ok((monitor, worker)) => (self.monitor, self.nft) = (monitor, Some(worker)),
            Err::<_, Error>(e) => self.refused(&e),
        }
    }

    /// Has the kernel remove the guard while the rest of the process ends.
    pub(super) fn end(&mut self) {
        if let Some(worker) = &self.nft {
            worker.end();
        }
    }

    /// Whether another vrrp-init on this host has a guard for the same first address.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Whether this host would be silent for every address of this family of a router with fast takeover.
    pub(super) fn guards(&self, family: Family) -> bool {
        self.states.iter().any(|(of, state)| (*of, state.kind) == (family, GuardKind::Nft))
    }

    /// For the addresses of this router.
    pub(super) fn state(&self, router: &RouterConfig) -> GuardState {
        let family = router.family();
        let of_family = || self.states.iter().find(|(of, _)| *of == family)?.1.why.clone();
        let mut why = router.unguarded(self.choice).or_else(of_family);
        let kind = if why.is_none() && self.guards(family) { GuardKind::Nft } else { GuardKind::None };
        if why.is_none() && !self.is_active() {
            why = Some("not in use, because no backup would take over at once".into());
        }
        GuardState { kind, why }
    }

    /// The leases of these addresses were renewed, except those refused, which are named by their index.
    pub(super) fn renewed(&mut self, now: Instant, assignments: &[Assignment], refused: &[(usize, Error)]) {
        for (n, Assignment { address, lifetime, .. }) in assignments.iter().enumerate() {
            if let (Some(seconds), false) = (lifetime, refused.iter().any(|(at, _)| *at == n)) {
                self.addresses.held(*address, Duration::from_secs((*seconds).into()), now);
            }
        }
    }

    /// Whether a backup would take over at once if this process died. Without one, the host goes on answering then, except
    /// with ADDRESS_GUARD=nft.
    pub(super) fn need(&mut self, needed: bool) {
        let before = std::mem::replace(&mut self.needed, needed);
        if needed && !before {
            self.addresses.request_all();
        }
    }

    fn is_active(&self) -> bool {
        self.needed || self.choice == GuardChoice::Nft
    }

    /// Other programs changed nf_tables.
    pub(super) fn changed(&mut self) {
        let damage = self.monitor.as_ref().and_then(Monitor::read);
        self.damage = damage.or(self.damage);
    }

    /// Has the kernel guard what is due. Never waits for it.
    pub(super) fn follow(&mut self, now: Instant) {
        if self.is_busy {
            let Some(result) = self.nft.as_ref().and_then(Worker::result) else { return };
            self.is_busy = false;
            self.finished(&result, now);
        }
        if let (Some(worker), true) = (&self.nft, self.is_active()) {
            if self.damage.is_some() {
                if self.repaired_at.is_some_and(|at| now.since(at) < REPAIR) {
                    return;
                }
                self.repaired_at = Some(now);
                self.addresses.forgotten(now);
            }
            let silences = self.addresses.take_due(now);
            self.repairing = self.damage.take();
            let restore = self.repairing.is_some();
            if restore || !silences.is_empty() {
                self.passing = self.new.len();
                worker.start_job(Job { restore, pass: self.new.clone(), silences });
                self.is_busy = true;
            }
        }
    }

    fn finished(&mut self, result: &Result<(), Error>, now: Instant) {
        if result.is_ok() {
            self.new.drain(..self.passing);
        }
        let repaired = self.repairing.take();
        if repaired.is_none() && result.as_ref().is_err_and(is_gone) {
            self.damage = Some(Damage::Removed);
            return;
        }
        if let (Some(damage), true) = (repaired, result.is_ok()) {
            self.log_repair(damage, now);
        }
        let before = self.states.clone();
        match result {
            Ok(()) => self.set(GuardKind::Nft, None),
            Err(error) => self.refused(error),
        }
        if self.states != before {
            self.log();
        }
    }

    fn log_repair(&mut self, damage: Damage, now: Instant) {
        let (cause, did) = match damage {
            Damage::Removed => (0, "removed the address guard from"),
            Damage::Changed => (1, "changed the address guard in"),
            Damage::Unknown => return,
        };
        if self.logged_at[cause].is_none_or(|at| now.since(at) >= QUIET) {
            self.logged_at[cause] = Some(now);
            log::warn!(event = "guard"; "Another program {did} nf_tables: created it again");
        }
    }

    fn refused(&mut self, error: &Error) {
        self.is_taken = is_taken(error);
        self.set(GuardKind::None, Some(&error.to_string()));
    }

    /// Changes the state of the families that are to be guarded.
    fn set(&mut self, kind: GuardKind, why: Option<&str>) {
        let guarded = self.states.iter_mut().filter(|(family, _)| self.addresses.has(*family));
        for (_, state) in guarded {
            *state = GuardState { kind, why: why.map(str::to_owned) };
        }
    }

    fn log(&self) {
        for kind in [GuardKind::Nft, GuardKind::None] {
            let states = || self.states.iter().filter(|(_, state)| state.kind == kind);
            let families = join(states().map(|(family, _)| family), " and ");
            match states().next().map(|(_, state)| &state.why) {
                None => {}
                Some(None) => log::info!(
                    event = "guard";
                    "Address guard for {families}: if vrrp-init dies, nf_tables silences this host for the virtual addresses"
                ),
                Some(Some(why)) => {
                    let is_asked_for = self.choice == GuardChoice::Nft;
                    let level = if self.is_taken || is_asked_for { Level::Warn } else { Level::Info };
                    log::log!(level, event = "guard"; "No address guard for {families}: {why}");
                }
            }
        }
    }
}
