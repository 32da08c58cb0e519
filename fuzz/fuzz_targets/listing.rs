//! Any text is a listing of one program, or refused with a sentence.
#![no_main]

#[path = "../checks/listing.rs"]
mod listing;
#[path = "../checks/machine.rs"]
mod machine;

libfuzzer_sys::fuzz_target!(|data: &[u8]| listing::check(data));
