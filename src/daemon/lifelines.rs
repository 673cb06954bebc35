//! Joins the lifelines to the routers: what those need, which of their masters have died, and what the status says.

mod listeners;
mod messages;
pub(super) mod needs;
mod sockets;

use std::net::IpAddr;
use std::num::NonZeroU16;

use super::router::Router;
use super::routers::Routers;
use crate::lifeline::State;
use crate::status::LifelineStatus;
use crate::sys::limits::Descriptors;
use crate::time::{Instant, millis};
use crate::token::{Poller, Token};
use crate::vrrp::Role;
use needs::{News, followed, is_silenced};
use sockets::Sockets;

#[derive(Debug)]
pub(super) struct Lifelines {
    /// `None`: they are off, or there are too few descriptors.
    sockets: Option<Sockets>,
}

impl Lifelines {
    /// `port`: `None` without lifelines.
    pub(super) fn new(port: Option<NonZeroU16>, descriptors: Descriptors, now: Instant) -> Self {
        Self { sockets: port.and_then(|port| Sockets::new(port.get(), descriptors, now)) }
    }

    /// When [`Lifelines::follow`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sockets.as_ref().and_then(Sockets::deadline)
    }

    /// A socket is ready.
    pub(super) fn ready(&mut self, token: Token, routers: &mut Routers, now: Instant, poller: &Poller) {
        if token == Token::GuardMonitor {
            routers.network_mut().guard_mut().changed();
        }
        let Some(sockets) = &mut self.sockets else { return };
        if let Token::Lifeline(id) = token {
            sockets.ready(id, now, poller);
        } else if let Token::LifelineListener(number) = token {
            sockets.accept(number, routers.network().interfaces(), now, poller);
        }
        report(sockets, routers);
    }

    /// Opens and closes lifelines as the routers need them, before their adverts are sent.
    pub(super) fn follow(&mut self, routers: &mut Routers, now: Instant, poller: &Poller) {
        let Some(sockets) = &mut self.sockets else { return };
        sockets.expire(now, poller);
        if let Some(needs) = routers.take_lifeline_needs() {
            sockets.update(needs, now, poller);
            for (address, link) in sockets.take_moved() {
                // Backups would call the old hardware address for up to a minute.
                let _ = routers.network_mut().announce_on(link, address);
            }
        }
        report(sockets, routers);
    }

    /// Has the guard follow the leases while a backup is connected, and tells the backups what is guarded.
    pub(super) fn follow_guard(&mut self, routers: &mut Routers, now: Instant, poller: &Poller) {
        let guarded = routers.renew_guard(self.sockets.as_ref().is_some_and(Sockets::has_backups));
        if let Some(sockets) = &mut self.sockets {
            sockets.set_guarded(guarded, now, poller);
        }
    }

    /// Says goodbye: what happens from now on is no death.
    pub(super) fn stop(&mut self, now: Instant, poller: &Poller) {
        if let Some(sockets) = &mut self.sockets {
            sockets.stop(now, poller);
        }
    }

    /// What the lifelines are to a router.
    pub(super) fn status(&self, router: &Router, now: Instant) -> LifelineStatus {
        let Some(sockets) = &self.sockets else { return off() };
        let silent = |guarded| is_silenced(guarded, router.config().family());
        let status =
            LifelineStatus { successor: successor(sockets, router, now), ..LifelineStatus::default() };
        match router.role() {
            _ if !router.config().protocol.fast => off(),
            Role::Master => {
                let source = router.binding().and_then(|binding| binding.source);
                let problem = source.and_then(|source| sockets.closed(source));
                LifelineStatus {
                    state: if problem.is_some() { "unavailable" } else { "listening" },
                    peers: sockets.backups(),
                    guarded: Some(silent(sockets.guarded())),
                    problem: problem.map(str::to_owned),
                    ..status
                }
            }
            Role::Backup if let Some(master) = followed(router) => {
                let status = LifelineStatus { peers: vec![master.address], ..status };
                match sockets.state(master, router.config().protocol.vrid) {
                    State::Connecting => LifelineStatus { state: "connecting", ..status },
                    State::Connected { since, guarded } => LifelineStatus {
                        state: "connected",
                        connected_ms: Some(millis(now.since(since))),
                        guarded: Some(silent(guarded)),
                        ..status
                    },
                    State::Failed(trouble) => {
                        let problem = Some(sockets.problem(trouble));
                        LifelineStatus { state: messages::name(trouble), problem, ..status }
                    }
                }
            }
            Role::Backup | Role::Init | Role::Fault => {
                LifelineStatus { state: "idle", ..LifelineStatus::default() }
            }
        }
    }
}

fn report(sockets: &mut Sockets, routers: &mut Routers) {
    for news in sockets.take_news() {
        match news {
            News::Died(death) => routers.died(&death),
            News::Named { from, vrid, priority } => routers.named(from, vrid, priority),
        }
    }
}

/// On a master the backup that takes over from it without a skew, on a backup its own address if it is the one.
fn successor(sockets: &Sockets, router: &Router, now: Instant) -> Option<IpAddr> {
    let source = router.binding()?.source?;
    match router.role() {
        Role::Master => sockets.successor(source, router.config().protocol.vrid),
        Role::Backup | Role::Init | Role::Fault => router.instance().is_successor(now).then_some(source),
    }
}

/// There are none, or none for this router.
pub(super) fn off() -> LifelineStatus {
    LifelineStatus { state: "off", ..LifelineStatus::default() }
}
