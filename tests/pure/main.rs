//! Tests that need neither privileges nor namespaces: the protocol in virtual time, and the documents held to the code.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod architecture;
mod conformance;
mod fuzz;
mod readme;
mod recipes;
mod requirements;
mod simulation;
mod vectors;
