//! Announces addresses on the links, and asks who else has one. Does not know why.

use std::net::IpAddr;

use super::Network;
use crate::config::VirtualAddress;
use crate::sys::Error;
use crate::sys::neighbor::Announcer;
use crate::vrrp::Family;

impl Network {
    /// Opens what announcing the addresses needs, while descriptors are left. An error is reported by the announcement.
    pub(in crate::daemon) fn prepare_announcements<'a>(
        &mut self,
        index: u32,
        vips: impl Iterator<Item = &'a VirtualAddress>,
    ) {
        for vip in vips {
            if let Ok(index) = self.device(index, vip) {
                let _ = self.announcer(index);
            }
        }
    }

    /// `None` if the link has no neighbor cache to update, as a point-to-point link.
    fn announcer(&mut self, index: u32) -> Result<Option<&Announcer>, Error> {
        let at = if let Some(at) = self.announcers.iter().position(|(i, _)| *i == index) {
            at
        } else {
            let link = self.interfaces.link(index).filter(|link| link.mac.is_some());
            let Some(link) = link else { return Ok(None) };
            self.announcers.push((index, Announcer::open(&link.name)?));
            self.announcers.len() - 1
        };
        Ok(Some(&self.announcers[at].1))
    }

    /// Announces the address to the neighbors by gratuitous ARP or an unsolicited neighbor advertisement.
    pub(in crate::daemon) fn announce(&mut self, index: u32, vip: &VirtualAddress) -> Result<(), Error> {
        self.flush();
        let index = self.device(index, vip)?;
        self.announce_on(index, vip.address)
    }

    /// The same for any address on the link.
    pub(in crate::daemon) fn announce_on(&mut self, index: u32, address: IpAddr) -> Result<(), Error> {
        let Some(announcer) = self.announcer(index)? else { return Ok(()) };
        match address {
            IpAddr::V4(address) => announcer.announce_v4(address),
            // RFC 9568 §6.4.2: the Router flag is set.
            IpAddr::V6(address) => announcer.announce_v6(address, true),
        }
    }

    /// Asks the routers on the link whether they have the address: all of them, or the unicast `peers` there. That the
    /// question cannot be sent is no news: the advert after it cannot either.
    pub(in crate::daemon) fn solicit(
        &mut self,
        index: u32,
        source: IpAddr,
        address: IpAddr,
        peers: &[IpAddr],
    ) {
        if !self.questions.admit((index, Family::of(address))) {
            return;
        }
        let mut asked = vec![None];
        if address.is_ipv4() && !peers.is_empty() {
            asked.clear();
            for peer in peers {
                let IpAddr::V4(v4) = *peer else { continue };
                let found = self.netlink.neighbor(index, v4);
                asked.extend(self.questions.peer((index, *peer), found).map(Some));
            }
        }
        if let Ok(Some(announcer)) = self.announcer(index) {
            for to in asked {
                let _ = announcer.solicit(source, address, to);
            }
        }
    }

    /// Asks one host on the link whether it has the address. Returns whether it could be asked.
    pub(in crate::daemon) fn ask(
        &mut self,
        index: u32,
        source: IpAddr,
        address: IpAddr,
        mac: [u8; 6],
    ) -> bool {
        let announcer =
            self.announcer(index).ok().flatten().filter(|_| Family::of(source) == Family::of(address));
        announcer.is_some_and(|announcer| announcer.solicit(source, address, Some(mac)).is_ok())
    }
}
