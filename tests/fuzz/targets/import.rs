#![no_main]
//! libFuzzer on `bodies::import`.

#[expect(dead_code, reason = "each target takes one of them")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::import(data));
