//! The limit of open descriptors, and what may use the last ones. Opens none.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors the process may have open.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors(usize);

/// What a descriptor is for that gives way to more important ones. The sockets of VRRP and scans of `/proc` give way to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A listener of `status` or `healthcheck`.
    Status,
    /// A client of one of them: it is answered and closed at once, and no scan comes in between.
    StatusClient,
    /// The listener of METRICS_LISTEN.
    Metrics,
    /// A client of it, which may take seconds.
    MetricsClient,
    /// The notice of a process's end, which a scan finds as well.
    ProcessEnd,
    /// The notices of a file's changes, for which it can also be looked at.
    Notices,
    /// The report of other holders of the addresses.
    Claims,
}

impl Purpose {
    /// How many descriptors it leaves: one to scans, one to a client of the status, and more to what is more important.
    const fn leaves(self) -> usize {
        match self {
            Self::StatusClient => 0,
            Self::Status => 1,
            Self::MetricsClient => 2,
            Self::Metrics | Self::ProcessEnd | Self::Notices => 4,
            Self::Claims => 6,
        }
    }
}

impl Descriptors {
    /// For so many descriptors.
    pub const fn new(limit: usize) -> Self {
        Self(limit)
    }

    /// The limit.
    pub const fn limit(self) -> usize {
        self.0
    }

    /// Without so many, which will be opened later for something more important.
    #[must_use]
    pub const fn without(self, reserved: usize) -> Self {
        Self(self.0.saturating_sub(reserved))
    }

    /// Leaves the last descriptors to more important purposes: the kernel always gives out the lowest free number.
    ///
    /// # Errors
    /// `EMFILE` if too few are left after `opened`, which must be closed.
    pub fn admit(self, purpose: Purpose, opened: &impl AsFd) -> io::Result<()> {
        let number = usize::try_from(opened.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
        if number.saturating_add(purpose.leaves()) < self.0 { Ok(()) } else { Err(Errno::EMFILE.into()) }
    }
}

/// Gives a descriptor another number, at least `least`. It keeps its number where the limit is lower.
pub fn move_up(descriptor: OwnedFd, least: i32) -> OwnedFd {
    fcntl_dupfd_cloexec(&descriptor, least).unwrap_or(descriptor)
}

/// Opens the mount namespace of this process, so that it exists until this descriptor is closed. At the death of a
/// process, the kernel leaves its namespaces before it closes its sockets, from the highest number down. To remove a
/// container's mounts takes it milliseconds, and the other end of a connection should not wait for that.
pub fn hold_mounts() -> Option<File> {
    // Without /proc, it only takes longer.
    File::open("/proc/self/ns/mnt").ok()
}

/// Raises the soft limit of open descriptors (`RLIMIT_NOFILE`) to the hard limit, and returns the limit now in force.
pub fn raise_descriptors() -> Descriptors {
    let limit = getrlimit(Resource::Nofile);
    // It can only fail if a seccomp profile forbids it; then the old limit applies.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let limit = getrlimit(Resource::Nofile).current;
    Descriptors(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_left_to_others() {
        let file = File::open("/dev/null").unwrap();
        let number = usize::try_from(file.as_raw_fd()).unwrap();
        let all = Descriptors::new(number + 5);
        assert!(all.admit(Purpose::Metrics, &file).is_ok() && all.admit(Purpose::Status, &file).is_ok());
        for (refused, purpose) in
            [(all, Purpose::Claims), (all.without(1), Purpose::Metrics), (all.without(4), Purpose::Status)]
        {
            let refused = refused.admit(purpose, &file).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(Errno::EMFILE as i32), "{purpose:?}");
        }
        assert!(all.without(4).admit(Purpose::StatusClient, &file).is_ok());
    }
}
