//! What the checks found, told to the state machines of the routers that ask for them; looks at nothing itself.

use std::rc::Rc;

use log::Level;

use super::check::{Check, Eyes, Outcome};
use super::router::Router;
use super::{CHECK, Daemon};
use crate::health::{Standing, Verdict};
use crate::vrrp::{Cause, Event};

impl Daemon {
    /// One check for all routers that ask for the same.
    pub(super) fn share_checks(&mut self) {
        for router in &mut self.routers {
            let Some(config) = &mut router.config.check else { continue };
            let known = self.checks.iter().position(|check| check.config() == &*config);
            let number = known.unwrap_or_else(|| {
                let number = self.checks.len();
                self.checks.push(Check::new(Rc::clone(config), CHECK | (number as u64) << 32));
                number
            });
            config.clone_from(self.checks[number].config());
            router.attach(number, self.checks[number].names());
        }
    }

    /// Lets every check do what is due.
    pub(super) fn check(&mut self) {
        let now = self.poller.now();
        for number in 0..self.checks.len() {
            if self.checks[number].deadline() <= now {
                let mut eyes = Eyes { procfs: &mut self.procfs, poller: &self.poller };
                let outcome = self.checks[number].expire(now, &mut eyes);
                self.judge(number, outcome);
            }
        }
    }

    /// A watched process ended, or a probe can go on.
    pub(super) fn ready(&mut self, token: u64) {
        let number = usize::try_from((token & !CHECK) >> 32).unwrap_or(usize::MAX);
        let now = self.poller.now();
        let Some(check) = self.checks.get_mut(number) else { return };
        let outcome = check.ready(now, token, &mut Eyes { procfs: &mut self.procfs, poller: &self.poller });
        self.judge(number, outcome);
    }

    fn judge(&mut self, number: usize, outcome: Outcome) {
        let concerned = |r: &Router| r.check == Some(number);
        let Some(first) = self.routers.iter().find(|r| concerned(r)) else { return };
        for e in outcome.errors {
            first.say(Level::Error, "check_hampered", e);
        }
        let now = self.now();
        for news in outcome.news {
            first.say(Level::Info, "service", &news);
            for (id, _) in self.routers.iter().enumerate().filter(|(_, r)| concerned(r)) {
                self.history.note(id, now, news.clone());
            }
        }
        let Some(verdict) = outcome.verdict else { return };
        let names = self.checks[number].names().join(", ");
        if verdict == Verdict::Healthy {
            first.say(Level::Info, "check", format_args!("Check of {names} succeeded"));
        } else {
            first.say(Level::Warn, "check", format_args!("Check of {names} failed"));
        }
        for id in 0..self.routers.len() {
            if concerned(&self.routers[id]) {
                self.stand(id);
            }
        }
        // The looks of other checks take longer than a backup waits.
        self.flush();
    }

    pub(super) fn stand(&mut self, id: usize) {
        let Some(number) = self.routers[id].check else { return };
        match self.routers[id].stand(self.checks[number].standing()) {
            Standing::Fault => self.dispatch(id, Event::Fault(Cause::Service)),
            Standing::At(priority) => {
                // First the priority: the wait that begins when the fault ends is the new one's.
                self.dispatch(id, Event::Priority(priority));
                self.dispatch(id, Event::Clear(Cause::Service));
            }
        }
    }
}
