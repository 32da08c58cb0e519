//! The command line: one file for each subcommand, and the dispatch.
//!
//! Exit codes: 0 fine, 1 rejected, differs or a case failed, 2 bad input or usage, 3 environment.

pub mod batch;
pub mod bench;
pub mod certs;
pub mod cluster;
pub mod compile;
pub mod completions;
pub mod crds;
pub mod doctor;
pub mod eval;
pub mod exceptions;
pub mod files;
pub mod install;
pub mod io;
pub mod lint;
pub mod offline;
pub mod pattern;
pub mod policies;
mod sarif;
pub mod scan;
pub mod selector;
pub mod serve;
pub mod switches;
pub mod test;
pub mod uninstall;
mod unscanned;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::io::{Exit, Failure, Out, shown_lines, tell};

/// Decides container images by ContainerAdmissionPolicy: compile, test, explain and enforce.
#[derive(Debug, Parser)]
#[command(name = "caapc", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(Box<bench::Args>),
    Certs(certs::Args),
    Compile(compile::Args),
    Completions(completions::CompletionsArgs),
    Crds(crds::Args),
    Doctor(doctor::Args),
    Eval(Box<eval::Args>),
    Install(Box<install::Args>),
    Lint(lint::Args),
    Man(completions::ManArgs),
    Pattern(pattern::Args),
    Exceptions(exceptions::Args),
    Scan(scan::Args),
    Selector(selector::Args),
    Serve(Box<serve::Args>),
    Test(test::Args),
    Uninstall(uninstall::Args),
}

/// Runs the command line of this process; `allocations` counts those of the thread so far.
pub fn main(allocations: fn() -> u64) -> ExitCode {
    let name = called_as(std::env::args_os().next());
    let cli = parse(name);
    let mut out = Out::stdout();
    let result: Result<Exit, Failure> = match cli.command {
        Command::Bench(args) => bench::run(*args, allocations, &mut out),
        Command::Certs(args) => certs::run(args, &mut out),
        Command::Compile(args) => compile::run(args, &mut out),
        Command::Completions(args) => completions::completions(args, &mut out),
        Command::Crds(args) => crds::run(args, &mut out),
        Command::Doctor(args) => doctor::run(args, &mut out),
        Command::Eval(args) => eval::run(*args, &mut out),
        Command::Install(args) => install::run(*args, &mut out),
        Command::Lint(args) => lint::run(args, &mut out),
        Command::Man(args) => completions::man(args, &mut out),
        Command::Pattern(args) => pattern::run(args, &mut out),
        Command::Exceptions(args) => exceptions::run(args, &mut out),
        Command::Scan(args) => scan::run(args, &mut out),
        Command::Selector(args) => selector::run(args, &mut out),
        Command::Serve(args) => serve::run(*args, &mut out),
        Command::Test(args) => test::run(args, &mut out),
        Command::Uninstall(args) => uninstall::run(args, &mut out),
    };
    match result.and_then(|exit| out.flush().map(|()| exit)) {
        Ok(Exit::Fine) => ExitCode::SUCCESS,
        Ok(Exit::Rejected) => ExitCode::from(1),
        Err(failure) => {
            tell(format_args!("{name}: {}", shown_lines(&failure.to_string())));
            ExitCode::from(match failure {
                Failure::Input(_) => 2,
                Failure::Environment(_) => 3,
            })
        }
    }
}

/// What the user typed: `kubectl caapc` runs a program called `kubectl-caapc`.
fn called_as(program: Option<std::ffi::OsString>) -> &'static str {
    let path = program.map(std::path::PathBuf::from).unwrap_or_default();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem == "kubectl-caapc" { "kubectl caapc" } else { "caapc" }
}

/// Reads the arguments; usage and help say the name that the user typed.
fn parse(name: &'static str) -> Cli {
    let matches = Cli::command().bin_name(name).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::{Cli, called_as};

    /// `caapc --help` shows them below one another.
    #[test]
    fn no_summary_of_a_command_has_a_full_stop() {
        fn look(command: &Command) {
            for below in command.get_subcommands() {
                let about = below.get_about().expect("a summary").to_string();
                assert!(!about.ends_with('.'), "{}: {about}", below.get_name());
                look(below);
            }
        }
        look(&Cli::command());
    }

    #[test]
    fn the_plugin_is_called_as_kubectl_calls_it() {
        for (path, name) in [
            ("/usr/local/bin/kubectl-caapc", "kubectl caapc"),
            ("kubectl-caapc.exe", "kubectl caapc"),
            ("./target/debug/caapc", "caapc"),
            ("", "caapc"),
        ] {
            assert_eq!(called_as(Some(path.into())), name, "{path}");
        }
    }
}
