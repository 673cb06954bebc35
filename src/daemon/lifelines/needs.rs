//! What the routers need of the lifelines now: where the backups of our masters connect to, and which masters of other
//! hosts our backups follow; and which of those have died. Opens nothing.

use std::net::IpAddr;

use crate::daemon::binding::Binding;
use crate::daemon::network::Network;
use crate::daemon::port::ANY_LINK;
use crate::daemon::router::Router;
use crate::lifeline::{Endpoint, Guarded, Ranks, Routers, Wanted, speaks};
use crate::sys::lifeline::Local;
use crate::vrrp::{Family, Role, Settings};

/// What the lifelines have to tell the routers.
#[derive(Debug)]
pub(in crate::daemon) enum News {
    Died(Death),
    /// The master at this address has named the backup here its successor, or with 0 no longer does.
    Named {
        from: Endpoint,
        vrid: u8,
        priority: u8,
    },
}

/// The process at these addresses has died.
#[derive(Debug)]
pub(in crate::daemon) struct Death {
    pub(in crate::daemon) from: Vec<Endpoint>,
    pub(in crate::daemon) guarded: Guarded,
    /// The virtual routers that it named, if it named any.
    pub(in crate::daemon) routers: Vec<Routers>,
}

impl Death {
    /// The master of this router, if it was this process and its host no longer answers for the virtual addresses.
    pub(in crate::daemon) fn master_of(&self, router: &Router) -> Option<Endpoint> {
        let Settings { vrid, .. } = *router.config().protocol;
        let master = followed(router).filter(|master| self.from.contains(master))?;
        let is_its = speaks(&self.routers, master, vrid.octet());
        (is_its && is_silenced(self.guarded, router.config().family())).then_some(master)
    }
}

/// Whether a host does not answer for virtual addresses of this family after the death of the process.
pub(super) fn is_silenced(guarded: Guarded, family: Family) -> bool {
    match family {
        Family::V4 => guarded.v4,
        Family::V6 => guarded.v6,
    }
}

/// Where backups connect to: the source of the adverts of masters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) local: Local,
    /// The unicast peers, which alone may connect. Empty: who is on the link may.
    pub(super) peers: Vec<IpAddr>,
    /// No peer is behind a router.
    pub(super) on_link: bool,
}

/// How to connect to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) wanted: Wanted,
    pub(super) local: Local,
    /// It is a unicast peer: both ends use the port of the lifeline.
    pub(super) unicast: bool,
    pub(super) on_link: bool,
}

/// Each service and each host once, however many routers need it.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Needs {
    pub(super) services: Vec<Service>,
    pub(super) hosts: Vec<Way>,
    /// The addresses that routers here send from, whether or not they need a connection now.
    pub(super) sources: Vec<Local>,
    /// The virtual routers with each of these addresses.
    pub(super) routers: Vec<Routers>,
    pub(super) ranks: Ranks,
}

impl Needs {
    pub(in crate::daemon) fn of(routers: &[Router], network: &Network) -> Self {
        let mut needs = Self::default();
        for router in routers.iter().filter(|router| router.config().protocol.fast) {
            let Some(binding) = router.binding() else { continue };
            let Some(local) = local(binding, network) else { continue };
            let vrid = router.config().protocol.vrid.octet();
            add(&mut needs.routers, local.address, vrid);
            needs.sources.extend((!needs.sources.contains(&local)).then(|| local.clone()));
            match router.role() {
                Role::Master => {
                    add(&mut needs.ranks.masters, local.address, vrid);
                    needs.serve(router, binding, local, network);
                }
                Role::Backup => {
                    if let Some(endpoint) = followed(router) {
                        let priority = router.instance().priority().octet();
                        needs.ranks.standby.push((endpoint.address, vrid, priority));
                        let unicast = !router.config().protocol.peers.is_empty();
                        needs.reach(Wanted { endpoint, followed: true }, local, unicast, network);
                    }
                }
                Role::Init | Role::Fault => {}
            }
        }
        needs
    }

    fn serve(&mut self, router: &Router, binding: &Binding, local: Local, network: &Network) {
        let all = router.config().protocol.peers.iter().copied();
        let peers: Vec<_> = all.filter(|peer| *peer != local.address).collect();
        for peer in &peers {
            let wanted = Wanted { endpoint: endpoint(*peer, binding.index), followed: false };
            self.reach(wanted, local.clone(), true, network);
        }
        let on_link = peers.iter().all(|peer| is_on_link(*peer, network));
        match self.services.iter_mut().find(|service| service.local == local) {
            Some(service) => {
                service.on_link &= on_link;
                // A router with multicast lets in who is on the link.
                if peers.is_empty() || service.peers.is_empty() {
                    service.peers.clear();
                } else {
                    service.peers.extend(peers);
                }
            }
            None => self.services.push(Service { local, peers, on_link }),
        }
    }

    fn reach(&mut self, wanted: Wanted, local: Local, unicast: bool, network: &Network) {
        if let Some(way) = self.hosts.iter_mut().find(|way| way.wanted.endpoint == wanted.endpoint) {
            way.wanted.followed |= wanted.followed;
        } else {
            let on_link = is_on_link(wanted.endpoint.address, network);
            self.hosts.push(Way { wanted, local, unicast, on_link });
        }
    }
}

fn add(all: &mut Vec<Routers>, from: IpAddr, vrid: u8) {
    let at = all.iter().position(|routers| routers.from == from).unwrap_or_else(|| {
        all.push(Routers::at(from));
        all.len() - 1
    });
    all[at].add(vrid);
}

fn local(binding: &Binding, network: &Network) -> Option<Local> {
    let Endpoint { address, scope } = endpoint(binding.source?, binding.index);
    let device = network.interfaces().link(binding.port).filter(|_| binding.port != ANY_LINK);
    let link = device.map_or(scope, |device| device.index);
    Some(Local { address, link, device: device.map(|device| device.name.clone()) })
}

/// Multicast crosses no router, and neither does what is in one of our subnets.
fn is_on_link(address: IpAddr, network: &Network) -> bool {
    is_link_local(address) || network.interfaces().is_on_link(address)
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// An address on the link with this index.
pub(super) fn endpoint(address: IpAddr, index: u32) -> Endpoint {
    Endpoint { address, scope: if is_link_local(address) { index } else { 0 } }
}

/// The master that a backup follows in order to replace it.
pub(in crate::daemon) fn followed(router: &Router) -> Option<Endpoint> {
    let master = router.instance().master().filter(|_| !router.instance().is_drained())?;
    Some(endpoint(master.address, router.binding()?.index))
}
