//! The user and the environment of the operator's programs; reads no file but through the caller.

use std::path::Path;

use super::environment::ReadFile;
use super::model::{ProgramConfig, ProgramUser};
use super::reader::Reader;
use super::user::UserName;
use super::variables::{PROGRAM_ENV, PROGRAM_USER};

const PASSWD: &str = "/etc/passwd";

/// `None` once a problem is noted.
pub(super) fn programs(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<ProgramConfig> {
    let environment = reader.value(&PROGRAM_ENV).unwrap_or_default().into();
    let user = match reader.value(&PROGRAM_USER) {
        None => None,
        Some(UserName::Ids(user)) => Some(user),
        Some(UserName::Name(name)) => {
            let user = find_user(&name, read_file).map_err(|why| reader.refuse_text(&PROGRAM_USER, why));
            Some(user.ok()?)
        }
    };
    Some(ProgramConfig { user, environment })
}

/// The user with this name.
///
/// # Errors
/// The rest of a sentence that begins with the name.
pub(super) fn find_user(name: &str, read_file: ReadFile<'_>) -> Result<ProgramUser, String> {
    match read_file(Path::new(PASSWD)) {
        Ok(passwd) => find(&passwd, name).ok_or_else(|| format!("is not in {PASSWD}; a number always works")),
        Err(e) => {
            Err(format!("cannot be found, because {PASSWD} cannot be read ({e}); a number always works"))
        }
    }
}

/// passwd(5): `name:password:uid:gid:…`.
fn find(passwd: &[u8], name: &str) -> Option<ProgramUser> {
    let lines = passwd.split(|octet| *octet == b'\n').filter_map(|line| str::from_utf8(line).ok());
    let mut users = lines.map(|line| line.split(':')).filter_map(|mut fields| {
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (found == name).then_some(ProgramUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    });
    users.next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_found_in_passwd() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n#daemon:x:1:1\nshort:x:2\n\xff:x:3:3\nweb:x:33:34:,,,:/:/bin/false\n";
        assert_eq!(find(passwd, "root"), Some(ProgramUser { uid: 0, gid: 0 }));
        assert_eq!(find(passwd, "web"), Some(ProgramUser { uid: 33, gid: 34 }));
        assert_eq!([find(passwd, "daemon"), find(passwd, "short"), find(passwd, "x")], [None; 3]);
    }

    proptest! {
        #[test]
        fn no_passwd_panics(passwd: Vec<u8>, name in "[a-z:]{0,3}") {
            let _ = find(&passwd, &name);
        }
    }
}
