//! Health arithmetic: check results become a verdict (rise, fall), verdicts and weights become a priority. Knows no
//! process, clock or socket.

use std::fmt;
use std::num::NonZeroU32;

use crate::vrrp::Priority;

/// How much a check raises or lowers the priority, -253 to 253. With 0, a failed check puts the router in FAULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(i16);

impl Weight {
    /// A check that puts the router in FAULT instead of changing its priority.
    pub const FAULT: Self = Self(0);

    /// `None` outside -253 to 253: two priorities from 1 to 254 cannot differ by more.
    pub const fn new(weight: i16) -> Option<Self> {
        if weight < -253 || weight > 253 { None } else { Some(Self(weight)) }
    }

    /// The number, -253 to 253.
    pub const fn get(self) -> i16 {
        self.0
    }

    /// The change of the priority under `verdict`: a positive weight counts while healthy, a negative one while failed.
    const fn change(self, verdict: Verdict) -> i16 {
        match verdict {
            Verdict::Healthy if self.0 > 0 => self.0,
            Verdict::Failed if self.0 < 0 => self.0,
            Verdict::Unknown | Verdict::Healthy | Verdict::Failed => 0,
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The verdict on a service, from its check results so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not enough equal results in a row yet.
    Unknown,
    Healthy,
    Failed,
}

/// Counts the results of one check. `rise` passes in a row make it healthy and `fall` failures in a row make it failed;
/// this applies to the first verdict too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    weight: Weight,
    rise: NonZeroU32,
    fall: NonZeroU32,
    verdict: Verdict,
    /// The last result, and how many times in a row it has come.
    run: (bool, u32),
}

impl Health {
    /// No result yet: the verdict is [`Verdict::Unknown`].
    pub const fn new(weight: Weight, rise: NonZeroU32, fall: NonZeroU32) -> Self {
        Self { weight, rise, fall, verdict: Verdict::Unknown, run: (false, 0) }
    }

    /// Counts one result. `Some` only when it changes the verdict.
    #[must_use]
    pub fn observe(&mut self, passed: bool) -> Option<Verdict> {
        let (last, length) = self.run;
        self.run = (passed, if last == passed { length.saturating_add(1) } else { 1 });
        let (needed, verdict) =
            if passed { (self.rise, Verdict::Healthy) } else { (self.fall, Verdict::Failed) };
        if self.run.1 < needed.get() || self.verdict == verdict {
            return None;
        }
        self.verdict = verdict;
        Some(verdict)
    }

    /// The current verdict.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The check's weight.
    pub const fn weight(&self) -> Weight {
        self.weight
    }
}

/// The combined effect of all checks on a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective {
    /// A check of weight 0 is not healthy: the router must not take part.
    Fault,
    /// The router takes part with this priority: 1 to 254, or 255 when it is the owner.
    Priority(Priority),
}

/// Applies the weight of every check to the base priority. FAULT as soon as a check of weight 0 is not healthy,
/// otherwise the sum, clamped to 1 to 254 once at the end. An address owner's priority is always 255 (RFC 3768 §5.3.4),
/// so only a weight of 0 affects it.
pub fn effective(base: Priority, checks: impl IntoIterator<Item = (Weight, Verdict)>) -> Effective {
    let mut sum = i32::from(base.octet());
    for (weight, verdict) in checks {
        if weight == Weight::FAULT && verdict != Verdict::Healthy {
            return Effective::Fault;
        }
        sum += i32::from(weight.change(verdict));
    }
    if base == Priority::OWNER {
        return Effective::Priority(base);
    }
    // After the clamp the sum fits an octet.
    Effective::Priority(u8::try_from(sum.clamp(1, 254)).map_or(base, Priority::from_wire))
}

/// Whether a backup of priority `own` would replace a master that now advertises priority `master` if a check of
/// `weight` failed there. Operators expect this, but with too small a weight it does not happen.
pub fn would_replace(own: Priority, master: Priority, weight: Weight) -> bool {
    if weight == Weight::FAULT {
        return true;
    }
    let lowered = i32::from(master.octet()) - i32::from(weight.get().unsigned_abs());
    master != Priority::OWNER && i32::from(own.octet()) > lowered.clamp(1, 254)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight(n: i16) -> Weight {
        Weight::new(n).unwrap()
    }

    fn priority(n: u8) -> Priority {
        Priority::new(n).unwrap()
    }

    fn health(rise: u32, fall: u32) -> Health {
        Health::new(weight(2), NonZeroU32::new(rise).unwrap(), NonZeroU32::new(fall).unwrap())
    }

    fn observed(health: &mut Health, results: &[bool]) -> Vec<Option<Verdict>> {
        results.iter().map(|&passed| health.observe(passed)).collect()
    }

    #[test]
    fn a_weight_is_at_most_253_either_way() {
        assert_eq!([Weight::new(-254), Weight::new(254), Weight::new(i16::MIN)], [None; 3]);
        assert_eq!([weight(-253).get(), weight(253).get()], [-253, 253]);
    }

    #[test]
    fn with_the_defaults_one_result_decides() {
        let mut health = health(1, 1);
        assert_eq!(health.verdict(), Verdict::Unknown);
        assert_eq!(
            observed(&mut health, &[true, true, false, false, true]),
            [Some(Verdict::Healthy), None, Some(Verdict::Failed), None, Some(Verdict::Healthy)]
        );
    }

    #[test]
    fn the_first_results_need_rise_and_fall_as_well() {
        let mut rising = health(2, 3);
        assert_eq!(observed(&mut rising, &[true, false, true, true])[..3], [None; 3]);
        assert_eq!(rising.verdict(), Verdict::Healthy);
        let mut falling = health(2, 3);
        assert_eq!(observed(&mut falling, &[false, false]), [None; 2]);
        assert_eq!(falling.verdict(), Verdict::Unknown);
        assert_eq!(falling.observe(false), Some(Verdict::Failed));
    }

    #[test]
    fn a_pass_while_healthy_refills_the_failures_needed() {
        let mut health = health(1, 3);
        assert_eq!(health.observe(true), Some(Verdict::Healthy));
        assert_eq!(observed(&mut health, &[false, false, true, false, false]), [None; 5]);
        assert_eq!(health.observe(false), Some(Verdict::Failed));
    }

    #[test]
    fn a_failure_while_failed_refills_the_passes_needed() {
        let mut health = health(3, 1);
        assert_eq!(health.observe(false), Some(Verdict::Failed));
        assert_eq!(observed(&mut health, &[true, true, false, true, true]), [None; 5]);
        assert_eq!(health.observe(true), Some(Verdict::Healthy));
    }

    #[test]
    fn haproxy_dead_on_the_master_loses_to_the_healthy_backup_and_dead_on_both_it_stays() {
        let at = |base, verdict| effective(priority(base), [(weight(2), verdict)]);
        assert_eq!(at(11, Verdict::Healthy), Effective::Priority(priority(13)));
        assert_eq!(at(11, Verdict::Failed), Effective::Priority(priority(11)));
        assert_eq!(at(10, Verdict::Healthy), Effective::Priority(priority(12)));
        assert_eq!(at(10, Verdict::Failed), Effective::Priority(priority(10)));
    }

    #[test]
    fn a_positive_weight_waits_for_health_and_a_negative_one_for_failure() {
        let at = |w, verdict| effective(priority(100), [(weight(w), verdict)]);
        assert_eq!(at(20, Verdict::Unknown), Effective::Priority(priority(100)));
        assert_eq!(at(-20, Verdict::Unknown), Effective::Priority(priority(100)));
        assert_eq!(at(-20, Verdict::Healthy), Effective::Priority(priority(100)));
        assert_eq!(at(-20, Verdict::Failed), Effective::Priority(priority(80)));
    }

    #[test]
    fn weight_0_is_a_fault_until_healthy_for_an_owner_too() {
        for base in [100, 255] {
            let at = |verdict| effective(priority(base), [(Weight::FAULT, verdict)]);
            assert_eq!(at(Verdict::Unknown), Effective::Fault);
            assert_eq!(at(Verdict::Failed), Effective::Fault);
            assert_eq!(at(Verdict::Healthy), Effective::Priority(priority(base)));
        }
    }

    /// TX-17: weights never make a router an owner, and nothing wraps.
    #[test]
    fn the_sum_is_clamped_once_at_the_end() {
        let all = |base, weights: &[(i16, Verdict)]| {
            effective(priority(base), weights.iter().map(|&(w, v)| (weight(w), v)))
        };
        assert_eq!(all(254, &[(253, Verdict::Healthy)]), Effective::Priority(priority(254)));
        assert_eq!(all(1, &[(-253, Verdict::Failed)]), Effective::Priority(priority(1)));
        // 200 + 200 - 200 is 200, not 254 - 200.
        assert_eq!(
            all(200, &[(200, Verdict::Healthy), (-200, Verdict::Failed)]),
            Effective::Priority(priority(200))
        );
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![Just(Verdict::Unknown), Just(Verdict::Healthy), Just(Verdict::Failed)]
    }

    proptest! {
        #[test]
        fn the_last_long_enough_run_decides_the_verdict(
            rise in 1_u32..5, fall in 1_u32..5, results in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut health = health(rise, fall);
            let mut expected = Verdict::Unknown;
            for end in 1..=results.len() {
                let before = expected;
                for (value, needed, then) in [(true, rise, Verdict::Healthy), (false, fall, Verdict::Failed)] {
                    let run = results[..end].iter().rev().take_while(|&&r| r == value).count();
                    if run >= needed as usize {
                        expected = then;
                    }
                }
                let changed = health.observe(results[end - 1]);
                prop_assert_eq!(changed, (before != expected).then_some(expected));
                prop_assert_eq!(health.verdict(), expected);
            }
        }

        /// TX-17 again: 255 if and only if configured.
        #[test]
        fn a_priority_stays_in_range_and_in_any_order_of_checks(
            base in 1_u8..=255, checks in prop::collection::vec((-253_i16..=253, verdict()), 0..8),
        ) {
            let checks: Vec<_> = checks.into_iter().map(|(w, v)| (weight(w), v)).collect();
            let result = effective(priority(base), checks.iter().copied());
            prop_assert_eq!(result, effective(priority(base), checks.iter().rev().copied()));
            let fault = checks.iter().any(|&(w, v)| w.get() == 0 && v != Verdict::Healthy);
            match result {
                Effective::Fault => prop_assert!(fault),
                Effective::Priority(p) => {
                    prop_assert!(!fault);
                    prop_assert_eq!(p == Priority::OWNER, base == 255);
                    prop_assert!(p.octet() >= 1);
                }
            }
        }

        #[test]
        fn a_check_that_recovers_never_lowers_the_priority(
            base in 1_u8..=254, w in -253_i16..=253, rest in prop::collection::vec((-253_i16..=253, verdict()), 0..4),
        ) {
            let with = |v| {
                let rest = rest.iter().map(|&(w, v)| (weight(w), v));
                match effective(priority(base), rest.chain([(weight(w), v)])) {
                    Effective::Fault => 0,
                    Effective::Priority(p) => p.octet(),
                }
            };
            prop_assert!(with(Verdict::Failed) <= with(Verdict::Unknown));
            prop_assert!(with(Verdict::Unknown) <= with(Verdict::Healthy));
        }
    }

    #[test]
    fn a_backup_knows_whether_the_weight_lets_it_win() {
        let would = |own, master, weight| {
            let priority = |p| Priority::new(p).unwrap();
            would_replace(priority(own), priority(master), Weight::new(weight).unwrap())
        };
        // The usual pair: 11 and 10, weight 2.
        assert!(would(12, 13, 2));
        // With its own service down it cannot take over.
        assert!(!would(10, 13, 2));
        assert!(would(100, 150, 0), "a FAULT releases everything");
        assert!(!would(100, 150, 2) && !would(100, 150, -50) && would(100, 150, -51));
        assert!(!would(254, 255, 253), "weights do not lower an owner");
    }
}
