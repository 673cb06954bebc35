//! A descriptor that becomes readable when watched folders or files change (inotify). Decides nothing: whoever watches looks
//! again.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};

use super::Error;
use super::limits::{Descriptors, Purpose};

/// What is noticed about the files in a folder (they appear, disappear, are closed after writing, or get other attributes),
/// and that the folder itself goes away.
const FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// What is noticed about a file: it is closed after writing, or has one name less.
const FILE: WatchFlags = WatchFlags::CLOSE_WRITE.union(WatchFlags::ATTRIB);
/// What ends the watch of a folder.
const GONE: ReadFlags =
    ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT).union(ReadFlags::IGNORED);
/// The most notices read at once; the descriptor stays readable while there are more.
const MOST: usize = 64;

/// A queue of notices.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

/// A watched folder or file. The kernel ends it when the folder or file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(i32);

/// What some notices say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// The file of that name may have changed.
    pub concern_name: bool,
    /// Something that was watched is gone.
    pub gone: bool,
}

impl Inotify {
    /// A queue that watches nothing.
    ///
    /// # Errors
    /// The limit of queues is reached, or that of descriptors for this purpose.
    pub fn open(descriptors: Descriptors) -> Result<Self, Error> {
        let doing = |e| Error::doing("open", "a queue of file changes")(e);
        let queue = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|e| doing(e.into()))?;
        descriptors.admit(Purpose::Notices, &queue).map_err(doing)?;
        Ok(Self(queue))
    }

    /// Watches the names in a folder. A folder that is watched already keeps its watch.
    ///
    /// # Errors
    /// It is no folder, may not be read, or the limit of watches is reached.
    pub fn watch_folder(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FOLDER, "watch folder")
    }

    /// Watches the file that the path leads to now: one that is mounted alone changes without a notice about the folder it
    /// is mounted in.
    ///
    /// # Errors
    /// It may not be read, or the limit of watches is reached.
    pub fn watch_file(&self, path: &Path) -> Result<Watch, Error> {
        self.watch(path, FILE, "watch file")
    }

    fn watch(&self, path: &Path, flags: WatchFlags, doing: &'static str) -> Result<Watch, Error> {
        let watch = add_watch(&self.0, path, flags);
        watch.map(Watch).map_err(Error::doing(doing, path.display()))
    }

    /// Ends a watch. The kernel may have ended it already.
    pub fn forget(&self, watch: Watch) {
        let _ = remove_watch(&self.0, watch.0);
    }

    /// Takes many of the notices that are waiting, and says what they mean for the file of this name in a watched folder. A
    /// notice without a name may be about it.
    pub fn take(&self, name: &OsStr) -> Notices {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut notices = Notices::default();
        for _ in 0..MOST {
            let Ok(notice) = reader.next() else { break };
            notices.gone |= notice.events().intersects(GONE);
            notices.concern_name |= notice.file_name().is_none_or(|file| file.to_bytes() == name.as_bytes());
        }
        notices
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
