//! One health check: polls its services and probes at every interval and counts the results to a verdict. Knows no
//! router.

use std::rc::Rc;
use std::time::Duration;

use super::outcome::{CheckContext, Concern, Outcome};
use super::probe::ProbeTask;
use super::process::ServiceProcesses;
use super::script::ScriptTask;
use super::table::{ProcessTable, ScanId};
use crate::config::CheckConfig;
use crate::health::{Health, Verdict, Weight};
use crate::ids::CheckId;
use crate::status::CheckStatus;
use crate::sys::Error;
use crate::sys::launcher::Launcher;
use crate::sys::reaper::Reaped;
use crate::time::{Instant, millis};
use crate::token::Token;

#[derive(Debug)]
pub(super) struct Check {
    id: CheckId,
    config: Rc<CheckConfig>,
    health: Health,
    next_poll: Instant,
    processes: ServiceProcesses,
    probes: Vec<ProbeTask>,
    script: Option<ScriptTask>,
    /// The scan that the current poll waits for.
    scan: Option<ScanId>,
    /// An error of reading `/proc` has been reported since the last success.
    scan_error_reported: bool,
    /// While probes of the last poll are running: whether the services passed it.
    pending: Option<bool>,
    /// When the verdict last changed.
    since: Instant,
}

impl Check {
    /// The first poll is due at once.
    pub(super) fn new(
        id: CheckId,
        config: Rc<CheckConfig>,
        table: &mut ProcessTable,
        launcher: &Launcher,
    ) -> Self {
        let script = config.script.as_ref();
        Self {
            id,
            health: Health::new(config.weight, config.rise, config.fall),
            next_poll: Instant::START,
            processes: ServiceProcesses::new(&config.services, table),
            probes: ProbeTask::all(&config, id),
            script: script.map(|program| ScriptTask::new(program, config.timeout, launcher)),
            scan: None,
            scan_error_reported: false,
            pending: None,
            since: Instant::START,
            config,
        }
    }

    pub(super) fn id(&self) -> CheckId {
        self.id
    }

    pub(super) fn config(&self) -> &Rc<CheckConfig> {
        &self.config
    }

    /// The names of its services and targets, as the operator wrote them.
    pub(super) fn names(&self) -> Vec<String> {
        let probes = self.probes.iter().map(ToString::to_string);
        let script = self.script.as_ref().map(ScriptTask::name);
        self.processes.names().cloned().chain(probes).chain(script).collect()
    }

    /// The numbers of its services in the table.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.processes.numbers()
    }

    /// When the next poll is due, or a probe or the program times out. The scan has its own deadline.
    pub(super) fn deadline(&self) -> Instant {
        let script = self.script.as_ref().and_then(ScriptTask::deadline);
        self.probes.iter().filter_map(ProbeTask::deadline).chain(script).fold(self.next_poll, Instant::min)
    }

    pub(super) fn result(&self) -> (Weight, Verdict) {
        (self.health.weight(), self.health.verdict())
    }

    /// Polls if that is due, and ends the probes and the program if they timed out.
    pub(super) fn expire(&mut self, now: Instant, context: &mut CheckContext<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for probe in self.probes.iter_mut().filter(|probe| probe.deadline().is_some_and(|at| at <= now)) {
            probe.advance(now, context.poller, &mut outcome);
        }
        if let Some(script) = &mut self.script {
            script.expire(now, &mut outcome);
        }
        self.finish_poll(&mut outcome);
        if self.next_poll <= now {
            self.poll(now, context, &mut outcome);
        }
        self.record(now, outcome)
    }

    /// The probe behind `token` can make progress.
    pub(super) fn ready(&mut self, now: Instant, token: Token, context: &mut CheckContext<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(probe) = self.probes.iter_mut().find(|probe| probe.token() == token) {
            probe.advance(now, context.poller, &mut outcome);
            self.finish_poll(&mut outcome);
        }
        self.record(now, outcome)
    }

    /// These children have ended.
    pub(super) fn reaped(&mut self, now: Instant, reaped: &[Reaped]) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(script) = &mut self.script {
            script.reaped(now, reaped, &mut outcome);
            self.finish_poll(&mut outcome);
        }
        self.record(now, outcome)
    }

    /// The scan `id` has ended. If the last process of a service is gone, that counts at once as one failed result, also when
    /// another check requested the scan. A scan that failed is not a result: it does not mean that a service is dead.
    pub(super) fn scanned(
        &mut self,
        now: Instant,
        (id, result): (ScanId, &Result<(), Error>),
        context: &mut CheckContext<'_>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let ran = self.processes.all_run();
        let changes = self.processes.update(now, context.table);
        (outcome.changes, outcome.warnings) = (changes.facts, changes.warnings);
        let runs = self.processes.all_run();
        let polled = self.scan.take_if(|scan| *scan <= id).is_some();
        if ran && !runs {
            outcome.verdict = self.health.observe(false);
        } else if let Err(e) = result {
            if polled && !std::mem::replace(&mut self.scan_error_reported, true) {
                outcome.errors.push(e.to_string());
            }
        } else if polled {
            self.scan_error_reported = false;
            let missed = self.processes.miss(now, context.table).into_iter();
            outcome.warnings.extend(missed.map(Concern::Missing));
            // A process that is stopped is not gone: it fails one look after the other.
            self.start_probes(now, self.processes.all_work(), context, &mut outcome);
        }
        self.record(now, outcome)
    }

    fn record(&mut self, now: Instant, mut outcome: Outcome) -> Outcome {
        if outcome.verdict.is_some() {
            self.since = now;
        }
        let probes_pass = self.probes.iter().all(ProbeTask::passed);
        outcome.is_early = probes_pass && self.processes.are_awaited();
        outcome
    }

    /// The current warnings, a sentence each, with when it began and was last seen to be true.
    pub(super) fn warnings(&self, now: Instant) -> impl Iterator<Item = (String, [Instant; 2])> {
        self.processes.warnings(now)
    }

    /// The regular poll: a scan, then the probes. It counts as one result, once every probe has ended. While the last poll
    /// is running, it is skipped.
    fn poll(&mut self, now: Instant, context: &mut CheckContext<'_>, outcome: &mut Outcome) {
        self.next_poll = next_poll(self.next_poll, self.config.interval, now);
        if self.pending.is_some() || self.scan.is_some() {
            return;
        }
        if self.processes.is_empty() {
            self.start_probes(now, true, context, outcome);
        } else {
            self.scan = Some(context.table.request(now));
        }
    }

    /// The second half of a poll, after the scan.
    fn start_probes(
        &mut self,
        now: Instant,
        services_passed: bool,
        context: &mut CheckContext<'_>,
        outcome: &mut Outcome,
    ) {
        self.pending = Some(services_passed);
        for probe in &mut self.probes {
            probe.start(now, self.config.timeout, context.poller, outcome);
        }
        if let Some(script) = &mut self.script {
            script.start(now, outcome);
        }
        self.finish_poll(outcome);
    }

    fn finish_poll(&mut self, outcome: &mut Outcome) {
        let is_running = self.probes.iter().any(|probe| probe.deadline().is_some());
        if is_running || self.script.as_ref().is_some_and(ScriptTask::is_pending) {
            return;
        }
        let Some(services_passed) = self.pending.take() else { return };
        let probes_passed = self.probes.iter().all(ProbeTask::passed);
        let passed = services_passed && probes_passed && self.script.as_ref().is_none_or(ScriptTask::passed);
        outcome.verdict = self.health.observe(passed).or(outcome.verdict);
    }

    /// The results of the last poll.
    pub(super) fn status(&self, now: Instant) -> CheckStatus {
        let probes = self.probes.iter().map(|probe| probe.status(now));
        let script = self.script.as_ref().map(|script| script.status(now));
        CheckStatus {
            weight: self.health.weight().get(),
            verdict: match self.health.verdict() {
                Verdict::Unknown => "unknown",
                Verdict::Healthy => "healthy",
                Verdict::Failed => "failed",
            },
            verdict_ms: millis(now.since(self.since)),
            targets: self.processes.status(now).chain(probes).chain(script).collect(),
        }
    }
}

/// The poll after the one that was due at `due`. The schedule does not drift, and does not catch up after a pause.
fn next_poll(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next <= now { now + interval } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_keep_their_schedule_and_do_not_catch_up() {
        let at = Instant::from_millis;
        let second = Duration::from_secs(1);
        assert_eq!(next_poll(at(1_000), second, at(1_003)), at(2_000));
        assert_eq!(next_poll(at(1_000), second, at(9_500)), at(10_500));
    }
}
