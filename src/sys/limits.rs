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

impl Descriptors {
    /// For so many descriptors.
    pub const fn new(limit: usize) -> Self {
        Self(limit)
    }

    /// The limit.
    pub const fn limit(self) -> usize {
        self.0
    }

    /// Leaves `spare` descriptors to more important purposes: the kernel always gives out the lowest free number.
    ///
    /// # Errors
    /// `EMFILE` if fewer are left after `opened`, which must be closed.
    pub fn leave(self, spare: usize, opened: &impl AsFd) -> io::Result<()> {
        let number = usize::try_from(opened.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
        if number.saturating_add(spare) < self.0 { Ok(()) } else { Err(Errno::EMFILE.into()) }
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
        assert!(Descriptors::new(number + 3).leave(2, &file).is_ok());
        let refused = Descriptors::new(number + 3).leave(3, &file).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::EMFILE as i32));
    }
}
