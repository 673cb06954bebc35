//! The texts of `PROGRAM_USER` and `PROGRAM_ENV` as types; looks no user up.

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
