//! Another configuration while the routers run: which leave, which come, and what changes for the others.

use std::time::Duration;

use super::Routers;
use crate::checks::Checks;
use crate::config::RouterConfig;
use crate::daemon::draining::Drain;
use crate::daemon::router::Router;
use crate::daemon::sweep::sweep;
use crate::ids::RouterId;
use crate::time::Instant;
use crate::token::Poller;
use crate::vrrp::Event;

/// How long a router that is new waits for the first result of its check.
const FIRST_RESULT: Duration = Duration::from_millis(300);

impl Routers {
    /// Takes another configuration, which is in use once [`Routers::follow_configuration`] says so. Routers that are not in
    /// it begin to leave: a master first hands over, so that its addresses are not used twice.
    pub(in crate::daemon) fn reconfigure(&mut self, configs: Vec<RouterConfig>) {
        let stays = |router: &Router| configs.iter().any(|c| (c.number, c.family()) == router.key());
        let left: Vec<_> =
            self.dispatcher.present().filter(|(_, router)| !stays(router)).map(|(id, _)| id).collect();
        for id in left {
            self.dispatcher.router_mut(id).leave();
            self.dispatcher.dispatch(id, Event::Shutdown);
        }
        self.dispatcher.flush();
        self.reconfiguration.pending = Some(configs);
    }

    /// Goes on with what [`Routers::reconfigure`] began. Returns whether all of it is done.
    pub(in crate::daemon) fn follow_configuration(&mut self, checks: &mut Checks, poller: &Poller) -> bool {
        if self.reconfiguration.pending.is_some()
            && !self.await_leaving()
            && let Some(configs) = self.reconfiguration.pending.take()
        {
            self.apply(configs, checks, poller);
        }
        self.start_new(checks);
        self.reconfiguration.pending.is_none()
    }

    /// Whether a configuration is not in use yet.
    pub(in crate::daemon) fn is_reconfiguring(&self) -> bool {
        self.reconfiguration.pending.is_some()
    }

    /// Removes the routers that have left. Returns whether others are still leaving.
    fn await_leaving(&mut self) -> bool {
        let left: Vec<_> =
            self.dispatcher.present().filter(|(_, router)| router.has_left()).map(|(id, _)| id).collect();
        for id in left {
            self.vrids.release(id);
            self.dispatcher.remove(id);
        }
        self.dispatcher.present().any(|(_, router)| router.is_leaving())
    }

    fn apply(&mut self, configs: Vec<RouterConfig>, checks: &mut Checks, poller: &Poller) {
        // Each that has changed, and whether it has other addresses to acquire.
        let (mut changed, mut new) = (vec![], vec![]);
        for config in configs {
            let key = (config.number, config.family());
            let known = self.dispatcher.present().find(|(_, router)| router.key() == key);
            let known = known.map(|(id, router)| (id, *router.config() == config));
            let (routers, network) = self.dispatcher.parts();
            match known {
                Some((_, true)) => {}
                // All give up what they no longer have before any acquires it.
                Some((id, false)) => changed.push((id, routers[id.0].replace_config(config, network))),
                None => new.push(config),
            }
        }
        let new: Vec<_> = new.into_iter().map(|config| self.dispatcher.add(config)).collect();
        self.share_checks(checks);
        self.sweep_new(&new);
        self.update_owned();
        self.update_virtual_addresses();
        self.network_changed(poller);
        self.follow_changed(&changed, checks, poller);
        let until = self.dispatcher.clock().exact() + FIRST_RESULT;
        for id in new {
            // An error has been logged, and a retry is scheduled if it can help.
            let _ = self.rebind(id, poller);
            self.reconfiguration.starting.push((id, until));
        }
        self.follow_places(poller);
    }

    /// Removes what a killed predecessor left of the addresses that are new here.
    fn sweep_new(&mut self, new: &[RouterId]) {
        let (routers, network) = self.dispatcher.parts();
        for id in new {
            sweep(network, &mut routers[id.0]);
        }
    }

    fn share_checks(&mut self, checks: &mut Checks) {
        let mut used = vec![];
        for id in self.dispatcher.ids() {
            let router = self.dispatcher.router_mut(id);
            router.share_check(checks);
            used.extend(router.check());
        }
        checks.keep(&used);
    }

    fn follow_changed(&mut self, changed: &[(RouterId, bool)], checks: &Checks, poller: &Poller) {
        for (id, acquire) in changed {
            // An error has been logged, and a retry is scheduled if it can help.
            let _ = self.rebind(*id, poller);
            let settings = self.dispatcher.router(*id).settings();
            self.dispatcher.dispatch(*id, Event::Reconfigure { settings: &settings, acquire: *acquire });
            let now = self.dispatcher.clock().exact();
            for event in self.dispatcher.router_mut(*id).health_events(now, checks) {
                self.dispatcher.dispatch(*id, event);
            }
            self.dispatcher.flush();
        }
    }

    /// The links, addresses and peers may be other ones.
    fn follow_places(&mut self, poller: &Poller) {
        self.dispatcher.update_families();
        let present = self.dispatcher.present();
        let channels = present.filter_map(|(_, router)| {
            let binding = router.binding()?;
            Some((binding.port, router.channel(binding.source)?))
        });
        let channels: Vec<_> = channels.collect();
        let (routers, network) = self.dispatcher.parts();
        network.keep_ports(&channels);
        let present = routers.iter().filter(|router| !router.is_gone());
        network.guard_mut().update(present.map(Router::config));
        self.dispatcher.update_host_addresses();
        self.watch_claims(poller);
        self.rebound = true;
        self.dispatcher.flush();
    }

    /// Starts the new routers whose check has a result, or has had time for one: they do not begin with a fault.
    fn start_new(&mut self, checks: &Checks) {
        if self.reconfiguration.starting.is_empty() {
            return;
        }
        let now = self.dispatcher.clock().exact();
        let dispatcher = &self.dispatcher;
        let due = |(id, until): &mut (RouterId, Instant)| {
            *until <= now || !dispatcher.router(*id).awaits_result(checks)
        };
        let due: Vec<_> = self.reconfiguration.starting.extract_if(.., due).collect();
        for (id, _) in due {
            self.apply_first_health(id, checks);
            if self.drain == Drain::On {
                self.dispatcher.dispatch(id, Event::Drain { force: false });
            }
            self.dispatcher.dispatch(id, Event::Startup);
        }
        self.dispatcher.flush();
    }
}
