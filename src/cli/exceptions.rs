//! `caapc exceptions`: vulnerabilities that do not count, in and out as CSV, and whether they still
//! make sense.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use caapc_vm::facts::Timestamp;
use clap::Subcommand;
use serde_json::json;

use super::cluster::{ClusterArgs, block_on};
use super::io::{Exit, Failure, Out, Output, path_name, read_text, shown, tell};
use super::offline::facts::{clock, time};
use super::offline::report::table;
use super::scan::destination::Destination;
use super::scan::facts::{ScanFiles, Thresholds};
use super::scan::known;
use crate::admission::text::Ago;
use crate::api::{VulnerabilityException, VulnerabilityExceptionSpec};
use crate::scan::report::write_time;
use crate::scan::{Exception, Scope, files, table as csv};

/// Vulnerabilities that do not count: from and to CSV, and whether they still make sense.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  caapc exceptions import exceptions.csv --apply
      Bring the exceptions of Calico Cloud into the cluster.
  caapc exceptions export > exceptions.csv
      The cluster's exceptions with the original's columns.
  caapc exceptions check --exceptions exceptions/ --scans scans/
      Which have expired, will soon, or match nothing.";

#[derive(Debug, Subcommand)]
enum Command {
    Import(Import),
    Export(Export),
    Check(Check),
}

/// Turn the original's CSV into VulnerabilityExceptions.
///
/// The columns are CVE, Registry, Repository, Tags, Justification and Scope, by name and in any
/// order; others are passed over.
#[derive(Debug, clap::Args)]
struct Import {
    /// The CSV; `-` is standard input.
    file: PathBuf,

    #[command(flatten)]
    destination: Destination,
}

/// Write exceptions as CSV with the original's columns.
///
/// From files if any are named, else from the cluster. Owner and expiry have no column there.
#[derive(Debug, clap::Args)]
struct Export {
    /// Files or folders with VulnerabilityExceptions.
    files: Vec<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Report exceptions that have expired, will soon, or match no known scan.
///
/// From files if any are named, else from the cluster. Exits with 1 if there is something to
/// report.
#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    files: ScanFiles,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// How many days ahead an expiry is reported.
    #[arg(long, default_value_t = 14, value_name = "DAYS")]
    within: u32,

    /// The time at which it is asked, such as `2026-01-31T10:00:00Z`; the clock's if absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,

    /// A table, or one JSON object a line.
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// Runs `caapc exceptions`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    match args.command {
        Command::Import(args) => import(args, out),
        Command::Export(args) => export(args, out),
        Command::Check(args) => check(args, out),
    }
}

/// A CSV knows neither owner nor expiry: those that are stored stay.
fn over(
    mut fresh: VulnerabilityException,
    stored: &VulnerabilityException,
) -> Option<VulnerabilityException> {
    fresh.spec.owner = fresh.spec.owner.or_else(|| stored.spec.owner.clone());
    fresh.spec.expires_at = fresh.spec.expires_at.or_else(|| stored.spec.expires_at.clone());
    (fresh.spec != stored.spec).then_some(fresh)
}

fn import(args: Import, out: &mut Out) -> Result<Exit, Failure> {
    let Import { file, destination } = args;
    let name = shown(&path_name(&file));
    let rows = csv::import(&read_text(&file)?)
        .map_err(|why| Failure::Input(format!("{name}:{}", shown(&why))))?;
    let read = rows.len();
    let mut all = BTreeMap::new();
    for row in rows {
        if let Some(before) = all.insert(row.name, (row.line, row.spec)) {
            let (line, again) = (before.0, row.line);
            tell(format_args!(
                "{name}:{again}: the same vulnerability and scope as line {line}; it counts"
            ));
        }
    }
    let one = |(name, (_, spec)): (String, (u64, VulnerabilityExceptionSpec))| {
        VulnerabilityException::new(&name, spec)
    };
    let objects: Vec<VulnerabilityException> = all.into_iter().map(one).collect();
    tell(format_args!("{name}: {read} rows, {} exceptions", objects.len()));
    destination.put(objects, &over, out)?;
    Ok(Exit::Fine)
}

fn export(args: Export, out: &mut Out) -> Result<Exit, Failure> {
    let Export { files: paths, cluster } = args;
    let mut all: Vec<(String, VulnerabilityExceptionSpec)> = Vec::new();
    if paths.is_empty() {
        block_on(async {
            let client = cluster.client().await?;
            known::each::<VulnerabilityException>(client, |name, one| {
                all.push((name.to_owned(), one.spec.clone()));
                Ok(())
            })
            .await
        })?;
    } else {
        let input = |why: String| Failure::Input(shown(&why));
        for path in files::walk(&paths, &["yaml", "yml", "json", "csv"]).map_err(input)? {
            all.extend(files::exceptions(&path).map_err(input)?);
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let has_more = |(_, spec): &&(String, VulnerabilityExceptionSpec)| {
        spec.expires_at.is_some() || spec.owner.is_some()
    };
    let lost = all.iter().filter(has_more).count();
    if lost > 0 {
        tell(format_args!(
            "caapc: {lost} exceptions have an owner or an expiry, which the CSV cannot say"
        ));
    }
    out.text(&csv::export(all.iter().map(|(_, spec)| spec)).map_err(Failure::Environment)?)?;
    Ok(Exit::Fine)
}

fn check(args: Check, out: &mut Out) -> Result<Exit, Failure> {
    let Check { files, cluster, within, now, output } = args;
    let now = now.map_or_else(clock, Ok)?;
    let mut store = known::store(&files, &cluster, Thresholds::default(), now)?;
    let all: Vec<_> = store.exceptions().cloned().collect();
    let shelf = store.snapshot();
    let soon = now.plus_secs(i64::from(within) * 86_400);
    let mut rows = "EXCEPTION\tVULNERABILITY\tSCOPE\tPROBLEM\n".to_owned();
    let mut found = 0;
    for exception in &all {
        let matching = shelf.matches_something(exception);
        let Some(problem) = problem(exception, matching, soon, now) else { continue };
        found += 1;
        match output {
            Output::Text => {
                let (name, id) = (shown(&exception.name), shown(&exception.id));
                let _ = writeln!(rows, "{name}\t{id}\t{}\t{problem}", shown(&scope(exception)));
            }
            Output::Json => out.line(
                &json!({
                    "name": &*exception.name,
                    "vulnerability": &*exception.id,
                    "scope": scope(exception),
                    "expires": exception.expires.map(write_time),
                    "matches": matching,
                    "problem": problem,
                })
                .to_string(),
            )?,
        }
    }
    if output == Output::Text {
        if found > 0 {
            out.text(&table(&rows)?)?;
        }
        out.line(&format!("{} exceptions, {found} to look at", all.len()))?;
    }
    Ok(if found > 0 { Exit::Rejected } else { Exit::Fine })
}

fn problem(
    exception: &Exception,
    matches: bool,
    soon: Timestamp,
    now: Timestamp,
) -> Option<String> {
    let ago = |then: Timestamp| Ago { then, now };
    match exception.expires {
        Some(at) if at <= now => Some(format!("expired {}", ago(at))),
        Some(at) if at <= soon => Some(format!("expires {}", ago(at))),
        _ if !matches => Some("matches no vulnerability of a known scan".to_owned()),
        _ => None,
    }
}

fn scope(exception: &Exception) -> String {
    match &exception.scope {
        Scope::Any => "any".to_owned(),
        Scope::Repo(repository) => format!("repo {repository}"),
        Scope::Image(repository, tags) => {
            format!("image {repository}:{}", tags.join(","))
        }
    }
}
