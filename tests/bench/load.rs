//! Whether a busy machine makes a backup believe that its master is gone: every core is busy for a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::Plan;
use crate::failover::{KEEPALIVED, OURS, PAIRS, name};
use crate::figures::{table, time};
use crate::pair::{CONFIGURATIONS, Configuration, Pair};
use crate::report;
use crate::support::seconds;

pub(crate) fn run(plan: &Plan) {
    let duration = if plan.quick { seconds(10) } else { seconds(60) };
    let rows: Vec<_> = CONFIGURATIONS.into_iter().flat_map(|c| measure(c, duration)).collect();
    let head = ["program, adverts every", "state changes", "longest time between two adverts", ""];
    let text = table(&head, &rows);
    println!("{text}");
    report::write(plan, "load", &text);
}

fn measure(configuration: &'static Configuration, duration: Duration) -> Vec<Vec<String>> {
    let mut pairs = [OURS, KEEPALIVED].map(|pair| Pair::start(PAIRS[pair], configuration));
    for pair in &mut pairs {
        pair.settle();
        pair.client.pause();
    }
    // Until the first announcements and checks are over.
    std::thread::sleep(seconds(6));
    let marks = pairs.each_ref().map(|pair| [&pair.a, &pair.b].map(|side| side.router.run.log.mark()));
    for pair in &pairs {
        pair.client.begin();
    }
    busy(duration);
    let row = |(n, pair): (usize, &Pair)| {
        let sides = [&pair.a, &pair.b].into_iter().zip(marks[n]);
        let changes: usize =
            sides.map(|(side, mark)| side.router.run.log.since(mark, "Entering … STATE").len()).sum();
        let silence = pair.client.record().longest_silence(pair.a.host.address);
        // There were adverts at all, and no state changed.
        let met = changes == 0 && !silence.is_zero();
        let verdict = match (n, met) {
            (OURS, true) => "no false takeover: met",
            (OURS, false) => "**missed**",
            _ => "",
        };
        let what = format!("{}, {}", name(n), time(configuration.advert));
        vec![what, changes.to_string(), time(silence), verdict.to_owned()]
    };
    pairs.iter().enumerate().map(row).collect()
}

/// One busy loop per core, at normal priority.
fn busy(duration: Duration) {
    let ended = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let spin = |_| {
        let ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            while !ended.load(Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    let threads: Vec<_> = (0..cores).map(spin).collect();
    std::thread::sleep(duration);
    ended.store(true, Relaxed);
    for thread in threads {
        thread.join().expect("a busy loop does not panic");
    }
}
