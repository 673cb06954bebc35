//! Routers that come and go while the others run. Decides nothing.

use super::Dispatcher;
use crate::config::RouterConfig;
use crate::daemon::router::Router;
use crate::ids::RouterId;
use crate::vrrp::{Cause, Event};

impl Dispatcher {
    /// Adds a router, which is not started.
    pub(in crate::daemon) fn add(&mut self, config: RouterConfig) -> RouterId {
        let router = Router::new(config, self.clock.exact());
        let at = self.routers.iter().position(Router::is_gone).unwrap_or(self.routers.len());
        if at < self.routers.len() {
            self.routers[at] = router;
        } else {
            self.routers.push(router);
        }
        self.history.forget_evidence(at);
        self.timers.grow(self.routers.len());
        RouterId(at)
    }

    /// The router has left.
    pub(in crate::daemon) fn remove(&mut self, id: RouterId) {
        self.unsent.retain(|(unsent, _)| *unsent != id);
        self.routers[id.0].clear();
    }

    /// Follows which routers are partners, after routers came and went.
    pub(in crate::daemon) fn update_families(&mut self) {
        let routers = self.routers.iter().enumerate().filter(|(_, router)| !router.is_gone());
        self.families.update(routers.map(|(at, router)| (RouterId(at), router.config().number)));
        for id in self.ids() {
            let router = self.router(id);
            if self.families.partner(id).is_none() && router.instance().faults().contains(&Cause::Partner) {
                self.dispatch(id, Event::Clear(Cause::Partner));
            } else if router.binding().is_some_and(|b| b.down.is_none() && b.source.is_some()) {
                self.family_came(id);
            }
        }
    }
}
