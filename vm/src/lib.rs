//! The machine of caapc: verified programs that decide container images without allocating.
//!
//! No I/O, no clock, no allocation while running.
#![forbid(unsafe_code)]

pub mod facts;
mod index;
pub mod isa;
pub mod matcher;
pub mod program;
pub mod run;
pub mod time;
pub mod verify;
pub mod wire;
