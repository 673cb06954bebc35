//! Samples, about every millisecond, which hosts hold an address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use super::lab::{Host, enter};

/// Samples until [`Sampler::finish`].
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Sampled>>,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Sampled {
    /// Longest time without a holder.
    pub(crate) none: Duration,
    /// Longest time with two holders or more.
    pub(crate) several: Duration,
    /// The number of changes of the set of holders.
    pub(crate) changes: usize,
    /// Longest time between two samples: shorter changes can have been missed.
    pub(crate) longest_gap: Duration,
    /// For each change its time, and then which of the hosts held the address.
    pub(crate) history: Vec<(Instant, Vec<bool>)>,
    pub(crate) ended: Instant,
}

impl Sampler {
    pub(crate) fn start(hosts: &[&Host], address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        let namespaces: Vec<_> = hosts.iter().map(|host| host.open()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen: Vec<(Instant, Vec<bool>)> = Vec::new();
            let (mut sampled, mut longest_gap) = (Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let look = |namespace| {
                    enter(namespace);
                    here(&[address])[0]
                };
                let holders: Vec<bool> = namespaces.iter().map(look).collect();
                let now = Instant::now();
                longest_gap = longest_gap.max(now - sampled);
                sampled = now;
                if seen.last().is_none_or(|(_, last)| *last != holders) {
                    seen.push((now, holders));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Sampled::from(seen, Instant::now(), longest_gap)
        });
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn finish(mut self) -> Sampled {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finish is called once");
        thread.join().expect("the sampler does not panic")
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sampled {
    fn from(history: Vec<(Instant, Vec<bool>)>, ended: Instant, longest_gap: Duration) -> Self {
        assert!(!history.is_empty(), "the sampler took no sample");
        let zero = Duration::ZERO;
        let mut sampled =
            Self { none: zero, several: zero, changes: history.len() - 1, longest_gap, history, ended };
        let longest = |is: fn(usize) -> bool| {
            let of = sampled.stretches(is);
            of.into_iter().map(|(from, to)| to - from).max().unwrap_or(zero)
        };
        (sampled.none, sampled.several) = (longest(|n| n == 0), longest(|n| n > 1));
        sampled
    }

    /// The spans of time, from and to, in which the number of holders was as wanted.
    pub(crate) fn stretches(&self, wanted: impl Fn(usize) -> bool) -> Vec<(Instant, Instant)> {
        let ends = self.history.iter().skip(1).map(|(at, _)| *at).chain([self.ended]);
        let spans = self.history.iter().zip(ends);
        spans
            .filter(|((_, holders), _)| wanted(holders.iter().filter(|holds| **holds).count()))
            .map(|((from, _), to)| (*from, to))
            .collect()
    }
}

/// Which of `addresses` the calling thread's network namespace has.
pub(crate) fn here(addresses: &[IpAddr]) -> Vec<bool> {
    let all: Vec<IpAddr> = getifaddrs().expect("the kernel lists addresses").filter_map(|a| ip(&a)).collect();
    addresses.iter().map(|address| all.contains(address)).collect()
}

fn ip(interface: &InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|a| a.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|a| a.ip().into()))
}
