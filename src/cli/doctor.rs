//! `caapc doctor`: what is wrong with an installation, and what to do about it.

use std::path::PathBuf;

use caapc_compiler::yaml;
use serde_json::Value;

use super::cluster::{ClusterArgs, block_on};
use super::files;
use super::install::{now_secs, warn};
use super::io::{Exit, Failure, Out, Output, shown};
use crate::doctor::{Facts, Finding, Severity, examine};
use crate::install::cluster::Cluster;

/// Say what is wrong with an installation, with the fix.
///
/// Looks at webhook configurations, policies, namespaces, certificates and access rights of the
/// cluster, or of files. Ends with 1 if there are errors. docs/doctor.md explains every code.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Look at these files and folders instead of a cluster; `-` is standard input.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    manifests: Vec<PathBuf>,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  Look at the cluster of kubectl:
    caapc doctor
  Look at what is about to be applied, policies and namespaces included:
    caapc doctor --manifests manifests/ policies/
  In a pipeline:
    caapc doctor -o json | jq '.findings[] | select(.severity == \"error\")'";

/// Runs `caapc doctor`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let facts = if args.manifests.is_empty() {
        block_on(async {
            let cluster = Cluster::new(args.cluster.client().await?);
            Ok(Facts::from_cluster(&cluster, now_secs()).await?)
        })?
    } else {
        Facts::from_objects(&read_objects(&args.manifests)?, now_secs())
    };
    for line in &facts.unseen {
        warn(&format!("not looked at: {line}"));
    }
    let found = examine(&facts);
    match args.output {
        Output::Json => print_json(&found, &facts, out)?,
        Output::Text => print_text(&found, &facts, out)?,
    }
    let has_errors = found.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if has_errors { Exit::Rejected } else { Exit::Fine })
}

fn read_objects(paths: &[PathBuf]) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for source in files::read_all(paths)? {
        for document in yaml::documents(&source.text, &yaml::Limits::default()) {
            if let Some(fault) = document.faults.first() {
                let at = yaml::Lines::new(&source.text).position(fault.span.start);
                return Err(Failure::Input(format!(
                    "{}:{}:{}: {}",
                    source.name,
                    at.line,
                    at.column,
                    shown(&fault.message)
                )));
            }
            all.extend(document.root.as_ref().map(yaml::to_json));
        }
    }
    Ok(all)
}

fn print_json(found: &[Finding], facts: &Facts, out: &mut Out) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "findings": found,
        "notLookedAt": facts.unseen,
    }));
    out.line(&text.unwrap_or_default())
}

fn print_text(found: &[Finding], facts: &Facts, out: &mut Out) -> Result<(), Failure> {
    for finding in found {
        out.line(&format!(
            "{}[{}]: {}: {}",
            finding.severity.name(),
            finding.code,
            shown(&finding.object),
            shown(&finding.message)
        ))?;
        out.line(&format!("  help: {}", shown(&finding.fix)))?;
    }
    let count = |severity: Severity| found.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings == 0 {
        out.line(&format!(
            "nothing is wrong: looked at {}, {}, {}",
            counted(facts.hooks.len(), "webhook", "webhooks"),
            counted(facts.policies.len(), "policy", "policies"),
            counted(facts.namespaces.len(), "namespace", "namespaces"),
        ))
    } else {
        out.line(&format!(
            "{}, {}",
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings"),
        ))
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
