//! Whether this backup would take over if its master's service died, and whether anybody can if the service of this master
//! has died: what an operator should see before the outage. Keeps the last answer and logs nothing.

use std::fmt::Write as _;

use super::subject::Subject;
use crate::health::{Verdict, Weight, would_replace};
use crate::time::Instant;
use crate::vrrp::{Instance, Peer, Priority, Role};

/// What the check and the master's adverts tell.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// The last result of the check, and since when it has been so.
    health: Option<(Weight, Verdict, Instant)>,
    /// As backup, once it has heard a master and its check has a result.
    found: Option<Box<Found>>,
}

#[derive(Debug)]
struct Found {
    /// `None`: it would take over.
    obstacle: Option<Obstacle>,
    own: Priority,
    master: Peer,
    since: Instant,
}

/// Why a backup would not replace its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    NoPreemption,
    /// The service is down here too.
    ServiceDown,
    /// The weight does not bring the master below us.
    Weight(Weight),
}

impl Spare {
    /// The result of the router's check; `None` without one.
    pub(super) fn set_health(&mut self, now: Instant, result: Option<(Weight, Verdict)>) {
        let Some((weight, verdict)) = result else {
            *self = Self::default();
            return;
        };
        let since = self.health.filter(|known| known.1 == verdict).map_or(now, |(.., since)| since);
        self.health = Some((weight, verdict, since));
    }

    /// Whether the check fails.
    fn is_down(&self) -> bool {
        self.health.is_some_and(|(_, verdict, _)| verdict == Verdict::Failed)
    }

    /// Whether this router would take over if the master's service died; `None` on a master, and if that is not known.
    pub(super) fn possible(&self, role: Role) -> Option<bool> {
        match role {
            Role::Backup | Role::Fault if self.is_down() => Some(false),
            Role::Init | Role::Fault | Role::Master => None,
            Role::Backup => self.found.as_ref().map(|found| found.obstacle.is_none()),
        }
    }

    /// A backup hears its master's priority, so it can tell before the outage that it would not take over. Returns the
    /// warning and the master if that is new.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        subject: &Subject<'_>,
        instance: &Instance,
    ) -> Option<(String, Peer)> {
        if instance.is_drained() {
            // It is not meant to.
            self.found = None;
            return None;
        }
        let (Some(master), Some((weight, verdict, _))) = (instance.master(), self.health) else {
            return None;
        };
        // Until its first result our own check does not count.
        if verdict == Verdict::Unknown {
            return None;
        }
        let own = instance.priority();
        let preempts = subject.settings.preempt || weight == Weight::FAULT;
        let obstacle = match (verdict, preempts) {
            (Verdict::Failed, _) => Some(Obstacle::ServiceDown),
            (_, false) => Some(Obstacle::NoPreemption),
            (_, true) if would_replace(own, master.priority, weight) => None,
            (_, true) => Some(Obstacle::Weight(weight)),
        };
        let known = self.found.as_ref().filter(|found| found.obstacle.is_some() == obstacle.is_some());
        let (is_new, since) = known.map_or((true, now), |found| (false, found.since));
        let found = Found { obstacle, own, master, since };
        let text = obstacle.filter(|_| is_new).map(|_| (found.text(subject).unwrap_or_default(), master));
        self.found = Some(Box::new(found));
        text
    }

    /// The warning, and since when it has been true.
    pub(super) fn warning(
        &self,
        role: Role,
        priority: Priority,
        subject: &Subject<'_>,
    ) -> Option<(String, Instant)> {
        match (role, self.health) {
            (Role::Backup, _) => {
                self.found.as_ref().and_then(|found| Some((found.text(subject)?, found.since)))
            }
            (Role::Master, Some((weight, Verdict::Failed, since))) => {
                Some((nobody_took_over(priority, weight, subject), since))
            }
            (Role::Init | Role::Fault | Role::Master, _) => None,
        }
    }
}

/// What a master says whose own check fails: it does not hear the backups.
fn nobody_took_over(own: Priority, weight: Weight, subject: &Subject<'_>) -> String {
    let of = subject.watched.join(", ");
    if own == Priority::OWNER {
        return format!(
            "No spare: the check of {of} fails here, but an address owner's priority never drops; CHECK_WEIGHT=0 makes it FAULT"
        );
    }
    format!(
        "No spare: the check of {of} fails here, and no backup took over from priority {own}: they fail too, have no \
         higher priority, or have PREEMPT=false; a larger CHECK_WEIGHT (now {weight}), or 0 for FAULT, on all nodes lets \
         them"
    )
}

impl Found {
    /// Why this backup would not replace its master if the service failed there, and what to change.
    fn text(&self, subject: &Subject<'_>) -> Option<String> {
        let Self { obstacle, own, master: Peer { address, priority }, .. } = self;
        let mut text =
            format!("No spare: if the service of {address} (priority {priority}) died, it would stay master");
        match (*obstacle)? {
            Obstacle::NoPreemption => {
                text += ": with PREEMPT=false, we follow it no matter how low its priority drops; with CHECK_WEIGHT=0 it would enter FAULT";
            }
            Obstacle::ServiceDown => {
                let of = subject.watched.join(", ");
                return Some(format!(
                    "No working spare: the check of {of} fails here, so that {address} (priority {priority}) has none"
                ));
            }
            Obstacle::Weight(_) if *priority == Priority::OWNER => {
                text += "; an address owner's priority never drops; with CHECK_WEIGHT=0 it would enter FAULT";
            }
            Obstacle::Weight(weight) => {
                let lacking = priority.octet().saturating_sub(own.octet());
                let _ = write!(
                    text,
                    ": CHECK_WEIGHT {weight} is too small; it must be above {lacking} (or below -{lacking}, or 0 for FAULT) on both"
                );
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::culprits::Culprits;
    use super::*;
    use crate::vrrp::{Event, Family, Interval, Settings, Vrid};

    fn priority(n: u8) -> Priority {
        Priority::new(n).unwrap()
    }

    /// A backup that hears `master`, and what it says when its check has these results one after the other.
    fn said(base: u8, master: u8, preempt: bool, results: &[(i16, Verdict)]) -> Vec<(Option<bool>, String)> {
        let mut settings =
            Settings::new(Vrid::new(51).unwrap(), priority(base), vec!["10.0.0.2".parse().unwrap()]);
        settings.preempt = preempt;
        settings.interval = Interval::from_seconds(1).unwrap();
        let mut instance = Instance::new(settings.clone());
        let watched = ["haproxy".to_owned()];
        let culprits = Culprits::default();
        let subject = Subject {
            name: "VI_1",
            settings: &settings,
            family: Family::V4,
            interface: "eth0",
            source: None,
            watched: &watched,
            culprits: &culprits,
        };
        let _ = instance.handle(Instant::START, Event::Source(Some("10.0.0.12".parse().unwrap())));
        let _ = instance.handle(Instant::START, Event::Startup);
        let advert = settings.advert(priority(master));
        let from = "10.0.0.11".parse().unwrap();
        let _ = instance.handle(Instant::START, Event::Advert { from, advert: &advert });
        let mut spare = Spare::default();
        let mut all = vec![];
        for (n, (weight, verdict)) in (0..).zip(results) {
            let now = Instant::from_millis(n * 1_000);
            spare.set_health(now, Some((Weight::new(*weight).unwrap(), *verdict)));
            let _ = spare.judge(now, &subject, &instance);
            let warning = spare.warning(Role::Backup, instance.priority(), &subject);
            all.push((
                spare.possible(Role::Backup),
                warning.map_or(String::new(), |(text, since)| {
                    format!("{text} since {} s", since.since_start().as_secs())
                }),
            ));
        }
        all
    }

    #[test]
    fn a_backup_says_before_the_outage_why_it_would_not_take_over_and_since_when() {
        use Verdict::{Failed, Healthy, Unknown};
        let fine = (Some(true), String::new());
        let down =
            "No working spare: the check of haproxy fails here, so that 10.0.0.11 (priority 13) has none";
        assert_eq!(
            said(12, 13, true, &[(2, Unknown), (2, Healthy), (2, Failed), (2, Failed), (2, Healthy)]),
            [
                (None, String::new()),
                fine.clone(),
                (Some(false), format!("{down} since 2 s")),
                (Some(false), format!("{down} since 2 s")),
                fine.clone(),
            ]
        );
        let stays = "No spare: if the service of 10.0.0.11 (priority 150) died, it would stay master";
        let weight = format!(
            "{stays}: CHECK_WEIGHT 2 is too small; it must be above 50 (or below -50, or 0 for FAULT) on both since 0 s"
        );
        assert_eq!(said(100, 150, true, &[(2, Healthy)]), [(Some(false), weight)]);
        assert_eq!(said(100, 150, true, &[(0, Healthy)]), [fine]);
        let [(possible, text)] = &said(100, 150, false, &[(2, Healthy)])[..] else { panic!("one") };
        assert!(*possible == Some(false) && text.contains("with PREEMPT=false, we follow it"), "{text}");
        let [(_, text)] = &said(100, 255, true, &[(2, Healthy)])[..] else { panic!("one") };
        assert!(text.contains("an address owner's priority never drops"), "{text}");
    }

    #[test]
    fn our_own_check_counts_whatever_the_arithmetic_of_priorities_says() {
        // 10 is above 11 - 2, but there would be no service.
        let [(possible, _)] = said(10, 11, true, &[(2, Verdict::Failed)])[..] else { panic!("one") };
        assert_eq!(possible, Some(false));
        let mut spare = Spare::default();
        spare.set_health(Instant::START, Some((Weight::FAULT, Verdict::Failed)));
        assert_eq!(
            [Role::Fault, Role::Master, Role::Init].map(|role| spare.possible(role)),
            [Some(false), None, None]
        );
    }
}
