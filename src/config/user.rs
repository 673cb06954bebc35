//! The texts of `PROGRAM_USER`, `PROGRAM_ENV` and `SERVICE` as types; looks no user up.

use super::model::ProgramUser;
use super::value::Value;

/// A user as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UserName {
    Ids(ProgramUser),
    /// In `/etc/passwd`.
    Name(String),
}

/// `1000`, whose group has the same number, `1000:1001`, or a name.
pub(super) fn user(text: &str) -> Value<UserName> {
    // The highest number stands for "unchanged" in system calls.
    let id = |text: &str| text.parse::<u32>().ok().filter(|id| *id < u32::MAX);
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    if let (Some(uid), Some(gid)) = (id(uid), id(gid)) {
        return Ok(UserName::Ids(ProgramUser { uid, gid }));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty()
        && text.chars().all(is_name)
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    {
        return Ok(UserName::Name(text.to_owned()));
    }
    Err("must be a number, two numbers such as 1000:1000, or the name of a user".into())
}

/// The name of an environment variable.
pub(super) fn name(text: &str) -> Value<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.chars().all(is_name) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("must be the name of an environment variable, without its value".into())
}

/// A process name, as `killall` takes it, a program's absolute path, or `user:` and a user.
pub(super) fn service(text: &str) -> Value<String> {
    // A compose list entry SERVICE="haproxy" keeps its quotes; no process would ever match.
    if text.contains(['"', '\'']) {
        return Err("must be the name of a process, without quotes".into());
    }
    if let Some(name) = text.strip_prefix("user:") {
        return match user(name) {
            Ok(UserName::Name(_)) => Ok(text.to_owned()),
            Ok(UserName::Ids(_)) if !name.contains(':') => Ok(text.to_owned()),
            _ => Err("must have a user's number or name after user:, such as user:33".into()),
        };
    }
    if text.contains('/') && (!text.starts_with('/') || text.ends_with('/')) {
        return Err("must be the name of a process, or the absolute path of its program".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_two_numbers_or_a_name() {
        assert_eq!(user("1000"), Ok(UserName::Ids(ProgramUser { uid: 1000, gid: 1000 })));
        assert_eq!(user("0:7"), Ok(UserName::Ids(ProgramUser { uid: 0, gid: 7 })));
        assert_eq!(user("keepalived_script"), Ok(UserName::Name("keepalived_script".into())));
        for refused in
            ["", "4294967295", "-1", "1000:", ":5", "a:b", "1000:x", "a b", "-a", "1a", "99999999999"]
        {
            assert!(user(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_variable_is_named_without_its_value() {
        assert_eq!(name("WEBHOOK_URL"), Ok("WEBHOOK_URL".into()));
        for refused in ["A=b", "1A", "A-B"] {
            assert!(name(refused).is_err(), "{refused}");
        }
    }
}
