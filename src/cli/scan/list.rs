//! `caapc scan list`: every image that is known.

use std::fmt::Write;

use caapc_vm::facts::Timestamp;
use serde_json::json;

use super::facts::{ScanFiles, Thresholds};
use super::known;
use crate::admission::text::Ago;
use crate::cli::cluster::ClusterArgs;
use crate::cli::io::{Exit, Failure, Out, Output, shown};
use crate::cli::offline::facts::{clock, time};
use crate::cli::offline::report::table;
use crate::reference::{Reference, is_digest};
use crate::scan::report::write_time;
use crate::scan::{PlatformFact, ScanShelf};

/// List every image that is known, with its status.
///
/// From files if any are named, else from the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: ScanFiles,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// The time at which it is asked, such as `2026-01-31T10:00:00Z`; the clock's if absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,

    /// A table, or one JSON object a line.
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// Runs `caapc scan list`.
pub fn run(args: Args, thresholds: Thresholds, out: &mut Out) -> Result<Exit, Failure> {
    let Args { files, cluster, now, output } = args;
    let now = now.map_or_else(clock, Ok)?;
    let shelf = known::store(&files, &cluster, thresholds, now)?.snapshot();
    let mut rows = "IMAGE\tSTATUS\tMAX\tSTATE\tLAST SCAN\tPLATFORMS\tVULNERABILITIES\n".to_owned();
    for image in shelf.images() {
        // A digest alone is not a reference; any repository will do to ask for it.
        let asked = if is_digest(image) { format!("x@{image}") } else { image.to_owned() };
        let Ok(reference) = Reference::parse(&asked) else { continue };
        match output {
            Output::Text => row(&shelf, image, &reference, now, &mut rows),
            Output::Json => out.line(&line(&shelf, image, &reference, now).to_string())?,
        }
    }
    if output == Output::Text {
        out.text(&table(&rows)?)?;
    }
    Ok(Exit::Fine)
}

fn row(
    shelf: &ScanShelf,
    image: &str,
    reference: &Reference<'_>,
    now: Timestamp,
    rows: &mut String,
) {
    let fact = shelf.lookup(reference, now);
    let platforms = shelf.entry(reference).platforms(now);
    let ago = fact.last_scan.map(|then| Ago { then, now }.to_string());
    let _ = writeln!(
        rows,
        "{}\t{}\t{}\t{:?}\t{}\t{}\t{}",
        shown(image),
        fact.status.word(),
        highest(&platforms),
        fact.state,
        ago.as_deref().unwrap_or("never"),
        shown(&platforms.iter().map(|one| one.platform).collect::<Vec<_>>().join(",")),
        vulnerabilities(&platforms),
    );
}

fn line(
    shelf: &ScanShelf,
    image: &str,
    reference: &Reference<'_>,
    now: Timestamp,
) -> serde_json::Value {
    let fact = shelf.lookup(reference, now);
    let platforms = shelf.entry(reference).platforms(now);
    json!({
        "image": image,
        "status": fact.status.word(),
        "state": format!("{:?}", fact.state),
        "lastScan": fact.last_scan.map(write_time),
        "maximum": highest(&platforms),
        "platforms": platforms.iter().map(|one| one.platform).collect::<Vec<_>>(),
        "vulnerabilities": vulnerabilities(&platforms),
    })
}

fn highest(platforms: &[PlatformFact<'_>]) -> crate::api::Score {
    platforms.iter().map(|one| one.maximum).max().unwrap_or_default()
}

fn vulnerabilities(platforms: &[PlatformFact<'_>]) -> usize {
    let all = platforms.iter().map(|one| one.vulnerabilities + one.left_out as usize);
    all.max().unwrap_or_default()
}
