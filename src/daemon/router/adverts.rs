//! What the adverts of others tell about one router: counters, warnings, and who was heard last. Changes no state.

use std::net::IpAddr;

use super::{Router, subject};
use crate::time::Instant;
use crate::vrrp::{Advert, DropReason, Report};

impl Router {
    /// An advert for our VRID came in; the state machine may still drop it.
    pub(in crate::daemon) fn count_advert(&mut self, advert: &Advert) {
        self.telemetry.count_advert(advert, self.config.protocol.checksum);
    }

    /// The state machine has handled an advert.
    pub(in crate::daemon) fn heard(&mut self, now: Instant, from: IpAddr, advert: &Advert) {
        let source = self.binding.as_ref().and_then(|binding| binding.source);
        if self.config.protocol.admit(source, from, advert).is_ok() {
            let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
            self.telemetry.accepted(now, &subject, &self.instance, (from, advert));
            if self.instance.master().is_none_or(|master| master.address != from) {
                self.rival_heard = Some(now);
            }
        }
    }

    /// When the last advert came from a router of the group that this one does not follow.
    pub(in crate::daemon) fn rival_heard(&self) -> Option<Instant> {
        self.rival_heard
    }

    /// Counts a packet for this router that could not be parsed, and logs it once per sender and reason.
    pub(in crate::daemon) fn drop_packet(&mut self, now: Instant, from: IpAddr, reason: DropReason) {
        let subject = subject(&self.config, self.binding.as_ref(), &self.watched, &self.culprits);
        self.telemetry.report(now, &subject, &self.instance, &Report::Dropped { from, reason }, None);
    }
}
