//! Tests that need no privilege: the protocol in virtual time, and documents and recipes held to the code.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod alerts;
mod architecture;
mod chaos;
mod conformance;
#[path = "../bench/drawing.rs"]
mod drawing;
mod exploration;
mod failover_picture;
mod fuzz;
mod imports;
mod links;
mod log_events;
#[path = "../support/log_table.rs"]
mod log_table;
mod map;
#[path = "../bench/picture.rs"]
mod picture;
#[path = "../support/promtool.rs"]
mod promtool;
mod readme;
mod recipes;
mod release;
mod requirements;
mod simulation;
mod soak;
mod vectors;
