//! The events: each happens once to a settled pair, and yields observations. Knows neither repetitions nor reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::client::Record;
use crate::pair::{A, B, Pair, STEADY};
use crate::support::lab::{Host, to_pid};
use crate::support::oom::MemoryGroup;
use crate::support::router::Node;
use crate::support::sampler::Sampler;
use crate::support::{millis, seconds, wait_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Killed,
    Back,
    Sigterm,
    Sigkill,
    Oom,
    LinkDown,
    LinkUp,
    Sigstop,
}

impl Event {
    pub(crate) const ALL: [Self; 8] = [
        Self::Killed,
        Self::Back,
        Self::Sigterm,
        Self::Sigkill,
        Self::Oom,
        Self::LinkDown,
        Self::LinkUp,
        Self::Sigstop,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Killed => "haproxy killed on the master",
            Self::Back => "haproxy started again: failback",
            Self::Sigterm => "SIGTERM to PID 1 of the master",
            Self::Sigkill => "SIGKILL to PID 1 of the master",
            Self::Oom => "OOM kill of PID 1 of the master",
            Self::LinkDown => "link down at the master",
            Self::LinkUp => "link up again",
            Self::Sigstop => "SIGSTOP of the master for 10 s, then SIGCONT",
        }
    }
}

/// What was observed of one event. An `Option` is `None` where the event does not show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// `None`: no other host answered within [`LIMIT`].
    pub(crate) outage: Option<Duration>,
    pub(crate) failed: usize,
    /// Of the client that asks for the hardware address again and again.
    pub(crate) failed_forgetful: Option<usize>,
    /// From the kill, of PID 1 or of haproxy, to the first answer of another host.
    pub(crate) answered: Option<Duration>,
    /// From the kill to the last answer of the dead host to ARP. [`WATCHED`] or more: it still answered then.
    pub(crate) silent: Option<Duration>,
    /// From the old master's last advert to the successor's first answer.
    pub(crate) since_advert: Option<Duration>,
    /// From the signal to the exit of PID 1.
    pub(crate) exit: Option<Duration>,
    /// From SIGKILL until the dead host no longer held the address. [`GONE`] or more: it still held it then.
    pub(crate) gone: Option<Duration>,
    pub(crate) starts_again: Option<bool>,
    /// Longest time that both hosts held the address.
    pub(crate) shared: Option<Duration>,
    /// From the event until both held it for the last time; the handover after SIGCONT does not count.
    pub(crate) shared_until: Option<Duration>,
    /// Whether the preferred master, and no other host, held it at the end.
    pub(crate) one_after: Option<bool>,
    /// The client's longest time between two attempts.
    pub(crate) longest_pause: Duration,
}

/// Longest wait for a successor.
const LIMIT: Duration = seconds(15);
/// The client continues for this long after the successor answers: an outage may have a second part.
const AFTER: Duration = seconds(1);
/// Longest watch of a leftover address.
pub(crate) const GONE: Duration = seconds(8);
/// This many good answers in a row come directly before an event.
const JUST_NOW: usize = 10;
/// How long a dead host is asked for its hardware address.
pub(crate) const WATCHED: Duration = seconds(1);
/// How long the preferred host has been master at least when it is killed: a backup connects to a new master after 0.1 s,
/// and the guard begins with the next lease.
const CONNECTED: Duration = seconds(2);
const PAUSE: Duration = seconds(10);
/// Two holders for longer than this are no handover: it covers one packet, and delays of a busy machine.
const HANDOVER: Duration = millis(100);

impl Observation {
    fn of(record: &Record, master: u8, event: Instant) -> Self {
        let handover = record.handover(master, event);
        Self {
            outage: handover.map(|(last, first)| first - last),
            failed: record.failed(event),
            longest_pause: record.longest_pause,
            ..Self::default()
        }
    }
}

impl Pair {
    /// haproxy is killed on the master, and started again.
    pub(crate) fn service_event(&mut self) -> Vec<(Event, Observation)> {
        self.begin(A);
        let killed = self.a.kill_web();
        let gone = self.watch(A, B, killed);
        let answered = self.client.record().handover(A, killed).map(|(_, first)| first - killed);
        let gone = Observation { answered, ..gone };
        self.begin(B);
        let started = self.a.start_web();
        let back = self.watch(B, A, started);
        vec![(Event::Killed, gone), (Event::Back, back)]
    }

    /// The master gets SIGTERM, as from `docker stop`.
    pub(crate) fn sigterm(&mut self) -> Vec<(Event, Observation)> {
        self.begin(A);
        self.a.router.run.pid();
        let stopped = Instant::now();
        self.a.router.run.signal(Signal::SIGTERM);
        self.a.router.run.wait_exit(LIMIT);
        let exit = stopped.elapsed();
        let seen = self.watch(A, B, stopped);
        vec![(Event::Sigterm, Observation { exit: Some(exit), ..seen })]
    }

    /// PID 1 of the master is killed; its PID namespace, haproxy included, dies with it.
    pub(crate) fn sigkill(&mut self) -> Vec<(Event, Observation)> {
        vec![(Event::Sigkill, self.killed().0)]
    }

    /// The same, until the address is gone from the dead host and the router has been started again there.
    pub(crate) fn sigkill_and_restart(&mut self) -> Vec<(Event, Observation)> {
        let sampler = Sampler::start(&[&self.a.host], Node::VIP);
        let (mut seen, killed) = self.killed();
        while self.a.holds_vip() && killed.elapsed() < GONE {
            std::thread::sleep(millis(20));
        }
        let held = sampler.finish().stretches(|n| n > 0);
        seen.gone = held.last().map(|(_, until)| until.saturating_duration_since(killed));
        seen.failed_forgetful = Some(self.forgetful.record().failed(killed));
        seen.starts_again = Some(self.a.restart());
        vec![(Event::Sigkill, seen)]
    }

    /// Its control group runs out of memory.
    pub(crate) fn oom(&mut self) -> Vec<(Event, Observation)> {
        let pid = self.a.router.run.pid();
        let group = MemoryGroup::with(pid);
        let (seen, _) = self.crash(|| {
            let before = Instant::now();
            group.run_out(pid);
            before
        });
        // When exactly the kernel killed it is not known; the outage is.
        vec![(Event::Oom, Observation { answered: None, ..seen })]
    }

    fn killed(&mut self) -> (Observation, Instant) {
        let pid = to_pid(self.a.router.run.pid());
        let (asker, mut question) = (Arc::clone(&self.asker), self.asker.question(Node::VIP.into()));
        question[..6].copy_from_slice(&hardware_address(&self.a.host));
        let ask = move || asker.last_answer(&question, Node::VIP.into(), Instant::now() + WATCHED);
        let mut asking = None;
        let (seen, killed) = self.crash(|| {
            asking = Some(std::thread::spawn(ask));
            let killed = Instant::now();
            kill(pid, Signal::SIGKILL).expect("it runs");
            killed
        });
        let last = asking.and_then(|thread| thread.join().expect("no thread panics"));
        let silent = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(killed));
        (Observation { silent: Some(silent), ..seen }, killed)
    }

    /// `end` ends PID 1 of the master, and with it its PID namespace, and returns when. Both clients ask.
    fn crash(&mut self, end: impl FnOnce() -> Instant) -> (Observation, Instant) {
        std::thread::sleep(CONNECTED);
        self.forgetful.resume();
        self.forgetful.begin();
        self.begin(A);
        wait_until("the other client is answered, too", LIMIT, || self.forgetful.is_answered_by(A, JUST_NOW));
        let killed = end();
        self.a.router.run.wait_exit(LIMIT);
        let seen = self.watch(A, B, killed);
        let record = self.client.record();
        let seen = Observation {
            since_advert: self.since_advert(&record, killed),
            answered: record.handover(A, killed).map(|(_, first)| first - killed),
            failed_forgetful: Some(self.forgetful.record().failed(killed)),
            ..seen
        };
        (seen, killed)
    }

    /// The master's cable is pulled and plugged in again.
    pub(crate) fn link(&mut self) -> Vec<(Event, Observation)> {
        self.begin(A);
        let pulled = Instant::now();
        self.a.host.pull_cable();
        let mut down = self.watch(A, B, pulled);
        down.since_advert = self.since_advert(&self.client.record(), pulled);
        self.begin(B);
        let sampler = Sampler::start(&[&self.a.host, &self.b.host], Node::VIP);
        let plugged = Instant::now();
        self.a.host.plug_cable();
        let mut up = self.watch(B, A, plugged);
        up.shared = Some(sampler.finish().several);
        up.one_after = Some(self.a.holds_vip() && !self.b.holds_vip());
        vec![(Event::LinkDown, down), (Event::LinkUp, up)]
    }

    /// All processes of the master's router are paused; its haproxy keeps running.
    pub(crate) fn sigstop(&mut self) -> Vec<(Event, Observation)> {
        self.begin(A);
        let sampler = Sampler::start(&[&self.a.host, &self.b.host], Node::VIP);
        let paused = Instant::now();
        self.a.signal_all(Signal::SIGSTOP);
        std::thread::sleep(PAUSE);
        let resumed = Instant::now();
        self.a.signal_all(Signal::SIGCONT);
        // Either host may be master directly afterwards; in the end it must be the preferred one.
        std::thread::sleep(2 * AFTER);
        self.steady(A, STEADY, LIMIT);
        std::thread::sleep(AFTER);
        let (record, holders) = (self.client.record(), sampler.finish());
        let mut seen = Observation::of(&record, A, paused);
        seen.shared = Some(holders.several);
        let shared = holders.stretches(|n| n > 1);
        let long = shared.into_iter().rfind(|(from, to)| *from < resumed || *to - *from > HANDOVER);
        seen.shared_until = Some(long.map_or(Duration::ZERO, |(_, to)| to - paused));
        seen.one_after = Some(self.a.holds_vip() && !self.b.holds_vip());
        vec![(Event::Sigstop, seen)]
    }

    /// Clears the record and makes sure that `master` answers right now: no request may be waiting in a queue.
    fn begin(&self, master: u8) {
        self.client.begin();
        self.steady(master, JUST_NOW, LIMIT);
    }

    /// Waits until the successor answers, then [`AFTER`].
    fn watch(&self, master: u8, successor: u8, event: Instant) -> Observation {
        self.steady(successor, STEADY, LIMIT);
        std::thread::sleep(AFTER);
        Observation::of(&self.client.record(), master, event)
    }

    fn since_advert(&self, record: &Record, event: Instant) -> Option<Duration> {
        let (_, first) = record.handover(A, event)?;
        Some(first - record.last_advert(self.a.host.address, first)?)
    }
}

fn hardware_address(host: &Host) -> [u8; 6] {
    let text = host.mac();
    let octets: Vec<u8> = text.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    octets.try_into().expect("six octets")
}
