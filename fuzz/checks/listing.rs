//! What must hold of any bytes that are read as a listing.

use caapc_vm::listing::{Options, listing};

use super::machine;

/// Panics if a text is read as another program than it shows.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match caapc_compiler::assemble(text) {
        Ok(program) => {
            machine::check(&program);
            let printed = listing(&program, &Options::default());
            match caapc_compiler::assemble(&printed) {
                Ok(again) => assert_eq!(again.encode(), program.encode(), "{printed}"),
                Err(error) => panic!("its own listing: {error}\n{printed}"),
            }
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}
