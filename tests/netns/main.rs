//! The program in network namespaces, with itself, keepalived and FRR. These tests know it only as a program and need
//! root.
#![expect(clippy::disallowed_methods, reason = "a test of a running program waits on the real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod address_conflict;
mod addresses;
mod bad_input;
mod budgets;
mod chaos;
mod check;
mod confined;
mod culprits;
mod dns;
mod drain;
mod environment;
mod failover;
mod features;
mod flood;
mod groups;
mod guard;
mod hold;
mod import;
mod interop;
mod lifeline;
mod link_kinds;
mod logs;
mod migration;
mod monitoring;
mod notify_url;
mod one_router;
mod packets;
mod partition;
mod pid1;
mod reload;
mod routers;
mod sandbox;
mod scan;
mod scripts;
mod second_speaker;
mod sending;
mod services;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod unicast;
mod wire;
