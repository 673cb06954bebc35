//! The punctuality of the poller on a real clock.

use std::time::Duration;

use vrrp_init::sys::poller::{Clock, Poller};

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
