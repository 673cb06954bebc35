//! Finds live processes by name in /proc. Knows no service, verdict or interval.

use std::ffi::CStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use rustix::fs::readlinkat_raw;

use super::Error;

/// The longest name that the kernel stores for a process (`TASK_COMM_LEN` without the NUL), in bytes.
const COMM_LEN: usize = 15;

/// Large enough for `argv[0]`, which is a path, and nearly always for `argv[1]`.
const PAGE: usize = 4096;
/// Longer than any stat line: 52 numbers and a name.
const STAT_PAGE: usize = 2048;
/// Longer than any comm. The names of kernel threads have up to 63 bytes.
const COMM_PAGE: usize = 64;

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

/// The processes of one reading of /proc, without our own; the kernel lists them by pid.
#[derive(Debug)]
pub struct Listing {
    entries: fs::ReadDir,
    own_pid: i32,
    root: PathBuf,
}

impl Iterator for Listing {
    type Item = Result<Listed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()? {
                Ok(entry) => {
                    let pid = pid_from_name(entry.file_name().as_bytes()).filter(|pid| *pid != self.own_pid);
                    let Some(pid) = pid else { continue };
                    return Some(Ok(Listed { pid, inode: entry.ino() }));
                }
                Err(e) => return Some(Err(Error::doing("read", self.root.display())(e))),
            }
        }
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
    /// It has no address space, and so neither arguments nor an executable.
    pub is_kernel_thread: bool,
}

/// Every name of a live process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    pub status: Status,
    cmdline: &'a [u8],
    /// The target of `/proc/PID/exe`, if we may read it.
    executable: &'a [u8],
}

impl Identity<'_> {
    /// Whether `name` is its comm, the last component of the path in `argv[0]`, or the last component of its executable's
    /// path. A script whose name is longer than a comm also matches by the last component of `argv[1]`.
    pub fn has_name(&self, name: &str) -> bool {
        let (name, comm) = (name.as_bytes(), &*self.status.comm);
        !name.is_empty()
            && (name == comm
                || Arguments::parse(whole_arguments(self.cmdline)).have_name(name, comm)
                || name == executable_name(self.executable))
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
    /// /proc cannot be read: for example, no descriptor is left.
    pub fn list(&self) -> Result<Listing, Error> {
        let entries = fs::read_dir(&self.root).map_err(Error::doing("read", self.root.display()))?;
        Ok(Listing { entries, own_pid: self.own_pid, root: self.root.clone() })
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
        Ok(Some(judge(&Identity { status, cmdline, executable })))
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

/// The fields of `/proc/PID/stat` that we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat<'a> {
    comm: &'a [u8],
    state: u8,
    start_time: u64,
    /// The size of the address space in bytes.
    memory: u64,
}

impl<'a> Stat<'a> {
    /// Parses `pid (comm) state …`, proc(5). A process can put anything into its comm, including parentheses, spaces and
    /// newlines. It ends at the last parenthesis, because only numbers follow.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let open = line.iter().position(|&b| b == b'(')?;
        let close = line.iter().rposition(|&b| b == b')').filter(|&close| close > open)?;
        let mut fields = line[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let &[state] = fields.next()? else { return None };
        // The state is field 3, the start time field 22, the size of the address space field 23.
        let start_time = number(fields.nth(18)?)?;
        let memory = number(fields.next()?)?;
        Some(Self { comm: &line[open + 1..close], state, start_time, memory })
    }

    /// A zombie keeps its comm until its parent reaps it.
    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Kernel threads have no address space, and so neither arguments nor an executable.
    fn is_kernel_thread(&self) -> bool {
        self.memory == 0
    }
}

/// The last path components of the first two arguments; empty if missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arguments<'a> {
    zeroth: &'a [u8],
    first: &'a [u8],
}

impl<'a> Arguments<'a> {
    fn parse(cmdline: &'a [u8]) -> Self {
        let mut arguments = cmdline.split(|&b| b == 0).map(last_component);
        Self { zeroth: arguments.next().unwrap_or_default(), first: arguments.next().unwrap_or_default() }
    }

    /// Whether the arguments match `name`. A script run through its `#!` line has the interpreter in `argv[0]` and its own
    /// path in `argv[1]`. Its comm is its own name, but truncated, so a long name is compared with `argv[1]`.
    fn have_name(&self, name: &[u8], comm: &[u8]) -> bool {
        self.zeroth == name
            || name.len() > COMM_LEN && name.get(..COMM_LEN) == Some(comm) && self.first == name
    }
}

/// Drops the argument that a full buffer may have truncated, so that its beginning does not count as a name.
fn whole_arguments(cmdline: &[u8]) -> &[u8] {
    if cmdline.len() < PAGE {
        return cmdline;
    }
    cmdline.iter().rposition(|&b| b == 0).map_or(&[], |end| &cmdline[..end])
}

/// The kernel appends ` (deleted)` if an upgrade replaced the file.
fn executable_name(link: &[u8]) -> &[u8] {
    last_component(link.strip_suffix(b" (deleted)").unwrap_or(link))
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

fn pid_from_name(name: &[u8]) -> Option<i32> {
    if !name.first()?.is_ascii_digit() {
        return None;
    }
    number(name)?.try_into().ok()
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads `/proc/PID/mountinfo`, proc(5): `id parent major:minor root mount-point options … - type source super-options`.
/// The last line for a mount point is the visible mount.
fn hides_processes(mountinfo: &[u8], mount_point: &[u8]) -> bool {
    let mut top = mountinfo.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        let here = fields.nth(4)? == mount_point;
        let is_proc = fields.by_ref().find(|&field| field == b"-").and_then(|_| fields.next())? == b"proc";
        (here && is_proc).then(|| fields.nth(1)).flatten()
    });
    top.next_back().is_some_and(|options| {
        let hidepid = options.split(|&b| b == b',').find_map(|option| option.strip_prefix(b"hidepid="));
        hidepid.is_some_and(|value| value != b"0" && value != b"off")
    })
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
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    /// A stat line as the kernel writes it (Linux 6, haproxy's worker), with these fields.
    fn stat_line(comm: &[u8], state: char, start_time: u64, memory: u64) -> Vec<u8> {
        let mut line = b"4711 (".to_vec();
        line.extend_from_slice(comm);
        let rest = format!(
            ") {state} 1 4711 4711 0 -1 4194560 1201 0 3 0 25 31 0 0 20 0 2 0 {start_time} {memory} 2903 \
             18446744073709551615 94 95 140 0 0 0 0 4096 134300163 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0\n"
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }

    #[test]
    fn a_stat_line_gives_comm_state_and_start_time() {
        let line = stat_line(b"haproxy", 'S', 123_456, 1 << 20);
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(stat, Stat { comm: b"haproxy", state: b'S', start_time: 123_456, memory: 1 << 20 });
    }

    #[test]
    fn a_comm_may_contain_anything() {
        for comm in [&b"a) S 1 (b"[..], b")", b"(", b"", b" ", b"a b", b"a\nb) Z 1\n", b"\xff\xfe", b")))))"]
        {
            let line = stat_line(comm, 'S', 7, 8);
            let stat = Stat::parse(&line).unwrap();
            assert_eq!((stat.comm, stat.state, stat.start_time), (comm, b'S', 7));
        }
    }

    #[test]
    fn a_truncated_or_garbled_stat_line_is_rejected() {
        let line = stat_line(b"x", 'S', 7, 8);
        let complete = line.windows(3).position(|w| w == b"7 8").unwrap() + 3;
        for length in 0..complete {
            assert_eq!(Stat::parse(&line[..length]), None, "{length} bytes");
        }
        assert!(Stat::parse(&line[..complete]).is_some());
        assert_eq!(Stat::parse(b")4711( S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"), None);
        assert_eq!(Stat::parse(&stat_line(b"x", 'S', 7, 8).replace_first(b" 7 ", b" -7 ")), None);
    }

    trait ReplaceFirst {
        fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
    }

    impl ReplaceFirst for Vec<u8> {
        fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
            let at = self.windows(from.len()).position(|w| w == from).unwrap();
            [&self[..at], to, &self[at + from.len()..]].concat()
        }
    }

    #[test]
    fn zombies_and_dead_processes_are_dead_and_stopped_ones_are_not() {
        let dead = |state| Stat { comm: b"x", state, start_time: 1, memory: 0 }.is_dead();
        assert!(dead(b'Z') && dead(b'X') && dead(b'x'));
        assert!(b"RSDTtIPKW".iter().all(|&state| !dead(state)));
    }

    #[test]
    fn arguments_match_by_the_last_component_of_their_path() {
        let parse = |cmdline: &'static [u8]| Arguments::parse(cmdline);
        let of = |zeroth: &'static [u8], first: &'static [u8]| Arguments { zeroth, first };
        assert_eq!(parse(b"/usr/sbin/haproxy\0-W\0"), of(b"haproxy", b"-W"));
        assert_eq!(parse(b"nginx: master process nginx\0"), of(b"nginx: master process nginx", b""));
        assert_eq!(parse(b"no-terminator"), of(b"no-terminator", b""));
        assert_eq!(parse(b"/ends/in/slash/\0/\0"), of(b"", b""));
        assert_eq!(parse(b""), of(b"", b""));
        assert_eq!(parse(b"\0\0\0"), of(b"", b""));
        assert_eq!(parse(b"\xff/\xfe\0"), of(b"\xfe", b""));
    }

    #[test]
    fn a_script_with_a_long_name_matches_by_its_own_path() {
        let script = Arguments::parse(b"/bin/sh\0/opt/averyveryverylongname.sh\0");
        assert!(script.have_name(b"averyveryverylongname.sh", b"averyveryverylo"));
        assert!(script.have_name(b"sh", b"averyveryverylo"));
        assert!(!script.have_name(b"averyveryverylongname.sh", b"sh"), "an editor with that file open");
        assert!(!script.have_name(b"averyveryverylo", b"other"));
        assert!(!script.have_name(b"averyveryverylongname.bash", b"averyveryverylo"));
    }

    #[test]
    fn a_truncated_argument_is_not_a_name() {
        let mut cmdline = vec![b'x'; PAGE];
        cmdline[PAGE - 8..].copy_from_slice(b"/haproxy");
        assert_eq!(Arguments::parse(whole_arguments(&cmdline)).zeroth, b"");
        cmdline[7] = 0;
        assert_eq!(whole_arguments(&cmdline), b"xxxxxxx");
        assert_eq!(whole_arguments(b"short"), b"short");
    }

    #[test]
    fn an_executable_replaced_by_an_upgrade_keeps_its_name() {
        assert_eq!(executable_name(b"/usr/sbin/haproxy"), b"haproxy");
        assert_eq!(executable_name(b"/usr/sbin/haproxy (deleted)"), b"haproxy");
        assert_eq!(executable_name(b""), b"");
    }

    #[test]
    fn only_numbers_are_pids() {
        assert_eq!(pid_from_name(b"1"), Some(1));
        assert_eq!(pid_from_name(b"4194304"), Some(4_194_304));
        for name in [&b""[..], b"self", b"-1", b"+1", b"1a", b"99999999999", b"\xff"] {
            assert_eq!(pid_from_name(name), None);
        }
    }

    #[test]
    fn hidepid_is_read_from_the_visible_mount() {
        let line = |point: &str, kind: &str, options: &str| {
            format!("26 31 0:24 / {point} rw,relatime shared:1 master:2 - {kind} {kind} {options}\n")
        };
        let hides = |table: &str| hides_processes(table.as_bytes(), b"/proc");
        for value in ["1", "2", "4", "noaccess", "invisible", "ptraceable"] {
            assert!(
                hides(&line("/proc", "proc", &format!("rw,gid=5,hidepid={value},subset=pid"))),
                "{value}"
            );
        }
        for options in ["rw", "rw,hidepid=0", "rw,hidepid=off", "rw,nothidepid=2", ""] {
            assert!(!hides(&line("/proc", "proc", options)), "{options}");
        }
        let (open, hidden) = (line("/proc", "proc", "rw"), line("/proc", "proc", "rw,hidepid=invisible"));
        assert!(hides(&format!("{open}{hidden}")) && !hides(&format!("{hidden}{open}")));
        assert!(!hides(&line("/mnt/proc", "proc", "rw,hidepid=2")), "another mount of proc");
        assert!(!hides(&line("/proc", "tmpfs", "rw,hidepid=2")), "not a proc filesystem");
        assert!(!hides("26 31 0:24 / /proc rw\n\n-\n"));
        assert!(hides("26 31 0:24 / /proc rw - proc proc rw,hidepid=2\n"), "no optional fields");
    }

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

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes: Vec<u8>, line in "[0-9 ()\nSZ\\-/a,=]{0,200}") {
            for bytes in [&bytes[..], line.as_bytes()] {
                let _ = Stat::parse(bytes);
                let _ = Arguments::parse(bytes).have_name(bytes, bytes);
                let _ = whole_arguments(bytes);
                let _ = executable_name(bytes);
                let _ = pid_from_name(bytes);
                let _ = hides_processes(bytes, b"/proc");
            }
        }

        #[test]
        fn any_comm_is_read_back(comm in proptest::collection::vec(1_u8.., 0..64), start: u64, memory: u64) {
            let line = stat_line(&comm, 'R', start, memory);
            let stat = Stat::parse(&line).unwrap();
            prop_assert_eq!(stat, Stat { comm: &comm, state: b'R', start_time: start, memory });
        }
    }
}
