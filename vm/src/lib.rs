//! The machine of caapc: verified programs that decide container images without allocating.
//!
//! No I/O, no clock, no allocation while running.
#![forbid(unsafe_code)]

pub mod facts;
pub mod matcher;
pub mod wire;
