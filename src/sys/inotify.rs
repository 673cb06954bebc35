//! A descriptor that becomes readable when watched folders or files change (inotify). Decides nothing, and does not say what
//! has changed: whoever watches looks again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};

use super::Error;

/// What is noticed about the files in a folder: they appear, disappear or are closed after writing.
const FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);
/// What is noticed about a file: it is closed after writing, or has one name less.
const FILE: WatchFlags = WatchFlags::CLOSE_WRITE.union(WatchFlags::ATTRIB);

/// A queue of notices.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

/// A watched folder or file. The kernel ends it when the folder or file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(i32);

impl Inotify {
    /// A queue that watches nothing.
    ///
    /// # Errors
    /// The limit of queues or of descriptors is reached.
    pub fn open() -> Result<Self, Error> {
        let queue = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        queue.map(Self).map_err(Error::doing("open", "a queue of file changes"))
    }

    /// Watches the names in a folder. A folder that is watched already keeps its watch.
    ///
    /// # Errors
    /// It is no folder, may not be read, or the limit of watches is reached.
    pub fn watch_folder(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FOLDER)
    }

    /// Watches the file that the path leads to now: one that is mounted alone changes without a notice about the folder it
    /// is mounted in.
    ///
    /// # Errors
    /// It may not be read, or the limit of watches is reached.
    pub fn watch_file(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FILE)
    }

    fn watch(&self, path: &Path, flags: WatchFlags) -> Result<Watch, Error> {
        let watch = add_watch(&self.0, path, flags);
        watch.map(Watch).map_err(Error::doing("watch for changes of", path.display()))
    }

    /// Ends a watch. The kernel may have ended it already.
    pub fn forget(&self, watch: Watch) {
        let _ = remove_watch(&self.0, watch.0);
    }

    /// Takes many of the notices that are waiting; the descriptor stays readable while there are more.
    pub fn clear(&self) {
        let mut notices = [0; 4096];
        let _ = rustix::io::read(&self.0, &mut notices);
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
