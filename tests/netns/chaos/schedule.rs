//! Which fault happens when: a function of the seed alone. Knows no clock and no kernel; `tests/pure/chaos.rs` tests it.

use std::time::Duration;

use super::faults::{Act, CONFIGURATIONS, Configuration, Program};

/// How long nothing happens after a check, so that the clients are heard.
pub(crate) const WINDOW: Duration = Duration::from_millis(800);

/// One sequence of events and of checks, by their times since the start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) configuration: Configuration,
    pub(crate) steps: Vec<(Duration, Step)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Act(Act),
    /// All is quiet: the best host must be the one holder.
    Check,
}

/// What a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The router of a host, and with it its service.
    Router(usize),
    Service(usize),
    /// The interface of a host and its addresses.
    Link(usize),
    Network,
    Machine,
}

impl Target {
    /// Whether a fault of each can happen at the same time.
    fn is_apart_from(self, other: Self) -> bool {
        match (self, other) {
            (Self::Router(a) | Self::Service(a), Self::Router(b) | Self::Service(b)) => a != b,
            _ => self != other,
        }
    }
}

impl Plan {
    /// The sequence of `seed`, about as long as `length`. That of a shorter length is its beginning.
    pub(crate) fn new(seed: u64, length: Duration) -> Self {
        let count = CONFIGURATIONS.len() as u64;
        Self::on(CONFIGURATIONS[usize::try_from(seed % count).unwrap_or(0)], seed, length)
    }

    /// The same on hosts of this configuration.
    pub(crate) fn on(configuration: Configuration, seed: u64, length: Duration) -> Self {
        let mut writer = Writer { configuration, random: Random(seed), steps: vec![], now: Duration::ZERO };
        for host in 0..configuration.programs.len() {
            writer.act(Duration::ZERO, Act::Start(host));
        }
        writer.check();
        while writer.now < length {
            writer.round();
        }
        if writer.steps.last().is_some_and(|(_, step)| *step != Step::Check) {
            writer.check();
        }
        writer.steps.sort_by_key(|(at, _)| *at);
        Self { configuration, steps: writer.steps }
    }
}

struct Writer {
    configuration: Configuration,
    random: Random,
    steps: Vec<(Duration, Step)>,
    now: Duration,
}

impl Writer {
    fn act(&mut self, at: Duration, act: Act) {
        self.steps.push((at, Step::Act(act)));
    }

    fn check(&mut self) {
        self.now += self.configuration.settle();
        self.steps.push((self.now, Step::Check));
        self.now += WINDOW;
    }

    /// One fault, or two at once, and mostly a check when they are over.
    fn round(&mut self) {
        let first = self.target();
        let both = self.random.one_in(3);
        let second = self.target();
        let held = !both && self.random.one_in(3);
        let end = if held && let Some([fault, undo]) = self.lasting(first) {
            self.act(self.now, fault);
            self.check();
            self.act(self.now, undo);
            self.now
        } else {
            let end = self.fault(first);
            if both && first.is_apart_from(second) { end.max(self.fault(second)) } else { end }
        };
        self.now = end;
        if self.random.one_in(4) {
            // The next fault comes before all is well again.
            self.now += self.random.between(50, 1_500);
        } else {
            self.check();
        }
    }

    fn target(&mut self) -> Target {
        let host =
            if self.random.one_in(2) { 0 } else { self.index(self.configuration.programs.len() as u64) };
        match self.random.below(12) {
            0..4 => Target::Router(host),
            4..6 => Target::Service(host),
            6..8 => Target::Link(host),
            8..11 => Target::Network,
            _ => Target::Machine,
        }
    }

    fn is_ours(&self, host: usize) -> bool {
        self.configuration.programs[host] != Program::Keepalived
    }

    fn index(&mut self, count: u64) -> usize {
        usize::try_from(self.random.below(count)).unwrap_or(0)
    }

    /// How long a fault lasts: shorter and longer than a master-down interval.
    fn duration(&mut self) -> Duration {
        let most = if self.random.one_in(2) { 1_000 } else { 6_000 };
        let time = self.random.between(100, most);
        if self.configuration.advert_ms < 1_000 { time / 2 } else { time }
    }

    /// A fault of this target that can last, and its end.
    fn lasting(&mut self, target: Target) -> Option<[Act; 2]> {
        let first = self.random.one_in(2);
        match target {
            Target::Router(host) => {
                let count = if self.is_ours(host) { 4 } else { 2 };
                Some(match self.random.below(count) {
                    0 => [Act::Kill(host), Act::Start(host)],
                    1 => [Act::Stop(host), Act::Start(host)],
                    2 => [Act::Drain(host), Act::Undrain(host)],
                    _ => [Act::LowerPriority(host), Act::RestorePriority(host)],
                })
            }
            Target::Service(host) => Some([Act::KillService(host), Act::StartService(host)]),
            Target::Link(host) if first => Some([Act::Unplug(host), Act::PlugIn(host)]),
            Target::Link(host) => Some([Act::LinkDown(host), Act::LinkUp(host)]),
            Target::Network | Target::Machine => None,
        }
    }

    /// Writes a fault that begins now; returns its end.
    fn fault(&mut self, target: Target) -> Duration {
        let now = self.now;
        let time = self.duration();
        match target {
            Target::Router(host) => self.router_fault(host),
            Target::Service(host) => self.service_fault(host),
            Target::Link(host) => self.link_fault(host),
            Target::Network => self.network_fault(),
            Target::Machine => {
                let hogs = 2 + self.index(3);
                self.span(now, Act::Hog(hogs), Act::EndHog, time)
            }
        }
    }

    fn span(&mut self, at: Duration, begin: Act, end: Act, time: Duration) -> Duration {
        self.act(at, begin);
        self.act(at + time, end);
        at + time
    }

    fn router_fault(&mut self, host: usize) -> Duration {
        let time = self.duration();
        match self.random.below(if self.is_ours(host) { 6 } else { 4 }) {
            0 => self.span(self.now, Act::Kill(host), Act::Start(host), time),
            1 => self.span(self.now, Act::Stop(host), Act::Start(host), time),
            2 => self.span(self.now, Act::Pause(host), Act::Resume(host), time),
            4 => self.repeat(|writer, at| {
                let time = writer.duration();
                writer.span(at, Act::Drain(host), Act::Undrain(host), time)
            }),
            5 => self.repeat(|writer, at| {
                let time = writer.duration();
                writer.span(at, Act::LowerPriority(host), Act::RestorePriority(host), time)
            }),
            _ => self.repeat(|writer, at| {
                let time = writer.random.between(50, 900);
                writer.span(at, Act::Pause(host), Act::Resume(host), time)
            }),
        }
    }

    fn service_fault(&mut self, host: usize) -> Duration {
        match self.random.below(3) {
            0 => {
                let time = self.duration();
                self.span(self.now, Act::KillService(host), Act::StartService(host), time)
            }
            1 => {
                self.act(self.now, Act::ReloadService(host));
                self.now
            }
            _ => self.repeat(|writer, at| {
                let time = writer.random.between(50, 700);
                writer.span(at, Act::KillService(host), Act::StartService(host), time)
            }),
        }
    }

    fn link_fault(&mut self, host: usize) -> Duration {
        let time = self.duration();
        let ours = self.is_ours(host);
        // The last three are for ours alone: keepalived does not handle them.
        match self.random.below(if ours { 6 } else { 3 }) {
            0 => self.span(self.now, Act::Unplug(host), Act::PlugIn(host), time),
            1 => self.span(self.now, Act::LinkDown(host), Act::LinkUp(host), time),
            2 => self.repeat(|writer, at| {
                writer.act(at, Act::DeleteVip(host));
                at
            }),
            3 => self.span(self.now, Act::DeleteOwnAddress(host), Act::RestoreOwnAddress(host), time),
            4 => self.span(self.now, Act::ChangePrefix(host), Act::RestorePrefix(host), time),
            _ => {
                self.act(self.now, Act::ShortenVip(host));
                self.now
            }
        }
    }

    fn network_fault(&mut self) -> Duration {
        let count = self.configuration.programs.len() as u64;
        let host = self.index(count);
        let other = (host + 1 + self.index(count - 1)) % self.configuration.programs.len();
        match self.random.below(8) {
            0 | 1 => self.repeat(|writer, at| {
                let time = writer.duration();
                writer.span(at, Act::Cut(host, other), Act::Heal(host, other), time);
                writer.span(at, Act::Cut(other, host), Act::Heal(other, host), time)
            }),
            2 | 3 => self.repeat(|writer, at| {
                let time = writer.duration();
                writer.span(at, Act::Cut(host, other), Act::Heal(host, other), time)
            }),
            4 | 5 => {
                let (percent, time) = ([20, 50, 80][self.index(3)], self.duration());
                self.span(self.now, Act::Lose(host, percent), Act::EndLoss(host), time)
            }
            _ => {
                let priorities = [(254, 254), (254, 0), (254, 1), (50, 50), (0, 0)][self.index(5)];
                let time = self.random.between(200, 2_500);
                self.span(self.now, Act::Flood(priorities.0, priorities.1), Act::EndFlood, time)
            }
        }
    }

    /// Once or several times in a row, with pauses.
    fn repeat(&mut self, mut fault: impl FnMut(&mut Self, Duration) -> Duration) -> Duration {
        let mut at = self.now;
        for _ in 0..self.random.below(4) {
            at = fault(self, at);
            at += self.random.between(100, 1_500);
        }
        fault(self, at)
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.below(most_ms - least_ms))
    }
}
