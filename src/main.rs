//! Provider, dispatch, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    caapc::cli::main()
}
