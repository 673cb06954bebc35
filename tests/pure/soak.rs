//! The judgement of `make soak`, from samples alone.

#[path = "../soak/samples.rs"]
mod samples;

use std::fmt::Write as _;
use std::time::Duration;

use samples::{HEAD, Sample, Samples};

/// A file with two routers that use what `used` says in the sample of this number.
fn file(used: impl Fn(u64) -> Sample) -> String {
    let mut text = format!("{HEAD}\n");
    for n in 0..400 {
        for host in 0..2 {
            let _ = writeln!(text, "{}", Sample { seconds: n * 10, host, ..used(n) }.line());
        }
    }
    text
}

fn missed(used: impl Fn(u64) -> Sample) -> Vec<String> {
    let judgement = Samples::parse(&file(used)).unwrap().judge();
    judgement.into_iter().filter(|(_, met)| !met).map(|(text, _)| text).collect()
}

fn steady() -> Sample {
    Sample { pid: 7, pss_kb: 600, rss_kb: 900, descriptors: 29, ..Sample::default() }
}

#[test]
fn what_stays_the_same_is_no_leak_and_a_peak_is_none_either() {
    assert_eq!(missed(|_| steady()), [""; 0]);
    assert_eq!(missed(|n| Sample { rss_kb: if n % 9 == 0 { 2_000 } else { 900 }, ..steady() }), [""; 0]);
}

#[test]
fn a_slow_leak_of_memory_or_descriptors_is_found() {
    let memory = missed(|n| Sample { rss_kb: 900 + n / 2, ..steady() });
    assert!(memory.len() == 2 && memory[0].contains("host a: RSS"), "{memory:?}");
    let descriptors = missed(|n| Sample { descriptors: 29 + n / 100, ..steady() });
    assert!(descriptors.len() == 2 && descriptors[1].contains("host b: descriptors"), "{descriptors:?}");
}

#[test]
fn a_restarted_process_is_judged_by_itself_and_too_few_samples_are_not_enough() {
    // The second life begins with more: no leak.
    let lives = |n| Sample { pid: 7 + n / 300, rss_kb: 900 + n / 300 * 500, ..steady() };
    assert_eq!(missed(lives), [""; 0]);
    let samples = Samples::parse(&file(lives)).unwrap();
    assert_eq!(samples.lives(1).iter().map(Vec::len).collect::<Vec<_>>(), [300, 100]);
    assert_eq!(samples.duration(), Duration::from_secs(3_990));
    let few: Vec<_> = file(lives).lines().take(8).map(str::to_owned).collect();
    assert_eq!(Samples::parse(&few.join("\n")).unwrap().judge().iter().filter(|(_, met)| *met).count(), 0);
    assert!(Samples::parse("head\n1,2,x").is_err());
}
