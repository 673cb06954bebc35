//! The sockets for one way of sending on one link, and their membership in the multicast group. Knows no router.

use std::io;
use std::net::IpAddr;

use crate::ids::PortId;
use crate::sys::netlink::Link;
use crate::sys::socket::{ANY_INTERFACE, Outbox, Socket, membership};
use crate::vrrp::{Drops, Family, GROUP_V4, GROUP_V6};

/// In place of the index of a link: the sockets are bound to none, and follow the routes.
pub(super) const ANY_LINK: u32 = 0;

/// The VRRP sockets of one channel on one link.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: PortId,
    /// The index of the link, or [`ANY_LINK`].
    pub(super) index: u32,
    pub(super) channel: Channel,
    interface: String,
    pub(super) socket: Socket,
    /// Multicast adverts that are sent together.
    pub(super) outbox: Outbox,
    /// Packets that concern none of our routers.
    pub(super) drops: Drops,
    /// The kernel has dropped it from the group, and it could not join again.
    pub(super) is_deaf: bool,
}

impl Port {
    /// `bound`: whether the socket is bound to the link.
    pub(super) fn new(id: PortId, link: &Link, channel: Channel, bound: bool, socket: Socket) -> Self {
        let (outbox, drops) = (Outbox::default(), Drops::default());
        let (index, interface) = if bound { (link.index, &*link.name) } else { (ANY_LINK, ANY_INTERFACE) };
        Self { id, index, channel, interface: interface.to_owned(), socket, outbox, drops, is_deaf: false }
    }

    /// Joins the group again if the kernel has dropped the membership. `joined`: the links of each family's group, if
    /// they are known. Returns whether to try again soon, though no notification will say when.
    pub(super) fn keep_membership(&mut self, joined: &[(Family, Option<Vec<u32>>)]) -> bool {
        let Channel::Multicast(family) = self.channel else { return false };
        let is_member =
            |links: &Option<Vec<u32>>| links.as_ref().is_none_or(|links| links.contains(&self.index));
        // After a failure the socket is no member, even if another process is.
        let was_deaf = self.is_deaf;
        if !was_deaf && joined.iter().all(|(of, links)| *of != family || is_member(links)) {
            return false;
        }
        self.is_deaf = true;
        let (group, interface) = (self.channel.group(), &self.interface);
        match self.socket.rejoin(self.index) {
            Ok(()) => {
                self.is_deaf = !is_member(&membership::joined(family).ok());
                log::info!(event = "group"; "Joined {group} on {interface} again: the kernel had dropped it");
            }
            // Its return will be reported.
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => return false,
            Err(e) if was_deaf => log::debug!(event = "group"; "{e}"),
            Err(e) => {
                log::warn!(event = "group"; "{e}; adverts of other routers are not received; trying again");
            }
        }
        self.is_deaf
    }

    /// Whether it serves this channel on this link.
    pub(super) fn serves(&self, index: u32, channel: Channel) -> bool {
        (self.index, self.channel) == (index, channel)
    }

    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Packets that concern none of our routers, by reason.
    pub(super) fn drops(&self) -> &Drops {
        &self.drops
    }
}

/// How a router sends its adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Multicast(Family),
    /// To each peer, from this address of ours.
    Unicast(IpAddr),
}

impl Channel {
    /// The multicast group of the family.
    pub(super) fn group(self) -> IpAddr {
        match self {
            Self::Multicast(Family::V6) | Self::Unicast(IpAddr::V6(_)) => GROUP_V6.into(),
            Self::Multicast(Family::V4) | Self::Unicast(IpAddr::V4(_)) => GROUP_V4.into(),
        }
    }
}
