//! Any patterns answer as the plain matcher does.
#![no_main]

#[path = "../checks/matcher_patterns.rs"]
mod matcher_patterns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| matcher_patterns::check(data));
