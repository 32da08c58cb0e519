//! Any bytes are a report that can be stored and read back, or refused.
#![no_main]

#[path = "../checks/scan_report.rs"]
mod scan_report;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scan_report::check(data));
