//! The watched file on a real file system: every way to create, change and remove it is noticed, and nothing that is in its
//! place blocks.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use vrrp_init::sys::limits::Descriptors;
use vrrp_init::sys::watched_file::{WatchedFile, remove, replace};

const LIMIT: usize = 257;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vrrp-init-watched-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("drain")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn touch(path: &Path) {
    assert!(Command::new("touch").arg(path).status().unwrap().success());
}

fn content(watched: &WatchedFile) -> Option<Vec<u8>> {
    watched.read(LIMIT).unwrap().map(|found| found.octets.unwrap())
}

#[test]
fn every_change_of_the_file_is_noticed_and_no_other() {
    let folder = Folder::new("changes");
    let (path, other) = (folder.file(), folder.0.join("other"));
    let mut watched = WatchedFile::new(path.clone());
    assert!(!watched.has_changed() && !watched.is_watched());
    watched.watch(Descriptors::new(1_000)).unwrap();
    assert!(!watched.has_changed());
    let changes: [(&str, &dyn Fn()); 8] = [
        ("touch", &|| touch(&path)),
        ("touch again", &|| touch(&path)),
        ("write", &|| fs::write(&path, "force\n").unwrap()),
        ("move away", &|| fs::rename(&path, &other).unwrap()),
        ("move here", &|| fs::rename(&other, &path).unwrap()),
        ("remove", &|| assert!(remove(&path).unwrap())),
        ("replace", &|| assert!(replace(&path, "x").is_ok())),
        ("a folder instead", &|| {
            remove(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }),
    ];
    for (what, change) in changes {
        change();
        assert!(watched.has_changed(), "{what}");
        assert!(!watched.has_changed(), "{what}, once");
    }
    fs::write(&other, "x").unwrap();
    assert!(!watched.has_changed(), "another file");
    assert!(watched.is_watched());
}

#[test]
fn a_folder_that_goes_away_is_watched_again_when_it_is_back() {
    let folder = Folder::new("gone");
    let inner = folder.0.join("run");
    let path = inner.join("drain");
    let mut watched = WatchedFile::new(path.clone());
    let error = watched.watch(Descriptors::new(1_000)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot watch folder {}: No such file", inner.display())), "{error}");
    for removal in [
        |inner: &Path| fs::remove_dir_all(inner),
        |inner: &Path| fs::rename(inner, inner.with_extension("old")),
    ] {
        fs::create_dir(&inner).unwrap();
        watched.watch(Descriptors::new(1_000)).unwrap();
        touch(&path);
        assert!(watched.has_changed() && watched.is_watched());
        removal(&inner).unwrap();
        assert!(watched.has_changed() && !watched.is_watched());
        assert!(content(&watched).is_none());
    }
}

#[test]
fn only_the_beginning_of_the_file_is_read() {
    let folder = Folder::new("long");
    let watched = WatchedFile::new(folder.file());
    assert!(watched.read(LIMIT).unwrap().is_none());
    touch(&folder.file());
    assert_eq!(content(&watched), Some(vec![]));
    fs::write(folder.file(), vec![b'x'; 10 << 20]).unwrap();
    assert_eq!(content(&watched), Some(vec![b'x'; LIMIT]));
}

#[test]
fn what_is_no_file_is_refused_and_nothing_blocks() {
    let folder = Folder::new("kinds");
    let path = folder.file();
    let watched = WatchedFile::new(path.clone());
    let refused = |why: &str| {
        let error = watched.read(LIMIT).unwrap_err().to_string();
        assert_eq!(error, format!("cannot use {}: {why}", path.display()));
    };
    fs::create_dir(&path).unwrap();
    refused("it is a folder");
    assert!(remove(&path).unwrap_err().to_string().starts_with(&format!("cannot remove {}", path.display())));
    assert!(
        replace(&path, "x").unwrap_err().to_string().starts_with(&format!("cannot write {}", path.display()))
    );
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
    fs::remove_dir(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    refused("it is no regular file");
    assert!(remove(&path).unwrap());
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    refused("it is no regular file");
    assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    let below = WatchedFile::new("/etc/passwd/drain".into());
    assert!(below.read(LIMIT).unwrap().is_none());
}

#[test]
fn a_replaced_file_is_whole_and_has_its_time() {
    let folder = Folder::new("replace");
    let path = folder.0.join("new/drain");
    let at = replace(&path, "by command\n").unwrap();
    let found = WatchedFile::new(path.clone()).read(LIMIT).unwrap().unwrap();
    assert_eq!((found.octets.unwrap(), found.modified), (b"by command\n".to_vec(), at));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
