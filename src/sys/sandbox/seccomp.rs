//! The seccomp filter: which system calls the kernel still accepts from this process. Every other call fails with EPERM, so
//! that a call that is missing here is an error and not the end. Knows the calls, not who makes them.

use nix::errno::Errno;
use nix::libc::{self, c_long};
use seccompiler::{Error, apply_filter_all_threads, sock_filter};

use super::needs::Purpose;
use crate::sys::unprivileged::User;

/// Installs the filter in every thread, for good, and says how many calls it accepts or refuses.
pub(super) fn install(purpose: Purpose) -> Result<String, String> {
    apply_filter_all_threads(&filter(purpose)).map_err(|e| match e {
        Error::Seccomp(e) | Error::Prctl(e) => format!("the kernel refuses it: {e}"),
        Error::Backend(_) | Error::EmptyFilter | Error::ThreadSync(_) => "the kernel refuses it".into(),
    })?;
    Ok(match purpose {
        Purpose::Alone => format!("{} system calls", ALLOWED.len() + CONDITIONAL.len()),
        Purpose::Programs(_) => {
            format!("all system calls but {}, because programs inherit the filter", DENIED.len() + 1)
        }
    })
}

/// As in linux/audit.h; calls of another architecture have other numbers.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

/// Calls of x86-64 with this bit are those of x32.
const X32: u32 = 0x4000_0000;

/// The flags of `clone` that make a namespace.
const NAMESPACES: u32 = 0x7e02_0000;

const FAMILIES: [i32; 5] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// The system calls that are accepted or not depending on their arguments.
pub const CONDITIONAL: &[c_long] = &[libc::SYS_socket, libc::SYS_clone];

/// The system calls of this process. The frequent ones first: kernels before 5.11 try one after the other.
#[rustfmt::skip]
pub const ALLOWED: &[c_long] = &[
    // The loop.
    libc::SYS_epoll_pwait, libc::SYS_recvmmsg, libc::SYS_sendmmsg, libc::SYS_recvmsg, libc::SYS_sendmsg, libc::SYS_recvfrom,
    libc::SYS_sendto, libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_close, libc::SYS_futex,
    libc::SYS_clock_gettime, libc::SYS_epoll_ctl, libc::SYS_epoll_create1, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_eventfd2, libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
    libc::SYS_pipe2, libc::SYS_restart_syscall, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    // Sockets.
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
    libc::SYS_shutdown, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_setsockopt, libc::SYS_getsockopt,
    libc::SYS_ioctl,
    // Files.
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_newfstatat, libc::SYS_fstat, libc::SYS_statx, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_lseek, libc::SYS_pread64, libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_faccessat,
    libc::SYS_faccessat2, libc::SYS_unlinkat, libc::SYS_mkdirat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_ftruncate, libc::SYS_fsync, libc::SYS_utimensat, libc::SYS_umask,
    libc::SYS_fcntl, libc::SYS_dup, libc::SYS_dup3, libc::SYS_getcwd, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // Processes and signals.
    libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_kill, libc::SYS_tgkill,
    libc::SYS_tkill, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigpending, libc::SYS_sigaltstack, libc::SYS_signalfd4, libc::SYS_getpid, libc::SYS_getppid,
    libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getpgid,
    libc::SYS_prlimit64, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_capget, libc::SYS_capset, libc::SYS_prctl,
    libc::SYS_exit, libc::SYS_exit_group,
    // Threads and memory.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_brk,
    libc::SYS_set_robust_list, libc::SYS_set_tid_address, libc::SYS_rseq, libc::SYS_membarrier, libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity, libc::SYS_getrandom, libc::SYS_uname, libc::SYS_sysinfo,
    // The older forms of the same, which other architectures do not have.
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_select,
    #[cfg(target_arch = "x86_64")] libc::SYS_open,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
    #[cfg(target_arch = "x86_64")] libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")] libc::SYS_access,
    #[cfg(target_arch = "x86_64")] libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")] libc::SYS_rename,
    #[cfg(target_arch = "x86_64")] libc::SYS_link,
    #[cfg(target_arch = "x86_64")] libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")] libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")] libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")] libc::SYS_time,
    #[cfg(target_arch = "x86_64")] libc::SYS_arch_prctl,
];

/// What no program of an operator needs: other processes' memory, mounts, namespaces, the kernel itself and its clock.
#[rustfmt::skip]
const DENIED: &[c_long] = &[
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_process_madvise, libc::SYS_kcmp,
    libc::SYS_pidfd_getfd, libc::SYS_perf_event_open, libc::SYS_bpf, libc::SYS_userfaultfd, libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root,
    libc::SYS_chroot, libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount,
    libc::SYS_fspick, libc::SYS_mount_setattr, libc::SYS_setns, libc::SYS_unshare, libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at, libc::SYS_fanotify_init, libc::SYS_mknodat, libc::SYS_init_module, libc::SYS_finit_module,
    libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_reboot, libc::SYS_swapon,
    libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_syslog, libc::SYS_sethostname, libc::SYS_setdomainname,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_add_key,
    libc::SYS_request_key, libc::SYS_keyctl, libc::SYS_personality, libc::SYS_move_pages, libc::SYS_migrate_pages,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")] libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")] libc::SYS_mknod,
];

/// Where the kernel puts what a filter sees: `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const ARGUMENT: u32 = 8;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | Errno::EPERM as u32;
/// C libraries then use `clone`, whose flags can be seen.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | Errno::ENOSYS as u32;

fn filter(purpose: Purpose) -> Vec<sock_filter> {
    let mut program = Program(vec![]);
    program.load(ARCH);
    program.unless(JEQ, ARCHITECTURE, REFUSE);
    program.load(NUMBER);
    if cfg!(target_arch = "x86_64") {
        program.when(JGE, X32, REFUSE);
    }
    let default = match purpose {
        Purpose::Alone => {
            for call in ALLOWED {
                program.when(JEQ, number(*call), ALLOW);
            }
            program.for_call(libc::SYS_socket, |body| body.one_of(0, &FAMILIES.map(i32::cast_unsigned)));
            REFUSE
        }
        Purpose::Programs(user) => {
            for call in DENIED {
                program.when(JEQ, number(*call), REFUSE);
            }
            if let Some(user) = user {
                program.only_user(user);
            }
            ALLOW
        }
    };
    program.for_call(libc::SYS_clone3, |body| body.end(UNKNOWN));
    program.for_call(libc::SYS_clone, |body| {
        body.load(FIRST_ARGUMENT);
        body.when(JSET, NAMESPACES, REFUSE);
        body.end(ALLOW);
    });
    program.end(default);
    program.0
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Jumps of the classic BPF: if equal, greater or equal, or one of the bits is set.
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;

/// A program of the classic BPF, whose register has what was loaded last.
struct Program(Vec<sock_filter>);

impl Program {
    fn add(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.0.push(sock_filter { code, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.add(LOAD, offset, 0, 0);
    }

    fn end(&mut self, result: u32) {
        self.add(RETURN, result, 0, 0);
    }

    fn when(&mut self, jump: u16, k: u32, result: u32) {
        self.add(jump, k, 0, 1);
        self.end(result);
    }

    fn unless(&mut self, jump: u16, k: u32, result: u32) {
        self.add(jump, k, 1, 0);
        self.end(result);
    }

    /// What is done about one call. `body` must end with a result.
    fn for_call(&mut self, call: c_long, body: impl FnOnce(&mut Self)) {
        let mut inner = Self(vec![]);
        body(&mut inner);
        self.add(JEQ, number(call), 0, u8::try_from(inner.0.len()).unwrap_or(u8::MAX));
        self.0.append(&mut inner.0);
    }

    /// Allows the call if the argument is one of these.
    fn one_of(&mut self, argument: u32, values: &[u32]) {
        self.load(FIRST_ARGUMENT + ARGUMENT * argument);
        for value in values {
            self.when(JEQ, *value, ALLOW);
        }
        self.end(REFUSE);
    }

    /// No user and no group but these, and no further group.
    fn only_user(&mut self, User { uid, gid }: User) {
        const UNCHANGED: u32 = u32::MAX;
        let calls = [
            (libc::SYS_setuid, 1, uid),
            (libc::SYS_setreuid, 2, uid),
            (libc::SYS_setresuid, 3, uid),
            (libc::SYS_setfsuid, 1, uid),
            (libc::SYS_setgid, 1, gid),
            (libc::SYS_setregid, 2, gid),
            (libc::SYS_setresgid, 3, gid),
            (libc::SYS_setfsgid, 1, gid),
        ];
        for (call, arguments, id) in calls {
            self.for_call(call, |body| {
                for argument in 0..arguments {
                    body.load(FIRST_ARGUMENT + ARGUMENT * argument);
                    body.add(JEQ, id, 2, 0);
                    body.unless(JEQ, UNCHANGED, REFUSE);
                }
                body.end(ALLOW);
            });
        }
        self.for_call(libc::SYS_setgroups, |body| body.one_of(0, &[0]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do about a call.
    fn run(program: &[sock_filter], arch: u32, call: u32, arguments: [u32; 3]) -> u32 {
        let (mut register, mut at) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            let jumps = match code {
                LOAD => {
                    register = match k {
                        NUMBER => call,
                        ARCH => arch,
                        _ => arguments[usize::try_from((k - FIRST_ARGUMENT) / ARGUMENT).unwrap()],
                    };
                    true
                }
                RETURN => return k,
                JEQ => register == k,
                JGE => register >= k,
                JSET => register & k != 0,
                _ => panic!("{code}"),
            };
            at += 1 + usize::from(if code == LOAD {
                0
            } else if jumps {
                jt
            } else {
                jf
            });
        }
    }

    fn results(purpose: Purpose) -> impl Fn(c_long, [u32; 3]) -> u32 {
        let program = filter(purpose);
        assert!(program.len() < 4096);
        move |call, arguments| run(&program, ARCHITECTURE, number(call), arguments)
    }

    #[test]
    fn alone_it_accepts_what_is_listed_and_refuses_the_rest() {
        let result = results(Purpose::Alone);
        for call in ALLOWED {
            assert_eq!(result(*call, [0; 3]), ALLOW, "{call}");
        }
        for call in DENIED.iter().chain(&[libc::SYS_execve, libc::SYS_setuid, 100_000]) {
            assert_eq!(result(*call, [0; 3]), REFUSE, "{call}");
        }
        assert_eq!(result(libc::SYS_socket, [17, 0, 0]), ALLOW);
        assert_eq!(result(libc::SYS_socket, [38, 0, 0]), REFUSE, "AF_ALG");
    }

    #[test]
    fn with_programs_it_refuses_what_is_listed() {
        let result = results(Purpose::Programs(None));
        for call in DENIED {
            assert_eq!(result(*call, [0; 3]), REFUSE, "{call}");
            assert!(!ALLOWED.contains(call), "{call}");
        }
        for call in ALLOWED.iter().chain(&[libc::SYS_execve, libc::SYS_socket, libc::SYS_setuid]) {
            assert_eq!(result(*call, [38, 0, 0]), ALLOW, "{call}");
        }
    }

    #[test]
    fn a_program_can_become_its_own_user_and_no_other() {
        let result = results(Purpose::Programs(Some(User { uid: 1000, gid: 2000 })));
        for (call, arguments, expected) in [
            (libc::SYS_setresuid, [1000, 1000, 1000], ALLOW),
            (libc::SYS_setresuid, [u32::MAX, u32::MAX, 1000], ALLOW),
            (libc::SYS_setresuid, [1000, 1000, 7], REFUSE),
            (libc::SYS_setresuid, [u32::MAX, 7, u32::MAX], REFUSE),
            (libc::SYS_setreuid, [1000, 7, 0], REFUSE),
            (libc::SYS_setuid, [7, 0, 0], REFUSE),
            (libc::SYS_setuid, [1000, 0, 0], ALLOW),
            (libc::SYS_setgid, [1000, 0, 0], REFUSE),
            (libc::SYS_setresgid, [2000, 2000, 2000], ALLOW),
            (libc::SYS_setgroups, [0, 0, 0], ALLOW),
            (libc::SYS_setgroups, [1, 0, 0], REFUSE),
        ] {
            assert_eq!(result(call, arguments), expected, "{call} {arguments:?}");
        }
    }

    #[test]
    fn a_new_namespace_and_calls_of_another_architecture_are_refused() {
        for purpose in [Purpose::Alone, Purpose::Programs(None)] {
            let result = results(purpose);
            assert_eq!(result(libc::SYS_clone3, [0; 3]), UNKNOWN);
            assert_eq!(result(libc::SYS_clone, [0x003d_0f00, 0, 0]), ALLOW, "a thread");
            assert_eq!(result(libc::SYS_clone, [0x4111, 0, 0]), ALLOW, "posix_spawn");
            assert_eq!(result(libc::SYS_clone, [0x1000_0011, 0, 0]), REFUSE, "a user namespace");
            let program = filter(purpose);
            assert_eq!(run(&program, 0x4000_0003, number(libc::SYS_read), [0; 3]), REFUSE, "i386");
        }
        let result = results(Purpose::Programs(None));
        if cfg!(target_arch = "x86_64") {
            assert_eq!(result(0x4000_0000 + libc::SYS_ptrace, [0; 3]), REFUSE, "x32");
        }
    }
}
