//! The punctuality of the poller on a real clock.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use vrrp_init::sys::poller::{Clock, Poller};
use vrrp_init::time::Instant;

use crate::own_process::{inside, rerun};

/// Skews of a few milliseconds need much finer timers.
#[test]
fn a_wait_ends_less_than_a_millisecond_after_its_deadline() {
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    let mut best = Duration::MAX;
    for us in (1..=100).map(|n| n * 7) {
        let deadline = poller.now() + Duration::from_micros(us);
        assert_eq!(poller.wait(Some(deadline)).unwrap(), [0_u64; 0]);
        best = best.min(poller.now().since(deadline));
    }
    assert!(best < Duration::from_micros(900), "the most punctual of 100 waits was {best:?} late");
}

/// With a limit of 0, set while we run, poll(2) fails.
#[test]
fn a_wait_needs_no_free_descriptor_even_when_the_limit_is_0() {
    if inside().is_none() {
        rerun(a_wait_needs_no_free_descriptor_even_when_the_limit_is_0, &[], "a process of its own");
        return;
    }
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    poller.watch(ours.as_fd(), 7).unwrap();
    let own = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &own, "--nofile=0"]).status().unwrap().success());
    assert!(ours.try_clone().is_err(), "no descriptor is left");
    let deadline = poller.now() + Duration::from_micros(1_500);
    assert_eq!(poller.wait(Some(deadline)).unwrap(), [0_u64; 0]);
    assert!(deadline <= poller.now());
    theirs.write_all(b"x").unwrap();
    assert_eq!(poller.wait(None).unwrap(), [7]);
    assert_eq!(poller.wait(Some(Instant::START)).unwrap(), [7]);
}
