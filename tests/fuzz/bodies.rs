//! The bodies of the fuzz targets: one function each, from arbitrary octets to the properties that must hold.
//! `tests/pure/fuzz.rs` runs them on random octets, the targets beside this file on those that libFuzzer finds.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use vrrp_init::commands::report_on;
use vrrp_init::config::{Config, EffectiveTexts};
use vrrp_init::import::{self, Files};
use vrrp_init::serve::http;
use vrrp_init::sys::netlink::{Change, changes_in};
use vrrp_init::sys::probe::dns;
use vrrp_init::time::Instant;
use vrrp_init::vrrp::{
    Action, Advert, Cause, Envelope, Event, Instance, Interval, Lease, Priority, Role, Settings, V3Checksum,
    Version, Vrid,
};

#[path = "clients.rs"]
mod clients;
#[path = "kernel.rs"]
mod kernel;

/// Octets as choices, zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn yes(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    /// As many of the next octets as the first of them says, at most 31.
    fn part(&mut self) -> &'a [u8] {
        let length = usize::from(self.octet() % 32).min(self.0.len());
        let (part, rest) = self.0.split_at(length);
        self.0 = rest;
        part
    }
}

fn envelope(v6: bool, ttl: u8) -> Envelope {
    if v6 {
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
        Envelope { from: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(), to: group.into(), ttl }
    } else {
        Envelope { from: [10, 0, 0, 1].into(), to: [224, 0, 0, 18].into(), ttl }
    }
}

/// RFC 1071 over the message alone, as VRRPv2 and RFC 9568 have it.
fn checksum(octets: &[u8]) -> [u8; 2] {
    let words = octets.chunks(2).enumerate().filter(|(n, _)| *n != 3);
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = words.map(|(_, pair)| word(pair)).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

/// Two octets of choices, then a packet: no packet panics, and what is read is written and read back the same.
pub(crate) fn advert(data: &[u8]) {
    let mut choices = Choices(data);
    let (kind, ttl) = (choices.octet(), choices.octet());
    let envelope = envelope(kind & 1 == 1, if kind & 2 == 2 { ttl } else { 255 });
    let mut octets = choices.0.to_vec();
    // A fuzzer would not guess it, and nothing behind it would be tested.
    if kind & 4 == 4 && octets.len() >= 8 {
        let sum = checksum(&octets);
        octets[6..8].copy_from_slice(&sum);
    }
    let Ok(read) = Advert::parse(&octets, envelope) else { return };
    assert_eq!(envelope.ttl, 255, "from beyond a router");
    assert_eq!(Advert::claimed_vrid(&octets), Some(read.vrid));
    assert!(!read.addresses.is_empty());
    assert!(read.addresses.iter().all(|address| address.is_ipv4() == envelope.from.is_ipv4()));
    let written = read.emit(envelope.from, envelope.to);
    assert_eq!(Advert::parse(&written, envelope), Ok(read));
}

/// A router under any events: it is master exactly while it holds the addresses, and its timer never spins.
pub(crate) fn instance(data: &[u8]) {
    let mut world = World::new(&mut Choices(data));
    let mut choices = Choices(data);
    for _ in 0..SETTINGS {
        choices.octet();
    }
    while !choices.0.is_empty() {
        world.step(&mut choices);
    }
}

/// How many choices make the settings.
const SETTINGS: usize = 6;

struct World {
    now: Instant,
    router: Instance,
    holds: bool,
    /// Whether the kernel refuses the addresses.
    refuses: bool,
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let kind = choices.octet();
        let (v6, v3) = (kind & 1 == 1, kind & 3 != 0);
        let seconds = u16::from(choices.octet() % 40) + 1;
        let interval = if v3 { seconds } else { seconds * 100 };
        let address = if v6 { IpAddr::V6(Ipv6Addr::from(0x100)) } else { IpAddr::from([10, 0, 0, 100]) };
        let priority = Priority::new(choices.octet().max(1)).expect("not 0");
        let router = Instance::new(Settings {
            version: if v3 { Version::V3 } else { Version::V2 },
            interval: Interval::from_centiseconds(interval).expect("not 0"),
            preempt: kind & 4 == 0,
            preempt_delay: Duration::from_millis(u64::from(choices.octet()) * 20),
            fast: kind & 8 == 0,
            refresh: (kind & 16 == 16).then(|| Duration::from_secs(u64::from(choices.octet()) + 1)),
            lease: Lease::from_seconds(u32::from(choices.octet() % 8)),
            ..Settings::new(Vrid::new(51).expect("a number"), priority, vec![address])
        });
        Self { now: Instant::START, router, holds: false, refuses: false }
    }

    /// One event, or the passing of time.
    fn step(&mut self, choices: &mut Choices<'_>) {
        const CAUSES: [Cause; 5] =
            [Cause::Interface, Cause::Vrid, Cause::Service, Cause::Tracked, Cause::Partner];
        match choices.octet() % 20 {
            0 => self.event(Event::Startup),
            1 => self.event(Event::Shutdown),
            2 => {
                let source = choices.yes().then(|| self.peer(1));
                self.event(Event::Source(source));
            }
            3 => self.event(Event::Fault(CAUSES[usize::from(choices.octet()) % CAUSES.len()])),
            4 => self.event(Event::Clear(CAUSES[usize::from(choices.octet()) % CAUSES.len()])),
            5 => self.event(Event::Priority(Priority::new(choices.octet().max(1)).expect("not 0"))),
            6 => self.refuses = !self.refuses,
            7 if self.holds => self.event(Event::AddressLost),
            8 => self.event(Event::HardwareAddress),
            12 => self.event(Event::Unsent),
            13 => self.event(Event::Sent),
            14 => self.event(Event::Died { from: self.peer(choices.octet()) }),
            15 => self.event(Event::Contested),
            16 => self.event(Event::Drain { force: choices.yes() }),
            17 => self.event(Event::Undrain),
            19 => {
                let (from, priority) = (self.peer(choices.octet()), choices.octet());
                self.event(Event::Successor { from, named: Priority::new(priority) });
            }
            9 | 10 => self.advert(choices),
            11 => self.wait(Duration::from_millis(u64::from(choices.octet()) * 40)),
            _ => {
                // To the deadline, or past it: the process did not run.
                let late = if choices.yes() {
                    Duration::ZERO
                } else {
                    Duration::from_millis(u64::from(choices.octet()))
                };
                let until = self.router.deadline().map_or(self.now, |at| at.max(self.now)) + late;
                self.wait(until.since(self.now));
            }
        }
    }

    fn peer(&self, host: u8) -> IpAddr {
        if self.router.settings().addresses[0].is_ipv4() {
            Ipv4Addr::new(10, 0, 0, host).into()
        } else {
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into()).into()
        }
    }

    fn advert(&mut self, choices: &mut Choices<'_>) {
        let from = self.peer(choices.octet());
        let settings = self.router.settings();
        let mut advert = Advert {
            version: settings.version,
            vrid: settings.vrid,
            priority: Priority::from_wire(choices.octet()),
            interval: settings.interval,
            password: None,
            checksum: V3Checksum::PseudoHeader,
            addresses: settings.addresses.clone(),
        };
        match choices.octet() % 8 {
            0 => advert.interval = Interval::from_centiseconds(4_000).expect("not 0"),
            1 => advert.addresses = vec![from],
            2 if advert.version == Version::V2 => advert.password = Some(*b"12345678"),
            _ => {}
        }
        self.event(Event::Advert { from, advert: &advert });
    }

    /// Lets time pass; every deadline on the way is met but the last may be late.
    fn wait(&mut self, wait: Duration) {
        self.now = self.now + wait;
        // Each Timer puts its deadline into the future.
        if self.router.deadline().is_some_and(|at| at <= self.now) {
            self.event(Event::Timer);
            assert!(self.router.deadline().is_none_or(|at| at > self.now), "the timer spins");
        }
    }

    fn event(&mut self, event: Event<'_>) {
        for action in self.router.handle(self.now, event) {
            match action {
                Action::Acquire | Action::Renew if self.refuses => {
                    self.event(Event::Refused);
                    break;
                }
                Action::Acquire | Action::Renew => self.holds = true,
                Action::Release => self.holds = false,
                Action::Announce => assert!(self.holds, "announced an address that it does not hold"),
                Action::Solicit => assert!(self.holds, "asked for an address that it does not hold"),
                Action::Send(advert) => {
                    assert_eq!(advert.vrid, self.router.settings().vrid);
                    assert_eq!(advert.addresses, self.router.settings().addresses);
                }
                Action::Report(_) => {}
            }
        }
        let role = self.router.role();
        assert_eq!(
            self.holds,
            role == Role::Master,
            "the master, and no other, holds the addresses: {role:?}"
        );
        assert_eq!(role == Role::Fault, role != Role::Init && !self.router.faults().is_empty());
    }
}

/// Lines `NAME=value`: any environment makes a configuration or a report with a line for each problem.
pub(crate) fn env(data: &[u8]) {
    let line = |line: &[u8]| {
        let at = line.iter().position(|octet| *octet == b'=')?;
        let text = |octets: &[u8]| OsString::from_vec(octets.to_vec());
        Some((text(&line[..at]), text(&line[at + 1..])))
    };
    let vars: Vec<_> = data.split(|octet| *octet == 0).filter_map(line).collect();
    let read_file = |path: &Path| Ok(path.as_os_str().as_encoded_bytes().to_vec());
    match Config::explained(vars.clone(), read_file) {
        Ok((config, warnings, settings)) => {
            assert!(!config.routers.is_empty() && !settings.is_empty());
            assert!(warnings.iter().all(|warning| warning.to_string().lines().count() == 1));
            let texts = EffectiveTexts::read(vars, read_file).expect("it was read before");
            assert!(texts.changes(&texts).is_empty());
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            let warnings = if error.warnings.is_empty() { 0 } else { error.warnings.len() + 1 };
            assert_eq!(error.to_string().lines().count(), 1 + error.problems.len() + warnings);
        }
    }
}

/// The text of `ENV_FILE`: any makes a plan that runs, or a report with a line for each problem, and with the plan in use
/// nothing more is to be applied.
pub(crate) fn env_file(data: &[u8]) {
    let vars = [("ENV_FILE", "/env"), ("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("PRIORITY", "7")];
    let vars = || vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let before = EffectiveTexts::read(vars(), |_| Ok(vec![])).expect("valid");
    match before.plan(vars(), |_| Ok(data.to_vec())) {
        Ok(plan) => {
            assert!(!plan.config.routers.is_empty());
            let again = plan.texts.plan(vars(), |_| Ok(data.to_vec())).expect("it was read before");
            assert!(again.applied.is_empty() && again.restart == plan.restart);
            assert!(again.config == plan.config);
            for change in plan.applied.iter().chain(&plan.restart) {
                assert!(change.to_string().lines().count() == 1, "{change}");
            }
        }
        Err(error) => {
            let warnings = if error.warnings.is_empty() { 0 } else { error.warnings.len() + 1 };
            assert_eq!(error.to_string().lines().count(), 1 + error.problems.len() + warnings);
        }
    }
}

/// One datagram from the kernel: no octets panic, and there are no more changes than messages. The header of the first
/// message is always possible, because no fuzzer guesses a length in this machine's byte order.
pub(crate) fn netlink(data: &[u8]) {
    const HEADER: usize = 16;
    let mut choices = Choices(data);
    let kind = [16, 17, 20, 21, 2, 3][usize::from(choices.octet() % 6)];
    let length = u32::try_from(HEADER + choices.0.len()).expect("a short datagram");
    // Or shorter or longer than what follows.
    let length = if choices.yes() { length } else { length ^ u32::from(choices.octet()) };
    let mut datagram = length.to_ne_bytes().to_vec();
    datagram.extend(u16::to_ne_bytes(kind));
    datagram.resize(HEADER, 0);
    datagram.extend(choices.0);
    let changes: Vec<Change> = changes_in(&datagram).collect();
    assert!(changes.len() <= datagram.len() / HEADER);
    assert_eq!(changes_in(&datagram).count(), changes.len());
    for change in changes {
        if let Change::Address(address) = change {
            assert!(kind != 16 || datagram.len() > 2 * HEADER, "a message about a link is about no address");
            assert!(!address.label.is_some_and(|label| label.contains('\0')));
        }
    }
}

/// A request that comes in parts: no part changes a result that was final, and every request ends.
pub(crate) fn http(data: &[u8]) {
    let mut choices = Choices(data);
    let step = usize::from(choices.octet()) + 1;
    let request = &choices.0[..choices.0.len().min(http::LONGEST_REQUEST)];
    let mut seen = http::Parsed::Incomplete;
    for end in (0..request.len()).step_by(step).chain([request.len()]) {
        let parsed = http::parse(&request[..end]);
        assert!(seen == http::Parsed::Incomplete || seen == parsed, "{seen:?} became {parsed:?}");
        seen = parsed;
    }
    let ended =
        request.windows(2).any(|end| end == b"\n\n") || request.windows(4).any(|end| end == b"\r\n\r\n");
    let is_full = request.len() == http::LONGEST_REQUEST;
    assert_eq!(seen == http::Parsed::Incomplete, !ended && !is_full);
}

/// Files of /proc.
pub(crate) fn proc(data: &[u8]) {
    let mut choices = Choices(data);
    match choices.octet() % 4 {
        0 => kernel::stat(choices.0),
        1 => kernel::comm(&mut choices),
        2 => kernel::arguments(&mut choices),
        _ => kernel::mounts(choices.0),
    }
}

/// Headers of received packets, and what the kernel tells beside them.
pub(crate) fn packet(data: &[u8]) {
    let mut choices = Choices(data);
    match choices.octet() % 4 {
        0 => kernel::header(choices.0, false),
        1 => kernel::header(choices.0, true),
        _ => kernel::control(&mut choices),
    }
}

/// A datagram from a resolver: none panics, none passes that is not the answer to the query, and no octets after the question
/// make it one.
pub(crate) fn dns(data: &[u8]) {
    let mut choices = Choices(data);
    let (id, kind) = ([choices.octet(), choices.octet()], u16::from(choices.octet() % 34));
    let query = dns::query(id, "a.example", kind);
    // A fuzzer would not guess the number and the question.
    let mut datagram = if choices.yes() { vec![] } else { query.clone() };
    if let Some([_, _, flags, code, _, _, count @ .., _, _, _, _]) = datagram.get_mut(..12) {
        (*flags, *code) = (choices.octet(), choices.octet());
        count.copy_from_slice(&[0, choices.octet()]);
    }
    datagram.extend(choices.0);
    let answer = dns::answer(&query, &datagram);
    let belongs = datagram.len() >= query.len()
        && datagram[..2] == id
        && datagram[2] >> 3 == 16
        && datagram[4..6] == [0, 1]
        && datagram[12..query.len()].eq_ignore_ascii_case(&query[12..]);
    assert_eq!(answer == dns::Answer::Foreign, !belongs);
    let code = datagram.get(3).map_or(0, |octet| octet & 15);
    match answer {
        dns::Answer::Foreign => {}
        dns::Answer::Failure(failed) => assert!(failed == code && code > 0),
        dns::Answer::NoRecord => assert_eq!(code, 0),
        dns::Answer::Record => {
            let has_type = datagram[query.len()..].windows(4).any(|part| part == &query[query.len() - 4..]);
            assert!(code == 0 && (datagram[2] & 2 == 2 || has_type));
        }
    }
}

/// A client of the status server.
pub(crate) fn serve(data: &[u8]) {
    clients::run(&mut Choices(data));
}

/// Packets that a scan hears: any octets make a report of printable lines, with a bounded number of them for each packet.
pub(crate) fn scan(data: &[u8]) {
    let mut choices = Choices(data);
    let step = Duration::from_millis(u64::from(choices.octet()) * 10);
    let mut packets = vec![];
    while !choices.0.is_empty() {
        let (kind, length) = (choices.octet(), usize::from(choices.octet()));
        let (octets, rest) = choices.0.split_at(length.min(choices.0.len()));
        choices.0 = rest;
        let mut octets = octets.to_vec();
        if kind & 2 == 2 && octets.len() >= 8 {
            let sum = checksum(&octets);
            octets[6..8].copy_from_slice(&sum);
        }
        let mut envelope = envelope(kind & 1 == 1, if kind & 4 == 4 { kind } else { 255 });
        if kind & 1 == 0 {
            envelope.from = [10, 0, 0, kind >> 6].into();
        }
        packets.push((octets, envelope));
    }
    let report = report_on(packets.iter().map(|(octets, envelope)| (&octets[..], *envelope)), step);
    assert!(report.chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
    assert!(report.lines().count() <= 12 + 16 * packets.len(), "{report}");
    assert_eq!(report.contains("No adverts were heard"), packets.iter().all(|(octets, _)| octets.len() < 8));
}

/// Every file that is included has the same text.
struct Same<'a>(&'a str);

impl Files for Same<'_> {
    fn find(&self, _: &str, what: &str) -> Result<Vec<String>, String> {
        if what.starts_with('/') {
            Err("not found".into())
        } else {
            Ok(vec![what.to_owned(); what.len() % 3])
        }
    }

    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }
}

/// A keepalived.conf: no text panics, and what is not marked as refused is accepted as an environment.
pub(crate) fn import(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(imported) = import::import("k.conf", &text, &Same(&text)) else { return };
    _ = imported.compose();
    let env = imported.env();
    if imported.report.contains("refused: ") {
        return;
    }
    let vars = env.split('\n').filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let read = Config::from_environment(vars.map(|(name, value)| (name.into(), value.into())), |_| {
        Err(std::io::ErrorKind::NotFound.into())
    });
    assert!(read.is_ok(), "{text:?} became {env}{read:?}");
}
