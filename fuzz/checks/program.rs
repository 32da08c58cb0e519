//! What must hold of any bytes that are read as a program.

use caapc_vm::program::Program;

use super::machine;

/// Panics if hostile bytes are believed.
pub(crate) fn check(data: &[u8]) {
    if let Ok(program) = Program::decode(data) {
        machine::check(&program);
    }
}
