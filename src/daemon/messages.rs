//! The sentences about routers, for log, status and history. Keeps keepalived's phrases that people grep for. Decides
//! nothing.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

pub(super) use super::conflict::{Conflict, Reaction};
pub(super) use super::subject::Subject;
use super::transition_lines::Transition;
use crate::checks::{Concern, Outcome};
use crate::columns::join;
use crate::config::InterfaceChoice;
use crate::health::Verdict;
use crate::interfaces::Interfaces;
use crate::status::span;
use crate::sys::Error;
use crate::sys::claims::Claim;
use crate::time::{Instant, millis};
use crate::vrrp::{Cause, Drain, Peer, Priority, Report, Role, Settings, Timing, Vrid, Why};

/// Logs a transition with both states and the cause as keys. `skipped`: how many transitions before it were not logged.
pub(super) fn log_transition(subject: &Subject<'_>, transition: &Transition, skipped: u32) {
    let Transition { from, to, why } = *transition;
    let level = if to == Role::Fault { Level::Warn } else { Level::Info };
    let report = Report::Transition { from, to, why };
    let (cause, peer) = (cause(&why, subject), peer_address(&report).map(|address| address.to_string()));
    let mut keys = vec![("state", to.as_str()), ("from", from.as_str()), ("cause", &*cause)];
    keys.extend(peer.iter().map(|address| ("peer", address.as_str())));
    let culprit = if let Why::Fault(cause) = why { subject.culprits.get(cause) } else { None };
    if let Some(culprit) = culprit {
        keys.push(("problem", culprit.problem.as_str()));
        keys.extend(culprit.interface.iter().map(|name| ("culprit", name.as_str())));
    }
    let mut text = self::report(&report, subject);
    let count = skipped.to_string();
    if skipped > 0 {
        keys.push(("skipped", &count));
        let _ = write!(text, " ({count} transitions before it were not logged: too many)");
    }
    subject.log_event_with(level, "transition", &keys, &text);
}

/// Logs any other report; for a transition there is [`log_transition`].
pub(super) fn log_report(subject: &Subject<'_>, report: &Report) {
    let (level, event) = match report {
        Report::Transition { .. } => (Level::Info, "transition"),
        Report::Cause { .. } => (Level::Warn, "fault"),
        Report::Priority { .. } => (Level::Info, "priority"),
        Report::Yield | Report::Stopping => (Level::Info, "yield"),
        Report::Master(_) | Report::Released(_) => (Level::Info, "master"),
        Report::Died(_) => (Level::Warn, "master_died"),
        Report::Lower(_) | Report::Loser { .. } => (Level::Info, "lower"),
        Report::TwoMasters(_) => (Level::Warn, "two_masters"),
        Report::SecondSpeaker { .. } => (Level::Warn, "second_speaker"),
        Report::AddressRestored => (Level::Warn, "address_restored"),
        Report::Drain(Drain::Refused) => (Level::Error, "drain"),
        Report::Drain(_) => (Level::Warn, "drain"),
        Report::Dropped { .. } | Report::OtherAddresses(_) | Report::OtherInterval(_) => {
            (Level::Warn, "dropped")
        }
    };
    log_with_peer(subject, level, event, report);
}

/// Logs that a virtual address was missing and was added again. `expired`: its lease ran out while this process did not
/// run; otherwise another program removed it.
pub(super) fn log_restored(subject: &Subject<'_>, expired: bool) {
    if expired {
        let text = "A virtual address expired while this process did not run: added it again";
        subject.log_event(Level::Warn, "address_restored", text);
    } else {
        log_report(subject, &Report::AddressRestored);
    }
}

/// Logs the outcome of a poll.
pub(super) fn log_outcome(subject: &Subject<'_>, outcome: &Outcome) {
    for e in &outcome.errors {
        subject.log_event(Level::Error, "check_error", e);
    }
    for change in &outcome.changes {
        subject.log_event(Level::Info, "service", change);
    }
    for concern in &outcome.warnings {
        match concern {
            Concern::Missing(text) => subject.log_event(Level::Warn, "service_missing", text),
            Concern::CrashLoop(text) => subject.log_event(Level::Warn, "crash_loop", text),
        }
    }
    let names = subject.watched.join(", ");
    match outcome.verdict.filter(|verdict| *verdict != Verdict::Failed || !outcome.is_early) {
        Some(Verdict::Healthy) => {
            subject.log_event(Level::Info, "check", format_args!("Check of {names} succeeded"));
        }
        Some(Verdict::Failed | Verdict::Unknown) => {
            subject.log_event(Level::Warn, "check", format_args!("Check of {names} failed"));
        }
        None => {}
    }
}

fn log_with_peer(subject: &Subject<'_>, level: Level, event: &str, report: &Report) {
    let peer = peer_address(report).map(|address| address.to_string());
    let keys: Vec<_> = peer.iter().map(|address| ("peer", address.as_str())).collect();
    subject.log_event_with(level, event, &keys, &self::report(report, subject));
}

/// A cause of FAULT as half a sentence.
pub(super) fn fault(cause: Cause, of: &Subject<'_>) -> String {
    if let Some(culprit) = of.culprits.get(cause) {
        return culprit.text.clone();
    }
    let Subject { interface, watched, family, .. } = of;
    match cause {
        Cause::Interface => format!("interface {interface} is missing or down"),
        Cause::Source => format!("interface {interface} has no {family} address to send from"),
        Cause::Vrid => format!("another router of this process uses our VRID on {interface}"),
        Cause::Service => format!("the check of {} does not pass", watched.join(", ")),
        Cause::Tracked => "a tracked interface is missing or down".into(),
        Cause::Partner => "the router of the other address family is in FAULT".into(),
        Cause::Send => "no advert could be sent for a master-down interval".into(),
        Cause::Address => "the kernel refused a virtual address".into(),
    }
}

fn peer(peer: &Peer) -> String {
    format!("{} (priority {})", peer.address, peer.priority)
}

/// A router that ranks lower advertises to a master: how the master reacts, now and soon.
fn loser(loser: &Peer, answer: Timing, announcement: Timing) -> String {
    let done = match (answer, announcement) {
        (Timing::Now, Timing::Now) => {
            "sent it our advert, and told the neighbors that the addresses are here"
        }
        (Timing::Now, Timing::Later) => {
            "sent it our advert; will tell the neighbors within 1 s that the addresses are here"
        }
        (Timing::Later, Timing::Now) => {
            "told the neighbors that the addresses are here; our next advert answers it"
        }
        (Timing::Later, Timing::Later) => {
            "our next advert answers it; will tell the neighbors within 1 s that the addresses are here"
        }
    };
    format!("Received advert from {} while master: it ranks lower; {done}", peer(loser))
}

fn second_speaker(vrid: Vrid, address: IpAddr, [higher, lower]: [Priority; 2]) -> String {
    format!(
        "There is a second VRRP speaker of VRID {vrid} on {address}: its adverts alternate between priority {higher} and \
         {lower}; stop one of the two"
    )
}

/// The cause of a transition as half a sentence.
pub(super) fn cause(why: &Why, of: &Subject<'_>) -> String {
    let Subject { interface, watched, family, .. } = of;
    match why {
        Why::Startup => "started".into(),
        Why::Silence(Some(master)) => format!("{} fell silent", peer(master)),
        Why::Silence(None) => "heard no other router".into(),
        Why::Released(from) => format!("{from} released the addresses"),
        Why::Died(master) => format!("{} died", peer(master)),
        Why::Preempt(lower) => format!("preempting {}", peer(lower)),
        Why::Outranked(by) => format!("{} ranks higher", peer(by)),
        Why::Fault(fault) => self::fault(*fault, of),
        Why::Recovered(Cause::Interface) => {
            let culprit = of.culprits.get(Cause::Interface).and_then(|culprit| culprit.interface.as_ref());
            format!("interface {} is up", culprit.map_or(*interface, |name| name))
        }
        Why::Recovered(Cause::Source) => format!("interface {interface} has an {family} address"),
        Why::Recovered(Cause::Vrid) => format!("our VRID is free on {interface}"),
        Why::Recovered(Cause::Tracked) => "the tracked interfaces are up".into(),
        Why::Recovered(Cause::Partner) => "the router of the other address family has recovered".into(),
        Why::Recovered(Cause::Service) => format!("the check of {} passes", watched.join(", ")),
        Why::Recovered(Cause::Send) => "adverts can be sent again".into(),
        Why::Recovered(Cause::Address) => "retrying the virtual addresses".into(),
        Why::Late(late) => {
            format!("did not run for {} ms, another master may have been elected", millis(*late))
        }
        Why::Shutdown => "stopping".into(),
        Why::Succeeded(by) => format!("{} took over", peer(by)),
        Why::Drained(Some(by)) => format!("drained, {} took over", peer(by)),
        Why::Drained(None) => "drained by force, nobody took over".into(),
    }
}

/// The other router in a report.
pub(super) fn peer_address(report: &Report) -> Option<IpAddr> {
    match report {
        Report::Transition { why, .. } => match why {
            Why::Silence(peer) | Why::Drained(peer) => peer.map(|peer| peer.address),
            Why::Died(peer) | Why::Preempt(peer) | Why::Outranked(peer) | Why::Succeeded(peer) => {
                Some(peer.address)
            }
            Why::Released(from) => Some(*from),
            Why::Startup | Why::Fault(_) | Why::Recovered(_) | Why::Late(_) | Why::Shutdown => None,
        },
        Report::Master(peer)
        | Report::Lower(peer)
        | Report::Loser { peer, .. }
        | Report::TwoMasters(peer) => Some(peer.address),
        Report::SecondSpeaker { address: from, .. }
        | Report::OtherAddresses(from)
        | Report::OtherInterval(from)
        | Report::Released(from)
        | Report::Died(from)
        | Report::Dropped { from, .. } => Some(*from),
        Report::Priority { .. }
        | Report::Yield
        | Report::Stopping
        | Report::AddressRestored
        | Report::Drain(_)
        | Report::Cause { .. } => None,
    }
}

const YIELDING: &str =
    "Yielding: sent priority 0, then the new priority; a router that ranks higher can take over";
/// What became of a drain.
const fn drain(drain: Drain) -> &'static str {
    match drain {
        Drain::Leaving => "Draining: sent priority 0; keeping the addresses until another router takes over",
        Drain::Done => "Drained: takes no part until undrain",
        Drain::Refused => {
            "Not drained: no router took over within 1.1 s, so this one serves on; drain --force goes all the same"
        }
        Drain::Ended => "Undrained: takes part again",
    }
}

const STOPPING: &str = "Stopping: sent priority 0; keeping the addresses until another router takes over";

fn two_masters(loser: &Peer) -> String {
    format!(
        "Two masters: {} keeps advertising although it ranks lower, so it does not receive our adverts; look for a \
         firewall there that drops VRRP (IP protocol 112)",
        peer(loser)
    )
}

/// A report as a sentence, without the router's name.
pub(super) fn report(report: &Report, of: &Subject<'_>) -> String {
    match report {
        Report::Transition { to: Role::Init, why: Why::Shutdown, .. } => "Stopped".into(),
        Report::Transition { to: Role::Init, why, .. } => {
            format!("Stopped: {}", cause(why, of))
        }
        Report::Transition { to, why, .. } => {
            format!("Entering {} STATE: {}", to.as_str(), cause(why, of))
        }
        Report::Priority { from, to } => format!("Changing effective priority from {from} to {to}"),
        Report::Master(master) => format!("Master is {}", peer(master)),
        Report::Lower(lower) => {
            format!("Received lower priority advert from {}: will take over", peer(lower))
        }
        Report::Loser { peer, answer, announcement } => loser(peer, *answer, *announcement),
        Report::TwoMasters(loser) => two_masters(loser),
        Report::SecondSpeaker { address, priorities } => {
            second_speaker(of.settings.vrid, *address, *priorities)
        }
        Report::OtherAddresses(from) => format!("{from} advertises different addresses for our VRID"),
        Report::OtherInterval(from) => format!("{from} advertises at a different interval"),
        Report::Released(from) => format!("Master {from} releases the addresses (priority 0)"),
        Report::Died(from) => format!("Master {from} died: its kernel closed the lifeline"),
        Report::Dropped { from, reason } => format!("Dropped advert from {from}: {reason}"),
        Report::Yield => YIELDING.into(),
        Report::Stopping => STOPPING.into(),
        Report::Drain(drain) => self::drain(*drain).into(),
        Report::AddressRestored => "Another program removed a virtual address: added it again".into(),
        Report::Cause { cause, raised: true } => {
            format!("Another cause of FAULT STATE: {}", fault(*cause, of))
        }
        Report::Cause { cause, raised: false } => {
            format!("Still in FAULT STATE, although {}", self::cause(&Why::Recovered(*cause), of))
        }
    }
}

/// A warning with its age: in the present tense only while it is true, that is until `recent` after the last sign of it.
pub(super) fn aged(text: &str, [first, last]: [Instant; 2], now: Instant, recent: Duration) -> String {
    let ago = now.since(last);
    if ago > recent {
        return format!("{text} (last {} ago)", span(ago));
    }
    let age = now.since(first);
    if age < Duration::from_secs(1) { text.to_owned() } else { format!("{text} (for {})", span(age)) }
}

/// No other router has been heard since the start.
pub(super) fn never_heard(of: &Subject<'_>) -> String {
    let Settings { vrid, ref peers, .. } = *of.settings;
    if let (Some(source), false) = (of.source, peers.is_empty()) {
        let others = join(of.settings.destinations(source), ", ");
        return format!(
            "No unicast peer of VRID {vrid} has been heard yet ({others}). Backups are silent, so this may be normal; but \
             if another router is also master, its UNICAST_PEERS may lack {source}, from which this host sends, or ours \
             may lack the address from which it sends, or a firewall drops IP protocol 112 between the two"
        );
    }
    format!(
        "No other router of VRID {vrid} has been heard yet. Backups are silent, so this may be normal; but if another \
         router is also master, a firewall drops VRRP: nft insert rule inet filter input ip protocol vrrp accept \
         (or: iptables -I INPUT -p vrrp -j ACCEPT)"
    )
}

/// The link does not exist yet.
pub(super) fn no_link(choice: &InterfaceChoice, subnet_hint: IpAddr, interfaces: &Interfaces) -> String {
    match choice {
        InterfaceChoice::Named(name) => {
            format!("Interface {name} is not there: waiting for it{}", interfaces.listed())
        }
        InterfaceChoice::Auto => {
            let none = interfaces.without_subnet_of(subnet_hint);
            format!("Waiting for an interface: {none}, and there is no default route; set INTERFACE")
        }
    }
}

/// This host never had an address of the router's family, or has always `refused` a virtual one.
pub(super) fn left_out(of: &Subject<'_>, partner: &str, refused: bool) -> String {
    let Subject { interface, family, .. } = of;
    let lack = if refused {
        format!("This host has refused an {family} virtual address")
    } else {
        format!("{interface} has had no {family} address to send from")
    };
    format!("{lack} since the start: {family} is left out on this host, and {partner} runs without it")
}

/// Two routers of this process resolved to the same interface, for example one by its name and one by its subnet.
pub(super) fn vrid_taken(vrid: Vrid, interface: &str, holder: &str) -> String {
    format!(
        "VRID {vrid} on {interface} is already used by ({holder}): two virtual routers on one interface cannot share a \
         VRID; change VIRTUAL_ROUTER or INTERFACE of one of them"
    )
}

/// Another host claims a virtual address.
pub(super) fn address_conflict(claim: &Claim, master: Option<Peer>) -> String {
    let mac = join(claim.mac.map(|octet| format!("{octet:02x}")), ":");
    let holder =
        master.map_or_else(|| "this host".to_owned(), |master| format!("the master {}", master.address));
    format!(
        "Another host ({mac}) answers for {}, the address of {holder}: clients may reach the wrong one; remove the address \
         there",
        claim.address
    )
}

/// The kernel refused to send an advert.
pub(super) fn send_failed(error: &Error) -> String {
    let mut text = error.to_string();
    if error.is_permission() {
        text += "; the other routers cannot hear us and will become master as well: look for an output rule against IP protocol 112";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::culprits::Culprits;
    use super::*;

    fn settings() -> Settings {
        Settings::new(Vrid::new(51).unwrap(), Priority::new(100).unwrap(), vec!["10.0.0.2".parse().unwrap()])
    }

    fn subject<'a>(settings: &'a Settings, watched: &'a [String], culprits: &'a Culprits) -> Subject<'a> {
        let (name, interface) = ("VI_1", "eth0");
        Subject {
            name,
            settings,
            family: crate::vrrp::Family::V4,
            interface,
            source: None,
            watched,
            culprits,
        }
    }

    #[test]
    fn transitions_keep_the_phrases_that_people_grep_for() {
        let (settings, watched) = (settings(), ["haproxy".to_owned()]);
        let culprits = Culprits::default();
        let of = subject(&settings, &watched, &culprits);
        let master = Peer { address: "10.0.0.11".parse().unwrap(), priority: Priority::new(13).unwrap() };
        let text = |from, to, why| report(&Report::Transition { from, to, why }, &of);
        assert_eq!(
            text(Role::Backup, Role::Master, Why::Silence(Some(master))),
            "Entering MASTER STATE: 10.0.0.11 (priority 13) fell silent"
        );
        assert_eq!(
            text(Role::Backup, Role::Master, Why::Died(master)),
            "Entering MASTER STATE: 10.0.0.11 (priority 13) died"
        );
        assert_eq!(
            text(Role::Master, Role::Backup, Why::Outranked(master)),
            "Entering BACKUP STATE: 10.0.0.11 (priority 13) ranks higher"
        );
        assert_eq!(
            text(Role::Master, Role::Fault, Why::Fault(Cause::Service)),
            "Entering FAULT STATE: the check of haproxy does not pass"
        );
        let change = Report::Priority { from: Priority::new(13).unwrap(), to: Priority::new(11).unwrap() };
        assert_eq!(report(&change, &of), "Changing effective priority from 13 to 11");
    }

    #[test]
    fn the_line_of_a_lower_router_has_what_was_done_and_what_will_follow() {
        let settings = settings();
        let culprits = Culprits::default();
        let of = subject(&settings, &[], &culprits);
        let peer = Peer { address: "10.0.0.11".parse().unwrap(), priority: Priority::new(90).unwrap() };
        for (answer, announcement, done) in [
            (
                Timing::Now,
                Timing::Now,
                "sent it our advert, and told the neighbors that the addresses are here",
            ),
            (
                Timing::Now,
                Timing::Later,
                "sent it our advert; will tell the neighbors within 1 s that the addresses are here",
            ),
            (
                Timing::Later,
                Timing::Now,
                "told the neighbors that the addresses are here; our next advert answers it",
            ),
            (
                Timing::Later,
                Timing::Later,
                "our next advert answers it; will tell the neighbors within 1 s that the addresses are here",
            ),
        ] {
            let text = report(&Report::Loser { peer, answer, announcement }, &of);
            assert_eq!(
                text,
                format!("Received advert from 10.0.0.11 (priority 90) while master: it ranks lower; {done}")
            );
        }
    }

    #[test]
    fn a_second_speaker_is_named_with_its_vrid_address_and_priorities() {
        let settings = settings();
        let culprits = Culprits::default();
        let of = subject(&settings, &[], &culprits);
        let priorities = [100, 90].map(|priority| Priority::new(priority).unwrap());
        let report = Report::SecondSpeaker { address: "10.0.0.11".parse().unwrap(), priorities };
        assert_eq!(
            self::report(&report, &of),
            "There is a second VRRP speaker of VRID 51 on 10.0.0.11: its adverts alternate between priority 100 and \
             90; stop one of the two"
        );
    }

    #[test]
    fn a_warning_has_its_age_and_the_present_tense_only_while_it_is_true() {
        let at = |s: u64| Instant::from_millis(s * 1_000);
        let said =
            |first, last, now| aged("Two masters", [at(first), at(last)], at(now), Duration::from_secs(4));
        assert_eq!(said(10, 10, 10), "Two masters");
        assert_eq!(said(10, 188, 190), "Two masters (for 3 min)");
        assert_eq!(said(10, 11, 51), "Two masters (last 40 s ago)");
    }
}
