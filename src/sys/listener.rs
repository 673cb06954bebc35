//! Listening sockets, at a path or a TCP port, and their connections. Nothing here blocks. Knows no protocol.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::Error;

/// How many connections can wait to be accepted.
const BACKLOG: i32 = 128;

/// A listening socket. Dropping it removes its path.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    path: Option<PathBuf>,
}

impl Listener {
    /// Listens at `path`, with access only for the user of this process (mode 0600). Creates the folder if it is missing
    /// and replaces a socket that a killed process left behind.
    ///
    /// # Errors
    /// The folder is not writable, the path exists and is not a socket, or another process listens there.
    pub fn at_path(path: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::doing("listen at", path.display())(e);
        let address = SockAddr::unix(path).map_err(failed)?;
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        let socket = open(Domain::UNIX).map_err(failed)?;
        if let Err(e) = bind_private(&socket, &address) {
            if e.kind() != ErrorKind::AddrInUse || !is_stale(path, &address).map_err(failed)? {
                return Err(failed(e));
            }
            fs::remove_file(path).and_then(|()| bind_private(&socket, &address)).map_err(failed)?;
        }
        socket.listen(BACKLOG).map_err(failed)?;
        Ok(Self { socket, path: Some(path.to_owned()) })
    }

    /// Listens at a TCP port. The unspecified IPv6 address accepts both families, or only IPv4 on a host without IPv6.
    ///
    /// # Errors
    /// The port is in use, or the host does not have the address.
    pub fn at_port(address: SocketAddr) -> Result<Self, Error> {
        let listen = |address: SocketAddr| {
            let socket = open(Domain::for_address(address))?;
            socket.set_reuse_address(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(!address.ip().is_unspecified())?;
            }
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(Self { socket, path: None })
        };
        let all_v4 = || listen((Ipv4Addr::UNSPECIFIED, address.port()).into());
        let no_v6 = |e: &io::Error| {
            matches!(e.raw_os_error(), Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL))
        };
        match listen(address) {
            Err(e) if address.ip().is_unspecified() && no_v6(&e) => all_v4(),
            other => other,
        }
        .map_err(Error::doing("listen at", address))
    }

    /// For `map_err`: why it cannot be used although it is open.
    pub fn unavailable(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        let at = match (&self.path, self.socket.local_addr().ok().and_then(|at| at.as_socket())) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(at)) => at.to_string(),
            (None, None) => "a port".to_owned(),
        };
        Error::doing("listen at", at)
    }

    /// Whether its path was removed.
    pub fn is_lost(&self) -> bool {
        let found = |path: &PathBuf| fs::symlink_metadata(path);
        self.path.as_ref().is_some_and(|path| found(path).is_err_and(|e| e.kind() == ErrorKind::NotFound))
    }

    /// Accepts the next connection; `None` if none is waiting.
    ///
    /// # Errors
    /// The process is out of descriptors or memory. The connection stays in the queue.
    pub fn accept(&self) -> Result<Option<Stream>, Error> {
        match self.socket.accept() {
            Ok((socket, from)) => {
                socket.set_nonblocking(true).map_err(Error::doing("accept", "a connection"))?;
                let peer = from.as_socket().map(|from| from.ip().to_canonical());
                Ok(Some(Stream { socket, peer }))
            }
            // The client closed the connection before it was accepted.
            Err(e) if would_block(&e) || e.kind() == ErrorKind::ConnectionAborted => Ok(None),
            Err(e) => Err(Error::doing("accept", "a connection")(e)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)
}

/// Linux gives the file the mode of the socket that is bound, so no other user can ever connect. A umask would do the
/// same, but for every thread of the process.
fn bind_private(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    fchmod(socket, Mode::from_bits_truncate(0o600))?;
    socket.bind(address)
}

/// Whether `path` is a socket without a listener.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    match open(Domain::UNIX)?.connect(address) {
        Err(e) => Ok(e.kind() == ErrorKind::ConnectionRefused),
        Ok(()) => Ok(false),
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// One connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    peer: Option<IpAddr>,
}

/// The result of a read or write that does not block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many octets were transferred, at least one.
    Some(usize),
    /// It would block.
    Later,
    /// The connection is closed or broken, or the peer has finished sending.
    Ended,
}

impl Stream {
    /// The address of the client; `None` at a path.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Progress {
        progress(self.socket.read(buffer))
    }

    pub fn write(&mut self, octets: &[u8]) -> Progress {
        progress(self.socket.write(octets))
    }

    /// Shuts down the sending direction. The peer can still send.
    pub fn finish(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

fn progress(result: io::Result<usize>) -> Progress {
    match result {
        Ok(0) => Progress::Ended,
        Ok(count) => Progress::Some(count),
        Err(e) if would_block(&e) => Progress::Later,
        Err(_) => Progress::Ended,
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A temporary folder, removed at the end of the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("vrrp-init-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_socket_is_private_and_removed_with_its_listener() {
        let folder = Folder::new("listener-mode");
        let path = folder.0.join("run/status.sock");
        let listener = Listener::at_path(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listener.accept().unwrap().is_none());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = Folder::new("listener-left");
        let path = folder.0.join("status.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = Listener::at_path(&path).unwrap();
        let error = Listener::at_path(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen at {}: ", path.display())), "{error}");
        UnixStream::connect(&path).unwrap();
        assert!(first.accept().unwrap().is_some());
    }

    #[test]
    fn a_path_that_is_a_file_is_not_removed() {
        let folder = Folder::new("listener-file");
        let path = folder.0.join("status.sock");
        fs::write(&path, "precious").unwrap();
        assert!(Listener::at_path(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_stream_reports_when_it_would_block_and_when_it_has_ended() {
        let folder = Folder::new("listener-stream");
        let path = folder.0.join("status.sock");
        let listener = Listener::at_path(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let mut stream = listener.accept().unwrap().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(stream.read(&mut buffer), Progress::Later);
        client.write_all(b"hello").unwrap();
        assert_eq!(stream.read(&mut buffer), Progress::Some(5));
        while stream.write(&[0; 4_096]) != Progress::Later {}
        drop(client);
        assert_eq!(stream.write(&[0]), Progress::Ended);
        assert_eq!(stream.read(&mut buffer), Progress::Ended);
    }
}
