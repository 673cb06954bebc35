//! A small file that anybody may create, write and remove at any time: its content, and a notice of each change. Does not
//! know what it says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::inotify::Inotify;
use super::limits::Descriptors;
use crate::time::Timestamp;

/// A file, and the kernel's notices about its folder.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    notices: Option<Inotify>,
}

/// A file that is there.
#[derive(Debug)]
pub struct Found {
    /// The beginning of its content; `None` if it cannot be read.
    pub octets: Result<Vec<u8>, Error>,
    /// When its content was last changed.
    pub modified: Timestamp,
}

impl WatchedFile {
    /// Not watched yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, notices: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Watches the folder for changes of the file, if it is not watched. The descriptor becomes readable with the first one.
    ///
    /// # Errors
    /// There is no such folder, or no more descriptors or inotify instances.
    pub fn watch(&mut self, descriptors: Descriptors) -> Result<BorrowedFd<'_>, Error> {
        let notices = Inotify::open(descriptors)?;
        notices.watch_folder(self.path.parent().unwrap_or(Path::new("/")))?;
        let notices: &Inotify = self.notices.insert(notices);
        Ok(notices.as_fd())
    }

    /// Stops watching.
    pub fn unwatch(&mut self) {
        self.notices = None;
    }

    pub fn is_watched(&self) -> bool {
        self.notices.is_some()
    }

    /// Reads the notices. Returns whether the file may have changed. If its folder is gone, nothing is watched any more.
    pub fn has_changed(&mut self) -> bool {
        let Some(queue) = &self.notices else { return false };
        let notices = queue.take(self.path.file_name().unwrap_or_default());
        if notices.gone {
            self.notices = None;
        }
        notices.concern_name
    }

    /// The beginning of the file, up to `limit` octets; `None` if it does not exist. Never waits for a writer.
    ///
    /// # Errors
    /// Something else than a file is there, or it is not known whether it is there.
    pub fn read(&self, limit: usize) -> Result<Option<Found>, Error> {
        let failed = |e: io::Error| Error::doing("use", self.path.display())(e);
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { "it is a folder" } else { "it is no regular file" };
            return Err(failed(io::Error::other(kind)));
        }
        let octets = match self.open().and_then(|file| beginning(file, limit)) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            octets => octets.map_err(Error::doing("read", self.path.display())),
        };
        Ok(Some(Found { octets, modified: modified(metadata.mtime(), metadata.mtime_nsec()) }))
    }

    /// What has come in its place since is not waited for either.
    fn open(&self) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
    }
}

fn beginning(file: File, limit: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![];
    file.take(limit as u64).read_to_end(&mut octets)?;
    Ok(octets)
}

/// A modification time; what is before 1970 is 1970.
fn modified(seconds: i64, nanoseconds: i64) -> Timestamp {
    let (seconds, nanoseconds) = (u64::try_from(seconds), u32::try_from(nanoseconds));
    Timestamp::after_epoch(Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default()))
}

/// Replaces the file by one of this content, at once and whole. Creates the folder if it is missing. Returns when it was
/// modified.
///
/// # Errors
/// The folder is not writable, or a folder is in its place.
pub fn replace(path: &Path, content: &str) -> Result<Timestamp, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&new, content)?;
        let metadata = fs::metadata(&new)?;
        fs::rename(&new, path)?;
        Ok(modified(metadata.mtime(), metadata.mtime_nsec()))
    };
    write().map_err(|e: io::Error| {
        let _ = fs::remove_file(&new);
        Error::doing("write", path.display())(e)
    })
}

/// Removes the file. Returns whether it was there.
///
/// # Errors
/// The folder is not writable, or it is no file.
pub fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::doing("remove", path.display())(e)),
    }
}
