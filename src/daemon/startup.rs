//! Steps of the start that concern the process and not the routers. Logs what they report.

use std::fs::File;

use crate::checks::Checks;
use crate::config::{RouterConfig, ServeConfig};
use crate::sandbox::Sandbox;
use crate::serve::Server;
use crate::sorted;
use crate::sys::Error;
use crate::sys::limits::{self, Descriptors};
use crate::sys::reaper;
use crate::sys::signals::Signals;
use crate::time::Instant;
use crate::token::Poller;

/// With fewer descriptors, not everything may work.
const FEW_DESCRIPTORS: usize = 64;

/// How many descriptors there are, and one of the mount namespace if they are not few.
pub(super) fn descriptors() -> (Descriptors, Option<File>) {
    let descriptors = limits::raise_descriptors();
    if descriptors.limit() >= FEW_DESCRIPTORS {
        return (descriptors, limits::hold_mounts());
    }
    log::warn!(event = "descriptors"; "Only {} descriptors may be open; without {FEW_DESCRIPTORS}, some of metrics, the report of other holders of the addresses and the immediate notice of a process's end may be missing (docker: --ulimit nofile)", descriptors.limit());
    (descriptors, None)
}

pub(super) fn expire_server(server: &mut Server, now: Instant, poller: &Poller) {
    for e in server.expire(now, poller) {
        log::warn!(event = "serving"; "{e}; will retry; everything else works");
    }
}

/// Before there is a second thread, and before a socket that receives packets is opened.
pub(super) fn enter(sandbox: &mut Sandbox, checks: &Checks) {
    sandbox.enter(checks.are_hidden_by_hidepid());
    for (level, sentence) in sandbox.report() {
        log::log!(level, event = "sandbox"; "{sentence}");
    }
}

pub(super) fn signals() -> Result<Signals, Error> {
    let signals = Signals::install()?;
    // Children that ended before the handlers were in place; later ones may be the notifier's.
    reaper::reap(usize::MAX);
    Ok(signals)
}

/// How many descriptors these routers will open first: for each link and family a pair that sends and receives adverts, and
/// one that announces the addresses.
fn sockets(routers: &[RouterConfig]) -> usize {
    let mut places = vec![];
    for router in routers {
        let is_multicast = router.protocol.peers.is_empty();
        let place = (&router.interface, router.family(), router.unicast_source, is_multicast);
        sorted::insert(&mut places, place);
    }
    places.len() * 3
}

/// With its listeners: their folder may be one that only root with all capabilities can write.
pub(super) fn server(
    config: ServeConfig,
    routers: &[RouterConfig],
    descriptors: Descriptors,
    poller: &Poller,
) -> Server {
    let mut server = Server::new(config, descriptors, sockets(routers));
    expire_server(&mut server, poller.now(), poller);
    server
}

pub(super) fn report_hidepid(checks: &Checks) {
    if !checks.is_empty() && checks.are_hidden_by_hidepid() {
        log::error!(event = "hidepid"; "/proc is mounted with hidepid: services of other users look dead; remount it without hidepid");
    }
}
