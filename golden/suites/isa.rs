//! The reference page of the instruction set, generated from the table that declares it.

use caapc_vm::isa;

use crate::suite::{Shape, Suite};

/// `golden/isa.md`.
pub const SUITE: Suite = Suite {
    name: "isa",
    folder: "golden/isa.md",
    beside: &[],
    shape: Shape::Page { expect: || Ok(isa::reference()) },
    together: None,
};
