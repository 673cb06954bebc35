//! What was heard on the wire. Listens to nothing and judges nothing.

use std::net::IpAddr;

/// What was heard. Links are named by their index.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pub adverts: Vec<Advert>,
    pub asked: Vec<(u32, IpAddr)>,
    /// Who answered for an address; sorted.
    pub answers: Vec<(u32, IpAddr, [u8; 6])>,
}

/// The adverts of one sender.
#[derive(Clone, Copy, Debug)]
pub struct Advert {
    pub link: u32,
    pub from: IpAddr,
    pub vrid: u8,
    pub mac: Option<[u8; 6]>,
    /// They passed the firewall of this host.
    pub passed: bool,
}
