//! The protocol: VRRPv2 (RFC 3768) and VRRPv3 (RFC 9568) as values and one state machine. Knows no clock, socket or log.

mod advert;
mod announcements;
mod backup;
mod drop_reason;
mod event;
mod header;
mod instance;
mod ip;
mod master;
mod retries;
mod second_speaker;
mod settings;
mod takeover_budget;
mod units;

pub use advert::{Advert, Envelope, V3Checksum};
pub use drop_reason::{DropReason, Drops};
pub use event::{Action, Cause, Drain, Event, Peer, Report, Role, Timing, Why};
pub use header::Header;
pub use instance::Instance;
pub use ip::{GROUP_V4, GROUP_V6, PROTOCOL, TTL};
pub use settings::{Lease, Password, Settings};
pub use units::{Family, Interval, Priority, Version, Vrid};
