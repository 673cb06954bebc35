//! What must run and answer beside the routers: processes looked for in /proc every interval and watched in
//! between, ports and pages asked; counted into a verdict. Knows no router.

use std::fmt;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use super::probe::ProbeTask;
use super::{CheckContext, Outcome};
use crate::config::CheckConfig;
use crate::health::{Health, Verdict, Weight};
use crate::ids::CheckId;
use crate::status::{CheckStatus, TargetStatus};
use crate::sys::pidfd::Pidfd;
use crate::sys::process::Process;
use crate::time::{Instant, millis};
use crate::token::{Poller, Token};

/// How often a look is repeated at once because a process ended between being found and being watched.
const AGAIN: usize = 3;

#[derive(Debug)]
pub(super) struct Check {
    config: Rc<CheckConfig>,
    health: Health,
    due: Instant,
    /// By service, the processes last found.
    found: Vec<Vec<Process>>,
    watched: Vec<Watched>,
    probes: Vec<ProbeTask>,
    /// Whether the services ran at the look whose probes have not all answered yet.
    round: Option<bool>,
    /// Marks the tokens of its descriptors.
    id: CheckId,
    /// When the verdict last changed.
    since: Instant,
    /// A descriptor was refused; it was said.
    blind: bool,
    /// /proc could not be read; it was said.
    unreadable: bool,
}

/// A process whose end the poller reports.
#[derive(Debug)]
struct Watched {
    process: Process,
    /// Held for its readability; closing it ends the watch.
    _pidfd: Pidfd,
}

impl Check {
    /// The first poll is due at once.
    pub(super) fn new(id: CheckId, config: Rc<CheckConfig>) -> Self {
        Self {
            health: Health::new(config.weight, config.rise, config.fall),
            due: Instant::START,
            found: vec![vec![]; config.services.len()],
            watched: vec![],
            probes: ProbeTask::all(&config, id),
            round: None,
            id,
            since: Instant::START,
            blind: false,
            unreadable: false,
            config,
        }
    }

    pub(super) fn config(&self) -> &Rc<CheckConfig> {
        &self.config
    }

    /// What is checked, in the operator's words.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.config.services.clone();
        names.extend(self.probes.iter().map(ToString::to_string));
        names
    }

    /// When the next look, or the end of a probe's patience, is due.
    pub(super) fn deadline(&self) -> Instant {
        self.probes.iter().filter_map(ProbeTask::deadline).fold(self.due, Instant::min)
    }

    pub(super) fn result(&self) -> (Weight, Verdict) {
        (self.health.weight(), self.health.verdict())
    }

    /// Does what is due: the regular look, and probes whose time is over.
    pub(super) fn expire(&mut self, now: Instant, context: &mut CheckContext<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for probe in self.probes.iter_mut().filter(|probe| probe.deadline().is_some_and(|at| at <= now)) {
            probe.advance(now, context.poller, &mut outcome);
        }
        self.finish_round(&mut outcome);
        if self.due <= now {
            self.look(now, context, &mut outcome);
        }
        self.dated(now, outcome)
    }

    fn dated(&mut self, now: Instant, outcome: Outcome) -> Outcome {
        if outcome.verdict.is_some() {
            self.since = now;
        }
        outcome
    }

    /// The regular look, which counts as one result, passed or failed, once every probe has answered too. One
    /// that still waits for answers is not doubled.
    fn look(&mut self, now: Instant, context: &mut CheckContext<'_>, outcome: &mut Outcome) {
        self.due = next_look(self.due, self.config.interval, now);
        if self.round.is_some() {
            return;
        }
        let Some(passed) = self.scan(context, None, outcome) else { return };
        self.round = Some(passed);
        for probe in &mut self.probes {
            probe.start(now, self.config.timeout, context.poller, outcome);
        }
        self.finish_round(outcome);
    }

    fn finish_round(&mut self, outcome: &mut Outcome) {
        if self.probes.iter().any(|probe| probe.deadline().is_some()) {
            return;
        }
        let Some(services) = self.round.take() else { return };
        let passed = services && self.probes.iter().all(ProbeTask::passed);
        outcome.verdict = self.health.observe(passed).or(outcome.verdict);
    }

    /// The descriptor behind `token` is ready.
    pub(super) fn ready(&mut self, now: Instant, token: Token, context: &mut CheckContext<'_>) -> Outcome {
        let Some(probe) = self.probes.iter_mut().find(|probe| probe.token() == token) else {
            let outcome = self.exited(token, context);
            return self.dated(now, outcome);
        };
        let mut outcome = Outcome::default();
        probe.advance(now, context.poller, &mut outcome);
        self.finish_round(&mut outcome);
        self.dated(now, outcome)
    }

    /// The process behind `token` has ended: looks at once. With another match alive, as after a reload of
    /// haproxy, nothing has happened; with none it is one failed result there and then.
    fn exited(&mut self, token: Token, context: &mut CheckContext<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        // A token may still be in a batch after its watch has ended.
        let Some(at) = self.watched.iter().position(|w| self.token_of(w.process) == token) else {
            return outcome;
        };
        let Watched { process, .. } = self.watched.swap_remove(at);
        // Where /proc cannot be read, what was found before and is known to be dead decides.
        let alive = self.scan(context, Some(process), &mut outcome).unwrap_or_else(|| {
            for processes in &mut self.found {
                processes.retain(|p| *p != process);
            }
            self.all_run()
        });
        if !alive {
            outcome.verdict = self.health.observe(false);
        }
        outcome
    }

    /// Whether every service has a live process; `None` when /proc could not be read, since nobody may take
    /// that for a service that died. `ended` is known to be dead whatever /proc still says.
    fn scan(
        &mut self,
        context: &mut CheckContext<'_>,
        ended: Option<Process>,
        outcome: &mut Outcome,
    ) -> Option<bool> {
        for _ in 0..AGAIN {
            let mut found = match context.procfs.scan(&self.config.services) {
                Ok(found) => found,
                Err(e) => {
                    // Once per series.
                    if !std::mem::replace(&mut self.unreadable, true) {
                        outcome.errors.push(e.into());
                    }
                    return None;
                }
            };
            self.unreadable = false;
            for processes in &mut found {
                processes.retain(|p| Some(*p) != ended);
            }
            self.tell(&found, &mut outcome.news);
            self.found = found;
            if self.watch(context.poller, &mut outcome.errors) {
                break;
            }
        }
        Some(self.all_run())
    }

    fn all_run(&self) -> bool {
        self.found.iter().all(|processes| !processes.is_empty())
    }

    /// Watches exactly the processes found; `false` when one of them is gone meanwhile.
    fn watch(&mut self, poller: &Poller, errors: &mut Vec<String>) -> bool {
        let found = &self.found;
        self.watched.retain(|w| found.iter().flatten().any(|p| *p == w.process));
        let mut complete = true;
        for process in self.found.iter().flatten() {
            if self.watched.iter().any(|w| w.process == *process) {
                continue;
            }
            let watched = Pidfd::open(process.pid).and_then(|pidfd| {
                if let Some(pidfd) = &pidfd {
                    poller.watch(pidfd.as_fd(), self.token_of(*process))?;
                }
                Ok(pidfd)
            });
            match watched {
                Ok(Some(pidfd)) => self.watched.push(Watched { process: *process, _pidfd: pidfd }),
                Ok(None) => complete = false,
                // An old kernel or seccomp: the interval must do, said once.
                Err(e) if !self.blind => {
                    self.blind = true;
                    errors.push(format!("{e}; its end is noticed at the next check only"));
                }
                Err(_) => {}
            }
        }
        complete
    }

    fn token_of(&self, process: Process) -> Token {
        Token::Process(self.id, process.pid.unsigned_abs())
    }

    fn tell(&self, found: &[Vec<Process>], news: &mut Vec<String>) {
        for ((service, before), after) in self.config.services.iter().zip(&self.found).zip(found) {
            match (before.is_empty(), after.is_empty()) {
                (false, true) => news.push(format!("{service} (pid {}) is gone", Pids(before))),
                (true, false) => news.push(format!("{service} runs (pid {})", Pids(after))),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// What was found last.
    pub(super) fn status(&self, now: Instant) -> CheckStatus {
        let mut targets = vec![];
        for (service, processes) in self.config.services.iter().zip(&self.found) {
            targets.push(TargetStatus {
                name: service.clone(),
                passed: Some(!processes.is_empty()),
                pids: processes.iter().map(|process| process.pid).collect(),
                is_process: true,
            });
        }
        for probe in &self.probes {
            let (name, passed) = (probe.to_string(), probe.result());
            targets.push(TargetStatus { name, passed, pids: vec![], is_process: false });
        }
        CheckStatus {
            weight: self.health.weight().get(),
            verdict: match self.health.verdict() {
                Verdict::Unknown => "unknown",
                Verdict::Healthy => "healthy",
                Verdict::Failed => "failed",
            },
            verdict_ms: millis(now.since(self.since)),
            targets,
        }
    }
}

struct Pids<'a>(&'a [Process]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, process) in self.0.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " " }, process.pid)?;
        }
        Ok(())
    }
}

/// The next look after one that was due at `due`: the schedule does not drift, nor catch up after a pause.
fn next_look(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next <= now { now + interval } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_keep_their_schedule_and_do_not_catch_up() {
        let at = Instant::from_millis;
        let second = Duration::from_secs(1);
        assert_eq!(next_look(at(1_000), second, at(1_003)), at(2_000));
        assert_eq!(next_look(at(1_000), second, at(9_500)), at(10_500));
    }
}
