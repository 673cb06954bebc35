//! A client that opens a new connection to the virtual address every 3 ms and notes who answered, and hears the
//! adverts as any host on the link does; knows no router.

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
use crate::support::service::PORT;

/// Between the starts of two attempts, whatever became of the earlier ones.
pub(crate) const EVERY: Duration = Duration::from_millis(3);
/// An attempt without its whole answer after this time has failed and is closed. The kernel would send a lost SYN
/// again after 1 s and hide the outage.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// How long adverts are kept.
const REMEMBERED: Duration = Duration::from_secs(5);

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

/// What was seen since [`Client::begin`].
#[derive(Clone, Default)]
pub(crate) struct Record {
    /// In the order of their ends.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) adverts: Vec<Heard>,
    /// Longest time between the starts of two attempts: what the client itself was kept from seeing.
    pub(crate) blind: Duration,
}

/// Asks until it is dropped, with pauses.
pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
            Asker::new(&host.interface, SocketAddr::from((vip, PORT)), of_thread).run();
        });
        Self { shared, thread: Some(thread) }
    }

    /// Starts no attempts until [`Client::resume`]; adverts are still heard.
    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.shared.paused.store(false, Relaxed);
    }

    /// Forgets what was seen but the last adverts, which an event's times are counted from.
    pub(crate) fn begin(&self) {
        let mut record = lock(&self.shared.record);
        let mut adverts = std::mem::take(&mut record.adverts);
        adverts.retain(|heard| heard.at.elapsed() < REMEMBERED);
        *record = Record { adverts, ..Record::default() };
    }

    /// What was seen, with the ends of all attempts that have started before this call.
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
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection under way.
struct Open {
    socket: Socket,
    started: Instant,
    asked: bool,
    got: Vec<u8>,
}

enum Progress {
    Waits,
    Answered(u8),
    Failed,
}

/// The client's thread.
struct Asker {
    shared: Arc<Shared>,
    epoll: Epoll,
    ticks: TimerFd,
    adverts: Socket,
    vip: SocketAddr,
    /// By number, thus by start.
    open: BTreeMap<u64, Open>,
    count: u64,
    last: Option<Instant>,
}

impl Asker {
    fn new(interface: &str, vip: SocketAddr, shared: Arc<Shared>) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll is there");
        let ticks =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("timers are there");
        ticks
            .set(Expiration::Interval(TimeSpec::from_duration(EVERY)), TimerSetTimeFlags::empty())
            .expect("3 ms is a time");
        let index = if_nametoindex(interface).expect("the client has its interface");
        let adverts = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(112)))
            .and_then(|socket| {
                let group = Ipv4Addr::new(224, 0, 0, 18);
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
                Ok(socket)
            })
            .expect("root may listen");
        let readable = EpollFlags::EPOLLIN;
        epoll.add(&ticks, EpollEvent::new(readable, TICK)).expect("a timer can be waited for");
        epoll.add(&adverts, EpollEvent::new(readable, ADVERT)).expect("a socket can be waited for");
        Self { shared, epoll, ticks, adverts, vip, open: BTreeMap::new(), count: 0, last: None }
    }

    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.shared.ended.load(Relaxed) {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                ready => ready.expect("the epoll is ours"),
            };
            for event in &events[..ready] {
                match event.data() {
                    TICK => self.tick(),
                    ADVERT => self.hear(),
                    number => self.advance(number),
                }
            }
        }
    }

    fn tick(&mut self) {
        // Only says how many ticks were missed, which `blind` tells.
        let _ = self.ticks.wait();
        let now = Instant::now();
        while let Some(oldest) = self.open.first_entry().filter(|e| e.get().started + PATIENCE < now) {
            oldest.remove();
            self.note(None);
        }
        if self.shared.paused.load(Relaxed) {
            self.last = None;
            return;
        }
        if let Some(last) = self.last.replace(now) {
            let mut record = lock(&self.shared.record);
            record.blind = record.blind.max(now - last);
        }
        self.connect(now);
    }

    fn connect(&mut self, now: Instant) {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None).expect("sockets are there");
        // Closing resets: neither side keeps a port in TIME_WAIT.
        socket.set_linger(Some(Duration::ZERO)).expect("an option of every TCP socket");
        match socket.connect(&self.vip.into()) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return self.note(None),
            _ => {}
        }
        let number = self.count;
        self.count += 1;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(&socket, EpollEvent::new(flags, number)).expect("a socket can be waited for");
        self.open.insert(number, Open { socket, started: now, asked: false, got: Vec::new() });
    }

    /// Goes on with one connection; an attempt given up a moment ago may still have its event here.
    fn advance(&mut self, number: u64) {
        let Some(open) = self.open.get_mut(&number) else { return };
        match open.advance() {
            Progress::Waits => return,
            Progress::Answered(by) => self.note(Some(by)),
            Progress::Failed => self.note(None),
        }
        self.open.remove(&number);
    }

    fn note(&self, answer: Option<u8>) {
        lock(&self.shared.record).attempts.push(Attempt { ended: Instant::now(), answer });
    }

    fn hear(&self) {
        let mut packet = [0; 256];
        while let Ok(length) = (&self.adverts).read(&mut packet) {
            // The IP header comes with it.
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
        if !self.asked {
            match (&self.socket).write(REQUEST) {
                Ok(_) => self.asked = true,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Progress::Waits,
                Err(_) => return Progress::Failed,
            }
        }
        let mut part = [0; 512];
        loop {
            match (&self.socket).read(&mut part) {
                Ok(0) => return Progress::Failed,
                Ok(length) => self.got.extend_from_slice(&part[..length]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Progress::Waits,
                Err(_) => return Progress::Failed,
            }
            if let Some(by) = body(&self.got) {
                return Progress::Answered(by);
            }
        }
    }
}

/// The first octet of the body of a good answer.
fn body(got: &[u8]) -> Option<u8> {
    let end = got.windows(4).position(|four| four == b"\r\n\r\n")?;
    got.starts_with(b"HTTP/1.").then_some(())?;
    got.windows(5).take(16).any(|five| five == b" 200 ").then(|| got.get(end + 4).copied())?
}

impl Record {
    /// From the last good answer before the first one after `event` that does not come from `master`, to that one:
    /// the outage. `None`: no other host answered.
    pub(crate) fn handover(&self, master: u8, event: Instant) -> Option<(Instant, Instant)> {
        let good = || self.attempts.iter().filter_map(|a| Some((a.ended, a.answer?)));
        let (first, _) = good().find(|(at, who)| *at > event && *who != master)?;
        let (last, _) = good().rfind(|(at, _)| *at < first)?;
        Some((last, first))
    }

    /// Attempts that were under way at `event` or began later, and failed.
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
