//! The router that a line of the log is about.

use std::fmt;
use std::net::IpAddr;

use log::{Level, Record};

use super::culprits::Culprits;
use crate::vrrp::{Family, Settings};

/// The router a sentence is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) family: Family,
    /// The interface in use, otherwise the configured one.
    pub(super) interface: &'a str,
    /// The address that adverts are sent from.
    pub(super) source: Option<IpAddr>,
    /// What its check watches.
    pub(super) watched: &'a [String],
    /// What is behind each cause of FAULT.
    pub(super) culprits: &'a Culprits,
}

impl Subject<'_> {
    /// Writes one line about this router to the log.
    pub(super) fn log_event(&self, level: Level, event: &str, text: impl fmt::Display) {
        self.log_event_with(level, event, &[], &text);
    }

    /// The same, with more keys for programs that read the log.
    pub(super) fn log_event_with(
        &self,
        level: Level,
        event: &str,
        more: &[(&str, &str)],
        text: &dyn fmt::Display,
    ) {
        let name = self.name;
        let keys = [&[("event", event), ("instance", name)], more].concat();
        let args = format_args!("({name}) {text}");
        log::logger().log(&Record::builder().level(level).key_values(&keys).args(args).build());
    }
}
