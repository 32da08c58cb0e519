//! The shelf of policies: one linked program and which set it was made from.
//!
//! Immutable, replaced whole. It neither compiles nor links: whoever fills it does.

use caapc_vm::program::Program;

/// All policies in force, linked into one program.
#[derive(Clone, Debug)]
pub struct PolicySet {
    program: Program,
    generation: u64,
}

impl PolicySet {
    /// A set as linked; `generation` counts the sets that were made.
    pub fn new(program: Program, generation: u64) -> Self {
        Self { program, generation }
    }

    /// No policy: every image is allowed.
    pub fn empty() -> Self {
        Self::new(Program::empty(), 0)
    }

    /// What runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Which set this is, in the order of making.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
