//! Any bytes are pattern tables that verify and search, or refused.
#![no_main]

#[path = "../checks/matcher_bytes.rs"]
mod matcher_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| matcher_bytes::check(data));
