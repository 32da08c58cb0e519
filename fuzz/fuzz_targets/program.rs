//! Any bytes are a program that verifies and runs, or refused.
#![no_main]

#[path = "../checks/machine.rs"]
mod machine;
#[path = "../checks/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|data: &[u8]| program::check(data));
