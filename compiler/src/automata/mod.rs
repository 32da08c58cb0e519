//! From the meaning of patterns to the tables of a [`Matcher`](caapc_vm::matcher::Matcher).
//!
//! A pattern is first given a [`Shape`], on its own, once; shapes are kept with the policy they
//! come from. Linking puts the shapes of all policies into one [`Builder`]. Start at [`shape`].

mod alphabet;
mod builder;
mod cache;
pub(crate) mod code;
mod describe;
mod determinise;
pub(crate) mod hash;
mod items;
mod nfa;
mod pools;
mod shape;
mod tree;

use std::fmt;

pub use builder::Builder;
use caapc_vm::matcher::nfa::STEPS_MAX;
pub use cache::TailCache;
pub use describe::describe;
pub use shape::Shape;

use crate::hir::Hir;

/// A pattern needs more than its budget; it is not wrong, but must be written smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// What is too big, by how much, and what to write instead; one sentence.
    pub message: String,
}

impl TooBig {
    fn steps(steps: u64) -> Self {
        Self {
            message: format!(
                "the pattern needs {steps} states, the limit is {STEPS_MAX}; use smaller repetition counts, or split it"
            ),
        }
    }
}

impl fmt::Display for TooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TooBig {}

/// Upper bounds for one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most states of its NFA; at most, and by default, [`STEPS_MAX`].
    pub states_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { states_max: STEPS_MAX as u64 }
    }
}

/// Gives a pattern its shape.
///
/// # Errors
/// The pattern needs more states than `limits` allow.
pub fn shape(hir: &Hir, limits: &Limits) -> Result<Shape, TooBig> {
    let steps = nfa::steps(hir);
    if steps >= limits.states_max.min(STEPS_MAX as u64) {
        return Err(TooBig::steps(steps));
    }
    Ok(Shape::of(hir))
}
