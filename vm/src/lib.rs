//! The machine of caapc: verified programs that decide container images without allocating.
//!
//! No I/O, no clock, no allocation while running.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod asm;
pub mod facts;
mod index;
pub mod isa;
pub mod listing;
pub mod matcher;
pub mod pools;
pub mod program;
pub mod run;
pub mod texts;
pub mod time;
pub mod trace;
pub mod verify;
pub mod wire;
