//! Two to five virtual routers on a simulated wire that can be cut and healed, under random operations: at
//! quiescence there is exactly one master, the best one. Virtual time only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use vrrp_init::vrrp::{
    Action, Advert, Cause, Event, Instance, Instant, Interval, Priority, Role, Settings, Version, Vrid,
};

/// One-way time of a packet.
const FLIGHT: Duration = Duration::from_micros(200);

struct Host {
    router: Instance,
    address: IpAddr,
    /// What [`Action::Acquire`] and [`Action::Release`] left.
    holds: bool,
    /// Hosts of different sides do not hear each other.
    side: u8,
    /// Whether the kernel refuses virtual addresses here.
    refuses: bool,
}

struct Wire {
    now: Instant,
    hosts: Vec<Host>,
    /// Adverts in flight: due, receiver, sender, advert.
    flying: Vec<(Instant, usize, IpAddr, Advert)>,
}

impl Wire {
    fn new(priorities: &[(u8, bool)]) -> Self {
        let host = |(n, &(priority, preempt)): (usize, &(u8, bool))| {
            let address = IpAddr::from(Ipv4Addr::new(10, 0, 0, u8::try_from(n).unwrap() + 1));
            let mut router = Instance::new(Settings {
                vrid: Vrid::new(51).unwrap(),
                version: Version::V2,
                priority: Priority::new(priority).unwrap(),
                interval: Interval::DEFAULT,
                preempt,
                addresses: vec!["10.0.0.100".parse().unwrap()],
                fast: false,
                lease: None,
            });
            assert!(router.handle(Instant::START, Event::Source(Some(address))).is_empty());
            Host { router, address, holds: false, side: 0, refuses: false }
        };
        let hosts = priorities.iter().enumerate().map(host).collect();
        Self { now: Instant::START, hosts, flying: vec![] }
    }

    /// Hands one event to a router and performs its answer, as the daemon does.
    fn event(&mut self, n: usize, event: Event<'_>) {
        let fired = event == Event::Timer;
        let actions = self.hosts[n].router.handle(self.now, event);
        for action in actions {
            let host = &mut self.hosts[n];
            match action {
                Action::Acquire if host.refuses => return self.event(n, Event::Refused),
                Action::Acquire | Action::Renew => host.holds = true,
                Action::Release => host.holds = false,
                Action::Send(advert) => {
                    let (from, side, due) = (host.address, host.side, self.now + FLIGHT);
                    for (to, other) in self.hosts.iter().enumerate().filter(|(to, _)| *to != n) {
                        if other.side == side {
                            self.flying.push((due, to, from, advert.clone()));
                        }
                    }
                }
                Action::Announce => assert!(host.holds, "announced what it does not hold"),
                Action::Report(_) => {}
            }
        }
        let host = &self.hosts[n];
        assert_eq!(host.holds, host.router.role() == Role::Master, "a master holds the address, nobody else");
        // Otherwise the daemon would spin. A rise in priority may leave one in the past, for one Timer.
        let ahead = host.router.deadline().is_none_or(|at| at > self.now);
        assert!(ahead || !fired, "after the timer fired, its deadline is not in the future");
    }

    /// Runs until `until`, every packet and every deadline at its exact time.
    fn run(&mut self, until: Instant) {
        loop {
            let packet = (0..self.flying.len()).min_by_key(|i| self.flying[*i].0);
            let arrival = packet.map(|i| self.flying[i].0);
            let timer =
                self.hosts.iter().enumerate().filter_map(|(n, h)| Some((h.router.deadline()?, n))).min();
            let next = arrival.into_iter().chain(timer.map(|t| t.0)).min();
            let Some(next) = next.filter(|at| *at <= until) else { break };
            self.now = next.max(self.now);
            match (packet, timer) {
                (Some(i), _) if arrival == Some(next) => {
                    let (_, to, from, advert) = self.flying.remove(i);
                    self.event(to, Event::Advert { from, advert: &advert });
                }
                (_, Some((_, n))) => self.event(n, Event::Timer),
                (_, None) => break,
            }
        }
        self.now = until;
    }

    fn wait(&mut self, wait: Duration) {
        self.run(self.now + wait);
    }

    fn masters(&self, side: u8) -> Vec<usize> {
        let on_side = |h: &Host| h.side == side && h.router.role() == Role::Master;
        self.hosts.iter().enumerate().filter(|(_, h)| on_side(h)).map(|(n, _)| n).collect()
    }

    /// Each side that has a router which can work has exactly one master, and with preemption
    /// everywhere no better router stands beside it.
    fn settled(&self) {
        for side in 0..2 {
            let able = |h: &&Host| h.side == side && matches!(h.router.role(), Role::Backup | Role::Master);
            let able: Vec<_> = self.hosts.iter().filter(able).collect();
            let masters = self.masters(side);
            assert_eq!(masters.len(), usize::from(!able.is_empty()), "masters on side {side}: {masters:?}");
            if able.iter().all(|h| h.router.settings().preempt) {
                // Equal priorities: whoever is there stays, unless two collide.
                let best = able.iter().map(|h| h.router.priority()).max();
                assert_eq!(masters.first().map(|n| self.hosts[*n].router.priority()), best);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Wait(u16),
    Cut(u8),
    Heal,
    Priority(usize, u8),
    Fault(usize),
    Clear(usize),
    Restart(usize),
    LoseAddress(usize),
    Refuse(usize, bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    let host = 0..5usize;
    prop_oneof![
        4 => (0..6_000u16).prop_map(Operation::Wait),
        2 => any::<u8>().prop_map(Operation::Cut),
        2 => Just(Operation::Heal),
        3 => (host.clone(), 1..255u8).prop_map(|(n, p)| Operation::Priority(n, p)),
        1 => host.clone().prop_map(Operation::Fault),
        2 => host.clone().prop_map(Operation::Clear),
        1 => host.clone().prop_map(Operation::Restart),
        1 => host.clone().prop_map(Operation::LoseAddress),
        1 => (host, any::<bool>()).prop_map(|(n, r)| Operation::Refuse(n, r)),
    ]
}

fn perform(wire: &mut Wire, operation: &Operation) {
    let n_hosts = wire.hosts.len();
    match *operation {
        Operation::Wait(ms) => wire.wait(Duration::from_millis(ms.into())),
        Operation::Cut(sides) => {
            for (n, host) in wire.hosts.iter_mut().enumerate() {
                host.side = sides >> n & 1;
            }
            wire.flying.clear();
        }
        Operation::Heal => wire.hosts.iter_mut().for_each(|h| h.side = 0),
        Operation::Priority(n, p) => {
            let n = n % n_hosts;
            // An owner's priority is never weighted.
            if wire.hosts[n].router.settings().priority != Priority::OWNER {
                wire.event(n, Event::Priority(Priority::new(p).unwrap()));
            }
        }
        Operation::Fault(n) => wire.event(n % n_hosts, Event::Fault(Cause::Interface)),
        Operation::Clear(n) => wire.event(n % n_hosts, Event::Clear(Cause::Interface)),
        Operation::Restart(n) => {
            let n = n % n_hosts;
            wire.event(n, Event::Shutdown);
            wire.event(n, Event::Startup);
        }
        Operation::LoseAddress(n) => wire.event(n % n_hosts, Event::AddressLost),
        Operation::Refuse(n, refuses) => wire.hosts[n % n_hosts].refuses = refuses,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/simulation.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn at_quiescence_there_is_one_master_the_best(
        // 255 twice is a configuration error; one owner may be there.
        routers in prop::collection::vec((1..255u8, prop::bool::weighted(0.8)), 2..=5),
        owner: bool,
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let mut routers = routers;
        if owner {
            routers[0].0 = 255;
        }
        let mut wire = Wire::new(&routers);
        for n in 0..routers.len() {
            wire.event(n, Event::Startup);
        }
        for operation in &operations {
            perform(&mut wire, operation);
        }
        for host in &mut wire.hosts {
            host.refuses = false;
        }
        wire.wait(Duration::from_mins(1));
        wire.settled();
        perform(&mut wire, &Operation::Heal);
        wire.wait(Duration::from_mins(1));
        wire.settled();
    }
}

#[test]
fn the_better_of_two_is_master_and_the_other_takes_over_in_its_master_down_interval() {
    let mut wire = Wire::new(&[(13, true), (12, true)]);
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

#[test]
fn of_two_that_take_over_together_the_higher_address_stays() {
    let mut wire = Wire::new(&[(100, true), (100, true), (100, true)]);
    (0..3).for_each(|n| wire.event(n, Event::Startup));
    wire.wait(Duration::from_millis(3_610));
    assert_eq!(wire.masters(0), [2]);
}
