//! The compiler of caapc: ContainerAdmissionPolicy text in, verified program out.
//!
//! No I/O and no clock. The phases, in order: `yaml` and `policy` (parse), `check`, `lower`,
//! `automata`, `link`; then `caapc_vm::verify` is the only door to a program.
#![forbid(unsafe_code)]

pub mod automata;
mod caret;
pub mod check;
pub mod diagnostic;
pub mod hir;
pub mod link;
mod lint;
pub mod lower;
pub mod oracle;
pub mod pattern;
pub mod policy;
pub mod selector;
pub mod set;
pub mod time;
pub mod unit;
pub mod yaml;

use caapc_vm::program::Program;

/// Compiles one policy to its unit: the entry on the control road for a policy that changed.
/// What cannot run was refused where it was read.
pub fn compile(entry: &policy::Entry) -> unit::Unit {
    match entry {
        policy::Entry::Policy(policy) => lower::lower(policy),
        policy::Entry::Broken(broken) => lower::lower_broken(broken),
    }
}

/// Reads a listing back; the patterns in it go through the front end again.
///
/// # Errors
/// The line that is no part of a listing, or why the program does not verify.
pub fn assemble(text: &str) -> Result<Program, caapc_vm::asm::AsmError> {
    caapc_vm::asm::assemble(text, &mut |patterns, rules| {
        let mut builder = automata::Builder::new();
        for (text, rule) in patterns {
            let hir = pattern::parse(text).map_err(|error| error.to_string())?;
            let shape = automata::shape(&hir, &automata::Limits::default())
                .map_err(|error| error.to_string())?;
            builder.add(&shape, *rule);
        }
        builder.finish(rules, &mut automata::TailCache::new()).map_err(|error| error.to_string())
    })
}
