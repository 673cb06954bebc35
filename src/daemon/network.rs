//! What the kernel holds for us: sockets by interface, addresses, and its notices; decides nothing about
//! routers.

use std::net::IpAddr;
use std::os::fd::AsFd;

use crate::config::{InterfaceChoice, VirtualAddress};
use crate::ids::PortId;
use crate::interfaces::Interfaces;
use crate::sys::Error;
use crate::sys::neighbor::Announcer;
use crate::sys::netlink::{Address, Assignment, Change, Link, Monitor, Netlink};
use crate::sys::route::default_route_interface;
use crate::sys::socket::{Outbox, Socket};
use crate::token::{Poller, Token};
use crate::vrrp::{Drops, Family, GROUP_V4, GROUP_V6};

/// So many adverts wait for each other at most.
const AT_ONCE: usize = 32;

/// One interface that at least one router speaks on.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) index: u32,
    channel: Channel,
    pub(super) id: PortId,
    pub(super) socket: Socket,
    pub(super) interface: String,
    /// Adverts to the group that are to leave together.
    outbox: Outbox,
    /// Packets that concern none of our routers.
    pub(super) drops: Drops,
}

impl Port {
    /// Whether it serves this channel on this link.
    pub(super) fn is(&self, index: u32, channel: Option<Channel>) -> bool {
        self.index == index && Some(self.channel) == channel
    }
}

/// By which way a router speaks on its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Multicast(Family),
    /// To peers, from this address of ours.
    Unicast(IpAddr),
}

impl Channel {
    /// Where adverts go that are for nobody in particular.
    pub(super) fn group(self) -> IpAddr {
        match self {
            Self::Multicast(Family::V6) | Self::Unicast(IpAddr::V6(_)) => GROUP_V6.into(),
            Self::Multicast(Family::V4) | Self::Unicast(IpAddr::V4(_)) => GROUP_V4.into(),
        }
    }
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
    /// Which routers could not send, and why.
    unsent: Vec<(usize, Error)>,
    /// We changed an address, and its notice is waiting.
    echo: bool,
    /// Notices were lost: everything must be listed anew.
    stale: bool,
    /// How many ports were opened, so that each gets another token.
    opened: u32,
}

/// What the notices mean for those who hold addresses.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Addresses that were gone when the notice was written, with the index of their link.
    pub(super) gone: Vec<(u32, IpAddr)>,
    /// Notices were lost: any address may be gone.
    pub(super) lost: bool,
    /// Links that have another hardware address than was announced.
    pub(super) other_mac: Vec<u32>,
    /// Something changed that decides where a router speaks: more than somebody's virtual addresses.
    pub(super) places: bool,
}

impl Kernel {
    /// Subscribes to the notices first and lists then, so that nothing is missed between.
    pub(super) fn open() -> Result<Self, Error> {
        let monitor = Monitor::open()?;
        let mut netlink = Netlink::open()?;
        let interfaces = Interfaces::new(netlink.links()?, netlink.addresses()?);
        Ok(Self {
            netlink,
            monitor,
            interfaces,
            ports: vec![],
            announcers: vec![],
            unsent: vec![],
            echo: false,
            stale: false,
            opened: 0,
        })
    }

    pub(super) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Whether a notice of our own doing waits: read at once, it is no wake-up of its own.
    pub(super) fn take_echo(&mut self) -> bool {
        std::mem::take(&mut self.echo)
    }

    /// Reads the notices and follows them. After an error what is known may be old, and the next call lists
    /// everything anew.
    pub(super) fn notices(&mut self) -> Result<News, Error> {
        let changes = self.monitor.read().inspect_err(|_| self.stale = true)?;
        // What a full queue still holds is older than what it lost.
        if self.stale || changes.contains(&Change::Overrun) {
            self.stale = true;
            return self.list_anew();
        }
        let mut news = News::default();
        for change in changes {
            news.places |= self.interfaces.apply(&change);
            match change {
                Change::Link(link) => self.forget_other_mac(link.index, link.mac, &mut news),
                Change::LinkGone { index, .. } => {
                    self.ports.retain(|port| port.index != index);
                    self.announcers.retain(|(i, _)| *i != index);
                }
                Change::AddressGone(address) => news.gone.push((address.index, address.address)),
                Change::Address(_) | Change::Overrun => {}
            }
        }
        Ok(news)
    }

    /// Every address of the machine, as the kernel has it now, with what is left of each lifetime.
    pub(super) fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.netlink.addresses()
    }

    fn list_anew(&mut self) -> Result<News, Error> {
        let fresh = Interfaces::new(self.netlink.links()?, self.netlink.addresses()?);
        self.interfaces = fresh;
        self.interfaces.forget_virtual();
        self.stale = false;
        self.ports.retain(|port| self.interfaces.link(port.index).is_some());
        let mut news = News { places: true, lost: true, ..News::default() };
        for index in self.announcers.iter().map(|(index, _)| *index).collect::<Vec<_>>() {
            let mac = self.interfaces.link(index).and_then(|link| link.mac);
            self.forget_other_mac(index, mac, &mut news);
        }
        Ok(news)
    }

    /// An announcement must carry the hardware address of today.
    fn forget_other_mac(&mut self, index: u32, mac: Option<[u8; 6]>, news: &mut News) {
        let before = self.announcers.len();
        self.announcers.retain(|(i, open)| *i != index || Some(open.mac()) == mac);
        if self.announcers.len() < before {
            news.other_mac.push(index);
        }
    }

    /// The link a router is to speak on, if it is there. `known` is the one in use: a subnet that fits is
    /// better, a default route is not.
    pub(super) fn resolve(
        &self,
        choice: &InterfaceChoice,
        home: IpAddr,
        known: Option<&str>,
    ) -> Option<&Link> {
        let auto = || {
            let subnet = self.interfaces.on_subnet_of(home);
            let known = || known.and_then(|name| self.interfaces.named(name));
            subnet
                .or_else(known)
                .or_else(|| self.interfaces.named(&default_route_interface(Family::of(home))?))
        };
        match choice {
            InterfaceChoice::Named(name) => self.interfaces.named(name),
            InterfaceChoice::Auto => auto(),
        }
    }

    /// Opens the sockets of a channel on an interface, unless they are, and has them watched.
    pub(super) fn open_port(&mut self, poller: &Poller, link: &Link, channel: Channel) -> Result<(), Error> {
        if self.port(link.index, channel).is_some() {
            return Ok(());
        }
        let socket = match channel {
            Channel::Multicast(Family::V4) => Socket::open_v4(&link.name, link.index)?,
            Channel::Multicast(Family::V6) => Socket::open_v6(&link.name, link.index)?,
            Channel::Unicast(source) => Socket::open_unicast(&link.name, source)?,
        };
        let id = PortId(self.opened);
        poller.watch(socket.as_fd(), Token::Port(id))?;
        self.opened += 1;
        let (index, interface) = (link.index, link.name.clone());
        self.ports.push(Port {
            index,
            channel,
            id,
            socket,
            interface,
            outbox: Outbox::default(),
            drops: Drops::default(),
        });
        Ok(())
    }

    /// The open sockets of a channel on an interface.
    pub(super) fn port(&self, index: u32, channel: Channel) -> Option<&Port> {
        self.ports.iter().find(|port| port.is(index, Some(channel)))
    }

    /// Adds virtual addresses; those that are there already have their leases renewed. Answers which were refused.
    pub(super) fn add(&mut self, assignments: &[Assignment]) -> Vec<(usize, Error)> {
        self.flush();
        self.netlink.add_all(assignments)
    }

    /// Removes an address; it may be gone already, with its link.
    pub(super) fn remove(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        self.flush();
        self.echo = true;
        self.netlink.remove(index, address, prefix)
    }

    /// The index of the link that a virtual address belongs on.
    pub(super) fn device(&self, index: u32, vip: &VirtualAddress) -> Result<u32, Error> {
        let Some(name) = &vip.device else { return Ok(index) };
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        self.interfaces
            .named(name)
            .map(|link| link.index)
            .ok_or_else(|| Error::doing("find the device of the address", vip)(missing()))
    }

    /// Sends a router's message; to nobody while the port is not open. One to the group may wait until
    /// [`Kernel::flush`], which comes before anything else that anybody notices: the order stays.
    pub(super) fn send(
        &mut self,
        router: usize,
        index: u32,
        channel: Channel,
        (from, to): (IpAddr, IpAddr),
        message: &[u8],
    ) {
        let Some(port) = self.ports.iter_mut().find(|port| port.is(index, Some(channel))) else { return };
        let sent = match channel {
            Channel::Multicast(_) => port.socket.queue(&mut port.outbox, router, from, to, message),
            Channel::Unicast(_) => port.socket.send(from, to, message),
        };
        self.unsent.extend(sent.err().map(|e| (router, e)));
        if port.outbox.len() >= AT_ONCE {
            self.flush();
        }
    }

    /// Sends what waits to be sent.
    pub(super) fn flush(&mut self) {
        for port in self.ports.iter_mut().filter(|port| !port.outbox.is_empty()) {
            self.unsent.extend(port.socket.flush(&mut port.outbox, port.channel.group()));
        }
    }

    /// Which routers could not send, and why, since the last call.
    pub(super) fn take_unsent(&mut self) -> Vec<(usize, Error)> {
        std::mem::take(&mut self.unsent)
    }

    /// Tells the neighbours that the address is here.
    pub(super) fn announce(&mut self, index: u32, vip: &VirtualAddress) -> Result<(), Error> {
        self.flush();
        let index = self.device(index, vip)?;
        let Some(link) = self.interfaces.link(index).filter(|link| link.mac.is_some()) else {
            // Point-to-point links have no neighbours to tell.
            return Ok(());
        };
        let at = if let Some(at) = self.announcers.iter().position(|(i, _)| *i == index) {
            at
        } else {
            self.announcers.push((index, Announcer::open(&link.name)?));
            self.announcers.len() - 1
        };
        let announcer = &self.announcers[at].1;
        match vip.address {
            IpAddr::V4(address) => announcer.announce_v4(address),
            // RFC 9568 §6.4.2: the Router flag is set.
            IpAddr::V6(address) => announcer.announce_v6(address, true),
        }
    }
}
