//! `caapc lint`: every error and warning of policy files, without running anything.

use std::path::PathBuf;

use caapc_compiler::check::{Limits, Reader};
use caapc_compiler::diagnostic::{Code, Diagnostic, Style, codes};
use serde_json::json;

use super::files;
use super::io::{Exit, Failure, Out, colour_wanted, path_name, read_text, tell};
use super::sarif;

/// Check policies: everything that is wrong with them, and what to write instead.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files and folders; in a folder *.yaml, *.yml and *.json, `-` is standard input.
    #[arg(value_name = "FILE|DIR", required_unless_present = "explain")]
    paths: Vec<PathBuf>,

    /// How to print the findings.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// End with exit code 1 if there are warnings.
    #[arg(long)]
    deny_warnings: bool,

    /// Print the page of a code, such as CAP101, and nothing else.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["paths", "output", "deny_warnings"])]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: each finding with its line and a caret.
    #[default]
    Text,
    /// One line for each finding: file:line:column: severity[code]: what is wrong.
    Short,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

const EXAMPLES: &str = "Examples:
  A folder of policies:
    caapc lint policies/

  What a cluster has now:
    kubectl get containeradmissionpolicies -o json | caapc lint -

  In a pipeline, where a warning fails the build and findings show up in the review:
    caapc lint --deny-warnings -o sarif policies/ > lint.sarif

  What a code means, with an example:
    caapc lint --explain CAP101

Files may hold other objects; they are counted, not checked. Warnings never change what a policy
decides.

Exit codes: 0 no errors; 1 warnings, with --deny-warnings; 2 errors, or a file cannot be read.";

/// What was found in all files.
#[derive(Default)]
pub(super) struct Found {
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Files that could not be read, as sentences.
    pub(super) unread: Vec<String>,
    files: usize,
    policies: usize,
    other_objects: usize,
    errors: usize,
    warnings: usize,
    not_shown: usize,
}

/// Runs `caapc lint`.
///
/// # Errors
/// [`Failure::Input`] where a policy has errors or a file cannot be read.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let Args { paths, output, deny_warnings, explain } = args;
    if let Some(code) = explain {
        return explain_code(&code, out);
    }
    let found = look(&paths, output, out)?;
    match output {
        Format::Text | Format::Short => {}
        Format::Json => out.line(&to_json(&found).to_string())?,
        Format::Sarif => out.line(&sarif::log(&found))?,
    }
    out.flush()?;
    for sentence in &found.unread {
        tell(format_args!("caapc: {sentence}"));
    }
    let summary = summary(&found);
    if found.errors > 0 || !found.unread.is_empty() {
        return Err(Failure::Input(summary));
    }
    tell(format_args!("caapc: {summary}"));
    Ok(if deny_warnings && found.warnings > 0 { Exit::Rejected } else { Exit::Fine })
}

/// Reads file by file, and prints as it goes where that is possible.
fn look(paths: &[PathBuf], output: Format, out: &mut Out) -> Result<Found, Failure> {
    let style = if colour_wanted() { Style::Coloured } else { Style::Plain };
    let mut reader = Reader::new(Limits::default());
    let mut found = Found::default();
    for path in files::list(paths)? {
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(Failure::Input(sentence)) => {
                found.unread.push(sentence);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let reading = reader.read(&path_name(&path), &text);
        found.files += 1;
        found.policies += reading.entries.len();
        found.other_objects += reading.other_objects;
        found.errors += reading.errors;
        found.warnings += reading.warnings;
        found.not_shown += reading.not_shown();
        for diagnostic in reading.diagnostics {
            match output {
                Format::Text => {
                    out.text(&diagnostic.render(&text, style))?;
                    out.line("")?;
                }
                Format::Short => out.line(&diagnostic.to_string())?,
                Format::Json | Format::Sarif => found.diagnostics.push(diagnostic),
            }
        }
    }
    Ok(found)
}

fn explain_code(name: &str, out: &mut Out) -> Result<Exit, Failure> {
    match Code::find(name) {
        Some(code) => {
            out.text(code.page)?;
            Ok(Exit::Fine)
        }
        None => {
            let (first, last) = (codes::ALL[0].id, codes::ALL[codes::ALL.len() - 1].id);
            Err(Failure::Input(format!(
                "there is no code `{}`; the codes are {first} to {last}",
                name.escape_debug()
            )))
        }
    }
}

fn to_json(found: &Found) -> serde_json::Value {
    json!({
        "files": found.files,
        "policies": found.policies,
        "otherObjects": found.other_objects,
        "errors": found.errors,
        "warnings": found.warnings,
        "notShown": found.not_shown,
        "unread": found.unread,
        "findings": found.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
    })
}

fn summary(found: &Found) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let mut text = format!(
        "{}, {} in {} of {}",
        count(found.errors, "error", "errors"),
        count(found.warnings, "warning", "warnings"),
        count(found.policies, "policy", "policies"),
        count(found.files, "file", "files"),
    );
    if found.other_objects > 0 {
        let others = count(found.other_objects, "object of another kind", "objects of other kinds");
        text.push_str(&format!("; {others} not checked"));
    }
    if found.not_shown > 0 {
        text.push_str(&format!("; {} findings not shown", found.not_shown));
    }
    if !found.unread.is_empty() {
        text.push_str(&format!("; {} not read", count(found.unread.len(), "file", "files")));
    }
    text
}
