//! A packet socket that nobody waits for to be closed. Knows no packet.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;

const STACK: usize = 16 * 1024;

/// The kernel takes 12 ms to close one. Dropping it leaves that to a thread, so that several are closed at the same time, and
/// no event waits. The process ends when all are closed.
#[derive(Debug)]
pub(super) struct PacketSocket(Option<OwnedFd>);

impl From<OwnedFd> for PacketSocket {
    fn from(socket: OwnedFd) -> Self {
        Self(Some(socket))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("only the destructor takes it").as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        let socket = self.0.take();
        // Where the kernel permits no further thread, this one closes it.
        let _ = thread::Builder::new().name("close".into()).stack_size(STACK).spawn(move || drop(socket));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn dropping_it_closes_the_descriptor() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        drop(PacketSocket::from(OwnedFd::from(writer)));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the end of the pipe");
    }
}
