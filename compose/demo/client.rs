//! The demo's client: opens a new connection to an address every 2 ms, without waiting for the earlier
//! ones, and prints which node answered. Knows neither VRRP nor Docker. Uses only the standard library, so that `rustc`
//! builds it in a second.
//!
//! ```text
//! client ADDRESS:PORT                   print every change, until interrupted
//! client ADDRESS:PORT NODE              wait until NODE answers
//! client ADDRESS:PORT NODE COMMAND ...  run COMMAND, wait until NODE answers, print the requests around the change
//! ```
#![expect(clippy::disallowed_methods, reason = "a client of running containers reads the real clock")]

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time between the starts of two requests.
const EVERY: Duration = Duration::from_millis(2);
/// A request has failed if its answer is not complete after this time. The kernel would retransmit a lost SYN after 1 s,
/// and an outage would look like a slow answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// A node has taken over after this many answers in a row.
const STEADY: usize = 50;
/// The longest wait for the node.
const LIMIT: Duration = Duration::from_secs(30);
/// Requests that a timeline shows before and after a change.
const CONTEXT: usize = 3;
/// A timeline shows at most this many failed requests one by one.
const SHOWN: usize = 12;

/// How the timeline names each failure.
const FAILURES: [(ErrorKind, &str); 7] = [
    (ErrorKind::ConnectionRefused, "connection refused"),
    (ErrorKind::ConnectionReset, "connection reset"),
    (ErrorKind::HostUnreachable, "no route to host"),
    (ErrorKind::NetworkUnreachable, "no route to the network"),
    (ErrorKind::TimedOut, "no answer within 250 ms"),
    (ErrorKind::WouldBlock, "no answer within 250 ms"),
    (ErrorKind::InvalidData, "not an answer with status 200"),
];

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let mut arguments = arguments.into_iter();
    let usage = "usage: client ADDRESS:PORT [NODE [COMMAND ARGUMENT ...]]";
    let address = arguments.next().ok_or(usage)?;
    let address: SocketAddr =
        address.parse().map_err(|_| format!("{address} is not ADDRESS:PORT\n{usage}"))?;
    let requests = start_requests(address);
    let Some(node) = arguments.next() else { return watch(&requests) };
    let command: Vec<String> = arguments.collect();
    if command.is_empty() {
        return wait_for(&node, &requests, &mut Vec::new());
    }
    let mut seen = Vec::new();
    wait_until_steady(&requests)?;
    let zero = Instant::now();
    let child = thread::spawn(move || execute(&command));
    wait_for(&node, &requests, &mut seen)?;
    child.join().map_err(|_| "the command's thread panicked")??;
    collect(&requests, &mut seen, PATIENCE);
    seen.retain(|request| request.at() >= zero);
    seen.sort_by_key(Request::at);
    print!("{}", Timeline { requests: &seen, node: &node, zero });
    Ok(())
}

/// Runs the command and waits for it. Its output is shown only if it fails.
fn execute(command: &[String]) -> Result<(), String> {
    let output = Command::new(&command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{}: {}\n{}", command.join(" "), output.status, String::from_utf8_lossy(&text)))
}

/// One request, from connecting to the end of its answer.
#[derive(Debug)]
struct Request {
    started: Instant,
    ended: Instant,
    /// The body of the answer, which is the node's name, or what went wrong.
    outcome: Result<String, &'static str>,
}

impl Request {
    /// The time for which it shows the state of the service: the end of a good answer, the start of a failure.
    fn at(&self) -> Instant {
        if self.outcome.is_ok() { self.ended } else { self.started }
    }

    fn is_answered_by(&self, node: &str) -> bool {
        self.outcome.as_deref() == Ok(node)
    }

    fn label(&self) -> &str {
        self.outcome.as_deref().unwrap_or_else(|failure| failure)
    }
}

/// Starts a request every [`EVERY`], each on its own thread. The requests arrive in the order in which they end.
fn start_requests(address: SocketAddr) -> Receiver<Request> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut next = Instant::now();
        loop {
            let sender = sender.clone();
            // If no thread can be started, this request is skipped, and the timeline shows a gap.
            let _ = thread::Builder::new().stack_size(64 << 10).spawn(move || request(address, &sender));
            next += EVERY;
            let now = Instant::now();
            // On a busy machine, late requests are skipped, not sent in a burst.
            next = next.max(now);
            thread::sleep(next - now);
        }
    });
    receiver
}

fn request(address: SocketAddr, sender: &Sender<Request>) {
    let started = Instant::now();
    let outcome = ask(address, started).map_err(|error| {
        let known = FAILURES.iter().find(|(kind, _)| *kind == error.kind());
        known.map_or("failed", |(_, text)| *text)
    });
    // The receiver is gone when the program ends.
    let _ = sender.send(Request { started, ended: Instant::now(), outcome });
}

/// Opens a connection, sends one HTTP request and returns the body of the answer.
fn ask(address: SocketAddr, started: Instant) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let left = PATIENCE.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.trim().to_owned()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

/// Collects requests in `seen` until the last [`STEADY`] were all answered by `node`.
fn wait_for(node: &str, requests: &Receiver<Request>, seen: &mut Vec<Request>) -> Result<(), String> {
    let start = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < STEADY {
        let request = requests.recv().map_err(|_| "no more requests can be started")?;
        in_a_row = if request.is_answered_by(node) { in_a_row + 1 } else { 0 };
        if start.elapsed() > LIMIT {
            let last = request.label();
            return Err(format!("no steady answer from {node} within {LIMIT:?}; the last request: {last}"));
        }
        seen.push(request);
    }
    Ok(())
}

/// Waits until any one node answers, so that the timeline begins with a service that works.
fn wait_until_steady(requests: &Receiver<Request>) -> Result<(), String> {
    let first = requests.iter().find_map(|request| request.outcome.ok());
    wait_for(&first.ok_or("no more requests can be started")?, requests, &mut Vec::new())
}

/// Collects the requests that end within `time`.
fn collect(requests: &Receiver<Request>, seen: &mut Vec<Request>, time: Duration) {
    let end = Instant::now() + time;
    while let Ok(request) = requests.recv_timeout(end.saturating_duration_since(Instant::now())) {
        seen.push(request);
    }
}

/// The requests around the change to `node`, in the order of [`Request::at`].
struct Timeline<'a> {
    requests: &'a [Request],
    node: &'a str,
    zero: Instant,
}

impl Timeline<'_> {
    /// The index of the node's first answer, if any.
    fn first_answer(&self) -> Option<usize> {
        self.requests.iter().position(|request| request.is_answered_by(self.node))
    }

    /// The index of the last good answer before that.
    fn last_answer(&self, first: usize) -> Option<usize> {
        self.requests[..first].iter().rposition(|request| request.outcome.is_ok())
    }

    fn time(&self, at: Instant) -> String {
        format!("{:>10}", Millis(at.saturating_duration_since(self.zero)).to_string())
    }

    fn rows(&self, f: &mut fmt::Formatter, last: usize, first: usize) -> fmt::Result {
        let before = self.requests[..last].iter().filter(|request| request.outcome.is_ok()).count();
        let begin = last.saturating_sub(CONTEXT - 1);
        if let Some(earlier) = before.checked_sub(CONTEXT - 1).filter(|earlier| *earlier > 0) {
            writeln!(f, "           …  {earlier} answers from {}", self.requests[last].label())?;
        }
        let end = (first + CONTEXT).min(self.requests.len());
        let failed = first.saturating_sub(last + 1);
        for (n, request) in self.requests.iter().enumerate().take(end).skip(begin) {
            let hidden = failed.saturating_sub(SHOWN);
            let after_last = n.saturating_sub(last + SHOWN / 2);
            if n > last && n < first && hidden > 0 && (1..=hidden).contains(&after_last) {
                if after_last == 1 {
                    writeln!(f, "           …  {hidden} more requests without an answer")?;
                }
                continue;
            }
            let note = match n {
                _ if n == last => format!("  ← the last answer from {}", request.label()),
                _ if n == first => format!("  ← the first answer from {}", self.node),
                _ => String::new(),
            };
            writeln!(f, "{}  {}{note}", self.time(request.at()), request.label())?;
        }
        Ok(())
    }
}

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Some(first) = self.first_answer() else { return Ok(()) };
        let Some(last) = self.last_answer(first) else { return Ok(()) };
        self.rows(f, last, first)?;
        let outage = self.requests[first].at() - self.requests[last].at();
        let failed = self.requests.iter().filter(|request| request.outcome.is_err()).count();
        let total = self.requests.len();
        let mut starts: Vec<Instant> = self.requests.iter().map(|request| request.started).collect();
        starts.sort_unstable();
        let late = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
        writeln!(f, "    {} without an answer; {failed} of {total} requests failed", Millis(outage))?;
        if let Some(late) = late.filter(|late| *late > 3 * EVERY) {
            writeln!(f, "    (a busy machine: the client itself paused for up to {})", Millis(late))?;
        }
        Ok(())
    }
}

/// Milliseconds with one decimal.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let tenths = (self.0.as_micros() + 50) / 100;
        write!(f, "{}.{} ms", tenths / 10, tenths % 10)
    }
}

/// Prints which node answers whenever that changes, and how long there was no answer.
fn watch(requests: &Receiver<Request>) -> Result<(), String> {
    let mut node = String::new();
    let (mut last, mut failed, mut silent) = (Instant::now(), false, false);
    for request in requests {
        // A failure that began before the last good answer belongs to an outage that has been reported.
        let gap = request.at().saturating_duration_since(last);
        match &request.outcome {
            Ok(name) if node.is_empty() => println!("{}  {name} answers", clock()),
            Ok(name) if *name != node || (failed && gap > 2 * EVERY) => {
                println!("{}  {name} answers, after {} without an answer", clock(), Millis(gap));
            }
            Err(failure) if gap > 2 * PATIENCE && !silent => {
                println!("{}  {failure}", clock());
                silent = true;
            }
            Ok(_) | Err(_) => {}
        }
        failed = request.outcome.is_err() && !gap.is_zero();
        if let Ok(name) = request.outcome {
            (node, last, silent) = (name, last.max(request.ended), false);
        }
    }
    Err("no more requests can be started".into())
}

/// The time of day, UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (now.as_secs(), now.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
