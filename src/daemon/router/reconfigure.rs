//! The check of one router, and another configuration while it runs. Knows no other router.

use std::rc::Rc;

use super::{Place, Router};
use crate::checks::Checks;
use crate::config::{RouterConfig, VirtualAddress};
use crate::daemon::network::Network;
use crate::health::{Effective, Verdict, Weight, effective};
use crate::time::Instant;
use crate::vrrp::{Cause, Event, Family, Role, Settings};

impl Router {
    /// Registers its check, which it shares with the routers that have the same check configuration.
    pub(in crate::daemon) fn share_check(&mut self, checks: &mut Checks) {
        self.check = self.config.check.as_mut().map(|config| checks.add(config));
        self.watched = self.check.map(|check| checks.names(check)).unwrap_or_default();
    }

    /// Takes the result of its check and returns the events that follow for the state machine.
    pub(in crate::daemon) fn apply_health(&mut self, result: (Weight, Verdict)) -> Vec<Event<'static>> {
        self.result = Some(result);
        match effective(self.config.protocol.priority, [result]) {
            Effective::Fault => vec![Event::Fault(Cause::Service)],
            // The priority first: the timer that starts when the fault ends depends on it.
            Effective::Priority(priority) => vec![Event::Priority(priority), Event::Clear(Cause::Service)],
        }
    }

    /// Takes the same result for what an operator is told. A service that may still be on its way has none yet.
    pub(in crate::daemon) fn note_health(&mut self, now: Instant, result: (Weight, Verdict)) {
        self.telemetry.set_health(now, Some(result));
    }

    /// The events that follow from another configuration. Until a new check has a result, that of the one before counts.
    pub(in crate::daemon) fn health_events(&mut self, now: Instant, checks: &Checks) -> Vec<Event<'static>> {
        let result = self.check.map(|check| checks.result(check));
        let result = match result {
            Some((_, Verdict::Unknown)) => self.result,
            known => known,
        };
        if let Some(result) = result {
            self.note_health(now, result);
            return self.apply_health(result);
        }
        self.telemetry.set_health(now, None);
        self.result = None;
        vec![Event::Priority(self.config.protocol.priority), Event::Clear(Cause::Service)]
    }

    /// Whether it waits for the first result of its check.
    pub(in crate::daemon) fn awaits_result(&self, checks: &Checks) -> bool {
        self.check.is_some_and(|check| checks.result(check).1 == Verdict::Unknown)
    }

    /// What stays the same in every configuration of it.
    pub(in crate::daemon) fn key(&self) -> (u16, Family) {
        (self.config.number, self.config.family())
    }

    pub(in crate::daemon) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.config.protocol)
    }

    /// Takes another configuration with the same link, VRID and version, and removes the addresses that it no longer has.
    /// Returns whether it has others.
    pub(in crate::daemon) fn replace_config(&mut self, config: RouterConfig, network: &mut Network) -> bool {
        let missing_in =
            |list: &RouterConfig, vip: &VirtualAddress| !list.all_addresses().any(|known| known == vip);
        let more = config.all_addresses().any(|vip| missing_in(&self.config, vip));
        let gone = self.config.all_addresses().filter(|vip| missing_in(&config, vip));
        let gone: Vec<_> = gone.map(|vip| (vip.address, vip.prefix)).collect();
        for e in self.held.release_some(&gone, network) {
            self.log_event(log::Level::Error, "address_remove_failed", e);
        }
        self.held.set_lease(config.protocol.lease);
        self.config = config;
        more
    }

    /// It is no longer in the configuration, and is about to stop.
    pub(in crate::daemon) fn leave(&mut self) {
        self.place = Place::Leaving;
    }

    /// Whether it is no longer in the configuration, and is stopping or has stopped.
    pub(in crate::daemon) fn is_leaving(&self) -> bool {
        self.place == Place::Leaving
    }

    pub(in crate::daemon) fn has_left(&self) -> bool {
        self.is_leaving() && self.role() == Role::Init
    }

    /// It has left: nothing of it is used any more.
    pub(in crate::daemon) fn clear(&mut self) {
        self.place = Place::Gone;
        (self.binding, self.check) = (None, None);
        (self.config.addresses, self.config.excluded) = (Box::default(), Box::default());
    }

    /// Whether another router may take its id.
    pub(in crate::daemon) fn is_gone(&self) -> bool {
        self.place == Place::Gone
    }
}
