//! A configuration on its way into use. Decides nothing.

use crate::config::RouterConfig;
use crate::ids::RouterId;
use crate::time::Instant;

/// A configuration that is not in use yet.
#[derive(Debug, Default)]
pub(super) struct Reconfiguration {
    /// The routers from now on, once those that leave have handed over.
    pub(super) pending: Option<Vec<RouterConfig>>,
    /// Routers that are not started yet, and when they are started at the latest.
    pub(super) starting: Vec<(RouterId, Instant)>,
}

impl Reconfiguration {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.starting.iter().map(|(_, at)| *at).min()
    }
}
