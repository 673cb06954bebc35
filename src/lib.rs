//! vrrp-init: PID 1 of a "keepalived" container. This page is the map of the crate.
//!
//! Three rings, imports go inward only:
//!
//! * **pure** — [`vrrp`] (the protocol), [`health`] (rise, fall, weight), [`config`] (the environment,
//!   checked). They know no clock, socket, log or environment: time is an argument, what must be done
//!   comes back as values.
//! * **edges** — [`sys`]: one file per thing the kernel offers. They decide nothing.
//! * **the join** — [`daemon`]: waits, translates what the kernel said into events, hands them to the pure
//!   ring and performs the answers in order. [`commands`] parses the command line and runs the daemon, queries it,
//!   or listens (`scan`); [`preflight`] judges the machine before the election.
//!
//! Reading order for ten minutes: this page, `vrrp/instance.rs`, `daemon/mod.rs`, `config/mod.rs`.

mod checks;
mod columns;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod health;
mod ids;
pub mod interfaces;
pub mod logger;
pub mod preflight;
mod serve;
pub mod status;
pub mod sys;
pub mod time;
mod token;
pub mod vrrp;
