//! Any text is a pattern with its promises kept, or refused with a place and help.
#![no_main]

#[path = "../checks/pattern.rs"]
mod pattern;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pattern::check(data));
