//! Who takes over at once when a master here gives way: its best backup, as far as all of them have told their priorities.
//! Sends nothing.

use std::net::IpAddr;

use super::Lifelines;
use crate::lifeline::connection::{Connection, Endpoint};
use crate::lifeline::event::Action;
use crate::lifeline::exchange::Standing;
use crate::lifeline::frame::{Frame, Identity};
use crate::time::Instant;

impl Lifelines {
    /// The successor of the virtual router with this VRID that we are master of, with this source address.
    pub fn successor(&self, from: IpAddr, vrid: u8) -> Option<Endpoint> {
        Some(self.best(from, vrid)?.0.remote)
    }

    /// The backup with the best claim, and its priority. None if one does not tell its priority, as an older vrrp-init: it may be
    /// better. Of two equals, the second one hears the advert of the first in time.
    fn best(&self, from: IpAddr, vrid: u8) -> Option<(&Connection, u8)> {
        let backups = || self.connections.iter().filter(|c| c.has_greeted() && c.speaks_for(from, vrid));
        if backups().any(|c| !c.exchange.is_told()) {
            return None;
        }
        let ranked = backups().filter_map(|c| Some((c, c.exchange.standby(from, vrid)?)));
        ranked.max_by_key(|(c, priority)| (*priority, c.remote))
    }

    /// Whether the successors are to be named again.
    pub fn names_again(&self, now: Instant) -> bool {
        self.connections.iter().any(|c| c.exchange.is_due(now))
    }

    /// Tells the masters our priorities, and our backups whether they are successors, as far as they do not know it.
    pub fn tell(&mut self, now: Instant) {
        let mut successors = vec![];
        for routers in &self.ranks.masters {
            for vrid in routers.vrids() {
                if let Some((connection, priority)) = self.best(routers.from, vrid) {
                    successors.push((connection.id, (routers.from, vrid, priority)));
                }
            }
        }
        for connection in self.connections.iter_mut().filter(|c| c.open_since().is_some()) {
            let ours = successors.iter().filter(|(id, _)| *id == connection.id);
            let named: Vec<_> = ours.map(|(_, named)| *named).collect();
            let standby = connection.may_hear().then_some(self.ranks.standby.as_slice());
            let frames = connection.exchange.tell(now, standby, &named);
            let octets: Vec<u8> = frames.iter().flat_map(Frame::octets).collect();
            if !octets.is_empty() {
                self.actions.push(Action::Send { id: connection.id, octets });
            }
        }
    }

    /// A master has named us, or no longer does. `by`: the process that did; only it speaks for its addresses.
    pub(super) fn named(&mut self, by: Option<Identity>, named: Vec<Standing>) {
        for (address, vrid, priority) in named {
            for host in self.hosts.iter().filter(|host| host.endpoint.address == address) {
                if by.is_none() || (host.bound == by && host.followed.is_some()) {
                    self.actions.push(Action::Named { from: host.endpoint, vrid, priority });
                }
            }
        }
    }
}
