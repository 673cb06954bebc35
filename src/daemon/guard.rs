//! The guard of the virtual addresses: which ones the kernel silences when this process dies, and for how long. Knows no
//! state machine.

use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use crate::columns::join;
use crate::config::{GuardChoice, RouterConfig};
use crate::sys::Error;
use crate::sys::netlink::Assignment;
use crate::sys::nftables::{Guard, MOST, Silence, is_gone, name};
use crate::time::Instant;
use crate::vrrp::Family;

/// The kernel removes an address up to so long after its lifetime.
const LATE: Duration = Duration::from_secs(1);
/// The least time between two log lines about another program that removes the guard.
const QUIET: Duration = Duration::from_mins(1);

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

/// An address to be guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guarded {
    address: IpAddr,
    /// How long the host may have it.
    held_until: Instant,
    /// How long the kernel would silence it.
    silenced_until: Instant,
}

/// The guard in the kernel, and what it knows of each address. Dropping it removes it from the kernel.
#[derive(Debug)]
pub(super) struct AddressGuard {
    choice: GuardChoice,
    /// A backup would take over at once.
    needed: bool,
    nft: Option<Guard>,
    /// Of the families in use.
    states: Vec<(Family, GuardState)>,
    /// Sorted by address.
    addresses: Vec<Guarded>,
    /// The addresses whose lease was renewed, and how long the host may have each.
    renewed: Vec<(IpAddr, Duration)>,
    /// When it was last logged that another program removed the guard.
    restored_at: Option<Instant>,
}

impl AddressGuard {
    /// There is none before [`AddressGuard::start`].
    pub(super) const fn new(choice: GuardChoice) -> Self {
        Self {
            choice,
            needed: false,
            nft: None,
            states: vec![],
            addresses: vec![],
            renewed: vec![],
            restored_at: None,
        }
    }

    /// Creates the guard for these routers, as far as this host can, and logs it.
    pub(super) fn start<'a>(&mut self, routers: impl Iterator<Item = &'a RouterConfig> + Clone) {
        for family in [Family::V4, Family::V6] {
            let routers: Vec<_> = routers.clone().filter(|router| router.family() == family).collect();
            if routers.is_empty() {
                continue;
            }
            let fast = || routers.iter().copied().filter(|router| router.protocol.fast);
            let first = fast().next().or(routers.first().copied());
            let why = fast().chain(first).find_map(|router| router.unguarded(self.choice));
            let kind = if why.is_none() { GuardKind::Nft } else { GuardKind::None };
            if why.is_none() {
                let addresses = fast().flat_map(RouterConfig::all_addresses).map(|vip| vip.address);
                let never = Instant::START;
                self.addresses.extend(addresses.map(|address| Guarded {
                    address,
                    held_until: never,
                    silenced_until: never,
                }));
            }
            self.states.push((family, GuardState { kind, why }));
        }
        self.addresses.sort_unstable_by_key(|guarded| guarded.address);
        self.addresses.dedup();
        let first = routers.flat_map(|router| &router.addresses).next().map(|vip| vip.address);
        if let Some(first) = first.filter(|_| !self.addresses.is_empty()) {
            let addresses: Vec<_> = self.addresses.iter().map(|guarded| guarded.address).collect();
            match Guard::create(name(first), &addresses) {
                Ok(guard) => self.nft = Some(guard),
                Err(e) => self.set(GuardKind::None, Some(&e)),
            }
        }
        self.log();
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
    pub(super) fn note(&mut self, assignments: &[Assignment], refused: &[(usize, Error)]) {
        if self.nft.is_none() {
            return;
        }
        for (n, Assignment { address, lifetime, .. }) in assignments.iter().enumerate() {
            if let (Some(seconds), false) = (lifetime, refused.iter().any(|(at, _)| *at == n)) {
                self.renewed.push((*address, Duration::from_secs((*seconds).into()) + LATE));
            }
        }
    }

    /// Whether a backup would take over at once if this process died. Without one, the host goes on answering then, except
    /// with ADDRESS_GUARD=nft.
    pub(super) fn need(&mut self, needed: bool, now: Instant) {
        if needed && !self.needed {
            let held = self.addresses.iter().filter(|guarded| guarded.held_until > now);
            self.renewed.extend(held.map(|guarded| (guarded.address, guarded.held_until.since(now))));
        }
        self.needed = needed;
    }

    fn is_active(&self) -> bool {
        self.needed || self.choice == GuardChoice::Nft
    }

    /// Has the kernel guard what was noted, until the leases end.
    pub(super) fn renew(&mut self, now: Instant) {
        let renewed = std::mem::take(&mut self.renewed);
        let is_active = self.is_active();
        for batch in renewed.chunks(MOST) {
            let mut silences = vec![];
            for (address, time) in batch {
                let found = self.addresses.binary_search_by_key(address, |guarded| guarded.address);
                let Some(guarded) = found.ok().map(|at| &mut self.addresses[at]) else { continue };
                guarded.held_until = now + *time;
                // An address can be on two links.
                if is_active && guarded.silenced_until != guarded.held_until {
                    let known = guarded.silenced_until > now;
                    silences.push(Silence { address: *address, time: *time, known });
                    guarded.silenced_until = guarded.held_until;
                }
            }
            if let (Some(guard), false) = (&mut self.nft, silences.is_empty()) {
                let result = guard.silence(&silences);
                self.renewed(result, now);
            }
        }
    }

    fn renewed(&mut self, mut result: Result<(), Error>, now: Instant) {
        if result.as_ref().is_err_and(is_gone) {
            result = self.restore(now);
            if result.is_ok() && self.restored_at.is_none_or(|at| now.since(at) >= QUIET) {
                self.restored_at = Some(now);
                log::warn!(event = "guard"; "Another program removed the address guard from nf_tables: created it again");
            }
        }
        let before = self.states.clone();
        match &result {
            Ok(()) => self.set(GuardKind::Nft, None),
            Err(error) => self.set(GuardKind::None, Some(error)),
        }
        if self.states != before {
            self.log();
        }
    }

    fn restore(&mut self, now: Instant) -> Result<(), Error> {
        let Some(guard) = &mut self.nft else { return Ok(()) };
        guard.restore()?;
        let present = self.addresses.iter().filter(|guarded| guarded.silenced_until > now);
        let silences: Vec<_> = present
            .map(|guarded| {
                let time = guarded.silenced_until.since(now);
                Silence { address: guarded.address, time, known: false }
            })
            .collect();
        silences.chunks(MOST).try_for_each(|batch| guard.silence(batch))
    }

    /// Changes the state of the families that are to be guarded.
    fn set(&mut self, kind: GuardKind, error: Option<&Error>) {
        let guarded = |family| self.addresses.iter().any(|guarded| Family::of(guarded.address) == family);
        for (_, state) in self.states.iter_mut().filter(|(family, _)| guarded(*family)) {
            *state = GuardState { kind, why: error.map(ToString::to_string) };
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
                    let level = if self.choice == GuardChoice::Nft { Level::Warn } else { Level::Info };
                    log::log!(level, event = "guard"; "No address guard for {families}: {why}");
                }
            }
        }
    }
}
