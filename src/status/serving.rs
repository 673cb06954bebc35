//! Judges whether clients of a router's addresses reach a working service, as far as this node knows: one verdict for line
//! 1 of `status`, `healthcheck`, `why`, JSON and metrics. Knows no clock, kernel or state machine.

use std::net::IpAddr;
use std::time::Duration;

use super::model::{CheckStatus, NOT_SEEN_YET, Serving, TargetStatus};
use super::text::span;
use crate::columns::join;
use crate::vrrp::Role;

/// So many failed targets of a check are named.
const NAMED: usize = 3;
const IS: [&str; 2] = ["is", "are"];

/// What one router knows, of which [`judge`] makes the verdict.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub state: Role,
    /// The virtual addresses of the router, as words: `10.0.0.2`, or `10.0.0.2 and 3 more`.
    pub addresses: &'a str,
    /// This host never had an address of the router's family, and the router of the other family runs without it.
    pub left_out: bool,
    /// The operator has this host take no part.
    pub drained: bool,
    /// How state and kernel disagree.
    pub problem: Option<&'a str>,
    /// The causes of FAULT but the check.
    pub faults: &'a [String],
    pub check: Option<&'a CheckStatus>,
    /// Another host that is master: the one that a backup follows, or that any other router heard lately.
    pub master: Option<IpAddr>,
    /// As a backup, it would not take over if the master's service died.
    pub no_spare: bool,
    pub conflicts: Conflicts,
}

/// What currently stands between this node and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Why adverts cannot be sent.
    pub unsent: Option<String>,
    /// A router that ranks lower and advertises all the same, with its priority.
    pub rival: Option<(IpAddr, u8)>,
    /// Which other host answers for a virtual address, as a sentence.
    pub claimed: Option<String>,
    /// Whose adverts are dropped, and the reason.
    pub dropped: Option<(IpAddr, &'static str)>,
}

impl Serving {
    /// Nobody has to do anything.
    fn quiet(serves: impl Into<Option<bool>>, cause: &'static str, text: String) -> Self {
        Self { serves: serves.into(), trouble: false, cause, text }
    }

    fn trouble(serves: impl Into<Option<bool>>, cause: &'static str, text: String) -> Self {
        Self { serves: serves.into(), trouble: true, cause, text }
    }
}

/// The verdict on one router: the first of these that applies.
pub fn judge(facts: &Facts<'_>) -> Serving {
    facts
        .takes_no_part()
        .or_else(|| facts.failed_check())
        .or_else(|| facts.conflict())
        .unwrap_or_else(|| facts.regular())
}

/// The verdict on all routers, each with its name and state.
pub fn overall<'a>(routers: impl Iterator<Item = (&'a str, Role, &'a Serving)>) -> Serving {
    let all: Vec<_> = routers.collect();
    let rank = |serving: &Serving| (serving.serves == Some(false), serving.trouble);
    // Of equal ones the first.
    let worst = all.iter().rev().max_by_key(|(.., serving)| rank(serving));
    let Some((name, _, worst)) = worst else {
        return Serving::quiet(None, "none", "there is no router".into());
    };
    if all.len() == 1 {
        return (*worst).clone();
    }
    let alike = all.iter().filter(|(.., serving)| rank(serving) == rank(worst)).count();
    let serves = if worst.serves == Some(false) {
        Some(false)
    } else {
        all.iter().all(|(.., serving)| serving.serves == Some(true)).then_some(true)
    };
    let bad = worst.trouble || worst.serves == Some(false);
    let text = match alike - 1 {
        _ if !bad && all.iter().all(|(.., serving)| serving.cause == "drained") => {
            format!("drained: {}", states(&all))
        }
        _ if !bad => format!("no problem: {}", states(&all)),
        0 => format!("{name}: {}", worst.text),
        1 => format!("{name}: {} (and 1 more router)", worst.text),
        more => format!("{name}: {} (and {more} more routers)", worst.text),
    };
    Serving { serves, text, ..(*worst).clone() }
}

/// `2 MASTER, 1 BACKUP`
fn states(all: &[(&str, Role, &Serving)]) -> String {
    let count = |role: Role| (all.iter().filter(|(_, state, _)| *state == role).count(), role);
    let counts = [Role::Master, Role::Backup, Role::Fault, Role::Init].map(count);
    let present = counts.iter().filter(|(count, _)| *count > 0);
    join(present.map(|(count, role)| format!("{count} {}", role.as_str())), ", ")
}

impl Facts<'_> {
    fn takes_no_part(&self) -> Option<Serving> {
        let serves = Some(self.master.is_some());
        if self.left_out {
            return Some(Serving::quiet(None, "left_out", "left out on this host".into()));
        }
        if let Some(problem) = self.problem {
            let serves = if self.state == Role::Master { Some(false) } else { serves };
            return Some(Serving::trouble(serves, "kernel", problem.to_owned()));
        }
        if self.drained && self.state != Role::Master {
            return Some(Serving::quiet(serves, "drained", format!("drained; {}", self.elsewhere())));
        }
        match self.state {
            Role::Init => Some(Serving::quiet(None, "stopped", "not started, or stopping".into())),
            Role::Fault if !self.faults.is_empty() => {
                let text = format!("FAULT: {}; {}", self.faults.join("; "), self.elsewhere());
                Some(Serving::trouble(serves, "fault", text))
            }
            Role::Fault | Role::Backup | Role::Master => None,
        }
    }

    /// A check that fails, or that has no result yet.
    fn failed_check(&self) -> Option<Serving> {
        let check = self.check?;
        let down = match check.verdict {
            "healthy" => return None,
            "unknown" => {
                let text = match self.state {
                    Role::Master => format!("MASTER; the check of {} has no verdict yet", named(check)),
                    Role::Init | Role::Backup | Role::Fault => {
                        format!("the check of {} has no verdict yet; {}", named(check), self.elsewhere())
                    }
                };
                return Some(Serving::quiet(None, "check_unknown", text));
            }
            _ => span(Duration::from_millis(check.verdict_ms)),
        };
        if self.state == Role::Master {
            let text = format!(
                "MASTER without a working {} for {down}, and nobody better is heard: {} not answer",
                listed(&failed(check)),
                self.addresses(["does", "do"])
            );
            return Some(Serving::trouble(false, "no_service", text));
        }
        if failed_targets(check).next().is_some() && failed_targets(check).all(is_awaited) {
            let text = format!("{} not seen yet; {}", is(&failed(check)), self.elsewhere());
            return Some(Serving::quiet(self.master.is_some(), "check_unknown", text));
        }
        let why = reason(check).map_or(String::new(), |reason| format!(" ({reason})"));
        let text = format!("{} DOWN here for {down}{why}; {}", is(&failed(check)), self.elsewhere());
        Some(Serving::trouble(self.master.is_some(), "service_down", text))
    }

    /// The router takes part, and its check passes.
    fn conflict(&self) -> Option<Serving> {
        let Conflicts { unsent, rival, claimed, dropped } = &self.conflicts;
        let is_master = self.state == Role::Master;
        let elsewhere = self.elsewhere();
        let serves = is_master || self.master.is_some();
        let (cause, text) = if let (true, Some(why)) = (is_master, unsent) {
            ("not_sending", format!("MASTER, but not sending: {why}"))
        } else if let (true, Some((address, priority))) = (is_master, rival) {
            let text = format!(
                "two masters: {address} (priority {priority}) is one too and does not receive our adverts"
            );
            ("two_masters", text)
        } else if let Some(claimed) = claimed {
            ("address_conflict", claimed.clone())
        } else if let Some((from, reason)) = dropped {
            let who = if is_master { "MASTER".to_owned() } else { elsewhere };
            ("peer_dropped", format!("{who}: {from} is heard but its adverts are dropped ({reason})"))
        } else if let (true, Some(_), Role::Backup) = (self.no_spare, self.master, self.state) {
            ("no_spare", format!("no spare: {elsewhere}, and would stay it if its service died"))
        } else {
            return None;
        };
        Some(Serving::trouble(serves, cause, text))
    }

    fn regular(&self) -> Serving {
        let works = self.check.map(named);
        match (self.state, works) {
            (Role::Master, Some(works)) => {
                Serving::quiet(true, "serving", format!("{} served here by {works}", self.addresses(IS)))
            }
            (Role::Master, None) => {
                Serving::quiet(true, "serving", format!("{} here; no check is set", self.addresses(IS)))
            }
            (Role::Init | Role::Backup | Role::Fault, _) if self.master.is_none() => {
                Serving::quiet(false, "waiting", self.elsewhere())
            }
            (Role::Init | Role::Backup | Role::Fault, Some(works)) => Serving::quiet(
                true,
                "standby",
                format!("{}; the check of {works} passes here", self.elsewhere()),
            ),
            (Role::Init | Role::Backup | Role::Fault, None) => {
                Serving::quiet(true, "standby", self.elsewhere())
            }
        }
    }

    /// The addresses with the form of a verb for one or for several.
    fn addresses(&self, [one, several]: [&str; 2]) -> String {
        format!("{} {}", self.addresses, if self.addresses.contains(' ') { several } else { one })
    }

    fn elsewhere(&self) -> String {
        self.master.map_or("no master is heard".into(), |master| format!("{master} is master"))
    }
}

/// The targets of a check: `haproxy and tcp 127.0.0.1:80`.
fn named(check: &CheckStatus) -> String {
    listed(&names_of(check))
}

fn names_of(check: &CheckStatus) -> Vec<&str> {
    check.targets.iter().map(|target| &*target.name).collect()
}

fn is_awaited(target: &TargetStatus) -> bool {
    target.reason.as_deref() == Some(NOT_SEEN_YET)
}

fn failed_targets(check: &CheckStatus) -> impl Iterator<Item = &TargetStatus> {
    check.targets.iter().filter(|target| target.passed == Some(false))
}

/// The targets that failed last. If there is none, the check waits for more results.
fn failed(check: &CheckStatus) -> Vec<&str> {
    let names: Vec<_> = failed_targets(check).map(|target| &*target.name).collect();
    if names.is_empty() { names_of(check) } else { names }
}

/// Why the only failed target failed.
fn reason(check: &CheckStatus) -> Option<&str> {
    let mut failed = failed_targets(check);
    failed.next().filter(|_| failed.next().is_none())?.reason.as_deref()
}

/// `haproxy is`, `haproxy and nginx are`
fn is(names: &[&str]) -> String {
    format!("{} {}", listed(names), if names.len() > 1 { "are" } else { "is" })
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "the check".into(),
        [one] => (*one).into(),
        [names @ .., last] if names.len() < NAMED => format!("{} and {last}", names.join(", ")),
        names => format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED),
    }
}

#[cfg(test)]
mod tests;
