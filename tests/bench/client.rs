//! A client that opens a new connection to the virtual address every 3 ms and records which host answered. It also
//! receives the adverts, as any host on the link does. Knows no router.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::support::lab::{Host, lock};
use crate::support::neighbors::Neighbors;
use crate::support::service::PORT;

/// Time between the starts of two attempts, no matter how the earlier ones fared.
pub(crate) const EVERY: Duration = Duration::from_millis(3);
/// An attempt without its complete answer after this time has failed and is closed. The kernel would retransmit a lost
/// SYN after 1 s, and the outage would look like a slow answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// How long [`Client::begin`] keeps adverts.
const KEPT: Duration = Duration::from_secs(5);

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const TICK: u64 = u64::MAX;
const ADVERT: u64 = u64::MAX - 1;

/// One request, from its connect to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) ended: Instant,
    /// First letter of the answering host's name.
    pub(crate) answer: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) from: Ipv4Addr,
}

/// What the client has seen since [`Client::begin`].
#[derive(Clone, Default)]
pub(crate) struct Record {
    /// In the order of their ends.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) adverts: Vec<Heard>,
    /// Longest time between the starts of two attempts: how coarse the sampling was on a busy machine.
    pub(crate) longest_pause: Duration,
}

/// A forgetful client asks for the hardware address of the virtual address this often.
const FORGET: Duration = Duration::from_millis(50);

/// Sends requests until it is dropped.
pub(crate) struct Client {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    paused: AtomicBool,
    ended: AtomicBool,
}

impl Client {
    pub(crate) fn start(host: &Host, vip: Ipv4Addr) -> Self {
        let shared = Arc::new(Shared::default());
        let (host, of_thread) = (host.clone(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            host.enter();
            Sampler::new(&host.interface, SocketAddr::from((vip, PORT)), of_thread).run();
        });
        Self { shared, threads: vec![thread] }
    }

    /// One that forgets the hardware address of the virtual address again and again.
    pub(crate) fn forgetful(host: &Host, vip: Ipv4Addr) -> Self {
        let mut client = Self::start(host, vip);
        let shared = Arc::clone(&client.shared);
        let mut neighbors = Neighbors::of(host);
        client.threads.push(std::thread::spawn(move || {
            while !shared.ended.load(Relaxed) {
                if !shared.paused.load(Relaxed) {
                    neighbors.forget(vip.into());
                }
                std::thread::sleep(FORGET);
            }
        }));
        client
    }

    /// Starts no attempts until [`Client::resume`]; still receives adverts.
    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.shared.paused.store(false, Relaxed);
    }

    /// Clears the record, except for the latest adverts: an event's times are counted from them.
    pub(crate) fn begin(&self) {
        let mut record = lock(&self.shared.record);
        let mut adverts = std::mem::take(&mut record.adverts);
        adverts.retain(|heard| heard.at.elapsed() < KEPT);
        *record = Record { adverts, ..Record::default() };
    }

    /// The record, after all attempts that started before this call have ended.
    pub(crate) fn record(&self) -> Record {
        std::thread::sleep(PATIENCE + 3 * EVERY);
        lock(&self.shared.record).clone()
    }

    /// Whether the last `count` attempts were all answered by `host`.
    pub(crate) fn is_answered_by(&self, host: u8, count: usize) -> bool {
        let record = lock(&self.shared.record);
        let last = record.attempts.iter().rev().take(count);
        last.filter(|attempt| attempt.answer == Some(host)).count() == count
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// An open connection.
struct Open {
    socket: Socket,
    started: Instant,
    request_sent: bool,
    answer: Vec<u8>,
}

enum Progress {
    Pending,
    Answered(u8),
    Failed,
}

/// The client's thread.
struct Sampler {
    shared: Arc<Shared>,
    epoll: Epoll,
    ticks: TimerFd,
    adverts: Socket,
    vip: SocketAddr,
    /// By number, that is in the order of their starts.
    open: BTreeMap<u64, Open>,
    count: u64,
    last: Option<Instant>,
}

impl Sampler {
    fn new(interface: &str, vip: SocketAddr, shared: Arc<Shared>) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("every kernel has epoll");
        let ticks = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .expect("every kernel has timerfd");
        ticks
            .set(Expiration::Interval(TimeSpec::from_duration(EVERY)), TimerSetTimeFlags::empty())
            .expect("3 ms is a valid interval");
        let index = if_nametoindex(interface).expect("the client's interface exists");
        let adverts = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(112)))
            .and_then(|socket| {
                let group = Ipv4Addr::new(224, 0, 0, 18);
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
                Ok(socket)
            })
            .expect("root may open a raw socket");
        let readable = EpollFlags::EPOLLIN;
        epoll.add(&ticks, EpollEvent::new(readable, TICK)).expect("epoll takes timers");
        epoll.add(&adverts, EpollEvent::new(readable, ADVERT)).expect("epoll takes sockets");
        Self { shared, epoll, ticks, adverts, vip, open: BTreeMap::new(), count: 0, last: None }
    }

    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.shared.ended.load(Relaxed) {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                ready => ready.expect("the descriptor is an epoll"),
            };
            for event in &events[..ready] {
                match event.data() {
                    TICK => self.tick(),
                    ADVERT => self.receive_adverts(),
                    number => self.advance(number),
                }
            }
        }
    }

    fn tick(&mut self) {
        // Returns how many ticks were missed, which `longest_pause` covers.
        let _ = self.ticks.wait();
        let now = Instant::now();
        while let Some(oldest) = self.open.first_entry().filter(|e| e.get().started + PATIENCE < now) {
            oldest.remove();
            self.record(None);
        }
        if self.shared.paused.load(Relaxed) {
            self.last = None;
            return;
        }
        if let Some(last) = self.last.replace(now) {
            let mut record = lock(&self.shared.record);
            record.longest_pause = record.longest_pause.max(now - last);
        }
        self.connect(now);
    }

    fn connect(&mut self, now: Instant) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)
            .expect("a TCP socket can be opened");
        // Closing sends a reset, so that neither side keeps a port in TIME_WAIT.
        socket.set_linger(Some(Duration::ZERO)).expect("every TCP socket has SO_LINGER");
        match socket.connect(&self.vip.into()) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return self.record(None),
            _ => {}
        }
        let number = self.count;
        self.count += 1;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(&socket, EpollEvent::new(flags, number)).expect("epoll takes sockets");
        self.open.insert(number, Open { socket, started: now, request_sent: false, answer: Vec::new() });
    }

    /// Advances one connection; an attempt that has just timed out may still have an event in this batch.
    fn advance(&mut self, number: u64) {
        let Some(open) = self.open.get_mut(&number) else { return };
        match open.advance() {
            Progress::Pending => return,
            Progress::Answered(by) => self.record(Some(by)),
            Progress::Failed => self.record(None),
        }
        self.open.remove(&number);
    }

    fn record(&self, answer: Option<u8>) {
        lock(&self.shared.record).attempts.push(Attempt { ended: Instant::now(), answer });
    }

    fn receive_adverts(&self) {
        let mut packet = [0; 256];
        while let Ok(length) = (&self.adverts).read(&mut packet) {
            // A raw socket delivers the IP header too.
            let Some([a, b, c, d]) = packet[..length].get(12..16).and_then(|s| <[u8; 4]>::try_from(s).ok())
            else {
                continue;
            };
            let heard = Heard { at: Instant::now(), from: Ipv4Addr::new(a, b, c, d) };
            lock(&self.shared.record).adverts.push(heard);
        }
    }
}

impl Open {
    fn advance(&mut self) -> Progress {
        if !self.request_sent {
            match (&self.socket).write(REQUEST) {
                Ok(_) => self.request_sent = true,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Progress::Pending,
                Err(_) => return Progress::Failed,
            }
        }
        let mut part = [0; 512];
        loop {
            match (&self.socket).read(&mut part) {
                Ok(0) => return Progress::Failed,
                Ok(length) => self.answer.extend_from_slice(&part[..length]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Progress::Pending,
                Err(_) => return Progress::Failed,
            }
            if let Some(by) = body(&self.answer) {
                return Progress::Answered(by);
            }
        }
    }
}

/// The first octet of the body of an answer with status 200.
fn body(answer: &[u8]) -> Option<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.").then_some(())?;
    answer.windows(5).take(16).any(|five| five == b" 200 ").then(|| answer.get(end + 4).copied())?
}

impl Record {
    /// The outage: from the last good answer before the first one that another host than `master` gave after `event`, to
    /// that one. `None`: no other host answered.
    pub(crate) fn handover(&self, master: u8, event: Instant) -> Option<(Instant, Instant)> {
        let good = || self.attempts.iter().filter_map(|a| Some((a.ended, a.answer?)));
        let (first, _) = good().find(|(at, who)| *at > event && *who != master)?;
        let (last, _) = good().rfind(|(at, _)| *at < first)?;
        Some((last, first))
    }

    /// Attempts that were open at `event` or started later, and failed.
    pub(crate) fn failed(&self, event: Instant) -> usize {
        self.attempts.iter().filter(|a| a.ended > event && a.answer.is_none()).count()
    }

    /// The last advert that `sender` sent before `limit`.
    pub(crate) fn last_advert(&self, sender: Ipv4Addr, limit: Instant) -> Option<Instant> {
        let of_sender = |heard: &&Heard| heard.from == sender && heard.at < limit;
        self.adverts.iter().rfind(of_sender).map(|heard| heard.at)
    }

    /// Longest time between two adverts of `sender`.
    pub(crate) fn longest_silence(&self, sender: Ipv4Addr) -> Duration {
        let at: Vec<_> = self.adverts.iter().filter(|h| h.from == sender).map(|h| h.at).collect();
        at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
