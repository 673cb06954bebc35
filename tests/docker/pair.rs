//! Two Docker hosts and clients. Knows virtual addresses and which host answers there, but not why.

use std::time::Duration;

use super::host::{Host, Lan, Namespace, run, wait_for};
use crate::images;

pub(crate) const VIP: &str = "10.0.0.2";
/// How long the roles may take to settle: the check's interval, the master-down interval, and slack for a busy machine.
pub(crate) const SETTLE: Duration = Duration::from_secs(20);

/// Two Docker hosts and two clients on one network.
pub(crate) struct Pair {
    pub(crate) master: Host,
    pub(crate) slave: Host,
    pub(crate) client: Namespace,
    /// Another one.
    pub(crate) forgetful: Namespace,
    // Dropped last, because it removes the namespaces.
    _lan: Lan,
}

impl Pair {
    /// A pair whose engines have the images in `needed`, from the machine.
    pub(crate) fn with(needed: &[&str]) -> Self {
        images();
        let lan = Lan::new();
        let client = lan.namespace("client", "eth0", "10.0.0.100/24");
        let forgetful = lan.namespace("forgetful", "eth0", "10.0.0.101/24");
        // A bridge passes broadcasts to its newest port first: a dead master could answer before the slave does.
        let slave = Host::start(&lan, "slave", "enp0s3", "10.0.0.12/24");
        let master = Host::start(&lan, "master", "enp0s3", "10.0.0.11/24");
        let pair = Self { master, slave, client, forgetful, _lan: lan };
        for (_, host) in pair.hosts() {
            host.load(needed);
        }
        pair
    }

    pub(crate) fn hosts(&self) -> [(&'static str, &Host); 2] {
        [("master", &self.master), ("slave", &self.slave)]
    }

    pub(crate) fn holders(&self, vip: &str) -> Vec<&'static str> {
        self.hosts().into_iter().filter(|(_, host)| host.network.has(vip)).map(|(name, _)| name).collect()
    }

    /// Waits until the virtual address is on `name` alone.
    pub(crate) fn expect_held(&self, vip: &str, name: &str, because: &str) {
        wait_for(&format!("{vip} on the {name} alone: {because}"), SETTLE, || {
            let holders = self.holders(vip);
            if holders == [name] { Ok(()) } else { Err(format!("it is on {holders:?}")) }
        });
    }

    /// Like [`Pair::expect_held`], and the client gets a page there.
    pub(crate) fn expect_page(&self, vip: &str, name: &str, because: &str) {
        self.expect_held(vip, name, because);
        wait_for(&format!("an answer from {vip} on the {name}: {because}"), SETTLE, || self.ask(vip));
    }

    /// The page that the client gets from the address.
    pub(crate) fn ask(&self, vip: &str) -> Result<String, String> {
        run(&mut self
            .client
            .program(&format!("curl --silent --show-error --fail --max-time 1 http://{vip}/")))
    }

    pub(crate) fn expect_nowhere(&self, vip: &str, because: &str) {
        wait_for(&format!("{vip} nowhere: {because}"), SETTLE, || {
            let holders = self.holders(vip);
            if holders.is_empty() { Ok(()) } else { Err(format!("it is on {holders:?}")) }
        });
    }
}
