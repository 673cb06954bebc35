//! What is wanted of failover, and whether it was met; nothing here is to be loosened.

use std::time::Duration;

use crate::events::{Event, Seen};
use crate::failover::{KEEPALIVED, OUR_BACKUP, OUR_MASTER, OURS, Results};
use crate::figures::{ratio, time};
use crate::pair::Configuration;
use crate::support::{millis, seconds};

/// Beside a deadline of the protocol: what a busy machine, a packet and ARP may take.
const SLACK: Duration = millis(60);
const LEASE_SLACK: Duration = millis(1_500);
/// At least so many times faster than keepalived when haproxy is killed.
const FASTER: u128 = 300;

/// The wish, what was measured, and whether it was met; nothing measured is neither.
struct Goal {
    wanted: String,
    measured: Option<(String, bool)>,
}

pub(crate) fn table(results: &Results, configuration: &Configuration) -> String {
    let mut goals = killed(results, configuration);
    goals.extend(requests(results));
    goals.extend(silent(results, configuration));
    let row = |goal: Goal| {
        let (measured, met) = goal.measured.map_or(("not measured".into(), "–"), |(measured, met)| {
            (measured, if met { "met" } else { "**missed**" })
        });
        vec![goal.wanted, measured, met.to_owned()]
    };
    let rows: Vec<_> = goals.into_iter().map(row).collect();
    crate::figures::table(&["goal", "measured", ""], &rows)
}

fn killed(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let outage = |pair| results.outage(Event::Killed, pair);
    let worst = |wanted: String, pair, limit: Duration| Goal {
        wanted: format!("{wanted}: at most {}", time(limit)),
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
            wanted: format!("haproxy killed: median at most {}", time(median)),
            measured: outage(OURS).map(|o| (text(o.median), o.median <= median)),
        },
        worst("haproxy killed: the worst".into(), OURS, millis(40)),
        Goal {
            wanted: format!("haproxy killed: at least {FASTER} times faster than keepalived"),
            measured: times,
        },
        worst(
            "haproxy killed, our master, keepalived backup: its skew + 60 ms".into(),
            OUR_MASTER,
            configuration.skew() + SLACK,
        ),
        worst(
            "haproxy killed, keepalived master, our backup: its check, one advert + 60 ms".into(),
            OUR_BACKUP,
            polled + SLACK,
        ),
    ]
}

/// Moves that no client may notice.
fn requests(results: &Results) -> Vec<Goal> {
    let unnoticed = |name: &str, event, pair| Goal {
        wanted: format!("{name}: failed requests, median 0, at most 1"),
        measured: results.failed(event, pair).map(|failed| {
            (
                format!("median {}, at most {}", failed.median, failed.most),
                failed.median == 0 && failed.most <= 1,
            )
        }),
    };
    vec![
        unnoticed("haproxy back", Event::Back, OURS),
        unnoticed("SIGTERM", Event::Sigterm, OURS),
        unnoticed("SIGTERM, our master, keepalived backup", Event::Sigterm, OUR_MASTER),
    ]
}

/// A master that says nothing any more.
fn silent(results: &Results, configuration: &Configuration) -> Vec<Goal> {
    let worst = |event, figure: fn(&Seen) -> Option<Duration>, limit: Duration| {
        let spread = results.spread(event, OURS, figure)?;
        let of = results.of(event, OURS);
        let every = of.iter().all(|seen| figure(seen).is_some());
        Some((text(spread.most), every && spread.most <= limit))
    };
    let all = |event, answer: fn(&Seen) -> Option<bool>| {
        let seen = results.of(event, OURS);
        let yes = seen.iter().filter(|seen| answer(seen) == Some(true)).count();
        (!seen.is_empty()).then(|| (format!("{yes} of {}", seen.len()), yes == seen.len()))
    };
    let down = configuration.master_down() + SLACK;
    let lease = configuration.lease() + LEASE_SLACK;
    let median = |pair| Some(results.spread(Event::LinkDown, pair, |seen| seen.since_advert)?.median);
    let link = median(OURS).zip(median(KEEPALIVED)).map(|(ours, theirs)| {
        (
            format!("{} against {}", text(ours), text(theirs)),
            ours.as_micros() * 100 <= theirs.as_micros() * 105,
        )
    });
    let goal = |wanted: String, measured| Goal { wanted, measured };
    vec![
        goal(
            format!("SIGKILL: successor answers at most {} after the last advert", time(down)),
            worst(Event::Sigkill, |s| s.since_advert, down),
        ),
        goal(
            format!("SIGKILL: address gone from the dead host within {}", time(lease)),
            worst(Event::Sigkill, |s| s.gone, lease),
        ),
        goal("SIGKILL: the same container starts again".into(), all(Event::Sigkill, |s| s.starts_again)),
        goal(
            format!("SIGSTOP: two holders no longer than {} after it", time(lease)),
            worst(Event::Sigstop, |s| s.shared_until, lease),
        ),
        goal("SIGSTOP: one master after".into(), all(Event::Sigstop, |s| s.one_after)),
        goal("link down: last advert to first answer, median, at most 5 % over keepalived's".into(), link),
        goal("link up: one host holds the address after".into(), all(Event::LinkUp, |s| s.one_after)),
    ]
}

/// [`Duration::MAX`] is how an event without a successor counts.
fn text(figure: Duration) -> String {
    if figure == Duration::MAX { "no successor".into() } else { time(figure) }
}
