//! Any text is a file of policies that compile and run, or whose faults have places.
#![no_main]

#[path = "../checks/machine.rs"]
mod machine;
#[path = "../checks/policy.rs"]
mod policy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::check(data));
