//! The goals of failover, and whether they were met. They must not be loosened.

use std::time::Duration;

use crate::events::{Event, Observation};
use crate::failover::{KEEPALIVED, OUR_BACKUP, OUR_MASTER, OURS, Results};
use crate::figures::{Spread, ratio, time};
use crate::pair::Configuration;
use crate::support::{millis, seconds};

/// Added to a deadline of the protocol: what a busy machine, a packet and ARP may take.
const SLACK: Duration = millis(60);
const LEASE_SLACK: Duration = millis(1_500);
/// When haproxy is killed: at least this many times faster than keepalived.
const FASTER: u128 = 300;
/// When it is vrrp-init that is killed.
const FASTER_DEAD: u128 = 200;

/// The goal in words, the measured value, and whether the goal was met; `None` where nothing was measured.
struct Goal {
    name: String,
    measured: Option<(String, bool)>,
}

pub(crate) fn table(results: &Results, configuration: &Configuration) -> String {
    let mut goals = killed(results, configuration);
    goals.extend(requests(results));
    goals.extend(crashed(results, configuration));
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
    let (median, answer) = (millis(10), millis(5));
    let answered = results.spread(Event::Killed, OURS, |seen| seen.answered);
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
        Goal {
            name: format!(
                "haproxy killed: median from the kill to the first answer at most {}",
                time(answer)
            ),
            measured: answered.map(|a| (text(a.median), a.median <= answer)),
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

/// A master that is killed while a backup has a lifeline to it.
fn crashed(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let mut goals = vec![];
    for (event, name, from) in [
        (Event::Sigkill, "SIGKILL", " from the kill to the first answer"),
        (Event::Oom, "OOM kill", " of the outage"),
    ] {
        let outage = crash_outage(results, event, OURS);
        let (median, worst) = (millis(15), millis(60));
        let failed = results.failed(event, OURS);
        let forgetful = results.spread(event, OURS, |seen| seen.failed_forgetful);
        let most = |failed: Option<Spread<usize>>, limit| {
            failed.map(|f| (format!("median {}, at most {}", f.median, f.most), f.most <= limit))
        };
        goals.extend([
            Goal {
                name: format!("{name}: median{from} at most {}", time(median)),
                measured: outage.map(|o| (text(o.median), o.median <= median)),
            },
            Goal {
                name: format!("{name}: worst case{from} at most {}", time(worst)),
                measured: outage.map(|o| (text(o.most), o.most <= worst)),
            },
            Goal { name: format!("{name}: at most 1 failed request"), measured: most(failed, 1) },
            Goal {
                name: format!("{name}: at most 2 of a client that asks for the hardware address every 50 ms"),
                measured: most(forgetful, 2),
            },
        ]);
    }
    let silence = millis(5);
    goals.push(Goal {
        name: format!("SIGKILL: the dead host answers no ARP after {}", time(silence)),
        measured: results
            .spread(Event::Sigkill, OURS, |seen| seen.silent)
            .map(|s| (text(s.most), s.most <= silence)),
    });
    let outages = [OURS, KEEPALIVED].map(|pair| crash_outage(results, Event::Sigkill, pair));
    // With shorter intervals keepalived itself is quicker than that.
    if let ([Some(ours), Some(theirs)], true) = (outages, configuration.advert >= seconds(1)) {
        let (ours, theirs) = (ours.median.as_micros(), theirs.median.as_micros());
        goals.push(Goal {
            name: format!("SIGKILL: at least {FASTER_DEAD} times faster than keepalived"),
            measured: Some((ratio(theirs, ours), theirs >= FASTER_DEAD * ours)),
        });
    }
    goals
}

/// From the kill to the first answer of the successor, or the outage where the time of the kill is not known.
fn crash_outage(results: &Results, event: Event, pair: usize) -> Option<Spread<Duration>> {
    let seen = results.of(event, pair);
    Spread::of(seen.iter().map(|seen| seen.answered.or(seen.outage).unwrap_or(Duration::MAX)))
}

/// A master that falls silent because its router is killed or paused.
fn silent(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let worst = |name: String, event, figure: fn(&Observation) -> Option<Duration>, limit: Duration| Goal {
        name,
        measured: results.spread(event, OURS, figure).map(|spread| {
            let every = results.of(event, OURS).iter().all(|observation| observation.outage.is_some());
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
    let all: Vec<bool> = results.of(event, OURS).iter().filter_map(answer).collect();
    let yes = all.iter().filter(|yes| **yes).count();
    let measured = (!all.is_empty()).then(|| (format!("{yes} of {}", all.len()), yes == all.len()));
    Goal { name: name.to_owned(), measured }
}

/// [`Duration::MAX`] is how an event without a successor counts.
fn text(figure: Duration) -> String {
    if figure == Duration::MAX { "no successor".into() } else { time(figure) }
}
