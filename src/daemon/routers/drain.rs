//! Drain and undrain of all routers, and what becomes of it: all go, or none. Knows no file.

use log::Level;

use super::Routers;
use crate::daemon::draining::Drain;
use crate::daemon::router::Router;
use crate::ids::RouterId;
use crate::vrrp::{Event, Role};

/// Why a master serves on although it was to be drained.
const ALONE: &str = "no router took over within 1.1 s";
const OWNER: &str = "its addresses are the host's own, which answers for them in any state";

impl Routers {
    /// Has all routers take no part. `by`: who wants it.
    pub(in crate::daemon) fn drain(&mut self, force: bool, by: &str) {
        let bound = self.dispatcher.present().find(|(_, router)| is_bound(router)).map(|(id, _)| id);
        if let Some(id) = bound {
            let router = self.dispatcher.router(id);
            router.log_event(Level::Error, "drain", format_args!("Not drained: {OWNER}"));
            return self.refuse_drain(id, OWNER);
        }
        self.drain = Drain::On;
        for id in self.dispatcher.ids() {
            self.dispatcher.note(id, format!("drain ordered by {by}"));
            self.dispatcher.dispatch(id, Event::Drain { force });
        }
        self.dispatcher.flush();
    }

    /// Has all routers take part again.
    pub(in crate::daemon) fn undrain(&mut self) {
        self.drain = Drain::Off;
        for id in self.dispatcher.ids() {
            self.dispatcher.note(id, "undrained".into());
        }
        self.dispatch_to_all(&Event::Undrain);
    }

    /// If a router was not drained, none is: the addresses of a node stay together.
    pub(in crate::daemon) fn follow_drain(&mut self) {
        if self.drain != Drain::On {
            return;
        }
        let staying = self.dispatcher.present().find(|(_, router)| stays(router)).map(|(id, _)| id);
        if let Some(id) = staying {
            self.refuse_drain(id, ALONE);
        }
    }

    fn refuse_drain(&mut self, by: RouterId, why: &'static str) {
        self.drain = Drain::Refused { by, why };
        let text = not_with(self.dispatcher.router(by));
        for id in self.dispatcher.ids().filter(|id| *id != by) {
            let instance = self.dispatcher.router(id).instance();
            if instance.is_drained() || instance.is_draining() {
                self.dispatcher.router(id).log_event(Level::Error, "drain", format_args!("{text}"));
                self.dispatcher.note(id, text.clone());
                self.dispatcher.dispatch(id, Event::Undrain);
            }
        }
        self.dispatcher.flush();
    }

    /// What has become of the order to take no part.
    pub(in crate::daemon) fn drain_state(&self) -> Drain {
        self.drain
    }
}

/// Why the others take part where this router was not drained.
pub(in crate::daemon) fn not_with(router: &Router) -> String {
    format!("Not drained: {} was not, and all routers of a node go together", router.name())
}

/// Whether its addresses are on this host whatever it does.
fn is_bound(router: &Router) -> bool {
    !router.host().owned().is_empty()
}

/// Whether it takes part, and is not about to leave.
fn stays(router: &Router) -> bool {
    let instance = router.instance();
    let has_started = router.role() != Role::Init;
    has_started && !router.is_leaving() && !instance.is_drained() && !instance.is_draining()
}
