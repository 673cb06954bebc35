//! The seccomp filter against the real kernel, in a process of its own: forbidden calls fail and end nothing, and what the
//! program does still works.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::Pid;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Uid, getpid, pidfd_getfd, pidfd_open};
use rustix::thread::set_thread_uid;
use vrrp_init::sys::sandbox::{CapabilitySet, Files, Needs, Purpose, enter};
use vrrp_init::sys::unprivileged::{Rights, User};

use crate::own_process::{inside, rerun};

fn enter_for(purpose: Purpose) {
    // All capabilities, so that only the filter can refuse.
    let layers = enter(&Needs {
        files: Files { read: vec!["/proc".into()], write: vec!["/tmp".into()] },
        capabilities: CapabilitySet::all(),
        purpose,
        all_capabilities: None,
    });
    let missing = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap().missing.as_deref();
    assert_eq!(missing("seccomp"), None);
    // The kernels that run these tests have it.
    let inherited = "programs inherit it, and may use any file";
    assert_eq!(missing("landlock"), (purpose != Purpose::Alone).then_some(inherited));
}

fn forbidden_calls_fail() {
    let own = File::open("/proc/self/ns/net").unwrap();
    assert_eq!(unshare(CloneFlags::CLONE_NEWNET), Err(Errno::EPERM));
    assert_eq!(setns(&own, CloneFlags::CLONE_NEWNET), Err(Errno::EPERM));
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let taken = pidfd_getfd(&pidfd, 0, PidfdGetfdFlags::empty());
    assert_eq!(taken.unwrap_err(), rustix::io::Errno::PERM);
    let device = mknodat(CWD, "/tmp/sys-sandbox-device", FileType::CharacterDevice, Mode::RUSR, 0);
    assert_eq!(device.unwrap_err(), rustix::io::Errno::PERM);
}

fn what_the_daemon_does_works() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = std::env::temp_dir().join(format!("sys-sandbox-{}", std::process::id()));
    UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for family in [AddressFamily::Packet, AddressFamily::Netlink] {
        socket(family, SockType::Raw, SockFlag::empty(), None).unwrap();
    }
    std::thread::spawn(std::thread::yield_now).join().unwrap();
    pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    nix::sys::signal::kill(Pid::this(), None).unwrap();
    assert!(std::fs::read_dir("/proc").unwrap().count() > 1);
}

#[test]
fn alone_it_can_start_no_program_and_touch_nothing_else() {
    if inside().is_none() {
        rerun(alone_it_can_start_no_program_and_touch_nothing_else, &[], "alone");
        return;
    }
    unshare(CloneFlags::CLONE_NEWUTS).unwrap();
    enter_for(Purpose::Alone);
    forbidden_calls_fail();
    what_the_daemon_does_works();
    assert_eq!(File::open("/etc/passwd").unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    let refused = Command::new("/bin/true").status().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::EPERM as i32));
    let other_family = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::empty(), None);
    assert_eq!(other_family.unwrap_err(), Errno::EPERM);
}

#[test]
fn with_programs_it_can_start_them_and_they_are_as_restricted() {
    if inside().is_none() {
        rerun(with_programs_it_can_start_them_and_they_are_as_restricted, &[], "programs");
        return;
    }
    let user = User { uid: 1234, gid: 1234 };
    enter_for(Purpose::Programs(Some(user)));
    forbidden_calls_fail();
    what_the_daemon_does_works();
    let run = |rights: Rights, text: &str| {
        rights.run(|| Command::new("sh").args(["-c", text]).status()).unwrap().success()
    };
    let rights = Rights { restricted: true, user: None };
    assert!(run(rights, "ls / | sort | head -1 > /dev/null && date > /dev/null"));
    assert!(!run(rights, "mount -t tmpfs none /mnt 2> /dev/null || unshare --user true 2> /dev/null"));
    assert!(run(Rights { user: Some(user), ..rights }, "[ $(id -u) = 1234 ] && [ \"$(id -G)\" = 1234 ]"));
    // Although it has the capability.
    assert_eq!(set_thread_uid(Uid::from_raw(1000)), Err(rustix::io::Errno::PERM));
    assert!(Rights { user: Some(User { uid: 1000, gid: 1000 }), ..rights }.run(|| Ok(())).is_err());
}
