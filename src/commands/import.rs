//! The command `import`: reads a keepalived.conf and the files that it includes, prints our variables for it, and says on
//! standard error what is lost. Knows no directive.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use super::failure::Failure;
use super::output;
use crate::import::{self, Files, MOST_BYTES, MOST_FILES};

/// Where other images read it.
const USUAL: [&str; 2] = ["/etc/keepalived/keepalived.conf", "/usr/local/etc/keepalived/keepalived.conf"];

/// Prints the variables; the exit code is 1 if something that changes behavior is lost.
pub(super) fn import(file: Option<&str>, compose: bool) -> Result<ExitCode, Failure> {
    let usual = || USUAL.into_iter().find(|path| Path::new(path).exists()).unwrap_or(USUAL[0]);
    let name = file.unwrap_or_else(usual);
    let text = if name == "-" { standard_input() } else { read(name) };
    let text = text.map_err(|why| Failure::Import(format!("cannot read {name}: {why}")))?;
    let imported =
        import::import(name, &text, &Disk).map_err(|why| Failure::Import(why.trim_end().to_owned()))?;
    output::print(&if compose { imported.compose() } else { imported.env() });
    if !imported.report.is_empty() {
        output::print_error(&imported.report.trim_end());
    }
    Ok(ExitCode::from(u8::from(imported.is_lossy)))
}

fn standard_input() -> Result<String, String> {
    let file = io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    content(file.into())
}

fn read(name: &str) -> Result<String, String> {
    let file = File::open(name).map_err(|e| e.to_string())?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err("it is no regular file".into());
    }
    content(file)
}

fn content(mut file: File) -> Result<String, String> {
    let (mut bytes, mut part) = (vec![], [0; 4_096]);
    loop {
        let n = file.read(&mut part).map_err(|e| e.to_string())?;
        if bytes.len() + n > MOST_BYTES {
            return Err("it has more than 4 MiB".into());
        }
        if n == 0 {
            return String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into());
        }
        bytes.extend_from_slice(&part[..n]);
    }
}

struct Disk;

impl Files for Disk {
    /// `what` is relative to the folder of `from`, and its last part may have the wildcards `*` and `?`.
    fn find(&self, from: &str, what: &str) -> Result<Vec<String>, String> {
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(what);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        else {
            return Err("it names no file".into());
        };
        if !name.contains(['*', '?']) {
            return Ok(vec![path.display().to_string()]);
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = fs::read_dir(folder).map_err(|e| e.to_string())?.flatten();
        let mut paths = vec![];
        for entry in entries.filter(|entry| fits(name.as_bytes(), entry.file_name().as_encoded_bytes())) {
            let path = entry.path();
            if path.is_file() && paths.len() <= MOST_FILES {
                let path = path.display().to_string();
                let at = paths.partition_point(|other| *other < path);
                paths.insert(at, path);
            }
        }
        Ok(paths)
    }

    fn read(&self, name: &str) -> Result<String, String> {
        read(name)
    }
}

/// Whether a name fits a pattern; a leading dot needs one in the pattern.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Where to go on after the last `*`, in both.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("v?.conf", "v1.conf", true),
            ("v?.conf", "v.conf", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_a_limit() {
        assert_eq!(content(File::open("/dev/zero").unwrap()), Err("it has more than 4 MiB".into()));
        assert_eq!(content(File::open("/dev/null").unwrap()), Ok(String::new()));
        assert_eq!(read("/"), Err("it is no regular file".into()));
    }
}
