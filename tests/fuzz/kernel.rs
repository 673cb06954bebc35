//! What the kernel tells about processes and packets: lines of /proc, control messages, IPv4 headers.

use std::net::Ipv6Addr;

use nix::libc::{in6_addr, in6_pktinfo};
use nix::sys::socket::ControlMessageOwned;
use vrrp_init::sys::process::text::{
    Arguments, PAGE, Stat, effective_user, executable_name, hides_processes, pid_from_name, runs_program,
    whole_arguments,
};
use vrrp_init::sys::socket::ipv6::destination;
use vrrp_init::sys::socket::{Datagram, ipv4};

use super::Choices;

/// Any line: what is read of it is where proc(5) has it.
pub(super) fn stat(line: &[u8]) {
    let Some(stat) = Stat::parse(line) else { return };
    let open = line.iter().position(|octet| *octet == b'(').expect("a comm");
    let rest =
        line[open + 1..].strip_prefix(stat.comm).and_then(|rest| rest.strip_prefix(b")")).expect("its end");
    assert!(!rest.contains(&b')'), "the comm ends at the last parenthesis");
    // The state may be any octet, also one that is no character.
    let fields: Vec<_> = rest.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
    assert_eq!(fields[0], [stat.state]);
    let number = |at: usize| std::str::from_utf8(fields[at]).ok().and_then(|text| text.parse().ok());
    assert_eq!((number(19), number(20)), (Some(stat.start_time), Some(stat.memory)));
}

/// Any comm is read back from the line that the kernel would write.
pub(super) fn comm(choices: &mut Choices<'_>) {
    let (state, start_time, memory) = (b'A' + choices.octet() % 58, choices.octet(), choices.octet());
    if state == b')' {
        return;
    }
    let comm = &choices.0[..choices.0.len().min(64)];
    let numbers = "1 ".repeat(18);
    let end = format!(") {} {numbers}{start_time} {memory} 2903 0 0\n", char::from(state));
    let line = [b"4711 (", comm, end.as_bytes()].concat();
    let (start_time, memory) = (start_time.into(), memory.into());
    assert_eq!(Stat::parse(&line), Some(Stat { comm, state, start_time, memory }));
}

/// Any arguments: a name is the last component of a whole argument, and no part of one that was cut.
pub(super) fn arguments(choices: &mut Choices<'_>) {
    let mut name = choices.part();
    let comm = choices.part();
    let mut cmdline = choices.0.to_vec();
    if choices.0.first().is_some_and(|octet| octet & 1 == 1) {
        cmdline = cmdline.repeat(PAGE / cmdline.len() + 1);
        cmdline.truncate(PAGE);
    }
    let whole = whole_arguments(&cmdline);
    assert!(cmdline.starts_with(whole));
    assert!(cmdline.len() < PAGE || whole.is_empty() || cmdline.get(whole.len()) == Some(&0));
    let base = |argument: Option<&[u8]>| {
        let argument = argument.unwrap_or_default();
        argument
            .iter()
            .rposition(|octet| *octet == b'/')
            .map_or(argument.to_vec(), |at| argument[at + 1..].to_vec())
    };
    let mut each = whole.split(|octet| *octet == 0);
    let (zeroth, first) = (base(each.next()), base(each.next()));
    let parsed = Arguments::parse(whole);
    assert_eq!((parsed.zeroth, parsed.first), (&*zeroth, &*first));
    // One that is likely to match.
    if name.is_empty() {
        name = &first;
    }
    let is_script = name.len() > 15 && name[..15] == *comm && first == name;
    assert_eq!(parsed.have_name(name, comm), zeroth == name || is_script);
    assert!(!executable_name(&cmdline).contains(&b'/'));
    assert!(cmdline.is_empty() || runs_program(&cmdline, &cmdline, name) || cmdline.ends_with(b" (deleted)"));
    let uid = effective_user(&cmdline);
    assert!(uid.is_none() || cmdline.windows(4).any(|part| part == b"Uid:"));
    assert!(pid_from_name(name).is_none_or(|pid| pid >= 0));
}

/// Any mount table: only the last proc at the mount point counts.
pub(super) fn mounts(table: &[u8]) {
    let with = |line: &str| hides_processes(&[table, b"\n", line.as_bytes(), b"\n"].concat(), b"/proc");
    assert!(with("26 31 0:24 / /proc rw shared:1 - proc proc rw,hidepid=2"));
    assert!(!with("26 31 0:24 / /proc rw shared:1 - proc proc rw"));
    let hides = hides_processes(table, b"/proc");
    assert_eq!(with("26 31 0:24 / /mnt rw - proc proc rw,hidepid=2"), hides);
    assert_eq!(with("26 31 0:24 / /proc rw - tmpfs tmpfs rw,hidepid=2"), hides);
}

/// Any control messages: the last of each kind counts, and what is missing or impossible is nothing that VRRP accepts.
pub(super) fn control(choices: &mut Choices<'_>) {
    let mut messages = vec![];
    let mut expected = (Ipv6Addr::UNSPECIFIED, 0);
    while !choices.0.is_empty() {
        match choices.octet() % 4 {
            0 => {
                let octets: [u8; 16] = std::array::from_fn(|_| choices.octet());
                expected.0 = octets.into();
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: octets }, ipi6_ifindex: 3 };
                messages.push(ControlMessageOwned::Ipv6PacketInfo(info));
            }
            1 => {
                let limit = i32::from_ne_bytes(std::array::from_fn(|_| choices.octet()));
                expected.1 = u8::try_from(limit).unwrap_or(0);
                messages.push(ControlMessageOwned::Ipv6HopLimit(limit));
            }
            2 => {
                let limit = choices.octet();
                expected.1 = limit;
                messages.push(ControlMessageOwned::Ipv6HopLimit(limit.into()));
            }
            _ => messages.push(ControlMessageOwned::Ipv4Ttl(choices.octet().into())),
        }
    }
    assert_eq!(destination(messages.into_iter()), expected);
}

/// Any packet: what is read is where RFC 791 has it. `likely`: with the version and the lengths of a packet without options.
pub(super) fn header(octets: &[u8], likely: bool) {
    let mut octets = octets.to_vec();
    if let (true, Some([first, _, length @ ..])) = (likely, octets.get_mut(..4)) {
        *first = 0x45;
        length.fill(0);
        let total = u16::try_from(octets.len()).unwrap_or(0).to_be_bytes();
        octets[2..4].copy_from_slice(&total);
    }
    assert!(ipv4::parse(&octets, true).is_err(), "the end is missing");
    let Ok(Datagram { from, to, ttl, payload }) = ipv4::parse(&octets, false) else { return };
    assert_eq!((octets[0], payload), (0x45, &octets[20..]));
    assert_eq!(ttl, octets[8]);
    let address = |at: usize| std::net::IpAddr::from(<[u8; 4]>::try_from(&octets[at..at + 4]).expect("four"));
    assert_eq!((from, to), (address(12), address(16)));
    assert!(matches!(octets[6..8], [0 | 0x40 | 0x80 | 0xc0, 0]), "no fragment");
}
