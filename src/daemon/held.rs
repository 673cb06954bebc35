//! The virtual addresses that a router has added to this host, and the age of their lease. Decides nothing.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::network::Network;
use crate::config::VirtualAddress;
use crate::sys::Error;
use crate::sys::netlink::Assignment;
use crate::time::Instant;
use crate::vrrp::Lease;

/// Addresses that may be in the kernel, and when their lease was last renewed.
#[derive(Debug)]
pub(super) struct HeldAddresses {
    lease: Option<Lease>,
    /// The index of the link, the address and the prefix length of each.
    addresses: Vec<(u32, IpAddr, u8)>,
    renewed_at: Instant,
    /// The time between the last two renewals.
    renewed_after: Duration,
}

impl HeldAddresses {
    pub(super) fn new(lease: Option<Lease>) -> Self {
        Self { lease, addresses: vec![], renewed_at: Instant::START, renewed_after: Duration::ZERO }
    }

    /// The addresses that should be in the kernel, each with the index of its link.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.addresses.iter().map(|(index, address, _)| (*index, *address))
    }

    /// Whether it should be in the kernel with this prefix.
    pub(super) fn contains(&self, index: u32, address: IpAddr, prefix: u8) -> bool {
        self.addresses.contains(&(index, address, prefix))
    }

    /// The kernel does not have it.
    pub(super) fn forget(&mut self, refused: &Assignment) {
        let key = (refused.index, refused.address, refused.prefix);
        self.addresses.retain(|held| *held != key);
    }

    /// The host has these addresses itself now: they are not removed.
    pub(super) fn disown(&mut self, owned: &[IpAddr]) {
        self.addresses.retain(|(_, address, _)| !owned.contains(address));
    }

    /// Whether a lease has run out since the last renewal.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        let lease = self.lease.map_or(u32::MAX, Lease::seconds);
        now.since(self.renewed_at) >= Duration::from_secs(lease.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Whether one of `removed` should be in the kernel.
    pub(super) fn lost_any(&self, removed: &[(u32, IpAddr)]) -> bool {
        self.iter().any(|held| removed.contains(&held))
    }

    /// The request to add `vip` to the link `index`, or to renew its lease. The address counts as held from now on,
    /// even if the kernel will refuse it: it may be there in part.
    pub(super) fn assign(&mut self, index: u32, vip: &VirtualAddress) -> Assignment {
        let VirtualAddress { address, prefix, ref label, .. } = *vip;
        let held = (index, address, prefix);
        if !self.addresses.contains(&held) {
            self.addresses.reserve_exact(1);
            self.addresses.push(held);
        }
        let label = label.as_deref().map(str::to_owned);
        Assignment { index, address, prefix, label, lifetime: self.lease.map(Lease::seconds) }
    }

    /// The kernel accepted every address `now`.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.renewed_after = now.since(self.renewed_at);
        self.renewed_at = now;
    }

    /// Whether a refused renewal must be given up on. A lease lasts for several renewals, so an error that may pass
    /// is no reason to release the addresses.
    pub(super) fn is_final(&self, refusal: &Error, now: Instant) -> bool {
        let lease = self.lease.map_or(0, Lease::seconds);
        let nearly_over = now.since(self.renewed_at) * 4 > Duration::from_secs(lease.into()) * 3;
        let kind = refusal.source.kind();
        let lasting = matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
        nearly_over || refusal.is_permission() || lasting
    }

    /// Whether the lease ran out between the last two renewals, as it does while this process is paused.
    pub(super) fn expired_before_renewal(&self) -> bool {
        let lease = self.lease.map_or(u32::MAX, Lease::seconds);
        self.renewed_after >= Duration::from_secs(lease.into())
    }

    /// How long the kernel keeps an address from the next renewal on.
    pub(super) fn set_lease(&mut self, lease: Option<Lease>) {
        self.lease = lease;
    }

    /// Removes these addresses, each with its prefix length. Returns the errors; none of them stops the rest.
    pub(super) fn release_some(&mut self, gone: &[(IpAddr, u8)], network: &mut Network) -> Vec<Error> {
        let held = self.addresses.extract_if(.., |(_, address, prefix)| gone.contains(&(*address, *prefix)));
        held.filter_map(|(index, address, prefix)| network.remove(index, address, prefix).err()).collect()
    }

    /// Removes every address, the last one first. Returns the errors; none of them stops the rest.
    pub(super) fn release(&mut self, network: &mut Network) -> Vec<Error> {
        let addresses = std::mem::take(&mut self.addresses).into_iter().rev();
        addresses
            .filter_map(|(index, address, prefix)| network.remove(index, address, prefix).err())
            .collect()
    }
}
