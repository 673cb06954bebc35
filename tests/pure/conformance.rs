//! Runs `tests/scenarios/*.txt`: one virtual router, events at exact virtual times, the actions and the deadline that
//! the RFC requires. `UPDATE=1` rewrites everything to the right of `->`.
//!
//! ```text
//! router 10.0.0.1 vrid 51 v2 priority 100 interval 1 vip 10.0.0.100
//! 0         startup                   -> backup: startup | due 3.609375
//! 1         advert 10.0.0.2 prio 200  -> hear 10.0.0.2 prio 200 | due 4.609375
//! ```
//! Each event must come before the deadline, `timer` exactly at it; an event after it is marked `late`. An advert is
//! encoded to octets as the router would send it, with the changes that follow: `octet 4=f0` (decimal position,
//! hexadecimal value), `cut 12` and `more 4` (length), `ttl 254`, `vrid 52`, `vip none`, … The checksum matches the
//! changed octets, unless `checksum` changes it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use vrrp_init::time::Instant;
use vrrp_init::vrrp::{
    Action, Advert, Cause, Drain, DropReason, Envelope, Event, GROUP_V4, GROUP_V6, Instance, Interval, Lease,
    Password, Peer, Priority, Report, Settings, Timing, Version, Vrid, Why,
};

#[test]
fn every_scenario_runs_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the scenarios are missing from {}", folder.display());
    let mut wrong = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let got = run(&text, &file);
        if got == text {
            continue;
        }
        if update {
            std::fs::write(&file, got).unwrap();
            continue;
        }
        for (n, (want, got)) in text.lines().zip(got.lines()).enumerate() {
            if want != got {
                let _ =
                    write!(wrong, "\n{}:{}\n  written: {want}\n  is:      {got}\n", file.display(), n + 1);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The text with the actual result to the right of each `->`.
fn run(text: &str, file: &Path) -> String {
    let mut router: Option<Instance> = None;
    let mut out = String::new();
    for (n, line) in text.lines().enumerate() {
        let place = format!("{}:{}: {line}", file.display(), n + 1);
        if line.starts_with("router ") {
            router = Some(start(line));
        }
        let Some((left, _)) = line.split_once("->") else {
            assert!(line.is_empty() || line.starts_with('#') || line.starts_with("router "), "{place}");
            let _ = writeln!(out, "{line}");
            continue;
        };
        let router = router.as_mut().unwrap_or_else(|| panic!("{place}: no router yet"));
        let (at, words) = left.trim().split_once(' ').unwrap_or_else(|| panic!("{place}: no event"));
        let now = seconds(at);
        let event = words.trim().trim_start_matches("late ");
        match (event == "timer", router.deadline()) {
            (_, Some(due)) if event != words.trim() => assert!(due < now, "{place}: not late"),
            (true, due) => assert_eq!(due, Some(now), "{place}: the timer is due at a different time"),
            (false, Some(due)) => assert!(due >= now, "{place}: the timer was due at {}", decimal(due)),
            (false, None) => {}
        }
        let actions = step(router, now, event);
        let due = router.deadline().map_or("never".into(), decimal);
        let _ =
            writeln!(out, "{left}-> {} | due {due}", if actions.is_empty() { "-".into() } else { actions });
    }
    out
}

fn start(line: &str) -> Instance {
    let words: Vec<_> = line.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word);
        words[at.unwrap_or_else(|| panic!("no {word} in {line}")) + 1]
    };
    let option = |word: &str| words.contains(&word).then(|| after(word));
    let vrid = Vrid::new(after("vrid").parse().unwrap()).unwrap();
    let priority = Priority::new(after("priority").parse().unwrap()).unwrap();
    let addresses = after("vip").split(',').map(|a| a.parse().unwrap()).collect();
    let settings = Settings {
        version: if words.contains(&"v3") { Version::V3 } else { Version::V2 },
        interval: interval(after("interval")),
        preempt: !words.contains(&"nopreempt"),
        preempt_delay: option("delay").map_or(Duration::ZERO, |s| seconds(s).since_start()),
        auth: option("password").map(|p| Password::new(p.as_bytes()).unwrap()),
        peers: option("peers").map_or(vec![], |l| l.split(',').map(|a| a.parse().unwrap()).collect()),
        fast: words.contains(&"fast"),
        refresh: option("refresh").map(|s| seconds(s).since_start()),
        lease: option("lease").map(|s| Lease::from_seconds(s.parse().unwrap()).unwrap()),
        ..Settings::new(vrid, priority, addresses)
    };
    let mut router = Instance::new(settings);
    let source: IpAddr = words[1].parse().unwrap();
    let silent = router.handle(Instant::START, Event::Source(Some(source)));
    assert_eq!(silent, [], "a router in Initialize does nothing");
    router
}

/// The router's settings with the changes in `rest`.
fn settings(router: &Instance, rest: &[&str]) -> Rc<Settings> {
    let mut settings = router.settings().clone();
    for pair in rest.chunks(2) {
        match *pair {
            ["priority", p] => settings.priority = priority(p),
            ["preempt", yes] => settings.preempt = yes == "yes",
            ["delay", s] => settings.preempt_delay = seconds(s).since_start(),
            ["refresh", s] => settings.refresh = Some(seconds(s).since_start()).filter(|s| !s.is_zero()),
            ["lease", s] => settings.lease = Lease::from_seconds(s.parse().unwrap()),
            ["vip", list] => settings.addresses = list.split(',').map(|a| a.parse().unwrap()).collect(),
            ["peers", list] => settings.peers = list.split(',').map(|a| a.parse().unwrap()).collect(),
            _ => panic!("no setting: {pair:?}"),
        }
    }
    Rc::new(settings)
}

fn step(router: &mut Instance, now: Instant, event: &str) -> String {
    let words: Vec<_> = event.split_whitespace().collect();
    let actions = match words[..] {
        ["startup"] => router.handle(now, Event::Startup),
        ["drain"] => router.handle(now, Event::Drain { force: false }),
        ["drain", "force"] => router.handle(now, Event::Drain { force: true }),
        ["undrain"] => router.handle(now, Event::Undrain),
        ["shutdown"] => router.handle(now, Event::Shutdown),
        ["timer"] => router.handle(now, Event::Timer),
        ["unsent"] => router.handle(now, Event::Unsent),
        ["sent"] => router.handle(now, Event::Sent),
        ["refused"] => router.handle(now, Event::Refused),
        ["hardware", "address"] => router.handle(now, Event::HardwareAddress),
        ["contested"] => router.handle(now, Event::Contested),
        ["address", "lost"] => router.handle(now, Event::AddressLost),
        ["died", from] => router.handle(now, Event::Died { from: from.parse().unwrap() }),
        ["successor", from, "none"] => {
            router.handle(now, Event::Successor { from: from.parse().unwrap(), named: None })
        }
        ["successor", from, "prio", p] => {
            router.handle(now, Event::Successor { from: from.parse().unwrap(), named: Some(priority(p)) })
        }
        ["priority", p] => router.handle(now, Event::Priority(priority(p))),
        ["settings", ref rest @ ..] => {
            let settings = settings(router, rest);
            let acquire = settings.addresses.iter().any(|a| !router.settings().addresses.contains(a));
            router.handle(now, Event::Reconfigure { settings: &settings, acquire })
        }
        ["fault", cause] => router.handle(now, Event::Fault(self::cause(cause))),
        ["clear", cause] => router.handle(now, Event::Clear(self::cause(cause))),
        ["source", "none"] => router.handle(now, Event::Source(None)),
        ["source", address] => router.handle(now, Event::Source(Some(address.parse().unwrap()))),
        ["advert", from, "prio", p, ref rest @ ..] => {
            let from = from.parse().unwrap();
            match receive(router.settings(), from, p, rest) {
                Ok(advert) => router.handle(now, Event::Advert { from, advert: &advert }),
                Err(reason) => return format!("drop {reason}"),
            }
        }
        _ => panic!("no event: {event}"),
    };
    actions.iter().map(wording).collect::<Vec<_>>().join(", ")
}

/// Encodes an advert with the changes in `rest` and parses it again, as on its way to the router.
fn receive(settings: &Settings, from: IpAddr, prio: &str, rest: &[&str]) -> Result<Advert, DropReason> {
    let group = if from.is_ipv4() { GROUP_V4.into() } else { GROUP_V6.into() };
    let mut envelope = Envelope { from, to: group, ttl: 255 };
    for pair in rest.chunks(2) {
        match *pair {
            ["ttl", value] => envelope.ttl = value.parse().unwrap(),
            ["to", address] => envelope.to = address.parse().unwrap(),
            _ => {}
        }
    }
    let mut octets = advert(settings, prio, rest).emit(from, envelope.to);
    for pair in rest.chunks(2) {
        match *pair {
            ["octet", edit] => {
                let (at, value) = edit.split_once('=').unwrap();
                octets[at.parse::<usize>().unwrap()] = u8::from_str_radix(value, 16).unwrap();
            }
            ["cut", length] => octets.truncate(length.parse().unwrap()),
            ["more", zeros] => octets.resize(octets.len() + zeros.parse::<usize>().unwrap(), 0),
            _ => {}
        }
    }
    seal(&mut octets, envelope, rest);
    let advert = Advert::parse(&octets, envelope)?;
    // The daemon selects the router by VRID first.
    if advert.vrid == settings.vrid { Ok(advert) } else { Err(DropReason::Vrid) }
}

/// Writes the correct checksum, or the one that `rest` requests. Does not use the product's code.
fn seal(octets: &mut [u8], envelope: Envelope, rest: &[&str]) {
    let wanted = rest.iter().position(|word| *word == "checksum").map(|at| rest[at + 1]);
    let Some(version) = octets.first().map(|octet| octet >> 4).filter(|_| octets.len() >= 8) else { return };
    octets[6..8].fill(0);
    let mut covered = octets.to_vec();
    let length = u8::try_from(octets.len() % 256).unwrap();
    match (envelope.from, envelope.to) {
        _ if version != 3 || wanted == Some("message") => {}
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            covered.extend([from.octets(), to.octets(), [0, 112, 0, length]].concat());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            covered.extend([from.octets(), to.octets()].concat());
            covered.extend([0, 0, 0, length, 0, 0, 0, 112]);
        }
        ends => panic!("two families: {ends:?}"),
    }
    let words = covered.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    let sum = match wanted {
        Some("zero") => 0,
        Some("wrong") => sum ^ 1,
        _ => sum,
    };
    octets[6..8].copy_from_slice(&sum.to_be_bytes());
}

/// The router's own advert with the changes in `rest`.
fn advert(settings: &Settings, prio: &str, rest: &[&str]) -> Advert {
    let mut advert = Advert {
        version: settings.version,
        vrid: settings.vrid,
        priority: Priority::from_wire(prio.parse().unwrap()),
        interval: settings.interval,
        password: settings.auth.map(Password::octets),
        checksum: settings.checksum,
        addresses: settings.addresses.clone(),
    };
    for pair in rest.chunks(2) {
        match *pair {
            ["interval", value] => advert.interval = interval(value),
            ["vrid", vrid] => advert.vrid = Vrid::new(vrid.parse().unwrap()).unwrap(),
            ["vip", "none"] => advert.addresses.clear(),
            ["vip", list] => advert.addresses = list.split(',').map(|a| a.parse().unwrap()).collect(),
            ["password", "none"] => advert.password = None,
            ["password", word] => {
                let mut octets = [0; 8];
                octets[..word.len()].copy_from_slice(word.as_bytes());
                advert.password = Some(octets);
            }
            ["version", "2"] => advert.version = Version::V2,
            ["version", "3"] => advert.version = Version::V3,
            ["octet" | "cut" | "more" | "ttl" | "to" | "checksum", _] => {}
            _ => panic!("no part of an advert: {pair:?}"),
        }
    }
    advert
}

fn wording(action: &Action) -> String {
    let peer = |p: &Peer| format!("{} prio {}", p.address, p.priority);
    match action {
        Action::Acquire => "acquire".into(),
        Action::Renew => "renew".into(),
        Action::Release => "release".into(),
        Action::Announce => "announce".into(),
        Action::Solicit => "solicit".into(),
        Action::Send(advert) => format!("send prio {}", advert.priority),
        Action::Report(report) => match report {
            Report::Transition { to, why, .. } => {
                let why = match why {
                    Why::Startup => "startup".into(),
                    Why::Late(late) => format!("late by {} ms", late.as_millis()),
                    Why::Succeeded(by) => format!("succeeded by {}", peer(by)),
                    Why::Shutdown => "shutdown".into(),
                    Why::Drained(Some(by)) => format!("drained to {}", peer(by)),
                    Why::Drained(None) => "drained by force".into(),
                    Why::Silence(None) => "silence".into(),
                    Why::Silence(Some(master)) => format!("silence of {}", master.address),
                    Why::Released(from) => format!("released by {from}"),
                    Why::Died(master) => format!("death of {}", peer(master)),
                    Why::Preempt(lower) => format!("preempt {}", peer(lower)),
                    Why::Outranked(by) => format!("outranked by {}", peer(by)),
                    Why::Fault(cause) => format!("fault {}", format!("{cause:?}").to_lowercase()),
                    Why::Recovered(cause) => format!("recovered {}", format!("{cause:?}").to_lowercase()),
                };
                format!("{}: {why}", format!("{to:?}").to_lowercase())
            }
            Report::Priority { from, to } => format!("priority {from} to {to}"),
            Report::Master(master) => format!("hear {}", peer(master)),
            Report::Lower(lower) => format!("lower {}", peer(lower)),
            Report::Loser { peer: loser, answer, announcement } => {
                let later = |what, timing| if timing == Timing::Later { what } else { "" };
                let answer = later(", answer later", *answer);
                format!("loser {}{answer}{}", peer(loser), later(", announce later", *announcement))
            }
            Report::TwoMasters(loser) => format!("two masters, the other {}", peer(loser)),
            Report::SecondSpeaker { address, priorities: [higher, lower] } => {
                format!("second speaker on {address} prio {higher} {lower}")
            }
            Report::OtherAddresses(from) => format!("other addresses of {from}"),
            Report::OtherInterval(from) => format!("other interval of {from}"),
            Report::Released(from) => format!("release of {from}"),
            Report::Died(from) => format!("{from} died"),
            Report::Dropped { reason, .. } => format!("drop {reason}"),
            Report::Yield => "yield".into(),
            Report::Stopping => "stopping".into(),
            Report::AddressRestored => "restored".into(),
            Report::Drain(Drain::Leaving) => "draining".into(),
            Report::Drain(Drain::Done) => "drained".into(),
            Report::Drain(Drain::Refused) => "drain refused".into(),
            Report::Drain(Drain::Ended) => "undrained".into(),
            Report::Cause { cause, raised } => {
                format!(
                    "{} {}",
                    if *raised { "also" } else { "no longer" },
                    format!("{cause:?}").to_lowercase()
                )
            }
        },
    }
}

fn cause(word: &str) -> Cause {
    match word {
        "interface" => Cause::Interface,
        "source" => Cause::Source,
        "vrid" => Cause::Vrid,
        "service" => Cause::Service,
        "address" => Cause::Address,
        "send" => Cause::Send,
        "tracked" => Cause::Tracked,
        "partner" => Cause::Partner,
        _ => panic!("no cause: {word}"),
    }
}

fn priority(word: &str) -> Priority {
    Priority::new(word.parse().unwrap()).unwrap()
}

fn interval(word: &str) -> Interval {
    let centiseconds = seconds(word).since_start().as_millis() / 10;
    Interval::from_centiseconds(u16::try_from(centiseconds).unwrap()).unwrap()
}

/// `3.609375` as an instant, to the nanosecond.
fn seconds(word: &str) -> Instant {
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let nanos: u32 = format!("{part:0<9}").parse().unwrap();
    Instant::after_start(Duration::new(whole.parse().unwrap(), nanos))
}

fn decimal(at: Instant) -> String {
    let at = at.since_start();
    let text = format!("{}.{:09}", at.as_secs(), at.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').into()
}
