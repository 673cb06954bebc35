//! The listeners for lifelines, one for each address that masters here send from. Opened again when that fails.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use super::needs::{Service, is_link_local};
use crate::interfaces::Interfaces;
use crate::lifeline::{Endpoint, Way};
use crate::sys::Error;
use crate::sys::lifeline::{Listener, Local, Place, Stream};
use crate::time::Instant;
use crate::token::{Poller, Token};

/// The most listeners. Masters send from as many addresses as they have links.
const MOST: usize = 16;
/// The time between attempts to open one.
const RETRY: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Listening {
    number: u32,
    service: Service,
    /// Or why it is not open.
    listener: Result<Listener, String>,
}

/// All listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    port: u16,
    place: Place,
    all: Vec<Listening>,
    opened: u32,
    /// The last link of each address, and those that have another one since the last look.
    links: Vec<(IpAddr, u32)>,
    moved: Vec<(IpAddr, u32)>,
    retry_at: Option<Instant>,
    /// It has been logged that one could not be opened.
    failed: bool,
}

impl Listeners {
    pub(super) fn new(port: u16, place: Place) -> Self {
        Self {
            port,
            place,
            all: vec![],
            opened: 0,
            links: vec![],
            moved: vec![],
            retry_at: None,
            failed: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Listens for these services and no others.
    pub(super) fn update(&mut self, services: &[Service], now: Instant, poller: &Poller) {
        let same = |a: &Service, b: &Service| a.local == b.local && a.on_link == b.on_link;
        self.all.retain(|known| services.iter().any(|service| same(service, &known.service)));
        for service in services.iter().take(MOST) {
            match self.all.iter_mut().find(|known| same(service, &known.service)) {
                Some(known) => known.service.peers.clone_from(&service.peers),
                None => self.add(service.clone(), now, poller),
            }
        }
    }

    /// The addresses that are on another link than at the last call: one that was made again, with another hardware address.
    pub(super) fn take_moved(&mut self) -> Vec<(IpAddr, u32)> {
        std::mem::take(&mut self.moved)
    }

    fn note_link(&mut self, at: (IpAddr, u32)) {
        let known = self.links.extract_if(.., |(address, _)| *address == at.0).next();
        self.moved.extend(known.filter(|known| *known != at).map(|_| at));
        self.links.truncate(MOST - 1);
        self.links.push(at);
    }

    fn add(&mut self, service: Service, now: Instant, poller: &Poller) {
        self.opened = self.opened.wrapping_add(1);
        let number = self.opened;
        self.note_link((service.local.address, service.local.link));
        let open = || {
            let listener = Listener::open(&service.local, self.port, service.on_link, self.place)?;
            poller.watch(listener.as_fd(), Token::LifelineListener(number))?;
            Ok::<_, Error>(listener)
        };
        let listener = open().map_err(String::from);
        match &listener {
            Ok(_) => self.failed = false,
            Err(e) => {
                self.retry_at = Some(now + RETRY);
                if !std::mem::replace(&mut self.failed, true) {
                    log::warn!(event = "lifeline"; "{e}; will retry; until then, a crash of this process is noticed only by its silence");
                }
            }
        }
        self.all.push(Listening { number, service, listener });
    }

    /// Tries again what failed.
    pub(super) fn expire(&mut self, now: Instant, poller: &Poller) {
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            for failed in self.all.extract_if(.., |known| known.listener.is_err()).collect::<Vec<_>>() {
                self.add(failed.service, now, poller);
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.all.clear();
        self.retry_at = None;
    }

    /// The listener at this address.
    pub(super) fn at(&self, local: &Local) -> Option<&Listener> {
        self.all.iter().find(|known| known.service.local == *local)?.listener.as_ref().ok()
    }

    /// Our address at a listener, and its link.
    pub(super) fn local(&self, number: u32) -> Option<(IpAddr, u32)> {
        let known = self.all.iter().find(|known| known.number == number)?;
        Some((known.service.local.address, known.service.local.link))
    }

    /// Why nobody can connect to this address.
    pub(super) fn problem(&self, address: IpAddr) -> Option<&str> {
        let known = self.all.iter().find(|known| known.service.local.address == address)?;
        known.listener.as_ref().err().map(String::as_str)
    }

    /// The next connection that may be one of a backup, and what each end may do on it. `None`: no more are waiting.
    pub(super) fn accept(
        &mut self,
        number: u32,
        interfaces: &Interfaces,
        now: Instant,
    ) -> Option<(Stream, Option<(Endpoint, Way)>)> {
        let known = self.all.iter_mut().find(|known| known.number == number)?;
        match known.listener.as_ref().ok()?.accept() {
            Ok(accepted) => {
                let (stream, from) = accepted?;
                let remote =
                    known.service.admits(from, interfaces).then(|| known.service.remote(from, self.port));
                Some((stream, remote))
            }
            Err(e) => {
                // Out of descriptors. It would be reported in every turn.
                known.listener = Err(Error::doing("accept", "a lifeline")(e).into());
                self.retry_at = Some(now + RETRY);
                None
            }
        }
    }
}

impl Service {
    /// Whether a backup may have this address.
    fn admits(&self, from: SocketAddr, interfaces: &Interfaces) -> bool {
        let address = from.ip();
        match self.peers.as_slice() {
            [] => is_link_local(address) || interfaces.is_on_link(address),
            peers => peers.contains(&address),
        }
    }

    fn remote(&self, from: SocketAddr, port: u16) -> (Endpoint, Way) {
        let both = from.port() == port && !self.peers.is_empty();
        let endpoint = super::needs::endpoint(from.ip(), self.local.link);
        (endpoint, if both { Way::Both } else { Way::Accepted })
    }
}
