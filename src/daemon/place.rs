//! Where each router speaks: finds its link and address, opens its sockets, and tells its state machine what
//! became of them; knows no packet.

use std::time::Duration;

use log::Level;

use super::router::Place;
use super::{Daemon, PORT, wording};
use crate::vrrp::{Cause, Event, Role};

/// The kernel does not tell when a default route appears, and not every failure to open ends with a
/// notice: what is missing is looked for again this often.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Daemon {
    /// Finds the router's place anew and tells the state machine what that means for it.
    pub(super) fn refresh(&mut self, id: usize) {
        let tracked = if self.routers[id].tracked_are_up(&self.kernel) { Event::Clear } else { Event::Fault };
        self.dispatch(id, tracked(Cause::Tracked));
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
        let first = router.first()?;
        let choice = &router.config.interface;
        let known = router.place.as_ref().map(|place| place.interface.as_str());
        let Some(link) = self.kernel.resolve(choice, first, known).cloned() else {
            let text = wording::no_place(choice, first);
            self.wait_for_place(id, Level::Warn, text);
            return None;
        };
        router.adopt(&self.kernel, link.index);
        self.virtual_addresses.clear();
        let managed = self.routers.iter().flat_map(|r| &r.managed).map(|vip| vip.address);
        self.virtual_addresses.extend(managed);
        let router = &self.routers[id];
        let source = router.source(&self.kernel, link.index, &self.virtual_addresses);
        if let Some(channel) = router.channel(source)
            && let Err(e) = self.kernel.open_port(&self.poller, PORT, &link, channel)
        {
            self.wait_for_place(id, Level::Error, e.to_string());
            if e.is_permission() && self.routers[id].instance.role() == Role::Init {
                self.forbidden = Some(e);
            }
            return None;
        }
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
}
