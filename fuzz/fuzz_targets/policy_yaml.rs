//! Any text is read as policies, or refused with a place and a sentence.
#![no_main]

#[path = "../checks/policy_yaml.rs"]
mod policy_yaml;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy_yaml::check(data));
