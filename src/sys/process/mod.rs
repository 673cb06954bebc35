//! Finds live processes by name in /proc. Knows no service, verdict or interval.

pub mod text;

use std::ffi::CStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use rustix::fs::{RawDir, SeekFrom, readlinkat_raw};

use super::Error;
use text::{
    Arguments, PAGE, Stat, effective_user, executable_name, hides_processes, pid_from_name, runs_program,
    whole_arguments,
};

/// Longer than any stat line: 52 numbers and a name.
const STAT_PAGE: usize = 2048;
/// Longer than any comm. The names of kernel threads have up to 63 bytes.
const COMM_PAGE: usize = 64;
/// Entries of /proc read at once, in octets: some 60.
const LISTING_PAGE: usize = 2048;

/// A live process. Equal values mean the same process, because a reused pid has a different start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The pid in the PID namespace of the /proc that was read.
    pub pid: i32,
    /// The time from boot to the start of the process, in clock ticks (1/100 s).
    pub start_time: u64,
}

/// A mounted /proc. A clone reads through the same descriptor.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
    /// `root`, opened: relative paths are cheaper to resolve.
    dir: Arc<File>,
    own_pid: i32,
}

/// A directory of /proc that belongs to a process. The kernel gives the directory of another process another inode, even
/// if the pid is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub pid: i32,
    pub inode: u64,
}

/// The processes of one reading of /proc, without our own; the kernel lists them by pid. It reads through the descriptor of
/// the [`ProcFs`], and so only one at a time goes on.
#[derive(Debug)]
pub struct Listing {
    procfs: ProcFs,
    /// What has been read and not returned, the next one last.
    read: Vec<Listed>,
    has_ended: bool,
}

impl Listing {
    /// Reads until there is a process, or the end.
    fn read_on(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); LISTING_PAGE];
        while self.read.is_empty() && !self.has_ended {
            let mut entries = RawDir::new(&*self.procfs.dir, &mut buffer);
            loop {
                let Some(entry) = entries.next() else {
                    self.has_ended = true;
                    break;
                };
                let entry = entry?;
                let pid = pid_from_name(entry.file_name().to_bytes());
                let pid = pid.filter(|pid| *pid != self.procfs.own_pid);
                self.read.extend(pid.map(|pid| Listed { pid, inode: entry.ino() }));
                if entries.is_buffer_empty() {
                    break;
                }
            }
        }
        self.read.reverse();
        Ok(())
    }
}

impl Iterator for Listing {
    type Item = Result<Listed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty()
            && let Err(e) = self.read_on()
        {
            self.has_ended = true;
            return Some(Err(Error::doing("read", self.procfs.root.display())(e)));
        }
        self.read.pop().map(Ok)
    }
}

/// The comm of a process. It needs no heap: see [`ProcFs::identity`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Comm {
    octets: [u8; COMM_PAGE],
    length: usize,
}

impl Comm {
    fn new(name: &[u8]) -> Self {
        let (mut octets, length) = ([0; COMM_PAGE], name.len().min(COMM_PAGE));
        octets[..length].copy_from_slice(&name[..length]);
        Self { octets, length }
    }
}

impl Deref for Comm {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// What `/proc/PID/stat` shows of a live process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub process: Process,
    pub comm: Comm,
    /// A signal has stopped it.
    pub is_stopped: bool,
    /// It has no address space, and so neither arguments nor an executable.
    pub is_kernel_thread: bool,
}

/// Every name of a live process.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub status: Status,
    cmdline: &'a [u8],
    /// The target of `/proc/PID/exe`, if we may read it.
    executable: &'a [u8],
    proc: &'a File,
}

impl Identity<'_> {
    /// Whether `name` is its comm, the last component of the path in `argv[0]`, or the last component of its executable's
    /// path. A script whose name is longer than a comm also matches by the last component of `argv[1]`. `/usr/sbin/nginx` is
    /// the program that it runs, and `user:33` its effective user.
    pub fn has_name(&self, name: &str) -> bool {
        if let Some(user) = name.strip_prefix("user:") {
            return self.user().is_some_and(|uid| user.parse() == Ok(uid));
        }
        let (name, comm) = (name.as_bytes(), &*self.status.comm);
        if name.starts_with(b"/") {
            return runs_program(name, self.executable, self.cmdline);
        }
        !name.is_empty()
            && (name == comm
                || Arguments::parse(whole_arguments(self.cmdline)).have_name(name, comm)
                || name == executable_name(self.executable))
    }

    /// `None` for a kernel thread, which is root's but no program.
    fn user(&self) -> Option<u32> {
        let Status { process, is_kernel_thread, .. } = self.status;
        let mut status = [0; PAGE];
        let status = read(self.proc, &path(process.pid, "status"), &mut status).ok().flatten();
        status.filter(|_| !is_kernel_thread).and_then(effective_user)
    }
}

impl ProcFs {
    /// Uses the proc filesystem mounted at `root`, which is `/proc` except in tests.
    ///
    /// # Errors
    /// Nothing is mounted there, or it is the /proc of a PID namespace that we are not in.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        let link = root.join("self");
        let own_pid = fs::read_link(&link)
            .and_then(|target| pid_from_name(target.as_os_str().as_bytes()).ok_or_else(malformed))
            .map_err(Error::doing("find our own process through", link.display()))?;
        let dir = File::open(&root).map_err(Error::doing("open", root.display()))?;
        Ok(Self { root, dir: dir.into(), own_pid })
    }

    /// Starts to list the processes, a few at a time.
    ///
    /// # Errors
    /// It is no folder.
    pub fn list(&self) -> Result<Listing, Error> {
        let failed = |e| Error::doing("read", self.root.display())(e);
        rustix::fs::seek(&*self.dir, SeekFrom::Start(0)).map_err(failed)?;
        Ok(Listing { procfs: self.clone(), read: vec![], has_ended: false })
    }

    /// The comm of a process, dead or alive; `None` if it does not exist or is hidden. Waits for no other process: the
    /// kernel copies the name under a spinlock.
    ///
    /// # Errors
    /// It could not be read for another reason, for example because no descriptor is left.
    pub fn comm(&self, pid: i32) -> Result<Option<Comm>, Error> {
        let mut buffer = [0; COMM_PAGE + 1];
        let comm = read(&self.dir, &path(pid, "comm"), &mut buffer).map_err(|e| self.unreadable(pid, e))?;
        Ok(comm.map(|comm| Comm::new(comm.strip_suffix(b"\n").unwrap_or(comm))))
    }

    /// A process, if it is alive and not hidden. Zombies and dead processes are not alive. Does not wait for the lock on the
    /// process's memory map.
    ///
    /// # Errors
    /// As [`ProcFs::comm`].
    pub fn status(&self, pid: i32) -> Result<Option<Status>, Error> {
        self.read_status(pid).map_err(|e| self.unreadable(pid, e))
    }

    fn read_status(&self, pid: i32) -> io::Result<Option<Status>> {
        let mut buffer = [0; STAT_PAGE];
        let Some(line) = read(&self.dir, &path(pid, "stat"), &mut buffer)? else { return Ok(None) };
        let stat = Stat::parse(line).ok_or_else(malformed)?;
        Ok((!stat.is_dead()).then(|| Status {
            process: Process { pid, start_time: stat.start_time },
            comm: Comm::new(stat.comm),
            is_stopped: stat.is_stopped(),
            is_kernel_thread: stat.is_kernel_thread(),
        }))
    }

    /// What `judge` makes of every name of a process, if it is alive. **May block**, for seconds: reading the arguments waits
    /// for the lock on the process's memory map, which another process can hold as long as it maps memory or forks.
    ///
    /// It needs no heap: a thread that the kernel interrupts while it has the lock of the heap holds up all others until it
    /// runs again, which on a busy machine takes long.
    ///
    /// # Errors
    /// As [`ProcFs::comm`].
    pub fn identity<T>(&self, pid: i32, judge: impl FnOnce(&Identity<'_>) -> T) -> Result<Option<T>, Error> {
        self.read_identity(pid, judge).map_err(|e| self.unreadable(pid, e))
    }

    fn read_identity<T>(&self, pid: i32, judge: impl FnOnce(&Identity<'_>) -> T) -> io::Result<Option<T>> {
        let Some(status) = self.read_status(pid)? else { return Ok(None) };
        let (mut arguments, mut link) = ([0; PAGE], [0; PAGE]);
        let (mut cmdline, mut executable) = (&[][..], &[][..]);
        if !status.is_kernel_thread {
            cmdline = read(&self.dir, &path(pid, "cmdline"), &mut arguments)?.unwrap_or_default();
            // A process of another user needs CAP_SYS_PTRACE. Without it, or if the path is too long to be read, only comm
            // and argv count.
            let length = readlinkat_raw(&*self.dir, c_str(&path(pid, "exe")), &mut link[..]).unwrap_or(0);
            executable = link.get(..length).filter(|_| length < PAGE).unwrap_or_default();
        }
        Ok(Some(judge(&Identity { status, cmdline, executable, proc: &self.dir })))
    }

    fn unreadable(&self, pid: i32, e: io::Error) -> Error {
        Error::doing("read", self.root.join(pid.to_string()).display())(e)
    }

    /// The live processes with each name, in the order of `names`, each list in ascending order of pid; see
    /// [`Identity::has_name`]. Does not include our own process. **May block** as [`ProcFs::identity`].
    ///
    /// A process that lives during the whole call is always found; one that starts or ends meanwhile may be.
    ///
    /// # Errors
    /// /proc or a process could not be read, for another reason than that it has ended or is hidden. This does not mean
    /// that a service is dead.
    pub fn scan(&self, names: &[String]) -> Result<Vec<Vec<Process>>, Error> {
        let mut found = vec![Vec::new(); names.len()];
        for listed in self.list()? {
            self.identity(listed?.pid, |identity| {
                for (name, list) in names.iter().zip(&mut found) {
                    if identity.has_name(name) {
                        list.push(identity.status.process);
                    }
                }
            })?;
        }
        Ok(found)
    }

    /// The names of the programs among these processes, each once, except our own, Docker's init and kernel threads; at most
    /// `most`.
    pub fn program_names(&self, pids: impl Iterator<Item = i32>, most: usize) -> Vec<String> {
        const OWN: [&[u8]; 2] = [b"vrrp-init", b"docker-init"];
        let mut names: Vec<String> = vec![];
        for pid in pids {
            let status = self.status(pid).ok().flatten();
            let program = status.filter(|status| !status.is_kernel_thread && !OWN.contains(&&*status.comm));
            let name = program.map(|status| String::from_utf8_lossy(&status.comm).into_owned());
            names.extend(name.filter(|name| !names.contains(name)));
            if names.len() >= most {
                break;
            }
        }
        names
    }

    /// Whether we see no other process, except those of our own program.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn is_alone(&self) -> Result<bool, Error> {
        let comm = |pid: i32| self.comm(pid).ok().flatten();
        let own = comm(self.own_pid);
        for listed in self.list()? {
            let pid = listed?.pid;
            if own.is_none() || comm(pid) != own {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the process is in our network namespace. False if that may not be read, as for another user's process.
    pub fn shares_network(&self, pid: i32) -> bool {
        let namespace = |pid: i32| readlinkat(&*self.dir, format!("{pid}/ns/net").as_str()).ok();
        namespace(pid).is_some_and(|theirs| Some(theirs) == namespace(self.own_pid))
    }

    /// Whether this /proc is mounted with `hidepid=`, which hides other users' processes: then a hidden service looks dead.
    /// Ignores an exemption by `gid=`.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub fn hides_processes(&self) -> Result<bool, Error> {
        let path = self.root.join("self/mountinfo");
        let mounts = fs::read(&path).map_err(Error::doing("read", path.display()))?;
        Ok(hides_processes(&mounts, self.root.as_os_str().as_bytes()))
    }
}

/// Reads the beginning of a file, at most the buffer's length. `None` if its process has ended or is hidden. The kernel
/// generates these files, and one read returns as much as fits.
fn read<'a>(proc: &File, path: &Path, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    // Not std's `File::open`: with musl it makes a second system call to set close-on-exec.
    let open = openat(proc, c_str(path), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let Some(file) = if_accessible(open)? else { return Ok(None) };
    let length = if_accessible(nix::unistd::read(&file, buffer))?;
    Ok(length.map(|length| &buffer[..length]))
}

/// A path below /proc, ended by NUL.
type Path = [u8; 24];

fn path(pid: i32, file: &str) -> Path {
    let mut octets = Path::default();
    write!(&mut octets[..], "{pid}/{file}\0").expect("a number and a short name");
    octets
}

fn c_str(path: &Path) -> &CStr {
    CStr::from_bytes_until_nul(path).expect("it ends by NUL")
}

/// `None` if the process has ended (ENOENT for a file that is not open yet, ESRCH for an open one) or is hidden or another
/// user's (EACCES, EPERM).
fn if_accessible<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not what proc(5) describes")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::text::tests::stat_line;
    use super::*;

    /// A directory that looks like /proc, removed again at the end.
    struct Fixture(PathBuf);

    impl Fixture {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("process-{name}-{}", std::process::id()));
            fs::create_dir(&root).unwrap();
            symlink("100", root.join("self")).unwrap();
            fs::create_dir(root.join("sys")).unwrap();
            Self(root)
        }

        fn process(self, pid: i32, stat: &[u8], cmdline: &[u8]) -> Self {
            let dir = self.0.join(pid.to_string());
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("stat"), stat).unwrap();
            fs::write(dir.join("cmdline"), cmdline).unwrap();
            self
        }

        fn scan(&self, names: &[&str]) -> Result<Vec<Vec<i32>>, Error> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let mut found = ProcFs::new(&self.0)?.scan(&names)?;
            // An ordinary directory, unlike /proc, has no order.
            for list in &mut found {
                list.sort_by_key(|process| process.pid);
            }
            Ok(found.iter().map(|list| list.iter().map(|process| process.pid).collect()).collect())
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn every_name_has_its_own_list() {
        let proc = Fixture::new("names")
            .process(9, &stat_line(b"haproxy", 'S', 1, 1), b"/sbin/haproxy\0-W\0")
            .process(12, &stat_line(b"haproxy", 'R', 2, 1), b"haproxy\0-sf\0")
            .process(13, &stat_line(b"haproxy", 'Z', 2, 0), b"")
            .process(14, &stat_line(b"web", 'S', 3, 1), b"/bin/sh\0/opt/web\0")
            .process(15, &stat_line(b"", 'S', 3, 1), b"")
            .process(100, &stat_line(b"sh", 'R', 4, 1), b"sh\0");
        let found = proc.scan(&["sh", "haproxy", "none", "web", "", "haproxy"]).unwrap();
        assert_eq!(found, [vec![14], vec![9, 12], vec![], vec![14], vec![], vec![9, 12]]);
        assert_eq!(proc.scan(&[]).unwrap(), Vec::<Vec<i32>>::new());
    }

    #[test]
    fn a_process_that_vanishes_during_the_scan_is_skipped() {
        let proc = Fixture::new("gone").process(9, &stat_line(b"haproxy", 'S', 1, 1), b"");
        fs::create_dir(proc.0.join("10")).unwrap();
        let half = proc.0.join("11");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("stat"), stat_line(b"other", 'S', 1, 1)).unwrap();
        assert_eq!(proc.scan(&["haproxy"]).unwrap(), [vec![9]]);
    }

    #[test]
    fn a_kernel_thread_matches_only_by_its_comm() {
        let proc = Fixture::new("kernel").process(2, &stat_line(b"kworker/0:1-events", 'I', 1, 0), b"trap\0");
        assert_eq!(proc.scan(&["kworker/0:1-events", "trap"]).unwrap(), [vec![2], vec![]]);
    }

    #[test]
    fn a_folder_that_is_not_proc_is_an_error_and_not_a_dead_service() {
        let proc = Fixture::new("none").process(9, b"9 nonsense", b"");
        let error = proc.scan(&["haproxy"]).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {}/9: not what proc(5) describes", proc.0.display()));
        let error = ProcFs::new(proc.0.join("sys")).unwrap_err().to_string();
        assert!(error.starts_with("cannot find our own process through "), "{error}");
    }
}
