//! Policies that compile: one file of policies and its listing.

use caapc::cli::compile::print;
use caapc::cli::files::Source;
use caapc::cli::policies;
use caapc_compiler::link::Linker;

use super::asm::round_trip;
use crate::suite::{Case, Shape, Suite};

/// `golden/compile/`.
pub const SUITE: Suite = Suite {
    name: "compile",
    folder: "golden/compile",
    beside: &[],
    shape: Shape::Tail { extension: "yaml", marker: "# --- listing ---", expect },
    together: None,
};

fn expect(case: &Case) -> Result<String, String> {
    let source = Source { name: case.shown_path(), text: case.input.clone() };
    let policies = policies::read(vec![source]).map_err(|failure| failure.to_string())?;
    let program = Linker::new().link(&policies.units).map_err(|error| error.to_string())?;
    round_trip(&program)?;
    Ok(print(&program, Some(&policies), false, true))
}
