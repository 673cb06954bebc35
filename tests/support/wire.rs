//! Handmade VRRP packets, valid or not, sent from a host. Shares no code with the product, on purpose.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::lab::Host;
use super::router::Node;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const VRRP: i32 = 112;

/// A VRRPv2 advertisement (RFC 3768 §5.1); the default is valid, for [`Node::VRID`], of priority 250.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// The count field, if it is not the number of addresses.
    pub(crate) count: Option<u8>,
    pub(crate) auth_type: u8,
    pub(crate) interval: u8,
    pub(crate) vips: Vec<Ipv4Addr>,
    pub(crate) auth_data: [u8; 8],
}

impl Default for Message {
    fn default() -> Self {
        Self {
            version: 2,
            kind: 1,
            vrid: Node::VRID,
            priority: 250,
            count: None,
            auth_type: 0,
            interval: 1,
            vips: vec![Node::VIP],
            auth_data: [0; 8],
        }
    }
}

impl Message {
    /// The octets, with a correct checksum.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = self.count.unwrap_or_else(|| u8::try_from(self.vips.len()).expect("few addresses"));
        let mut bytes = vec![self.version << 4 | self.kind, self.vrid, self.priority, count];
        bytes.extend([self.auth_type, self.interval, 0, 0]);
        bytes.extend(self.vips.iter().flat_map(Ipv4Addr::octets));
        bytes.extend(self.auth_data);
        with_checksum(bytes)
    }
}

/// `message` with a correct checksum in octets 6 and 7.
pub(crate) fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[6..8].fill(0);
    let sum = checksum(&message);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).expect("masked")
}

impl Host {
    /// Sends one IPv4 packet to the VRRP group from this host's address. The length of `options` is a multiple of four.
    pub(crate) fn send(&self, ttl: u8, options: &[u8], message: &[u8]) {
        self.send_as(self.address, ttl, options, message);
    }

    /// [`Host::send`] from any source address.
    pub(crate) fn send_as(&self, source: Ipv4Addr, ttl: u8, options: &[u8], message: &[u8]) {
        self.send_packet(GROUP, &packet(source, GROUP, ttl, options, message));
    }

    /// [`Host::send_as`] to one host.
    pub(crate) fn send_to(&self, to: Ipv4Addr, source: Ipv4Addr, ttl: u8, message: &[u8]) {
        self.send_packet(to, &packet(source, to, ttl, &[], message));
    }

    fn send_packet(&self, to: Ipv4Addr, packet: &[u8]) {
        self.inside(|| {
            let socket = self.raw_socket();
            socket.set_header_included_v4(true).expect("a raw socket");
            send(&socket, to, packet);
        });
    }

    /// Sends a message of any length up to 65,515 octets; the kernel writes the header and fragments it.
    pub(crate) fn send_fragmented(&self, message: &[u8]) {
        self.inside(|| {
            let socket = self.raw_socket();
            socket.set_multicast_ttl_v4(255).expect("a raw socket");
            socket.set_tos_v4(0xc0).expect("a raw socket");
            send(&socket, GROUP, message);
        });
    }

    /// Sends `messages` in turn, each from the next of `sources`, `per_milli` each millisecond, for `time`; returns their
    /// number.
    pub(crate) fn flood(
        &self,
        sources: &[Ipv4Addr],
        messages: &[Vec<u8>],
        per_milli: usize,
        time: Duration,
    ) -> usize {
        self.inside(|| {
            let socket = self.raw_socket();
            socket.set_header_included_v4(true).expect("a raw socket");
            let to = SocketAddrV4::new(GROUP, 0).into();
            let total = per_milli * usize::try_from(time.as_millis()).expect("a short time");
            let (start, mut sent) = (Instant::now(), 0);
            let mut turn = messages.iter().cycle().zip(sources.iter().cycle());
            while sent < total && start.elapsed() < time * 2 {
                let elapsed = usize::try_from(start.elapsed().as_millis()).expect("a short time");
                while sent < total.min((elapsed + 1) * per_milli) {
                    let (message, source) = turn.next().expect("a cycle");
                    socket
                        .send_to(&packet(*source, GROUP, 255, &[], message), &to)
                        .expect("the packet can be sent");
                    sent += 1;
                }
                std::thread::sleep(Duration::from_micros(500));
            }
            sent
        })
    }

    fn raw_socket(&self) -> Socket {
        let socket =
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP))).expect("root may open it");
        socket.bind_device(Some(self.interface.as_bytes())).expect("the interface exists");
        socket
    }
}

/// A whole IPv4 packet; the kernel fills in the total length, the identification and the checksum.
fn packet(source: Ipv4Addr, to: Ipv4Addr, ttl: u8, options: &[u8], message: &[u8]) -> Vec<u8> {
    let header_words = u8::try_from(5 + options.len() / 4).expect("few options");
    let mut packet = vec![0x40 | header_words, 0xc0, 0, 0, 0, 0, 0, 0, ttl, 112, 0, 0];
    packet.extend(source.octets());
    packet.extend(to.octets());
    packet.extend(options);
    packet.extend(message);
    packet
}

fn send(socket: &Socket, to: Ipv4Addr, bytes: &[u8]) {
    let sent = socket.send_to(bytes, &SocketAddrV4::new(to, 0).into()).expect("the packet can be sent");
    assert_eq!(sent, bytes.len(), "the whole packet was sent");
}
