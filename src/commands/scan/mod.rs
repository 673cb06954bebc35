//! The command `scan`: listens on the interfaces for a while and lists the VRRP routers there. Sends nothing, and knows
//! only the VRIDs and addresses of this host's routers.

mod heard;
mod table;

use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::failure::{Failure, require};
use super::{environment, output};
use crate::columns::join;
use crate::config::InterfaceChoice;
use crate::ids::PortId;
use crate::sys::Error;
use crate::sys::capabilities::Capability;
use crate::sys::netlink::{Link, MARK, Netlink};
use crate::sys::poller::Clock;
use crate::sys::signals::{Signal, Signals};
use crate::sys::socket::{BUFFER, Received, Socket};
use crate::sys::tap::{Arrival, Tap};
use crate::time::Instant;
use crate::token::{Poller, Token};
use crate::vrrp::{Envelope, Family, Vrid};
use heard::Heard;

/// How long a packet that has arrived may take through the firewall.
const SETTLE: Duration = Duration::from_millis(50);
/// The most packets read from one socket before the clock is read again.
const PACKETS: usize = 64;

/// Listens for `seconds`, or until a signal stops it, and prints the report.
pub(super) fn scan(seconds: u16) -> Result<(), Failure> {
    let time = Duration::from_secs(seconds.into());
    require(&[Capability::NetRaw])?;
    let mut signals = Signals::install()?;
    let poller = Poller::new(Clock::start()?)?;
    poller.watch(signals.as_fd(), Token::Signals)?;
    let host = Host::read()?;
    let mut listeners = Listeners::open(&host.links, &poller)?;
    output::print(&format!("Listening for VRRP on {} for {} s\n", host.names().join(", "), time.as_secs()));
    let (start, mut heard, mut buffer) = (poller.now(), Heard::default(), vec![0; BUFFER]);
    let end = start + time;
    let mut stopped = false;
    while !stopped && poller.now() < end {
        for token in poller.wait(Some(end))? {
            if token == Token::Signals {
                stopped = signals.pending().into_iter().any(|signal| matches!(signal, Signal::Stop(_)));
            } else {
                listeners.receive(token, &poller, &mut buffer, &mut heard);
            }
        }
    }
    let stopped_after = stopped.then(|| poller.now().since(start));
    listeners.settle(&poller, &mut buffer, &mut heard)?;
    output::print(&report(&heard, &host, &listeners.unavailable, stopped_after));
    Ok(())
}

/// This host: the interfaces to listen on, and its own routers, which a scan does not hear.
struct Host {
    links: Vec<Link>,
    vrids: Vec<Vrid>,
    /// Addresses that vrrp-init has added.
    added: Vec<IpAddr>,
}

impl Host {
    fn read() -> Result<Self, Failure> {
        let mut netlink = Netlink::open()?;
        let (all, addresses) = (netlink.links()?, netlink.addresses()?);
        let config = environment::read().ok().map(|(config, _)| config);
        let mut host = Self { links: vec![], vrids: vec![], added: vec![] };
        for router in config.iter().flat_map(|config| &config.routers) {
            if !host.vrids.contains(&router.protocol.vrid) {
                host.vrids.push(router.protocol.vrid);
            }
        }
        host.added.extend(addresses.iter().filter(|a| a.mark == Some(MARK)).map(|a| a.address));
        if let Some(names) = named(environment::interfaces()) {
            for name in names {
                host.listen_on(all.iter().find(|link| link.is_named(&name)).ok_or_else(|| missing(&name))?);
            }
        } else {
            let usable = |link: &&Link| link.up && link.multicast && !link.loopback;
            all.iter().filter(usable).for_each(|link| host.listen_on(link));
        }
        if host.links.is_empty() {
            return Err(Failure::NoInterface("no interface is up and supports multicast".into()));
        }
        Ok(host)
    }

    /// In the order of their names, each once.
    fn listen_on(&mut self, link: &Link) {
        let at = self.links.partition_point(|known| known.name < link.name);
        if self.links.get(at).is_none_or(|known| known.name != link.name) {
            self.links.insert(at, link.clone());
        }
    }

    fn names(&self) -> Vec<String> {
        self.links.iter().map(|link| link.name.clone()).collect()
    }
}

fn missing(name: &str) -> Failure {
    Failure::NoInterface(format!(
        "interface {name} does not exist; compare INTERFACE with the output of ip -brief link"
    ))
}

/// The interfaces that the environment names; `None` for all. The rest of the environment need not be valid: an operator
/// who looks for a free VRID has none to set yet.
fn named(choices: Vec<InterfaceChoice>) -> Option<Vec<String>> {
    let name = |choice| match choice {
        InterfaceChoice::Named(name) => Some(name.into()),
        InterfaceChoice::Auto => None,
    };
    choices.into_iter().map(name).collect()
}

/// One interface and address family.
struct Listener {
    /// The index of the interface.
    interface: usize,
    /// Hears before the firewall.
    tap: Option<Tap>,
    socket: Option<Socket>,
}

struct Listeners {
    /// A token has the index of a listener.
    all: Vec<Listener>,
    /// Why an interface receives nothing.
    unavailable: Vec<String>,
}

impl Listeners {
    /// An interface without IPv6 is not an error, but a missing capability is.
    fn open(links: &[Link], poller: &Poller) -> Result<Self, Error> {
        let (mut all, mut unavailable, mut number) = (vec![], vec![], 0);
        for (interface, Link { name, index, up, .. }) in links.iter().enumerate() {
            if !up {
                unavailable.push(format!("{name} is down"));
            }
            for family in [Family::V4, Family::V6] {
                let token = Token::Port(PortId(number));
                number += 1;
                let tap = Tap::open(name, family).ok();
                if let Some(tap) = &tap {
                    poller.watch(tap.as_fd(), token)?;
                }
                let socket = match Socket::open_for_all(name, *index, family) {
                    Ok(socket) => {
                        poller.watch(socket.as_fd(), token)?;
                        Some(socket)
                    }
                    Err(e) if e.is_permission() => return Err(e),
                    Err(e) => {
                        unavailable.push(e.into());
                        None
                    }
                };
                all.push(Listener { interface, tap, socket });
            }
        }
        Ok(Self { all, unavailable })
    }

    /// Receives what has passed the firewall meanwhile, and nothing else.
    fn settle(&mut self, poller: &Poller, buffer: &mut [u8], heard: &mut Heard) -> Result<(), Error> {
        self.all.iter_mut().for_each(|listener| listener.tap = None);
        let end = poller.now() + SETTLE;
        while poller.now() < end {
            for token in poller.wait(Some(end))? {
                self.receive(token, poller, buffer, heard);
            }
        }
        Ok(())
    }

    fn receive(&mut self, token: Token, poller: &Poller, buffer: &mut [u8], heard: &mut Heard) {
        let Token::Port(PortId(number)) = token else { return };
        let Listener { interface, tap, socket } = &mut self.all[number as usize];
        for Arrival { from, vrid, .. } in tap.iter().flat_map(|tap| tap.read(PACKETS)) {
            heard.arrived(*interface, from, vrid);
        }
        let Some(open) = socket else { return };
        for _ in 0..PACKETS {
            match open.receive(buffer) {
                Ok(None) => return,
                Ok(Some(Received::Datagram(d))) => {
                    let envelope = Envelope { from: d.from, to: d.to, ttl: d.ttl };
                    heard.message(poller.now(), *interface, d.payload, envelope);
                }
                Ok(Some(Received::Faulty { from, fault })) => {
                    heard.unreadable(*interface, from, &fault.to_string());
                }
                Err(e) => {
                    // The link is gone. If it comes back, the scan does not listen on it again.
                    *socket = None;
                    self.unavailable.push(e.into());
                    return;
                }
            }
        }
    }
}

/// The report on packets that an interface receives, one each `step`. The fuzz targets call it with any octets.
#[doc(hidden)]
pub fn report_on<'a>(packets: impl IntoIterator<Item = (&'a [u8], Envelope)>, step: Duration) -> String {
    let (mut now, mut heard) = (Instant::START, Heard::default());
    for (octets, envelope) in packets {
        heard.message(now, 0, octets, envelope);
        now = now + step;
    }
    report(&heard, &Host { links: vec![eth0()], vrids: vec![], added: vec![] }, &[], None)
}

/// The interface of [`report_on`] and of the tests.
fn eth0() -> Link {
    Link {
        index: 2,
        name: "eth0".into(),
        altnames: vec![],
        up: true,
        enabled: true,
        mac: None,
        loopback: false,
        multicast: true,
        port_of: None,
        promote_secondaries: None,
    }
}

/// `after` is the duration of a scan that a signal stopped.
fn report(heard: &Heard, host: &Host, unavailable: &[String], after: Option<Duration>) -> String {
    let mut text = String::new();
    if let Some(after) = after {
        _ = writeln!(text, "Stopped after {}.{} s", after.as_secs(), after.subsec_millis() / 100);
    }
    let names = host.names();
    if heard.speakers.is_empty() && !heard.dropped().is_empty() {
        text += "\nNo adverts passed this host's firewall.\n";
    } else if heard.speakers.is_empty() {
        text += "\nNo adverts were heard: there is no master, or a firewall drops VRRP (IP protocol 112).\n";
    } else {
        _ = write!(text, "\n{}", table::table(heard, &names));
    }
    let problems = table::problems(heard, &names);
    if !problems.is_empty() {
        _ = write!(text, "\nProblems:\n{problems}");
    }
    if !unavailable.is_empty() {
        _ = writeln!(text, "\nUnavailable:\n  {}", unavailable.join("\n  "));
    }
    _ = writeln!(text, "\n{}", table::free(heard.free_vrid(&host.vrids)));
    text += "A scan does not hear backups, which send nothing, unicast adverts to other hosts, or adverts of this host";
    text += &in_line(" (this container: VRID ", &host.vrids, ")");
    text += &in_line(".\nThis host is a master: it holds ", &host.added, "");
    text += ".\n";
    text
}

/// Empty if there are no items.
fn in_line(before: &str, items: &[impl Display], after: &str) -> String {
    if items.is_empty() { String::new() } else { format!("{before}{}{after}", join(items, ", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(vrids: &[u8], added: &[&str]) -> Host {
        let vrids = vrids.iter().filter_map(|vrid| Vrid::new(*vrid)).collect();
        Host { links: vec![eth0()], vrids, added: added.iter().map(|a| a.parse().unwrap()).collect() }
    }

    #[test]
    fn silence_is_reported_with_its_possible_causes() {
        assert_eq!(
            report(&Heard::default(), &host(&[], &[]), &[], None),
            "
No adverts were heard: there is no master, or a firewall drops VRRP (IP protocol 112).

Free VRID: 1
A scan does not hear backups, which send nothing, unicast adverts to other hosts, or adverts of this host.
"
        );
    }

    #[test]
    fn a_report_names_the_limits_of_a_scan_and_the_time_of_an_early_end() {
        let mut heard = Heard::default();
        heard.unreadable(0, [10, 0, 0, 9].into(), "the packet is a fragment");
        let after = Some(Duration::from_millis(2_340));
        assert_eq!(
            report(&heard, &host(&[1, 52], &["10.0.0.2"]), &["eth1 is down".into()], after),
            "\
Stopped after 2.3 s

No adverts were heard: there is no master, or a firewall drops VRRP (IP protocol 112).

Problems:
  eth0, 10.0.0.9: the packet is a fragment (1)

Unavailable:
  eth1 is down

Free VRID: 2
A scan does not hear backups, which send nothing, unicast adverts to other hosts, or adverts of this host (this container: VRID 1, 52).
This host is a master: it holds 10.0.0.2.
"
        );
    }
}
