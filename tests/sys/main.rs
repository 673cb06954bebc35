//! The modules of `sys/` against a real kernel, and a panic in the daemon; all need root.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod lifeline;
mod net;
mod nftables;
mod notify;
mod own_process;
mod panic;
mod poller;
mod probe;
mod process;
mod sandbox;
mod script;
mod watched_file;
