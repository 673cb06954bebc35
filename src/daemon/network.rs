//! The network as the kernel has it: VRRP sockets, links, addresses, and notifications about them. Decides nothing
//! about routers.

mod announcements;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use log::Level;

use super::guard::AddressGuard;
use super::port::{ANY_LINK, Channel, Port};
use super::questions::Questions;
use super::secondaries::{self, Secondaries};
use crate::config::{GuardChoice, InterfaceChoice, VirtualAddress};
use crate::ids::{PortId, RouterId};
use crate::interfaces::{Interfaces, host_prefix};
use crate::sys::Error;
use crate::sys::neighbor::Announcer;
use crate::sys::netlink::{Address, Assignment, Change, Link, MARK, Monitor, Netlink, Removed, Route};
use crate::sys::route::default_route_interface;
use crate::sys::socket::{Inbox, Received, Socket, membership};
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::{DropReason, Family};

/// The most adverts that are queued to be sent together.
const BATCH: usize = 32;

/// Sockets, links and addresses, as the kernel last reported them.
#[derive(Debug)]
pub(super) struct Network {
    netlink: Netlink,
    monitor: Monitor,
    interfaces: Interfaces,
    /// Notifications that were read before their turn.
    read_early: Vec<Change>,
    ports: Vec<Port>,
    /// With the index of their link.
    announcers: Vec<(u32, Announcer)>,
    /// Routers whose adverts could not be sent, and why.
    send_errors: Vec<(RouterId, Error)>,
    /// We removed an address, and the notification about it is waiting.
    own_change_pending: bool,
    /// Notifications were lost: everything must be listed again.
    needs_resync: bool,
    /// The number of ports opened so far: the next port's id.
    opened: u32,
    questions: Questions,
    secondaries: Secondaries,
    /// Dropped last: that waits for the kernel.
    guard: AddressGuard,
}

/// What the notifications mean for the routers.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Addresses that were removed, with the index of their link. They may have been added again since.
    pub(super) removed: Vec<(u32, IpAddr)>,
    /// Addresses of this host that the kernel removed together with a virtual one.
    pub(super) removed_with: Vec<(Address, Removed)>,
    /// Notifications were lost: any address may be gone.
    pub(super) lost: bool,
    /// Links whose hardware address differs from the announced one.
    pub(super) other_mac: Vec<u32>,
    /// A link or a real address changed, so a router's link or source address may change.
    pub(super) rebind: bool,
    /// Something failed that no notification will say can succeed.
    pub(super) retry: bool,
}

impl Network {
    /// Subscribes to notifications before it lists links and addresses, so that no change is missed.
    pub(super) fn open(guard: GuardChoice) -> Result<Self, Error> {
        let monitor = Monitor::open()?;
        let mut netlink = Netlink::open()?;
        let interfaces = Interfaces::new(netlink.links()?, netlink.addresses()?);
        Ok(Self {
            netlink,
            monitor,
            interfaces,
            read_early: vec![],
            ports: vec![],
            announcers: vec![],
            send_errors: vec![],
            own_change_pending: false,
            needs_resync: false,
            opened: 0,
            questions: Questions::default(),
            secondaries: Secondaries::new(),
            guard: AddressGuard::new(guard),
        })
    }

    /// A turn of the loop begins.
    pub(super) fn start_turn(&mut self) {
        self.questions.start_turn();
    }

    /// The descriptor that becomes readable with a notification.
    pub(super) fn monitor_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }

    /// Links and addresses; virtual addresses are not tracked.
    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Removes the virtual addresses that the first listing contained.
    pub(super) fn forget_virtual_addresses(&mut self) {
        self.interfaces.forget_virtual();
    }

    /// Whether a notification about a change of our own is waiting; true once per change. Reading it now saves a
    /// wake-up.
    pub(super) fn take_own_change(&mut self) -> bool {
        std::mem::take(&mut self.own_change_pending)
    }

    /// Reads and applies the notifications. After an error the next call lists everything again.
    pub(super) fn changes(&mut self) -> Result<Changes, Error> {
        let mut notifications = std::mem::take(&mut self.read_early);
        notifications.extend(self.monitor.read().inspect_err(|_| self.needs_resync = true)?);
        // The notifications still in a queue that overflowed are older than those it lost.
        if self.needs_resync || notifications.contains(&Change::Overrun) {
            self.needs_resync = true;
            return self.resync();
        }
        let mut changes = Changes {
            removed_with: secondaries::removed_together(&notifications, |gone| gone.mark == Some(MARK)),
            ..Changes::default()
        };
        let mut groups_in_doubt = self.ports.iter().any(|port| port.is_deaf);
        for change in notifications {
            groups_in_doubt |= !change.is_of_virtual_address();
            changes.rebind |= self.interfaces.apply(&change);
            match change {
                Change::Link(link) => self.close_outdated_announcer(link.index, link.mac, &mut changes),
                Change::LinkGone { index, .. } => {
                    self.ports.retain(|port| port.index != index);
                    self.announcers.retain(|(i, _)| *i != index);
                }
                Change::AddressGone(gone) => {
                    changes.removed.push((gone.address.index, gone.address.address));
                }
                Change::Address(_) | Change::Overrun => {}
            }
        }
        changes.retry = groups_in_doubt && self.keep_memberships();
        Ok(changes)
    }

    /// Joins the groups again that the kernel has dropped. Returns whether to try again soon.
    fn keep_memberships(&mut self) -> bool {
        let joined = [Family::V4, Family::V6].map(|family| {
            let needed = self.ports.iter().any(|port| port.channel == Channel::Multicast(family));
            (family, needed.then(|| membership::joined(family).ok()).flatten())
        });
        let mut retry = false;
        for port in &mut self.ports {
            retry |= port.keep_membership(&joined);
        }
        retry
    }

    fn resync(&mut self) -> Result<Changes, Error> {
        self.interfaces = Interfaces::new(self.netlink.links()?, self.netlink.addresses()?);
        self.interfaces.forget_virtual();
        self.needs_resync = false;
        self.ports.retain(|port| port.index == ANY_LINK || self.interfaces.link(port.index).is_some());
        let mut changes = Changes { rebind: true, lost: true, ..Changes::default() };
        for index in self.announcers.iter().map(|(index, _)| *index).collect::<Vec<_>>() {
            let mac = self.interfaces.link(index).and_then(|link| link.mac);
            self.close_outdated_announcer(index, mac, &mut changes);
        }
        changes.retry = self.keep_memberships();
        Ok(changes)
    }

    /// Announcements must contain the link's current hardware address.
    fn close_outdated_announcer(&mut self, index: u32, mac: Option<[u8; 6]>, changes: &mut Changes) {
        let before = self.announcers.len();
        self.announcers.retain(|(i, open)| *i != index || Some(open.mac()) == mac);
        if self.announcers.len() < before {
            changes.other_mac.push(index);
        }
    }

    /// Every address of the host as the kernel has it now, with its remaining lifetime.
    pub(super) fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.netlink.addresses()
    }

    /// The link for a router, if it exists. `in_use` is the interface in use. `auto` prefers, in this order, the link
    /// whose subnet contains `subnet_hint`, the interface in use, and the link of the default route.
    pub(super) fn resolve(
        &self,
        choice: &InterfaceChoice,
        subnet_hint: IpAddr,
        in_use: Option<&str>,
    ) -> Option<&Link> {
        match choice {
            InterfaceChoice::Named(name) => self.interfaces.named(name),
            InterfaceChoice::Auto => {
                let known = || in_use.and_then(|name| self.interfaces.named(name));
                let up = |name: &str| self.interfaces.is_up(name);
                let default =
                    || self.interfaces.named(&default_route_interface(Family::of(subnet_hint), &up)?);
                let default = || default().filter(|link| !link.loopback);
                self.interfaces.on_subnet_of(subnet_hint, in_use).or_else(known).or_else(default)
            }
        }
    }

    /// The index of the link for a virtual address: `index`, unless the address names a device.
    pub(super) fn device(&self, index: u32, vip: &VirtualAddress) -> Result<u32, Error> {
        let Some(name) = &vip.device else { return Ok(index) };
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let link = self.interfaces.named(name).map(|link| link.index);
        link.ok_or_else(|| Error::doing("find the device of the address", vip)(missing()))
    }

    /// The way to each of the peers; `None` if there is none or the kernel does not answer. A link is where to look.
    pub(super) fn routes(&mut self, peers: &[(IpAddr, Option<u32>)]) -> Vec<(IpAddr, Option<Route>)> {
        let route = |(peer, link): &(IpAddr, Option<u32>)| {
            let found = self.netlink.route(*peer, *link).inspect_err(|e| log::warn!(event = "kernel"; "{e}"));
            (*peer, found.ok().flatten())
        };
        peers.iter().map(route).collect()
    }

    /// Opens the sockets of a channel on a link, unless they are open, and has them watched. `bound`: whether they are
    /// bound to the link; unicast ones need not be.
    pub(super) fn open_port(
        &mut self,
        poller: &Poller,
        link: &Link,
        channel: Channel,
        bound: bool,
    ) -> Result<(), Error> {
        let index = if bound { link.index } else { ANY_LINK };
        if self.is_open(index, channel) {
            return Ok(());
        }
        let socket = match channel {
            Channel::Multicast(Family::V4) => Socket::open_v4(&link.name, link.index)?,
            Channel::Multicast(Family::V6) => Socket::open_v6(&link.name, link.index)?,
            Channel::Unicast(source) => Socket::open_unicast(bound.then_some(&*link.name), source)?,
        };
        let id = PortId(self.opened);
        poller.watch(socket.as_fd(), Token::Port(id))?;
        self.opened += 1;
        self.ports.push(Port::new(id, link, channel, bound, socket));
        Ok(())
    }

    pub(super) fn ports(&self) -> &[Port] {
        &self.ports
    }

    pub(super) fn port_ids(&self) -> Vec<PortId> {
        self.ports.iter().map(|port| port.id).collect()
    }

    /// Whether the sockets of a channel on a link are open.
    pub(super) fn is_open(&self, index: u32, channel: Channel) -> bool {
        self.ports.iter().any(|port| port.serves(index, channel))
    }

    /// Closes the sockets that serve none of these channels on these links.
    pub(super) fn keep_ports(&mut self, used: &[(u32, Channel)]) {
        self.ports.retain(|port| used.contains(&(port.index, port.channel)));
    }

    /// The link and the channel of a port; `None` once it is closed.
    pub(super) fn location(&self, id: PortId) -> Option<(u32, Channel)> {
        self.ports.iter().find(|port| port.id == id).map(|port| (port.index, port.channel))
    }

    /// The next packets of a port, and whether there may be more.
    pub(super) fn receive<'a>(&self, id: PortId, inbox: &'a mut Inbox) -> (Vec<Received<'a>>, bool) {
        let Some(port) = self.ports.iter().find(|port| port.id == id) else { return (vec![], false) };
        port.socket.receive_all(inbox).unwrap_or_else(|e| {
            // The link is gone; the notification follows.
            log::debug!(event = "receive_failed"; "{e}");
            (vec![], false)
        })
    }

    /// Counts a packet that concerns none of our routers.
    pub(super) fn count_drop(&mut self, id: PortId, reason: DropReason) {
        if let Some(port) = self.ports.iter_mut().find(|port| port.id == id) {
            port.drops.count(reason);
        }
    }

    /// Sends a router's message if the port is open; returns whether it was sent or queued. A multicast message may be
    /// queued until [`Network::flush`], which runs before anything else that other hosts can observe, so the order is kept.
    pub(super) fn send(
        &mut self,
        router: RouterId,
        index: u32,
        channel: Channel,
        (from, to): (IpAddr, IpAddr),
        message: &[u8],
    ) -> bool {
        let Some(port) = self.ports.iter_mut().find(|port| port.serves(index, channel)) else { return false };
        let sent = match channel {
            Channel::Multicast(_) => port.socket.queue(&mut port.outbox, router.0, from, to, message),
            Channel::Unicast(_) => port.socket.send(from, to, message),
        };
        let accepted = sent.is_ok();
        self.send_errors.extend(sent.err().map(|e| (router, e)));
        if port.outbox.len() >= BATCH {
            self.flush();
        }
        accepted
    }

    /// Sends the queued messages.
    pub(super) fn flush(&mut self) {
        for port in self.ports.iter_mut().filter(|port| !port.outbox.is_empty()) {
            let failed = port.socket.flush(&mut port.outbox, port.channel.group());
            self.send_errors.extend(failed.into_iter().map(|(router, e)| (RouterId(router), e)));
        }
    }

    /// The routers whose messages could not be sent since the last call, and why.
    pub(super) fn take_send_errors(&mut self) -> Vec<(RouterId, Error)> {
        std::mem::take(&mut self.send_errors)
    }

    /// Adds virtual addresses and renews the leases of those that exist. Returns the refused ones by their index in
    /// `assignments`.
    pub(super) fn add(&mut self, now: Instant, assignments: &[Assignment]) -> Vec<(usize, Error)> {
        self.flush();
        let refused = self.netlink.add_all(assignments);
        self.guard.renewed(now, assignments, &refused);
        refused
    }

    pub(super) fn guard(&self) -> &AddressGuard {
        &self.guard
    }

    pub(super) fn guard_mut(&mut self) -> &mut AddressGuard {
        &mut self.guard
    }

    /// Stops following addresses that were the host's until we added them as virtual ones.
    pub(super) fn adopt(&mut self, added: &[Assignment]) {
        for Assignment { index, address, prefix, .. } in added {
            self.interfaces.forget(*index, *address, *prefix);
        }
    }

    /// Before addresses are added: the host's others in their subnets must survive them. Returns what to log.
    pub(super) fn protect_secondaries(&mut self, added: &[Assignment]) -> Vec<(Level, String)> {
        self.secondaries.protect(&mut self.netlink, &self.interfaces, added)
    }

    /// The same for addresses that were added before: the kernel does not report that another program changed a setting.
    pub(super) fn keep_secondaries(&mut self, now: Instant) {
        self.secondaries.keep(now, &mut self.netlink, &self.interfaces);
    }

    /// Removes an address; that it is already gone is no error. What the kernel removes with it is put back at once.
    pub(super) fn remove(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        self.flush();
        self.own_change_pending = true;
        self.secondaries.forget(index, address, prefix);
        self.netlink.remove(index, address, prefix)?;
        // Before Linux 5.18 no address has a mark, so the table holds it as one of the host.
        self.interfaces.forget(index, address, prefix);
        if address.is_ipv4() && prefix < host_prefix(address) {
            match self.monitor.read() {
                Ok(changes) => self.read_early.extend(changes),
                Err(_) => self.needs_resync = true,
            }
            let is_it = |gone: &Address| (gone.index, gone.address, gone.prefix) == (index, address, prefix);
            for (with, removed) in secondaries::removed_together(&self.read_early, is_it) {
                self.put_back(&with, &removed);
            }
        }
        Ok(())
    }

    /// Adds an address again that the kernel removed together with a virtual one.
    pub(super) fn put_back(&mut self, with: &Address, removed: &Removed) {
        secondaries::put_back(&mut self.netlink, with, removed);
    }
}
