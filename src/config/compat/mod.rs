//! The door to other keepalived images: texts under their names come in, texts of our variables come out, with their
//! defaults where those apply; knows no virtual router and no meaning of a value.

mod aliases;
mod convert;
mod defaults;
mod names;
mod profiles;

#[cfg(test)]
pub(super) use aliases::is_ambiguous;
pub use aliases::{Alias, Conversion, aliases};
pub(super) use aliases::{Found, OWN_FILE, PREFIX, find};
pub(super) use convert::{Converter, no_equivalent};
pub(super) use defaults::apply_defaults;
pub(super) use names::{HOST_IP, NamesInUse};
pub(super) use profiles::reads_host_ip;
#[cfg(test)]
pub(super) use profiles::{INVERTED, PROFILES, Profile};
