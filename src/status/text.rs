//! The snapshot as text for people: a table of routers, and the details of one. Knows no terminal.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use super::model::{
    AddressStatus, CheckStatus, Counters, DRAINED, Dropped, GuardStatus, HeardStatus, LEAVING, LayerStatus,
    LifelineStatus, ReloadStatus, RouterStatus, Serving, Status, TargetStatus,
};
use crate::columns::{Columns, join};
use crate::drain::Order;
use crate::printable;
use crate::vrrp::Role;

/// A duration in its two largest units: `3 h 12 min`, `2.5 s`, `9 ms`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |large: &str, of: u64, small: &str, part: u64| {
        let (whole, rest) = (seconds / of, seconds % of / part);
        if rest == 0 { format!("{whole} {large}") } else { format!("{whole} {large} {rest} {small}") }
    };
    match seconds {
        0 => format!("{} ms", time.subsec_millis()),
        1..10 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => pair("min", 60, "s", 1),
        3_600..86_400 => pair("h", 3_600, "min", 60),
        _ => pair("d", 86_400, "h", 3_600),
    }
}

fn millis(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

/// Which layers are in force.
fn sandbox(layers: &[LayerStatus]) -> String {
    if layers.is_empty() {
        return "off (SANDBOX=off)".into();
    }
    let missing = layers
        .iter()
        .filter_map(|layer| Some(format!("without {}: {}", layer.layer, layer.problem.as_ref()?)));
    let missing = join(missing, "; ");
    if missing.is_empty() { "on".into() } else { format!("on, but {}", printable::line(&missing)) }
}

/// What is wrong with the configuration or waits for a restart, each line ended.
fn configuration(reload: &ReloadStatus) -> String {
    let mut text = String::new();
    if let Some(ms) = reload.refused_ms {
        let problems = printable::line(&reload.problems.join("; "));
        _ = writeln!(text, "configuration refused {} ago, the one before is in use: {problems}", millis(ms));
    }
    if !reload.needs_restart.is_empty() {
        _ = writeln!(text, "a restart is needed for {}", printable::line(&reload.needs_restart.join(", ")));
    }
    text
}

/// Whether the addresses serve, and the number of warnings, unless the verdict is one of them.
pub fn headline(status: &Status) -> String {
    if !status.health.healthy {
        return format!("UNHEALTHY: {}", status.health.problems.join("; "));
    }
    let Serving { trouble, text, .. } = &status.serving;
    let warnings: usize = status.routers.iter().map(|router| router.warnings.len()).sum();
    match warnings {
        1 if !trouble => format!("{text}; 1 warning"),
        2.. => format!("{text}; {warnings} warnings"),
        _ => text.clone(),
    }
}

/// One line that says whether the addresses serve, one about the sandbox, those about a configuration that is not in use,
/// then a table with one row per router.
pub fn table(status: &Status) -> String {
    let (version, up) = (status.version, millis(status.uptime_ms));
    let mut text = format!(
        "vrrp-init {version}, up {up}: {}\nsandbox {}\n{}",
        printable::line(&headline(status)),
        sandbox(&status.sandbox),
        configuration(&status.configuration)
    );
    for receiver in status.receivers.iter().filter(|receiver| receiver.passed == Some(false)) {
        _ = writeln!(text, "NOTIFY_URL {}", printable::line(&target(receiver)));
    }
    if let Some(Order { since, until, by_command, .. }) = status.drain {
        let by = if by_command { "command" } else { "file" };
        _ = write!(text, "drain: ordered by the {by} at {since}, until ");
        _ = match until {
            Some(until) => write!(text, "{until}"),
            None => write!(text, "undrain"),
        };
        let refused = status.routers.iter().find_map(|router| Some((&router.name, router.drain.refused?)));
        if let Some((name, why)) = refused {
            _ = write!(text, "; not drained, because of {}: {why}", printable::line(name));
        }
        text.push('\n');
    }
    text.push('\n');
    let headings = ["router", "VRID", "interface", "state", "for", "priority", "master", "addresses"];
    let mut rows = Columns::new(&headings);
    for router in &status.routers {
        row(router, &mut rows);
    }
    text + &rows.text()
}

fn row(router: &RouterStatus, rows: &mut Columns) {
    rows.add(&router.name);
    rows.add(&router.vrid);
    rows.add(&router.interface);
    rows.add(&router.state.as_str());
    rows.add(&millis(router.state_ms));
    rows.add(&router.priority);
    match (router.state, &router.master) {
        (Role::Master, _) => rows.add(&"this host"),
        (_, Some(master)) => rows.add(&format_args!("{} ({})", master.address, master.priority)),
        (_, None) => rows.add(&"-"),
    }
    let present = router.addresses.iter().filter(|address| address.present).count();
    let place = match present {
        0 => "not here",
        all if all == router.addresses.len() => "here",
        _ => "in part here",
    };
    rows.add(&format_args!("{} {place}", names(router.addresses.iter().map(|a| a.address))));
}

/// The first of the addresses, or both: `10.0.0.2 and 3 more`.
pub fn names(addresses: impl ExactSizeIterator<Item = IpAddr>) -> String {
    match addresses.collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [one] => one.to_string(),
        [one, two] => format!("{one} {two}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// The details of one router, one fact per line.
pub fn details(router: &RouterStatus) -> String {
    let mut lines = Lines(format!("{}\n", printable::line(&router.name)));
    lines.add(
        "state",
        &format_args!("{} for {}: {}", router.state.as_str(), millis(router.state_ms), router.why),
    );
    for fault in &router.faults {
        lines.add("fault", fault);
    }
    for warning in &router.warnings {
        lines.add("warning", warning);
    }
    drain(router.drain.state, &mut lines);
    lines.add("priority", &priority(router));
    if let (Role::Backup, Some(master)) = (router.state, &router.master) {
        lines.add("master", &format_args!("{} (priority {})", master.address, master.priority));
    }
    if let Some(HeardStatus { address, priority, ago_ms }) = &router.heard {
        lines.add("heard", &format_args!("{address} (priority {priority}) {} ago", millis(*ago_ms)));
    }
    lines.add("adverts", &adverts(router));
    lines.add("lifeline", &lifeline(&router.lifeline));
    successor(router, &mut lines);
    if let Some(deadline) = router.deadline_ms {
        lines.add("next", &next(router.state, &millis(deadline)));
    }
    for address in &router.addresses {
        lines.add("address", &self::address(address));
    }
    lines.add("guard", &guard(&router.guard));
    if let Some(check) = &router.check {
        lines.add("check", &verdict(check));
        for target in &check.targets {
            lines.add("", &self::target(target));
        }
    }
    lines.add("counters", &counters(&router.counters));
    lines.add("dropped", &dropped(&router.dropped));
    lines.0
}

fn drain(state: &str, lines: &mut Lines) {
    match state {
        DRAINED => lines.add("drain", &"takes no part"),
        LEAVING => lines.add("drain", &"waits for another router to take over"),
        _ => {}
    }
}

fn successor(router: &RouterStatus, lines: &mut Lines) {
    match (router.lifeline.successor, router.state) {
        (Some(successor), Role::Master) => lines.add("successor", &successor),
        (Some(_), Role::Init | Role::Backup | Role::Fault) => lines.add("successor", &"this host"),
        (None, _) => {}
    }
}

struct Lines(String);

impl Lines {
    fn add(&mut self, what: &str, text: &dyn Display) {
        let what = if what.is_empty() { String::new() } else { format!("{what}:") };
        _ = writeln!(self.0, "  {what:11}{}", printable::line(&text.to_string()));
    }
}

fn priority(router: &RouterStatus) -> String {
    let mut text = router.priority.to_string();
    if router.base_priority != router.priority {
        _ = write!(text, " (base {})", router.base_priority);
    }
    match router.failover_possible {
        Some(true) => text.push_str(", would take over if the master's service died"),
        Some(false) if router.check.as_ref().is_some_and(|check| check.verdict == "failed") => {
            text.push_str(", no working spare: the check fails here");
        }
        Some(false) => text.push_str(", would NOT take over if the master's service died"),
        None => {}
    }
    text
}

/// What the router does `within` that time if nothing happens before.
fn next(state: Role, within: &str) -> String {
    match state {
        Role::Init | Role::Fault => format!("tries again in {within}"),
        Role::Backup => format!("takes over in {within} unless it hears a master to follow"),
        Role::Master => format!("advert, announcement or lease renewal in {within}"),
    }
}

fn adverts(router: &RouterStatus) -> String {
    let from = router.source.map_or("no address yet".to_owned(), |source| source.to_string());
    let to = if router.peers.is_empty() { "all (multicast)".to_owned() } else { join(&router.peers, ", ") };
    format!(
        "VRRPv{} over {}, VRID {}, from {from} on {} to {to}, every {}{}",
        router.protocol,
        router.family,
        router.vrid,
        router.interface,
        millis(router.interval_ms),
        if router.preempt { "" } else { ", does not preempt" },
    )
}

fn lifeline(lifeline: &LifelineStatus) -> String {
    let LifelineStatus { state, peers, connected_ms, guarded, successor: _, problem } = lifeline;
    let peers = join(peers, ", ");
    match (*state, problem, connected_ms) {
        (_, Some(problem), _) if peers.is_empty() => problem.clone(),
        (_, Some(problem), _) => format!("{peers} {problem}"),
        ("listening", ..) if peers.is_empty() => "no backup is connected".to_owned(),
        ("listening", ..) => format!("backups {peers}"),
        (_, _, Some(ms)) if *guarded == Some(false) => {
            format!(
                "{peers} connected {}, but its host has no address guard: a crash takes as long as silence",
                millis(*ms)
            )
        }
        (_, _, Some(ms)) => format!("{peers} connected {}", millis(*ms)),
        _ if peers.is_empty() => (*state).to_owned(),
        _ => format!("{peers} {state}"),
    }
}

fn address(address: &AddressStatus) -> String {
    let presence = match (address.wanted, address.present) {
        (true, true) => "here",
        (true, false) => "MISSING here",
        (false, true) => "here, and should not be",
        (false, false) => "not here",
    };
    let lease = address.lease_s.map_or(String::new(), |left| format!(", lease ends in {left} s"));
    let excluded = if address.excluded { ", not advertised" } else { "" };
    format!("{}/{} on {}: {presence}{lease}{excluded}", address.address, address.prefix, address.interface)
}

fn guard(guard: &GuardStatus) -> String {
    guard.why.as_ref().map_or(guard.kind.to_owned(), |why| format!("{}: {why}", guard.kind))
}

fn verdict(check: &CheckStatus) -> String {
    let effect = match check.weight {
        0 => "a failure is a FAULT".to_owned(),
        weight => format!("weight {weight}"),
    };
    format!("{} for {}; {effect}", check.verdict, millis(check.verdict_ms))
}

fn target(target: &TargetStatus) -> String {
    let state = match target.passed {
        Some(true) if target.pids.is_empty() => "answers".to_owned(),
        Some(true) => format!("runs (pid {})", join(&target.pids, " ")),
        Some(false) => {
            let why = target.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            format!("FAILED for {}{why}", millis(target.passed_ms))
        }
        None => "no result yet".to_owned(),
    };
    format!("{} {state}", target.name)
}

fn counters(counters: &Counters) -> String {
    format!(
        "adverts sent {}, received {} ({} with the other checksum); priority 0 sent {}, received {}; became master {}, \
         released {}",
        counters.adverts_sent,
        counters.adverts_received,
        counters.other_checksums,
        counters.priority_zero_sent,
        counters.priority_zero_received,
        counters.became_master,
        counters.released_master,
    )
}

fn dropped(dropped: &Dropped) -> String {
    if dropped.0.is_empty() {
        return "none".to_owned();
    }
    join(dropped.0.iter().map(|(reason, count)| format!("{reason}={count}")), " ")
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::status;
    use super::*;

    #[test]
    fn a_span_has_the_units_that_matter() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_250, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (11_520_000, "3 h 12 min"),
            (86_400_000, "1 d"),
            (180_000_000, "2 d 2 h"),
        ] {
            assert_eq!(millis(ms), text);
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_router() {
        let text = table(&status());
        let expected = "vrrp-init 0.1.0, up 2 min: VI_2: FAULT: interface eth1 has no carrier; no master is heard\nsandbox on, but without seccomp: it is refused\nconfiguration refused 1 min ago, the one before is in use: PRIORITY=300  must be 1 to 254\na restart is needed for ADVERT_INT 1 -> 2\nNOTIFY_URL http://hook:9093 FAILED for 1 min: answered with status 500; transitions that wait: 3\n\n\
            router  VRID  interface  state   for    priority  master     addresses\n\
            VI_1    51    eth0       MASTER  1.5 s  13        this host  10.0.0.2 here\n\
            VI_2    52    eth1       FAULT   1 min  100       -          fd00::1 and 2 more not here\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_details_of_a_router_are_listed_line_by_line() {
        let text = details(&status().routers[0]);
        let expected = "VI_1\n\
            \x20 state:     MASTER for 1.5 s: 10.0.0.12 (priority 12) fell silent\n\
            \x20 warning:   Two masters\n\
            \x20 priority:  13 (base 11)\n\
            \x20 heard:     10.0.0.12 (priority 12) 4.0 s ago\n\
            \x20 adverts:   VRRPv2 over IPv4, VRID 51, from 10.0.0.11 on eth0 to all (multicast), every 1.0 s\n\
            \x20 lifeline:  backups 10.0.0.12\n\
            \x20 successor: 10.0.0.12\n\
            \x20 next:      advert, announcement or lease renewal in 400 ms\n\
            \x20 address:   10.0.0.2/32 on eth0: here, lease ends in 3 s\n\
            \x20 guard:     nft\n\
            \x20 check:     healthy for 2 min; weight 2\n\
            \x20            haproxy runs (pid 17 18)\n\
            \x20 counters:  adverts sent 120, received 4 (0 with the other checksum); priority 0 sent 0, received 0; became master 1, released 0\n\
            \x20 dropped:   ttl=1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_fault_names_its_cause() {
        let text = details(&status().routers[1]);
        for part in [
            "  fault:     interface eth1 has no carrier\n",
            "from no address yet on eth1 to fd00::12, every 100 ms, does not preempt\n",
            "  address:   fd00::3/64 on eth1: not here, not advertised\n",
            "  guard:     none: ADDRESS_GUARD=off\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
