//! Two and three routers in every order of deliveries, losses, deaths, FINs and timers, exhaustively up to a depth. Where
//! `simulation.rs` draws long histories at random, this draws every short one.
//!
//! It starts with a steady master. A step is the delivery or the loss of one packet, one timer, the death, start, stop,
//! yield or drain of one router, a master's name for one backup or another, or a cut that isolates one host, or its end. A
//! packet may take up to [`FLIGHT`], which is longer than the fast skew, and a timer may be late by up to [`SLACK`], so all
//! their orders occur. Each path has at most the number of deaths, losses and so on of its [`Budget`]. What is checked in
//! every state:
//!
//! * the master, and no other, holds the address;
//! * two hosts hold it only for a few flights after the last loss or cut, and no host holds it for at most the longest
//!   Master_Down_Interval;
//! * after the death of the only holder, if it was master for an interval and a half, another one holds it within the fast
//!   skew, provided that a backup with a full takeover budget had a lifeline and no packet was in flight; if the master had
//!   named that backup its successor, without a skew;
//! * a death does not move the address if the backup has heard another master, and none gives way to a lower one;
//! * after the last step of each path, without further disturbance, the routers settle on one master, the best one.
//!
//! `EXPLORE=n` goes n steps deeper.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use vrrp_init::time::Instant;
use vrrp_init::vrrp::{Action, Event, Instance, Interval, Priority, Report, Role, Settings, Vrid, Why};

const FLIGHT: Duration = Duration::from_millis(5);
const SLACK: Duration = Duration::from_millis(1);
const FAST_SKEW: Duration = Duration::from_millis(4);
/// How long a master that leaves waits for a successor.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(1_100);
/// The longest Master_Down_Interval: three seconds and the skew of priority 1.
const MASTER_DOWN: Duration = Duration::from_millis(3_997);

#[derive(Clone, Hash)]
struct Host {
    router: Instance,
    /// Since when it holds the address.
    holds: Option<Instant>,
    /// The hosts that have received its advert since it took over, and no priority 0 after that.
    heard_by: [bool; 3],
    /// It has taken over fast before, so its next takeover may be slow.
    took_over: bool,
    isolated: bool,
    /// How many adverts of lower routers it may have to answer at once, up to one more than it does.
    losers: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Packet {
    Advert(Priority),
    /// Closes a lifeline: the sender's process has died.
    Fin,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Flight {
    from: usize,
    to: usize,
    packet: Packet,
    sent: Instant,
}

impl Flight {
    /// The adverts from one host to another keep their order.
    fn channel(&self) -> (usize, usize, bool) {
        (self.from, self.to, self.packet == Packet::Fin)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver(Flight),
    Lose(Flight),
    Timer(usize),
    Kill(usize),
    Start(usize),
    Stop(usize),
    /// Its service dies: its priority falls to 1.
    Yield(usize),
    Recover(usize),
    /// An operator takes it out of service, if another router takes over.
    Drain(usize),
    Undrain(usize),
    /// Its master names it the successor. Of three, two may be named: a master may lie, and a name may be stale.
    Name(usize),
    Isolate(usize),
    Heal,
}

/// How often each disturbance may still happen.
#[derive(Clone, Copy, Debug, Hash)]
struct Budget {
    deaths: u8,
    starts: u8,
    losses: u8,
    stops: u8,
    yields: u8,
    drains: u8,
    names: u8,
    cuts: u8,
}

#[derive(Clone, Hash)]
struct Network {
    now: Instant,
    hosts: Vec<Host>,
    flights: Vec<Flight>,
    budget: Budget,
    /// Since when several hosts or no host hold the address.
    several: Option<Instant>,
    none: Option<Instant>,
    /// When the guarantees apply again after a disturbance.
    guaranteed: Instant,
    /// When a backup must have taken over from a dead master.
    promised: Option<Instant>,
}

type Checked = Result<(), String>;

fn address(n: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(n).unwrap() + 1).into()
}

/// Whether it is master or may become it.
fn is_able(router: &Instance) -> bool {
    match router.role() {
        Role::Master => true,
        Role::Backup => !router.is_drained(),
        Role::Init | Role::Fault => false,
    }
}

fn router(settings: &Settings, n: usize) -> Instance {
    let mut router = Instance::new(settings.clone());
    assert!(router.handle(Instant::START, Event::Source(Some(address(n)))).is_empty());
    router
}

impl Network {
    /// Routers with these priorities, the first one master for a while, its advert just received.
    fn steady(priorities: &[u8], preempt: bool, budget: Budget) -> Self {
        let host = |(n, priority): (usize, &u8)| {
            let priority = Priority::new(*priority).unwrap();
            let vip = "10.0.0.100".parse().unwrap();
            let settings = Settings { preempt, ..Settings::new(Vrid::new(51).unwrap(), priority, vec![vip]) };
            Host {
                router: router(&settings, n),
                holds: None,
                heard_by: [false; 3],
                took_over: false,
                isolated: false,
                losers: 0,
            }
        };
        let mut network = Self {
            now: Instant::START,
            hosts: priorities.iter().enumerate().map(host).collect(),
            flights: vec![],
            budget,
            several: None,
            none: None,
            guaranteed: Instant::START,
            promised: None,
        };
        for n in 0..priorities.len() {
            network.event(n, Event::Startup).unwrap();
            // The first one is master before the others start, and long before the exploration.
            let ready = network.now + Duration::from_secs(12);
            while network.now < ready || !network.flights.is_empty() {
                network.calm_step().unwrap();
            }
        }
        assert_eq!(network.holders().collect::<Vec<_>>(), [0]);
        network
    }

    fn holders(&self) -> impl Iterator<Item = usize> {
        (0..self.hosts.len()).filter(|n| self.hosts[*n].holds.is_some())
    }

    fn is_up(&self, n: usize) -> bool {
        self.hosts[n].router.role() != Role::Init
    }

    fn is_whole(&self) -> bool {
        self.hosts.iter().all(|h| !h.isolated)
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.hosts[one].isolated != self.hosts[other].isolated
    }

    /// How far the time can go without a step: each packet and each timer has its latest time.
    fn limit(&self) -> Option<Instant> {
        let flights = self.flights.iter().filter(|f| !self.is_cut(f.from, f.to)).map(|f| f.sent + FLIGHT);
        let timers = self.hosts.iter().filter_map(|h| h.router.deadline()).map(|at| at + SLACK);
        flights.chain(timers).min()
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![];
        let Budget { deaths, starts, losses, stops, yields, drains, names, cuts } = self.budget;
        let mut before = None;
        for flight in &self.flights {
            if before.replace(flight.channel()) != Some(flight.channel())
                && !self.is_cut(flight.from, flight.to)
            {
                steps.push(Step::Deliver(*flight));
                if losses > 0 {
                    steps.push(Step::Lose(*flight));
                }
            }
        }
        let limit = self.limit();
        for (n, host) in self.hosts.iter().enumerate() {
            let router = &host.router;
            let (role, up) = (router.role(), self.is_up(n));
            let is_successor = router.is_successor(self.now);
            let lowered = router.priority() != router.settings().priority;
            // A process takes longer to start than its last packets fly, unless a cut holds them up.
            let flying = self.flights.iter().any(|f| f.from == n && !self.is_cut(f.from, f.to));
            let owner = router.settings().priority == Priority::OWNER;
            if router.deadline().is_some_and(|at| Some(at.max(self.now)) <= limit) {
                steps.push(Step::Timer(n));
            }
            let possible = [
                (up && deaths > 0, Step::Kill(n)),
                (!up && starts > 0 && !flying, Step::Start(n)),
                (role == Role::Master && stops > 0, Step::Stop(n)),
                // A name crosses the fall of its backup's priority.
                ((role == Role::Master || is_successor) && yields > 0 && !owner && !lowered, Step::Yield(n)),
                (router.master().is_some() && names > 0 && !is_successor, Step::Name(n)),
                (lowered, Step::Recover(n)),
                (up && drains > 0 && !router.is_drained() && !router.is_draining(), Step::Drain(n)),
                (router.is_drained(), Step::Undrain(n)),
                (cuts > 0 && self.is_whole(), Step::Isolate(n)),
                (host.isolated, Step::Heal),
            ];
            steps.extend(possible.into_iter().filter(|(possible, _)| *possible).map(|(_, step)| step));
        }
        steps
    }

    fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Deliver(flight) => return self.deliver(flight),
            Step::Timer(n) => return self.fire(n),
            Step::Lose(flight) => {
                self.remove(flight);
                self.budget.losses -= 1;
                self.disturb();
                if flight.packet == Packet::Fin {
                    self.promised = None;
                }
                return Ok(());
            }
            Step::Isolate(n) => {
                self.budget.cuts -= 1;
                self.hosts[n].isolated = true;
                let cut: Vec<_> = self.hosts.iter().map(|h| h.isolated).collect();
                // The kernel of a dead process repeats its FIN.
                self.flights.retain(|f| cut[f.from] == cut[f.to] || f.packet == Packet::Fin);
                self.promised = None;
                return Ok(());
            }
            Step::Heal => {
                for flight in &mut self.flights {
                    if self.hosts[flight.from].isolated != self.hosts[flight.to].isolated {
                        flight.sent = self.now;
                    }
                }
                self.hosts.iter_mut().for_each(|h| h.isolated = false);
                self.disturb();
                return Ok(());
            }
            Step::Kill(_)
            | Step::Start(_)
            | Step::Stop(_)
            | Step::Yield(_)
            | Step::Recover(_)
            | Step::Drain(_)
            | Step::Undrain(_)
            | Step::Name(_) => {}
        }
        self.guaranteed = self.guaranteed.max(self.now);
        self.promised = None;
        match step {
            Step::Kill(n) => {
                self.budget.deaths -= 1;
                self.kill(n);
                self.watch();
                Ok(())
            }
            Step::Start(n) => {
                self.budget.starts -= 1;
                self.event(n, Event::Startup)
            }
            Step::Stop(n) => {
                self.budget.stops -= 1;
                self.event(n, Event::Shutdown)
            }
            Step::Yield(n) => {
                self.budget.yields -= 1;
                // A backup that was better until now has discarded what it heard.
                self.hosts.iter_mut().for_each(|h| h.heard_by[n] = false);
                self.event(n, Event::Priority(Priority::new(1).unwrap()))
            }
            Step::Recover(n) => {
                let priority = self.hosts[n].router.settings().priority;
                self.event(n, Event::Priority(priority))
            }
            Step::Drain(n) => {
                self.budget.drains -= 1;
                // Of two masters that do not know of each other, each waits for a successor.
                if self.several.is_some() {
                    self.guaranteed = self.now + SUCCESSOR_WAIT + FLIGHT + SLACK;
                }
                self.event(n, Event::Drain { force: false })
            }
            Step::Undrain(n) => self.event(n, Event::Undrain),
            Step::Name(n) => {
                self.budget.names -= 1;
                let router = &self.hosts[n].router;
                let (Some(master), named) = (router.master(), Some(router.priority())) else { return Ok(()) };
                self.event(n, Event::Successor { from: master.address, named })
            }
            Step::Deliver(_) | Step::Lose(_) | Step::Timer(_) | Step::Isolate(_) | Step::Heal => Ok(()),
        }
    }

    /// Routers that did not hear each other do so with the next advert.
    fn disturb(&mut self) {
        self.guaranteed = self.guaranteed.max(self.now + Interval::DEFAULT.duration() + FLIGHT + SLACK);
    }

    fn remove(&mut self, flight: Flight) {
        let at = self.flights.iter().position(|f| f.channel() == flight.channel()).unwrap();
        self.flights.remove(at);
    }

    fn deliver(&mut self, flight: Flight) -> Checked {
        self.remove(flight);
        let from = address(flight.from);
        match flight.packet {
            Packet::Fin => {
                let before = self.hosts[flight.to].router.deadline();
                let known = self.knows_another(flight.to, flight.from);
                self.event(flight.to, Event::Died { from })?;
                if known && self.hosts[flight.to].router.deadline() != before {
                    return Err(format!("{} takes over although another one is master", flight.to));
                }
                Ok(())
            }
            Packet::Advert(priority) => {
                self.count_loser(flight.to);
                self.hosts[flight.from].heard_by[flight.to] = priority != Priority::RELEASE;
                let advert = self.hosts[flight.to].router.settings().advert(priority);
                self.event(flight.to, Event::Advert { from, advert: &advert })
            }
        }
    }

    /// Whether a backup has heard a master that ranks higher, other than the one that died. After a loss or a cut it may
    /// have missed the adverts that followed.
    fn knows_another(&self, backup: usize, dead: usize) -> bool {
        let rank = |n: usize| (self.hosts[n].router.priority(), address(n));
        let follows = |n: usize| {
            let host = &self.hosts[n];
            let known = host.holds.is_some() && host.heard_by[backup];
            known && rank(n) > rank(backup)
        };
        let undisturbed = self.is_whole() && self.guaranteed <= self.now;
        undisturbed && (0..self.hosts.len()).any(|n| n != dead && n != backup && follows(n))
    }

    /// A master answers only so many lower routers at once; its next advert answers the rest.
    fn count_loser(&mut self, n: usize) {
        const ANSWERS: u8 = 3;
        let host = &mut self.hosts[n];
        if host.router.role() == Role::Master {
            host.losers = (ANSWERS + 1).min(host.losers + 1);
            if host.losers > ANSWERS {
                self.disturb();
            }
        }
    }

    fn fire(&mut self, n: usize) -> Checked {
        let at = self.hosts[n].router.deadline().unwrap();
        self.pass(at)?;
        self.event(n, Event::Timer)
    }

    fn kill(&mut self, n: usize) {
        let alone = self.holders().eq([n]) && self.flights.is_empty() && self.is_whole();
        // Before that, there may be another one.
        let steady = Interval::DEFAULT.duration() * 3 / 2;
        let known = self.hosts[n].holds.is_some_and(|since| since + steady <= self.now);
        // A drained backup has no lifeline.
        let backups: Vec<_> = (0..self.hosts.len())
            .filter(|to| !self.hosts[*to].router.is_drained())
            .filter(|to| self.hosts[*to].router.master().is_some_and(|master| master.address == address(n)))
            .collect();
        let mut ready = backups.iter().map(|n| &self.hosts[*n]).filter(|backup| !backup.took_over).peekable();
        let promises = alone && known && ready.peek().is_some();
        let skew = if ready.any(|b| b.router.is_successor(self.now)) { Duration::ZERO } else { FAST_SKEW };
        self.promised = promises.then_some(self.now + FLIGHT + skew + SLACK);
        for to in backups {
            self.send(n, to, Packet::Fin);
        }
        // Its own lifelines are gone, and what it knew.
        self.flights.retain(|f| f.to != n || f.packet != Packet::Fin);
        self.hosts.iter_mut().for_each(|h| h.heard_by[n] = false);
        let host = &mut self.hosts[n];
        let settings = host.router.settings().clone();
        *host = Host {
            router: router(&settings, n),
            holds: None,
            heard_by: [false; 3],
            took_over: false,
            losers: 0,
            ..*host
        };
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        if !self.is_cut(from, to) || packet == Packet::Fin {
            self.flights.push(Flight { from, to, packet, sent: self.now });
            self.flights.sort_by_key(Flight::channel);
        }
    }

    /// Hands an event to a router and performs its actions.
    fn event(&mut self, n: usize, event: Event<'_>) -> Checked {
        let fired = event == Event::Timer;
        for action in self.hosts[n].router.handle(self.now, event) {
            let (now, host) = (self.now, &mut self.hosts[n]);
            match action {
                Action::Acquire | Action::Renew => (host.holds, host.heard_by) = (Some(now), [false; 3]),
                Action::Release => host.holds = None,
                Action::Send(advert) => {
                    for to in (0..self.hosts.len()).filter(|to| *to != n) {
                        self.send(n, to, Packet::Advert(advert.priority));
                    }
                }
                Action::Report(Report::Transition { why, .. }) => self.judge(n, why)?,
                // Questions and answers move nothing.
                Action::Announce | Action::Solicit | Action::Report(_) => {}
            }
        }
        let host = &self.hosts[n];
        if host.holds.is_some() != (host.router.role() == Role::Master) {
            return Err(format!("{n} is {:?} and holds since {:?}", host.router.role(), host.holds));
        }
        if fired && host.router.deadline().is_some_and(|at| at <= self.now) {
            return Err(format!("the timer of {n} spins"));
        }
        self.watch();
        Ok(())
    }

    /// Whether the cause of a transition is right.
    fn judge(&mut self, n: usize, why: Why) -> Checked {
        let rank = |n: usize| (self.hosts[n].router.priority(), address(n));
        if let Why::Outranked(by) = why
            && (by.priority, by.address) <= rank(n)
        {
            return Err(format!("{n} gave way to {by:?}"));
        }
        self.hosts[n].took_over |= matches!(why, Why::Released(_) | Why::Died(_) | Why::Preempt(_));
        Ok(())
    }

    /// Notes who holds the address.
    fn watch(&mut self) {
        let now = self.now;
        let holders = self.holders().count();
        let able = self.hosts.iter().any(|h| is_able(&h.router));
        let since = |mark: Option<Instant>, holds: bool| holds.then(|| mark.unwrap_or(now));
        self.several = since(self.several, holders > 1);
        self.none = since(self.none, holders == 0 && able);
        if holders > 0 {
            self.promised = None;
        }
    }

    /// Lets time pass until `at`, while nothing happens.
    fn pass(&mut self, at: Instant) -> Checked {
        let at = at.max(self.now);
        if self.is_whole() {
            let lasts = |mark: Option<Instant>| {
                mark.map_or(Duration::ZERO, |since| at.since(since.max(self.guaranteed)))
            };
            let flights = u32::try_from(self.hosts.len()).unwrap();
            if lasts(self.several) > FLIGHT * flights + SLACK {
                return Err(format!("{:?} hold the address for long", self.holders().collect::<Vec<_>>()));
            }
            if lasts(self.none) > MASTER_DOWN + FLIGHT + SLACK {
                return Err("no host holds the address for long".into());
            }
            if self.promised.is_some_and(|promised| promised < at) {
                return Err("no backup took over from the dead master".into());
            }
        }
        self.now = at;
        Ok(())
    }

    /// The next step without a disturbance: every packet arrives at once, and every timer fires on time.
    fn calm_step(&mut self) -> Checked {
        if let Some(flight) = self.flights.first() {
            return self.deliver(*flight);
        }
        let timers = (0..self.hosts.len()).filter_map(|n| Some((self.hosts[n].router.deadline()?, n)));
        timers.min().map_or(Ok(()), |(_, n)| self.fire(n))
    }

    /// While no packet is in flight, announcements pass: no order with them matters.
    fn skip_announcements(&mut self) -> Checked {
        while self.flights.is_empty() {
            let timers = (0..self.hosts.len()).filter_map(|n| Some((self.hosts[n].router.deadline()?, n)));
            let Some((at, n)) = timers.min() else { break };
            let mut router = self.hosts[n].router.clone();
            if router.handle(at.max(self.now), Event::Timer) != [Action::Announce] {
                break;
            }
            self.pass(at)?;
            self.hosts[n].router = router;
        }
        Ok(())
    }

    /// Whether there is exactly one master if any router can be, and the best one if all preempt.
    fn is_settled(&self) -> bool {
        if self.hosts.iter().any(|h| h.router.is_draining()) {
            return false;
        }
        let able = self.hosts.iter().filter(|h| is_able(&h.router));
        let best = able.clone().map(|h| h.router.priority()).max();
        let preempt = able.clone().all(|h| h.router.settings().preempt);
        let masters: Vec<_> =
            able.filter(|h| h.router.role() == Role::Master).map(|h| h.router.priority()).collect();
        match (masters[..].as_ref(), best) {
            ([], None) => true,
            ([master], Some(best)) => *master == best || !preempt,
            _ => false,
        }
    }

    /// Runs on without a disturbance until the routers have settled, or to a state from which they do.
    fn settle(mut self, settling: &mut Seen) -> Checked {
        if !self.is_whole() {
            self.take(Step::Heal)?;
        }
        self.budget = NOTHING;
        let start = self.now;
        while settling.insert(fingerprint(&self)) {
            let lasted = self.now.since(start);
            if self.flights.is_empty() && lasted > FLIGHT + FAST_SKEW + SLACK && self.is_settled() {
                return Ok(());
            }
            if lasted > MASTER_DOWN * 3 {
                return Err("the routers do not settle".into());
            }
            self.calm_step()?;
        }
        Ok(())
    }
}

/// Mixes words; collisions are as rare as those of random numbers.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, octet: u8) {
        self.write_u64(octet.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type Seen = HashSet<u64, BuildHasherDefault<Mixer>>;

fn fingerprint(network: &Network) -> u64 {
    let mut mixer = Mixer::default();
    network.hash(&mut mixer);
    mixer.finish()
}

/// The steps to a state, the last one first.
struct Trail(Step, Option<Rc<Trail>>);

fn written(start: &Network, trail: Option<&Rc<Trail>>) -> String {
    let mut steps = vec![];
    let mut trail = trail;
    while let Some(last) = trail {
        steps.push(last.0);
        trail = last.1.as_ref();
    }
    let (mut network, mut text) = (start.clone(), String::new());
    for step in steps.into_iter().rev() {
        let result = network.take(step).and_then(|()| network.skip_announcements());
        let roles: Vec<_> = network.hosts.iter().map(|h| h.router.role().as_str()).collect();
        let _ = writeln!(text, "{:?} {step:?}: {roles:?} {result:?}", network.now);
    }
    text
}

/// Explores everything within `depth` steps of `start`. Returns the number of different states.
fn explore(start: &Network, depth: usize) -> usize {
    let deeper = std::env::var("EXPLORE").map_or(0, |steps| steps.parse().unwrap());
    let (mut seen, mut settling) = (Seen::default(), Seen::default());
    let mut layer = vec![(start.clone(), None)];
    for left in (0..depth + deeper).rev() {
        let mut next = vec![];
        for (network, trail) in layer {
            for step in network.steps() {
                let mut network = network.clone();
                let result = network.take(step).and_then(|()| network.skip_announcements());
                let trail = Some(Rc::new(Trail(step, trail.clone())));
                let new = result.is_err() || seen.insert(fingerprint(&network));
                let result = match result {
                    Ok(()) if new && left == 0 => network.clone().settle(&mut settling),
                    result => result,
                };
                if let Err(wrong) = result {
                    panic!("{wrong}\n{}", written(start, trail.as_ref()));
                }
                if new && left > 0 {
                    next.push((network, trail));
                }
            }
        }
        layer = next;
    }
    seen.len()
}

/// One disturbance of each kind.
const EACH: Budget = Budget { deaths: 1, starts: 1, losses: 1, stops: 1, yields: 1, cuts: 1, ..NOTHING };
/// A crash, a restart, and another crash.
const CRASHES: Budget = Budget { deaths: 2, starts: 1, losses: 1, ..NOTHING };
/// A crash of a router that yields or stops, or of its successor.
const LEAVING: Budget = Budget { deaths: 1, losses: 1, stops: 1, yields: 1, ..NOTHING };
/// A crash and a restart that another host does not see.
const CUTS: Budget = Budget { deaths: 1, starts: 1, cuts: 1, ..NOTHING };
/// One successor or two, named at any time, and a master that dies, yields or stops.
const NAMES: Budget = Budget { deaths: 1, losses: 1, stops: 1, yields: 1, names: 2, ..NOTHING };
const NOTHING: Budget =
    Budget { deaths: 0, starts: 0, losses: 0, stops: 0, yields: 0, drains: 0, names: 0, cuts: 0 };
/// A drain of one router while another one dies or is drained as well.
const DRAINS: Budget = Budget { deaths: 1, losses: 1, drains: 2, ..NOTHING };

/// Explores from a steady start, with preemption and without.
fn explore_all(priorities: &[&[u8]], depths: [(Budget, usize); 6]) {
    for (priorities, preempt) in priorities.iter().flat_map(|p| [(p, true), (p, false)]) {
        for (budget, depth) in depths {
            let states = explore(&Network::steady(priorities, preempt, budget), depth);
            println!("priorities {priorities:?}, {budget:?}, preemption {preempt}: {states} states");
            assert!(states > 1_000, "{states} states are not an exploration");
        }
    }
}

#[test]
fn two_routers_settle_after_every_short_history() {
    let priorities: [&[u8]; 3] = [&[13, 12], &[255, 100], &[100, 100]];
    explore_all(&priorities, [(EACH, 6), (CRASHES, 13), (LEAVING, 8), (CUTS, 12), (DRAINS, 8), (NAMES, 8)]);
}

#[test]
fn three_routers_settle_after_every_short_history() {
    let priorities: [&[u8]; 2] = [&[13, 12, 11], &[200, 100, 100]];
    explore_all(&priorities, [(EACH, 5), (CRASHES, 8), (LEAVING, 6), (CUTS, 8), (DRAINS, 6), (NAMES, 6)]);
}
