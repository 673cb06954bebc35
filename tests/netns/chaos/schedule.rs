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

/// What a fault befalls. Two at once befall different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Host(usize),
    Network,
    Machine,
}

impl Plan {
    /// The sequence of `seed`, about as long as `length`. That of a shorter length is its beginning.
    pub(crate) fn new(seed: u64, length: Duration) -> Self {
        let count = CONFIGURATIONS.len() as u64;
        let configuration = CONFIGURATIONS[usize::try_from(seed % count).unwrap_or(0)];
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
        let held = !both && self.random.one_in(4);
        let mut end = self.now;
        if held && let Target::Host(host) = first {
            let [fault, undo] = self.lasting(host);
            self.act(self.now, fault);
            self.check();
            self.act(self.now, undo);
            end = self.now;
        } else {
            end = end.max(self.fault(first));
            if both && second != first {
                end = end.max(self.fault(second));
            }
        }
        self.now = end;
        if self.random.one_in(4) {
            // The next fault comes before all is well again.
            self.now += self.random.between(50, 1_500);
        } else {
            self.check();
        }
    }

    fn target(&mut self) -> Target {
        let hosts = self.configuration.programs.len() as u64;
        match self.random.below(12) {
            0..4 => Target::Host(0),
            4..8 => Target::Host(self.index(hosts)),
            8..11 => Target::Network,
            _ => Target::Machine,
        }
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

    /// A fault that can last, and its end.
    fn lasting(&mut self, host: usize) -> [Act; 2] {
        match self.random.below(5) {
            0 => [Act::Kill(host), Act::Start(host)],
            1 => [Act::Stop(host), Act::Start(host)],
            2 => [Act::Unplug(host), Act::PlugIn(host)],
            3 => [Act::LinkDown(host), Act::LinkUp(host)],
            _ => [Act::KillService(host), Act::StartService(host)],
        }
    }

    /// Writes a fault that begins now; returns its end.
    fn fault(&mut self, target: Target) -> Duration {
        match target {
            Target::Host(host) => self.host_fault(host),
            Target::Network => self.network_fault(),
            Target::Machine => {
                let hogs = 2 + self.index(3);
                let time = self.duration();
                self.span(self.now, Act::Hog(hogs), Act::EndHog, time)
            }
        }
    }

    fn span(&mut self, at: Duration, begin: Act, end: Act, time: Duration) -> Duration {
        self.act(at, begin);
        self.act(at + time, end);
        at + time
    }

    fn host_fault(&mut self, host: usize) -> Duration {
        let ours = self.configuration.programs[host] != Program::Keepalived;
        let time = self.duration();
        // The faults of the addresses are for ours alone: keepalived does not know its own address or a prefix again.
        match self.random.below(if ours { 12 } else { 8 }) {
            0 | 1 => {
                let [begin, end] = self.lasting(host);
                self.span(self.now, begin, end, time)
            }
            2 => self.span(self.now, Act::Kill(host), Act::Start(host), time),
            3 => self.span(self.now, Act::Pause(host), Act::Resume(host), time),
            4 => self.span(self.now, Act::Stop(host), Act::Start(host), time),
            5 => {
                self.act(self.now, Act::ReloadService(host));
                self.now
            }
            6 => self.repeat(|writer, at| {
                let time = writer.random.between(50, 700);
                writer.span(at, Act::KillService(host), Act::StartService(host), time)
            }),
            7 => self.repeat(|writer, at| {
                writer.act(at, Act::DeleteVip(host));
                at
            }),
            8 => self.span(self.now, Act::DeleteOwnAddress(host), Act::RestoreOwnAddress(host), time),
            9 => self.span(self.now, Act::ChangePrefix(host), Act::RestorePrefix(host), time),
            10 => {
                self.act(self.now, Act::ShortenVip(host));
                self.now
            }
            _ => self.repeat(|writer, at| {
                let time = writer.random.between(50, 900);
                writer.span(at, Act::Pause(host), Act::Resume(host), time)
            }),
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
