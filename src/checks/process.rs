//! The processes of a check's services, as the last scan found them, and what to tell the operator about them. Knows no
//! verdict and no schedule.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::outcome::Concern;
use super::table::{Bystanders, ProcessTable};
use crate::columns::join;
use crate::status::{NOT_SEEN_YET, TargetStatus, span};
use crate::sys::process::Process;
use crate::time::{Instant, millis};

/// For so long after the start of the daemon, a service may still be on its way.
const GRACE: Duration = Duration::from_secs(10);
/// Within this time, [`LOOP`] ends of a service are a crash loop.
const LOOP_TIME: Duration = Duration::from_mins(1);
const LOOP: usize = 3;
/// So many ends are counted.
const MOST_ENDS: usize = 20;

/// The services of one check.
#[derive(Debug)]
pub(super) struct ServiceProcesses {
    services: Vec<Service>,
}

#[derive(Debug)]
struct Service {
    name: String,
    /// The number of the name in the table.
    number: usize,
    found: Vec<Process>,
    /// Every one of them is stopped by a signal.
    is_stopped: bool,
    /// When it last started or ended, or was stopped or continued.
    since: Instant,
    presence: Presence,
    /// How many times it has ended.
    ended: u64,
    /// When it ended, within [`LOOP_TIME`].
    ends: VecDeque<Instant>,
    /// When its crash loop was last logged.
    loop_logged: Option<Instant>,
}

#[derive(Debug)]
enum Presence {
    /// No process so far.
    Awaited,
    /// There was none for [`GRACE`]; what to do, as a sentence.
    Missed(Box<str>),
    Seen,
}

/// What a scan has changed, in sentences.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) facts: Vec<String>,
    pub(super) warnings: Vec<Concern>,
}

impl ServiceProcesses {
    pub(super) fn new(names: &[String], table: &mut ProcessTable) -> Self {
        let service = |name: &String| Service::new(name, table.add(name));
        Self { services: names.iter().map(service).collect() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.services.iter().map(|service| &service.name)
    }

    /// The numbers of the names in the table.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.services.iter().map(|service| service.number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Whether every service has a live process.
    pub(super) fn all_run(&self) -> bool {
        self.services.iter().all(|service| !service.found.is_empty())
    }

    /// Whether every service has a live process that is not stopped.
    pub(super) fn all_work(&self) -> bool {
        self.services.iter().all(Service::works)
    }

    /// Whether some do not work, and all of those may still be on their way.
    pub(super) fn are_awaited(&self) -> bool {
        let mut idle = self.services.iter().filter(|service| !service.works()).peekable();
        idle.peek().is_some() && idle.all(|service| matches!(service.presence, Presence::Awaited))
    }

    /// Takes what the table has found. Adds a sentence for each service that has started or ended.
    pub(super) fn update(&mut self, now: Instant, table: &ProcessTable) -> Changes {
        let mut changes = Changes::default();
        for service in &mut self.services {
            service.update(now, table, &mut changes);
        }
        changes
    }

    /// A whole scan has found no more: says what to do about services that should have been seen by now.
    pub(super) fn miss(&mut self, now: Instant, table: &ProcessTable) -> Vec<String> {
        let mut sentences = vec![];
        for service in &mut self.services {
            if matches!(service.presence, Presence::Awaited) && now.since_start() >= GRACE {
                let text = missed(&service.name, &table.bystanders());
                service.presence = Presence::Missed(text.clone().into());
                sentences.push(text);
            }
        }
        sentences
    }

    /// The current warnings, a sentence each, with when it began and was last seen to be true.
    pub(super) fn warnings(&self, now: Instant) -> impl Iterator<Item = (String, [Instant; 2])> {
        self.services.iter().filter_map(move |service| match (&service.presence, service.crash_loop(now)) {
            (Presence::Missed(text), _) => Some((text.to_string(), [Instant::START, now])),
            (_, Some(text)) => {
                let ends = &service.ends;
                Some((text, [*ends.front()?, *ends.back()?]))
            }
            (Presence::Awaited | Presence::Seen, None) => None,
        })
    }

    /// Each service at the last scan.
    pub(super) fn status(&self, now: Instant) -> impl Iterator<Item = TargetStatus> {
        self.services.iter().map(move |service| TargetStatus {
            name: service.name.clone(),
            passed: Some(service.works()),
            passed_ms: millis(now.since(service.since)),
            reason: match &service.presence {
                Presence::Awaited => Some(NOT_SEEN_YET.into()),
                Presence::Missed(_) => Some("not seen since the start".into()),
                Presence::Seen if service.is_stopped => Some("stopped by a signal".into()),
                Presence::Seen => None,
            },
            pids: service.found.iter().map(|process| process.pid).collect(),
            ended: service.ended,
            is_process: true,
        })
    }
}

impl Service {
    fn new(name: &str, number: usize) -> Self {
        Self {
            name: name.to_owned(),
            number,
            found: vec![],
            is_stopped: false,
            since: Instant::START,
            presence: Presence::Awaited,
            ended: 0,
            ends: VecDeque::new(),
            loop_logged: None,
        }
    }

    fn works(&self) -> bool {
        !self.found.is_empty() && !self.is_stopped
    }

    fn update(&mut self, now: Instant, table: &ProcessTable, changes: &mut Changes) {
        let current = table.processes(self.number);
        let name = &self.name;
        match (self.found.is_empty(), current.is_empty()) {
            (false, true) => {
                changes.facts.push(format!("{name} (pid {}) is gone", Pids(&self.found)));
                self.since = now;
                self.ended(now, changes);
            }
            (true, false) => {
                changes.facts.push(format!("{name} runs (pid {})", Pids(current)));
                self.since = now;
                self.presence = Presence::Seen;
            }
            (true, true) | (false, false) => {}
        }
        let is_stopped = !current.is_empty() && current.iter().all(|process| table.is_stopped(*process));
        if is_stopped != self.is_stopped {
            self.is_stopped = is_stopped;
            self.since = now;
            if !current.is_empty() {
                let how = if is_stopped { "is stopped by a signal (SIGSTOP)" } else { "continues" };
                changes.facts.push(format!("{} (pid {}) {how}", self.name, Pids(current)));
            }
        }
        current.clone_into(&mut self.found);
    }

    fn ended(&mut self, now: Instant, changes: &mut Changes) {
        self.ended += 1;
        self.ends.retain(|at| now.since(*at) < LOOP_TIME);
        if self.ends.len() == MOST_ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(now);
        let recently = self.loop_logged.is_some_and(|at| now.since(at) < LOOP_TIME);
        if let Some(text) = self.crash_loop(now).filter(|_| !recently) {
            self.loop_logged = Some(now);
            changes.warnings.push(Concern::CrashLoop(text));
        }
    }

    fn crash_loop(&self, now: Instant) -> Option<String> {
        let recent = self.ends.iter().filter(|at| now.since(**at) < LOOP_TIME);
        let (count, first, last) = (recent.clone().count(), recent.clone().next()?, self.ends.back()?);
        let (name, time) = (&self.name, span(last.since(*first)));
        (count >= LOOP).then(|| format!("{name} ended {count} times in {time}: look at docker logs {name}"))
    }
}

/// What to do about a service that was not seen since the start.
fn missed(name: &str, around: &Bystanders) -> String {
    match around {
        Bystanders::None => format!(
            "{name} was not seen since the start, nor any process but vrrp-init: docker start {name}; if its container \
             runs, it lacks pid: \"service:keepalived\", or pid: \"service:namespace\" where vrrp-init hold is PID 1"
        ),
        Bystanders::Named(names) => format!(
            "{name} was not seen since the start: docker start {name}, or correct SERVICE (here run: {})",
            join(names, ", ")
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text((Concern::CrashLoop(text) | Concern::Missing(text)): Concern) -> String {
        text
    }

    fn ended(times: impl Iterator<Item = u64>) -> (Service, Vec<String>) {
        let mut service = Service::new("haproxy", 0);
        let mut changes = Changes::default();
        for at in times {
            service.ended(Instant::from_millis(at), &mut changes);
        }
        (service, changes.warnings.into_iter().map(text).collect())
    }

    #[test]
    fn a_crash_loop_is_one_line_a_minute_with_a_count() {
        let (service, logged) = ended([0, 5_000].into_iter());
        assert_eq!((service.crash_loop(Instant::from_millis(5_000)), logged), (None, vec![]));
        let (service, logged) = ended((0..4).map(|n| n * 5_000));
        assert_eq!(logged, ["haproxy ended 3 times in 10 s: look at docker logs haproxy"]);
        let at = |ms| service.crash_loop(Instant::from_millis(ms));
        assert_eq!(at(15_000).unwrap(), "haproxy ended 4 times in 15 s: look at docker logs haproxy");
        assert_eq!(at(75_000), None, "over");
        let (_, logged) = ended((0..100).map(|n| n * 1_000));
        assert_eq!(logged.len(), 2, "once a minute: {logged:?}");
        // A restart a day is none, and what is kept is bounded.
        let (service, logged) = ended((0..1_000).map(|n| n * 86_400_000));
        assert_eq!((service.ends.len(), service.ended, logged), (1, 1_000, vec![]));
        let (service, _) = ended(0..1_000);
        assert_eq!(service.ends.len(), MOST_ENDS);
    }

    #[test]
    fn a_service_that_was_not_seen_comes_with_the_cure() {
        let none = missed("haproxy", &Bystanders::None);
        assert!(none.starts_with(
            "haproxy was not seen since the start, nor any process but vrrp-init: docker start haproxy;"
        ));
        assert!(none.contains("it lacks pid: \"service:keepalived\""), "{none}");
        let names = vec!["haproxy".into(), "sh".into()];
        assert_eq!(
            missed("haproxi", &Bystanders::Named(names)),
            "haproxi was not seen since the start: docker start haproxi, or correct SERVICE (here run: haproxy, sh)"
        );
    }
}
