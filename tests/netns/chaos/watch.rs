//! What is seen from outside while the faults happen: which kernels have an address, what clients get, and whether the
//! machine runs its threads in time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::hosts::Hosts;
use super::judge::{FRESH, Poll, Record};
use super::site::NAMES;
use crate::support::lab::{Host, enter, lock};
use crate::support::millis;
use crate::support::neighbors::Neighbors;
use crate::support::sampler::here;
use crate::support::service::PORT;

/// A thread that sleeps for [`BEAT`] and wakes so much later was starved, and so were the routers.
const LATE: Duration = millis(60);
const BEAT: Duration = millis(10);
const SAMPLE: Duration = millis(4);
const POLL: Duration = millis(100);
/// How long a client waits for a connection, and for an answer.
const PATIENCE: Duration = millis(300);

/// Watches until [`Watch::finish`].
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Record>>,
    threads: Vec<JoinHandle<()>>,
    pub(crate) started: Instant,
}

impl Watch {
    pub(crate) fn start(hosts: &Hosts) -> Self {
        let vips = hosts.vips();
        let record = Record { holders: vec![vec![]; vips.len()], ..Record::default() };
        let mut watch = Self {
            stop: Arc::default(),
            seen: Arc::new(Mutex::new(record)),
            threads: vec![],
            started: Instant::now(),
        };
        watch.spawn(beat);
        let routers = hosts.routers();
        let addresses = vips.clone();
        watch.spawn(move |eye| sample(eye, &routers, &addresses));
        for (client, name) in hosts.clients.iter().zip([FRESH, "cached"]) {
            let (client, vips) = (client.clone(), vips.clone());
            watch.spawn(move |eye| poll(eye, &client, name, &vips));
        }
        watch
    }

    fn spawn(&mut self, work: impl FnOnce(&Eye) + Send + 'static) {
        let eye = Eye { stop: Arc::clone(&self.stop), seen: Arc::clone(&self.seen), started: self.started };
        self.threads.push(std::thread::spawn(move || work(&eye)));
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn note(&self, note: impl FnOnce(&mut Record)) {
        note(&mut lock(&self.seen));
    }

    pub(crate) fn finish(mut self) -> Record {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no thread panics");
        }
        let mut record = std::mem::take(&mut *lock(&self.seen));
        record.ended = self.now();
        record
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a thread of the watch works with.
struct Eye {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Record>>,
    started: Instant,
}

impl Eye {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sleeps, and notes if that took too long.
    fn sleep(&self, time: Duration) {
        let from = self.now();
        std::thread::sleep(time);
        let to = self.now();
        if to > from + time + LATE {
            lock(&self.seen).stalls.push((from + time, to));
        }
    }
}

fn beat(eye: &Eye) {
    while eye.goes_on() {
        eye.sleep(BEAT);
    }
}

fn sample(eye: &Eye, hosts: &[Host], vips: &[IpAddr]) {
    let namespaces: Vec<_> = hosts.iter().map(Host::open).collect();
    let mut last: Vec<Option<Vec<bool>>> = vec![None; vips.len()];
    while eye.goes_on() {
        let look = |namespace| {
            enter(namespace);
            here(vips)
        };
        let seen: Vec<Vec<bool>> = namespaces.iter().map(look).collect();
        let now = eye.now();
        for (n, last) in last.iter_mut().enumerate() {
            let holders: Vec<bool> = seen.iter().map(|vips| vips[n]).collect();
            if last.as_ref() != Some(&holders) {
                lock(&eye.seen).holders[n].push((now, holders.clone()));
                *last = Some(holders);
            }
        }
        std::thread::sleep(SAMPLE);
    }
}

/// A client that asks all addresses. The one called fresh forgets its neighbors each time.
fn poll(eye: &Eye, client: &Host, name: &'static str, vips: &[IpAddr]) {
    client.enter();
    let mut neighbors = (name == FRESH).then(|| Neighbors::of(client));
    while eye.goes_on() {
        for (address, vip) in vips.iter().enumerate() {
            if let Some(neighbors) = &mut neighbors {
                neighbors.forget(*vip);
            }
            let asked = eye.now();
            let body = get(*vip);
            let ended = eye.now();
            let answer = body.as_ref().ok().and_then(|body| NAMES.iter().position(|name| name == body));
            let error = body.map_or_else(|e| e.to_string(), |body| format!("the answer {body:?}"));
            let error = if answer.is_some() { String::new() } else { error };
            lock(&eye.seen).polls.push(Poll { client: name, address, asked, ended, answer, error });
        }
        std::thread::sleep(POLL);
    }
}

/// Asks the service at this address once, on the host of the calling thread.
pub(crate) fn get(vip: IpAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((vip, PORT)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned()))
}
