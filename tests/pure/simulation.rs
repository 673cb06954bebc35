//! Two to five virtual routers on a simulated wire with delay, loss, cuts and pauses, under random operations. Virtual
//! time only. When a process dies, its kernel closes the lifelines of the backups that follow it: a FIN to each, which may
//! overtake its last adverts. What is checked:
//!
//! * at quiescence there is exactly one master, the best one;
//! * on an uncut wire, two hosts hold the address only while a packet travels there and back, or while both leave and each
//!   waits for a successor; and while any router can work, no host holds it for at most the longest Master_Down_Interval;
//! * after the death of a master, its backup takes over within the fast skew;
//! * the backup that the master has named its successor takes over without one, and no other backup does;
//! * a host that is paused forever loses the address with its lease;
//! * after any cuts, the last announcement that a client heard is the master's;
//! * while nothing happens, nothing moves, for an hour.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use vrrp_init::time::Instant;
use vrrp_init::vrrp::{
    Action, Advert, Cause, Event, Instance, Interval, Lease, Priority, Report, Role, Settings, Vrid,
};

/// The longest one-way time of a packet.
const FLIGHT: Duration = Duration::from_micros(900);
/// The longest fast skew, that of priority 1 rounded up.
const FAST_SKEW: Duration = Duration::from_millis(4);
/// A kernel sends a lost FIN again after this.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// The longest Master_Down_Interval here: three seconds and the skew of priority 1.
const MASTER_DOWN: Duration = Duration::from_millis(3_997);
/// The lease in seconds, which ends on a host that died.
const LEASE: u32 = 4;

struct Host {
    router: Instance,
    address: IpAddr,
    /// Until when the kernel has the address; `None` if it does not.
    holds_until: Option<Instant>,
    /// Hosts of different sides do not hear each other.
    side: u8,
    /// Whether the kernel refuses virtual addresses here.
    refuses: bool,
    /// The process is stopped, and arriving adverts are queued.
    paused: bool,
    queue: VecDeque<(IpAddr, Packet)>,
    /// A master that was told to stop, and waits for a successor.
    stops: bool,
}

impl Host {
    fn holds(&self, now: Instant) -> bool {
        self.holds_until.is_some_and(|until| now < until)
    }

    /// A master that keeps the address only until there is a successor.
    fn leaves(&self) -> bool {
        self.stops || self.router.is_draining()
    }
}

#[derive(Clone)]
enum Packet {
    Advert(Advert),
    /// Who has the address? The kernel answers, whatever its router does.
    Question,
    Answer,
    /// Closes a lifeline: the sender's process has died.
    Fin,
}

/// A packet in flight.
struct Flight {
    due: Instant,
    to: usize,
    from: IpAddr,
    packet: Packet,
}

struct Wire {
    now: Instant,
    hosts: Vec<Host>,
    flying: Vec<Flight>,
    /// The FINs that a cut holds up, from and to. The kernel of the dead process repeats them until they arrive.
    held_up: Vec<(usize, usize)>,
    /// How many of 256 packets are lost.
    loss: u8,
    /// A small generator, so that delays and losses are part of the case and shrink with it.
    dice: u32,
    /// When the guarantees apply again after a disturbance.
    guaranteed_from: Instant,
    /// Since when several hosts or no host hold the address, according to their kernels.
    several: Option<Instant>,
    none: Option<Instant>,
    /// How often a router has changed its role, and when it last did.
    transitions: usize,
    changed: Instant,
    /// The hosts that became master, in that order.
    took_over: Vec<usize>,
    /// The host that announced the address last. Clients hear all hosts, on whatever side.
    announced: Option<usize>,
}

impl Wire {
    fn new(routers: &[(u8, bool)], fast: bool) -> Self {
        let host = |(n, &(priority, preempt)): (usize, &(u8, bool))| {
            let address = IpAddr::from(Ipv4Addr::new(10, 0, 0, u8::try_from(n).unwrap() + 1));
            let mut router = Instance::new(Settings {
                preempt,
                fast,
                lease: Lease::from_seconds(LEASE),
                ..Settings::new(
                    Vrid::new(51).unwrap(),
                    Priority::new(priority).unwrap(),
                    vec!["10.0.0.100".parse().unwrap()],
                )
            });
            assert!(router.handle(Instant::START, Event::Source(Some(address))).is_empty());
            Host {
                router,
                address,
                holds_until: None,
                side: 0,
                refuses: false,
                paused: false,
                queue: VecDeque::new(),
                stops: false,
            }
        };
        let hosts = routers.iter().enumerate().map(host).collect();
        let start = Instant::START;
        Self {
            now: start,
            hosts,
            flying: vec![],
            held_up: vec![],
            loss: 0,
            dice: 1,
            guaranteed_from: start,
            several: None,
            none: None,
            transitions: 0,
            changed: start,
            took_over: vec![],
            announced: None,
        }
    }

    fn roll(&mut self) -> u32 {
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.dice >> 8
    }

    /// Hands one event to a router and performs its answer, as the daemon does.
    fn event(&mut self, n: usize, event: Event<'_>) {
        let fired = event == Event::Timer;
        let before = self.hosts[n].router.role();
        let actions = self.hosts[n].router.handle(self.now, event);
        for action in actions {
            let host = &mut self.hosts[n];
            match action {
                Action::Acquire | Action::Renew if host.refuses => return self.event(n, Event::Refused),
                Action::Acquire | Action::Renew => {
                    host.holds_until = Some(self.now + Duration::from_secs(LEASE.into()));
                }
                Action::Release => host.holds_until = None,
                Action::Send(advert) => self.send_to_all(n, &Packet::Advert(advert)),
                Action::Solicit => self.send_to_all(n, &Packet::Question),
                Action::Announce => {
                    assert!(host.holds_until.is_some(), "announced an address that it does not hold");
                    self.announced = Some(n);
                }
                Action::Report(report) => host.stops |= report == Report::Stopping,
            }
        }
        let host = &mut self.hosts[n];
        host.stops &= host.router.role() == Role::Master;
        let host = &self.hosts[n];
        if host.router.role() != before {
            self.transitions += 1;
            self.changed = self.now;
        }
        let master = host.router.role() == Role::Master;
        self.took_over.extend((master && before != Role::Master).then_some(n));
        assert_eq!(host.holds_until.is_some(), master, "the master, and no other, holds the address");
        // Otherwise the daemon would spin. A rise in priority may leave one in the past, for one Timer.
        let ahead = host.router.deadline().is_none_or(|at| at > self.now);
        assert!(ahead || !fired, "after the timer fired, its deadline is not in the future");
    }

    fn send_to_all(&mut self, n: usize, packet: &Packet) {
        for to in (0..self.hosts.len()).filter(|to| *to != n) {
            self.send(n, to, packet.clone());
        }
    }

    fn send(&mut self, n: usize, to: usize, packet: Packet) {
        let (from, side) = (self.hosts[n].address, self.hosts[n].side);
        let lost = self.roll() % 256 < self.loss.into();
        let due = self.now + FLIGHT * (self.roll() % 1_000) / 1_000;
        // One sender's packets keep their order on a switch. A FIN may be repeated.
        let ordered = |f: &&Flight| (f.from, f.to) == (from, to) && !matches!(f.packet, Packet::Fin);
        let before = self.flying.iter().filter(ordered).map(|f| f.due);
        let due = before.max().map_or(due, |before| before.max(due));
        if self.hosts[to].side == side && !lost {
            self.flying.push(Flight { due, to, from, packet });
        }
    }

    /// The kernel of a host that has the address answers, even if the process is stopped.
    fn answer(&mut self, n: usize, from: IpAddr) {
        let to = self.hosts.iter().position(|host| host.address == from);
        if let Some(to) = to.filter(|_| self.hosts[n].holds(self.now)) {
            self.send(n, to, Packet::Answer);
        }
    }

    fn adverts_from(&self, n: usize) -> impl Iterator<Item = &Flight> {
        let from = self.hosts[n].address;
        self.flying.iter().filter(move |f| f.from == from && matches!(f.packet, Packet::Advert(_)))
    }

    fn follows(&self, backup: usize, master: usize) -> bool {
        let followed = self.hosts[backup].router.master();
        followed.is_some_and(|followed| followed.address == self.hosts[master].address)
    }

    /// The kernel of a dead process closes its lifelines.
    fn close_lifelines(&mut self, dead: usize) {
        for to in 0..self.hosts.len() {
            let connected = self.follows(to, dead) && !self.roll().is_multiple_of(8);
            if !connected {
                continue;
            }
            if self.hosts[to].side == self.hosts[dead].side {
                self.send_fin(dead, to);
            } else {
                self.held_up.push((dead, to));
            }
        }
    }

    fn send_fin(&mut self, dead: usize, to: usize) {
        let lost = self.roll() % 256 < self.loss.into();
        let repeated = if lost { RETRANSMISSION } else { Duration::ZERO };
        let due = self.now + repeated + FLIGHT * (self.roll() % 1_000) / 1_000;
        self.flying.push(Flight { due, to, from: self.hosts[dead].address, packet: Packet::Fin });
    }

    /// The process that the FIN is of may have been started again. Its router then answers whoever takes over; but if it has
    /// just answered others, only by its next advert.
    fn died(&mut self, n: usize, from: IpAddr) {
        if self.now.since(self.changed) < Interval::DEFAULT.duration() {
            self.disturb();
        }
        self.event(n, Event::Died { from });
    }

    fn receive(&mut self, n: usize, from: IpAddr, packet: &Packet) {
        match packet {
            Packet::Advert(advert) => self.event(n, Event::Advert { from, advert }),
            Packet::Fin => self.died(n, from),
            Packet::Question => self.answer(n, from),
            Packet::Answer => self.event(n, Event::Contested),
        }
    }

    /// Runs until `until`, every packet and every deadline at its exact time, watching who holds the address.
    fn run(&mut self, until: Instant) {
        loop {
            self.watch();
            let packet = (0..self.flying.len()).min_by_key(|i| self.flying[*i].due);
            let arrival = packet.map(|i| self.flying[i].due);
            let timers = self.hosts.iter().enumerate().filter(|(_, h)| !h.paused);
            let timer = timers.filter_map(|(n, h)| Some((h.router.deadline()?, n))).min();
            let expiry = self.hosts.iter().filter_map(|h| h.holds_until).filter(|at| *at > self.now).min();
            let next = arrival.into_iter().chain(timer.map(|t| t.0)).chain(expiry).min();
            let Some(next) = next.filter(|at| *at <= until) else { break };
            self.now = next.max(self.now);
            match (packet, timer) {
                (Some(i), _) if arrival == Some(next) => {
                    let Flight { to, from, packet, .. } = self.flying.remove(i);
                    if self.hosts[to].paused && !matches!(packet, Packet::Question) {
                        self.hosts[to].queue.push_back((from, packet));
                    } else {
                        self.receive(to, from, &packet);
                    }
                }
                (_, Some((at, n))) if at == next => self.event(n, Event::Timer),
                // A lease ended: only the watch has to see it.
                _ => {}
            }
        }
        self.now = until;
        self.watch();
    }

    fn wait(&mut self, wait: Duration) {
        self.run(self.now + wait);
    }

    /// Checks the two guarantees of an uncut, lossless wire without pauses or disturbances.
    fn watch(&mut self) {
        let now = self.now;
        let holders = self.hosts.iter().filter(|h| h.holds(now)).count();
        let all_leave = self.hosts.iter().filter(|h| h.holds(now)).all(Host::leaves);
        let able = self.hosts.iter().any(|h| is_able(&h.router));
        let undisturbed = self.loss == 0 && self.hosts.iter().all(|h| h.side == 0 && !h.paused && !h.refuses);
        let since = |mark: &mut Option<Instant>, holds: bool| {
            *mark = if holds { Some(mark.unwrap_or(now)) } else { None };
            mark.map(|since| since.max(self.guaranteed_from))
        };
        let several = since(&mut self.several, holders > 1 && !all_leave);
        let none = since(&mut self.none, holders == 0 && able);
        if !undisturbed {
            return self.disturb();
        }
        // There and back: the new master's advert reaches a router that ranks higher, and its answer ends the overlap.
        assert!(
            several.is_none_or(|at| now.since(at) <= FLIGHT * 2),
            "{holders} hold the address at {now:?}"
        );
        assert!(none.is_none_or(|at| now.since(at) <= MASTER_DOWN), "no host holds the address at {now:?}");
    }

    /// Routers that did not hear each other do so with the next advert.
    fn disturb(&mut self) {
        self.guaranteed_from = self.now + Interval::DEFAULT.duration() + FLIGHT;
    }

    fn masters(&self, side: u8) -> Vec<usize> {
        let on_side = |h: &Host| h.side == side && h.router.role() == Role::Master;
        self.hosts.iter().enumerate().filter(|(_, h)| on_side(h)).map(|(n, _)| n).collect()
    }

    /// Checks that each side with a working router has exactly one master and that, if all routers preempt, no backup
    /// ranks higher.
    fn settled(&self) {
        for side in 0..2 {
            let able = |h: &&Host| h.side == side && is_able(&h.router);
            let able: Vec<_> = self.hosts.iter().filter(able).collect();
            let masters = self.masters(side);
            assert_eq!(masters.len(), usize::from(!able.is_empty()), "masters on side {side}: {masters:?}");
            if able.iter().all(|h| h.router.settings().preempt) {
                // With equal priorities the current master stays, unless two collide.
                let best = able.iter().map(|h| h.router.priority()).max();
                assert_eq!(masters.first().map(|n| self.hosts[*n].router.priority()), best);
            }
        }
    }
}

/// Whether it is master or may become it.
fn is_able(router: &Instance) -> bool {
    match router.role() {
        Role::Master => true,
        Role::Backup => !router.is_drained(),
        Role::Init | Role::Fault => false,
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Wait(u16),
    Cut(u8),
    Heal,
    Loss(u8),
    Pause(usize),
    Resume(usize),
    Priority(usize, u8),
    Fault(usize),
    Clear(usize),
    Stop(usize),
    Start(usize),
    Die(usize),
    Kill(usize),
    FalseDeath(usize),
    /// Its master names it the successor: truly, with a stale or a false priority, or no longer.
    Name(usize, u8),
    LoseAddress(usize),
    Refuse(usize, bool),
    Drain(usize, bool),
    Undrain(usize),
}

impl Operation {
    /// The host it is done to, where there is one.
    fn host(&self) -> usize {
        use Operation::{Clear, Cut, Die, Drain, FalseDeath, Fault, Heal, Kill, LoseAddress, Loss, Pause};
        use Operation::{Name, Priority, Refuse, Resume, Start, Stop, Undrain, Wait};
        match *self {
            Pause(n)
            | Resume(n)
            | Priority(n, _)
            | Fault(n)
            | Clear(n)
            | Stop(n)
            | Start(n)
            | Die(n)
            | Kill(n)
            | FalseDeath(n)
            | Name(n, _)
            | LoseAddress(n)
            | Drain(n, _)
            | Undrain(n)
            | Refuse(n, _) => n,
            Wait(_) | Cut(_) | Heal | Loss(_) => 0,
        }
    }

    /// Whether adverts go unheard by it.
    fn cuts(&self) -> bool {
        use Operation::{Cut, Heal, Loss, Pause, Refuse, Resume};
        matches!(self, Cut(_) | Heal | Loss(_) | Pause(_) | Resume(_) | Refuse(..))
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let host = 0..5usize;
    prop_oneof![
        6 => (0..6_000u16).prop_map(Operation::Wait),
        2 => (0..6u16).prop_map(Operation::Wait),
        1 => any::<u8>().prop_map(Operation::Cut),
        2 => Just(Operation::Heal),
        1 => prop_oneof![Just(0), any::<u8>()].prop_map(Operation::Loss),
        1 => host.clone().prop_map(Operation::Pause),
        2 => host.clone().prop_map(Operation::Resume),
        4 => (host.clone(), 1..255u8).prop_map(|(n, p)| Operation::Priority(n, p)),
        1 => host.clone().prop_map(Operation::Fault),
        2 => host.clone().prop_map(Operation::Clear),
        1 => host.clone().prop_map(Operation::Stop),
        2 => host.clone().prop_map(Operation::Start),
        1 => host.clone().prop_map(Operation::Die),
        2 => host.clone().prop_map(Operation::Kill),
        1 => host.clone().prop_map(Operation::FalseDeath),
        3 => (host.clone(), any::<u8>()).prop_map(|(n, p)| Operation::Name(n, p)),
        1 => host.clone().prop_map(Operation::LoseAddress),
        1 => (host.clone(), any::<bool>()).prop_map(|(n, r)| Operation::Refuse(n, r)),
        1 => (host.clone(), any::<bool>()).prop_map(|(n, force)| Operation::Drain(n, force)),
        1 => host.prop_map(Operation::Undrain),
    ]
}

fn perform(wire: &mut Wire, operation: &Operation) {
    let hosts = wire.hosts.len();
    let n = operation.host() % hosts;
    if let Operation::Wait(ms) = *operation {
        return wire.wait(Duration::from_millis(ms.into()));
    }
    if operation.cuts() {
        wire.disturb();
    } else {
        wire.guaranteed_from = wire.guaranteed_from.max(wire.now);
    }
    let awake = !wire.hosts[n].paused;
    match *operation {
        Operation::Cut(sides) => {
            for (n, host) in wire.hosts.iter_mut().enumerate() {
                host.side = sides >> n & 1;
            }
            wire.flying.clear();
        }
        Operation::Heal => heal(wire),
        Operation::Loss(loss) => wire.loss = loss,
        Operation::Pause(_) => wire.hosts[n].paused = true,
        Operation::Resume(_) => resume(wire, n),
        Operation::Refuse(_, refuses) => wire.hosts[n].refuses = refuses,
        _ if !awake => {}
        // Weights do not change an owner's priority.
        Operation::Priority(..) if wire.hosts[n].router.settings().priority == Priority::OWNER => {}
        Operation::Priority(_, p) => wire.event(n, Event::Priority(Priority::new(p).unwrap())),
        Operation::Fault(_) => wire.event(n, Event::Fault(Cause::Interface)),
        Operation::Clear(_) => wire.event(n, Event::Clear(Cause::Interface)),
        Operation::Drain(_, force) => wire.event(n, Event::Drain { force }),
        Operation::Undrain(_) => wire.event(n, Event::Undrain),
        Operation::Stop(_) => wire.event(n, Event::Shutdown),
        Operation::Start(_) => wire.event(n, Event::Startup),
        Operation::Kill(_) => kill(wire, n),
        Operation::Die(_) => {
            kill(wire, n);
            wire.event(n, Event::Startup);
        }
        Operation::FalseDeath(_) => {
            if let Some(master) = wire.hosts[n].router.master() {
                wire.died(n, master.address);
            }
        }
        Operation::Name(_, p) => {
            let router = &wire.hosts[n].router;
            let named = if p < 128 { Some(router.priority()) } else { Priority::new(p - 128) };
            if let Some(master) = router.master() {
                wire.event(n, Event::Successor { from: master.address, named });
            }
        }
        Operation::LoseAddress(_) => wire.event(n, Event::AddressLost),
        Operation::Wait(_) => unreachable!("waited above"),
    }
}

fn heal(wire: &mut Wire) {
    wire.hosts.iter_mut().for_each(|h| h.side = 0);
    for (dead, to) in std::mem::take(&mut wire.held_up) {
        wire.send_fin(dead, to);
    }
}

/// First the queued adverts, then the FINs and answers, then the timer, as in the daemon.
fn resume(wire: &mut Wire, n: usize) {
    wire.hosts[n].paused = false;
    let (adverts, others): (Vec<_>, Vec<_>) =
        wire.hosts[n].queue.drain(..).partition(|(_, packet)| matches!(packet, Packet::Advert(_)));
    for (from, packet) in adverts.into_iter().chain(others) {
        wire.receive(n, from, &packet);
    }
}

/// The process is killed, and its kernel closes its lifelines. The dead host no longer answers for the address, which stays
/// until the lease ends, or a successor sweeps it at its start.
fn kill(wire: &mut Wire, n: usize) {
    wire.close_lifelines(n);
    let host = &mut wire.hosts[n];
    let (settings, address) = (host.router.settings().clone(), host.address);
    host.router = Instance::new(settings);
    host.holds_until = None;
    wire.event(n, Event::Source(Some(address)));
}

/// So many cases; one that fails is kept beside this file.
fn config(cases: u32) -> ProptestConfig {
    let regressions = FileFailurePersistence::Direct("tests/pure/simulation.regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(regressions)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn at_quiescence_there_is_one_master_the_best_and_on_the_way_never_two_or_none_for_long(
        // 255 twice is a configuration error; there may be one owner.
        routers in prop::collection::vec((1..255u8, prop::bool::weighted(0.8)), 2..=5),
        owner: bool,
        fast: bool,
        dice: u32,
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let mut routers = routers;
        if owner {
            routers[0].0 = 255;
        }
        let mut wire = Wire::new(&routers, fast);
        wire.dice = dice;
        for n in 0..routers.len() {
            wire.event(n, Event::Startup);
        }
        for operation in &operations {
            perform(&mut wire, operation);
        }
        perform(&mut wire, &Operation::Loss(0));
        for n in 0..routers.len() {
            perform(&mut wire, &Operation::Refuse(n, false));
            perform(&mut wire, &Operation::Resume(n));
        }
        wire.wait(Duration::from_mins(1));
        wire.settled();
        perform(&mut wire, &Operation::Heal);
        wire.wait(Duration::from_mins(1));
        wire.settled();
    }
}

/// Cuts the hosts off from each other for a while, or until they have settled, and joins them again.
fn cuts() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    prop::collection::vec((any::<u8>(), 0..12_000u16, 5..12_000u16), 1..12)
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn after_any_cuts_the_last_announcement_is_the_master_s(
        priorities in prop::collection::vec(1..255u8, 2..=4),
        fast: bool,
        dice: u32,
        cuts in cuts(),
    ) {
        let routers: Vec<_> = priorities.into_iter().map(|priority| (priority, true)).collect();
        let mut wire = Wire::new(&routers, fast);
        wire.dice = dice;
        for n in 0..routers.len() {
            wire.event(n, Event::Startup);
        }
        wire.wait(Duration::from_secs(5));
        for (sides, cut, joined) in cuts {
            // No cut loses the one advert by which the winner learns of a loser.
            while !wire.flying.is_empty() {
                wire.wait(FLIGHT);
            }
            perform(&mut wire, &Operation::Cut(sides));
            wire.wait(Duration::from_millis(cut.into()));
            perform(&mut wire, &Operation::Heal);
            wire.wait(Duration::from_millis(joined.into()));
        }
        // The losing router advertises until it hears the winner.
        wire.wait(Duration::from_secs(1) + FLIGHT * 2);
        let masters = wire.masters(0);
        prop_assert_eq!(masters.len(), 1);
        wire.wait(Duration::from_secs(1));
        prop_assert_eq!(wire.announced, masters.first().copied());
        wire.wait(Duration::from_secs(20));
        prop_assert_eq!(wire.announced, masters.first().copied());
    }
}

#[test]
fn forged_adverts_and_deaths_do_not_move_the_address_faster_than_by_the_times_of_the_rfc() {
    let forger = "10.0.0.9".parse().unwrap();
    let moves = |fast, deaths| {
        let mut wire = Wire::new(&[(200, true), (100, true)], fast);
        (0..2).for_each(|n| wire.event(n, Event::Startup));
        wire.wait(Duration::from_secs(10));
        let before = wire.transitions;
        let claim = wire.hosts[0].router.settings().advert(Priority::new(254).unwrap());
        let release = Advert { priority: Priority::RELEASE, ..claim.clone() };
        for n in 0..1_200 {
            let event = match (n % 2, deaths) {
                (0, _) => Event::Advert { from: forger, advert: &claim },
                (_, false) => Event::Advert { from: forger, advert: &release },
                (_, true) => Event::Died { from: forger },
            };
            wire.guaranteed_from = wire.now + Duration::from_mins(1);
            (0..2).for_each(|host| wire.event(host, event));
            wire.wait(Duration::from_micros(3_333));
        }
        wire.wait(Duration::from_secs(10));
        wire.settled();
        wire.transitions - before
    };
    let rfc = moves(false, false);
    for deaths in [false, true] {
        let fast = moves(true, deaths);
        assert!(fast <= rfc + 4, "{fast} transitions, and {rfc} by the times of the RFC");
    }
}

#[test]
fn the_better_of_two_is_master_and_the_other_takes_over_in_its_master_down_interval() {
    let mut wire = Wire::new(&[(13, true), (12, true)], false);
    (0..2).for_each(|n| wire.event(n, Event::Startup));
    wire.wait(Duration::from_secs(10));
    assert_eq!(wire.masters(0), [0]);
    // The cable of the master is pulled: the last advert left at 9.949 s, priority 12 waits 3.953 s.
    wire.hosts[0].side = 1;
    wire.run(Instant::from_millis(13_800));
    assert_eq!(wire.masters(0), [0usize; 0]);
    wire.run(Instant::from_millis(13_910));
    assert_eq!(wire.masters(0), [1]);
    wire.hosts[0].side = 0;
    wire.wait(Duration::from_secs(2));
    assert_eq!(wire.masters(0), [0]);
}

/// For an hour: no router changes its role, and `master` alone holds the address all the time.
fn stays_with(wire: &mut Wire, master: usize) {
    let before = wire.transitions;
    for _ in 0..3_600 {
        wire.wait(Duration::from_secs(1));
        assert!(wire.several.is_none() && wire.none.is_none(), "not one holder at {:?}", wire.now);
    }
    assert_eq!((wire.masters(0), wire.transitions), (vec![master], before));
}

#[test]
fn in_a_quiet_hour_nothing_moves() {
    for fast in [true, false] {
        let mut wire = Wire::new(&[(200, true), (100, true), (50, true)], fast);
        (0..3).for_each(|n| wire.event(n, Event::Startup));
        wire.wait(Duration::from_secs(10));
        stays_with(&mut wire, 0);
        // After the master has stopped, nothing moves back by itself.
        wire.event(0, Event::Shutdown);
        wire.wait(Duration::from_secs(10));
        stays_with(&mut wire, 1);
    }
}

#[test]
fn without_preemption_a_better_router_leaves_a_lower_master_alone_for_an_hour() {
    for fast in [true, false] {
        let mut wire = Wire::new(&[(200, false), (100, true)], fast);
        wire.event(1, Event::Startup);
        wire.wait(Duration::from_secs(10));
        wire.event(0, Event::Startup);
        stays_with(&mut wire, 1);
        // Until it falls silent.
        wire.hosts[1].side = 1;
        wire.wait(Duration::from_secs(4));
        assert_eq!(wire.masters(0), [0]);
    }
}

#[test]
fn when_several_take_over_together_the_highest_address_stays() {
    let mut wire = Wire::new(&[(100, true), (100, true), (100, true)], false);
    (0..3).for_each(|n| wire.event(n, Event::Startup));
    wire.wait(Duration::from_millis(3_612));
    assert_eq!(wire.masters(0), [2]);
}

#[test]
fn a_paused_master_loses_the_address_with_its_lease_and_yields_when_it_wakes() {
    let mut wire = Wire::new(&[(13, true), (12, true)], true);
    (0..2).for_each(|n| wire.event(n, Event::Startup));
    wire.wait(Duration::from_secs(10));
    perform(&mut wire, &Operation::Pause(0));
    wire.wait(Duration::from_secs(5));
    assert_eq!(wire.masters(0), [0, 1], "the paused one does not know");
    let held = wire.hosts[0].holds_until.unwrap();
    assert!(held < wire.now, "but the kernel took its address");
    wire.wait(Duration::from_secs(5));
    perform(&mut wire, &Operation::Resume(0));
    assert_eq!(wire.masters(0), [1]);
    wire.wait(Duration::from_secs(10));
    assert_eq!(wire.masters(0), [0]);
}

#[test]
fn a_fast_backup_takes_over_within_milliseconds_of_a_yield_a_release_and_a_fall() {
    let yields: [fn(&mut Wire); 3] = [
        |wire| wire.event(0, Event::Priority(Priority::new(11).unwrap())),
        |wire| wire.event(0, Event::Fault(Cause::Service)),
        |wire| wire.event(0, Event::Shutdown),
    ];
    for gives_way in yields {
        let mut wire = Wire::new(&[(13, true), (12, true)], true);
        (0..2).for_each(|n| wire.event(n, Event::Startup));
        wire.wait(Duration::from_secs(10));
        assert_eq!(wire.masters(0), [0]);
        gives_way(&mut wire);
        wire.wait(Duration::from_millis(4) + FLIGHT * 2);
        assert_eq!(wire.masters(0), [1]);
    }
}

/// What a master does shortly before its process dies.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Yields(u8),
    Stops,
    /// The best router comes back and takes over.
    IsOutranked,
}

fn before_death() -> impl Strategy<Value = Before> {
    prop_oneof![
        Just(Before::Nothing),
        (1..255u8).prop_map(Before::Yields),
        Just(Before::Stops),
        Just(Before::IsOutranked),
    ]
}

impl Wire {
    /// Kills a host. Returns when another one must hold the address, at the latest. `transitions`: how many there had been
    /// when the takeover budgets were full.
    fn kill_and_time(&mut self, n: usize, transitions: usize) -> Instant {
        // An advert that its FIN overtakes restores the full timer.
        let overtakes = self.adverts_from(n).next().is_some();
        let (packets, moved) = (self.flying.len(), self.transitions > transitions);
        kill(self, n);
        let fast = self.flying.len() > packets && !overtakes && !moved;
        self.now + FLIGHT + if fast { FAST_SKEW } else { MASTER_DOWN }
    }

    fn is_held(&self) -> bool {
        self.hosts.iter().any(|h| h.holds(self.now))
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn after_a_death_a_backup_takes_over_within_the_fast_skew(
        priorities in prop::collection::vec((1..255u8, prop::bool::weighted(0.8)), 2..=3),
        dice: u32,
        phase in 0..1_000_000u64,
        before in before_death(),
        lead in 0..9_000u64,
    ) {
        let mut wire = Wire::new(&priorities, true);
        wire.dice = dice;
        let best = (0..priorities.len()).max_by_key(|n| (priorities[*n].0, *n)).unwrap();
        let late = matches!(before, Before::IsOutranked);
        for n in (0..priorities.len()).filter(|n| *n != best || !late) {
            wire.event(n, Event::Startup);
        }
        wire.wait(Duration::from_secs(10) + Duration::from_micros(phase));
        let (master, transitions) = (wire.masters(0)[0], wire.transitions);
        match before {
            Before::Nothing => {}
            Before::Yields(priority) => {
                wire.event(master, Event::Priority(Priority::new(priority).unwrap()));
            }
            Before::Stops => wire.event(master, Event::Shutdown),
            Before::IsOutranked => {
                wire.event(best, Event::Startup);
                let router = &wire.hosts[best].router;
                let takeover = router.settings().master_down(router.priority(), Interval::DEFAULT);
                wire.wait(takeover.saturating_sub(FAST_SKEW));
            }
        }
        wire.wait(Duration::from_micros(lead));
        let due = wire.kill_and_time(master, transitions);
        wire.run(due);
        prop_assert!(wire.is_held(), "no host holds the address at {due:?}");
        wire.wait(Duration::from_secs(10));
        wire.settled();
        // The master is started again and returns; the budget of its backups is back, and it dies once more.
        wire.event(master, Event::Startup);
        wire.wait(Duration::from_secs(10));
        let (master, transitions) = (wire.masters(0)[0], wire.transitions);
        let due = wire.kill_and_time(master, transitions);
        wire.run(due);
        prop_assert!(wire.is_held(), "no host holds the address at {due:?}, after the second death");
        wire.wait(Duration::from_secs(10));
        wire.settled();
    }
}

impl Wire {
    /// The master names the best of its backups.
    fn name_successor(&mut self, master: usize) -> Option<usize> {
        let backups = (0..self.hosts.len()).filter(|n| self.follows(*n, master));
        let best = backups.max_by_key(|n| (self.hosts[*n].router.priority(), *n))?;
        let (from, priority) = (self.hosts[master].address, self.hosts[best].router.priority());
        self.event(best, Event::Successor { from, named: Some(priority) });
        Some(best)
    }
}

proptest! {
    #![proptest_config(config(500))]

    /// With these priorities, every other backup waits longer than two packets fly.
    #[test]
    fn the_successor_takes_over_without_a_skew_and_no_other_backup_does(
        priorities in prop::collection::vec(2..120u8, 3..=5),
        dice: u32,
        phase in 0..1_000_000u64,
        way in 0..3u8,
    ) {
        let routers: Vec<_> = priorities.iter().map(|priority| (*priority, true)).collect();
        let mut wire = Wire::new(&routers, true);
        wire.dice = dice;
        (0..routers.len()).for_each(|n| wire.event(n, Event::Startup));
        wire.wait(Duration::from_secs(10) + Duration::from_micros(phase));
        let master = wire.masters(0)[0];
        // An advert in flight that the successor's overtakes would make the others follow the dead master again.
        prop_assume!(wire.adverts_from(master).next().is_none());
        let successor = wire.name_successor(master).unwrap();
        let before = wire.took_over.len();
        match way {
            0 => wire.event(master, Event::Priority(Priority::new(1).unwrap())),
            1 => wire.event(master, Event::Fault(Cause::Service)),
            _ => {
                let packets = wire.flying.len();
                kill(&mut wire, master);
                // Those without a lifeline wait for silence.
                let to = |f: &Flight| f.to == successor;
                prop_assume!(wire.flying[packets..].iter().any(to));
            }
        }
        wire.wait(FLIGHT);
        prop_assert!(wire.masters(0).contains(&successor), "{:?} instead of {successor}", wire.masters(0));
        wire.wait(Duration::from_secs(20));
        prop_assert_eq!(&wire.took_over[before..], [successor]);
        wire.settled();
    }
}

/// A master that lies, or two that are cut off from each other, may have named several.
#[test]
fn of_several_that_are_named_the_best_is_master_after_one_flight() {
    let mut wire = Wire::new(&[(200, true), (100, true), (50, true), (10, true)], true);
    (0..4).for_each(|n| wire.event(n, Event::Startup));
    wire.wait(Duration::from_secs(10));
    let from = wire.hosts[0].address;
    for n in 1..4 {
        let named = Some(wire.hosts[n].router.priority());
        wire.event(n, Event::Successor { from, named });
    }
    wire.event(0, Event::Fault(Cause::Service));
    wire.wait(FLIGHT * 2);
    assert_eq!(wire.masters(0), [1]);
    wire.wait(Duration::from_secs(20));
    assert_eq!(wire.masters(0), [1]);
}
