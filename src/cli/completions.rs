//! `caapc completions SHELL` and `caapc man`: what a shell and `man` need.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use super::io::{Exit, Failure, Out};

/// Print a completion script for a shell.
///
/// For bash: `source <(caapc completions bash)`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to complete in.
    shell: clap_complete::Shell,
}

/// Print the manual page, or write one page for each subcommand to a folder.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write `caapc.1` and a page for each subcommand to this folder.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Runs `caapc completions`.
pub fn completions(args: CompletionsArgs, out: &mut Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "caapc", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Fine)
}

/// Runs `caapc man`.
pub fn man(args: ManArgs, out: &mut Out) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::Environment(format!("cannot write the manual page: {error}"))
    };
    let Some(folder) = args.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
        out.bytes(&page)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &folder).map_err(failed)?;
    Ok(Exit::Fine)
}
