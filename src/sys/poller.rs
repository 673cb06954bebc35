//! The clock, and waiting for descriptors until a deadline on it. Does not know what the descriptors are for.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::Error;
use crate::time::{Instant, Timestamp};

/// Ready descriptors returned at once. If more are ready, the kernel returns them in turn, so that none starves.
const BATCH: usize = 16;

/// A longer wait is split, which keeps any timeout in the range that the kernel accepts.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The daemon's clock. It never steps, and unlike `std::time::Instant` it runs while the machine is suspended
/// (`CLOCK_BOOTTIME`). A master that was suspended while another one was elected therefore finds itself late. Whether a
/// pause of a virtual machine counts depends on the guest's clock source.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Duration,
}

impl Clock {
    /// A clock that reads [`Instant::START`] now.
    ///
    /// # Errors
    /// The kernel has no such clock (before Linux 2.6.39), or a seccomp profile forbids reading it.
    pub fn start() -> Result<Self, Error> {
        let started = since_boot().map_err(Error::doing("read", "the clock CLOCK_BOOTTIME"))?;
        Ok(Self { started })
    }

    /// The present moment.
    ///
    /// # Panics
    /// Never: the clock was readable at the start, and nothing that it depends on can change.
    pub fn now(self) -> Instant {
        let now = since_boot().expect("CLOCK_BOOTTIME was readable when the clock was started");
        Instant::after_start(now.saturating_sub(self.started))
    }
}

/// The time of day, which may step.
pub fn wall_clock() -> Timestamp {
    // Only a seccomp profile could make this fail. That is no reason to stop.
    Timestamp::after_epoch(clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from))
}

fn since_boot() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from)
}

/// The event that a descriptor is watched for. Errors and hang-ups are reported with either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is data to read or a connection to accept.
    Readable,
    /// There is space to write, or an attempt to connect succeeded or failed.
    Writable,
    /// The peer has finished sending or has closed the connection. Unread data is not reported.
    Closed,
}

impl Interest {
    const fn flags(self) -> EpollFlags {
        match self {
            Self::Readable => EpollFlags::EPOLLIN,
            Self::Writable => EpollFlags::EPOLLOUT,
            Self::Closed => EpollFlags::EPOLLRDHUP,
        }
    }
}

/// Identifies the owner of a watched descriptor; epoll stores it as 64 bits.
pub trait Token: Copy {
    /// The bits that epoll stores.
    fn pack(self) -> u64;
    /// The token with these bits; `None` if no token has them.
    fn unpack(raw: u64) -> Option<Self>;
}

impl Token for u64 {
    fn pack(self) -> u64 {
        self
    }

    fn unpack(raw: u64) -> Option<Self> {
        Some(raw)
    }
}

/// A set of watched descriptors, each with the token of its owner, and the clock for deadlines.
#[derive(Debug)]
pub struct Poller<T = u64> {
    clock: Clock,
    epoll: Epoll,
    tokens: PhantomData<T>,
}

impl<T: Token> Poller<T> {
    /// An empty set.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(clock: Clock) -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(Error::doing("open", "an epoll descriptor"))?;
        Ok(Self { clock, epoll, tokens: PhantomData })
    }

    /// The clock of the deadlines.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The present moment on the poller's clock.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Starts to report `token` whenever `fd` is readable, has an error or was hung up. Level-triggered: it is reported
    /// until everything was read.
    ///
    /// # Errors
    /// `fd` is already watched or cannot be watched (a regular file), or the kernel is out of memory.
    pub fn watch(&self, fd: BorrowedFd<'_>, token: T) -> Result<(), Error> {
        self.watch_for(fd, token, Interest::Readable)
    }

    /// Like [`Poller::watch`], for `interest`.
    ///
    /// # Errors
    /// As [`Poller::watch`].
    pub fn watch_for(&self, fd: BorrowedFd<'_>, token: T, interest: Interest) -> Result<(), Error> {
        let event = EpollEvent::new(interest.flags(), token.pack());
        self.epoll.add(fd, event).map_err(|e| Error::doing("watch", describe(fd))(e))
    }

    /// Watches `fd` for `interest` instead of the event before.
    ///
    /// # Errors
    /// It was not watched.
    pub fn rewatch(&self, fd: BorrowedFd<'_>, token: T, interest: Interest) -> Result<(), Error> {
        let mut event = EpollEvent::new(interest.flags(), token.pack());
        self.epoll.modify(fd, &mut event).map_err(|e| Error::doing("change the watch on", describe(fd))(e))
    }

    /// Watches `fd` for `interest`. `current` is the event it is watched for so far, if any, and is updated.
    ///
    /// # Errors
    /// As [`Poller::watch`]; then `current` is unchanged.
    pub fn watch_only_for(
        &self,
        fd: BorrowedFd<'_>,
        token: T,
        current: &mut Option<Interest>,
        interest: Interest,
    ) -> Result<(), Error> {
        match current {
            Some(current) if *current == interest => return Ok(()),
            Some(_) => self.rewatch(fd, token, interest)?,
            None => self.watch_for(fd, token, interest)?,
        }
        *current = Some(interest);
        Ok(())
    }

    /// Stops watching `fd`. Call it before closing: if the descriptor was duplicated, the kernel would continue to report
    /// its token. Tokens already returned by [`Poller::wait`] may include it.
    ///
    /// # Errors
    /// It was not watched.
    pub fn forget(&self, fd: BorrowedFd<'_>) -> Result<(), Error> {
        self.epoll.delete(fd).map_err(|e| Error::doing("stop watching", describe(fd))(e))
    }

    /// Waits until a watched descriptor is ready or the clock has reached `deadline`. Returns the tokens of ready
    /// descriptors, at most 16; empty means that the deadline has come. It never ends before the deadline, with a
    /// resolution of nanoseconds. If the deadline has passed already, it returns what is ready now. Without a deadline it
    /// waits indefinitely. A signal alone does not end the wait; the descriptor that it makes readable does.
    ///
    /// The kernel times the sleep by a clock that stops during suspend. After a resume the wait can therefore end late on
    /// [`Clock`].
    ///
    /// # Errors
    /// The kernel is out of memory.
    pub fn wait(&self, deadline: Option<Instant>) -> Result<Vec<T>, Error> {
        let failed = |e: Errno| Error::doing("wait for", "descriptors and timers")(e);
        let mut ready = [EpollEvent::empty(); BATCH];
        loop {
            let left = deadline.map(|deadline| deadline.since(self.now()));
            let woken = left == Some(Duration::ZERO) || self.sleep(left).map_err(failed)?;
            if !woken && deadline.is_some_and(|deadline| deadline <= self.now()) {
                return Ok(vec![]);
            }
            let count = match self.epoll.wait(&mut ready, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(failed(e)),
            };
            if count > 0 || deadline.is_some_and(|deadline| deadline <= self.now()) {
                return Ok(ready[..count].iter().filter_map(|event| T::unpack(event.data())).collect());
            }
        }
    }

    /// Returns whether a descriptor may be ready. Epoll's own timeout has a resolution of milliseconds, too coarse for a
    /// skew of a few milliseconds; ppoll on the epoll descriptor counts nanoseconds and never ends early.
    fn sleep(&self, at_most: Option<Duration>) -> nix::Result<bool> {
        let timeout = at_most.map(|left| TimeSpec::from_duration(left.min(LONGEST_WAIT)));
        match ppoll(&mut [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)], timeout, None) {
            // The caller reads the clock again and sleeps for the rest.
            Ok(0) => Ok(false),
            Ok(_) | Err(Errno::EINTR) => Ok(true),
            Err(Errno::EINVAL) => self.sleep_coarsely(at_most),
            Err(e) => Err(e),
        }
    }

    /// For a limit of descriptors that was set to 0 while we run: poll(2) accepts no more descriptors than the limit, but epoll
    /// does. Its timeout is rounded up to a millisecond.
    fn sleep_coarsely(&self, at_most: Option<Duration>) -> nix::Result<bool> {
        let round_up = |left: Duration| left.min(LONGEST_WAIT).as_micros().div_ceil(1_000);
        let timeout = at_most.map_or(EpollTimeout::NONE, |left| {
            EpollTimeout::try_from(round_up(left)).unwrap_or(EpollTimeout::MAX)
        });
        match self.epoll.wait(&mut [EpollEvent::empty()], timeout) {
            Ok(0) => Ok(false),
            Ok(_) | Err(Errno::EINTR) => Ok(true),
            Err(e) => Err(e),
        }
    }
}

fn describe(fd: BorrowedFd<'_>) -> String {
    format!("descriptor {}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn poller() -> Poller {
        Poller::new(Clock::start().unwrap()).unwrap()
    }

    fn in_micros(poller: &Poller, us: u64) -> Instant {
        poller.now() + Duration::from_micros(us)
    }

    #[test]
    fn a_clock_begins_at_its_start_and_never_goes_back() {
        let clock = Clock::start().unwrap();
        let mut last = Instant::START;
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(last <= now);
            last = now;
        }
        assert!(Instant::START < last && last < Instant::from_millis(10_000));
    }

    #[test]
    fn a_wait_never_ends_before_its_deadline() {
        let poller = poller();
        for us in (1..=100).map(|n| n * 7) {
            let deadline = in_micros(&poller, us);
            assert_eq!(poller.wait(Some(deadline)).unwrap(), [0_u64; 0]);
            assert!(deadline <= poller.now());
        }
    }

    #[test]
    fn a_deadline_of_now_or_before_returns_at_once_with_what_is_ready() {
        let (poller, (ours, mut theirs)) = (poller(), UnixStream::pair().unwrap());
        poller.watch(ours.as_fd(), 7).unwrap();
        assert_eq!(poller.wait(Some(Instant::START)).unwrap(), [0_u64; 0]);
        theirs.write_all(b"x").unwrap();
        assert_eq!(poller.wait(Some(Instant::START)).unwrap(), [7]);
    }

    #[test]
    fn a_readable_descriptor_ends_the_wait_and_is_reported_until_it_was_read() {
        let (poller, (mut ours, mut theirs)) = (poller(), UnixStream::pair().unwrap());
        poller.watch(ours.as_fd(), u64::MAX).unwrap();
        theirs.write_all(b"x").unwrap();
        let begun = poller.now();
        for deadline in [None, Some(Instant::after_start(Duration::MAX)), Some(Instant::from_millis(60_000))]
        {
            assert_eq!(poller.wait(deadline).unwrap(), [u64::MAX]);
        }
        assert!(poller.now().since(begun) < Duration::from_secs(30));
        ours.read_exact(&mut [0]).unwrap();
        assert_eq!(poller.wait(Some(in_micros(&poller, 500))).unwrap(), [0_u64; 0]);
        drop(theirs);
        assert_eq!(poller.wait(None).unwrap(), [u64::MAX], "hung up");
    }

    #[test]
    fn a_descriptor_is_reported_for_what_it_is_watched_for_and_no_more() {
        let (poller, (ours, mut theirs)) = (poller(), UnixStream::pair().unwrap());
        poller.watch_for(ours.as_fd(), 1, Interest::Writable).unwrap();
        assert_eq!(poller.wait(None).unwrap(), [1], "there is room");
        poller.rewatch(ours.as_fd(), 2, Interest::Readable).unwrap();
        assert_eq!(poller.wait(Some(in_micros(&poller, 500))).unwrap(), [0_u64; 0], "nothing to read");
        theirs.write_all(b"x").unwrap();
        assert_eq!(poller.wait(None).unwrap(), [2]);
        poller.rewatch(ours.as_fd(), 3, Interest::Writable).unwrap();
        ours.set_nonblocking(true).unwrap();
        while (&ours).write(&[0; 4096]).is_ok() {}
        assert_eq!(poller.wait(Some(in_micros(&poller, 500))).unwrap(), [0_u64; 0], "readable, but full");
        drop(theirs);
        assert_eq!(poller.wait(None).unwrap(), [3], "hung up");
    }

    #[test]
    fn what_is_forgotten_is_not_reported_though_a_duplicate_of_it_lives_on() {
        let (poller, (ours, mut theirs)) = (poller(), UnixStream::pair().unwrap());
        let duplicate = ours.try_clone().unwrap();
        poller.watch(ours.as_fd(), 1).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(poller.wait(None).unwrap(), [1]);
        poller.forget(ours.as_fd()).unwrap();
        drop(ours);
        assert_eq!(poller.wait(Some(in_micros(&poller, 500))).unwrap(), [0_u64; 0]);
        poller.watch(duplicate.as_fd(), 2).unwrap();
        assert_eq!(poller.wait(None).unwrap(), [2]);
    }

    #[test]
    fn of_many_ready_descriptors_none_starves() {
        let poller = poller();
        let pairs: Vec<_> = (0..40).map(|_| UnixStream::pair().unwrap()).collect();
        for (token, (ours, theirs)) in (0..).zip(&pairs) {
            poller.watch(ours.as_fd(), token).unwrap();
            let mut theirs = theirs;
            theirs.write_all(b"x").unwrap();
        }
        let mut seen: Vec<u64> = (0..3).flat_map(|_| poller.wait(None).unwrap()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_refusal_names_the_descriptor_and_the_reason() {
        let (poller, (ours, _theirs)) = (poller(), UnixStream::pair().unwrap());
        let fd = ours.as_raw_fd();
        let error = poller.forget(ours.as_fd()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot stop watching descriptor {fd}: No such file")), "{error}");
        let error = poller.rewatch(ours.as_fd(), 1, Interest::Writable).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot change the watch on descriptor {fd}: No such")),
            "{error}"
        );
        poller.watch(ours.as_fd(), 1).unwrap();
        let error = poller.watch(ours.as_fd(), 2).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot watch descriptor {fd}: File exists")), "{error}");
    }
}
