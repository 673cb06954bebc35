//! Which of the accepted connections gives way to a new one. Closes nothing.

use super::connection::{Connection, Endpoint};
use super::frame::Routers;
use crate::ids::LifelineId;

/// The most connections that we accept.
pub(super) const MOST: usize = 16;
/// Of one source address: that many processes may be behind it.
pub(super) const MOST_OF_SOURCE: usize = 4;

/// The one to close before another one of `remote` is accepted, if one is too many. Whoever has not said that it has one of our
/// `routers` is first, then the oldest.
pub(super) fn in_the_way(
    connections: &[Connection],
    remote: Endpoint,
    routers: &[Routers],
) -> Option<LifelineId> {
    let accepted = || connections.iter().filter(|c| c.accepted);
    let of_source = || accepted().filter(|c| c.remote == remote);
    let stranger = |c: &&Connection| !c.has_any(routers);
    let connection = if of_source().count() >= MOST_OF_SOURCE {
        of_source().find(stranger).or(of_source().next())
    } else if accepted().count() >= MOST {
        accepted().find(stranger)
    } else {
        None
    };
    connection.map(|c| c.id)
}

/// A backup that connects again has left the connection before, which may be half-open.
pub(super) fn superseded(connections: &[Connection], by: LifelineId) -> Option<LifelineId> {
    let new = connections.iter().find(|c| c.id == by && c.accepted)?;
    let before = |c: &&Connection| c.accepted && c.id != by && c.remote == new.remote;
    connections.iter().filter(before).find(|c| c.has_any(&new.theirs)).map(|c| c.id)
}
