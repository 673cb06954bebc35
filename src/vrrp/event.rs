//! The inputs and outputs of a virtual router's state machine, as values.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::advert::Advert;
use super::drop_reason::DropReason;
use super::settings::Settings;
use super::units::Priority;

/// An input of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The process is ready: leave Initialize.
    Startup,
    /// The process stops: release everything.
    Shutdown,
    /// The interface's primary address, from which adverts are sent; `None` if it has none.
    Source(Option<IpAddr>),
    /// This cause keeps the router in FAULT.
    Fault(Cause),
    /// This cause is gone.
    Clear(Cause),
    /// Other settings, of the same VRID, version and interval. If `acquire`, there are virtual addresses that a master has not
    /// acquired; those that it no longer has are removed already. The effective priority follows by itself.
    Reconfigure { settings: &'a Rc<Settings>, acquire: bool },
    /// The effective priority, after weights. Never [`Priority::RELEASE`].
    Priority(Priority),
    /// [`Instance::deadline`](super::Instance::deadline) was reached.
    Timer,
    /// An advert for this VRID that [`Advert::parse`] accepted.
    Advert { from: IpAddr, advert: &'a Advert },
    /// The process that advertised for this VRID from this address has died, as its kernel reports by closing the
    /// lifeline, and its host no longer answers for the addresses. Comes after every advert that had been received by
    /// then: an advert that follows is the sign of a live router, and restores the full timer.
    Died { from: IpAddr },
    /// The master at this address has compared the priorities of its backups, as they told it over their lifelines: with
    /// this priority, ours is the best claim. `None`: another one is better, or the master does not say any more.
    Successor { from: IpAddr, named: Option<Priority> },
    /// The kernel refused a virtual address: the last [`Action::Acquire`] or [`Action::Renew`] failed.
    Refused,
    /// No advert since the last [`Event::Sent`] could be sent; once for each that could not.
    Unsent,
    /// After [`Event::Unsent`], an advert was sent.
    Sent,
    /// A virtual address was removed, and not by us.
    AddressLost,
    /// The interface's hardware address changed.
    HardwareAddress,
    /// Another host answered [`Action::Solicit`]: it has the addresses too.
    Contested,
    /// Hand over and take no part. A master goes only if another router takes over, or with `force`.
    Drain { force: bool },
    /// Take part again.
    Undrain,
}

/// A cause of FAULT. Each is raised and cleared independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The interface is missing or down.
    Interface,
    /// The interface has no address to send from.
    Source,
    /// Another router of this process uses our VRID on the interface.
    Vrid,
    /// A check with weight 0 is not healthy.
    Service,
    /// A tracked interface is missing or down.
    Tracked,
    /// The router of the other address family, which moves together with this one, is in FAULT.
    Partner,
    /// The kernel refused a virtual address.
    Address,
    /// As master, no advert could be sent for a Master_Down_Interval: others have taken over.
    Send,
}

impl Cause {
    /// The stable name, as in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Source => "source",
            Self::Vrid => "vrid",
            Self::Service => "service",
            Self::Tracked => "tracked",
            Self::Partner => "partner",
            Self::Address => "address",
            Self::Send => "send",
        }
    }
}

/// An output of the state machine. Actions are performed in order. If [`Action::Acquire`] or [`Action::Renew`] fails,
/// the rest of the list is dropped and [`Event::Refused`] is the next event.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add all virtual addresses; those that already exist stay.
    Acquire,
    /// Renew the lease of all virtual addresses, before it ends.
    Renew,
    /// Remove all virtual addresses; it is not an error if one does not exist.
    Release,
    /// Send this advert to the group or the peers.
    Send(Advert),
    /// Announce the virtual addresses to the neighbors.
    Announce,
    /// Ask the other routers of the group whether they have the addresses. The answer of one that has them must leave it
    /// before it has handled the next advert, with which it may give them up silently.
    Solicit,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub address: IpAddr,
    pub priority: Priority,
}

/// When a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// An action before this report.
    Now,
    /// Soon, because the rate is limited: an announcement within a second, an advert within its interval.
    Later,
}

/// A fact that results from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The role changed. Actions before this one in the same list belong to the change.
    Transition { from: Role, to: Role, why: Why },
    /// Our effective priority changed.
    Priority { from: Priority, to: Priority },
    /// As backup, we now follow this master, or it changed its priority.
    Master(Peer),
    /// As backup, we receive adverts of a master with a lower priority, and will replace it.
    Lower(Peer),
    /// As master, we received the advert of a router with a worse claim: when we answer it, and when we announce the
    /// addresses.
    Loser { peer: Peer, answer: Timing, announcement: Timing },
    /// It continues after several answers: it does not receive our adverts, and both are master.
    TwoMasters(Peer),
    /// The adverts from this address change their priority more often than one router can: there are two.
    SecondSpeaker { address: IpAddr, priorities: [Priority; 2] },
    /// An accepted advert lists addresses that differ from ours.
    OtherAddresses(IpAddr),
    /// VRRPv3: an accepted advert has an interval that differs from ours. We use it while its sender is master.
    OtherInterval(IpAddr),
    /// The master sent priority 0, because it stops or yields.
    Released(IpAddr),
    /// The process of the master died.
    Died(IpAddr),
    /// As master, our priority fell, and we sent priority 0 so that a better router can take over.
    Yield,
    /// As master, we are stopping: we sent priority 0, and keep the addresses until another router takes over.
    Stopping,
    /// An advert was dropped.
    Dropped { from: IpAddr, reason: DropReason },
    /// A virtual address that another program removed is added again.
    AddressRestored,
    /// While in FAULT, another cause was raised, or one of several was cleared.
    Cause { cause: Cause, raised: bool },
    /// A drain that changes no role. One that does is a transition.
    Drain(Drain),
}

/// What became of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drain {
    /// As master, we sent priority 0, and keep the addresses until another router takes over.
    Leaving,
    /// We take no part.
    Done,
    /// No other router took over, so we stay master.
    Refused,
    /// We take part again.
    Ended,
}

/// The cause of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The process started.
    Startup,
    /// No advert during the Master_Down_Interval; the master that fell silent, if one was known.
    Silence(Option<Peer>),
    /// The master sent priority 0 and the skew has passed.
    Released(IpAddr),
    /// The master's process died and the skew has passed.
    Died(Peer),
    /// The master's priority is lower than ours, and we preempt.
    Preempt(Peer),
    /// A better router advertises: a higher priority, or the same from a higher address.
    Outranked(Peer),
    /// A cause of FAULT was raised.
    Fault(Cause),
    /// The last cause of FAULT was cleared.
    Recovered(Cause),
    /// A master whose process did not run: its advert was late by this much, and another may have been elected.
    Late(Duration),
    /// The process stops.
    Shutdown,
    /// The process stops, and this router has taken over.
    Succeeded(Peer),
    /// Drained, and this router has taken over; `None`: none has, and the drain was forced.
    Drained(Option<Peer>),
}
