//! `caapc compile`: policies to a listing or to a program file, and a program file to a listing.

use std::path::PathBuf;
use std::time::Instant;

use caapc_compiler::automata::{self, TailCache};
use caapc_compiler::pattern;
use caapc_vm::listing::{Options, counted, listing};
use caapc_vm::program::Program;

use super::io::{Exit, Failure, Out, shown, tell, write_file};
use super::policies::{self, Policies};

/// Compile policies and print the instructions they become
///
/// Every policy named is linked into one program. The listing shows `linked`, the code that runs
/// for every image with the rules of all policies at once, and under it each policy as it reads:
/// its selection and its rules one by one. golden/isa.md explains each instruction.
///
///   caapc compile policy.yaml              the listing
///   caapc compile policies/ -o set.caapc   the program as a file; `caapc compile set.caapc` lists it
///   caapc compile policies/ --stats        sizes, longest paths and compile time
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Policy files or folders (*.yaml, *.yml, *.json), `-` for standard input, or one program file.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Show the bytes of each instruction.
    #[arg(long)]
    hex: bool,
    /// Leave addresses out, so that a change of one policy changes few lines.
    #[arg(long, conflicts_with = "hex")]
    no_addresses: bool,
    /// Write the binary program to a file instead of printing the listing.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print sizes, longest paths and compile time instead of the listing.
    #[arg(long, conflicts_with_all = ["hex", "no_addresses"])]
    stats: bool,
}

/// Runs `caapc compile`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let start = Instant::now();
    let loaded = policies::load(&args.paths)?;
    let elapsed = start.elapsed();
    if let Some(path) = &args.output {
        let bytes = loaded.program.encode();
        write_file(path, &bytes)?;
        tell(format_args!(
            "{}: {} bytes, {}",
            path.display(),
            bytes.len(),
            summary(&loaded.program)
        ));
    }
    if args.stats {
        return stats(&loaded.program, elapsed, out);
    }
    if args.output.is_none() {
        out.text(&print(&loaded.program, loaded.policies.as_ref(), args.hex, !args.no_addresses))?;
    }
    Ok(Exit::Fine)
}

/// The listing, with a note of what each pattern became and the compiler's warnings at the end.
pub fn print(program: &Program, policies: Option<&Policies>, hex: bool, addresses: bool) -> String {
    let describe = |text: &str| {
        let hir = pattern::parse(text).ok()?;
        let shape = automata::shape(&hir, &automata::Limits::default()).ok()?;
        shape.describe(&mut TailCache::new()).ok()
    };
    let options = Options { hex, addresses, pattern_note: Some(&describe) };
    let mut text = listing(program, &options);
    for warning in policies.iter().flat_map(|policies| &policies.warnings) {
        let (file, line) = (&warning.file, warning.start.line);
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let (id, fact) = (warning.code.id, warning.fact());
        text.push_str(&format!("\n; {}:{line}: warning[{id}]: {fact}\n", shown(file)));
        for line in warning.help.iter().flat_map(|help| help.lines()) {
            text.push_str(&format!(";   help: {}\n", caapc_compiler::diagnostic::escape(line)));
        }
    }
    text
}

fn summary(program: &Program) -> String {
    format!(
        "{}, {}",
        counted(program.policy_count(), "policy", "policies"),
        counted(program.rule_count(), "rule", "rules")
    )
}

fn stats(program: &Program, elapsed: std::time::Duration, out: &mut Out) -> Result<Exit, Failure> {
    let draft = program.draft();
    let patterns: usize = draft.paths.iter().map(<[u32]>::len).sum();
    let matcher = draft.matcher.sizes();
    let rows = [
        ("policies", program.policy_count().to_string()),
        ("rules", program.rule_count().to_string()),
        ("patterns", patterns.to_string()),
        ("instructions", draft.code.len().to_string()),
        ("longest path, one selection", program.longest_select().to_string()),
        ("longest path, one image", program.longest_linked().to_string()),
        ("longest path, one policy's rules", program.longest_rules().to_string()),
        ("automata, bytes", matcher.total().to_string()),
        ("program file, bytes", program.encode().len().to_string()),
        ("read, compiled and linked in, ms", format!("{:.2}", elapsed.as_secs_f64() * 1e3)),
    ];
    for (name, value) in rows {
        out.line(&format!("{name:<34} {value:>12}"))?;
    }
    Ok(Exit::Fine)
}
