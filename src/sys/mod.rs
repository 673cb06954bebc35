//! The edges: one file per kernel interface. None of them makes decisions or knows the protocol's state.

pub mod capabilities;
pub mod claims;
pub mod identity_reader;
pub mod inotify;
pub mod launcher;
pub mod lifeline;
pub mod limits;
pub mod listener;
pub mod namespace;
pub mod neighbor;
pub mod netlink;
pub mod nftables;
pub mod notify;
mod packet_socket;
pub mod pidfd;
pub mod poller;
pub mod probe;
pub mod process;
pub mod program;
pub mod reaper;
pub mod route;
pub mod sandbox;
pub mod script;
pub mod signals;
pub mod socket;
pub mod tap;
pub mod terminal;
pub mod unprivileged;
pub mod watched_file;
pub mod watched_probe;

use std::fmt::Display;
use std::io;

/// A failed system call: what was tried, on what, and the kernel's reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {on}: {source}{}", advice(.doing, .source))]
pub struct Error {
    /// The attempt, as a verb phrase: `add address`.
    pub doing: &'static str,
    /// The object: `10.0.0.2/32 on eth0`.
    pub on: String,
    /// The kernel's reason.
    pub source: io::Error,
}

impl Error {
    /// For `map_err(Error::doing("open", "a raw socket on eth0"))`. Formats `on` only on failure.
    pub fn doing<E: Into<io::Error>>(doing: &'static str, on: impl Display) -> impl FnOnce(E) -> Self {
        move |source| Self::new(doing, &on, source.into())
    }

    #[cold]
    fn new(doing: &'static str, on: &dyn Display, source: io::Error) -> Self {
        Self { doing, on: on.to_string(), source }
    }

    /// Whether a missing capability is the likely reason.
    pub fn is_permission(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// The sentence that it displays as.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

/// Only for calls that need a capability: a firewall or a seccomp profile gives the same error for others.
fn advice(doing: &str, source: &io::Error) -> &'static str {
    let capability = ["add", "remove", "open"].iter().any(|verb| doing.starts_with(verb));
    if capability && source.kind() == io::ErrorKind::PermissionDenied {
        "; the container needs the capabilities NET_ADMIN and NET_RAW (compose: cap_add: [NET_ADMIN, NET_RAW]; in a user \
         namespace, as with a rootless engine, they do not count for the host's network)"
    } else {
        ""
    }
}
