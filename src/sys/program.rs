//! Whether the kernel could run a program, and advice where it could not. Runs nothing.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use super::Error;
use super::unprivileged::Rights;

/// Bits of a file's mode.
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// How much of a file is read: the program headers and the name of the loader are at its beginning.
const HEAD: u64 = 4096;

/// Why the kernel would not run the program at `path`, or we would not with these rights, as far as that is visible without
/// running it.
///
/// # Errors
/// The reason, with advice.
pub fn check(path: &Path, rights: Rights) -> Result<(), Error> {
    let result = find_obstacle(path).and_then(|()| check_writers(path, rights));
    result.map_err(|e| failure(path, &path.display(), &e))
}

/// Refuses a program that somebody else can write or replace: neither root nor the user that it runs as.
pub(super) fn check_writers(path: &Path, rights: Rights) -> io::Result<()> {
    if !rights.restricted {
        return Ok(());
    }
    // Whoever can write one of the folders can replace the file, or a link on the way to it.
    let target = fs::canonicalize(path)?;
    let mut paths = path.ancestors().chain(target.ancestors()).filter(|path| path.is_absolute());
    paths.try_for_each(|path| check_writers_of(path, rights))
}

fn check_writers_of(path: &Path, rights: Rights) -> io::Result<()> {
    let file = fs::symlink_metadata(path)?;
    let (user, group) = rights.user.map_or((geteuid().as_raw(), 0), |user| (user.uid, user.gid));
    let (shown, owner) = (path.display(), file.uid());
    if owner != 0 && owner != user {
        return Err(io::Error::other(format!(
            "{shown} belongs to user {owner}, who could change it; give it to root (chown), or set PROGRAM_USER={owner}"
        )));
    }
    // In a folder with the sticky bit, such as /tmp, each file is its owner's.
    let is_sticky = file.is_dir() && file.mode() & STICKY != 0;
    let others =
        if file.gid() == 0 || file.gid() == group { OTHERS_WRITE } else { OTHERS_WRITE | GROUP_WRITES };
    if file.is_symlink() || is_sticky || file.mode() & others == 0 || is_read_only(path) {
        return Ok(());
    }
    Err(io::Error::other(format!("others can write {shown}; take that away (chmod go-w)")))
}

/// Nobody can write a read-only mount, as those of ConfigMaps are.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY))
}

/// The kernel's reason, or what it would be, with advice. Its kind becomes `Other`, because `PermissionDenied` does not
/// mean a missing capability here. `on` is the program as the message names it.
pub(super) fn failure(path: &Path, on: &dyn Display, e: &io::Error) -> Error {
    let advice = if e.kind() == ErrorKind::NotFound && path.exists() {
        "; the file is there, but not what its #! line names, or its loader: \
         the image of vrrp-init holds no shell, so use a static program or an image with a shell"
    } else if e.kind() == ErrorKind::NotFound {
        "; give its full path inside the container, and mount it there"
    } else if e.raw_os_error() == Some(Errno::EPERM as i32) {
        "; a program that was not configured at the start needs a restart, because of SANDBOX"
    } else if e.kind() == ErrorKind::PermissionDenied {
        "; make it executable (chmod +x), on a mount that is not noexec"
    } else if e.raw_os_error() == Some(Errno::ENOEXEC as i32) {
        "; it is neither a program for this machine nor a script that begins with #!"
    } else {
        ""
    };
    Error { doing: "run", on: on.to_string(), source: io::Error::other(format!("{e}{advice}")) }
}

fn find_obstacle(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        return Err(Errno::EACCES.into());
    }
    access(path, AccessFlags::X_OK)?;
    let mut head = vec![];
    // A program that may be run but not read is none of our business.
    if File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).is_err() {
        return Ok(());
    }
    match interpreter(&head) {
        Interpreter::Needed(interpreter) => fs::metadata(interpreter).map(drop),
        Interpreter::None => Ok(()),
        Interpreter::Unknown => Err(Errno::ENOEXEC.into()),
    }
}

/// What the kernel needs besides the file itself.
#[derive(Debug, PartialEq, Eq)]
enum Interpreter {
    Needed(PathBuf),
    /// It is a static program.
    None,
    /// It is neither a script nor a program.
    Unknown,
}

fn interpreter(head: &[u8]) -> Interpreter {
    let path = |octets: &[u8]| Interpreter::Needed(PathBuf::from(OsStr::from_bytes(octets)));
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return words.next().map_or(Interpreter::Unknown, path);
    }
    if !head.starts_with(b"\x7fELF") {
        return Interpreter::Unknown;
    }
    match loader(head) {
        Some(name) => path(name.split(|octet| *octet == 0).next().unwrap_or_default()),
        None => Interpreter::None,
    }
}

/// The name in the header PT_INTERP of an ELF file of this machine's byte order.
fn loader(elf: &[u8]) -> Option<&[u8]> {
    const CLASS: usize = 4;
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| {
        let mut octets = [0; 8];
        let field = elf.get(at..at.checked_add(size)?)?;
        let start = if cfg!(target_endian = "little") { 0 } else { 8 - size };
        octets.get_mut(start..start + size)?.copy_from_slice(field);
        usize::try_from(u64::from_ne_bytes(octets)).ok()
    };
    // The size of an address, and where e_phoff, e_phentsize, e_phnum, p_offset and p_filesz are.
    let (size, table, entry_size, count, offset, length) =
        if *elf.get(CLASS)? == 2 { (8, 32, 54, 56, 8, 32) } else { (4, 28, 42, 44, 4, 16) };
    let (table, entry_size, count) = (number(table, size)?, number(entry_size, 2)?, number(count, 2)?);
    let mut entries = (0..count).map_while(|n| table.checked_add(n.checked_mul(entry_size)?));
    let entry = entries.find(|entry| number(*entry, 4) == usize::try_from(PT_INTERP).ok())?;
    let (at, length) = (number(entry.checked_add(offset)?, size)?, number(entry.checked_add(length)?, size)?);
    elf.get(at..at.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn needed(path: &str) -> Interpreter {
        Interpreter::Needed(path.into())
    }

    #[test]
    fn a_script_names_its_interpreter() {
        assert_eq!(interpreter(b"#!/bin/sh -e\nexit\n"), needed("/bin/sh"));
        assert_eq!(interpreter(b"#! /usr/bin/env bash"), needed("/usr/bin/env"));
        for strange in [&b"#!\n/bin/sh"[..], b"echo\n", b""] {
            assert_eq!(interpreter(strange), Interpreter::Unknown);
        }
    }

    #[test]
    fn a_dynamic_program_names_its_loader() {
        let mut head = vec![];
        File::open("/bin/sh").unwrap().take(HEAD).read_to_end(&mut head).unwrap();
        let Interpreter::Needed(loader) = interpreter(&head) else { panic!("a loader is needed") };
        assert!(loader.is_absolute() && loader.exists(), "{loader:?}");
    }

    #[test]
    fn what_keeps_a_program_from_running_is_found() {
        let dir = std::env::temp_dir().join(format!("vrrp-init-program-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = |name: &str, content: &str, mode| {
            let path = dir.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let check = |path: &Path| check(path, Rights::default());
        let why = |path: &Path| check(path).unwrap_err().to_string();
        assert!(check(&file("good", "#!/bin/sh\n", 0o755)).is_ok());
        assert!(check(Path::new("/bin/sh")).is_ok());
        assert!(
            why(&dir.join("none")).ends_with("; give its full path inside the container, and mount it there")
        );
        assert!(why(&file("plain", "#!/bin/sh\n", 0o644)).contains("; make it executable (chmod +x)"));
        assert!(why(&dir).contains("; make it executable (chmod +x)"));
        assert!(
            why(&file("bash", "#!/nonexistent/bash\n", 0o755)).contains("; the file is there, but not what")
        );
        assert!(why(&file("text", "exit 0\n", 0o755)).contains("; it is neither a program"));
        fs::remove_dir_all(dir).unwrap();
    }

    proptest! {
        #[test]
        fn no_octets_panic(head in proptest::collection::vec(any::<u8>(), 0..200), class in 1..3_u8) {
            let _ = interpreter(&head);
            let _ = interpreter(&[b"\x7fELF", &[class][..], &head].concat());
        }
    }
}
