//! The guard of addresses in nf_tables: from the moment that its socket is closed, however the process ends, the host
//! answers neither ARP nor neighbor solicitations for them, until their time is over. Does not decide which addresses.
//!
//! There are two tables of each family. The guard drops those packets unless they have a mark, and its addresses have a
//! time. The other table has the flag `owner`, so the kernel removes it together with the socket; it sets the mark.

mod batch;
mod guard;
mod monitor;
mod tables;
mod transport;
mod worker;

pub use guard::{Guard, MOST, Silence, is_gone, is_taken, name, remove_guard};
pub use monitor::{Damage, Monitor};
pub use worker::{Job, Worker};
