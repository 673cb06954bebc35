//! Where each router speaks: finds its link and address, opens its sockets, and tells its state machine what
//! became of them and of its addresses; knows no packet.

use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

use super::router::{Place, Router};
use super::{Daemon, messages};
use crate::config::InterfaceChoice;
use crate::sys::Error;
use crate::sys::netlink::Link;
use crate::vrrp::{Cause, Event, Priority, Role};

/// The kernel does not tell when a default route appears, and not every failure to open ends with a
/// notice: what is missing for such a reason is looked for again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Daemon {
    /// What happened to links and addresses. That the kernel cannot say so for a moment ends nothing.
    pub(super) fn notices(&mut self) {
        let news = match self.kernel.notices() {
            Ok(news) => news,
            Err(e) => return self.read_again(&e),
        };
        self.blind = false;
        let gone = if news.lost { self.routers.iter().flat_map(Router::held).collect() } else { news.gone };
        let gone = self.really_gone(gone);
        let adopted = self.adopt();
        for id in 0..self.routers.len() {
            if news.places || self.routers[id].place.is_none() {
                self.refresh(id);
            }
            let router = &self.routers[id];
            let other_mac = router.place.as_ref().is_some_and(|p| news.other_mac.contains(&p.index));
            if router.lost(&gone) || adopted.contains(&id) {
                self.dispatch(id, Event::AddressLost);
            }
            if other_mac {
                self.dispatch(id, Event::HardwareAddress);
            }
        }
        if news.places {
            self.offer_seats();
        }
    }

    fn read_again(&mut self, e: &Error) {
        if !std::mem::replace(&mut self.blind, true) {
            log::error!(event = "kernel"; "{e}; trying again");
        }
        self.look_again = Some(self.poller.now() + LOOK_AGAIN);
    }

    /// Which of the addresses that were told to be gone are not there now. The notice may be an old one of our own
    /// doing, of an address that we have put there again since: of those that matter the kernel is asked.
    fn really_gone(&mut self, mut gone: Vec<(u32, IpAddr)>) -> Vec<(u32, IpAddr)> {
        if gone.is_empty() || !self.routers.iter().any(|router| router.lost(&gone)) {
            return vec![];
        }
        match self.kernel.addresses() {
            Ok(there) => gone
                .retain(|(index, address)| !there.iter().any(|a| (a.index, a.address) == (*index, *address))),
            // Then it is put back where it may be.
            Err(e) => log::warn!(event = "kernel"; "{e}"),
        }
        gone
    }

    /// Looks which addresses the owners really have, before anybody chooses one to speak from. Answers the owners of
    /// whom that is another list now: one that has lost a real address has to hold it as a virtual one.
    fn adopt(&mut self) -> Vec<usize> {
        let mut changed = vec![];
        for id in 0..self.routers.len() {
            if self.routers[id].config.protocol.priority != Priority::OWNER {
                continue;
            }
            let Some(link) = self.link(id).map(|link| link.index) else { continue };
            if self.routers[id].adopt(&self.kernel, link) {
                changed.push(id);
            }
        }
        if !changed.is_empty() {
            self.gather_virtual_addresses();
        }
        changed
    }

    /// The router's link, while there is one.
    fn link(&self, id: usize) -> Option<&Link> {
        let router = &self.routers[id];
        let known = router.place.as_ref().map(|place| place.interface.as_str());
        self.kernel.resolve(&router.config.interface, router.config.subnet_hint, known)
    }

    /// Finds the router's place anew and tells the state machine what that means for it.
    pub(super) fn refresh(&mut self, id: usize) {
        let tracked = if self.routers[id].tracked_are_up(&self.kernel) { Event::Clear } else { Event::Fault };
        self.dispatch(id, tracked(Cause::Tracked));
        let place = self.find_place(id);
        self.take_seat(id, place.as_ref());
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
        let router = &self.routers[id];
        let Some(link) = self.link(id).cloned() else {
            let choice = &router.config.interface;
            let text = messages::no_place(choice, router.config.subnet_hint);
            // That a link of this name appears, the kernel tells.
            let untold = *choice == InterfaceChoice::Auto;
            self.wait_for_place(id, Level::Warn, text, untold);
            return None;
        };
        let source = router.source(&self.kernel, link.index, &self.virtual_addresses);
        if let Some(channel) = router.channel(source)
            && let Err(e) = self.kernel.open_port(&self.poller, &link, channel)
        {
            self.wait_for_place(id, Level::Error, e.to_string(), true);
            if e.is_permission() && self.routers[id].instance.role() == Role::Init {
                self.forbidden = Some(e);
            }
            return None;
        }
        let router = &mut self.routers[id];
        router.waits = None;
        let up = link.up && router.devices_are_up(&self.kernel);
        Some(Place { index: link.index, interface: link.name, up, source })
    }

    /// `untold`: no notice of the kernel will say when it is there.
    fn wait_for_place(&mut self, id: usize, level: Level, text: String, untold: bool) {
        if untold {
            self.look_again = Some(self.poller.now() + LOOK_AGAIN);
        }
        let router = &mut self.routers[id];
        if router.waits.is_none() {
            router.say(level, "interface", &text);
        }
        router.waits = Some(text.into());
    }

    /// Two of our routers that come to one link by different ways, one by its name and one by its subnet, may have
    /// the same VRID there, as nobody could tell before. The first to come has it.
    fn take_seat(&mut self, id: usize, place: Option<&Place>) {
        let router = &self.routers[id];
        let Some(place) = place else { return self.seats.leave(id) };
        let vrid = router.config.protocol.vrid;
        let known = router.instance.faults().contains(&Cause::Vrid);
        match self.seats.take((place.index, router.config.family(), vrid), id) {
            Err(holder) if !known => {
                let holder = self.routers[holder].name();
                router.say(Level::Error, "vrid_taken", messages::vrid_taken(vrid, &place.interface, holder));
                self.dispatch(id, Event::Fault(Cause::Vrid));
            }
            Ok(()) if known => self.dispatch(id, Event::Clear(Cause::Vrid)),
            Ok(()) | Err(_) => {}
        }
    }

    /// To those who found theirs taken: its holder may have left.
    fn offer_seats(&mut self) {
        for id in 0..self.routers.len() {
            if self.routers[id].instance.faults().contains(&Cause::Vrid) {
                self.refresh(id);
            }
        }
    }

    pub(super) fn gather_virtual_addresses(&mut self) {
        let managed = self.routers.iter().flat_map(Router::managed).map(|vip| vip.address);
        self.virtual_addresses = managed.collect::<BinaryHeap<_>>().into_sorted_vec();
    }
}
