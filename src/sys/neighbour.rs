//! Telling the neighbours where an address lives now: gratuitous ARP; knows not why it moved.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_base::MacAddr;

use super::Error;

/// An Ethernet header and an ARP packet; the driver pads.
const FRAME: usize = 42;
const ETHERNET_HEADER: usize = 14;
const ARPHRD_ETHER: u16 = 1;

/// The two ways to announce (RFC 5227 §3: either updates a cache; some systems heed only one of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// "Who has `address`? Tell `address`."
    Request,
    /// "`address` is at `mac`."
    Reply,
}

/// The Ethernet broadcast that says `address` is at `mac`.
#[expect(clippy::missing_panics_doc, reason = "the frame's length is a constant")]
pub fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr, form: Form) -> [u8; FRAME] {
    let (mac, everyone) = (MacAddr::from(mac), MacAddr::broadcast());
    let mut frame = [0; FRAME];
    let (head, body) = frame.split_at_mut(ETHERNET_HEADER);

    let mut ethernet = MutableEthernetPacket::new(head).expect("14 octets hold an Ethernet header");
    ethernet.set_destination(everyone);
    ethernet.set_source(mac);
    ethernet.set_ethertype(EtherTypes::Arp);

    let mut arp = MutableArpPacket::new(body).expect("28 octets hold an ARP packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(match form {
        Form::Request => ArpOperations::Request,
        Form::Reply => ArpOperations::Reply,
    });
    arp.set_sender_hw_addr(mac);
    arp.set_sender_proto_addr(address);
    arp.set_target_hw_addr(everyone);
    arp.set_target_proto_addr(address);
    frame
}

/// A packet socket that announces on one interface; never blocks and receives nothing.
///
/// It holds the interface's index and hardware address of when it was opened: open anew when either changes.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    mac: [u8; 6],
    interface: String,
}

impl Announcer {
    /// Needs `NET_RAW` and an Ethernet interface.
    pub fn open(interface: &str) -> Result<Self, Error> {
        let (socket, mac) =
            packet_socket(interface).map_err(Error::doing("open a packet socket on", interface))?;
        Ok(Self { socket, mac, interface: interface.to_owned() })
    }

    /// The hardware address that the announcements carry.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Broadcasts that `address` is here, in both forms.
    pub fn announce_v4(&self, address: Ipv4Addr) -> Result<(), Error> {
        for form in [Form::Request, Form::Reply] {
            send(self.socket.as_raw_fd(), &gratuitous_arp(self.mac, address, form), MsgFlags::empty())
                .map_err(Error::doing("announce", format!("{address} on {}", self.interface)))?;
        }
        Ok(())
    }
}

fn packet_socket(interface: &str) -> io::Result<(OwnedFd, [u8; 6])> {
    let (link, mac) = link(interface)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // No protocol given, here and in `link`: the kernel queues nothing for it.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    bind(socket.as_raw_fd(), &link)?;
    Ok((socket, mac))
}

fn link(interface: &str) -> io::Result<(LinkAddr, [u8; 6])> {
    let link = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or(Errno::ENODEV)?;
    match link.addr() {
        Some(mac) if link.hatype() == ARPHRD_ETHER && link.halen() == mac.len() => Ok((link, mac)),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is not an Ethernet interface")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn the_request_form_asks_everyone_for_our_own_address() {
        #[rustfmt::skip]
        assert_eq!(gratuitous_arp(MAC, ADDRESS, Form::Request), [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,     // to everyone
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b,     // from us
            0x08, 0x06,                             // ARP
            0x00, 0x01, 0x08, 0x00, 6, 4,           // Ethernet, IPv4 and their lengths
            0x00, 0x01,                             // request
            0x02, 0x42, 0x0a, 0x00, 0x00, 0x0b, 10, 0, 0, 2,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 2,
        ]);
    }

    #[test]
    fn the_reply_form_differs_in_the_operation_alone() {
        let (request, reply) =
            (gratuitous_arp(MAC, ADDRESS, Form::Request), gratuitous_arp(MAC, ADDRESS, Form::Reply));
        let differing: Vec<usize> = (0..FRAME).filter(|at| request[*at] != reply[*at]).collect();
        assert_eq!(differing, [21]);
        assert_eq!(reply[20..22], [0, 2]);
    }
}
