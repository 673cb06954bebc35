//! Every packet of the collected vectors (`../shared/vectors`, not part of this repository), against its expected
//! result. Without the folder nothing is checked; in CI that is a failure.

use std::net::Ipv6Addr;
use std::path::Path;

use serde_json::Value;
use vrrp_init::sys::neighbor::{Form, gratuitous_arp, neighbor_advertisement};
use vrrp_init::sys::socket::Datagram;
use vrrp_init::sys::socket::ipv4::{self, HeaderFault};
use vrrp_init::vrrp::{Advert, DropReason, Envelope, GROUP_V4, GROUP_V6, V3Checksum, Version};

const ETHERNET: usize = 14;
const IPV6: usize = 40;

#[test]
fn every_vector_is_parsed_as_specified() {
    let Some(all) = vectors() else { return };
    let vectors = all["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 67);
    let wrong: Vec<_> =
        vectors.iter().filter_map(|v| check(v).err().map(|e| format!("{}: {e}", v["id"]))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Our announcements have the same octets for the same addresses and form. The router flag is a parameter, as in
/// keepalived.
#[test]
fn our_announcements_are_those_of_the_vectors() {
    let Some(all) = vectors() else { return };
    let announcements = all["announcements"].as_array().unwrap();
    assert!(announcements.len() >= 5);
    for vector in announcements {
        let (theirs, expect) = (octets(vector), &vector["expect"]);
        let mac: [u8; 6] = *theirs[6..].first_chunk().unwrap();
        for owner in ["sha", "tlla"] {
            assert!(expect[owner].is_null() || expect[owner] == hardware(mac), "{}: {owner}", vector["id"]);
        }
        if vector["kind"] == "na" {
            let vip = Ipv6Addr::from(*theirs[22..].first_chunk::<16>().unwrap());
            let flags = theirs[58];
            for (name, bit) in [("R", 0x80), ("S", 0x40), ("O", 0x20)] {
                let set = &expect["flags"][name];
                assert!(set.is_null() || *set == (flags & bit != 0), "{}: {name}", vector["id"]);
            }
            let router = flags & 0x80 != 0;
            assert_eq!(neighbor_advertisement(mac, vip, router)[..], theirs, "{}", vector["id"]);
            continue;
        }
        assert_eq!(vector["kind"], "arp");
        let form = if expect["op"] == 2 { Form::Reply } else { Form::Request };
        let vip = expect["spa"].as_str().unwrap().parse().unwrap();
        let ours = gratuitous_arp(mac, vip, form);
        // Without Ethernet's padding.
        let (theirs, padding) = theirs.split_at(ours.len());
        assert_eq!(ours[..], *theirs, "{}", vector["id"]);
        assert!(padding.iter().all(|octet| *octet == 0));
    }
}

fn hardware(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn vectors() -> Option<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/vrrp-vectors.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        assert!(std::env::var_os("CI").is_none(), "CI must have {}", file.display());
        eprintln!("no vectors at {}: nothing checked", file.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn octets(vector: &Value) -> Vec<u8> {
    let hex = vector["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// An accepted message and its envelope.
struct Accepted<'a> {
    advert: Advert,
    octets: &'a [u8],
    /// `None` for a vector that is a message alone.
    envelope: Option<Envelope>,
}

/// Packets with several faults, for which we report a different fault than the vector.
const OTHERWISE: [(&str, &str); 6] = [
    // Unicast: a peer may be behind a router, so its TTL is not checked. It has no address either.
    ("scapy-default-v2", "count_zero"),
    // No address, and then 992 octets.
    ("holo-v3-ipv6-1000", "too_long"),
    ("tcpdump-oobr-1", "ip_options"),
    ("tcpdump-oobr2-1", "fragment"),
    ("tcpdump-oobr2-5", "fragment"),
    ("tcpdump-oobr2-10", "fragment"),
];

fn check(vector: &Value) -> Result<(), String> {
    let expect = &vector["expect"];
    let (octets, v4) = (octets(vector), vector["family"] == 4);
    let layer = vector["layer"].as_str().unwrap();
    match (parse(layer, v4, &octets), expect["valid"].as_bool().unwrap()) {
        (Err(reason), false) => {
            let listed = expect["discard"].as_array().unwrap().iter().any(|word| label(word) == reason);
            let otherwise = OTHERWISE.iter().any(|(id, ours)| vector["id"] == *id && reason == *ours);
            // Both, so that the list above has no superfluous entry.
            if listed == otherwise { Err(format!("refused for {reason}")) } else { Ok(()) }
        }
        (Err(reason), true) => Err(format!("refused for {reason}")),
        (Ok(accepted), false) => Err(format!("accepted as {:?}", accepted.advert)),
        (Ok(accepted), true) => compare(&accepted, expect),
    }
}

/// Our label for the vectors' name of a fault.
fn label(word: &Value) -> &'static str {
    match word.as_str().unwrap() {
        "ttl" | "ttl-254" => "ttl",
        "truncated" | "truncated-header" => "truncated",
        "version" => "version",
        "type" => "type",
        "checksum" => "checksum",
        "auth-type" => "auth_type",
        "count0" => "count_zero",
        "interval0" => "interval_zero",
        "vrid0" => "vrid",
        "dst-group" => "destination",
        "ip-fragment" => "fragment",
        "ip-length" => "ip_header",
        other => panic!("a fault without a name here: {other}"),
    }
}

fn compare(Accepted { advert, octets, envelope }: &Accepted<'_>, expect: &Value) -> Result<(), String> {
    let form = match advert.checksum {
        V3Checksum::PseudoHeader if advert.version == Version::V3 => "pseudo",
        V3Checksum::PseudoHeader | V3Checksum::Message => "message",
    };
    let got = serde_json::json!({
        "version": advert.version.number(),
        "type": octets[0] & 0x0f,
        "vrid": advert.vrid.octet(),
        "priority": advert.priority.octet(),
        "count": advert.addresses.len(),
        "interval_cs": advert.interval.centiseconds(),
        "addrs": advert.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "checksum": format!("0x{:02x}{:02x}", octets[6], octets[7]),
        "checksum_form": form,
        "src": envelope.map(|e| e.from.to_string()),
        "dst": envelope.map(|e| e.to.to_string()),
        "ttl": envelope.map(|e| e.ttl),
    });
    for (name, value) in got.as_object().unwrap() {
        // Not every vector has every field.
        if !expect[name].is_null() && expect[name] != *value {
            return Err(format!("{name} is {value}, not {}", expect[name]));
        }
    }
    let simple = expect["auth_type"] == 1;
    let password = advert.password.map(|p| format!("{:016x}", u64::from_be_bytes(p)));
    match password {
        Some(p) if simple && expect["auth_data"] == p.as_str() => {}
        None if !simple => {}
        other => return Err(format!("the password is {other:?}")),
    }
    // We would send the same octets, except that our reserved bits are 0, which changes the checksum.
    let Some(Envelope { from, to, .. }) = *envelope else { return Ok(()) };
    let reserved = advert.version == Version::V3 && octets[4] & 0xf0 != 0;
    let again = advert.emit(from, to);
    if again == *octets || reserved { Ok(()) } else { Err(format!("sent as {again:02x?}")) }
}

/// Parses from the outermost layer of the vector inward. The error is the first reason to drop it.
fn parse<'a>(layer: &str, v4: bool, octets: &'a [u8]) -> Result<Accepted<'a>, &'static str> {
    let (payload, envelope) = match layer {
        "vrrp" => (octets, None),
        "ip" => strip_ip(octets, v4).map(|(payload, envelope)| (payload, Some(envelope)))?,
        "eth" => strip_ip(octets.get(ETHERNET..).ok_or("no frame")?, v4)
            .map(|(payload, envelope)| (payload, Some(envelope)))?,
        other => panic!("no layer: {other}"),
    };
    let advert = Advert::parse(payload, envelope.unwrap_or_else(|| bare(v4))).map_err(DropReason::as_str)?;
    Ok(Accepted { advert, octets: payload, envelope })
}

/// A plausible envelope; VRRPv2 and broken packets do not depend on it.
fn bare(v4: bool) -> Envelope {
    if v4 {
        Envelope { from: "10.0.0.1".parse().unwrap(), to: GROUP_V4.into(), ttl: 255 }
    } else {
        Envelope { from: "fe80::1".parse().unwrap(), to: GROUP_V6.into(), ttl: 255 }
    }
}

fn strip_ip(packet: &[u8], v4: bool) -> Result<(&[u8], Envelope), &'static str> {
    if v4 {
        // The kernel removes Ethernet's padding and drops packets that are shorter than their length field.
        let total = packet.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let whole = packet.get(..total).unwrap_or(packet);
        let datagram = ipv4::parse(whole, false).map_err(|fault| match fault {
            HeaderFault::Fragment => "fragment",
            HeaderFault::Options => "ip_options",
            HeaderFault::TooShort => "truncated",
            HeaderFault::TooLong => "too_long",
            HeaderFault::NotIpv4 | HeaderFault::HeaderLength | HeaderFault::TotalLength => "ip_header",
        })?;
        let Datagram { from, to, ttl, payload } = datagram;
        return Ok((payload, Envelope { from, to, ttl }));
    }
    let header: &[u8; IPV6] = packet.first_chunk().ok_or("no IPv6 header")?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap());
    let payload = packet[IPV6..].get(..length).ok_or("shorter than its length field")?;
    Ok((payload, Envelope { from: address(8).into(), to: address(24).into(), ttl: header[7] }))
}
