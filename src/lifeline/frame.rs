//! The frames of a lifeline as octets: one of type, one of length, then the payload. Knows no connection.

use std::net::IpAddr;

/// The first octets of a greeting.
const MAGIC: [u8; 4] = *b"VILL";
/// A host with another version is left alone: frames 1 to 3 mean something else there.
const VERSION: u8 = 1;

const GREETING: u8 = 1;
const GUARDED: u8 = 2;
const GOODBYE: u8 = 3;
const SUCCESSOR: u8 = 4;
const ROUTERS: u8 = 5;
const STANDBY: u8 = 6;

const GUARDED_V4: u8 = 1;
const GUARDED_V6: u8 = 2;

/// The octets of type and length.
const HEADER: usize = 2;

/// A random number of each process, so that two addresses of one process are recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub [u8; 8]);

/// The families whose addresses the kernel silences at the death of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    pub v4: bool,
    pub v6: bool,
}

impl Guarded {
    const fn octet(self) -> u8 {
        (if self.v4 { GUARDED_V4 } else { 0 }) | (if self.v6 { GUARDED_V6 } else { 0 })
    }

    const fn of(octet: u8) -> Self {
        Self { v4: octet & GUARDED_V4 != 0, v6: octet & GUARDED_V6 != 0 }
    }
}

/// The virtual routers of a process with this source address, of the family of the address. Bit n is VRID n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routers {
    pub from: IpAddr,
    vrids: [u8; 32],
}

impl Routers {
    /// None at first.
    pub fn at(from: IpAddr) -> Self {
        Self { from, vrids: [0; 32] }
    }

    pub fn add(&mut self, vrid: u8) {
        self.vrids[usize::from(vrid / 8)] |= 1 << (vrid % 8);
    }

    pub fn has(&self, vrid: u8) -> bool {
        self.vrids[usize::from(vrid / 8)] & 1 << (vrid % 8) != 0
    }

    /// The VRIDs, ascending.
    pub(super) fn vrids(&self) -> impl Iterator<Item = u8> {
        (1..=u8::MAX).filter(|vrid| self.has(*vrid))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.vrids == [0; 32]
    }

    /// Whether both have one in common, wherever each of them is.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        self.from.is_ipv4() == other.from.is_ipv4()
            && self.vrids.iter().zip(other.vrids).any(|(a, b)| a & b != 0)
    }

    fn octets(&self) -> Vec<u8> {
        [&address(self.from)[..], &self.vrids].concat()
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (from, rest) = parse_address(payload)?;
        Some(Self { from, vrids: *rest.first_chunk()? })
    }
}

/// The priorities of backups of the master at this address, by VRID; 0: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priorities {
    pub from: IpAddr,
    pub of: Vec<(u8, u8)>,
}

impl Priorities {
    /// The most in one frame.
    pub(super) const MOST: usize = 119;

    fn octets(&self) -> Vec<u8> {
        let pairs = self.of.iter().take(Self::MOST).flat_map(|(vrid, priority)| [*vrid, *priority]);
        address(self.from).into_iter().chain(pairs).collect()
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (from, rest) = parse_address(payload)?;
        Some(Self { from, of: rest.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect() })
    }
}

/// Its length, and then the address.
fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => [&[4][..], &v4.octets()].concat(),
        IpAddr::V6(v6) => [&[16][..], &v6.octets()].concat(),
    }
}

fn parse_address(payload: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (length, rest) = payload.split_first()?;
    match length {
        4 => rest.split_first_chunk::<4>().map(|(address, rest)| ((*address).into(), rest)),
        16 => rest.split_first_chunk::<16>().map(|(address, rest)| ((*address).into(), rest)),
        _ => None,
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// From now on, the end of the connection is the death of this process.
    Greeting { identity: Identity, guarded: Guarded },
    /// Other families are guarded than before.
    Guarded(Guarded),
    /// From now on, the end of the connection means nothing.
    Goodbye,
    /// In place of those with the same source address. From either end.
    Routers(Routers),
    /// From a backup: with which priorities it follows this master. Those that are not listed stay as they were.
    Standby(Priorities),
    /// From a master: the backup that receives this is the successor of these virtual routers, since its priorities are the
    /// best; with 0 it no longer is. Those that are not listed stay as they were, and are named again.
    Successor(Priorities),
}

impl Frame {
    /// The frame as it is sent.
    pub fn octets(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Greeting { identity, guarded } => {
                (GREETING, [&MAGIC[..], &[VERSION], &identity.0, &[guarded.octet()]].concat())
            }
            Self::Guarded(guarded) => (GUARDED, vec![guarded.octet()]),
            Self::Goodbye => (GOODBYE, vec![]),
            Self::Routers(routers) => (ROUTERS, routers.octets()),
            Self::Standby(priorities) => (STANDBY, priorities.octets()),
            Self::Successor(priorities) => (SUCCESSOR, priorities.octets()),
        };
        // No payload is longer than 255 octets.
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        [&[kind, length][..], &payload].concat()
    }

    /// `None`: it is of an unknown type, and skipped. Octets behind the known ones are left to later versions.
    fn parse(kind: u8, payload: &[u8]) -> Result<Option<Self>, Malformed> {
        Ok(Some(match (kind, payload) {
            (GREETING, [m0, m1, m2, m3, version, rest @ ..]) if [*m0, *m1, *m2, *m3] == MAGIC => {
                if *version != VERSION {
                    return Err(Malformed::Version(*version));
                }
                let Some((identity, [flags, ..])) = rest.split_first_chunk() else {
                    return Err(Malformed::NotALifeline);
                };
                Self::Greeting { identity: Identity(*identity), guarded: Guarded::of(*flags) }
            }
            (GUARDED, [flags, ..]) => Self::Guarded(Guarded::of(*flags)),
            (GOODBYE, _) => Self::Goodbye,
            (ROUTERS, payload) => Self::Routers(Routers::parse(payload).ok_or(Malformed::NotALifeline)?),
            (STANDBY, payload) => Self::Standby(Priorities::parse(payload).ok_or(Malformed::NotALifeline)?),
            (SUCCESSOR, payload) => {
                Self::Successor(Priorities::parse(payload).ok_or(Malformed::NotALifeline)?)
            }
            (GREETING | GUARDED, _) => return Err(Malformed::NotALifeline),
            _ => return Ok(None),
        }))
    }
}

/// Why a connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Something else is served at the port.
    NotALifeline,
    /// A lifeline of this version.
    Version(u8),
}

/// The octets of a frame that is not complete: at most 256.
#[derive(Debug, Default)]
pub(super) struct Decoder(Vec<u8>);

impl Decoder {
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// The next frame, which may be an unknown one; `None` until more octets come.
    pub(super) fn next(&mut self) -> Option<Result<Option<Frame>, Malformed>> {
        let [kind, length, rest @ ..] = self.0.as_slice() else { return None };
        let length = usize::from(*length);
        let frame = Frame::parse(*kind, rest.get(..length)?);
        self.0.drain(..HEADER + length);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDENTITY: Identity = Identity([1, 2, 3, 4, 5, 6, 7, 8]);

    fn frames(octets: &[u8], at_once: usize) -> Vec<Result<Option<Frame>, Malformed>> {
        let mut decoder = Decoder::default();
        let mut frames = vec![];
        for part in octets.chunks(at_once) {
            decoder.push(part);
            frames.extend(std::iter::from_fn(|| decoder.next()));
        }
        frames
    }

    #[test]
    fn the_octets_of_version_1_never_change() {
        let greeting = Frame::Greeting { identity: IDENTITY, guarded: Guarded { v4: true, v6: true } };
        assert_eq!(greeting.octets(), b"\x01\x0eVILL\x01\x01\x02\x03\x04\x05\x06\x07\x08\x03");
        assert_eq!(Frame::Guarded(Guarded { v4: true, v6: false }).octets(), b"\x02\x01\x01");
        assert_eq!(Frame::Goodbye.octets(), b"\x03\x00");
        let mut routers = Routers::at([10, 0, 0, 11].into());
        for vrid in [1, 8, 255] {
            routers.add(vrid);
        }
        let mut expected = b"\x05\x25\x04\x0a\x00\x00\x0b\x02\x01".to_vec();
        expected.extend([&[0; 29][..], &[0x80]].concat());
        assert_eq!(Frame::Routers(routers).octets(), expected);
        assert!(routers.has(8) && !routers.has(9));
        let priorities = Priorities { from: [10, 0, 0, 11].into(), of: vec![(51, 100), (52, 0)] };
        let octets = b"\x09\x04\x0a\x00\x00\x0b\x33\x64\x34\x00";
        assert_eq!(Frame::Successor(priorities.clone()).octets(), [b"\x04", &octets[..]].concat());
        assert_eq!(Frame::Standby(priorities).octets(), [b"\x06", &octets[..]].concat());
    }

    #[test]
    fn a_frame_has_room_for_the_priorities_of_one_ipv6_address() {
        let of = (1..=255).map(|vrid| (vrid, vrid)).collect();
        let priorities = Priorities { from: [0xfe; 16].into(), of };
        let octets = Frame::Standby(priorities.clone()).octets();
        assert_eq!((octets.len(), octets[1]), (257, 255));
        let of = priorities.of[..Priorities::MOST].to_vec();
        assert_eq!(frames(&octets, 99), [Ok(Some(Frame::Standby(Priorities { of, ..priorities })))]);
    }

    #[test]
    fn unknown_frames_and_later_octets_are_skipped() {
        let longer = b"\x01\x10VILL\x01\x01\x02\x03\x04\x05\x06\x07\x08\x02??\x03\x01!";
        let octets = [&longer[..], &[7, 3, 9, 9, 9], &[0xff, 0]].concat();
        let greeting = Frame::Greeting { identity: IDENTITY, guarded: Guarded { v4: false, v6: true } };
        let expected = [Ok(Some(greeting)), Ok(Some(Frame::Goodbye)), Ok(None), Ok(None)];
        assert_eq!(frames(&octets, usize::MAX), expected);
    }

    #[test]
    fn another_version_and_another_service_are_told_apart() {
        let mut octets = Frame::Greeting { identity: IDENTITY, guarded: Guarded::default() }.octets();
        octets[6] = 2;
        assert_eq!(frames(&octets, 99), [Err(Malformed::Version(2))]);
        octets[2] = b'X';
        assert_eq!(frames(&octets, 99), [Err(Malformed::NotALifeline)]);
        for short in [
            &b"\x01\x05VILL\x01"[..],
            b"\x01\x00",
            b"\x02\x00",
            b"\x05\x00",
            b"\x05\x02\x04\x0a",
            b"\x04\x00",
            b"\x06\x02\x05\x0a",
        ] {
            assert_eq!(frames(short, 99), [Err(Malformed::NotALifeline)]);
        }
    }

    prop_compose! {
        fn guarded()(v4: bool, v6: bool) -> Guarded {
            Guarded { v4, v6 }
        }
    }

    prop_compose! {
        fn priorities()(
            from: IpAddr,
            of in proptest::collection::vec(any::<(u8, u8)>(), 0..=Priorities::MOST),
        ) -> Priorities {
            Priorities { from, of }
        }
    }

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            (any::<[u8; 8]>(), guarded())
                .prop_map(|(identity, guarded)| Frame::Greeting { identity: Identity(identity), guarded }),
            guarded().prop_map(Frame::Guarded),
            Just(Frame::Goodbye),
            (any::<IpAddr>(), any::<[u8; 32]>())
                .prop_map(|(from, vrids)| Frame::Routers(Routers { from, vrids })),
            priorities().prop_map(Frame::Standby),
            priorities().prop_map(Frame::Successor),
        ]
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written_however_they_arrive(
            sent in proptest::collection::vec(frame(), 0..8),
            at_once in 1usize..40,
        ) {
            let octets: Vec<_> = sent.iter().flat_map(Frame::octets).collect();
            let read: Vec<_> = frames(&octets, at_once).into_iter().map(|frame| frame.unwrap().unwrap()).collect();
            prop_assert_eq!(read, sent);
        }

        #[test]
        fn a_decoder_keeps_less_than_a_frame(octets: Vec<u8>, at_once in 1usize..300) {
            let mut decoder = Decoder::default();
            for part in octets.chunks(at_once) {
                decoder.push(part);
                while decoder.next().is_some() {}
                prop_assert!(decoder.0.len() < HEADER + 255);
            }
        }
    }
}
