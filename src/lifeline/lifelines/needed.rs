//! Which connections are needed, which are missing, and which keep us waiting. Opens none.

use super::Lifelines;
use crate::lifeline::connection::{Connection, Way};
use crate::lifeline::host::{Host, Trouble};
use crate::time::Instant;

impl Lifelines {
    /// When to give up on the connection, if it is one that should bring us something.
    pub(super) fn patience(&self, connection: &Connection) -> Option<Instant> {
        let host = self.hosts.iter().find(|host| host.endpoint == connection.remote)?;
        // One that others need stays open in any case.
        let since = host.followed.filter(|_| connection.may_hear() && !connection.has_greeted())?;
        let known = connection.open_since().is_none() && host.trouble == Some(Trouble::Blocked);
        connection.patience(since).filter(|_| !known)
    }

    pub(super) fn needs_attempt(&self, host: &Host) -> bool {
        let serves = |c: &Connection| {
            let is_there = c.remote == host.endpoint && (c.may_hear() || host.followed.is_none());
            is_there || (c.identity().is_some() && c.identity() == host.bound)
        };
        !self.connections.iter().any(serves)
    }

    fn is_needed(&self, connection: &Connection) -> bool {
        let serves = |host: &Host| {
            let is_bound = host.bound.is_some() && host.bound == connection.identity();
            host.endpoint == connection.remote || is_bound
        };
        (connection.way != Way::Opened && self.serving.is_some())
            || (connection.may_hear() && self.hosts.iter().any(serves))
    }

    pub(super) fn close_unneeded(&mut self) {
        let unneeded = self.connections.iter().filter(|c| !self.is_needed(c)).map(|c| c.id);
        for id in unneeded.collect::<Vec<_>>() {
            self.close(id);
        }
    }
}
