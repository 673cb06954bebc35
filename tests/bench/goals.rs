//! The goals of failover, and whether they were met. They must not be loosened.

use std::time::Duration;

use crate::events::{Event, Observation};
use crate::failover::{KEEPALIVED, OUR_BACKUP, OUR_MASTER, OURS, Results};
use crate::figures::{ratio, time};
use crate::pair::Configuration;
use crate::support::{millis, seconds};

/// Added to a deadline of the protocol: what a busy machine, a packet and ARP may take.
const SLACK: Duration = millis(60);
const LEASE_SLACK: Duration = millis(1_500);
/// When haproxy is killed: at least this many times faster than keepalived.
const FASTER: u128 = 300;

/// The goal in words, the measured value, and whether the goal was met; `None` where nothing was measured.
struct Goal {
    name: String,
    measured: Option<(String, bool)>,
}

pub(crate) fn table(results: &Results, configuration: &Configuration) -> String {
    let mut goals = killed(results, configuration);
    goals.extend(requests(results));
    goals.extend(silent(results, configuration));
    goals.extend(link(results));
    let row = |goal: Goal| {
        let (measured, met) = goal.measured.map_or(("not measured".into(), "–"), |(measured, met)| {
            (measured, if met { "met" } else { "**missed**" })
        });
        vec![goal.name, measured, met.to_owned()]
    };
    let rows: Vec<_> = goals.into_iter().map(row).collect();
    crate::figures::table(&["goal", "measured", ""], &rows)
}

fn killed(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let outage = |pair| results.outage(Event::Killed, pair);
    let worst = |name: &str, pair, limit: Duration| Goal {
        name: format!("{name}: at most {}", time(limit)),
        measured: outage(pair).map(|o| (text(o.most), o.most <= limit)),
    };
    let median = millis(10);
    let times = outage(OURS).zip(outage(KEEPALIVED)).map(|(ours, theirs)| {
        let (ours, theirs) = (ours.median.as_micros(), theirs.median.as_micros());
        (ratio(theirs, ours), theirs >= FASTER * ours)
    });
    let polled = seconds(configuration.check_interval.into()) + configuration.advert;
    vec![
        Goal {
            name: format!("haproxy killed: median at most {}", time(median)),
            measured: outage(OURS).map(|o| (text(o.median), o.median <= median)),
        },
        worst("haproxy killed: worst case", OURS, millis(40)),
        Goal {
            name: format!("haproxy killed: at least {FASTER} times faster than keepalived"),
            measured: times,
        },
        worst(
            "haproxy killed, vrrp-init master, keepalived backup: skew of the backup + 60 ms",
            OUR_MASTER,
            configuration.skew() + SLACK,
        ),
        worst(
            "haproxy killed, keepalived master, vrrp-init backup: one check, one advert + 60 ms",
            OUR_BACKUP,
            polled + SLACK,
        ),
    ]
}

/// Handovers that clients must not notice.
fn requests(results: &Results) -> Vec<Goal> {
    let unnoticed = |name: &str, event, pair| Goal {
        name: format!("{name}: failed requests, median 0, at most 1"),
        measured: results.failed(event, pair).map(|failed| {
            (
                format!("median {}, at most {}", failed.median, failed.most),
                failed.median == 0 && failed.most <= 1,
            )
        }),
    };
    vec![
        unnoticed("haproxy started again", Event::Back, OURS),
        unnoticed("SIGTERM", Event::Sigterm, OURS),
        unnoticed("SIGTERM, vrrp-init master, keepalived backup", Event::Sigterm, OUR_MASTER),
    ]
}

/// A master that falls silent because its router is killed or paused.
fn silent(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let worst = |name: String, event, figure: fn(&Observation) -> Option<Duration>, limit: Duration| Goal {
        name,
        measured: results.spread(event, OURS, figure).map(|spread| {
            let every = results.of(event, OURS).iter().all(|observation| figure(observation).is_some());
            (text(spread.most), every && spread.most <= limit)
        }),
    };
    let down = configuration.master_down() + SLACK;
    let lease = configuration.lease() + LEASE_SLACK;
    vec![
        worst(
            format!("SIGKILL: successor answers at most {} after the last advert", time(down)),
            Event::Sigkill,
            |observation| observation.since_advert,
            down,
        ),
        worst(
            format!("SIGKILL: address gone from the dead host within {}", time(lease)),
            Event::Sigkill,
            |observation| observation.gone,
            lease,
        ),
        every(results, "SIGKILL: the same container starts again", Event::Sigkill, |o| o.starts_again),
        worst(
            format!("SIGSTOP: no two holders later than {} after it", time(lease)),
            Event::Sigstop,
            |observation| observation.shared_until,
            lease,
        ),
        every(results, "SIGSTOP: one master afterwards", Event::Sigstop, |o| o.one_after),
    ]
}

fn link(results: &Results) -> Vec<Goal> {
    let median = |pair| Some(results.spread(Event::LinkDown, pair, |o| o.since_advert)?.median);
    let measured = median(OURS).zip(median(KEEPALIVED)).map(|(ours, theirs)| {
        let met = ours.as_micros() * 100 <= theirs.as_micros() * 105;
        (format!("{} against {}", text(ours), text(theirs)), met)
    });
    let name = "link down: last advert to first answer, median, at most 5 % over keepalived's".to_owned();
    vec![
        Goal { name, measured },
        every(results, "link up: one host holds the address afterwards", Event::LinkUp, |o| o.one_after),
    ]
}

/// The goal that `answer` is yes in every repetition.
fn every(results: &Results, name: &str, event: Event, answer: fn(&Observation) -> Option<bool>) -> Goal {
    let all = results.of(event, OURS);
    let yes = all.iter().filter(|observation| answer(observation) == Some(true)).count();
    let measured = (!all.is_empty()).then(|| (format!("{yes} of {}", all.len()), yes == all.len()));
    Goal { name: name.to_owned(), measured }
}

/// [`Duration::MAX`] is how an event without a successor counts.
fn text(figure: Duration) -> String {
    if figure == Duration::MAX { "no successor".into() } else { time(figure) }
}
