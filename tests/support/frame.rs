//! Ethernet frames of any content, sent and received on an interface of a host. Shares no code with the product, on
//! purpose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket};

use super::lab::Host;
use super::wire::checksum;

/// The shortest Ethernet frame without its check sequence; shorter ones are padded to it.
const SHORTEST: usize = 60;
const VRRP: u8 = 112;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// One interface; the kernel queues what it receives.
pub(crate) struct Wire {
    socket: OwnedFd,
    pub(crate) mac: [u8; 6],
}

impl Wire {
    pub(crate) fn open(host: &Host, interface: &str) -> Self {
        host.inside(|| {
            let every = SockProtocol::EthAll;
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, flags, every).expect("root may open it");
            let mut all =
                getifaddrs().expect("the kernel lists interfaces").filter(|i| i.interface_name == interface);
            let link = all.find_map(|i| i.address?.as_link_addr().copied()).expect("the interface exists");
            bind(socket.as_raw_fd(), &link).expect("the interface exists");
            Self { socket, mac: link.addr().expect("an Ethernet interface has an address") }
        })
    }

    /// Sends one frame, padded with ones: a receiver must not read past the packet.
    pub(crate) fn send(&self, frame: &[u8]) {
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(SHORTEST), 0xff);
        let sent = send(self.socket.as_raw_fd(), &frame, MsgFlags::empty()).expect("the frame can be sent");
        assert_eq!(sent, frame.len());
    }

    /// The next frame within `time` that is `wanted`.
    pub(crate) fn receive(&self, time: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let until = Instant::now() + time;
        loop {
            let left = u16::try_from(until.saturating_duration_since(Instant::now()).as_millis())
                .expect("a short time");
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, left).expect("a descriptor can be polled") == 0 {
                return None;
            }
            let mut frame = vec![0; 2048];
            let length =
                recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()).expect("a frame is there");
            frame.truncate(length);
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Sends `request` and returns the next frame within `time` that is `wanted`; frames before the request are dropped.
    pub(crate) fn request(
        &self,
        request: &[u8],
        time: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        while self.receive(Duration::ZERO, |_| true).is_some() {}
        self.send(request);
        self.receive(time, wanted)
    }
}

pub(crate) fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// A frame with one IP packet of `protocol`.
pub(crate) fn ip(
    macs: ([u8; 6], [u8; 6]),
    ends: (IpAddr, IpAddr),
    ttl: u8,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short packet");
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = ipv4_header(from, to, (0, 0), ttl, protocol, length);
            ethernet(macs.0, macs.1, 0x0800, &[&header[..], payload].concat())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut packet = vec![0x6c, 0, 0, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, ttl]);
            packet.extend([from.octets(), to.octets()].concat());
            packet.extend(payload);
            ethernet(macs.0, macs.1, 0x86dd, &packet)
        }
        _ => panic!("two families: {ends:?}"),
    }
}

/// An IPv4 header without options; `flags` are the flags and the fragment offset.
pub(crate) fn ipv4_header(
    from: Ipv4Addr,
    to: Ipv4Addr,
    (identification, flags): (u16, u16),
    ttl: u8,
    protocol: u8,
    payload: u16,
) -> Vec<u8> {
    let mut header = vec![0x45, 0xc0];
    header.extend((20 + payload).to_be_bytes());
    header.extend(identification.to_be_bytes());
    header.extend(flags.to_be_bytes());
    header.extend([ttl, protocol, 0, 0]);
    header.extend([from.octets(), to.octets()].concat());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The checksum of an upper-layer `message` with the pseudo-header of its packet.
pub(crate) fn with_pseudo_header(ends: (IpAddr, IpAddr), protocol: u8, message: &[u8]) -> u16 {
    let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
    let header = match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            [&from.octets()[..], &to.octets(), &[0, protocol], &length].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            [&from.octets()[..], &to.octets(), &[0, 0], &length, &[0, 0, 0, protocol]].concat()
        }
        _ => panic!("two families: {ends:?}"),
    };
    checksum(&[&header[..], message].concat())
}

/// The VRRP group of the sender's family, and its MAC address.
pub(crate) fn group(of: IpAddr) -> (IpAddr, [u8; 6]) {
    if of.is_ipv4() {
        (GROUP_V4.into(), [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12])
    } else {
        (GROUP_V6.into(), [0x33, 0x33, 0x00, 0x00, 0x00, 0x12])
    }
}

/// A VRRPv3 advertisement (RFC 9568 §5.1); [`MessageV3::new`] makes a valid one of priority 250, any field of which a
/// test can break.
#[derive(Clone)]
pub(crate) struct MessageV3 {
    /// Version and type.
    pub(crate) kind: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// The count field, if it is not the number of addresses.
    pub(crate) count: Option<u8>,
    /// Four reserved bits and the interval in centiseconds.
    pub(crate) interval: u16,
    pub(crate) vips: Vec<IpAddr>,
}

impl MessageV3 {
    pub(crate) fn new(vrid: u8, interval: u16, vips: &[IpAddr]) -> Self {
        Self { kind: 0x31, vrid, priority: 250, count: None, interval, vips: vips.to_vec() }
    }

    fn unsealed(&self) -> Vec<u8> {
        let count = self.count.unwrap_or_else(|| u8::try_from(self.vips.len()).expect("few addresses"));
        let mut bytes = vec![self.kind, self.vrid, self.priority, count];
        bytes.extend(self.interval.to_be_bytes());
        bytes.extend([0, 0]);
        for vip in &self.vips {
            match vip {
                IpAddr::V4(v4) => bytes.extend(v4.octets()),
                IpAddr::V6(v6) => bytes.extend(v6.octets()),
            }
        }
        bytes
    }

    /// The octets, with the checksum over pseudo-header and message.
    pub(crate) fn bytes(&self, ends: (IpAddr, IpAddr)) -> Vec<u8> {
        seal(self.unsealed(), |bytes| with_pseudo_header(ends, VRRP, bytes))
    }

    /// The octets, with the checksum over the message alone.
    pub(crate) fn bytes_alone(&self) -> Vec<u8> {
        seal(self.unsealed(), checksum)
    }
}

fn seal(mut bytes: Vec<u8>, sum: impl Fn(&[u8]) -> u16) -> Vec<u8> {
    let sum = sum(&bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}
