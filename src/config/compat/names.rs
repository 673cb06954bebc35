//! What the names in use reveal about the image they were written for; knows no text but that of `HOST_IP`.

use std::net::Ipv4Addr;

use super::aliases::{Conversion, PREFIX, find, is_ambiguous};
use crate::config::variables::{VIP, VIRTUAL_ROUTER, Variable};

/// Holds the address of this host; one image derives its priority from it.
pub(in crate::config) const HOST_IP: &str = "HOST_IP";

/// The names in use, without numbers.
pub(in crate::config) struct NamesInUse {
    names: Vec<String>,
    /// Those that other images have and vrrp-init itself does not.
    foreign: Vec<String>,
    /// One of these sets a variable of ours.
    is_foreign: bool,
    /// The value of [`HOST_IP`].
    pub(super) host_ip: Option<Ipv4Addr>,
}

impl NamesInUse {
    /// `known` are names that vrrp-init reads; `unknown` the others, and whether an image for keepalived may read them.
    pub(in crate::config) fn new(
        known: Vec<String>,
        unknown: Vec<(String, bool)>,
        host_ip: Option<Ipv4Addr>,
    ) -> Self {
        let mut foreign: Vec<_> = known.iter().filter(|name| is_foreign(name)).cloned().collect();
        let is_foreign = !foreign.is_empty();
        foreign.extend(unknown.iter().filter(|(_, may_be)| *may_be).map(|(name, _)| name.clone()));
        let names = known.into_iter().chain(unknown.into_iter().map(|(name, _)| name)).collect();
        Self { names, foreign, is_foreign, host_ip }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub(super) fn foreign(&self) -> impl Iterator<Item = &String> {
        self.foreign.iter()
    }

    /// Whether one of them is another image's name for a variable of ours.
    pub(in crate::config) fn are_foreign(&self) -> bool {
        self.is_foreign
    }

    /// The name that marks an environment of start.sh.
    pub(super) fn has_virtual_router(&self) -> bool {
        self.has(VIRTUAL_ROUTER.name)
    }

    /// The variable of ours whose presence means that `name` belongs to other software.
    pub(in crate::config) fn excludes(
        &self,
        name: &str,
        conversion: Conversion,
    ) -> Option<&'static Variable> {
        if conversion == Conversion::Common {
            self.has(VIP.name).then_some(&VIP)
        } else {
            (self.has_virtual_router() && is_ambiguous(name)).then_some(&VIRTUAL_ROUTER)
        }
    }
}

/// Whether other images have this name, and neither vrrp-init nor much other software does.
fn is_foreign(name: &str) -> bool {
    let unprefixed = name.strip_prefix(PREFIX).unwrap_or(name);
    find(name).is_some_and(|found| {
        let ours = found.variable.is_some_and(|variable| variable.name == unprefixed);
        !ours && !is_ambiguous(name) && found.conversion != Conversion::Common
    })
}
