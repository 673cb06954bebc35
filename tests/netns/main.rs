//! The program from outside, in network namespaces, against itself, keepalived and FRR; all tests need root.
#![expect(clippy::disallowed_methods, reason = "a test of a running program waits on the real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod check;
mod failover;
mod features;
mod interop;
mod logs;
mod migration;
mod monitoring;
mod one_router;
mod packets;
mod pid1;
mod routers;
mod scan;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod wire;
