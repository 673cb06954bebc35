//! Sends transitions to the receivers of NOTIFY_URL: to each one request at a time, in order, until it accepts it. Knows no
//! router.

use std::rc::Rc;
use std::time::Duration;

use crate::config::{HttpTarget, RouterConfig};
use crate::status::{TargetStatus, span};
use crate::sys::probe::{Poll, Probe, Target};
use crate::sys::watched_probe::WatchedProbe;
use crate::time::{Instant, millis};
use crate::token::{Poller, Token};

/// How long an attempt may take.
const LIMIT: Duration = Duration::from_secs(5);
/// From the first failed attempt to the next; then it doubles.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// Once so many messages wait, a further one replaces the oldest of its instance.
const WAITING: usize = 64;
/// No more wait, not even one of each instance.
const MOST: usize = 1_024;

/// A transition for a receiver.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) receiver: Rc<HttpTarget>,
    pub(super) instance: Box<str>,
    /// One JSON object.
    pub(super) body: String,
}

#[derive(Debug, Default)]
pub(super) struct Receivers {
    all: Vec<Receiver>,
    /// The number of receivers so far.
    count: u32,
    is_stopping: bool,
}

#[derive(Debug)]
struct Receiver {
    target: Rc<HttpTarget>,
    token: Token,
    /// The first of them is the one that is being sent.
    waiting: Vec<Message>,
    attempt: Option<WatchedProbe>,
    /// Not before this time.
    next_attempt: Instant,
    delay: Duration,
    /// Why the last attempt failed; `None` if it did not.
    problem: Option<String>,
    /// Since when all attempts fail, or none does.
    since: Instant,
    /// Dropped messages since the last one that was accepted.
    dropped: u64,
    /// What is not accepted at once is given up: it is no longer configured, or the process ends.
    is_last_call: bool,
}

impl Receivers {
    /// Sends it, now or after those that wait. Returns how many messages were dropped for it.
    pub(super) fn push(&mut self, now: Instant, message: Message, poller: &Poller) -> u64 {
        let known = self.all.iter().position(|known| known.target == message.receiver);
        let at = known.unwrap_or_else(|| {
            self.all.push(Receiver::new(Rc::clone(&message.receiver), self.count));
            self.count += 1;
            self.all.len() - 1
        });
        let receiver = &mut self.all[at];
        let dropped = receiver.push(message);
        if self.is_stopping || receiver.is_last_call {
            receiver.call_last(now);
        }
        receiver.advance(now, poller);
        dropped
    }

    /// When [`Receivers::expire`] has something to do; `None` if nothing waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(Receiver::deadline).min()
    }

    /// Starts the attempts that are due, and ends those that took too long.
    pub(super) fn expire(&mut self, now: Instant, poller: &Poller) {
        for receiver in self.all.iter_mut().filter(|receiver| receiver.deadline().is_some_and(|at| at <= now))
        {
            receiver.advance(now, poller);
        }
    }

    /// An attempt can make progress.
    pub(super) fn ready(&mut self, token: Token, now: Instant, poller: &Poller) {
        if let Some(receiver) = self.all.iter_mut().find(|receiver| receiver.token == token) {
            receiver.advance(now, poller);
        }
    }

    /// These routers run from now on. A receiver that none of them has is still there for those that leave.
    pub(super) fn keep(&mut self, now: Instant, routers: &[RouterConfig]) {
        self.all.retain(|receiver| !receiver.is_last_call || !receiver.waiting.is_empty());
        for receiver in &mut self.all {
            let is_used = routers.iter().any(|router| router.notify.url.as_ref() == Some(&receiver.target));
            receiver.is_last_call = false;
            if !is_used {
                receiver.call_last(now);
            }
        }
    }

    /// The process ends: what waits is sent at once or never.
    pub(super) fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        for receiver in &mut self.all {
            receiver.call_last(now);
        }
    }

    pub(super) fn status(&self, now: Instant) -> Vec<TargetStatus> {
        let used = self.all.iter().filter(|receiver| !receiver.is_last_call);
        used.map(|receiver| receiver.status(now)).collect()
    }
}

impl Receiver {
    fn new(target: Rc<HttpTarget>, number: u32) -> Self {
        Self {
            target,
            token: Token::Receiver(number),
            waiting: vec![],
            attempt: None,
            next_attempt: Instant::START,
            delay: FIRST_DELAY,
            problem: None,
            since: Instant::START,
            dropped: 0,
            is_last_call: false,
        }
    }

    /// Without its path, which may contain a secret.
    fn name(&self) -> String {
        format!("http://{}", self.target.host)
    }

    fn status(&self, now: Instant) -> TargetStatus {
        let count = self.waiting.len();
        TargetStatus {
            name: self.name(),
            passed: Some(self.problem.is_none()),
            passed_ms: millis(now.since(self.since)),
            reason: self.problem.as_ref().map(|why| format!("{why}; transitions that wait: {count}")),
            pids: vec![],
            ended: 0,
            is_process: false,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let next = self.waiting.first().map(|_| self.next_attempt);
        self.attempt.as_ref().map(WatchedProbe::deadline).or(next)
    }

    fn push(&mut self, message: Message) -> u64 {
        let sending = usize::from(self.attempt.is_some());
        let count = self.waiting.len();
        let mut same = self.waiting.iter().enumerate().skip(sending);
        let oldest = same.find(|(_, waiting)| waiting.instance == message.instance).map(|(at, _)| at);
        let oldest = oldest.or((count >= MOST).then_some(sending)).filter(|_| count >= WAITING);
        if let Some(at) = oldest {
            self.waiting.remove(at);
        }
        let dropped = u64::from(oldest.is_some());
        self.dropped += dropped;
        self.waiting.push(message);
        dropped
    }

    fn call_last(&mut self, now: Instant) {
        self.is_last_call = true;
        self.next_attempt = now;
    }

    /// Makes as much progress as possible without blocking.
    fn advance(&mut self, now: Instant, poller: &Poller) {
        loop {
            let outcome = match &mut self.attempt {
                Some(attempt) => match attempt.advance(now, self.token, poller) {
                    Ok(Poll::Pending(_)) | Err(_) => return,
                    Ok(Poll::Passed) => Ok(()),
                    Ok(Poll::Failed(why)) => Err(why),
                },
                None => match self.waiting.first().filter(|_| self.next_attempt <= now) {
                    None => return,
                    Some(message) => match Probe::post(&self.request(), &message.body, now, LIMIT) {
                        Ok(probe) => {
                            self.attempt = Some(WatchedProbe::new(probe));
                            continue;
                        }
                        Err(e) => Err(e.source.to_string()),
                    },
                },
            };
            self.attempt = None;
            match outcome {
                Ok(()) => self.accepted(now),
                Err(why) => return self.failed(now, why),
            }
        }
    }

    fn request(&self) -> Target {
        let HttpTarget { address, host, path } = &*self.target;
        Target::Http { address: *address, host: host.clone(), path: path.clone(), statuses: vec![200..=299] }
    }

    fn accepted(&mut self, now: Instant) {
        self.waiting.remove(0);
        self.delay = FIRST_DELAY;
        let dropped = std::mem::take(&mut self.dropped);
        if self.problem.take().is_some() {
            let (name, after) = (self.name(), span(now.since(self.since)));
            self.since = now;
            let lost =
                if dropped == 0 { String::new() } else { format!("; {dropped} older ones were dropped") };
            log::info!(event = "notify_url"; "{name} accepts transitions again, after {after}{lost}");
        }
    }

    fn failed(&mut self, now: Instant, why: String) {
        self.next_attempt = now + self.delay;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        let rest = if self.is_last_call { "; given up" } else { "; will retry, and keeps the newest ones" };
        if self.problem.is_none() || self.is_last_call {
            log::warn!(event = "notify_url"; "{} does not accept transitions: {why}{rest}", self.name());
        }
        if self.problem.replace(why).is_none() {
            self.since = now;
        }
        if self.is_last_call {
            self.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        let host = "127.0.0.1:9".to_owned();
        let target = HttpTarget { address: host.parse().unwrap(), host, path: "/secret".into() };
        Receiver::new(Rc::new(target), 0)
    }

    fn message(receiver: &Receiver, instance: &str, body: usize) -> Message {
        let receiver = Rc::clone(&receiver.target);
        Message { receiver, instance: instance.into(), body: body.to_string() }
    }

    fn waiting(receiver: &Receiver, instance: &str) -> Vec<usize> {
        let of = receiver.waiting.iter().filter(|message| &*message.instance == instance);
        of.map(|message| message.body.parse().unwrap()).collect()
    }

    #[test]
    fn the_newest_transitions_of_each_instance_are_kept() {
        let mut receiver = receiver();
        receiver.push(message(&receiver, "quiet", 7));
        let dropped: u64 = (0..1_000).map(|n| receiver.push(message(&receiver, "busy", n))).sum();
        assert_eq!(waiting(&receiver, "quiet"), [7]);
        assert_eq!(waiting(&receiver, "busy"), (1_000 - 63..1_000).collect::<Vec<_>>());
        assert_eq!(dropped, 1_000 - 63);
        for n in 0..3_000 {
            receiver.push(message(&receiver, &n.to_string(), n));
        }
        assert_eq!(receiver.waiting.len(), MOST);
        assert_eq!(waiting(&receiver, "2999"), [2_999]);
    }

    #[test]
    fn attempts_become_rarer_up_to_a_minute_until_one_succeeds() {
        let mut receiver = receiver();
        let mut now = Instant::START;
        let mut delays = vec![];
        for n in 0..8 {
            receiver.push(message(&receiver, "a", n));
            receiver.failed(now, "refused".into());
            delays.push(receiver.next_attempt.since(now).as_secs());
            now = receiver.next_attempt;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(receiver.deadline(), Some(now));
        receiver.accepted(now);
        assert!(receiver.problem.is_none() && receiver.waiting.len() == 7);
        receiver.failed(now, "refused".into());
        assert_eq!(receiver.next_attempt.since(now).as_secs(), 1);
    }

    #[test]
    fn what_is_not_accepted_on_the_last_call_is_given_up() {
        let mut receiver = receiver();
        receiver.push(message(&receiver, "a", 1));
        receiver.failed(Instant::START, "refused".into());
        let now = Instant::from_millis(10);
        receiver.call_last(now);
        assert_eq!(receiver.deadline(), Some(now));
        receiver.failed(now, "refused".into());
        assert_eq!(receiver.deadline(), None);
        assert_eq!(receiver.name(), "http://127.0.0.1:9", "without the path");
    }
}
