//! Receives the ARP packets and neighbor advertisements in which other hosts claim given addresses. The kernel filters, so
//! nothing else wakes the process. Does not know who may claim them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, SockRef, Type};

use super::Error;
use super::neighbor::link;
use super::packet_socket::PacketSocket;
use crate::vrrp::Family;

/// Claims read at once, at most.
const BATCH: usize = 16;
/// Instructions of a filter, at most: older kernels limit its memory. Further addresses are not watched.
const LONGEST: usize = 900;
/// The octets of a frame that are kept: the header of a neighbor advertisement ends after 78.
const KEPT: u32 = 96;

// linux/if_ether.h
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;

/// Where a filter loads the index of the interface from: `SKF_AD_OFF + SKF_AD_IFINDEX` of linux/filter.h.
const INTERFACE_INDEX: u32 = 0xffff_f008;

// Offsets in the frame.
const SOURCE: u32 = 6;
const ARP_OPERATION: u32 = 21;
const ARP_SENDER: u32 = 22;
const ARP_ADDRESS: u32 = 28;
const NEXT_HEADER: u32 = 20;
const ICMP_TYPE: u32 = 54;
const ND_FLAGS: u32 = 58;
const ND_TARGET: u32 = 62;

const ICMPV6: u32 = 58;
const ADVERTISEMENT: u32 = 136;
const SOLICITED: u8 = 0x40;
const REPLY: u32 = 2;
/// The first octet of a broadcast's or multicast's destination has it.
const GROUP_BIT: u8 = 1;

/// Another host says that an address is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// It answers a question, and was sent to the asking host alone.
    pub is_answer: bool,
}

/// An address to watch, and the hardware address that may claim it besides ours.
pub type Watched = (IpAddr, Option<[u8; 6]>);

/// A packet socket on one interface for the claims of one address family. Never blocks.
#[derive(Debug)]
pub struct Claims {
    socket: PacketSocket,
    interface: Interface,
    family: Family,
}

/// The interface whose frames the filter passes.
#[derive(Clone, Copy, Debug)]
struct Interface {
    index: u32,
    mac: [u8; 6],
}

impl Claims {
    /// Opens the socket for addresses of `family`. Needs `NET_RAW` and an Ethernet interface.
    ///
    /// # Errors
    /// The capability is missing, or the interface does not exist or is not Ethernet.
    pub fn open(interface: &str, family: Family, watched: &[Watched]) -> Result<Self, Error> {
        Self::try_open(interface, family, watched).map_err(Error::doing("watch ARP on", interface))
    }

    fn try_open(interface: &str, family: Family, watched: &[Watched]) -> io::Result<Self> {
        let (link, mac) = link(interface)?;
        let index = u32::try_from(link.ifindex()).map_err(io::Error::other)?;
        let protocol = if family == Family::V4 { ETH_P_ARP } else { ETH_P_IPV6 };
        let kind = Type::RAW.nonblocking().cloexec();
        let socket =
            socket2::Socket::new(Domain::PACKET, kind, Some(Protocol::from(i32::from(protocol.to_be()))))?;
        let claims =
            Self { socket: OwnedFd::from(socket).into(), interface: Interface { index, mac }, family };
        // The filter looks at the interface. To bind a socket that already receives takes 10 ms: the kernel waits for all its
        // processors.
        claims.try_watch(watched)?;
        Ok(claims)
    }

    /// Watches these addresses from now on.
    ///
    /// # Errors
    /// The kernel has no memory for the filter.
    pub fn watch(&self, watched: &[Watched]) -> Result<(), Error> {
        self.try_watch(watched).map_err(Error::doing("filter", "ARP"))
    }

    fn try_watch(&self, watched: &[Watched]) -> io::Result<()> {
        let program = filter(self.family, self.interface, watched).into_iter();
        let program: Vec<_> =
            program.map(|op| SockFilter::new(op.code, op.jumps.0, op.jumps.1, op.value)).collect();
        SockRef::from(&self.socket).attach_filter(&program)
    }

    /// The next claims; there may be more. The caller checks their addresses: before the filter was in place,
    /// the socket received everything.
    pub fn read(&self) -> Vec<Claim> {
        let mut claims = vec![];
        for _ in 0..BATCH {
            let mut frame = [0; KEPT as usize];
            let Ok((length, from)) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame) else { break };
            let is_here = |from: LinkAddr| u32::try_from(from.ifindex()) == Ok(self.interface.index);
            if from.is_some_and(is_here) {
                claims.extend(claim(&frame[..length]).filter(|claim| claim.mac != self.interface.mac));
            }
        }
        claims
    }
}

impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn claim(frame: &[u8]) -> Option<Claim> {
    let octets = |at: u32| frame.get(at as usize..);
    let mac = |at| octets(at)?.first_chunk::<6>().copied();
    let is = |at, value: u32| frame.get(at as usize).is_some_and(|octet| u32::from(*octet) == value);
    let to_us = frame.first()? & GROUP_BIT == 0;
    if frame.get(12..14)? == ETH_P_ARP.to_be_bytes() {
        let address = Ipv4Addr::from(*octets(ARP_ADDRESS)?.first_chunk::<4>()?).into();
        return Some(Claim { address, mac: mac(ARP_SENDER)?, is_answer: to_us && is(ARP_OPERATION, REPLY) });
    }
    if frame.get(12..14)? != ETH_P_IPV6.to_be_bytes()
        || !is(NEXT_HEADER, ICMPV6)
        || !is(ICMP_TYPE, ADVERTISEMENT)
    {
        return None;
    }
    let address = Ipv6Addr::from(*octets(ND_TARGET)?.first_chunk::<16>()?).into();
    let solicited = octets(ND_FLAGS)?.first()? & SOLICITED != 0;
    Some(Claim { address, mac: mac(SOURCE)?, is_answer: to_us && solicited })
}

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_OCTET: u16 = 0x30;
const JUMP_IF: u16 = 0x15;
const RETURN: u16 = 0x06;

/// An instruction of classic BPF.
#[derive(Clone, Copy, Debug)]
struct Op {
    code: u16,
    /// How many instructions to skip if the loaded value is `value`, and if not.
    jumps: (u8, u8),
    value: u32,
}

fn op(code: u16, value: u32) -> Op {
    Op { code, jumps: (0, 0), value }
}

/// Skips `otherwise` instructions if the loaded value is another one.
fn unless(value: u32, otherwise: u8) -> Op {
    Op { code: JUMP_IF, jumps: (0, otherwise), value }
}

/// A BPF program that passes the claims of these addresses on the interface, by hardware addresses that are neither ours
/// nor the one that may claim them.
fn filter(family: Family, interface: Interface, watched: &[Watched]) -> Vec<Op> {
    let sender = if family == Family::V4 { ARP_SENDER } else { SOURCE };
    let mut program = drop_unless(op(LOAD_WORD, INTERFACE_INDEX), interface.index).to_vec();
    if family == Family::V6 {
        program.extend(drop_unless(op(LOAD_OCTET, NEXT_HEADER), ICMPV6));
        program.extend(drop_unless(op(LOAD_OCTET, ICMP_TYPE), ADVERTISEMENT));
    }
    program.extend(drop_sender(sender, interface.mac));
    for (address, allowed) in watched.iter().filter(|(address, _)| Family::of(*address) == family) {
        let mut block: Vec<_> = allowed.map(|mac| drop_sender(sender, mac)).into_iter().flatten().collect();
        block.push(op(RETURN, KEPT));
        let (words, at): (Vec<u32>, u32) = match address {
            IpAddr::V4(v4) => (vec![v4.to_bits()], ARP_ADDRESS),
            IpAddr::V6(v6) => {
                let words = (0..4_u32).rev().map(|n| u32::try_from(v6.to_bits() >> (32 * n) & 0xffff_ffff));
                (words.map(Result::unwrap_or_default).collect(), ND_TARGET)
            }
        };
        // From the last word back: each comparison skips the rest of the block.
        for (n, word) in (0_u32..).zip(words).collect::<Vec<_>>().into_iter().rev() {
            let rest = u8::try_from(block.len()).unwrap_or(u8::MAX);
            block.splice(..0, [op(LOAD_WORD, at + 4 * n), unless(word, rest)]);
        }
        if program.len() + block.len() >= LONGEST {
            break;
        }
        program.extend(block);
    }
    program.push(op(RETURN, 0));
    program
}

/// Drops a frame for which `load` loads another value.
fn drop_unless(load: Op, value: u32) -> [Op; 3] {
    [load, Op { code: JUMP_IF, jumps: (1, 0), value }, op(RETURN, 0)]
}

/// Drops a frame with this hardware address at `at`.
fn drop_sender(at: u32, mac: [u8; 6]) -> [Op; 5] {
    let number = mac.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
    let [high, low] =
        [number >> 32, number & 0xffff_ffff].map(|part| u32::try_from(part).unwrap_or_default());
    [op(LOAD_WORD, at + 2), unless(low, 3), op(LOAD_HALF, at), unless(high, 1), op(RETURN, 0)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::neighbor::{Form, gratuitous_arp, neighbor_advertisement};
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const MASTER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 1, 1];
    const INTERFACE: Interface = Interface { index: 3, mac: OWN };

    #[test]
    fn both_forms_of_arp_and_an_advertisement_are_claims() {
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 2), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        for form in [Form::Request, Form::Reply] {
            let expected = Claim { address: v4.into(), mac: OTHER, is_answer: false };
            assert_eq!(claim(&gratuitous_arp(OTHER, v4, form)), Some(expected));
        }
        let expected = Claim { address: v6.into(), mac: OTHER, is_answer: false };
        assert_eq!(claim(&neighbor_advertisement(OTHER, v6, false)), Some(expected));
    }

    #[test]
    fn an_answer_is_a_reply_to_one_host() {
        let is_answer = |frame: &[u8]| claim(frame).unwrap().is_answer;
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 2), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        let [mut request, mut reply] =
            [Form::Request, Form::Reply].map(|form| gratuitous_arp(OTHER, v4, form));
        let mut advertisement = neighbor_advertisement(OTHER, v6, false);
        advertisement[58] |= SOLICITED;
        assert!(!is_answer(&reply) && !is_answer(&advertisement), "to all");
        request[..6].copy_from_slice(&OWN);
        reply[..6].copy_from_slice(&OWN);
        advertisement[..6].copy_from_slice(&OWN);
        assert!(!is_answer(&request) && is_answer(&reply) && is_answer(&advertisement));
        advertisement[58] &= !SOLICITED;
        assert!(!is_answer(&advertisement));
    }

    /// Runs a program as the kernel does for a frame from the interface; how many octets it keeps.
    fn run(program: &[Op], frame: &[u8]) -> u32 {
        run_on(INTERFACE.index, program, frame)
    }

    fn run_on(interface: u32, program: &[Op], frame: &[u8]) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let Op { code, jumps, value } = program[at];
            let load = |length: usize| {
                let octets = &frame[value as usize..value as usize + length];
                octets.iter().fold(0, |value, octet| value << 8 | u32::from(*octet))
            };
            at += 1;
            match code {
                LOAD_WORD if value == INTERFACE_INDEX => a = interface,
                LOAD_WORD => a = load(4),
                LOAD_HALF => a = load(2),
                LOAD_OCTET => a = load(1),
                JUMP_IF => at += usize::from(if a == value { jumps.0 } else { jumps.1 }),
                RETURN => return value,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_passes_the_claims_of_others_for_watched_addresses_only() {
        let address = |n| Ipv4Addr::new(10, 0, 0, n);
        let watched = [(address(2).into(), None), (address(3).into(), Some(MASTER))];
        let program = filter(Family::V4, INTERFACE, &watched);
        let passes = |mac, n| run(&program, &gratuitous_arp(mac, address(n), Form::Reply)) > 0;
        assert_eq!([OWN, MASTER, OTHER].map(|mac| passes(mac, 2)), [false, true, true]);
        assert_eq!([OWN, MASTER, OTHER].map(|mac| passes(mac, 3)), [false, false, true]);
        assert_eq!([OWN, MASTER, OTHER].map(|mac| passes(mac, 4)), [false; 3]);
    }

    #[test]
    fn the_filter_compares_every_word_of_an_ipv6_address() {
        let address = |a, d| Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, d);
        let watched = [(address(0xfd00, 2).into(), Some(MASTER)), (address(0xfd00, 3).into(), None)];
        let program = filter(Family::V6, INTERFACE, &watched);
        let passes = |mac, target| run(&program, &neighbor_advertisement(mac, target, false)) > 0;
        assert!(passes(OTHER, address(0xfd00, 2)) && passes(MASTER, address(0xfd00, 3)));
        assert!(!passes(MASTER, address(0xfd00, 2)) && !passes(OWN, address(0xfd00, 3)));
        assert!(!passes(OTHER, address(0xfd01, 2)) && !passes(OTHER, address(0xfd00, 4)));
        let mut solicitation = neighbor_advertisement(OTHER, address(0xfd00, 2), false);
        solicitation[54] = 135;
        assert_eq!(run(&program, &solicitation), 0);
    }

    #[test]
    fn the_filter_passes_nothing_from_another_interface() {
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 2), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        for (family, watched, frame) in [
            (Family::V4, IpAddr::V4(v4), gratuitous_arp(OTHER, v4, Form::Reply).to_vec()),
            (Family::V6, v6.into(), neighbor_advertisement(OTHER, v6, false).to_vec()),
        ] {
            let program = filter(family, INTERFACE, &[(watched, None)]);
            assert!(run(&program, &frame) > 0 && run_on(4, &program, &frame) == 0);
        }
    }

    #[test]
    fn a_filter_has_a_limited_length() {
        let many: Vec<_> = (0..2_000_u32).map(|n| (Ipv4Addr::from(n).into(), Some(MASTER))).collect();
        assert!(filter(Family::V4, INTERFACE, &many).len() <= LONGEST);
    }

    proptest! {
        #[test]
        fn no_octets_panic(frame in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = claim(&frame);
        }
    }
}
