//! Notices that a file of the operator has changed, however that is done: written in place, replaced by rename, or behind
//! a link that is swapped, as Kubernetes does. Reads no content.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::Error;
use crate::sys::inotify::{Inotify, Watch};
use crate::sys::limits::Descriptors;
use crate::token::{Poller, Token};

/// The file, and what is watched because of it.
#[derive(Debug)]
pub(super) struct EnvFile {
    path: PathBuf,
    queue: Inotify,
    file: Option<Watch>,
    /// The file when it was last looked at; `None`: there was none.
    seen: Option<Identity>,
}

/// What no change of a file leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Identity {
    fn from(file: Metadata) -> Self {
        let changed = (file.ctime(), file.ctime_nsec());
        Self { inode: (file.dev(), file.ino()), size: file.size(), changed }
    }
}

impl EnvFile {
    /// Watches the file, which need not exist.
    ///
    /// # Errors
    /// The kernel refuses a further queue or watch.
    pub(super) fn new(path: PathBuf, descriptors: Descriptors, poller: &Poller) -> Result<Self, Error> {
        let queue = Inotify::open(descriptors)?;
        let mut watched = Self { path, queue, file: None, seen: None };
        watched.queue.watch_folder(watched.folder())?;
        watched.look();
        poller.watch(watched.queue.as_fd(), Token::EnvFile)?;
        Ok(watched)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Takes the notices. Returns whether the file is another one than when it was last looked at.
    pub(super) fn has_changed(&mut self) -> bool {
        // What it is about does not matter: the folder of a link is not the folder of the file.
        self.queue.take(OsStr::new(""));
        self.look()
    }

    /// Watches the file that is there now, and the folder, which may be another one as well. Returns whether the file has
    /// changed.
    pub(super) fn look(&mut self) -> bool {
        let file = self.queue.watch_file(&self.path).ok();
        if file != self.file
            && let Some(old) = std::mem::replace(&mut self.file, file)
        {
            self.queue.forget(old);
        }
        // If it is gone, there is nothing to notice before it is there again.
        let _ = self.queue.watch_folder(self.folder());
        let before = self.seen;
        self.seen = std::fs::metadata(&self.path).ok().map(Identity::from);
        self.seen != before
    }
}
