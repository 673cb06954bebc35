//! Notifications about changed files (inotify): by the name in a folder, or of the file itself. Decides nothing.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{self, AddWatchFlags, InitFlags, WatchDescriptor};

use super::Error;

/// What is reported about the files in a folder: they appear, disappear or are closed after writing.
const FOLDER: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);
/// What is reported about a file: it is closed after writing, or has one name less.
const FILE: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE.union(AddWatchFlags::IN_ATTRIB);

/// A queue of notifications.
#[derive(Debug)]
pub struct Inotify(inotify::Inotify);

/// A watched folder or file. The kernel ends it when the folder or file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(WatchDescriptor);

impl Inotify {
    /// A queue that watches nothing.
    ///
    /// # Errors
    /// The limit of queues or of descriptors is reached.
    pub fn open() -> Result<Self, Error> {
        let queue = inotify::Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        queue.map(Self).map_err(Error::doing("open", "a queue of file changes"))
    }

    /// Watches the names in a folder. A folder that is watched already keeps its watch.
    ///
    /// # Errors
    /// It is no folder, may not be read, or the limit of watches is reached.
    pub fn watch_folder(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FOLDER)
    }

    /// Watches the file that the path leads to now: one that is mounted alone changes without a notification about the
    /// folder it is mounted in.
    ///
    /// # Errors
    /// It may not be read, or the limit of watches is reached.
    pub fn watch_file(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FILE)
    }

    fn watch(&self, path: &Path, flags: AddWatchFlags) -> Result<Watch, Error> {
        let watch = self.0.add_watch(path, flags);
        watch.map(Watch).map_err(Error::doing("watch for changes of", path.display()))
    }

    /// Ends a watch. The kernel may have ended it already.
    pub fn forget(&self, watch: Watch) {
        let _ = self.0.rm_watch(watch.0);
    }

    /// Some of the notifications that are waiting: of which watch, and the name in a folder. After an overflow there is
    /// one without a name, of no known watch.
    pub fn read(&self) -> Vec<(Watch, Option<OsString>)> {
        let events = self.0.read_events().unwrap_or_default();
        events.into_iter().map(|event| (Watch(event.wd), event.name)).collect()
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
