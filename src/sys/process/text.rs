//! What the files of /proc mean: octets in, fields and verdicts out. Reads nothing; the fuzz targets call it with any octets.

/// The longest name that the kernel stores for a process (`TASK_COMM_LEN` without the NUL), in bytes.
const COMM_LEN: usize = 15;

/// The octets of `cmdline` that are read. Large enough for `argv[0]`, which is a path, and nearly always for `argv[1]`.
pub const PAGE: usize = 4096;

/// The fields of `/proc/PID/stat` that we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    pub comm: &'a [u8],
    pub state: u8,
    pub start_time: u64,
    /// The size of the address space in bytes.
    pub memory: u64,
}

impl<'a> Stat<'a> {
    /// Parses `pid (comm) state …`, proc(5). A process can put anything into its comm, including parentheses, spaces and
    /// newlines. It ends at the last parenthesis, because only numbers follow.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
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
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// A signal has stopped it (SIGSTOP, SIGTSTP), and it does nothing until SIGCONT. The freezer of a control group, which
    /// `docker pause` uses, does not show here.
    pub fn is_stopped(&self) -> bool {
        self.state == b'T'
    }

    /// Kernel threads have no address space, and so neither arguments nor an executable.
    pub fn is_kernel_thread(&self) -> bool {
        self.memory == 0
    }
}

/// The last path components of the first two arguments; empty if missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments<'a> {
    pub zeroth: &'a [u8],
    pub first: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// Parses `/proc/PID/cmdline`.
    pub fn parse(cmdline: &'a [u8]) -> Self {
        let mut arguments = cmdline.split(|&b| b == 0).map(last_component);
        Self { zeroth: arguments.next().unwrap_or_default(), first: arguments.next().unwrap_or_default() }
    }

    /// Whether the arguments match `name`. A script run through its `#!` line has the interpreter in `argv[0]` and its own
    /// path in `argv[1]`. Its comm is its own name, but truncated, so a long name is compared with `argv[1]`.
    pub fn have_name(&self, name: &[u8], comm: &[u8]) -> bool {
        self.zeroth == name
            || name.len() > COMM_LEN && name.get(..COMM_LEN) == Some(comm) && self.first == name
    }
}

/// Drops the argument that a full buffer may have truncated, so that its beginning does not count as a name.
pub fn whole_arguments(cmdline: &[u8]) -> &[u8] {
    if cmdline.len() < PAGE {
        return cmdline;
    }
    cmdline.iter().rposition(|&b| b == 0).map_or(&[], |end| &cmdline[..end])
}

/// The kernel appends ` (deleted)` if an upgrade replaced the file.
pub fn executable_name(link: &[u8]) -> &[u8] {
    last_component(link.strip_suffix(b" (deleted)").unwrap_or(link))
}

/// Whether a process with this executable, empty if it may not be read, and these arguments runs the program at `path`. Many
/// programs are started by their names alone, so that counts if there is no more to go by.
pub fn runs_program(path: &[u8], executable: &[u8], cmdline: &[u8]) -> bool {
    if !executable.is_empty() {
        return executable.strip_suffix(b" (deleted)").unwrap_or(executable) == path;
    }
    let zeroth = whole_arguments(cmdline).split(|&b| b == 0).next().unwrap_or_default();
    !zeroth.is_empty() && (zeroth == path || zeroth == last_component(path))
}

/// The effective user of a process, from `/proc/PID/status`.
pub fn effective_user(status: &[u8]) -> Option<u32> {
    let mut lines = status.split(|&b| b == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut ids = ids.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty());
    number(ids.nth(1)?)?.try_into().ok()
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// The pid that a directory of /proc is named after.
pub fn pid_from_name(name: &[u8]) -> Option<i32> {
    if !name.first()?.is_ascii_digit() {
        return None;
    }
    number(name)?.try_into().ok()
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the proc filesystem at `mount_point` hides processes of other users, according to `/proc/PID/mountinfo`, proc(5):
/// `id parent major:minor root mount-point options … - type source super-options`. The last line for a mount point is the
/// visible mount.
pub fn hides_processes(mountinfo: &[u8], mount_point: &[u8]) -> bool {
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

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stat line as the kernel writes it (Linux 6, haproxy's worker), with these fields.
    pub(in super::super) fn stat_line(comm: &[u8], state: char, start_time: u64, memory: u64) -> Vec<u8> {
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
    fn a_program_is_its_executable_or_else_how_it_was_called() {
        let haproxy = b"/usr/sbin/haproxy";
        let runs = |executable: &[u8], cmdline: &[u8]| runs_program(haproxy, executable, cmdline);
        assert!(runs(haproxy, b"x\0") && runs(b"/usr/sbin/haproxy (deleted)", b""));
        assert!(!runs(b"/opt/haproxy", b"/usr/sbin/haproxy\0-f\0") && !runs(b"/bin/vi", b"haproxy\0"));
        assert!(runs(b"", b"/usr/sbin/haproxy\0-f\0") && runs(b"", b"haproxy\0-W\0"));
        assert!(!runs(b"", b"/opt/haproxy\0") && !runs(b"", b"vi\0/usr/sbin/haproxy\0") && !runs(b"", b""));
    }

    #[test]
    fn the_effective_user_is_the_second_of_four() {
        assert_eq!(
            effective_user(b"Name:\tUid:\nUmask:\t0022\nUid:\t0\t33\t33\t33\nGid:\t1\t1\t1\t1\n"),
            Some(33)
        );
        for text in
            [&b""[..], b"Uid:", b"Uid:\t0", b"Uid:\t0\tx\n", b"Uid:\t0\t4294967296\n", b"Name:\tUid: 0 1\n"]
        {
            assert_eq!(effective_user(text), None, "{}", text.escape_ascii());
        }
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
        let stopped = |state| Stat { comm: b"x", state, start_time: 1, memory: 0 }.is_stopped();
        // A traced process stops at each system call.
        assert!(stopped(b'T') && b"RSDtIPKWZX".iter().all(|&state| !stopped(state)));
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
