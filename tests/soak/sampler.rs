//! What the routers use, every ten seconds, while a client asks and both are scraped. Does not know what happens to them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chaos::hosts::Hosts;
use crate::chaos::watch::get;
use crate::samples::{HEAD, Sample};
use crate::support::lab::{Host, lock};
use crate::support::query::PORT;
use crate::support::{millis, seconds};

const EVERY: Duration = seconds(10);
/// Of the client: 50 requests a second.
const PAUSE: Duration = millis(20);
/// For a scrape.
const PATIENCE: Duration = seconds(2);

pub(crate) struct Sampler {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    ended: AtomicBool,
    pids: Mutex<Vec<Option<u32>>>,
    requests: AtomicU64,
    failed: AtomicU64,
}

impl Sampler {
    /// Writes samples into this file until [`Sampler::finish`].
    pub(crate) fn start(hosts: &Hosts, file: &str) -> Self {
        let shared = Arc::new(Shared {
            ended: AtomicBool::new(false),
            pids: Mutex::new(hosts.pids()),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let mut file = File::create(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        writeln!(file, "{HEAD}").expect("the file is writable");
        let (of_client, client, vip) = (Arc::clone(&shared), hosts.clients[1].clone(), hosts.vips()[0]);
        let ask = move || {
            client.enter();
            while !of_client.ended.load(Relaxed) {
                let answered = get(vip).is_ok();
                of_client.requests.fetch_add(1, Relaxed);
                of_client.failed.fetch_add(u64::from(!answered), Relaxed);
                std::thread::sleep(PAUSE);
            }
        };
        let (of_sampler, routers) = (Arc::clone(&shared), hosts.routers());
        let sample = move || sample(&of_sampler, &routers, &mut file);
        Self { shared, threads: vec![std::thread::spawn(ask), std::thread::spawn(sample)] }
    }

    /// Says which processes run now.
    pub(crate) fn set(&self, pids: &[Option<u32>]) {
        *lock(&self.shared.pids) = pids.to_vec();
    }

    pub(crate) fn finish(self) {
        self.shared.ended.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("no thread panics");
        }
    }
}

fn sample(shared: &Shared, hosts: &[Host], file: &mut File) {
    let start = Instant::now();
    let mut due = start;
    let mut unanswered = vec![0; hosts.len()];
    while !shared.ended.load(Relaxed) {
        if Instant::now() < due {
            std::thread::sleep(millis(100));
            continue;
        }
        due += EVERY;
        let pids = lock(&shared.pids).clone();
        let mut lines = String::new();
        for (n, pid) in pids.iter().enumerate() {
            let Some(pid) = pid else { continue };
            let seconds = start.elapsed().as_secs();
            let Some(used) = used(*pid) else { continue };
            for page in ["/metrics", "/status"] {
                unanswered[n] += u64::from(scrape(&hosts[n], page).is_none());
            }
            let sample = Sample {
                seconds,
                host: n as u64,
                pid: u64::from(*pid),
                requests: shared.requests.load(Relaxed),
                failed: shared.failed.load(Relaxed),
                unanswered: unanswered[n],
                ..used
            };
            let _ = writeln!(lines, "{}", sample.line());
        }
        file.write_all(lines.as_bytes()).expect("the file is writable");
    }
}

/// What the process has used so far; `None` when it is gone.
fn used(pid: u32) -> Option<Sample> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kb = |name: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        value?.parse().ok()
    };
    let mut used = Sample { pss_kb: kb("Pss:")?, rss_kb: kb("Rss:")?, ..Sample::default() };
    used.descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        used.wakeups += switches?.trim().parse::<u64>().ok()?;
        let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        used.cpu_us += schedstat.split(' ').next()?.parse::<u64>().ok()? / 1_000;
    }
    Some(used)
}

/// The length of a page; `None` without a whole answer, as from a paused process.
fn scrape(host: &Host, page: &str) -> Option<usize> {
    host.inside(|| {
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], PORT)), PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("GET {page} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.starts_with("HTTP/1.1 200").then_some(text.len())
    })
}
