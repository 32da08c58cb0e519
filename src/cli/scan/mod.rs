//! `caapc scan`: scanners' reports in, and what they say of an image.

pub mod destination;
pub mod facts;
pub mod import;
pub(super) mod known;
pub mod list;
pub mod show;
mod stale;

use clap::Subcommand;

use self::facts::Thresholds;
use super::io::{Exit, Failure, Out};
use crate::api::Score;

/// Turn scanners' reports into ImageScans, and ask what is known of an image.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,

    /// From which CVSS score on an image fails, 0.0 to 10.0
    /// [env: CC_FAIL_THRESHOLD] [default: 7.0]
    #[arg(
        short,
        long = "fail_threshold",
        visible_alias = "fail-threshold",
        value_name = "SCORE",
        global = true
    )]
    fail_threshold: Option<Score>,

    /// Above which CVSS score an image is warned of, 0.0 to 10.0
    /// [env: CC_WARN_THRESHOLD] [default: 3.9]
    #[arg(
        short,
        long = "warn_threshold",
        visible_alias = "warn-threshold",
        value_name = "SCORE",
        global = true
    )]
    warn_threshold: Option<Score>,
}

const EXAMPLES: &str = "\
Examples:
  trivy image -f json nginx:1.25 | caapc scan import --apply -
      Tell the cluster what Trivy found.
  caapc scan import report.json --image registry:5000/team/app:2 --to scans/
      For local mode and for `caapc eval --scans scans/`; the report names another image.
  caapc scan show nginx:1.25 --scans scans/ -p policies/
      Its status, why, and when it goes stale.
  caapc scan list -f 9.0
      All images of the cluster, as if images failed from 9.0 on.";

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Show(show::Args),
    List(list::Args),
}

/// Runs `caapc scan`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let Args { command, fail_threshold, warn_threshold } = args;
    let thresholds = Thresholds { fail_threshold, warn_threshold };
    match command {
        Command::Import(args) => import::run(args, thresholds, out),
        Command::Show(args) => show::run(args, thresholds, out),
        Command::List(args) => list::run(args, thresholds, out),
    }
}
