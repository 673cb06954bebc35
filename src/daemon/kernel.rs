//! What the kernel holds for us: sockets by interface, addresses, and its notices; decides nothing about
//! routers.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use super::interfaces::Interfaces;
use crate::config::{InterfaceChoice, VirtualAddress};
use crate::sys::Error;
use crate::sys::neighbour::Announcer;
use crate::sys::netlink::{Assignment, Change, Link, Monitor, Netlink};
use crate::sys::poller::Poller;
use crate::sys::route::default_route_interface;
use crate::sys::socket::Socket;
use crate::vrrp::{Drops, GROUP_V4, Lease};

/// One interface that at least one router speaks on.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) socket: Socket,
    pub(super) interface: String,
    /// Packets that concern none of our routers.
    pub(super) drops: Drops,
}

/// The kernel's side of the daemon.
#[derive(Debug)]
pub(super) struct Kernel {
    netlink: Netlink,
    monitor: Monitor,
    pub(super) interfaces: Interfaces,
    pub(super) ports: Vec<Port>,
    /// With the index of their interface.
    announcers: Vec<(u32, Announcer)>,
    /// We changed an address, and its notice is waiting.
    echo: bool,
}

impl Kernel {
    /// Subscribes to the notices first and lists then, so that nothing is missed between.
    pub(super) fn open() -> Result<Self, Error> {
        let monitor = Monitor::open()?;
        let mut netlink = Netlink::open()?;
        let interfaces = Interfaces::new(netlink.links()?, netlink.addresses()?);
        Ok(Self { netlink, monitor, interfaces, ports: vec![], announcers: vec![], echo: false })
    }

    pub(super) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Whether a notice of our own doing waits: read at once, it is no wake-up of its own.
    pub(super) fn take_echo(&mut self) -> bool {
        std::mem::take(&mut self.echo)
    }

    /// Reads the notices and follows them; answers the addresses that are gone now. Of those that went
    /// and came back meanwhile nothing is said: an old notice of our own doing is no news.
    pub(super) fn notices(&mut self) -> Result<Vec<(u32, IpAddr)>, Error> {
        let mut gone = vec![];
        for change in self.monitor.read()? {
            self.interfaces.apply(&change);
            match change {
                // An announcement must carry the hardware address of today.
                Change::Link(link) => {
                    self.announcers.retain(|(i, open)| *i != link.index || Some(open.mac()) == link.mac);
                }
                Change::LinkGone { index, .. } => {
                    self.ports.retain(|port| port.index != index);
                    self.announcers.retain(|(i, _)| *i != index);
                }
                Change::AddressGone(address) => gone.push((address.index, address.address)),
                Change::Overrun => {
                    let before = std::mem::take(&mut self.interfaces);
                    self.interfaces = Interfaces::new(self.netlink.links()?, self.netlink.addresses()?);
                    gone.extend(before.addresses().iter().map(|a| (a.index, a.address)));
                }
                Change::Address(_) => {}
            }
        }
        if !gone.is_empty() {
            let present = self.netlink.addresses()?;
            gone.retain(|(index, address)| {
                !present.iter().any(|a| (a.index, a.address) == (*index, *address))
            });
        }
        Ok(gone)
    }

    /// The link a router is to speak on, if it is there.
    pub(super) fn resolve(&self, choice: &InterfaceChoice, first: IpAddr) -> Option<&Link> {
        match choice {
            InterfaceChoice::Named(name) => self.interfaces.named(name),
            InterfaceChoice::Auto => self.interfaces.on_subnet_of(first).or_else(|| {
                default_route_interface(first.is_ipv4()).and_then(|name| self.interfaces.named(&name))
            }),
        }
    }

    /// Opens the sockets of an interface, unless they are, and has them watched under its index.
    pub(super) fn open_port(&mut self, poller: &Poller, token: u64, link: &Link) -> Result<(), Error> {
        if self.port(link.index).is_none() {
            let socket = Socket::open_v4(&link.name, link.index)?;
            poller.watch(socket.as_fd(), token)?;
            let (index, interface) = (link.index, link.name.clone());
            self.ports.push(Port { index, socket, interface, drops: Drops::default() });
        }
        Ok(())
    }

    /// The open sockets of an interface.
    pub(super) fn port(&self, index: u32) -> Option<&Port> {
        self.ports.iter().find(|port| port.index == index)
    }

    /// Adds one virtual address to its device, or to the link `index`; it may be there already,
    /// and then its lease is renewed.
    pub(super) fn add(
        &mut self,
        index: u32,
        vip: &VirtualAddress,
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        let index = self.device(index, vip)?;
        let VirtualAddress { address, prefix, ref label, .. } = *vip;
        self.echo = true;
        self.netlink.add(&Assignment {
            index,
            address,
            prefix,
            label: label.clone(),
            lifetime: lease.map(Lease::seconds),
        })
    }

    /// Removes one virtual address; it may be gone already, with its device.
    pub(super) fn remove(&mut self, index: u32, vip: &VirtualAddress) -> Result<(), Error> {
        let Ok(index) = self.device(index, vip) else { return Ok(()) };
        self.echo = true;
        self.netlink.remove(index, vip.address, vip.prefix)
    }

    /// Removes any address, such as a predecessor's.
    pub(super) fn remove_from(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        self.netlink.remove(index, address, prefix)
    }

    /// The index of the link that a virtual address belongs on.
    pub(super) fn device(&self, index: u32, vip: &VirtualAddress) -> Result<u32, Error> {
        let Some(name) = &vip.device else { return Ok(index) };
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        self.interfaces
            .named(name)
            .map(|link| link.index)
            .ok_or_else(|| Error::doing("find the device of the address", vip.to_string())(missing()))
    }

    /// Sends one message to the group.
    pub(super) fn send(&self, index: u32, from: Ipv4Addr, message: &[u8]) -> Result<(), Error> {
        match self.port(index) {
            Some(port) => port.socket.send_v4(from, GROUP_V4, message),
            None => Ok(()),
        }
    }

    /// Tells the neighbours that the address is here.
    pub(super) fn announce(&mut self, index: u32, vip: &VirtualAddress) -> Result<(), Error> {
        let index = self.device(index, vip)?;
        let (IpAddr::V4(address), Some(link)) = (vip.address, self.interfaces.link(index)) else {
            return Ok(());
        };
        if link.mac.is_none() {
            // Point-to-point links have no neighbours to tell.
            return Ok(());
        }
        let open = self.announcers.iter().position(|(i, _)| *i == index);
        let at = if let Some(at) = open {
            at
        } else {
            self.announcers.push((index, Announcer::open(&link.name)?));
            self.announcers.len() - 1
        };
        self.announcers[at].1.announce_v4(address)
    }
}
