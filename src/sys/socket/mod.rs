//! Raw VRRP sockets of one interface: they carry packets and do not read their payload.

mod datagram;
mod fragments;
mod inbox;
pub mod ipv4;
pub mod ipv6;
pub mod membership;
mod outbox;
mod raw;

pub use datagram::Datagram;
pub use inbox::Inbox;
pub use outbox::Outbox;
pub use raw::{ANY_INTERFACE, BUFFER, Received, Socket};
