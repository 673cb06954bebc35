//! What was heard as text: a table, what is wrong, a free VRID; decides nothing.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::heard::{Circle, Group, Heard, Speaker};
use crate::vrrp::{DropReason, Family, V3Checksum, Version, Vrid};

const HEADINGS: [&str; 10] =
    ["INTERFACE", "FAMILY", "VRID", "VERSION", "MASTER", "PRIORITY", "INTERVAL", "AUTH", "CHECKSUM", "VIPS"];
/// So many virtual addresses are listed.
const SHOWN: usize = 8;

/// The speakers, one a line, in columns.
pub(super) fn table(heard: &Heard) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for (group, circle) in &heard.groups {
        rows.extend(circle.speakers.iter().map(|((from, version), s)| row(group, *from, *version, s)));
    }
    let widths: Vec<_> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            _ = write!(line, "{cell:width$}  ");
        }
        _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(group: &Group, from: IpAddr, version: u8, speaker: &Speaker) -> [String; HEADINGS.len()] {
    let claims = &speaker.claims;
    [
        group.interface.clone(),
        group.family.to_string(),
        group.vrid.to_string(),
        version.to_string(),
        from.to_string(),
        claims.priority.to_string(),
        interval(speaker),
        auth(speaker),
        checksum(group, version, speaker).to_owned(),
        addresses(speaker),
    ]
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

/// In the words of V3_CHECKSUM, where there is a choice.
fn checksum(group: &Group, version: u8, speaker: &Speaker) -> &'static str {
    let choice = group.family == Family::V4 && version == Version::V3.number();
    match speaker.claims.checksum {
        None if speaker.faults.contains_key(&DropReason::Checksum) => "wrong",
        None => "-",
        Some(_) if !choice => "right",
        Some(V3Checksum::PseudoHeader) => "pseudo-header",
        Some(V3Checksum::Message) => "rfc9568",
    }
}

fn addresses(speaker: &Speaker) -> String {
    let all = &speaker.claims.addresses;
    let mut text = joined(all.iter().take(SHOWN).map(ToString::to_string), " ");
    if all.len() > SHOWN {
        _ = write!(text, " and {} more", all.len() - SHOWN);
    }
    if text.is_empty() { "-".into() } else { text }
}

fn joined(items: impl Iterator<Item = String>, between: &str) -> String {
    items.collect::<Vec<_>>().join(between)
}

/// What is wrong, one sentence a line, in the order of the table.
pub(super) fn problems(heard: &Heard) -> Vec<String> {
    let mut lines = vec![];
    for (Group { interface, family, vrid }, circle) in &heard.groups {
        let place = format!("{interface} {family} VRID {vrid}");
        lines.extend(
            masters(circle).into_iter().chain(differences(circle)).map(|what| format!("{place}: {what}")),
        );
        for ((from, version), speaker) in &circle.speakers {
            let count = |n| {
                if speaker.packets == 1 { String::new() } else { format!(" ({n} of {})", speaker.packets) }
            };
            for (reason, (value, n)) in &speaker.faults {
                lines.push(format!("{place}, {from}: {}{}", fault(*reason, *value, *version), count(*n)));
            }
            if speaker.releases > 0 {
                let n = count(speaker.releases);
                lines.push(format!("{place}, {from}: gave the addresses up with priority 0{n}"));
            }
        }
    }
    for ((interface, from), (why, n)) in &heard.unreadable {
        lines.push(format!("{interface}, {from}: {why} ({n})"));
    }
    if heard.uncounted > 0 {
        lines.push(format!("{} packets of further addresses are not listed: a flood", heard.uncounted));
    }
    lines
}

fn masters(circle: &Circle) -> Option<String> {
    let all: std::collections::BTreeSet<_> =
        circle.sound().map(|(from, _, s)| format!("{from} (priority {})", s.claims.priority)).collect();
    let list = joined(all.iter().cloned(), ", ");
    match all.len() {
        0 | 1 => None,
        2 if circle.several_masters => {
            Some(format!("two masters: {list}; they do not hear each other, or drop each other's adverts"))
        }
        n if circle.several_masters => Some(format!("{n} masters: {list}; they drop each other's adverts")),
        _ => Some(format!("heard {list}: a handover, or more than one master; a longer scan tells")),
    }
}

/// What all who share a virtual router must agree on; of the rest what both versions have.
fn differences(circle: &Circle) -> Vec<String> {
    let v2 = Version::V2.number();
    let mut lines = vec![];
    let mut compare = |what: &str, value: &dyn Fn(u8, &Speaker) -> Option<String>| {
        let values: Vec<_> =
            circle.sound().filter_map(|(from, version, s)| Some((from, value(version, s)?))).collect();
        if values.iter().any(|(_, value)| *value != values[0].1) {
            let list = joined(values.iter().map(|(from, value)| format!("{from} {value}")), ", ");
            lines.push(format!("{what} differ: {list}"));
        }
    };
    compare("versions", &|version, _| Some(format!("VRRPv{version}")));
    compare("intervals", &|_, s| Some(interval(s)));
    compare("kinds of authentication", &|version, s| (version == v2).then(|| auth(s)));
    compare("addresses", &|_, s| Some(format!("[{}]", addresses(s))));
    compare("checksums", &|version, s| match s.claims.checksum {
        _ if version == v2 => None,
        Some(V3Checksum::Message) => Some("rfc9568".into()),
        Some(V3Checksum::PseudoHeader) | None => Some("pseudo-header".into()),
    });
    let mut passwords = circle.sound().filter_map(|(.., s)| s.claims.auth?.1);
    let first = passwords.next();
    if passwords.any(|other| Some(other) != first) {
        lines.push("passwords differ".into());
    }
    lines
}

fn fault(reason: DropReason, value: u8, version: u8) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others need settings of a router's own")]
    match reason {
        DropReason::Ttl => format!("TTL {value} instead of 255: it came through a router"),
        DropReason::Version if version == Version::V2.number() => "VRRPv2 over IPv6".into(),
        DropReason::Version => format!("version {value}"),
        DropReason::Type => format!("type {value}: no advertisement"),
        DropReason::Checksum => "wrong checksum".into(),
        DropReason::AuthType => format!("unknown authentication type {value}"),
        DropReason::CountZero => "no address (count 0)".into(),
        DropReason::IntervalZero => "interval 0".into(),
        DropReason::Vrid => "VRID 0".into(),
        DropReason::Truncated => "shorter than its count says".into(),
        DropReason::TooLong => "longer than its count says".into(),
        other => other.to_string(),
    }
}

/// A VRID to use.
pub(super) fn free(vrid: Option<Vrid>) -> String {
    vrid.map_or_else(|| "No VRID is free.".into(), |vrid| format!("Free VRID: {vrid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::{Advert, Envelope, GROUP_V4, GROUP_V6, Instant, Interval, Priority};

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

    /// What each of `adverts` sends once, all at one moment.
    fn heard(adverts: &[(&str, Advert)]) -> Heard {
        let mut heard = Heard::default();
        for (from, advert) in adverts {
            let envelope = envelope(from);
            heard.message(Instant::START, "eth0", &advert.emit(envelope.from, envelope.to), envelope);
        }
        heard
    }

    #[test]
    fn speakers_stand_in_columns_by_interface_family_and_vrid() {
        let mut heard = heard(&[
            ("fe80::1", v3(7, &["fe80::2", "fd00::2"])),
            ("10.0.0.12", Advert { checksum: V3Checksum::Message, ..v3(60, &["10.0.0.4"]) }),
            ("10.0.0.11", Advert { password: Some(*b"secret\0\0"), ..v2(51, &["10.0.0.2", "10.0.0.3"]) }),
        ]);
        let from = envelope("10.0.0.11");
        let (first, second) = (v2(200, &["10.1.0.2"]), v3(9, &["10.0.0.9"]));
        heard.message(Instant::START, "br-lan", &first.emit(from.from, from.to), from);
        heard.message(Instant::START, "eth0", &second.emit(from.from, from.to), from);
        let expected = "\
INTERFACE  FAMILY  VRID  VERSION  MASTER     PRIORITY  INTERVAL  AUTH      CHECKSUM       VIPS
br-lan     IPv4    200   2        10.0.0.11  200       1 s       none      right          10.1.0.2
eth0       IPv4    9     3        10.0.0.11  200       0.2 s     -         pseudo-header  10.0.0.9
eth0       IPv4    51    2        10.0.0.11  200       1 s       password  right          10.0.0.2 10.0.0.3
eth0       IPv4    60    3        10.0.0.12  200       0.2 s     -         rfc9568        10.0.0.4
eth0       IPv6    7     3        fe80::1    200       0.2 s     -         right          fd00::2 fe80::2
";
        assert_eq!(table(&heard), expected);
        assert_eq!(problems(&heard), [""; 0]);
        assert!(!format!("{heard:?}").contains("secret"));
    }

    #[test]
    fn a_long_list_of_addresses_is_cut() {
        let many: Vec<_> = (1..=10).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(table(&heard(&[("10.0.0.11", v2(51, &many))])).ends_with("10.0.0.7 10.0.0.8 and 2 more\n"));
    }

    #[test]
    fn what_those_who_share_a_router_disagree_on_is_named_with_both_values() {
        let ours = ("10.0.0.11", v2(51, &["10.0.0.2", "10.0.0.3"]));
        let second = |advert: Advert| problems(&heard(&[ours.clone(), ("10.0.0.12", advert)]));
        let masters = "eth0 IPv4 VRID 51: heard 10.0.0.11 (priority 200), 10.0.0.12 (priority 200): a handover, or \
                       more than one master; a longer scan tells";
        assert_eq!(second(v2(51, &["10.0.0.3", "10.0.0.2"])), [masters], "the order is free");
        for (other, difference) in [
            (v2(51, &["10.0.0.2"]), "addresses differ: 10.0.0.11 [10.0.0.2 10.0.0.3], 10.0.0.12 [10.0.0.2]"),
            (
                Advert { interval: Interval::from_seconds(3).unwrap(), ..ours.1.clone() },
                "intervals differ: 10.0.0.11 1 s, 10.0.0.12 3 s",
            ),
            (
                Advert { password: Some([b'x'; 8]), ..ours.1.clone() },
                "kinds of authentication differ: 10.0.0.11 none, 10.0.0.12 password",
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
        let lines =
            problems(&heard(&[("10.0.0.11", with(b"one\0\0\0\0\0")), ("10.0.0.12", with(b"two\0\0\0\0\0"))]));
        assert_eq!(lines[1..], ["eth0 IPv4 VRID 51: passwords differ"]);
        let same =
            problems(&heard(&[("10.0.0.11", with(b"one\0\0\0\0\0")), ("10.0.0.12", with(b"one\0\0\0\0\0"))]));
        assert_eq!(same.len(), 1);
        let message = Advert { checksum: V3Checksum::Message, ..v3(51, &["10.0.0.2"]) };
        let lines = problems(&heard(&[("10.0.0.11", v3(51, &["10.0.0.2"])), ("10.0.0.12", message)]));
        let forms = "eth0 IPv4 VRID 51: checksums differ: 10.0.0.11 pseudo-header, 10.0.0.12 rfc9568";
        assert_eq!(lines[1..], [forms]);
    }

    #[test]
    fn two_masters_are_named_with_their_priorities() {
        let mut heard = Heard::default();
        for ms in (0..4_000).step_by(1_000) {
            for from in ["10.0.0.11", "10.0.0.12"].map(envelope) {
                let advert = v2(51, &["10.0.0.2"]);
                heard.message(Instant::from_millis(ms), "eth0", &advert.emit(from.from, from.to), from);
            }
        }
        assert_eq!(
            problems(&heard),
            [
                "eth0 IPv4 VRID 51: two masters: 10.0.0.11 (priority 200), 10.0.0.12 (priority 200); they do not hear \
              each other, or drop each other's adverts"
            ]
        );
    }

    /// One right advert and, from another address, one with a fault: what is said of that one.
    fn fault_of(octets: &[u8], envelope: Envelope) -> (Vec<String>, String) {
        let mut heard = heard(&[("10.0.0.11", v2(51, &["10.0.0.2"]))]);
        heard.message(Instant::START, "eth0", octets, envelope);
        let faulty = envelope.from.to_string();
        let table = table(&heard);
        let row = table.lines().find(|line| line.contains(&faulty)).unwrap_or_default();
        (problems(&heard), row.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_fault_has_its_sentence_and_makes_nobody_a_master() {
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
                "TTL 254 instead of 255: it came through a router",
                "200 1 s none right 10.0.0.2",
            ),
            (wrong_sum, 255, "wrong checksum", "200 1 s none wrong 10.0.0.2"),
            (with(4, 254), 255, "unknown authentication type 254", "200 1 s type 254 - 10.0.0.2"),
            (with(5, 0), 255, "interval 0", "200 0 s none - 10.0.0.2"),
            (with(0, 0x27), 255, "type 7: no advertisement", "200 1 s none - 10.0.0.2"),
            (with(3, 9), 255, "shorter than its count says", "200 1 s none - 0.0.0.0 10.0.0.2"),
            ([&good[..], &[0; 4]].concat(), 255, "longer than its count says", "200 1 s none - 10.0.0.2"),
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
        heard.message(Instant::START, "eth0", &forged.emit(from.from, from.to), from);
        assert_eq!(
            problems(&heard),
            [
                "eth0 IPv4 VRID 51, 10.0.0.11: TTL 1 instead of 255: it came through a router (1 of 3)",
                "eth0 IPv4 VRID 51, 10.0.0.11: gave the addresses up with priority 0 (1 of 3)"
            ]
        );
        assert!(table(&heard).contains(" 200 "), "the priority before, and of an advert that counts");
    }

    #[test]
    fn a_free_vrid_is_offered_unless_there_is_none() {
        assert_eq!(free(Vrid::new(52)), "Free VRID: 52");
        assert_eq!(free(None), "No VRID is free.");
    }
}
