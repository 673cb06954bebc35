//! vrrp-init: one static binary that replaces keepalived as PID 1 of a container. This page is the map of the crate;
//! `docs/architecture.md` has a diagram, and the path of an advert, a variable, a process exit and a status field.
//!
//! The code is in three rings, and imports only go inward:
//!
//! * **Pure**: [`vrrp`] (the protocol), [`lifeline`] (connections to masters), [`health`] (rise, fall, weight), [`config`]
//!   (the environment, checked), [`import`] (a keepalived.conf to variables) and [`status`] (one snapshot and its
//!   renderings). They know no clock, socket, log or environment: [`time`] is an argument, and what must be done comes back
//!   as values.
//! * **Edges**: [`sys`], one file or folder per kernel interface. They make no decisions. [`interfaces`] keeps links and
//!   addresses as a table, `unicast` chooses source and links for unicast, [`logger`] writes the log.
//! * **Join**: [`daemon`] is the event loop. It turns what the kernel reports into events for the pure ring and performs the
//!   resulting actions in order. `checks` runs the health checks and `serve` the status server. `sandbox` says what to leave
//!   to the process. [`preflight`] judges the machine, and [`commands`] has one file per command.
//!
//! To get to know the code in ten minutes, read in this order: `vrrp/event.rs` (what goes into the state machine and what
//! comes out), `vrrp/instance.rs` (the state machine), `daemon/mod.rs` (the loop), `daemon/routers.rs` (from packets to
//! events), `config/variables.rs` (one row per variable).

mod checks;
mod columns;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod drain;
pub mod health;
mod ids;
pub mod import;
pub mod interfaces;
pub mod lifeline;
pub mod logger;
pub mod preflight;
mod printable;
mod sandbox;
#[doc(hidden)]
pub mod serve;
mod sorted;
pub mod status;
pub mod sys;
pub mod time;
mod token;
mod unicast;
pub mod vrrp;
