//! Flags that say where scan results, exceptions and settings are, and from which scores on images
//! warn and fail. `caapc eval`, `caapc test` and `caapc scan` share them.

use std::path::{Path, PathBuf};

use caapc_vm::facts::Timestamp;

use crate::api::{Score, ThresholdBoundary};
use crate::cli::io::{Failure, path_name, shown, tell};
use crate::scan::ScanShelf;
use crate::scan::files::{self, Sources, ThresholdsGiven};

/// Scan results, exceptions and settings from files.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Scan results")]
pub struct ScanFiles {
    /// Files or folders with scanners' reports (Trivy, Grype, CycloneDX, cosign, trivy-operator)
    /// and ImageScans, mixed.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    pub scans: Vec<PathBuf>,

    /// Files or folders with VulnerabilityExceptions, or the original's CSV.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    pub exceptions: Vec<PathBuf>,

    /// A file with ImageAssuranceSettings; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// Whether a score equal to the fail threshold fails: `bands`, it does, or `exclusive`, only
    /// what is above.
    #[arg(long, value_name = "RULE", value_parser = boundary)]
    pub threshold_boundary: Option<ThresholdBoundary>,
}

/// The two thresholds, with the original's names.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Scan results")]
pub struct Thresholds {
    /// From which CVSS score on an image fails, 0.0 to 10.0 [env: CC_FAIL_THRESHOLD] [default: 7.0]
    #[arg(long = "fail_threshold", visible_alias = "fail-threshold", value_name = "SCORE")]
    pub fail_threshold: Option<Score>,

    /// Above which CVSS score an image is warned of [env: CC_WARN_THRESHOLD] [default: 3.9]
    #[arg(long = "warn_threshold", visible_alias = "warn-threshold", value_name = "SCORE")]
    pub warn_threshold: Option<Score>,
}

impl ScanFiles {
    /// The shelf of all this. Notes on the reports go to standard error.
    ///
    /// # Errors
    /// [`Failure::Input`] for a file that cannot be used, and for thresholds in the wrong order.
    pub fn shelf(&self, thresholds: Thresholds, now: Timestamp) -> Result<ScanShelf, Failure> {
        self.store(thresholds, now).map(|mut store| store.snapshot())
    }

    /// As [`Self::shelf`], to look closer or to change.
    ///
    /// # Errors
    /// As [`Self::shelf`].
    pub fn store(
        &self,
        thresholds: Thresholds,
        now: Timestamp,
    ) -> Result<crate::scan::ScanStore, Failure> {
        let Self { scans, exceptions, settings, .. } = self;
        for (flag, paths) in [("--scans", scans), ("--exceptions", exceptions)] {
            if paths.iter().any(|path| path == Path::new("-")) {
                return Err(Failure::Input(format!(
                    "{flag}: standard input (`-`) is not read here; name a file or folder"
                )));
            }
        }
        let (store, notes) = files::load(&Sources {
            scans,
            exceptions,
            settings: settings.as_deref(),
            thresholds: self.given(thresholds)?,
            now,
        })
        .map_err(|why| Failure::Input(shown(&why)))?;
        for note in notes {
            tell(format_args!("caapc: {}", shown(&note)));
        }
        if let (Some(first), 0) = (scans.first(), store.scans()) {
            let first = shown(&path_name(first));
            tell(format_args!("caapc: warning: --scans {first}: no scan result is there"));
        }
        Ok(store)
    }

    /// What comes before the settings: flags, then the environment.
    ///
    /// # Errors
    /// [`Failure::Input`] for a variable that is no score.
    pub fn given(&self, thresholds: Thresholds) -> Result<ThresholdsGiven, Failure> {
        let Thresholds { fail_threshold, warn_threshold } = thresholds;
        let or_variable = |flag: Option<Score>, name: &str| match flag {
            Some(score) => Ok(Some(score)),
            None => variable(name),
        };
        Ok(ThresholdsGiven {
            fail: or_variable(fail_threshold, "CC_FAIL_THRESHOLD")?,
            warn: or_variable(warn_threshold, "CC_WARN_THRESHOLD")?,
            boundary: self.threshold_boundary,
        })
    }

    /// Whether nothing was given: then the cluster may be asked.
    pub fn is_empty(&self) -> bool {
        self.scans.is_empty() && self.exceptions.is_empty() && self.settings.is_none()
    }
}

/// A score from the environment; an empty variable is none.
fn variable(name: &str) -> Result<Option<Score>, Failure> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_string_lossy();
    let score = value.parse().map_err(|why| Failure::Input(format!("{name}: {why}")))?;
    Ok(Some(score))
}

fn boundary(text: &str) -> Result<ThresholdBoundary, String> {
    match text {
        "bands" => Ok(ThresholdBoundary::Bands),
        "exclusive" => Ok(ThresholdBoundary::Exclusive),
        _ => Err(format!("`{text}` is neither `bands` nor `exclusive`")),
    }
}
