//! What the checks found, told to the state machines of the routers that ask for them; looks at nothing itself.

use log::Level;

use super::Daemon;
use super::router::Router;
use crate::checks::Outcome;
use crate::health::{Effective, Verdict};
use crate::ids::CheckId;
use crate::token::Token;
use crate::vrrp::{Cause, Event};

impl Daemon {
    /// One check for all routers that ask for the same.
    pub(super) fn share_checks(&mut self) {
        for router in &mut self.routers {
            let Some(config) = &mut router.config.check else { continue };
            let check = self.checks.add(config);
            router.attach(check, self.checks.names(check));
        }
    }

    /// Lets every check do what is due.
    pub(super) fn check(&mut self) {
        let now = self.poller.now();
        for check in self.checks.due(now) {
            let outcome = self.checks.expire(check, now, &self.poller);
            self.judge(check, outcome);
        }
    }

    /// A watched process ended, or a probe can go on.
    pub(super) fn ready(&mut self, check: CheckId, token: Token) {
        let outcome = self.checks.ready(check, token, self.poller.now(), &self.poller);
        self.judge(check, outcome);
    }

    fn judge(&mut self, number: CheckId, outcome: Outcome) {
        let concerned = |r: &Router| r.check == Some(number);
        let Some(first) = self.routers.iter().find(|r| concerned(r)) else { return };
        for e in outcome.errors {
            first.say(Level::Error, "check_hampered", e);
        }
        let now = self.now();
        for news in outcome.news {
            first.say(Level::Info, "service", &news);
            for (id, _) in self.routers.iter().enumerate().filter(|(_, r)| concerned(r)) {
                self.history.add_evidence(id, now, news.clone());
            }
        }
        let Some(verdict) = outcome.verdict else { return };
        let names = self.checks.names(number).join(", ");
        if verdict == Verdict::Healthy {
            first.say(Level::Info, "check", format_args!("Check of {names} succeeded"));
        } else {
            first.say(Level::Warn, "check", format_args!("Check of {names} failed"));
        }
        for id in 0..self.routers.len() {
            if concerned(&self.routers[id]) {
                self.apply_health(id);
            }
        }
        // The looks of other checks take longer than a backup waits.
        self.flush();
    }

    pub(super) fn apply_health(&mut self, id: usize) {
        let Some(number) = self.routers[id].check else { return };
        match self.routers[id].apply_health(self.checks.result(number)) {
            Effective::Fault => self.dispatch(id, Event::Fault(Cause::Service)),
            Effective::Priority(priority) => {
                // First the priority: the wait that begins when the fault ends is the new one's.
                self.dispatch(id, Event::Priority(priority));
                self.dispatch(id, Event::Clear(Cause::Service));
            }
        }
    }
}
