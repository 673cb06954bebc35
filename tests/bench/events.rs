//! The events, each done once to a settled pair, and what was seen of it; knows not how often and how it is reported.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::Record;
use crate::pair::{A, B, Pair, STEADY};
use crate::support::router::Node;
use crate::support::watch::Sampler;
use crate::support::{millis, seconds};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Killed,
    Back,
    Sigterm,
    Sigkill,
    LinkDown,
    LinkUp,
    Sigstop,
}

impl Event {
    pub(crate) const ALL: [Self; 7] =
        [Self::Killed, Self::Back, Self::Sigterm, Self::Sigkill, Self::LinkDown, Self::LinkUp, Self::Sigstop];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Killed => "haproxy killed on the master",
            Self::Back => "haproxy back: failback",
            Self::Sigterm => "SIGTERM to PID 1 of the master",
            Self::Sigkill => "SIGKILL to PID 1 of the master",
            Self::LinkDown => "link down at the master",
            Self::LinkUp => "link up again",
            Self::Sigstop => "SIGSTOP of the master for 10 s, then SIGCONT",
        }
    }
}

/// What one event showed. An `Option` is `None` where the event does not show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// `None`: no other host answered within [`LIMIT`].
    pub(crate) outage: Option<Duration>,
    pub(crate) failed: usize,
    /// From the old master's last advert to the successor's first answer.
    pub(crate) since_advert: Option<Duration>,
    /// From the signal to the exit of PID 1.
    pub(crate) exit: Option<Duration>,
    /// From SIGKILL until the dead host no longer held the address; [`GONE`] and more: still there then.
    pub(crate) gone: Option<Duration>,
    pub(crate) starts_again: Option<bool>,
    /// Longest time that both hosts held the address.
    pub(crate) shared: Option<Duration>,
    /// When both last held it, from the event on; a move of the address after SIGCONT does not count.
    pub(crate) shared_until: Option<Duration>,
    /// Whether exactly the preferred master held it at the end.
    pub(crate) one_after: Option<bool>,
    /// The client's longest time between two attempts.
    pub(crate) blind: Duration,
}

/// So long a successor is waited for.
const LIMIT: Duration = seconds(15);
/// What is watched on after the successor answers: an outage may have a second part.
const AFTER: Duration = seconds(1);
/// So long a leftover address is watched.
pub(crate) const GONE: Duration = seconds(8);
/// So many good answers in a row come directly before an event.
const JUST_NOW: usize = 10;
const PAUSE: Duration = seconds(10);
/// Longer than the time of one packet and of a busy machine, and two holders are no move of the address any more.
const MOVE: Duration = millis(100);

impl Seen {
    fn of(record: &Record, master: u8, event: Instant) -> Self {
        let handover = record.handover(master, event);
        Self {
            outage: handover.map(|(last, first)| first - last),
            failed: record.failed(event),
            blind: record.blind,
            ..Self::default()
        }
    }
}

impl Pair {
    /// haproxy is killed on the master, and started again.
    pub(crate) fn service_event(&mut self) -> Vec<(Event, Seen)> {
        self.begin(A);
        let killed = self.a.kill_web();
        let gone = self.watch(A, B, killed);
        self.begin(B);
        let started = self.a.start_web();
        let back = self.watch(B, A, started);
        vec![(Event::Killed, gone), (Event::Back, back)]
    }

    /// The master is told to stop, as `docker stop` does.
    pub(crate) fn sigterm(&mut self) -> Vec<(Event, Seen)> {
        self.begin(A);
        self.a.router.run.pid();
        let told = Instant::now();
        self.a.router.run.signal(Signal::SIGTERM);
        self.a.router.run.wait_exit(LIMIT);
        let exit = told.elapsed();
        let seen = self.watch(A, B, told);
        vec![(Event::Sigterm, Seen { exit: Some(exit), ..seen })]
    }

    /// PID 1 of the master is killed; its PID namespace, haproxy included, dies with it.
    pub(crate) fn sigkill(&mut self) -> Vec<(Event, Seen)> {
        self.begin(A);
        self.a.router.run.pid();
        let sampler = Sampler::start(&[&self.a.host], Node::VIP);
        let killed = Instant::now();
        self.a.router.run.kill();
        self.steady(B, STEADY, LIMIT);
        std::thread::sleep(AFTER);
        let record = self.client.record();
        while self.a.holds_vip() && killed.elapsed() < GONE {
            std::thread::sleep(millis(20));
        }
        let (mut seen, holders) = (Seen::of(&record, A, killed), sampler.finish());
        let held = holders.stretches(|n| n > 0);
        seen.gone = held.last().map(|(_, until)| until.saturating_duration_since(killed));
        seen.since_advert = self.since_advert(&record, killed);
        seen.starts_again = Some(self.a.restart());
        vec![(Event::Sigkill, seen)]
    }

    /// The master's cable is pulled, and put back.
    pub(crate) fn link(&mut self) -> Vec<(Event, Seen)> {
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

    /// All processes of the master's router are paused, while haproxy beside it goes on.
    pub(crate) fn sigstop(&mut self) -> Vec<(Event, Seen)> {
        self.begin(A);
        let sampler = Sampler::start(&[&self.a.host, &self.b.host], Node::VIP);
        let paused = Instant::now();
        self.a.signal_all(Signal::SIGSTOP);
        std::thread::sleep(PAUSE);
        let resumed = Instant::now();
        self.a.signal_all(Signal::SIGCONT);
        // Whoever is master after it, the preferred one must be in the end.
        std::thread::sleep(2 * AFTER);
        self.steady(A, STEADY, LIMIT);
        std::thread::sleep(AFTER);
        let (record, holders) = (self.client.record(), sampler.finish());
        let mut seen = Seen::of(&record, A, paused);
        seen.shared = Some(holders.several);
        let shared = holders.stretches(|n| n > 1);
        let long = shared.into_iter().rfind(|(from, to)| *from < resumed || *to - *from > MOVE);
        seen.shared_until = Some(long.map_or(Duration::ZERO, |(_, to)| to - paused));
        seen.one_after = Some(self.a.holds_vip() && !self.b.holds_vip());
        vec![(Event::Sigstop, seen)]
    }

    /// Forgets what was seen, and sees that `master` answers right now: no request may wait in a queue.
    fn begin(&self, master: u8) {
        self.client.begin();
        self.steady(master, JUST_NOW, LIMIT);
    }

    /// Waits for the successor, then a little longer.
    fn watch(&self, master: u8, successor: u8, event: Instant) -> Seen {
        self.steady(successor, STEADY, LIMIT);
        std::thread::sleep(AFTER);
        Seen::of(&self.client.record(), master, event)
    }

    fn since_advert(&self, record: &Record, event: Instant) -> Option<Duration> {
        let (_, first) = record.handover(A, event)?;
        Some(first - record.last_advert(self.a.host.address, first)?)
    }
}
