//! What goes into a virtual router's state machine and what comes out: values only.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Advert, DropReason, Priority};

/// What happened to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The process is ready: leave Initialize.
    Startup,
    /// The process stops: release everything.
    Shutdown,
    /// The interface's primary address, which adverts come from; `None` when it has none.
    Source(Option<IpAddr>),
    /// The router cannot work because of this.
    Fault(Cause),
    /// That cause is gone.
    Clear(Cause),
    /// The effective priority, after weights; never [`Priority::RELEASE`].
    Priority(Priority),
    /// [`Instance::deadline`](super::Instance::deadline) has come.
    Timer,
    /// An advert for this VRID that [`Advert::parse`] let through.
    Advert { from: IpAddr, advert: &'a Advert },
    /// The kernel refused a virtual address: the last [`Action::Acquire`] or [`Action::Renew`] failed.
    Refused,
    /// A virtual address is gone, and not by our doing.
    AddressLost,
    /// The interface has another hardware address.
    HardwareAddress,
}

/// Why a router is in FAULT. Each is raised and cleared by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The interface is missing or down.
    Interface,
    /// The interface has no address to send from.
    Source,
    /// Another router of this process has our VRID on the interface.
    Vrid,
    /// A service with weight 0 does not run.
    Service,
    /// A tracked interface is missing or down.
    Tracked,
    /// The router of the other family, which moves with this one, is in FAULT.
    Partner,
    /// The kernel refused a virtual address.
    Address,
}

/// What must be done, in this order. When [`Action::Acquire`] or [`Action::Renew`] fails, the rest of the list
/// is dropped and [`Event::Refused`] is the next event.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add all virtual addresses; those already there stay.
    Acquire,
    /// Renew the lease of all virtual addresses, before it ends.
    Renew,
    /// Remove all virtual addresses; those already gone are no error.
    Release,
    /// Send this advert to the group.
    Send(Advert),
    /// Tell the neighbours where the virtual addresses are.
    Announce,
    /// A fact for the log, the status and the counters.
    Report(Report),
}

/// The state of a router under keepalived's names; serializes as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    Init,
    Backup,
    Master,
    Fault,
}

impl Role {
    /// keepalived's name: `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

/// Another router of our VRID: its address and the priority it last advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub priority: Priority,
}

/// A fact that came out of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The role changed; actions in the same list before this one belong to it.
    Transition { from: Role, to: Role, why: Why },
    /// Our effective priority changed.
    Priority { from: Priority, to: Priority },
    /// As backup we follow this master from now on, or it changed its priority.
    Master(Peer),
    /// As backup we hear a master of lower priority, and shall replace it.
    Lower(Peer),
    /// As master we hear a router that loses against us and was told so.
    Loser(Peer),
    /// It was told so several times and goes on: it does not hear us, and both are master.
    TwoMasters(Peer),
    /// A router of our VRID that we must obey all the same advertises other addresses than ours.
    OtherAddresses(IpAddr),
    /// VRRPv3: it advertises at another interval than ours, which we use for as long as it is master.
    OtherInterval(IpAddr),
    /// The master announced that it leaves or yields.
    Released(IpAddr),
    /// Our priority fell while master: the others were told, a better one may take over.
    Yield,
    /// Told to stop while master: the others were told, we answer until one of them does.
    Leaving,
    /// An advert was dropped.
    Dropped { from: IpAddr, reason: DropReason },
    /// A virtual address that was gone is put back.
    PutBack,
    /// While in FAULT a further cause came, or one of several went.
    Cause { cause: Cause, raised: bool },
}

/// The cause of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Start of the process.
    Startup,
    /// No advert for the whole Master_Down_Interval; the master that fell silent, if one was known.
    Silence(Option<Peer>),
    /// The master announced priority 0 and the skew has passed.
    Released(IpAddr),
    /// The master has a lower priority than ours, and we preempt.
    Preempt(Peer),
    /// A better router advertises: higher priority, or equal from a higher address.
    Outranked(Peer),
    /// Something this router needs is missing.
    Fault(Cause),
    /// The last fault is gone.
    Recovered(Cause),
    /// A master that was held up for this much longer than an interval: another may have been elected.
    Late(Duration),
    /// Stop of the process.
    Shutdown,
    /// Stop of the process, and this router was heard to take over.
    Succeeded(Peer),
}
