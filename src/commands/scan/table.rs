//! The result of a scan as text: a table, the problems and a free VRID. Decides nothing.

use std::fmt::Write as _;

use super::heard::{Heard, Speaker};
use crate::columns::Columns;
use crate::preflight::dropped_here;
use crate::vrrp::{DropReason, Family, V3Checksum, Version, Vrid};

const HEADINGS: [&str; 10] =
    ["INTERFACE", "FAMILY", "VRID", "VERSION", "MASTER", "PRIORITY", "INTERVAL", "AUTH", "CHECKSUM", "VIPS"];
/// The most virtual addresses to list.
const MAX_ADDRESSES: usize = 8;

/// The speakers, one a line, in columns; `interfaces` are the names of those listened on.
pub(super) fn table(heard: &Heard, interfaces: &[String]) -> String {
    let mut table = Columns::new(&HEADINGS);
    for speaker in &heard.speakers {
        let (interface, family, vrid) = speaker.group;
        table.add(&interfaces[interface]);
        table.add(&family);
        table.add(&vrid);
        table.add(&speaker.version);
        table.add(&speaker.from);
        table.add(&speaker.claims.priority);
        table.add(&interval(speaker));
        table.add(&auth(speaker));
        table.add(&checksum(speaker));
        table.add(&addresses(speaker));
    }
    table.text()
}

fn interval(speaker: &Speaker) -> String {
    speaker.claims.interval.map_or_else(|| "0 s".into(), |interval| interval.to_string())
}

fn auth(speaker: &Speaker) -> String {
    match speaker.claims.auth {
        None => "-".into(),
        Some((0, _)) => "none".into(),
        Some((1, _)) => "password".into(),
        Some((kind, _)) => format!("type {kind}"),
    }
}

/// The value of V3_CHECKSUM, if there is a choice.
fn checksum(speaker: &Speaker) -> &'static str {
    match speaker.claims.checksum {
        None if speaker.faults[DropReason::Checksum as usize].1 > 0 => "wrong",
        None => "-",
        Some(_) if speaker.group.1 == Family::V6 || speaker.version != Version::V3.number() => "right",
        Some(V3Checksum::PseudoHeader) => "pseudo-header",
        Some(V3Checksum::Message) => "rfc9568",
    }
}

fn addresses(speaker: &Speaker) -> String {
    let all = &speaker.claims.addresses;
    let mut text = String::new();
    for address in all.iter().take(MAX_ADDRESSES) {
        _ = write!(text, "{}{address}", if text.is_empty() { "" } else { " " });
    }
    match all.len() {
        0 => "-".into(),
        n if n > MAX_ADDRESSES => format!("{text} and {} more", n - MAX_ADDRESSES),
        _ => text,
    }
}

/// The problems, each line indented and ended, in the order of the table.
pub(super) fn problems(heard: &Heard, interfaces: &[String]) -> String {
    let mut text = String::new();
    for group in heard.groups() {
        let (interface, family, vrid) = group[0].group;
        let prefix = format!("  {} {family} VRID {vrid}", interfaces[interface]);
        // Those with adverts that a router would accept.
        let valid: Vec<_> = group.iter().filter(|speaker| speaker.valid > 0).collect();
        masters(&valid, &prefix, &mut text);
        differences(&valid, &prefix, &mut text);
        for speaker in group {
            faults(speaker, &prefix, &mut text);
        }
    }
    for (interface, from, vrid) in heard.dropped() {
        let name = &interfaces[interface];
        _ = writeln!(text, "  {name} {} VRID {vrid}: {}", Family::of(from), dropped_here(from, name));
    }
    for unreadable in &heard.unreadable {
        let (interface, from, why) = (&interfaces[unreadable.interface], unreadable.from, &unreadable.why);
        _ = writeln!(text, "  {interface}, {from}: {why} ({})", unreadable.packets);
    }
    if heard.unlisted > 0 {
        _ = writeln!(
            text,
            "  {} packets from further addresses are not listed (too many sources)",
            heard.unlisted
        );
    }
    text
}

fn masters(valid: &[&Speaker], prefix: &str, text: &mut String) {
    if valid.iter().all(|speaker| speaker.from == valid[0].from) {
        return;
    }
    let list = list(valid, &|speaker| Some(format!("(priority {})", speaker.claims.priority)));
    _ = if valid.iter().any(|speaker| speaker.is_second_master) {
        writeln!(
            text,
            "{prefix}: two masters: {list}; they do not hear each other, or drop each other's adverts"
        )
    } else {
        writeln!(
            text,
            "{prefix}: heard {list}: a handover, or more than one master; a longer scan shows which"
        )
    };
}

/// The address of each speaker with its `value`.
fn list(speakers: &[&Speaker], value: &dyn Fn(&Speaker) -> Option<String>) -> String {
    let mut text = String::new();
    for speaker in speakers {
        if let Some(value) = value(speaker) {
            _ = write!(text, "{}{} {value}", if text.is_empty() { "" } else { ", " }, speaker.from);
        }
    }
    text
}

/// Compares what all routers of one virtual router must agree on.
fn differences(valid: &[&Speaker], prefix: &str, text: &mut String) {
    let v2 = Version::V2.number();
    let mut compare = |what: &str, value: &dyn Fn(&Speaker) -> Option<String>| {
        let mut values = valid.iter().filter_map(|speaker| value(speaker));
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            _ = writeln!(text, "{prefix}: {what} differ: {}", list(valid, value));
        }
    };
    compare("versions", &|s| Some(format!("VRRPv{}", s.version)));
    compare("intervals", &|s| Some(interval(s)));
    compare("authentication types", &|s| (s.version == v2).then(|| auth(s)));
    compare("checksums", &|s| (s.version != v2).then(|| checksum(s).to_owned()));
    if valid.iter().any(|s| !s.claims.same_addresses(&valid[0].claims)) {
        let list = list(valid, &|s| Some(format!("[{}]", addresses(s))));
        _ = writeln!(text, "{prefix}: addresses differ: {list}");
    }
    let mut passwords = valid.iter().filter_map(|s| s.claims.auth?.1);
    let first = passwords.next();
    if passwords.any(|other| Some(other) != first) {
        _ = writeln!(text, "{prefix}: passwords differ");
    }
}

fn faults(speaker: &Speaker, prefix: &str, text: &mut String) {
    let Speaker { from, packets, .. } = speaker;
    let mut line = |what: &str, count: u64| {
        _ = match packets {
            1 => writeln!(text, "{prefix}, {from}: {what}"),
            _ => writeln!(text, "{prefix}, {from}: {what} ({count} of {packets})"),
        };
    };
    for (reason, (value, count)) in DropReason::ALL.iter().zip(speaker.faults) {
        if count > 0 {
            line(&fault(*reason, value, speaker.version), count);
        }
    }
    if speaker.releases > 0 {
        line("released the addresses (priority 0)", speaker.releases);
    }
}

fn fault(reason: DropReason, value: u8, version: u8) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others need settings of a router's own")]
    match reason {
        DropReason::Ttl => format!("TTL {value} instead of 255: it was forwarded by a router"),
        DropReason::Version if version == Version::V2.number() => "VRRPv2 over IPv6".into(),
        DropReason::Version => format!("version {value}"),
        DropReason::Type => format!("type {value}: not an advertisement"),
        DropReason::Checksum => "wrong checksum".into(),
        DropReason::AuthType => format!("unknown authentication type {value}"),
        DropReason::CountZero => "no address (count 0)".into(),
        DropReason::IntervalZero => "interval 0".into(),
        DropReason::Vrid => "VRID 0".into(),
        DropReason::Truncated => "shorter than its address count requires".into(),
        DropReason::TooLong => "longer than its address count requires".into(),
        other => other.to_string(),
    }
}

/// A VRID to use.
pub(super) fn free(vrid: Option<Vrid>) -> String {
    vrid.map_or_else(|| "No VRID is free.".into(), |vrid| format!("Free VRID: {vrid}"))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::time::Instant;
    use crate::vrrp::{Advert, Envelope, GROUP_V4, GROUP_V6, Interval, Priority};

    fn v2(vrid: u8, vips: &[&str]) -> Advert {
        Advert {
            version: Version::V2,
            vrid: Vrid::new(vrid).unwrap(),
            priority: Priority::new(200).unwrap(),
            interval: Interval::DEFAULT,
            password: None,
            checksum: V3Checksum::PseudoHeader,
            addresses: vips.iter().map(|vip| vip.parse().unwrap()).collect(),
        }
    }

    fn v3(vrid: u8, vips: &[&str]) -> Advert {
        Advert { version: Version::V3, interval: Interval::from_centiseconds(20).unwrap(), ..v2(vrid, vips) }
    }

    fn envelope(from: &str) -> Envelope {
        let from: IpAddr = from.parse().unwrap();
        Envelope { from, to: if from.is_ipv4() { GROUP_V4.into() } else { GROUP_V6.into() }, ttl: 255 }
    }

    /// Each of `adverts` once, all at the same time.
    fn heard(adverts: &[(&str, Advert)]) -> Heard {
        let mut heard = Heard::default();
        for (from, advert) in adverts {
            let envelope = envelope(from);
            heard.message(Instant::START, 1, &advert.emit(envelope.from, envelope.to), envelope);
        }
        heard
    }

    fn names() -> [String; 2] {
        ["br-lan", "eth0"].map(str::to_owned)
    }

    fn table_of(heard: &Heard) -> String {
        table(heard, &names())
    }

    fn problems_of(heard: &Heard) -> Vec<String> {
        problems(heard, &names()).lines().map(|line| line.strip_prefix("  ").unwrap().to_owned()).collect()
    }

    #[test]
    fn speakers_are_listed_in_columns_by_interface_family_and_vrid() {
        let mut heard = heard(&[
            ("fe80::1", v3(7, &["fe80::2", "fd00::2"])),
            ("10.0.0.12", Advert { checksum: V3Checksum::Message, ..v3(60, &["10.0.0.4"]) }),
            ("10.0.0.11", Advert { password: Some(*b"secret\0\0"), ..v2(51, &["10.0.0.2", "10.0.0.3"]) }),
        ]);
        let from = envelope("10.0.0.11");
        let (first, second) = (v2(200, &["10.1.0.2"]), v3(9, &["10.0.0.9"]));
        heard.message(Instant::START, 0, &first.emit(from.from, from.to), from);
        heard.message(Instant::START, 1, &second.emit(from.from, from.to), from);
        let expected = "\
INTERFACE  FAMILY  VRID  VERSION  MASTER     PRIORITY  INTERVAL  AUTH      CHECKSUM       VIPS
br-lan     IPv4    200   2        10.0.0.11  200       1 s       none      right          10.1.0.2
eth0       IPv4    9     3        10.0.0.11  200       0.2 s     -         pseudo-header  10.0.0.9
eth0       IPv4    51    2        10.0.0.11  200       1 s       password  right          10.0.0.2 10.0.0.3
eth0       IPv4    60    3        10.0.0.12  200       0.2 s     -         rfc9568        10.0.0.4
eth0       IPv6    7     3        fe80::1    200       0.2 s     -         right          fe80::2 fd00::2
";
        assert_eq!(table_of(&heard), expected);
        assert_eq!(problems_of(&heard), [""; 0]);
        assert!(!format!("{heard:?}").contains("secret"));
    }

    #[test]
    fn a_long_list_of_addresses_is_cut() {
        let many: Vec<_> = (1..=10).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(
            table_of(&heard(&[("10.0.0.11", v2(51, &many))])).ends_with("10.0.0.7 10.0.0.8 and 2 more\n")
        );
    }

    #[test]
    fn settings_that_differ_within_a_virtual_router_are_listed_with_both_values() {
        let ours = ("10.0.0.11", v2(51, &["10.0.0.2", "10.0.0.3"]));
        let second = |advert: Advert| problems_of(&heard(&[ours.clone(), ("10.0.0.12", advert)]));
        let masters = "eth0 IPv4 VRID 51: heard 10.0.0.11 (priority 200), 10.0.0.12 (priority 200): a handover, or \
                       more than one master; a longer scan shows which";
        assert_eq!(second(v2(51, &["10.0.0.3", "10.0.0.2"])), [masters], "in any order");
        for (other, difference) in [
            (v2(51, &["10.0.0.2"]), "addresses differ: 10.0.0.11 [10.0.0.2 10.0.0.3], 10.0.0.12 [10.0.0.2]"),
            (
                Advert { interval: Interval::from_seconds(3).unwrap(), ..ours.1.clone() },
                "intervals differ: 10.0.0.11 1 s, 10.0.0.12 3 s",
            ),
            (
                Advert { password: Some([b'x'; 8]), ..ours.1.clone() },
                "authentication types differ: 10.0.0.11 none, 10.0.0.12 password",
            ),
        ] {
            assert_eq!(second(other), [masters.to_owned(), format!("eth0 IPv4 VRID 51: {difference}")]);
        }
        let lines = second(Advert { version: Version::V3, ..ours.1.clone() });
        assert_eq!(lines[1..], ["eth0 IPv4 VRID 51: versions differ: 10.0.0.11 VRRPv2, 10.0.0.12 VRRPv3"]);
    }

    #[test]
    fn passwords_and_forms_of_the_checksum_are_compared() {
        let with = |password: &[u8; 8]| Advert { password: Some(*password), ..v2(51, &["10.0.0.2"]) };
        let lines = problems_of(&heard(&[
            ("10.0.0.11", with(b"one\0\0\0\0\0")),
            ("10.0.0.12", with(b"two\0\0\0\0\0")),
        ]));
        assert_eq!(lines[1..], ["eth0 IPv4 VRID 51: passwords differ"]);
        let same = problems_of(&heard(&[
            ("10.0.0.11", with(b"one\0\0\0\0\0")),
            ("10.0.0.12", with(b"one\0\0\0\0\0")),
        ]));
        assert_eq!(same.len(), 1);
        let message = Advert { checksum: V3Checksum::Message, ..v3(51, &["10.0.0.2"]) };
        let lines = problems_of(&heard(&[("10.0.0.11", v3(51, &["10.0.0.2"])), ("10.0.0.12", message)]));
        let forms = "eth0 IPv4 VRID 51: checksums differ: 10.0.0.11 pseudo-header, 10.0.0.12 rfc9568";
        assert_eq!(lines[1..], [forms]);
    }

    #[test]
    fn two_masters_are_named_with_their_priorities() {
        let mut heard = Heard::default();
        for ms in (0..4_000).step_by(1_000) {
            for from in ["10.0.0.11", "10.0.0.12"].map(envelope) {
                let advert = v2(51, &["10.0.0.2"]);
                heard.message(Instant::from_millis(ms), 1, &advert.emit(from.from, from.to), from);
            }
        }
        assert_eq!(
            problems_of(&heard),
            [
                "eth0 IPv4 VRID 51: two masters: 10.0.0.11 (priority 200), 10.0.0.12 (priority 200); they do not hear \
              each other, or drop each other's adverts"
            ]
        );
    }

    /// The problems and the row of a faulty advert, after a valid one from another address.
    fn fault_of(octets: &[u8], envelope: Envelope) -> (Vec<String>, String) {
        let mut heard = heard(&[("10.0.0.11", v2(51, &["10.0.0.2"]))]);
        heard.message(Instant::START, 1, octets, envelope);
        let faulty = envelope.from.to_string();
        let table = table_of(&heard);
        let row = table.lines().find(|line| line.contains(&faulty)).unwrap_or_default();
        (problems_of(&heard), row.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_fault_has_its_sentence_and_no_faulty_sender_is_a_master() {
        let from = envelope("10.0.0.99");
        let good = v2(51, &["10.0.0.2"]).emit(from.from, from.to);
        let with = |at: usize, value: u8| {
            let mut octets = good.clone();
            octets[at] = value;
            octets[6..8].fill(0);
            let sum = pnet::packet::util::checksum(&octets, 3).to_be_bytes();
            octets[6..8].copy_from_slice(&sum);
            octets
        };
        let mut wrong_sum = good.clone();
        wrong_sum[7] ^= 1;
        for (octets, ttl, sentence, row) in [
            (
                good.clone(),
                254,
                "TTL 254 instead of 255: it was forwarded by a router",
                "200 1 s none right 10.0.0.2",
            ),
            (wrong_sum, 255, "wrong checksum", "200 1 s none wrong 10.0.0.2"),
            (with(4, 254), 255, "unknown authentication type 254", "200 1 s type 254 - 10.0.0.2"),
            (with(5, 0), 255, "interval 0", "200 0 s none - 10.0.0.2"),
            (with(0, 0x27), 255, "type 7: not an advertisement", "200 1 s none - 10.0.0.2"),
            (
                with(3, 9),
                255,
                "shorter than its address count requires",
                "200 1 s none - 10.0.0.2 0.0.0.0 0.0.0.0",
            ),
            (
                [&good[..], &[0; 4]].concat(),
                255,
                "longer than its address count requires",
                "200 1 s none - 10.0.0.2",
            ),
        ] {
            let (problems, cells) = fault_of(&octets, Envelope { ttl, ..from });
            assert_eq!(problems, [format!("eth0 IPv4 VRID 51, 10.0.0.99: {sentence}")]);
            assert_eq!(cells, format!("eth0 IPv4 51 2 10.0.0.99 {row}"));
        }
        let (problems, cells) = fault_of(&with(0, 0x41), from);
        assert_eq!(problems, ["eth0 IPv4 VRID 51, 10.0.0.99: version 4"]);
        assert!(cells.starts_with("eth0 IPv4 51 4 10.0.0.99"), "{cells}");
        let (problems, _) = fault_of(&with(1, 0), from);
        assert_eq!(problems, ["eth0 IPv4 VRID 0, 10.0.0.99: VRID 0"]);
        let none = [&good[..3], &[0, 0, 1, 0xdd, 0xcb], &[0; 8]].concat();
        let (problems, cells) = fault_of(&none, from);
        assert!(
            problems.contains(&"eth0 IPv4 VRID 51, 10.0.0.99: no address (count 0)".into()),
            "{problems:?}"
        );
        assert!(cells.ends_with(" -"), "{cells}");
        assert_eq!(
            fault_of(&good[..7], from).0,
            ["eth0, 10.0.0.99: the message is shorter than a VRRP header (1)"]
        );
        let six = envelope("fe80::9");
        assert_eq!(fault_of(&good, six).0, ["eth0 IPv6 VRID 51, fe80::9: VRRPv2 over IPv6"]);
    }

    #[test]
    fn faults_and_releases_are_counted_among_the_packets() {
        let good = v2(51, &["10.0.0.2"]);
        let mut heard = heard(&[
            ("10.0.0.11", good.clone()),
            ("10.0.0.11", Advert { priority: Priority::RELEASE, ..good.clone() }),
        ]);
        let from = Envelope { ttl: 1, ..envelope("10.0.0.11") };
        let forged = Advert { priority: Priority::OWNER, ..good };
        heard.message(Instant::START, 1, &forged.emit(from.from, from.to), from);
        assert_eq!(
            problems_of(&heard),
            [
                "eth0 IPv4 VRID 51, 10.0.0.11: TTL 1 instead of 255: it was forwarded by a router (1 of 3)",
                "eth0 IPv4 VRID 51, 10.0.0.11: released the addresses (priority 0) (1 of 3)"
            ]
        );
        assert!(table_of(&heard).contains(" 200 "), "the priority before, and of an advert that counts");
    }

    #[test]
    fn a_free_vrid_is_offered_unless_there_is_none() {
        assert_eq!(free(Vrid::new(52)), "Free VRID: 52");
        assert_eq!(free(None), "No VRID is free.");
    }
}
