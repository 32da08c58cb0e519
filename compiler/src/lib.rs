//! The compiler of caapc: ContainerAdmissionPolicy text in, verified program out.
//!
//! No I/O and no clock. The phases, in order: `yaml` and `policy` (parse), `check`, `lower`,
//! `automata`, `link`; then `caapc_vm::verify` is the only door to a program.
#![forbid(unsafe_code)]

pub mod automata;
pub mod diagnostic;
pub mod hir;
pub mod pattern;
pub mod policy;
pub mod selector;
pub mod time;
pub mod yaml;
