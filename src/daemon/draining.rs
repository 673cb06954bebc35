//! What becomes of the order to take no part, as a value. Decides nothing.

use crate::ids::RouterId;

/// What becomes of the order to take no part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Drain {
    /// There is no order.
    #[default]
    Off,
    /// All routers take no part, or wait for a successor.
    On,
    /// This router cannot go, and so all take part.
    Refused { by: RouterId, why: &'static str },
}
