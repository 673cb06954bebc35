//! Every packet of the collected vectors (`../shared/vectors`, not part of this repository), parsed as it says.
//! Where the folder is missing nothing can be checked; in CI that is a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::Ipv6Addr;
use std::path::Path;

use serde_json::Value;
use vrrp_init::sys::neighbour::{Form, gratuitous_arp, neighbour_advertisement};
use vrrp_init::sys::socket::{Datagram, ipv4};
use vrrp_init::vrrp::{Advert, Envelope, GROUP_V4, GROUP_V6};

const ETHERNET: usize = 14;
const IPV6: usize = 40;

#[test]
fn every_vector_is_parsed_as_it_says() {
    let Some(all) = vectors() else { return };
    let vectors = all["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 67);
    let wrong: Vec<_> =
        vectors.iter().filter_map(|v| check(v).err().map(|e| format!("{}: {e}", v["id"]))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Of the announcements, those of keepalived: ours in request form are the same octets.
#[test]
fn our_gratuitous_arp_is_that_of_keepalived() {
    let Some(all) = vectors() else { return };
    let all: Vec<_> =
        all["announcements"].as_array().unwrap().iter().filter(|a| a["expect"]["op"] == 1).cloned().collect();
    assert!(!all.is_empty());
    for vector in all {
        let theirs = octets(&vector);
        let mac = *theirs[6..].first_chunk().unwrap();
        let vip = vector["expect"]["spa"].as_str().unwrap().parse().unwrap();
        assert_eq!(gratuitous_arp(mac, vip, Form::Request)[..], theirs, "{}", vector["id"]);
    }
}

/// With keepalived's own choice of the router flag.
#[test]
fn our_neighbour_advertisement_is_that_of_keepalived() {
    let Some(all) = vectors() else { return };
    let all: Vec<_> =
        all["announcements"].as_array().unwrap().iter().filter(|a| a["kind"] == "na").cloned().collect();
    assert!(!all.is_empty());
    for vector in all {
        let theirs = octets(&vector);
        let mac = *theirs[6..].first_chunk().unwrap();
        let vip = Ipv6Addr::from(*theirs[22..].first_chunk::<16>().unwrap());
        let router = theirs[58] & 0x80 != 0;
        assert_eq!(neighbour_advertisement(mac, vip, router)[..], theirs, "{}", vector["id"]);
    }
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

fn check(vector: &Value) -> Result<(), String> {
    let expect = &vector["expect"];
    let valid = expect["valid"].as_bool().unwrap();
    match (parse(vector), valid) {
        (Err(_), false) => Ok(()),
        (Err(reason), true) => Err(format!("refused for {reason}")),
        (Ok(advert), false) => Err(format!("accepted as {advert:?}")),
        (Ok(advert), true) => compare(&advert, expect),
    }
}

fn compare(advert: &Advert, expect: &Value) -> Result<(), String> {
    let got = serde_json::json!({
        "version": advert.version.number(),
        "vrid": advert.vrid.octet(),
        "priority": advert.priority.octet(),
        "count": advert.addresses.len(),
        "interval_cs": advert.interval.centiseconds(),
        "addrs": advert.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    for (name, value) in got.as_object().unwrap() {
        // Not every vector says everything.
        if !expect[name].is_null() && expect[name] != *value {
            return Err(format!("{name} is {value}, not {}", expect[name]));
        }
    }
    let simple = expect["auth_type"] == 1;
    let password = advert.password.map(|p| format!("{:016x}", u64::from_be_bytes(p)));
    match password {
        Some(p) if simple && expect["auth_data"] == p.as_str() => Ok(()),
        None if !simple => Ok(()),
        other => Err(format!("the password is {other:?}")),
    }
}

/// From the outermost layer that the vector has inwards; the reason of the first refusal.
fn parse(vector: &Value) -> Result<Advert, String> {
    let octets = octets(vector);
    let v4 = vector["family"] == 4;
    let (payload, envelope) = match vector["layer"].as_str().unwrap() {
        "vrrp" => (&octets[..], bare(v4)),
        "ip" => strip_ip(&octets, v4)?,
        "eth" => strip_ip(octets.get(ETHERNET..).ok_or("no frame")?, v4)?,
        other => panic!("no layer: {other}"),
    };
    Advert::parse(payload, envelope).map_err(|reason| reason.to_string())
}

/// What an envelope would have been; VRRPv2 and broken packets do not depend on it.
fn bare(v4: bool) -> Envelope {
    if v4 {
        Envelope { from: "10.0.0.1".parse().unwrap(), to: GROUP_V4.into(), ttl: 255 }
    } else {
        Envelope { from: "fe80::1".parse().unwrap(), to: GROUP_V6.into(), ttl: 255 }
    }
}

fn strip_ip(packet: &[u8], v4: bool) -> Result<(&[u8], Envelope), String> {
    if v4 {
        // The kernel cuts Ethernet's padding off and throws away what is shorter than it says.
        let total = packet.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let whole = packet.get(..total).unwrap_or(packet);
        let datagram = ipv4::parse(whole, false).map_err(|fault| fault.to_string())?;
        let Datagram { from, to, ttl, payload } = datagram;
        return Ok((payload, Envelope { from, to, ttl }));
    }
    let header: &[u8; IPV6] = packet.first_chunk().ok_or("no IPv6 header")?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap());
    let payload = packet[IPV6..].get(..length).ok_or("shorter than it says")?;
    Ok((payload, Envelope { from: address(8).into(), to: address(24).into(), ttl: header[7] }))
}
