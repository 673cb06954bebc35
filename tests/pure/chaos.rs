//! The schedule and the judge of `tests/netns/chaos`, which need no host: the schedule is a function of the seed, and the
//! judge finds what must not happen.

#[expect(dead_code, reason = "the hosts use the rest")]
#[path = "../netns/chaos/faults.rs"]
mod faults;
#[expect(dead_code, reason = "the report uses the rest")]
#[path = "../netns/chaos/judge.rs"]
mod judge;
#[path = "../netns/chaos/schedule.rs"]
mod schedule;

use std::collections::BTreeSet;
use std::time::Duration;

use faults::{Act, CONFIGURATIONS, Configuration, HostState, Program, Trouble, World};
use judge::{Poll, Record, Verdict};
use schedule::{Plan, Step};

const MINUTE: Duration = Duration::from_mins(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn acts(plan: &Plan) -> impl Iterator<Item = (Duration, Act)> {
    plan.steps.iter().filter_map(|(at, step)| match step {
        Step::Act(act) => Some((*at, *act)),
        Step::Check => None,
    })
}

#[test]
fn a_seed_always_gives_the_same_sequence() {
    for seed in 0..50 {
        assert_eq!(Plan::new(seed, MINUTE).steps, Plan::new(seed, MINUTE).steps);
        assert_ne!(Plan::new(seed, MINUTE).steps, Plan::new(seed + 50, MINUTE).steps);
    }
    // A change here makes old seeds worthless.
    let act = |at, act| (ms(at), Step::Act(act));
    let first = [
        act(0, Act::Start(0)),
        act(0, Act::Start(1)),
        (ms(6_500), Step::Check),
        act(7_300, Act::KillService(0)),
        act(8_722, Act::StartService(0)),
        (ms(15_222), Step::Check),
    ];
    assert_eq!(Plan::new(6, MINUTE).steps[..6], first);
}

#[test]
fn a_shorter_sequence_is_the_beginning_of_a_longer_one() {
    for seed in 0..50 {
        let (short, long) = (Plan::new(seed, MINUTE / 3).steps, Plan::new(seed, MINUTE).steps);
        // The short one may end with a check of its own.
        let common = short.len() - 1;
        assert_eq!(short[..common], long[..common], "seed {seed}");
    }
}

#[test]
fn consecutive_seeds_take_all_configurations_and_all_events() {
    let plans: Vec<Plan> = (0..60).map(|seed| Plan::new(seed, MINUTE)).collect();
    let names: BTreeSet<&str> = plans.iter().map(|plan| plan.configuration.name).collect();
    assert_eq!(names.len(), CONFIGURATIONS.len());
    let kinds: BTreeSet<String> = plans
        .iter()
        .flat_map(acts)
        .map(|(_, act)| format!("{act:?}").split('(').next().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.len(), 30, "{kinds:?}");
}

/// The end of each fault is in the sequence, every check comes after quiet, and events befall what is there.
#[test]
fn every_fault_ends_and_every_check_comes_after_quiet() {
    for seed in 0..600 {
        let plan = Plan::new(seed, MINUTE);
        let mut world = World::new(plan.configuration);
        for (at, step) in &plan.steps {
            match *step {
                Step::Act(act) => {
                    if let Act::Pause(h) | Act::Kill(h) | Act::Stop(h) | Act::KillService(h) = act {
                        assert!(world.hosts[h].runs(), "seed {seed}: {at:?} {act:?}");
                    }
                    if let Act::DeleteOwnAddress(h)
                    | Act::ChangePrefix(h)
                    | Act::ShortenVip(h)
                    | Act::Drain(h)
                    | Act::LowerPriority(h) = act
                    {
                        assert_ne!(plan.configuration.programs[h], Program::Keepalived);
                    }
                    world.apply(*at, act);
                }
                Step::Check => {
                    assert!(world.is_whole(), "seed {seed}: {at:?}");
                    assert!(*at >= world.changed + plan.configuration.settle());
                    assert!(world.best().is_some(), "seed {seed}: {at:?}");
                }
            }
        }
        assert_eq!(plan.steps.last().unwrap().1, Step::Check);
        assert_eq!(world.best(), Some(0), "seed {seed}: all is well at the end");
        let troubles = [Trouble::NoService, Trouble::ForeignVip, Trouble::Drained, Trouble::Lowered];
        let well = |host: &HostState| troubles.iter().all(|trouble| !host.has(*trouble));
        assert!(world.hosts.iter().all(well), "seed {seed}");
    }
}

/// Two hosts at one advert a second, the first one master, and a check 40 s after the start.
struct Quiet(Record);

const TWO: Configuration = CONFIGURATIONS[0];

impl Quiet {
    fn new() -> Self {
        let acts = vec![(ms(0), Act::Start(0)), (ms(0), Act::Start(1))];
        let holders = vec![vec![(ms(0), vec![false, false]), (ms(3_600), vec![true, false])]];
        let record =
            Record { acts, checks: vec![ms(40_000)], holders, ended: ms(42_000), ..Record::default() };
        Self(record)
    }

    fn acts(mut self, acts: &[(u64, Act)]) -> Self {
        self.0.acts.extend(acts.iter().map(|(at, act)| (ms(*at), *act)));
        self
    }

    fn holders(mut self, holders: &[(u64, [bool; 2])]) -> Self {
        self.0.holders[0].extend(holders.iter().map(|(at, holders)| (ms(*at), holders.to_vec())));
        self
    }

    fn poll(mut self, asked: u64, answer: Option<usize>) -> Self {
        let (asked, ended) = (ms(asked), ms(asked + 20));
        self.0.polls.push(Poll { client: "fresh", address: 0, asked, ended, answer, error: String::new() });
        self
    }

    fn stall(mut self, from: u64, to: u64) -> Self {
        self.0.stalls.push((ms(from), ms(to)));
        self
    }

    fn verdict(&self) -> Verdict {
        self.0.judge(TWO)
    }

    fn violations(&self) -> String {
        let lines: Vec<String> = self.verdict().violations.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }
}

#[test]
fn what_must_be_is_no_violation() {
    let quiet = Quiet::new().poll(40_100, Some(0)).poll(40_300, Some(0));
    let verdict = quiet.verdict();
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.judged, verdict.void, verdict.answers), (1, 0, 2));
}

#[test]
fn two_holders_that_hear_each_other_for_too_long_are_found() {
    let twice = |to: u64| Quiet::new().holders(&[(10_000, [true, true]), (to, [true, false])]);
    assert_eq!(twice(15_400).violations(), "");
    assert!(twice(15_600).violations().contains("hosts 0 and 1 both hold it"));
    // What the machine did not run is added.
    assert_eq!(twice(15_600).stall(12_000, 12_200).violations(), "");
    // While they are cut off from each other they may; and from the end of that, the limit counts.
    let cut = [(9_000, Act::Cut(1, 0)), (15_000, Act::Heal(1, 0))];
    assert_eq!(twice(20_400).acts(&cut).violations(), "");
    assert!(twice(20_600).acts(&cut).violations().contains("both hold it"));
}

#[test]
fn no_holder_for_too_long_is_found() {
    let none = |to: u64| Quiet::new().holders(&[(10_000, [false, false]), (to, [true, false])]);
    assert_eq!(none(14_800).violations(), "");
    assert!(none(14_900).violations().contains("no holder for 4.900s"));
    assert_eq!(none(14_900).stall(9_000, 10_100).violations(), "");
    // Neither host can be the holder: both are down, or a third host claims to be.
    let down =
        [(9_000, Act::Kill(0)), (9_000, Act::Pause(1)), (12_000, Act::Resume(1)), (14_000, Act::Start(0))];
    assert_eq!(none(16_800).acts(&down).violations(), "");
    assert!(none(16_900).acts(&down).violations().contains("no holder for 4.900s"));
    let flood = [(10_000, Act::Flood(254, 254)), (12_000, Act::EndFlood)];
    assert_eq!(none(16_800).acts(&flood).violations(), "");
    assert!(none(16_900).acts(&flood).violations().contains("no holder"));
}

#[test]
fn the_wrong_holder_after_quiet_is_found() {
    let wrong = || Quiet::new().holders(&[(30_000, [false, true])]);
    assert!(wrong().violations().contains("the holders are [1], the best is 0"));
    assert_eq!(wrong().acts(&[(29_000, Act::Kill(0))]).violations(), "");
    assert_eq!(wrong().acts(&[(29_000, Act::KillService(0))]).violations(), "");
    // A drained host takes no part, and a lower priority counts.
    assert_eq!(wrong().acts(&[(29_000, Act::Drain(0))]).violations(), "");
    assert_eq!(wrong().acts(&[(29_000, Act::LowerPriority(0))]).violations(), "");
    let stays = Quiet::new().acts(&[(29_000, Act::Drain(0))]);
    assert!(stays.violations().contains("the holders are [0], the best is 1"));
    let back = [(20_000, Act::Drain(0)), (29_000, Act::Undrain(0))];
    assert!(wrong().acts(&back).violations().contains("the best is 0"));
    // Without their services, the better one by its configuration.
    let both = [(29_000, Act::KillService(0)), (29_000, Act::KillService(1))];
    assert!(wrong().acts(&both).violations().contains("the best is 0"));
    // It moves while all is quiet.
    let moves = Quiet::new().holders(&[(40_300, [false, true]), (40_310, [true, false])]);
    assert!(moves.violations().contains("the holders are [1]"));
}

#[test]
fn a_check_is_void_on_a_starved_machine_or_before_quiet() {
    let wrong = || Quiet::new().holders(&[(30_000, [false, true])]);
    let verdict = wrong().acts(&[(38_000, Act::ReloadService(0))]).verdict();
    assert_eq!((verdict.violations.len(), verdict.judged, verdict.void), (0, 0, 1));
    let verdict = wrong().stall(31_000, 31_500).verdict();
    assert_eq!((verdict.violations.len(), verdict.judged, verdict.void), (0, 0, 1));
}

#[test]
fn a_client_that_does_not_reach_the_holder_is_found() {
    assert!(Quiet::new().poll(40_100, None).violations().contains("the fresh client gets no host and not 0"));
    assert!(Quiet::new().poll(40_100, Some(1)).violations().contains("gets host 1 and not 0"));
    // A second after the last change it must.
    let moved = || Quiet::new().holders(&[(38_000, [false, true]), (39_000, [true, false])]);
    assert_eq!(moved().poll(39_900, Some(1)).violations(), "");
    assert!(moved().poll(40_000, Some(1)).violations().contains("gets host 1"));
    // A request during which the machine did not run our programs is not judged.
    assert_eq!(Quiet::new().poll(40_100, None).stall(40_110, 40_180).violations(), "");
}

/// The better host holds the address all the time, the other one beside it from 20 to 25 s, while they are cut off from
/// each other. A client with the other one in its cache.
fn both(acts: &[(u64, Act)]) -> Quiet {
    let mut seen = Quiet::new()
        .holders(&[(20_000, [true, true]), (25_000, [true, false])])
        .acts(&[(16_000, Act::Cut(1, 0)), (16_000, Act::Cut(0, 1))])
        .acts(acts)
        .poll(40_100, None);
    seen.0.polls[0].client = "cached";
    seen
}

const HEALED: [(u64, Act); 2] = [(24_900, Act::Heal(1, 0)), (24_900, Act::Heal(0, 1))];

#[test]
fn a_client_may_be_misled_only_if_the_holder_cannot_know() {
    // It gives up when the network is whole again.
    assert!(both(&HEALED).violations().contains("the cached client gets no host"));
    // Only one way is open, or it dies.
    let deaf = both(&[(24_900, Act::Heal(0, 1)), (26_000, Act::Heal(1, 0))]);
    assert_eq!((deaf.violations(), deaf.verdict().misled), (String::new(), 1));
    let killed = both(&[(24_800, Act::Kill(1)), HEALED[0], HEALED[1]]);
    assert_eq!(killed.violations(), "");
    // It is paused, but its kernel has the address for long enough after that for the master to ask it.
    let asked = [
        (23_000, Act::Heal(1, 0)),
        (23_000, Act::Heal(0, 1)),
        (24_500, Act::Pause(1)),
        (25_500, Act::Resume(1)),
    ];
    assert!(both(&asked).violations().contains("the cached client gets no host"));
    // A host that dies first, and whose kernel keeps the address for its lease, announces nothing.
    assert!(
        both(&[(19_900, Act::Kill(1)), (30_000, HEALED[0].1), (30_000, HEALED[1].1)])
            .violations()
            .contains("the cached client")
    );
    // A client that asks again is never misled.
    let mut fresh = deaf;
    fresh.0.polls[0].client = "fresh";
    assert!(fresh.violations().contains("the fresh client gets no host"));
}

#[test]
fn a_loser_that_gives_up_silently_misleads_the_clients_of_keepalived_alone() {
    use Program::{ByTheRfc, Keepalived, Ours};
    let violations = |programs| both(&HEALED).0.judge(Configuration { programs, ..TWO }).violations.len();
    assert_eq!(violations(&[Ours, ByTheRfc]), 1);
    assert_eq!(violations(&[ByTheRfc, Keepalived]), 1);
    assert_eq!(violations(&[Keepalived, Ours]), 1);
    assert_eq!(violations(&[Keepalived, ByTheRfc]), 0);
}
