//! Drain and undrain of all routers, and what became of it in each. Knows no file.

use log::Level;

use super::Routers;
use crate::daemon::router::Router;
use crate::vrrp::Event;

/// Why a master serves on although it was to be drained.
const ALONE: &str = "no router took over within 1.1 s";
const OWNER: &str = "its addresses are the host's own, which answers for them in any state";

impl Routers {
    /// Has all routers take no part. `by`: who wants it.
    pub(in crate::daemon) fn drain(&mut self, force: bool, by: &str) {
        self.reconfiguration.drained = true;
        for id in self.dispatcher.ids() {
            let router = self.dispatcher.router(id);
            if is_bound(router) {
                router.log_event(Level::Error, "drain", format_args!("Not drained: {OWNER}"));
            } else {
                self.dispatcher.note(id, format!("drain ordered by {by}"));
                self.dispatcher.dispatch(id, Event::Drain { force });
            }
        }
        self.dispatcher.flush();
    }

    /// Has all routers take part again.
    pub(in crate::daemon) fn undrain(&mut self) {
        self.reconfiguration.drained = false;
        for id in self.dispatcher.ids() {
            self.dispatcher.note(id, "undrained".into());
        }
        self.dispatch_to_all(&Event::Undrain);
    }
}

/// Whether its addresses are on this host whatever it does.
fn is_bound(router: &Router) -> bool {
    !router.host().owned().is_empty()
}

/// Why a router takes part although it is to be drained; `None` if it does not, or is about to.
pub(in crate::daemon) fn refusal(router: &Router) -> Option<&'static str> {
    let instance = router.instance();
    let refused = !instance.is_drained() && !instance.is_draining();
    refused.then_some(if is_bound(router) { OWNER } else { ALONE })
}
