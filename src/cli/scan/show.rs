//! `caapc scan show`: what is known of one image, and why.

use std::fmt::Write;
use std::path::PathBuf;

use caapc_compiler::policy::Entry;
use caapc_vm::facts::{ScanStatus, Timestamp};
use serde_json::{Value, json};

use super::facts::{ScanFiles, Thresholds};
use super::known;
use super::stale::{Turn, turns};
use crate::admission::text::Ago;
use crate::api::{Score, ThresholdBoundary};
use crate::cli::cluster::ClusterArgs;
use crate::cli::io::{Exit, Failure, Out, Output, shown};
use crate::cli::offline::facts::{clock, time};
use crate::cli::offline::report::table;
use crate::cli::{files, policies};
use crate::reference::Reference;
use crate::scan::report::write_time;
use crate::scan::{PlatformFact, ScanFact, ScanShelf, ScanState, WorstRow};

/// Show what is known of an image: its status, why, and when that changes.
///
/// From files if any are named, else from the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as a pod names it.
    #[arg(value_name = "REF")]
    image: String,

    #[command(flatten)]
    files: ScanFiles,

    /// Policies: when the scan stops being recent enough for them; `-` is standard input.
    #[arg(short, long, value_name = "FILES", num_args = 1..)]
    policies: Vec<PathBuf>,

    /// How many vulnerabilities are shown.
    #[arg(long, default_value_t = 10, value_name = "N")]
    worst: usize,

    /// Exit with 1 if the status is Fail or Unknown.
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// The time at which it is asked, such as `2026-01-31T10:00:00Z`; the clock's if absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,

    /// For people, or one JSON object.
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// Runs `caapc scan show`.
pub fn run(args: Args, thresholds: Thresholds, out: &mut Out) -> Result<Exit, Failure> {
    let now = args.now.map_or_else(clock, Ok)?;
    let reference = Reference::parse(&args.image)
        .map_err(|error| Failure::Input(format!("`{}`: {error}", shown(&args.image))))?;
    let entries = match args.policies.as_slice() {
        [] => Vec::new(),
        paths => policies::read(files::read_all(paths)?)?.entries,
    };
    let shelf = known::store(&args.files, &args.cluster, thresholds, now)?.snapshot();
    let view = View::new(&shelf, &reference, &entries, args.worst, now);
    match args.output {
        Output::Text => out.text(&view.text()?)?,
        Output::Json => out.line(&view.json().to_string())?,
    }
    let bad = matches!(view.fact.status, ScanStatus::Fail | ScanStatus::Unknown);
    Ok(if args.exit_code && bad { Exit::Rejected } else { Exit::Fine })
}

struct View<'s> {
    image: String,
    shelf: &'s ScanShelf,
    now: Timestamp,
    fact: ScanFact,
    platforms: Vec<PlatformFact<'s>>,
    worst: Vec<WorstRow<'s>>,
    worsens: Option<(Timestamp, ScanStatus)>,
    turns: Vec<Turn>,
}

impl<'s> View<'s> {
    fn new(
        shelf: &'s ScanShelf,
        reference: &Reference<'s>,
        entries: &[Entry],
        worst: usize,
        now: Timestamp,
    ) -> Self {
        let found = shelf.entry(reference);
        let fact = found.fact(now);
        Self {
            image: reference.canonical(),
            shelf,
            now,
            fact,
            platforms: found.platforms(now),
            worst: found.worst(now).take(worst).collect(),
            worsens: found.worsens(now),
            turns: fact.last_scan.map_or(Vec::new(), |at| turns(entries, at, now)),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        let ScanFact { status, last_scan, .. } = self.fact;
        let mut text = format!("Image      {}\n", shown(&self.image));
        let _ = writeln!(text, "Status     {}: {}", status.word(), self.why());
        let scanned = last_scan.map(|at| format!("{} ({})", write_time(at), self.ago(at)));
        let _ = writeln!(text, "Last scan  {}", scanned.as_deref().unwrap_or("never"));
        if let Some((at, status)) = self.worsens {
            let (word, when) = (status.word(), write_time(at));
            let _ = writeln!(text, "Changes    to {word} at {when}, when an exception expires");
        }
        for Turn { rule, holds, at } in &self.turns {
            let is = if *holds { "holds" } else { "does not hold" };
            let until = at.map_or(String::new(), |at| {
                format!(" until {} ({})", write_time(at), self.ago(at))
            });
            let _ = writeln!(text, "Policy     {} {is}{until}", shown(rule));
        }
        self.platform_table(&mut text)?;
        self.worst_table(&mut text)?;
        self.exception_table(&mut text)?;
        Ok(text)
    }

    fn ago(&self, then: Timestamp) -> Ago {
        Ago { then, now: self.now }
    }

    /// Why the status is what it is.
    fn why(&self) -> String {
        let thresholds = &self.shelf.settings().thresholds;
        let (fail, warn) = (thresholds.fail(), thresholds.warn());
        let highest: Score = self.platforms.iter().map(|one| one.maximum).max().unwrap_or_default();
        match (self.fact.state, self.fact.status) {
            (ScanState::Scanned, ScanStatus::Fail) => match thresholds.boundary() {
                ThresholdBoundary::Bands => {
                    format!("the highest score {highest} is at least {fail}, the fail threshold")
                }
                ThresholdBoundary::Exclusive => {
                    format!("the highest score {highest} is above {fail}, the fail threshold")
                }
            },
            (ScanState::Scanned, ScanStatus::Warn) => format!(
                "the highest score {highest} is above {warn}, the warn threshold, and does not \
                 reach {fail}"
            ),
            (ScanState::Scanned, _) => {
                format!("the highest score {highest} is not above {warn}, the warn threshold")
            }
            (ScanState::NeverScanned, _) => {
                "it was never scanned; scan it and run `caapc scan import`".to_owned()
            }
            (ScanState::Pending, _) => "its first scan has no result yet".to_owned(),
            (ScanState::Failed, _) => "the scanner gave up; look at its log".to_owned(),
            (ScanState::TooLarge, _) => "the result did not fit into an object".to_owned(),
            (ScanState::Unsupported, _) => {
                "the report says nothing about vulnerabilities; scan its packages".to_owned()
            }
            (ScanState::Expired, _) => "the result was dropped for its age; scan again".to_owned(),
        }
    }

    fn platform_table(&self, text: &mut String) -> Result<(), Failure> {
        if self.platforms.is_empty() {
            return Ok(());
        }
        let mut rows = "PLATFORM\tSTATUS\tMAX\tLAST SCAN\tSCANNER\tVULNERABILITIES\n".to_owned();
        for one in &self.platforms {
            let at = one.fact.last_scan.map(|at| self.ago(at).to_string());
            let left = match one.left_out {
                0 => String::new(),
                count => format!(" and {count} more that did not fit"),
            };
            let _ = writeln!(
                rows,
                "{}\t{}\t{}\t{}\t{}\t{}{left}",
                shown(one.platform),
                one.fact.status.word(),
                one.maximum,
                at.as_deref().unwrap_or("never"),
                shown(one.scanner),
                one.vulnerabilities,
            );
        }
        let _ = write!(text, "\n{}", table(&rows)?);
        for reason in self.platforms.iter().filter_map(|one| one.reason) {
            let _ = writeln!(text, "{}", shown(reason));
        }
        Ok(())
    }

    fn worst_table(&self, text: &mut String) -> Result<(), Failure> {
        if self.worst.is_empty() {
            return Ok(());
        }
        let mut rows = "VULNERABILITY\tSCORE\tSEVERITY\tPACKAGE\tFIXED IN\n".to_owned();
        for row in &self.worst {
            let score = row.score.map(|score| score.to_string());
            let _ = writeln!(
                rows,
                "{}\t{}\t{}\t{}\t{}",
                shown(row.id),
                score.as_deref().unwrap_or("-"),
                row.severity.word(),
                shown(row.package.unwrap_or("-")),
                shown(row.fixed.unwrap_or("-")),
            );
        }
        let _ = write!(text, "\n{}", table(&rows)?);
        Ok(())
    }

    fn exception_table(&self, text: &mut String) -> Result<(), Failure> {
        let mut rows = String::new();
        for (one, score) in self.platforms.iter().flat_map(|one| &one.exceptions) {
            let score = score.map(|score| score.to_string());
            let expires = one
                .expires
                .map_or("never".to_owned(), |at| format!("{} ({})", write_time(at), self.ago(at)));
            let _ = writeln!(
                rows,
                "{}\t{}\t{}\t{expires}\t{}",
                shown(&one.name),
                shown(&one.id),
                score.as_deref().unwrap_or("-"),
                shown(one.justification.as_deref().unwrap_or("-")),
            );
        }
        if !rows.is_empty() {
            let heads = "EXCEPTION\tVULNERABILITY\tSCORE\tEXPIRES\tJUSTIFICATION\n";
            let _ = write!(text, "\n{}", table(&format!("{heads}{rows}"))?);
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let fact = |fact: &ScanFact| {
            json!({
                "status": fact.status.word(),
                "state": format!("{:?}", fact.state),
                "lastScan": fact.last_scan.map(write_time),
            })
        };
        let platform = |one: &PlatformFact<'_>| {
            let exceptions = one.exceptions.iter().map(|(exception, score)| {
                json!({
                    "name": &*exception.name,
                    "vulnerability": &*exception.id,
                    "score": score,
                    "expires": exception.expires.map(write_time),
                })
            });
            json!({
                "platform": one.platform,
                "fact": fact(&one.fact),
                "maximum": one.maximum,
                "scanner": one.scanner,
                "vulnerabilities": one.vulnerabilities,
                "leftOut": one.left_out,
                "names": one.names,
                "reason": one.reason,
                "exceptions": exceptions.collect::<Vec<_>>(),
            })
        };
        let row = |row: &WorstRow<'_>| {
            json!({
                "id": row.id,
                "score": row.score,
                "severity": row.severity.word(),
                "package": row.package,
                "fixed": row.fixed,
            })
        };
        let turn = |turn: &Turn| json!({"rule": turn.rule, "holds": turn.holds, "until": turn.at.map(write_time)});
        let mut all = fact(&self.fact);
        all["image"] = json!(self.image);
        all["why"] = json!(self.why());
        all["platforms"] = self.platforms.iter().map(platform).collect();
        all["worst"] = self.worst.iter().map(row).collect();
        all["changes"] = self.worsens.map_or(
            Value::Null,
            |(at, status)| json!({"at": write_time(at), "status": status.word()}),
        );
        all["policies"] = self.turns.iter().map(turn).collect();
        all
    }
}
