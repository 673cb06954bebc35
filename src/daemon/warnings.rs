//! What an operator should hear before the outage: a failover that cannot happen, a disagreement, silence;
//! each bounded however often it happens. Changes no state of the protocol.

use std::net::IpAddr;

use log::Level;

use super::messages::{self, Conflict};
use super::rate_limiter::News;
use super::router::{DEAF_AFTER, Router, Spare};
use crate::health::{Verdict, Weight, would_replace};
use crate::time::Instant;
use crate::vrrp::{Advert, DropReason, Role};

impl Router {
    /// A few times a minute: two masters that do not hear each other but both reach us would fill the log.
    pub(super) fn is_news(&mut self, now: Instant, what: &'static str, whom: IpAddr) -> bool {
        const LIMIT: u32 = 6;
        self.said.again(now, what, whom, LIMIT) != News::Old
    }

    /// A backup hears its master's priority: it can tell before the outage that it would not take over.
    pub(super) fn judge_spare(&mut self) {
        let (Some(master), Some((weight, verdict))) = (self.instance.master(), self.health) else { return };
        let own = self.instance.priority();
        // Until its first result ours counts for nothing.
        if verdict == Verdict::Unknown {
            return;
        }
        let preempts = self.config.protocol.preempt || weight == Weight::FAULT;
        if preempts && would_replace(own, master.priority, weight) {
            self.spare = Spare::Ready;
            return;
        }
        let text = messages::no_spare(own, &master, weight, verdict == Verdict::Healthy, preempts);
        if !matches!(self.spare, Spare::None(_)) {
            self.say(Level::Warn, "no_spare", &text);
        }
        self.spare = Spare::None(text);
    }

    /// What an operator should know now, each in a sentence.
    pub(super) fn warnings(&self, now: Instant) -> Vec<String> {
        let mut warnings = vec![];
        if let (Role::Backup, Spare::None(text)) = (self.instance.role(), &self.spare) {
            warnings.push(text.clone());
        }
        if self.instance.role() == Role::Master {
            warnings.extend(self.mute().map(str::to_owned));
        }
        warnings.extend(self.waits.as_deref().map(str::to_owned));
        if self.unheard {
            warnings.push(messages::never_heard(self.config.protocol.vrid));
        }
        let standing = self.said.standing(now).chain(self.complained.standing(now));
        warnings.extend(standing.map(str::to_owned));
        warnings
    }

    /// Says once that nobody was heard, when it is time and we could have heard.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.deaf_at.is_none_or(|at| now < at) {
            return;
        }
        if self.instance.role() == Role::Fault {
            self.deaf_at = Some(now + DEAF_AFTER);
            return;
        }
        self.deaf_at = None;
        self.unheard = true;
        self.say(Level::Info, "never_heard", messages::never_heard(self.config.protocol.vrid));
    }

    /// Counts a packet for this router that was dropped, and says so once per sender and reason.
    pub(super) fn dropped(
        &mut self,
        now: Instant,
        from: IpAddr,
        reason: DropReason,
        theirs: Option<&Advert>,
    ) {
        self.drops.count(reason);
        self.complain(now, from, reason, false, theirs);
    }

    /// An advert that is obeyed and yet not as ours: said once.
    pub(super) fn differs(&mut self, now: Instant, from: IpAddr, what: DropReason, theirs: Option<&Advert>) {
        self.complain(now, from, what, true, theirs);
    }

    fn complain(
        &mut self,
        now: Instant,
        from: IpAddr,
        reason: DropReason,
        obeyed: bool,
        theirs: Option<&Advert>,
    ) {
        if self.complained.again(now, reason.as_str(), from, 1) != News::Old {
            let conflict = Conflict { from, reason, obeyed, ours: &self.config.protocol, theirs }.to_string();
            let keys = [("reason", reason.as_str()), ("peer", &from.to_string())];
            self.say_with(Level::Warn, "dropped", &keys, &conflict);
            self.complained.stands(reason.as_str(), from, conflict);
        }
    }
}
