//! The link and source address of a router, or why it has none. Opens nothing.

use std::net::IpAddr;

use log::Level;

use super::messages::Subject;
use crate::config::{InterfaceChoice, RouterConfig};
use crate::sys::Error;

/// The link and the source address of a router whose sockets are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// The index of the link.
    pub(super) index: u32,
    pub(super) interface: String,
    /// Whether the link, and every link that a virtual address names, is up.
    pub(super) up: bool,
    pub(super) source: Option<IpAddr>,
}

/// Why a router has no binding.
#[derive(Debug)]
pub(super) enum Unbound {
    /// The link does not exist yet; the sentence for the log.
    NoLink(String),
    /// The kernel refused the sockets.
    Refused(Error),
}

impl Unbound {
    pub(super) fn level(&self) -> Level {
        match self {
            Self::NoLink(_) => Level::Warn,
            Self::Refused(_) => Level::Error,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::NoLink(text) => text.clone(),
            Self::Refused(e) => e.to_string(),
        }
    }

    /// Whether to retry without a notification: the kernel reports neither a new default route nor the end of every
    /// cause of a refusal.
    pub(super) fn needs_retry(&self, choice: &InterfaceChoice) -> bool {
        match self {
            Self::NoLink(_) => *choice == InterfaceChoice::Auto,
            Self::Refused(_) => true,
        }
    }
}

/// A router as messages name it. Borrows only what it names, so that the telemetry can be written at the same time.
pub(super) fn subject<'a>(
    config: &'a RouterConfig,
    binding: Option<&'a Binding>,
    watched: &'a [String],
) -> Subject<'a> {
    let interface = match (binding, &config.interface) {
        (Some(binding), _) => &binding.interface,
        (None, InterfaceChoice::Named(name)) => name,
        (None, InterfaceChoice::Auto) => "auto",
    };
    Subject { name: &config.name, settings: &config.protocol, family: config.family(), interface, watched }
}
