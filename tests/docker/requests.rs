//! A client that opens a new connection to an address every few milliseconds and counts the requests without an answer.
//! Knows neither VRRP nor Docker.
#![expect(clippy::disallowed_methods, reason = "a client of running containers reads the real clock")]

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::host::Namespace;

/// Time between the starts of two requests, whatever becomes of the earlier ones.
const EVERY: Duration = Duration::from_millis(5);
/// A connection that is not open after this time has failed. The kernel would retransmit a lost SYN after 1 s, and an outage
/// would look like a slow answer; a busy machine alone takes less.
const PATIENCE: Duration = Duration::from_millis(900);
/// Over an open connection, the answer may take so long: a busy machine holds up the service, and whoever has no such
/// connection resets it.
const ANSWER: Duration = Duration::from_secs(5);

/// Requests from a namespace, until [`Requests::finish`].
pub(crate) struct Requests {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    count: AtomicUsize,
    /// In flight.
    open: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

/// A request without an answer.
#[derive(Clone)]
pub(crate) struct Failure {
    /// Its place among the requests, from 0.
    number: usize,
    /// Since the first request.
    started: Duration,
    error: ErrorKind,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.3?}: {}", self.started, self.error)
    }
}

impl Failure {
    /// Whether the address moved between the two packets of an established connection. Any VRRP loses it, because the
    /// other host does not know the connection.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.error == ErrorKind::ConnectionReset
    }
}

/// The longest time in which no request was answered. A busy machine delays single ones at any time.
pub(crate) fn longest_outage(failures: &[Failure]) -> Duration {
    let mut failures: Vec<_> = failures.iter().collect();
    failures.sort_by_key(|failure| failure.number);
    let in_a_row = failures.chunk_by(|one, next| one.number + 1 == next.number);
    in_a_row.map(|run| run[run.len() - 1].started.saturating_sub(run[0].started)).max().unwrap_or_default()
}

impl Requests {
    /// Starts to send requests to port 80 of `address`.
    pub(crate) fn start(from: &Namespace, address: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let to = SocketAddr::new(address.parse().expect("an address"), 80);
        let (of_thread, namespace) = (Arc::clone(&shared), from.open());
        let thread = thread::spawn(move || {
            Namespace::enter(&namespace);
            send(&of_thread, to);
        });
        Self { shared, thread: Some(thread) }
    }

    /// The number of requests so far, and those that failed.
    pub(crate) fn finish(mut self) -> (usize, Vec<Failure>) {
        self.stop();
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        (self.shared.count.load(Ordering::Relaxed), failures.clone())
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.stop();
    }
}

fn send(shared: &Arc<Shared>, to: SocketAddr) {
    let begun = Instant::now();
    let mut next = begun;
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.count.fetch_add(1, Ordering::Relaxed);
        shared.open.fetch_add(1, Ordering::Relaxed);
        let of_request = Arc::clone(shared);
        // A new thread is in the network namespace of the thread that starts it.
        thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                let started = begun.elapsed();
                if let Err(error) = ask(to) {
                    let mut failures = of_request.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(Failure { number, started, error: error.kind() });
                }
                of_request.open.fetch_sub(1, Ordering::Relaxed);
            })
            .expect("a thread can be started");
        next = (next + EVERY).max(Instant::now());
        thread::sleep(next - Instant::now());
    }
    while shared.open.load(Ordering::Relaxed) > 0 {
        thread::sleep(EVERY);
    }
}

/// One connection with one request.
fn ask(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}
